/*
 * The header of a qcow2 image and its extensions: what they say, and why an image is not for us. Nothing is
 * changed in a file here.
 */
#include "devices/block/qcow2.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* The specification, "Header": extension types. The last is named in later versions than the file's text. */
enum {
	EXT_END = 0,
	EXT_CRYPTO = 0x0537be77,
	EXT_DATA_FILE = 0x44415441,
	EXT_FEATURES = 0x6803f857,
};
#define EXT_BACKING_FORMAT 0xe2792acaul

enum { FEATURE_BYTES = 48 }; /* "Feature name table" */

/* The raw bytes of the first cluster, or as much of it as the file has and we want. */
struct raw {
	uint8_t bytes[65536]; /* extensions longer than this are not looked at */
	size_t len;
};

/* The name that the image itself has for an unknown feature; "" if it has none. */
static void feature_name(const uint8_t *table, size_t len, unsigned int bit, char *name, size_t size)
{
	*name = 0;
	for (; len >= FEATURE_BYTES; table += FEATURE_BYTES, len -= FEATURE_BYTES) {
		if (table[0] != 0 || table[1] != bit)
			continue;
		snprintf(name, size, "%.46s", (const char *)table + 2);
		for (char *p = name; *p; p++) {
			if (*p < ' ' || *p > '~')
				*p = '?';
		}
		return;
	}
}

static int refuse_features(const char *path, uint64_t unknown, const uint8_t *table, size_t len,
			   struct err *e)
{
	unsigned int bit = (unsigned int)__builtin_ctzll(unknown);
	char name[47];

	feature_name(table, len, bit, name, sizeof(name));
	return err_set(e, -ENOTSUP,
		       "%s: the image needs \"%s\" (incompatible feature bit %u), which trellis does not "
		       "have; qemu-img convert -O qcow2 makes one without",
		       path, *name ? name : "unknown feature", bit);
}

/* Incompatible features that have names of their own. ext: the feature name table's data */
static int check_features(const struct qcow2_header *h, const struct raw *raw, const char *path,
			  bool readonly, const uint8_t *table, size_t len, struct err *e)
{
	uint64_t unknown = h->incompatible & ~(QCOW2_INCOMPATIBLE_DIRTY | QCOW2_INCOMPATIBLE_CORRUPT);

	if (h->incompatible & QCOW2_INCOMPATIBLE_DATA_FILE)
		return err_set(e, -ENOTSUP,
			       "%s: its data is in an external data file, which trellis does not read; "
			       "qemu-img convert -O qcow2 makes an image without",
			       path);
	if (h->incompatible & QCOW2_INCOMPATIBLE_COMPRESSION)
		return err_set(e, -ENOTSUP,
			       "%s: compression type %u (%s), and trellis reads only zlib; "
			       "qemu-img convert -O qcow2 makes an image without",
			       path, h->header_bytes > QCOW2_HEADER_V3 ? raw->bytes[QCOW2_HEADER_V3] : 0,
			       h->header_bytes > QCOW2_HEADER_V3 && raw->bytes[QCOW2_HEADER_V3] == 1
				       ? "zstd"
				       : "unknown");
	if (h->incompatible & QCOW2_INCOMPATIBLE_EXTENDED_L2)
		return err_set(e, -ENOTSUP,
			       "%s: it has extended L2 entries (subclusters), which trellis does not know; "
			       "qemu-img convert -O qcow2 makes an image without",
			       path);
	if (unknown)
		return refuse_features(path, unknown, table, len, e);
	if (h->incompatible & QCOW2_INCOMPATIBLE_CORRUPT && !readonly)
		return err_set(e, -EINVAL,
			       "%s: the image is marked corrupt; open it with readonly=on to save what it "
			       "holds, or mend it with qemu-img check -r all",
			       path);
	return 0;
}

