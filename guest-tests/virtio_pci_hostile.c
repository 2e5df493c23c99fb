/*
 * The PCI side of a virtio disk in rough hands: registers accessed by halves, twos and eights, read-only ones
 * written, BARs moved and switched off under I/O, bus mastering off, the window in configuration space, function
 * level reset with requests under way. MSI-X is virtio_msix_hostile.c's subject.
 *
 * virtio 1.2, 4.1; PCI Local Bus 3.0, 6.2.5; PCI Express 4.0, 6.6.2. Rings are split or packed, as the
 * command line says; it makes no difference here but to what is under way.
 */
#include "lib/clock.h"
#include "lib/cpu.h"
#include "lib/hostile_blk.h"
#include "lib/pci.h"
#include "lib/string.h"
#include "lib/tap.h"

#define Q (&blk_queue)

enum { COMMON_BYTES = 0x40, ON = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_NO_INTX };

static uint64_t peek(uint64_t at, unsigned int bytes)
{
	switch (bytes) {
	case 1:
		return cpu_read8(at);
	case 2:
		return cpu_read16(at);
	case 4:
		return cpu_read32(at);
	default:
		return cpu_read64(at);
	}
}

static void poke(uint64_t at, unsigned int bytes, uint64_t value)
{
	switch (bytes) {
	case 1:
		cpu_write8(at, (uint8_t)value);
		break;
	case 2:
		cpu_write16(at, (uint16_t)value);
		break;
	case 4:
		cpu_write32(at, (uint32_t)value);
		break;
	default:
		cpu_write64(at, value);
	}
}

static void peek_or_poke(uint64_t at, unsigned int bytes, bool write)
{
	if (write)
		poke(at, bytes, -1ull);
	else
		peek(at, bytes);
}

/* ---- registers ---- */

/* Every offset, aligned or not. Reading must change nothing. */
static unsigned int read_common(uint64_t bytes, uint64_t step)
{
	for (uint64_t at = 0; at + bytes <= COMMON_BYTES; at += step)
		peek(blk.common + at, (unsigned int)bytes);
	return blk_read();
}

/* Width that is not the register's own: nothing is written but what one register of it could be. */
static unsigned int write_odd(uint64_t reg, uint64_t bytes)
{
	poke(blk.common + reg, (unsigned int)bytes, 0);
	return blk_read();
}

/* Offset and width; its own, but nobody may write it. */
static unsigned int write_read_only(uint64_t reg, uint64_t bytes)
{
	uint64_t was = peek(blk.common + reg, (unsigned int)bytes);

	poke(blk.common + reg, (unsigned int)bytes, ~was);
	if (peek(blk.common + reg, (unsigned int)bytes) != was)
		return WRONG;
	return blk_read();
}

static unsigned int write_garbage(uint64_t bytes, uint64_t value)
{
	for (uint64_t at = 0; at + bytes <= COMMON_BYTES; at += bytes)
		poke(blk.common + at, (unsigned int)bytes, value);
	return NOTHING;
}

static unsigned int write_config(uint64_t bytes, uint64_t value)
{
	uint64_t capacity = cpu_read32(blk.config);

	for (uint64_t at = 0; at + bytes <= blk.config_bytes; at += bytes)
		poke(blk.config + at, (unsigned int)bytes, value);
	return cpu_read32(blk.config) == capacity ? blk_read() : WRONG;
}

/* Over the ends of structures, and the gaps between them: the whole of a BAR in big steps. */
static unsigned int sweep_bar(uint64_t bytes, uint64_t write)
{
	uint32_t offset;
	int bar = virtio_bar_of(&blk, 1, &offset);
	uint64_t base = virtio_bar(&blk, (unsigned int)bar), size = pci_bar_bytes(blk.bdf, (unsigned int)bar);

	for (uint64_t at = COMMON_BYTES - bytes / 2; at + bytes <= size; at += 248)
		peek_or_poke(base + at, (unsigned int)bytes, write);
	peek_or_poke(base + size - bytes, (unsigned int)bytes, write);
	return NOTHING;
}

