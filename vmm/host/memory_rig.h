/*
 * For tests of what this host's memory is like: a directory that stands for "/", with the files of a kernel.
 */
#ifndef TRELLIS_HOST_MEMORY_RIG_H
#define TRELLIS_HOST_MEMORY_RIG_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/base.h"

#define RIG __attribute__((unused)) static

static char rig_root[64];

/* A directory of the test's own; Check runs each test in a process of its own. */
RIG void rig_setup(void)
{
	snprintf(rig_root, sizeof(rig_root), "/tmp/trellis-memory-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(rig_root));
}

RIG void rig_teardown(void)
{
	char cmd[96];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", rig_root);
	ck_assert_int_eq(system(cmd), 0);
}

/* The path of a file in the tree, of the last call. */
RIG const char *rig_path(const char *name)
{
	static char path[256];

	ck_assert_int_lt(snprintf(path, sizeof(path), "%s%s", rig_root, name), (int)sizeof(path));
	return path;
}

/* Write a file, and make the directories on the way. name: "/proc/meminfo" */
RIG void rig_file(const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s", rig_path(name));
	for (char *slash = strchr(path + strlen(rig_root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

RIG void rig_remove(const char *name)
{
	ck_assert_int_eq(unlink(rig_path(name)), 0);
}

/* A number in dir/hugepages/hugepages-NkB/. */
RIG void rig_pool_number(const char *dir, unsigned int page_mib, const char *file, uint64_t v)
{
	char name[160], text[32];

	snprintf(name, sizeof(name), "%s/hugepages/hugepages-%ukB/%s", dir, page_mib * 1024, file);
	snprintf(text, sizeof(text), "%llu\n", (unsigned long long)v);
	rig_file(name, text);
}

/* dir: that of a node, or "/sys/kernel/mm" */
RIG void rig_pool(const char *dir, unsigned int page_mib, uint64_t total, uint64_t free_pages)
{
	rig_pool_number(dir, page_mib, "nr_hugepages", total);
	rig_pool_number(dir, page_mib, "free_hugepages", free_pages);
	rig_pool_number(dir, page_mib, "surplus_hugepages", 0);
}

RIG void rig_node_pool(unsigned int node, unsigned int page_mib, uint64_t total, uint64_t free_pages)
{
	char dir[64];

	snprintf(dir, sizeof(dir), "/sys/devices/system/node/node%u", node);
	rig_pool(dir, page_mib, total, free_pages);
}

/* Lists such as "0-1,8". */
RIG void rig_nodes(const char *online, const char *has_memory)
{
	rig_file("/sys/devices/system/node/online", online);
	rig_file("/sys/devices/system/node/has_memory", has_memory);
}

RIG void rig_node(unsigned int node, const char *cpus, uint64_t total_bytes, uint64_t free_bytes)
{
	char name[64], text[160];

	snprintf(name, sizeof(name), "/sys/devices/system/node/node%u/meminfo", node);
	snprintf(text, sizeof(text), "Node %u MemTotal:       %llu kB\nNode %u MemFree:        %llu kB\n",
		 node, (unsigned long long)(total_bytes / KIB), node, (unsigned long long)(free_bytes / KIB));
	rig_file(name, text);
	snprintf(name, sizeof(name), "/sys/devices/system/node/node%u/cpulist", node);
	snprintf(text, sizeof(text), "%s\n", cpus);
	rig_file(name, text);
}

#endif
