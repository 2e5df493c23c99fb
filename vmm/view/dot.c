/*
 * The shape for Graphviz: clusters for NUMA nodes, packages, dies and modules; nodes for cores (with their own
 * caches and vCPUs inside), for caches that cores share (with edges to those) and for memory (with distances).
 */
#include <errno.h>
#include <stdlib.h>

#include "vmm/view/place.h"
#include "vmm/view/xml_text.h"

enum {
	WHOLE = 64, /* more vCPUs are folded: dot puts all cores in one row */
	FOLD = 4,
	LABEL_COLUMNS = 90,
	DISTANCE_NODES = 4, /* distances between more nodes are more lines than anybody can follow */
};

struct graph {
	FILE *out;
	FILE *tail;      /* what goes behind all clusters: an edge inside one moves both its ends there */
	unsigned int nr; /* names given so far */
	bool memory[TOPO_MAX_NODES]; /* drawn */
};

static const char *const cluster_fill[] = {
	[VIEW_MACHINE] = "#ffffff", [VIEW_NODE] = "#e3f1e6",   [VIEW_PACKAGE] = "#eceff4",
	[VIEW_DIE] = "#dbe2ee",     [VIEW_MODULE] = "#e6def0",
};

static void indent(const struct graph *g, unsigned int depth)
{
	fprintf(g->out, "%*s", (int)(2 * depth), "");
}

static const char *line_style(const struct view_box *box)
{
	return box->present ? "filled" : "filled,dashed";
}

/* Everything that is quoted in this file is a label of the tree, which xml_put() makes safe in quotes as well. */
static void put_cell(const struct graph *g, const char *colour, unsigned int span, const char *text)
{
	fprintf(g->out, "<TR><TD BGCOLOR=\"%s\" COLSPAN=\"%u\">", colour, span);
	xml_put(g->out, text);
	fputs("</TD></TR>", g->out);
}

/* A core as a table: its name, its caches, its vCPUs. Returns its name's number. */
static unsigned int put_core(struct graph *g, const struct tile *t, unsigned int depth)
{
	const char *fill = t->inner->core_type == TOPO_EFFICIENCY ? "#bfe3d0" : "#b9d3ee";
	bool present = t->box->present;
	char text[96];

	indent(g, depth);
	fprintf(g->out,
		"n%u [shape=plain, label=<<TABLE BORDER=\"0\" CELLBORDER=\"1\" CELLSPACING=\"0\" "
		"COLOR=\"%s\">",
		g->nr, present ? "#3d4a58" : "#b4bac0");
	put_cell(g, present ? fill : "#f4f4f4", t->pu_columns, t->title);
	for (unsigned int i = 0; i < t->nr_bands; i++)
		put_cell(g, present ? "#fbeccd" : "#f4f4f4", t->pu_columns,
			 tile_band_text(t, i, text, sizeof(text)));
	for (unsigned int i = 0; i < t->nr_pus; i++) {
		fputs(i % t->pu_columns ? "" : "<TR>", g->out);
		fputs("<TD BGCOLOR=\"#ffffff\">", g->out);
		xml_put(g->out, tile_pu_text(t, i, text, sizeof(text)));
		fputs("</TD>", g->out);
		fputs(i + 1 == t->nr_pus || (i + 1) % t->pu_columns == 0 ? "</TR>" : "", g->out);
	}
	fputs("</TABLE>>];\n", g->out);
	return g->nr++;
}

static unsigned int put_plain(struct graph *g, const char *attributes, const char *label, unsigned int depth)
{
	indent(g, depth);
	fprintf(g->out, "n%u [%s, label=\"", g->nr, attributes);
	xml_put(g->out, label);
	fputs("\"];\n", g->out);
	return g->nr++;
}

/*
 * What hangs on nothing hangs on the root, unseen, which mostly makes dot draw clusters from left to right; there is
 * no way to force it.
 */
static void put_edge(struct graph *g, int from, unsigned int to)
{
	if (from < 0)
		fprintf(g->tail, "  root -- n%u [style=invis];\n", to);
	else
		fprintf(g->tail, "  n%d -- n%u;\n", from, to);
}

static unsigned int put_note(struct graph *g, const struct tile *t, unsigned int depth)
{
	char text[96];

	indent(g, depth);
	fprintf(g->out, "n%u [shape=plaintext, label=\"", g->nr);
	for (unsigned int i = 0; i < t->note_lines; i++) {
		fputs(i ? "\\n" : "", g->out);
		xml_put(g->out, tile_note_text(t, i, text, sizeof(text)));
	}
	fputs("\"];\n", g->out);
	return g->nr++;
}

static void put_memory(struct graph *g, const struct view_box *box, unsigned int depth)
{
	if (box->number >= TOPO_MAX_NODES || g->memory[box->number])
		return;
	g->memory[box->number] = true;
	indent(g, depth);
	fprintf(g->out,
		"m%u [shape=box3d, style=filled, fillcolor=\"#a9d3b3\", label=\"memory of node %u\"];\n",
		box->number, box->number);
	fprintf(g->tail, "  root -- m%u [style=invis];\n", box->number);
}