static unsigned int isr_access(uint64_t bytes, uint64_t write)
{
	peek_or_poke(blk.isr, (unsigned int)bytes, write);
	return blk_read();
}

static unsigned int config_over_end(uint64_t bytes, uint64_t back)
{
	peek(blk.config + blk.config_bytes - back, (unsigned int)bytes);
	poke(blk.config + blk.config_bytes - back, (unsigned int)bytes, -1ull);
	return blk_read();
}

/* ---- where the function is ---- */

static unsigned int common_bar(void)
{
	uint32_t offset;

	return (unsigned int)virtio_bar_of(&blk, 1, &offset);
}

/* Requests are under way while the BAR goes away and comes back. */
static unsigned int move_bar(uint64_t to, uint64_t rounds)
{
	unsigned int bar = common_bar(), came = NOTHING;
	uint64_t home = virtio_bar(&blk, bar);
	struct virtq_seg seg[3];
	uint32_t bytes;

	for (unsigned int i = 0; i < rounds; i++) {
		blk_read_segs(seg);
		virtq_add(Q, seg, 3);
		arena_remember();
		virtq_kick(Q);
		virtio_move_bar(&blk, bar, to ? to : home ^ 0x02000000);
		virtio_move_bar(&blk, bar, home);
		came = blk_judge(hostile_poll(Q, &bytes, CLOCK_MS(2000)));
		if (came != SERVED)
			break;
		arena_reset();
	}
	return came;
}

static unsigned int served_where_it_moved(uint64_t a, uint64_t b)
{
	unsigned int bar = common_bar(), came;
	uint64_t home = virtio_bar(&blk, bar), old = Q->doorbell;

	(void)a, (void)b;
	virtio_move_bar(&blk, bar, home ^ 0x02000000);
	Q->doorbell ^= 0x02000000;
	came = blk_read();
	cpu_write16(old, 0);	/* nobody's any more */
	virtio_move_bar(&blk, bar, home);
	return came;
}

/* RAM is stronger: what is written there stays there. */
static unsigned int bar_over_ram(uint64_t at, uint64_t b)
{
	unsigned int bar = common_bar(), size = 0x4000;
	uint64_t home = virtio_bar(&blk, bar);
	bool good;

	(void)b;
	cpu_write32(at + size - 4, 0x12345678);
	virtio_move_bar(&blk, bar, at);
	good = cpu_read32(at + size - 4) == 0x12345678;
	cpu_write32(at + size - 4, 0x87654321);
	good = good && cpu_read32(at + size - 4) == 0x87654321;
	virtio_move_bar(&blk, bar, home);
	return good && cpu_read32(at + size - 4) == 0x87654321 ? blk_read() : WRONG;
}

static unsigned int two_bars_in_one_place(uint64_t a, uint64_t b)
{
	unsigned int bar = common_bar(), other = pci_read(blk.bdf, blk.msix + 4, 4) & 7;
	uint64_t home = virtio_bar(&blk, other);

	(void)a, (void)b;
	virtio_move_bar(&blk, other, virtio_bar(&blk, bar));
	cpu_read32(virtio_bar(&blk, bar));
	cpu_write32(virtio_bar(&blk, bar) + 0x800, -1u);
	virtio_move_bar(&blk, other, home);
	return NOTHING;
}

static unsigned int decode_off(uint64_t rounds, uint64_t b)
{
	unsigned int came = NOTHING;
	struct virtq_seg seg[3];
	uint32_t bytes;

	(void)b;
	for (unsigned int i = 0; i < rounds; i++) {
		blk_read_segs(seg);
		virtq_add(Q, seg, 3);
		arena_remember();
		virtq_kick(Q);
		pci_write(blk.bdf, PCI_COMMAND, 2, ON & ~PCI_COMMAND_MEMORY);
		virtq_kick(Q);	/* into the void */
		pci_write(blk.bdf, PCI_COMMAND, 2, ON);
		came = blk_judge(hostile_poll(Q, &bytes, CLOCK_MS(2000)));
		if (came != SERVED)
			break;
		arena_reset();
	}
	return came;
}

