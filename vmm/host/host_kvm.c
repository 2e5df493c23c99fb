/*
 * What KVM is here: which module, what it can do. Everything is asked of /dev/kvm itself, even where kvm_open() refuses
 * it, so that the page shows what is missing.
 */
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "vmm/base/sysfile.h"
#include "vmm/host/host.h"

/* The half of KVM that knows the processor. Built into the kernel, several can be there, and only one is at work. */
static const struct {
	const char *name, *vendor;
} modules[] = {
	{ "kvm_pvm", "pvm" },
	{ "kvm_intel", "intel" },
	{ "kvm_amd", "amd" },
};

static bool module_is_there(const char *root, const char *name)
{
	char path[512];

	return snprintf(path, sizeof(path), "%s/sys/module/%s", root, name) < (int)sizeof(path) &&
	       access(path, F_OK) == 0;
}

/* One that we do not know. */
static void find_other_module(struct host_kvm *k, const char *root)
{
	char path[512];
	struct dirent *d;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/sys/module", root);
	dir = opendir(path);
	while (dir && !*k->module && (d = readdir(dir)))
		if (!strncmp(d->d_name, "kvm_", 4) && strlen(d->d_name) < sizeof(k->module))
			memcpy(k->module, d->d_name, strlen(d->d_name) + 1);
	if (dir)
		closedir(dir);
}

static void read_module(struct host_kvm *k, const char *root)
{
	bool amd = module_is_there(root, "kvm_intel") && module_is_there(root, "kvm_amd") &&
		   host_cpuinfo_has(root, "svm");
	char nested[8];

	for (size_t i = 0; i < ARRAY_SIZE(modules) && !*k->module; i++) {
		if (!module_is_there(root, modules[i].name) || (amd && !strcmp(modules[i].name, "kvm_intel")))
			continue;
		snprintf(k->module, sizeof(k->module), "%s", modules[i].name);
		k->vendor = modules[i].vendor;
	}
	if (!*k->module)
		find_other_module(k, root);
	if (*k->module &&
	    sysfile_text(root, nested, sizeof(nested), "/sys/module/%s/parameters/nested", k->module) > 0)
		k->nested = *nested == 'Y' || *nested == '1' ? HOST_YES : HOST_NO;
}

static void ask(struct host_kvm *k, int fd)
{
	int n = kvm_ioctl(fd, KVM_GET_API_VERSION, NULL);

	k->api_version = MAX(n, 0);
	for (unsigned int i = 0; kvm_capabilities[i].name && i < HOST_MAX_CAPABILITIES; i++) {
		n = kvm_ioctl_value(fd, KVM_CHECK_EXTENSION, (unsigned long)kvm_capabilities[i].cap);
		k->capability[i] = MAX(n, 0);
	}
}

void host_read_kvm(struct host_kvm *k, const char *root)
{
	struct kvm kvm;
	int fd;

	*k = (struct host_kvm){ .usable = HOST_UNKNOWN };
	for (unsigned int i = 0; i < HOST_MAX_CAPABILITIES; i++)
		k->capability[i] = -1;
	read_module(k, root);
	fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		ask(k, fd);
		close(fd);
	}
	k->usable = kvm_open(&kvm, &k->why) == 0 ? HOST_YES : HOST_NO;
	if (k->usable == HOST_YES) {
		k->max_vcpus = kvm.max_vcpus;
		k->max_vcpu_id = kvm.max_vcpu_id;
		kvm_close(&kvm);
	}
}
