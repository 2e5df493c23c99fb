/*
 * What every virtio device has in common, whatever its transport: status, feature negotiation, queues on
 * their threads, configuration space, and the way into NEEDS_RESET (virtio 1.2, chapter 2 and 3.1). It
 * knows no registers (virtio_pci.c does), no ring formats (virtq.h does), and no requests (devices do).
 *
 * Threads. The transport calls from vCPU threads under its lock; a device's serve(), queue_start() and
 * queue_stop() run on the queue's own iothread only, so a queue needs no lock. A vCPU that stops a queue
 * waits until the iothread has drained it; an iothread never waits for a vCPU or for the transport's lock.
 * Configuration space has a small lock of its own, below all others but what an interrupt takes (PCI's root).
 */
#ifndef TRELLIS_DEVICES_VIRTIO_H
#define TRELLIS_DEVICES_VIRTIO_H

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <pthread.h>
#include <stdatomic.h>

#include "devices/virtio/virtq.h"
#include "vmm/base/dev.h"
#include "vmm/base/iothread.h"
#include "vmm/base/loop.h"

enum {
	VIRTIO_MAX_QUEUES = 65,      /* 32 pairs and a control queue */
	VIRTIO_CONFIG_BYTES = 256,
	VIRTIO_NO_VECTOR = 0xffff,   /* VIRTIO_MSI_NO_VECTOR */
};

#define VIRTIO_BIT(n) (1ull << (n))

#ifndef VIRTIO_F_NOTIFICATION_DATA
#define VIRTIO_F_NOTIFICATION_DATA 38 /* virtio 1.2, 6; newer than the headers of Linux 6.1 */
#endif

struct virtio_dev;

/*
 * What a device does. All but serve may be NULL.
 *
 * negotiate     may the driver have exactly these features? The answer no keeps FEATURES_OK clear.
 *               vCPU thread
 * start, stop   around the time with DRIVER_OK: start before any queue starts, stop after the last has
 *               stopped. A failed start breaks the device (NEEDS_RESET). vCPU or main thread
 * queue_start   the queue is set up and runs: begin to take part. A failure breaks the device.
 * queue_stop    drain: on return nothing of the queue's is under way; every chain was completed, put back
 *               or may be forgotten
 * serve         the driver kicked, or the queue has just been started: pop what is there, until
 *               virtq_want_kicks() says that no more is
 * config_write  the driver wrote len bytes at off of the configuration space; the bytes have been masked
 *               and stored already when config_wmask allows. vCPU thread
 * reset         forget what the driver said: after stop, at reset and power-on
 * save, load    the device's own state, beyond what virtio.c saves
 */
struct virtio_ops {
	bool (*negotiate)(struct virtio_dev *d, uint64_t features);
	int (*start)(struct virtio_dev *d);
	void (*stop)(struct virtio_dev *d);
	int (*queue_start)(struct virtio_dev *d, unsigned int q);
	void (*queue_stop)(struct virtio_dev *d, unsigned int q);
	void (*serve)(struct virtio_dev *d, unsigned int q);
	void (*config_write)(struct virtio_dev *d, unsigned int off, unsigned int len);
	void (*reset)(struct virtio_dev *d);
	void (*save)(struct virtio_dev *d, struct buf *b);
	int (*load)(struct virtio_dev *d, struct state_reader *r, struct err *e);
};

/* What the transport does for the device. Any thread; must not take a lock that is held while stopping. */
struct virtio_transport_ops {
	void (*interrupt)(void *transport, unsigned int q); /* used buffers in queue q */
	void (*config_changed)(void *transport);            /* configuration change interrupt */
	int (*kick_fd)(void *transport, unsigned int q);    /* eventfd that kicks arrive on; constant */
	int (*call_fd)(void *transport, unsigned int q);    /* eventfd that interrupts the driver for q as it
							       stands now, -1: interrupt() only. For vhost */
	const atomic_bool *(*access)(void *transport);      /* may the device access memory now (PCI bus
							       mastering)? Constant; handed to virtq_attach() */
};

struct virtio_queue {
	struct virtq vq;
	struct iothread *thread;     /* borrowed; set by the device after virtio_init(), before power-on; it is
					started (iothread_start()) with its first queue */
	bool kernel;                 /* set by the device in queue_start(): vhost reads the kicks, not we */
	struct loop_source kick;     /* the queue's thread */
	bool polled;                 /* the queue's thread: kick is in the loop */
	struct virtio_dev *dev;
	/* What the driver said; guarded by the transport's lock. */
	struct virtq_setup setup;
	bool enabled;
	bool running;                /* set up, started on its thread */
	uint16_t saved_avail, saved_used; /* indices while stopped for saving */
};

struct virtio_dev {
	/* constant after virtio_init() and what the device does next */
	const char *name;            /* borrowed: "blk0", for messages */
	const struct virtio_ops *ops;
	uint16_t type;               /* VIRTIO_ID_* */
	uint64_t features;           /* of the device; virtio_init() adds those of the ring */
	unsigned int nr_queues;
	struct virtio_queue *queue;  /* owned */
	const struct gmem *mem;      /* borrowed */
	const struct virtio_transport_ops *transport; /* borrowed; NULL: none. Written with config_lock */
	void *transport_ctx;
	bool no_threads;             /* for tests: iothreads are not started, who tests runs their loops */

