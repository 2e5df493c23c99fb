/*
 * AML encodings (ACPI 6.5, 20.2 and, for resources, 6.4). Lengths are of variable size and stand in front
 * of what they measure: closing a term measures it and moves it up to make room. Terms nest a few levels
 * deep, so every byte moves a few times and the whole stays linear.
 */
#include "firmware/aml.h"

#include <assert.h>

/* The opcodes that only this file puts (20.3). */
enum {
	OP_ZERO = 0x00,
	OP_ONE = 0x01,
	OP_NAME = 0x08,
	OP_BYTE = 0x0a,
	OP_WORD = 0x0b,
	OP_DWORD = 0x0c,
	OP_STRING = 0x0d,
	OP_QWORD = 0x0e,
	OP_SCOPE = 0x10,
	OP_BUFFER = 0x11,
	OP_PACKAGE = 0x12,
	OP_METHOD = 0x14,
	OP_DUAL_NAME = 0x2e,
	OP_MULTI_NAME = 0x2f,
	OP_EXT = 0x5b,
	OP_EXT_DEVICE = 0x82,
	OP_IF = 0xa0,
	OP_ELSE = 0xa1,
	OP_ONES = 0xff,
};

enum { SEG_BYTES = 4 };

/* One NameSeg from path; returns what is behind it and its dot. */
static const char *put_segment(struct buf *b, const char *path)
{
	size_t len = strcspn(path, ".");

	assert(len >= 1 && len <= SEG_BYTES); /* names are constants of ours */
	buf_put(b, path, len);
	buf_put(b, "____", SEG_BYTES - len);
	return path[len] ? path + len + 1 : path + len;
}

void aml_put_path(struct buf *b, const char *path)
{
	unsigned int segments = 1;

	for (; *path == '\\' || *path == '^'; path++)
		buf_put8(b, (uint8_t)*path);
	for (const char *s = path; *s; s++)
		segments += *s == '.';
	if (segments == 2) {
		buf_put8(b, OP_DUAL_NAME);
	} else if (segments > 2) {
		buf_put8(b, OP_MULTI_NAME);
		buf_put8(b, (uint8_t)segments);
	}
	while (*path)
		path = put_segment(b, path);
}

void aml_put_integer(struct buf *b, uint64_t v)
{
	if (v == 0) {
		buf_put8(b, OP_ZERO);
	} else if (v == 1) {
		buf_put8(b, OP_ONE);
	} else if (v == UINT64_MAX) {
		buf_put8(b, OP_ONES);
	} else if (v <= UINT8_MAX) {
		buf_put8(b, OP_BYTE);
		buf_put8(b, (uint8_t)v);
	} else if (v <= UINT16_MAX) {
		buf_put8(b, OP_WORD);
		buf_put16(b, (uint16_t)v);
	} else if (v <= UINT32_MAX) {
		buf_put8(b, OP_DWORD);
		buf_put32(b, (uint32_t)v);
	} else {
		buf_put8(b, OP_QWORD);
		buf_put64(b, v);
	}
}

void aml_put_string(struct buf *b, const char *s)
{
	buf_put8(b, OP_STRING);
	buf_put(b, s, strlen(s) + 1);
}

static unsigned int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned int)(c - '0');
	return (unsigned int)((c | 0x20) - 'a' + 10);
}

/* Two hex digits. */
static uint8_t hex_byte(const char *s)
{
	return (uint8_t)(hex_digit(s[0]) << 4 | hex_digit(s[1]));
}

void aml_put_eisaid(struct buf *b, const char *id)
{
	unsigned int letters = 0;

	assert(strlen(id) == 7); /* ids are constants of ours */
	for (int i = 0; i < 3; i++)
		letters = letters << 5 | ((unsigned int)id[i] & 0x1f);
	/* Compressed letters and product number are big-endian bytes, and the integer is little-endian. */
	aml_put_integer(b, (uint32_t)hex_byte(id + 5) << 24 | (uint32_t)hex_byte(id + 3) << 16 |
				   (letters & 0xff) << 8 | letters >> 8);
}

