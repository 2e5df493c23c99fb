/*
 * Regular shapes and APIC ids. Others are topology_layout.c's; what guests are told about them is cpuid.c's and
 * firmware/'s business.
 */
#include "vmm/cpu/topology_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const level_name[NR_TOPO_LEVELS] = { "thread", "core", "module", "die", "socket" };

const char *topology_level_name(enum topo_level level)
{
	return level_name[level];
}

unsigned int topology_bits_for(unsigned int n)
{
	unsigned int bits = 0;

	while ((1ull << bits) < n)
		bits++;
	return bits;
}

unsigned int topology_cpus_in(const struct topology *t, enum topo_level level)
{
	unsigned int n = 1;

	for (int i = 0; i < (int)level; i++)
		n *= t->count[i];
	return n;
}

/* The product of all counts but those that are 0; saturates, since users type anything. */
static uint64_t product(const unsigned int count[NR_TOPO_LEVELS])
{
	uint64_t n = 1;

	for (unsigned int i = 0; i < NR_TOPO_LEVELS; i++)
		if (count[i])
			n = MIN(n * count[i], (uint64_t)UINT32_MAX);
	return n;
}

static void shape_text(char *buf, size_t len, const unsigned int count[NR_TOPO_LEVELS])
{
	size_t at = (size_t)snprintf(buf, len, "sockets=%u", count[TOPO_PACKAGE]);

	if (count[TOPO_DIE] > 1 && at < len)
		at += (size_t)snprintf(buf + at, len - at, ",dies=%u", count[TOPO_DIE]);
	if (count[TOPO_MODULE] > 1 && at < len)
		at += (size_t)snprintf(buf + at, len - at, ",modules=%u", count[TOPO_MODULE]);
	if (at < len)
		snprintf(buf + at, len - at, ",cores=%u,threads=%u", count[TOPO_CORE], count[TOPO_THREAD]);
}

/* How far one shape is from another: the product of each number's ratio; 1 means the same. */
static double shape_distance(const unsigned int a[NR_TOPO_LEVELS], const unsigned int b[NR_TOPO_LEVELS])
{
	double d = 1;

	for (unsigned int i = 0; i < NR_TOPO_LEVELS; i++)
		d *= (double)MAX(a[i], b[i]) / MAX(MIN(a[i], b[i]), 1u);
	return d;
}

struct candidates {
	unsigned int count[2][NR_TOPO_LEVELS]; /* the nearest first */
	double distance[2];
	unsigned int nr;
};

static void candidate_add(struct candidates *c, const unsigned int count[NR_TOPO_LEVELS],
			  const unsigned int asked[NR_TOPO_LEVELS])
{
	double d = shape_distance(count, asked);
	unsigned int at = c->nr;

	while (at > 0 && d < c->distance[at - 1])
		at--;
	if (at >= ARRAY_SIZE(c->count))
		return;
	if (at == 0 && c->nr) {
		memcpy(c->count[1], c->count[0], sizeof(c->count[0]));
		c->distance[1] = c->distance[0];
	}
	memcpy(c->count[at], count, sizeof(c->count[0]));
	c->distance[at] = d;
	c->nr = MIN(c->nr + 1, (unsigned int)ARRAY_SIZE(c->count));
}

/* Shapes of max processors that are nearest to the one asked for: dies and modules stay, or there are none. */
static void find_nearest(const unsigned int asked[NR_TOPO_LEVELS], unsigned int max, struct candidates *c)
{
	for (unsigned int sockets = 1; sockets <= max; sockets++) {
		for (unsigned int threads = 1; max % sockets == 0 && threads <= max / sockets; threads++) {
			if (max / sockets % threads)
				continue;
			for (unsigned int plain = 0; plain < 4; plain++) {
				unsigned int dies = plain & 1 ? 1 : asked[TOPO_DIE];
				unsigned int modules = plain & 2 ? 1 : asked[TOPO_MODULE];
				uint64_t others = (uint64_t)sockets * threads * dies * modules;

				if ((plain & 1 && asked[TOPO_DIE] == 1) || (plain & 2 && asked[TOPO_MODULE] == 1) ||
				    others > max || max % others)
					continue;
				candidate_add(c, (unsigned int[NR_TOPO_LEVELS]){
					[TOPO_THREAD] = threads, [TOPO_CORE] = (unsigned int)(max / others),
					[TOPO_MODULE] = modules, [TOPO_DIE] = dies, [TOPO_PACKAGE] = sockets }, asked);
			}
		}
	}
}

/* The counts do not multiply to max: say what would. */
static int refuse_product(const struct topology_spec *spec, const unsigned int count[NR_TOPO_LEVELS],
			  unsigned int max, struct err *e)
{
	struct candidates c = { .nr = 0 };
	char asked[96], first[96], second[112] = "", said[24] = "";
	unsigned int cpus = spec->cpus ? spec->cpus : max;
	unsigned long long makes = product(count);
	const char *change = spec->max && makes >= cpus ? "max=" : "--cpus "; /* of what the shape must make */

	shape_text(asked, sizeof(asked), count);
	find_nearest(count, MIN(max, (unsigned int)TOPO_MAX_CPUS), &c);
	shape_text(first, sizeof(first), c.count[0]);
	if (c.nr > 1) {
		memcpy(second, " or ", 5);
		shape_text(second + 4, sizeof(second) - 4, c.count[1]);
	}
	if (spec->max)
		snprintf(said, sizeof(said), ",max=%u", max);
	if (makes > TOPO_MAX_CPUS)
		return err_usage(e, "--cpus %u%s: %s makes %llu processors, not %u: try %s%s", cpus, said, asked, makes, max,
				 first, second);
	return err_usage(e, "--cpus %u%s: %s makes %llu processors, not %u: try %s%s, or %s%llu%s with %s", cpus, said, asked,
			 makes, max, first, second, change, makes, spec->max && makes < cpus ? " without max" : "", asked);
}

