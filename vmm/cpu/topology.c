/* Regular shapes and APIC ids. What guests are told about them is cpuid.c's and firmware/'s business. */
#include "vmm/cpu/topology.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const level_name[NR_TOPO_LEVELS] = { "thread", "core", "module", "die", "socket" };

const char *topology_level_name(enum topo_level level)
{
	return level_name[level];
}

/* ceil(log2(n)), n >= 1: bits that number n things. */
static unsigned int bits_for(unsigned int n)
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

/* The counts do not multiply to max: say what would. */
static int refuse_product(const struct topology_spec *spec, const unsigned int count[NR_TOPO_LEVELS],
			  unsigned int max, struct err *e)
{
	unsigned int fit[NR_TOPO_LEVELS];
	char asked[96], cores[96], all[96];
	unsigned int cpus = spec->cpus ? spec->cpus : max;
	uint64_t others;

	memcpy(fit, count, sizeof(fit));
	shape_text(asked, sizeof(asked), count);
	fit[TOPO_CORE] = 0;
	others = product(fit);
	fit[TOPO_CORE] = max % others == 0 ? (unsigned int)(max / others) : 0;
	shape_text(all, sizeof(all), count);
	if (fit[TOPO_CORE]) {
		shape_text(cores, sizeof(cores), fit);
		return err_usage(e, "--cpus %u: %s makes %llu processors, not %u; %s makes %u, and %s fits --cpus %llu",
				 cpus, asked, (unsigned long long)product(count), max, cores, max, all,
				 (unsigned long long)product(count));
	}
	return err_usage(e, "--cpus %u: %s makes %llu processors, not %u; sockets=1,cores=%u,threads=1 makes %u, and %s "
			 "fits --cpus %llu",
			 cpus, asked, (unsigned long long)product(count), max, max, max, all,
			 (unsigned long long)product(count));
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

	*cpu = (struct topo_cpu){ .present = index < t->nr_present };
	for (unsigned int level = 0; level < NR_TOPO_LEVELS; level++) {
		cpu->id[level] = (uint16_t)(rest % t->count[level]);
		rest /= t->count[level];
		cpu->apic_id |= (uint32_t)cpu->id[level] << t->shift[level];
	}
}

int topology_init(struct topology *t, const struct topology_spec *spec, struct err *e)
{
	unsigned int max;
	int rc;

	*t = (struct topology){ 0 };
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
	for (unsigned int level = 1; level < NR_TOPO_LEVELS; level++)
		t->shift[level] = t->shift[level - 1] + bits_for(t->count[level - 1]);

	t->cpu = calloc(max, sizeof(*t->cpu));
	if (!t->cpu)
		return err_set(e, -ENOMEM, "out of memory for %u processors", max);
	for (unsigned int i = 0; i < max; i++)
		place_cpu(t, i, &t->cpu[i]);
	return 0;
}

void topology_fini(struct topology *t)
{
	free(t->cpu);
	*t = (struct topology){ 0 };
}
