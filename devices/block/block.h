/*
 * Disk images: a file or block device, in a format, with a cache mode, read and written through queues.
 * It knows no guest and no virtio: bytes at offsets, in the caller's memory.
 *
 *   struct block         one image with its backing files; shared by its queues
 *   struct block_queue   what one I/O thread submits to and hears from: an io_uring, or a pool of threads
 *
 * A format tells where bytes lie (map(), quick, never blocks); the queue then moves them straight between
 * file and memory. What needs more than that (allocation, copy on write, decompression, unaligned direct
 * access) goes to a worker thread, which may block (serve()). Completions come back on the queue's thread.
 */
#ifndef TRELLIS_DEVICES_BLOCK_H
#define TRELLIS_DEVICES_BLOCK_H

#include <sys/uio.h>

#include "vmm/base/base.h"
#include "vmm/base/err.h"
#include "vmm/base/gmem.h"
#include "vmm/base/loop.h"

enum { BLOCK_SECTOR = 512 };

enum block_format { BLOCK_RAW, BLOCK_QCOW2, BLOCK_NULL }; /* null: nothing there, for benches and tests */

/* The textbook's modes; docs/disks.md has the table. */
enum block_cache { CACHE_WRITEBACK, CACHE_NONE, CACHE_WRITETHROUGH, CACHE_DIRECTSYNC, CACHE_UNSAFE };

enum block_aio { AIO_AUTO, AIO_IO_URING, AIO_THREADS, AIO_NATIVE }; /* native: the best direct engine */

struct block_options {
	const char *path;          /* borrowed, as all strings */
	int format;                /* enum block_format; -1: not given */
	int cache;                 /* enum block_cache */
	int aio;                   /* enum block_aio */
	bool readonly;
	bool discard;              /* pass discards on */
	bool backing;              /* follow the backing file that a qcow2 image names */
	bool check_only;           /* would it open as asked? Nothing is written; what a repair would say is left out; the
				      block is then good for block_close() alone, and keeps others away until then */
	bool snapshot;             /* write to a temporary overlay instead */
	bool fixed_buffers;        /* io_uring: register guest memory (pins all of it) */
	const char *label;         /* "disk0", for messages */
};

enum block_op { BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH, BLOCK_DISCARD, BLOCK_ZEROES };

/*
 * One request: memory of the caller, untouched by it from block_submit() to done(). Data is at iov[], whose
 * memory (not the array) a guest may change at any time. offset and bytes are multiples of BLOCK_SECTOR and
 * lie inside the image: the caller checks. The lengths of iov[] add up to bytes; flush has neither.
 */
struct block_req {
	enum block_op op;
	bool fua;                  /* write, zeroes: on the medium before it is done */
	bool unmap;                /* zeroes: may give space back */
	uint64_t offset, bytes;
	struct iovec *iov;         /* borrowed; the engine may change it */
	unsigned int nr_iov;
	void (*done)(struct block_req *r, int rc); /* 0 or a negative errno; on the queue's thread; may submit */

	/* the queue's own */
	struct block_queue *queue;
	struct block_req *next;
	uint64_t at;               /* where in the file the extent lies that is being moved */
	uint64_t moved;            /* bytes done so far */
	int rc;
	uint8_t kind;
};

struct block;
struct block_queue;

/* What a device tells its guest; constant but for capacity_bytes. */
struct block_info {
	uint64_t capacity_bytes;   /* a multiple of BLOCK_SECTOR */
	uint32_t logical_bytes;    /* smallest request the medium takes without help; at least 512 */
	uint32_t physical_bytes;   /* what it writes at once */
	uint32_t opt_io_bytes;     /* 0: nothing is known */
	uint32_t discard_bytes;    /* granularity; 0: discards do nothing */
	bool readonly;
	bool write_cache;          /* the guest should flush: every mode but writethrough and directsync */
};

/*
 * Open an image and lock it against others (open file description locks on the bytes that QEMU uses, so
 * that QEMU and qemu-img are kept away, and they us).
 * o  borrowed for the call
 * Returns 0 with *b to be given to block_close(); a negative errno with a sentence. Every way in which a
 * file can be unfit has its own sentence; nothing is changed in a file that is refused. Main thread.
 */
MUST_CHECK int block_open(struct block **b, const struct block_options *o, struct err *e);

/* Write what the cache holds (but unsafe), mark the image clean, unlock. All queues must be closed. NULL is fine. */
void block_close(struct block *b);

void block_get_info(struct block *b, struct block_info *info);

/*
 * Look whether a raw image's file has another size now than capacity_bytes says, and take it over.
 * Returns whether it has changed. Any thread.
 */
bool block_poll_size(struct block *b);

/*
 * Have a queue.
 * loop    of the thread that will use it; block_queue_open() and _close() are called on that thread
 * mem     for fixed buffers; may be NULL otherwise
 * depth   requests that may be under way at once
 * Returns 0 or a negative errno with a sentence.
 */
MUST_CHECK int block_queue_open(struct block_queue **q, struct block *b, struct loop *loop, const struct gmem *mem,
				unsigned int depth, struct err *e);

/*
 * Have batch(ctx) called after each run of done() calls that the queue makes from its loop (not for those
 * inside block_kick() and block_drain(): their callers know when they are over). The place to publish what was
 * completed, once for all of it; it may submit and kick. Once, before the first block_submit().
 */
void block_queue_on_batch(struct block_queue *q, void (*batch)(void *ctx), void *ctx);

/* Drains first. NULL is fine. */
void block_queue_close(struct block_queue *q);

/* Take a request. Nothing may happen before block_kick(); done() is never called inside. */
void block_submit(struct block_queue *q, struct block_req *r);

/* Start everything submitted, in one go; and complete what is over already. Calls done(). */
void block_kick(struct block_queue *q);

/* Wait until nothing is under way; calls done(), which must not submit then. */
void block_drain(struct block_queue *q);

/* "io_uring" or "threads": what was chosen, for messages. */
const char *block_engine_name(const struct block *b);

#endif
