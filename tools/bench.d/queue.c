/*
 * What trellis' device side costs for each request, without a guest: a driver in this process fills rings in
 * memory (devices/virtio/test_driver.h), and only the device's part is timed, on this thread. The same system
 * calls, issued by a bare loop over the same file and the same tap, are the floor to compare with; rounds of
 * both are interleaved, and medians are printed.
 *
 *   queue [ROUNDS]      300 rounds of 4 batches of 32 requests
 *
 * Prints lines "NAME VALUE UNIT":
 *
 *   queue.split, queue.packed   ns   pop, read a header, complete and publish a chain of three descriptors
 *   blk.null                    ns   a 4 KiB read from a disk that is not there
 *   blk.uring, blk.bare         ns   a 4 KiB read from a file in the page cache; blk.ratio: one by the other
 *   net.tap, net.bare           ns   a frame of 1,500 bytes into a tap; net.ratio
 *
 * It judges nothing but that requests succeed, and says nothing of what exits and interrupts cost. Without
 * /dev/net/tun, or the right to make a tap, the lines of net are missing and stderr says so.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ring.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/virtio/test_driver.h"
#include "devices/virtio/virtio_blk.h"
#include "devices/virtio/virtio_net.h"
#include "tools/bench.d/queue.h"

enum { QUEUE_SIZE = 256, FRAME = 1500, MAX_ROUNDS = 10000 };

/* Nanoseconds a request, one for each round. */
struct samples {
	double ns[MAX_ROUNDS];
	unsigned int nr;
};

static void must(int rc, const struct err *e)
{
	if (rc < 0)
		fail("%s", e->text);
}

static void sample(struct samples *s, uint64_t ns)
{
	s->ns[s->nr++] = (double)ns / (BATCH * BATCHES);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(struct samples *s)
{
	qsort(s->ns, s->nr, sizeof(s->ns[0]), by_value);
	return s->ns[s->nr / 2];
}

static void print_ratio(const char *name, const char *device, struct samples *d, struct samples *bare)
{
	double a = median(d), b = median(bare);

	printf("%s.%s %.1f ns\n%s.bare %.1f ns\n%s.ratio %.3f x\n", name, device, a, name, b, name, a / b);
}

/* ---- a queue alone ---- */

static void queue_fail(void *ctx, struct virtq *q, const char *why)
{
	(void)ctx;
	(void)q;
	fail("%s", why);
}

static void queue_interrupt(void *ctx, struct virtq *q)
{
	(void)ctx;
	(void)q;
}

/* What a disk does to a chain, without the disk. */
static void echo(struct virtq *q)
{
	struct chain *c[BATCH];
	struct virtio_blk_outhdr hdr;
	uint8_t *status;

	do {
		unsigned int n = 0;

		virtq_no_kicks(q);
		for (; n < BATCH && (c[n] = virtq_pop(q)); n++) {
			if (chain_cut_tail(c[n], &status, 1) < 0 || chain_read(c[n], &hdr, sizeof(hdr)) < 0)
				fail("a chain is not as it was made");
			*status = 0;
		}
		for (unsigned int i = 0; i < n; i++)
			chain_complete(c[i], BLOCK + 1);
		virtq_flush(q);
	} while (virtq_want_kicks(q));
}

static void bench_queue(const char *name, uint64_t features, unsigned int rounds)
{
	static struct samples s;
	static struct virtq q;
	struct test_driver td;
	struct td_used used;
	struct td_seg seg[3] = { { 0, 16, false }, { 0, BLOCK, true }, { 0, 1, true } };
	uint64_t begin;

	td_init(&td, 16 * MIB);
	td_bare(&td, features | VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX), QUEUE_SIZE);
	for (unsigned int i = 0; i < 3; i++)
		seg[i].gpa = td_alloc(&td, BLOCK, BLOCK);
	virtq_init(&q, &td.mem, "bench", 0, QUEUE_SIZE);
	virtq_attach(&q, &td.access, queue_fail, queue_interrupt, NULL);
	if (virtq_start(&q, &td.q->setup) < 0)
		fail("a queue does not start");
	s.nr = 0;
	for (unsigned int i = 0; i < rounds; i++) {
		uint64_t ns = 0;

		for (unsigned int b = 0; b < BATCHES; b++) {
			for (unsigned int n = 0; n < BATCH; n++)
				td_add(&td, 0, seg, 3);
			begin = clock_now_ns();
			echo(&q);
			ns += clock_now_ns() - begin;
			for (unsigned int n = 0; n < BATCH; n++)
				if (!td_poll(&td, 0, &used))
					fail("a chain did not come back");
		}
		sample(&s, ns);
	}
	printf("queue.%s %.1f ns\n", name, median(&s));
	virtq_stop(&q);
	td_fini(&td);
}

/* ---- a device ---- */

/*
 * Let the device of td serve what is in queue q; the driver has kicked. Returns the nanoseconds until all of
 * it is used. Split rings: the index is looked at without the driver's help.
 */
