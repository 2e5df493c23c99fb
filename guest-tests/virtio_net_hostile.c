/*
 * A network interface in hostile hands: frames without header or without end, offloads of nonsense, receive
 * buffers that are tiny or lie nowhere, control commands that lie about their length. A second interface, with
 * a friendly driver, is at the other end of the wire.
 *
 * virtio 1.2, 5.1.6. What is sent may be dropped or go out; the buffer comes back. Received is what fits.
 *
 * Not for QEMU 7.2: frames shorter than their header and its like break the device there for good.
 */
#include "lib/clock.h"
#include "lib/cpu.h"
#include "lib/hostile.h"
#include "lib/nic.h"
#include "lib/string.h"
#include "lib/tap.h"

#define FRAME   (arena + 0x100)	/* with its header in front */
#define RECEIVE (arena + 0x400)
#define CONTROL (arena + 0x900)
#define ACK     (arena + 0xf00)
#define UNTOUCHED 0xee

enum { ERR = 1, FRIEND_BYTES = 2048, MARK = 0x6d };
enum { CLASS_RX = 0, CLASS_MAC = 1, CLASS_VLAN = 2, CLASS_ANNOUNCE = 3, CLASS_MQ = 4, CLASS_OFFLOADS = 5 };

static struct nic nic[2];
static uint8_t friend_buffer[FRIEND_BYTES], large[1 << 17];
static bool friend_listens;

/* ---- set-up, and the correct request: a frame to the friend ---- */

static uint64_t features(void)
{
	return hostile_features() | VIRTIO_BIT(NIC_F_CTRL_VQ) | VIRTIO_BIT(NIC_F_CTRL_RX) | VIRTIO_BIT(NIC_F_CTRL_VLAN) |
	       VIRTIO_BIT(NIC_F_ANNOUNCE) | VIRTIO_BIT(NIC_F_CTRL_MAC) | VIRTIO_BIT(NIC_F_CSUM);
}

static bool net_start(void)
{
	return nic_start(&nic[0], features());
}

static bool friend_start(void)
{
	friend_listens = false;
	return nic_start(&nic[1], hostile_features());
}

static void make_frame(uint8_t *at, uint32_t frame_bytes, uint8_t mark)
{
	memset(at, 0, NIC_HEADER_BYTES);
	memset(at + NIC_HEADER_BYTES, mark, frame_bytes);
	memset(at + NIC_HEADER_BYTES, 0xff, 6);
}

/* The friend may still get what a case has sent. */
static bool net_serve(void)
{
	make_frame(FRAME, 64, MARK);
	arena_remember();
	if (!friend_listens)
		nic_post(&nic[1], friend_buffer, FRIEND_BYTES);
	friend_listens = true;
	if (!nic_send(&nic[0], FRAME, NIC_HEADER_BYTES + 64))
		return false;
	for (unsigned int tries = 0; tries < 20; tries++) {
		uint32_t bytes = nic_receive(&nic[1], CLOCK_MS(500));

		if (!bytes)
			return false;
		nic_post(&nic[1], friend_buffer, FRIEND_BYTES);
		if (bytes == NIC_HEADER_BYTES + 64 && friend_buffer[NIC_HEADER_BYTES + 63] == MARK)
			return arena_intact();
	}
	return false;
}

/* ---- transmitting ---- */

static unsigned int transmit(const struct virtq_seg *seg, unsigned int n)
{
	uint32_t used;

	virtq_add(&nic[0].queue[NIC_TX], seg, n);
	arena_remember();
	return hostile_settle(&nic[0].queue[NIC_TX], &used);
}

static unsigned int send_bytes(uint64_t bytes, uint64_t write)
{
	const struct virtq_seg seg = { (uint64_t)FRAME, (uint32_t)bytes, write };

	make_frame(FRAME, 200, 1);
	return transmit(&seg, 1);
}

static unsigned int send_large(uint64_t bytes, uint64_t b)
{
	const struct virtq_seg seg = { (uint64_t)large, (uint32_t)bytes, false };

	(void)b;
	make_frame(large, 64, 1);
	return transmit(&seg, 1);
}

static unsigned int send_from(uint64_t place, uint64_t bytes)
{
	const struct virtq_seg seg = { hostile_place(&nic[0].dev, (enum hostile_place)place), (uint32_t)bytes, false };

	return transmit(&seg, 1);
}

static unsigned int header_then_from(uint64_t place, uint64_t bytes)
{
	const struct virtq_seg seg[] = {
		{ (uint64_t)FRAME, NIC_HEADER_BYTES, false },
		{ hostile_place(&nic[0].dev, (enum hostile_place)place), (uint32_t)bytes, false },
	};

	make_frame(FRAME, 64, 1);
	return transmit(seg, 2);
}

