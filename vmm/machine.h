/*
 * The machine: everything a guest sees, put together, started, reset and ended.
 *
 * machine.c is the recipe and the life; machine_devices.c plugs the devices in.
 */
#ifndef TRELLIS_MACHINE_H
#define TRELLIS_MACHINE_H

#include <pthread.h>

#include "devices/chardev.h"
#include "devices/debug_exit.h"
#include "devices/edu.h"
#include "devices/i8042.h"
#include "devices/i8254.h"
#include "devices/i8259.h"
#include "devices/ioapic.h"
#include "devices/pci.h"
#include "devices/pm.h"
#include "devices/post.h"
#include "devices/pvpanic.h"
#include "devices/reset.h"
#include "devices/rtc.h"
#include "devices/serial.h"
#include "firmware/boot.h"
#include "firmware/platform.h"
#include "vmm/bus.h"
#include "vmm/cpu/processors.h"
#include "vmm/host/cgroup.h"
#include "vmm/irq.h"
#include "vmm/kvm.h"
#include "vmm/machine_virtio.h"
#include "vmm/memory.h"
#include "vmm/options.h"
#include "vmm/tables.h"
#include "vmm/timing.h"
#include "vmm/vcpu.h"

enum { MACHINE_MAX_DEVICES = 64 };

/* A plugged device, for reset, stop, save and load; in the order of plugging. */
struct machine_device {
	const char *name;
	const struct dev_ops *ops;
	void *dev;
	void (*fini)(void *dev);
};

struct machine {
	const struct run_options *opts; /* borrowed */
	struct loop *loop;              /* borrowed; the main thread's */
	struct timing timing;

	struct image kernel;
	struct image initrd[MAX_INITRDS];
	const char *initrd_args[MAX_INITRDS]; /* borrowed from opts */
	unsigned int nr_initrds;
	struct processors procs;
	struct kvm kvm;
	struct memory mem;
	struct pin_plan pins;
	struct cgroup cgroup;
	struct irqs irqs;
	struct ioapic ioapic;           /* these three in split machines only (vmm/irq.h) */
	struct i8259 pic;
	struct i8254 pit;
	struct bus pio, mmio;
	struct vcpus vcpus;
	struct platform platform;
	struct tables tables;
	struct boot_entry entry;

	struct dev_host host;           /* what devices are offered */
	struct machine_device device[MACHINE_MAX_DEVICES];
	unsigned int nr_devices;
	struct chardev chr[MAX_SERIALS];
	struct serial com[MAX_SERIALS];
	unsigned int nr_coms;           /* of them are plugged */
	struct rtc rtc;
	struct i8042 i8042;
	struct pm pm;
	struct reset_port reset;
	struct pvpanic pvpanic;
	struct debug_exit debug_exit;
	struct post post;
	struct pci_root pci;
	struct edu edu;
	struct machine_virtio virtio;

	pthread_mutex_t stop_lock;
	enum stop_reason why;           /* guarded by stop_lock; STOP_NONE while running */
	int value;                      /* guarded by stop_lock; of a debug exit, or the vCPU that failed */
	bool told_triple_fault;         /* main thread */
};

/*
 * Build the whole machine: after this only machine_run() is missing.
 * m           all zero
 * opts, loop  borrowed until machine_fini()
 * main_ns     when main() began, for --timing
 * Returns 0 or a negative errno with a sentence; machine_fini() is to be called either way.
 */
MUST_CHECK int machine_init(struct machine *m, const struct run_options *opts, struct loop *loop, uint64_t main_ns,
			    struct err *e);
void machine_fini(struct machine *m);

/*
 * machine_check.c: would exactly this guest start, here and now? Adds a sentence to problems for each reason why not;
 * machine_init() has the same sentences for the same causes. Starts and changes nothing.
 * m     all zero; machine_fini() is to be called afterwards
 * opts  borrowed until machine_fini()
 * host  look at all that this host must give: /dev/kvm, memory, CPUs, limits, interfaces; else at options, files and
 *       what can be told without /dev/kvm, as `run --check` does
 */
void machine_check(struct machine *m, const struct run_options *opts, bool host, struct notes *problems);

/*
 * Run the guest and the loop until the machine ends. Resets happen inside.
 * Returns why it ended, and the value that belongs to it; or a negative errno with a sentence.
 * Main thread. What consoles still hold is written out before it returns.
 */
MUST_CHECK int machine_run(struct machine *m, enum stop_reason *why, int *value, struct err *e);

/* End or reset the machine; the first reason wins, and an end wins over a reset. Any thread, vCPU threads too. */
void machine_stop(struct machine *m, enum stop_reason why, int value);

/* Press the power button. Returns whether the guest listens to it now. Any thread. */
bool machine_press_power_button(struct machine *m);

/*
 * machine_devices.c: open the consoles, make every device and put it at its place. Part of machine_init().
 */
MUST_CHECK int machine_plug_devices(struct machine *m, struct err *e);
void machine_unplug_devices(struct machine *m);

/*
 * machine_devices.c: a device that was made: from here on machine_unplug_devices() ends it, by fini. ops: its life.
 * On failure it is ended at once. name, ops and dev are borrowed.
 */
MUST_CHECK int machine_plug(struct machine *m, const char *name, const struct dev_ops *ops, void *dev,
			    void (*fini)(void *dev), struct err *e);

/* machine_devices.c: what kind of stream a mode asks for; not STREAM_NONE. */
enum chardev_kind machine_stream_kind(enum stream_mode mode);

/* machine_devices.c: write out what consoles hold. Returns 0, or -EIO with a sentence if bytes are lost. */
MUST_CHECK int machine_drain_consoles(struct machine *m, struct err *e);

#endif
