/* Boxes in rows: sizes from the inside out, then positions from the outside in. */
#include "vmm/view/place.h"

#include <errno.h>
#include <stdlib.h>

/* Notes stand beside boxes of up to so many characters, in three short lines; else below, in one. */
enum { NARROW = 30 };

/* ---- what a tile says ---- */

/* The box without those around it that hold nothing else: the core's, or NULL when there is more than one core. */
static const struct view_box *lone_core(const struct view_box *box)
{
	while (box->kind == VIEW_CACHE && box->nr_children == 1 && !box->child[0].repeat)
		box = &box->child[0];
	return box->kind == VIEW_CORE ? box : NULL;
}

/* The vCPU box number *i of a core, or NULL and *i less by those that there are. Depth is the tree's. */
static const struct view_box *nth_pu(const struct view_box *box, unsigned int *i)
{
	const struct view_box *pu;

	if (box->kind == VIEW_PU)
		return (*i)-- ? NULL : box;
	if (box->child[0].kind == VIEW_PU && *i < box->nr_children)
		return &box->child[*i];
	for (unsigned int j = 0; j < box->nr_children; j++) {
		pu = nth_pu(&box->child[j], i);
		if (pu)
			return pu;
	}
	return NULL;
}

static unsigned int count_pus(const struct view_box *box)
{
	unsigned int nr = 0;

	if (box->kind == VIEW_PU)
		return 1;
	for (unsigned int j = 0; j < box->nr_children; j++)
		nr += count_pus(&box->child[j]);
	return nr;
}

const struct view_box *tile_pu(const struct tile *t, unsigned int i)
{
	return nth_pu(t->inner, &i);
}

static bool in_a_row(unsigned int first, unsigned int last, unsigned int nr)
{
	return last >= first && last - first == nr - 1;
}

static const char *range_text(const char *word, unsigned int first, unsigned int last, char *buf, size_t len)
{
	if (first == last)
		snprintf(buf, len, "%s %u", word, first);
	else
		snprintf(buf, len, "%s %u-%u", word, first, last);
	return buf;
}

const char *view_folded_text(const struct view_box *box, char *buf, size_t len)
{
	static const char *const word[] = { "Machine", "Node",  "Package", "Die",
					    "Module",  "Cache", "Core",    "CPU" };
	const struct view_box *core = box->kind == VIEW_CACHE ? lone_core(box) : NULL;
	unsigned int cores = box->last_core - box->first_core + 1;
	const char *name = word[box->kind];

	buf[0] = '\0';
	if (box->kind == VIEW_CORE)
		core = box;
	if (core && core->core_type != TOPO_ALIKE)
		name = core->core_type == TOPO_PERFORMANCE ? "P-core" : "E-core";
	else if (core)
		name = "Core";
	if (core || box->kind == VIEW_CACHE) { /* instances of caches have no names that anybody knows */
		if (in_a_row(box->folded.first_core, box->folded.last_core, cores * box->repeat))
			range_text(core ? name : "Core", box->folded.first_core, box->folded.last_core, buf,
				   len);
	} else if (in_a_row(box->folded.first, box->folded.last, box->repeat)) {
		range_text(name, box->folded.first, box->folded.last, buf, len);
	}
	return buf;
}

const char *tile_pu_text(const struct tile *t, unsigned int i, char *buf, size_t len)
{
	const struct view_box *pu = tile_pu(t, i);
	char number[32];

	if (pu->repeat)
		snprintf(number, sizeof(number), "%u-%u", pu->number, pu->folded.last);
	else
		snprintf(number, sizeof(number), "%u", pu->number);
	snprintf(buf, len, pu->present ? "%s" : "(%s)", number);
	return buf;
}

const char *tile_band_text(const struct tile *t, unsigned int i, char *buf, size_t len)
{
	snprintf(buf, len, "%s%s", t->band[i]->label, t->band_each[i] ? " each" : "");
	return buf;
}

const char *tile_note_text(const struct tile *t, unsigned int i, char *buf, size_t len)
{
	char what[64];

	view_folded_text(t->box, what, sizeof(what));
	if (t->note_lines == 1)
		snprintf(buf, len, "... %u more like this%s%s", t->box->repeat, what[0] ? ": " : "", what);
	else if (i == 0)
		snprintf(buf, len, "... %u more", t->box->repeat);
	else
		snprintf(buf, len, "%s", i == 1 ? (what[0] ? "like this:" : "like this") : what);
	return buf;
}

static void add_title(struct tile *t, const char *label)
{
	size_t at = strlen(t->title);

	if (at)
		snprintf(t->title + at, sizeof(t->title) - at, " %c %s", TILE_SEPARATOR, label);
	else
		snprintf(t->title, sizeof(t->title), "%s", label);
}

