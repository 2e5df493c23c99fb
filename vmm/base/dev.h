/*
 * What a device is to the machine, and the machine to a device (style R3). A device knows none of
 * the addresses it answers at: it sees offsets. It is handed lines, memory and a loop.
 */
#ifndef TRELLIS_BASE_DEV_H
#define TRELLIS_BASE_DEV_H

#include "vmm/base/base.h"
#include "vmm/base/buf.h"
#include "vmm/base/err.h"
#include "vmm/base/state.h"

/* Registers at an offset from where the window was placed; size is 1, 2, 4 or 8; any thread. */
struct io_ops {
	uint64_t (*read)(void *dev, uint64_t off, unsigned int size);
	void (*write)(void *dev, uint64_t off, unsigned int size, uint64_t val);
};

/*
 * The life of a device. Every member is called on the main thread while no vCPU runs.
 * reset  to the state after power-on
 * stop   on return no thread of ours is inside the device; it can be saved or freed. NULL: no thread
 *        but vCPUs and the main loop ever enters
 * save   append the device's body (the machine wraps it into a section). NULL: there is no state
 * load   read what save wrote; on failure the device must be reset before use
 */
struct dev_ops {
	uint32_t version;  /* of what save writes, from 1 */
	void (*reset)(void *dev);
	void (*stop)(void *dev);
	void (*save)(void *dev, struct buf *b);
	int (*load)(void *dev, struct state_reader *r, struct err *e);
};

/* A level-triggered or ISA edge line. Where it leads is not the device's business. */
struct irq_line {
	void (*set)(void *ctx, unsigned int pin, bool level);
	void *ctx;
	unsigned int pin;
};

/* Set the line's level; a line without a destination is fine. Any thread; may be under a device lock. */
static inline void irq_line_set(const struct irq_line *line, bool level)
{
	if (line->set)
		line->set(line->ctx, line->pin, level);
}

/*
 * One message-signalled interrupt. Signalling the eventfd delivers the message without a thread of
 * ours; while masked the signal stays pending in the eventfd.
 */
struct msi_vector {
	int fd;    /* owned eventfd; write 1 to it to raise the interrupt */
	int gsi;   /* the host's name for it; -1 when there is none */
	bool live; /* attached: messages are delivered */
};

/* How a machine stops. The numbers of exit statuses are in vmm/exit_status.h. */
enum stop_reason {
	STOP_NONE,
	STOP_POWEROFF,     /* the guest switched itself off */
	STOP_RESET,        /* the guest asked for a reset */
	STOP_PANIC,        /* pvpanic: the guest crashed */
	STOP_TRIPLE_FAULT,
	STOP_DEBUG_EXIT,   /* value: what the guest wrote */
	STOP_KVM_ERROR,    /* KVM could not go on */
	STOP_HOST_ERROR,   /* a system call of ours failed */
	STOP_QUIT,         /* the user said so at the console */
	STOP_TIMEOUT,      /* asked to power off, the guest did not in time */
};

/*
 * What the machine offers to devices. All members are callable from any thread unless said.
 *
 * stop        the machine is to stop or reset; the calling vCPU will not enter the guest again before
 *             that is done. value is the exit value of STOP_DEBUG_EXIT. The first call wins.
 * mmio_add    place a window of guest-physical (pio: port) space; refused (-EBUSY) when it overlaps.
 * mmio_remove take it away; accesses that are under way in other vCPUs may still finish.
 * msi_open    make an eventfd and reserve a route. msi_close() is safe on a vector that is not open
 *             (fd -1, gsi -1).
 * msi_set     route v to this message and deliver from now on (also what is pending). -EINVAL: the address is not
 *             one that interrupts.
 * msi_mask    deliver nothing; signals stay pending.
 * doorbell    have fd (eventfd) signalled when the guest writes len bytes (0: any) at gpa, without an
 *             exit to us. add = false takes it away again (same arguments).
 */
struct dev_host {
	void *ctx;
	void (*stop)(void *ctx, enum stop_reason why, int value);
	int (*mmio_add)(void *ctx, uint64_t gpa, uint64_t len, const struct io_ops *ops, void *dev, const char *name);
	void (*mmio_remove)(void *ctx, uint64_t gpa, uint64_t len);
	int (*pio_add)(void *ctx, uint64_t port, uint64_t len, const struct io_ops *ops, void *dev, const char *name);
	void (*pio_remove)(void *ctx, uint64_t port, uint64_t len);
	int (*msi_open)(void *ctx, struct msi_vector *v);
	void (*msi_close)(void *ctx, struct msi_vector *v);
	int (*msi_set)(void *ctx, struct msi_vector *v, uint64_t addr, uint32_t data);
	void (*msi_mask)(void *ctx, struct msi_vector *v);
	int (*doorbell)(void *ctx, bool add, uint64_t gpa, unsigned int len, int fd);
};

#endif
