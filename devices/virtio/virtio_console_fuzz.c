/*
 * The console from bytes: output, input, control messages, clients that come and go, chardevs that are full,
 * resets and saved state; mostly valid. The chardevs are played here.
 *
 * It demands that every buffer comes back once, with a length that fits, that nothing is written behind it, that
 * each control message is one of the specification's, that input arrives whole and in order, and so does output
 * while a client is there. Buffers that lead out of RAM excuse only the bytes that were in them.
 *
 * It does not prove: rings that are nonsense (virtq_split_fuzz.c, virtq_packed_fuzz.c), memory that changes while
 * it is read, threads, and real chardevs (chardev_test.c).
 */
#include <linux/virtio_console.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>

#include "devices/virtio/test_driver.h"
#include "devices/virtio/virtio_console.h"
#include "vmm/base/log.h"

enum {
	RAM_BYTES = 4 << 20,
	NR_PORTS = 3, /* a console, two with names */
	NR_QUEUES = 2 * NR_PORTS + 2,
	CONTROL_RX = 2,
	CONTROL_TX = 3,
	QUEUE_SIZE = 16,
	SLOT_BYTES = 1024, /* of a buffer */
	SLOTS = 256,
	MAX_RESETS = 4, /* each takes guest memory for new rings */
	MAX_WAITING = 4096,
	UNTOUCHED = 0xee,
};

static const char *const names[NR_PORTS] = { NULL, "org.qemu.guest_agent.0", "x" };

/* A stream whose n-th byte is n % 251; after a gap anything may come next. */
struct counter {
	unsigned int next;
	bool gap;
};

struct chardev {
	struct chardev_user user;
	bool open;
	size_t room;            /* bytes that are taken before it is full */
	size_t waiting;         /* bytes of input */
	bool full;              /* somebody waits for room */
	struct counter in, out; /* in: made by us; out: as the device hands it over */
};

struct fuzz {
	const uint8_t *p;
	size_t left;
	struct test_driver td;
	struct iothread thread;
	struct virtio_console *console;
	struct chardev chr[NR_PORTS];
	struct counter said[NR_PORTS];  /* by the guest */
	struct counter heard[NR_PORTS]; /* by the guest */
	uint64_t slots;
	unsigned int next_slot, resets;
	struct {
		uint64_t gpa;
		uint32_t room;
	} buf[NR_QUEUES]
	     [QUEUE_SIZE]; /* writable buffers that the device has, by id; room 0: not to be looked at */
};

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void demand(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "demanded: %s\n", what);
	abort();
}

static uint8_t take8(struct fuzz *f)
{
	if (!f->left)
		return 0;
	f->left--;
	return *f->p++;
}

static bool rarely(struct fuzz *f)
{
	return take8(f) >= 240;
}

static uint8_t counter_make(struct counter *c)
{
	return (uint8_t)(c->next++ % 251);
}

static void counter_check(struct counter *c, const uint8_t *bytes, size_t len, const char *what)
{
	for (size_t i = 0; i < len; i++) {
		if (c->gap)
			c->next = bytes[i];
		c->gap = false;
		demand(bytes[i] == c->next % 251, what);
		c->next++;
	}
}

/* ---- the chardevs, as the device sees them ---- */

void chardev_attach(struct chardev *c, const struct chardev_user *user)
{
	c->user = *user;
}

size_t chardev_write(struct chardev *c, const uint8_t *bytes, size_t len)
{
	size_t n = MIN(len, c->room);

	demand(c->open, "nothing is written while nobody is there");
	counter_check(&c->out, bytes, n, "output is whole and in order");
	c->room -= n;
	c->full |= n < len;
	return n;
}

size_t chardev_read(struct chardev *c, uint8_t *bytes, size_t len)
{
	size_t n = MIN(len, c->waiting);

	for (size_t i = 0; i < n; i++)
		bytes[i] = counter_make(&c->in);
	c->waiting -= n;
	return n;
}

