/*
 * Unit tests of dump.c, leaves.c, outdir.c and acpi_files.c: what is in the dumps, and that other people's files
 * survive. That cpuid, hwloc and iasl read them is tools' and guests' business.
 */
#include "vmm/view/dump_rig.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "vmm/view/dump_read.h"
#include "vmm/view/outdir.h"

static char dir[] = "/tmp/trellis-dump-XXXXXX", path[256];

static const char *in_dir(const char *name)
{
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void setup(void)
{
	strcpy(dir + strlen(dir) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void teardown(void)
{
	char command[64];

	rig_teardown();
	snprintf(command, sizeof(command), "rm -r %s", dir);
	ck_assert_int_eq(system(command), 0);
}

static void make_file(const char *name, const char *content)
{
	FILE *f = fopen(in_dir(name), "w");

	ck_assert_ptr_nonnull(f);
	fputs(content, f);
	fclose(f);
}

static const char *read_back(const char *name)
{
	static char bytes[65536];
	FILE *f = fopen(in_dir(name), "r");
	size_t len;

	if (!f)
		return NULL;
	len = fread(bytes, 1, sizeof(bytes) - 1, f);
	bytes[len] = '\0';
	fclose(f);
	return bytes;
}

/* ---- leaves ---- */

START_TEST(intel_guest_that_asks_too_high_gets_the_highest_basic_leaf)
{
	struct cpuid_table t = { .nent = 0 };
	struct regs r;

	rig_put(&t, 0, -1, 0xb, 0x756e6547, 0x6c65746e, 0x49656e69);
	rig_put(&t, 0xb, 0, 1, 2, 0x100, 5);
	rig_put(&t, 0xb, 1, 4, 8, 0x201, 5);
	rig_put(&t, 0x80000000, -1, 0x80000008, 0, 0, 0);
	r = leaves_answer(&t, 0x1f, 1);
	ck_assert_uint_eq(r.eax, 4);
	r = leaves_answer(&t, 0x8000001e, 0);
	ck_assert_uint_eq(r.ebx, 2);
	r = leaves_answer(&t, 3, 0); /* inside the range, and absent */
	ck_assert_uint_eq(r.eax | r.ebx | r.ecx | r.edx, 0);
	r = leaves_answer(&t, 0xb, 7); /* missing sub-leaf */
	ck_assert_uint_eq(r.ecx, 7);
	ck_assert_uint_eq(r.edx, 5);
}
END_TEST

START_TEST(amd_guest_that_asks_too_high_gets_zeros)
{
	struct cpuid_table t = { .nent = 0 };
	struct regs r;

	rig_put(&t, 0, -1, 1, 0x68747541, 0x444d4163, 0x69746e65);
	rig_put(&t, 1, -1, 1, 2, 3, 4);
	r = leaves_answer(&t, 0x1f, 0);
	ck_assert_uint_eq(r.eax | r.ebx | r.ecx | r.edx, 0);
}
END_TEST

START_TEST(claim_of_four_billion_leaves_is_bounded)
{
	rig_make(false, "--cpus 1 --cpuid 0.eax=ffffffff --cpuid 80000000.eax=ffffffff");
	ck_assert_int_eq(rig_print(view_cpuid), 0);
	ck_assert_uint_lt(strlen(text), 100000);
}
END_TEST

/* ---- text ---- */

START_TEST(dump_has_every_present_vcpu_and_the_ends_of_lists)
{
	rig_make(false, "--cpus 3,max=6,cores=3,threads=2");
	ck_assert_int_eq(rig_print(view_cpuid), 0);
	ck_assert(strstr(text, "CPU 0:\n   0x00000000 0x00: eax=0x0000001f ebx=0x756e6547 ") == text);
	ck_assert(has("CPU 2:\n"));
	ck_assert(!has("CPU 3:\n"));
	ck_assert(has("   0x00000004 0x04: eax=0x00000000 ebx=0x00000000 ecx=0x00000000 edx=0x00000000\n"));
	ck_assert(has("   0x0000000b 0x00: eax=0x00000001 ebx=0x00000002 ecx=0x00000100 edx=0x00000001\n"));
	ck_assert(has("   0x0000000b 0x02: eax=0x00000000 ebx=0x00000000 ecx=0x00000002 edx=0x00000002\n"));
	ck_assert(!has("0x80000009"));
}
END_TEST

START_TEST(leaves_rise)
{
	unsigned int leaf, sub, cpu;
	uint64_t last = 0, now;
	char *save, *line;

	rig_make(true, "--cpus 2");
	ck_assert_int_eq(rig_print(view_cpuid), 0);
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (sscanf(line, "CPU %u:", &cpu) == 1) {
			last = 0;
			continue;
		}
		ck_assert_int_eq(sscanf(line, " 0x%x 0x%x:", &leaf, &sub), 2);
		now = (uint64_t)leaf << 32 | sub;
		ck_assert(now > last || now == 0);
		last = now;
	}
}
END_TEST

START_TEST(dump_is_read_back_as_it_was)
{
	struct dump d;
	FILE *f;

	rig_make(true, "--cpus 12,sockets=2,cores=3,threads=2");
	f = fopen(in_dir("dump"), "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(view_cpuid(&p, f, &e), 0);
	fclose(f);
	ck_assert_int_eq(dump_read(&d, in_dir("dump"), &e), 0);
	ck_assert_uint_eq(d.nr_cpus, 12);
	ck_assert(!d.one_of_many);
	ck_assert_uint_eq(d.cpu[11].lb.sub[0].edx, p.topo.cpu[11].apic_id);
	ck_assert_uint_eq(d.cpu[11].e1e.eax, p.topo.cpu[11].apic_id);
	ck_assert_uint_eq(cpuid_get(d.first, 0x80000026, 3)->ebx, 6);
	dump_fini(&d);
}
END_TEST

/* ---- hwloc ---- */

START_TEST(hwloc_directory_is_made)
{
	char name[64];

	rig_make(false, "--cpus 2");
	snprintf(name, sizeof(name), "%s/new/", dir);
	ck_assert_int_eq(view_hwloc(&p, name, &e), 0);
	ck_assert_str_eq(read_back("new/hwloc-cpuid-info"), "Architecture: x86\n");
	ck_assert_ptr_nonnull(strstr(read_back("new/pu1"), "\n5 b 0 1 0 => 1 2 201 1\n"));
	ck_assert_ptr_nonnull(strstr(read_back("new/pu1"), "\n1 0 0 0 0 => 1f 756e6547 6c65746e 49656e69\n"));
	ck_assert_ptr_null(read_back("new/pu2"));
}
END_TEST

START_TEST(hwloc_lines_are_short_enough)
{
	char *save, name[64];

	rig_make(true, "--cpus 1");
	snprintf(name, sizeof(name), "%s/d", dir);
	ck_assert_int_eq(view_hwloc(&p, name, &e), 0);
	text = strdup(read_back("d/pu0"));
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		ck_assert_uint_lt(strlen(line), 127);
}
END_TEST

START_TEST(older_dump_is_replaced_and_stale_vcpus_go)
{
	rig_make(false, "--cpus 4");
	ck_assert_int_eq(view_hwloc(&p, dir, &e), 0);
	make_file("notes.txt", "mine");
	make_file("public", "mine");
	rig_make(false, "--cpus 2");
	ck_assert_int_eq(view_hwloc(&p, dir, &e), 0);
	ck_assert_ptr_nonnull(read_back("pu1"));
	ck_assert_ptr_null(read_back("pu2"));
	ck_assert_ptr_null(read_back("pu3"));
	ck_assert_str_eq(read_back("notes.txt"), "mine");
	ck_assert_str_eq(read_back("public"), "mine");
}
END_TEST

static bool is_ours(const char *name)
{
	return !strcmp(name, "marker");
}

/* More than a buffer, so that a write fails before the last one. */
static void put_much(FILE *f, const void *ctx)
{
	(void)ctx;
	for (unsigned int i = 0; i < 10000; i++)
		fprintf(f, "line %u\n", i);
}

START_TEST(directory_of_something_else_is_refused)
{
	rig_make(false, "--cpus 2");
	make_file("pu0", "mine");
	ck_assert_int_eq(view_hwloc(&p, dir, &e), -EINVAL);
	ck_assert(e.usage);
	ck_assert_ptr_nonnull(strstr(e.text, "holds files, and no hwloc-cpuid-info"));
	ck_assert_str_eq(read_back("pu0"), "mine");
	ck_assert_int_eq(view_hwloc(&p, in_dir("pu0"), &e), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "is not a directory"));
	ck_assert_int_eq(view_hwloc(&p, "", &e), -EINVAL);
}
END_TEST

START_TEST(file_that_grows_too_large_is_named_with_the_reason)
{
	struct rlimit little = { 1, RLIM_INFINITY };
	struct outdir d;
	int rc;

	signal(SIGXFSZ, SIG_IGN);
	rig_make(false, "--cpus 1");
	ck_assert_int_eq(outdir_begin(&d, in_dir("new"), "marker", is_ours, &e), 0);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &little), 0);
	rc = outdir_put(&d, "marker", put_much, NULL, &e);
	little.rlim_cur = RLIM_INFINITY; /* Check writes files, too */
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &little), 0);
	outdir_drop(&d);
	ck_assert_int_eq(rc, -EFBIG);
	ck_assert_ptr_nonnull(strstr(e.text, "File too large"));
}
END_TEST

