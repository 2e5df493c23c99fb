/* The one task state segment, its descriptor, and the way back. The stack for traps is the caller's own. */
#include "lib/user.h"
#include "lib/limits.h"
#include "lib/tap.h"
#include "lib/trap.h"

/* SDM vol. 3A, 8.7, figure 8-11. */
struct tss {
	uint32_t reserved0;
	uint64_t rsp0, rsp1, rsp2;
	uint64_t reserved1, ist[7], reserved2;
	uint16_t reserved3, io_map; /* io_map: past the limit, so no port is open to ring 3 */
} __attribute__((packed));
_Static_assert(sizeof(struct tss) == 104, "SDM vol. 3A, figure 8-11");

extern uint64_t gdt[];
extern const char user_end[], user_return[];
uint64_t user_enter(uint64_t (*function)(void *data), void *data, uint8_t *stack, void *rsp0);

static struct tss tss;

/* #UD: go on in user_enter(), in ring 0, on the stack as it was there; RAX is the function's. */
static void user_left(struct trap_frame *frame)
{
	if (frame->rip != (uint64_t)user_end)
		tap_bail("unexpected #UD: rip 0x%lx cs 0x%lx", frame->rip, frame->cs);
	frame->rip = (uint64_t)user_return;
	frame->cs = 0x08;
	frame->rflags = 2;
	frame->rsp = tss.rsp0;
	frame->ss = 0x10;
}

static void user_init(void)
{
	uint64_t base = (uint64_t)&tss, limit = sizeof(tss) - 1;

	tss.io_map = sizeof(tss);
	/* SDM vol. 3A, 8.2.3, figure 8-4: present, DPL 0, 64-bit TSS, available. */
	gdt[USER_TSS / 8] = limit | (base & 0xffffff) << 16 | 0x89ULL << 40 | (base >> 24 & 0xff) << 56;
	gdt[USER_TSS / 8 + 1] = base >> 32;
	__asm__ volatile("ltr %w0" : : "r"(USER_TSS) : "memory");
	trap_set_handler(6, user_left);
}

uint64_t user_run(uint64_t (*function)(void *data), void *data)
{
	static uint8_t stack[4096] __attribute__((aligned(16)));

	if (!tss.io_map)
		user_init();
	return user_enter(function, data, stack + sizeof(stack), &tss.rsp0);
}
