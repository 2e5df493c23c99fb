/*
 * Processors and caches (DSP0134 3.3.0, 7.5 and 7.8), counted from the topology's APIC ids, so that sockets need not
 * be alike. One structure for a socket, never for a core: Core Count and Thread Count say what it holds, threads of
 * all its cores. One structure for each kind of cache that the socket has, which says the size of all together.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "firmware/smbios_writer.h"

/* What one socket holds. */
struct socket {
	unsigned int number;
	unsigned int units[NR_TOPO_LEVELS]; /* packages (1), dies, modules, cores, threads; present or not */
	unsigned int cores_present;
	unsigned int instances[TOPO_MAX_CACHES];
	uint16_t cache[3];                  /* handles for L1, L2, L3 */
};

/* The vCPUs of the machine in another order, and what counting them needs. */
struct seats {
	const struct topo_cpu **cpu; /* owned; by rising APIC id, so that a unit's members stand together */
	uint32_t *stamp;             /* owned; of each cache instance: the last count that met it */
	uint32_t counts;
};

enum { NR_INSTANCES = TOPO_NO_CACHE };

/* Handles have 16 bits, the last of them reserved (6.1.2): from here on only processors get one. */
enum { CACHE_HANDLES = 0xe000 };

static int seat_compare(const void *a, const void *b)
{
	uint32_t x = (*(const struct topo_cpu *const *)a)->apic_id,
		 y = (*(const struct topo_cpu *const *)b)->apic_id;

	return x < y ? -1 : x > y;
}

/* Both APIC ids in one unit of this level? */
static bool same_unit(const struct topology *t, enum topo_level level, uint32_t a, uint32_t b)
{
	return a >> t->shift[level] == b >> t->shift[level];
}

/*
 * Count one socket's units.
 * seat  by rising APIC id; nr of them are left
 * Returns how many belong to the socket.
 */
static unsigned int socket_count(const struct topology *t, const struct topo_cpu *const *seat,
				 unsigned int nr, struct socket *k)
{
	bool core_counted = false;
	unsigned int i;

	for (i = 0; i < nr && same_unit(t, TOPO_PACKAGE, seat[i]->apic_id, seat[0]->apic_id); i++) {
		for (unsigned int level = 0; level < NR_TOPO_LEVELS; level++)
			if (!i || !same_unit(t, level, seat[i]->apic_id, seat[i - 1]->apic_id))
				k->units[level]++;
		if (!i || !same_unit(t, TOPO_CORE, seat[i]->apic_id, seat[i - 1]->apic_id))
			core_counted = false;
		if (seat[i]->present && !core_counted) {
			core_counted = true;
			k->cores_present++;
		}
	}
	return i;
}

/* Count the socket's caches of each kind: instances, because who shares one need not be a unit. */
static void socket_count_caches(const struct topology *t, struct seats *s, const struct topo_cpu *const *seat,
				unsigned int nr, struct socket *k)
{
	for (unsigned int kind = 0; kind < t->nr_caches; kind++) {
		s->counts++;
		for (unsigned int i = 0; i < nr; i++) {
			uint16_t instance = seat[i]->cache[kind];

			if (instance == TOPO_NO_CACHE || s->stamp[instance] == s->counts)
				continue;
			s->stamp[instance] = s->counts;
			k->instances[kind]++;
		}
	}
}

/* 7.8.5: a code for each number of ways. */
static uint8_t associativity(const struct topo_cache *c)
{
	static const uint8_t ways[] = { 1, 2, 4, 8, 16, 12, 24, 32, 48, 64, 20 };
	static const uint8_t code[] = { 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14 };

	if (c->fully_associative)
		return 6;
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
		if (c->ways == ways[i])
			return code[i];
	return 1; /* other */
}

/* 7.8.1: KiB, or units of 64 KiB with bit 15; 0xffff for what is only in the field of 32 bits. */
static uint16_t cache_size16(uint64_t kib)
{
	if (kib <= 0x7fff)
		return (uint16_t)kib;
	if (kib / 64 < 0x7fff)
		return (uint16_t)(1u << 15 | kib / 64);
	return 0xffff;
}

static uint32_t cache_size32(uint64_t kib)
{
	if (kib <= INT32_MAX)
		return (uint32_t)kib;
	return (uint32_t)(1u << 31 | MIN(kib / 64, (uint64_t)INT32_MAX));
}

/* 7.8: one kind of cache, all of the socket's together. Returns the handle. */
static uint16_t cache_put(struct smbios *s, const struct socket *k, unsigned int kind)
{
	static const char *const of[] = {
		[TOPO_ALIKE] = "", [TOPO_PERFORMANCE] = " of P-cores", [TOPO_EFFICIENCY] = " of E-cores"
	};
	static const char *const suffix[] = {
		[CACHE_DATA] = "d", [CACHE_INSTRUCTION] = "i", [CACHE_UNIFIED] = ""
	};
	static const uint8_t type[] = { [CACHE_DATA] = 4, [CACHE_INSTRUCTION] = 3, [CACHE_UNIFIED] = 5 };
	const struct topo_cache *c = &s->p->topo->cache[kind];
	uint64_t kib = (uint64_t)c->bytes * k->instances[kind] / KIB;
	uint16_t handle;
	char name[40];

	snprintf(name, sizeof(name), "CPU %u L%u%s%s", k->number, c->level, suffix[c->type],
		 of[c->core_type]);
	handle = smbios_begin(s, 7, 0x1b);
	smbios_put_string(s, name);
	buf_put16(s->b, (uint16_t)(1u << 8 | 1u << 7 | (c->level - 1u))); /* write-back, enabled, internal */
	buf_put16(s->b, cache_size16(kib)); /* maximum */
	buf_put16(s->b, cache_size16(kib)); /* installed */
	buf_put16(s->b, 1u << 1);           /* SRAM types, supported and current: unknown */
	buf_put16(s->b, 1u << 1);
	buf_put8(s->b, 0);                  /* speed: unknown */
	buf_put8(s->b, 2);                  /* error correction: unknown */
	buf_put8(s->b, type[c->type]);
	buf_put8(s->b, associativity(c));
	buf_put32(s->b, cache_size32(kib));
	buf_put32(s->b, cache_size32(kib));
	smbios_end(s);
	return handle;
}

