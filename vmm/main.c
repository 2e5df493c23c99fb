/*
 * trellis: the command line's first word picks what is done. Errors are printed here and nowhere else.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "vmm/base/log.h"
#include "vmm/exit_status.h"
#include "vmm/host/host.h"
#include "vmm/options.h"
#include "vmm/run.h"
#include "vmm/view/view.h"

static int command_help(int argc, char *const *argv, struct err *e);
static int command_version(int argc, char *const *argv, struct err *e);
static int command_mdoc(int argc, char *const *argv, struct err *e);

/* A command returns an exit status, or a negative errno with a sentence in e. */
static const struct command {
	const char *name;
	const char *help;
	int (*main)(int argc, char *const *argv, struct err *e);
} commands[] = {
	{ "run", "boot a kernel in a virtual machine: trellis run --help", run_main },
	{ "topology", "show the processors a guest would be told of: trellis topology --help", topology_main },
	{ "host", "say what this computer can do for guests: trellis host --help", host_main },
	{ "help", "print this", command_help },
	{ "version", "print the version", command_version },
	{ "mdoc", NULL, command_mdoc }, /* for tools/manpage */
};

static int command_help(int argc, char *const *argv, struct err *e)
{
	(void)argc;
	(void)argv;
	(void)e;
	printf("usage: trellis COMMAND [OPTIONS]\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (commands[i].help)
			printf("  %-8s %s\n", commands[i].name, commands[i].help);
	printf("\nexample: trellis run --kernel vmlinuz --initrd initrd.img --append console=ttyS0 --cpus 4 --memory 1G\n"
	       "manual:  man trellis\n");
	return 0;
}

static int command_version(int argc, char *const *argv, struct err *e)
{
	(void)argc;
	(void)argv;
	(void)e;
	printf("trellis %s\n", TRELLIS_VERSION);
	return 0;
}

static int command_mdoc(int argc, char *const *argv, struct err *e)
{
	static const struct {
		const char *name;
		const struct opt *opts;
	} tables[] = { { "run", run_opts }, { "processors", cpu_opts }, { "devices", device_opts },
		    { "topology", topology_opts }, { "host", host_opts } };

	for (size_t i = 0; argc == 2 && i < ARRAY_SIZE(tables); i++)
		if (!strcmp(argv[1], tables[i].name)) {
			opt_print_mdoc(tables[i].opts);
			return 0;
		}
	return err_usage(e, "mdoc: whose options? expected run, processors, devices, topology or host");
}

/* Words that other programs take for the same. */
static const char *canonical(const char *word)
{
	if (!strcmp(word, "--help") || !strcmp(word, "-h"))
		return "help";
	if (!strcmp(word, "--version") || !strcmp(word, "-V"))
		return "version";
	return word;
}

static int run_command(int argc, char *const *argv, struct err *e)
{
	const char *word;

	if (argc < 2)
		return err_usage(e, "which command? try: trellis run --kernel FILE, or trellis help");
	word = canonical(argv[1]);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(word, commands[i].name))
			return commands[i].main(argc - 1, argv + 1, e);
	return err_usage(e, "unknown command '%s'; known are run, topology, host, help and version", argv[1]);
}

/* What we open must not become standard input or output by accident. */
static void fill_standard_fds(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		/* Who writes to an output that is closed is told so. */
		int flags = fd == STDOUT_FILENO ? O_RDONLY : O_RDWR;

		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", flags) < 0)
			return;
	}
}

int main(int argc, char **argv)
{
	struct err e = { 0 };
	int rc;

	fill_standard_fds();
	rc = run_command(argc, argv, &e);
	if (rc >= 0) {
		errno = 0;
		if (fflush(stdout) == 0 && !ferror(stdout))
			return rc;
		rc = err_sys(&e, errno ? -errno : -EIO, "cannot write to standard output");
	}
	log_error("%s", e.text);
	return e.usage ? EXIT_USAGE : EXIT_HOST_ERROR;
}
