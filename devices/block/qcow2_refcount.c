/*
 * Refcounts: looking one up, setting one, making the blocks that hold them, and a bigger table when the file
 * outgrows it. Who may take or drop clusters is qcow2_alloc.c's business.
 */
#include "devices/block/qcow2.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* The page of a refcount block that counts cluster, and which of its counts it is. */
static int refcount_page(struct qcow2 *q, uint64_t cluster, struct qcow2_page **page, unsigned int *index)
{
	unsigned int per_page_bits = (unsigned int)__builtin_ctz(q->page_bytes) + 3 - q->refcount_order;
	uint64_t in_block = cluster & ((1ull << qcow2_rb_bits(q)) - 1);
	uint64_t block = q->rt[cluster >> qcow2_rb_bits(q)];

	if (!qcow2_aligned(q, block) || block >= q->file_end)
		return qcow2_corrupt(q, "refcount block 0x%" PRIx64 " is not in the file, or not aligned",
				     block);
	*index = (unsigned int)(in_block & ((1ull << per_page_bits) - 1));
	return qcow2_cache_get(q, block + (in_block >> per_page_bits) * q->page_bytes, false, page);
}

static bool has_block(const struct qcow2 *q, uint64_t cluster)
{
	uint64_t region = cluster >> qcow2_rb_bits(q);

	return region < q->rt_entries && q->rt[region];
}

/* The specification, "Refcount block entry": below 8 bits, the first count is in the lowest bits. */
static uint64_t count_get(const uint8_t *data, unsigned int i, unsigned int order)
{
	switch (order) {
	case 3:
		return data[i];
	case 4:
		return get_be16(data + 2 * i);
	case 5:
		return get_be32(data + 4 * i);
	case 6:
		return get_be64(data + 8 * i);
	default:
		return data[i << order >> 3] >> ((i << order) & 7) & ((1u << (1u << order)) - 1);
	}
}

static void count_set(uint8_t *data, unsigned int i, unsigned int order, uint64_t v)
{
	unsigned int shift = (i << order) & 7, mask = (1u << (1u << MIN(order, 2u))) - 1;

	switch (order) {
	case 3:
		data[i] = (uint8_t)v;
		break;
	case 4:
		put_be16(data + 2 * i, (uint16_t)v);
		break;
	case 5:
		put_be32(data + 4 * i, (uint32_t)v);
		break;
	case 6:
		put_be64(data + 8 * i, v);
		break;
	default:
		data[i << order >> 3] =
			(uint8_t)((data[i << order >> 3] & ~(mask << shift)) | (v & mask) << shift);
		break;
	}
}

int qcow2_refcount_get(struct qcow2 *q, uint64_t cluster, uint64_t *v)
{
	struct qcow2_page *page;
	unsigned int index;
	int rc;

	*v = 0;
	if (!has_block(q, cluster))
		return 0;
	rc = refcount_page(q, cluster, &page, &index);
	if (!rc)
		*v = count_get(page->data, index, q->refcount_order);
	return rc;
}

int qcow2_refcount_set(struct qcow2 *q, uint64_t cluster, uint64_t v)
{
	struct qcow2_page *page;
	unsigned int index;
	int rc;

	if (!has_block(q, cluster))
		return -ENOENT;
	rc = refcount_page(q, cluster, &page, &index);
	if (rc)
		return rc;
	count_set(page->data, index, q->refcount_order, v);
	qcow2_cache_touch(q, page);
	return 0;
}

unsigned int qcow2_zero_window(struct iovec *out, unsigned int max, uint64_t bytes, uint64_t *got)
{
	static const _Alignas(4096) uint8_t zeros[4096];
	unsigned int nr = 0;

	for (*got = 0; nr < max && *got < bytes; nr++) {
		out[nr].iov_base = (void *)zeros; /* only ever written from */
		out[nr].iov_len = (size_t)MIN(bytes - *got, sizeof(zeros));
		*got += out[nr].iov_len;
	}
	return nr;
}

