/*
 * Unit tests of feature.c, feature_set.c and the table of features. That a bit has the right meaning no test here can
 * tell: a few well-known ones stand for all.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/cpu/cpuid_internal.h"
#include "vmm/cpu/feature_set.h"

static struct cpuid_table table;
static struct feature_graph g;

static void setup(void)
{
	table.nent = 0;
	feature_graph_init(&g);
}

static unsigned int number(const char *name)
{
	const struct feature *f = feature_find(name);

	ck_assert_msg(f != NULL, "%s is unknown", name);
	return (unsigned int)(f - features);
}

/* ---- the table ---- */

/* Does a list of words, separated by one blank, have this one? */
static bool has_word(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = list; at && *at; at += strcspn(at, " "), at += *at == ' ')
		if (strcspn(at, " ") == len && !strncmp(at, word, len))
			return true;
	return false;
}

START_TEST(features_are_in_order_and_no_bit_is_there_twice)
{
	for (const struct feature *f = features; f[0].name && f[1].name; f++) {
		uint64_t a = (uint64_t)f[0].leaf << 32 | f[0].index << 16 | f[0].reg << 8 | f[0].bit;
		uint64_t b = (uint64_t)f[1].leaf << 32 | f[1].index << 16 | f[1].reg << 8 | f[1].bit;

		ck_assert_msg(a < b, "%s and %s", f[0].name, f[1].name);
	}
}
END_TEST

START_TEST(no_name_is_there_twice)
{
	for (const struct feature *f = features; f->name; f++) {
		ck_assert_ptr_eq(feature_find(f->name), f);
		for (const struct feature *o = features; o->name; o++)
			ck_assert_msg(!has_word(o->alias, f->name), "%s is also an alias of %s", f->name,
				      o->name);
	}
}
END_TEST

START_TEST(every_need_is_a_feature_and_nothing_needs_itself)
{
	for (unsigned int i = 0; features[i].name; i++) {
		struct feature_set s = { 0 };
		char word[32];
		unsigned int needs = 0;

		for (const char *at = features[i].needs; at && *at;
		     at += strlen(word) + (at[strlen(word)] == ' ')) {
			snprintf(word, sizeof(word), "%.*s", (int)strcspn(at, " "), at);
			ck_assert_uint_eq(g.needs[i][needs], number(word) + 1);
			ck_assert_str_eq(features[number(word)].name, word); /* no aliases */
			needs++;
		}
		ck_assert_uint_le(needs, FEATURE_MAX_NEEDS);
		for (unsigned int n = 0; n < FEATURE_MAX_NEEDS && g.needs[i][n]; n++)
			set_put_needs(&g, &s, g.needs[i][n] - 1u);
		ck_assert_msg(!set_has(&s, i), "%s needs itself", features[i].name);
	}
}
END_TEST

/* From the manuals' figures, by hand. */
static const struct {
	const char *name;
	uint32_t leaf, index;
	enum cpuid_reg reg;
	unsigned int bit;
} known[] = {
	{ "pni", 1, 0, CPUID_ECX, 0 },
	{ "sse3", 1, 0, CPUID_ECX, 0 },
	{ "sse4.1", 1, 0, CPUID_ECX, 19 },
	{ "sse4-2", 1, 0, CPUID_ECX, 20 },
	{ "SSE4_2", 1, 0, CPUID_ECX, 20 },
	{ "tsc-deadline", 1, 0, CPUID_ECX, 24 },
	{ "pclmuldq", 1, 0, CPUID_ECX, 1 },
	{ "hypervisor", 1, 0, CPUID_ECX, 31 },
	{ "fpu", 1, 0, CPUID_EDX, 0 },
	{ "ds", 1, 0, CPUID_EDX, 21 },
	{ "arat", 6, 0, CPUID_EAX, 2 },
	{ "avx2", 7, 0, CPUID_EBX, 5 },
	{ "sha-ni", 7, 0, CPUID_EBX, 29 },
	{ "la57", 7, 0, CPUID_ECX, 16 },
	{ "avx512vnni", 7, 0, CPUID_ECX, 11 },
	{ "avx512-vpopcntdq", 7, 0, CPUID_ECX, 14 },
	{ "spec-ctrl", 7, 0, CPUID_EDX, 26 },
	{ "amx-tile", 7, 0, CPUID_EDX, 24 },
	{ "avx512_bf16", 7, 1, CPUID_EAX, 5 },
	{ "prefetchiti", 7, 1, CPUID_EDX, 14 },
	{ "bhi-ctrl", 7, 2, CPUID_EDX, 4 },
	{ "xsaves", 0xd, 1, CPUID_EAX, 3 },
	{ "kvmclock", 0x40000001, 0, CPUID_EAX, 3 },
	{ "kvm-pv-eoi", 0x40000001, 0, CPUID_EAX, 6 },
	{ "kvm-steal-time", 0x40000001, 0, CPUID_EAX, 5 },
	{ "lahf-lm", 0x80000001, 0, CPUID_ECX, 0 },
	{ "svm", 0x80000001, 0, CPUID_ECX, 2 },
	{ "topoext", 0x80000001, 0, CPUID_ECX, 22 },
	{ "i64", 0x80000001, 0, CPUID_EDX, 29 },
	{ "xd", 0x80000001, 0, CPUID_EDX, 20 },
	{ "ffxsr", 0x80000001, 0, CPUID_EDX, 25 },
	{ "invtsc", 0x80000007, 0, CPUID_EDX, 8 },
	{ "amd-ssbd", 0x80000008, 0, CPUID_EBX, 24 },
	{ "nrip-save", 0x8000000a, 0, CPUID_EDX, 3 },
	{ "auto-ibrs", 0x80000021, 0, CPUID_EAX, 8 },
};