static uint64_t serve(struct test_driver *td, unsigned int q)
{
	struct loop *loop = &td->dev->queue[q].thread->loop;
	const uint16_t *idx = td_ptr(td, td->q[q].setup.device + 2);
	uint64_t begin = clock_now_ns(), now = begin;

	while (le16toh(__atomic_load_n(idx, __ATOMIC_ACQUIRE)) != td->q[q].avail) {
		if (loop_run_once(loop, 1000) < 0 || clock_now_ns() - begin > 10000000000ull)
			fail("%s does not answer", td->dev->name);
	}
	now = clock_now_ns();
	return now - begin;
}

static void start_device(struct test_driver *td, struct virtio_dev *dev)
{
	if (!td_start(td, dev, VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX) | VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC),
		      QUEUE_SIZE))
		fail("%s does not start", dev->name);
	td->indirect = true; /* as Linux does */
}

/* ---- disk ---- */

struct disk {
	struct test_driver td;
	struct block *block;
	struct virtio_blk *blk;
	uint64_t hdr[BATCH], data[BATCH], status[BATCH]; /* guest-physical */
	uint64_t next;                                   /* block to read */
};

static void disk_open(struct disk *d, const struct block_options *o)
{
	struct virtio_blk_options b = { .name = "disk0", .nr_queues = 1, .queue_size = QUEUE_SIZE };
	struct err e;

	td_init(&d->td, 16 * MIB);
	must(block_open(&d->block, o, &e), &e);
	b.block = d->block;
	must(virtio_blk_new(&d->blk, &b, &d->td.mem, &e), &e);
	start_device(&d->td, virtio_blk_dev(d->blk));
	for (unsigned int i = 0; i < BATCH; i++) {
		d->data[i] = td_alloc(&d->td, BLOCK, BLOCK);
		d->hdr[i] = td_alloc(&d->td, 16, 16);
		d->status[i] = td_alloc(&d->td, 1, 1);
	}
}

static void disk_close(struct disk *d)
{
	td_stop(&d->td);
	virtio_blk_free(d->blk);
	block_close(d->block);
	td_fini(&d->td);
}

static uint64_t disk_batch(struct disk *d, bool check)
{
	uint64_t block[BATCH], ns;
	struct td_used used;

	for (unsigned int i = 0; i < BATCH; i++) {
		struct td_seg seg[3] = { { d->hdr[i], 16, false },
					 { d->data[i], BLOCK, true },
					 { d->status[i], 1, true } };
		uint8_t *hdr = td_ptr(&d->td, d->hdr[i]);

		block[i] = next_block(&d->next);
		put_le32(hdr, VIRTIO_BLK_T_IN);
		put_le64(hdr + 8, block[i] * (BLOCK / BLOCK_SECTOR));
		*(uint8_t *)td_ptr(&d->td, d->status[i]) = 0xff;
		td_add(&d->td, 0, seg, 3);
	}
	td_kick(&d->td, 0);
	ns = serve(&d->td, 0);
	for (unsigned int i = 0; i < BATCH; i++) {
		if (!td_poll(&d->td, 0, &used) || used.len != BLOCK + 1)
			fail("a read was not complete");
		if (*(uint8_t *)td_ptr(&d->td, d->status[i]) != VIRTIO_BLK_S_OK)
			fail("a read failed");
		if (check && get_le64(td_ptr(&d->td, d->data[i])) != block[i])
			fail("a read gave the wrong block");
	}
	return ns;
}

static uint64_t disk_round(struct disk *d, bool check)
{
	uint64_t ns = 0;

	for (unsigned int b = 0; b < BATCHES; b++)
		ns += disk_batch(d, check);
	return ns;
}

static void bench_null(unsigned int rounds)
{
	static struct disk d;
	static struct samples s;

	disk_open(&d, &(struct block_options){ .path = "1G", .format = BLOCK_NULL, .label = "disk0" });
	for (unsigned int i = 0; i < rounds; i++)
		sample(&s, disk_round(&d, false));
	printf("blk.null %.1f ns\n", median(&s));
	disk_close(&d);
}

/* ---- the file ---- */

/* Each block begins with its number. path receives the file's name; it is in the page cache afterwards. */
static int file_make(char *path, size_t len)
{
	static uint8_t block[BLOCK];
	const char *dir = getenv("TMPDIR");
	int fd;

	snprintf(path, len, "%s/trellis-bench-XXXXXX", dir && *dir ? dir : "/var/tmp");
	fd = mkstemp(path);
	if (fd < 0)
		fail("%s: %s", path, strerror(errno));
	for (uint64_t i = 0; i < FILE_BLOCKS; i++) {
		put_le64(block, i);
		if (write(fd, block, BLOCK) != BLOCK) {
			unlink(path);
			fail("%s: cannot write %d blocks", path, FILE_BLOCKS);
		}
	}
	return fd;
}

