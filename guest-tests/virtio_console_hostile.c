/*
 * A console with ports against a driver that talks nonsense to its control queue, about ports that do not
 * exist, before it is ready and without buffers for the answers; and buffers of ports that lie nowhere.
 *
 * virtio 1.2, 5.3. Port 0 is a console, port 1 has a name. Whatever is said, the control queue's buffers come
 * back, and the port's output goes on after a reset.
 */
#include "lib/clock.h"
#include "lib/cpu.h"
#include "lib/hostile.h"
#include "lib/string.h"
#include "lib/tap.h"

#define MESSAGE (arena + 0x100)
#define ANSWER  (arena + 0x400)
#define TEXT    (arena + 0x800)

enum { RX0, TX0, CONTROL_RX, CONTROL_TX, RX1, TX1, NR_QUEUES };
enum { F_SIZE = 0, F_MULTIPORT = 1, F_EMERG_WRITE = 2 };
enum { DEVICE_READY, DEVICE_ADD, DEVICE_REMOVE, PORT_READY, CONSOLE_PORT, RESIZE, PORT_OPEN, PORT_NAME };

static struct virtio console;
static struct virtq queue[NR_QUEUES];

static bool console_start(void)
{
	if (!virtio_negotiate(&console, hostile_features() | VIRTIO_BIT(F_MULTIPORT) | VIRTIO_BIT(F_SIZE)))
		return false;
	for (unsigned int i = 0; i < NR_QUEUES; i++)
		if (!virtq_setup(&queue[i], &console, (uint16_t)i, 16))
			return false;
	virtio_driver_ok(&console);
	return true;
}

static unsigned int submit(unsigned int q, uint64_t at, uint64_t bytes, bool write)
{
	const struct virtq_seg seg = { at, (uint32_t)bytes, write };
	uint32_t used;

	virtq_add(&queue[q], &seg, 1);
	arena_remember();
	return hostile_settle(&queue[q], &used);
}

static bool console_serve(void)
{
	memset(TEXT, '.', 16);
	return submit(TX0, (uint64_t)TEXT, 16, false) == RETURNED && arena_intact();
}

/* ---- control messages ---- */

static unsigned int say(uint32_t port, uint16_t event, uint16_t value)
{
	memcpy(MESSAGE, &port, 4);
	memcpy(MESSAGE + 4, &event, 2);
	memcpy(MESSAGE + 6, &value, 2);
	return submit(CONTROL_TX, (uint64_t)MESSAGE, 8, false);
}

static unsigned int message(uint64_t port, uint64_t event_value)
{
	return say((uint32_t)port, (uint16_t)event_value, (uint16_t)(event_value >> 16));
}

static unsigned int message_bytes(uint64_t bytes, uint64_t byte)
{
	memset(MESSAGE, (int)byte, bytes < 512 ? bytes : 512);
	return submit(CONTROL_TX, (uint64_t)MESSAGE, bytes, false);
}

static unsigned int message_at(uint64_t place, uint64_t bytes)
{
	return submit(CONTROL_TX, hostile_place(&console, (enum hostile_place)place), bytes, false);
}

static unsigned int message_writable(uint64_t a, uint64_t b)
{
	(void)a, (void)b;
	arena_allow(MESSAGE, 8);
	return submit(CONTROL_TX, (uint64_t)MESSAGE, 8, true);
}

/* A flood of questions, and nowhere to answer. */
static unsigned int flood(uint64_t event_value, uint64_t nr)
{
	unsigned int came = NOTHING;

	for (unsigned int i = 0; i < nr; i++) {
		came = say(i % 2, (uint16_t)event_value, (uint16_t)(event_value >> 16));
		if (came != RETURNED)
			break;
	}
	return came;
}

/* Answers into buffers that are too small, may not be written, or lie nowhere. */
static unsigned int answer(const struct virtq_seg *seg)
{
	uint32_t used;

	for (unsigned int i = 0; i < 4; i++)
		virtq_add(&queue[CONTROL_RX], seg, 1);
	arena_remember();
	virtq_kick(&queue[CONTROL_RX]);
	if (say(0, DEVICE_READY, 1) != RETURNED)
		return WRONG;
	return hostile_poll(&queue[CONTROL_RX], &used, CLOCK_MS(10));
}

static unsigned int answer_into(uint64_t bytes, uint64_t write)
{
	const struct virtq_seg seg = { (uint64_t)ANSWER, (uint32_t)bytes, write };

	if (write)
		arena_allow(ANSWER, (uint32_t)bytes);
	return answer(&seg);
}

