/*
 * The options of `trellis run`: one table, and a parser for each kind of argument.
 */
#include "vmm/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/base/log.h"
#include "vmm/base/map.h"

static int set_string(char **target, const char *arg, struct err *e)
{
	free(*target);
	*target = strdup(arg);
	return *target ? 0 : err_set(e, -ENOMEM, "out of memory");
}

static int parse_kernel(void *config, const char *arg, struct err *e)
{
	struct run_options *o = config;

	if (!*arg)
		return err_usage(e, "--kernel: expected the path of a kernel file");
	return set_string(&o->kernel, arg, e);
}

static int parse_append(void *config, const char *arg, struct err *e)
{
	struct run_options *o = config;

	return set_string(&o->append, arg, e);
}

static const struct opt_key initrd_keys[] = {
	{ .name = "file", .value = "FILE", .kind = OPT_STRING, .offset = offsetof(struct initrd_option, path),
	  .positional = true },
	{ .name = "args", .value = "TEXT", .help = "command line of the Multiboot module", .kind = OPT_STRING,
	  .offset = offsetof(struct initrd_option, args) },
	{ 0 },
};

static int parse_initrd(void *config, const char *arg, struct err *e)
{
	struct run_options *o = config;

	if (o->nr_initrds == MAX_INITRDS)
		return err_usage(e, "--initrd: at most %d files can be given", MAX_INITRDS);
	return opt_parse_list("--initrd", arg, initrd_keys, &o->initrd[o->nr_initrds++], e);
}

static int parse_serial(void *config, const char *arg, struct err *e)
{
	struct run_options *o = config;

	if (o->nr_serials == MAX_SERIALS)
		return err_usage(e, "--serial: a machine has at most %d serial ports", MAX_SERIALS);
	return stream_option_parse(&o->serial[o->nr_serials++], "--serial", arg, e);
}

static int parse_timeout(void *config, const char *arg, struct err *e)
{
	struct run_options *o = config;
	uint64_t v;

	if (opt_parse_uint(arg, 0, 86400, &v) < 0)
		return err_usage(e, "--shutdown-timeout %s: expected seconds, 0 to 86400", arg);
	o->shutdown_timeout_s = (unsigned int)v;
	return 0;
}

static const char *const debug_exit_choices[] = { "value", "qemu", NULL };

static const struct opt_key debug_exit_keys[] = {
	{ .name = "port", .value = "PORT", .help = "where it is", .kind = OPT_UINT,
	  .offset = offsetof(struct run_options, debug_exit_port), .min = 0, .max = 0xfffc, .positional = true },
	{ .name = "status", .value = "value|qemu", .kind = OPT_CHOICE, .choices = debug_exit_choices,
	  .help = "exit status: the value, or (value << 1) | 1 (default value)",
	  .offset = offsetof(struct run_options, debug_exit_status) },
	{ 0 },
};

static int parse_debug_exit(void *config, const char *arg, struct err *e)
{
	struct run_options *o = config;

	o->debug_exit = true;
	return arg ? opt_parse_list("--debug-exit", arg, debug_exit_keys, o, e) : 0;
}

static int parse_name(void *config, const char *arg, struct err *e)
{
	struct run_options *o = config;

	if (!*arg || strlen(arg) > 64 || strspn(arg, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
						"._-") != strlen(arg))
		return err_usage(e, "--name '%s': expected 1 to 64 of letters, digits, '.', '_' and '-'", arg);
	return set_string(&o->name, arg, e);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int parse_uuid(void *config, const char *arg, struct err *e)
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	struct run_options *o = config;
	unsigned int nibble = 0;
	bool ok = strlen(arg) == sizeof(form) - 1;

	memset(o->uuid, 0, sizeof(o->uuid));
	for (size_t i = 0; ok && form[i]; i++) {
		int digit = hex_digit(arg[i]);

		if (form[i] == '-') {
			ok = arg[i] == '-';
			continue;
		}
		ok = digit >= 0;
		if (ok)
			o->uuid[nibble / 2] |= (uint8_t)(nibble % 2 ? digit : digit << 4);
		nibble++;
	}
	if (!ok)
		return err_usage(e, "--uuid %s: expected 32 hexadecimal digits as %s", arg, form);
	return 0;
}

static int parse_log(void *config, const char *arg, struct err *e)
{
	static const char *const words[] = {
		[LOG_ERROR] = "error", [LOG_WARN] = "warn", [LOG_INFO] = "info", [LOG_DEBUG] = "debug",
	};
	struct run_options *o = config;

	for (int i = LOG_ERROR; i <= LOG_DEBUG; i++)
		if (!strcmp(arg, words[i])) {
			o->log_level = i;
			return 0;
		}
	return err_usage(e, "--log %s: expected error, warn, info or debug", arg);
}

#define FLAG(field) .flag = offsetof(struct run_options, field)

