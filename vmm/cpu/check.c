/*
 * The checker's frame: it reads every vCPU's CPUID as a guest would, and gathers what is found. The rules are in
 * check_leaves.c, check_caches.c, check_sets.c and check_overrides.c, those of ACPI and SMBIOS in check_tables.c.
 *
 * The cost is linear: one pass over each vCPU's table, and for each distinct shift one pass over the ids.
 */
#include "vmm/base/log.h"
#include "vmm/cpu/check_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void check_note(struct findings *f, const char *fmt, ...)
{
	char text[512];
	va_list list;

	va_start(list, fmt);
	vsnprintf(text, sizeof(text), fmt, list);
	va_end(list);
	f->nr++;
	notes_add(&f->notes, "%s", text);
}

void findings_log(const struct findings *f)
{
	for (unsigned int i = 0; i < f->notes.nr; i++)
		log_warn("%s", f->notes.text[i]);
	if (f->nr > f->notes.nr)
		log_warn("%u more of this kind", f->nr - f->notes.nr);
}

void findings_fini(struct findings *f)
{
	notes_fini(&f->notes);
	*f = (struct findings){ 0 };
}

void check_say(struct check *c, unsigned int cpu, uint32_t leaf, const char *fmt, ...)
{
	struct check_sentence *s;
	va_list list;

	for (unsigned int i = 0; i < c->nr_sentences; i++) {
		s = &c->sentence[i];
		if (s->fmt != fmt || s->leaf != leaf)
			continue;
		s->nr += s->last != cpu;
		s->last = cpu;
		return;
	}
	if (!c->sentence)
		c->sentence = calloc(CHECK_SENTENCES, sizeof(*c->sentence));
	if (!c->sentence || c->nr_sentences == CHECK_SENTENCES) {
		c->unheard++;
		return;
	}
	s = &c->sentence[c->nr_sentences++];
	*s = (struct check_sentence){ .fmt = fmt, .leaf = leaf, .first = cpu, .last = cpu, .nr = 1 };
	va_start(list, fmt);
	vsnprintf(s->text, sizeof(s->text), fmt, list);
	va_end(list);
}

void check_say_all(struct check *c)
{
	for (unsigned int i = 0; i < c->nr_sentences; i++) {
		const struct check_sentence *s = &c->sentence[i];

		if (s->nr > 1)
			check_note(c->findings, "vCPU %u and %u more: %s", s->first, s->nr - 1, s->text);
		else
			check_note(c->findings, "vCPU %u: %s", s->first, s->text);
	}
	c->findings->nr += c->unheard;
}

unsigned int check_bits(uint32_t n)
{
	return n <= 1 ? 0 : 32 - (unsigned int)__builtin_clz(n - 1);
}

const char *check_bit_names(unsigned int from, unsigned int end, char buf[CHECK_BIT_NAMES])
{
	if (end <= from)
		snprintf(buf, CHECK_BIT_NAMES, "no bit");
	else if (end == from + 1)
		snprintf(buf, CHECK_BIT_NAMES, "bit %u", from);
	else
		snprintf(buf, CHECK_BIT_NAMES, "bits %u to %u", from, end - 1);
	return buf;
}

/* ---- sets of vCPUs by their ids ---- */

static bool in_class(const struct check *c, unsigned int cpu, unsigned int class)
{
	const struct check_seen *s = &c->seen[cpu];

	if (!class)
		return true;
	for (unsigned int i = 0; i < s->nr_caches; i++)
		if (s->cache_class[i] == class)
			return true;
	return false;
}

/* Runs of equal ids, shifted, in the sorted order. */
static uint16_t *measure(const struct check *c, unsigned int class, unsigned int shift)
{
	uint16_t *size = calloc(c->n, sizeof(*size));
	unsigned int end;

	for (unsigned int start = 0; size && start < c->n; start = end) {
		unsigned int nr = 0;

		for (end = start; end < c->n && c->sorted[end].id >> shift == c->sorted[start].id >> shift;
		     end++)
			nr += in_class(c, c->sorted[end].cpu, class);
		for (unsigned int i = start; i < end; i++)
			size[c->sorted[i].cpu] = (uint16_t)nr;
	}
	return size;
}

unsigned int check_size(struct check *c, unsigned int class, unsigned int shift, unsigned int cpu)
{
	uint16_t **size = &c->size[class][shift % CHECK_SHIFTS];

	if (!*size)
		*size = measure(c, class, shift % CHECK_SHIFTS);
	if (!*size) {
		c->failed = true;
		return 1;
	}
	return (*size)[cpu];
}

static int by_id(const void *a, const void *b)
{
	uint32_t x = ((const struct check_id *)a)->id, y = ((const struct check_id *)b)->id;

	return x < y ? -1 : x > y;
}

/* Most shapes are in order already. */
static void sort_ids(struct check *c)
{
	bool rising = true;

	for (unsigned int i = 0; i < c->n; i++) {
		c->sorted[i] = (struct check_id){ .id = c->t->cpu[i].apic_id, .cpu = i };
		rising = rising && (!i || c->sorted[i - 1].id < c->sorted[i].id);
	}
	if (rising)
		return;
	qsort(c->sorted, c->n, sizeof(c->sorted[0]), by_id);
	for (unsigned int i = 1; i < c->n; i++)
		if (c->sorted[i].id == c->sorted[i - 1].id)
			check_say(c, MAX(c->sorted[i].cpu, c->sorted[i - 1].cpu), 0,
				  "APIC id 0x%x is also that of vCPU %u: no guest can tell them apart",
				  c->sorted[i].id, MIN(c->sorted[i].cpu, c->sorted[i - 1].cpu));
}