START_TEST(feature_is_found_where_the_manual_has_it)
{
	const struct feature *f = feature_find(known[_i].name);

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(f->leaf, known[_i].leaf);
	ck_assert_uint_eq(f->index, known[_i].index);
	ck_assert_uint_eq(f->reg, known[_i].reg);
	ck_assert_uint_eq(f->bit, known[_i].bit);
}
END_TEST

static const char *const unknown[] = { "", "a", "avx-", "avx 2", "sse4.1 sse41", "avx2x", "av", " avx" };

START_TEST(unknown_name_is_not_found)
{
	ck_assert_ptr_null(feature_find(unknown[_i]));
}
END_TEST

static const struct {
	const char *said, *meant; /* NULL: nothing is near */
} likenesses[] = {
	{ "avx521f", "avx512f" },
	{ "AVX512-F", "avx512f" },
	{ "avx22", "avx2" },
	{ "ssse4_2", "sse4_2" },
	{ "kvm-pv-eio", "kvm_pv_eoi" },
	{ "tsc_dead", "tsc_deadline_timer" },
	{ "av", "avx" },
	{ "foo", NULL },
	{ "xyzzyplugh", NULL },
	{ "", NULL },
	{ "q", NULL },
	{ "a_very_long_name_of_a_feature_which_no_processor_ever_had_nor_will_have", NULL },
};

START_TEST(nearest_name_is_told)
{
	const char *got = feature_nearest(likenesses[_i].said);

	ck_assert_msg(likenesses[_i].meant ? got && !strcmp(got, likenesses[_i].meant) : !got, "%s: %s",
		      likenesses[_i].said, got ? got : "(none)");
}
END_TEST

START_TEST(distance_counts_letters)
{
	ck_assert_uint_eq(feature_distance("kitten", "sitting"), 3);
	ck_assert_uint_eq(feature_distance("avx", "axv"), 1);
	ck_assert_uint_eq(feature_distance("axv2", "avx2"), 1);
	ck_assert_uint_eq(feature_distance("", "abc"), 3);
	ck_assert_uint_eq(feature_distance("abc", ""), 3);
	ck_assert_uint_eq(feature_distance("AVX-2", "avx_2"), 0);
}
END_TEST

/* ---- bits in tables ---- */

START_TEST(feature_is_written_and_read_back)
{
	const struct feature *f = &features[_i];
	const struct kvm_cpuid_entry2 *c;

	ck_assert(!feature_get(&table, f));
	ck_assert_int_eq(feature_set(&table, f, false), 0);
	ck_assert_uint_eq(table.nent, 0);
	ck_assert_int_eq(feature_set(&table, f, true), 0);
	ck_assert(feature_get(&table, f));
	c = cpuid_get(&table, f->leaf, f->index);
	ck_assert_uint_eq(cpuid_reg_get(c, f->reg), 1u << f->bit);
	ck_assert_uint_eq(c->index, f->index);
	ck_assert_int_eq(feature_set(&table, f, false), 0);
	ck_assert_uint_eq(c->eax | c->ebx | c->ecx | c->edx, 0);
	ck_assert_uint_eq(table.nent, 1);
}
END_TEST

START_TEST(feature_in_a_full_table_is_refused)
{
	while (cpuid_add(&table, 0x40000100, (int)table.nent))
		;
	ck_assert_int_eq(feature_set(&table, feature_find("avx2"), true), -ENOSPC);
	ck_assert_int_eq(feature_set(&table, feature_find("avx2"), false), 0);
}
END_TEST

START_TEST(set_is_written_and_read_back)
{
	struct feature_set s = { 0 }, got;

	for (unsigned int i = 0; i < g.nr; i += 3)
		set_put(&s, i);
	ck_assert_int_eq(set_write(&s, &table), 0);
	set_read(&got, &table);
	ck_assert_mem_eq(&got, &s, sizeof(s));
}
END_TEST

START_TEST(writing_a_set_keeps_bits_without_a_name_and_clears_the_others)
{
	struct feature_set s = { 0 };
	struct kvm_cpuid_entry2 *c = cpuid_add(&table, 1, -1);

	c->edx = UINT32_MAX;
	set_put(&s, number("fpu"));
	ck_assert_int_eq(set_write(&s, &table), 0);
	ck_assert_uint_eq(c->edx, 1u | 1u << 10 | 1u << 20);
}
END_TEST

