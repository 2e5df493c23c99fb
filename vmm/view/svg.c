/* The drawing as a picture: SVG 1.1 (W3C recommendation, second edition) that needs nothing else. */
#include <errno.h>
#include <stdlib.h>

#include "vmm/view/place.h"
#include "vmm/view/xml_text.h"

enum {
	MARGIN = 16,
	MIN_WIDTH = 480, /* for the text below, without margins */
	CHAR_W = 8,
	LINE_H = 18,
	STRIP_H = 16,      /* of a band or a vCPU's cell, in a line */
	BASELINE = 12,     /* of text in a strip */
	WHOLE = 256,       /* a picture of more vCPUs is folded */
	MAX_HEIGHT = 6000, /* and folded further when it is higher than this */
	SWATCH = 14,
};

/* What there is to colour. */
enum paint {
	PAINT_MACHINE,
	PAINT_NODE,
	PAINT_PACKAGE,
	PAINT_DIE,
	PAINT_MODULE,
	PAINT_L4,
	PAINT_L3,
	PAINT_L2,
	PAINT_L1,
	PAINT_CORE,
	PAINT_P_CORE,
	PAINT_E_CORE,
	PAINT_PU,
	PAINT_ABSENT,
	NR_PAINTS
};

static const struct {
	const char *css, *name, *fill, *stroke;
} paints[NR_PAINTS] = {
	[PAINT_MACHINE] = { "machine", NULL, "#ffffff", "#8a939c" },
	[PAINT_NODE] = { "node", "NUMA node", "#e3f1e6", "#5b9a6b" },
	[PAINT_PACKAGE] = { "package", "package", "#eceff4", "#6f7d91" },
	[PAINT_DIE] = { "die", "die", "#dbe2ee", "#6f7d91" },
	[PAINT_MODULE] = { "module", "module", "#e6def0", "#85709f" },
	[PAINT_L4] = { "l4", "L4 cache", "#d9a86c", "#a5753a" },
	[PAINT_L3] = { "l3", "L3 cache", "#eebf7d", "#b58846" },
	[PAINT_L2] = { "l2", "L2 cache", "#f6d7a3", "#b99a60" },
	[PAINT_L1] = { "l1", "L1 caches", "#fbeccd", "#c5b081" },
	[PAINT_CORE] = { "core", "core", "#b9d3ee", "#4a77a8" },
	[PAINT_P_CORE] = { "pcore", "performance core", "#b9d3ee", "#4a77a8" },
	[PAINT_E_CORE] = { "ecore", "efficiency core", "#bfe3d0", "#3f8a68" },
	[PAINT_PU] = { "pu", "vCPU", "#ffffff", "#4a77a8" },
	[PAINT_ABSENT] = { "absent", "to be plugged", "#f4f4f4", "#8a939c" },
};

struct picture {
	FILE *out;
	const struct topology *t;
	bool used[NR_PAINTS];
};

static enum paint cache_paint(const struct picture *p, const struct view_box *box)
{
	unsigned int level = p->t->cache[box->cache].level;

	return level >= 4 ? PAINT_L4 : level == 3 ? PAINT_L3 : level == 2 ? PAINT_L2 : PAINT_L1;
}

static enum paint box_paint(const struct picture *p, const struct view_box *box)
{
	switch (box->kind) {
	case VIEW_NODE:
		return PAINT_NODE;
	case VIEW_PACKAGE:
		return PAINT_PACKAGE;
	case VIEW_DIE:
		return PAINT_DIE;
	case VIEW_MODULE:
		return PAINT_MODULE;
	case VIEW_CACHE:
		return cache_paint(p, box);
	case VIEW_CORE:
		return box->core_type == TOPO_PERFORMANCE  ? PAINT_P_CORE
		       : box->core_type == TOPO_EFFICIENCY ? PAINT_E_CORE
							   : PAINT_CORE;
	case VIEW_PU:
		return PAINT_PU;
	default:
		return PAINT_MACHINE;
	}
}

/* ---- shapes ---- */

static void put_rect(struct picture *p, enum paint paint, bool present, unsigned int x, unsigned int y,
		     unsigned int w, unsigned int h)
{
	p->used[paint] = true;
	p->used[PAINT_ABSENT] = p->used[PAINT_ABSENT] || !present;
	fprintf(p->out, "<rect class=\"%s%s\" x=\"%u\" y=\"%u\" width=\"%u\" height=\"%u\" rx=\"3\"/>\n",
		paints[paint].css, present ? "" : " absent", x, y, w, h);
}

static void put_text(struct picture *p, unsigned int x, unsigned int y, const char *css, const char *text)
{
	fprintf(p->out, "<text%s%s%s x=\"%u\" y=\"%u\">", css ? " class=\"" : "", css ? css : "",
		css ? "\"" : "", x, y);
	xml_put(p->out, text);
	fputs("</text>\n", p->out);
}

