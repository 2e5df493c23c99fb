/*
 * Unit tests of vhost.c against a kernel of our own, which takes the place of vhost_host.c and writes down what it
 * is told. They do not prove that a real vhost-net moves frames: tools/test-virtio does.
 */
#include <check.h>
#include <errno.h>
#include <linux/vhost.h>
#include <linux/virtio_net.h>
#include <stdlib.h>

#include "devices/net/vhost.h"
#include "devices/net/vhost_internal.h"
#include "vmm/base/log.h"

#define BIT(n) (1ull << (n))

enum { FAKE_FD = 1000, RAM = 1 << 20, HIGH = 1 << 16, HIGH_GPA = 1 << 30, TAP = 77, SIZE = 64 };

static struct {
	int open_result; /* FAKE_FD, or why not */
	uint64_t features;
	unsigned int fail_request; /* the nth of this fails */
	int fail_at, fail_with;
	bool owned;
	uint64_t acked;
	struct vhost_memory *memory; /* a copy */
	struct {
		unsigned int num, base, set_base;
		struct vhost_vring_addr addr;
		int kick, call, backend;
	} ring[2];
	bool backend_before_rings; /* a backend was set when something was missing */
	int calls;
} kernel;

int vhost_host_open(void)
{
	return kernel.open_result;
}

static void take_memory(const struct vhost_memory *m)
{
	size_t bytes = sizeof(*m) + m->nregions * sizeof(m->regions[0]);

	free(kernel.memory);
	kernel.memory = malloc(bytes);
	memcpy(kernel.memory, m, bytes);
}

static int ring_call(unsigned int request, void *arg)
{
	const struct vhost_vring_file *file = arg;
	struct vhost_vring_state *state = arg;
	const struct vhost_vring_addr *addr = arg;

	ck_assert_uint_lt(state->index, 2);
	switch (request) {
	case VHOST_SET_VRING_NUM:
		kernel.ring[state->index].num = state->num;
		return 0;
	case VHOST_SET_VRING_BASE:
		kernel.ring[state->index].set_base = state->num;
		return 0;
	case VHOST_GET_VRING_BASE:
		ck_assert_int_eq(kernel.ring[state->index].backend, -1); /* else it is still moving */
		state->num = kernel.ring[state->index].base;
		return 0;
	case VHOST_SET_VRING_ADDR:
		kernel.ring[addr->index].addr = *addr;
		return 0;
	case VHOST_SET_VRING_KICK:
		kernel.ring[file->index].kick = file->fd;
		return 0;
	case VHOST_SET_VRING_CALL:
		kernel.ring[file->index].call = file->fd;
		return 0;
	case VHOST_NET_SET_BACKEND:
		if (file->fd >= 0 &&
		    (!kernel.acked || !kernel.ring[file->index].kick || !kernel.ring[file->index].num))
			kernel.backend_before_rings = true;
		kernel.ring[file->index].backend = file->fd;
		return 0;
	default:
		ck_abort_msg("unknown request %#x", request);
		return -ENOTTY;
	}
}

int vhost_host_call(int fd, unsigned int request, void *arg)
{
	ck_assert_int_eq(fd, FAKE_FD);
	if (request == kernel.fail_request && kernel.fail_at-- == 0)
		return kernel.fail_with;
	kernel.calls++;
	if (request == VHOST_SET_OWNER) {
		kernel.owned = true;
		return 0;
	}
	ck_assert(kernel.owned); /* "must be called before any other vhost command" */
	switch (request) {
	case VHOST_GET_FEATURES:
		*(uint64_t *)arg = kernel.features;
		return 0;
	case VHOST_SET_FEATURES:
		kernel.acked = *(uint64_t *)arg;
		return kernel.acked & ~kernel.features ? -EOPNOTSUPP : 0;
	case VHOST_SET_MEM_TABLE:
		take_memory(arg);
		return 0;
	default:
		return ring_call(request, arg);
	}
}

