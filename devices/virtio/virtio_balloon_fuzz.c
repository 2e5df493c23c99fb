/*
 * The balloon from bytes: pages that go in, come out and are reported, statistics, configuration, resets and
 * saved state; mostly valid, on small pages and on large ones.
 *
 * It demands that every buffer comes back once, with nothing written, that the device never breaks over them,
 * and that only pages which the driver gave away are taken from it: a large one only with all its parts. Large pages
 * come from a pool, which can lack those that were given back: a list of pages to take out comes back when all of them
 * are there, and waits only as long as one is not.
 *
 * It does not prove: rings that are nonsense (virtq_split_fuzz.c, virtq_packed_fuzz.c), memory that changes while
 * it is read, threads, that the host gets its memory back (virtio_balloon_test.c), and what time brings about
 * (virtio_balloon_pool_test.c): here, the driver kicks when the pool has pages again.
 */
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices/virtio/test_driver.h"
#include "devices/virtio/virtio_balloon.h"
#include "vmm/base/log.h"

enum {
	PAGE = 4096,
	RAM_BYTES = 2 << 20,
	PAGES = 64, /* the last of RAM, so that what leads beyond them leads out of RAM */
	LARGE_PAGES = 4,
	FIRST = RAM_BYTES / PAGE - PAGES,
	LIST_BYTES = 512,
	LISTS = 64,     /* buffers under way, at most */
	MAX_RESETS = 4, /* each takes guest memory for new rings */
	QUEUE_SIZE = 16,
	TAKE_LISTS = 32, /* of pages to take out: they may have to wait, and have places of their own */
	MAX_PAGES = 24,  /* in a list */
	DEFLATE = 1,
	STATS = 2,
	UNTOUCHED = 0xee,
};

/* A list of pages to take out that the device has. */
struct pending {
	uint32_t page[MAX_PAGES];
	unsigned int nr;
	bool whole;      /* the device can read all of it */
	unsigned int at; /* its place in the order in which they were given */
};

struct fuzz {
	const uint8_t *p;
	size_t left;
	struct test_driver td;
	struct iothread thread;
	struct virtio_balloon *b;
	uint64_t list; /* in guest memory: LISTS times LIST_BYTES, then TAKE_LISTS more */
	unsigned int next_list, next_take, resets;
	unsigned int out[8]; /* buffers that the device has, by queue */
	bool large, tells;
	bool in[PAGES];                     /* in the balloon, for all the driver says */
	bool given[PAGES];                  /* may be taken by the device */
	bool away[PAGES];                   /* was taken, and is not there yet; with large pages */
	int pool;                           /* with large pages the file that RAM is; or -1 */
	unsigned int lacks;                 /* so many large pages are not in it, the last ones */
	struct pending pending[QUEUE_SIZE]; /* by id */
};

_Static_assert((int)TAKE_LISTS > (int)QUEUE_SIZE, "more than can wait");

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

static uint32_t take32(struct fuzz *f)
{
	uint32_t v = 0;

	for (unsigned int i = 0; i < 4; i++)
		v = v << 8 | take8(f);
	return v;
}

static bool rarely(struct fuzz *f)
{
	return take8(f) >= 240;
}

/* ---- what the pages may be ---- */

static uint8_t *page_at(struct fuzz *f, unsigned int page)
{
	return td_ptr(&f->td, (uint64_t)(FIRST + page) * PAGE);
}

static void check_there(struct fuzz *f, unsigned int i)
{
	uint8_t *p = page_at(f, i);

	demand(p[0] == UNTOUCHED || !p[0], "a page is whole or gone");
	demand(p[0] == p[PAGE - 1], "a page goes as a whole");
	demand(p[0] || f->given[i] || f->away[i], "only pages that were given away are taken");
	if (!p[0])
		memset(p, UNTOUCHED, PAGE);
	f->away[i] = false;
}

/* Which of the pages the host has. */
static void look(struct fuzz *f, unsigned char *there)
{
	demand(mincore(page_at(f, 0), (size_t)PAGES * PAGE, there) == 0, "mincore");
}