static unsigned int send_in_bytes(uint64_t a, uint64_t b)
{
	struct virtq_seg seg[14];

	(void)a, (void)b;
	make_frame(FRAME, 64, 1);
	for (unsigned int i = 0; i < 13; i++)
		seg[i] = (struct virtq_seg){ (uint64_t)FRAME + i, 1, false };
	seg[13] = (struct virtq_seg){ (uint64_t)FRAME + 13, 63, false };
	return transmit(seg, 14);
}

static unsigned int send_then_writable(uint64_t a, uint64_t b)
{
	const struct virtq_seg seg[] = { { (uint64_t)FRAME, 76, false }, { (uint64_t)RECEIVE, 64, true } };

	(void)a, (void)b;
	make_frame(FRAME, 64, 1);
	return transmit(seg, 2);
}

/* flags, gso_type, hdr_len, gso_size, csum_start, csum_offset of the header, as two numbers */
static unsigned int send_header(uint64_t first, uint64_t csum)
{
	const struct virtq_seg seg = { (uint64_t)FRAME, 212, false };

	make_frame(FRAME, 200, 1);
	memcpy(FRAME, &first, 6);
	memcpy(FRAME + 6, &csum, 6);
	return transmit(&seg, 1);
}

static unsigned int send_ring_full(uint64_t a, uint64_t b)
{
	const struct virtq_seg seg = { (uint64_t)FRAME, 5, false };
	unsigned int came;
	uint32_t used;

	(void)a, (void)b;
	make_frame(FRAME, 64, 1);
	for (unsigned int i = 0; i < 15; i++)
		virtq_add(&nic[0].queue[NIC_TX], &seg, 1);
	came = transmit(&seg, 1);
	for (unsigned int i = 0; i < 15 && came == RETURNED; i++)
		came = hostile_poll(&nic[0].queue[NIC_TX], &used, CLOCK_MS(2000));
	return came;
}

static unsigned int reset_in_flight(uint64_t a, uint64_t b)
{
	const struct virtq_seg seg = { (uint64_t)FRAME, 76, false };

	(void)a, (void)b;
	make_frame(FRAME, 64, 1);
	arena_remember();
	for (unsigned int i = 0; i < 8; i++) {
		virtq_add(&nic[0].queue[NIC_TX], &seg, 1);
		virtq_kick(&nic[0].queue[NIC_TX]);
		if (!net_start())
			return WRONG;
	}
	return RETURNED;
}

/* ---- receiving ---- */

/* The friend sends a frame of 200 bytes to what was posted. */
static unsigned int receive(void)
{
	static uint8_t frame[NIC_HEADER_BYTES + 200];
	uint32_t used = 0;
	unsigned int came;

	arena_remember();
	virtq_kick(&nic[0].queue[NIC_RX]);
	make_frame(frame, 200, 0x33);
	if (!nic_send(&nic[1], frame, sizeof(frame)))
		return WRONG;
	came = hostile_poll(&nic[0].queue[NIC_RX], &used, CLOCK_MS(200));
	return used > sizeof(frame) ? WRONG : came;
}

static unsigned int receive_into(uint64_t bytes, uint64_t write)
{
	const struct virtq_seg seg = { (uint64_t)RECEIVE, (uint32_t)bytes, write };

	if (write)
		arena_allow(RECEIVE, (uint32_t)bytes);
	virtq_add(&nic[0].queue[NIC_RX], &seg, 1);
	return receive();
}

static unsigned int receive_at(uint64_t place, uint64_t bytes)
{
	const struct virtq_seg seg = { hostile_place(&nic[0].dev, (enum hostile_place)place), (uint32_t)bytes, true };

	virtq_add(&nic[0].queue[NIC_RX], &seg, 1);
	return receive();
}

static unsigned int receive_then_at(uint64_t place, uint64_t bytes)
{
	const struct virtq_seg seg[] = {
		{ (uint64_t)RECEIVE, 20, true },
		{ hostile_place(&nic[0].dev, (enum hostile_place)place), (uint32_t)bytes, true },
	};

	arena_allow(RECEIVE, 20);
	virtq_add(&nic[0].queue[NIC_RX], seg, 2);
	return receive();
}

