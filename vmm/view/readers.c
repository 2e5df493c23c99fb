/* What all readers share: putting vCPUs together, and names. */
#include "vmm/view/readers.h"

#include <errno.h>
#include <stdlib.h>

#include "vmm/view/readers_internal.h"

const char *reader_name(enum reader reader)
{
	static const char *const name[NR_READERS] = {
		[READER_LINUX_6_1] = "Linux <= 6.8", [READER_LINUX_6_12] = "Linux >= 6.9",
		[READER_HWLOC_2_9] = "hwloc 2.9",    [READER_HWLOC_NEW] = "newer hwloc",
		[READER_WINDOWS] = "Windows",        [READER_LEGACY] = "old systems",
	};

	return name[reader];
}

const char *read_set_name(enum read_set set)
{
	static const char *const name[NR_READ_SETS] = {
		[READ_PACKAGE] = "package", [READ_DIE] = "die", [READ_MODULE] = "module",
		[READ_CORE] = "core",       [READ_L1D] = "L1d", [READ_L1I] = "L1i",
		[READ_L2] = "L2",           [READ_L3] = "L3",   [READ_L4] = "L4",
	};

	return name[set];
}

const struct regs *read_cache_find(const struct leaves_caches *list, enum read_set set)
{
	for (unsigned int i = 0; i < list->nr; i++) {
		const struct regs *c = &list->sub[i];
		unsigned int level = cache_level_of(c), type = cache_type_of(c);

		if (set == READ_L1I ? level == 1 && type == CACHE_INSTRUCTION
		    : set == READ_L1D
			    ? level == 1 && type != CACHE_INSTRUCTION
			    : level == (unsigned int)(set - READ_L2) + 2 && type != CACHE_INSTRUCTION)
			return c;
	}
	return NULL;
}

static int key_compare(const void *a, const void *b)
{
	const struct read_key *x = a, *y = b;

	for (unsigned int i = 0; i < KEY_PARTS; i++)
		if (x->part[i] != y->part[i])
			return x->part[i] < y->part[i] ? -1 : 1;
	return x->cpu < y->cpu ? -1 : x->cpu > y->cpu;
}

static bool key_equal(const struct read_key *x, const struct read_key *y)
{
	return !memcmp(x->part, y->part, sizeof(x->part));
}

/* Equal keys belong together: set[] names the first of each. sets receives how many there are. */
static int group(uint16_t *set, unsigned int nr, unsigned int *sets,
		 void (*key)(const void *ctx, unsigned int cpu, struct read_key *key), const void *ctx)
{
	struct read_key *keys = calloc(nr, sizeof(*keys));
	unsigned int n = 0;

	if (!keys)
		return -ENOMEM;
	for (unsigned int i = 0; i < nr; i++) {
		keys[n] = (struct read_key){ .cpu = (uint16_t)i };
		key(ctx, i, &keys[n]);
		set[i] = READ_NO_SET;
		n += !keys[n].none;
	}
	qsort(keys, n, sizeof(*keys), key_compare);
	*sets = 0;
	for (unsigned int i = 0; i < n; i++) {
		bool first = i == 0 || !key_equal(&keys[i - 1], &keys[i]);

		*sets += first;
		set[keys[i].cpu] = first ? keys[i].cpu : set[keys[i - 1].cpu];
	}
	free(keys);
	return 0;
}

int reading_group(struct reading *r, enum read_set set,
		  void (*key)(const void *ctx, unsigned int cpu, struct read_key *key), const void *ctx)
{
	if (!r->set[set])
		r->set[set] = calloc(r->nr, sizeof(*r->set[set]));
	if (!r->set[set])
		return -ENOMEM;
	r->knows[set] = true;
	return group(r->set[set], r->nr, &r->sets[set], key, ctx);
}

static int read_all(struct reading *r, enum reader reader, const struct leaves *l, struct read_cpu *cpu)
{
	switch (reader) {
	case READER_LINUX_6_1:
		return read_linux_6_1(r, l, cpu);
	case READER_LINUX_6_12:
		return read_linux_6_12(r, l, cpu);
	case READER_HWLOC_2_9:
	case READER_HWLOC_NEW:
		return read_hwloc(r, l, cpu, reader == READER_HWLOC_NEW);
	case READER_WINDOWS:
	case READER_LEGACY:
	default:
		return read_windows(r, l, cpu, reader == READER_LEGACY);
	}
}

static void apic_id_key(const void *ctx, unsigned int i, struct read_key *key)
{
	const struct read_cpu *cpu = ctx;

	key->part[0] = cpu[i].apic_id;
}

static int find_same_ids(struct reading *r, const struct read_cpu *cpu)
{
	uint16_t *set = calloc(r->nr, sizeof(*set));
	unsigned int sets;
	int rc = set ? group(set, r->nr, &sets, apic_id_key, cpu) : -ENOMEM;

	if (rc == 0 && sets != r->nr)
		r->quirks |= READ_QUIRK_SAME_ID;
	free(set);
	return rc;
}

int reading_make(struct reading *r, enum reader reader, const struct leaves *l, unsigned int nr)
{
	struct read_cpu *cpu = calloc(nr, sizeof(*cpu));
	bool room = cpu != NULL;
	int rc = -ENOMEM;

	*r = (struct reading){ .nr = nr };
	for (unsigned int i = 0; i < NR_READ_IDS; i++)
		room &= (r->id[i] = calloc(nr, sizeof(*r->id[i]))) != NULL;
	if (!room)
		goto out;
	for (unsigned int i = 0; i < nr; i++)
		cpu[i] = (struct read_cpu){
			.die = READ_NO_ID, .module = READ_NO_ID, .core = READ_NO_ID, .llc = READ_NO_ID
		};
	rc = read_all(r, reader, l, cpu);
	if (rc == 0)
		rc = find_same_ids(r, cpu);
	for (unsigned int i = 0; i < nr; i++) {
		r->id[READ_PACKAGE][i] = cpu[i].package;
		r->id[READ_DIE][i] = cpu[i].die;
		r->id[READ_MODULE][i] = cpu[i].module;
		r->id[READ_CORE][i] = cpu[i].core;
	}
out:
	free(cpu);
	return rc;
}

void reading_fini(struct reading *r)
{
	for (unsigned int i = 0; i < NR_READ_IDS; i++)
		free(r->id[i]);
	for (unsigned int i = 0; i < NR_READ_SETS; i++)
		free(r->set[i]);
	*r = (struct reading){ 0 };
}

bool reading_same_sets(const struct reading *a, const struct reading *b, enum read_set set)
{
	if (a->knows[set] != b->knows[set] || !a->set[set] || !b->set[set])
		return a->knows[set] == b->knows[set];
	return !memcmp(a->set[set], b->set[set], a->nr * sizeof(*a->set[set]));
}