static void put_title(struct picture *p, const struct tile *t, unsigned int x)
{
	char text[sizeof(t->title)];

	snprintf(text, sizeof(text), "%s", t->title);
	for (char *s = text; *s; s++)
		if (*s == TILE_SEPARATOR)
			*s = '/';
	put_text(p, x, t->y + BASELINE + 5, "b", text);
}

static void put_bands(struct picture *p, const struct tile *t, unsigned int side,
		      const struct place_style *style)
{
	char text[96];

	for (unsigned int i = 0; i < t->nr_bands; i++) {
		unsigned int y = t->y + style->top + i * style->line_h;

		put_rect(p, cache_paint(p, t->band[i]), t->box->present, t->x + side, y, t->w - 2 * side,
			 STRIP_H);
		put_text(p, t->x + side + style->band_side, y + BASELINE, NULL,
			 tile_band_text(t, i, text, sizeof(text)));
	}
}

static void put_core(struct picture *p, const struct tile *t, const struct place_style *style)
{
	unsigned int y = t->y + style->top + t->nr_bands * style->line_h, x, w;
	char text[96];

	put_rect(p, box_paint(p, t->inner), t->box->present, t->x, t->y, t->w, t->h);
	put_title(p, t, t->x + style->core_side);
	put_bands(p, t, style->core_side, style);
	w = (t->w - 2 * style->core_side - (t->pu_columns - 1) * style->pu_gap) / t->pu_columns;
	for (unsigned int i = 0; i < t->nr_pus; i++) {
		const struct view_box *pu = tile_pu(t, i);

		if (i && i % t->pu_columns == 0)
			y += style->line_h;
		x = t->x + style->core_side + i % t->pu_columns * (w + style->pu_gap);
		fputs("<g><title>", p->out);
		xml_put(p->out, pu->label);
		fputs("</title>", p->out);
		put_rect(p, PAINT_PU, pu->present, x, y, w, STRIP_H);
		put_text(p, x + w / 2, y + BASELINE, "c", tile_pu_text(t, i, text, sizeof(text)));
		fputs("</g>\n", p->out);
	}
}

/* Depth is that of the tree. */
static void put_tile(struct picture *p, const struct tile *t, const struct place_style *style)
{
	char text[96];

	switch (t->kind) {
	case TILE_NOTE:
		for (unsigned int i = 0; i < t->note_lines; i++)
			put_text(p, t->x, t->y + i * style->line_h + BASELINE + 5, "i",
				 tile_note_text(t, i, text, sizeof(text)));
		break;
	case TILE_CORE:
		put_core(p, t, style);
		break;
	case TILE_BOX:
		put_rect(p, box_paint(p, t->box), t->box->present, t->x, t->y, t->w, t->h);
		put_title(p, t, t->x + style->side);
		put_bands(p, t, style->side, style);
		for (unsigned int i = 0; i < t->nr_children; i++)
			put_tile(p, &t->child[i], style);
		break;
	}
}

/* ---- the whole ---- */

static void put_style(FILE *out)
{
	fputs("<style type=\"text/css\">\n"
	      "text { font-family: 'DejaVu Sans Mono', Menlo, Consolas, monospace; font-size: 12px; fill: "
	      "#1d2329; }\n"
	      "text.b { font-weight: bold; }\ntext.i { font-style: italic; }\ntext.c { text-anchor: middle; "
	      "}\n"
	      "text.h { font-size: 16px; font-weight: bold; }\nrect { stroke-width: 1; }\n",
	      out);
	for (unsigned int i = 0; i < NR_PAINTS; i++)
		fprintf(out, "rect.%s { fill: %s; stroke: %s;%s }\n", paints[i].css, paints[i].fill,
			paints[i].stroke, i == PAINT_ABSENT ? " stroke-dasharray: 4 3;" : "");
	fputs("</style>\n", out);
}

/* Swatches in rows; returns their height. */
static unsigned int put_legend(struct picture *p, unsigned int width, unsigned int y)
{
	unsigned int x = MARGIN, top = y;

	for (unsigned int i = 0; i < NR_PAINTS; i++) {
		unsigned int w;

		if (!p->used[i] || !paints[i].name)
			continue;
		w = SWATCH + 6 + (unsigned int)strlen(paints[i].name) * CHAR_W + 12;
		if (x > MARGIN && x + w > width) {
			x = MARGIN;
			y += LINE_H + 4;
		}
		put_rect(p, (enum paint)i, true, x, y, SWATCH, SWATCH);
		put_text(p, x + SWATCH + 6, y + BASELINE, NULL, paints[i].name);
		x += w;
	}
	return y + SWATCH - top;
}

