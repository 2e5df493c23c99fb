/*
 * virtio-console (virtio 1.2, 5.3): the ports' bytes, and the device. What is said on the control queues is in
 * virtio_console_control.c.
 *
 * Output of the guest goes to the chardev as far as that has room; the rest of the buffer waits. While nobody
 * is connected to a socket, it is thrown away, as QEMU does: a guest agent's answer is for who asked, and a
 * guest must not stand still because nobody listens. Input waits in the chardev until the guest has the port
 * open and gives buffers; so in the end the sender waits.
 */
#include "devices/virtio/virtio_console.h"

#include <errno.h>
#include <stdlib.h>

#include "devices/virtio/virtio_console_internal.h"
#include "vmm/base/log.h"

#define CONFIG_AT(field) ((unsigned int)offsetof(struct virtio_console_config, field))

enum {
	CONSOLE_QUEUE_SIZE = 128,
	RX_PIECE = 4096,
	TX_TURN = 1 << 20, /* bytes of one buffer before others have the thread */
};

_Static_assert(sizeof(struct virtio_console_config) == 12, "virtio 1.2, 5.3.4");

/* Queues 0 and 1 are port 0's, 4 and 5 port 1's, and so on (5.3.2). */
static unsigned int rx_queue(const struct console_port *p)
{
	return p->id ? 2 * p->id + 2 : 0;
}

/* The port of a queue; NULL: it is one of the control queues. */
static struct console_port *port_of(struct virtio_console *c, unsigned int q)
{
	if (q == CONTROL_RX || q == CONTROL_TX)
		return NULL;
	return &c->port[q < CONTROL_RX ? 0 : q / 2 - 1];
}

bool console_host_open(const struct console_port *p)
{
	return !p->name || chardev_is_open(p->chr);
}

/* ---- input for the guest ---- */

/* Does the guest want input? Consoles need no opening, and without MULTIPORT nobody could say so. */
static bool guest_listens(const struct console_port *p)
{
	return p->rx_on &&
	       (p->guest_open || !p->name || !virtio_has(&p->console->dev, VIRTIO_CONSOLE_F_MULTIPORT));
}

static bool receive_one(struct virtio_dev *d, unsigned int q, struct chain *chain)
{
	struct console_port *p = port_of(console_of(d), q);
	size_t room = MIN(chain_writable(chain), (size_t)RX_PIECE), len;
	uint8_t bytes[RX_PIECE];

	if (!room || !chain_in_ok(chain)) { /* before there are bytes to lose */
		log_warn_once(&p->console->warned, "%s: a buffer for input is empty, or not in RAM", d->name);
		chain_complete(chain, 0);
		return true;
	}
	len = chardev_read(p->chr, bytes, room);
	if (!len) {
		virtq_unpop(&d->queue[q].vq, chain);
		return false; /* until port_input() */
	}
	chain_complete(chain, chain_write(chain, bytes, len) == 0 ? (uint32_t)len : 0);
	return true;
}

void console_receive(struct console_port *p)
{
	if (guest_listens(p))
		virtio_take_turn(&p->console->dev, rx_queue(p), receive_one);
}

/* ---- output of the guest ---- */

/* Give p->tx back. */
static void transmit_done(struct console_port *p)
{
	chain_complete(p->tx, 0);
	p->tx = NULL;
	p->sent = 0;
}

/* Hand over as much of p->tx as there is room for. Returns false when it has to wait. */
static bool transmit_more(struct console_port *p)
{
	struct chain *c = p->tx;
	size_t turn = TX_TURN;

	while (c->nr_out && chardev_is_open(p->chr)) {
		size_t len = MIN(c->out[0].iov_len, turn), n;

		if (!c->out[0].iov_base) {
			log_warn_once(&p->console->warned, "%s: output is not in RAM", p->console->dev.name);
			break;
		}
		n = chardev_write(p->chr, c->out[0].iov_base, len); /* copies, once */
		if (chain_skip_out(c, n) < 0)
			break;
		p->sent += n;
		turn -= n;
		if (n < len)
			return false; /* until port_room() */
		if (!turn) {
			virtio_kick_later(&p->console->dev, rx_queue(p) + 1);
			return false;
		}
	}
	transmit_done(p);
	return true;
}

