/*
 * Which signals our threads take. Those to the process are the main thread's. Those that an instruction of the thread
 * itself causes are each thread's own: were they blocked, the kernel would end the process without the handler that
 * gives the terminal back and says which guest memory is lost (vmm/fault.h).
 */
#ifndef TRELLIS_BASE_SIGNALS_H
#define TRELLIS_BASE_SIGNALS_H

#include <signal.h>

/* What a thread other than main blocks: everything but its own faults. Blocked while it is made, so it inherits it. */
static inline void signals_fill_but_faults(sigset_t *set)
{
	sigfillset(set);
	sigdelset(set, SIGSEGV);
	sigdelset(set, SIGBUS);
	sigdelset(set, SIGFPE);
	sigdelset(set, SIGILL);
	sigdelset(set, SIGABRT);
}

#endif