const struct opt run_opts[] = {
	{ .name = "kernel", .arg = "FILE", .parse = parse_kernel,
	  .help = "What to boot: a Linux bzImage, an ELF kernel (vmlinux; with a PVH note or without), or a Multiboot 1 "
		  "kernel." },
	{ .name = "initrd", .arg = "FILE[,args=TEXT]", .parse = parse_initrd, .keys = initrd_keys,
	  .help = "An initial RAM disk. Given more than once, Linux gets them joined in this order; a Multiboot kernel "
		  "gets each as a module. A comma inside a value is written twice, here and everywhere." },
	{ .name = "append", .arg = "TEXT", .parse = parse_append, .help = "The kernel's command line." },
	{ .name = "processors", .group = cpu_opts, FLAG(cpu) },
	{ .name = "serial", .arg = "stdio|none|file:PATH|pty|unix:PATH", .parse = parse_serial,
	  .help = "Where a serial port leads; the first is COM1's (default stdio), the next COM2's, up to COM4. "
		  "Standard input and output are the console: Ctrl-a x quits, Ctrl-a h lists the other keys. file: "
		  "empties the file. unix: listens at a socket. pty: prints the name of a terminal." },
	{ .name = "devices", .group = device_opts, FLAG(devices) },
	{ .name = "no-reboot", FLAG(no_reboot), .help = "Exit when the guest resets itself, instead of booting it again." },
	{ .name = "shutdown-timeout", .arg = "SECONDS", .parse = parse_timeout,
	  .help = "How long a guest may take to power off after SIGTERM, SIGINT or SIGHUP has pressed its power button "
		  "(default 60). A second signal ends it at once." },
	{ .name = "debug-exit", .arg = "PORT[,status=value|qemu]", .parse = parse_debug_exit, .keys = debug_exit_keys,
	  .optional = true,
	  .help = "Add the isa-debug-exit device, at port 0xf4 unless another is given: what the guest writes there "
		  "becomes the exit status." },
	{ .name = "test-device", FLAG(test_device),
	  .help = "Add a PCI device for testing interrupts and DMA, with the registers of QEMU's edu device." },
	{ .name = "name", .arg = "NAME", .parse = parse_name,
	  .help = "The machine's name, for SMBIOS and messages (default trellis)." },
	{ .name = "uuid", .arg = "UUID", .parse = parse_uuid, .help = "The machine's UUID, for SMBIOS." },
	{ .name = "log", .arg = "error|warn|info|debug", .parse = parse_log,
	  .help = "How much to say on standard error (default info)." },
	{ .name = "timing", FLAG(timing),
	  .help = "Print where the start-up time went when the guest first writes to port 0x80." },
	{ .name = "stats", FLAG(stats),
	  .help = "Print KVM's statistics of the machine when it ends, among them how many pages of which size it mapped "
		  "(pages_4k, pages_2m, pages_1g)." },
	{ .name = "check", FLAG(check), .help = "Check options and files, print every problem, and exit without starting anything; 'trellis host "
		  "--check' looks at this computer, too." },
	{ .name = "help", .alias = "h", FLAG(help), .help = "Print this list." },
	{ 0 },
};

/* Ports that want the terminal. */
static unsigned int nr_stdio_ports(const struct run_options *o)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < o->nr_serials; i++)
		n += o->serial[i].mode == STREAM_STDIO;
	for (unsigned int i = 0; i < o->devices.nr_consoles; i++)
		n += o->devices.console[i].stream.mode == STREAM_STDIO;
	return n;
}

bool run_options_use_stdio(const struct run_options *o)
{
	return nr_stdio_ports(o) > 0;
}

static int check_balloon(const struct run_options *o, struct err *e)
{
	if (!o->devices.balloon.present)
		return 0;
	if (o->devices.balloon.free_page_reporting && (o->cpu.memory.hugepages || o->cpu.memory.path))
		return err_usage(e, "--balloon free-page-reporting=on and --memory %s cannot be had together: the guest takes reported "
				    "pages back without asking, and the pool may be empty; leave one of them out",
				 o->cpu.memory.hugepages ? "hugepages=" : "path=");
	for (unsigned int i = 0; i < o->devices.nr_disks; i++)
		if (o->devices.disk[i].fixed_buffers)
			return err_usage(e, "--disk %s: fixed-buffers=on keeps all of the guest's memory resident, so --balloon could "
					    "give nothing back; leave one of them out", o->devices.disk[i].path);
	return 0;
}

/* What only the whole of the options can tell. */
static int check_options(const struct run_options *o, struct err *e)
{
	unsigned int stdio = nr_stdio_ports(o);
	int rc;

	if (!o->kernel)
		return err_usage(e, "--kernel is missing: give the kernel to boot, e.g. trellis run --kernel vmlinuz "
				    "--append console=ttyS0");
	if (stdio > 1)
		return err_usage(e, "stdio is there %u times in --serial and --console; only one port can have the terminal",
				 stdio);
	rc = check_balloon(o, e);
	return rc < 0 ? rc : device_options_check(&o->devices, o->test_device, e);
}

int run_options_parse(struct run_options *o, int argc, char *const *argv, struct err *e)
{
	int rc;

	*o = (struct run_options){
		.shutdown_timeout_s = 60,
		.debug_exit_port = PORT_DEBUG_EXIT,
		.log_level = LOG_INFO,
	};
	cpu_options_init(&o->cpu);
	if ((rc = set_string(&o->append, "", e)) < 0 || (rc = set_string(&o->name, "trellis", e)) < 0)
		return rc;
	rc = opt_parse_args(run_opts, argc, argv, o, e);
	if (rc < 0 || o->help || o->cpu.list_models)
		return rc;
	if (!o->nr_serials) /* COM1 is always there; a virtio console may have the terminal instead */
		o->serial[o->nr_serials++].mode = nr_stdio_ports(o) ? STREAM_NONE : STREAM_STDIO;
	return check_options(o, e);
}

void run_options_fini(struct run_options *o)
{
	cpu_options_fini(&o->cpu);
	device_options_fini(&o->devices);
	free(o->kernel);
	free(o->append);
	free(o->name);
	for (unsigned int i = 0; i < o->nr_initrds; i++)
		opt_free(initrd_keys, &o->initrd[i]);
	for (unsigned int i = 0; i < o->nr_serials; i++)
		free(o->serial[i].path);
	*o = (struct run_options){ 0 };
}
