/*
 * What a second CPU does to a disk's rings and registers while the device reads them: descriptors, tables and
 * indices that change, kicks from both CPUs, resets and moving BARs under the kicks of the other.
 *
 * Nothing is decided by time: whatever the device sees, it writes into the request's own memory or not at
 * all. How often the change hits the right moment is the host's luck.
 */
#include "lib/clock.h"
#include "lib/cpu.h"
#include "lib/hostile_blk.h"
#include "lib/multiboot.h"
#include "lib/pci.h"
#include "lib/smp.h"
#include "lib/tap.h"

#define Q      (&blk_queue)
#define ROUNDS 12

struct flip {
	volatile uint64_t *at;	/* what is changed, and between which two */
	uint64_t one, other;
	volatile bool stop;
};

static struct flip flip;

static void flip_job(unsigned int cpu, void *data)
{
	struct flip *f = data;

	(void)cpu;
	while (!f->stop) {
		*f->at = f->one;
		*f->at = f->other;
		cpu_pause();
	}
	*f->at = f->one;
}

/* A ring that changes may break the device at once. */
static bool restart(void)
{
	return blk_rig.start() || virtio_status(&blk) & VIRTIO_NEEDS_RESET;
}

/* Reads, one after the other, while the other CPU changes eight bytes that the device looks at. A reset goes
 * between them if the device broke. */
static unsigned int reads_while(volatile uint64_t *at, uint64_t one, uint64_t other, bool indirect)
{
	bool good = true;

	flip = (struct flip){ at, one, other, false };
	smp_begin(1, flip_job, &flip);
	for (unsigned int i = 0; i < ROUNDS && good; i++) {
		struct virtq_seg seg[3];
		uint32_t bytes;

		arena_reset();
		blk_read_segs(seg);
		arena_allow(BLK_TABLE, 48);	/* what the other CPU changes */
		arena_allow(BLK_HEADER, BLK_HEADER_BYTES);
		virtq_fill_table(Q, BLK_TABLE, seg, 3);
		arena_remember();
		/* In the ring itself each descriptor must have the part that it had when the change was chosen. */
		if (!indirect)
			good = restart();
		if (indirect)
			virtq_add_raw(Q, &(struct virtq_desc){ (uint64_t)BLK_TABLE, 48, VIRTQ_INDIRECT, Q->next });
		else
			virtq_add(Q, seg, 3);
		virtq_kick(Q);
		if (hostile_poll(Q, &bytes, CLOCK_MS(10)) != RETURNED)
			good = restart();
		good = good && arena_intact();
	}
	flip.stop = true;
	return smp_finish(1) && good ? NOTHING : WRONG;
}

/* Of the table's data entry: its address, or its length with flags. */
static unsigned int table_address(uint64_t place, uint64_t b)
{
	(void)b;
	return reads_while(&BLK_TABLE[1].at, (uint64_t)BLK_DATA, hostile_place(&blk, (enum hostile_place)place), true);
}

static unsigned int table_length(uint64_t length, uint64_t b)
{
	uint64_t flags = Q->packed ? (uint64_t)VIRTQ_WRITE << 48 : 2ull << 48 | (uint64_t)(VIRTQ_WRITE | VIRTQ_NEXT) << 32;

	(void)b;
	return reads_while((volatile uint64_t *)&BLK_TABLE[1].bytes, BLK_SECTOR | flags, length | flags, true);
}

static unsigned int table_flags(uint64_t word, uint64_t b)
{
	uint64_t flags = Q->packed ? (uint64_t)VIRTQ_WRITE << 48 : 2ull << 48 | (uint64_t)(VIRTQ_WRITE | VIRTQ_NEXT) << 32;

	(void)b;
	return reads_while((volatile uint64_t *)&BLK_TABLE[1].bytes, BLK_SECTOR | flags, BLK_SECTOR | word << 32, true);
}

/* Of the ring's: every descriptor from the first on, whoever it belongs to. */
static unsigned int ring_word(uint64_t word, uint64_t other)
{
	volatile uint64_t *at = (void *)(Q->desc + 8 * word);

	return reads_while(at, *at, other, false);
}

/* Header or type while the device parses it: a write where a read was said. */
static unsigned int header_word(uint64_t word, uint64_t other)
{
	volatile uint64_t *at = (void *)(BLK_HEADER + 8 * word);

	return reads_while(at, word ? 5 : BLK_IN, other, true);
}

static unsigned int available_index(uint64_t by, uint64_t b)
{
	volatile uint64_t *at = (void *)Q->driver;

	(void)b;
	return reads_while(at, *at, *at + (by << 16), false);
}

/* ---- the other CPU at the registers ---- */

struct storm {
	unsigned int kind;
	volatile bool stop;
};

enum { KICK, RESET, SELECT, MOVE, DECODE };	/* the last two are this CPU's */

static struct storm storm;

static void storm_job(unsigned int cpu, void *data)
{
	struct storm *s = data;
	uint64_t doorbell = Q->doorbell;

	(void)cpu;
	for (unsigned int i = 0; !s->stop; i++) {
		if (s->kind == KICK)
			cpu_write16(doorbell, 0);
		else if (s->kind == RESET)
			virtio_put8(&blk, VIRTIO_STATUS, 0);
		else
			virtio_put16(&blk, VIRTIO_QUEUE_SELECT, (uint16_t)(i & 1 ? 0xffff : 0));
	}
}

