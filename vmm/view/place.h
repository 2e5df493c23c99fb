/*
 * Where the boxes of a tree go on a plane: for the terminal in characters, for SVG in pixels.
 */
#ifndef TRELLIS_VIEW_PLACE_H
#define TRELLIS_VIEW_PLACE_H

#include "vmm/view/view.h"

/* Sizes of everything, in the picture's unit. */
struct place_style {
	unsigned int char_w, line_h;    /* of text */
	unsigned int top, bottom, side; /* from a box's edge to what is inside; the title is in the top */
	unsigned int core_side, core_bottom;        /* the same for cores, whose top is as above */
	unsigned int core_w;                        /* no core is narrower; set by place_tree() */
	unsigned int title_chars, core_title_chars; /* what a title takes beside its own characters */
	unsigned int gap_x, gap_y;                  /* between boxes */
	unsigned int band_side;                     /* between a band's text and its edges */
	unsigned int pu_side;                       /* between a vCPU's number and the edges of its cell */
	unsigned int pu_gap;                        /* between cells */
	unsigned int width; /* rows are broken to fit in here, where that is possible */
	bool bands;         /* a cache around everything in a box is a line in it, not in the title */
};

enum tile_kind {
	TILE_BOX,  /* title, bands, then children */
	TILE_CORE, /* title, bands (its caches), then rows of vCPUs */
	TILE_NOTE, /* how many boxes were folded away */
};

enum { TILE_MAX_BANDS = TOPO_MAX_CACHES };

#define TILE_SEPARATOR '\x01' /* between the names in a title; the picture's maker writes what it likes */

struct tile {
	enum tile_kind kind;
	const struct view_box *box;   /* borrowed; the outermost of those it stands for */
	const struct view_box *inner; /* borrowed; the innermost: its children are drawn */
	enum view_kind look;          /* what it is first of all: decides the colour */
	char title[256];
	const struct view_box *band[TILE_MAX_BANDS];
	unsigned int nr_bands;
	bool band_each[TILE_MAX_BANDS]; /* inside the core: each thread has one */
	unsigned int x, y, w, h;
	unsigned int nr_children;
	struct tile *child;                    /* owned */
	unsigned int nr_pus, pu_columns, pu_w; /* TILE_CORE; pu_w: of a cell */
	unsigned int note_lines;               /* TILE_NOTE */
};

/*
 * Make the tiles of a tree and place them; the root is at 0, 0.
 * root  borrowed for the life of the tiles
 * Returns 0 or -ENOMEM; release with place_fini().
 */
MUST_CHECK int place_tree(const struct view_box *root, const struct place_style *style, struct tile *out);
void place_fini(struct tile *t);

/* One vCPU's cell of a TILE_CORE: "7", "(7)" when it can be plugged, "8-127" when folded. */
const char *tile_pu_text(const struct tile *t, unsigned int i, char *buf, size_t len);
/* Its box, which has the label and whether it is present. Borrowed. */
const struct view_box *tile_pu(const struct tile *t, unsigned int i);

/* A band's text: "L2 2M". */
const char *tile_band_text(const struct tile *t, unsigned int i, char *buf, size_t len);

/* A note's line i: "... 15 more like this: Core 1-15", in one line or three. */
const char *tile_note_text(const struct tile *t, unsigned int i, char *buf, size_t len);

/* What was folded away behind a box, by name: "Core 1-15"; "" when their numbers are not in a row. */
const char *view_folded_text(const struct view_box *box, char *buf, size_t len);

#endif
