/*
 * The shape as nested boxes. All pictures are drawn from this tree.
 *
 * Packages, dies, modules and cores nest by construction; NUMA nodes and caches may be larger or smaller than any
 * of them, and differ from one half of the machine to the other. So nothing is presumed: vCPUs are put in an order
 * that keeps groups together, and then every box takes the largest group that begins where the last one ended.
 */
#include "vmm/view/view.h"

#include <errno.h>
#include <stdlib.h>

#include "vmm/base/opt.h"

/* More threads than this in a core are folded, if any folding is asked for at all. */
enum { SHOWN_THREADS = 8 };

#define NO_GROUP UINT16_MAX

/* One way to divide the vCPUs: by node, package, cache kind and so on. */
struct grouping {
	enum view_kind kind;
	enum topo_level level; /* a unit's own; of nodes and caches: the largest unit that they do not cut */
	bool unit;             /* package, die, module or core */
	unsigned int cache;    /* VIEW_CACHE: index into topology.cache */
	uint16_t *key;         /* owned; by vCPU: equal inside a group; NO_GROUP: in none */
	uint16_t *size;        /* owned; by key: vCPUs in that group */
};

enum { MAX_GROUPINGS = TOPO_MAX_CACHES + NR_TOPO_LEVELS };

struct builder {
	const struct topology *t;
	struct grouping g[MAX_GROUPINGS]; /* where two hold the same vCPUs, the earlier is outside */
	unsigned int nr;
	uint16_t *order; /* owned; vCPUs from left to right */
	uint16_t *seen;  /* owned; scratch of UINT16_MAX + 1 */
	unsigned int fold;
	bool any_memory; /* some node's size is known */
};

/* What one vCPU is sorted by. */
struct sort_key {
	uint16_t by[MAX_GROUPINGS + 1];
};

/* ---- groupings ---- */

static unsigned int raw_number(const struct grouping *g, const struct topo_cpu *cpu)
{
	switch (g->kind) {
	case VIEW_NODE:
		return cpu->node;
	case VIEW_CACHE:
		return cpu->cache[g->cache];
	default:
		return cpu->unit[g->level];
	}
}

/* Keys are the first vCPU of the group, which bounds them; but a node's is its number, as people count nodes. */
static void fill_keys(struct builder *b, struct grouping *g)
{
	memset(b->seen, 0xff, (UINT16_MAX + 1) * sizeof(*b->seen));
	for (unsigned int i = 0; i < b->t->nr_cpus; i++) {
		unsigned int number = raw_number(g, &b->t->cpu[i]);

		if (g->kind == VIEW_CACHE && number == TOPO_NO_CACHE) {
			g->key[i] = NO_GROUP;
			continue;
		}
		if (b->seen[number] == NO_GROUP)
			b->seen[number] = g->kind == VIEW_NODE ? (uint16_t)number : (uint16_t)i;
		g->key[i] = b->seen[number];
		g->size[g->key[i]]++;
	}
}

static int add_grouping(struct builder *b, enum view_kind kind, enum topo_level level, unsigned int cache)
{
	struct grouping *g = &b->g[b->nr];

	*g = (struct grouping){ .kind = kind, .level = level, .cache = cache };
	g->unit = kind != VIEW_NODE && kind != VIEW_CACHE;
	g->key = calloc(b->t->nr_cpus, sizeof(*g->key));
	g->size = calloc(MAX(b->t->nr_cpus, (unsigned int)TOPO_MAX_NODES), sizeof(*g->size));
	b->nr++;
	if (!g->key || !g->size)
		return -ENOMEM;
	fill_keys(b, g);
	return 0;
}

/* Does every unit of this grouping lie in one group of g, or wholly in none? */
static bool keeps_whole(const struct builder *b, const struct grouping *g, const struct grouping *units)
{
	for (unsigned int i = 0; i < b->t->nr_cpus; i++)
		if (g->key[i] != g->key[units->key[i]])
			return false;
	return true;
}

static void find_places(struct builder *b)
{
	for (unsigned int i = 0; i < b->nr; i++) {
		struct grouping *g = &b->g[i];

		if (g->unit)
			continue;
		g->level = TOPO_THREAD;
		for (unsigned int j = 0; j < b->nr && g->level == TOPO_THREAD; j++)
			if (b->g[j].unit && keeps_whole(b, g, &b->g[j]))
				g->level = b->g[j].level;
	}
}

