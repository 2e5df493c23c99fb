/*
 * What a disk format is to the rest of devices/block/, and what it can use. Not for devices.
 */
#ifndef TRELLIS_DEVICES_BLOCK_FORMAT_H
#define TRELLIS_DEVICES_BLOCK_FORMAT_H

#include <pthread.h>
#include <stdatomic.h>

#include "devices/block/block.h"

struct spans; /* span.h */

/* An open file or block device. One made by hand has spans NULL: then it is not direct. */
struct block_file {
	int fd;                    /* owned */
	char *path;                /* owned */
	bool direct;               /* opened with O_DIRECT */
	bool readonly;
	bool device;               /* a block device */
	uint32_t align;            /* of offset and length under O_DIRECT; else 1 */
	uint32_t mem_align;        /* of memory under O_DIRECT; else 1 */
	uint64_t bytes;            /* size when opened, or last looked at */
	bool keep_size;            /* padding of ours must not make the file longer: raw images */
	atomic_int lost;           /* a negative errno once the page cache has lost data: block_file_synced() */
	struct spans *spans;       /* owned; who writes where, so that read-modify-write loses nothing; direct only */
};

enum block_map_kind {
	BLOCK_AT_FILE,             /* read or write the file at .at */
	BLOCK_IS_ZERO,             /* reads as zeros; what is written there is dropped (null only) */
	BLOCK_NEEDS_WORK,          /* let serve() do it, on a worker */
};

struct block_extent {
	enum block_map_kind kind;
	const struct block_file *file; /* borrowed until the request is done */
	uint64_t at;
	uint64_t bytes;            /* from the offset asked on; 1 to the bytes asked */
};

struct block_format_ops {
	/*
	 * Where [offset, offset + bytes) lies: the first part of it that is of one kind. Any queue's thread;
	 * must not block on I/O. write: may it be written in place? With AT_FILE, mapped_done()
	 * follows once the transfer is over, with the very extent that map() gave (NULL: no need to know).
	 */
	void (*map)(void *image, bool write, uint64_t offset, uint64_t bytes, struct block_extent *x);
	void (*mapped_done)(void *image, const struct block_extent *x, bool write);
	/*
	 * Do all of it; may block. Several workers at once. Discards and zeroes always come here. fua is not its
	 * business: the queue has the image flushed afterwards. Returns 0 or a negative errno.
	 */
	int (*serve)(void *image, struct block_req *r);
	/* Does a flush need serve(), or is fdatasync on the file all there is? */
	bool (*flush_needs_work)(void *image);
	/* Write back, mark clean, free. */
	void (*close)(void *image);
};

/* An open image of some format: what block.c keeps, and a backing file has. */
struct block_image {
	const struct block_format_ops *ops;
	void *image;               /* owned through ops->close */
	struct block_info info;
	struct block_file *file;   /* borrowed; the file that holds it */
};

/* ---- file.c: files and what the host says about them ---- */

/*
 * Open path and find its size and alignments. lock: keep others away (writable: everybody; readonly: writers).
 * Sentences for: missing, directory, empty path, no permission, read-only file, locked, no O_DIRECT there.
 */
MUST_CHECK int block_file_open(struct block_file *f, const char *path, bool readonly, bool direct, bool lock,
			       struct err *e);
void block_file_close(struct block_file *f);

/* Can the kernel move this as it is: place, lengths and memory? Always without O_DIRECT. */
bool block_file_aligned(const struct block_file *f, uint64_t at, const struct iovec *iov, unsigned int nr,
			uint64_t bytes);

/* All of it or a negative errno; short files read as zeros. Aligned or not: unaligned direct I/O bounces. */
MUST_CHECK int block_file_read(const struct block_file *f, uint64_t at, void *buf, size_t len);
MUST_CHECK int block_file_write(const struct block_file *f, uint64_t at, const void *buf, size_t len);
MUST_CHECK int block_file_readv(const struct block_file *f, uint64_t at, const struct iovec *iov, unsigned int nr,
				uint64_t bytes);
MUST_CHECK int block_file_writev(const struct block_file *f, uint64_t at, const struct iovec *iov, unsigned int nr,
				 uint64_t bytes, bool sync);

/* Look at the size again. Returns 0 with *bytes set or a negative errno; f->bytes stays. */
MUST_CHECK int block_file_size(const struct block_file *f, uint64_t *bytes);

/* fdatasync; zero a range (giving space back if unmap and possible); give space back (-EOPNOTSUPP: cannot). */
MUST_CHECK int block_file_sync(struct block_file *f);
MUST_CHECK int block_file_zero(const struct block_file *f, uint64_t at, uint64_t len, bool unmap);
MUST_CHECK int block_file_discard(const struct block_file *f, uint64_t at, uint64_t len);

/*
 * What fdatasync, however it was asked for, said: rc is 0 or a negative errno. A failed one leaves no dirty pages
 * behind: the kernel has given up on them, tells it once, and the next one would say that all is well. So once
 * data was lost, no sync of this file succeeds any more, whoever was told. Under O_DIRECT there is nothing to lose
 * but what the disk itself says. Returns rc, or the errno of the loss. Any thread.
 */
MUST_CHECK int block_file_synced(struct block_file *f, int rc);

/* ---- the formats ---- */

/*
 * Each opens path completely into img. o as given by the user; depth: how many images are in front of it.
 * null: path is the size, e.g. "64G". Reads give zeros, writes are dropped.
 */
MUST_CHECK int raw_open(struct block_image *img, const char *path, const struct block_options *o, bool readonly,
			struct err *e);
MUST_CHECK int qcow2_open(struct block_image *img, const char *path, const struct block_options *o, bool readonly,
			  unsigned int depth, struct err *e);
MUST_CHECK int null_open(struct block_image *img, const struct block_options *o, struct err *e);

/* What the host says of a file, for struct block_info: all but capacity_bytes, readonly and write_cache. */
void block_file_get_info(const struct block_file *f, bool discard, struct block_info *info);

/*
 * block.c: open path in the given format (enum block_format; -1: looked for in the content, which is right for
 * what is only read) into img: what block_open() does for the front image, and a format for a backing file.
 * depth  how many images are in front of it; 0 for the front one
 * The image owns its files; free it with img->ops->close(img->image). Returns 0 or a negative errno.
 */
MUST_CHECK int block_image_open(struct block_image *img, const char *path, int format,
				const struct block_options *o, bool readonly, unsigned int depth, struct err *e);

/*
 * A temporary, writable qcow2 image over base, in a file without a name ($TMPDIR, else /var/tmp): for
 * snapshot=on. base is taken over, on failure as well.
 */
MUST_CHECK int qcow2_overlay(struct block_image *img, struct block_image *base, const struct block_options *o,
			     struct err *e);

#endif