void aml_put_uuid(struct buf *b, const char *text)
{
	/* Where each byte's digits are in aabbccdd-eeff-gghh-iijj-kkllmmnnoopp. */
	static const uint8_t digits[16] = { 6, 4, 2, 0, 11, 9, 16, 14, 19, 21, 24, 26, 28, 30, 32, 34 };
	size_t mark;

	assert(strlen(text) == 36); /* constants of ours */
	buf_put8(b, OP_BUFFER);
	mark = b->len;
	aml_put_integer(b, sizeof(digits));
	for (size_t i = 0; i < sizeof(digits); i++)
		buf_put8(b, hex_byte(text + digits[i]));
	aml_close(b, mark);
}

void aml_put_name(struct buf *b, const char *path)
{
	buf_put8(b, OP_NAME);
	aml_put_path(b, path);
}

void aml_put_name_integer(struct buf *b, const char *path, uint64_t v)
{
	aml_put_name(b, path);
	aml_put_integer(b, v);
}

void aml_put_name_string(struct buf *b, const char *path, const char *s)
{
	aml_put_name(b, path);
	aml_put_string(b, s);
}

void aml_put_name_eisaid(struct buf *b, const char *path, const char *id)
{
	aml_put_name(b, path);
	aml_put_eisaid(b, id);
}

/* The mark is where the length will stand; nothing is reserved for it. */
size_t aml_open_scope(struct buf *b, const char *path)
{
	size_t mark;

	buf_put8(b, OP_SCOPE);
	mark = b->len;
	aml_put_path(b, path);
	return mark;
}

size_t aml_open_device(struct buf *b, const char *path)
{
	size_t mark;

	buf_put8(b, OP_EXT);
	buf_put8(b, OP_EXT_DEVICE);
	mark = b->len;
	aml_put_path(b, path);
	return mark;
}

size_t aml_open_method(struct buf *b, const char *path, unsigned int nr_args)
{
	size_t mark;

	buf_put8(b, OP_METHOD);
	mark = b->len;
	aml_put_path(b, path);
	buf_put8(b, (uint8_t)nr_args); /* bit 3 clear: not serialized */
	return mark;
}

size_t aml_open_package(struct buf *b, unsigned int nr)
{
	size_t mark;

	buf_put8(b, OP_PACKAGE);
	mark = b->len;
	buf_put8(b, (uint8_t)nr);
	return mark;
}

size_t aml_open_if(struct buf *b)
{
	buf_put8(b, OP_IF);
	return b->len;
}

size_t aml_open_else(struct buf *b)
{
	buf_put8(b, OP_ELSE);
	return b->len;
}

/* Put bytes at off, moving what is there up. */
static void insert(struct buf *b, size_t off, const void *bytes, size_t len)
{
	size_t moved = b->len - off;

	buf_put_zero(b, len);
	if (b->failed)
		return;
	memmove(b->data + off + len, b->data + off, moved);
	memcpy(b->data + off, bytes, len);
}

/*
 * PkgLength (20.2.4) counts itself. One byte holds 6 bits; with n bytes more, the first has n in bits
 * 7:6 and the lowest 4 bits of the length, and the others follow in rising order.
 */
void aml_close(struct buf *b, size_t mark)
{
	uint8_t bytes[4];
	size_t body = b->len - mark, n = 1;

	if (b->failed)
		return;
	if (body + 1 < 1u << 6) {
		bytes[0] = (uint8_t)(body + 1);
	} else {
		for (n = 2; body + n >= 1ull << (4 + 8 * (n - 1)); n++)
			assert(n < sizeof(bytes)); /* nothing of ours reaches 256 MiB */
		bytes[0] = (uint8_t)((n - 1) << 6 | ((body + n) & 0xf));
		for (size_t i = 1; i < n; i++)
			bytes[i] = (uint8_t)((body + n) >> (8 * i - 4));
	}
	insert(b, mark, bytes, n);
}

void aml_put_op(struct buf *b, enum aml_op op)
{
	buf_put8(b, (uint8_t)op);
}

