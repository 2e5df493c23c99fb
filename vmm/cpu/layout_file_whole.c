/*
 * Topology files as a whole: is every vCPU there and in a place of its own, which kinds of caches and which nodes
 * do the lines make together.
 */
#include <errno.h>
#include <stdlib.h>

#include "vmm/cpu/layout_file.h"

/* Is every number from 0 on there? */
static int cpus_check(struct file_reader *r)
{
	struct layout *l = r->l;
	unsigned int missing = 0;

	r->line = MAX(r->line, 1u);
	if (!r->nr_described)
		return layout_file_refuse(
			r, "there is no vCPU; expected lines as in cpu 0-3 core=0-1 thread=0-1");
	for (unsigned int i = 0; i < TOPO_MAX_CPUS; i++)
		l->nr_cpus = r->cpu_line[i] ? i + 1 : l->nr_cpus;
	while (r->cpu_line[missing] && missing < l->nr_cpus - 1)
		missing++;
	r->line = r->cpu_line[l->nr_cpus - 1];
	if (r->nr_described != l->nr_cpus)
		return layout_file_refuse(
			r, "vCPU %u is here, and no line has vCPU %u; expected each number from 0 once",
			l->nr_cpus - 1, missing);
	for (unsigned int i = 1; i < l->nr_cpus; i++) {
		r->line = r->cpu_line[i];
		if (!l->cpu[i].core_type != !l->cpu[0].core_type)
			return layout_file_refuse(r,
						  "vCPU %u has %s type= and vCPU 0 has %s; expected it for "
						  "all vCPUs, or for none",
						  i, l->cpu[i].core_type ? "a" : "no",
						  l->cpu[0].core_type ? "one" : "none");
		if ((l->cpu[i].apic_id == LAYOUT_NO_ID) != (l->cpu[0].apic_id == LAYOUT_NO_ID))
			return layout_file_refuse(r,
						  "vCPU %u has %s apic= and vCPU 0 has %s; expected it for "
						  "all vCPUs, or for none",
						  i, l->cpu[i].apic_id == LAYOUT_NO_ID ? "no" : "an",
						  l->cpu[0].apic_id == LAYOUT_NO_ID ? "none" : "one");
	}
	return 0;
}

struct twin {
	uint64_t key;
	uint32_t cpu;
};

static int twin_compare(const void *a, const void *b)
{
	const struct twin *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->cpu < y->cpu ? -1 : x->cpu > y->cpu;
}

static int twins_check(struct file_reader *r, bool by_id)
{
	const struct layout *l = r->l;
	struct twin *twin = calloc(l->nr_cpus, sizeof(*twin));
	int rc = twin ? 0 : err_set(r->e, -ENOMEM, "out of memory for %u processors", l->nr_cpus);

	for (uint32_t i = 0; rc == 0 && i < l->nr_cpus; i++) {
		twin[i].cpu = i;
		twin[i].key = by_id ? l->cpu[i].apic_id : 0;
		for (int level = TOPO_PACKAGE; !by_id && level >= 0; level--)
			twin[i].key = twin[i].key << 12 | l->cpu[i].id[level];
	}
	if (rc == 0)
		qsort(twin, l->nr_cpus, sizeof(*twin), twin_compare);
	for (unsigned int i = 1; rc == 0 && i < l->nr_cpus; i++)
		if (twin[i].key == twin[i - 1].key) {
			r->line = r->cpu_line[twin[i].cpu];
			rc = layout_file_refuse(r, "vCPU %u has the %s of vCPU %u on line %u", twin[i].cpu,
						by_id ? "APIC id" : "place", twin[i - 1].cpu,
						r->cpu_line[twin[i - 1].cpu]);
		}
	free(twin);
	return rc;
}

/* Kinds that lines speak of but no cache line describes: the host's, in the groups that were said. */
static int caches_complete(struct file_reader *r)
{
	for (unsigned int slot = 0; slot < NR_SLOTS; slot++) {
		bool known = false, said = false;

		for (unsigned int k = 0; k < r->nr_caches; k++)
			known |= r->cache[k].slot == slot;
		for (unsigned int i = 0; i < r->l->nr_cpus && !known && !said; i++) {
			said = r->said[i][slot] != LAYOUT_BY_LEVEL;
			r->line = r->cpu_line[i];
		}
		if (!said)
			continue;
		if (r->nr_caches == TOPO_MAX_CACHES)
			return layout_file_refuse(r, "more than %d kinds of caches", TOPO_MAX_CACHES);
		r->cache[r->nr_caches++] = (struct cache_line){
			slot,
			r->line,
			{ .level = layout_file_slots[slot].level,
			  .type = layout_file_slots[slot].type,
			  .shared = layout_file_slots[slot].level >= 3 ? TOPO_DIE : TOPO_CORE }
		};
	}
	return 0;
}

