/*
 * --compare: what this guest would be told, against a raw dump, level by level. What changes while a guest runs
 * (OSXSAVE, OSPKE, the APIC bit, the sizes in leaf D) and what says nothing of processors' shape or abilities does
 * not count.
 */
#include "vmm/view/view.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#include "vmm/base/opt.h"
#include "vmm/view/dump_read.h"
#include "vmm/view/explain_internal.h"

enum { MAX_NAMES = 24 };

struct compare {
	FILE *out;
	const struct leaves *here; /* of the present vCPUs */
	unsigned int nr_here;
	const struct cpuid_table *table; /* vCPU 0's */
	const struct dump *there;
	bool differs;
};

/* "packages: same (2)" */
PRINTF(3, 4) static void same(struct compare *c, const char *what, const char *fmt, ...)
{
	va_list ap;

	fprintf(c->out, "  %s: same", what);
	va_start(ap, fmt);
	if (*fmt) {
		fputs(" (", c->out);
		vfprintf(c->out, fmt, ap);
		fputc(')', c->out);
	}
	va_end(ap);
	fputc('\n', c->out);
}

/* "packages: differs: here 2, there 4" */
PRINTF(3, 4) static void differs(struct compare *c, const char *what, const char *fmt, ...)
{
	va_list ap;

	c->differs = true;
	fprintf(c->out, "  %s: differs: ", what);
	va_start(ap, fmt);
	vfprintf(c->out, fmt, ap);
	va_end(ap);
	fputc('\n', c->out);
}

static void compare_number(struct compare *c, const char *what, unsigned int here, unsigned int there)
{
	if (here == there)
		same(c, what, "%u", here);
	else
		differs(c, what, "here %u, there %u", here, there);
}

