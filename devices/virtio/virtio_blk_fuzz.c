/*
 * Requests of virtio-blk from bytes: any type, framing and place, mostly valid, over a disk in memory that
 * answers at once, later, when it is told to, or with errors; between them resets, stops and cache modes.
 *
 * It demands that every buffer comes back once, that the used length fits the buffer, that a status byte in RAM
 * has been written, that nothing else of the guest's memory was, and (fake_block.h) that only sound requests
 * reach the disk.
 *
 * It does not prove: rings that are nonsense (virtq_split_fuzz.c, virtq_packed_fuzz.c), memory that changes while
 * it is read, threads, real disks, and that the data is the right data (virtio_blk_test.c).
 */
#include <linux/virtio_blk.h>
#include <linux/virtio_ring.h>

#include "devices/virtio/fake_block.h"
#include "devices/virtio/test_driver.h"
#include "devices/virtio/virtio_blk.h"
#include "vmm/base/log.h"

enum {
	RAM_BYTES = 1 << 20,
	DISK_BYTES = 64 * 512,
	QUEUE_SIZE = 16,
	AREA_BYTES = 32 << 10,
	OUT_BYTES = 1024, /* of each slot's own readable bytes: header and ranges */
	MAX_SEGS = 12,
	MAX_RESETS = 6, /* each takes guest memory for new rings */
	UNTOUCHED = 0xee,
	CANARY = 0xc5,
};

struct input {
	const uint8_t *p;
	size_t left;
};

/* A buffer's memory: what the driver says is in out, what the device says in status. */
struct slot {
	bool busy;
	uint64_t out, status;
	bool status_ok; /* the last writable byte is at status */
	uint64_t writable;
};

struct fuzz {
	struct input in;
	struct test_driver td;
	struct block *disk;
	struct virtio_blk *blk;
	struct slot slot[QUEUE_SIZE];
	struct slot *by_id[QUEUE_SIZE];
	uint64_t data, wall, features;
	unsigned int resets;
	bool starving; /* a limit keeps requests back for good */
};

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static uint8_t take8(struct fuzz *f)
{
	if (!f->in.left)
		return 0;
	f->in.left--;
	return *f->in.p++;
}

static uint64_t take64(struct fuzz *f)
{
	uint64_t v = 0;

	for (unsigned int i = 0; i < 8; i++)
		v = v << 8 | take8(f);
	return v;
}

static bool rarely(struct fuzz *f)
{
	return take8(f) >= 240;
}

/* ---- requests ---- */

static uint32_t some_type(struct fuzz *f)
{
	static const uint32_t type[] = {
		VIRTIO_BLK_T_IN,           VIRTIO_BLK_T_OUT,     VIRTIO_BLK_T_FLUSH,
		VIRTIO_BLK_T_GET_ID,       VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES,
		VIRTIO_BLK_T_SECURE_ERASE, VIRTIO_BLK_T_OUT,
	};

	return rarely(f) ? (uint32_t)take64(f) : type[take8(f) % ARRAY_SIZE(type)];
}

static uint64_t some_sector(struct fuzz *f)
{
	return rarely(f) ? take64(f) : take8(f) % 72;
}

/* Ranges behind the header. Returns how many bytes. */
static uint32_t put_ranges(struct fuzz *f, uint8_t *p)
{
	unsigned int nr = 1 + take8(f) % 3;

	if (rarely(f))
		nr = take8(f) % 40;
	for (unsigned int i = 0; i < nr; i++, p += 16) {
		put_le64(p, some_sector(f));
		put_le32(p + 8, rarely(f) ? (uint32_t)take64(f) : take8(f) % 16);
		put_le32(p + 12, rarely(f) ? (uint32_t)take64(f) : take8(f) % 2);
	}
	return nr * 16 - rarely(f) * 3;
}

/* Cut [gpa, gpa + len) into some descriptors, of which one may be elsewhere. */
static unsigned int put_segs(struct fuzz *f, struct td_seg *seg, unsigned int room, uint64_t gpa,
			     uint32_t len, bool in)
{
	unsigned int nr = 0;

	while (len && nr + 1 < room) {
		uint32_t part = take8(f) & 1 ? MIN(len, 1u + take8(f)) : len;

		seg[nr] = (struct td_seg){ gpa, part, in };
		if (rarely(f))
			seg[nr].gpa = take8(f) & 1 ? RAM_BYTES - 1 : take64(f);
		if (rarely(f))
			seg[nr].len = (uint32_t)take64(f);
		nr++;
		gpa += part;
		len -= part;
	}
	return nr;
}

