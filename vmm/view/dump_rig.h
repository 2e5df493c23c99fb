/*
 * For the tests of dumps and analyses only: processors made from options as `trellis topology` makes them, on a host
 * that is always the same.
 */
#ifndef TRELLIS_VIEW_DUMP_RIG_H
#define TRELLIS_VIEW_DUMP_RIG_H

#include <check.h>
#include <dirent.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "vmm/cpu/cpuid_internal.h"
#include "vmm/view/leaves.h"
#include "vmm/view/view.h"

enum { RIG_ARGS = 16, RIG_TEXT = 1 << 20 };

static struct processors p;
static struct cpu_options opts;
static struct err e;
static char *text; /* what a view printed */

static inline void rig_put(struct cpuid_table *t, uint32_t leaf, int index, uint32_t eax, uint32_t ebx,
			   uint32_t ecx, uint32_t edx)
{
	struct kvm_cpuid_entry2 *c = cpuid_add(t, leaf, index);

	ck_assert_ptr_nonnull(c);
	c->eax = eax;
	c->ebx = ebx;
	c->ecx = ecx;
	c->edx = edx;
}

static inline void rig_caches(struct cpuid_table *t, uint32_t leaf)
{
	rig_put(t, leaf, 0, 0x121, 7u << 22 | 63, 63, 0);
	rig_put(t, leaf, 1, 0x122, 7u << 22 | 63, 63, 0);
	rig_put(t, leaf, 2, 0x143, 7u << 22 | 63, 1023, 0);
	rig_put(t, leaf, 3, 0x163, 15u << 22 | 63, 16383, 0);
	rig_put(t, leaf, 4, 0, 0, 0, 0);
}

static inline void rig_host(struct cpuid_table *t, bool amd)
{
	t->nent = 0;
	rig_put(t, 0, -1, amd ? 0x10 : 0x1f, amd ? 0x68747541 : 0x756e6547, amd ? 0x444d4163 : 0x6c65746e,
		amd ? 0x69746e65 : 0x49656e69);
	rig_put(t, 1, -1, amd ? 0xa20f12 : 0x806f8, 0x800, 0x80202001, 0x0f8bfbff);
	rig_put(t, 7, 0, 0, 0, 0, 0);
	rig_put(t, 0xb, 0, 0, 0, 0, 0);
	if (!amd) {
		rig_caches(t, 4);
		rig_put(t, 0x1f, 0, 0, 0, 0, 0);
	}
	rig_put(t, 0x40000000, -1, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d);
	rig_put(t, 0x40000001, -1, 0x01007efb, 0, 0, 0);
	rig_put(t, 0x80000000, -1, amd ? 0x80000021 : 0x80000008, 0, 0, 0);
	rig_put(t, 0x80000001, -1, amd ? 0xa20f12 : 0, 0, amd ? 0x400007 : 0x121, 0x2c100800);
	if (amd) {
		rig_put(t, 0x80000005, -1, 0, 0, 0x20080140, 0x20080140);
		rig_put(t, 0x80000006, -1, 0, 0, 0x02006140, 0x01009140);
	}
	rig_put(t, 0x80000008, -1, 0x302e, 0, 0, 0);
	if (amd) {
		rig_caches(t, 0x8000001d);
		rig_put(t, 0x8000001e, -1, 0, 0, 0, 0);
	}
}

/* line: options as on a command line, separated by blanks. */
static inline void rig_make(bool amd, const char *line)
{
	static struct cpuid_table table;
	const struct model_host host = { .table = &table, .tsc_deadline = true };
	static char words[512], name[] = "test";
	char *argv[RIG_ARGS] = { name }, *save;
	int argc = 1;

	snprintf(words, sizeof(words), "%s", line);
	for (char *w = strtok_r(words, " ", &save); w && argc < RIG_ARGS; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	processors_fini(&p);
	cpu_options_fini(&opts);
	cpu_options_init(&opts);
	rig_host(&table, amd);
	ck_assert_msg(opt_parse_args(cpu_opts, argc, argv, &opts, &e) == 0, "%s", e.text);
	ck_assert_msg(processors_init(&p, &opts, &host, true, &e) == 0, "%s", e.text);
}

/* Run a view that prints, and keep the text. Returns what it returned. */
static inline int rig_print(int (*view)(struct processors *procs, FILE *out, struct err *err))
{
	size_t len;
	FILE *f;
	int rc;

	free(text);
	f = open_memstream(&text, &len);
	ck_assert_ptr_nonnull(f);
	rc = view(&p, f, &e);
	ck_assert_int_eq(fclose(f), 0);
	return rc;
}

static inline bool has(const char *part)
{
	return strstr(text, part) != NULL;
}

static inline void rig_teardown(void)
{
	processors_fini(&p);
	cpu_options_fini(&opts);
	free(text);
	text = NULL;
}

#endif
