/* Processors and caches in SMBIOS against DMTF DSP0134 3.3.0, over many shapes, uneven ones too. */
#include "firmware/smbios_rig.h"

/* Core and thread counts of one socket: dies x modules x cores, and all their threads (7.5.6 to 7.5.8). */
START_TEST(processor_counts_are_per_socket_in_any_shape)
{
	const struct rig_shape *s = &shapes[_i];
	unsigned int cores = s->count[TOPO_CORE] * s->count[TOPO_MODULE] * s->count[TOPO_DIE];
	unsigned int threads = cores * s->count[TOPO_THREAD];
	struct table t;

	rig_init(&t.r, *s);
	table_build(&t, BASE);
	ck_assert_uint_eq(count(&t, 4), s->count[TOPO_PACKAGE]);
	for (unsigned int i = 0; i < MIN(s->count[TOPO_PACKAGE], 32u); i++) {
		const uint8_t *p = find(&t, 4, i);

		ck_assert_uint_eq(p[0x23], MIN(cores, 0xffu));
		ck_assert_uint_eq(p[0x25], MIN(threads, 0xffu));
		ck_assert_uint_eq(get_le16(p + 0x2a), cores);
		ck_assert_uint_eq(get_le16(p + 0x2e), threads);
	}
	rig_fini(&t.r);
}
END_TEST

START_TEST(processor_has_signature_and_status)
{
	const uint8_t *p;
	struct table t;

	rig_init(&t.r, (struct rig_shape){ { 2, 3, 1, 1, 2 }, 0 });
	table_build(&t, BASE);
	p = find(&t, 4, 1);
	ck_assert_uint_eq(p[1], 0x30);
	ck_assert_str_eq(string(p, 4), "CPU 1");
	ck_assert_uint_eq(p[5], 3);
	ck_assert_uint_eq(p[6], 0xfe);
	ck_assert_uint_eq(get_le32(p + 8), 0x000806f8);
	ck_assert_uint_eq(get_le32(p + 12), 0x1f8bfbff);
	ck_assert_uint_eq(p[0x18], 0x41);
	ck_assert_uint_eq(p[0x24], 3);                                      /* cores enabled */
	ck_assert_uint_eq(get_le16(p + 0x26), 1u << 2 | 1u << 3 | 1u << 4); /* 64-bit, cores, threads */
	rig_fini(&t.r);
}
END_TEST

START_TEST(socket_without_present_processor_is_empty)
{
	const uint8_t *p;
	struct table t;

	rig_init(&t.r, (struct rig_shape){ { 1, 4, 1, 1, 2 }, 3 });
	table_build(&t, BASE);
	ck_assert_uint_eq(find(&t, 4, 0)[0x24], 3); /* three of four cores are there */
	p = find(&t, 4, 1);
	ck_assert_uint_eq(p[0x18], 0);
	ck_assert_uint_eq(p[0x24], 0);
	ck_assert_uint_eq(get_le16(p + 0x1a), 0xffff);
	ck_assert_uint_eq(get_le16(p + 0x1c), 0xffff);
	ck_assert_uint_eq(get_le16(p + 0x1e), 0xffff);
	rig_fini(&t.r);
}
END_TEST

/* Two sockets of 2 dies, 3 cores each: L1 and L2 per core, L3 per die. */
START_TEST(caches_are_summed_over_the_socket)
{
	const uint8_t *p, *c;
	struct table t;

	rig_init(&t.r, (struct rig_shape){ { 2, 3, 1, 2, 2 }, 0 });
	table_build(&t, BASE);
	ck_assert_uint_eq(count(&t, 7), 8);
	p = find(&t, 4, 1);
	c = find_handle(&t, get_le16(p + 0x1a));
	ck_assert_str_eq(string(c, 4), "CPU 1 L1d");
	ck_assert_uint_eq(get_le16(c + 5), 0x180);
	ck_assert_uint_eq(get_le16(c + 7), 6 * 32);
	ck_assert_uint_eq(c[0x11], 4);
	ck_assert_uint_eq(c[0x12], 7); /* 8 ways */
	c = find_handle(&t, get_le16(p + 0x1c));
	ck_assert_uint_eq(get_le16(c + 5), 0x181);
	ck_assert_uint_eq(get_le32(c + 0x17), 6 * 2048);
	c = find_handle(&t, get_le16(p + 0x1e));
	ck_assert_uint_eq(get_le16(c + 5), 0x182);
	ck_assert_uint_eq(get_le16(c + 9), 1u << 15 | 2 * 30 * 1024 / 64);
	ck_assert_uint_eq(get_le32(c + 0x17), 2 * 30 * 1024);
	ck_assert_uint_eq(c[0x11], 5);
	rig_fini(&t.r);
}
END_TEST

