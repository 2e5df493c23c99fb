/*
 * Raw mode. Only SIGKILL can leave the terminal raw; `reset` mends that.
 */
#include "vmm/terminal.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "vmm/base/base.h"
#include "vmm/base/log.h"

static struct termios saved;    /* written before is_raw becomes true the first time */
static atomic_bool is_raw;
static bool have_saved;         /* main thread */

void terminal_restore(void)
{
	if (!atomic_exchange(&is_raw, false))
		return;
	tcsetattr(STDIN_FILENO, TCSADRAIN, &saved); /* async-signal-safe, POSIX.1-2017 2.4.3 */
	log_set_raw_terminal(false);
}

/* A fault of ours, or a signal that nobody handles: restore, then die of the same signal as if there were no handler. */
static void on_fault(int sig)
{
	terminal_restore();
	signal(sig, SIG_DFL);
	raise(sig);
}

static void enter_raw(void)
{
	struct termios raw = saved;

	cfmakeraw(&raw);
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) < 0)
		return;
	atomic_store(&is_raw, true);
	log_set_raw_terminal(isatty(STDERR_FILENO));
}

void terminal_make_raw(void)
{
	/* SIGBUS is vmm/fault.c's, which gives the terminal back, too. */
	static const int fatal[] = { SIGSEGV, SIGILL,  SIGFPE,    SIGABRT, SIGQUIT,
				     SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGXCPU };
	struct sigaction sa = { .sa_handler = on_fault, .sa_flags = SA_RESETHAND | SA_NODEFER };

	if (!isatty(STDIN_FILENO) || tcgetpgrp(STDIN_FILENO) != getpgrp() || tcgetattr(STDIN_FILENO, &saved) < 0)
		return;
	have_saved = true;
	for (size_t i = 0; i < ARRAY_SIZE(fatal); i++)
		sigaction(fatal[i], &sa, NULL);
	atexit(terminal_restore);
	enter_raw();
}

void terminal_resume(void)
{
	if (have_saved && !atomic_load(&is_raw) && tcgetpgrp(STDIN_FILENO) == getpgrp())
		enter_raw();
}
