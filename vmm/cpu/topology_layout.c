/*
 * From an explicit layout to a topology. Units may be of any size, so nothing is a product here: units are found
 * by sorting the places, ids are made of the numbers, or, where the user gave ids, the fields are found in them.
 */
#include <errno.h>
#include <stdlib.h>

#include "vmm/cpu/topology_internal.h"

struct seat {
	uint16_t id[NR_TOPO_LEVELS];
	uint16_t index;               /* of the vCPU */
	uint16_t unit[NR_TOPO_LEVELS]; /* by rising numbers */
};

static int seat_compare(const void *a, const void *b)
{
	const struct seat *x = a, *y = b;

	for (int level = TOPO_PACKAGE; level >= TOPO_THREAD; level--)
		if (x->id[level] != y->id[level])
			return x->id[level] < y->id[level] ? -1 : 1;
	return x->index < y->index ? -1 : 1; /* for the message about twins */
}

/* The largest level in which two seats are in different units, or -1 when they are the same place. */
static int seat_difference(const struct seat *a, const struct seat *b)
{
	for (int level = TOPO_PACKAGE; level >= TOPO_THREAD; level--)
		if (a->id[level] != b->id[level])
			return level;
	return -1;
}

/* Number every unit, in the order of the sorted places; nr_units and count follow from it. */
static int seats_number(struct topology *t, struct seat *seat, struct err *e)
{
	unsigned int siblings[NR_TOPO_LEVELS] = { 1, 1, 1, 1, 1 };

	for (unsigned int level = 0; level < NR_TOPO_LEVELS; level++)
		t->count[level] = t->nr_units[level] = 1;
	for (unsigned int i = 1; i < t->nr_cpus; i++) {
		int top = seat_difference(&seat[i - 1], &seat[i]);

		if (top < 0)
			return err_usage(e, "vCPUs %u and %u have the same place: package %u, die %u, module %u, core %u, thread %u",
					 seat[i - 1].index, seat[i].index, seat[i].id[TOPO_PACKAGE], seat[i].id[TOPO_DIE],
					 seat[i].id[TOPO_MODULE], seat[i].id[TOPO_CORE], seat[i].id[TOPO_THREAD]);
		for (int level = TOPO_THREAD; level <= top; level++) {
			siblings[level] = level == top ? siblings[level] + 1 : 1;
			t->count[level] = MAX(t->count[level], siblings[level]);
			t->nr_units[level]++;
		}
		for (unsigned int level = 0; level < NR_TOPO_LEVELS; level++)
			seat[i].unit[level] = (uint16_t)(t->nr_units[level] - 1);
	}
	return 0;
}

/* From sorted units to units by order of appearance, and how many vCPUs each holds. */
static int units_fill(struct topology *t, const struct seat *seat, struct err *e)
{
	uint16_t *number = malloc(2 * (size_t)t->nr_cpus * sizeof(*number)), *sorted = number + t->nr_cpus;

	if (!number)
		return err_set(e, -ENOMEM, "out of memory for %u processors", t->nr_cpus);
	for (unsigned int level = 0; level < NR_TOPO_LEVELS; level++) {
		unsigned int seen = 0;

		memset(number, 0xff, t->nr_cpus * sizeof(*number));
		for (unsigned int i = 0; i < t->nr_cpus; i++)
			sorted[seat[i].index] = seat[i].unit[level];
		for (unsigned int i = 0; i < t->nr_cpus; i++) {
			if (number[sorted[i]] == UINT16_MAX)
				number[sorted[i]] = (uint16_t)seen++;
			t->cpu[i].unit[level] = number[sorted[i]];
			if (level > TOPO_THREAD)
				t->unit_cpus[level][t->cpu[i].unit[level]]++;
		}
	}
	free(number);
	t->regular = true;
	for (unsigned int level = TOPO_CORE; level < NR_TOPO_LEVELS; level++)
		for (unsigned int i = 1; i < t->nr_units[level]; i++)
			t->regular &= t->unit_cpus[level][i] == t->unit_cpus[level][0];
	return 0;
}

/* Ids of the numbers: each level gets the bits that its largest number needs. */
static int ids_make(struct topology *t, struct err *e)
{
	unsigned int most[NR_TOPO_LEVELS] = { 0 };

	for (unsigned int i = 0; i < t->nr_cpus; i++)
		for (unsigned int level = 0; level < NR_TOPO_LEVELS; level++)
			most[level] = MAX(most[level], (unsigned int)t->cpu[i].id[level]);
	for (unsigned int level = 1; level < NR_TOPO_LEVELS; level++)
		t->shift[level] = t->shift[level - 1] + topology_bits_for(most[level - 1] + 1);
	if (t->shift[TOPO_PACKAGE] > 31 || (uint64_t)most[TOPO_PACKAGE] << t->shift[TOPO_PACKAGE] > TOPO_MAX_APIC_ID)
		return err_usage(e, "--topology: numbers up to package %u, die %u, module %u, core %u, thread %u need APIC ids above "
				    "0x%x; number the units of each level from 0",
				 most[TOPO_PACKAGE], most[TOPO_DIE], most[TOPO_MODULE], most[TOPO_CORE], most[TOPO_THREAD],
				 TOPO_MAX_APIC_ID);
	for (unsigned int i = 0; i < t->nr_cpus; i++)
		for (unsigned int level = 0; level < NR_TOPO_LEVELS; level++)
			t->cpu[i].apic_id |= (uint32_t)t->cpu[i].id[level] << t->shift[level];
	return 0;
}

