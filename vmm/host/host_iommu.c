/*
 * IOMMU groups (Documentation/ABI/testing/sysfs-kernel-iommu_groups, v6.1): devices of one group can only be given to
 * the same guest, together.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "vmm/base/sysfile.h"
#include "vmm/host/host.h"

/* A hexadecimal file such as "0x8086"; 0 when it is not to be had. */
static uint32_t read_hex(const char *root, const char *address, const char *file)
{
	char text[16];

	if (sysfile_text(root, text, sizeof(text), "/sys/bus/pci/devices/%s/%s", address, file) < 0)
		return 0;
	return (uint32_t)strtoul(text, NULL, 16);
}

/* The last word of the link. */
static void read_driver(struct host_device *d, const char *root)
{
	char path[PATH_MAX], target[PATH_MAX];
	const char *slash;
	ssize_t n;

	if (snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/%s/driver", root, d->address) >=
	    (int)sizeof(path))
		return;
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return;
	target[n] = '\0';
	slash = strrchr(target, '/');
	snprintf(d->driver, sizeof(d->driver), "%.*s", (int)sizeof(d->driver) - 1,
		 slash ? slash + 1 : target);
}

static int add_device(struct host_iommu *i, const char *root, unsigned int group, const char *address)
{
	struct host_device *d;

	if (i->nr_devices % 64 == 0) {
		d = realloc(i->device, (i->nr_devices + 64) * sizeof(*d));
		if (!d)
			return -ENOMEM;
		i->device = d;
	}
	d = &i->device[i->nr_devices++];
	*d = (struct host_device){ .group = group };
	memcpy(d->address, address, strlen(address) + 1); /* it fits: read_group() */
	d->vendor = (uint16_t)read_hex(root, d->address, "vendor");
	d->device = (uint16_t)read_hex(root, d->address, "device");
	d->class = read_hex(root, d->address, "class");
	read_driver(d, root);
	return 0;
}

/* Groups hold other devices, too; those of PCI are the ones that can be given away. */
static int read_group(struct host_iommu *i, const char *root, const char *group)
{
	char path[PATH_MAX];
	struct dirent *d;
	DIR *dir;
	int rc = 0;

	if (snprintf(path, sizeof(path), "%s/sys/kernel/iommu_groups/%s/devices", root, group) >=
	    (int)sizeof(path))
		return 0;
	dir = opendir(path);
	while (dir && rc == 0 && i->nr_devices < HOST_MAX_DEVICES && (d = readdir(dir)))
		if (d->d_name[0] != '.' && strlen(d->d_name) < sizeof(i->device->address) &&
		    strchr(d->d_name, ':'))
			rc = add_device(i, root, (unsigned int)strtoul(group, NULL, 10), d->d_name);
	if (dir)
		closedir(dir);
	return rc;
}

static int compare(const void *a, const void *b)
{
	const struct host_device *x = a, *y = b;

	return x->group != y->group ? (x->group > y->group) - (x->group < y->group)
				    : strcmp(x->address, y->address);
}

/* Why there is none, and what an administrator does about it. */
static void explain(struct host_iommu *i, bool known, const char *root)
{
	if (!known) {
		i->why_none = "this kernel was built without IOMMU support";
		i->mend = "a kernel with CONFIG_INTEL_IOMMU and CONFIG_AMD_IOMMU";
	} else if (host_cpuinfo_has(root, "hypervisor")) {
		i->why_none =
			"this computer is itself a virtual machine, and its hypervisor gives it no IOMMU";
		i->mend = "a virtual IOMMU for this machine, where it runs";
	} else if (host_cpuinfo_has(root, "AuthenticAMD") || host_cpuinfo_has(root, "HygonGenuine")) {
		i->why_none = "the IOMMU is switched off";
		i->mend = "AMD-Vi (IOMMU) on in the firmware set-up, and no amd_iommu=off on the kernel's "
			  "command line";
	} else {
		i->why_none = "the IOMMU is switched off";
		i->mend = "VT-d on in the firmware set-up, and intel_iommu=on on the kernel's command line";
	}
}

int host_read_iommu(struct host_iommu *i, const char *root)
{
	char path[PATH_MAX];
	struct dirent *d;
	DIR *dir = NULL;
	int rc = 0;

	*i = (struct host_iommu){ .nr_groups = 0 };
	if (snprintf(path, sizeof(path), "%s/sys/kernel/iommu_groups", root) < (int)sizeof(path))
		dir = opendir(path);
	while (dir && rc == 0 && (d = readdir(dir))) {
		if (!isdigit((unsigned char)d->d_name[0]))
			continue;
		i->nr_groups++;
		rc = read_group(i, root, d->d_name);
	}
	if (!i->nr_groups)
		explain(i, dir != NULL, root);
	if (dir)
		closedir(dir);
	if (i->nr_devices)
		qsort(i->device, i->nr_devices, sizeof(*i->device), compare);
	return rc;
}

void host_iommu_fini(struct host_iommu *i)
{
	free(i->device);
	*i = (struct host_iommu){ .nr_groups = 0 };
}