/* Without bus mastering the device writes nothing (PCI 3.0, 6.2.2); with it again it goes on, or needs a reset. */
static unsigned int master_off(uint64_t a, uint64_t b)
{
	static uint8_t ring[4096];
	struct virtq_seg seg[3];
	uint32_t bytes;
	bool quiet;

	(void)a, (void)b;
	pci_write(blk.bdf, PCI_COMMAND, 2, ON & ~PCI_COMMAND_MASTER);
	blk_read_segs(seg);
	virtq_add(Q, seg, 3);
	memcpy(ring, Q->desc, sizeof(ring));
	arena_remember();
	virtq_kick(Q);
	clock_wait_ticks(CLOCK_MS(5));
	quiet = *(volatile uint8_t *)BLK_STATUS == BLK_UNTOUCHED && !memcmp(ring, Q->desc, sizeof(ring));
	pci_write(blk.bdf, PCI_COMMAND, 2, ON);
	if (!quiet)
		return WRONG;
	virtq_kick(Q);
	return blk_judge(hostile_poll(Q, &bytes, CLOCK_MS(2000)));
}

static unsigned int master_storm(uint64_t nr, uint64_t b)
{
	(void)b;
	for (unsigned int i = 0; i < nr; i++) {
		struct virtq_seg seg[3];

		blk_read_segs(seg);
		if (i % 4 == 0)
			virtq_add(Q, seg, 3);
		virtq_kick(Q);
		pci_write(blk.bdf, PCI_COMMAND, 2, i & 1 ? ON : ON & ~PCI_COMMAND_MASTER);
		arena_reset();
	}
	pci_write(blk.bdf, PCI_COMMAND, 2, ON);
	return virtio_reset(&blk) ? NOTHING : WRONG;
}

/* ---- the window, 4.1.4.9 ---- */

static uint32_t window(uint8_t bar, uint32_t offset, uint32_t bytes, unsigned int access_bytes, bool write,
		       uint32_t value)
{
	pci_write(blk.bdf, blk.window + 4, 1, bar);
	pci_write(blk.bdf, blk.window + 8, 4, offset);
	pci_write(blk.bdf, blk.window + 12, 4, bytes);
	if (write)
		pci_write(blk.bdf, blk.window + 16, access_bytes, value);
	else
		value = pci_read(blk.bdf, blk.window + 16, access_bytes);
	return value;
}

static unsigned int window_of(uint64_t bar_bytes, uint64_t offset)
{
	uint8_t bar = (uint8_t)(bar_bytes >> 32);
	uint32_t bytes = (uint32_t)bar_bytes;

	window(bar == 0xff ? (uint8_t)common_bar() : bar, (uint32_t)offset, bytes, 4, false, 0);
	window(bar == 0xff ? (uint8_t)common_bar() : bar, (uint32_t)offset, bytes, 4, true, 0xffffffff);
	return blk_read();
}

static unsigned int window_works(uint64_t a, uint64_t b)
{
	uint32_t offset;
	uint8_t bar = (uint8_t)virtio_bar_of(&blk, 1, &offset);

	(void)a, (void)b;
	if (window(bar, offset + VIRTIO_STATUS, 1, 1, false, 0) != virtio_status(&blk))
		return WRONG;
	window(bar, offset + VIRTIO_STATUS, 1, 1, true, 0);
	return virtio_status(&blk) == 0 ? NOTHING : WRONG;
}

/* ---- resets of the function ---- */

