/*
 * What a user asks of `trellis run`, parsed and checked; no KVM, no device.
 */
#ifndef TRELLIS_OPTIONS_H
#define TRELLIS_OPTIONS_H

#include "vmm/base/opt.h"
#include "vmm/cpu/cpu_options.h"
#include "vmm/device_options.h"

enum { MAX_INITRDS = 16, MAX_SERIALS = 4 };

struct initrd_option {
	char *path; /* owned */
	char *args; /* owned, may be NULL; for Multiboot modules */
};

enum debug_exit_status { DEBUG_EXIT_VALUE, DEBUG_EXIT_QEMU };

struct run_options {
	char *kernel;                  /* owned, like all strings here */
	struct initrd_option initrd[MAX_INITRDS];
	unsigned int nr_initrds;
	char *append;
	struct cpu_options cpu;        /* processors and memory */
	struct stream_option serial[MAX_SERIALS];
	unsigned int nr_serials;
	struct device_options devices; /* disks, interfaces, consoles, balloon, entropy, monitor */
	bool no_reboot;
	unsigned int shutdown_timeout_s;
	bool debug_exit;
	unsigned int debug_exit_port;
	int debug_exit_status;         /* enum debug_exit_status */
	bool test_device;
	char *name;
	uint8_t uuid[16];
	int log_level;                 /* enum log_level */
	bool timing;
	bool stats;
	bool check;                    /* only check, start nothing */
	bool help;
};

/* The table of `trellis run`. */
extern const struct opt run_opts[];

/*
 * Parse argv[1...] with defaults filled in, and check what can be checked without the host.
 * Returns 0 or -EINVAL (usage) with a sentence. run_options_fini() is safe either way.
 */
MUST_CHECK int run_options_parse(struct run_options *o, int argc, char *const *argv, struct err *e);
void run_options_fini(struct run_options *o);

/* Does a port of the machine lead to standard input and output? */
bool run_options_use_stdio(const struct run_options *o);

#endif