void aml_put_no_target(struct buf *b)
{
	buf_put8(b, OP_ZERO); /* NullName, 20.2.2 */
}

size_t aml_open_resources(struct buf *b)
{
	buf_put8(b, OP_BUFFER);
	return b->len;
}

void aml_close_resources(struct buf *b, size_t mark)
{
	struct buf size = { 0 };

	buf_put8(b, 0x79); /* end tag; checksum 0 says "take it as right" (6.4.2.9), and is what iasl writes */
	buf_put8(b, 0);
	aml_put_integer(&size, b->len - mark);
	b->failed |= size.failed;
	insert(b, mark, size.data, size.len);
	buf_fini(&size);
	aml_close(b, mark);
}

void aml_put_io(struct buf *b, uint16_t port, uint8_t len)
{
	buf_put8(b, 0x47); /* 6.4.2.5 */
	buf_put8(b, 1);    /* all 16 address lines are decoded */
	buf_put16(b, port);
	buf_put16(b, port);
	buf_put8(b, 1); /* alignment */
	buf_put8(b, len);
}

void aml_put_irq(struct buf *b, unsigned int irq)
{
	buf_put8(b, 0x22); /* 6.4.2.1 */
	buf_put16(b, (uint16_t)(1u << irq));
}

void aml_put_irq_shared(struct buf *b, unsigned int irq)
{
	buf_put8(b, 0x23);
	buf_put16(b, (uint16_t)(1u << irq));
	buf_put8(b, 1u << 4 | 1u << 0); /* shared, edge; bit 3 clear: active high */
}

void aml_put_memory32_fixed(struct buf *b, uint32_t base, uint32_t len)
{
	buf_put8(b, 0x86); /* 6.4.3.4 */
	buf_put16(b, 9);
	buf_put8(b, 1); /* writable */
	buf_put32(b, base);
	buf_put32(b, len);
}

/* Address spaces and the descriptors of the three widths (6.4.3.5). */
enum space { SPACE_MEMORY = 0, SPACE_IO = 1, SPACE_BUS = 2 };
enum width { WIDTH_WORD = 0x88, WIDTH_DWORD = 0x87, WIDTH_QWORD = 0x8a };

static void put_sized(struct buf *b, enum width width, uint64_t v)
{
	if (width == WIDTH_WORD)
		buf_put16(b, (uint16_t)v);
	else if (width == WIDTH_DWORD)
		buf_put32(b, (uint32_t)v);
	else
		buf_put64(b, v);
}

/* flags: those of the type of space. */
static void put_window(struct buf *b, enum width width, enum space space, uint8_t flags, uint64_t first,
		       uint64_t last)
{
	unsigned int bytes = width == WIDTH_WORD ? 2 : width == WIDTH_DWORD ? 4 : 8;

	buf_put8(b, (uint8_t)width);
	buf_put16(b, (uint16_t)(3 + 5 * bytes));
	buf_put8(b, (uint8_t)space);
	buf_put8(b, 1u << 3 | 1u << 2); /* maximum and minimum fixed, positive decode, producer */
	buf_put8(b, flags);
	put_sized(b, width, 0); /* granularity */
	put_sized(b, width, first);
	put_sized(b, width, last);
	put_sized(b, width, 0); /* translation */
	put_sized(b, width, last - first + 1);
}

void aml_put_bus_window(struct buf *b, uint16_t first, uint16_t last)
{
	put_window(b, WIDTH_WORD, SPACE_BUS, 0, first, last);
}

void aml_put_io_window(struct buf *b, uint16_t first, uint16_t last)
{
	put_window(b, WIDTH_WORD, SPACE_IO, 3, first, last); /* ISA and other addresses: the entire range */
}

void aml_put_memory32_window(struct buf *b, uint32_t base, uint32_t len)
{
	put_window(b, WIDTH_DWORD, SPACE_MEMORY, 1, base, (uint64_t)base + len - 1); /* writable, uncached */
}

void aml_put_memory64_window(struct buf *b, uint64_t base, uint64_t len)
{
	put_window(b, WIDTH_QWORD, SPACE_MEMORY, 1, base, base + len - 1);
}
