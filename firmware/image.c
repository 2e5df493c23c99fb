/*
 * Files that are loaded from. Reads only, at offsets, so a reset finds the same bytes again. What the
 * bytes mean is the loaders' business.
 */
#include "firmware/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* How many bytes: a regular file or a block device; anything else has no end to load up to. */
static int image_measure(struct image *img, const char *what, struct err *e)
{
	struct stat st;
	off_t end;

	if (fstat(img->fd, &st) < 0)
		return err_sys(e, -errno, "%s '%.256s'", what, img->path);
	if (S_ISDIR(st.st_mode))
		return err_set(e, -EISDIR, "%s '%.256s' is a directory; a file is wanted", what, img->path);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_set(e, -EINVAL, "%s '%.256s' is neither a regular file nor a block device", what,
			       img->path);
	end = lseek(img->fd, 0, SEEK_END);
	if (end < 0)
		return err_sys(e, -errno, "%s '%.256s'", what, img->path);
	if (!end)
		return err_set(e, -ENODATA, "%s '%.256s' is empty", what, img->path);
	img->bytes = (uint64_t)end;
	return 0;
}

int image_open(struct image *img, const char *path, const char *what, struct err *e)
{
	int rc;

	/* O_NONBLOCK: a FIFO would keep us waiting here for its writer; files do not care. */
	*img = (struct image){ .fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), .path = path };
	if (img->fd < 0)
		return err_sys(e, -errno, "%s '%.256s'", what, path);
	rc = image_measure(img, what, e);
	if (rc < 0)
		image_close(img);
	return rc;
}

void image_close(struct image *img)
{
	if (img->fd >= 0)
		close(img->fd);
	img->fd = -1;
}

int image_read(const struct image *img, uint64_t off, void *buf, size_t len)
{
	uint8_t *to = buf;

	if (!range_ok(off, len, img->bytes))
		return -ENODATA;
	while (len) {
		ssize_t n = pread(img->fd, to, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return -ENODATA; /* cut shorter since it was opened */
		to += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

/* How many of len bytes from gpa on lie in the range of RAM that holds gpa; *hva receives where. 0: none. */
static size_t ram_part(const struct gmem *mem, uint64_t gpa, size_t len, uint8_t **hva)
{
	for (unsigned int i = 0; i < mem->nr_ranges; i++) {
		const struct gmem_range *r = &mem->range[i];

		if (gpa < r->gpa || gpa - r->gpa >= r->len)
			continue;
		*hva = r->hva + (gpa - r->gpa);
		return MIN(len, r->len - (gpa - r->gpa));
	}
	return 0;
}

int image_read_guest(const struct image *img, uint64_t off, struct gmem *mem, uint64_t gpa, size_t len)
{
	uint8_t *hva = NULL;
	size_t part;
	int rc;

	if (!range_ok(off, len, img->bytes))
		return -ENODATA;
	/* All of it must be RAM before the first byte is read; the last range may end at 2^64 - 1. */
	for (size_t done = 0; done < len; done += part) {
		if (gpa + done < gpa)
			return -EFAULT;
		part = ram_part(mem, gpa + done, len - done, &hva);
		if (!part)
			return -EFAULT;
	}
	for (size_t done = 0; done < len; done += part) {
		part = ram_part(mem, gpa + done, len - done, &hva);
		rc = image_read(img, off + done, hva, part);
		if (rc < 0)
			return rc;
	}
	return 0;
}
