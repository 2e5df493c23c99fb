/* Parts of the Multiboot memory map from the image's end on. */
#include "lib/ram.h"
#include "lib/multiboot.h"
#include "lib/paging.h"
#include "lib/tap.h"

extern const char image_end[];

static void ram_map(const struct ram_part *part)
{
	static bool told;

	if (args_has("1g") && paging_map_1g(part->start, part->bytes))
		return;
	if (args_has("1g") && !told)
		tap_note("this CPU has no pages of 1 GiB: 2 MiB instead");
	told = true;
	paging_map(part->start, part->bytes);
}

bool ram_part(unsigned int n, struct ram_part *part)
{
	for (unsigned int i = 0; i < multiboot.nr_ranges; i++) {
		const struct multiboot_range *r = &multiboot.ranges[i];
		uint64_t start = r->start, end = (r->start + r->bytes) & ~0xfffULL;

		if (start < (uint64_t)image_end)
			start = (uint64_t)image_end;
		start = (start + 0xfff) & ~0xfffULL;
		if (r->type != 1 || start >= end || n--)
			continue;
		*part = (struct ram_part){ start, end - start };
		ram_map(part);
		return true;
	}
	return false;
}
