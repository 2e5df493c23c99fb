/*
 * Unit tests of processors.c: options and a host in, every vCPU's CPUID out, judged by the checker, which decodes
 * anew. Parts have tests of their own; here is what they do together.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "vmm/cpu/check.h"
#include "vmm/cpu/cpuid_internal.h"
#include "vmm/cpu/processors.h"

static struct cpu_options o;
static struct processors p;
static struct cpuid_table host_table;
static struct err e;
static char path[] = "/tmp/processors-test-XXXXXX";

static void put(uint32_t leaf, int index, uint32_t eax, uint32_t ebx, uint32_t ecx, uint32_t edx)
{
	struct kvm_cpuid_entry2 *c = cpuid_add(&host_table, leaf, index);

	ck_assert_ptr_nonnull(c);
	c->eax = eax;
	c->ebx = ebx;
	c->ecx = ecx;
	c->edx = edx;
}

/* A host of each vendor with little but what a 64-bit guest needs. */
static void make_host(enum cpuid_style style)
{
	host_table.nent = 0;
	if (style == CPUID_AMD)
		put(0, -1, 0x10, 0x68747541, 0x444d4163, 0x69746e65);
	else
		put(0, -1, 0x16, 0x756e6547, 0x6c65746e, 0x49656e69);
	put(1, -1, style == CPUID_AMD ? 0xa20f12 : 0x806f8, 0x800, 0x80202001, 0x0f8bfbff);
	put(7, 0, 0, 0, 0, 0);
	put(0x80000000, -1, 0x80000008, 0, 0, 0);
	put(0x80000001, -1, 0, 0, 0x1, 0x2c100800);
	put(0x80000006, -1, 0, 0, 0, 0);
	put(0x80000008, -1, 0x3028, 0, 0, 0);
	put(0x40000000, -1, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d);
	put(0x40000001, -1, 0x01007efb, 0, 0, 0);
}

static void setup(void)
{
	cpu_options_init(&o);
	make_host(CPUID_INTEL);
}

static void teardown(void)
{
	processors_fini(&p);
	cpu_options_fini(&o);
}

/* Parse options as a command would, and work the processors out. Returns what processors_init() does. */
static int make(char *const *argv)
{
	const struct model_host on = { .table = &host_table, .is_kvm = true, .tsc_deadline = true };
	int argc = 0;

	while (argv[argc])
		argc++;
	ck_assert_msg(opt_parse_args(cpu_opts, argc, argv, &o, &e) == 0, "%s", e.text);
	return processors_init(&p, &o, &on, false, &e);
}

#define MAKE(...) make((char *const[]){ "run", __VA_ARGS__, NULL })

static void nothing_is_found(void)
{
	struct findings f = { .nr = 0 };

	check_cpuid(&p, &f);
	ck_assert_msg(f.nr == 0, "%u findings, the first: %s", f.nr, f.nr ? f.notes.text[0] : "");
	findings_fini(&f);
}

static const struct kvm_cpuid_entry2 *entry(unsigned int vcpu, uint32_t leaf, uint32_t index)
{
	return cpuid_get(processors_cpuid(&p, vcpu), leaf, index);
}

START_TEST(default_is_one_processor)
{
	ck_assert_int_eq(MAKE("--memory", "1G"), 0);
	ck_assert_uint_eq(p.topo.nr_cpus, 1);
	ck_assert_uint_eq(p.topo.nr_nodes, 0);
	ck_assert_uint_eq(p.ram_bytes, 1 * GIB);
	nothing_is_found();
}
END_TEST

static const char *const shapes[] = {
	"1", "2,sockets=2", "24,sockets=2,dies=2,cores=3,threads=2", "15,sockets=3,cores=5", "30,sockets=1,dies=3,cores=5,threads=2",
	"8,modules=2,cores=4", "32,dies=2,modules=2,cores=4,threads=2", "4,max=16,sockets=2,cores=4,threads=2", "256", "300,sockets=3",
};

START_TEST(checker_finds_nothing_in_what_we_make)
{
	make_host((enum cpuid_style)(_i % 2));
	ck_assert_msg(MAKE("--cpus", (char *)(uintptr_t)shapes[_i / 2]) == 0, "%s", e.text);
	nothing_is_found();
}
END_TEST

/* A random uneven machine as a topology file: units of any size, some cores with two threads. */
static void write_random_file(unsigned int seed)
{
	FILE *f = fopen(path, "w");
	unsigned int cpu = 0, nr_packages = 1 + seed % 3;

	srand(seed);
	ck_assert_ptr_nonnull(f);
	for (unsigned int package = 0; package < nr_packages; package++)
		for (unsigned int die = 0, dies = 1 + (unsigned int)rand() % 3; die < dies; die++)
			for (unsigned int module = 0, modules = 1 + (unsigned int)rand() % 2; module < modules; module++)
				for (unsigned int core = 0, cores = 1 + (unsigned int)rand() % 5; core < cores; core++) {
					unsigned int threads = 1 + (unsigned int)rand() % 2;

					fprintf(f, "cpu %u-%u package=%u die=%u module=%u core=%u thread=0-%u\n", cpu,
						cpu + threads - 1, package, die, module, core, threads - 1);
					cpu += threads;
				}
	ck_assert_int_eq(fclose(f), 0);
}