/* The sentence in lines; returns their height. */
static unsigned int put_summary(struct picture *p, const char *text, unsigned int columns, unsigned int y)
{
	char line[VIEW_SUMMARY];
	unsigned int top = y;

	for (; *text; y += LINE_H) {
		size_t len = view_wrap(text, columns);

		snprintf(line, sizeof(line), "%.*s", (int)len, text);
		put_text(p, MARGIN, y + BASELINE, NULL, line);
		text += len + strspn(text + len, " ");
	}
	return y - top;
}

/* Everything but the head, which needs to know the height. Returns that. */
static unsigned int put_body(struct picture *p, const struct processors *proc, const struct tile *t,
			     const struct place_style *style, const char *summary, unsigned int inner)
{
	unsigned int y = MARGIN + LINE_H;
	char brand[49] = "";

	put_text(p, MARGIN, y - 4, "h", "The guest's processors");
	if (proc->table)
		cpuid_brand(proc->table, brand);
	if (brand[0]) {
		put_text(p, MARGIN, y + BASELINE, NULL, brand);
		y += LINE_H;
	}
	y += 8;
	fprintf(p->out, "<g transform=\"translate(%u %u)\">\n", MARGIN, y);
	put_tile(p, t, style);
	fputs("</g>\n", p->out);
	y += t->h + MARGIN;
	y += put_summary(p, summary, inner / CHAR_W, y) + 8;
	y += put_legend(p, inner, y);
	return y + MARGIN;
}

static int put_picture(struct processors *proc, const struct tile *t, const struct place_style *style,
		       FILE *out)
{
	struct picture p = { .t = &proc->topo };
	unsigned int width = MAX(t->w, (unsigned int)MIN_WIDTH) + 2 * MARGIN, height;
	char summary[VIEW_SUMMARY], *body = NULL;
	size_t len = 0;
	bool failed;

	p.out = open_memstream(&body, &len);
	if (!p.out)
		return -ENOMEM;
	height = put_body(&p, proc, t, style, view_summary(&proc->topo, summary), width - 2 * MARGIN);
	failed = ferror(p.out);
	if (fclose(p.out) || failed) {
		free(body);
		return -ENOMEM;
	}
	fprintf(out,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<svg xmlns=\"http://www.w3.org/2000/svg\" version=\"1.1\" width=\"%u\" height=\"%u\" "
		"viewBox=\"0 0 %u %u\">\n"
		"<title>",
		width, height, width, height);
	xml_put(out, summary);
	fputs("</title>\n", out);
	put_style(out);
	fprintf(out, "<rect x=\"0\" y=\"0\" width=\"%u\" height=\"%u\" fill=\"#ffffff\"/>\n", width, height);
	fwrite(body, 1, len, out);
	fputs("</svg>\n", out);
	free(body);
	return 0;
}

/* The narrowest of some widths that makes the picture no higher than wide; the widest if none does. */
static int place_well(const struct view_box *root, struct place_style *style, struct tile *t)
{
	static const unsigned int widths[] = { 640, 960, 1280, 1800, 2400 };

	for (unsigned int i = 0;; i++) {
		int rc;

		style->width = widths[i];
		rc = place_tree(root, style, t);
		if (rc < 0 || t->h <= t->w * 3 / 4 || i + 1 == ARRAY_SIZE(widths))
			return rc;
		place_fini(t);
	}
}

int view_svg(struct processors *p, FILE *out, struct err *e)
{
	static const unsigned int folds[] = { 0, 8, 4, 2, 1 };
	struct place_style style = { .char_w = CHAR_W,
				     .line_h = LINE_H,
				     .top = 22,
				     .bottom = 8,
				     .side = 8,
				     .core_side = 6,
				     .core_bottom = 4,
				     .title_chars = 2,
				     .core_title_chars = 2,
				     .gap_x = 8,
				     .gap_y = 8,
				     .pu_side = 4,
				     .pu_gap = 4,
				     .band_side = 4,
				     .bands = true };
	bool done = false;
	int rc = 0;

	for (unsigned int i = p->topo.nr_cpus > WHOLE ? 1 : 0; i < ARRAY_SIZE(folds) && !done && !rc; i++) {
		struct view_box root;
		struct tile tiles;

		rc = view_tree(&p->topo, folds[i], &root, e);
		if (rc < 0)
			return rc;
		rc = place_well(&root, &style, &tiles);
		if (!rc) {
			done = !folds[i] || tiles.h <= MAX_HEIGHT || i + 1 == ARRAY_SIZE(folds);
			if (done)
				rc = put_picture(p, &tiles, &style, out);
			place_fini(&tiles);
		}
		view_tree_fini(&root);
	}
	if (rc < 0)
		return err_set(e, rc, "out of memory for a picture of %u processors", p->topo.nr_cpus);
	return ferror(out) ? err_set(e, -EIO, "cannot write the picture") : 0;
}
