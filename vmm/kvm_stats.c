/*
 * KVM's statistics: a header, descriptors of one fixed size, and values, all in one file that pread(2) reads
 * (Documentation/virt/kvm/api.rst, 4.133, v6.1). Read piece by piece: this is for reports, not for every second.
 */
#include "vmm/kvm_stats.h"

#include <errno.h>
#include <unistd.h>

/* Linux 6.1 has names of 48 bytes and some 60 statistics; what is far beyond that is no header. */
enum { MAX_NAME_BYTES = 512, MAX_STATS = 4096 };

_Static_assert(sizeof(struct kvm_stats_header) == 24, "api.rst 4.133, v6.1");
_Static_assert(sizeof(struct kvm_stats_desc) == 16, "api.rst 4.133, v6.1: the name follows");

/* Read exactly len bytes at off. Returns 0; -EPROTO when the file ends before; another negative errno. */
static int read_at(int fd, void *buf, size_t len, uint64_t off)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, (uint8_t *)buf + done, len - done, (off_t)(off + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EPROTO;
		done += (size_t)n;
	}
	return 0;
}

/* Is it one plain number? Types that later kernels add are not. */
static bool is_number(const struct kvm_stats_desc *desc)
{
	return desc->size == 1 && (desc->flags & KVM_STATS_TYPE_MASK) <= KVM_STATS_TYPE_PEAK;
}

int kvm_stats_read(int stats_fd, void (*each)(void *ctx, const char *name, uint64_t value), void *ctx)
{
	struct kvm_stats_header header;
	struct kvm_stats_desc desc;
	uint8_t raw[sizeof(desc) + MAX_NAME_BYTES + 1]; /* a descriptor and its name */
	uint64_t at, value;
	int rc;

	rc = read_at(stats_fd, &header, sizeof(header), 0);
	if (rc < 0)
		return rc;
	if (!header.name_size || header.name_size > MAX_NAME_BYTES || header.num_desc > MAX_STATS)
		return -EPROTO;
	at = header.desc_offset;
	for (uint32_t i = 0; i < header.num_desc; i++, at += sizeof(desc) + header.name_size) {
		rc = read_at(stats_fd, raw, sizeof(desc) + header.name_size, at);
		if (rc < 0)
			return rc;
		memcpy(&desc, raw, sizeof(desc));
		if (!is_number(&desc))
			continue;
		rc = read_at(stats_fd, &value, sizeof(value), (uint64_t)header.data_offset + desc.offset);
		if (rc < 0)
			return rc;
		raw[sizeof(desc) + header.name_size] = '\0'; /* as KVM does already */
		each(ctx, (const char *)raw + sizeof(desc), value);
	}
	return 0;
}

int kvm_stats_each(int fd, void (*each)(void *ctx, const char *name, uint64_t value), void *ctx)
{
	int stats_fd = kvm_ioctl(fd, KVM_GET_STATS_FD, NULL);
	int rc;

	if (stats_fd < 0) /* before Linux 5.14, VMs say ENOTTY and vCPUs say EINVAL */
		return errno == ENOTTY || errno == EINVAL ? -EOPNOTSUPP : -errno;
	rc = kvm_stats_read(stats_fd, each, ctx);
	close(stats_fd);
	return rc;
}
