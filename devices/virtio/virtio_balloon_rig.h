/*
 * For the unit tests of the balloon: the device without threads, and the driver of test_driver.h. Include it in one
 * file of a test program.
 */
#ifndef TRELLIS_DEVICES_VIRTIO_BALLOON_RIG_H
#define TRELLIS_DEVICES_VIRTIO_BALLOON_RIG_H

#include <check.h>

#include "devices/virtio/test_driver.h"
#include "devices/virtio/virtio_balloon.h"

enum { RAM = 4 << 20, PAGE = 4096, LARGE = 4 * PAGE, INFLATE = 0, DEFLATE = 1, STATS = 2 };

#define ALL_FEATURES UINT32_MAX /* but for the ring's */

static struct test_driver td;
static struct iothread thread;
static struct virtio_balloon *b;
static struct virtio_balloon_options options;
static uint64_t list, pages; /* in guest memory: 16 KiB for lists; 64 pages, aligned to large ones */

static inline void setup(void)
{
	td_init(&td, RAM);
	ck_assert_int_eq(iothread_init(&thread, "balloon", NULL), 0);
	options = (struct virtio_balloon_options){
		.name = "balloon0",
		.thread = &thread,
		.ram_bytes = RAM,
		.target_bytes = RAM,
		.free_page_reporting = true,
	};
	list = td_alloc(&td, 4 * PAGE, PAGE);
	pages = td_alloc(&td, 64 * PAGE, LARGE);
	memset(td_ptr(&td, pages), 0x55, 64 * PAGE);
	b = NULL;
}

static inline void begin(uint64_t features)
{
	struct err e = { 0 };

	if (!b)
		ck_assert_msg(virtio_balloon_new(&b, &options, &td.mem, &e) == 0, "%s", e.text);
	ck_assert(td_start(&td, virtio_balloon_dev(b), features, 64));
}

/* The host's pages of low RAM have LARGE bytes. */
static inline void begin_large(uint64_t features)
{
	td.mem.range[0].page_bytes = LARGE;
	begin(features);
}

static inline void teardown(void)
{
	ck_assert(!td.failed);
	if (td.dev)
		td_stop(&td);
	virtio_balloon_free(b);
	iothread_fini(&thread);
	td_fini(&td);
}

/* Pages are numbered from the first of the 64. */
static inline uint8_t page_byte(unsigned int page)
{
	return *(uint8_t *)td_ptr(&td, pages + page * PAGE + 17);
}

static inline void put_list(const uint32_t *page, unsigned int nr)
{
	uint8_t *p = td_ptr(&td, list);

	for (unsigned int i = 0; i < nr; i++)
		put_le32(p + 4 * i, (uint32_t)(pages / PAGE + page[i]));
}

static inline void send(unsigned int q, const uint32_t *page, unsigned int nr)
{
	struct td_seg seg = { list, 4 * nr, false };

	put_list(page, nr);
	ck_assert_int_eq(td_do(&td, q, &seg, 1), 0);
}

#define SEND(q, ...)                                                                                         \
	send(q, (const uint32_t[]){ __VA_ARGS__ },                                                           \
	     sizeof((const uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t))

static inline struct virtio_balloon_stats stats(void)
{
	struct virtio_balloon_stats s;

	virtio_balloon_get_stats(b, &s);
	return s;
}

static inline uint32_t config(unsigned int off)
{
	uint8_t le[4];

	virtio_config_read(virtio_balloon_dev(b), off, le, 4);
	return get_le32(le);
}

static inline void config_set(unsigned int off, uint32_t v)
{
	uint8_t le[4];

	put_le32(le, v);
	virtio_config_write(virtio_balloon_dev(b), off, le, 4);
}

#endif
