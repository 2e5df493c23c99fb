/*
 * A driver for virtio devices over PCI, the modern interface alone (virtio 1.2, 4.1): finding one, its
 * registers, features, split and packed rings, MSI-X. It is polite unless told otherwise; what a test wants
 * broken it breaks itself, in the ring's memory or by the register names below.
 *
 * Nothing is freed and nothing sleeps. One CPU at a time, but for virtio_kick().
 */
#ifndef GUEST_VIRTIO_H
#define GUEST_VIRTIO_H

#include <stdbool.h>
#include <stdint.h>

enum { VIRTIO_NET = 1, VIRTIO_BLK = 2, VIRTIO_CONSOLE = 3, VIRTIO_RNG = 4, VIRTIO_BALLOON = 5 };

/* Status bits, virtio 1.2, 2.1. */
enum {
	VIRTIO_ACKNOWLEDGE = 1,
	VIRTIO_DRIVER = 2,
	VIRTIO_DRIVER_OK = 4,
	VIRTIO_FEATURES_OK = 8,
	VIRTIO_NEEDS_RESET = 64,
	VIRTIO_FAILED = 128,
};

/* Feature bits of rings and transport, 6. */
#define VIRTIO_BIT(n)            (1ull << (n))
#define VIRTIO_F_INDIRECT        VIRTIO_BIT(28)
#define VIRTIO_F_EVENT_IDX       VIRTIO_BIT(29)
#define VIRTIO_F_VERSION_1       VIRTIO_BIT(32)
#define VIRTIO_F_PACKED          VIRTIO_BIT(34)
#define VIRTIO_F_IN_ORDER        VIRTIO_BIT(35)
#define VIRTIO_F_NOTIFICATION    VIRTIO_BIT(38)
#define VIRTIO_F_RING_RESET      VIRTIO_BIT(40)

/* Offsets in the common configuration, 4.1.4.3. */
enum {
	VIRTIO_DEVICE_FEATURE_SELECT = 0x00,
	VIRTIO_DEVICE_FEATURE = 0x04,
	VIRTIO_DRIVER_FEATURE_SELECT = 0x08,
	VIRTIO_DRIVER_FEATURE = 0x0c,
	VIRTIO_CONFIG_VECTOR = 0x10,
	VIRTIO_NUM_QUEUES = 0x12,
	VIRTIO_STATUS = 0x14,
	VIRTIO_GENERATION = 0x15,
	VIRTIO_QUEUE_SELECT = 0x16,
	VIRTIO_QUEUE_SIZE = 0x18,
	VIRTIO_QUEUE_VECTOR = 0x1a,
	VIRTIO_QUEUE_ENABLE = 0x1c,
	VIRTIO_QUEUE_NOTIFY_OFF = 0x1e,
	VIRTIO_QUEUE_DESC = 0x20,
	VIRTIO_QUEUE_DRIVER = 0x28,
	VIRTIO_QUEUE_DEVICE = 0x30,
	VIRTIO_QUEUE_RESET = 0x3a,
};

#define VIRTIO_NO_VECTOR 0xffff

/* Descriptor flags, 2.7.5 and 2.8. */
enum { VIRTQ_NEXT = 1, VIRTQ_WRITE = 2, VIRTQ_INDIRECT = 4, VIRTQ_AVAIL = 1 << 7, VIRTQ_USED = 1 << 15 };

/* One descriptor. Packed rings have the buffer id where split ones have next, and flags behind it. */
struct virtq_desc {
	uint64_t at;
	uint32_t bytes;
	uint16_t flags, next;
};

/* A piece of a buffer. */
struct virtq_seg {
	uint64_t at;
	uint32_t bytes;
	bool write;		/* by the device */
};

struct virtio {
	uint16_t type, bdf;
	uint64_t common, isr, notify, config;	/* where they decode; config 0: there is none */
	uint32_t notify_step, notify_bytes, config_bytes;
	unsigned int window;	/* offset of the PCI-access capability (4.1.4.9) */
	unsigned int msix;	/* offset of the MSI-X capability, 0: none */
	unsigned int nr_vectors;
	uint64_t table, pending;	/* MSI-X table and pending bits */
	uint64_t offered, features;	/* features: what virtio_negotiate() agreed on */
	unsigned int nr_queues;
};

#define VIRTQ_MAX 64		/* descriptors in a queue of ours; a page holds its three areas */

struct virtq {
	struct virtio *dev;
	uint16_t index, size;
	bool packed;
	uint8_t *desc, *driver, *device;	/* the three areas, all in one page */
	uint64_t doorbell;
	uint16_t next;		/* split: next free descriptor; packed: next free slot */
	uint16_t avail, used;	/* split: indices; packed: used is a slot */
	bool avail_wrap, used_wrap;
	uint16_t count[VIRTQ_MAX];	/* descriptors of the buffer with this id */
};