/* Whatever bytes the dump has, a terminal gets letters. */
static void printable(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

static void compare_model(struct compare *c)
{
	const struct leaves *h = c->here, *t = c->there->cpu;
	char here[49], there[49];

	fprintf(c->out, "Processor\n");
	cpuid_vendor(c->table, here);
	cpuid_vendor(c->there->first, there);
	printable(here);
	printable(there);
	if (!strcmp(here, there))
		same(c, "vendor", "%s", here);
	else
		differs(c, "vendor", "here %s, there %s", here, there);
	compare_number(c, "family", h->family, t->family);
	compare_number(c, "model", h->model, t->model);
	if (h->stepping != t->stepping)
		fprintf(c->out, "  stepping (does not count): here %u, there %u\n", h->stepping, t->stepping);
	cpuid_brand(c->table, here);
	cpuid_brand(c->there->first, there);
	printable(here);
	printable(there);
	if (strcmp(here, there))
		fprintf(c->out, "  brand (does not count): here \"%s\", there \"%s\"\n", here, there);
	compare_number(c, "address bits", cpuid_phys_bits(c->table), cpuid_phys_bits(c->there->first));
}

/* ---- how ids are laid out ---- */

/* "1:1/2 2:4/12": type, shift and processors of each sub-leaf. */
static void levels_text(const struct leaves_levels *l, char *buf, size_t len)
{
	size_t at = 0;

	snprintf(buf, len, "none");
	for (unsigned int i = 0; i < l->nr && at < len; i++) {
		const struct regs *r = &l->sub[i];
		int n = snprintf(buf + at, len - at, "%stype %u shift %u of %u", i ? ", " : "", level_type(r),
				 level_shift(r), level_cpus(r));

		at += n > 0 ? (size_t)n : 0;
	}
}

static void compare_levels(struct compare *c, const char *what, const struct leaves_levels *h,
			   const struct leaves_levels *t)
{
	char here[LEAVES_LEVELS * 48], there[LEAVES_LEVELS * 48];

	if (!h->nr && !t->nr)
		return;
	levels_text(h, here, sizeof(here));
	levels_text(t, there, sizeof(there));
	if (!strcmp(here, there))
		same(c, what, "%s", here);
	else
		differs(c, what, "here %s; there %s", here, there);
}

/* The id that a vCPU tells of itself. */
static uint32_t own_id(const struct leaves *l)
{
	return l->lb.nr ? l->lb.sub[0].edx : l->l1f.nr ? l->l1f.sub[0].edx : l->l1.ebx >> 24;
}

static void compare_ids(struct compare *c)
{
	unsigned int nr = MIN(c->nr_here, c->there->nr_cpus), wrong = 0, first = 0;

	for (unsigned int i = nr; i-- > 0;)
		if (own_id(&c->here[i]) != own_id(&c->there->cpu[i])) {
			wrong++;
			first = i;
		}
	if (!wrong)
		same(c, "APIC ids", "of %u vCPU%s", nr, nr == 1 ? "" : "s");
	else
		differs(c, "APIC ids", "%u of %u; first vCPU %u: here 0x%x, there 0x%x", wrong, nr, first,
			own_id(&c->here[first]), own_id(&c->there->cpu[first]));
}

static void compare_layout(struct compare *c)
{
	const struct leaves *h = c->here, *t = c->there->cpu;

	fprintf(c->out, "Layout of ids\n");
	compare_levels(c, "leaf 0BH", &h->lb, &t->lb);
	compare_levels(c, "leaf 1FH", &h->l1f, &t->l1f);
	compare_levels(c, "leaf 80000026H", &h->e26, &t->e26);
	compare_number(c, "leaf 1 EBX[23:16], a package's size", h->l1.ebx >> 16 & 0xff,
		       t->l1.ebx >> 16 & 0xff);
	if (h->vendor == VENDOR_AMD || h->vendor == VENDOR_HYGON) {
		compare_number(c, "leaf 80000008H ECX[15:12], bits of an id in a package",
			       h->e8.ecx >> 12 & 0xf, t->e8.ecx >> 12 & 0xf);
		compare_number(c, "leaf 80000008H ECX[7:0], processors in a package - 1", h->e8.ecx & 0xff,
			       t->e8.ecx & 0xff);
		compare_number(c, "leaf 8000001EH EBX[15:8], threads in a core - 1", h->e1e.ebx >> 8 & 0xff,
			       t->e1e.ebx >> 8 & 0xff);
	}
	if (!c->there->one_of_many)
		compare_ids(c);
}

/* ---- what readers see ---- */

/* What readers make of both. who: their names, or "" for all of them. */
static void compare_set(struct compare *c, const char *who, enum read_set set, const struct reading *h,
			const struct reading *t)
{
	char what[160];

	snprintf(what, sizeof(what), "%s%s%s%s%s", read_set_name(set), set > READ_CORE ? " caches" : "s",
		 *who ? " (" : "", who, *who ? ")" : "");
	if (h->knows[set] != t->knows[set])
		differs(c, what, h->knows[set] ? "known here, not there" : "known there, not here");
	else if (h->sets[set] != t->sets[set])
		differs(c, what, "here %u, there %u", h->sets[set], t->sets[set]);
	else if (h->nr != t->nr || reading_same_sets(h, t, set))
		same(c, what, "%u", h->sets[set]);
	else
		for (unsigned int i = 0; i < h->nr; i++)
			if (h->set[set][i] != t->set[set][i]) {
				differs(c, what,
					"both %u, but vCPU %u is put with vCPU %u here and with %u there",
					h->sets[set], i, h->set[set][i], t->set[set][i]);
				break;
			}
}

/* Readers which agree on both sides share a line, and those which know no such thing have none. */
static void compare_readers(struct compare *c, const struct reading *h, const struct reading *t,
			    enum read_set set)
{
	bool done[NR_READERS] = { false };

	for (enum reader i = 0; i < NR_READERS; i++) {
		char who[128] = "";
		unsigned int n = 0;

		for (enum reader j = i; j < NR_READERS && !done[i] && (h[i].knows[set] || t[i].knows[set]);
		     j++) {
			if (!reading_same_sets(&h[i], &h[j], set) || !reading_same_sets(&t[i], &t[j], set))
				continue;
			done[j] = done[j] || j > i;
			snprintf(who + strlen(who), sizeof(who) - strlen(who), "%s%s", n++ ? ", " : "",
				 reader_name(j));
		}
		if (n)
			compare_set(c, n == NR_READERS ? "" : who, set, &h[i], &t[i]);
	}
}

static void compare_sets(struct compare *c, const struct reading *h, const struct reading *t,
			 enum read_set from, enum read_set to)
{
	for (enum read_set set = from; set <= to; set++)
		compare_readers(c, h, t, set);
}

static void compare_cache_sizes(struct compare *c)
{
	static const enum read_set sets[] = { READ_L1D, READ_L1I, READ_L2, READ_L3, READ_L4 };
	const struct leaves *h = c->here, *t = c->there->cpu;
	bool amd_here = h->vendor == VENDOR_AMD || h->vendor == VENDOR_HYGON;
	bool amd_there = t->vendor == VENDOR_AMD || t->vendor == VENDOR_HYGON;

	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		const struct regs *a = read_cache_find(amd_here ? &h->e1d : &h->l4, sets[i]);
		const struct regs *b = read_cache_find(amd_there ? &t->e1d : &t->l4, sets[i]);
		char what[16], here[24] = "none", there[24] = "none";

		if (!a && !b)
			continue;
		snprintf(what, sizeof(what), "%s size", read_set_name(sets[i]));
		if (a)
			opt_size_text(cache_bytes(a), here, sizeof(here));
		if (b)
			opt_size_text(cache_bytes(b), there, sizeof(there));
		if (strcmp(here, there))
			differs(c, what, "here %s, there %s", here, there);
		else if (a && b && (a->ebx != b->ebx || a->ecx != b->ecx))
			differs(c, what, "both %s, here of %u ways and lines of %u bytes, there %u and %u",
				here, (a->ebx >> 22) + 1, (a->ebx & 0xfff) + 1, (b->ebx >> 22) + 1,
				(b->ebx & 0xfff) + 1);
		else
			same(c, what, "%s", here);
	}
}

