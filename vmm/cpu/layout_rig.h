/*
 * For the tests of layouts: files to read, and a layout as text, so that a test says what it wants in one line.
 */
#ifndef TRELLIS_CPU_LAYOUT_RIG_H
#define TRELLIS_CPU_LAYOUT_RIG_H

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/cpu/layout.h"
#include "vmm/cpu/topology.h"

static struct layout rig_layout;
static struct err rig_err;
static char rig_dir[64];

/* A directory of the test's own; Check runs each test in a process of its own. */
__attribute__((unused)) static void rig_setup(void)
{
	snprintf(rig_dir, sizeof(rig_dir), "/tmp/trellis-layout-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(rig_dir));
}

__attribute__((unused)) static void rig_teardown(void)
{
	char command[128];

	layout_fini(&rig_layout);
	snprintf(command, sizeof(command), "rm -rf %s", rig_dir);
	ck_assert_int_eq(system(command), 0);
}

/* Write rig_dir/name, and the directories on the way. Returns its path. */
__attribute__((unused)) static const char *rig_file(const char *name, const char *text)
{
	static char path[256];
	FILE *f;

	ck_assert_int_lt(snprintf(path, sizeof(path), "%s/%s", rig_dir, name), (int)sizeof(path));
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
	return path;
}

__attribute__((unused, format(printf, 2, 3))) static const char *rig_print(char *buf, const char *fmt, ...)
{
	size_t len = strlen(buf);
	va_list ap;

	va_start(ap, fmt);
	ck_assert_int_lt(vsnprintf(buf + len, 4096 - len, fmt, ap), (int)(4096 - len));
	va_end(ap);
	return buf;
}

/* "0.0.0.1.0 ...": package, die, module, core, thread of each vCPU. */
__attribute__((unused)) static const char *rig_places(void)
{
	static char text[4096];

	text[0] = '\0';
	for (unsigned int i = 0; i < rig_layout.nr_cpus; i++) {
		const uint16_t *id = rig_layout.cpu[i].id;

		rig_print(text, "%s%u.%u.%u.%u.%u", i ? " " : "", id[TOPO_PACKAGE], id[TOPO_DIE],
			  id[TOPO_MODULE], id[TOPO_CORE], id[TOPO_THREAD]);
	}
	return text;
}

/* "L2 4096K 16*64 sets 4096 in module of e: 0 0 - *": the kind and each vCPU's group, - for none, * for by level. */
__attribute__((unused)) static const char *rig_cache(unsigned int k)
{
	static const char *const type[] = { "?", "d", "i", "" };
	static char text[4096];
	const struct topo_cache *c = &rig_layout.cache[k];

	ck_assert_uint_lt(k, rig_layout.nr_caches);
	text[0] = '\0';
	rig_print(text, "L%u%s %uK %u*%u sets %u in %s%s:", c->level, type[c->type], c->bytes >> 10, c->ways,
		  c->line, c->sets, topology_level_name(c->shared),
		  c->core_type == TOPO_PERFORMANCE  ? " of p"
		  : c->core_type == TOPO_EFFICIENCY ? " of e"
						    : "");
	for (unsigned int i = 0; i < rig_layout.nr_cpus; i++) {
		int32_t group = rig_layout.cpu[i].group[k];

		rig_print(text, group == LAYOUT_NONE ? " -" : group < 0 ? " *" : " %d", group);
	}
	return text;
}

enum rig_field { RIG_NODE, RIG_TYPE, RIG_HOST_CPU, RIG_APIC_ID };

/* One number of each vCPU: "0 0 1 1". */
__attribute__((unused)) static const char *rig_each(enum rig_field field)
{
	static char text[4096];

	text[0] = '\0';
	for (unsigned int i = 0; i < rig_layout.nr_cpus; i++) {
		const struct layout_cpu *c = &rig_layout.cpu[i];
		int v = field == RIG_NODE       ? c->node
			: field == RIG_TYPE     ? c->core_type
			: field == RIG_HOST_CPU ? c->host_cpu
						: (int)c->apic_id;

		rig_print(text, "%s%d", i ? " " : "", v);
	}
	return text;
}

/* "10 21 21 10", or "none". */
__attribute__((unused)) static const char *rig_distances(void)
{
	static char text[4096];

	if (!rig_layout.distance)
		return "none";
	text[0] = '\0';
	for (unsigned int i = 0; i < rig_layout.nr_nodes * rig_layout.nr_nodes; i++)
		rig_print(text, "%s%u", i ? " " : "", rig_layout.distance[i]);
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