/* Find the nth device of a type on bus 0, give its BARs addresses if they have none, switch it on with INTx
 * off. virtio_find() ends the program as skipped without one; virtio_probe() returns false. */
void virtio_find(struct virtio *v, uint16_t type, unsigned int nth);
bool virtio_probe(struct virtio *v, uint16_t type, unsigned int nth);
/* The same again after the function was reset: BARs, command register, MSI-X off. */
void virtio_plug(struct virtio *v);
/* The number of the BAR that a capability of this type (4.1.4) names, or -1; *offset is where in it. */
int virtio_bar_of(const struct virtio *v, uint8_t cap_type, uint32_t *offset);
/* Where a 32- or 64-bit memory BAR decodes; and put it elsewhere, which moves the addresses above with it. */
uint64_t virtio_bar(const struct virtio *v, unsigned int bar);
void virtio_move_bar(struct virtio *v, unsigned int bar, uint64_t to);

/* Registers of the common configuration, by the offsets above. */
uint8_t virtio_get8(const struct virtio *v, unsigned int reg);
uint16_t virtio_get16(const struct virtio *v, unsigned int reg);
uint32_t virtio_get32(const struct virtio *v, unsigned int reg);
void virtio_put8(const struct virtio *v, unsigned int reg, uint8_t value);
void virtio_put16(const struct virtio *v, unsigned int reg, uint16_t value);
void virtio_put32(const struct virtio *v, unsigned int reg, uint32_t value);
void virtio_put64(const struct virtio *v, unsigned int reg, uint64_t value);
uint8_t virtio_status(const struct virtio *v);

/* Write 0 to the status and wait until it reads 0; false if it does not within 2 s. */
bool virtio_reset(struct virtio *v);
/* Reset, then up to FEATURES_OK with what is both offered and wanted, and VERSION_1. Returns whether it stuck. */
bool virtio_negotiate(struct virtio *v, uint64_t wanted);
/* Write the driver's features, whatever they are. */
void virtio_put_features(struct virtio *v, uint64_t features);
void virtio_driver_ok(struct virtio *v);

/* Prepare a queue in its page of memory; size is rounded down to what the device has. The ring's format is that
 * of the features. Returns false if the device has no such queue. virtq_write() tells the device where it is. */
bool virtq_init(struct virtq *q, struct virtio *v, uint16_t index, uint16_t size);
void virtq_write(const struct virtq *q);
/* Both of these, and enable it. */
bool virtq_setup(struct virtq *q, struct virtio *v, uint16_t index, uint16_t size);

/* Make a buffer available, without a kick. Returns its id. The table of the second holds n descriptors. */
uint16_t virtq_add(struct virtq *q, const struct virtq_seg *seg, unsigned int n);
uint16_t virtq_add_indirect(struct virtq *q, struct virtq_desc *table, const struct virtq_seg *seg, unsigned int n);
/* Write an indirect table in the format of the queue. */
void virtq_fill_table(const struct virtq *q, struct virtq_desc *table, const struct virtq_seg *seg, unsigned int n);
/* Make one descriptor as it is given the whole of a buffer; packed: with the ring's flags, and next the id. */
uint16_t virtq_add_raw(struct virtq *q, const struct virtq_desc *d);
/* Split: put a head into the next entry of the available ring. The index is the caller's to write. */
void virtq_put_head(struct virtq *q, uint16_t head);
void virtq_put_avail_index(struct virtq *q, uint16_t index);
/* Write one descriptor of the table (split), or of the ring with its id and flags as they are (packed). */
void virtq_put_desc(struct virtq *q, uint16_t at, const struct virtq_desc *d);
/* The AVAIL and USED flags that make a packed descriptor available now. */
uint16_t virtq_avail_flags(const struct virtq *q);
/* Packed: go on by n descriptors, which belong to buffer id. */
void virtq_advance(struct virtq *q, uint16_t id, unsigned int n);
/* Ring the doorbell. */
void virtq_kick(const struct virtq *q);
/* Take one used buffer, if there is one. */
bool virtq_take(struct virtq *q, uint16_t *id, uint32_t *bytes);
/* The same, waiting for it; ticks of clock.h. */
bool virtq_wait(struct virtq *q, uint16_t *id, uint32_t *bytes, uint64_t ticks);

/* MSI-X (PCI Local Bus 3.0, 6.8.2). Entries are masked until they are routed. */
void virtio_msix_enable(const struct virtio *v, bool on);
void virtio_msix_route(const struct virtio *v, unsigned int entry, uint64_t address, uint32_t data, bool masked);
bool virtio_msix_pending(const struct virtio *v, unsigned int entry);
/* Set the vector of a queue; returns what it reads back as. */
uint16_t virtq_set_vector(const struct virtq *q, uint16_t entry);

#endif
