/*
 * The write-back cache of metadata pages, and the order in which metadata reaches the disk. It knows where
 * entries are, not what they mean.
 *
 * Pages are clean only once a sync has come after their write: if the write or the sync fails, they are
 * written again by the next flush.
 */
#include "devices/block/qcow2.h"

#include <errno.h>
#include <stdlib.h>

enum { TABLE_SECTOR = 512, TABLE_SECTOR_ENTRIES = TABLE_SECTOR / 8 };

int qcow2_cache_init(struct qcow2 *q)
{
	struct qcow2_cache *c = &q->cache;

	/* Aligned for O_DIRECT; not touched before it is used. */
	c->memory = aligned_alloc(QCOW2_PAGE_BYTES, (size_t)QCOW2_PAGES * QCOW2_PAGE_BYTES);
	if (!c->memory)
		return -ENOMEM;
	for (unsigned int i = 0; i < QCOW2_PAGES; i++)
		c->page[i].data = c->memory + (size_t)i * QCOW2_PAGE_BYTES;
	return 0;
}

void qcow2_cache_fini(struct qcow2 *q)
{
	free(q->cache.memory);
	q->cache.memory = NULL;
}

static uint16_t *chain_of(struct qcow2 *q, uint64_t at)
{
	uint64_t n = at / q->page_bytes;

	return &q->cache.hash[(n ^ n >> 8) % QCOW2_PAGES];
}

struct qcow2_page *qcow2_cache_find(struct qcow2 *q, uint64_t at)
{
	for (uint16_t i = *chain_of(q, at); i; i = q->cache.page[i - 1].next) {
		if (q->cache.page[i - 1].at == at) {
			q->cache.page[i - 1].used = true;
			return &q->cache.page[i - 1];
		}
	}
	return NULL;
}

static void insert_locked(struct qcow2 *q, struct qcow2_page *page, uint64_t at, bool l2)
{
	uint16_t *chain = chain_of(q, at);

	page->at = at;
	page->l2 = l2;
	page->used = true;
	page->next = *chain;
	*chain = (uint16_t)(page - q->cache.page + 1);
}

static void remove_locked(struct qcow2 *q, struct qcow2_page *page)
{
	uint16_t *link = chain_of(q, page->at);

	while (*link != page - q->cache.page + 1)
		link = &q->cache.page[*link - 1].next;
	*link = page->next;
	if (page->dirty && page->l2)
		q->cache.dirty_l2--;
	page->dirty = false;
	page->at = 0;
}

static void remove_page(struct qcow2 *q, struct qcow2_page *page)
{
	pthread_mutex_lock(&q->lock);
	remove_locked(q, page);
	pthread_mutex_unlock(&q->lock);
}

/* A page not used since the hand passed last, and not changed if there is such a one; NULL: all were changed. */
static struct qcow2_page *find_victim(struct qcow2 *q)
{
	struct qcow2_cache *c = &q->cache;
	struct qcow2_page *found = NULL;

	pthread_mutex_lock(&q->lock);
	for (unsigned int i = 0; i < 2 * QCOW2_PAGES && !found; i++) {
		struct qcow2_page *page = &c->page[c->hand];

		c->hand = (c->hand + 1) % QCOW2_PAGES;
		if (page->at && page->dirty)
			continue;
		if (!page->at || !page->used)
			found = page;
		page->used = false;
	}
	pthread_mutex_unlock(&q->lock);
	return found;
}

/* While lowered refcounts are entered they may go out at once: what pointed there is gone from the disk. */
static int evict_refcounts(struct qcow2 *q, struct qcow2_page **page)
{
	struct qcow2_page *p = &q->cache.page[q->cache.hand];
	int rc = block_file_write(&q->file, p->at, p->data, q->page_bytes);

	q->cache.hand = (q->cache.hand + 1) % QCOW2_PAGES;
	if (!rc) {
		pthread_mutex_lock(&q->lock);
		p->dirty = false;
		pthread_mutex_unlock(&q->lock);
		*page = p;
	}
	return rc;
}

static int find_room(struct qcow2 *q, struct qcow2_page **page)
{
	int rc = 0;

	*page = find_victim(q);
	if (!*page && q->cache.flushing) {
		rc = evict_refcounts(q, page);
	} else if (!*page) {
		rc = qcow2_flush(q);
		if (!rc)
			*page = find_victim(q);
		if (!rc && !*page) /* all dirty again: with lowered refcounts */
			rc = evict_refcounts(q, page);
	}
	if (!rc && (*page)->at)
		remove_page(q, *page);
	return rc;
}

static struct qcow2_page *find_page(struct qcow2 *q, uint64_t at)
{
	struct qcow2_page *page;

	pthread_mutex_lock(&q->lock);
	page = qcow2_cache_find(q, at);
	pthread_mutex_unlock(&q->lock);
	return page;
}

int qcow2_cache_get(struct qcow2 *q, uint64_t at, bool l2, struct qcow2_page **page)
{
	struct qcow2_page *room = NULL;
	int rc;

	*page = find_page(q, at);
	if (!*page) {
		rc = find_room(q, &room);
		if (rc)
			return rc;
		/* A flush for room frees clusters, and may have read this very page for that. */
		*page = find_page(q, at);
	}
	if (*page && (*page)->l2 == l2)
		return 0;
	if (*page)
		return qcow2_corrupt(q, "an L2 table and a refcount block share the place 0x%llx",
				     (unsigned long long)at);
	*page = room;
	rc = block_file_read(&q->file, at, room->data, q->page_bytes);
	if (rc)
		return rc;
	pthread_mutex_lock(&q->lock);
	insert_locked(q, room, at, l2);
	pthread_mutex_unlock(&q->lock);
	return 0;
}