	/* guarded by the transport's lock */
	uint8_t status;              /* VIRTIO_CONFIG_S_*, but for NEEDS_RESET; written with config_lock too */
	uint64_t driver_features;    /* as written; what was not offered keeps FEATURES_OK clear */
	uint64_t negotiated;         /* from FEATURES_OK to reset; also read by the queues' threads */
	bool started;                /* between ops->start and ops->stop */

	atomic_bool needs_reset;
	bool warned;                 /* guarded by config_lock: one warning a reset */

	pthread_mutex_t config_lock;
	uint8_t config[VIRTIO_CONFIG_BYTES];       /* little-endian as the driver reads it; guarded by config_lock */
	uint8_t config_wmask[VIRTIO_CONFIG_BYTES]; /* bits the driver may write; constant */
	unsigned int config_len;                   /* constant */
	atomic_uint generation;                    /* written under config_lock */
};

/* ---- for devices ---- */

/*
 * Make the common part: queues without a thread yet, features offered = features and those of the ring
 * (VIRTIO_F_VERSION_1, RING_PACKED, EVENT_IDX, INDIRECT_DESC, IN_ORDER, NOTIFICATION_DATA, RING_RESET).
 * ops, name  borrowed for the life of d
 * max_size   of each queue; a power of two up to VIRTQ_MAX_SIZE
 * Returns 0 or -ENOMEM with a sentence. virtio_fini(): safe on an all-zero struct; queues must be stopped.
 */
MUST_CHECK int virtio_init(struct virtio_dev *d, const char *name, uint16_t type, const struct virtio_ops *ops,
			   const struct gmem *mem, uint64_t features, unsigned int nr_queues, uint16_t max_size,
			   unsigned int config_len, struct err *e);
void virtio_fini(struct virtio_dev *d);

/* Did the driver accept feature bit n? From FEATURES_OK on; the queues' threads and ops. */
static inline bool virtio_has(const struct virtio_dev *d, unsigned int n)
{
	return d->negotiated >> n & 1;
}

/*
 * Change configuration space at off (setup and any thread). When announce, and something did change, the
 * generation rises and the driver gets a configuration interrupt. Read: copies out.
 */
void virtio_config_put(struct virtio_dev *d, unsigned int off, const void *bytes, unsigned int len, bool announce);
void virtio_config_get(struct virtio_dev *d, unsigned int off, void *bytes, unsigned int len);

/*
 * The driver broke a rule that leaves no other way: DEVICE_NEEDS_RESET, configuration interrupt, one
 * warning a reset (virtio 1.2, 2.1.2). Broken rings come here by themselves. Any thread.
 */
void virtio_break(struct virtio_dev *d, const char *why);

/* ---- for transports; all under the transport's lock ---- */

/* Once, before the device is reset for the first time; and with NULL when the transport goes, after a reset. */
void virtio_attach(struct virtio_dev *d, const struct virtio_transport_ops *transport, void *ctx);

/*
 * The driver writes the status register. Bits only ever rise, but for 0, which resets and waits until
 * nothing is under way; FEATURES_OK is kept only when the features are sound; DRIVER_OK starts the device
 * and the queues that are enabled. Reading gives DEVICE_NEEDS_RESET too.
 */
void virtio_write_status(struct virtio_dev *d, uint8_t status);
uint8_t virtio_read_status(const struct virtio_dev *d);

/*
 * Features in two halves of 32 bits; sel beyond 1 reads 0 and ignores writes. Accepting is masked to what is
 * offered, and ignored after FEATURES_OK.
 */
uint32_t virtio_offered(const struct virtio_dev *d, uint32_t sel);
uint32_t virtio_accepted(const struct virtio_dev *d, uint32_t sel);
void virtio_accept(struct virtio_dev *d, uint32_t sel, uint32_t val);

/* queue_enable written with 1. Before DRIVER_OK it is only remembered, afterwards the queue starts. */
void virtio_queue_enable(struct virtio_dev *d, unsigned int q);

/* queue_reset written with 1 (RING_RESET negotiated, else ignored): the queue stops and is as after power-on. */
void virtio_queue_reset(struct virtio_dev *d, unsigned int q);

/* Configuration space; whatever lies outside reads 0 and is not written. len 1 to 8. */
void virtio_config_read(struct virtio_dev *d, unsigned int off, void *bytes, unsigned int len);
void virtio_config_write(struct virtio_dev *d, unsigned int off, const void *bytes, unsigned int len);

/*
 * The life of a device as struct dev_ops wants it.
 *
 * reset   everything as after power-on; waits until nothing is under way
 * stop    quiesce: queues are drained and remember where they were, nothing else changes. A chain that
 *         queue_stop neither completed nor put back is not seen again
 * resume  start what stop stopped, or load could not start; running queues are kicked, so that it does no harm
 *         to call it once more when everything of a machine is loaded. There is nothing to do before DRIVER_OK
 * save    after stop. load: a device that ran when it was saved runs again on return, so guest RAM must have
 *         been loaded. A host-side change of configuration space since then is announced to the driver
 */
void virtio_reset(struct virtio_dev *d);
void virtio_stop(struct virtio_dev *d);
void virtio_resume(struct virtio_dev *d);
void virtio_save(struct virtio_dev *d, struct buf *b);
MUST_CHECK int virtio_load(struct virtio_dev *d, struct state_reader *r, struct err *e);

#endif
