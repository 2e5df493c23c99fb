/*
 * For the unit tests of this folder: platforms of any shape, bytes to files, and other people's tools that
 * judge them. Never part of the product.
 */
#ifndef TRELLIS_FIRMWARE_TABLES_RIG_H
#define TRELLIS_FIRMWARE_TABLES_RIG_H

#include "firmware/platform.h"
#include "vmm/base/buf.h"
#include "vmm/base/err.h"
#include "vmm/base/map.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct rig {
	struct topology topo;
	struct platform p;
	struct buf out;
	struct err e;
	char dir[64]; /* for files; empty until rig_make_dir() */
};

/* threads, cores, modules, dies, packages. */
struct rig_shape {
	unsigned int count[NR_TOPO_LEVELS];
	unsigned int nr_present; /* 0: all */
};

/* Mixed-radix digits into bit fields, as vmm/base/topology.h describes them. */
static inline void rig_place_cpus(struct topology *t, unsigned int nr_present)
{
	for (unsigned int i = 0; i < t->nr_cpus; i++) {
		unsigned int rest = i;

		t->cpu[i] = (struct topo_cpu){ .present = i < nr_present, .host_cpu = -1 };
		for (unsigned int level = 0; level < NR_TOPO_LEVELS; level++) {
			t->cpu[i].id[level] = (uint16_t)(rest % t->count[level]);
			rest /= t->count[level];
			t->cpu[i].apic_id |= (uint32_t)t->cpu[i].id[level] << t->shift[level];
		}
	}
}

/* Each vCPU has every kind of cache that is of its core type, and shares it with its unit. */
static inline void rig_set_instances(struct topology *t)
{
	for (unsigned int i = 0; i < t->nr_cpus; i++)
		for (unsigned int k = 0; k < t->nr_caches; k++) {
			struct topo_cpu *cpu = &t->cpu[i];
			bool has = !t->cache[k].core_type || t->cache[k].core_type == cpu->core_type;

			cpu->cache[k] = has ? cpu->unit[t->cache[k].shared] : TOPO_NO_CACHE;
			cpu->cache_shift[k] = (uint8_t)t->shift[t->cache[k].shared];
		}
}

/* The numbers of units in the machine, and their sizes, from the ids; vCPUs are by rising id. Call after any change. */
static inline void rig_count_units(struct topology *t)
{
	for (unsigned int level = 0; level < NR_TOPO_LEVELS; level++) {
		t->nr_units[level] = 0;
		free(t->unit_cpus[level]);
		t->unit_cpus[level] = calloc(t->nr_cpus, sizeof(*t->unit_cpus[level]));
		ck_assert_ptr_nonnull(t->unit_cpus[level]);
		for (unsigned int i = 0; i < t->nr_cpus; i++) {
			if (!i ||
			    t->cpu[i].apic_id >> t->shift[level] != t->cpu[i - 1].apic_id >> t->shift[level])
				t->nr_units[level]++;
			t->cpu[i].unit[level] = (uint16_t)(t->nr_units[level] - 1);
			t->unit_cpus[level][t->nr_units[level] - 1]++;
		}
	}
	free(t->unit_cpus[TOPO_THREAD]);
	t->unit_cpus[TOPO_THREAD] = NULL;
	rig_set_instances(t);
}

/* A thread less, so that the shape is uneven. */
static inline void rig_drop_cpu(struct topology *t, unsigned int index)
{
	memmove(&t->cpu[index], &t->cpu[index + 1], (t->nr_cpus - index - 1) * sizeof(t->cpu[0]));
	t->nr_cpus--;
	t->nr_present--;
	t->regular = false;
	rig_count_units(t);
}

static inline void rig_set_caches(struct topology *t)
{
	static const struct topo_cache cache[] = {
		{ CACHE_DATA, 1, TOPO_CORE, 32 << 10, 64, 8, 1, 64, false, false, TOPO_ALIKE },
		{ CACHE_INSTRUCTION, 1, TOPO_CORE, 32 << 10, 64, 8, 1, 64, false, false, TOPO_ALIKE },
		{ CACHE_UNIFIED, 2, TOPO_CORE, 2 << 20, 64, 16, 1, 2048, false, false, TOPO_ALIKE },
		{ CACHE_UNIFIED, 3, TOPO_DIE, 30 << 20, 64, 15, 1, 32768, true, false, TOPO_ALIKE },
	};

	t->nr_caches = ARRAY_SIZE(cache);
	memcpy(t->cache, cache, sizeof(cache));
}

/*
 * NUMA nodes: one for each package, with 64 MiB, and a last one with the rest of 16 GiB (no hole in it) and no
 * vCPU. Distances are 10 and 20 but for the last node's, which is 30 away.
 */
