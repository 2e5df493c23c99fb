/*
 * Frames of many sizes go from one network interface to the other and back, whole, by each format of ring.
 * virtio 1.2, 5.1.6. "packed" and "event" on the command line choose the ring's features.
 */
#include "lib/clock.h"
#include "lib/hostile.h"
#include "lib/nic.h"
#include "lib/string.h"
#include "lib/tap.h"

static struct nic nic[2];
static uint8_t out[2048], in[2048];

static bool pass(struct nic *from, struct nic *to, uint32_t frame_bytes, uint8_t seed)
{
	uint32_t bytes = NIC_HEADER_BYTES + frame_bytes;

	memset(out, 0, NIC_HEADER_BYTES);
	for (unsigned int i = NIC_HEADER_BYTES; i < bytes; i++)
		out[i] = (uint8_t)(i * 7 + seed);
	memset(out + NIC_HEADER_BYTES, 0xff, 6);	/* to all */
	memset(in, 0, bytes);
	nic_post(to, in, sizeof(in));
	return nic_send(from, out, bytes) && nic_receive(to, CLOCK_MS(2000)) == bytes &&
	       !memcmp(in + NIC_HEADER_BYTES, out + NIC_HEADER_BYTES, frame_bytes);
}

void test_main(void)
{
	static const uint32_t sizes[] = { 60, 61, 64, 128, 511, 512, 1000, 1514 };
	bool there = true, back = true;

	nic_find_pair(nic);
	for (unsigned int i = 0; i < 2; i++)
		tap_check(nic_start(&nic[i], hostile_features()), "interface %u is set up", i);
	for (unsigned int round = 0; round < 3; round++) {
		for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			there = there && pass(&nic[0], &nic[1], sizes[i], (uint8_t)i);
			back = back && pass(&nic[1], &nic[0], sizes[i], (uint8_t)(i + 77));
		}
	}
	tap_check(there, "24 frames went there");
	tap_check(back, "and 24 back");
	tap_check(virtio_reset(&nic[0].dev) && virtio_reset(&nic[1].dev), "both reset");
}