static bool transmit_one(struct virtio_dev *d, unsigned int q, struct chain *chain)
{
	struct console_port *p = port_of(console_of(d), q);

	p->tx = chain;
	/* What went out before a stop does not go again. */
	if (p->sent && chain_skip_out(chain, MIN(p->sent, chain_readable(chain))) < 0) {
		transmit_done(p);
		return true;
	}
	return transmit_more(p);
}

static void transmit(struct console_port *p)
{
	struct virtio_dev *d = &p->console->dev;
	unsigned int q = rx_queue(p) + 1;

	if (!p->tx_on)
		return;
	if (p->tx && !transmit_more(p))
		return;
	virtio_take_turn(d, q, transmit_one);
	virtq_flush(&d->queue[q].vq); /* if all that happened was the end of p->tx */
}

/* ---- the chardev's side ---- */

static void port_input(void *ctx)
{
	console_receive(ctx);
}

static void port_room(void *ctx)
{
	transmit(ctx);
}

static void port_opened(void *ctx, bool open)
{
	struct console_port *p = ctx;

	if (!open)
		chardev_drop_output(p->chr); /* it was for who left */
	console_tell_open(p, open);
	transmit(p);
}

/* ---- the device ---- */

static void console_serve(struct virtio_dev *d, unsigned int q)
{
	struct virtio_console *c = console_of(d);
	struct console_port *p = port_of(c, q);

	if (q == CONTROL_TX)
		console_control(c);
	else if (!p)
		console_tell(c);
	else if (q & 1)
		transmit(p);
	else
		console_receive(p);
}

static int console_queue_start(struct virtio_dev *d, unsigned int q)
{
	struct virtio_console *c = console_of(d);
	struct console_port *p = port_of(c, q);

	if (!p) {
		c->control_on |= q == CONTROL_RX;
	} else if (q & 1) {
		if (!p->kept) /* a queue that was reset on its own */
			p->sent = 0;
		p->kept = false;
		p->tx_on = true;
	} else {
		p->rx_on = true;
	}
	return 0;
}

static void console_queue_stop(struct virtio_dev *d, unsigned int q)
{
	struct virtio_console *c = console_of(d);
	struct console_port *p = port_of(c, q);

	if (!p) {
		c->control_on &= q != CONTROL_RX;
	} else if (q & 1) {
		if (p->tx)
			virtq_unpop(&d->queue[q].vq, p->tx);
		p->tx = NULL;
		p->tx_on = false;
	} else {
		p->rx_on = false;
	}
}

static void keep_sent(void *ctx)
{
	struct virtio_console *c = ctx;

	for (unsigned int i = 0; i < c->nr_ports; i++)
		c->port[i].kept = true;
}

static void console_stop(struct virtio_dev *d)
{
	iothread_call(console_of(d)->thread, keep_sent, d);
}

static void forget(void *ctx)
{
	struct virtio_console *c = ctx;

	c->warned = false;
	for (unsigned int i = 0; i < c->nr_ports; i++) {
		struct console_port *p = &c->port[i];

		p->ready = p->guest_open = p->kept = false;
		p->tell = 0;
		p->sent = 0;
	}
}

static void console_reset(struct virtio_dev *d)
{
	iothread_call(console_of(d)->thread, forget, d);
}

