/*
 * What the files of virtio-console share: virtio_console.c moves bytes and owns the device,
 * virtio_console_control.c speaks the control queues' language (virtio 1.2, 5.3.6.2).
 *
 * Thread. Everything below belongs to the device's iothread, where the chardevs live, too; others get in by
 * iothread_call().
 */
#ifndef TRELLIS_DEVICES_VIRTIO_CONSOLE_INTERNAL_H
#define TRELLIS_DEVICES_VIRTIO_CONSOLE_INTERNAL_H

#include <linux/virtio_console.h>

#include "devices/virtio/virtio_console.h"
#include "devices/virtio/virtio_turn.h"

enum {
	CONTROL_RX = 2, /* from us to the driver (5.3.2) */
	CONTROL_TX = 3,
	CONSOLE_NAME_BYTES = 255, /* of a port, at most */
};

/*
 * What the driver is still to be told about a port, in this order. As a set, not as a list, it needs no memory
 * however long the driver gives us no buffers.
 */
enum {
	TELL_ADD = 1 << 0,
	TELL_CONSOLE = 1 << 1,
	TELL_SIZE = 1 << 2,
	TELL_NAME = 1 << 3,
	TELL_CLOSED = 1 << 4,
	TELL_OPEN = 1 << 5,
	TELL_ALL = (1 << 6) - 1,
};

struct console_port {
	struct virtio_console *console;
	struct chardev *chr; /* borrowed; constant, as are all to the blank line */
	const char *name;    /* borrowed; NULL: a console */
	unsigned int id;
	uint16_t cols, rows; /* of the terminal; 0: unknown */

	bool rx_on, tx_on; /* its queues run */
	bool ready;        /* the driver has taken it up */
	bool guest_open;   /* a program in the guest has it open */
	uint8_t tell;      /* TELL_* */
	struct chain *tx;  /* output that waits for room, at its cursor; or NULL */
	uint64_t sent;     /* bytes of the chain in front that went out already */
	bool kept;         /* sent is that of a device which was stopped, and goes on */
};

struct virtio_console {
	struct virtio_dev dev;   /* first: its address is ours */
	struct iothread *thread; /* borrowed */
	unsigned int nr_ports;
	bool control_on; /* CONTROL_RX runs */
	bool attached;   /* to the chardevs */
	bool warned;     /* of what the driver does, once a reset */
	struct console_port port[VIRTIO_CONSOLE_MAX_PORTS];
};

static inline struct virtio_console *console_of(struct virtio_dev *d)
{
	return (struct virtio_console *)d;
}

/* ---- virtio_console.c ---- */

/* Is the host's side of the port there? Consoles always are: what nobody reads is thrown away. */
bool console_host_open(const struct console_port *p);

/* Look whether there is input for the guest, and buffers for it. */
void console_receive(struct console_port *p);

/* ---- virtio_console_control.c ---- */

/* Serve CONTROL_TX, CONTROL_RX. */
void console_control(struct virtio_console *c);
void console_tell(struct virtio_console *c);

/* The host's side came or went. */
void console_tell_open(struct console_port *p, bool open);

#endif