/* Merged buffers: so many, of so few bytes. */
static unsigned int receive_merged(uint64_t nr, uint64_t bytes)
{
	if (!nic_start(&nic[0], features() | VIRTIO_BIT(NIC_F_MRG_RXBUF)))
		return WRONG;
	arena_allow(RECEIVE, (uint32_t)(nr * bytes));
	for (unsigned int i = 0; i < nr; i++) {
		const struct virtq_seg seg = { (uint64_t)RECEIVE + i * bytes, (uint32_t)bytes, true };

		virtq_add(&nic[0].queue[NIC_RX], &seg, 1);
	}
	return receive();
}

static unsigned int receive_nothing_posted(uint64_t nr, uint64_t b)
{
	(void)b;
	for (unsigned int i = 0; i < nr; i++)
		if (receive() != NOTHING)
			return WRONG;
	return NOTHING;
}

static unsigned int queue_gone_under_frames(uint64_t a, uint64_t b)
{
	(void)a, (void)b;
	for (unsigned int i = 0; i < 4; i++) {
		receive_into(300, 1);
		if (!net_start())
			return WRONG;
		arena_reset();
	}
	return RETURNED;
}

/* ---- the control queue ---- */

static unsigned int judge_ack(unsigned int came)
{
	uint8_t ack = *(volatile uint8_t *)ACK;

	if (came != RETURNED || ack == UNTOUCHED)
		return came;
	return ack == 0 ? SERVED : ack == ERR ? ERROR : WRONG;
}

static unsigned int command(const void *data, uint32_t bytes)
{
	const struct virtq_seg seg[] = { { (uint64_t)CONTROL, bytes, false }, { (uint64_t)ACK, 1, true } };
	uint32_t used;

	if (!nic[0].has_ctrl)
		return ERROR;
	memcpy(CONTROL, data, bytes < 256 ? bytes : 256);
	*(volatile uint8_t *)ACK = UNTOUCHED;
	arena_allow(ACK, 1);
	virtq_add(&nic[0].queue[NIC_CTRL], seg, 2);
	arena_remember();
	return judge_ack(hostile_settle(&nic[0].queue[NIC_CTRL], &used));
}

/* class | command << 8, then up to 6 bytes; bytes is the length of all */
static unsigned int control(uint64_t words, uint64_t bytes)
{
	return command(&words, (uint32_t)bytes);
}

/* Two tables, of which the first says to have so many entries. */
static unsigned int mac_table(uint64_t count, uint64_t bytes)
{
	uint32_t data[16] = { CLASS_MAC | (uint32_t)count << 16, (uint32_t)count >> 16 };

	return command(data, (uint32_t)bytes);
}

static unsigned int no_ack(uint64_t words, uint64_t bytes)
{
	const struct virtq_seg seg = { (uint64_t)CONTROL, (uint32_t)bytes, false };
	uint32_t used;

	if (!nic[0].has_ctrl)
		return RETURNED;
	memcpy(CONTROL, &words, 8);
	virtq_add(&nic[0].queue[NIC_CTRL], &seg, 1);
	arena_remember();
	return hostile_settle(&nic[0].queue[NIC_CTRL], &used);
}

static unsigned int ack_at(uint64_t place, uint64_t b)
{
	const struct virtq_seg seg[] = { { (uint64_t)CONTROL, 3, false },
					 { hostile_place(&nic[0].dev, (enum hostile_place)place), 1, true } };
	uint32_t used;

	(void)b;
	memset(CONTROL, 0, 3);
	virtq_add(&nic[0].queue[NIC_CTRL], seg, 2);
	arena_remember();
	return hostile_settle(&nic[0].queue[NIC_CTRL], &used);
}

#define CTRL(class, cmd)    ((uint64_t)(class) | (uint64_t)(cmd) << 8)
#define CTRL16(class, cmd, value) (CTRL(class, cmd) | (uint64_t)(value) << 16)
#define GONE (RETURNED | BROKEN)
#define SAYS_NO (ERROR | BROKEN)

