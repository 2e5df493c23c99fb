/*
 * The processor, as guests can have it: KVM is asked what it gives them, and where it cannot be, the CPUID instruction
 * stands in, as for `trellis topology`.
 */
#include <errno.h>
#include <stdlib.h>

#include "vmm/base/cpuset.h"
#include "vmm/base/sysfile.h"
#include "vmm/cpu/caches.h"
#include "vmm/cpu/model.h"
#include "vmm/cpu/topology.h"
#include "vmm/host/host.h"
#include "vmm/view/view.h"

bool host_cpuinfo_has(const char *root, const char *word)
{
	static const char blanks[] = " \t\n";
	char text[8192], *end;
	size_t len = strlen(word);

	if (sysfile_text(root, text, sizeof(text), "/proc/cpuinfo") < 0)
		return false;
	end = strstr(text, "\n\n");
	if (end)
		*end = '\0';
	for (const char *at = text + strspn(text, blanks); *at; at += strspn(at, blanks)) {
		if (strcspn(at, blanks) == len && !strncmp(at, word, len))
			return true;
		at += strcspn(at, blanks);
	}
	return false;
}

/* Names of what a table has, with blanks between. */
static int read_features(struct host_cpu *c, const struct cpuid_table *table)
{
	size_t len = 0;
	char *at;

	for (const struct feature *f = features; f->name; f++)
		len += strlen(f->name) + 1;
	c->features = at = malloc(len + 1);
	if (!at)
		return -ENOMEM;
	*at = '\0';
	for (const struct feature *f = features; f->name; f++) {
		if (!feature_get(table, f))
			continue;
		at += sprintf(at, "%s%s", c->nr_features ? " " : "", f->name);
		c->nr_features++;
	}
	return 0;
}

static void read_model(struct host_cpu *c, const struct model_host *host)
{
	const struct kvm_cpuid_entry2 *leaf1 = cpuid_get(host->table, 1, 0);
	struct cpuid_version v = cpuid_version(leaf1 ? leaf1->eax : 0);

	cpuid_vendor(host->table, c->vendor);
	cpuid_brand(host->table, c->brand);
	c->family = v.family;
	c->model = v.model;
	c->stepping = v.stepping;
	c->phys_bits = cpuid_phys_bits(host->table);
	c->can_nest = feature_get(host->table, feature_find("vmx")) ||
		      feature_get(host->table, feature_find("svm"));
	c->nearest = model_nearest(host, c->differs, sizeof(c->differs));
}

/* view_summary() speaks of a guest's vCPUs; these are CPUs. */
static void put_shape(struct host_cpu *c, const struct topology *t)
{
	char text[VIEW_SUMMARY], *from = text, *v;
	size_t at = 0;

	view_summary(t, text);
	while ((v = strstr(from, "vCPU"))) {
		at += (size_t)snprintf(c->shape + at, sizeof(c->shape) - at, "%.*s", (int)(v - from), from);
		from = v + 1;
	}
	snprintf(c->shape + at, sizeof(c->shape) - at, "%s", from);
}

static void read_shape(struct host_cpu *c, const struct cpuid_table *table, const char *root)
{
	const struct cache_spec nothing_said = { .slot = { { .said = false } } };
	struct layout layout = { .cpu = NULL };
	struct topology t = { .nr_cpus = 0 };
	char sysfs[512];

	_Static_assert(sizeof(c->shape) >= VIEW_SUMMARY, "a summary always fits");
	snprintf(sysfs, sizeof(sysfs), "%s/sys", root);
	if (layout_read_host(&layout, sysfs, NULL, &c->shape_why) == 0 &&
	    topology_from_layout(&t, &layout, 0, &c->shape_why) == 0 &&
	    caches_place(&t, &nothing_said, &layout, table, &c->shape_why) == 0)
		put_shape(c, &t);
	topology_fini(&t);
	layout_fini(&layout);
}

int host_read_cpu(struct host_cpu *c, const char *root)
{
	struct cpuid_table *table = calloc(1, sizeof(*table));
	struct notes ignored = { .nr = 0 }; /* by_kvm says it */
	struct model_host host;
	struct cpuset allowed;
	int rc;

	*c = (struct host_cpu){ .by_kvm = false };
	if (!table)
		return -ENOMEM;
	model_host_read(&host, table, &ignored);
	c->by_kvm = host.is_kvm;
	c->is_guest = host_cpuinfo_has(root, "hypervisor"); /* leaf 1 ECX bit 31, which no processor sets */
	read_model(c, &host);
	read_shape(c, table, root);
	if (cpuset_get_own(&allowed) == 0) {
		cpuset_text(&allowed, c->allowed, sizeof(c->allowed));
		c->nr_allowed = cpuset_count(&allowed);
	}
	rc = read_features(c, table);
	notes_fini(&ignored);
	free(table);
	return rc;
}