/* Levels with one unit in each larger one say nothing and get no box, but packages and cores always do. */
static int make_groupings(struct builder *b)
{
	const struct topology *t = b->t;
	int rc = 0;

	if (t->nr_nodes)
		rc = add_grouping(b, VIEW_NODE, TOPO_PACKAGE, 0);
	if (!rc)
		rc = add_grouping(b, VIEW_PACKAGE, TOPO_PACKAGE, 0);
	if (!rc && t->count[TOPO_DIE] > 1)
		rc = add_grouping(b, VIEW_DIE, TOPO_DIE, 0);
	if (!rc && t->count[TOPO_MODULE] > 1)
		rc = add_grouping(b, VIEW_MODULE, TOPO_MODULE, 0);
	for (unsigned int level = 4; level; level--)
		for (unsigned int i = 0; i < t->nr_caches && !rc; i++)
			if (t->cache[i].level == level)
				rc = add_grouping(b, VIEW_CACHE, TOPO_CORE, i);
	if (!rc)
		rc = add_grouping(b, VIEW_CORE, TOPO_CORE, 0);
	if (!rc)
		find_places(b);
	return rc;
}

/* ---- the order ---- */

static int compare_keys(const void *a, const void *b)
{
	const struct sort_key *x = a, *y = b;

	for (unsigned int i = 0; i < ARRAY_SIZE(x->by); i++)
		if (x->by[i] != y->by[i])
			return x->by[i] < y->by[i] ? -1 : 1;
	return 0;
}

/*
 * By package, then die and so on; nodes and caches go before the largest unit that they do not cut. Where a cache
 * kind is missing, the unit stands for it: performance cores are not to move behind the efficiency cores' L2.
 */
static int make_order(struct builder *b)
{
	struct sort_key *keys = calloc(b->t->nr_cpus, sizeof(*keys));
	unsigned int at = 0;

	if (!keys)
		return -ENOMEM;
	for (int level = TOPO_PACKAGE; level >= TOPO_THREAD; level--) {
		const struct grouping *unit = NULL;

		for (unsigned int j = 0; j < b->nr; j++)
			if (b->g[j].unit && b->g[j].level == (enum topo_level)level)
				unit = &b->g[j];
		for (unsigned int j = 0; j < b->nr; j++) {
			if (b->g[j].unit || b->g[j].level != (enum topo_level)level)
				continue;
			for (unsigned int i = 0; i < b->t->nr_cpus; i++)
				keys[i].by[at] = b->g[j].key[i] != NO_GROUP ? b->g[j].key[i]
						 : unit                     ? unit->key[i]
									    : (uint16_t)i;
			at++;
		}
		for (unsigned int i = 0; unit && i < b->t->nr_cpus; i++)
			keys[i].by[at] = unit->key[i];
		at += unit ? 1 : 0;
	}
	for (unsigned int i = 0; i < b->t->nr_cpus; i++)
		keys[i].by[at] = (uint16_t)i; /* no two are equal, so the order is the same with every libc */
	qsort(keys, b->t->nr_cpus, sizeof(*keys), compare_keys);
	for (unsigned int i = 0; i < b->t->nr_cpus; i++)
		b->order[i] = keys[i].by[at];
	free(keys);
	return 0;
}

/* ---- boxes ---- */

static uint16_t key_at(const struct builder *b, const struct grouping *g, unsigned int pos)
{
	return g->key[b->order[pos]];
}

/* Would a box around [from, to) cut a unit that it does not lie in? */
static bool cuts_unit(const struct builder *b, const struct view_box *in, unsigned int from, unsigned int to)
{
	for (unsigned int i = 0; i < b->nr; i++) {
		const struct grouping *u = &b->g[i];

		if (!u->unit || key_at(b, u, from) == key_at(b, u, to - 1))
			continue;
		if (to < in->first + in->nr && key_at(b, u, to - 1) == key_at(b, u, to))
			return true;
		if (from > in->first && key_at(b, u, from - 1) == key_at(b, u, from))
			return true;
	}
	return false;
}