/* The first cache of each level is what the processor refers to; data comes before instruction. */
static void caches_put(struct smbios *s, struct socket *k)
{
	const struct topology *t = s->p->topo;
	uint16_t handle;

	for (unsigned int i = 0; i < t->nr_caches; i++) {
		if (!k->instances[i])
			continue;
		handle = cache_put(s, k, i);
		if (t->cache[i].level <= ARRAY_SIZE(k->cache) &&
		    k->cache[t->cache[i].level - 1] == SMBIOS_NONE)
			k->cache[t->cache[i].level - 1] = handle;
	}
}

/* 7.5.9: what every processor that runs here can, and what this socket's shape is. */
static uint16_t characteristics(const struct socket *k)
{
	uint16_t bits = 1u << 2; /* 64 bits */

	if (k->units[TOPO_CORE] > 1)
		bits |= 1u << 3; /* multi-core */
	if (k->units[TOPO_THREAD] > k->units[TOPO_CORE])
		bits |= 1u << 4; /* hardware threads */
	return bits;
}

/* The three counts as bytes; 0xff says "see the field of 16 bits" (7.5.6 to 7.5.8). */
static void counts_put(struct buf *b, const struct socket *k, bool wide)
{
	const unsigned int count[] = { k->units[TOPO_CORE], k->cores_present, k->units[TOPO_THREAD] };

	for (size_t i = 0; i < ARRAY_SIZE(count); i++) {
		if (wide)
			buf_put16(b, (uint16_t)count[i]);
		else
			buf_put8(b, (uint8_t)MIN(count[i], 0xffu));
	}
}

/* 7.5. A socket without a present processor is empty; its counts say what fits. */
static void processor_put(struct smbios *s, const struct socket *k)
{
	bool populated = k->cores_present > 0;
	char name[16];

	snprintf(name, sizeof(name), "CPU %u", k->number);
	smbios_begin(s, 4, 0x30);
	smbios_put_string(s, name);
	buf_put8(s->b, 3);    /* central processor */
	buf_put8(s->b, 0xfe); /* family: see below */
	smbios_put_string(s, s->p->cpu_vendor);
	buf_put32(s->b, s->p->cpuid1_eax);
	buf_put32(s->b, s->p->cpuid1_edx);
	smbios_put_string(s, s->p->cpu_brand);
	buf_put_zero(s->b, 7); /* voltage, clock, speeds: unknown */
	buf_put8(s->b, populated ? 0x41 : 0); /* populated, enabled */
	buf_put8(s->b, 1);                    /* upgrade: other */
	for (size_t i = 0; i < ARRAY_SIZE(k->cache); i++)
		buf_put16(s->b, k->cache[i]);
	buf_put_zero(s->b, 3); /* serial number, asset tag, part number: none */
	counts_put(s->b, k, false);
	buf_put16(s->b, characteristics(k));
	buf_put16(s->b, 1); /* family 2: other */
	counts_put(s->b, k, true);
	smbios_end(s);
}

static void sockets_put(struct smbios *s, struct seats *seats)
{
	const struct topology *t = s->p->topo;
	unsigned int at = 0, nr, number = 0;
	struct socket k;

	_Static_assert(CACHE_HANDLES + TOPO_MAX_CACHES + TOPO_MAX_CPUS < 0xfe00,
		       "handles for all, and for the rest");
	while (at < t->nr_cpus) {
		const struct topo_cpu *const *seat = seats->cpu + at;

		k = (struct socket){ .number = number++, .cache = { SMBIOS_NONE, SMBIOS_NONE, SMBIOS_NONE } };
		nr = socket_count(t, seat, t->nr_cpus - at, &k);
		if (k.cores_present && s->nr < CACHE_HANDLES) {
			socket_count_caches(t, seats, seat, nr, &k);
			caches_put(s, &k);
		}
		processor_put(s, &k);
		at += nr;
	}
}

int smbios_put_cpus(struct smbios *s, struct err *e)
{
	const struct topology *t = s->p->topo;
	struct seats seats = { .cpu = calloc(t->nr_cpus, sizeof(*seats.cpu)),
			       .stamp = calloc(NR_INSTANCES, sizeof(*seats.stamp)) };
	int rc = 0;

	if (!seats.cpu || !seats.stamp) {
		rc = err_set(e, -ENOMEM, "no memory for the SMBIOS tables");
	} else {
	for (unsigned int i = 0; i < t->nr_cpus; i++)
			seats.cpu[i] = &t->cpu[i];
		qsort(seats.cpu, t->nr_cpus, sizeof(*seats.cpu), seat_compare);
		sockets_put(s, &seats);
	}
	free(seats.cpu);
	free(seats.stamp);
	return rc;
}