static bool in_ram(const struct fuzz *f, const struct td_seg *s)
{
	return gmem_hva(&f->td.mem, s->gpa, s->len) != NULL;
}

/* A segment that may be written has to stay clear of what is watched. */
static bool harmless(const struct fuzz *f, const struct td_seg *s)
{
	return !in_ram(f, s) || (s->gpa >= f->data && range_ok(s->gpa - f->data, s->len, AREA_BYTES));
}

static void slot_describe(const struct fuzz *f, struct slot *s, const struct td_seg *seg, unsigned int nr)
{
	const struct td_seg *last = NULL;

	s->writable = 0;
	for (unsigned int i = 0; i < nr; i++)
		if (seg[i].in && seg[i].len) {
			s->writable += seg[i].len;
			last = &seg[i];
		}
	s->status_ok = last && in_ram(f, last) && last->gpa + last->len - 1 == s->status;
}

static void add_request(struct fuzz *f, struct slot *s)
{
	struct td_seg seg[MAX_SEGS];
	uint8_t *out = td_ptr(&f->td, s->out);
	uint32_t type = some_type(f), out_len = 16, in_len = 0;
	unsigned int nr;
	int id;

	put_le32(out, type);
	put_le32(out + 4, 0);
	put_le64(out + 8, some_sector(f));
	if (type == VIRTIO_BLK_T_DISCARD || type == VIRTIO_BLK_T_WRITE_ZEROES)
		out_len += put_ranges(f, out + 16);
	else if (type == VIRTIO_BLK_T_OUT)
		out_len += take8(f) % 4 ? 512 : 0;
	else
		in_len = type == VIRTIO_BLK_T_GET_ID ? 20 : take8(f) % 8 * 512;
	if (rarely(f))
		out_len = take8(f);
	if (rarely(f))
		in_len = (uint32_t)take64(f) % AREA_BYTES;

	nr = put_segs(f, seg, MAX_SEGS - 4, s->out, out_len, false);
	nr += put_segs(f, seg + nr, MAX_SEGS - nr, f->data, in_len, true);
	for (unsigned int i = 0; i < nr; i++)
		if (seg[i].in && !harmless(f, &seg[i]))
			return;
	if (!rarely(f))
		seg[nr++] = (struct td_seg){ s->status, 1, true };
	*(uint8_t *)td_ptr(&f->td, s->status) = UNTOUCHED;
	slot_describe(f, s, seg, nr);
	id = td_add(&f->td, 0, seg, nr);
	if (id < 0)
		return;
	s->busy = true;
	f->by_id[id] = s;
}

static void check_used(struct fuzz *f, const struct td_used *used)
{
	struct slot *s = f->by_id[used->id];
	uint8_t status = *(uint8_t *)td_ptr(&f->td, s->status);

	FAKE_DEMAND(s->busy);
	s->busy = false;
	FAKE_DEMAND(used->len <= s->writable);
	FAKE_DEMAND(!s->status_ok || (used->len && status <= VIRTIO_BLK_S_UNSUPP));
}

static void take_used(struct fuzz *f)
{
	struct td_used used;

	while (td_poll(&f->td, 0, &used))
		check_used(f, &used);
	FAKE_DEMAND(!f->td.failed);
}

/* ---- the device's life ---- */

static void start(struct fuzz *f)
{
	FAKE_DEMAND(td_start(&f->td, virtio_blk_dev(f->blk), f->features, QUEUE_SIZE));
}

/* Let the disk finish everything and see that all of it came back. */
static void finish(struct fuzz *f)
{
	f->disk->when = FAKE_AT_KICK;
	td_kick(&f->td, 0);
	fake_release(f->disk);
	td_run(&f->td);
	take_used(f);
	for (unsigned int i = 0; i < QUEUE_SIZE && !f->starving; i++)
		FAKE_DEMAND(!f->slot[i].busy);
}

static void reset(struct fuzz *f)
{
	if (f->resets++ >= MAX_RESETS)
		return;
	td_stop(&f->td);
	for (unsigned int i = 0; i < QUEUE_SIZE; i++)
		f->slot[i].busy = false;
	f->td.indirect = take8(f) & 1;
	start(f);
}

