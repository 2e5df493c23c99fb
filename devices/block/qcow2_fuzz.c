/*
 * Fuzz target: a mutated qcow2 image is opened, read, written, zeroed, discarded, flushed and closed. The input
 * is eight bytes of what to do, and pieces of an image: sector number (3 bytes, lowest first), how many sectors
 * (1 byte), and their bytes, so that images of 64 KiB clusters are small inputs; tools/fuzz.d/make-block-seeds
 * makes them from what qemu-img makes. Backing files are not followed, and one thread does it all. It proves
 * that nothing breaks, not that the bytes are right: qcow2_test.c has a model for that.
 */
#include <sys/mman.h>

#include "devices/block/qcow2.h"
#include "devices/block/qcow2_rig.h"
#include "vmm/base/log.h"

enum { CONTROL = 8, MAX_OPS = 48, MAX_BYTES = 128 << 10 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_image(int fd, const uint8_t *p, size_t size)
{
	while (size > 4) {
		uint64_t at = (uint64_t)(get_le32(p) & 0xffffff) << 9;
		size_t len = MIN((size_t)p[3] << 9, size - 4);

		if (pwrite(fd, p + 4, len, (off_t)at) < 0)
			return;
		p += 4 + len;
		size -= 4 + len;
	}
}

static void do_one(struct block_image *img, uint32_t r, uint8_t *buf)
{
	uint64_t sectors = img->info.capacity_bytes / BLOCK_SECTOR,
		 bytes = (1 + (r >> 8) % 64) * BLOCK_SECTOR, offset;

	if (!sectors)
		return;
	offset = ((r >> 28) ? (r >> 12) % MIN(sectors, 8192) : sectors - 1 - (r >> 12) % MIN(sectors, 128)) *
		 BLOCK_SECTOR;
	if ((r >> 14) % 8 == 0)
		bytes = MAX_BYTES;
	bytes = MIN(bytes, img->info.capacity_bytes - offset);
	switch (r >> 4 & 7) {
	case 0:
	case 1:
	case 2:
		(void)!rig_io(img, BLOCK_WRITE, offset, buf, bytes);
		break;
	case 3:
		(void)!rig_serve(img, BLOCK_ZEROES, offset, bytes, r & 1);
		break;
	case 4:
		(void)!rig_serve(img, BLOCK_DISCARD, offset, bytes, false);
		break;
	case 5:
		(void)!rig_flush(img);
		break;
	default:
		(void)!rig_io(img, BLOCK_READ, offset, buf, bytes);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t buf[MAX_BYTES];
	struct block_options o = { .discard = true, .label = "fuzz" };
	struct block_image img;
	char path[64];
	uint32_t r;
	int fd;

	if (size < CONTROL || (fd = memfd_create("image", MFD_CLOEXEC)) < 0)
		return 0;
	log_set_level(LOG_ERROR);
	write_image(fd, data + CONTROL, size - CONTROL);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = get_le32(data);
	o.cache = data[5] & 1 ? CACHE_UNSAFE : CACHE_WRITEBACK;
	if (!qcow2_open(&img, path, &o, data[4] & 1, 0, NULL)) {
		for (unsigned int i = 0; i < data[6] % MAX_OPS; i++) {
			r = r * 1664525 + 1013904223;
			do_one(&img, r, buf);
		}
		img.ops->close(img.image);
	}
	close(fd);
	return 0;
}
