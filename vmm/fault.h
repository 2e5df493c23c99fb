/*
 * Guest memory that goes away under us: a page that the hardware reports broken, or a file that somebody truncates.
 * Nothing can be saved then; the report says what was lost, and the terminal is left sane.
 */
#ifndef TRELLIS_FAULT_H
#define TRELLIS_FAULT_H

#include "vmm/base/gmem.h"

struct vcpu;

/*
 * Take SIGBUS from here on: in guest memory it prints the host address, the guest-physical address and range, and the
 * cause (a broken page; a file that became shorter; no page left in the pool), and ends the process with
 * EXIT_HOST_ERROR; elsewhere it dies of the signal as before.
 * mem  borrowed until fault_fini(); there is one machine in a process
 */
void fault_init(const struct gmem *mem);
void fault_fini(void);

/*
 * Why did KVM_RUN fail with EFAULT or EHWPOISON? One sentence without full stop which names the guest-physical
 * address, where KVM (Linux 6.8, KVM_CAP_MEMORY_FAULT_INFO) or the backing tells. On the vCPU's thread. Returns buf.
 * error  0: it did not fail, but fault_is_mmio()
 */
const char *fault_explain(const struct vcpu *v, int error, char *buf, size_t len);

/*
 * Has a file behind guest memory become shorter? Then *buf is a sentence as above. A guest whose page tables or handlers
 * were in what is lost ends by a triple fault, as KVM finds nothing there. Any thread.
 */
bool fault_truncated(const struct gmem *m, char *buf, size_t len);

/*
 * Is the exit that v->run describes an access to RAM? KVM's instruction emulator takes RAM that it cannot reach for a
 * device (arch/x86/kvm/x86.c, emulator_read_write_onepage(), Linux 6.12); a device there would answer nonsense.
 */
bool fault_is_mmio(const struct vcpu *v);

#endif
