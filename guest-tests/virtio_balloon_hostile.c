/*
 * A balloon told of pages that are not there, lists of odd lengths, statistics of nonsense, free pages
 * which are none. virtio 1.2, 5.5. Only whole pages that were named may go, and their neighbours stay.
 */
#include "lib/clock.h"
#include "lib/cpu.h"
#include "lib/hostile.h"
#include "lib/string.h"
#include "lib/tap.h"

#define LIST (arena + 0x100)	/* up to 512 page numbers */

enum { INFLATE, DEFLATE, STATS, NR_QUEUES };
enum { F_STATS = 1, F_HINT = 3, F_POISON = 4, F_REPORTING = 5 };
enum { NUM_PAGES = 0, ACTUAL = 4 };

static struct virtio balloon;
static struct virtq queue[NR_QUEUES], report_queue;
static bool can_report;

/* What is given away, between two pages which are not. */
static uint8_t given[3][4096] __attribute__((aligned(4096)));

static bool neighbours_intact(void)
{
	for (unsigned int i = 0; i < 3; i += 2)
		if (given[i][0] != 0x77 || memcmp(given[i], given[i] + 1, 4095) != 0)
			return false;
	return true;
}

static bool balloon_start(void)
{
	uint64_t want = hostile_features() | VIRTIO_BIT(F_STATS) | VIRTIO_BIT(F_REPORTING) | VIRTIO_BIT(F_POISON);

	if (!virtio_negotiate(&balloon, want))
		return false;
	for (unsigned int i = 0; i < NR_QUEUES; i++)
		if (!virtq_setup(&queue[i], &balloon, (uint16_t)i, 16))
			return false;
	can_report = balloon.features & VIRTIO_BIT(F_REPORTING);
	if (can_report && !virtq_setup(&report_queue, &balloon, 4, 16))	/* 3 is for hints, which we do not take (5.5.2) */
		can_report = virtq_setup(&report_queue, &balloon, 3, 16);
	virtio_driver_ok(&balloon);
	memset(given, 0x77, sizeof(given));
	return true;
}

static unsigned int submit(struct virtq *q, uint64_t at, uint64_t bytes, bool write)
{
	const struct virtq_seg seg = { at, (uint32_t)bytes, write };
	unsigned int came;
	uint32_t used = 0;

	virtq_add(q, &seg, 1);
	arena_remember();
	came = hostile_settle(q, &used);
	return neighbours_intact() ? came : WRONG;
}

static void put_pfn(unsigned int i, uint32_t pfn)
{
	((volatile uint32_t *)(void *)LIST)[i] = pfn;
}

static uint32_t pfn_of(const void *at)
{
	return (uint32_t)((uint64_t)at >> 12);
}

static bool balloon_serve(void)
{
	put_pfn(0, pfn_of(given[1]));
	if (submit(&queue[INFLATE], (uint64_t)LIST, 4, false) != RETURNED ||
	    submit(&queue[DEFLATE], (uint64_t)LIST, 4, false) != RETURNED)
		return false;
	memset(given[1], 0x77, 4096);
	return arena_intact() && given[1][4095] == 0x77;
}

/* One page number, to one of the queues. */
static unsigned int page(uint64_t pfn, uint64_t which)
{
	put_pfn(0, (uint32_t)pfn);
	return submit(&queue[which], (uint64_t)LIST, 4, false);
}

static unsigned int own_registers(uint64_t which, uint64_t b)
{
	(void)b;
	return page(balloon.common >> 12, which);
}

/* The given page, in a list that is cut, empty, or has a number and a half. */
static unsigned int list_of(uint64_t bytes, uint64_t which)
{
	for (unsigned int i = 0; i < 8; i++)
		put_pfn(i, pfn_of(given[1]));
	return submit(&queue[which], (uint64_t)LIST, bytes, false);
}

static unsigned int list_at(uint64_t place, uint64_t bytes)
{
	return submit(&queue[INFLATE], hostile_place(&balloon, (enum hostile_place)place), bytes, false);
}

static unsigned int list_writable(uint64_t which, uint64_t b)
{
	(void)b;
	arena_allow(LIST, 4);
	put_pfn(0, pfn_of(given[1]));
	return submit(&queue[which], (uint64_t)LIST, 4, true);
}

