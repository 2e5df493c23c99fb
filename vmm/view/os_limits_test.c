/* Unit tests of os_limits.c: how many vCPUs are used, which shape is advised, and that the advice is good. */
#include "vmm/view/dump_rig.h"

#include <errno.h>

static const char *system_name;

static int view_it(struct processors *procs, FILE *out, struct err *err)
{
	return view_os(procs, system_name, out, err);
}

static void ask(const char *options, const char *os)
{
	rig_make(false, options);
	system_name = os;
	ck_assert_msg(rig_print(view_it) == 0, "%s", e.text);
}

static const struct {
	const char *options, *os, *uses, *advice;
} cases[] = {
	/* The classic. */
	{ "--cpus 4,sockets=4", "windows-7", "use 2 of 4 vCPUs, on 2 sockets\n",
	  "--cpus 4,sockets=1,cores=4\n" },
	{ "--cpus 4,sockets=1", "windows-7", "use 4 of 4 vCPUs, on 1 socket\n", "Nothing to change" },
	{ "--cpus 4,sockets=4", "windows-7-home", "use 1 of 4 vCPUs, on 1 socket\n",
	  "--cpus 4,sockets=1,cores=4\n" },
	{ "--cpus 4,sockets=4", "WINDOWS-10-HOME", "use 1 of 4", "--cpus 4,sockets=1,cores=4\n" },
	{ "--cpus 8,sockets=4,threads=2", "windows-10", "use 4 of 8",
	  "--cpus 8,sockets=1,cores=4,threads=2\n" },
	{ "--cpus 8,sockets=8", "windows-server-2003", "use 4 of 8", "--cpus 8,sockets=1,cores=8\n" },
	{ "--cpus 8,sockets=8", "windows-server-2008r2-enterprise", "use 8 of 8", "Nothing to change" },
	/* Logical processors. */
	{ "--cpus 100", "windows-10-home", "use 64 of 100", "--cpus 64,sockets=1,cores=64\n" },
	{ "--cpus 96,threads=2", "windows-xp", "use 64 of 96", "--cpus 64,sockets=1,cores=32,threads=2\n" },
	{ "--cpus 6,threads=3,sockets=2", "windows-11-home", "use 3 of 6", "--cpus 6,sockets=1,cores=6\n" },
	/* Ids of more than eight bits. */
	{ "--cpus 300", "windows-server-2022", "use 255 of 300", "--cpus 255,sockets=1,cores=255\n" },
	{ "--cpus 300", "linux", "use 300 of 300", "Nothing to change" },
	/* Linux goes by what KVM's leaves say of extended destination ids. */
	{ "--cpus 300 --cpu host,kvm=off", "linux", "use 255 of 300", "--cpus 255,sockets=1,cores=255\n" },
	{ "--cpus 300 --cpu host,hypervisor=off", "linux", "45 not used: APIC ids from 255 up need KVM's extended",
	  "--cpus 255,sockets=1,cores=255\n" },
	{ "--cpus 300 --cpuid 40000001.eax=0:8000", "linux", "use 256 of 300", "--cpus 256,sockets=1,cores=256\n" },
	{ "--cpus 300 --cpuid 40000001.eax=0:8000", "linux", "44 not used: APIC ids from 256 up need", "256\n" },
	{ "--cpus 255 --cpu host,kvm=off", "linux", "use 255 of 255", "Nothing to change" },
	{ "--cpus 36,sockets=3,dies=3,modules=2,cores=2,threads=1", "linux", "use 36 of 36", "Nothing to change" },
	{ "--cpus 2145,sockets=33,cores=65", "linux", "use 2145 of 2145", "Nothing to change" },
	{ "--cpus 3000,sockets=3,dies=5,modules=5,cores=5,threads=8 --cpu host,kvm=off", "linux", "use 160 of 3000 vCPUs, on 1 socket\n",
	  "--cpus 248,sockets=1,cores=31,threads=8\n" },
	{ "--cpus 4,max=8,sockets=8", "windows-vista", "use 2 of 4", "--cpus 4,sockets=1,cores=4\n" },
};

START_TEST(system_uses_so_many)
{
	ask(cases[_i].options, cases[_i].os);
	ck_assert_msg(has(cases[_i].uses), "%s: %s", cases[_i].os, text);
	ck_assert_msg(has(cases[_i].advice), "%s: %s", cases[_i].os, text);
}
END_TEST

/* Every system, some shapes: whoever follows the advice has nothing more to change. */
START_TEST(advice_leads_to_a_shape_that_is_used_whole)
{
	static const char *const shapes[] = { "--cpus 70,sockets=70", "--cpus 300,sockets=3",
					      "--cpus 24,sockets=4,threads=3",
					      "--cpus 258,sockets=3,cores=43,threads=2" };
	char os[64], again[128], *names, *save;

	system_name = "list";
	rig_make(false, "--cpus 1");
	ck_assert_int_eq(rig_print(view_it), 0);
	names = strdup(text);
	for (char *line = strtok_r(names, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		const char *advice;

		snprintf(os, sizeof(os), "%.*s", (int)strcspn(line, " "), line);
		ask(shapes[(size_t)line[strlen(os) - 1] % ARRAY_SIZE(shapes)], os);
		advice = strstr(text, "--cpus");
		if (advice) {
			snprintf(again, sizeof(again), "%.*s", (int)strcspn(advice, "\n"), advice);
			ask(again, os);
		}
		ck_assert_msg(has("Nothing to change"), "%s: %s", again, text);
	}
	free(names);
}
END_TEST

START_TEST(remarks_come_where_they_belong)
{
	ask("--cpus 100", "windows-10-pro");
	ck_assert(has("processor groups"));
	ck_assert(has("32-bit edition no more than 32"));
	ck_assert(has("de facto"));
	ask("--cpus 8", "windows-7");
	ck_assert(!has("processor groups"));
	ck_assert(has("documented"));
	ask("--cpus 4 --numa node=0,cpus=0-1 --numa node=1,cpus=2-3", "windows-server-2008");
	ck_assert(has("KB969468"));
	ask("--cpus 4,max=8", "windows-7");
	ck_assert(has("Another 4 can be plugged"));
}
END_TEST

START_TEST(unknown_system_is_refused_with_the_known_ones)
{
	rig_make(false, "--cpus 1");
	system_name = "windows-99";
	ck_assert_int_eq(rig_print(view_it), -EINVAL);
	ck_assert(e.usage);
	ck_assert_ptr_nonnull(strstr(e.text, "--os windows-99: not known; known are windows-xp"));
	ck_assert_ptr_nonnull(strstr(e.text, "--os list prints all"));
	system_name = "";
	ck_assert_int_eq(rig_print(view_it), -EINVAL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("os_limits");
	TCase *c = tcase_create("os_limits");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(c, NULL, rig_teardown);
	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, system_uses_so_many, 0, ARRAY_SIZE(cases));
	tcase_add_test(c, advice_leads_to_a_shape_that_is_used_whole);
	tcase_add_test(c, remarks_come_where_they_belong);
	tcase_add_test(c, unknown_system_is_refused_with_the_known_ones);
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
