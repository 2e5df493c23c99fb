/* IDT and dispatch (SDM vol. 3A, 6.14). No IST: what runs in ring 0 stays on its CPU's stack. */
#include "lib/trap.h"
#include "lib/cpu.h"
#include "lib/smp.h"
#include "lib/tap.h"

struct gate {
	uint16_t offset_low, selector;
	uint8_t ist, type;
	uint16_t offset_middle;
	uint32_t offset_high, zero;
};
_Static_assert(sizeof(struct gate) == 16, "SDM vol. 3A, figure 6-8");

extern char vector_entries[];

static struct gate idt[256] __attribute__((aligned(16)));
static trap_handler *handlers[256];

void trap_load(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) pointer = { sizeof(idt) - 1, (uint64_t)idt };

	__asm__ volatile("lidt %0" : : "m"(pointer));
}

void trap_init(void)
{
	for (unsigned int i = 0; i < 256; i++) {
		uint64_t entry = (uint64_t)vector_entries + 16UL * i;

		idt[i] = (struct gate){
			.offset_low = (uint16_t)entry,
			.selector = 0x08,
			.type = 0x8e,	/* present, DPL 0, interrupt gate */
			.offset_middle = (uint16_t)(entry >> 16),
			.offset_high = (uint32_t)(entry >> 32),
		};
	}
	trap_load();
}

void trap_set_handler(uint8_t vector, trap_handler *handler)
{
	handlers[vector] = handler;
}

static const char *trap_name(uint64_t vector)
{
	static const char *const names[] = {
		"#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "?", "#TS", "#NP", "#SS", "#GP",
		"#PF", "?", "#MF", "#AC", "#MC", "#XM",
	};

	return vector < sizeof(names) / sizeof(names[0]) ? names[vector] : "interrupt";
}

void trap_dispatch(struct trap_frame *f)
{
	if (handlers[f->vector & 0xff]) {
		handlers[f->vector & 0xff](f);
		return;
	}
	tap_bail("unexpected %s: vector %lu error 0x%lx rip 0x%lx rsp 0x%lx cr2 0x%lx on CPU %u",
		 trap_name(f->vector), f->vector, f->error_code, f->rip, f->rsp, cpu_read_cr2(), smp_this_cpu());
}