static unsigned int answer_at(uint64_t place, uint64_t bytes)
{
	const struct virtq_seg seg = { hostile_place(&console, (enum hostile_place)place), (uint32_t)bytes, true };

	return answer(&seg);
}

static unsigned int ready_storm(uint64_t nr, uint64_t b)
{
	const struct virtq_seg seg = { (uint64_t)ANSWER, 64, true };
	uint32_t used;

	(void)b;
	arena_allow(ANSWER, 64);
	for (unsigned int i = 0; i < nr; i++) {
		virtq_add(&queue[CONTROL_RX], &seg, 1);
		virtq_kick(&queue[CONTROL_RX]);
		if (say(0, DEVICE_READY, 1) != RETURNED)
			return WRONG;
		say(1, PORT_READY, 1);
		hostile_poll(&queue[CONTROL_RX], &used, CLOCK_US(200));
	}
	return NOTHING;
}

/* ---- ports ---- */

static unsigned int output_at(uint64_t place, uint64_t bytes)
{
	return submit(TX0, hostile_place(&console, (enum hostile_place)place), bytes, false);
}

static unsigned int output_of(uint64_t bytes, uint64_t write)
{
	if (write)
		arena_allow(TEXT, (uint32_t)bytes);
	memset(TEXT, '-', bytes < 256 ? bytes : 256);
	return submit(TX0, (uint64_t)TEXT, bytes, write);
}

static unsigned int output_of_closed_port(uint64_t bytes, uint64_t b)
{
	const struct virtq_seg seg = { (uint64_t)TEXT, (uint32_t)bytes, false };
	uint32_t used;

	(void)b;
	memset(TEXT, '1', bytes);
	virtq_add(&queue[TX1], &seg, 1);
	arena_remember();
	virtq_kick(&queue[TX1]);
	return hostile_poll(&queue[TX1], &used, CLOCK_MS(10));
}

static unsigned int input(uint64_t place, uint64_t bytes)
{
	const struct virtq_seg seg = { place ? hostile_place(&console, (enum hostile_place)(place - 1)) : (uint64_t)ANSWER,
				       (uint32_t)bytes, true };
	uint32_t used;

	if (!place)
		arena_allow(ANSWER, (uint32_t)bytes);
	virtq_add(&queue[RX0], &seg, 1);
	arena_remember();
	virtq_kick(&queue[RX0]);
	return hostile_poll(&queue[RX0], &used, CLOCK_MS(3));
}

static unsigned int config(uint64_t at, uint64_t bytes)
{
	uint64_t a = console.config + at;

	if (bytes == 2)
		cpu_write16(a, 0x2121);
	else
		cpu_write32(a, 0x21212121);
	return NOTHING;
}

static unsigned int reset_in_flight(uint64_t a, uint64_t b)
{
	const struct virtq_seg seg = { (uint64_t)TEXT, 200, false };

	(void)a, (void)b;
	memset(TEXT, '+', 200);
	arena_remember();
	for (unsigned int i = 0; i < 8; i++) {
		virtq_add(&queue[TX0], &seg, 1);
		virtq_kick(&queue[TX0]);
		if (!console_start())
			return WRONG;
	}
	return RETURNED;
}

#define SAY(event, value) ((uint64_t)(event) | (uint64_t)(value) << 16)

