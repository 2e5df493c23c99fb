/*
 * One line for each vCPU: its id in bits, split as software splits it, its units, caches and node.
 *
 * Every column is a function that writes a cell; widths are those of the widest cell, found before anything is
 * printed.
 */
#include "vmm/view/table.h"

#include <errno.h>
#include <stdlib.h>

enum { CELL = 64, MAX_COLUMNS = 16 + TOPO_MAX_CACHES, LAST_SHOWN = 4 };

struct table {
	const struct topology *t;
	unsigned int package_bits; /* of the id's uppermost field, 0 for a single package 0 */
	unsigned int hex_digits;
	bool known_host;                          /* some vCPU stands for a host CPU */
	unsigned int cache_base[TOPO_MAX_CACHES]; /* added to instances: kinds of one name go on counting */
};

struct column {
	char head[CELL];
	void (*cell)(const struct table *tab, const struct column *col, const struct topo_cpu *cpu,
		     char buf[CELL]);
	unsigned int arg;
	unsigned int width;
	bool left;
};

struct columns {
	struct column col[MAX_COLUMNS];
	unsigned int nr;
};

/* ---- cells ---- */

static void cell_index(const struct table *tab, const struct column *col, const struct topo_cpu *cpu,
		       char buf[CELL])
{
	(void)col;
	snprintf(buf, CELL, "%u", (unsigned int)(cpu - tab->t->cpu));
}

static void cell_hex(const struct table *tab, const struct column *col, const struct topo_cpu *cpu,
		     char buf[CELL])
{
	(void)col;
	snprintf(buf, CELL, "0x%0*x", (int)tab->hex_digits, cpu->apic_id);
}

/* Bits of a level's field in the id. */
static unsigned int field_bits(const struct table *tab, unsigned int level)
{
	return level == TOPO_PACKAGE ? tab->package_bits : tab->t->shift[level + 1] - tab->t->shift[level];
}

/* Each field's bits, or (cpu NULL) its letter; a dot between fields. */
static void put_fields(const struct table *tab, const struct topo_cpu *cpu, char buf[CELL])
{
	static const char letter[NR_TOPO_LEVELS] = { 'T', 'C', 'M', 'D', 'P' };
	unsigned int at = 0;

	for (int level = TOPO_PACKAGE; level >= TOPO_THREAD; level--) {
		unsigned int bits = field_bits(tab, (unsigned int)level);

		if (bits && at && at < CELL - 2)
			buf[at++] = '.';
		for (unsigned int bit = bits; bit-- && at < CELL - 2;)
			buf[at++] = cpu ? (char)('0' + (cpu->apic_id >> (tab->t->shift[level] + bit) & 1))
					: letter[level];
	}
	if (!at)
		buf[at++] = cpu ? '0' : '-'; /* one vCPU: no field has a bit */
	buf[at] = '\0';
}

static void cell_bits(const struct table *tab, const struct column *col, const struct topo_cpu *cpu,
		      char buf[CELL])
{
	(void)col;
	put_fields(tab, cpu, buf);
}

static void cell_unit(const struct table *tab, const struct column *col, const struct topo_cpu *cpu,
		      char buf[CELL])
{
	(void)tab;
	snprintf(buf, CELL, "%u", col->arg == TOPO_THREAD ? cpu->id[TOPO_THREAD] : cpu->unit[col->arg]);
}

static void cell_type(const struct table *tab, const struct column *col, const struct topo_cpu *cpu,
		      char buf[CELL])
{
	(void)tab;
	(void)col;
	snprintf(buf, CELL, "%s",
		 cpu->core_type == TOPO_PERFORMANCE  ? "P"
		 : cpu->core_type == TOPO_EFFICIENCY ? "E"
						     : "-");
}

static const char *name_of(const struct table *tab, unsigned int kind, char buf[16])
{
	return cache_name(&tab->t->cache[kind], buf, 16);
}

/* Kinds of one name (a hybrid's two L2) share a column, since no vCPU has both. */
static void cell_cache(const struct table *tab, const struct column *col, const struct topo_cpu *cpu,
		       char buf[CELL])
{
	char name[16];

	snprintf(buf, CELL, "-");
	for (unsigned int i = 0; i < tab->t->nr_caches; i++)
		if (cpu->cache[i] != TOPO_NO_CACHE && !strcmp(name_of(tab, i, name), col->head))
			snprintf(buf, CELL, "%u", tab->cache_base[i] + cpu->cache[i]);
}

static void cell_node(const struct table *tab, const struct column *col, const struct topo_cpu *cpu,
		      char buf[CELL])
{
	(void)tab;
	(void)col;
	snprintf(buf, CELL, "%u", cpu->node);
}

static void cell_state(const struct table *tab, const struct column *col, const struct topo_cpu *cpu,
		       char buf[CELL])
{
	(void)tab;
	(void)col;
	snprintf(buf, CELL, "%s", cpu->present ? "present" : "pluggable");
}

static void cell_host(const struct table *tab, const struct column *col, const struct topo_cpu *cpu,
		      char buf[CELL])
{
	(void)tab;
	(void)col;
	if (cpu->host_cpu < 0)
		snprintf(buf, CELL, "-");
	else
		snprintf(buf, CELL, "%d", cpu->host_cpu);
}

/* ---- columns ---- */

