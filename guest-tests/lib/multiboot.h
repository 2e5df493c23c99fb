/*
 * What the boot loader handed over (Multiboot 0.6.96, section 3.3), saved before anything else can
 * overwrite it, and the words of the command line. Addresses the loader used are kept as well.
 */
#ifndef GUEST_MULTIBOOT_H
#define GUEST_MULTIBOOT_H

#include <stdbool.h>
#include <stdint.h>

#define MULTIBOOT_MAGIC        0x2badb002u
#define MULTIBOOT_MAX_RANGES   64
#define MULTIBOOT_MAX_MODULES  4
#define MULTIBOOT_MAX_CMDLINE  512

enum {
	MULTIBOOT_HAS_MEMORY = 1 << 0,
	MULTIBOOT_HAS_CMDLINE = 1 << 2,
	MULTIBOOT_HAS_MODULES = 1 << 3,
	MULTIBOOT_HAS_MMAP = 1 << 6,
};

/* start.S fills this in; the layout is known there. */
struct entry_state {
	uint32_t magic, info;
	uint32_t eflags, cr0;
	uint16_t cs, ds, es, ss;
};
extern struct entry_state entry_state;

struct multiboot_range {
	uint64_t start, bytes;
	uint32_t type;		/* 1 RAM, 2 reserved, 3 ACPI reclaimable, 4 ACPI NVS, 5 defective */
};

struct multiboot_module {
	uint32_t start, end;
	uint32_t text;		/* physical address of its string */
};

struct multiboot {
	uint32_t flags, mem_lower, mem_upper;
	uint32_t cmdline_address, mmap_address, mmap_bytes, modules_address;
	unsigned int nr_ranges, nr_modules;
	struct multiboot_range ranges[MULTIBOOT_MAX_RANGES];
	struct multiboot_module modules[MULTIBOOT_MAX_MODULES];
	char cmdline[MULTIBOOT_MAX_CMDLINE];
};
extern struct multiboot multiboot;

/* Copy the loader's information into multiboot. Bails out if EAX was not the magic number. */
void multiboot_save(void);
/* The type of the range which holds all of [start, start + bytes), or 0 if no single one does. */
uint32_t multiboot_type(uint64_t start, uint64_t bytes);
/* True if any byte of [start, start + bytes) is RAM (type 1) according to the map. */
bool multiboot_touches_ram(uint64_t start, uint64_t bytes);
/* True if the command line has this exact word after the program's name. */
bool args_has(const char *word);
/* The value of name=NUMBER (decimal or 0x hex) on the command line, or fallback without it. */
uint64_t args_number(const char *name, uint64_t fallback);

#endif