static void bench_blk(unsigned int rounds)
{
	static struct disk d;
	static struct uring u;
	static struct samples device, bare;
	char path[256];
	int fd = file_make(path, sizeof(path));

	disk_open(&d, &(struct block_options){ .path = path,
					       .format = BLOCK_RAW,
					       .aio = AIO_IO_URING,
					       .readonly = true,
					       .label = "disk0" });
	unlink(path);
	uring_open(&u, fd);
	for (unsigned int i = 0; i < rounds; i++) {
		sample(&device, disk_round(&d, true));
		sample(&bare, uring_round(&u));
	}
	print_ratio("blk", "uring", &device, &bare);
	uring_close(&u);
	disk_close(&d);
	close(fd);
}

/* ---- network ---- */

/* A tap in a network namespace of our own, up; nobody outside sees it. Returns its descriptor, or -1. */
static int tap_make(void)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int fd = -1, sock = -1;

	if (unshare(CLONE_NEWNET) < 0 || (fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC)) < 0 ||
	    ioctl(fd, TUNSETIFF, &ifr) < 0)
		goto none;
	sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ifr.ifr_flags = IFF_UP;
	if (sock < 0 || ioctl(sock, SIOCSIFFLAGS, &ifr) < 0)
		goto none;
	close(sock);
	return fd;
none:
	fprintf(stderr, "queue: net is skipped: no tap: %s\n", strerror(errno));
	if (sock >= 0)
		close(sock);
	if (fd >= 0)
		close(fd);
	return -1;
}

/* To nobody, of a type for experiments: the kernel drops it as soon as it has it. */
static void frame_fill(uint8_t *frame)
{
	memset(frame, 0, FRAME);
	memset(frame, 0x02, 2 * ETH_ALEN);
	frame[12] = ETH_P_802_EX1 >> 8;
	frame[13] = ETH_P_802_EX1 & 0xff;
}

static uint64_t net_round(struct test_driver *td, const struct td_seg *seg)
{
	uint64_t ns = 0;
	struct td_used used;

	for (unsigned int b = 0; b < BATCHES; b++) {
		for (unsigned int i = 0; i < BATCH; i++)
			td_add(td, 1, seg, 2);
		td_kick(td, 1);
		ns += serve(td, 1);
		while (td_poll(td, 1, &used))
			;
	}
	return ns;
}

static uint64_t writev_round(int fd, const struct iovec *iov)
{
	uint64_t begin = clock_now_ns();

	for (unsigned int i = 0; i < BATCH * BATCHES; i++)
		if (writev(fd, iov, 2) != NETDEV_VNET_HDR + FRAME)
			fail("writev to the tap: %s", strerror(errno));
	return clock_now_ns() - begin;
}

static void bench_net(unsigned int rounds)
{
	static struct samples device, bare;
	static uint8_t hdr[NETDEV_VNET_HDR], frame[FRAME];
	struct iovec iov[2] = { { hdr, sizeof(hdr) }, { frame, sizeof(frame) } };
	struct virtio_net_options o = { .name = "net0", .mac = { 2 }, .pairs = 1, .queue_size = QUEUE_SIZE };
	struct virtio_net_stats stats;
	struct virtio_net *net;
	struct test_driver td;
	struct td_seg seg[2];
	struct err e;
	int fd = tap_make(), copy;

	if (fd < 0)
		return;
	copy = dup(fd);
	td_init(&td, 16 * MIB);
	must(netdev_tap_open(&o.netdev, NULL, &fd, 1, &e), &e);
	must(virtio_net_new(&net, &o, &td.mem, &e), &e);
	start_device(&td, virtio_net_dev(net));
	seg[0] = (struct td_seg){ td_alloc(&td, NETDEV_VNET_HDR, 16), NETDEV_VNET_HDR, false };
	seg[1] = (struct td_seg){ td_alloc(&td, FRAME, 64), FRAME, false };
	frame_fill(td_ptr(&td, seg[1].gpa));
	frame_fill(frame);
	for (unsigned int i = 0; i < rounds; i++) {
		sample(&device, net_round(&td, seg));
		sample(&bare, writev_round(copy, iov));
	}
	virtio_net_get_stats(net, &stats);
	if (stats.tx_frames != (uint64_t)rounds * BATCHES * BATCH)
		fail("of %u frames %llu were sent", rounds * BATCHES * BATCH,
		     (unsigned long long)stats.tx_frames);
	print_ratio("net", "tap", &device, &bare);
	td_stop(&td);
	virtio_net_free(net);
	netdev_close(o.netdev);
	td_fini(&td);
	close(copy);
}

int main(int argc, char **argv)
{
	unsigned int rounds = argc > 1 ? (unsigned int)strtoul(argv[1], NULL, 10) : 300;

	if (!rounds || rounds > MAX_ROUNDS)
		fail("expected a number of rounds, 1 to %d", MAX_ROUNDS);
	bench_queue("split", 0, rounds);
	bench_queue("packed", VIRTIO_BIT(VIRTIO_F_RING_PACKED), rounds);
	bench_null(rounds);
	bench_blk(rounds);
	bench_net(rounds);
	return 0;
}