/*
 * A page that is zero was taken. It is filled again, as a guest would that uses it anew. Large pages that are not
 * there are left alone: this guest waits for them.
 */
static void check_pages(struct fuzz *f)
{
	unsigned char there[PAGES];

	look(f, there);
	for (unsigned int i = 0; i < PAGES; i++) {
		if (!f->large || there[i] & 1) {
			check_there(f, i);
		} else {
			demand(f->given[i] || f->away[i], "only pages that were given away are taken");
			f->away[i] = true;
		}
		f->given[i] = false;
	}
}

static void note_inflated(struct fuzz *f, const uint32_t *page, unsigned int nr)
{
	bool now[PAGES] = { false };

	for (unsigned int i = 0; i < nr; i++)
		if (page[i] >= FIRST && page[i] < FIRST + PAGES)
			now[page[i] - FIRST] = f->in[page[i] - FIRST] = true;
	for (unsigned int i = 0; i < PAGES; i++) {
		unsigned int first = i - i % LARGE_PAGES, all = 0;

		for (unsigned int k = first; k < first + LARGE_PAGES; k++)
			all += f->in[k];
		f->given[i] = f->large ? f->tells && all == LARGE_PAGES : now[i];
	}
}

static void note_deflated(struct fuzz *f, const uint32_t *page, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		if (page[i] >= FIRST && page[i] < FIRST + PAGES)
			f->in[page[i] - FIRST] = false;
}

/* ---- running ---- */

/* Is a page of the list one that the pool lacks? */
static bool must_wait(struct fuzz *f, const struct pending *p)
{
	unsigned char there[PAGES];
	bool lacking = false;

	look(f, there);
	for (unsigned int i = 0; i < p->nr; i++) {
		uint32_t page = p->page[i] - FIRST;

		lacking |= page < PAGES && page >= PAGES - f->lacks * LARGE_PAGES && !(there[page] & 1);
	}
	return lacking;
}

/* The list came back: the driver may use its pages. */
static void taken_out(struct fuzz *f, struct pending *p)
{
	unsigned char there[PAGES];

	look(f, there);
	for (unsigned int i = 0; f->large && p->whole && i < p->nr; i++)
		demand(p->page[i] - FIRST >= PAGES || there[p->page[i] - FIRST] & 1,
		       "pages are there before they may be used");
	if (p->whole)
		note_deflated(f, p->page, p->nr);
	p->nr = 0;
}

/* What waits is the oldest first, and for a reason. */
static void check_waiting(struct fuzz *f)
{
	struct pending *oldest = NULL;

	for (unsigned int i = 0; i < QUEUE_SIZE; i++)
		if (f->pending[i].nr && (!oldest || f->pending[i].at < oldest->at))
			oldest = &f->pending[i];
	demand(!oldest == !f->out[DEFLATE], "lists that are out are pending");
	demand(!oldest || !oldest->whole || must_wait(f, oldest), "who waits lacks a page");
	demand(!oldest || f->lacks, "nobody waits at a full pool");
}

static void drain(struct fuzz *f)
{
	struct td_used used;

	td_run(&f->td);
	for (unsigned int q = 0; q < f->td.dev->nr_queues; q++)
		while (td_poll(&f->td, q, &used)) {
			demand(used.len == 0, "nothing is written");
			f->out[q]--;
			if (q == DEFLATE)
				taken_out(f, &f->pending[used.id]);
		}
	demand(!f->td.failed, "used buffers are those that were given");
	demand(!(virtio_read_status(f->td.dev) & VIRTIO_CONFIG_S_NEEDS_RESET), "odd requests break nothing");
	for (unsigned int q = 0; q < f->td.dev->nr_queues; q++)
		demand(q == DEFLATE || f->out[q] <= (q == STATS), "only one buffer, for statistics, is kept");
	check_waiting(f);
	check_pages(f);
}

static void submit(struct fuzz *f, unsigned int q, const struct td_seg *seg, unsigned int nr)
{
	if (q < f->td.dev->nr_queues && td_add(&f->td, q, seg, nr) >= 0) {
		f->out[q]++;
		td_kick(&f->td, q);
	}
	drain(f);
}

