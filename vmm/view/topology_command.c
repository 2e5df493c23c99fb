/*
 * `trellis topology`: options, what the processors come to, and which view of them is printed.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/log.h"
#include "vmm/base/loop.h"
#include "vmm/tables.h"
#include "vmm/view/view.h"

enum format { FORMAT_DRAWING, FORMAT_TABLE, FORMAT_JSON, FORMAT_CPUID, FORMAT_HWLOC, FORMAT_DOT, FORMAT_SVG, FORMAT_ACPI };

static const char *const formats[] = { "drawing", "table", "json", "cpuid", "hwloc", "dot", "svg", "acpi" };

struct topology_options {
	struct cpu_options cpu;
	bool format_said;
	int format;                     /* enum format */
	char *output;                   /* owned, like all here; or NULL */
	char *os, *compare;
	bool explain, timing, help;
};

static int set_string(char **target, const char *option, const char *arg, struct err *e)
{
	if (!*arg)
		return err_usage(e, "%s: expected a value", option);
	free(*target);
	*target = strdup(arg);
	return *target ? 0 : err_set(e, -ENOMEM, "out of memory");
}

static int parse_format(void *config, const char *arg, struct err *e)
{
	struct topology_options *o = config;

	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		if (!strcmp(arg, formats[i])) {
			o->format = (int)i;
			o->format_said = true;
			return 0;
		}
	return err_usage(e, "--format %s: expected drawing, table, json, cpuid, hwloc, dot, svg or acpi", arg);
}

static int parse_output(void *config, const char *arg, struct err *e)
{
	return set_string(&((struct topology_options *)config)->output, "--output", arg, e);
}

static int parse_os(void *config, const char *arg, struct err *e)
{
	return set_string(&((struct topology_options *)config)->os, "--os", arg, e);
}

static int parse_compare(void *config, const char *arg, struct err *e)
{
	return set_string(&((struct topology_options *)config)->compare, "--compare", arg, e);
}

#define FLAG(field) .flag = offsetof(struct topology_options, field)

const struct opt topology_opts[] = {
	{ .name = "format", .arg = "drawing|table|json|cpuid|hwloc|dot|svg|acpi", .parse = parse_format,
	  .help = "What to print: a drawing and a table (default), the table alone, JSON, the registers as 'cpuid -f' reads "
		  "them, a directory that lstopo loads, Graphviz, a picture, or the ACPI tables MADT, SRAT, SLIT and HMAT." },
	{ .name = "output", .arg = "PATH", .parse = parse_output,
	  .help = "Where to write it: a file (- is standard output, the default), or for hwloc and acpi a directory." },
	{ .name = "explain", FLAG(explain),
	  .help = "For each level, which CPUID leaf and which bits tell it, and what Linux before and since 6.9, hwloc and "
		  "Windows make of them." },
	{ .name = "os", .arg = "NAME", .parse = parse_os,
	  .help = "How many of these vCPUs an operating system would use (windows-7, windows-10-home, "
		  "windows-server-2008r2-standard, ...; 'list' names all), and the shape to choose instead." },
	{ .name = "compare", .arg = "FILE", .parse = parse_compare,
	  .help = "The differences from a raw dump (cpuid -r) of a guest or a real machine, level by level; the exit status is "
		  "1 when something that matters differs." },
	{ .name = "timing", FLAG(timing),
	  .help = "Print how long it took to work the processors out and to check them." },
	{ .name = "processors", .group = cpu_opts, FLAG(cpu) },
	{ .name = "help", .alias = "h", FLAG(help), .help = "Print this list." },
	{ 0 },
};

static int help(void)
{
	printf("usage: trellis topology [OPTIONS]\n\nPrints what a guest would be told of its processors; starts nothing.\n\n");
	opt_print_help(topology_opts);
	return 0;
}

static unsigned int columns(void)
{
	struct winsize w = { .ws_col = 0 };
	const char *said = getenv("COLUMNS");
	uint64_t v = 0;

	if (ioctl(STDOUT_FILENO, (int)TIOCGWINSZ, &w) < 0 && said && opt_parse_uint(said, 1, UINT16_MAX, &v) < 0)
		v = 0;
	v = w.ws_col ? w.ws_col : v;
	return v ? MAX((unsigned int)v, 40u) : 80;
}

static int print_format(const struct topology_options *o, struct processors *p, FILE *out, struct err *e)
{
	switch (o->format) {
	case FORMAT_TABLE:
		return view_table(p, out, e);
	case FORMAT_JSON:
		return view_json(p, out, e);
	case FORMAT_CPUID:
		return view_cpuid(p, out, e);
	case FORMAT_DOT:
		return view_dot(p, out, e);
	case FORMAT_SVG:
		return view_svg(p, out, e);
	case FORMAT_HWLOC:
		return view_hwloc(p, o->output, e);
	case FORMAT_ACPI:
		return view_acpi(p, o->output, e);
	default:
		return view_drawing(p, out, columns(), e);
	}
}

/* All that was asked for, into one stream. Returns 1 when --compare found a difference. */
static int print_views(const struct topology_options *o, struct processors *p, FILE *out, struct err *e)
{
	bool analysis = o->explain || o->os || o->compare;
	int rc = 0, differs = 0;

	if (o->format_said || !analysis)
		rc = print_format(o, p, out, e);
	if (rc == 0 && o->explain)
		rc = view_explain(p, out, e);
	if (rc == 0 && o->os)
		rc = view_os(p, o->os, out, e);
	if (rc == 0 && o->compare) {
		differs = view_compare(p, o->compare, out, e);
		rc = MIN(differs, 0);
	}
	return rc < 0 ? rc : differs;
}

