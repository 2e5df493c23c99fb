/* The drawing for terminals: nested boxes of line characters, then the shape in a sentence, then the table. */
#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#include "vmm/view/place.h"
#include "vmm/view/table.h"

enum {
	MIN_COLUMNS = 40,
	MAX_COLUMNS = 500,
	SCREEN_LINES = 48, /* a drawing of more lines is folded */
	MAX_LINES = 240,   /* where nothing is alike and folding does not help, the rest is left out */
	TABLE_WHOLE = 128, /* a table of more vCPUs is shortened */
	MAX_MATRIX = 16,   /* distances of more nodes are left to --format json */
};

/* What a cell of the canvas holds, beside ASCII characters: lines. */
enum glyph {
	G_HORIZONTAL = 128,
	G_VERTICAL,
	G_TOP_LEFT,
	G_TOP_RIGHT,
	G_BOTTOM_LEFT,
	G_BOTTOM_RIGHT,
	G_DASHED_HORIZONTAL,
	G_DASHED_VERTICAL,
};

static const char *const glyph_utf8[] = { "─", "│", "┌", "┐", "└", "┘", "╌", "╎" };
static const char *const glyph_ascii[] = { "-", "|", "+", "+", "+", "+", ".", ":" };

struct canvas {
	uint8_t *cell; /* owned; an ASCII character, or enum glyph */
	unsigned int w, h;
};

/* What the locale would be (POSIX.1-2017, XBD 8.2), by name alone: setlocale() is not for libraries to call. */
static bool locale_is_utf8(void)
{
	static const char *const names[] = { "LC_ALL", "LC_CTYPE", "LANG" };

	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++) {
		const char *value = getenv(names[i]);

		if (!value || !*value)
			continue;
		for (; *value; value++)
			if (!strncasecmp(value, "utf-8", 5) || !strncasecmp(value, "utf8", 4))
				return true;
		return false;
	}
	return false;
}

/* ---- the canvas ---- */

static void set(struct canvas *c, unsigned int x, unsigned int y, uint8_t what)
{
	if (x < c->w && y < c->h)
		c->cell[(size_t)y * c->w + x] = what;
}

static void set_text(struct canvas *c, unsigned int x, unsigned int y, const char *text, uint8_t line)
{
	for (; *text; text++)
		set(c, x++, y, *text == TILE_SEPARATOR ? line : (uint8_t)*text & 0x7f);
}

static void draw_frame(struct canvas *c, const struct tile *t)
{
	uint8_t across = t->box->present ? G_HORIZONTAL : G_DASHED_HORIZONTAL;
	uint8_t down = t->box->present ? G_VERTICAL : G_DASHED_VERTICAL;
	unsigned int right = t->x + t->w - 1, bottom = t->y + t->h - 1;

	for (unsigned int x = t->x; x < right; x++) {
		set(c, x, t->y, across);
		set(c, x, bottom, across);
	}
	for (unsigned int y = t->y; y < bottom; y++) {
		set(c, t->x, y, down);
		set(c, right, y, down);
	}
	set(c, t->x, t->y, G_TOP_LEFT);
	set(c, right, t->y, G_TOP_RIGHT);
	set(c, t->x, bottom, G_BOTTOM_LEFT);
	set(c, right, bottom, G_BOTTOM_RIGHT);
}

static void draw_title(struct canvas *c, const struct tile *t, unsigned int at)
{
	uint8_t across = t->box->present ? G_HORIZONTAL : G_DASHED_HORIZONTAL;

	if (at) {
		set(c, t->x + at, t->y, ' ');
		set(c, t->x + at + 1 + (unsigned int)strlen(t->title), t->y, ' ');
		at++;
	} else {
		at = 1;
	}
	set_text(c, t->x + at, t->y, t->title, across);
}

static void draw_core(struct canvas *c, const struct tile *t, const struct place_style *style)
{
	unsigned int y = t->y + style->top, x = t->x + style->core_side;
	char text[96];

	draw_frame(c, t);
	draw_title(c, t, style->core_side > 1 ? 1 : 0);
	for (unsigned int i = 0; i < t->nr_bands; i++)
		set_text(c, x, y++, tile_band_text(t, i, text, sizeof(text)), ' ');
	for (unsigned int i = 0; i < t->nr_pus; i++) {
		unsigned int column = i % t->pu_columns;

		if (i && !column)
			y++;
		tile_pu_text(t, i, text, sizeof(text));
		set_text(c, x + column * (t->pu_w + style->pu_gap), y, text, ' ');
	}
}

static void draw_tile(struct canvas *c, const struct tile *t, const struct place_style *style)
{
	char text[96];

	switch (t->kind) {
	case TILE_NOTE:
		for (unsigned int i = 0; i < t->note_lines; i++)
			set_text(c, t->x, t->y + i, tile_note_text(t, i, text, sizeof(text)), ' ');
		break;
	case TILE_CORE:
		draw_core(c, t, style);
		break;
	case TILE_BOX:
		draw_frame(c, t);
		draw_title(c, t, 2);
		for (unsigned int i = 0; i < t->nr_children; i++)
			draw_tile(c, &t->child[i], style);
		break;
	}
}