static unsigned int flr_in_flight(uint64_t rounds, uint64_t b)
{
	unsigned int express = pci_find_capability(blk.bdf, 0x10);
	struct virtq_seg seg[3];

	(void)b;
	if (!express || !(pci_read(blk.bdf, express + 4, 4) & 1u << 28))
		return NOTHING;
	for (unsigned int i = 0; i < rounds; i++) {
		blk_read_segs(seg);
		virtq_add(Q, seg, 3);
		virtq_kick(Q);
		pci_write(blk.bdf, express + 8, 2, 0x8000);
		clock_wait_ticks(CLOCK_MS(1));
		arena_reset();	/* nothing may come after the reset */
		virtio_plug(&blk);
		if (virtio_status(&blk) || !arena_intact() || !blk_rig.start())
			return WRONG;
	}
	return NOTHING;
}

static unsigned int power_down(uint64_t a, uint64_t b)
{
	unsigned int pm = pci_find_capability(blk.bdf, 0x01);
	struct virtq_seg seg[3];

	(void)a, (void)b;
	if (!pm)
		return NOTHING;
	blk_read_segs(seg);
	virtq_add(Q, seg, 3);
	arena_remember();
	virtq_kick(Q);
	pci_write(blk.bdf, pm + 4, 2, 3);
	virtq_kick(Q);
	clock_wait_ticks(CLOCK_MS(1));
	pci_write(blk.bdf, pm + 4, 2, 0);
	clock_wait_ticks(CLOCK_MS(1));
	virtio_plug(&blk);
	return NOTHING;
}

#define WINDOW(bar, bytes) ((uint64_t)(bar) << 32 | (bytes))