int qcow2_write_zeros(struct qcow2 *q, uint64_t at, uint64_t bytes)
{
	struct iovec iov[QCOW2_IOVS];
	int rc = 0;

	for (uint64_t got; bytes && !rc; at += got, bytes -= got) {
		unsigned int nr = qcow2_zero_window(iov, QCOW2_IOVS, bytes, &got);

		rc = block_file_writev(&q->file, at, iov, nr, got, false);
	}
	return rc;
}

void qcow2_extend(struct qcow2 *q, uint64_t end)
{
	pthread_mutex_lock(&q->lock);
	q->file_end = MAX(q->file_end, end);
	pthread_mutex_unlock(&q->lock);
}

/* L1 and L2 entries have room for offsets below 2^56. */
int qcow2_reachable(const struct qcow2 *q, uint64_t cluster, uint64_t nr)
{
	uint64_t limit = q->file.device ? q->file.bytes : 1ull << 56;

	return range_ok(cluster, nr, limit >> q->cluster_bits) ? 0 : -ENOSPC;
}

int qcow2_check_free(struct qcow2 *q, uint64_t cluster, uint64_t nr)
{
	if (qcow2_metadata_overlap(q, cluster << q->cluster_bits, nr << q->cluster_bits))
		return qcow2_corrupt(q, "metadata at 0x%" PRIx64 " is counted as free",
				     cluster << q->cluster_bits);
	return 0;
}

/* What is not in the cache yet, and a flush on the way there must not find missing: the block counts itself. */
static int count_itself(struct qcow2 *q, uint64_t cluster)
{
	unsigned int sector_bits = 9 + 3 - q->refcount_order;
	uint64_t index = cluster & ((1ull << qcow2_rb_bits(q)) - 1);
	uint8_t sector[BLOCK_SECTOR] = { 0 };

	count_set(sector, (unsigned int)(index & ((1u << sector_bits) - 1)), q->refcount_order, 1);
	return block_file_write(&q->file,
				(cluster << q->cluster_bits) + (index >> sector_bits) * BLOCK_SECTOR, sector,
				sizeof(sector));
}

int qcow2_refcount_block_new(struct qcow2 *q, uint64_t region, uint64_t cluster)
{
	uint64_t at = cluster << q->cluster_bits;
	int rc = qcow2_reachable(q, cluster, 1);

	if (!rc)
		rc = qcow2_check_free(q, cluster, 1);
	if (!rc)
		rc = qcow2_write_zeros(q, at, q->cluster_bytes);
	if (!rc && cluster >> qcow2_rb_bits(q) == region)
		rc = count_itself(q, cluster);
	if (!rc)
		rc = qcow2_metadata_add(q, cluster, 1);
	if (rc)
		return rc;
	qcow2_cache_forget(q, at);
	qcow2_extend(q, at + q->cluster_bytes);
	qcow2_rt_put(q, region, at);
	return 0;
}

/* ---- growth of the table ---- */

/* Where the new table goes: right behind what the old one can count, after the blocks that count both. */
struct growth {
	uint64_t region; /* of the first block */
	uint64_t first;  /* cluster of the first block */
	uint64_t nr_blocks;
	uint64_t table_clusters;
	uint64_t *rt; /* owned until it is in use, as is sector_dirty */
	uint8_t *sector_dirty;
};

static int growth_plan(const struct qcow2 *q, struct growth *g)
{
	unsigned int rb_bits = qcow2_rb_bits(q);
	uint64_t clusters = q->rt_entries >> (q->cluster_bits - 3), entries;

	g->region = q->rt_entries;
	g->first = q->rt_entries << rb_bits;
	g->table_clusters = MIN(clusters + clusters / 2 + 1, QCOW2_MAX_RT_BYTES >> q->cluster_bits);
	if (g->table_clusters <= clusters)
		return -ENOSPC;
	for (uint64_t nr = 0; nr != g->nr_blocks || !nr;) {
		nr = g->nr_blocks;
		g->nr_blocks = (g->table_clusters + nr + (1ull << rb_bits) - 1) >> rb_bits;
		if (nr == g->nr_blocks)
			break;
	}
	entries = g->table_clusters << (q->cluster_bits - 3);
	if (g->region + g->nr_blocks > entries)
		return -ENOSPC;
	g->rt = calloc(entries, sizeof(*g->rt));
	g->sector_dirty = calloc(entries / 64 + 1, 1);
	if (!g->rt || !g->sector_dirty)
		return -ENOMEM;
	memcpy(g->rt, q->rt, q->rt_entries * sizeof(*g->rt));
	for (uint64_t i = 0; i < g->nr_blocks; i++)
		g->rt[g->region + i] = (g->first + i) << q->cluster_bits;
	return qcow2_reachable(q, g->first, g->nr_blocks + g->table_clusters);
}

