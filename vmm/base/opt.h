/*
 * Options: one table drives parsing, --help, defaults and the man page (style R21). Two levels: an
 * option of the command line (struct opt), and the key=value list that is its argument (struct opt_key).
 */
#ifndef TRELLIS_BASE_OPT_H
#define TRELLIS_BASE_OPT_H

#include "vmm/base/base.h"
#include "vmm/base/err.h"

enum opt_kind {
	OPT_UINT,    /* unsigned int; min to max */
	OPT_SIZE,    /* uint64_t bytes; suffixes K M G T; a bare number counts MiB; min to max */
	OPT_BYTES,   /* as OPT_SIZE, but a bare number counts bytes: rates, not memory */
	OPT_BOOL,    /* bool; on or off, and the bare key means on */
	OPT_CHOICE,  /* int: the index in choices[] */
	OPT_STRING,  /* char *; owned by the target, freed with opt_free() */
	OPT_STRINGS, /* struct opt_strings; the key may be given several times */
};

enum { OPT_MAX_STRINGS = 32 };

struct opt_strings {
	char *text[OPT_MAX_STRINGS]; /* owned by the target, freed with opt_free() */
	unsigned int nr;
};

/* One key of a list. The first key of a table may be positional: `--cpus 4` is `--cpus cpus=4`. */
struct opt_key {
	const char *name;
	const char *alias;             /* another spelling that hands know, or NULL: QEMU's maxcpus */
	const char *value;             /* what to write, e.g. "N"; for help */
	const char *help;              /* one line */
	enum opt_kind kind;
	size_t offset;                 /* of the target inside the caller's struct */
	uint64_t min, max;
	const char *const *choices;    /* ends with NULL */
	bool positional;
};

/* One option. All tables end with an entry whose name is NULL. */
struct opt {
	const char *name;              /* without the dashes */
	const char *alias;             /* other spellings that hands know, without the dash, or NULL: "smp" */
	const char *arg;               /* what to write, e.g. "N[,max=M]"; NULL: a flag without argument */
	const char *help;              /* text, wrapped by the printer */
	int (*parse)(void *config, const char *arg, struct err *e); /* NULL: a flag, which sets a bool */
	const struct opt_key *keys;    /* for help, may be NULL */
	size_t flag;                   /* of a flag: the bool's offset inside config; of a group: its config's */
	const struct opt *group;       /* not an option, but another table, whose options come here */
	bool optional;                 /* the argument may be missing: parse gets NULL */
};

/*
 * Parse "value,key=value,..." into base by the table. A comma inside a value is written twice (as for
 * QEMU). Unknown keys, repeated keys, trailing text and values out of range are errors that say what
 * would be accepted.
 * option  for messages, e.g. "--cpus"
 * Returns 0, or -EINVAL (usage) with a sentence; -ENOMEM. Targets may be half written on failure.
 */
MUST_CHECK int opt_parse_list(const char *option, const char *arg, const struct opt_key *keys, void *base,
			      struct err *e);

/* Free the strings that opt_parse_list() stored, and clear them. */
void opt_free(const struct opt_key *keys, void *base);

/*
 * Parse argv[1..argc-1] by the table; argv[0] is the command's word, for messages. "--name value", "--name=value", and one dash for aliases.
 * Returns 0, or -EINVAL (usage) with a sentence. Operands are errors; "--" ends the options.
 */
MUST_CHECK int opt_parse_args(const struct opt *opts, int argc, char *const *argv, void *config, struct err *e);

/* Parse one number or size on its own, by the rules of OPT_UINT, OPT_SIZE and OPT_BYTES. */
MUST_CHECK int opt_parse_uint(const char *text, uint64_t min, uint64_t max, uint64_t *out);
MUST_CHECK int opt_parse_size(const char *text, uint64_t min, uint64_t max, uint64_t *out);
MUST_CHECK int opt_parse_bytes(const char *text, uint64_t min, uint64_t max, uint64_t *out);

/* "512M" for 512 MiB; buf at least 24 bytes. Returns buf. */
const char *opt_size_text(uint64_t bytes, char *buf, size_t len);

/*
 * Print the table for --help (columns, wrapped, groups included), or as man page source (mdoc list items, groups left
 * out).
 */
void opt_print_help(const struct opt *opts);
void opt_print_mdoc(const struct opt *opts);

#endif