START_TEST(nothing_is_left_beside_the_directory)
{
	unsigned int n = 0;
	char name[64];
	DIR *d;

	rig_make(false, "--cpus 2");
	snprintf(name, sizeof(name), "%s/a", dir);
	ck_assert_int_eq(view_hwloc(&p, name, &e), 0);
	ck_assert_int_eq(view_hwloc(&p, name, &e), 0);
	ck_assert_int_eq(view_acpi(&p, name, &e), -EINVAL);
	snprintf(name, sizeof(name), "%s/a/b/c", dir);
	ck_assert_int_lt(view_hwloc(&p, name, &e), 0);
	d = opendir(dir);
	while (readdir(d))
		n++;
	closedir(d);
	ck_assert_uint_eq(n, 3); /* itself, its parent, a */
}
END_TEST

/* ---- ACPI ---- */

static uint32_t length(const char *name)
{
	const char *bytes = read_back(name);

	return bytes ? get_le32(bytes + 4) : 0;
}

static void check_sum(const char *name, const char *signature)
{
	const char *bytes = read_back(name);
	struct stat st;
	uint8_t sum = 0;

	ck_assert_ptr_nonnull(bytes);
	ck_assert_int_eq(stat(in_dir(name), &st), 0);
	ck_assert_mem_eq(bytes, signature, 4);
	ck_assert_int_eq(st.st_size, get_le32(bytes + 4));
	for (long i = 0; i < st.st_size; i++)
		sum = (uint8_t)(sum + (uint8_t)bytes[i]);
	ck_assert_uint_eq(sum, 0);
}