/* ---- reading ---- */

/* A loop over sub-leaves never ends when all of them read as the first (KVM: no KVM_CPUID_FLAG_SIGNIFCANT_INDEX). */
static bool has_sub_leaves(const struct kvm_cpuid_entry2 *e)
{
	switch (e->function) {
	case 4:
	case 7:
	case 0xb:
	case 0xd:
	case 0x1f:
	case 0x8000001d:
	case 0x80000026:
		return true;
	default:
		return e->index != 0;
	}
}

/* Where an entry is kept; NULL: nobody here reads it. */
static const struct kvm_cpuid_entry2 **slot_of(struct check_leaves *l, const struct kvm_cpuid_entry2 *e)
{
	uint32_t i = e->index;

	switch (e->function) {
	case 0:
		return &l->basic;
	case 1:
		return &l->one;
	case 4:
		return i < CHECK_CACHES ? &l->cache[0][i] : NULL;
	case 7:
		return i ? NULL : &l->seven;
	case 0xb:
		return i < CHECK_SUBS ? &l->level[LEVELS_B][i] : NULL;
	case 0x1a:
		return &l->type;
	case 0x1f:
		return i < CHECK_SUBS ? &l->level[LEVELS_1F][i] : NULL;
	case 0x40000000:
		return &l->kvm;
	case 0x40000001:
		return &l->kvm1;
	case 0x80000000:
		return &l->ext;
	case 0x80000001:
		return &l->ext1;
	case 0x80000005:
		return &l->ext5;
	case 0x80000006:
		return &l->ext6;
	case 0x80000008:
		return &l->ext8;
	case 0x8000001d:
		return i < CHECK_CACHES ? &l->cache[1][i] : NULL;
	case 0x8000001e:
		return &l->ext1e;
	case 0x80000026:
		return i < CHECK_SUBS ? &l->level[LEVELS_26][i] : NULL;
	default:
		return NULL;
	}
}

static void read_leaves(struct check *c, unsigned int cpu, const struct cpuid_table *table,
			struct check_leaves *l)
{
	*l = (struct check_leaves){ 0 };
	for (uint32_t i = 0; i < table->nent && i < CPUID_MAX_ENTRIES; i++) {
		const struct kvm_cpuid_entry2 *e = &table->entry[i];
		const struct kvm_cpuid_entry2 **slot = slot_of(l, e);

		if (slot && !*slot)
			*slot = e;
		if (!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) && has_sub_leaves(e))
			check_say(
				c, cpu, e->function,
				"leaf 0x%x sub-leaf %u has no index flag: every sub-leaf reads as this one, "
				"and guests that look for the last hang",
				e->function, e->index);
	}
	/* AuthenticAMD and HygonGenuine by their first four letters. */
	l->amd = l->basic && (l->basic->ebx == 0x68747541 || l->basic->ebx == 0x6f677948);
}

static int check_init(struct check *c, const struct topology *t, struct findings *f)
{
	unsigned int per_package = 0;

	c->t = t;
	c->n = t->nr_cpus;
	c->findings = f;
	c->nr_classes = 1; /* class 0: everybody */
	c->sorted = calloc(c->n, sizeof(*c->sorted));
	c->seen = calloc(c->n, sizeof(*c->seen));
	if (!c->sorted || !c->seen)
		return -1;
	for (unsigned int i = 0; i < c->n; i++)
		per_package = MAX(per_package, topo_unit_cpus(t, &t->cpu[i], TOPO_PACKAGE));
	c->many = per_package > 1;
	sort_ids(c);
	return 0;
}

static void check_fini(struct check *c)
{
	for (unsigned int k = 0; k < CHECK_CLASSES; k++)
		for (unsigned int i = 0; i < CHECK_SHIFTS; i++)
			free(c->size[k][i]);
	free(c->sentence);
	free(c->sorted);
	free(c->seen);
	free(c);
}

static void check_all(struct check *c, struct processors *p)
{
	struct check_leaves l;

	for (unsigned int i = 0; i < c->n; i++) {
		const struct cpuid_table *table = processors_cpuid(p, i);

		if (!table) {
			check_say(c, i, 0, "its CPUID cannot be made: the overrides leave no room");
			return;
		}
		read_leaves(c, i, table, &l);
		c->amd = i ? c->amd : l.amd;
		check_leaves(c, i, &l);
		check_caches(c, i, &l);
	}
	check_units(c);
	check_sharing(c);
}

void check_cpuid(struct processors *p, struct findings *f)
{
	struct check *c;

	if (!p->topo.nr_cpus)
		return;
	c = calloc(1, sizeof(*c));
	if (!c) {
		check_note(f, "CPUID is not checked: no memory");
		return;
	}
	if (check_init(c, &p->topo, f) < 0)
		c->failed = true;
	else
		check_all(c, p);
	check_say_all(c);
	if (c->failed)
		check_note(f, "CPUID is not wholly checked: no memory");
	check_overrides(p, f);
	check_fini(c);
}