void qcow2_cache_put64(struct qcow2 *q, struct qcow2_page *page, unsigned int i, uint64_t v)
{
	pthread_mutex_lock(&q->lock);
	put_be64(page->data + 8 * i, v);
	if (!page->dirty)
		q->cache.dirty_l2++;
	page->dirty = true;
	pthread_mutex_unlock(&q->lock);
}

void qcow2_cache_touch(struct qcow2 *q, struct qcow2_page *page)
{
	pthread_mutex_lock(&q->lock);
	page->dirty = true;
	pthread_mutex_unlock(&q->lock);
}

void qcow2_cache_forget(struct qcow2 *q, uint64_t at)
{
	pthread_mutex_lock(&q->lock);
	for (uint64_t end = at + q->cluster_bytes; at < end; at += q->page_bytes) {
		struct qcow2_page *page = qcow2_cache_find(q, at);

		if (page)
			remove_locked(q, page);
	}
	pthread_mutex_unlock(&q->lock);
}

void qcow2_l1_put(struct qcow2 *q, uint64_t i, uint64_t v)
{
	pthread_mutex_lock(&q->lock);
	q->l1[i] = v;
	q->l1_dirty = true;
	pthread_mutex_unlock(&q->lock);
	q->l1_sector_dirty[i / TABLE_SECTOR_ENTRIES] = 1;
}

void qcow2_rt_put(struct qcow2 *q, uint64_t i, uint64_t v)
{
	q->rt[i] = v;
	q->rt_dirty = true;
	q->rt_sector_dirty[i / TABLE_SECTOR_ENTRIES] = 1;
}

bool qcow2_cache_dirty(const struct qcow2 *q)
{
	return q->cache.dirty_l2 || q->l1_dirty;
}

static int write_pages(struct qcow2 *q, bool l2)
{
	int rc = 0;

	for (unsigned int i = 0; i < QCOW2_PAGES && !rc; i++) {
		struct qcow2_page *page = &q->cache.page[i];

		if (page->at && page->dirty && page->l2 == l2)
			rc = block_file_write(&q->file, page->at, page->data, q->page_bytes);
	}
	return rc;
}

static void pages_are_clean(struct qcow2 *q, bool l2)
{
	pthread_mutex_lock(&q->lock);
	for (unsigned int i = 0; i < QCOW2_PAGES; i++) {
		if (q->cache.page[i].l2 == l2)
			q->cache.page[i].dirty = false;
	}
	if (l2)
		q->cache.dirty_l2 = 0;
	pthread_mutex_unlock(&q->lock);
}

/* Write the changed sectors of a table that is kept whole in memory. */
static int write_table(struct qcow2 *q, uint64_t at, const uint64_t *table, uint64_t entries,
		       const uint8_t *sector_dirty)
{
	uint8_t sector[TABLE_SECTOR];

	for (uint64_t s = 0; s * TABLE_SECTOR_ENTRIES < entries; s++) {
		const uint64_t *from = table + s * TABLE_SECTOR_ENTRIES;
		uint64_t n = MIN((uint64_t)TABLE_SECTOR_ENTRIES, entries - s * TABLE_SECTOR_ENTRIES);
		int rc;

		if (!sector_dirty[s])
			continue;
		for (uint64_t i = 0; i < n; i++)
			put_be64(sector + 8 * i, from[i]);
		rc = block_file_write(&q->file, at + s * TABLE_SECTOR, sector, 8 * n);
		if (rc)
			return rc;
	}
	return 0;
}

int qcow2_flush_refcounts(struct qcow2 *q)
{
	int rc = write_pages(q, false);

	if (!rc)
		rc = qcow2_sync(q);
	if (rc)
		return rc;
	pages_are_clean(q, false);
	if (!q->rt_dirty)
		return 0;
	/* Blocks are whole on the disk before the table names them. */
	rc = write_table(q, q->rt_at, q->rt, q->rt_entries, q->rt_sector_dirty);
	if (!rc)
		rc = qcow2_sync(q);
	if (rc)
		return rc;
	memset(q->rt_sector_dirty, 0, q->rt_entries / TABLE_SECTOR_ENTRIES + 1);
	q->rt_dirty = false;
	return 0;
}

/* New L2 tables are whole on the disk by now, so L1 entries may go together with L2 entries. */
static int flush_mapping(struct qcow2 *q)
{
	int rc = write_pages(q, true);

	if (!rc && q->l1_dirty)
		rc = write_table(q, q->l1_at, q->l1, q->l1_entries, q->l1_sector_dirty);
	if (!rc)
		rc = qcow2_sync(q);
	if (rc)
		return rc;
	pages_are_clean(q, true);
	pthread_mutex_lock(&q->lock);
	q->l1_dirty = false;
	pthread_mutex_unlock(&q->lock);
	memset(q->l1_sector_dirty, 0, q->l1_entries / TABLE_SECTOR_ENTRIES + 1);
	return 0;
}

int qcow2_flush(struct qcow2 *q)
{
	int rc;

	if (q->readonly)
		return 0;
	if (q->corrupt)
		return -EIO;
	if (!qcow2_cache_dirty(q)) {
		rc = qcow2_sync(q);
	} else {
		rc = qcow2_flush_refcounts(q);
		if (!rc)
			rc = flush_mapping(q);
	}
	if (rc || !q->nr_pending || q->cache.flushing)
		return rc;
	q->cache.flushing = true;
	rc = qcow2_free_pending(q);
	q->cache.flushing = false;
	return rc;
}
