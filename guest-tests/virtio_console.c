/*
 * A console says which ports it has, and takes output of one. virtio 1.2, 5.3.6.2. Port 0 is a console, port 1
 * has the name org.trellis.test. What comes out is not looked at here, and nothing comes in.
 */
#include "lib/clock.h"
#include "lib/hostile.h"
#include "lib/string.h"
#include "lib/tap.h"

enum { RX0, TX0, CONTROL_RX, CONTROL_TX, RX1, TX1, NR_QUEUES };
enum { DEVICE_READY, DEVICE_ADD, DEVICE_REMOVE, PORT_READY, CONSOLE_PORT, RESIZE, PORT_OPEN, PORT_NAME };
enum { ROOM = 64, NR_ANSWERS = 8 };

static struct virtio console;
static struct virtq queue[NR_QUEUES];
static uint8_t answers[NR_ANSWERS][ROOM];
static bool added[2], is_console, named;

static bool send(unsigned int q, const void *at, uint32_t bytes)
{
	const struct virtq_seg seg = { (uint64_t)at, bytes, false };
	uint32_t used;
	uint16_t id;

	virtq_add(&queue[q], &seg, 1);
	virtq_kick(&queue[q]);
	return virtq_wait(&queue[q], &id, &used, CLOCK_MS(2000));
}

static bool say(uint32_t port, uint16_t event, uint16_t value)
{
	struct {
		uint32_t port;
		uint16_t event, value;
	} message = { port, event, value };

	return send(CONTROL_TX, &message, sizeof(message));
}

/* Buffers are used in the order in which they were given: both VMMs do, and a driver that wants to know looks at
 * the id. Here the ids are only counted. */
static void listen(uint64_t ticks)
{
	static unsigned int nr;
	uint32_t bytes;
	uint16_t id;

	while (virtq_wait(&queue[CONTROL_RX], &id, &bytes, ticks)) {
		const uint8_t *a = answers[nr++ % NR_ANSWERS];
		struct virtq_seg seg = { (uint64_t)a, ROOM, true };
		unsigned int port = a[0], event = a[4];

		if (bytes < 8 || port > 1)
			tap_bail("a message of %u bytes for port %u", bytes, port);
		added[port] |= event == DEVICE_ADD;
		is_console |= event == CONSOLE_PORT && port == 0;
		named |= event == PORT_NAME && port == 1 && !memcmp(a + 8, "org.trellis.test", 16);
		virtq_add(&queue[CONTROL_RX], &seg, 1);
		virtq_kick(&queue[CONTROL_RX]);
	}
}

void test_main(void)
{
	virtio_find(&console, VIRTIO_CONSOLE, 0);
	if (!virtio_negotiate(&console, hostile_features() | VIRTIO_BIT(1)))
		tap_bail("the features do not stick");
	for (unsigned int i = 0; i < NR_QUEUES; i++)
		if (!virtq_setup(&queue[i], &console, (uint16_t)i, 16))
			tap_bail("there is no queue %u", i);
	virtio_driver_ok(&console);
	for (unsigned int i = 0; i < NR_ANSWERS; i++) {
		struct virtq_seg seg = { (uint64_t)answers[i], ROOM, true };

		virtq_add(&queue[CONTROL_RX], &seg, 1);
	}
	virtq_kick(&queue[CONTROL_RX]);
	tap_check(say(0, DEVICE_READY, 1), "the driver is ready");
	listen(CLOCK_MS(500));
	tap_check(added[0] && added[1], "both ports are announced");
	say(0, PORT_READY, 1);
	say(1, PORT_READY, 1);
	listen(CLOCK_MS(500));
	tap_check(is_console, "port 0 is a console");
	tap_check(named, "port 1 has its name");
	say(0, PORT_OPEN, 1);
	tap_check(send(TX0, "hello\n", 6), "port 0 takes output");
	tap_check(virtio_reset(&console), "and it resets");
}
