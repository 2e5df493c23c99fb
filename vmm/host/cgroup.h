/*
 * hard-limit=: a cgroup v2 with memory.max, for this process and those it starts, as passt
 * (Documentation/admin-guide/cgroup-v2.rst, v6.1).
 */
#ifndef TRELLIS_HOST_CGROUP_H
#define TRELLIS_HOST_CGROUP_H

#include "vmm/base/base.h"
#include "vmm/base/err.h"

struct cgroup {
	char *dir;     /* owned; the group that was made, or NULL */
	char *parent;  /* owned; the group that we came from */
};

/*
 * Could a group with a limit be made? Needs a group of version 2 whose parent we may write and whose memory
 * controller is on. Changes nothing. root: see vmm/base/sysfile.h.
 * Returns 0, or a negative errno with a sentence that ends in the command an administrator would run.
 */
MUST_CHECK int cgroup_check(const char *root, uint64_t max_bytes, struct err *e);

/*
 * Make the group, set memory.max and move this process there: before guest memory is touched, as pages stay with the
 * group that was charged for them. Empty groups that a killed trellis left behind are removed on the way.
 * Returns as cgroup_check(). cgroup_fini() goes back and removes the group; it is safe on an all-zero struct.
 */
MUST_CHECK int cgroup_init(struct cgroup *c, const char *root, const char *name, uint64_t max_bytes, struct err *e);
void cgroup_fini(struct cgroup *c);

#endif