static const struct hostile_case cases[] = {
	{ "common_read_by_bytes_served", SERVED, read_common, 1, 1, 0 },
	{ "common_read_by_words_anywhere_served", SERVED, read_common, 2, 1, 0 },
	{ "common_read_by_dwords_anywhere_served", SERVED, read_common, 4, 1, 0 },
	{ "common_read_by_qwords_served", SERVED, read_common, 8, 4, 0 },
	{ "status_written_as_word_harmless", ANYTHING, write_odd, VIRTIO_STATUS, 2, 0 },
	{ "status_written_as_dword_harmless", ANYTHING, write_odd, VIRTIO_STATUS, 4, 0 },
	{ "queue_select_written_as_byte_harmless", ANYTHING, write_odd, VIRTIO_QUEUE_SELECT + 1, 1, 0 },
	{ "queue_enable_written_as_byte_harmless", ANYTHING, write_odd, VIRTIO_QUEUE_ENABLE, 1, 0 },
	{ "queue_desc_written_as_word_harmless", ANYTHING, write_odd, VIRTIO_QUEUE_DESC + 2, 2, 0 },
	{ "queue_desc_written_unaligned_harmless", ANYTHING, write_odd, VIRTIO_QUEUE_DESC + 2, 4, 0 },
	{ "device_feature_read_only", SERVED, write_read_only, VIRTIO_DEVICE_FEATURE, 4, 0 },
	{ "num_queues_read_only", SERVED, write_read_only, VIRTIO_NUM_QUEUES, 2, 0 },
	{ "generation_read_only", SERVED, write_read_only, VIRTIO_GENERATION, 1, 0 },
	{ "queue_notify_off_read_only", SERVED, write_read_only, VIRTIO_QUEUE_NOTIFY_OFF, 2, 0 },
	{ "garbage_bytes_in_common_harmless", NOTHING, write_garbage, 1, 0xff, 0 },
	{ "garbage_words_in_common_harmless", NOTHING, write_garbage, 2, 0xffff, CASE_NOT_QEMU },
	{ "garbage_dwords_in_common_harmless", NOTHING, write_garbage, 4, 0xa5a5a5a5, CASE_NOT_QEMU },
	{ "garbage_qwords_in_common_harmless", NOTHING, write_garbage, 8, -1ull, CASE_NOT_QEMU },
	{ "config_read_only_by_bytes", SERVED, write_config, 1, 0xff, 0 },
	{ "config_read_only_by_qwords", SERVED, write_config, 8, 0, 0 },
	{ "config_over_its_end_harmless", SERVED, config_over_end, 8, 2, 0 },
	{ "config_behind_its_end_harmless", SERVED, config_over_end, 4, 0, 0 },
	{ "bar_read_all_over_harmless", NOTHING, sweep_bar, 8, 0, 0 },
	{ "bar_read_all_over_by_words_harmless", NOTHING, sweep_bar, 2, 0, 0 },
	{ "bar_written_all_over_harmless", NOTHING, sweep_bar, 8, 1, CASE_NOT_QEMU },
	{ "isr_written_harmless", SERVED, isr_access, 1, 1, 0 },
	{ "isr_read_as_dword_harmless", SERVED, isr_access, 4, 0, 0 },
	{ "isr_written_as_qword_harmless", SERVED, isr_access, 8, 1, 0 },

	{ "bar_moved_under_io_served", SERVED, move_bar, 0, 8, 0 },
	{ "bar_at_top_of_space_under_io_served", SERVED, move_bar, -0x4000ull, 2, 0 },
	{ "bar_beyond_physical_bits_served", SERVED, move_bar, 1ull << 60, 2, 0 },
	{ "bar_at_0_under_io_served", SERVED, move_bar, 0x4000, 2, CASE_NOT_QEMU },
	{ "bar_over_local_apic_served", SERVED, move_bar, 0xfee00000, 2, CASE_NOT_QEMU },
	{ "bar_over_ecam_served", SERVED, move_bar, 0xe0000000, 2, CASE_NOT_QEMU },
	{ "served_where_it_moved", SERVED, served_where_it_moved, 0, 0, 0 },
	{ "bar_over_ram_leaves_ram", SERVED, bar_over_ram, 0x1000000, 0, 0 },
	{ "bar_over_other_bar_harmless", NOTHING, two_bars_in_one_place, 0, 0, CASE_NOT_QEMU },
	{ "decode_off_under_io_served", SERVED, decode_off, 8, 0, 0 },
	{ "master_off_writes_nothing", SERVED | BROKEN, master_off, 0, 0, CASE_NOT_QEMU },
	{ "master_on_and_off_under_io_harmless", NOTHING, master_storm, 32, 0, CASE_NOT_QEMU },

	{ "window_reads_and_resets", NOTHING, window_works, 0, 0, 0 },
	{ "window_of_no_bar_ignored", SERVED, window_of, WINDOW(5, 4), 0, 0 },
	{ "window_of_bar_255_ignored", SERVED, window_of, WINDOW(0xfe, 4), 0, 0 },
	{ "window_of_length_0_ignored", SERVED, window_of, WINDOW(0xff, 0), VIRTIO_STATUS, 0 },
	{ "window_of_length_3_ignored", SERVED, window_of, WINDOW(0xff, 3), 0, 0 },
	{ "window_of_length_8_ignored", SERVED, window_of, WINDOW(0xff, 8), VIRTIO_QUEUE_DESC, 0 },
	{ "window_of_all_ones_ignored", SERVED, window_of, WINDOW(0xff, 0xffffffff), 0, 0 },
	{ "window_beyond_bar_ignored", SERVED, window_of, WINDOW(0xff, 4), 0x100000, 0 },
	{ "window_at_last_offset_ignored", SERVED, window_of, WINDOW(0xff, 4), 0xffffffff, CASE_NOT_QEMU },
	{ "window_over_end_of_bar_ignored", SERVED, window_of, WINDOW(0xff, 4), 0x3ffe, 0 },
	{ "window_unaligned_ignored", SERVED, window_of, WINDOW(0xff, 4), VIRTIO_QUEUE_DESC + 2, CASE_NOT_QEMU },

	{ "flr_in_flight_stops_everything", NOTHING, flr_in_flight, 4, 0, 0 },
	{ "power_off_and_on_under_io_harmless", NOTHING, power_down, 0, 0, CASE_NOT_QEMU },
};

void test_main(void)
{
	blk_init();
	HOSTILE_RUN(&blk_rig, cases);
}