static int write_stream(FILE *f, const char *text, size_t len, const char *name, struct err *e)
{
	errno = 0;
	if (fwrite(text, 1, len, f) == len && fflush(f) == 0)
		return 0;
	return err_sys(e, errno ? -errno : -EIO, "%s", name);
}

/* As write_stream(), into a file beside the old one, which it replaces when all of it is there. */
static int replace_file(const char *path, const struct stat *old, const char *text, size_t len, struct err *e)
{
	char *real = old ? realpath(path, NULL) : strdup(path), *temporary = NULL;
	mode_t mask = umask(0);
	FILE *f = NULL;
	int fd = -1, rc = 0;

	umask(mask);
	if (real && asprintf(&temporary, "%s.XXXXXX", real) < 0)
		temporary = NULL;
	fd = temporary ? mkostemp(temporary, O_CLOEXEC) : -1;
	if (fd < 0 || fchmod(fd, old ? old->st_mode & 0777 : 0666 & ~mask) < 0 || !(f = fdopen(fd, "w")))
		rc = err_sys(e, -errno, "--output %s", path);
	else
		rc = write_stream(f, text, len, path, e);
	if (f && fclose(f) != 0 && rc == 0)
		rc = err_sys(e, -errno, "--output %s", path);
	else if (!f && fd >= 0)
		close(fd);
	if (rc == 0 && rename(temporary, real) < 0)
		rc = err_sys(e, -errno, "--output %s", path);
	if (rc < 0 && fd >= 0)
		unlink(temporary);
	free(temporary);
	free(real);
	return rc;
}

/* path NULL or "-": standard output. What is no regular file, such as a pipe, is written to directly. */
static int write_out(const char *path, const char *text, size_t len, struct err *e)
{
	struct stat st;
	bool there;
	FILE *f;
	int rc;

	if (!path || !strcmp(path, "-"))
		return write_stream(stdout, text, len, "cannot write to standard output", e);
	there = stat(path, &st) == 0;
	if (!there || S_ISREG(st.st_mode))
		return replace_file(path, there ? &st : NULL, text, len, e);
	f = fopen(path, "we");
	if (!f)
		return err_sys(e, -errno, "--output %s", path);
	rc = write_stream(f, text, len, path, e);
	fclose(f);
	return rc;
}

/* Does what is printed depend on this very host, so that remarks about it are of interest? */
static bool for_people(const struct topology_options *o)
{
	return !o->os && !o->compare && (o->explain || o->format == FORMAT_DRAWING || o->format == FORMAT_TABLE);
}

static void tell(const struct topology_options *o, struct processors *p, uint64_t from_ns)
{
	uint64_t made_ns = clock_now_ns();
	struct findings f = { .nr = 0 };

	check_cpuid(p, &f);
	tables_check(p, &f);
	if (o->timing)
		log_info("timing us: made=%llu check=%llu", (unsigned long long)((made_ns - from_ns) / 1000),
			 (unsigned long long)((clock_now_ns() - made_ns) / 1000));
	for (unsigned int i = 0; for_people(o) && i < p->notes.nr; i++)
		log_info("%s", p->notes.text[i]);
	findings_log(&f);
	findings_fini(&f);
}

static int show(const struct topology_options *o, struct err *e)
{
	struct cpuid_table *table = calloc(1, sizeof(*table));
	struct processors p = { 0 };
	struct model_host host;
	uint64_t from_ns = 0;
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	int rc = table && out ? 0 : err_set(e, -ENOMEM, "out of memory");

	if (rc == 0) {
		from_ns = clock_now_ns();
		rc = processors_shape(&p, &o->cpu, e);
	}
	if (rc == 0) {
		model_host_read(&host, table, &p.notes);
		rc = processors_complete(&p, &host, true, e);
	}
	if (rc == 0) {
		tell(o, &p, from_ns);
		rc = print_views(o, &p, out, e);
	}
	if (out && fclose(out) != 0 && rc >= 0)
		rc = err_set(e, -ENOMEM, "out of memory");
	if (rc >= 0) {
		bool directory = o->format == FORMAT_HWLOC || o->format == FORMAT_ACPI;
		int written = write_out(directory ? NULL : o->output, text, len, e);

		rc = written < 0 ? written : rc;
	}
	free(text);
	free(table);
	processors_fini(&p);
	return rc;
}

static int check_options(const struct topology_options *o, struct err *e)
{
	if ((o->format == FORMAT_HWLOC || o->format == FORMAT_ACPI) && !o->output)
		return err_usage(e, "--format %s writes several files: say where, with --output DIRECTORY", formats[o->format]);
	if (o->format != FORMAT_DRAWING && o->format != FORMAT_TABLE && (o->explain || o->os || o->compare))
		return err_usage(e, "--format %s is for programs, which --explain, --os and --compare would confuse: ask for them apart",
				 formats[o->format]);
	return 0;
}

int topology_main(int argc, char *const *argv, struct err *e)
{
	struct topology_options o = { .format = FORMAT_DRAWING };
	int rc;

	signal(SIGXFSZ, SIG_IGN); /* writes say EFBIG */
	cpu_options_init(&o.cpu);
	rc = opt_parse_args(topology_opts, argc, argv, &o, e);
	if (rc == 0 && o.help)
		rc = help();
	else if (rc == 0 && o.cpu.list_models)
		rc = cpu_options_list_models();
	else if (rc == 0 && (rc = check_options(&o, e)) == 0)
		rc = show(&o, e);
	cpu_options_fini(&o.cpu);
	free(o.output);
	free(o.os);
	free(o.compare);
	return rc;
}
