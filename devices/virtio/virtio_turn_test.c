/*
 * Unit tests of virtio_turn.c. The driver's half is played by page faults: each time the device looks at the
 * available index, it finds another one. What turns do to real devices is in their tests.
 */
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "devices/virtio/virtio_turn.h"

enum { RAM = 0x4000, DESC = 0, AVAIL = 0x1000, USED = 0x2000, TRAP_FLAG = 0x100 };

static uint8_t *ram;
static unsigned int looks;
static struct gmem mem;
static struct virtio_queue queue;
static struct virtio_dev dev;

/* The device is about to look: even times it finds nothing, odd times a buffer. Then one step, and trapped again. */
static void on_look(int sig, siginfo_t *info, void *ctx)
{
	ucontext_t *uc = ctx;

	(void)sig;
	(void)info;
	mprotect(ram + AVAIL, 0x1000, PROT_READ | PROT_WRITE);
	put_le16(ram + AVAIL + 2, looks++ & 1);
	uc->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
}

static void on_step(int sig, siginfo_t *info, void *ctx)
{
	ucontext_t *uc = ctx;

	(void)sig;
	(void)info;
	mprotect(ram + AVAIL, 0x1000, PROT_NONE);
	uc->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
}

static void never_fails(void *ctx, struct virtq *q, const char *why)
{
	(void)ctx;
	(void)q;
	ck_abort_msg("%s", why);
}

static void no_interrupt(void *ctx, struct virtq *q)
{
	(void)ctx;
	(void)q;
}

static bool give_back(struct virtio_dev *d, unsigned int q, struct chain *c)
{
	(void)d;
	(void)q;
	chain_complete(c, 0);
	return true;
}

static void setup(void)
{
	const struct virtq_setup rings = { .desc = DESC, .driver = AVAIL, .device = USED, .size = 8 };

	ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(ram, MAP_FAILED);
	mem = (struct gmem){ 0 };
	ck_assert_int_eq(gmem_add(&mem, 0, RAM, ram, NULL), 0);
	queue = (struct virtio_queue){ .dev = &dev, .kick.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) };
	dev = (struct virtio_dev){ .name = "turn", .queue = &queue, .nr_queues = 1 };
	virtq_init(&queue.vq, &mem, dev.name, 0, 8);
	virtq_attach(&queue.vq, NULL, never_fails, no_interrupt, NULL);
	ck_assert_int_eq(virtq_start(&queue.vq, &rings), 0);
	looks = 0;
}

static void teardown(void)
{
	virtq_stop(&queue.vq);
	close(queue.kick.fd);
	munmap(ram, RAM);
}

START_TEST(buffer_that_is_there_only_until_it_is_popped_ends_the_turn)
{
	struct sigaction look = { .sa_sigaction = on_look, .sa_flags = SA_SIGINFO };
	struct sigaction step = { .sa_sigaction = on_step, .sa_flags = SA_SIGINFO };
	uint64_t kicks = 0;

	sigaction(SIGSEGV, &look, NULL);
	sigaction(SIGTRAP, &step, NULL);
	mprotect(ram + AVAIL, 0x1000, PROT_NONE);
	virtio_take_turn(&dev, 0, give_back); /* without an end: check's time-out */
	ck_assert_uint_gt(looks, 2);
	ck_assert_int_eq(read(queue.kick.fd, &kicks, sizeof(kicks)), sizeof(kicks));
	ck_assert_uint_eq(kicks, 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("virtio_turn");
	TCase *c = tcase_create("turn");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, buffer_that_is_there_only_until_it_is_popped_ends_the_turn);
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