static inline void rig_set_nodes(struct rig *r)
{
	struct topology *t = &r->topo;
	unsigned int nr = t->nr_units[TOPO_PACKAGE] + 1;

	ck_assert_uint_le(nr, TOPO_MAX_NODES);
	t->nr_nodes = nr;
	t->node = calloc(nr, sizeof(*t->node));
	t->distance = calloc(nr, nr);
	ck_assert(t->node && t->distance);
	for (unsigned int i = 0; i < t->nr_cpus; i++)
		t->cpu[i].node = t->cpu[i].unit[TOPO_PACKAGE];
	for (unsigned int i = 0; i < nr * nr; i++)
		t->distance[i] = i % (nr + 1) == 0 ? 10 : i / nr == nr - 1 || i % nr == nr - 1 ? 30 : 20;
	for (unsigned int n = 0; n < nr; n++) {
		uint64_t start = n * 64 * MIB;

		t->node[n].memory_bytes = n == nr - 1 ? 16 * GIB - start : 64 * MIB;
		r->p.node_map[n] = (struct node_range){ start, t->node[n].memory_bytes, n };
	}
	r->p.nr_node_map = nr;
}

static inline void rig_set_platform(struct rig *r)
{
	r->p = (struct platform){
		.topo = &r->topo,
		.map = { { 0, MAP_EBDA, MEM_RAM },
			 { MAP_EBDA, 0x400, MEM_RESERVED },
			 { MIB, 2 * GIB - 2 * MIB, MEM_RAM },
			 { 2 * GIB - MIB, MIB, MEM_ACPI } },
		.nr_map = 4,
		.ram_bytes = 2 * GIB,
		.pci32_base = MAP_PCI32_BASE,
		.pci32_len = MAP_PCI32_LEN,
		.pci64_base = 1ull << 40,
		.pci64_len = 1ull << 39,
		.nr_buses = 256,
		.com_present = { true, false, true, false },
		.pvpanic_present = true,
		.cpuid1_eax = 0x000806f8,
		.cpuid1_edx = 0x1f8bfbff,
		.cpu_vendor = "GenuineIntel",
		.cpu_brand = "A Processor @ 2.00GHz",
		.name = "unit",
		.uuid = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd,
			  0xee, 0xff },
		.version = "1.2.3",
	};
}

static inline void rig_init(struct rig *r, struct rig_shape shape)
{
	unsigned int width, shift = 0;
	struct topology *t = &r->topo;

	*r = (struct rig){ .topo.nr_cpus = 1 };
	for (unsigned int level = 0; level < NR_TOPO_LEVELS; level++) {
		t->count[level] = shape.count[level];
		t->nr_cpus *= shape.count[level];
		t->shift[level] = shift;
		for (width = 0; 1u << width < shape.count[level];)
			width++;
		shift += width;
	}
	t->nr_present = shape.nr_present ? shape.nr_present : t->nr_cpus;
	t->cpu = calloc(t->nr_cpus, sizeof(t->cpu[0]));
	ck_assert_ptr_nonnull(t->cpu);
	t->regular = true;
	rig_place_cpus(t, t->nr_present);
	rig_set_caches(t);
	rig_count_units(t);
	rig_set_platform(r);
}

/* n processors of one thread, all present, as n sockets. */
static inline void rig_init_flat(struct rig *r, unsigned int n)
{
	rig_init(r, (struct rig_shape){ { 1, 1, 1, 1, n }, 0 });
}

static inline void rig_fini(struct rig *r)
{
	char cmd[96];

	if (r->dir[0]) {
		snprintf(cmd, sizeof(cmd), "rm -rf %s", r->dir);
		ck_assert_int_eq(system(cmd), 0);
	}
	buf_fini(&r->out);
	for (unsigned int level = 0; level < NR_TOPO_LEVELS; level++)
		free(r->topo.unit_cpus[level]);
	free(r->topo.node);
	free(r->topo.distance);
	free(r->topo.path);
	free(r->topo.cpu);
}

static inline void rig_make_dir(struct rig *r)
{
	snprintf(r->dir, sizeof(r->dir), "/tmp/trellis-tables-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(r->dir));
}

static inline void rig_write_file(const struct rig *r, const char *name, const void *bytes, size_t len)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", r->dir, name);
	f = fopen(path, "wb");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(bytes, 1, len, f), len);
	ck_assert_int_eq(fclose(f), 0);
}

/* A file of the rig's directory as a string (a NUL is put behind it). */
static inline void rig_read_file(const struct rig *r, const char *name, struct buf *b)
{
	char path[128];
	int c;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", r->dir, name);
	f = fopen(path, "rb");
	ck_assert_msg(f != NULL, "%s is missing", path);
	while ((c = fgetc(f)) != EOF)
		buf_put8(b, (uint8_t)c);
	fclose(f);
	buf_put8(b, 0);
	b->len--;
}

/* Run a shell command inside the directory, output into the file "log" there; returns its exit status. */
static inline int rig_run(const struct rig *r, const char *cmd)
{
	char line[512];
	int status;

	snprintf(line, sizeof(line), "cd %s && { %s; } >log 2>&1", r->dir, cmd);
	status = system(line);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Is a program there? Says so when it is not, so that nobody takes silence for success (style R25). */
static inline bool rig_has_tool(const char *tool)
{
	char line[64];

	snprintf(line, sizeof(line), "command -v %s >/dev/null", tool);
	if (system(line) == 0)
		return true;
	printf("# SKIP %s is not installed\n", tool);
	return false;
}

#endif
