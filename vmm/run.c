/*
 * `trellis run`: options to machine, signals to the power button, the guest's end to an exit status.
 */
#include "vmm/run.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "vmm/base/log.h"
#include "vmm/exit_status.h"
#include "vmm/machine.h"
#include "vmm/terminal.h"

struct run {
	struct run_options opts;
	struct loop loop;
	struct machine machine;
	struct loop_source signals;     /* fd owned */
	struct loop_timer shutdown;     /* armed once the power button was pressed */
	bool asked;                     /* it was */
};

static void shutdown_expired(void *ctx)
{
	struct run *r = ctx;

	log_warn("the guest did not power off within %u seconds", r->opts.shutdown_timeout_s);
	machine_stop(&r->machine, STOP_TIMEOUT, 0);
}

static void ask_guest(struct run *r, uint32_t sig)
{
	bool listens;

	if (r->asked || !r->opts.shutdown_timeout_s) {
		machine_stop(&r->machine, STOP_TIMEOUT, 0);
		return;
	}
	r->asked = true;
	listens = machine_press_power_button(&r->machine);
	log_info("%s: pressed the guest's power button%s; ending in %u seconds at the latest", strsignal((int)sig),
		 listens ? "" : ", which it does not listen to now", r->opts.shutdown_timeout_s);
	loop_timer_arm(&r->shutdown, r->opts.shutdown_timeout_s * 1000000000ull);
}

static void signal_arrived(void *ctx, uint32_t events)
{
	struct run *r = ctx;
	struct signalfd_siginfo si;

	(void)events;
	if (read(r->signals.fd, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return;
	switch (si.ssi_signo) {
	case SIGTSTP: /* from outside: in raw mode Ctrl-z goes to the guest */
		terminal_restore();
		raise(SIGSTOP);
		break;
	case SIGCONT:
		terminal_resume();
		break;
	default:
		ask_guest(r, si.ssi_signo);
		break;
	}
}

static int signals_init(struct run *r, struct err *e)
{
	static const int requests[] = { SIGTERM, SIGINT, SIGHUP };
	sigset_t set;
	int rc;

	signal(SIGPIPE, SIG_IGN); /* writes say EPIPE */
	signal(SIGXFSZ, SIG_IGN); /* and EFBIG */
	signal(SIGTTIN, SIG_IGN); /* reading the terminal in the background says EIO, and nobody is stopped */
	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		struct sigaction was;

		/* nohup, or a shell that put us into the background: what is ignored stays so. */
		if (sigaction(requests[i], NULL, &was) == 0 && was.sa_handler != SIG_IGN)
			sigaddset(&set, requests[i]);
	}
	sigaddset(&set, SIGTSTP);
	sigaddset(&set, SIGCONT);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	r->signals = (struct loop_source){ .ready = signal_arrived, .ctx = r };
	r->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (r->signals.fd < 0)
		return err_sys(e, -errno, "cannot wait for signals");
	rc = loop_add(&r->loop, &r->signals, EPOLLIN);
	return rc < 0 ? err_sys(e, rc, "cannot wait for signals") : 0;
}

static int status_of(const struct run *r, enum stop_reason why, int value)
{
	switch (why) {
	case STOP_POWEROFF:
		return EXIT_POWEROFF;
	case STOP_RESET:
		return EXIT_RESET;
	case STOP_PANIC:
		log_error("the guest panicked");
		return EXIT_PANIC;
	case STOP_TRIPLE_FAULT:
		return EXIT_TRIPLE_FAULT;
	case STOP_KVM_ERROR:
		return EXIT_KVM_ERROR;
	case STOP_QUIT:
		return EXIT_QUIT;
	case STOP_TIMEOUT:
		return EXIT_TIMEOUT;
	case STOP_DEBUG_EXIT:
		return (r->opts.debug_exit_status == DEBUG_EXIT_QEMU ? value << 1 | 1 : value) & 0xff;
	case STOP_NONE:
	case STOP_HOST_ERROR:
		break;
	}
	return EXIT_HOST_ERROR;
}

static int run_machine(struct run *r, uint64_t main_ns, struct err *e)
{
	enum stop_reason why;
	int value, status, rc;

	rc = machine_init(&r->machine, &r->opts, &r->loop, main_ns, e);
	if (rc == 0) {
		if (run_options_use_stdio(&r->opts))
			terminal_make_raw(); /* last: everything above may still complain */
		rc = machine_run(&r->machine, &why, &value, e);
	}
	terminal_restore();
	status = rc == 0 ? status_of(r, why, value) : rc;
	machine_fini(&r->machine);
	return status;
}

static int run_help(void)
{
	printf("usage: trellis run --kernel FILE [OPTIONS]\n\n");
	opt_print_help(run_opts);
	printf("\nexit status: 0 powered off, 1 host error, 2 bad usage, 3 reset (--no-reboot), 4 guest panic,\n"
	       "5 triple fault (--no-reboot), 6 KVM error, 7 quit by Ctrl-a x, 8 no power-off in time;\n"
	       "with --debug-exit what the guest wrote\n");
	return 0;
}

/* Queues have two eventfds each, and rings: more than the usual soft limit may be open. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit); /* what cannot be opened then says so itself */
	}
}

/* All that is wrong, each in a line. */
static int run_check(struct run *r, struct err *e)
{
	struct notes problems = { .nr = 0 };
	int rc = 0;

	machine_check(&r->machine, &r->opts, false, &problems);
	machine_fini(&r->machine);
	if (problems.nr) {
		notes_to_err(&problems, e);
		rc = -EINVAL;
	}
	notes_fini(&problems);
	return rc;
}

int run_main(int argc, char *const *argv, struct err *e)
{
	static struct run run; /* large, mostly untouched, and there is one */
	struct run *r = &run;
	uint64_t main_ns = clock_now_ns();
	int rc;

	r->signals.fd = r->shutdown.fd = -1;
	rc = run_options_parse(&r->opts, argc, argv, e);
	if (rc == 0 && (r->opts.help || r->opts.cpu.list_models)) {
		rc = r->opts.help ? run_help() : cpu_options_list_models();
		goto out;
	}
	if (rc < 0)
		goto out;
	log_set_level((enum log_level)r->opts.log_level);
	if (r->opts.check) {
		rc = run_check(r, e);
		goto out;
	}
	raise_file_limit();
	if ((rc = loop_init(&r->loop, e)) < 0)
		goto out;
	if ((rc = signals_init(r, e)) == 0 &&
	    (rc = loop_timer_init(&r->loop, &r->shutdown, shutdown_expired, r, e)) == 0)
		rc = run_machine(r, main_ns, e);
	loop_timer_fini(&r->loop, &r->shutdown);
	if (r->signals.fd >= 0)
		close(r->signals.fd);
	loop_fini(&r->loop);
out:
	run_options_fini(&r->opts);
	return rc;
}
