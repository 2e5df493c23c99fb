/*
 * A decoder of raw deflate. Section numbers are those of RFC 1951. Speed comes from one table look-up for
 * codes of up to FAST_BITS bits; longer ones are decoded bit by bit from the counts of the canonical code.
 */
#include "devices/block/inflate.h"

#include <errno.h>

enum {
	MAX_BITS = 15, /* longest code, 3.2.7 */
	FAST_BITS = 9,
	MAX_LITERALS = 286,
	MAX_DISTANCES = 30,
	LENGTH_CODES = 19, /* of the code that codes the lengths, 3.2.7 */
	END_OF_BLOCK = 256,
};

struct input {
	const uint8_t *at, *end;
	uint64_t bits;   /* not yet used, the next one lowest */
	unsigned int nr; /* how many of them are there */
};

struct output {
	uint8_t *start, *at, *end;
};

/* A canonical code: how many codes of each length there are, and their symbols in order. */
struct code {
	uint16_t count[MAX_BITS + 1];
	uint16_t symbol[288];
	uint16_t fast[1 << FAST_BITS]; /* symbol << 4 | length, by the next bits; 0: a longer code, or none */
};

/* Have n bits at hand (n up to 32), if the input still has them. */
static bool input_fill(struct input *in, unsigned int n)
{
	while (in->nr < n && in->at < in->end) {
		in->bits |= (uint64_t)*in->at++ << in->nr;
		in->nr += 8;
	}
	return in->nr >= n;
}

static void input_drop(struct input *in, unsigned int n)
{
	in->bits >>= n;
	in->nr -= n;
}

/* The next n bits (up to 16), lowest first (3.1.1); negative when the input is over. */
static int input_take(struct input *in, unsigned int n)
{
	int v;

	if (!input_fill(in, n))
		return -EINVAL;
	v = (int)(in->bits & ((1u << n) - 1));
	input_drop(in, n);
	return v;
}

static unsigned int reverse(unsigned int v, unsigned int bits)
{
	unsigned int r = 0;

	for (; bits; bits--, v >>= 1)
		r = r << 1 | (v & 1);
	return r;
}

/*
 * Build the code whose symbols have these lengths (3.2.2). A set of lengths which describes more codes than
 * there are, or leaves some undefined, is refused; but for what 3.2.7 allows: one distance code of one bit,
 * or none at all (may_lack).
 */
static int code_build(struct code *c, const uint8_t *length, unsigned int nr, bool may_lack)
{
	uint16_t start[MAX_BITS + 2] = { 0 };
	unsigned int next[MAX_BITS + 2] = { 0 };
	int left = 1;

	memset(c->count, 0, sizeof(c->count));
	memset(c->fast, 0, sizeof(c->fast));
	for (unsigned int i = 0; i < nr; i++)
		c->count[length[i]]++;
	for (unsigned int bits = 1; bits <= MAX_BITS; bits++) {
		left = 2 * left - c->count[bits];
		if (left < 0)
			return -EINVAL;
		start[bits + 1] = start[bits] + c->count[bits];
		next[bits + 1] = (next[bits] + c->count[bits]) << 1;
	}
	if (left > 0 && !(may_lack && nr - c->count[0] == c->count[1] && c->count[1] <= 1))
		return -EINVAL;
	for (unsigned int i = 0; i < nr; i++) {
		unsigned int bits = length[i], code;

		if (!bits)
			continue;
		c->symbol[start[bits]++] = (uint16_t)i;
		code = next[bits]++;
		if (bits > FAST_BITS)
			continue;
		for (code = reverse(code, bits); code < 1 << FAST_BITS; code += 1u << bits)
			c->fast[code] = (uint16_t)(i << 4 | bits);
	}
	return 0;
}