/* A tile and what is in it; parent: the cache around it, to which there is an edge, or -1. Depth is the tree's. */
static void put_tile(struct graph *g, const struct tile *t, int parent, unsigned int depth)
{
	bool cluster = t->kind == TILE_BOX && t->box->kind != VIEW_CACHE;
	char title[sizeof(t->title)], text[96];

	if (t->kind == TILE_CORE) {
		put_edge(g, parent, put_core(g, t, depth));
		return;
	}
	if (t->kind == TILE_NOTE) {
		put_edge(g, parent, put_note(g, t, depth));
		return;
	}
	snprintf(title, sizeof(title), "%s", t->title);
	for (char *s = title; *s; s++)
		if (*s == TILE_SEPARATOR)
			*s = '/';
	if (cluster) {
		indent(g, depth);
		fprintf(g->out, "subgraph cluster_%u {\n", g->nr++);
		indent(g, ++depth);
		fprintf(g->out, "style=\"%s\"; fillcolor=\"%s\"; label=\"", line_style(t->box),
			cluster_fill[t->box->kind]);
		xml_put(g->out, title);
		fputs("\";\n", g->out);
		for (const struct view_box *box = t->box;; box = &box->child[0]) {
			if (box->kind == VIEW_NODE)
				put_memory(g, box, depth);
			if (box == t->inner)
				break;
		}
	}
	if (t->nr_bands || !cluster) {
		const char *label = t->nr_bands ? tile_band_text(t, 0, text, sizeof(text)) : title;
		unsigned int cache =
			put_plain(g, "shape=box, style=filled, fillcolor=\"#eebf7d\"", label, depth);

		put_edge(g, parent, cache);
		parent = (int)cache;
	}
	for (unsigned int i = 0; i < t->nr_children; i++)
		put_tile(g, &t->child[i], parent, depth);
	if (cluster) {
		indent(g, --depth);
		fputs("}\n", g->out);
	}
}

static void put_distances(struct graph *g, const struct topology *t)
{
	for (unsigned int i = 0; i < t->nr_nodes && t->nr_nodes <= DISTANCE_NODES; i++)
		for (unsigned int j = i + 1; j < t->nr_nodes; j++) {
			unsigned int there = t->distance[i * t->nr_nodes + j],
				     back = t->distance[j * t->nr_nodes + i];

			if (!g->memory[i] || !g->memory[j])
				continue;
			fprintf(g->tail, "  m%u -- m%u [style=dashed, constraint=false, label=\"%u", i, j,
				there);
			if (back != there)
				fprintf(g->tail, " / %u", back);
			fputs("\"];\n", g->tail);
		}
}

static void put_head(FILE *out, const char *summary)
{
	char line[VIEW_SUMMARY];

	fputs("graph trellis {\n  label=\"", out);
	while (*summary) {
		size_t len = view_wrap(summary, LABEL_COLUMNS);

		snprintf(line, sizeof(line), "%.*s", (int)len, summary);
		xml_put(out, line);
		summary += len + strspn(summary + len, " ");
		fputs(*summary ? "\\n" : "", out);
	}
	fputs("\";\n  fontname=\"sans-serif\";\n  node [fontname=\"sans-serif\", fontsize=11];\n"
	      "  edge [fontname=\"sans-serif\", fontsize=10, color=\"#6f7d91\"];\n"
	      "  root [shape=point, style=invis];\n",
	      out);
}

/* Returns 0 or -ENOMEM. */
static int put_graph(const struct topology *t, const struct tile *tiles, FILE *out)
{
	struct graph g = { .out = out };
	char summary[VIEW_SUMMARY], *tail = NULL;
	size_t len = 0;
	bool failed;

	g.tail = open_memstream(&tail, &len);
	if (!g.tail)
		return -ENOMEM;
	put_head(out, view_summary(t, summary));
	put_tile(&g, tiles, -1, 1);
	put_distances(&g, t);
	failed = ferror(g.tail);
	failed = fclose(g.tail) || failed;
	if (!failed)
		fwrite(tail, 1, len, out);
	fputs("}\n", out);
	free(tail);
	return failed ? -ENOMEM : 0;
}

int view_dot(struct processors *p, FILE *out, struct err *e)
{
	const struct place_style style = { .char_w = 1, .line_h = 1, .width = 1000, .bands = true };
	struct view_box root;
	struct tile tiles;
	int rc;

	rc = view_tree(&p->topo, p->topo.nr_cpus > WHOLE ? FOLD : 0, &root, e);
	if (rc < 0)
		return rc;
	rc = place_tree(&root, &style, &tiles);
	if (!rc) {
		rc = put_graph(&p->topo, &tiles, out);
		place_fini(&tiles);
	}
	view_tree_fini(&root);
	if (rc < 0)
		return err_set(e, rc, "out of memory for a graph of %u processors", p->topo.nr_cpus);
	return ferror(out) ? err_set(e, -EIO, "cannot write the graph") : 0;
}
