/*
 * Unit tests of inflate.c: each kind of block, each way to be malformed, and what Python's zlib makes (skipped
 * where there is no Python). Bits are written by hand where no compressor would.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "devices/block/inflate.h"

static uint8_t in[1024], out[4096];
static unsigned int nr_bits;

static void setup(void)
{
	memset(in, 0, sizeof(in));
	memset(out, 0xee, sizeof(out));
	nr_bits = 0;
}

/* Append n bits, lowest first (RFC 1951, 3.1.1). */
static void put(unsigned int v, unsigned int n)
{
	for (; n; n--, v >>= 1, nr_bits++)
		in[nr_bits / 8] |= (uint8_t)((v & 1) << (nr_bits % 8));
}

/* Append a Huffman code: highest bit first. */
static void put_code(unsigned int v, unsigned int n)
{
	while (n--)
		put(v >> n & 1, 1);
}

static int64_t run(size_t room)
{
	return inflate_raw(out, room, in, (nr_bits + 7) / 8);
}

/* Begin a dynamic block; lengths of the code length code for 16 17 18 0 8 7 9 6 10 5 11 4 12 3 13 2 14 1 15. */
static void put_dynamic(unsigned int hlit, unsigned int hdist, const char *lengths)
{
	put(1, 1);
	put(2, 2);
	put(hlit, 5);
	put(hdist, 5);
	put((unsigned int)strlen(lengths) - 4, 4);
	for (; *lengths; lengths++)
		put((unsigned int)(*lengths - '0'), 3);
}

START_TEST(stored_block_is_copied)
{
	const uint8_t block[] = { 1, 3, 0, 0xfc, 0xff, 'a', 'b', 'c' };

	ck_assert_int_eq(inflate_raw(out, sizeof(out), block, sizeof(block)), 3);
	ck_assert_mem_eq(out, "abc\xee", 4);
	ck_assert_int_eq(inflate_raw(out, sizeof(out), block, sizeof(block) - 1), -EINVAL);
	ck_assert_int_eq(inflate_raw(out, 2, block, sizeof(block)),
			 2); /* what did not fit is not looked at */
}
END_TEST

START_TEST(stored_block_after_a_coded_one_begins_at_a_byte)
{
	put(0, 1);
	put(1, 2);
	put_code(0x30 + 'x', 8);
	put_code(0, 7);
	put(1, 1);
	put(0, 2);
	nr_bits = (nr_bits + 7) / 8 * 8;
	put(0xfffd0002, 32);
	put('y', 8);
	put('z', 8);
	ck_assert_int_eq(run(sizeof(out)), 3);
	ck_assert_mem_eq(out, "xyz\xee", 4);
}
END_TEST

START_TEST(stored_block_with_wrong_complement_is_refused)
{
	const uint8_t block[] = { 1, 3, 0, 0xfd, 0xff, 'a', 'b', 'c' };

	ck_assert_int_eq(inflate_raw(out, sizeof(out), block, sizeof(block)), -EINVAL);
}
END_TEST

START_TEST(repeat_may_overlap_itself)
{
	put(1, 1);
	put(1, 2);
	put_code(0x30 + 'a', 8);
	put_code(8, 7); /* 264: length 10 */
	put_code(0, 5); /* distance 1 */
	put_code(0, 7);
	ck_assert_int_eq(run(sizeof(out)), 11);
	ck_assert_mem_eq(out, "aaaaaaaaaaa\xee", 12);
}
END_TEST

START_TEST(output_stops_where_there_is_no_room)
{
	put(1, 1);
	put(1, 2);
	put_code(0x30 + 'a', 8);
	put_code(8, 7);
	put_code(0, 5);
	for (size_t room = 0; room < 11; room++) {
		memset(out, 0xee, sizeof(out));
		ck_assert_int_eq(run(room), room);
		ck_assert_uint_eq(out[room], 0xee);
	}
}
END_TEST

START_TEST(distance_before_the_start_is_refused)
{
	put(1, 1);
	put(1, 2);
	put_code(0x30 + 'a', 8);
	put_code(1, 7); /* length 3 */
	put_code(1, 5); /* distance 2 */
	put_code(0, 7);
	ck_assert_int_eq(run(sizeof(out)), -EINVAL);
}
END_TEST

START_TEST(symbols_that_are_never_used_are_refused)
{
	for (unsigned int i = 0; i < 4; i++) {
		setup();
		put(1, 1);
		put(1, 2);
		put_code(0x30 + 'a', 8);
		if (i < 2) {
			put_code(0xc6 + i, 8); /* literal/length 286, 287 */
		} else {
			put_code(1, 7);
			put_code(28 + i, 5); /* distance 30, 31 */
		}
		put(0, 32);
		ck_assert_int_eq(run(sizeof(out)), -EINVAL);
	}
}
END_TEST

START_TEST(reserved_block_type_is_refused)
{
	put(7, 3);
	put(0, 32);
	ck_assert_int_eq(run(sizeof(out)), -EINVAL);
}
END_TEST

START_TEST(every_cut_of_a_stream_is_refused)
{
	put(1, 1);
	put(1, 2);
	for (int i = 0; i < 20; i++)
		put_code(0x30 + 'a', 8);
	put_code(0, 7);
	for (size_t len = 0; len < (nr_bits + 7) / 8; len++)
		ck_assert_int_eq(inflate_raw(out, sizeof(out), in, len), -EINVAL);
	ck_assert_int_eq(run(sizeof(out)), 20);
}
END_TEST

START_TEST(too_many_symbols_are_refused)
{
	put_dynamic(30, 0, "1111");
	put(0, 64);
	ck_assert_int_eq(run(sizeof(out)), -EINVAL);
	setup();
	put_dynamic(0, 30, "1111");
	put(0, 64);
	ck_assert_int_eq(run(sizeof(out)), -EINVAL);
}
END_TEST