/* One first-level cache for data and code: then the host's two are none of this machine's. */
static int unified_check(struct file_reader *r)
{
	bool split = false;

	for (unsigned int k = 0; k < r->nr_caches; k++) {
		split |= r->cache[k].cache.level == 1 && r->cache[k].cache.type != CACHE_UNIFIED;
		r->l->all_caches |= r->cache[k].cache.level == 1 && r->cache[k].cache.type == CACHE_UNIFIED;
	}
	if (split && r->l->all_caches)
		return layout_file_refuse(
			r, "l1 is one cache for data and code; expected either it or l1d and l1i");
	return 0;
}

/* Caches of one type of core in a machine where cores have no types would be nobody's. */
static int types_check(struct file_reader *r)
{
	for (unsigned int k = 0; k < r->nr_caches; k++) {
		if (!r->cache[k].cache.core_type || r->l->cpu[0].core_type)
			continue;
		r->line = r->cache[k].line;
		return layout_file_refuse(
			r, "cache %s is for cores of a type, but no vCPU has one; expected type= on the cpu lines too",
			layout_file_slots[r->cache[k].slot].name);
	}
	return 0;
}

/* From what each vCPU says of l2= and so on to its group in each kind. */
static int caches_fill(struct file_reader *r)
{
	struct layout *l = r->l;
	int rc = types_check(r);

	if (rc == 0)
		rc = caches_complete(r);
	if (rc == 0)
		rc = unified_check(r);
	for (unsigned int k = 0; rc == 0 && k < r->nr_caches; k++)
		l->cache[l->nr_caches++] = r->cache[k].cache;
	for (unsigned int i = 0; rc == 0 && i < l->nr_cpus; i++)
		for (unsigned int slot = 0; slot < NR_SLOTS; slot++) {
			bool placed = r->said[i][slot] < 0;

			for (unsigned int k = 0; k < r->nr_caches; k++) {
				bool fits = !l->cache[k].core_type ||
					    l->cache[k].core_type == l->cpu[i].core_type;

				if (r->cache[k].slot == slot)
					l->cpu[i].group[k] = fits ? r->said[i][slot] : LAYOUT_NONE;
				placed |= r->cache[k].slot == slot && fits;
			}
			r->line = r->cpu_line[i];
			if (!placed)
				return layout_file_refuse(
					r, "vCPU %u is in an %s, but no 'cache %s' line is for its type", i,
					layout_file_slots[slot].name, layout_file_slots[slot].name);
		}
	return rc;
}

static int nodes_fill(struct file_reader *r)
{
	struct layout *l = r->l;
	unsigned int nr = 0;

	for (unsigned int i = 0; r->any_nodes && i < l->nr_cpus; i++) {
		r->node_line[l->cpu[i].node] = MAX(r->node_line[l->cpu[i].node], 1u);
		nr = MAX(nr, l->cpu[i].node + 1u);
	}
	for (unsigned int i = 0; i < TOPO_MAX_NODES; i++)
		nr = r->node_line[i] ? MAX(nr, i + 1) : nr;
	for (unsigned int i = 0; i < TOPO_MAX_NODES * TOPO_MAX_NODES; i++) {
		unsigned int most = MAX(i / TOPO_MAX_NODES, i % TOPO_MAX_NODES);

		r->line = r->distance_line;
		if (r->distance[i / TOPO_MAX_NODES][i % TOPO_MAX_NODES] && most >= nr)
			return layout_file_refuse(
				r, "a distance is of node %u, which has neither vCPUs nor a node line", most);
	}
	if (!nr)
		return 0;
	for (unsigned int i = 0; i < nr; i++) {
		r->line = r->node_line[nr - 1];
		if (!r->node_line[i])
			return layout_file_refuse(
				r, "there is a node %u, but node %u has neither vCPUs nor a node line",
				nr - 1, i);
	}
	l->node = calloc(nr, sizeof(*l->node));
	l->distance = r->distance_line ? malloc((size_t)nr * nr) : NULL;
	if (!l->node || (r->distance_line && !l->distance))
		return err_set(r->e, -ENOMEM, "out of memory for %u nodes", nr);
	l->nr_nodes = nr;
	l->memory_said = r->nr_memories == nr;
	memcpy(l->node, r->node, nr * sizeof(*l->node));
	for (unsigned int i = 0; l->distance && i < nr * nr; i++) {
		uint8_t there = r->distance[i / nr][i % nr], back = r->distance[i % nr][i / nr];

		l->distance[i] = there ? there : back ? back : i / nr == i % nr ? 10 : 20;
	}
	return 0;
}

int layout_file_finish(struct file_reader *r)
{
	int rc;

	if ((rc = cpus_check(r)) < 0 || (rc = twins_check(r, false)) < 0)
		return rc;
	if (r->l->cpu[0].apic_id != LAYOUT_NO_ID && (rc = twins_check(r, true)) < 0)
		return rc;
	if ((rc = caches_fill(r)) < 0)
		return rc;
	return nodes_fill(r);
}