/* Socket 0 has cores of 2, 2 and 1 threads, socket 1 has one core less: each says its own numbers. */
START_TEST(uneven_sockets_say_their_own_counts)
{
	static const uint16_t want[2][2] = { { 3, 5 }, { 2, 4 } };
	const uint8_t *p;
	struct table t;

	rig_init(&t.r, (struct rig_shape){ { 2, 3, 1, 1, 2 }, 0 });
	rig_drop_cpu(&t.r.topo, 11);
	rig_drop_cpu(&t.r.topo, 10);
	rig_drop_cpu(&t.r.topo, 5);
	table_build(&t, BASE);
	ck_assert_uint_eq(count(&t, 4), 2);
	for (unsigned int i = 0; i < 2; i++) {
		p = find(&t, 4, i);
		ck_assert_uint_eq(get_le16(p + 0x2a), want[i][0]);
		ck_assert_uint_eq(get_le16(p + 0x2c), want[i][0]);
		ck_assert_uint_eq(get_le16(p + 0x2e), want[i][1]);
		ck_assert_uint_eq(get_le32(find_handle(&t, get_le16(p + 0x1a)) + 0x17), 32u * want[i][0]);
		ck_assert_uint_eq(get_le32(find_handle(&t, get_le16(p + 0x1c)) + 0x17), 2048u * want[i][0]);
		ck_assert_uint_eq(get_le32(find_handle(&t, get_le16(p + 0x1e)) + 0x17), 30u * 1024);
	}
	rig_fini(&t.r);
}
END_TEST

/* Two kinds of L2: cores 0 and 1 have one each, cores 2 to 5 share two of the other kind. Nobody else has any. */
START_TEST(caches_of_one_kind_of_core_are_counted_by_instance)
{
	static const uint16_t l2[] = { 0, 1, 0, 0, 1, 1 };
	const uint8_t *c;
	struct table t;

	rig_init(&t.r, (struct rig_shape){ { 1, 6, 1, 1, 2 }, 0 });
	t.r.topo.hybrid = true;
	t.r.topo.cache[1] = t.r.topo.cache[2];
	t.r.topo.cache[1].core_type = TOPO_PERFORMANCE;
	t.r.topo.cache[2].core_type = TOPO_EFFICIENCY;
	for (unsigned int i = 0; i < 12; i++) {
		struct topo_cpu *cpu = &t.r.topo.cpu[i];

		cpu->cache[1] = i < 2 ? l2[i] : TOPO_NO_CACHE;
		cpu->cache[2] = i < 2 || i >= 6 ? TOPO_NO_CACHE : l2[i];
		cpu->cache[3] = i < 6 ? 0 : TOPO_NO_CACHE;
	}
	table_build(&t, BASE);
	ck_assert_uint_eq(count(&t, 7), 4 + 1); /* L1, two L2 and L3 of socket 0, L1 of socket 1 */
	c = find_handle(&t, get_le16(find(&t, 4, 0) + 0x1c));
	ck_assert_str_eq(string(c, 4), "CPU 0 L2 of P-cores");
	ck_assert_uint_eq(get_le32(c + 0x17), 2 * 2048);
	c = find(&t, 7, 2);
	ck_assert_str_eq(string(c, 4), "CPU 0 L2 of E-cores");
	ck_assert_uint_eq(get_le32(c + 0x17), 2 * 2048);
	ck_assert_uint_eq(get_le16(find(&t, 4, 1) + 0x1c), 0xffff);
	ck_assert_uint_eq(get_le16(find(&t, 4, 1) + 0x1e), 0xffff);
	rig_fini(&t.r);
}
END_TEST

/* 4096 sockets of 16 kinds would need more handles than there are: the last ones name no caches. */
START_TEST(handles_do_not_run_out)
{
	struct table t;
	size_t off;

	rig_init_flat(&t.r, 4096);
	t.r.topo.nr_caches = TOPO_MAX_CACHES;
	for (unsigned int i = 4; i < TOPO_MAX_CACHES; i++)
		t.r.topo.cache[i] = t.r.topo.cache[i % 4];
	rig_count_units(&t.r.topo);
	table_build(&t, BASE - 16 * MIB);
	ck_assert_uint_eq(count(&t, 4), 4096);
	for (off = 0; t.r.out.data[off] != 127; off = next(&t, off))
		;
	ck_assert_uint_lt(get_le16(t.r.out.data + off + 2), 0xfe00);
	ck_assert_uint_gt(get_le16(t.r.out.data + off + 2), 0xe000);
	ck_assert_uint_eq(get_le16(find(&t, 4, 4095) + 0x1a), 0xffff);
	rig_fini(&t.r);
}
END_TEST

/* 7.8.1: 4096 MiB of L3 need the units of 64 KiB in 32 bits; the field of 16 bits gives up. */
START_TEST(huge_cache_moves_to_the_wide_field)
{
	const uint8_t *c;
	struct table t;

	rig_init(&t.r, (struct rig_shape){ { 1, 1, 1, 2, 1 }, 0 });
	t.r.topo.cache[3].bytes = 1u << 31;
	table_build(&t, BASE);
	c = find_handle(&t, get_le16(find(&t, 4, 0) + 0x1e));
	ck_assert_uint_eq(get_le16(c + 9), 0xffff);
	ck_assert_uint_eq(get_le32(c + 0x17), 4096 * 1024);
	rig_fini(&t.r);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("smbios_cpu");
	TCase *tc = tcase_create("processors");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, processor_counts_are_per_socket_in_any_shape, 0, ARRAY_SIZE(shapes));
	tcase_add_test(tc, processor_has_signature_and_status);
	tcase_add_test(tc, socket_without_present_processor_is_empty);
	tcase_add_test(tc, caches_are_summed_over_the_socket);
	tcase_add_test(tc, uneven_sockets_say_their_own_counts);
	tcase_add_test(tc, caches_of_one_kind_of_core_are_counted_by_instance);
	tcase_add_test(tc, handles_do_not_run_out);
	tcase_add_test(tc, huge_cache_moves_to_the_wide_field);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
