/*
 * The control queues of virtio-console (virtio 1.2, 5.3.6.2): ports are announced, named, opened and closed.
 * It moves none of the ports' bytes.
 */
#include "devices/virtio/virtio_console_internal.h"
#include "vmm/base/log.h"

enum { MESSAGE = sizeof(struct virtio_console_control) };

_Static_assert(MESSAGE == 8, "virtio 1.2, 5.3.6.2");

/* ---- to the driver ---- */

/* Write the message for one bit of p->tell. Returns its length. */
static size_t build(const struct console_port *p, unsigned int bit, uint8_t *msg)
{
	uint16_t event = 0, value = 1;
	size_t len = MESSAGE;

	switch (bit) {
	case TELL_ADD:
		event = VIRTIO_CONSOLE_PORT_ADD;
		break;
	case TELL_CONSOLE:
		event = VIRTIO_CONSOLE_CONSOLE_PORT;
		break;
	case TELL_SIZE:
		/* Columns first, says 5.3.6.2; but Linux reads rows first, and took a patch to the contrary back
		 * (commit 5326ab737a47 and its revert, v6.15 and v6.17). */
		event = VIRTIO_CONSOLE_RESIZE;
		put_le16(msg + len, p->rows);
		put_le16(msg + len + 2, p->cols);
		len += 4;
		break;
	case TELL_NAME: /* without a NUL at its end */
		event = VIRTIO_CONSOLE_PORT_NAME;
		memcpy(msg + len, p->name, strlen(p->name));
		len += strlen(p->name);
		break;
	case TELL_CLOSED:
		event = VIRTIO_CONSOLE_PORT_OPEN;
		value = 0;
		break;
	case TELL_OPEN:
		event = VIRTIO_CONSOLE_PORT_OPEN;
		break;
	}
	put_le32(msg, p->id);
	put_le16(msg + 4, event);
	put_le16(msg + 6, value);
	return len;
}

static struct console_port *first_to_tell(struct virtio_console *c)
{
	for (unsigned int i = 0; i < c->nr_ports; i++)
		if (c->port[i].tell)
			return &c->port[i];
	return NULL;
}

/* One message into one buffer. What does not fit is told in the next. */
static bool tell_one(struct virtio_dev *d, unsigned int q, struct chain *chain)
{
	struct virtio_console *c = console_of(d);
	struct console_port *p = first_to_tell(c);
	uint8_t msg[MESSAGE + CONSOLE_NAME_BYTES];
	unsigned int bit;
	size_t len;

	if (!p) {
		virtq_unpop(&d->queue[q].vq, chain);
		return false;
	}
	bit = p->tell & -p->tell;
	len = build(p, bit, msg);
	if (chain_write(chain, msg, len) < 0) {
		log_warn_once(&c->warned, "%s: a buffer for control messages is too small, or not in RAM",
			      d->name);
		chain_complete(chain, 0);
		return true;
	}
	p->tell &= (uint8_t)~bit;
	chain_complete(chain, (uint32_t)len);
	return true;
}

void console_tell(struct virtio_console *c)
{
	if (c->control_on && first_to_tell(c))
		virtio_take_turn(&c->dev, CONTROL_RX, tell_one);
}

void console_tell_open(struct console_port *p, bool open)
{
	if (!p->ready || !p->name)
		return;
	/* A client that left and one that came are two, even if the driver hears of both at once. */
	if (open)
		p->tell |= TELL_OPEN;
	else
		p->tell = (uint8_t)((p->tell & ~TELL_OPEN) | TELL_CLOSED);
	console_tell(p->console);
}

/* ---- from the driver ---- */

static void device_ready(struct virtio_console *c, uint16_t value)
{
	if (!value) {
		log_warn_once(&c->warned, "%s: the driver could not set the device up", c->dev.name);
		return;
	}
	for (unsigned int i = 0; i < c->nr_ports; i++)
		c->port[i].tell = TELL_ADD;
}

static void port_ready(struct console_port *p, uint16_t value)
{
	if (!value) {
		log_warn_once(&p->console->warned, "%s: the driver could not set port %u up",
			      p->console->dev.name, p->id);
		return;
	}
	p->ready = true;
	p->tell |= p->name ? TELL_NAME : TELL_CONSOLE;
	if (p->cols && virtio_has(&p->console->dev, VIRTIO_CONSOLE_F_SIZE))
		p->tell |= TELL_SIZE;
	if (console_host_open(p))
		p->tell |= TELL_OPEN;
}

static void port_open(struct console_port *p, uint16_t value)
{
	p->guest_open = value != 0;
	console_receive(p);
}

static bool obey_one(struct virtio_dev *d, unsigned int q, struct chain *chain)
{
	struct virtio_console *c = console_of(d);
	struct virtio_console_control msg = { 0 };
	int rc = chain_read(chain, &msg, sizeof(msg));
	uint32_t id = le32toh(msg.id);
	uint16_t event = le16toh(msg.event), value = le16toh(msg.value);

	(void)q;
	chain_complete(chain, 0);
	if (rc == 0 && event == VIRTIO_CONSOLE_DEVICE_READY) /* of no port */
		device_ready(c, value);
	else if (rc == 0 && event == VIRTIO_CONSOLE_PORT_READY && id < c->nr_ports)
		port_ready(&c->port[id], value);
	else if (rc == 0 && event == VIRTIO_CONSOLE_PORT_OPEN && id < c->nr_ports)
		port_open(&c->port[id], value);
	else
		log_warn_once(&c->warned, "%s: the driver sends control messages that mean nothing", d->name);
	return true;
}

void console_control(struct virtio_console *c)
{
	virtio_take_turn(&c->dev, CONTROL_TX, obey_one);
	console_tell(c);
}
