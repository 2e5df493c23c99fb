/*
 * What the files of the qcow2 format share (QEMU's docs/interop/qcow2.txt, 7.2: "the specification" below).
 * For no one else: the rest of devices/block/ sees format.h.
 *
 * The image in memory is its L1 table, its refcount table, and a small write-back cache of pages of L2 tables
 * and refcount blocks. Two locks guard it:
 *
 *   meta   one worker at a time changes the metadata; held across reads and writes of metadata, never by map()
 *   lock   short; never held across I/O. What map() looks at changes only with both held, so either will do
 *          to look
 *
 * Guest ranges that are being allocated, zeroed or dropped are held in `claims`, across their data I/O.
 * Order: claims, meta, lock.
 *
 * What is on the disk is right at any moment (clusters may leak) because of this order, kept by qcow2_cache.c:
 *
 *   data, new tables, raised refcounts | refcount table | L2 and L1 entries | lowered refcounts, reuse
 *
 * Each bar is an fdatasync, unless cache=unsafe.
 */
#ifndef TRELLIS_DEVICES_BLOCK_QCOW2_H
#define TRELLIS_DEVICES_BLOCK_QCOW2_H

#include <stdatomic.h>

#include "devices/block/format.h"
#include "devices/block/span.h"

enum {
	QCOW2_MAGIC = 0x514649fb,
	QCOW2_HEADER_V2 = 72, /* bytes */
	QCOW2_HEADER_V3 = 104,
	QCOW2_BACKING_MAX = 1023, /* bytes of a backing file's name */
	QCOW2_MAX_DEPTH = 16,     /* images in a chain */

	QCOW2_PAGES = 256,       /* of the cache: 1 MiB, of which only what was used is resident */
	QCOW2_PAGE_BYTES = 4096, /* or a cluster, if that is less */
	QCOW2_BUSY = 1024,
	QCOW2_HOLD_BYTES = 65536,   /* how fine transfers under way are told apart; or a cluster */
	QCOW2_IOVS = 128,           /* vectors used at once, on the stack */
	QCOW2_PENDING_FLUSH = 4096, /* runs of clusters waiting to be free that make us flush */
	QCOW2_PENDING_MAX = 65536,  /* and leak, rather than take more memory */
	QCOW2_REUSE = 256,          /* runs of free clusters remembered */
};

/* The specification, "Header". */
#define QCOW2_INCOMPATIBLE_DIRTY       (1ull << 0)
#define QCOW2_INCOMPATIBLE_CORRUPT     (1ull << 1)
#define QCOW2_INCOMPATIBLE_DATA_FILE   (1ull << 2)
#define QCOW2_INCOMPATIBLE_COMPRESSION (1ull << 3)
#define QCOW2_INCOMPATIBLE_EXTENDED_L2 (1ull << 4)

/* Where fields of the header are that change while an image is open. */
enum { QCOW2_AT_RT = 48, QCOW2_AT_INCOMPATIBLE = 72, QCOW2_AT_AUTOCLEAR = 88 };

/* Bits of L1 and L2 entries; the specification, "Cluster mapping". */
#define QCOW2_COPIED     (1ull << 63)
#define QCOW2_COMPRESSED (1ull << 62)
#define QCOW2_ZERO       1ull
#define QCOW2_OFFSET     0x00fffffffffffe00ull

/* More than these tables' sizes no image needs; QEMU has the same limits. */
#define QCOW2_MAX_L1_BYTES  (32 * MIB)
#define QCOW2_MAX_RT_BYTES  (8 * MIB)
#define QCOW2_MAX_SNAPSHOTS 65536u

/* Clusters of metadata in an image that is written: twice what the tables above can name. They are kept in memory. */
#define QCOW2_MAX_METADATA (10 * MIB)