/* Kicks by both, and requests by this one. */
static unsigned int kicks_by_two(uint64_t rounds, uint64_t b)
{
	unsigned int came = SERVED;

	(void)b;
	storm = (struct storm){ .kind = KICK };
	smp_begin(1, storm_job, &storm);
	for (unsigned int i = 0; i < rounds && came == SERVED; i++) {
		arena_reset();
		came = blk_read();
		if (!arena_intact())
			came = WRONG;
		for (unsigned int k = 0; k < 20; k++)
			virtq_kick(Q);
	}
	storm.stop = true;
	return smp_finish(1) ? came : WRONG;
}

/* The other one does something to the registers; this one kicks, with a request in the ring. */
static unsigned int kicks_under(uint64_t kind, uint64_t kicks)
{
	struct virtq_seg seg[3];

	blk_read_segs(seg);
	virtq_add(Q, seg, 3);
	arena_remember();
	storm = (struct storm){ .kind = (unsigned int)kind };
	smp_begin(1, storm_job, &storm);
	for (unsigned int i = 0; i < kicks; i++)
		virtq_kick(Q);
	storm.stop = true;
	return smp_finish(1) ? NOTHING : WRONG;
}

/* This one moves the function about, while the other one kicks where it was. */
static unsigned int function_moves(uint64_t kind, uint64_t rounds)
{
	enum { ON = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_NO_INTX };
	uint32_t offset;
	unsigned int bar = (unsigned int)virtio_bar_of(&blk, 1, &offset);
	uint64_t home = virtio_bar(&blk, bar);

	storm = (struct storm){ .kind = KICK };
	smp_begin(1, storm_job, &storm);
	for (unsigned int i = 0; i < rounds; i++) {
		if (kind == MOVE) {
			virtio_move_bar(&blk, bar, home ^ 0x02000000);
			virtio_move_bar(&blk, bar, home);
		} else {
			pci_write(blk.bdf, PCI_COMMAND, 2, ON & ~PCI_COMMAND_MEMORY);
			pci_write(blk.bdf, PCI_COMMAND, 2, ON);
		}
	}
	storm.stop = true;
	return smp_finish(1) ? blk_read() : WRONG;
}

static unsigned int resets_under_kicks(uint64_t rounds, uint64_t b)
{
	bool good = true;

	(void)b;
	storm = (struct storm){ .kind = KICK };
	smp_begin(1, storm_job, &storm);
	for (unsigned int i = 0; i < rounds && good; i++) {
		arena_reset();
		good = blk_rig.start() && blk_rig.serve();
	}
	storm.stop = true;
	return smp_finish(1) && good ? SERVED : WRONG;
}

static const struct hostile_case cases[] = {
	{ "table_address_changes_to_hole", NOTHING, table_address, BEYOND_RAM, 0, 0 },
	{ "table_address_changes_to_wrap", NOTHING, table_address, TOP_OF_SPACE, 0, 0 },
	{ "table_address_changes_to_registers", NOTHING, table_address, OWN_COMMON, 0, CASE_NOT_QEMU },
	{ "table_length_changes_to_4_gib", NOTHING, table_length, 0xffffffff, 0, CASE_NOT_QEMU },
	{ "table_length_changes_to_0", NOTHING, table_length, 0, 0, 0 },
	{ "table_flags_change_to_nested", NOTHING, table_flags, VIRTQ_INDIRECT, 0, 0 },
	{ "table_next_changes_to_loop", NOTHING, table_flags, 1ull << 16 | VIRTQ_WRITE | VIRTQ_NEXT, 0, CASE_SPLIT },
	{ "ring_address_changes_to_nowhere", NOTHING, ring_word, 0, -16ull, 0 },
	{ "ring_flags_change_to_all_ones", NOTHING, ring_word, 1, -1ull, 0 },
	{ "ring_flags_change_to_loop", NOTHING, ring_word, 3, 1ull << 48 | (uint64_t)VIRTQ_NEXT << 32 | 16, CASE_SPLIT },
	{ "header_type_changes_to_unknown", NOTHING, header_word, 0, 0x7f, 0 },
	{ "header_sector_changes_to_last_number", NOTHING, header_word, 1, -1ull, 0 },
	{ "available_index_changes_by_half", NOTHING, available_index, 0x8000, 0, CASE_SPLIT },
	{ "kicks_by_two_cpus_served", SERVED, kicks_by_two, 20, 0, 0 },
	{ "kicks_under_reset_storm_harmless", NOTHING, kicks_under, RESET, 100, 0 },
	{ "kicks_under_select_storm_harmless", NOTHING, kicks_under, SELECT, 100, 0 },
	{ "resets_under_kick_storm_served", SERVED, resets_under_kicks, 8, 0, 0 },
	{ "bar_moves_under_kicks_served", SERVED, function_moves, MOVE, 8, 0 },
	{ "decode_off_under_kicks_served", SERVED, function_moves, DECODE, 16, 0 },
};

void test_main(void)
{
	if (smp_start() < 2)
		tap_bail("there must be two CPUs");
	if (args_has("qemu") && args_has("packed"))
		tap_skip_all("QEMU 7.2 spins on a broken packed ring");
	blk_init();
	HOSTILE_RUN(&blk_rig, cases);
}