static struct gmem mem;
static uint8_t *ram, *high;
static struct virtq rx, tx;
static struct vhost_net v;
static struct err e;

/* As Linux 6.1 offers it. */
static const uint64_t offered = BIT(VIRTIO_F_NOTIFY_ON_EMPTY) | BIT(VIRTIO_RING_F_INDIRECT_DESC) |
				BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(26 /* VHOST_F_LOG_ALL */) |
				BIT(VIRTIO_F_ANY_LAYOUT) | BIT(VIRTIO_F_VERSION_1) |
				BIT(27 /* VHOST_NET_F_VIRTIO_NET_HDR */) | BIT(VIRTIO_NET_F_MRG_RXBUF) |
				BIT(VIRTIO_F_ACCESS_PLATFORM);

static void start_queue(struct virtq *q, unsigned int nr, uint64_t base)
{
	struct virtq_setup setup = {
		.desc = base, .driver = base + 0x1000, .device = base + 0x2000, .size = SIZE
	};

	virtq_init(q, &mem, "net0", nr, 256);
	virtq_attach(q, NULL, NULL, NULL, NULL);
	ck_assert_int_eq(virtq_start(q, &setup), 0);
}

static void setup(void)
{
	free(kernel.memory);
	memset(&kernel, 0, sizeof(kernel));
	kernel.open_result = FAKE_FD;
	kernel.features = offered;
	kernel.ring[0].backend = kernel.ring[1].backend = -1;
	memset(&mem, 0, sizeof(mem));
	ram = aligned_alloc(4096, RAM);
	high = aligned_alloc(4096, HIGH);
	memset(ram, 0, RAM);
	ck_assert_int_eq(gmem_add(&mem, 0, RAM, ram, &e), 0);
	ck_assert_int_eq(gmem_add(&mem, HIGH_GPA, HIGH, high, &e), 0);
	start_queue(&rx, 0, 0x10000);
	start_queue(&tx, 1, 0x20000);
	memset(&v, 0, sizeof(v));
	memset(&e, 0, sizeof(e));
	log_set_level(LOG_ERROR);
}

static void teardown(void)
{
	v.open = false; /* the descriptor is none */
	virtq_stop(&rx);
	virtq_stop(&tx);
	free(ram);
	free(high);
}

static int start(void)
{
	uint64_t features = vhost_net_mask(&v, BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_NET_F_MRG_RXBUF) |
						       BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_NET_F_CSUM));

	return vhost_net_start(&v, features, &rx, &tx, 10, 11, 20, 21, TAP);
}

START_TEST(open_gives_the_kernel_all_of_ram)
{
	ck_assert_int_eq(vhost_net_open(&v, &mem, &e), 0);
	ck_assert(v.open && kernel.owned);
	ck_assert_uint_eq(kernel.memory->nregions, 2);
	ck_assert_uint_eq(kernel.memory->regions[0].guest_phys_addr, 0);
	ck_assert_uint_eq(kernel.memory->regions[0].memory_size, RAM);
	ck_assert_uint_eq(kernel.memory->regions[0].userspace_addr, (uintptr_t)ram);
	ck_assert_uint_eq(kernel.memory->regions[1].guest_phys_addr, HIGH_GPA);
	ck_assert_uint_eq(kernel.memory->regions[1].memory_size, HIGH);
	ck_assert_uint_eq(kernel.memory->regions[1].userspace_addr, (uintptr_t)high);
}
END_TEST

START_TEST(missing_module_is_named)
{
	kernel.open_result = -ENOENT;
	ck_assert_int_eq(vhost_net_open(&v, &mem, &e), -ENOENT);
	ck_assert_ptr_nonnull(strstr(e.text, "modprobe vhost_net"));
	ck_assert(!v.open);
	vhost_net_close(&v);
}
END_TEST