/* Where a segment may lead that does not lie in a list: nowhere near the rings. */
static uint64_t odd_gpa(struct fuzz *f)
{
	static const uint64_t base[] = { RAM_BYTES - 8, 0xf0000000, 0x100000000ull + TD_HIGH_BYTES - 4,
					 UINT64_MAX - 7 };
	unsigned int nr = take8(f) % ARRAY_SIZE(base);

	/* Reading what the pool lacks is SIGBUS. What becomes of that is vmm/fault.c's business. */
	if (!nr && f->lacks)
		nr = 1;
	return base[nr] + take8(f) % 8;
}

/* Cut [gpa, gpa + len) into descriptors. Returns how many; *whole: they are what they should be. */
static unsigned int cut(struct fuzz *f, struct td_seg *seg, unsigned int room, uint64_t gpa, uint32_t len,
			bool in, bool *whole)
{
	unsigned int nr = 0;

	while (len && nr + 1 < room) {
		uint32_t some = 1u + take8(f), part = take8(f) & 1 ? MIN(len, some) : len;

		seg[nr] = (struct td_seg){ gpa, part, in };
		if (rarely(f)) {
			seg[nr].gpa = odd_gpa(f);
			*whole = false;
		}
		nr++;
		gpa += part;
		len -= part;
	}
	*whole &= !len;
	return nr;
}

static uint32_t some_page(struct fuzz *f)
{
	if (!rarely(f))
		return FIRST + take8(f) % PAGES;
	switch (take8(f) % 4) {
	case 0:
		return RAM_BYTES / PAGE + take8(f);
	case 1:
		return (uint32_t)(0x100000000ull / PAGE) + take8(f); /* high RAM, and what lies behind it */
	case 2:
		return UINT32_MAX - take8(f);
	default:
		return 0x80000000u | take32(f);
	}
}

/* Write a list of pages, and cut it into segments. Returns how many. */
static unsigned int make_list(struct fuzz *f, uint64_t gpa, struct pending *l, struct td_seg *seg,
			      unsigned int room)
{
	uint32_t first;
	uint8_t *p = td_ptr(&f->td, gpa);
	bool run;

	l->nr = 1 + take8(f) % MAX_PAGES;
	first = some_page(f);
	run = take8(f) & 1;
	l->whole = !rarely(f);
	for (unsigned int i = 0; i < l->nr; i++) {
		l->page[i] =
			run && first < FIRST + PAGES ? FIRST + (first - FIRST + i) % PAGES : some_page(f);
		put_le32(p + 4 * i, l->page[i]);
	}
	return cut(f, seg, room, gpa, 4 * l->nr - (l->whole ? 0 : 1 + take8(f) % 3), false, &l->whole);
}

/* Of a list that is not whole, any part may be read, also cut otherwise: what is in the balloon is not known. */
static void lose_track(struct fuzz *f)
{
	memset(f->given, true, sizeof(f->given));
	memset(f->in, true, sizeof(f->in));
}

static void inflate_op(struct fuzz *f)
{
	struct pending l = { 0 };
	struct td_seg seg[12];
	unsigned int nr = make_list(f, f->list + (uint64_t)(f->next_list++ % LISTS) * LIST_BYTES, &l, seg,
				    ARRAY_SIZE(seg));

	if (l.whole)
		note_inflated(f, l.page, l.nr);
	else
		lose_track(f);
	submit(f, 0, seg, nr);
	if (!l.whole)
		lose_track(f);
}

static void deflate_op(struct fuzz *f)
{
	unsigned int at = f->next_take, nr;
	struct pending l = { .at = at };
	struct td_seg seg[12];
	int id;

	nr = make_list(f, f->list + (uint64_t)(LISTS + at % TAKE_LISTS) * LIST_BYTES, &l, seg,
		       ARRAY_SIZE(seg));
	id = td_add(&f->td, DEFLATE, seg, nr);
	if (id >= 0) {
		f->pending[id] = l;
		f->next_take++; /* so a list that waits is not written again */
		f->out[DEFLATE]++;
		td_kick(&f->td, DEFLATE);
	}
	drain(f);
	if (!l.whole)
		lose_track(f);
}

