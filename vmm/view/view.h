/*
 * `trellis topology`: the guest's processors as pictures, tables and dumps. Nothing here needs /dev/kvm.
 *
 * Every view writes to a stream and is a function of the processors alone: the same options give the same bytes.
 */
#ifndef TRELLIS_VIEW_VIEW_H
#define TRELLIS_VIEW_VIEW_H

#include <stdio.h>

#include "vmm/cpu/check.h"
#include "vmm/cpu/processors.h"

/* ---- vmm/view/tree.c: the shape as nested boxes, which text, SVG and dot draw ---- */

enum view_kind { VIEW_MACHINE, VIEW_NODE, VIEW_PACKAGE, VIEW_DIE, VIEW_MODULE, VIEW_CACHE, VIEW_CORE, VIEW_PU };

struct view_box {
	enum view_kind kind;
	char label[64];                      /* "Package 0", "L3 32M", "Core 3", "CPU 7 id 0x0e" */
	unsigned int first, nr;              /* vCPUs inside, as indices into the tree's order */
	unsigned int nr_children;
	struct view_box *child;              /* owned array */
	bool present;                        /* any vCPU inside is, or it is a node with memory alone */
	unsigned int repeat;                 /* how many boxes like this one follow it and were folded away */
	unsigned int number;                 /* of the unit, node or cache instance in the machine; of the vCPU */
	unsigned int nr_present;             /* of the nr vCPUs */
	unsigned int first_core, last_core;  /* numbers of the cores inside, left to right; without vCPUs: 0 */
	uint64_t bytes;                      /* VIEW_NODE: its memory; VIEW_CACHE: its size */
	unsigned int cache;                  /* VIEW_CACHE: its kind, index into topology.cache */
	uint8_t core_type;                   /* VIEW_CORE: enum topo_core_type */
	bool part;                           /* the rest of this unit is in other boxes, for units that do not nest */
	struct {
		unsigned int first, last;             /* numbers of the first and last box folded away */
		unsigned int first_core, last_core;   /* and the cores in them */
	} folded;                            /* with repeat only */
};

/*
 * Build the tree: machine, then (whichever exist) node, package, die, module, caches, core, PU, each inside the
 * smallest that holds it. fold: runs of more than fold like boxes become the first, and a count (0: never).
 * Returns 0 or -ENOMEM with a sentence. Release with view_tree_fini().
 */
MUST_CHECK int view_tree(const struct topology *t, unsigned int fold, struct view_box *root, struct err *e);
void view_tree_fini(struct view_box *root);

/*
 * summary.c: the shape in one sentence without full stop: "2 sockets x 3 cores x 2 threads = 12 vCPUs; L3 32M per
 * socket". Always fits into VIEW_SUMMARY bytes; returns buf.
 */
enum { VIEW_SUMMARY = 1024 };
const char *view_summary(const struct topology *t, char buf[VIEW_SUMMARY]);

/* summary.c: how many characters of a text go into a line of so many columns; what follows is blanks or the end. */
size_t view_wrap(const char *text, size_t columns);

/* ---- the views; each returns 0 or a negative errno with a sentence ---- */

/* Numbers in all views count units in the machine, from 0 in order of appearance (struct topo_cpu's unit[]). */

MUST_CHECK int view_drawing(struct processors *p, FILE *out, unsigned int columns, struct err *e); /* drawing.c */
MUST_CHECK int view_svg(struct processors *p, FILE *out, struct err *e);                           /* svg.c */
MUST_CHECK int view_dot(struct processors *p, FILE *out, struct err *e);                           /* dot.c */
MUST_CHECK int view_table(struct processors *p, FILE *out, struct err *e);                         /* table.c */
MUST_CHECK int view_json(struct processors *p, FILE *out, struct err *e);                          /* json.c */
MUST_CHECK int view_cpuid(struct processors *p, FILE *out, struct err *e);   /* dump.c: as `cpuid -r`, for cpuid -f */
MUST_CHECK int view_hwloc(struct processors *p, const char *dir, struct err *e);                   /* dump.c */
MUST_CHECK int view_acpi(struct processors *p, const char *dir, struct err *e);                    /* acpi_files.c */
MUST_CHECK int view_explain(struct processors *p, FILE *out, struct err *e);                       /* explain.c */

/* os_limits.c: how many vCPUs an operating system would use; os is "windows-7" and so on. */
MUST_CHECK int view_os(struct processors *p, const char *os, FILE *out, struct err *e);

/*
 * compare.c: the differences between what this guest would be told and a raw dump (`cpuid -r`), level by level.
 * Returns 0 when nothing that matters differs, 1 when something does, or a negative errno with a sentence.
 */
MUST_CHECK int view_compare(struct processors *p, const char *path, FILE *out, struct err *e);

/* vmm/view/topology_command.c: the command. */
extern const struct opt topology_opts[];
int topology_main(int argc, char *const *argv, struct err *e);

#endif
