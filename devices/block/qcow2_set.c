/*
 * The set of host clusters that hold metadata: the header, L1, L2, refcount and snapshot tables. Neither the
 * allocator nor a write in place may touch them, whatever the refcounts and L2 entries say. L2 tables of
 * snapshots are not in it: their refcounts keep them.
 */
#include "devices/block/qcow2.h"

#include <errno.h>
#include <stdlib.h>

static uint64_t set_start(const struct qcow2_set *s, uint64_t cluster)
{
	return (cluster * 0x9e3779b97f4a7c15ull >> 20) & (s->nr_slots - 1);
}

/* The slot that holds cluster, or the empty one where it would be. */
static uint64_t set_find(const struct qcow2_set *s, uint64_t cluster)
{
	uint64_t i = set_start(s, cluster);

	while (s->slot[i] && s->slot[i] != cluster + 1)
		i = (i + 1) & (s->nr_slots - 1);
	return i;
}

static bool set_has(const struct qcow2_set *s, uint64_t cluster)
{
	return s->nr && s->slot[set_find(s, cluster)];
}

/* At most half of the slots are in use. */
static int set_grow(struct qcow2_set *s, uint64_t more)
{
	struct qcow2_set bigger = { .nr = s->nr, .nr_slots = MAX(s->nr_slots, 64) };

	while (bigger.nr_slots < 2 * (s->nr + more))
		bigger.nr_slots *= 2;
	if (bigger.nr_slots == s->nr_slots)
		return 0;
	bigger.slot = calloc(bigger.nr_slots, sizeof(*bigger.slot));
	if (!bigger.slot)
		return -ENOMEM;
	for (uint64_t i = 0; i < s->nr_slots; i++) {
		if (s->slot[i])
			bigger.slot[set_find(&bigger, s->slot[i] - 1)] = s->slot[i];
	}
	free(s->slot);
	*s = bigger;
	return 0;
}

/* Entries behind the gap move up where their search would end in it. */
static void set_del(struct qcow2_set *s, uint64_t cluster)
{
	uint64_t gap = s->nr_slots ? set_find(s, cluster) : 0, mask = s->nr_slots - 1;

	if (!s->nr_slots || !s->slot[gap])
		return;
	for (uint64_t i = (gap + 1) & mask; s->slot[i]; i = (i + 1) & mask) {
		uint64_t want = set_start(s, s->slot[i] - 1);

		if (((i - want) & mask) >= ((i - gap) & mask)) {
			s->slot[gap] = s->slot[i];
			gap = i;
		}
	}
	s->slot[gap] = 0;
	s->nr--;
}

int qcow2_metadata_add(struct qcow2 *q, uint64_t first, uint64_t nr)
{
	int rc;

	for (uint64_t i = 0; i < nr; i++) {
		if (set_has(&q->metadata, first + i))
			return -EEXIST;
	}
	pthread_mutex_lock(&q->lock);
	rc = set_grow(&q->metadata, nr);
	for (uint64_t i = 0; i < nr && !rc; i++) {
		q->metadata.slot[set_find(&q->metadata, first + i)] = first + i + 1;
		q->metadata.nr++;
	}
	pthread_mutex_unlock(&q->lock);
	return rc;
}

void qcow2_metadata_del(struct qcow2 *q, uint64_t first, uint64_t nr)
{
	pthread_mutex_lock(&q->lock);
	for (uint64_t i = 0; i < nr; i++)
		set_del(&q->metadata, first + i);
	pthread_mutex_unlock(&q->lock);
}

void qcow2_metadata_fini(struct qcow2 *q)
{
	free(q->metadata.slot);
	q->metadata = (struct qcow2_set){ 0 };
}

bool qcow2_metadata_overlap(const struct qcow2 *q, uint64_t at, uint64_t bytes)
{
	for (uint64_t c = at >> q->cluster_bits; c <= (at + bytes - 1) >> q->cluster_bits; c++) {
		if (set_has(&q->metadata, c))
			return true;
	}
	return false;
}