static int compare_readings(struct compare *c)
{
	struct reading h[NR_READERS] = { 0 }, t[NR_READERS] = { 0 };
	unsigned int nr = c->there->one_of_many ? 1 : c->there->nr_cpus;
	int rc = 0;

	for (enum reader i = 0; i < NR_READERS && rc == 0; i++) {
		rc = reading_make(&h[i], i, c->here, c->there->one_of_many ? 1 : c->nr_here);
		if (rc == 0)
			rc = reading_make(&t[i], i, c->there->cpu, nr);
	}
	if (rc == 0 && !c->there->one_of_many) {
		fprintf(c->out, "Levels\n");
		compare_number(c, "vCPUs", c->nr_here, nr);
		compare_sets(c, h, t, READ_PACKAGE, READ_CORE);
	}
	fprintf(c->out, "Caches\n");
	compare_cache_sizes(c);
	if (rc == 0 && !c->there->one_of_many)
		compare_sets(c, h, t, READ_L1D, READ_L4);
	for (enum reader i = 0; i < NR_READERS; i++) {
		reading_fini(&h[i]);
		reading_fini(&t[i]);
	}
	return rc;
}

/* ---- features ---- */

static bool is_runtime(const struct feature *f)
{
	static const char *const names[] = { "osxsave", "ospke", "apic" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(f->name, names[i]))
			return true;
	return false;
}

static bool has_feature(const struct cpuid_table *table, const struct feature *f)
{
	uint32_t max = leaves_answer(table, f->leaf & 0xffff0000u, 0).eax;
	struct regs r = leaves_answer(table, f->leaf, f->index);
	const uint32_t reg[] = { r.eax, r.ebx, r.ecx, r.edx };

	return f->leaf <= max && reg[f->reg] >> f->bit & 1;
}

/* Names of what one has and the other has not; "and 3 more" when they are many. */
static unsigned int print_missing(struct compare *c, const struct cpuid_table *a, const struct cpuid_table *b,
				  const char *what)
{
	unsigned int n = 0;

	for (const struct feature *f = features; f->name; f++) {
		if (is_runtime(f) || !has_feature(a, f) || has_feature(b, f))
			continue;
		if (n++ == 0)
			fprintf(c->out, "  %s:", what);
		if (n <= MAX_NAMES)
			fprintf(c->out, " %s", f->name);
	}
	if (n > MAX_NAMES)
		fprintf(c->out, " and %u more", n - MAX_NAMES);
	if (n)
		fputc('\n', c->out);
	return n;
}

static void compare_features(struct compare *c)
{
	unsigned int n;

	fprintf(c->out, "Features\n");
	n = print_missing(c, c->table, c->there->first, "differs: only here");
	n += print_missing(c, c->there->first, c->table, "differs: only there");
	if (n)
		c->differs = true;
	else
		same(c, "all that have names", "vCPU 0");
}

/* ---- all ---- */

static int compare_all(struct compare *c)
{
	int rc;

	if (c->there->one_of_many)
		fprintf(c->out, "The dump is of one CPU: what takes several to see is left out\n");
	compare_model(c);
	compare_layout(c);
	rc = compare_readings(c);
	compare_features(c);
	fprintf(c->out, c->differs ? "There are differences that matter\n" : "No difference that matters\n");
	return rc;
}

int view_compare(struct processors *p, const char *path, FILE *out, struct err *e)
{
	struct dump d;
	struct leaves *here = NULL;
	struct compare c = { .out = out, .nr_here = p->topo.nr_present, .there = &d };
	int rc = dump_read(&d, path, e);

	if (rc == 0) {
		here = leaves_of_all(p);
		c.here = here;
		c.table = here ? processors_cpuid(p, 0) : NULL;
		rc = c.table ? compare_all(&c) : -ENOMEM;
		if (rc < 0)
			(void)err_set(e, rc, "out of memory");
	}
	free(here);
	dump_fini(&d);
	return rc < 0 ? rc : c.differs;
}