static void add_band(struct tile *t, const struct view_box *box, bool each)
{
	if (t->nr_bands < TILE_MAX_BANDS) {
		t->band_each[t->nr_bands] = each;
		t->band[t->nr_bands++] = box;
	}
}

static void core_init(struct tile *t, const struct view_box *box, const struct view_box *core)
{
	*t = (struct tile){ .kind = TILE_CORE, .look = VIEW_CORE, .box = box, .inner = core };
	for (; box != core; box = &box->child[0])
		add_band(t, box, false);
	add_title(t, core->label);
	/* Caches inside the core: its first thread's stand for all. */
	for (box = &core->child[0]; box->kind == VIEW_CACHE; box = &box->child[0])
		add_band(t, box, true);
	t->nr_pus = count_pus(core);
	t->pu_columns = MIN(t->nr_pus, 4u);
}

/* A box, and those in it that hold the very same: "Package 0 - Die 0 - L3 32M" is one. */
static void box_init(struct tile *t, const struct view_box *box, const struct place_style *style)
{
	*t = (struct tile){ .kind = TILE_BOX, .look = box->kind, .box = box };
	for (;;) {
		if (box->kind == VIEW_CACHE && style->bands && t->box->kind != VIEW_CACHE)
			add_band(t, box, false);
		else
			add_title(t, box->label);
		if (box->nr_children != 1 || box->child[0].repeat || lone_core(&box->child[0]) ||
		    box->child[0].kind == VIEW_PU)
			break;
		box = &box->child[0];
	}
	t->inner = box;
}

/* ---- sizes ---- */

static int size_tile(struct tile *t, const struct view_box *box, const struct place_style *style,
		     unsigned int avail);

static void size_note(struct tile *t, const struct tile *of, const struct place_style *style)
{
	char text[96];
	size_t chars = 0;

	*t = (struct tile){ .kind = TILE_NOTE, .look = of->look, .box = of->box, .inner = of->box };
	t->note_lines = of->w <= NARROW * style->char_w ? 3 : 1;
	for (unsigned int i = 0; i < t->note_lines; i++)
		chars = MAX(chars, strlen(tile_note_text(t, i, text, sizeof(text))));
	t->w = (unsigned int)chars * style->char_w;
	t->h = t->note_lines * style->line_h;
}

static unsigned int sum_of_widths(const struct tile *t, const struct place_style *style)
{
	unsigned int w = 0;

	for (unsigned int i = 0; i < t->nr_children; i++)
		w += t->child[i].w + (i ? style->gap_x : 0);
	return w;
}

/* How many go in a row, all rows being as full as the others; 0: widths differ, so as many as there is room for. */
static unsigned int row_length(const struct tile *t, const struct place_style *style, unsigned int avail)
{
	unsigned int n = t->nr_children, per_row, rows;

	for (unsigned int i = 1; i < n; i++)
		if (t->child[i].w != t->child[0].w)
			return 0;
	per_row = MAX((avail + style->gap_x) / (t->child[0].w + style->gap_x), 1u);
	rows = (n + per_row - 1) / per_row;
	return (n + rows - 1) / rows;
}

/* Put the children in rows at 0, 0 and tell the size of all. */
static void flow(struct tile *t, const struct place_style *style, unsigned int avail, unsigned int *w,
		 unsigned int *h)
{
	bool one_row = sum_of_widths(t, style) <= avail;
	unsigned int per_row = one_row ? 0 : row_length(t, style, avail);
	unsigned int x = 0, y = 0, row_h = 0, first = 0;

	*w = 0;
	for (unsigned int i = 0; i <= t->nr_children; i++) {
		struct tile *c = &t->child[i];
		bool breaks = i == t->nr_children ||
			      (i > first && (per_row ? i - first == per_row : x + c->w > avail));

		if (i < t->nr_children && i > first && c->kind == TILE_NOTE && c->note_lines == 1)
			breaks = true;
		if (breaks) {
			for (unsigned int j = first; j < i; j++)
				if (t->child[j].kind == TILE_CORE || t->child[j].nr_children)
					t->child[j].h = row_h;
			y += row_h;
			if (i == t->nr_children)
				break;
			y += style->gap_y;
			x = row_h = 0;
			first = i;
		}
		c->x = x;
		c->y = y;
		x += c->w + style->gap_x;
		row_h = MAX(row_h, c->h);
		*w = MAX(*w, c->x + c->w);
	}
	*h = y;
}

