/*
 * Layouts: what the readers have in common, and the choice among them. How a file, this host or hwloc tells a
 * shape is layout_file.c's, layout_host.c's and layout_hwloc.c's business.
 */
#include "vmm/cpu/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "vmm/cpu/layout_internal.h"

struct layout_cpu layout_cpu_default(void)
{
	struct layout_cpu c = { .apic_id = LAYOUT_NO_ID, .host_cpu = -1 };

	for (unsigned int k = 0; k < TOPO_MAX_CACHES; k++)
		c.group[k] = LAYOUT_BY_LEVEL;
	return c;
}

void layout_fini(struct layout *l)
{
	free(l->cpu);
	free(l->node);
	free(l->distance);
	*l = (struct layout){ 0 };
}

uint64_t layout_memory_sum(const struct layout *l)
{
	uint64_t sum = 0;

	for (unsigned int n = 0; l->memory_said && n < l->nr_nodes; n++)
		sum += l->node[n].memory_bytes;
	return sum;
}

int layout_read(struct layout *l, const char *source, struct err *e)
{
	static const char accepted[] = "expected host, host:CPUS, hwloc:FILE or a topology file";
	int rc;

	*l = (struct layout){ 0 };
	if (!strcmp(source, "host"))
		return layout_read_host(l, "/sys", NULL, e);
	if (!strncmp(source, "host:", 5))
		return layout_read_host(l, "/sys", source + 5, e);
	if (!strcmp(source, "") || !strcmp(source, "hwloc:") || !strcmp(source, "file:"))
		return err_usage(e, "--topology '%s': no file is named; %s", source, accepted);
	if (!strncmp(source, "hwloc:", 6))
		return layout_read_hwloc(l, source + 6, e);
	if (!strncmp(source, "file:", 5))
		return layout_read_file(l, source + 5, e);
	rc = layout_read_file(l, source, e);
	if (rc == -ENOENT) /* as likely a slip of the pen as a file that is gone */
		return err_usage(e, "--topology %s: there is no such file; %s", source, accepted);
	return rc;
}

/* ---- files ---- */