static void step(struct fuzz *f)
{
	uint8_t what = take8(f), byte = take8(f), config[8];

	switch (what) {
	case 0x80 ... 0xa0:
		td_kick(&f->td, 0);
		td_run(&f->td);
		take_used(f);
		break;
	case 0xa1 ... 0xb0:
		f->disk->when = byte % 3;
		break;
	case 0xb1 ... 0xc0:
		fake_release(f->disk);
		td_run(&f->td);
		take_used(f);
		break;
	case 0xc1 ... 0xc8:
		put_le64(config, take64(f));
		virtio_config_write(f->td.dev, byte % 72, config, 1 + byte / 32);
		break;
	case 0xc9 ... 0xd0:
		virtio_stop(f->td.dev);
		virtio_resume(f->td.dev);
		break;
	case 0xd1 ... 0xd4:
		reset(f);
		break;
	case 0xd5 ... 0xe0:
		f->disk->fail = byte & 1 ? -EIO : byte & 2 ? -EOPNOTSUPP : 0;
		f->disk->fail_op = byte / 4 % 5;
		break;
	default:
		if (!f->slot[byte % QUEUE_SIZE].busy)
			add_request(f, &f->slot[byte % QUEUE_SIZE]);
	}
}

static void setup(struct fuzz *f)
{
	uint8_t bits = take8(f), more = take8(f);
	struct virtio_blk_options o = {
		.name = "disk0",
		.serial = "fuzz",
		.nr_queues = 1,
		.queue_size = QUEUE_SIZE,
		.discard = bits & 1,
	};

	td_init(&f->td, RAM_BYTES);
	f->disk = fake_new(DISK_BYTES);
	f->disk->info.readonly = more >= 224;
	f->starving = bits & 2;
	if (f->starving) /* one a second: who waits does so for longer than an input lasts */
		o.limits = (struct throttle_limits){ .ops = 1, .ops_burst = 1 + more % 8 };
	o.block = f->disk;
	f->features =
		((uint64_t)more << 9 &
		 (VIRTIO_BIT(VIRTIO_BLK_F_FLUSH) | VIRTIO_BIT(VIRTIO_BLK_F_CONFIG_WCE))) |
		(bits & 4 ? 0 : VIRTIO_BIT(VIRTIO_BLK_F_DISCARD) | VIRTIO_BIT(VIRTIO_BLK_F_WRITE_ZEROES)) |
		(bits & 8 ? VIRTIO_BIT(VIRTIO_F_RING_PACKED) : 0) |
		(bits & 16 ? VIRTIO_BIT(VIRTIO_F_IN_ORDER) : 0) |
		(bits & 32 ? VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX) : 0) |
		VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC);
	f->td.indirect = bits & 64;
	FAKE_DEMAND(virtio_blk_new(&f->blk, &o, &f->td.mem, NULL) == 0);
	for (unsigned int i = 0; i < QUEUE_SIZE; i++) {
		f->slot[i].out = td_alloc(&f->td, OUT_BYTES, 16);
		f->slot[i].status = td_alloc(&f->td, 1, 1);
	}
	f->wall = td_alloc(&f->td, 4096, 1);
	f->data = td_alloc(&f->td, AREA_BYTES, 1);
	memset(td_ptr(&f->td, f->wall), CANARY, 4096);
	memset(td_ptr(&f->td, f->data + AREA_BYTES), CANARY, 16);
	f->td.next += 16;
	start(f);
}

static void check_walls(struct fuzz *f)
{
	const uint8_t *wall = td_ptr(&f->td, f->wall), *end = td_ptr(&f->td, f->data + AREA_BYTES);

	for (unsigned int i = 0; i < 4096; i++)
		FAKE_DEMAND(wall[i] == CANARY);
	for (unsigned int i = 0; i < 16; i++)
		FAKE_DEMAND(end[i] == CANARY);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	log_set_level(LOG_ERROR); /* warnings are what it is about */
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct fuzz f = { .in = { bytes, MIN(len, (size_t)4096) } };

	setup(&f);
	while (f.in.left)
		step(&f);
	f.disk->fail = 0;
	finish(&f);
	check_walls(&f);
	td_stop(&f.td);
	virtio_blk_free(f.blk);
	fake_free(f.disk);
	td_fini(&f.td);
	return 0;
}