START_TEST(checker_finds_nothing_in_random_uneven_machines)
{
	make_host((enum cpuid_style)(_i % 2));
	write_random_file((unsigned int)_i);
	ck_assert_msg(MAKE("--topology", path) == 0, "%s", e.text);
	nothing_is_found();
}
END_TEST

START_TEST(pluggable_processors_do_not_change_ids)
{
	uint32_t id[4];

	ck_assert_int_eq(MAKE("--cpus", "16,sockets=2,cores=4,threads=2"), 0);
	for (unsigned int i = 0; i < 4; i++)
		id[i] = p.topo.cpu[i].apic_id;
	teardown();
	setup();
	ck_assert_int_eq(MAKE("--cpus", "4,max=16,sockets=2,cores=4,threads=2"), 0);
	for (unsigned int i = 0; i < 4; i++)
		ck_assert_uint_eq(p.topo.cpu[i].apic_id, id[i]);
}
END_TEST

START_TEST(extended_destinations_are_told_only_where_ids_need_them)
{
	ck_assert_int_eq(MAKE("--cpus", "255"), 0);
	ck_assert_uint_eq(entry(0, 0x40000001, 0)->eax & 1u << 15, 0);
	ck_assert(!topology_wide_ids(&p.topo));
	teardown();
	setup();
	ck_assert_int_eq(MAKE("--cpus", "1,max=256"), 0);
	ck_assert_uint_ne(entry(0, 0x40000001, 0)->eax & 1u << 15, 0);
	ck_assert(topology_wide_ids(&p.topo));
}
END_TEST

START_TEST(override_reaches_its_vcpu_alone)
{
	ck_assert_int_eq(MAKE("--cpus", "4", "--cpuid", "0x80000008.eax=0x3030@2", "--cpuid", "b.1.ebx=7:f"), 0);
	ck_assert_uint_eq(entry(2, 0x80000008, 0)->eax, 0x3030);
	ck_assert_uint_eq(entry(1, 0x80000008, 0)->eax, 0x3028);
	ck_assert_uint_eq(entry(1, 0xb, 1)->ebx, 7);
	ck_assert_uint_eq(entry(3, 0xb, 1)->edx, 3);
}
END_TEST

START_TEST(msrs_are_noted)
{
	ck_assert_int_eq(MAKE("--msr", "1a0=1", "--msr", "c0000080=500"), 0);
	ck_assert_uint_eq(p.notes.nr, 1);
	ck_assert_str_eq(p.notes.text[0], "--msr: every vCPU starts with 0x1a0=0x1, 0xc0000080=0x500");
	processors_fini(&p);
	cpu_options_fini(&o);
	cpu_options_init(&o);
	ck_assert_int_eq(MAKE("--msr", "1=1", "--msr", "2=1", "--msr", "3=1", "--msr", "4=1", "--msr", "5=1", "--msr", "6=1",
			      "--msr", "ffffffff=ffffffffffffffff", "--msr", "8=1", "--msr", "9=1"),
			 0);
	ck_assert_ptr_nonnull(strstr(p.notes.text[0], "0xffffffff=0xffffffffffffffff, 0x8=0x1 and 1 more"));
}
END_TEST

START_TEST(override_that_breaks_consistency_is_found)
{
	struct findings f = { .nr = 0 };

	ck_assert_int_eq(MAKE("--cpus", "4", "--cpuid", "b.1.ebx=7:f"), 0);
	check_cpuid(&p, &f);
	ck_assert_uint_gt(f.nr, 0);
	findings_fini(&f);
}
END_TEST

START_TEST(nodes_say_how_much_memory_there_is)
{
	ck_assert_int_eq(MAKE("--cpus", "4", "--numa", "node=0,cpus=0-1,memory=1G", "--numa", "node=1,cpus=2-3,memory=2G"), 0);
	ck_assert_uint_eq(p.ram_bytes, 3 * GIB);
	ck_assert_uint_eq(p.topo.nr_nodes, 2);
}
END_TEST

static void write_nodes(const char *third)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	fprintf(f, "cpu 0-3 package=0-1 core=0-1 node=0,0,1,1\nnode 0 memory=1G\nnode 1 memory=1G\nnode 2 %s\n", third);
	ck_assert_int_eq(fclose(f), 0);
}

START_TEST(nodes_of_a_file_say_how_much_memory_there_is)
{
	write_nodes("memory=512M");
	ck_assert_int_eq(MAKE("--topology", path), 0);
	ck_assert_uint_eq(p.ram_bytes, 2560 * MIB);
	ck_assert_uint_eq(p.topo.node[0].memory_bytes, GIB);
	ck_assert_uint_eq(p.topo.node[2].memory_bytes, 512 * MIB);
}
END_TEST