/* One above the other, boxes are equally wide. Depth is that of the tree. */
static void stretch(struct tile *t, const struct place_style *style, unsigned int w)
{
	t->w = w;
	for (unsigned int i = 0; i < t->nr_children; i++)
		if (t->child[i].x) /* not before all are placed in this box, so these count from its inside */
			return;
	for (unsigned int i = 0; i < t->nr_children; i++)
		if (t->child[i].kind != TILE_NOTE)
			stretch(&t->child[i], style, w - 2 * style->side);
}

static unsigned int band_width(const struct tile *t, unsigned int i, const struct place_style *style)
{
	char text[96];

	return (unsigned int)strlen(tile_band_text(t, i, text, sizeof(text))) * style->char_w +
	       2 * style->band_side;
}

static int size_box(struct tile *t, const struct place_style *style, unsigned int avail)
{
	const struct view_box *box = t->inner;
	unsigned int inner = avail > 2 * style->side ? avail - 2 * style->side : 1;
	unsigned int w = 0, h = 0;
	int rc;

	t->child = calloc(2 * (size_t)box->nr_children + 1, sizeof(*t->child));
	if (!t->child)
		return -ENOMEM;
	for (unsigned int i = 0; i < box->nr_children; i++) {
		struct tile *c = &t->child[t->nr_children++];

		rc = size_tile(c, &box->child[i], style, inner);
		if (rc < 0)
			return rc;
		if (box->child[i].repeat)
			size_note(&t->child[t->nr_children++], c, style);
	}
	if (t->nr_children)
		flow(t, style, inner, &w, &h);
	for (unsigned int i = 0; i < t->nr_bands; i++)
		w = MAX(w, band_width(t, i, style));
	t->w = MAX(w + 2 * style->side,
		   (unsigned int)(strlen(t->title) + style->title_chars) * style->char_w);
	t->h = style->top + t->nr_bands * style->line_h + h + style->bottom;
	stretch(t, style, t->w);
	return 0;
}

static void size_core(struct tile *t, const struct place_style *style)
{
	unsigned int w = 0, rows = (t->nr_pus + t->pu_columns - 1) / t->pu_columns;
	char text[96];

	for (unsigned int i = 0; i < t->nr_pus; i++)
		w = MAX(w, (unsigned int)strlen(tile_pu_text(t, i, text, sizeof(text))));
	t->pu_w = w * style->char_w + 2 * style->pu_side;
	w = t->pu_columns * t->pu_w + (t->pu_columns - 1) * style->pu_gap;
	for (unsigned int i = 0; i < t->nr_bands; i++)
		w = MAX(w, band_width(t, i, style));
	t->w = MAX(w + 2 * style->core_side,
		   (unsigned int)(strlen(t->title) + style->core_title_chars) * style->char_w);
	t->w = MAX(t->w, style->core_w);
	t->h = style->top + (t->nr_bands + rows) * style->line_h + style->core_bottom;
}

/* Depth is that of the tree, which has a limit of its own. */
static int size_tile(struct tile *t, const struct view_box *box, const struct place_style *style,
		     unsigned int avail)
{
	const struct view_box *core = lone_core(box);

	if (core) {
		core_init(t, box, core);
		size_core(t, style);
		return 0;
	}
	box_init(t, box, style);
	return size_box(t, style, avail);
}

/* ---- positions ---- */

static void move_children(struct tile *t, const struct place_style *style)
{
	unsigned int y = t->y + style->top + t->nr_bands * style->line_h;

	for (unsigned int i = 0; i < t->nr_children; i++) {
		t->child[i].x += t->x + style->side;
		t->child[i].y += y;
		move_children(&t->child[i], style);
	}
}

/* The widths of the narrowest and the widest core. */
static void core_widths(const struct tile *t, unsigned int *min, unsigned int *max)
{
	if (t->kind == TILE_CORE) {
		*min = MIN(*min, t->w);
		*max = MAX(*max, t->w);
	}
	for (unsigned int i = 0; i < t->nr_children; i++)
		core_widths(&t->child[i], min, max);
}

int place_tree(const struct view_box *root, const struct place_style *style, struct tile *out)
{
	struct place_style even = *style;
	unsigned int min = UINT32_MAX, max = 0;
	int rc = size_tile(out, root, style, style->width);

	if (!rc) {
		core_widths(out, &min, &max);
		/* Numbers of more digits do not make a core wider than others; many threads may. */
		if (max > min && max <= 2 * min) {
			even.core_w = max;
			place_fini(out);
			rc = size_tile(out, root, &even, style->width);
		}
	}
	if (rc < 0) {
		place_fini(out);
		return rc;
	}
	out->x = out->y = 0;
	move_children(out, style);
	return 0;
}

void place_fini(struct tile *t)
{
	for (unsigned int i = 0; i < t->nr_children; i++)
		place_fini(&t->child[i]);
	free(t->child);
	*t = (struct tile){ 0 };
}
