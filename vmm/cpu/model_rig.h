/*
 * For the tests of models: hosts to build processors on, and questions about what came out.
 */
#ifndef TRELLIS_CPU_MODEL_RIG_H
#define TRELLIS_CPU_MODEL_RIG_H

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/cpu/cpuid_internal.h"
#include "vmm/cpu/model.h"

static struct cpuid_table host_table, out;
static struct model_host host;
static struct model_spec spec;
static struct notes notes;
static struct err e;

/* A host whose KVM supports all that a described model has. */
static inline void host_is(const char *model)
{
	static struct cpuid_table nothing, made;
	const struct model_host nowhere = { .table = &nothing };
	struct notes n = { 0 };
	struct model_spec s;

	ck_assert_int_eq(model_spec_parse(&s, model, &e), 0);
	ck_assert_int_eq(model_build(&s, &nowhere, true, &made, &n, &e), 0);
	notes_fini(&n);
	host_table = made;
	host = (struct model_host){ .table = &host_table, .is_kvm = true, .tsc_deadline = true };
}

static inline int build(const char *arg, bool describe)
{
	int rc = model_spec_parse(&spec, arg, &e);

	notes_fini(&notes);
	ck_assert_msg(rc == 0, "%s: %s", arg, e.text);
	return model_build(&spec, &host, describe, &out, &notes, &e);
}

static inline void must_build(const char *arg)
{
	int rc = build(arg, false);

	ck_assert_msg(rc == 0, "%s: %s", arg, e.text);
}

static inline void must_describe(const char *arg)
{
	int rc = build(arg, true);

	ck_assert_msg(rc == 0, "%s: %s", arg, e.text);
}

static inline bool has(const char *name)
{
	const struct feature *f = feature_find(name);

	ck_assert_ptr_nonnull(f);
	return feature_get(&out, f);
}

static inline struct kvm_cpuid_entry2 reg(uint32_t leaf, uint32_t index)
{
	const struct kvm_cpuid_entry2 *c = cpuid_get(&out, leaf, index);

	return c ? *c : (struct kvm_cpuid_entry2){ 0 };
}

static inline bool noted(const char *part)
{
	for (unsigned int i = 0; i < notes.nr; i++)
		if (strstr(notes.text[i], part))
			return true;
	return false;
}

static inline void teardown(void)
{
	notes_fini(&notes);
	e = (struct err){ 0 };
}

#endif