static int derive_counts(const struct topology_spec *spec, unsigned int count[NR_TOPO_LEVELS], unsigned int *max,
			 struct err *e)
{
	uint64_t n;

	memcpy(count, spec->count, NR_TOPO_LEVELS * sizeof(count[0]));
	if (!count[TOPO_DIE])
		count[TOPO_DIE] = 1;
	if (!count[TOPO_MODULE])
		count[TOPO_MODULE] = 1;
	*max = spec->max ? spec->max : spec->cpus;
	n = product(count);
	if (!*max) /* nothing but the shape was said: it is the number */
		*max = (unsigned int)MIN(n, (uint64_t)UINT32_MAX);
	if (!count[TOPO_CORE]) {
		count[TOPO_PACKAGE] = MAX(count[TOPO_PACKAGE], 1u);
		count[TOPO_THREAD] = MAX(count[TOPO_THREAD], 1u);
		count[TOPO_CORE] = (unsigned int)MAX(*max / product(count), 1ull);
	} else if (!count[TOPO_PACKAGE]) {
		count[TOPO_THREAD] = MAX(count[TOPO_THREAD], 1u);
		count[TOPO_PACKAGE] = (unsigned int)MAX(*max / product(count), 1ull);
	} else if (!count[TOPO_THREAD]) {
		count[TOPO_THREAD] = (unsigned int)MAX(*max / product(count), 1ull);
	}
	if (product(count) != *max)
		return refuse_product(spec, count, *max, e);
	return 0;
}

/* One vCPU's numbers, from its index: mixed-radix digits, thread lowest. */
static void place_cpu(const struct topology *t, unsigned int index, struct topo_cpu *cpu)
{
	unsigned int rest = index;

	cpu->present = index < t->nr_present;
	cpu->host_cpu = -1;
	for (unsigned int level = 0; level < NR_TOPO_LEVELS; level++) {
		cpu->id[level] = (uint16_t)(rest % t->count[level]);
		cpu->unit[level] = (uint16_t)(level ? index / topology_cpus_in(t, level) : index);
		rest /= t->count[level];
		cpu->apic_id |= (uint32_t)cpu->id[level] << t->shift[level];
	}
}

int topology_alloc(struct topology *t, struct err *e)
{
	t->cpu = calloc(t->nr_cpus, sizeof(*t->cpu));
	t->nr_units[TOPO_THREAD] = t->nr_cpus;
	for (unsigned int level = TOPO_CORE; t->cpu && level < NR_TOPO_LEVELS; level++) {
		t->unit_cpus[level] = calloc(MAX(t->nr_units[level], 1u), sizeof(*t->unit_cpus[level]));
		if (!t->unit_cpus[level])
			break;
	}
	if (!t->cpu || !t->unit_cpus[TOPO_PACKAGE])
		return err_set(e, -ENOMEM, "out of memory for %u processors", t->nr_cpus);
	return 0;
}

int topology_init(struct topology *t, const struct topology_spec *spec, struct err *e)
{
	unsigned int max;
	int rc;

	*t = (struct topology){ .regular = true };
	rc = derive_counts(spec, t->count, &max, e);
	if (rc < 0)
		return rc;
	if (max > TOPO_MAX_CPUS)
		return err_usage(e, "--cpus: %u processors are more than the %d that a machine can have", max,
				 TOPO_MAX_CPUS);
	if (spec->cpus > max)
		return err_usage(e, "--cpus %u,max=%u: max counts the present processors too, so it must be at least %u",
				 spec->cpus, max, spec->cpus);
	t->nr_cpus = max;
	t->nr_present = spec->cpus ? spec->cpus : max;
	for (unsigned int level = 1; level < NR_TOPO_LEVELS; level++) {
		t->shift[level] = t->shift[level - 1] + topology_bits_for(t->count[level - 1]);
		t->nr_units[level] = max / topology_cpus_in(t, level);
	}
	rc = topology_alloc(t, e);
	if (rc < 0)
		return rc;
	for (unsigned int level = TOPO_CORE; level < NR_TOPO_LEVELS; level++)
		for (unsigned int i = 0; i < t->nr_units[level]; i++)
			t->unit_cpus[level][i] = (uint16_t)topology_cpus_in(t, level);
	for (unsigned int i = 0; i < max; i++)
		place_cpu(t, i, &t->cpu[i]);
	return 0;
}

void topology_fini(struct topology *t)
{
	for (unsigned int level = 0; level < NR_TOPO_LEVELS; level++)
		free(t->unit_cpus[level]);
	free(t->cpu);
	free(t->package_l3_kib);
	free(t->node);
	free(t->distance);
	free(t->path);
	*t = (struct topology){ 0 };
}

bool topology_wide_ids(const struct topology *t)
{
	return topology_max_apic_id(t) >= 255;
}

uint32_t topology_max_apic_id(const struct topology *t)
{
	uint32_t max = 0;

	for (unsigned int i = 0; i < t->nr_cpus; i++)
		max = MAX(max, t->cpu[i].apic_id);
	return max;
}
