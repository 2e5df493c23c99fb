/*
 * RAM above 4 GiB: the map shows it, every GiB of it holds data, and it is not the low memory again.
 *
 * Touches a few words at the start, the end and each GiB boundary; it is not a memory tester.
 * Command line: high-bytes=N, how much there must be in all above 4 GiB (optional).
 */
#include "lib/cpu.h"
#include "lib/multiboot.h"
#include "lib/paging.h"
#include "lib/tap.h"

#define GIB 0x40000000ULL

/* An address below 1 MiB which is RAM, outside image and loader's data, to compare with its 4 GiB alias. */
#define LOW 0x70000

static unsigned int nr_points, nr_bad;

static uint64_t memory_pattern(uint64_t address)
{
	return ~address ^ 0x5aa5000000000000ULL;
}

/* Call visit for the points of a range: first and last 8 bytes, and each GiB boundary inside. */
static void memory_for_points(const struct multiboot_range *r, void (*visit)(uint64_t address))
{
	uint64_t end = r->start + r->bytes;

	visit(r->start);
	for (uint64_t at = (r->start | (GIB - 1)) + 1; at + 8 < end; at += GIB) {
		visit(at);
		visit(at - 8);
	}
	visit(end - 8);
}

static void memory_write(uint64_t address)
{
	paging_map(address, 8);
	cpu_write64(address, memory_pattern(address));
	nr_points++;
}

static void memory_verify(uint64_t address)
{
	nr_bad += cpu_read64(address) != memory_pattern(address);
}

void test_main(void)
{
	uint64_t high = 0;

	cpu_write64(LOW, 0x10adc0de);
	for (unsigned int i = 0; i < multiboot.nr_ranges; i++) {
		const struct multiboot_range *r = &multiboot.ranges[i];

		if (r->type != 1 || r->start < 4 * GIB)
			continue;
		tap_note("RAM 0x%lx to 0x%lx", r->start, r->start + r->bytes - 1);
		high += r->bytes;
		memory_for_points(r, memory_write);
	}
	if (!tap_check(high, "the memory map has RAM above 4 GiB"))
		tap_bail("run it with more memory");
	tap_equal(high, args_number("high-bytes", high), "as much as expected");
	tap_equal(multiboot_type(4 * GIB, 0x200000), 1, "it begins at 4 GiB");
	for (unsigned int i = 0; i < multiboot.nr_ranges; i++)
		if (multiboot.ranges[i].type == 1 && multiboot.ranges[i].start >= 4 * GIB)
			memory_for_points(&multiboot.ranges[i], memory_verify);
	tap_equal(nr_bad, 0, "%u words hold their patterns", nr_points);
	paging_map(4 * GIB + LOW, 8);
	tap_equal(cpu_read64(LOW), 0x10adc0de, "low memory is untouched");
	cpu_write64(4 * GIB + LOW, 0xfeed);
	tap_equal(cpu_read64(LOW), 0x10adc0de, "4 GiB + 0x%x is not 0x%x", LOW, LOW);
}