static const struct hostile_case cases[] = {
	{ "ready_of_port_2_returned", RETURNED, message, 2, SAY(PORT_READY, 1), 0 },
	{ "ready_of_port_all_ones_returned", RETURNED, message, 0xffffffff, SAY(PORT_READY, 1), 0 },
	{ "open_of_port_31_returned", RETURNED, message, 31, SAY(PORT_OPEN, 1), 0 },
	{ "open_of_port_0x80000000_returned", RETURNED, message, 0x80000000, SAY(PORT_OPEN, 1), 0 },
	{ "unknown_event_returned", RETURNED, message, 0, SAY(0x1234, 1), 0 },
	{ "event_all_ones_returned", RETURNED, message, 0, SAY(0xffff, 0xffff), 0 },
	{ "events_of_the_device_returned", RETURNED, message, 0, SAY(DEVICE_ADD, 1), 0 },
	{ "remove_by_driver_returned", RETURNED, message, 0, SAY(DEVICE_REMOVE, 1), 0 },
	{ "resize_by_driver_returned", RETURNED, message, 0, SAY(RESIZE, 1), 0 },
	{ "name_by_driver_returned", RETURNED, message, 1, SAY(PORT_NAME, 1), 0 },
	{ "not_ready_returned", RETURNED, message, 0, SAY(DEVICE_READY, 0), 0 },
	{ "port_not_ready_returned", RETURNED, message, 1, SAY(PORT_READY, 0), 0 },
	{ "port_ready_before_device_returned", RETURNED, message, 1, SAY(PORT_READY, 1), 0 },
	{ "port_open_before_ready_returned", RETURNED, message, 1, SAY(PORT_OPEN, 0xffff), 0 },
	{ "message_of_0_bytes_settled", SETTLED, message_bytes, 0, 0, 0 },
	{ "message_of_1_byte_returned", RETURNED, message_bytes, 1, 0xff, 0 },
	{ "message_of_7_bytes_returned", RETURNED, message_bytes, 7, 0, 0 },
	{ "message_of_512_bytes_returned", RETURNED, message_bytes, 512, 0xff, 0 },
	{ "message_writable_returned", RETURNED | BROKEN, message_writable, 0, 0, 0 },
	{ "message_beyond_ram_returned", RETURNED | BROKEN, message_at, BEYOND_RAM, 8, CASE_NOT_QEMU },
	{ "message_over_end_of_ram_returned", RETURNED | BROKEN, message_at, RAM_END, 16, CASE_NOT_QEMU },
	{ "message_in_own_registers_returned", RETURNED | BROKEN, message_at, OWN_COMMON, 8, CASE_NOT_QEMU },
	{ "message_of_4_gib_less_1_returned", RETURNED | BROKEN, message_at, BEYOND_RAM, 0xffffffff, CASE_NOT_QEMU },
	{ "flood_of_ready_without_buffers_returned", RETURNED, flood, SAY(DEVICE_READY, 1), 40, 0 },
	{ "flood_of_port_ready_without_buffers_returned", RETURNED, flood, SAY(PORT_READY, 1), 40, 0 },
	{ "flood_of_open_and_unknown_returned", RETURNED, flood, SAY(PORT_OPEN, 1), 40, 0 },
	{ "ready_storm_with_buffers_harmless", NOTHING, ready_storm, 12, 0, 0 },
	{ "answer_into_1_byte_harmless", ANYTHING, answer_into, 1, 1, 0 },
	{ "answer_into_7_bytes_harmless", ANYTHING, answer_into, 7, 1, 0 },
	{ "answer_into_readable_harmless", ANYTHING, answer_into, 64, 0, CASE_NOT_QEMU },
	{ "answer_beyond_ram_harmless", ANYTHING, answer_at, BEYOND_RAM, 64, CASE_NOT_QEMU },
	{ "answer_wrapping_harmless", ANYTHING, answer_at, TOP_OF_SPACE, 64, CASE_NOT_QEMU },
	{ "answer_in_own_registers_harmless", ANYTHING, answer_at, OWN_COMMON, 64, CASE_NOT_QEMU },
	{ "answer_of_4_gib_less_1_harmless", ANYTHING, answer_at, BIT_52, 0xffffffff, CASE_NOT_QEMU },
	{ "output_beyond_ram_settled", SETTLED, output_at, BEYOND_RAM, 64, CASE_NOT_QEMU },
	{ "output_over_end_of_ram_settled", SETTLED, output_at, RAM_END, 64, CASE_NOT_QEMU },
	{ "output_in_own_registers_settled", SETTLED, output_at, OWN_COMMON, 64, CASE_NOT_QEMU },
	{ "output_of_4_gib_less_1_settled", SETTLED, output_at, BEYOND_RAM, 0xffffffff, CASE_NOT_QEMU },
	{ "output_of_0_bytes_settled", SETTLED, output_of, 0, 0, 0 },
	{ "output_writable_settled", SETTLED, output_of, 64, 1, 0 },
	{ "output_of_closed_port_harmless", ANYTHING, output_of_closed_port, 100, 0, 0 },
	{ "input_of_0_bytes_harmless", ANYTHING, input, 0, 0, 0 },
	{ "input_beyond_ram_harmless", ANYTHING, input, 1 + BEYOND_RAM, 64, CASE_NOT_QEMU },
	{ "input_of_4_gib_less_1_harmless", ANYTHING, input, 1 + TOP_OF_SPACE, 0xffffffff, CASE_NOT_QEMU },
	{ "emergency_write_harmless", NOTHING, config, 8, 4, 0 },
	{ "config_written_harmless", NOTHING, config, 0, 4, 0 },
	{ "config_behind_its_end_harmless", NOTHING, config, 12, 2, 0 },
	{ "reset_in_flight_served", RETURNED, reset_in_flight, 0, 0, 0 },
};

static const struct hostile_rig rig = { .dev = &console, .start = console_start, .serve = console_serve };

void test_main(void)
{
	virtio_find(&console, VIRTIO_CONSOLE, 0);
	HOSTILE_RUN(&rig, cases);
}
