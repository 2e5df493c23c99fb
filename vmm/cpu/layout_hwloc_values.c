/*
 * Values in hwloc's XML: numbers, sets of PUs, and tables of distances between nodes.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "vmm/base/opt.h"
#include "vmm/cpu/layout_hwloc.h"

int hwloc_refuse_here(struct hwloc_reader *r)
{
	err_prefix(r->e, "%s:%u", r->path, r->xml.line);
	return -EINVAL;
}

int hwloc_number(struct hwloc_reader *r, const char *name, uint64_t max, uint64_t fallback, uint64_t *out)
{
	const char *text = xml_attr(&r->xml, name);

	*out = fallback;
	if (text && opt_parse_uint(text, 0, max, out) < 0)
		return hwloc_refuse(r, "the attribute %s is no number from 0 to %llu", name,
				    (unsigned long long)max);
	return 0;
}

/* ---- sets ---- */

/* "0x00000003,0xffffffff", highest word first, a word that is 0 may be empty, "0xf...f" in front means all above. */
int hwloc_set(struct hwloc_reader *r, const char *text, struct set *set)
{
	static const char infinite[] = "0xf...f";
	unsigned int commas = 0;
	const char *p = text;
	char *end;

	memset(set, 0, sizeof(*set));
	for (const char *c = text; *c; c++)
		commas += *c == ',';
	if (!strncmp(p, infinite, sizeof(infinite) - 1)) {
		p += sizeof(infinite) - 1;
		memset(set, 0xff, sizeof(*set));
		if (!*p)
			return 0;
		if (*p++ != ',')
			return hwloc_refuse(r,
					    "a cpuset is no set; expected words as in 0x00000003,0xffffffff");
		commas--;
	}
	for (unsigned int at = commas;; at--) {
		unsigned long v = 0;

		if (*p != ',' && *p) {
			if (p[0] != '0' || p[1] != 'x' || !isxdigit((unsigned char)p[2]) ||
			    strspn(p + 2, "0123456789abcdefABCDEF") > 8)
				return hwloc_refuse(
					r, "a cpuset is no set; expected words as in 0x00000003,0xffffffff");
			v = strtoul(p, &end, 16);
			p = end;
		}
		if (at < SET_WORDS)
			set->word[at] = (uint32_t)v;
		else if (v)
			return hwloc_refuse(r, "a cpuset has PUs above %d", MAX_INDEX);
		if (!*p && at == 0)
			return 0;
		if (*p++ != ',' || at == 0)
			return hwloc_refuse(r,
					    "a cpuset is no set; expected words as in 0x00000003,0xffffffff");
	}
}

bool hwloc_set_has(const struct set *set, unsigned int i)
{
	return set->word[i / 32] >> i % 32 & 1;
}

unsigned int hwloc_set_weight(const struct set *set)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < SET_WORDS; i++)
		n += (unsigned int)__builtin_popcount(set->word[i]);
	return n;
}

/* ---- distances ---- */

/* Of 2.x: the first table of latencies between NUMA nodes. Kind, bit 2: latencies (hwloc/distances.h, 2.9). */
int hwloc_table_begin_2(struct hwloc_reader *r)
{
	const char *type = xml_attr(&r->xml, "type"), *indexing = xml_attr(&r->xml, "indexing");
	uint64_t nr, kind;
	int rc;

	if ((rc = hwloc_number(r, "nbobjs", UINT32_MAX, 0, &nr)) < 0 ||
	    (rc = hwloc_number(r, "kind", UINT32_MAX, 0, &kind)) < 0)
		return rc;
	if (r->table.done)
		return 0;
	r->table = (struct table){ .nr = (unsigned int)nr, .scale = 1 };
	r->table.wanted = type && !strcmp(type, "NUMANode") && (!indexing || !strcmp(indexing, "os")) &&
			  kind & 4 && nr > 1 && nr <= TOPO_MAX_NODES;
	return 0;
}

/* Of 1.x: a table that has as many objects as there are nodes; the values are multiples of latency_base. */
int hwloc_table_begin_1(struct hwloc_reader *r)
{
	const char *base = xml_attr(&r->xml, "latency_base");
	uint64_t nr;
	int rc;

	if ((rc = hwloc_number(r, "nbobjs", UINT32_MAX, 0, &nr)) < 0)
		return rc;
	if (r->table.done)
		return 0;
	r->table = (struct table){ .nr = (unsigned int)MIN(nr, TOPO_MAX_NODES),
				   .wanted = nr > 1 && nr <= TOPO_MAX_NODES,
				   .by_order = true,
				   .scale = base ? strtod(base, NULL) : 0 };
	return 0;
}

/* One value of a table; what is none makes the table useless, not the file. */
static void table_add(struct table *t, double v)
{
	if (t->nr_values == t->nr * t->nr || !(v >= 0 && v < 256)) { /* NaN is neither */
		t->wanted = false;
		return;
	}
	t->value[t->nr_values++] = (uint8_t)(v + 0.5 > 255 ? 255 : v + 0.5);
}

void hwloc_table_latency(struct hwloc_reader *r)
{
	const char *value = xml_attr(&r->xml, "value");

	table_add(&r->table, value ? strtod(value, NULL) * r->table.scale : -1);
}

/* Numbers between blanks. A piece of text ends inside a number only at a comment, which hwloc does not write. */
void hwloc_table_text(struct hwloc_reader *r)
{
	struct table *t = &r->table;
	const char *p = r->xml.text;
	char *end;

	for (;;) {
		unsigned long long v;

		p += strspn(p, " \t\r\n");
		if (!*p || !t->wanted)
			return;
		errno = 0;
		v = strtoull(p, &end, 10);
		if (!isdigit((unsigned char)*p) || errno)
			t->wanted = false;
		else if (t->text == 'v')
			table_add(t, (double)v);
		else if (t->nr_indexes == t->nr || v > UINT32_MAX)
			t->wanted = false;
		else
			t->index[t->nr_indexes++] = (unsigned int)v;
		p = end;
	}
}

void hwloc_table_end(struct hwloc_reader *r)
{
	struct table *t = &r->table;

	t->done |= t->wanted && t->nr_values == t->nr * t->nr && (t->by_order || t->nr_indexes == t->nr);
	t->wanted = false;
}

/* The table, whose rows have their own order, for nodes in ours. */
int hwloc_distances_fill(struct hwloc_reader *r)
{
	const struct table *t = &r->table;
	struct layout *l = r->l;
	unsigned int at[TOPO_MAX_NODES];

	if (!t->done || t->nr != l->nr_nodes)
		return 0;
	for (unsigned int i = 0; i < t->nr; i++) {
		at[i] = t->nr;
		for (unsigned int row = 0; row < t->nr; row++)
			if (t->by_order ? row == i : t->index[row] == r->node[i].os_index)
				at[i] = row;
		if (at[i] == t->nr)
			return 0;
	}
	l->distance = malloc((size_t)t->nr * t->nr);
	if (!l->distance)
		return -ENOMEM;
	for (unsigned int i = 0; i < t->nr * t->nr; i++)
		l->distance[i] = t->value[at[i / t->nr] * t->nr + at[i % t->nr]];
	if (!layout_distances_fit(l->distance, t->nr)) {
		free(l->distance);
		l->distance = NULL;
	}
	return 0;
}
