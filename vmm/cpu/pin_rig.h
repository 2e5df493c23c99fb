/*
 * For the tests of pinning: a directory that looks like a host, a guest's shape, and plans and problems as text.
 */
#ifndef TRELLIS_CPU_PIN_RIG_H
#define TRELLIS_CPU_PIN_RIG_H

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/cpu/numa.h"
#include "vmm/cpu/pin_internal.h"
#include "vmm/cpu/topology.h"

static char rig_root[64];
static struct pin_spec rig_spec;
static struct pin_plan rig_made;
static struct topology rig_topo;
static struct notes rig_problems;
static struct err rig_err;

__attribute__((unused)) static void rig_setup(void)
{
	snprintf(rig_root, sizeof(rig_root), "/tmp/trellis-pin-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(rig_root));
}

__attribute__((unused)) static void rig_teardown(void)
{
	char command[128];

	pin_spec_fini(&rig_spec);
	pin_plan_fini(&rig_made);
	topology_fini(&rig_topo);
	notes_fini(&rig_problems);
	snprintf(command, sizeof(command), "rm -rf %s", rig_root);
	ck_assert_int_eq(system(command), 0);
}

/* ---- the host ---- */

/* A file below /sys/devices/system, with a newline behind the text. */
__attribute__((unused, format(printf, 2, 3))) static void rig_sys(const char *text, const char *fmt, ...)
{
	char path[256];
	int at = snprintf(path, sizeof(path), "%s/sys/devices/system/", rig_root);
	va_list ap;
	FILE *f;

	va_start(ap, fmt);
	vsnprintf(path + at, sizeof(path) - (size_t)at, fmt, ap);
	va_end(ap);
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_gt(fprintf(f, "%s\n", text), 0);
	ck_assert_int_eq(fclose(f), 0);
}

/* All CPUs of the host, and those that are online. */
__attribute__((unused)) static void rig_cpus(const char *present, const char *online)
{
	rig_sys(present, "cpu/present");
	rig_sys(online, "cpu/online");
}

/* A CPU; l3: those with the same level-3 cache, or NULL. */
__attribute__((unused)) static void rig_cpu(unsigned int cpu, int package, const char *siblings,
					    const char *l3)
{
	char number[16];

	snprintf(number, sizeof(number), "%d", package);
	rig_sys(number, "cpu/cpu%u/topology/physical_package_id", cpu);
	rig_sys(siblings, "cpu/cpu%u/topology/core_cpus_list", cpu);
	if (l3)
		rig_sys(l3, "cpu/cpu%u/cache/index3/shared_cpu_list", cpu);
}

/*
 * Sockets with cores of 1 or 2 threads each; a node in each socket where there are several; second threads numbered
 * after all first ones, as usual.
 */
__attribute__((unused)) static void rig_host(unsigned int sockets, unsigned int cores, unsigned int threads)
{
	unsigned int nr = sockets * cores;
	char list[64];

	snprintf(list, sizeof(list), "0-%u", nr * threads - 1);
	rig_cpus(list, list);
	for (unsigned int i = 0; i < nr * threads; i++) {
		snprintf(list, sizeof(list), threads > 1 ? "%u,%u" : "%u", i % nr, i % nr + nr);
		rig_cpu(i, (int)(i % nr / cores), list, NULL);
	}
	if (sockets < 2)
		return;
	snprintf(list, sizeof(list), "0-%u", sockets - 1);
	rig_sys(list, "node/online");
	for (unsigned int s = 0; s < sockets; s++) {
		unsigned int from = s * cores;

		snprintf(list, sizeof(list), threads > 1 ? "%u-%u,%u-%u" : "%u-%u", from, from + cores - 1,
			 nr + from, nr + from + cores - 1);
		rig_sys(list, "node/node%u/cpulist", s);
	}
}

/* ---- the guest ---- */

__attribute__((unused)) static void rig_guest(unsigned int cpus, unsigned int threads)
{
	const struct topology_spec shape = { .cpus = cpus,
					     .max = (cpus + threads - 1) / threads * threads,
					     .count = { [TOPO_THREAD] = threads } };

	topology_fini(&rig_topo);
	ck_assert_msg(topology_init(&rig_topo, &shape, &rig_err) == 0, "%s", rig_err.text);
}

/* Words of several --numa, separated by blanks. */
__attribute__((unused)) static void rig_numa(const char *args)
{
	char *copy = strdup(args), *save = NULL;
	struct numa_spec spec = { 0 };

	for (char *arg = strtok_r(copy, " ", &save); arg; arg = strtok_r(NULL, " ", &save))
		ck_assert_msg(numa_spec_parse(&spec, arg, &rig_err) == 0, "%s", rig_err.text);
	ck_assert_msg(numa_place(&rig_topo, &spec, NULL, GIB, &rig_err) == 0, "%s", rig_err.text);
	numa_spec_fini(&spec);
	free(copy);
}

/* ---- what is said of it ---- */

/* Words of several --pin, separated by blanks. Returns "", or the sentence. */
__attribute__((unused)) static const char *rig_say(const char *args)
{
	char *copy = strdup(args), *save = NULL;
	int rc = 0;

	pin_spec_fini(&rig_spec);
	rig_err = (struct err){ 0 };
	for (char *arg = strtok_r(copy, " ", &save); arg && rc == 0; arg = strtok_r(NULL, " ", &save))
		rc = pin_spec_parse(&rig_spec, arg, &rig_err);
	free(copy);
	ck_assert_int_eq(rig_err.usage, rc < 0);
	return rig_err.text;
}

__attribute__((unused)) static int rig_plan_allowed(const char *args, const char *allowed)
{
	struct cpuset set;

	ck_assert_str_eq(rig_say(args), "");
	ck_assert_int_eq(cpuset_parse(&set, allowed), 0);
	pin_plan_fini(&rig_made);
	notes_fini(&rig_problems);
	return pin_plan_allowed(&rig_made, &rig_spec, &rig_topo, rig_root, &set, &rig_problems);
}

/* "2 3 4-5 -": where each vCPU runs; ", io 0", ", main 1" where they have a place. Or "refused". */
__attribute__((unused)) static const char *rig_plan(const char *args, const char *allowed)
{
	static char text[1024];
	size_t at = 0;
	char cpus[64];

	text[0] = '\0';
	if (rig_plan_allowed(args, allowed) < 0) {
		ck_assert_uint_gt(rig_problems.nr, 0);
		ck_assert_ptr_null(rig_made.vcpu);
		return "refused";
	}
	ck_assert_uint_eq(rig_problems.nr, 0);
	for (unsigned int i = 0; i < rig_made.nr_vcpus; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s", i ? " " : "",
				       cpuset_empty(&rig_made.vcpu[i])
					       ? "-"
					       : cpuset_text(&rig_made.vcpu[i], cpus, sizeof(cpus)));
	if (rig_made.io)
		at += (size_t)snprintf(text + at, sizeof(text) - at, ", io %s",
				       cpuset_text(rig_made.io, cpus, sizeof(cpus)));
	if (rig_made.main)
		snprintf(text + at, sizeof(text) - at, ", main %s",
			 cpuset_text(rig_made.main, cpus, sizeof(cpus)));
	return text;
}

/* All sentences, each on a line. */
__attribute__((unused)) static const char *rig_refused(const char *args, const char *allowed)
{
	static char text[4096];
	size_t at = 0;

	ck_assert_str_eq(rig_plan(args, allowed), "refused");
	for (unsigned int i = 0; i < rig_problems.nr && at < sizeof(text); i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s", i ? "\n" : "",
				       rig_problems.text[i]);
	return text;
}

__attribute__((unused)) static int rig_run(Suite *suite, TCase *c)
{
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(c, rig_setup, rig_teardown);
	suite_add_tcase(suite, c);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
