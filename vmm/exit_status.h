/*
 * How a guest ended, as an exit status. Listed in docs/trellis.1 and README.md; scripts depend on it.
 */
#ifndef TRELLIS_EXIT_STATUS_H
#define TRELLIS_EXIT_STATUS_H

enum exit_status {
	EXIT_POWEROFF = 0,     /* the guest switched itself off */
	EXIT_HOST_ERROR = 1,   /* something on the host failed */
	EXIT_USAGE = 2,        /* bad command line */
	EXIT_RESET = 3,        /* the guest reset itself, and --no-reboot was given */
	EXIT_PANIC = 4,        /* the guest reported a panic (pvpanic) */
	EXIT_TRIPLE_FAULT = 5, /* the same as EXIT_RESET, by a triple fault */
	EXIT_KVM_ERROR = 6,    /* KVM could not run the guest any further */
	EXIT_QUIT = 7,         /* Ctrl-a x */
	EXIT_TIMEOUT = 8,      /* asked to power off, the guest did not in time */
	/* isa-debug-exit: what the guest wrote, modulo 256 */
};

#endif
