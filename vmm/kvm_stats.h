/*
 * KVM's own statistics of a VM: what KVM_GET_STATS_FD gives (Linux 5.14, Documentation/virt/kvm/api.rst, 4.133).
 */
#ifndef TRELLIS_KVM_STATS_H
#define TRELLIS_KVM_STATS_H

#include "vmm/kvm.h"

/* Call each(ctx, name, value) for every statistic of one number, in KVM's order. name: borrowed during the call.
 * fd  a VM's or a vCPU's
 * Returns 0; -EOPNOTSUPP when this KVM has none (KVM_CAP_BINARY_STATS_FD); another negative errno. Any thread.
 */
MUST_CHECK int kvm_stats_each(int fd, void (*each)(void *ctx, const char *name, uint64_t value), void *ctx);

/*
 * The same from the file that KVM_GET_STATS_FD gives, or a copy of it. stats_fd: borrowed; its offset stays.
 * Returns 0; -EPROTO when it is not in that format; another negative errno. What came before was called for.
 */
MUST_CHECK int kvm_stats_read(int stats_fd, void (*each)(void *ctx, const char *name, uint64_t value), void *ctx);

#endif