static const struct {
	const char *third, *option, *value;
	uint64_t want_mib;
} said_otherwise[] = {
	{ "memory=512M", "--memory", "300M", 300 },
	{ "memory=512M", "--numa", "node=0,cpus=0-3,memory=100M", 100 },
	{ "memory=512M", "--numa", "node=0,cpus=0-3", 256 },
};

START_TEST(nodes_of_a_file_say_it_only_when_nobody_else_does)
{
	write_nodes(said_otherwise[_i].third);
	ck_assert_msg(MAKE("--topology", path, (char *)(uintptr_t)said_otherwise[_i].option,
			   (char *)(uintptr_t)said_otherwise[_i].value) == 0, "%s", e.text);
	ck_assert_uint_eq(p.ram_bytes / MIB, said_otherwise[_i].want_mib);
}
END_TEST

START_TEST(another_machines_memory_is_not_demanded)
{
	FILE *f = fopen(path, "w");
	char source[64];

	ck_assert_ptr_nonnull(f);
	fputs("<topology><object type='Machine'><object type='NUMANode' os_index='0' cpuset='0x1' local_memory='3298534883328'/>"
	      "<object type='NUMANode' os_index='1' cpuset='0x2' local_memory='3298534883328'/>"
	      "<object type='PU' os_index='0'/><object type='PU' os_index='1'/></object></topology>", f);
	ck_assert_int_eq(fclose(f), 0);
	snprintf(source, sizeof(source), "hwloc:%s", path);
	ck_assert_msg(MAKE("--topology", source) == 0, "%s", e.text);
	ck_assert_uint_eq(p.ram_bytes, 256 * MIB);
	ck_assert_uint_eq(p.topo.node[1].memory_bytes, 128 * MIB);
}
END_TEST

START_TEST(max_has_the_name_it_has_in_qemu)
{
	ck_assert_int_eq(MAKE("-smp", "4,maxcpus=8"), 0);
	ck_assert_uint_eq(p.topo.nr_cpus, 8);
	ck_assert_uint_eq(p.topo.nr_present, 4);
}
END_TEST

static const struct {
	const char *option, *value, *want;
} unfit[] = {
	{ "--cpus", "4,maxcpus=8,max=8", "--cpus: max is there twice" },
	{ "--cpus", "", "--cpus '': expected a number from 1 to 4096" },
	{ "--cache", "", "--cache '': expected one or more of l1d=, l1i=, l1=, l2=, l3=, l4=" },
};

START_TEST(argument_that_is_wrong_is_refused)
{
	char *argv[] = { (char *)(uintptr_t)"run", (char *)(uintptr_t)unfit[_i].option,
			 (char *)(uintptr_t)unfit[_i].value, NULL };

	ck_assert_int_eq(opt_parse_args(cpu_opts, 3, argv, &o, &e), -EINVAL);
	ck_assert_str_eq(e.text, unfit[_i].want);
}
END_TEST

static const struct {
	char *argv[8];
	const char *want;
} refused[] = {
	{ { "run", "--cpus", "4,sockets=2", "--topology", "host" }, "the shape comes from --topology host" },
	{ { "run", "--cpus", "4", "--cpuid", "1.eax=0@4" }, "there are vCPUs 0 to 3" },
	{ { "run", "--topology", "/nonexistent/file" }, "/nonexistent/file" },
};

START_TEST(options_that_contradict_each_other_are_refused)
{
	ck_assert_int_lt(make(refused[_i].argv), 0);
	ck_assert_msg(strstr(e.text, refused[_i].want), "'%s' does not have '%s'", e.text, refused[_i].want);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("processors");
	TCase *c = tcase_create("processors");
	SRunner *sr;
	int failed, fd = mkstemp(path);

	if (fd < 0)
		return EXIT_FAILURE;
	close(fd);
	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, default_is_one_processor);
	tcase_add_loop_test(c, checker_finds_nothing_in_what_we_make, 0, 2 * ARRAY_SIZE(shapes));
	tcase_add_loop_test(c, checker_finds_nothing_in_random_uneven_machines, 0, 200);
	tcase_add_test(c, pluggable_processors_do_not_change_ids);
	tcase_add_test(c, extended_destinations_are_told_only_where_ids_need_them);
	tcase_add_test(c, override_reaches_its_vcpu_alone);
	tcase_add_test(c, msrs_are_noted);
	tcase_add_test(c, override_that_breaks_consistency_is_found);
	tcase_add_test(c, nodes_say_how_much_memory_there_is);
	tcase_add_test(c, nodes_of_a_file_say_how_much_memory_there_is);
	tcase_add_loop_test(c, nodes_of_a_file_say_it_only_when_nobody_else_does, 0, ARRAY_SIZE(said_otherwise));
	tcase_add_test(c, another_machines_memory_is_not_demanded);
	tcase_add_test(c, max_has_the_name_it_has_in_qemu);
	tcase_add_loop_test(c, argument_that_is_wrong_is_refused, 0, ARRAY_SIZE(unfit));
	tcase_add_loop_test(c, options_that_contradict_each_other_are_refused, 0, ARRAY_SIZE(refused));
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	unlink(path);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