/* ---- the pool ---- */

/* RAM becomes a file, so that pages can be lacking: those that it is too short for. */
static void make_pool(struct fuzz *f)
{
	void *ram = td_ptr(&f->td, 0);

	f->pool = memfd_create("pool", MFD_CLOEXEC);
	demand(f->pool >= 0 && ftruncate(f->pool, RAM_BYTES) == 0, "a file");
	demand(mmap(ram, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, f->pool, 0) == ram,
	       "RAM from a file");
	f->td.mem.range[0].fd = f->pool;
	f->td.mem.range[0].page_bytes = LARGE_PAGES * PAGE;
}

static void set_pool(struct fuzz *f, unsigned int lacks)
{
	f->lacks = lacks;
	demand(ftruncate(f->pool, RAM_BYTES - (off_t)lacks * LARGE_PAGES * PAGE) == 0,
	       "a shorter or longer file");
}

/* Others take pages that were given back, never one that the guest has; or they bring some. */
static void pool_op(struct fuzz *f)
{
	unsigned char there[PAGES];
	unsigned int may_lack = 0;

	if (!f->large)
		return;
	if (f->lacks) {
		set_pool(f, take8(f) % f->lacks);
		td_kick(&f->td, DEFLATE);
		drain(f);
		return;
	}
	look(f, there);
	while (may_lack < PAGES / LARGE_PAGES) {
		const unsigned char *part = there + PAGES - (may_lack + 1) * LARGE_PAGES;

		if ((part[0] | part[1] | part[2] | part[3]) & 1)
			break;
		may_lack++;
	}
	if (may_lack)
		set_pool(f, 1 + take8(f) % may_lack);
}

static void report_op(struct fuzz *f)
{
	struct td_seg seg[6];
	unsigned int nr = 1 + take8(f) % 6, q = 2 + take8(f) % 3;

	for (unsigned int i = 0; i < nr; i++) {
		unsigned int from = take8(f) % PAGES, pages = 1 + take8(f) % 8;

		seg[i] = (struct td_seg){ (uint64_t)(FIRST + from) * PAGE, pages * PAGE, true };
		if (rarely(f))
			seg[i].gpa += take8(f);
		if (rarely(f))
			seg[i].gpa = odd_gpa(f);
		if (rarely(f))
			seg[i].len = take32(f) | 1 << 28;
		for (unsigned int k = from; !f->large && k < MIN(from + pages + 1, (unsigned int)PAGES); k++)
			f->given[k] = true;
	}
	submit(f, q, seg, nr);
}

static void stats_op(struct fuzz *f)
{
	uint64_t gpa = f->list + (uint64_t)(f->next_list++ % LISTS) * LIST_BYTES;
	unsigned int nr = take8(f) % 16;
	uint8_t *p = td_ptr(&f->td, gpa);
	struct td_seg seg[6];
	bool whole = true;

	for (unsigned int i = 0; i < nr; i++) {
		put_le16(p + 10 * i, rarely(f) ? (uint16_t)take32(f) : take8(f) % 16);
		put_le64(p + 10 * i + 2, take32(f));
	}
	nr = cut(f, seg, ARRAY_SIZE(seg), gpa, nr * 10 + rarely(f), false, &whole);
	submit(f, 2, seg, nr);
}

static void config_op(struct fuzz *f)
{
	uint8_t bytes[8];
	unsigned int off = take8(f) % 20, len = 1 + take8(f) % 8;
	uint64_t target;

	for (unsigned int i = 0; i < len; i++)
		bytes[i] = take8(f);
	if (take8(f) & 1)
		memset(bytes, 0, sizeof(bytes));
	virtio_config_write(f->td.dev, off, bytes, len);
	demand(virtio_balloon_actual(f->b) <= RAM_BYTES, "the guest has no more than all");
	target = (uint64_t)take8(f) << 14;
	demand((virtio_balloon_set_target(f->b, target) == 0) == (target <= RAM_BYTES),
	       "a target up to all of RAM is taken");
	demand(virtio_balloon_target(f->b) <= RAM_BYTES, "the target is no more than all");
	drain(f);
}