static void table_init(struct table *tab, const struct topology *t)
{
	unsigned int nr[TOPO_MAX_CACHES] = { 0 };
	char a[16], b[16];
	uint32_t max = 0;

	*tab = (struct table){ .t = t };
	for (unsigned int i = 0; i < t->nr_cpus; i++) {
		max = MAX(max, t->cpu[i].apic_id);
		tab->known_host = tab->known_host || t->cpu[i].host_cpu >= 0;
		for (unsigned int k = 0; k < t->nr_caches; k++)
			if (t->cpu[i].cache[k] != TOPO_NO_CACHE)
				nr[k] = MAX(nr[k], t->cpu[i].cache[k] + 1u);
	}
	while (tab->package_bits < 32 && (uint64_t)max >> t->shift[TOPO_PACKAGE] >> tab->package_bits)
		tab->package_bits++;
	tab->hex_digits = max > 0xff ? max > 0xfff ? 4 : 3 : 2;
	for (unsigned int k = 1; k < t->nr_caches; k++)
		for (unsigned int j = 0; j < k; j++)
			if (!strcmp(name_of(tab, k, a), name_of(tab, j, b)))
				tab->cache_base[k] += nr[j];
}

static struct column *add(struct columns *c, const char *head,
			  void (*cell)(const struct table *, const struct column *, const struct topo_cpu *,
				       char *))
{
	struct column *col = &c->col[c->nr++];

	*col = (struct column){ .cell = cell };
	snprintf(col->head, sizeof(col->head), "%s", head);
	return col;
}

static void add_caches(const struct table *tab, struct columns *c)
{
	char name[16];
	bool known;

	for (unsigned int k = 0; k < tab->t->nr_caches; k++) {
		known = false;
		for (unsigned int i = 0; i < c->nr; i++)
			known = known || (c->col[i].cell == cell_cache &&
					  !strcmp(c->col[i].head, name_of(tab, k, name)));
		if (!known)
			add(c, name_of(tab, k, name), cell_cache);
	}
}

static void columns_init(struct columns *c, const struct table *tab)
{
	static const char *const head[NR_TOPO_LEVELS] = { "thr", "core", "mod", "die", "pkg" };
	const struct topology *t = tab->t;
	struct column *bits;

	*c = (struct columns){ 0 };
	add(c, "vCPU", cell_index);
	add(c, "id", cell_hex);
	bits = add(c, "", cell_bits);
	bits->left = true;
	put_fields(tab, NULL, bits->head);
	for (int level = TOPO_PACKAGE; level >= TOPO_THREAD; level--)
		if (t->count[level] > 1 || level == TOPO_PACKAGE || level == TOPO_CORE ||
		    level == TOPO_THREAD)
			add(c, head[level], cell_unit)->arg = (unsigned int)level;
	if (t->hybrid)
		add(c, "type", cell_type);
	add_caches(tab, c);
	if (t->nr_nodes)
		add(c, "node", cell_node);
	if (t->nr_present < t->nr_cpus)
		add(c, "state", cell_state)->left = true;
	if (tab->known_host)
		add(c, "host", cell_host);
}

static void measure(struct columns *c, const struct table *tab)
{
	char cell[CELL];

	for (unsigned int k = 0; k < c->nr; k++) {
		struct column *col = &c->col[k];

		col->width = (unsigned int)strlen(col->head);
		for (unsigned int i = 0; i < tab->t->nr_cpus; i++) {
			col->cell(tab, col, &tab->t->cpu[i], cell);
			col->width = MAX(col->width, (unsigned int)strlen(cell));
		}
	}
}

/* ---- printing ---- */

/* A line of cells, or (cpu NULL) the heads. */
static void print_line(FILE *out, const struct columns *c, const struct table *tab,
		       const struct topo_cpu *cpu)
{
	char cell[CELL];

	for (unsigned int k = 0; k < c->nr; k++) {
		const struct column *col = &c->col[k];

		if (cpu)
			col->cell(tab, col, cpu, cell);
		if (col->left && k + 1 == c->nr)
			fprintf(out, "%s%s", k ? "  " : "", cpu ? cell : col->head);
		else
			fprintf(out, "%s%*s", k ? "  " : "", col->left ? -(int)col->width : (int)col->width,
				cpu ? cell : col->head);
	}
	fputc('\n', out);
}

static void print_legend(FILE *out, const struct table *tab)
{
	static const char *const word[NR_TOPO_LEVELS] = { "T thread", "C core", "M module", "D die",
							  "P package" };
	bool any = false;

	fputs("x2APIC id in hex and bits", out);
	for (int level = TOPO_PACKAGE; level >= TOPO_THREAD; level--)
		if (field_bits(tab, (unsigned int)level)) {
			fprintf(out, "%s%s", any ? ", " : ": ", word[level]);
			any = true;
		}
	fputs(".\nOther numbers count from 0 in the machine, threads in their core.\n", out);
}

int table_print(struct processors *p, FILE *out, unsigned int shown, struct err *e)
{
	const struct topology *t = &p->topo;
	struct table tab;
	struct columns c;
	unsigned int skip = shown && t->nr_cpus > shown + LAST_SHOWN ? t->nr_cpus - shown - LAST_SHOWN : 0;

	table_init(&tab, t);
	columns_init(&c, &tab);
	measure(&c, &tab);
	print_legend(out, &tab);
	print_line(out, &c, &tab, NULL);
	for (unsigned int i = 0; i < t->nr_cpus; i++) {
		if (skip && i == shown) {
			fprintf(out, " ...  %u more; --format table has them all\n", skip);
			i += skip;
		}
		print_line(out, &c, &tab, &t->cpu[i]);
	}
	return ferror(out) ? err_set(e, -EIO, "cannot write the table of processors") : 0;
}

int view_table(struct processors *p, FILE *out, struct err *e)
{
	return table_print(p, out, 0, e);
}