/* Emergency write (5.3.6.3): one character to port 0, with no queue set up yet. On a vCPU's thread. */
static void console_config_write(struct virtio_dev *d, unsigned int off, unsigned int len)
{
	uint8_t byte;

	if (off > CONFIG_AT(emerg_wr) || off + len <= CONFIG_AT(emerg_wr) || console_of(d)->port[0].name)
		return;
	virtio_config_get(d, CONFIG_AT(emerg_wr), &byte, 1);
	(void)chardev_write(console_of(d)->port[0].chr, &byte,
			    1); /* lost when there is no room: nobody waits */
}

/* ---- saved state: u8 ready and open, u8 tell, u64 sent of each port ---- */

struct console_call {
	struct virtio_console *c;
	struct buf *buf;
	struct console_port port[VIRTIO_CONSOLE_MAX_PORTS]; /* as loaded */
	struct err *e;
	int rc;
};

static void save_on_thread(void *ctx)
{
	struct console_call *call = ctx;

	for (unsigned int i = 0; i < call->c->nr_ports; i++) {
		const struct console_port *p = &call->c->port[i];

		buf_put8(call->buf, (uint8_t)(p->ready | p->guest_open << 1));
		buf_put8(call->buf, p->tell);
		buf_put64(call->buf, p->sent);
	}
}

static void console_save(struct virtio_dev *d, struct buf *b)
{
	struct console_call call = { .c = console_of(d), .buf = b };

	iothread_call(call.c->thread, save_on_thread, &call);
}

static void load_on_thread(void *ctx)
{
	struct console_call *call = ctx;

	for (unsigned int i = 0; i < call->c->nr_ports; i++) {
		struct console_port *p = &call->c->port[i];

		p->ready = call->port[i].ready;
		p->guest_open = call->port[i].guest_open;
		p->tell = call->port[i].tell;
		p->sent = call->port[i].sent;
		p->kept = true;
		if (!p->ready || !p->name)
			continue;
		/* Whoever was connected then is not who is connected now. */
		p->tell |= TELL_CLOSED | (console_host_open(p) ? TELL_OPEN : 0);
	}
}

static int console_load(struct virtio_dev *d, struct state_reader *r, struct err *e)
{
	struct console_call call = { .c = console_of(d) };

	(void)e; /* what is cut short is virtio_load()'s to say */
	for (unsigned int i = 0; i < call.c->nr_ports; i++) {
		const struct console_port *p = &call.c->port[i];
		uint8_t flags = state_get8(r);

		call.port[i].ready = flags & 1;
		call.port[i].guest_open = flags >> 1 & 1;
		call.port[i].tell = state_get8(r) & TELL_ALL & ~(p->name ? TELL_CONSOLE : TELL_NAME);
		call.port[i].sent = state_get64(r);
	}
	iothread_call(call.c->thread, load_on_thread, &call);
	return 0;
}

static const struct virtio_ops console_ops = {
	.stop = console_stop,
	.queue_start = console_queue_start,
	.queue_stop = console_queue_stop,
	.serve = console_serve,
	.config_write = console_config_write,
	.reset = console_reset,
	.save = console_save,
	.load = console_load,
};

/* ---- making and ending ---- */

static int check_names(const char *name, const struct virtio_console_port *port, unsigned int nr,
		       struct err *e)
{
	for (unsigned int i = 0; i < nr; i++) {
		if (!port[i].name)
			continue;
		if (!*port[i].name || strlen(port[i].name) > CONSOLE_NAME_BYTES)
			return err_set(e, -EINVAL,
				       "%s: the name of a port has 1 to %d bytes, as in "
				       "org.qemu.guest_agent.0",
				       name, CONSOLE_NAME_BYTES);
		for (unsigned int k = 0; k < i; k++)
			if (port[k].name && !strcmp(port[k].name, port[i].name))
				return err_set(e, -EINVAL,
					       "%s: two ports are called %s; guests find ports by their "
					       "names, so each needs its own",
					       name, port[i].name);
	}
	return 0;
}

