/*
 * virtio-console with multiport (virtio 1.2, 5.3): consoles (hvc0, ...) and named ports such as
 * org.qemu.guest_agent.0, each on a byte stream of vmm/base/chardev.h.
 */
#ifndef TRELLIS_DEVICES_VIRTIO_CONSOLE_H
#define TRELLIS_DEVICES_VIRTIO_CONSOLE_H

#include "devices/virtio/virtio.h"
#include "vmm/base/chardev.h"

enum { VIRTIO_CONSOLE_MAX_PORTS = 31 };

struct virtio_console;

struct virtio_console_port {
	struct chardev *chr;   /* borrowed for the device's life; lives on the device's thread's loop */
	const char *name;      /* borrowed for the device's life; NULL: a console */
};

/*
 * name, thread  borrowed for the device's life
 * port          1 to VIRTIO_CONSOLE_MAX_PORTS of them; port[0] serves a driver without MULTIPORT too
 * As virtio_blk_new() and its companions.
 */
MUST_CHECK int virtio_console_new(struct virtio_console **c, const char *name, struct iothread *thread,
				  const struct virtio_console_port *port, unsigned int nr_ports, const struct gmem *mem,
				  struct err *e);
void virtio_console_free(struct virtio_console *c);
struct virtio_dev *virtio_console_dev(struct virtio_console *c);

#endif