/* The same page very often, between numbers of nothing. */
static unsigned int list_mixed(uint64_t which, uint64_t b)
{
	(void)b;
	for (unsigned int i = 0; i < 256; i++)
		put_pfn(i, i % 3 == 0 ? pfn_of(given[1]) : i % 3 == 1 ? 0xffffffff : 0x50000 + i);
	return submit(&queue[which], (uint64_t)LIST, 1024, false);
}

/* Numbers in pieces of one byte, as 2.7.4 allows. */
static unsigned int list_in_bytes(uint64_t a, uint64_t b)
{
	struct virtq_seg seg[8];
	uint32_t used;

	(void)a, (void)b;
	put_pfn(0, pfn_of(given[1]));
	put_pfn(1, 0xffffffff);
	for (unsigned int i = 0; i < 8; i++)
		seg[i] = (struct virtq_seg){ (uint64_t)LIST + i, 1, false };
	virtq_add(&queue[INFLATE], seg, 8);
	arena_remember();
	return neighbours_intact() ? hostile_settle(&queue[INFLATE], &used) : WRONG;
}

/* Statistics are kept until the device wants new ones: it may not answer. */
static unsigned int stats(uint64_t bytes, uint64_t byte)
{
	const struct virtq_seg seg = { (uint64_t)LIST, (uint32_t)bytes, false };
	uint32_t used;

	memset(LIST, (int)byte, bytes < 1024 ? bytes : 1024);
	virtq_add(&queue[STATS], &seg, 1);
	arena_remember();
	virtq_kick(&queue[STATS]);
	return hostile_poll(&queue[STATS], &used, CLOCK_MS(5));
}

static unsigned int stats_flood(uint64_t a, uint64_t b)
{
	const struct virtq_seg seg = { (uint64_t)LIST, 40, false };
	uint32_t used;

	(void)a, (void)b;
	for (unsigned int i = 0; i < 16; i++)
		virtq_add(&queue[STATS], &seg, 1);
	arena_remember();
	virtq_kick(&queue[STATS]);
	return hostile_poll(&queue[STATS], &used, CLOCK_MS(5));
}

static unsigned int stats_at(uint64_t place, uint64_t bytes)
{
	const struct virtq_seg seg = { hostile_place(&balloon, (enum hostile_place)place), (uint32_t)bytes, false };
	uint32_t used;

	virtq_add(&queue[STATS], &seg, 1);
	virtq_kick(&queue[STATS]);
	return hostile_poll(&queue[STATS], &used, CLOCK_MS(5));
}

/* A free page report: the buffer is what is free. */
static unsigned int report(uint64_t at, uint64_t bytes)
{
	return can_report ? submit(&report_queue, at, bytes, true) : RETURNED;
}

static unsigned int report_at(uint64_t place, uint64_t bytes)
{
	return report(hostile_place(&balloon, (enum hostile_place)place), bytes);
}

/* Around the given page, but not all of its neighbours. */
static unsigned int report_partly(uint64_t before, uint64_t bytes)
{
	unsigned int came = report((uint64_t)given[1] - before, bytes);

	if (came == WRONG)	/* a page that was named in part: it is all or nothing, and nothing is right */
		tap_note("a page went of which only a part was reported");
	return came;
}

static unsigned int config(uint64_t at, uint64_t bytes)
{
	uint32_t was = cpu_read32(balloon.config + NUM_PAGES);

	if (bytes == 1)
		cpu_write8(balloon.config + at, 0xff);
	else if (bytes == 2)
		cpu_write16(balloon.config + at, 0xffff);
	else
		cpu_write32(balloon.config + at, 0xffffffff);
	return cpu_read32(balloon.config + NUM_PAGES) == was ? NOTHING : WRONG;
}

