/*
 * `trellis host`: the report, or (--check) whether exactly this guest would start here. What follows --check are the
 * options of `trellis run`, word for word, so that a line that is to run can be tried first.
 */
#include <errno.h>
#include <stdlib.h>

#include "vmm/base/log.h"
#include "vmm/exit_status.h"
#include "vmm/host/host.h"
#include "vmm/machine.h"

struct host_options {
	bool json, help;
};

#define FLAG(field) .flag = offsetof(struct host_options, field)

/* Never called with the word itself: host_main() cuts the line there. */
static int parse_check(void *config, const char *arg, struct err *e)
{
	(void)config;
	return err_usage(e,
			 "--check=%s: the options of trellis run follow as words of their own, e.g. trellis "
			 "host --check "
			 "--kernel vmlinuz --memory 4G",
			 arg ? arg : "");
}

const struct opt host_opts[] = {
	{ .name = "json", FLAG(json), .help = "Print the same as one JSON object, for programs." },
	{ .name = "check",
	  .arg = "RUN OPTIONS",
	  .optional = true,
	  .parse = parse_check,
	  .help = "Say whether exactly this guest would start on this computer, now, or every reason why "
		  "not, each with what "
		  "mends it. All that follows are options of trellis run, so --json goes in front. Nothing "
		  "is "
		  "started or changed. The exit status is 0 when it would start, else 1." },
	{ .name = "help", .alias = "h", FLAG(help), .help = "Print this list." },
	{ 0 },
};

static int help(void)
{
	printf("usage: trellis host [--json]\n"
	       "       trellis host [--json] --check [OPTIONS OF trellis run]\n\n"
	       "Prints what this computer can do for guests: KVM, processor, memory, devices, limits. "
	       "Changes nothing.\n\n");
	opt_print_help(host_opts);
	return 0;
}

/* argv[0] is "run". Returns an exit status. */
static int check_guest(int argc, char *const *argv, bool json)
{
	static struct machine machine; /* large, mostly untouched, and there is one */
	struct notes problems = { .nr = 0 };
	struct run_options opts;
	struct err e = { 0 };
	int rc = run_options_parse(&opts, argc, argv, &e);

	if (rc == 0 && (opts.help || opts.cpu.list_models)) {
		rc = opts.help ? help() : cpu_options_list_models();
		run_options_fini(&opts);
		return rc;
	}
	if (rc < 0) {
		notes_add_err(&problems, &e);
	} else {
		log_set_level((enum log_level)opts.log_level);
		machine_check(&machine, &opts, true, &problems);
		machine_fini(&machine);
	}
	(json ? host_check_json : host_check_text)(&problems, stdout);
	rc = problems.nr ? EXIT_HOST_ERROR : 0;
	notes_fini(&problems);
	run_options_fini(&opts);
	return rc;
}

static int report(bool json, struct err *e)
{
	struct host_report *r = calloc(1, sizeof(*r));
	int rc = r ? host_collect(r, "", e) : err_set(e, -ENOMEM, "out of memory for a report on this host");

	if (rc == 0)
		(json ? host_print_json : host_print_text)(r, stdout);
	if (r)
		host_fini(r);
	free(r);
	return rc;
}

/* Where the options of `trellis run` begin: the index of --check, or argc. */
static int find_check(int argc, char *const *argv)
{
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], "--check") || !strcmp(argv[i], "-check"))
			return i;
	return argc;
}

int host_main(int argc, char *const *argv, struct err *e)
{
	struct host_options o = { .json = false };
	int ours = find_check(argc, argv), rc = opt_parse_args(host_opts, ours, argv, &o, e);
	char **theirs;

	if (rc < 0)
		return rc;
	if (o.help)
		return help();
	if (ours == argc)
		return report(o.json, e);
	theirs = calloc((size_t)(argc - ours) + 1, sizeof(*theirs));
	if (!theirs)
		return err_set(e, -ENOMEM, "out of memory");
	memcpy(theirs, argv + ours, (size_t)(argc - ours) * sizeof(*theirs));
	theirs[0] = (char[]){ "run" }; /* for messages */
	rc = check_guest(argc - ours, theirs, o.json);
	free(theirs);
	return rc;
}