/* A header, decoded and checked by qcow2_header_read(). */
struct qcow2_header {
	uint32_t version, cluster_bits, refcount_order, header_bytes;
	uint32_t l1_entries, rt_clusters, nr_snapshots;
	uint64_t size, l1_at, rt_at, snapshots_at;
	uint64_t incompatible, compatible, autoclear; /* version 2: 0 */
	bool has_backing;
	char backing[QCOW2_BACKING_MAX + 1];
	char backing_format[16]; /* "": the image does not say */
};

/* A page of the cache: a piece of an L2 table or of a refcount block, as it is in the file. */
struct qcow2_page {
	uint64_t at;   /* in the file; 0: holds nothing */
	uint8_t *data; /* borrowed from the cache's memory */
	bool l2;       /* else of a refcount block */
	bool dirty;
	bool used;     /* since the hand passed */
	uint16_t next; /* in its hash chain: index + 1 */
};

struct qcow2_cache {
	struct qcow2_page page[QCOW2_PAGES];
	uint16_t hash[QCOW2_PAGES];
	uint8_t *memory; /* owned */
	unsigned int hand;
	unsigned int dirty_l2; /* how many pages */
	bool flushing;         /* guarded by meta */
};

/* A run of host clusters. */
struct qcow2_clusters {
	uint64_t first, nr;
};

/* A set of host clusters: those which hold metadata. Open addressing; 0 is an empty slot, else cluster + 1. */
struct qcow2_set {
	uint64_t *slot;        /* owned */
	uint64_t nr, nr_slots; /* nr_slots: a power of two, or 0 */
};

struct qcow2 {
	struct block_file file;     /* owned; constant */
	struct block_image backing; /* owned; ops NULL: none */
	char label[32];
	bool readonly, sync, discard, write_cache; /* constant, as are all up to meta */
	uint32_t version, cluster_bits, refcount_order;
	uint64_t cluster_bytes;
	uint32_t page_bytes;
	uint64_t size;        /* of the guest's disk */
	struct spans *claims; /* owned */
	uint32_t l1_entries;
	uint64_t l1_at;
	uint64_t incompatible; /* guarded by header_lock */

	atomic_bool corrupt; /* no more writes; set once */

	pthread_mutex_t meta, lock, header_lock, inflate_lock;

	/* guarded by meta to look, meta and lock to change; or lock to look */
	uint64_t *l1; /* owned; in our byte order */
	struct qcow2_cache cache;
	struct qcow2_set metadata; /* empty in a readonly image */
	uint64_t file_end;         /* no cluster in use starts here or beyond */
	bool l1_dirty;

	uint32_t busy
		[QCOW2_BUSY]; /* guarded by lock; transfers under way by place in the file, see qcow2_hold() */

	/* guarded by meta */
	uint8_t *l1_sector_dirty; /* owned; one byte for 64 entries */
	uint64_t *rt;             /* owned; the refcount table, in our byte order */
	uint64_t rt_at, rt_entries;
	uint8_t *rt_sector_dirty; /* owned */
	bool rt_dirty;
	uint64_t hint;                            /* where to begin looking for free clusters */
	struct qcow2_clusters reuse[QCOW2_REUSE]; /* freed since, below hint */
	unsigned int nr_reuse;
	struct qcow2_clusters *pending; /* owned; to be freed when no entry on the disk points there */
	size_t nr_pending, cap_pending;
	bool leaked; /* warned about */

	/* guarded by inflate_lock; the compressed cluster read last */
	uint64_t inflated_entry;      /* 0: none */
	uint8_t *inflated, *deflated; /* owned; NULL until needed */
};

/* What an L2 entry says about its cluster. */
enum qcow2_kind {
	QCOW2_IS_UNALLOCATED,
	QCOW2_IS_ZERO, /* may have a host cluster nevertheless */
	QCOW2_IS_NORMAL,
	QCOW2_IS_COMPRESSED,
	QCOW2_IS_CORRUPT,
};

/* A stretch of the guest's disk whose clusters are alike and, if they have one, follow each other in the file. */
struct qcow2_run {
	enum qcow2_kind kind;
	bool copied;         /* may be written in place */
	uint64_t entry;      /* of the first cluster */
	uint64_t host;       /* where its first byte lies; 0: nowhere. Compressed: where its data starts */
	uint64_t host_bytes; /* compressed: of the data */
	uint64_t bytes;      /* from the first byte on */
};