static const struct hostile_case cases[] = {
	{ "inflate_beyond_ram_returned", RETURNED | BROKEN, page, 0x50000, INFLATE, 0 },
	{ "inflate_last_number_returned", RETURNED | BROKEN, page, 0xffffffff, INFLATE, 0 },
	{ "inflate_local_apic_returned", RETURNED | BROKEN, page, 0xfee00, INFLATE, 0 },
	{ "inflate_own_registers_returned", RETURNED | BROKEN, own_registers, INFLATE, 0, 0 },
	{ "inflate_first_page_beyond_ram_returned", RETURNED | BROKEN, page, 0x8000, INFLATE, 0 },
	{ "inflate_list_of_0_bytes_settled", SETTLED, list_of, 0, INFLATE, 0 },
	{ "inflate_list_of_1_byte_returned", RETURNED | BROKEN, list_of, 1, INFLATE, 0 },
	{ "inflate_list_of_3_bytes_returned", RETURNED | BROKEN, list_of, 3, INFLATE, 0 },
	{ "inflate_list_of_7_bytes_returned", RETURNED | BROKEN, list_of, 7, INFLATE, 0 },
	{ "inflate_list_in_bytes_returned", RETURNED | BROKEN, list_in_bytes, 0, 0, 0 },
	{ "inflate_list_beyond_ram_returned", RETURNED | BROKEN, list_at, BEYOND_RAM, 64, 0 },
	{ "inflate_list_over_end_of_ram_returned", RETURNED | BROKEN, list_at, RAM_END, 64, CASE_NOT_QEMU },
	{ "inflate_list_wrapping_returned", RETURNED | BROKEN, list_at, TOP_OF_SPACE, 64, CASE_NOT_QEMU },
	{ "inflate_list_of_4_gib_returned", RETURNED | BROKEN, list_at, BEYOND_RAM, 0xffffffff, CASE_NOT_QEMU },
	{ "inflate_list_in_own_registers_returned", RETURNED | BROKEN, list_at, OWN_COMMON, 64, CASE_NOT_QEMU },
	{ "inflate_list_writable_returned", RETURNED | BROKEN, list_writable, INFLATE, 0, 0 },
	{ "inflate_same_page_often_returned", RETURNED | BROKEN, list_mixed, INFLATE, 0, 0 },
	{ "deflate_beyond_ram_returned", RETURNED | BROKEN, page, 0x50000, DEFLATE, 0 },
	{ "deflate_last_number_returned", RETURNED | BROKEN, page, 0xffffffff, DEFLATE, 0 },
	{ "deflate_never_inflated_returned", RETURNED | BROKEN, list_of, 4, DEFLATE, 0 },
	{ "deflate_list_of_5_bytes_returned", RETURNED | BROKEN, list_of, 5, DEFLATE, 0 },
	{ "deflate_same_page_often_returned", RETURNED | BROKEN, list_mixed, DEFLATE, 0, 0 },
	{ "stats_of_0_bytes_harmless", ANYTHING, stats, 0, 0, 0 },
	{ "stats_of_9_bytes_harmless", ANYTHING, stats, 9, 0, 0 },
	{ "stats_of_unknown_tags_harmless", ANYTHING, stats, 100, 0xff, 0 },
	{ "stats_of_3000_bytes_harmless", ANYTHING, stats, 3000, 1, 0 },
	{ "stats_flood_harmless", ANYTHING, stats_flood, 0, 0, 0 },
	{ "stats_beyond_ram_harmless", ANYTHING, stats_at, BEYOND_RAM, 100, CASE_NOT_QEMU },
	{ "stats_of_4_gib_harmless", ANYTHING, stats_at, OWN_COMMON, 0xffffffff, CASE_NOT_QEMU },
	{ "report_beyond_ram_returned", RETURNED | BROKEN, report_at, BEYOND_RAM, 0x200000, 0 },
	{ "report_over_end_of_ram_returned", RETURNED | BROKEN, report_at, RAM_END, 0x1000, CASE_NOT_QEMU },
	{ "report_wrapping_returned", RETURNED | BROKEN, report_at, TOP_OF_SPACE, 0x1000, CASE_NOT_QEMU },
	{ "report_own_registers_returned", RETURNED | BROKEN, report_at, OWN_COMMON, 0x1000, CASE_NOT_QEMU },
	{ "report_of_part_of_neighbour_keeps_it", RETURNED | BROKEN, report_partly, 8, 4096, CASE_NOT_QEMU },
	{ "report_of_100_bytes_keeps_neighbours", RETURNED | BROKEN, report_partly, 50, 100, CASE_NOT_QEMU },
	{ "num_pages_read_only", NOTHING, config, NUM_PAGES, 4, 0 },
	{ "actual_all_ones_harmless", NOTHING, config, ACTUAL, 4, 0 },
	{ "actual_by_bytes_harmless", NOTHING, config, ACTUAL + 3, 1, 0 },
	{ "config_behind_its_end_harmless", NOTHING, config, 60, 4, 0 },
};

static const struct hostile_rig rig = { .dev = &balloon, .start = balloon_start, .serve = balloon_serve };

void test_main(void)
{
	virtio_find(&balloon, VIRTIO_BALLOON, 0);
	HOSTILE_RUN(&rig, cases);
}