bool chardev_is_open(const struct chardev *c)
{
	return c->open;
}

void chardev_drop_output(struct chardev *c)
{
	demand(!c->open, "output is dropped only when the client has left");
}

bool chardev_get_size(const struct chardev *c, uint16_t *cols, uint16_t *rows)
{
	(void)c;
	*cols = 80;
	*rows = 24;
	return true;
}

/* ---- buffers ---- */

static uint64_t new_slot(struct fuzz *f)
{
	return f->slots + (uint64_t)(f->next_slot++ % SLOTS) * SLOT_BYTES;
}

static uint64_t odd_gpa(struct fuzz *f)
{
	static const uint64_t base[] = { RAM_BYTES - 8, 0xf0000000, UINT64_MAX - 7 };

	return base[take8(f) % ARRAY_SIZE(base)] + take8(f) % 8;
}

static unsigned int port_of_queue(unsigned int q)
{
	return q < 2 ? 0 : q / 2 - 1;
}

/* Cut [gpa, gpa + len) into descriptors. Returns how many; *sound: how many bytes come before one outside RAM. */
static unsigned int cut(struct fuzz *f, struct td_seg *seg, unsigned int room, uint64_t gpa, uint32_t len,
			bool in, uint32_t *sound)
{
	unsigned int nr = 0;
	bool whole = true;

	*sound = 0;

	while (len && nr < room) {
		uint32_t some = 1u + take8(f), part = nr + 1 < room && (take8(f) & 1) ? MIN(len, some) : len;

		seg[nr] = (struct td_seg){ gpa, part, in };
		if (rarely(f))
			seg[nr].gpa = odd_gpa(f);
		if (!gmem_hva(&f->td.mem, seg[nr].gpa, part))
			whole = false;
		else
			seg[nr].gpa = gpa; /* it lies in RAM by chance */
		*sound += whole ? part : 0;
		nr++;
		gpa += part;
		len -= part;
	}
	return nr;
}

static void check_message(const uint8_t *msg, uint32_t len)
{
	uint32_t id = get_le32(msg);
	uint16_t event = get_le16(msg + 4), value = get_le16(msg + 6);

	demand(len >= 8 && id < NR_PORTS, "a control message is of one of the ports");
	switch (event) {
	case VIRTIO_CONSOLE_PORT_ADD:
	case VIRTIO_CONSOLE_CONSOLE_PORT:
		demand(len == 8 && value == 1, "a port is added");
		break;
	case VIRTIO_CONSOLE_RESIZE:
		demand(len == 12, "a size");
		break;
	case VIRTIO_CONSOLE_PORT_OPEN:
		demand(len == 8 && value <= 1, "a port is opened or closed");
		break;
	case VIRTIO_CONSOLE_PORT_NAME:
		demand(names[id] && len == 8 + strlen(names[id]) && !memcmp(msg + 8, names[id], len - 8),
		       "its name");
		break;
	default:
		demand(false, "an event that the device may send");
	}
}

static void check_used(struct fuzz *f, unsigned int q, const struct td_used *used)
{
	uint64_t gpa = f->buf[q][used->id].gpa;
	uint32_t room = f->buf[q][used->id].room;
	const uint8_t *p;

	f->buf[q][used->id].room = 0;
	if (q & 1)
		demand(!used->len, "nothing is written into what is to be read");
	if (q & 1 || !room)
		return;
	demand(used->len <= room, "what was written fits");
	p = td_ptr(&f->td, gpa);
	for (uint32_t i = used->len; i < SLOT_BYTES; i++)
		demand(p[i] == UNTOUCHED, "nothing is written behind what is told");
	if (q == CONTROL_RX && used->len)
		check_message(p, used->len);
	else if (q != CONTROL_RX)
		counter_check(&f->heard[port_of_queue(q)], p, used->len, "input is whole and in order");
}