START_TEST(code_length_code_must_be_complete)
{
	static const char *const wrong[] = { "1110", "1000", "0000", "2220", "7777" };

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		setup();
		put_dynamic(0, 0, wrong[i]);
		put(0, 128);
		ck_assert_int_eq(run(sizeof(out)), -EINVAL);
	}
}
END_TEST

START_TEST(repeating_no_length_or_too_many_is_refused)
{
	put_dynamic(0, 0, "1001"); /* 16: code 1, 0: code 0 */
	put_code(1, 1);
	put(0, 64);
	ck_assert_int_eq(run(sizeof(out)), -EINVAL);
	setup();
	put_dynamic(0, 0, "0011"); /* 18: code 1 */
	for (int i = 0; i < 2; i++) {
		put_code(1, 1);
		put(127, 7); /* 138 twice are more than 258 */
	}
	put(0, 64);
	ck_assert_int_eq(run(sizeof(out)), -EINVAL);
}
END_TEST

/* Lengths for 'a' (or nothing) and the end of the block, one distance code or none. */
static void put_small_block(unsigned int length_a, unsigned int length_end, unsigned int length_distance)
{
	/* 1: 0; 0: 10; 18: 11 */
	put_dynamic(0, 0, "002200000000000001");
	for (unsigned int i = 0; i < 97; i++)
		put_code(2, 2);
	put_code(length_a ? 0 : 2, length_a ? 1 : 2);
	for (unsigned int i = 98; i < 256; i++)
		put_code(2, 2);
	put_code(length_end ? 0 : 2, length_end ? 1 : 2);
	put_code(length_distance ? 0 : 2, length_distance ? 1 : 2);
}

START_TEST(block_without_an_end_is_refused)
{
	put_small_block(1, 0, 0);
	put(0, 32);
	ck_assert_int_eq(run(sizeof(out)), -EINVAL);
}
END_TEST

START_TEST(block_without_distances_may_have_literals)
{
	put_small_block(1, 1, 0);
	put_code(0, 1);
	put_code(0, 1);
	put_code(1, 1);
	ck_assert_int_eq(run(sizeof(out)), 2);
	ck_assert_mem_eq(out, "aa\xee", 3);
}
END_TEST

START_TEST(code_of_one_symbol_has_no_other)
{
	put_small_block(0, 1, 1);
	put_code(0, 1);
	ck_assert_int_eq(run(sizeof(out)), 0);
	setup();
	put_small_block(0, 1, 1);
	put_code(1, 1);
	put(0, 32);
	ck_assert_int_eq(run(sizeof(out)), -EINVAL);
}
END_TEST

START_TEST(what_zlib_makes_is_read)
{
	static const char script[] = "import zlib,random,struct,sys\n"
				     "random.seed(7)\n"
				     "for n in range(40):\n"
				     "  k=random.choice([2,5,60,256]); s=bytes(random.randrange(k) for i in "
				     "range(random.randrange(9000)))\n"
				     "  s+=s[:random.randrange(len(s)+1)]*random.randrange(4)\n"
				     "  "
				     "c=zlib.compressobj(random.choice([0,1,6,9]),8,random.choice([-9,-12,-"
				     "15]),8,random.randrange(5))\n"
				     "  d=c.compress(s)+c.flush(); "
				     "sys.stdout.buffer.write(struct.pack('<II',len(s),len(d))+s+d)\n";
	char command[1024];
	uint32_t len[2];
	FILE *p;

	snprintf(command, sizeof(command), "python3 - <<'EOF'\n%s\nEOF\n", script);
	p = system("command -v python3 >/dev/null") ? NULL : popen(command, "r");
	if (!p) {
		printf("SKIP %s: no python3\n", __func__);
		return;
	}
	for (unsigned int n = 0; n < 40; n++) {
		uint8_t *want, *deflated, *got;

		ck_assert_uint_eq(fread(len, 4, 2, p), 2);
		want = malloc(len[0] + 1);
		got = malloc(len[0] + 1);
		deflated = malloc(len[1]);
		ck_assert_uint_eq(fread(want, 1, len[0], p), len[0]);
		ck_assert_uint_eq(fread(deflated, 1, len[1], p), len[1]);
		ck_assert_int_eq(inflate_raw(got, len[0] + 1, deflated, len[1]), len[0]);
		ck_assert(!memcmp(want, got, len[0]));
		free(want);
		free(got);
		free(deflated);
	}
	pclose(p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("inflate");
	TCase *t = tcase_create("inflate");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, stored_block_is_copied);
	tcase_add_test(t, stored_block_after_a_coded_one_begins_at_a_byte);
	tcase_add_test(t, stored_block_with_wrong_complement_is_refused);
	tcase_add_test(t, repeat_may_overlap_itself);
	tcase_add_test(t, output_stops_where_there_is_no_room);
	tcase_add_test(t, distance_before_the_start_is_refused);
	tcase_add_test(t, symbols_that_are_never_used_are_refused);
	tcase_add_test(t, reserved_block_type_is_refused);
	tcase_add_test(t, every_cut_of_a_stream_is_refused);
	tcase_add_test(t, too_many_symbols_are_refused);
	tcase_add_test(t, code_length_code_must_be_complete);
	tcase_add_test(t, repeating_no_length_or_too_many_is_refused);
	tcase_add_test(t, block_without_an_end_is_refused);
	tcase_add_test(t, block_without_distances_may_have_literals);
	tcase_add_test(t, code_of_one_symbol_has_no_other);
	tcase_add_test(t, what_zlib_makes_is_read);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