/* Walk the extensions. table and len receive the feature name table's data. */
static int read_extensions(struct qcow2_header *h, const struct raw *raw, size_t end, const char *path,
			   const uint8_t **table, size_t *len, struct err *e)
{
	size_t at = h->header_bytes;

	while (at + 8 <= end) {
		uint32_t type = get_be32(raw->bytes + at), bytes = get_be32(raw->bytes + at + 4);
		const uint8_t *data = raw->bytes + at + 8;

		if (type == EXT_END)
			return 0;
		at += 8;
		if (bytes > end - at)
			return err_set(e, -EINVAL,
				       "%s: header extension 0x%08x of %u bytes does not fit into the header",
				       path, type, bytes);
		if (type == EXT_BACKING_FORMAT)
			snprintf(h->backing_format, sizeof(h->backing_format), "%.*s",
				 (int)MIN(bytes, sizeof(h->backing_format) - 1), (const char *)data);
		else if (type == EXT_FEATURES)
			*table = data, *len = bytes;
		else if (type == EXT_CRYPTO)
			return err_set(e, -ENOTSUP,
				       "%s: it is encrypted (LUKS), which trellis does not decrypt; "
				       "qemu-img convert -O qcow2 makes an image that is not",
				       path);
		else if (type == EXT_DATA_FILE)
			return err_set(e, -ENOTSUP,
				       "%s: it names an external data file, which trellis does not read; "
				       "qemu-img convert -O qcow2 makes an image without",
				       path);
		at += align_up(bytes, 8);
		if (at > end)
			break;
	}
	return 0;
}

static int read_backing_name(struct qcow2_header *h, const struct raw *raw, const char *path, struct err *e)
{
	uint64_t at = get_be64(raw->bytes + 8);
	uint32_t len = get_be32(raw->bytes + 16);

	if (!at || !len)
		return 0;
	if (len > QCOW2_BACKING_MAX || !range_ok(at, len, MIN(raw->len, 1ull << h->cluster_bits)))
		return err_set(e, -EINVAL,
			       "%s: the backing file's name (%u bytes at 0x%" PRIx64 ") is not inside the "
			       "header's cluster, or longer than 1023 bytes",
			       path, len, at);
	memcpy(h->backing, raw->bytes + at, len);
	if (memchr(h->backing, 0, len))
		return err_set(e, -EINVAL, "%s: the backing file's name contains a zero byte", path);
	h->has_backing = true;
	return 0;
}

static int check_table(const char *path, const char *what, const struct qcow2_header *h, uint64_t at,
		       uint64_t bytes, uint64_t file_bytes, struct err *e)
{
	if (at & ((1ull << h->cluster_bits) - 1) || (bytes && !at))
		return err_set(e, -EINVAL, "%s: the %s at 0x%" PRIx64 " does not start at a cluster", path,
			       what, at);
	if (!range_ok(at, bytes, file_bytes))
		return err_set(e, -EINVAL,
			       "%s: the %s (%" PRIu64 " bytes at 0x%" PRIx64
			       ") does not lie in the file of %" PRIu64 " bytes: is the file cut short?",
			       path, what, bytes, at, file_bytes);
	return 0;
}

static int check_tables(const struct qcow2_header *h, const char *path, uint64_t file_bytes, struct err *e)
{
	uint64_t span = 1ull << (2 * h->cluster_bits - 3), entries = h->size / span + !!(h->size % span);
	uint64_t rt_bytes = (uint64_t)h->rt_clusters << h->cluster_bits;
	int rc;

	if (h->size > INT64_MAX)
		return err_set(e, -EINVAL, "%s: the disk's size of %" PRIu64 " bytes is impossible", path,
			       h->size);
	if (h->l1_entries < entries || h->l1_entries > QCOW2_MAX_L1_BYTES / 8)
		return err_set(e, -EINVAL,
			       "%s: an L1 table of %u entries for a disk of %" PRIu64
			       " bytes, which needs %" PRIu64 " (at most %llu)",
			       path, h->l1_entries, h->size, entries, QCOW2_MAX_L1_BYTES / 8);
	if (!h->rt_clusters || rt_bytes > QCOW2_MAX_RT_BYTES)
		return err_set(e, -EINVAL, "%s: a refcount table of %u clusters: expected 1 to %llu", path,
			       h->rt_clusters, QCOW2_MAX_RT_BYTES >> h->cluster_bits);
	if (h->nr_snapshots > QCOW2_MAX_SNAPSHOTS)
		return err_set(e, -EINVAL, "%s: %u snapshots: at most %u are possible", path, h->nr_snapshots,
			       QCOW2_MAX_SNAPSHOTS);
	rc = check_table(path, "L1 table", h, h->l1_at, 8ull * h->l1_entries, file_bytes, e);
	if (!rc)
		rc = check_table(path, "refcount table", h, h->rt_at, rt_bytes,
				 align_up(file_bytes, 1ull << h->cluster_bits), e);
	if (!rc && h->nr_snapshots)
		rc = check_table(path, "snapshot table", h, h->snapshots_at, 1, file_bytes, e);
	return rc;
}