static void drain(struct fuzz *f)
{
	struct td_used used;

	td_run(&f->td);
	for (unsigned int q = 0; q < NR_QUEUES; q++)
		while (td_poll(&f->td, q, &used))
			check_used(f, q, &used);
	demand(!f->td.failed, "used buffers are those that were given");
	demand(!(virtio_read_status(f->td.dev) & VIRTIO_CONFIG_S_NEEDS_RESET), "odd requests break nothing");
	demand(f->td.q[CONTROL_TX].nr_free == QUEUE_SIZE, "control messages are taken at once");
	for (unsigned int i = 0; i < NR_PORTS; i++)
		demand(f->chr[i].full || f->td.q[i ? 2 * i + 3 : 1].nr_free == QUEUE_SIZE,
		       "output waits only for a chardev that is full");
}

static void submit(struct fuzz *f, unsigned int q, const struct td_seg *seg, unsigned int nr)
{
	int id = nr ? td_add(&f->td, q, seg, nr) : -1;

	if (id >= 0)
		td_kick(&f->td, q);
	drain(f);
}

/* ---- what the driver does ---- */

/* A buffer to write into; one that is not whole can get nothing but its length back. */
static void give_op(struct fuzz *f, unsigned int q)
{
	uint64_t gpa = new_slot(f);
	uint32_t len = rarely(f) ? 1 + take8(f) % 12 : 1 + (uint32_t)take8(f) * 3;
	struct td_seg seg[5];
	uint32_t sound;
	unsigned int nr = cut(f, seg, ARRAY_SIZE(seg), gpa, len, !rarely(f), &sound);
	int id;

	memset(td_ptr(&f->td, gpa), UNTOUCHED, SLOT_BYTES);
	id = td_add(&f->td, q, seg, nr);
	if (id < 0)
		return;
	f->buf[q][id].gpa = gpa;
	f->buf[q][id].room = sound == len && seg[0].in ? len : 0;
	td_kick(&f->td, q);
	drain(f);
}

static void print_op(struct fuzz *f, unsigned int port)
{
	uint64_t gpa = new_slot(f);
	unsigned int q = port ? 2 * port + 3 : 1, nr;
	uint32_t len = rarely(f) ? SLOT_BYTES : 1 + take8(f), sound;
	struct counter *said = &f->said[port];
	struct td_seg seg[5];
	uint8_t *p = td_ptr(&f->td, gpa);

	nr = cut(f, seg, ARRAY_SIZE(seg), gpa, len, false, &sound);
	if (f->td.q[q].nr_free < nr)
		return; /* the ring would refuse it */
	/* What lies behind a part that is not RAM does not go out: the next buffer goes on in front of it. */
	for (uint32_t i = 0; i < len; i++)
		p[i] = i < sound ? counter_make(said) : (uint8_t)(said->next % 251 + 1);
	if (!f->chr[port].open)
		f->chr[port].out.gap = true;
	submit(f, q, seg, nr);
}

static void control_op(struct fuzz *f)
{
	static const uint16_t event[] = {
		VIRTIO_CONSOLE_PORT_READY, VIRTIO_CONSOLE_PORT_READY,   VIRTIO_CONSOLE_PORT_OPEN,
		VIRTIO_CONSOLE_PORT_OPEN,  VIRTIO_CONSOLE_DEVICE_READY,
	};
	uint64_t gpa = new_slot(f);
	uint8_t *p = td_ptr(&f->td, gpa);
	struct td_seg seg[3];
	uint32_t sound;

	put_le32(p, rarely(f) ? (uint32_t)take8(f) << 24 : take8(f) % NR_PORTS);
	put_le16(p + 4, rarely(f) ? take8(f) : event[take8(f) % ARRAY_SIZE(event)]);
	put_le16(p + 6, rarely(f) ? take8(f) % 2 : 1);
	submit(f, CONTROL_TX, seg,
	       cut(f, seg, ARRAY_SIZE(seg), gpa, rarely(f) ? take8(f) : 8, false, &sound));
}

