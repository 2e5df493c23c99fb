/* Canaries, places, and the run of hostile cases. Knows no device. */
#include "lib/hostile.h"
#include "lib/acpi.h"
#include "lib/clock.h"
#include "lib/multiboot.h"
#include "lib/string.h"
#include "lib/tap.h"

#define CANARY  0xc5
#define ALLOWED 8

struct allowed {
	const uint8_t *at;
	uint32_t bytes;
};

uint8_t arena[ARENA_BYTES] __attribute__((aligned(4096)));
static uint64_t remembered[ARENA_BYTES / 8];
static struct allowed allowed[ALLOWED];
static unsigned int nr_allowed;

/* ---- memory ---- */

void arena_reset(void)
{
	memset(arena, CANARY, sizeof(arena));
	nr_allowed = 0;
	arena_remember();
}

void arena_allow(const void *at, uint32_t bytes)
{
	if (nr_allowed == ALLOWED)
		tap_bail("a case allows more than %d ranges", ALLOWED);
	allowed[nr_allowed++] = (struct allowed){ at, bytes };
}

void arena_remember(void)
{
	memcpy(remembered, arena, sizeof(arena));
}

static bool is_allowed(const uint8_t *at)
{
	for (unsigned int i = 0; i < nr_allowed; i++)
		if (at >= allowed[i].at && at < allowed[i].at + allowed[i].bytes)
			return true;
	return false;
}

bool arena_intact(void)
{
	const uint8_t *was = (const uint8_t *)remembered;

	for (unsigned int i = 0; i < ARENA_BYTES / 8; i++) {
		if (((volatile uint64_t *)arena)[i] == remembered[i])
			continue;
		for (unsigned int k = 8 * i; k < 8 * i + 8; k++) {
			if (arena[k] != was[k] && !is_allowed(arena + k)) {
				tap_note("byte 0x%x of the memory around the request was written", k);
				return false;
			}
		}
	}
	return true;
}

/* ---- places ---- */

static uint64_t ram_end(void)
{
	uint64_t end = 0;

	for (unsigned int i = 0; i < multiboot.nr_ranges; i++) {
		uint64_t to = multiboot.ranges[i].start + multiboot.ranges[i].bytes;

		if (to > end && to <= 0x40000000)	/* the tests' machines have no more below 4 GiB */
			end = to;
	}
	return end;
}

uint64_t hostile_place(const struct virtio *v, enum hostile_place place)
{
	uint64_t here = (uint64_t)arena + ARENA_BYTES / 2;

	switch (place) {
	case BEYOND_RAM:
		return 0x50000000;
	case RAM_END:
		return ram_end() - 8;
	case OWN_COMMON:
		return v->common;
	case OWN_NOTIFY:
		return v->notify;
	case OWN_MSIX:
		return v->table;
	case LAPIC_PAGE:
		return 0xfee00000;
	case ECAM:
		return acpi_ecam_base();
	case TOP_OF_SPACE:
		return -8ull;
	case BIT_63:
		return 1ull << 63 | here;
	case BIT_52:
		return 1ull << 52 | here;
	case BIT_32:
		return 1ull << 32 | here;
	}
	return 0;
}

uint64_t hostile_features(void)
{
	return VIRTIO_F_INDIRECT | (args_has("packed") ? VIRTIO_F_PACKED : 0) |
	       (args_has("event") ? VIRTIO_F_EVENT_IDX : 0);
}

/* ---- running ---- */

unsigned int hostile_poll(struct virtq *q, uint32_t *bytes, uint64_t ticks)
{
	uint64_t end = clock_ticks() + ticks;
	uint16_t id;

	for (;;) {
		bool late = clock_ticks() >= end;

		if (virtq_wait(q, &id, bytes, 0))
			return RETURNED;
		if (virtio_status(q->dev) & VIRTIO_NEEDS_RESET)
			return BROKEN;
		if (late)
			return NOTHING;
	}
}

unsigned int hostile_settle(struct virtq *q, uint32_t *bytes)
{
	virtq_kick(q);
	return hostile_poll(q, bytes, CLOCK_MS(2000));
}

static const char *why_not(const struct hostile_rig *rig, const struct hostile_case *c, unsigned int came)
{
	unsigned int want = c->want;

	/* QEMU takes what lies nowhere for memory that reads 0 and forgets, and who may say that it is wrong? */
	if (want == REFUSED && args_has("qemu"))
		want |= SERVED;
	if (!(came & want))
		return "what came of it is wrong";
	if (!arena_intact())
		return "memory was written that the request does not allow";
	arena_reset();
	if (!rig->start())
		return "the device does not come back from a reset";
	if (!rig->serve())
		return "the device does not serve a correct request after a reset";
	return NULL;
}

static void run_case(const struct hostile_rig *rig, const struct hostile_case *c, const char *format)
{
	unsigned int came;
	const char *why;

	arena_reset();
	came = c->run(c->a, c->b);
	why = why_not(rig, c, came);
	tap_check(!why, "%s: %s", format, c->name);
	if (!why)
		return;
	tap_note("  %s; seen 0x%x, wanted one of 0x%x", why, came, c->want);
	arena_reset();
	virtio_plug(rig->dev);
	if (!rig->start() || !rig->serve())
		tap_bail("%s: the device stays dead", c->name);
}

void hostile_run(const struct hostile_rig *rig, const struct hostile_case *c, unsigned int nr)
{
	bool packed = args_has("packed"), qemu = args_has("qemu");

	if (packed && !(rig->dev->offered & VIRTIO_F_PACKED))
		tap_skip_all("the device has no packed rings");
	arena_reset();
	if (!rig->start() || !rig->serve())
		tap_bail("the device does not even serve a friendly driver");
	for (unsigned int i = 0; i < nr; i++) {
		unsigned int formats = c[i].flags & (CASE_SPLIT | CASE_PACKED);

		if (formats && !(formats & (packed ? CASE_PACKED : CASE_SPLIT)))
			continue;
		if (qemu && packed && (c[i].want & BROKEN) && c[i].want != ANYTHING)
			tap_skip("%s: QEMU 7.2 spins on a broken packed ring", c[i].name);
		else if (qemu && (c[i].flags & CASE_NOT_QEMU))
			tap_skip("%s: not for QEMU", c[i].name);
		else
			run_case(rig, &c[i], packed ? "packed" : "split");
	}
}
