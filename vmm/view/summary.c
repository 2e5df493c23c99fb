/* The shape in one sentence. */
#include "vmm/view/view.h"

#include <stdarg.h>

#include "vmm/base/opt.h"

/* Text that grows inside VIEW_SUMMARY bytes; what does not fit is cut off. */
struct line {
	char *buf;
	size_t at;
};

PRINTF(2, 3) static void put(struct line *l, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(l->buf + l->at, VIEW_SUMMARY - l->at, fmt, ap);
	va_end(ap);
	if (n > 0)
		l->at = MIN(l->at + (size_t)n, (size_t)VIEW_SUMMARY - 1);
}

static const char *unit_word(enum topo_level level)
{
	static const char *const word[NR_TOPO_LEVELS] = { "thread", "core", "module", "die", "socket" };

	return word[level];
}

static void put_count(struct line *l, unsigned int n, const char *word)
{
	put(l, "%u %s%s", n, word, n == 1 ? "" : "s");
}

/* Levels of one unit go without saying, but for sockets and cores. */
static bool is_told(const struct topology *t, enum topo_level level)
{
	return level == TOPO_PACKAGE || level == TOPO_CORE || t->count[level] > 1;
}

static void put_regular(struct line *l, const struct topology *t)
{
	for (int level = TOPO_PACKAGE; level >= TOPO_THREAD; level--) {
		if (!is_told(t, (enum topo_level)level))
			continue;
		put(l, "%s", l->at ? " x " : "");
		put_count(l, t->count[level], unit_word((enum topo_level)level));
	}
	put(l, " = ");
}

static void put_uneven(struct line *l, const struct topology *t)
{
	unsigned int cores[TOPO_EFFICIENCY + 1] = { 0 };
	unsigned int seen = 0;

	for (int level = TOPO_PACKAGE; level > TOPO_CORE; level--)
		if (is_told(t, (enum topo_level)level)) {
			put_count(l, t->nr_units[level], unit_word((enum topo_level)level));
			put(l, ", ");
		}
	for (unsigned int i = 0; i < t->nr_cpus; i++) {
		if (t->cpu[i].unit[TOPO_CORE] < seen)
			continue; /* units are numbered as they appear: this is another thread of a core */
		seen++;
		cores[MIN(t->cpu[i].core_type, (uint8_t)TOPO_EFFICIENCY)]++;
	}
	if (t->hybrid) {
		put_count(l, cores[TOPO_PERFORMANCE], "P-core");
		put(l, ", ");
		put_count(l, cores[TOPO_EFFICIENCY], "E-core");
	} else {
		put_count(l, t->nr_units[TOPO_CORE], "core");
	}
	put(l, ", ");
}

/* How many instances of a kind there are. */
static unsigned int instances(const struct topology *t, unsigned int kind)
{
	unsigned int nr = 0;

	for (unsigned int i = 0; i < t->nr_cpus; i++)
		if (t->cpu[i].cache[kind] != TOPO_NO_CACHE)
			nr = MAX(nr, t->cpu[i].cache[kind] + 1u);
	return nr;
}

/* "per core" and so on, where each unit of that level has one; else how many there are. */
static void put_sharing(struct line *l, const struct topology *t, unsigned int kind, bool more)
{
	const struct topo_cache *c = &t->cache[kind];
	unsigned int level = MIN(c->shared, TOPO_PACKAGE), nr = instances(t, kind);

	if (c->core_type == TOPO_ALIKE && nr == t->nr_units[level] && (t->regular || level != TOPO_THREAD)) {
		while ((level == TOPO_MODULE || level == TOPO_DIE) && t->count[level] == 1)
			level++; /* a level that nobody spoke of */
		put(l, " per %s%s", unit_word((enum topo_level)level), more ? ", " : "");
		return;
	}
	put(l, " x %u%s%s", nr,
	    c->core_type == TOPO_PERFORMANCE  ? " (P)"
	    : c->core_type == TOPO_EFFICIENCY ? " (E)"
					      : "",
	    more ? ", " : "");
}

static void put_caches(struct line *l, const struct topology *t)
{
	char name[16], size[32];

	for (unsigned int i = 0; i < t->nr_caches; i++) {
		const struct topo_cache *c = &t->cache[i], *next = c + 1;
		bool last = i + 1 == t->nr_caches;

		put(l, "%s%s %s", i ? "" : "; ", cache_name(c, name, sizeof(name)),
		    opt_size_text(c->bytes, size, sizeof(size)));
		if (!last && next->shared == c->shared && c->core_type == TOPO_ALIKE &&
		    next->core_type == TOPO_ALIKE && instances(t, i) == instances(t, i + 1))
			put(l, ", "); /* the same sharing: said once, after the last */
		else
			put_sharing(l, t, i, !last);
	}
}

const char *view_summary(const struct topology *t, char buf[VIEW_SUMMARY])
{
	struct line l = { .buf = buf };

	buf[0] = '\0';
	if (t->regular && !t->hybrid)
		put_regular(&l, t);
	else
		put_uneven(&l, t);
	put_count(&l, t->nr_cpus, "vCPU");
	if (t->nr_present < t->nr_cpus)
		put(&l, ", %u present and %u to be plugged", t->nr_present, t->nr_cpus - t->nr_present);
	if (t->nr_nodes) {
		put(&l, "; ");
		put_count(&l, t->nr_nodes, "NUMA node");
	}
	put_caches(&l, t);
	return buf;
}

size_t view_wrap(const char *text, size_t columns)
{
	size_t len = strlen(text), at = columns;

	if (len <= columns)
		return len;
	while (at && text[at] != ' ')
		at--;
	return at ? at : strcspn(text, " "); /* a word that fits into no line has one of its own */
}