/* Write the blocks, which count themselves and the table, and the table; nothing points to them yet. */
static int growth_write(struct qcow2 *q, const struct growth *g)
{
	uint64_t used = g->nr_blocks + g->table_clusters, per_block = 1ull << qcow2_rb_bits(q);
	uint8_t *cluster = calloc(1, q->cluster_bytes);
	int rc = cluster ? 0 : -ENOMEM;

	for (uint64_t b = 0; b < g->nr_blocks && !rc; b++) {
		memset(cluster, 0, q->cluster_bytes);
		for (uint64_t i = 0; i < MIN(per_block, used - b * per_block); i++)
			count_set(cluster, (unsigned int)i, q->refcount_order, 1);
		rc = block_file_write(&q->file, (g->first + b) << q->cluster_bits, cluster, q->cluster_bytes);
	}
	for (uint64_t c = 0; c < g->table_clusters && !rc; c++) {
		uint64_t per_cluster = q->cluster_bytes / 8;

		for (uint64_t i = 0; i < per_cluster; i++)
			put_be64(cluster + 8 * i, g->rt[c * per_cluster + i]);
		rc = block_file_write(&q->file, (g->first + g->nr_blocks + c) << q->cluster_bits, cluster,
				      q->cluster_bytes);
	}
	free(cluster);
	return rc ? rc : qcow2_sync(q);
}

/* The header names the new table: offset and size lie in one sector, and change together. */
static int growth_switch(struct qcow2 *q, struct growth *g)
{
	uint64_t at = (g->first + g->nr_blocks) << q->cluster_bits;
	uint64_t old_clusters = q->rt_entries >> (q->cluster_bits - 3);
	uint8_t field[12];
	int rc;

	put_be64(field, at);
	put_be32(field + 8, (uint32_t)g->table_clusters);
	rc = qcow2_header_put(q, QCOW2_AT_RT, field, sizeof(field));
	if (!rc)
		rc = qcow2_sync(q);
	if (rc)
		return rc;
	qcow2_metadata_del(q, q->rt_at >> q->cluster_bits, old_clusters);
	qcow2_free_later(q, q->rt_at, old_clusters << q->cluster_bits);
	free(q->rt);
	free(q->rt_sector_dirty);
	q->rt = g->rt;
	q->rt_sector_dirty = g->sector_dirty;
	q->rt_at = at;
	q->rt_entries = g->table_clusters << (q->cluster_bits - 3);
	g->rt = NULL;
	g->sector_dirty = NULL;
	return 0;
}

int qcow2_grow_refcounts(struct qcow2 *q)
{
	struct growth g = { 0 };
	uint64_t nr;
	int rc = growth_plan(q, &g);

	nr = g.nr_blocks + g.table_clusters;
	if (!rc)
		rc = qcow2_check_free(q, g.first, nr);
	if (!rc)
		rc = qcow2_flush_refcounts(q); /* the new table names blocks that only the cache has so far */
	if (!rc)
		rc = growth_write(q, &g);
	if (!rc)
		rc = qcow2_metadata_add(q, g.first, nr);
	if (!rc) {
		qcow2_extend(q, (g.first + nr) << q->cluster_bits);
		rc = growth_switch(q, &g);
		if (rc)
			qcow2_metadata_del(q, g.first, nr);
	}
	free(g.rt);
	free(g.sector_dirty);
	return rc;
}