/* Refcounts in a block, L2 entries in a table: how many, as a power of two. */
static inline unsigned int qcow2_rb_bits(const struct qcow2 *q)
{
	return q->cluster_bits + 3 - q->refcount_order;
}

static inline unsigned int qcow2_l2_bits(const struct qcow2 *q)
{
	return q->cluster_bits - 3;
}

/* Bytes of the guest's disk that one L2 table describes; at most 2^39. */
static inline uint64_t qcow2_l2_span(const struct qcow2 *q)
{
	return q->cluster_bytes << qcow2_l2_bits(q);
}

static inline bool qcow2_aligned(const struct qcow2 *q, uint64_t at)
{
	return !(at & (q->cluster_bytes - 1));
}

/* ---- qcow2_header.c ---- */

/*
 * Read and check the header of an open file, its extensions, and everything that makes an image unfit for us.
 * Returns 0; -EINVAL, -ENOTSUP or another negative errno with a sentence.
 */
MUST_CHECK int qcow2_header_read(const struct block_file *f, bool readonly, struct qcow2_header *h,
				 struct err *e);

/* ---- qcow2.c ---- */

/*
 * Take over an open file as an image (h: its checked header), without a backing file; the file is closed on
 * failure. Returns an image or NULL, with *rc and a sentence.
 */
struct qcow2 *qcow2_attach(struct block_file *file, const struct qcow2_header *h,
			   const struct block_options *o, bool readonly, int *rc, struct err *e);

/* Fill img with ops, info and the image. */
void qcow2_describe(struct qcow2 *q, struct block_image *img);

/*
 * Something in the file cannot be: say so once, mark the image, refuse writes from now on. Returns -EIO. Not
 * with `lock` or header_lock held.
 */
PRINTF(2, 3) int qcow2_corrupt(struct qcow2 *q, const char *fmt, ...);

/* fdatasync, unless cache=unsafe. */
MUST_CHECK int qcow2_sync(struct qcow2 *q);

/* Write a field of the header, or set (clear) bits of incompatible_features; not synced. Takes header_lock. */
MUST_CHECK int qcow2_header_put(struct qcow2 *q, uint64_t at, const void *bytes, size_t len);
MUST_CHECK int qcow2_header_flag(struct qcow2 *q, uint64_t set, uint64_t clear);

/* ---- qcow2_cache.c; all with meta held, unless said otherwise ---- */

/* Returns 0 or -ENOMEM. fini is safe on zeros. */
MUST_CHECK int qcow2_cache_init(struct qcow2 *q);
void qcow2_cache_fini(struct qcow2 *q);

/* The page that begins at `at`, or NULL. With lock held. */
struct qcow2_page *qcow2_cache_find(struct qcow2 *q, uint64_t at);

/*
 * The page that begins at `at`, read if need be; may flush to find room. It stays where it is until the next
 * call. Returns 0 or a negative errno.
 */
MUST_CHECK int qcow2_cache_get(struct qcow2 *q, uint64_t at, bool l2, struct qcow2_page **page);

/* Set the 8-byte entry at index i of an L2 page. */
void qcow2_cache_put64(struct qcow2 *q, struct qcow2_page *page, unsigned int i, uint64_t v);

/* A refcount page was changed. */
void qcow2_cache_touch(struct qcow2 *q, struct qcow2_page *page);

/* Forget what is held of a cluster, changed or not: it is something else now. */
void qcow2_cache_forget(struct qcow2 *q, uint64_t at);

/* Set an L1 entry, or a refcount table entry. */
void qcow2_l1_put(struct qcow2 *q, uint64_t i, uint64_t v);
void qcow2_rt_put(struct qcow2 *q, uint64_t i, uint64_t v);

/* Is there something that a flush has to write? With lock or meta held. */
bool qcow2_cache_dirty(const struct qcow2 *q);

