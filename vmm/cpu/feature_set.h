/*
 * Sets of features, and what follows from one feature needing another. For the files of this folder that make
 * processors: a set's members are indices into features[].
 */
#ifndef TRELLIS_CPU_FEATURE_SET_H
#define TRELLIS_CPU_FEATURE_SET_H

#include "vmm/cpu/feature.h"

enum { FEATURE_MAX = 384, FEATURE_MAX_NEEDS = 4, FEATURE_SLOTS = 1024 };

struct feature_set {
	uint64_t word[FEATURE_MAX / 64];
};

/* All "needs" by number. Made once for each processor that is built: a few microseconds. */
struct feature_graph {
	unsigned int nr;                                /* features */
	uint16_t needs[FEATURE_MAX][FEATURE_MAX_NEEDS]; /* indices + 1; 0 ends the list */
	uint16_t slot[FEATURE_SLOTS];                   /* by hash of the name: indices + 1 */
};

static inline bool set_has(const struct feature_set *s, unsigned int i)
{
	return s->word[i / 64] >> (i % 64) & 1;
}

static inline void set_put(struct feature_set *s, unsigned int i)
{
	s->word[i / 64] |= 1ull << (i % 64);
}

static inline void set_take(struct feature_set *s, unsigned int i)
{
	s->word[i / 64] &= ~(1ull << (i % 64));
}

/* a without the members of b / a with them / those that are in both. */
struct feature_set set_without(struct feature_set a, const struct feature_set *b);
struct feature_set set_with(struct feature_set a, const struct feature_set *b);
struct feature_set set_common(struct feature_set a, const struct feature_set *b);
unsigned int set_count(const struct feature_set *s);

void feature_graph_init(struct feature_graph *g);

/* By number and exact name of ours. The name must be known: callers write it into their source. */
unsigned int feature_number(const struct feature_graph *g, const char *name);

/* Put the features of a list of names, separated by blanks, into a set; NULL is an empty list. */
void set_put_names(const struct feature_graph *g, struct feature_set *s, const char *names);

/* Put a feature and all that it needs, directly or not. */
void set_put_needs(const struct feature_graph *g, struct feature_set *s, unsigned int i);

/* Take out every feature which needs one that is not there, until all have what they need. */
void set_close(const struct feature_graph *g, struct feature_set *s);

/* The features that a table has. */
void set_read(struct feature_set *s, const struct cpuid_table *table);

/*
 * Make the table have exactly these; bits that are no feature of ours stay. The limits in leaves 0, 7 and 80000000
 * are raised where the set needs that. Returns 0, or -ENOSPC.
 */
MUST_CHECK int set_write(const struct feature_set *s, struct cpuid_table *table);

/*
 * "avx512f, vaes": as many names as fit, then "and 7 more". between: "," or ", " and so on; before: written in
 * front of each name. Returns buf.
 */
const char *set_names(const struct feature_set *s, const char *between, const char *before, char *buf,
		      size_t len);

/* How many letters must change to make b of a; large when one of them is very long. Case, '-' and '_' are alike. */
unsigned int feature_distance(const char *a, const char *b);

/* How many letters of this name may be wrong before it is no likeness of another: a third of them. */
unsigned int feature_likeness(const char *name);

/* Does name begin with these letters, case, '-' and '_' being alike? */
bool feature_begins(const char *name, const char *start);

#endif