/* The next symbol; negative when the bits are no code, or the input is over. */
static int code_take(const struct code *c, struct input *in)
{
	unsigned int entry, code = 0, first = 0, index = 0;

	(void)input_fill(in, MAX_BITS); /* near the end there are fewer: checked below */
	entry = c->fast[in->bits & ((1 << FAST_BITS) - 1)];
	if (entry && (entry & 15) <= in->nr) {
		input_drop(in, entry & 15);
		return (int)(entry >> 4);
	}
	for (unsigned int bits = 1; bits <= MAX_BITS && bits <= in->nr; bits++) {
		code |= (unsigned int)(in->bits >> (bits - 1)) & 1;
		if (code - first < c->count[bits]) {
			input_drop(in, bits);
			return c->symbol[index + (code - first)];
		}
		index += c->count[bits];
		first = (first + c->count[bits]) << 1;
		code <<= 1;
	}
	return -EINVAL;
}

/* 3.2.4: LEN, its complement, and LEN bytes as they are, from the next byte boundary. */
static int block_stored(struct input *in, struct output *out)
{
	int len, complement;
	size_t n;

	input_drop(in, in->nr % 8);
	len = input_take(in, 16);
	complement = input_take(in, 16);
	if (len < 0 || complement < 0 || len != (complement ^ 0xffff))
		return -EINVAL;
	in->at -= in->nr / 8; /* bytes that were looked at too early */
	in->bits = 0;
	in->nr = 0;
	n = MIN((size_t)len, (size_t)(out->end - out->at));
	if ((size_t)(in->end - in->at) < n)
		return -EINVAL;
	memcpy(out->at, in->at, n);
	out->at += n;
	in->at += len <= in->end - in->at ? len : in->end - in->at;
	return 0;
}

/* Repeat length bytes from distance bytes back; they may overlap what is being written (3.2.3). */
static int output_repeat(struct output *out, size_t length, size_t distance)
{
	const uint8_t *from;

	if (distance > (size_t)(out->at - out->start))
		return -EINVAL;
	from = out->at - distance;
	length = MIN(length, (size_t)(out->end - out->at));
	if (distance >= length) {
		memcpy(out->at, from, length);
		out->at += length;
		return 0;
	}
	while (length--)
		*out->at++ = *from++;
	return 0;
}

/* A length and distance pair; symbol is that of the length (3.2.5). */
static int block_repeat(struct input *in, struct output *out, unsigned int symbol,
			const struct code *distances)
{
	static const uint16_t length_base[] = { 3,  4,  5,  6,   7,   8,   9,   10,  11, 13,
						15, 17, 19, 23,  27,  31,  35,  43,  51, 59,
						67, 83, 99, 115, 131, 163, 195, 227, 258 };
	static const uint8_t length_extra[] = { 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
						2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0 };
	static const uint16_t distance_base[] = { 1,    2,    3,    4,     5,     7,    9,    13,
						  17,   25,   33,   49,    65,    97,   129,  193,
						  257,  385,  513,  769,   1025,  1537, 2049, 3073,
						  4097, 6145, 8193, 12289, 16385, 24577 };
	int extra, d;
	size_t length;

	symbol -= END_OF_BLOCK + 1;
	if (symbol >= ARRAY_SIZE(length_base))
		return -EINVAL;
	extra = input_take(in, length_extra[symbol]);
	if (extra < 0)
		return -EINVAL;
	length = length_base[symbol] + (size_t)extra;
	d = code_take(distances, in);
	if (d < 0 || d >= MAX_DISTANCES)
		return -EINVAL;
	extra = input_take(in, d < 2 ? 0 : (unsigned int)d / 2 - 1);
	if (extra < 0)
		return -EINVAL;
	return output_repeat(out, length, distance_base[d] + (size_t)extra);
}

static int block_coded(struct input *in, struct output *out, const struct code *literals,
		       const struct code *distances)
{
	while (out->at < out->end) {
		int symbol = code_take(literals, in), rc;

		if (symbol < 0)
			return symbol;
		if (symbol == END_OF_BLOCK)
			return 0;
		if (symbol < END_OF_BLOCK) {
			*out->at++ = (uint8_t)symbol;
			continue;
		}
		rc = block_repeat(in, out, (unsigned int)symbol, distances);
		if (rc)
			return rc;
	}
	return 0;
}