/* The largest group that begins at from, inside a box; returns its length. *best: index, or b->nr for a vCPU alone. */
static unsigned int largest_group(const struct builder *b, const struct view_box *in, unsigned int from,
				  uint32_t used, unsigned int *best)
{
	unsigned int end = in->first + in->nr, best_len = 0;

	*best = b->nr;
	for (unsigned int i = 0; i < b->nr; i++) {
		const struct grouping *g = &b->g[i];
		uint16_t key = key_at(b, g, from);
		unsigned int to = from + 1;

		if (key == NO_GROUP || used >> i & 1)
			continue;
		while (to < end && key_at(b, g, to) == key)
			to++;
		if (to - from > best_len && (g->unit || !cuts_unit(b, in, from, to))) {
			best_len = to - from;
			*best = i;
		}
	}
	return best_len ? best_len : 1;
}

static void label_node(const struct builder *b, struct view_box *box)
{
	char size[32];

	box->bytes = b->t->node[box->number].memory_bytes;
	opt_size_text(box->bytes, size, sizeof(size));
	if (!b->any_memory)
		snprintf(box->label, sizeof(box->label), "Node %u", box->number);
	else
		snprintf(box->label, sizeof(box->label), "Node %u %s%s", box->number,
			 box->bytes ? size : "no memory",
			 box->nr      ? ""
			 : box->bytes ? ", memory only"
				      : ", no CPUs");
}

static void label_box(const struct builder *b, struct view_box *box, const struct topo_cpu *cpu)
{
	static const char *const word[] = { "Machine", "Node", "Package", "Die", "Module" };
	char name[16], size[32];

	switch (box->kind) {
	case VIEW_NODE:
		label_node(b, box);
		break;
	case VIEW_CACHE:
		box->bytes = b->t->cache[box->cache].bytes;
		snprintf(box->label, sizeof(box->label), "%s %s",
			 cache_name(&b->t->cache[box->cache], name, sizeof(name)),
			 opt_size_text(box->bytes, size, sizeof(size)));
		break;
	case VIEW_CORE:
		box->core_type = cpu->core_type;
		snprintf(box->label, sizeof(box->label), "%s %u",
			 cpu->core_type == TOPO_PERFORMANCE  ? "P-core"
			 : cpu->core_type == TOPO_EFFICIENCY ? "E-core"
							     : "Core",
			 box->number);
		break;
	case VIEW_PU:
		snprintf(box->label, sizeof(box->label), "CPU %u id 0x%02x", box->number, cpu->apic_id);
		break;
	default:
		snprintf(box->label, sizeof(box->label), "%s %u", word[box->kind], box->number);
		break;
	}
}

/* A box for vCPUs [first, first + nr) of the order; which is an index into b->g, or b->nr for one vCPU. */
static void box_init(const struct builder *b, struct view_box *box, unsigned int which, unsigned int first,
		     unsigned int nr)
{
	unsigned int index = b->order[first];
	const struct topo_cpu *cpu = &b->t->cpu[index];

	*box = (struct view_box){ .kind = VIEW_PU, .first = first, .nr = nr, .number = index };
	if (which < b->nr) {
		const struct grouping *g = &b->g[which];

		box->kind = g->kind;
		box->number = raw_number(g, cpu);
		box->cache = g->cache;
		box->part = g->size[g->key[index]] != nr;
	}
	for (unsigned int i = first; i < first + nr; i++)
		box->nr_present += b->t->cpu[b->order[i]].present;
	box->present = box->nr_present > 0;
	box->first_core = cpu->unit[TOPO_CORE];
	box->last_core = b->t->cpu[b->order[first + nr - 1]].unit[TOPO_CORE];
	label_box(b, box, cpu);
	if (box->part && strlen(box->label) < sizeof(box->label) - 8)
		strcat(box->label, " (part)");
}

/* Are two boxes alike in all but numbers? Depth is that of the tree, at most MAX_GROUPINGS + 2. */
static bool alike(const struct view_box *a, const struct view_box *b)
{
	if (a->kind != b->kind || a->nr != b->nr || a->nr_present != b->nr_present || a->bytes != b->bytes ||
	    a->core_type != b->core_type || a->part != b->part || a->repeat != b->repeat ||
	    a->nr_children != b->nr_children || (a->kind == VIEW_CACHE && a->cache != b->cache))
		return false;
	for (unsigned int i = 0; i < a->nr_children; i++)
		if (!alike(&a->child[i], &b->child[i]))
			return false;
	return true;
}