/* Stop, save, load, go on. What was known of large pages is forgotten then; that loses nothing. */
static void save_op(struct fuzz *f)
{
	struct buf b = { 0 };
	struct state_reader r;

	virtio_stop(f->td.dev);
	virtio_save(f->td.dev, &b);
	r = (struct state_reader){ .data = b.data, .len = b.len, .version = 1 };
	demand(virtio_load(f->td.dev, &r, NULL) == 0, "what was saved can be loaded");
	buf_fini(&b);
	memset(f->in, false, sizeof(f->in));
	drain(f);
}

static void begin(struct fuzz *f)
{
	uint64_t features = 0xffffffff; /* but for those of the ring that are chosen below */
	uint8_t bits = take8(f);

	features &= ~(VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX) | VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC));
	if (bits & 1)
		features |= VIRTIO_BIT(VIRTIO_F_RING_PACKED);
	if (bits & 2)
		features |= VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX);
	if (bits & 4)
		features |= VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC);
	if (bits & 8)
		features &= ~VIRTIO_BIT(VIRTIO_BALLOON_F_MUST_TELL_HOST);
	if (bits & 16)
		features &= ~VIRTIO_BIT(VIRTIO_BALLOON_F_STATS_VQ);
	if (bits & 32)
		features &= ~VIRTIO_BIT(VIRTIO_BALLOON_F_PAGE_POISON);
	f->td.indirect = bits & 4;
	f->tells = !(bits & 8);
	memset(f->in, false, sizeof(f->in));
	memset(f->out, 0, sizeof(f->out));
	memset(f->pending, 0, sizeof(f->pending));
	demand(td_start(&f->td, virtio_balloon_dev(f->b), features, QUEUE_SIZE), "a sound driver can start");
	drain(f);
}

static void step(struct fuzz *f)
{
	switch (take8(f) % 12) {
	case 0:
	case 1:
	case 2:
		inflate_op(f);
		break;
	case 3:
	case 11:
		deflate_op(f);
		break;
	case 4:
	case 5:
		report_op(f);
		break;
	case 6:
		stats_op(f);
		break;
	case 7:
		virtio_balloon_ask_stats(f->b);
		drain(f);
		break;
	case 8:
		config_op(f);
		break;
	case 9:
		if (f->resets++ >= MAX_RESETS)
			break;
		if (take8(f) & 1) {
			save_op(f);
			break;
		}
		td_stop(&f->td);
		begin(f);
		break;
	case 10:
		pool_op(f);
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
	struct fuzz f = { .p = bytes, .left = MIN(len, (size_t)2048), .pool = -1 };
	struct virtio_balloon_options options = {
		.name = "balloon0",
		.ram_bytes = RAM_BYTES,
		.target_bytes = RAM_BYTES,
		.free_page_reporting = true,
	};

	td_init(&f.td, RAM_BYTES);
	demand(iothread_init(&f.thread, "balloon", NULL) == 0, "a loop");
	f.large = take8(&f) & 1;
	if (f.large)
		make_pool(&f);
	for (unsigned int i = 0; i < PAGES; i++)
		memset(page_at(&f, i), UNTOUCHED, PAGE);
	options.thread = &f.thread;
	demand(virtio_balloon_new(&f.b, &options, &f.td.mem, NULL) == 0, "a balloon");
	f.list = td_alloc(&f.td, (uint64_t)(LISTS + TAKE_LISTS) * LIST_BYTES, PAGE);
	begin(&f);
	while (f.left)
		step(&f);
	td_stop(&f.td);
	virtio_balloon_free(f.b);
	iothread_fini(&f.thread);
	td_fini(&f.td);
	if (f.pool >= 0)
		close(f.pool);
	return 0;
}