START_TEST(missing_permission_is_named)
{
	kernel.open_result = -EACCES;
	ck_assert_int_eq(vhost_net_open(&v, &mem, &e), -EACCES);
	ck_assert_ptr_nonnull(strstr(e.text, "permission"));
}
END_TEST

START_TEST(failed_request_is_named_and_all_is_closed)
{
	static const struct {
		unsigned int request;
		const char *text;
	} rows[] = {
		{ VHOST_SET_OWNER, "VHOST_SET_OWNER" },
		{ VHOST_GET_FEATURES, "VHOST_GET_FEATURES" },
		{ VHOST_SET_MEM_TABLE, "max_mem_regions" },
	};

	kernel.fail_request = rows[_i].request;
	kernel.fail_with = -E2BIG;
	ck_assert_int_eq(vhost_net_open(&v, &mem, &e), -E2BIG);
	ck_assert_ptr_nonnull(strstr(e.text, rows[_i].text));
	ck_assert(!v.open);
}
END_TEST

START_TEST(kernel_without_virtio_1_is_refused)
{
	kernel.features &= ~BIT(VIRTIO_F_VERSION_1);
	ck_assert_int_eq(vhost_net_open(&v, &mem, &e), -ENOTSUP);
	ck_assert(!v.open);
}
END_TEST

START_TEST(mask_takes_what_the_kernel_cannot_and_leaves_the_rest)
{
	uint64_t passing = BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_NET_F_MRG_RXBUF) |
			   BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_RING_F_EVENT_IDX) |
			   BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_HOST_TSO4) |
			   BIT(VIRTIO_NET_F_GUEST_TSO6) | BIT(VIRTIO_NET_F_MTU) | BIT(VIRTIO_NET_F_STATUS) |
			   BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_MQ) | BIT(VIRTIO_NET_F_MAC);
	uint64_t not_passing = BIT(VIRTIO_F_RING_PACKED) | BIT(VIRTIO_F_IN_ORDER) | BIT(VIRTIO_F_RING_RESET) |
			       BIT(VIRTIO_F_ACCESS_PLATFORM) | BIT(VIRTIO_NET_F_HASH_REPORT);

	ck_assert_int_eq(vhost_net_open(&v, &mem, &e), 0);
	ck_assert_uint_eq(vhost_net_mask(&v, passing | not_passing), passing);
	kernel.features &= ~BIT(VIRTIO_NET_F_MRG_RXBUF);
	ck_assert_int_eq(vhost_net_open(&v, &mem, &e), 0);
	ck_assert_uint_eq(vhost_net_mask(&v, passing), passing & ~BIT(VIRTIO_NET_F_MRG_RXBUF));
}
END_TEST

START_TEST(start_describes_both_rings_and_then_sets_the_tap)
{
	ck_assert_int_eq(vhost_net_open(&v, &mem, &e), 0);
	virtq_set_indices(&tx, 5, 5);
	ck_assert_int_eq(start(), 0);
	ck_assert(!kernel.backend_before_rings);
	ck_assert_uint_eq(kernel.acked, BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_NET_F_MRG_RXBUF) |
						BIT(VIRTIO_RING_F_EVENT_IDX));
	for (unsigned int i = 0; i < 2; i++) {
		uint8_t *base = ram + (i ? 0x20000 : 0x10000);

		ck_assert_uint_eq(kernel.ring[i].num, SIZE);
		ck_assert_uint_eq(kernel.ring[i].set_base, i ? 5 : 0);
		ck_assert_uint_eq(kernel.ring[i].addr.desc_user_addr, (uintptr_t)base);
		ck_assert_uint_eq(kernel.ring[i].addr.avail_user_addr, (uintptr_t)(base + 0x1000));
		ck_assert_uint_eq(kernel.ring[i].addr.used_user_addr, (uintptr_t)(base + 0x2000));
		ck_assert_uint_eq(kernel.ring[i].addr.flags, 0);
		ck_assert_int_eq(kernel.ring[i].kick, i ? 11 : 10);
		ck_assert_int_eq(kernel.ring[i].call, i ? 21 : 20);
		ck_assert_int_eq(kernel.ring[i].backend, TAP);
	}
}
END_TEST