static int read_all(int fd, size_t limit, char **text, size_t *len)
{
	size_t room = 4096;
	ssize_t n;
	char *more;

	*len = 0;
	*text = NULL;
	for (;;) {
		more = realloc(*text, room + 1);
		if (!more)
			return -ENOMEM;
		*text = more;
		n = read(fd, *text + *len, room - *len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		*len += (size_t)n;
		(*text)[*len] = '\0';
		if (*len > limit)
			return -EFBIG;
		if (n == 0)
			return 0;
		if (*len == room)
			room *= 2;
	}
}

int layout_read_text(const char *path, size_t limit, char **text, size_t *len, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc;

	*text = NULL;
	*len = 0;
	if (fd < 0)
		return err_sys(e, -errno, "cannot read %s", path);
	rc = read_all(fd, limit, text, len);
	close(fd);
	if (rc == 0)
		return 0;
	free(*text);
	*text = NULL;
	if (rc == -EFBIG)
		return err_set(e, rc, "%s: larger than the %zu KiB that such a file may have", path,
			       limit >> 10);
	return err_sys(e, rc, "cannot read %s", path);
}

/* ---- caches ---- */

static bool cache_like(const struct topo_cache *a, const struct topo_cache *b)
{
	return a->level == b->level && a->type == b->type && a->bytes == b->bytes && a->line == b->line &&
	       a->ways == b->ways && a->sets == b->sets && a->partitions == b->partitions &&
	       a->inclusive == b->inclusive && a->fully_associative == b->fully_associative;
}

int layout_cache_kind(struct layout *l, const struct topo_cache *c)
{
	for (unsigned int k = 0; k < l->nr_caches; k++)
		if (cache_like(&l->cache[k], c))
			return (int)k;
	if (l->nr_caches == TOPO_MAX_CACHES)
		return -ENOSPC;
	l->cache[l->nr_caches] = *c;
	l->cache[l->nr_caches].shared = c->level >= 3 ? TOPO_DIE : TOPO_CORE;
	for (unsigned int i = 0; i < l->nr_cpus; i++)
		l->cpu[i].group[l->nr_caches] = LAYOUT_NONE;
	return (int)l->nr_caches++;
}

/* The smallest level that has both in one unit; the machine counts as a package. */
static enum topo_level level_of_both(const struct layout_cpu *a, const struct layout_cpu *b)
{
	for (int level = TOPO_PACKAGE; level >= TOPO_THREAD; level--)
		if (a->id[level] != b->id[level])
			return (enum topo_level)MIN(level + 1, TOPO_PACKAGE);
	return TOPO_THREAD;
}

static void cache_describe(struct layout *l, unsigned int k)
{
	int32_t first[TOPO_MAX_CPUS];
	unsigned int types = 0;
	enum topo_level shared = TOPO_CORE;
	bool grouped = false;

	memset(first, 0xff, sizeof(first));
	for (unsigned int i = 0; i < l->nr_cpus; i++) {
		int32_t group = l->cpu[i].group[k];

		if (group != LAYOUT_NONE)
			types |= 1u << l->cpu[i].core_type;
		if (group < 0)
			continue;
		grouped = true;
		if (first[group] < 0)
			first[group] = (int32_t)i;
		shared = MAX(shared, level_of_both(&l->cpu[first[group]], &l->cpu[i]));
	}
	if (grouped)
		l->cache[k].shared = shared;
	l->cache[k].core_type = TOPO_ALIKE;
	if (types == 1u << TOPO_PERFORMANCE || types == 1u << TOPO_EFFICIENCY)
		l->cache[k].core_type = types == 1u << TOPO_PERFORMANCE ? TOPO_PERFORMANCE : TOPO_EFFICIENCY;
}

/* Exchange two kinds. */
static void caches_swap(struct layout *l, unsigned int a, unsigned int b)
{
	struct topo_cache kind = l->cache[a];

	l->cache[a] = l->cache[b];
	l->cache[b] = kind;
	for (unsigned int i = 0; i < l->nr_cpus; i++) {
		int32_t group = l->cpu[i].group[a];

		l->cpu[i].group[a] = l->cpu[i].group[b];
		l->cpu[i].group[b] = group;
	}
}

static bool cache_before(const struct topo_cache *a, const struct topo_cache *b)
{
	if (a->level != b->level)
		return a->level < b->level;
	return a->type != b->type ? a->type < b->type : a->core_type < b->core_type;
}

void layout_describe_caches(struct layout *l)
{
	bool modules = false;

	for (unsigned int i = 0; i < l->nr_cpus; i++)
		modules |= l->cpu[i].id[TOPO_MODULE] != 0;
	for (unsigned int k = 0; k < l->nr_caches; k++) {
		cache_describe(l, k);
		if (l->cache[k].shared == TOPO_MODULE && !modules)
			l->cache[k].shared = TOPO_DIE;
	}
	for (unsigned int k = 1; k < l->nr_caches; k++)
		for (unsigned int at = k; at > 0 && cache_before(&l->cache[at], &l->cache[at - 1]); at--)
			caches_swap(l, at, at - 1);
}

/* ---- places ---- */

void layout_place_next(struct layout *l, unsigned int i, enum topo_level level)
{
	uint16_t *id = l->cpu[i].id;

	if (i == 0) {
		memset(id, 0, sizeof(l->cpu[i].id));
		return;
	}
	memcpy(id, l->cpu[i - 1].id, sizeof(l->cpu[i].id));
	id[level]++;
	while (level > TOPO_THREAD)
		id[--level] = 0;
}

/* One vCPU on the way to its module; keys tell units apart, and sort as they are to be numbered. */
struct seat {
	uint32_t die, l3, module, core; /* the first vCPU of each */
	uint32_t index;
};

static int seat_compare(const void *a, const void *b)
{
	const struct seat *x = a, *y = b;

	if (x->die != y->die)
		return x->die < y->die ? -1 : 1;
	if (x->l3 != y->l3)
		return x->l3 < y->l3 ? -1 : 1;
	if (x->module != y->module)
		return x->module < y->module ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

/* Which instance of a level's data or unified cache vCPU i has: a number, or -1 for none. */
static int32_t cache_of(const struct layout *l, unsigned int i, uint8_t level)
{
	for (unsigned int k = 0; k < l->nr_caches; k++)
		if (l->cache[k].level == level && l->cache[k].type != CACHE_INSTRUCTION &&
		    l->cpu[i].group[k] >= 0)
			return (int32_t)(k * TOPO_MAX_CPUS) + l->cpu[i].group[k];
	return -1;
}

enum { NR_INSTANCES = TOPO_MAX_CACHES * TOPO_MAX_CPUS, NOBODY = UINT16_MAX };

/*
 * Try the sharers of a level's cache as modules: some must have more than one core and less than a die, and none
 * may have a part of a core or of two dies. first: room for NR_INSTANCES.
 */
static bool modules_by_cache(const struct layout *l, struct seat *seat, uint8_t level, uint16_t *first)
{
	bool found = false, within = true;
	unsigned int die_cpus = 0;

	memset(first, 0xff, NR_INSTANCES * sizeof(*first));
	for (unsigned int i = 0; i < l->nr_cpus; i++) {
		int32_t own = cache_of(l, i, level);

		seat[i].module = seat[i].core;
		if (own < 0)
			continue;
		if (first[own] == NOBODY)
			first[own] = (uint16_t)seat[i].core;
		seat[i].module = first[own];
		within &= seat[seat[i].module].die == seat[i].die;
		found |= seat[i].module != seat[i].core;
	}
	for (unsigned int i = 0; i < l->nr_cpus; i++)
		within &= seat[i].module == seat[seat[i].core].module;
	for (unsigned int i = 0; i < l->nr_cpus; i++)
		die_cpus += seat[i].module == seat[seat[i].die].module;
	return found && within && die_cpus < l->nr_cpus; /* else each die has one module, of all its cores */
}

/* Those that share a level-3 cache come together; in each die, those without one are a group too. */
static void seats_by_l3(const struct layout *l, struct seat *seat, uint16_t *first)
{
	uint32_t without = NOBODY;

	memset(first, 0xff, NR_INSTANCES * sizeof(*first));
	for (unsigned int i = 0; i < l->nr_cpus; i++) {
		int32_t own = cache_of(l, i, 3);

		if (own >= 0 && (first[own] == NOBODY || seat[first[own]].die != seat[i].die))
			first[own] = (uint16_t)i;
		if (own < 0 && (without == NOBODY || seat[without].die != seat[i].die))
			without = i;
		seat[i].l3 = own >= 0 ? first[own] : without;
	}
	for (unsigned int i = 0; i < l->nr_cpus; i++) /* a module is not cut in two */
		seat[i].l3 = seat[seat[i].module].l3;
}

/* The number of modules in the level-3 cache that has most, rounded up to a power of two. */
static unsigned int modules_per_l3(const struct seat *seat, unsigned int nr)
{
	unsigned int most = 1, here = 1, power = 1;

	for (unsigned int i = 1; i < nr; i++) {
		if (seat[i].die != seat[i - 1].die || seat[i].l3 != seat[i - 1].l3)
			here = 1;
		else if (seat[i].module != seat[i - 1].module)
			here++;
		most = MAX(most, here);
	}
	while (power < most)
		power *= 2;
	return power;
}

/* Put the vCPUs into the order of the sorted seats and number their units anew. */
static int seats_take(struct layout *l, const struct seat *seat)
{
	struct layout_cpu *was = malloc(l->nr_cpus * sizeof(*was));
	unsigned int step = modules_per_l3(seat, l->nr_cpus);

	if (!was)
		return -ENOMEM;
	memcpy(was, l->cpu, l->nr_cpus * sizeof(*was));
	for (unsigned int i = 0; i < l->nr_cpus; i++) {
		const struct seat *s = &seat[i], *last = i ? s - 1 : s;
		struct layout_cpu *c = &l->cpu[i];
		enum topo_level level = TOPO_THREAD;
		uint64_t aligned;

		*c = was[s->index];
		if (s->die != last->die)
			level = c->id[TOPO_PACKAGE] != c[-1].id[TOPO_PACKAGE] ? TOPO_PACKAGE : TOPO_DIE;
		else if (s->module != last->module)
			level = TOPO_MODULE;
		else if (s->core != last->core)
			level = TOPO_CORE;
		layout_place_next(l, i, level);
		aligned = align_up(c->id[TOPO_MODULE], step);
		if (level == TOPO_MODULE && s->l3 != last->l3 && aligned < TOPO_MAX_CPUS)
			c->id[TOPO_MODULE] = (uint16_t)aligned;
	}
	free(was);
	return 0;
}

int layout_find_modules(struct layout *l, struct err *e)
{
	struct seat *seat = calloc(l->nr_cpus + 1, sizeof(*seat));
	uint16_t *first = malloc(NR_INSTANCES * sizeof(*first));
	int rc = seat && first ? 0 : -ENOMEM;

	for (uint32_t i = 0; rc == 0 && i < l->nr_cpus; i++) {
		enum topo_level both = i ? level_of_both(&l->cpu[i - 1], &l->cpu[i]) : TOPO_PACKAGE;

		seat[i].index = i;
		seat[i].die = i && both < TOPO_PACKAGE ? seat[i - 1].die : i;
		seat[i].core = i && both <= TOPO_CORE ? seat[i - 1].core : i;
	}
	if (rc == 0 && (modules_by_cache(l, seat, 2, first) || modules_by_cache(l, seat, 3, first))) {
		seats_by_l3(l, seat, first);
		qsort(seat, l->nr_cpus, sizeof(*seat), seat_compare);
		rc = seats_take(l, seat);
	}
	free(first);
	free(seat);
	return rc < 0 ? err_set(e, rc, "out of memory for %u processors", l->nr_cpus) : 0;
}

/* ---- nodes ---- */

bool layout_distances_fit(const uint8_t *distance, unsigned int nr)
{
	for (unsigned int from = 0; from < nr; from++)
		for (unsigned int to = 0; to < nr; to++)
			if (from == to ? distance[from * nr + to] != 10 : distance[from * nr + to] <= 10)
				return false;
	return true;
}