/* The least shift, from the one below up, that makes the ids inside each unit of the level equal. */
static unsigned int shift_find(const struct topology *t, enum topo_level level, uint32_t *first)
{
	uint32_t differ = 0;
	unsigned int shift = t->shift[level - 1];

	for (unsigned int i = t->nr_cpus; i-- > 0;)
		first[t->cpu[i].unit[level]] = t->cpu[i].apic_id;
	for (unsigned int i = 0; i < t->nr_cpus; i++)
		differ |= first[t->cpu[i].unit[level]] ^ t->cpu[i].apic_id;
	while (differ >> shift)
		shift++;
	return shift;
}

/* Do ids from this bit up tell units of the level apart? owner has room for every id. */
static int shift_check(const struct topology *t, enum topo_level level, uint16_t *owner, struct err *e)
{
	memset(owner, 0xff, (TOPO_MAX_APIC_ID + 1) * sizeof(*owner));
	for (unsigned int i = 0; i < t->nr_cpus; i++) {
		const struct topo_cpu *c = &t->cpu[i];
		uint16_t *o = &owner[c->apic_id >> t->shift[level]];

		if (*o == UINT16_MAX)
			*o = (uint16_t)i;
		if (t->cpu[*o].unit[level] == c->unit[level])
			continue;
		if (level == TOPO_THREAD)
			return err_usage(e, "--topology: vCPUs %u and %u both have APIC id 0x%x", *o, i, c->apic_id);
		return err_usage(e, "--topology: APIC ids 0x%x and 0x%x cannot put vCPUs %u and %u into different %ss: the bits from %u up "
				    "name the %s, and theirs are equal",
				 t->cpu[*o].apic_id, c->apic_id, *o, i, topology_level_name(level), t->shift[level],
				 topology_level_name(level));
	}
	return 0;
}

/* The user's ids: find the fields, and see that they tell what the places say. */
static int ids_take(struct topology *t, const struct layout *l, struct err *e)
{
	uint32_t *first = malloc(t->nr_cpus * sizeof(*first) + (TOPO_MAX_APIC_ID + 1) * sizeof(uint16_t));
	uint16_t *owner = first ? (uint16_t *)(first + t->nr_cpus) : NULL;
	int rc = first ? 0 : err_set(e, -ENOMEM, "out of memory for %u processors", t->nr_cpus);

	for (unsigned int i = 0; rc == 0 && i < t->nr_cpus; i++) {
		t->cpu[i].apic_id = l->cpu[i].apic_id;
		if (l->cpu[i].apic_id == LAYOUT_NO_ID)
			rc = err_usage(e, "--topology: vCPU %u has no APIC id, but others have; give all of them one, or none", i);
		else if (l->cpu[i].apic_id > TOPO_MAX_APIC_ID)
			rc = err_usage(e, "--topology: APIC id 0x%x of vCPU %u is above 0x%x", l->cpu[i].apic_id, i, TOPO_MAX_APIC_ID);
	}
	for (unsigned int level = 0; rc == 0 && level < NR_TOPO_LEVELS; level++) {
		if (level)
			t->shift[level] = shift_find(t, level, first);
		rc = shift_check(t, level, owner, e);
	}
	free(first);
	return rc;
}

static int cpus_fill(struct topology *t, const struct layout *l, struct err *e)
{
	bool has_ids = false;

	for (unsigned int i = 0; i < t->nr_cpus; i++) {
		struct topo_cpu *c = &t->cpu[i];

		memcpy(c->id, l->cpu[i].id, sizeof(c->id));
		c->present = i < t->nr_present;
		c->core_type = l->cpu[i].core_type;
		c->host_cpu = l->cpu[i].host_cpu;
		has_ids |= l->cpu[i].apic_id != LAYOUT_NO_ID;
		t->hybrid |= c->core_type != TOPO_ALIKE;
	}
	for (unsigned int i = 0; t->hybrid && i < t->nr_cpus; i++)
		if (t->cpu[i].core_type == TOPO_ALIKE)
			return err_usage(e, "--topology: vCPU %u has no type, but others have; give each type=performance or "
					    "type=efficiency, or none",
					 i);
	return has_ids ? ids_take(t, l, e) : ids_make(t, e);
}

int topology_from_layout(struct topology *t, const struct layout *l, unsigned int present, struct err *e)
{
	struct seat *seat;
	int rc;

	*t = (struct topology){ .nr_cpus = l->nr_cpus, .nr_present = present ? present : l->nr_cpus };
	if (!l->nr_cpus || l->nr_cpus > TOPO_MAX_CPUS)
		return err_usage(e, "--topology: %u processors; a machine can have 1 to %d", l->nr_cpus, TOPO_MAX_CPUS);
	if (present > l->nr_cpus)
		return err_usage(e, "--cpus %u: the topology has %u processors", present, l->nr_cpus);
	seat = calloc(l->nr_cpus, sizeof(*seat));
	if (!seat)
		return err_set(e, -ENOMEM, "out of memory for %u processors", l->nr_cpus);
	for (unsigned int i = 0; i < l->nr_cpus; i++) {
		memcpy(seat[i].id, l->cpu[i].id, sizeof(seat[i].id));
		seat[i].index = (uint16_t)i;
	}
	qsort(seat, l->nr_cpus, sizeof(*seat), seat_compare);
	if ((rc = seats_number(t, seat, e)) == 0 && (rc = topology_alloc(t, e)) == 0 &&
	    (rc = units_fill(t, seat, e)) == 0)
		rc = cpus_fill(t, l, e);
	free(seat);
	return rc;
}