static void print_canvas(const struct canvas *c, FILE *out)
{
	const char *const *glyph = locale_is_utf8() ? glyph_utf8 : glyph_ascii;

	for (unsigned int y = 0; y < MIN(c->h, (unsigned int)MAX_LINES); y++) {
		const uint8_t *row = c->cell + (size_t)y * c->w;
		unsigned int end = c->w;

		while (end && row[end - 1] == ' ')
			end--;
		for (unsigned int x = 0; x < end; x++)
			if (row[x] >= G_HORIZONTAL)
				fputs(glyph[row[x] - G_HORIZONTAL], out);
			else
				fputc(row[x], out);
		fputc('\n', out);
	}
	if (c->h > MAX_LINES)
		fprintf(out, "... %u more lines; --format svg draws all\n", c->h - MAX_LINES);
}

/* ---- how to draw it ---- */

/* Side margins for comfort; or tight, when that makes it shorter. */
static struct place_style text_style(unsigned int columns, bool tight)
{
	return (struct place_style){ .char_w = 1,
				     .line_h = 1,
				     .top = 1,
				     .bottom = 1,
				     .side = 2,
				     .core_side = tight ? 1 : 2,
				     .core_bottom = 1,
				     .title_chars = 6,
				     .core_title_chars = tight ? 2 : 4,
				     .gap_x = 1,
				     .pu_gap = 1,
				     .width = columns };
}

/* Tiles of whichever style makes fewer lines. */
static int place_best(const struct view_box *root, unsigned int columns, struct place_style *style,
		      struct tile *t)
{
	struct place_style tight = text_style(columns, true);
	struct tile other;
	int rc;

	*style = text_style(columns, false);
	rc = place_tree(root, style, t);
	if (rc < 0)
		return rc;
	rc = place_tree(root, &tight, &other);
	if (rc < 0) {
		place_fini(t);
		return rc;
	}
	if (other.h < t->h || (t->w > columns && other.w < t->w)) {
		struct tile roomy = *t;

		*t = other;
		other = roomy;
		*style = tight;
	}
	place_fini(&other);
	return 0;
}

static int print_tiles(const struct tile *t, const struct place_style *style, FILE *out)
{
	struct canvas c = { .w = t->w, .h = t->h };

	c.cell = malloc((size_t)c.w * c.h);
	if (!c.cell)
		return -ENOMEM;
	memset(c.cell, ' ', (size_t)c.w * c.h);
	draw_tile(&c, t, style);
	print_canvas(&c, out);
	free(c.cell);
	return 0;
}

/* Fold no more than it takes to fit a screen. */
static int draw(const struct topology *t, FILE *out, unsigned int columns, struct err *e)
{
	static const unsigned int folds[] = { 0, 8, 4, 2, 1 };
	bool done = false;
	int rc = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(folds) && !done && !rc; i++) {
		struct place_style style;
		struct view_box root;
		struct tile tiles;

		rc = view_tree(t, folds[i], &root, e);
		if (rc < 0)
			return rc;
		rc = place_best(&root, columns, &style, &tiles);
		if (!rc) {
			done = tiles.h <= SCREEN_LINES || i + 1 == ARRAY_SIZE(folds);
			if (done)
				rc = print_tiles(&tiles, &style, out);
			place_fini(&tiles);
		}
		view_tree_fini(&root);
	}
	if (rc < 0)
		return err_set(e, rc, "out of memory for a drawing of %u processors", t->nr_cpus);
	return 0;
}

/* ---- what is below ---- */

static void print_wrapped(FILE *out, const char *text, unsigned int columns)
{
	while (*text) {
		size_t len = view_wrap(text, columns);

		fprintf(out, "%.*s\n", (int)len, text);
		text += len + strspn(text + len, " ");
	}
}

static void print_distances(FILE *out, const struct topology *t)
{
	bool alike = true;

	for (unsigned int i = 0; i < t->nr_nodes * t->nr_nodes; i++)
		if (i / t->nr_nodes != i % t->nr_nodes && t->distance[i] != t->distance[1])
			alike = false;
	if (t->nr_nodes < 2 || t->nr_nodes > MAX_MATRIX)
		return;
	if (alike) {
		fprintf(out, "Distance between nodes %u, of a node to itself %u\n", t->distance[1],
			t->distance[0]);
		return;
	}
	fprintf(out, "\nDistance from (down) and to (across) nodes\n   ");
	for (unsigned int i = 0; i < t->nr_nodes; i++)
		fprintf(out, " %3u", i);
	for (unsigned int i = 0; i < t->nr_nodes * t->nr_nodes; i++) {
		if (i % t->nr_nodes == 0)
			fprintf(out, "\n%3u", i / t->nr_nodes);
		fprintf(out, " %3u", t->distance[i]);
	}
	fputc('\n', out);
}

int view_drawing(struct processors *p, FILE *out, unsigned int columns, struct err *e)
{
	const struct topology *t = &p->topo;
	char summary[VIEW_SUMMARY];
	int rc;

	columns = columns < MIN_COLUMNS ? MIN_COLUMNS : MIN(columns, (unsigned int)MAX_COLUMNS);
	rc = draw(t, out, columns, e);
	if (rc < 0)
		return rc;
	print_wrapped(out, view_summary(t, summary), columns);
	if (t->nr_present < t->nr_cpus)
		print_wrapped(out,
			      "Numbers in cores are vCPUs; (n) is not there yet and can be plugged later",
			      columns);
	else
		print_wrapped(out, "Numbers in cores are vCPUs", columns);
	print_distances(out, t);
	fputc('\n', out);
	return table_print(p, out, t->nr_cpus > TABLE_WHOLE ? 16 : 0, e);
}