/* The fields that every version has, and the sizes that everything else depends on. */
static int decode(struct qcow2_header *h, const struct raw *raw, const char *path, struct err *e)
{
	const uint8_t *p = raw->bytes;
	uint32_t crypt;

	if (raw->len >= 4 && raw->len < QCOW2_HEADER_V2 && get_be32(p) == QCOW2_MAGIC)
		return err_set(e, -EINVAL, "%s: its header ends after %zu bytes: is the file cut short?", path,
			       (size_t)raw->len);
	if (raw->len < QCOW2_HEADER_V2 || get_be32(p) != QCOW2_MAGIC)
		return err_set(e, -EINVAL, "%s: this is not a qcow2 image; for a raw one give format=raw",
			       path);
	h->version = get_be32(p + 4);
	if (h->version != 2 && h->version != 3)
		return err_set(e, -ENOTSUP, "%s: qcow2 version %u: expected 2 or 3", path, h->version);
	h->cluster_bits = get_be32(p + 20);
	h->size = get_be64(p + 24);
	crypt = get_be32(p + 32);
	h->l1_entries = get_be32(p + 36);
	h->l1_at = get_be64(p + 40);
	h->rt_at = get_be64(p + QCOW2_AT_RT);
	h->rt_clusters = get_be32(p + 56);
	h->nr_snapshots = get_be32(p + 60);
	h->snapshots_at = get_be64(p + 64);
	h->refcount_order = 4;
	h->header_bytes = QCOW2_HEADER_V2;
	if (h->cluster_bits < 9 || h->cluster_bits > 21)
		return err_set(e, -EINVAL, "%s: clusters of 2^%u bytes: expected 2^9 (512) to 2^21 (2 MiB)",
			       path, h->cluster_bits);
	if (crypt)
		return err_set(e, -ENOTSUP,
			       "%s: it is encrypted (method %u), which trellis does not decrypt; "
			       "qemu-img convert -O qcow2 makes an image that is not",
			       path, crypt);
	if (h->version == 2)
		return 0;
	if (raw->len < QCOW2_HEADER_V3)
		return err_set(e, -EINVAL, "%s: the file ends in the header", path);
	h->incompatible = get_be64(p + QCOW2_AT_INCOMPATIBLE);
	h->compatible = get_be64(p + 80);
	h->autoclear = get_be64(p + QCOW2_AT_AUTOCLEAR);
	h->refcount_order = get_be32(p + 96);
	h->header_bytes = get_be32(p + 100);
	if (h->header_bytes < QCOW2_HEADER_V3 || h->header_bytes > MIN(raw->len, 1u << h->cluster_bits))
		return err_set(e, -EINVAL,
			       "%s: a header of %u bytes: expected 104 or more, inside the first cluster",
			       path, h->header_bytes);
	if (h->refcount_order > 6)
		return err_set(e, -EINVAL, "%s: refcounts of 2^%u bits: expected 1 to 64 bits", path,
			       h->refcount_order);
	return 0;
}

static int header_parse(const struct block_file *f, bool readonly, const struct raw *raw,
			struct qcow2_header *h, struct err *e)
{
	const uint8_t *table = NULL;
	size_t table_bytes = 0;
	uint64_t end;
	int rc = decode(h, raw, f->path, e);

	if (!rc)
		rc = read_backing_name(h, raw, f->path, e);
	if (rc)
		return rc;
	/* Extensions end where the name begins, which is behind them. */
	end = MIN(raw->len, 1ull << h->cluster_bits);
	if (h->has_backing && get_be64(raw->bytes + 8) > h->header_bytes)
		end = MIN(end, get_be64(raw->bytes + 8));
	rc = read_extensions(h, raw, end, f->path, &table, &table_bytes, e);
	if (!rc)
		rc = check_features(h, raw, f->path, readonly, table, table_bytes, e);
	if (!rc)
		rc = check_tables(h, f->path, f->bytes, e);
	return rc;
}

int qcow2_header_read(const struct block_file *f, bool readonly, struct qcow2_header *h, struct err *e)
{
	struct raw *raw = calloc(1, sizeof(*raw));
	int rc;

	memset(h, 0, sizeof(*h));
	if (!raw)
		return err_sys(e, -ENOMEM, "%s", f->path);
	raw->len = MIN(sizeof(raw->bytes), f->bytes);
	rc = block_file_read(f, 0, raw->bytes, raw->len);
	if (rc)
		err_sys(e, rc, "%s: cannot read the header", f->path);
	else
		rc = header_parse(f, readonly, raw, h, e);
	free(raw);
	return rc;
}