/* 3.2.6 */
static int block_fixed(struct input *in, struct output *out, struct code *literals, struct code *distances)
{
	uint8_t length[288];

	memset(length, 8, 144);
	memset(length + 144, 9, 112);
	memset(length + 256, 7, 24);
	memset(length + 280, 8, 8);
	if (code_build(literals, length, 288, false))
		return -EINVAL;
	memset(length, 5, 32); /* 30 and 31 are never used, but complete the code */
	if (code_build(distances, length, 32, false))
		return -EINVAL;
	return block_coded(in, out, literals, distances);
}

/* The lengths of nr codes, themselves coded (3.2.7). lengths: the code for them */
static int lengths_take(struct input *in, const struct code *lengths, uint8_t *length, unsigned int nr)
{
	for (unsigned int i = 0; i < nr;) {
		int symbol = code_take(lengths, in), repeat;
		uint8_t value = 0;

		if (symbol < 0)
			return -EINVAL;
		if (symbol < 16) {
			length[i++] = (uint8_t)symbol;
			continue;
		}
		if (symbol == 16) {
			if (!i)
				return -EINVAL;
			value = length[i - 1];
			repeat = input_take(in, 2);
		} else {
			repeat = symbol == 17 ? input_take(in, 3) : input_take(in, 7);
		}
		if (repeat < 0)
			return -EINVAL;
		repeat += symbol == 18 ? 11 : 3;
		if ((unsigned int)repeat > nr - i)
			return -EINVAL;
		memset(length + i, value, (size_t)repeat);
		i += (unsigned int)repeat;
	}
	return 0;
}

/* 3.2.7 */
static int block_dynamic(struct input *in, struct output *out, struct code *literals, struct code *distances)
{
	static const uint8_t order[LENGTH_CODES] = { 16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
						     11, 4,  12, 3, 13, 2, 14, 1, 15 };
	uint8_t length[MAX_LITERALS + MAX_DISTANCES] = { 0 };
	int hlit = input_take(in, 5), hdist = input_take(in, 5), hclen = input_take(in, 4);
	unsigned int nr_literals, nr_distances;

	if (hlit < 0 || hdist < 0 || hclen < 0)
		return -EINVAL;
	nr_literals = (unsigned int)hlit + 257;
	nr_distances = (unsigned int)hdist + 1;
	if (nr_literals > MAX_LITERALS || nr_distances > MAX_DISTANCES)
		return -EINVAL;
	for (int i = 0; i < hclen + 4; i++) {
		int v = input_take(in, 3);

		if (v < 0)
			return -EINVAL;
		length[order[i]] = (uint8_t)v;
	}
	if (code_build(literals, length, LENGTH_CODES, false) ||
	    lengths_take(in, literals, length, nr_literals + nr_distances) || !length[END_OF_BLOCK] ||
	    code_build(literals, length, nr_literals, true) ||
	    code_build(distances, length + nr_literals, nr_distances, true))
		return -EINVAL;
	return block_coded(in, out, literals, distances);
}

int64_t inflate_raw(uint8_t *out, size_t out_len, const uint8_t *in, size_t in_len)
{
	struct input input = { .at = in, .end = in + in_len };
	struct output output = { .start = out, .at = out, .end = out + out_len };
	struct code literals, distances;

	while (output.at < output.end) {
		int last = input_take(&input, 1), type = input_take(&input, 2), rc = -EINVAL;

		if (last < 0 || type < 0)
			return -EINVAL;
		if (type == 0)
			rc = block_stored(&input, &output);
		else if (type == 1)
			rc = block_fixed(&input, &output, &literals, &distances);
		else if (type == 2)
			rc = block_dynamic(&input, &output, &literals, &distances);
		if (rc)
			return rc;
		if (last)
			break;
	}
	return output.at - output.start;
}
