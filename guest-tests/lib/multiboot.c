/* Saving the Multiboot information and reading the command line. Judging it is for multiboot_info.c. */
#include "lib/multiboot.h"
#include "lib/string.h"
#include "lib/tap.h"

struct info {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4];
	uint32_t mmap_length, mmap_addr;
};

struct mmap_entry {
	uint32_t size;		/* of what follows */
	uint64_t start, bytes;
	uint32_t type;
} __attribute__((packed));

struct multiboot multiboot;

static void multiboot_save_ranges(const struct info *info)
{
	uint64_t at = info->mmap_addr, end = at + info->mmap_length;

	while (at + sizeof(struct mmap_entry) <= end && multiboot.nr_ranges < MULTIBOOT_MAX_RANGES) {
		struct mmap_entry e;

		memcpy(&e, (const void *)at, sizeof(e));
		multiboot.ranges[multiboot.nr_ranges++] = (struct multiboot_range){ e.start, e.bytes, e.type };
		at += e.size + sizeof(e.size);
	}
}

static void multiboot_save_modules(const struct info *info)
{
	for (unsigned int i = 0; i < info->mods_count && i < MULTIBOOT_MAX_MODULES; i++) {
		memcpy(&multiboot.modules[i], (const void *)(info->mods_addr + 16UL * i),
		       sizeof(multiboot.modules[i]));
		multiboot.nr_modules++;
	}
}

void multiboot_save(void)
{
	struct info info;

	if (entry_state.magic != MULTIBOOT_MAGIC)
		tap_bail("entered with EAX 0x%x instead of the Multiboot magic", entry_state.magic);
	memcpy(&info, (const void *)(uint64_t)entry_state.info, sizeof(info));
	multiboot.flags = info.flags;
	multiboot.mem_lower = info.mem_lower;
	multiboot.mem_upper = info.mem_upper;
	multiboot.cmdline_address = info.cmdline;
	multiboot.modules_address = info.mods_addr;
	multiboot.mmap_address = info.mmap_addr;
	multiboot.mmap_bytes = info.mmap_length;
	if (info.flags & MULTIBOOT_HAS_CMDLINE) {
		const char *from = (const char *)(uint64_t)info.cmdline;

		for (size_t i = 0; i < MULTIBOOT_MAX_CMDLINE - 1 && from[i]; i++)
			multiboot.cmdline[i] = from[i];
	}
	if (info.flags & MULTIBOOT_HAS_MODULES)
		multiboot_save_modules(&info);
	if (info.flags & MULTIBOOT_HAS_MMAP)
		multiboot_save_ranges(&info);
}

uint32_t multiboot_type(uint64_t start, uint64_t bytes)
{
	for (unsigned int i = 0; i < multiboot.nr_ranges; i++) {
		const struct multiboot_range *r = &multiboot.ranges[i];

		if (start >= r->start && bytes <= r->bytes && start - r->start <= r->bytes - bytes)
			return r->type;
	}
	return 0;
}

bool multiboot_touches_ram(uint64_t start, uint64_t bytes)
{
	for (unsigned int i = 0; i < multiboot.nr_ranges; i++) {
		const struct multiboot_range *r = &multiboot.ranges[i];

		if (r->type == 1 && start < r->start + r->bytes && r->start < start + bytes)
			return true;
	}
	return false;
}

/* The next word after at, or NULL; a word ends at a blank or the end. */
static const char *args_next(const char *at)
{
	while (*at && *at != ' ')
		at++;
	while (*at == ' ')
		at++;
	return *at ? at : NULL;
}

bool args_has(const char *word)
{
	size_t n = strlen(word);

	for (const char *at = multiboot.cmdline; (at = args_next(at)) != NULL;)
		if (string_begins(at, word) && (!at[n] || at[n] == ' '))
			return true;
	return false;
}

static uint64_t args_parse(const char *s)
{
	unsigned int base = 10;
	uint64_t value = 0;

	if (string_begins(s, "0x")) {
		base = 16;
		s += 2;
	}
	for (; *s && *s != ' '; s++) {
		unsigned int digit = *s <= '9' ? (unsigned int)*s - '0' : ((unsigned int)*s | 0x20) - 'a' + 10;

		if (digit >= base)
			tap_bail("command line: '%c' in a number", *s);
		value = value * base + digit;
	}
	return value;
}

uint64_t args_number(const char *name, uint64_t fallback)
{
	size_t n = strlen(name);

	for (const char *at = multiboot.cmdline; (at = args_next(at)) != NULL;)
		if (string_begins(at, name) && at[n] == '=')
			return args_parse(at + n + 1);
	return fallback;
}
