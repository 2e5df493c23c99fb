/*
 * `trellis topology`: options, what the processors come to, and which view of them is printed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
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
	  .help = "Where to write it: a file, or for hwloc and acpi a directory (default standard output)." },
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

/* What the processors would run on: KVM if it can be asked, else this machine's CPUID instruction. */
static void host_read(struct model_host *host, struct cpuid_table *table)
{
	struct err ignored;
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	*host = (struct model_host){ .table = table, .tsc_deadline = true };
	host->is_kvm = fd >= 0 && cpuid_read_kvm(fd, table, &ignored) == 0;
	if (fd >= 0)
		close(fd);
	if (host->is_kvm)
		host->ring0_interpreted = cpuid_ring0_interpreted();
	else
		cpuid_read_instruction(table);
}

static unsigned int columns(void)
{
	struct winsize w;

	return ioctl(STDOUT_FILENO, (int)TIOCGWINSZ, &w) == 0 && w.ws_col >= 40 ? w.ws_col : 80;
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

/* A file is written when all of it is there, so that an error leaves the old one alone. */
static int write_out(const char *path, const char *text, size_t len, struct err *e)
{
	FILE *f = path ? fopen(path, "we") : stdout;
	bool ok;

	if (!f)
		return err_sys(e, -errno, "--output %s", path);
	ok = fwrite(text, 1, len, f) == len;
	ok &= (path ? fclose(f) : fflush(f)) == 0;
	return ok ? 0 : err_sys(e, -errno, path ? "--output %s" : "cannot write to standard output", path);
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
	for (unsigned int i = 0; i < p->notes.nr; i++)
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
		host_read(&host, table);
		from_ns = clock_now_ns();
		rc = processors_init(&p, &o->cpu, &host, true, e);
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
	return 0;
}

int topology_main(int argc, char *const *argv, struct err *e)
{
	struct topology_options o = { .format = FORMAT_DRAWING };
	int rc;

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