/* On the thread: the chardevs live there. */
static void attach(void *ctx)
{
	struct virtio_console *c = ctx;

	for (unsigned int i = 0; i < c->nr_ports; i++) {
		const struct chardev_user user = {
			.ctx = &c->port[i],
			.input = port_input,
			.room = port_room,
			.opened = port_opened,
		};

		(void)chardev_get_size(c->port[i].chr, &c->port[i].cols, &c->port[i].rows);
		chardev_attach(c->port[i].chr, &user);
	}
	c->attached = true;
}

static void detach(void *ctx)
{
	struct virtio_console *c = ctx;

	for (unsigned int i = 0; c->attached && i < c->nr_ports; i++)
		chardev_attach(c->port[i].chr, &(struct chardev_user){ 0 });
}

static uint64_t features_of(const struct virtio_console *c)
{
	uint64_t features = VIRTIO_BIT(VIRTIO_CONSOLE_F_MULTIPORT);

	if (!c->port[0].name)
		features |= VIRTIO_BIT(VIRTIO_CONSOLE_F_EMERG_WRITE);
	for (unsigned int i = 0; i < c->nr_ports; i++)
		if (c->port[i].cols)
			features |= VIRTIO_BIT(VIRTIO_CONSOLE_F_SIZE);
	return features;
}

static int console_init(struct virtio_console *c, const char *name, const struct gmem *mem, struct err *e)
{
	unsigned int nr_queues = 2 + 2 * c->nr_ports; /* at least 4: the control queues are numbers 2 and 3 */
	struct virtio_dev *d = &c->dev;
	uint8_t config[sizeof(struct virtio_console_config)] = { 0 };
	int rc;

	iothread_call(c->thread, attach, c);
	rc = virtio_init(d, name, VIRTIO_ID_CONSOLE, &console_ops, mem, features_of(c), nr_queues,
			 CONSOLE_QUEUE_SIZE, sizeof(config), e);
	if (rc < 0)
		return rc;
	for (unsigned int q = 0; q < nr_queues; q++)
		d->queue[q].thread = c->thread;
	put_le16(config + CONFIG_AT(cols), c->port[0].cols);
	put_le16(config + CONFIG_AT(rows), c->port[0].rows);
	put_le32(config + CONFIG_AT(max_nr_ports), c->nr_ports);
	virtio_config_put(d, 0, config, sizeof(config), false);
	d->config_wmask[CONFIG_AT(emerg_wr)] = 0xff;
	return 0;
}

int virtio_console_new(struct virtio_console **out, const char *name, struct iothread *thread,
		       const struct virtio_console_port *port, unsigned int nr_ports, const struct gmem *mem,
		       struct err *e)
{
	struct virtio_console *c;
	int rc;

	*out = NULL;
	if (!nr_ports || nr_ports > VIRTIO_CONSOLE_MAX_PORTS)
		return err_set(e, -EINVAL, "%s: a console device has 1 to %d ports, not %u", name,
			       VIRTIO_CONSOLE_MAX_PORTS, nr_ports);
	rc = check_names(name, port, nr_ports, e);
	if (rc < 0)
		return rc;
	c = calloc(1, sizeof(*c));
	if (!c)
		return err_set(e, -ENOMEM, "%s: out of memory", name);
	c->thread = thread;
	c->nr_ports = nr_ports;
	for (unsigned int i = 0; i < nr_ports; i++)
		c->port[i] = (struct console_port){
			.console = c, .chr = port[i].chr, .name = port[i].name, .id = i
		};
	rc = console_init(c, name, mem, e);
	if (rc < 0) {
		virtio_console_free(c);
		return rc;
	}
	*out = c;
	return 0;
}

void virtio_console_free(struct virtio_console *c)
{
	if (!c)
		return;
	iothread_call(c->thread, detach, c);
	virtio_fini(&c->dev);
	free(c);
}

struct virtio_dev *virtio_console_dev(struct virtio_console *c)
{
	return &c->dev;
}