static void begin(struct fuzz *f)
{
	uint64_t features = 0xffffffff;
	uint8_t bits = take8(f);

	features &= ~(VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX) | VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC));
	if (bits & 1)
		features |= VIRTIO_BIT(VIRTIO_F_RING_PACKED);
	if (bits & 2)
		features |= VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX);
	if (bits & 4)
		features |= VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC);
	if (bits & 8)
		features &= ~VIRTIO_BIT(VIRTIO_CONSOLE_F_MULTIPORT);
	f->td.indirect = bits & 4;
	memset(f->buf, 0, sizeof(f->buf));
	demand(td_start(&f->td, virtio_console_dev(f->console), features, QUEUE_SIZE),
	       "a sound driver can start");
	drain(f);
}

/* The rest of a buffer that was half out is gone. */
static void reset_op(struct fuzz *f)
{
	for (unsigned int i = 0; i < NR_PORTS; i++)
		f->chr[i].out.gap = true;
	td_stop(&f->td);
	begin(f);
}

/* Stop, save, load, go on: no byte is lost, and none goes out twice. */
static void save_op(struct fuzz *f)
{
	struct buf b = { 0 };
	struct state_reader r;

	virtio_stop(f->td.dev);
	virtio_save(f->td.dev, &b);
	r = (struct state_reader){ .data = b.data, .len = b.len, .version = 1 };
	demand(virtio_load(f->td.dev, &r, NULL) == 0, "what was saved can be loaded");
	buf_fini(&b);
	drain(f);
}

/* ---- what the host does ---- */

static void host_op(struct fuzz *f)
{
	struct chardev *c = &f->chr[take8(f) % NR_PORTS];

	switch (take8(f) % 4) {
	case 0:
		c->waiting += take8(f);
		c->waiting = MIN(c->waiting, (size_t)MAX_WAITING);
		c->user.input(c->user.ctx);
		break;
	case 1:
		c->room = (size_t)take8(f) * 8;
		if (c->full && c->room) {
			c->full = false;
			c->user.room(c->user.ctx);
		}
		break;
	default:
		c->open = !c->open;
		c->out.gap = true;
		if (!c->open)
			c->full = false; /* nobody waits any more */
		c->user.opened(c->user.ctx, c->open);
		break;
	}
	drain(f);
}

static void step(struct fuzz *f)
{
	unsigned int port = take8(f) % NR_PORTS;

	switch (take8(f) % 12) {
	case 0:
	case 1:
		print_op(f, port);
		break;
	case 2:
	case 3:
		give_op(f, port ? 2 * port + 2 : 0);
		break;
	case 4:
	case 5:
		give_op(f, CONTROL_RX);
		break;
	case 6:
	case 7:
		control_op(f);
		break;
	case 8:
	case 9:
	case 10:
		host_op(f);
		break;
	case 11:
		if (f->resets++ >= MAX_RESETS)
			break;
		if (take8(f) & 1)
			save_op(f);
		else
			reset_op(f);
		break;
	}
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	log_set_level(LOG_ERROR);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct fuzz f = { .p = bytes, .left = MIN(len, (size_t)2048) };
	struct virtio_console_port port[NR_PORTS];

	td_init(&f.td, RAM_BYTES);
	demand(iothread_init(&f.thread, "console", NULL) == 0, "a loop");
	for (unsigned int i = 0; i < NR_PORTS; i++) {
		f.chr[i].open = take8(&f) & 1;
		f.chr[i].room = 1024;
		port[i] = (struct virtio_console_port){ .chr = &f.chr[i], .name = names[i] };
	}
	demand(virtio_console_new(&f.console, "console0", &f.thread, port, NR_PORTS, &f.td.mem, NULL) == 0,
	       "a console");
	f.slots = td_alloc(&f.td, (uint64_t)SLOTS * SLOT_BYTES, SLOT_BYTES);
	begin(&f);
	while (f.left)
		step(&f);
	td_stop(&f.td);
	virtio_console_free(f.console);
	iothread_fini(&f.thread);
	td_fini(&f.td);
	return 0;
}