START_TEST(acpi_tables_are_cut_out_whole)
{
	rig_make(false, "--cpus 4,sockets=2 --memory 6G --numa node=0,cpus=0-1,memory=2G --numa "
			"node=1,cpus=2-3,memory=4G "
			"--numa hmat=0:1,latency=90,bandwidth=20000");
	ck_assert_int_eq(view_acpi(&p, dir, &e), 0);
	check_sum("apic.dat", "APIC");
	check_sum("srat.dat", "SRAT");
	check_sum("slit.dat", "SLIT");
	check_sum("hmat.dat", "HMAT");
	/* Four processors of 16 bytes, three ranges of 40: node 1 is cut by the hole below 4 GiB. */
	ck_assert_uint_eq(length("srat.dat"), 48 + 4 * 16 + 3 * 40);
	rig_make(false, "--cpus 4");
	ck_assert_int_eq(view_acpi(&p, dir, &e), 0);
	check_sum("apic.dat", "APIC");
	ck_assert_ptr_null(read_back("srat.dat"));
	ck_assert_ptr_null(read_back("hmat.dat"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("dump");
	TCase *c = tcase_create("dump");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, intel_guest_that_asks_too_high_gets_the_highest_basic_leaf);
	tcase_add_test(c, amd_guest_that_asks_too_high_gets_zeros);
	tcase_add_test(c, claim_of_four_billion_leaves_is_bounded);
	tcase_add_test(c, dump_has_every_present_vcpu_and_the_ends_of_lists);
	tcase_add_test(c, leaves_rise);
	tcase_add_test(c, dump_is_read_back_as_it_was);
	tcase_add_test(c, hwloc_directory_is_made);
	tcase_add_test(c, hwloc_lines_are_short_enough);
	tcase_add_test(c, older_dump_is_replaced_and_stale_vcpus_go);
	tcase_add_test(c, directory_of_something_else_is_refused);
	tcase_add_test(c, file_that_grows_too_large_is_named_with_the_reason);
	tcase_add_test(c, nothing_is_left_beside_the_directory);
	tcase_add_test(c, acpi_tables_are_cut_out_whole);
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