START_TEST(limits_rise_to_the_leaf_that_a_feature_is_in)
{
	struct feature_set s = { 0 };

	cpuid_add(&table, 0, -1)->eax = 2;
	cpuid_add(&table, 7, 0);
	cpuid_add(&table, 0x80000000, -1)->eax = 0x80000001;
	set_put_names(&g, &s, "bhi_ctrl auto_ibrs kvmclock");
	ck_assert_int_eq(set_write(&s, &table), 0);
	ck_assert_uint_eq(cpuid_get(&table, 0, 0)->eax, 7);
	ck_assert_uint_eq(cpuid_get(&table, 7, 0)->eax, 2);
	ck_assert_uint_eq(cpuid_get(&table, 0x80000000, 0)->eax, 0x80000021);
}
END_TEST

/* ---- sets ---- */

static struct feature_set set_of(const char *names)
{
	struct feature_set s = { 0 };

	set_put_names(&g, &s, names);
	return s;
}

START_TEST(needs_are_put_with_a_feature)
{
	struct feature_set s = { 0 };

	set_put_needs(&g, &s, number("vaes"));
	for (const char *const *n =
		     (const char *const[]){ "vaes", "avx", "aes", "xsave", "sse4_2", "fxsr", NULL };
	     *n; n++)
		ck_assert_msg(set_has(&s, number(*n)), "%s", *n);
	ck_assert(!set_has(&s, number("avx2")));
}
END_TEST

START_TEST(closing_takes_out_what_lacks_something)
{
	struct feature_set s = { 0 };

	set_put_needs(&g, &s, number("avx512_vbmi2"));
	set_put_needs(&g, &s, number("vaes"));
	set_take(&s, number("avx2"));
	set_close(&g, &s);
	ck_assert(!set_has(&s, number("avx512f")));
	ck_assert(!set_has(&s, number("avx512bw")));
	ck_assert(!set_has(&s, number("avx512_vbmi2")));
	ck_assert(set_has(&s, number("vaes")));
	ck_assert(set_has(&s, number("f16c")));
}
END_TEST

START_TEST(sets_are_added_subtracted_and_counted)
{
	struct feature_set a = set_of("avx avx2 kvmclock"), b = set_of("avx2 svm"), s;

	ck_assert_uint_eq(set_count(&a), 3);
	s = set_without(a, &b);
	ck_assert(set_has(&s, number("avx")) && !set_has(&s, number("avx2")) && set_count(&s) == 2);
	s = set_with(a, &b);
	ck_assert_uint_eq(set_count(&s), 4);
	s = set_common(a, &b);
	ck_assert(set_has(&s, number("avx2")) && set_count(&s) == 1);
}
END_TEST

START_TEST(names_are_listed_and_cut_where_there_is_no_room)
{
	struct feature_set s = set_of("pni ssse3 avx avx2");
	char buf[64];

	ck_assert_str_eq(set_names(&s, ", ", "+", buf, sizeof(buf)), "+pni, +ssse3, +avx, +avx2");
	ck_assert_str_eq(set_names(&s, ",", "", buf, 36), "pni,ssse3 and 2 more");
	s = set_of(NULL);
	ck_assert_str_eq(set_names(&s, ",", "", buf, sizeof(buf)), "");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("feature");
	TCase *c = tcase_create("feature");
	SRunner *sr;
	int failed, nr = 0;

	while (features[nr].name)
		nr++;
	tcase_add_checked_fixture(c, setup, NULL);
	tcase_add_test(c, features_are_in_order_and_no_bit_is_there_twice);
	tcase_add_test(c, no_name_is_there_twice);
	tcase_add_test(c, every_need_is_a_feature_and_nothing_needs_itself);
	tcase_add_loop_test(c, feature_is_found_where_the_manual_has_it, 0, ARRAY_SIZE(known));
	tcase_add_loop_test(c, unknown_name_is_not_found, 0, ARRAY_SIZE(unknown));
	tcase_add_loop_test(c, nearest_name_is_told, 0, ARRAY_SIZE(likenesses));
	tcase_add_test(c, distance_counts_letters);
	tcase_add_loop_test(c, feature_is_written_and_read_back, 0, nr);
	tcase_add_test(c, feature_in_a_full_table_is_refused);
	tcase_add_test(c, set_is_written_and_read_back);
	tcase_add_test(c, writing_a_set_keeps_bits_without_a_name_and_clears_the_others);
	tcase_add_test(c, limits_rise_to_the_leaf_that_a_feature_is_in);
	tcase_add_test(c, needs_are_put_with_a_feature);
	tcase_add_test(c, closing_takes_out_what_lacks_something);
	tcase_add_test(c, sets_are_added_subtracted_and_counted);
	tcase_add_test(c, names_are_listed_and_cut_where_there_is_no_room);
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