/* Inside a core only vCPUs are folded: all that pictures show of its inside is their row. */
static void fold_children(const struct builder *b, struct view_box *box, bool in_core)
{
	unsigned int kept = 0, run;

	for (unsigned int i = 0; i < box->nr_children; i += run) {
		struct view_box *c = &box->child[i];
		unsigned int limit = c->kind == VIEW_PU ? MAX(b->fold, (unsigned int)SHOWN_THREADS) : b->fold;

		for (run = 1; i + run < box->nr_children && alike(c, c + run); run++)
			;
		if (run <= limit || (in_core && c->kind != VIEW_PU)) {
			memmove(&box->child[kept], c, run * sizeof(*c));
			kept += run;
			continue;
		}
		c->repeat = run - 1;
		c->folded.first = c[1].number;
		c->folded.last = c[run - 1].number;
		c->folded.first_core = c[1].first_core;
		c->folded.last_core = c[run - 1].last_core;
		for (unsigned int j = 1; j < run; j++)
			view_tree_fini(&c[j]);
		box->child[kept++] = *c;
	}
	box->nr_children = kept;
}

/* Depth is at most MAX_GROUPINGS + 2: each level uses up a grouping, and a vCPU has no children. */
static int build(const struct builder *b, struct view_box *box, uint32_t used)
{
	unsigned int end = box->first + box->nr, which, more = 0;
	int rc = 0;

	if (box->kind == VIEW_PU)
		return 0;
	for (unsigned int at = box->first; at < end; more++)
		at += largest_group(b, box, at, used, &which);
	if (box->kind == VIEW_MACHINE) /* room for nodes without vCPUs */
		more += b->t->nr_nodes;
	box->child = calloc(more, sizeof(*box->child));
	if (!box->child)
		return -ENOMEM;
	for (unsigned int at = box->first; at < end && !rc;) {
		unsigned int nr = largest_group(b, box, at, used, &which);
		struct view_box *c = &box->child[box->nr_children++];

		box_init(b, c, which, at, nr);
		rc = build(b, c, which < b->nr ? used | 1u << which : used);
		at += nr;
	}
	if (box->kind == VIEW_MACHINE)
		for (unsigned int i = 0; i < b->t->nr_nodes; i++) {
			struct view_box *c = &box->child[box->nr_children];

			if (b->g[0].size[i])
				continue;
			*c = (struct view_box){
				.kind = VIEW_NODE, .number = i, .first = end, .present = true
			};
			label_node(b, c);
			box->nr_children++;
		}
	if (!rc && b->fold)
		fold_children(b, box, used >> (b->nr - 1) & 1); /* cores are the last grouping */
	return rc;
}

static int build_machine(struct builder *b, struct view_box *root)
{
	const struct topology *t = b->t;
	int rc;

	b->order = calloc(t->nr_cpus, sizeof(*b->order));
	b->seen = malloc((UINT16_MAX + 1) * sizeof(*b->seen));
	if (!b->order || !b->seen)
		return -ENOMEM;
	for (unsigned int i = 0; i < t->nr_nodes; i++)
		b->any_memory = b->any_memory || t->node[i].memory_bytes;
	rc = make_groupings(b);
	if (!rc)
		rc = make_order(b);
	if (rc)
		return rc;
	*root = (struct view_box){ .kind = VIEW_MACHINE, .nr = t->nr_cpus, .present = true };
	root->nr_present = t->nr_present;
	root->first_core = t->cpu[b->order[0]].unit[TOPO_CORE];
	root->last_core = t->cpu[b->order[t->nr_cpus - 1]].unit[TOPO_CORE];
	snprintf(root->label, sizeof(root->label), "Machine: %u vCPU%s", t->nr_cpus,
		 t->nr_cpus == 1 ? "" : "s");
	return build(b, root, 0);
}

int view_tree(const struct topology *t, unsigned int fold, struct view_box *root, struct err *e)
{
	struct builder b = { .t = t, .fold = fold };
	int rc;

	*root = (struct view_box){ 0 };
	rc = build_machine(&b, root);
	for (unsigned int i = 0; i < b.nr; i++) {
		free(b.g[i].key);
		free(b.g[i].size);
	}
	free(b.order);
	free(b.seen);
	if (!rc)
		return 0;
	view_tree_fini(root);
	return err_set(e, rc, "out of memory for a picture of %u processors", t->nr_cpus);
}

void view_tree_fini(struct view_box *root)
{
	for (unsigned int i = 0; i < root->nr_children; i++)
		view_tree_fini(&root->child[i]);
	free(root->child);
	*root = (struct view_box){ 0 };
}
