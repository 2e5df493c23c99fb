/*
 * `trellis run`.
 */
#ifndef TRELLIS_RUN_H
#define TRELLIS_RUN_H

#include "vmm/base/err.h"

/* argv[0] is "run". Returns an exit status (vmm/exit_status.h), or a negative errno with a sentence. */
MUST_CHECK int run_main(int argc, char *const *argv, struct err *e);

#endif
