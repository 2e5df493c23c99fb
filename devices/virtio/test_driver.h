/*
 * The other side of a virtio device, for unit tests, fuzzing and benches: guest memory, a driver's rings,
 * and a transport that counts. In tests only; it checks nothing about the device beyond the ring's rules.
 *
 *   struct test_driver td;
 *   td_init(&td, 16 * MIB);                          guest RAM at 0, and a range above 4 GiB
 *   virtio_x_new(&x, ..., &td.mem, &e);
 *   td_start(&td, virtio_x_dev(x), features, 64);    reset, negotiate, queues, DRIVER_OK
 *   id = td_add(&td, 0, seg, 3); td_kick(&td, 0);
 *   td_wait(&td, 0, &used);                          runs the device's loops until a buffer comes back
 *   td_stop(&td); virtio_x_free(x); td_fini(&td);
 */
#ifndef TRELLIS_DEVICES_TEST_DRIVER_H
#define TRELLIS_DEVICES_TEST_DRIVER_H

#include "devices/virtio/virtio.h"

enum { TD_HIGH_BYTES = 1 << 20 };  /* of RAM from MAP_HIGH_RAM_BASE up */

/* One descriptor to be. */
struct td_seg {
	uint64_t gpa;
	uint32_t len;
	bool in;                   /* the device writes it */
};

struct td_used {
	uint32_t id;               /* what td_add() returned */
	uint32_t len;
};

struct td_queue {
	struct virtq_setup setup;  /* where the rings are, in td->mem */
	uint16_t avail, used;      /* split: free-running; packed: places in the ring */
	bool avail_wrap, used_wrap;
	uint16_t nr_free;          /* entries of the table or ring that the device does not have */
	uint16_t free_head, next[VIRTQ_MAX_SIZE]; /* split: free descriptors, and those of a chain, in turn */
	uint16_t nr_descs[VIRTQ_MAX_SIZE]; /* by id: how many entries it took; 0: the device does not have it */
	uint16_t free_ids[VIRTQ_MAX_SIZE], nr_free_ids; /* packed */
	uint64_t table[VIRTQ_MAX_SIZE]; /* by id: its indirect table, and room for how many entries it has */
	uint32_t table_len[VIRTQ_MAX_SIZE];
	uint16_t order[VIRTQ_MAX_SIZE], order_head, order_len; /* in-order: ids the device has */
	int kick_fd;               /* owned eventfd */
	uint64_t interrupts;       /* counted; written by the device's thread */
};

struct test_driver {
	struct gmem mem;
	uint8_t *ram, *high;       /* owned mappings of mem's two ranges */
	uint64_t ram_bytes, next;  /* next: where td_alloc() goes on */
	struct virtio_dev *dev;
	struct td_queue *q;        /* owned, dev->nr_queues */
	bool threads;              /* set before td_start(): let the device have its threads */
	bool indirect;             /* set at any time: td_add() uses indirect tables */
	bool failed;               /* the device broke a rule of the ring: more used than given, unknown id, order */
	uint64_t config_interrupts; /* counted; written by any thread */
	atomic_bool access;        /* bus mastering; true after td_init() */
};

void td_init(struct test_driver *td, uint64_t ram_bytes);
void td_fini(struct test_driver *td);

/* Guest memory, zeroed, aligned to a power of two; aborts when there is none left. td_ptr: its host address. */
uint64_t td_alloc(struct test_driver *td, uint64_t len, uint64_t align);
void *td_ptr(struct test_driver *td, uint64_t gpa);

/*
 * Attach to dev, reset it, accept features (of what is offered; VERSION_1 is added), set up all queues with
 * size entries each (packed if RING_PACKED was accepted), and set DRIVER_OK.
 * Returns whether FEATURES_OK held and no reset is needed. td_stop() resets the device and lets go.
 */
bool td_start(struct test_driver *td, struct virtio_dev *dev, uint64_t features, uint16_t size);
void td_stop(struct test_driver *td);

/*
 * A queue without a device instead: td->q[0], made for features and size; its setup is for virtq_start(). Only
 * td_add() and td_poll() are of use then. Once after td_init().
 */
void td_bare(struct test_driver *td, uint64_t features, uint16_t size);

/* Make a chain available (not kicked yet). Returns its id, or -1 when the ring is full. */
int td_add(struct test_driver *td, unsigned int q, const struct td_seg *seg, unsigned int nr);

/* Kick, through the queue's eventfd, whether the device wants it or not. */
void td_kick(struct test_driver *td, unsigned int q);

/* Take the next used buffer if there is one. Updates used_event as Linux does. */
bool td_poll(struct test_driver *td, unsigned int q, struct td_used *used);

/* Run the device's loops (unless it has threads) until a buffer is used; false after two seconds. */
bool td_wait(struct test_driver *td, unsigned int q, struct td_used *used);

/* Run the device's loops until they have nothing left to do. Without threads only. */
void td_run(struct test_driver *td);

/* Add, kick, wait: returns the used length, or -1. */
int64_t td_do(struct test_driver *td, unsigned int q, const struct td_seg *seg, unsigned int nr);

#endif