static const struct hostile_case cases[] = {
	{ "frame_of_0_bytes_settled", SETTLED, send_bytes, 0, 0, CASE_NOT_QEMU },
	{ "frame_of_1_byte_returned", GONE, send_bytes, 1, 0, CASE_NOT_QEMU },
	{ "frame_shorter_than_header_returned", GONE, send_bytes, 11, 0, CASE_NOT_QEMU },
	{ "header_alone_returned", GONE, send_bytes, 12, 0, CASE_NOT_QEMU },
	{ "header_and_1_byte_returned", GONE, send_bytes, 13, 0, 0 },
	{ "header_and_13_bytes_returned", GONE, send_bytes, 25, 0, 0 },
	{ "frame_that_is_writable_returned", GONE, send_bytes, 76, 1, CASE_NOT_QEMU },
	{ "frame_in_bytes_returned", RETURNED, send_in_bytes, 0, 0, 0 },
	{ "frame_with_writable_part_returned", GONE, send_then_writable, 0, 0, CASE_NOT_QEMU },
	{ "frame_of_64_kib_returned", GONE, send_large, 65536, 0, CASE_NOT_QEMU },
	{ "frame_of_64_kib_and_header_returned", GONE, send_large, 65536 + 12, 0, CASE_NOT_QEMU },
	{ "frame_of_128_kib_returned", GONE, send_large, 1 << 17, 0, CASE_NOT_QEMU },
	{ "frame_beyond_ram_returned", GONE, send_from, BEYOND_RAM, 76, CASE_NOT_QEMU },
	{ "frame_over_end_of_ram_returned", GONE, send_from, RAM_END, 76, CASE_NOT_QEMU },
	{ "frame_wrapping_returned", GONE, send_from, TOP_OF_SPACE, 76, CASE_NOT_QEMU },
	{ "frame_with_bit_63_returned", GONE, send_from, BIT_63, 76, CASE_NOT_QEMU },
	{ "frame_in_own_registers_returned", GONE, send_from, OWN_COMMON, 76, CASE_NOT_QEMU },
	{ "frame_of_4_gib_less_1_returned", GONE, send_from, BEYOND_RAM, 0xffffffff, CASE_NOT_QEMU },
	{ "data_beyond_ram_returned", GONE, header_then_from, BEYOND_RAM, 64, CASE_NOT_QEMU },
	{ "data_of_4_gib_less_1_returned", GONE, header_then_from, BIT_52, 0xffffffff, CASE_NOT_QEMU },
	{ "data_in_ecam_returned", GONE, header_then_from, ECAM, 64, CASE_NOT_QEMU },
	{ "gso_not_negotiated_returned", GONE, send_header, 0x0100, 0, CASE_NOT_QEMU },
	{ "gso_unknown_returned", GONE, send_header, 0x00000000ff00, 0, CASE_NOT_QEMU },
	{ "gso_size_0_returned", GONE, send_header, 0x0000ffff0101, 0, CASE_NOT_QEMU },
	{ "header_all_ones_returned", GONE, send_header, -1ull, -1ull, CASE_NOT_QEMU },
	{ "checksum_beyond_frame_returned", GONE, send_header, 0x01, 0xfffffffful, CASE_NOT_QEMU },
	{ "checksum_over_end_of_frame_returned", GONE, send_header, 0x01, 0x0010ffc7ul, CASE_NOT_QEMU },
	{ "header_length_beyond_frame_returned", GONE, send_header, 0xffff0000, 0, CASE_NOT_QEMU },
	{ "ring_full_of_short_frames_returned", GONE, send_ring_full, 0, 0, CASE_NOT_QEMU },
	{ "reset_in_flight_served", RETURNED, reset_in_flight, 0, 0, CASE_NOT_QEMU },

	{ "receive_into_nothing_waits", NOTHING, receive_nothing_posted, 3, 0, CASE_NOT_QEMU },
	{ "receive_into_0_bytes_harmless", ANYTHING, receive_into, 0, 1, CASE_NOT_QEMU },
	{ "receive_into_1_byte_harmless", ANYTHING, receive_into, 1, 1, CASE_NOT_QEMU },
	{ "receive_into_11_bytes_harmless", ANYTHING, receive_into, 11, 1, CASE_NOT_QEMU },
	{ "receive_into_header_alone_harmless", ANYTHING, receive_into, 12, 1, CASE_NOT_QEMU },
	{ "receive_into_too_few_bytes_harmless", ANYTHING, receive_into, 211, 1, CASE_NOT_QEMU },
	{ "receive_into_just_enough_returned", RETURNED, receive_into, 212, 1, 0 },
	{ "receive_into_readable_harmless", ANYTHING, receive_into, 300, 0, CASE_NOT_QEMU },
	{ "receive_beyond_ram_harmless", ANYTHING, receive_at, BEYOND_RAM, 2048, CASE_NOT_QEMU },
	{ "receive_over_end_of_ram_harmless", ANYTHING, receive_at, RAM_END, 2048, CASE_NOT_QEMU },
	{ "receive_wrapping_harmless", ANYTHING, receive_at, TOP_OF_SPACE, 2048, CASE_NOT_QEMU },
	{ "receive_with_bit_63_harmless", ANYTHING, receive_at, BIT_63, 300, CASE_NOT_QEMU },
	{ "receive_in_own_registers_harmless", ANYTHING, receive_at, OWN_COMMON, 2048, CASE_NOT_QEMU },
	{ "receive_of_4_gib_less_1_harmless", ANYTHING, receive_at, BEYOND_RAM, 0xffffffff, CASE_NOT_QEMU },
	{ "receive_second_part_beyond_ram_harmless", ANYTHING, receive_then_at, BEYOND_RAM, 2048, CASE_NOT_QEMU },
	{ "receive_second_part_in_own_vectors_harmless", ANYTHING, receive_then_at, OWN_MSIX, 2048, CASE_NOT_QEMU },
	{ "receive_second_part_4_gib_harmless", ANYTHING, receive_then_at, BIT_52, 0xffffffff, CASE_NOT_QEMU },
	{ "merged_into_14_of_16_bytes_harmless", ANYTHING, receive_merged, 14, 16, CASE_NOT_QEMU },
	{ "merged_into_too_few_harmless", ANYTHING, receive_merged, 3, 16, CASE_NOT_QEMU },
	{ "merged_into_1_byte_each_harmless", ANYTHING, receive_merged, 16, 1, CASE_NOT_QEMU },
	{ "merged_into_header_and_rest_harmless", ANYTHING, receive_merged, 2, 200, 0 },
	{ "reset_under_frames_served", RETURNED, queue_gone_under_frames, 0, 0, 0 },

	{ "control_of_unknown_class_refused", SAYS_NO, control, CTRL(0xff, 0), 3, 0 },
	{ "control_of_unknown_command_refused", SAYS_NO, control, CTRL(CLASS_RX, 0xff), 3, 0 },
	{ "control_header_of_1_byte_refused", SAYS_NO, control, 0, 1, CASE_NOT_QEMU },
	{ "control_without_data_refused", SAYS_NO, control, CTRL(CLASS_RX, 0), 2, CASE_NOT_QEMU },
	{ "control_with_too_much_data_settled", SETTLED, control, CTRL(CLASS_RX, 0), 8, 0 },
	{ "mac_of_5_bytes_refused", SAYS_NO, control, CTRL(CLASS_MAC, 1), 7, CASE_NOT_QEMU },
	{ "mac_of_0_bytes_refused", SAYS_NO, control, CTRL(CLASS_MAC, 1), 2, CASE_NOT_QEMU },
	{ "mac_table_all_ones_refused", SAYS_NO, mac_table, 0xffffffff, 64, 0 },
	{ "mac_table_whose_bytes_wrap_refused", SAYS_NO, mac_table, 0x2aaaaaab, 64, 0 },
	{ "mac_table_longer_than_data_refused", SAYS_NO, mac_table, 10, 20, 0 },
	{ "mac_table_without_second_refused", SAYS_NO, mac_table, 1, 12, CASE_NOT_QEMU },
	{ "mac_table_of_2_bytes_refused", SAYS_NO, mac_table, 0, 4, CASE_NOT_QEMU },
	{ "vlan_4096_refused", SAYS_NO, control, CTRL16(CLASS_VLAN, 0, 4096), 4, 0 },
	{ "vlan_all_ones_refused", SAYS_NO, control, CTRL16(CLASS_VLAN, 1, 0xffff), 4, 0 },
	{ "vlan_of_1_byte_refused", SAYS_NO, control, CTRL16(CLASS_VLAN, 0, 1), 3, CASE_NOT_QEMU },
	{ "announce_with_data_settled", SETTLED, control, CTRL(CLASS_ANNOUNCE, 0), 8, 0 },
	{ "mq_0_pairs_refused", SAYS_NO, control, CTRL16(CLASS_MQ, 0, 0), 4, 0 },
	{ "mq_0x8001_pairs_refused", SAYS_NO, control, CTRL16(CLASS_MQ, 0, 0x8001), 4, 0 },
	{ "mq_all_ones_refused", SAYS_NO, control, CTRL16(CLASS_MQ, 0, 0xffff), 4, 0 },
	{ "offloads_not_negotiated_refused", SAYS_NO, control, -1ull << 16 | CTRL(CLASS_OFFLOADS, 0), 8, 0 },
	{ "control_without_ack_returned", GONE, no_ack, 0, 3, CASE_NOT_QEMU },
	{ "ack_beyond_ram_returned", GONE, ack_at, BEYOND_RAM, 0, CASE_NOT_QEMU },
	{ "ack_in_own_registers_returned", GONE, ack_at, OWN_COMMON, 0, CASE_NOT_QEMU },
};

static const struct hostile_rig rig = { .dev = &nic[0].dev, .start = net_start, .serve = net_serve };

void test_main(void)
{
	nic_find_pair(nic);
	if (!friend_start())
		tap_bail("the friend does not start");
	HOSTILE_RUN(&rig, cases);
}