/* Refcount blocks, then the table: synced, so that what they count may be pointed to. */
MUST_CHECK int qcow2_flush_refcounts(struct qcow2 *q);

/*
 * Everything, in order; then free what waited for it. On return all that was written before is on the
 * medium. Returns 0 or a negative errno (what could not be written stays dirty).
 */
MUST_CHECK int qcow2_flush(struct qcow2 *q);

/* ---- qcow2_set.c; all with meta held ---- */

/* Put a run of metadata clusters into the set; -EEXIST if one is there already (then none was put), -ENOMEM. */
MUST_CHECK int qcow2_metadata_add(struct qcow2 *q, uint64_t first, uint64_t nr);
void qcow2_metadata_del(struct qcow2 *q, uint64_t first, uint64_t nr);
void qcow2_metadata_fini(struct qcow2 *q);

/* Is one of these bytes metadata? With meta or lock held. */
bool qcow2_metadata_overlap(const struct qcow2 *q, uint64_t at, uint64_t bytes);

/* ---- qcow2_refcount.c; all with meta held ---- */

/* A cluster's refcount (0 where there is no refcount block). set: -ENOENT where there is none. */
MUST_CHECK int qcow2_refcount_get(struct qcow2 *q, uint64_t cluster, uint64_t *v);
MUST_CHECK int qcow2_refcount_set(struct qcow2 *q, uint64_t cluster, uint64_t v);

/*
 * Make a refcount block for a region (an entry of the refcount table that is 0) out of a free cluster. That
 * cluster's own refcount is the caller's to set.
 */
MUST_CHECK int qcow2_refcount_block_new(struct qcow2 *q, uint64_t region, uint64_t cluster);

/* Move to a bigger refcount table. Returns 0, -ENOSPC or another negative errno. */
MUST_CHECK int qcow2_grow_refcounts(struct qcow2 *q);

/* Can the file have these clusters? 0 or -ENOSPC. */
MUST_CHECK int qcow2_reachable(const struct qcow2 *q, uint64_t cluster, uint64_t nr);

/* Clusters counted as free: -EIO, and the image is corrupt, when metadata lies there. */
MUST_CHECK int qcow2_check_free(struct qcow2 *q, uint64_t cluster, uint64_t nr);

/* The file is in use up to there. Takes lock. */
void qcow2_extend(struct qcow2 *q, uint64_t end);

/* Describe zeros to be written in out[], at most max entries. Returns how many; *got receives their bytes. */
unsigned int qcow2_zero_window(struct iovec *out, unsigned int max, uint64_t bytes, uint64_t *got);

/* Write zeros, for new tables. */
MUST_CHECK int qcow2_write_zeros(struct qcow2 *q, uint64_t at, uint64_t bytes);

/* ---- qcow2_alloc.c; all with meta held ---- */

/*
 * Take 1 to want clusters in a row; their refcount is 1 then.
 * host   receives where they lie
 * nr     receives how many
 * fresh  receives whether nothing was ever written there, so that they read as zeros
 * Returns 0, -ENOSPC or another negative errno.
 */
MUST_CHECK int qcow2_alloc(struct qcow2 *q, uint64_t want, uint64_t *host, uint64_t *nr, bool *fresh);

/* Give back clusters of qcow2_alloc() to which nothing ever pointed. */
void qcow2_unalloc(struct qcow2 *q, uint64_t host, uint64_t nr);

/* Drop a reference to each cluster of [at, at + bytes) once the entries in memory are on the disk. */
void qcow2_free_later(struct qcow2 *q, uint64_t at, uint64_t bytes);

/* Those entries are on the disk: do it, but for clusters which are being read or written. */
MUST_CHECK int qcow2_free_pending(struct qcow2 *q);

/* ---- qcow2_map.c ---- */

/* What an L2 entry says, and where. With lock or meta held. r->bytes is left alone. */
void qcow2_decode(const struct qcow2 *q, uint64_t entry, struct qcow2_run *r);