START_TEST(packed_rings_are_refused)
{
	ck_assert_int_eq(vhost_net_open(&v, &mem, &e), 0);
	rx.setup.packed = true;
	ck_assert_int_eq(start(), -ENOTSUP);
	rx.setup.packed = false;
}
END_TEST

START_TEST(failed_start_lets_go_of_everything)
{
	static const unsigned int requests[] = { VHOST_SET_VRING_NUM,  VHOST_SET_VRING_BASE,
						 VHOST_SET_VRING_ADDR, VHOST_SET_VRING_CALL,
						 VHOST_SET_VRING_KICK, VHOST_NET_SET_BACKEND };

	ck_assert_int_eq(vhost_net_open(&v, &mem, &e), 0);
	kernel.fail_request = requests[_i];
	kernel.fail_at = 1; /* the second ring's */
	kernel.fail_with = -EBADFD;
	ck_assert_int_eq(start(), -EBADFD);
	for (unsigned int i = 0; i < 2; i++) {
		ck_assert_int_eq(kernel.ring[i].backend, -1);
		ck_assert_int_eq(kernel.ring[i].kick, -1);
		ck_assert_int_eq(kernel.ring[i].call, -1);
	}
}
END_TEST

START_TEST(stop_puts_the_indices_back)
{
	uint16_t avail, used;

	ck_assert_int_eq(vhost_net_open(&v, &mem, &e), 0);
	ck_assert_int_eq(start(), 0);
	kernel.ring[0].base = 40;
	kernel.ring[1].base = 65535;
	put_le16(rx.device + 2, 39);
	put_le16(tx.device + 2, 65535);
	vhost_net_stop(&v, &rx, &tx);
	virtq_indices(&rx, &avail, &used);
	ck_assert_uint_eq(avail, 40);
	ck_assert_uint_eq(used, 39);
	virtq_indices(&tx, &avail, &used);
	ck_assert_uint_eq(avail, 65535);
	ck_assert_uint_eq(used, 65535);
	ck_assert_int_eq(kernel.ring[0].kick, -1);
	ck_assert_int_eq(kernel.ring[1].call, -1);
	ck_assert_int_eq(start(), 0);
	ck_assert_uint_eq(kernel.ring[0].set_base, 40);
}
END_TEST

START_TEST(index_that_the_kernel_does_not_tell_is_the_used_one)
{
	uint16_t avail, used;

	ck_assert_int_eq(vhost_net_open(&v, &mem, &e), 0);
	ck_assert_int_eq(start(), 0);
	put_le16(rx.device + 2, 7);
	kernel.fail_request = VHOST_GET_VRING_BASE;
	kernel.fail_with = -EIO;
	vhost_net_stop(&v, &rx, &tx);
	virtq_indices(&rx, &avail, &used);
	ck_assert_uint_eq(avail, 7);
	ck_assert_uint_eq(used, 7);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vhost");
	TCase *t = tcase_create("vhost");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, open_gives_the_kernel_all_of_ram);
	tcase_add_test(t, missing_module_is_named);
	tcase_add_test(t, missing_permission_is_named);
	tcase_add_loop_test(t, failed_request_is_named_and_all_is_closed, 0, 3);
	tcase_add_test(t, kernel_without_virtio_1_is_refused);
	tcase_add_test(t, mask_takes_what_the_kernel_cannot_and_leaves_the_rest);
	tcase_add_test(t, start_describes_both_rings_and_then_sets_the_tap);
	tcase_add_test(t, packed_rings_are_refused);
	tcase_add_loop_test(t, failed_start_lets_go_of_everything, 0, 6);
	tcase_add_test(t, stop_puts_the_indices_back);
	tcase_add_test(t, index_that_the_kernel_does_not_tell_is_the_used_one);
	suite_add_tcase(s, t);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
