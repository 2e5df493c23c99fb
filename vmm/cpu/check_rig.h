/*
 * For check_test.c and check_tables_test.c only: processors made by hand of a shape and a plain host table, so
 * that models and options have no part in these tests.
 */
#ifndef TRELLIS_CPU_CHECK_RIG_H
#define TRELLIS_CPU_CHECK_RIG_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/cpu/check.h"
#include "vmm/cpu/topology.h"

/* Counts in the order in which people say them. */
#define SHAPE(s, d, m, c, th)                                                                                \
	{                                                                                                    \
		[TOPO_PACKAGE] = s, [TOPO_DIE] = d, [TOPO_MODULE] = m, [TOPO_CORE] = c, [TOPO_THREAD] = th   \
	}

static struct cpu_options opts;
static struct processors procs;
static struct findings found;
static struct err rig_err;

static inline void rig_put(uint32_t leaf, int index, uint32_t eax, uint32_t ebx, uint32_t ecx, uint32_t edx)
{
	procs.table->entry[procs.table->nent++] = (struct kvm_cpuid_entry2){
		.function = leaf,
		.index = index < 0 ? 0 : (uint32_t)index,
		.flags = index < 0 ? 0 : KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		.eax = eax,
		.ebx = ebx,
		.ecx = ecx,
		.edx = edx,
	};
}

/* 48 KiB, 32 KiB, 2 MiB, 32 MiB; who shares them is the shape's business. */
static inline void rig_put_caches(uint32_t leaf)
{
	rig_put(leaf, 0, 0x121, 11u << 22 | 63, 63, 0);
	rig_put(leaf, 1, 0x122, 7u << 22 | 63, 63, 0);
	rig_put(leaf, 2, 0x143, 15u << 22 | 63, 2047, 0);
	rig_put(leaf, 3, 0x163, 15u << 22 | 63, 32767, 0);
	rig_put(leaf, 4, 0, 0, 0, 0);
}

static inline void rig_host(enum cpuid_style style)
{
	bool amd = style == CPUID_AMD;

	procs.table = calloc(1, sizeof(*procs.table));
	procs.vcpu_table = calloc(1, sizeof(*procs.vcpu_table));
	ck_assert(procs.table && procs.vcpu_table);
	if (amd)
		rig_put(0, -1, 0x10, 0x68747541, 0x444d4163, 0x69746e65);
	else
		rig_put(0, -1, 0x1f, 0x756e6547, 0x6c65746e, 0x49656e69);
	rig_put(1, -1, 0xa20f12, 0, 1u << 31 | 1u << 21, 0x0fffffff);
	rig_put(0x40000000, -1, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d);
	rig_put(0x40000001, -1, 1u << 15, 0, 0, 0);
	rig_put_caches(amd ? 0x8000001d : 4);
	rig_put(7, 0, 0, 0, 0, 0);
	rig_put(0xb, 0, 0, 0, 0, 0);
	rig_put(0x80000000, -1, amd ? 0x80000021 : 0x80000008, 0, 0, 0);
	rig_put(0x80000001, -1, 0xa20f12, 0, amd ? 0x4 : 0x121, 0x2fd3fbff);
	rig_put(0x80000005, -1, 0, 0, 0, 0);
	rig_put(0x80000006, -1, 0, 0, 0, 0);
	rig_put(0x80000008, -1, 0x3030, 0, 0, 0);
}

/* Finish procs.topo, which has a shape: caches by level, CPUID. */
static inline void rig_finish(const struct layout *layout)
{
	procs.opts = &opts;
	ck_assert_int_eq(caches_place(&procs.topo, &opts.caches, layout, procs.table, &rig_err), 0);
	ck_assert_int_eq(cpuid_build(procs.table, &procs.topo, &rig_err), 0);
}

static inline void rig_build(enum cpuid_style style, const struct topology_spec *spec)
{
	rig_host(style);
	ck_assert_int_eq(topology_init(&procs.topo, spec, &rig_err), 0);
	rig_finish(NULL);
}

static inline void rig_override(struct cpuid_override *o)
{
	opts.cpuid = o;
	opts.nr_cpuids = 1;
}

/* How many of the findings contain a text. */
static inline unsigned int rig_count(const char *text)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < found.notes.nr; i++)
		n += strstr(found.notes.text[i], text) != NULL;
	return n;
}

/* All findings, for messages. */
static inline const char *rig_all(void)
{
	static char all[4096];
	size_t at = 0;

	all[0] = '\0';
	for (unsigned int i = 0; i < found.notes.nr && at < sizeof(all); i++)
		at += (size_t)snprintf(all + at, sizeof(all) - at, "\n  %s", found.notes.text[i]);
	return all;
}

static inline void rig_fini(void)
{
	topology_fini(&procs.topo);
	free(procs.table);
	free(procs.vcpu_table);
	procs = (struct processors){ 0 };
	opts = (struct cpu_options){ 0 };
	findings_fini(&found);
}

#endif