/*
 * The run that begins at offset, up to bytes long. With lock held (or meta, by who changes things).
 * Returns 0; -EAGAIN when the page *page_at must be brought in first; run->kind may be QCOW2_IS_CORRUPT.
 */
MUST_CHECK int qcow2_run_find(struct qcow2 *q, uint64_t offset, uint64_t bytes, struct qcow2_run *run,
			      uint64_t *page_at);

/*
 * The same for who may block, holding no lock: and what is in the file stays there until qcow2_release().
 * A corrupt entry is reported here, and gives -EIO.
 */
MUST_CHECK int qcow2_run_hold(struct qcow2 *q, uint64_t offset, uint64_t bytes, struct qcow2_run *run);
void qcow2_run_release(struct qcow2 *q, const struct qcow2_run *run);

/*
 * Count transfers under way at a place in the file: clusters there are not used for something else until they
 * are over, even when the guest has dropped them since. With lock held.
 */
void qcow2_hold(struct qcow2 *q, uint64_t at, uint64_t bytes);
void qcow2_release(struct qcow2 *q, uint64_t at, uint64_t bytes);
bool qcow2_held(const struct qcow2 *q, uint64_t at, uint64_t bytes);

/*
 * Make sure the L2 table for offset exists and is ours alone. With meta held. page_at receives where in the
 * file the page is that describes offset, index the entry's place in it.
 */
MUST_CHECK int qcow2_l2_for_write(struct qcow2 *q, uint64_t offset, uint64_t *page_at, unsigned int *index);

/* Bytes from offset to the end of what its page of L2 entries describes. */
uint64_t qcow2_page_rest(const struct qcow2 *q, uint64_t offset);

/* ops->map and ops->mapped_done */
void qcow2_map(void *image, bool write, uint64_t offset, uint64_t bytes, struct block_extent *x);
void qcow2_mapped_done(void *image, const struct block_extent *x, bool write);

/* ---- qcow2_read.c ---- */

/* Read what the guest sees at offset into [skip, skip + bytes) of iov. No lock held. Blocks. */
MUST_CHECK int qcow2_read(struct qcow2 *q, uint64_t offset, uint64_t bytes, const struct iovec *iov,
			  unsigned int nr_iov, uint64_t skip);

/* ---- qcow2_write.c ---- */

/* Write [skip, skip + bytes) of iov; iov NULL: zeros. No lock and no claim held. Blocks. */
MUST_CHECK int qcow2_write(struct qcow2 *q, uint64_t offset, uint64_t bytes, const struct iovec *iov,
			   unsigned int nr_iov, uint64_t skip);

/* ---- qcow2_zero.c ---- */

/* Serve BLOCK_DISCARD and BLOCK_ZEROES. No lock and no claim held. Blocks. */
MUST_CHECK int qcow2_discard(struct qcow2 *q, uint64_t offset, uint64_t bytes);
MUST_CHECK int qcow2_zeroes(struct qcow2 *q, uint64_t offset, uint64_t bytes, bool unmap);

/* ---- qcow2_open.c: what is done once, before a writable image is used ---- */

/*
 * Walk the tables: note all metadata clusters in q->metadata, and refuse images where two of them overlap or
 * leave the file. Clear autoclear bits; count all references anew when the dirty bit is set.
 */
MUST_CHECK int qcow2_prepare_writing(struct qcow2 *q, const struct qcow2_header *h, struct err *e);

/* ---- qcow2_rebuild.c ---- */

/* An L1 table: that of a snapshot, or the active one. */
struct qcow2_l1 {
	uint64_t at;
	uint64_t entries;
};

/*
 * Count all references, correct the refcounts, clear the dirty bit (the specification, incompatible bit 0).
 * snapshots: the L1 tables of all snapshots; table: where the snapshot table lies, in bytes
 */
MUST_CHECK int qcow2_rebuild(struct qcow2 *q, const struct qcow2_l1 *snapshots, uint32_t nr_snapshots,
			     uint64_t table_at, uint64_t table_bytes, struct err *e);

#endif
