/* Cursors over a chain's segments. They know no rings, and copy only what lies in RAM. */
#include "devices/virtio/virtq.h"

#include <errno.h>

static size_t total(const struct iovec *seg, unsigned int nr)
{
	size_t sum = 0;

	for (unsigned int i = 0; i < nr; i++)
		if (__builtin_add_overflow(sum, seg[i].iov_len, &sum))
			return SIZE_MAX;
	return sum;
}

size_t chain_readable(const struct chain *c)
{
	return total(c->out, c->nr_out);
}

size_t chain_writable(const struct chain *c)
{
	return total(c->in, c->nr_in);
}

/* Are there len bytes from the front on, all of them in RAM? */
static int front_check(const struct iovec *seg, unsigned int nr, size_t len)
{
	for (unsigned int i = 0; len; i++) {
		if (i == nr)
			return -ENODATA;
		if (!seg[i].iov_base)
			return -EFAULT;
		len -= MIN(len, seg[i].iov_len);
	}
	return 0;
}

/*
 * Take len bytes, which front_check() found, off the front. to: receives them; from: is written over them;
 * both NULL: just go on. Segments have no length of 0, so that the first one left has something in it.
 */
static void front_take(struct iovec **seg, uint16_t *nr, uint8_t *to, const uint8_t *from, size_t len)
{
	while (len) {
		struct iovec *s = *seg;
		size_t part = MIN(len, s->iov_len);

		if (to) {
			memcpy(to, s->iov_base, part);
			to += part;
		} else if (from) {
			memcpy(s->iov_base, from, part);
			from += part;
		}
		s->iov_base = (uint8_t *)s->iov_base + part;
		s->iov_len -= part;
		len -= part;
		if (!s->iov_len) {
			(*seg)++;
			(*nr)--;
		}
	}
}

int chain_read(struct chain *c, void *bytes, size_t len)
{
	int rc = front_check(c->out, c->nr_out, len);

	if (rc == 0)
		front_take(&c->out, &c->nr_out, bytes, NULL, len);
	return rc;
}

int chain_write(struct chain *c, const void *bytes, size_t len)
{
	int rc = front_check(c->in, c->nr_in, len);

	if (rc == 0)
		front_take(&c->in, &c->nr_in, NULL, bytes, len);
	return rc;
}

int chain_skip_out(struct chain *c, size_t len)
{
	int rc = front_check(c->out, c->nr_out, len);

	if (rc == 0)
		front_take(&c->out, &c->nr_out, NULL, NULL, len);
	return rc;
}

int chain_skip_in(struct chain *c, size_t len)
{
	int rc = front_check(c->in, c->nr_in, len);

	if (rc == 0)
		front_take(&c->in, &c->nr_in, NULL, NULL, len);
	return rc;
}

int chain_cut_tail(struct chain *c, uint8_t **at, size_t len)
{
	size_t left = len;
	unsigned int nr = c->nr_in;

	/* Look first: nothing is cut unless all of it can be. */
	for (unsigned int i = nr; left; i--) {
		const struct iovec *s;
		size_t part;

		if (!i)
			return -ENODATA;
		s = &c->in[i - 1];
		if (!s->iov_base)
			return -EFAULT;
		part = MIN(left, s->iov_len);
		for (size_t k = 1; k <= part; k++)
			at[left - k] = (uint8_t *)s->iov_base + s->iov_len - k;
		left -= part;
	}
	while (len) {
		struct iovec *s = &c->in[c->nr_in - 1];
		size_t part = MIN(len, s->iov_len);

		s->iov_len -= part;
		len -= part;
		if (!s->iov_len)
			c->nr_in--;
	}
	return 0;
}

static bool all_in_ram(const struct iovec *seg, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		if (!seg[i].iov_base)
			return false;
	return true;
}

bool chain_out_ok(const struct chain *c)
{
	return !c->bad || all_in_ram(c->out, c->nr_out);
}

bool chain_in_ok(const struct chain *c)
{
	return !c->bad || all_in_ram(c->in, c->nr_in);
}
