/*
 * The words of --cpu. What they come to is model_build()'s business.
 */
#include "vmm/cpu/model.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>

#include "vmm/base/opt.h"
#include "vmm/cpu/feature_set.h"
#include "vmm/cpu/model_internal.h"

/* Models that are the host's processor in one way or other; model_name() lists them first. */
static const struct {
	const char *name, *about;
} host_models[] = {
	{ "host", "this host's processor: all that KVM supports and that is safe (the default)" },
	{ "max", "host, and what that leaves out for safety, e.g. nested virtualization" },
	{ "host-model", "the named model nearest to this host, with the differences" },
};

const char *model_name(unsigned int i)
{
	if (i < ARRAY_SIZE(host_models))
		return host_models[i].name;
	for (const struct model *m = models; m->name; m++)
		if (i-- == ARRAY_SIZE(host_models))
			return m->name;
	return NULL;
}

const char *model_about(unsigned int i)
{
	const struct model *m;

	if (i < ARRAY_SIZE(host_models))
		return host_models[i].about;
	m = model_name(i) ? model_find(model_name(i)) : NULL;
	return m ? m->about : NULL;
}

static int refuse_model(const char *name, struct err *e)
{
	char known[512] = "";
	const char *nearest = NULL;
	unsigned int least = feature_likeness(name) + 1;
	size_t at = 0;

	for (unsigned int i = 0; model_name(i); i++) {
		unsigned int d = feature_distance(name, model_name(i));

		if (d < least) {
			least = d;
			nearest = model_name(i);
		}
		if (at < sizeof(known))
			at += (size_t)snprintf(known + at, sizeof(known) - at, "%s%s", i ? ", " : "",
					       model_name(i));
	}
	for (unsigned int i = 0; !nearest && name[0] && name[1] && model_name(i); i++)
		if (feature_begins(model_name(i), name))
			nearest = model_name(i);
	if (nearest)
		return err_usage(e, "--cpu %.40s: there is no such model; nearest is %s, and known are %s",
				 name, nearest, known);
	return err_usage(e, "--cpu %.40s: there is no such model; known are %s", name, known);
}

static int add_wish(struct model_spec *spec, const char *name, bool on, struct err *e)
{
	const struct feature *f = feature_find(name);
	const char *nearest;

	if (!f) {
		nearest = feature_nearest(name);
		if (nearest)
			return err_usage(e, "--cpu: unknown feature '%.40s'; nearest is %s", name, nearest);
		return err_usage(
			e, "--cpu: unknown feature '%.40s'; names are those in /proc/cpuinfo, e.g. avx2",
			name);
	}
	if (!strcmp(f->name, "ht") || !strcmp(f->name, "cmp_legacy") || !strcmp(f->name, "topoext"))
		return err_usage(e, "--cpu: %s follows the shape and cannot be chosen; --cpus does that",
				 f->name);
	if (!strcmp(f->name, "osxsave") || !strcmp(f->name, "ospke"))
		return err_usage(e, "--cpu: %s is switched by the guest; choose %s", f->name, f->name + 2);
	for (unsigned int i = 0; i < spec->nr_wishes; i++)
		if (spec->wish[i].feature == f) {
			if (spec->wish[i].on == on)
				return 0;
			return err_usage(e, "--cpu: +%s and -%s contradict each other; leave one out",
					 f->name, f->name);
		}
	if (spec->nr_wishes == MODEL_MAX_WISHES)
		return err_usage(e, "--cpu: more than %d features are asked for", MODEL_MAX_WISHES);
	spec->wish[spec->nr_wishes++] = (struct feature_wish){ .feature = f, .on = on };
	return 0;
}

/* A name without its -noTSX, and the two wishes that stand for it. */
static int set_name(struct model_spec *spec, const char *name, struct err *e)
{
	static const char no_tsx[] = "-noTSX";
	char base[sizeof(spec->name)];
	size_t len = strlen(name), tail = sizeof(no_tsx) - 1;
	int rc;

	if (len >= sizeof(base))
		return refuse_model(name, e);
	strcpy(base, name);
	if (len > tail && !strcasecmp(name + len - tail, no_tsx)) {
		base[len - tail] = 0;
		if ((rc = add_wish(spec, "hle", false, e)) < 0 || (rc = add_wish(spec, "rtm", false, e)) < 0)
			return rc;
	}
	for (unsigned int i = 0; model_name(i); i++)
		if (!strcasecmp(base, model_name(i))) {
			strcpy(spec->name, model_name(i));
			return 0;
		}
	return refuse_model(name, e);
}

/* Keys; a bit of seen for each. */
enum { KEY_VENDOR, KEY_PHYS_BITS, KEY_HYPERVISOR, KEY_KVM, KEY_NESTED, KEY_ENFORCE, NR_KEYS };

static const char *const key_names[NR_KEYS] = { "vendor", "phys-bits", "hypervisor",
						"kvm",    "nested",    "enforce" };

static int parse_switch(const char *key, const char *value, bool *on, struct err *e)
{
	*on = !strcmp(value, "on");
	if (*on || !strcmp(value, "off"))
		return 0;
	return err_usage(e, "--cpu %s=%.40s: expected on or off", key, value);
}

static int set_key(struct model_spec *spec, int key, const char *value, struct err *e)
{
	uint64_t v;
	bool on;
	int rc;

	if (key == KEY_VENDOR) {
		if (!strcasecmp(value, "intel") || !strcmp(value, "GenuineIntel"))
			spec->vendor = 1 + CPUID_INTEL;
		else if (!strcasecmp(value, "amd") || !strcmp(value, "AuthenticAMD"))
			spec->vendor = 1 + CPUID_AMD;
		else
			return err_usage(e, "--cpu vendor=%.40s: expected intel or amd", value);
		return 0;
	}
	if (key == KEY_PHYS_BITS) {
		if (opt_parse_uint(value, 32, 52, &v) < 0)
			return err_usage(e, "--cpu phys-bits=%.40s: expected a number of bits from 32 to 52",
					 value);
		spec->phys_bits = (unsigned int)v;
		return 0;
	}
	rc = parse_switch(key_names[key], value, &on, e);
	if (rc < 0)
		return rc;
	if (key == KEY_HYPERVISOR)
		spec->no_hypervisor = !on;
	else if (key == KEY_KVM)
		spec->no_kvm = !on;
	else if (key == KEY_NESTED)
		spec->nested = on;
	else
		spec->enforce = on ? ENFORCE_ON : ENFORCE_OFF;
	return 0;
}

/* key=value, or feature=on|off. */
static int parse_pair(struct model_spec *spec, char *item, char *value, unsigned int *seen, struct err *e)
{
	bool on;
	int rc;

	*value++ = 0;
	for (int k = 0; k < NR_KEYS; k++)
		if (!strcasecmp(item, key_names[k])) {
			if (*seen & 1u << k)
				return err_usage(e, "--cpu: %s= is there twice", key_names[k]);
			*seen |= 1u << k;
			return set_key(spec, k, value, e);
		}
	if (!feature_find(item) && !feature_nearest(item))
		return err_usage(e,
				 "--cpu: unknown key '%.40s'; known are vendor=, phys-bits=, hypervisor=, "
				 "kvm=, nested=, "
				 "enforce= and FEATURE=on|off",
				 item);
	if (!feature_find(item))
		return add_wish(spec, item, true, e); /* says which is nearest */
	rc = parse_switch(item, value, &on, e);
	return rc < 0 ? rc : add_wish(spec, item, on, e);
}

static int parse_item(struct model_spec *spec, char *item, bool first, unsigned int *seen, struct err *e)
{
	char *value = strchr(item, '=');

	if (*item == '+' || *item == '-')
		return add_wish(spec, item + 1, *item == '+', e);
	if (value)
		return parse_pair(spec, item, value, seen, e);
	if (first)
		return set_name(spec, item, e);
	if (!strcasecmp(item, "enforce")) { /* as QEMU has it */
		spec->enforce = ENFORCE_ON;
		return 0;
	}
	if (feature_find(item))
		return err_usage(e, "--cpu: '%s' alone says nothing; write +%s or -%s", item, item, item);
	return err_usage(
		e, "--cpu: unexpected '%.40s'; expected +FEATURE, -FEATURE, FEATURE=on|off or KEY=VALUE",
		item);
}

static bool wish_is(const struct model_spec *spec, const char *name, bool on)
{
	for (unsigned int i = 0; i < spec->nr_wishes; i++)
		if (!strcmp(spec->wish[i].feature->name, name))
			return spec->wish[i].on == on;
	return false;
}

/* What one word means for another: -hypervisor is hypervisor=off, +svm is nested=on. */
static int settle(struct model_spec *spec, unsigned int seen, struct err *e)
{
	bool virt_on = wish_is(spec, "vmx", true) || wish_is(spec, "svm", true);
	bool virt_off = wish_is(spec, "vmx", false) || wish_is(spec, "svm", false);

	if (!*spec->name)
		strcpy(spec->name, "host");
	if (!strcmp(spec->name, "max") && !(seen & 1u << KEY_NESTED) && !virt_off)
		spec->nested = true;
	if (seen & 1u << KEY_NESTED && ((virt_on && !spec->nested) || (virt_off && spec->nested)))
		return err_usage(e, "--cpu: nested=%s contradicts %c%s; leave one out",
				 spec->nested ? "on" : "off", virt_on ? '+' : '-',
				 wish_is(spec, "vmx", virt_on) ? "vmx" : "svm");
	spec->nested_implied = virt_on && !spec->nested;
	spec->nested |= virt_on;
	if (wish_is(spec, "hypervisor", false))
		spec->no_hypervisor = true;
	if (spec->no_hypervisor && wish_is(spec, "hypervisor", true))
		return err_usage(e, "--cpu: hypervisor=off contradicts +hypervisor; leave one out");
	for (unsigned int i = 0; i < spec->nr_wishes && (spec->no_kvm || spec->no_hypervisor); i++)
		if (spec->wish[i].on && spec->wish[i].feature->leaf == 0x40000001)
			return err_usage(
				e, "--cpu: %s=off hides all that KVM tells, so +%s cannot be; leave one out",
				spec->no_kvm ? "kvm" : "hypervisor", spec->wish[i].feature->name);
	return 0;
}

int model_spec_parse(struct model_spec *spec, const char *arg, struct err *e)
{
	unsigned int seen = 0;
	bool first = true;

	*spec = (struct model_spec){ 0 };
	for (;;) {
		size_t len = strcspn(arg, ",");
		char item[128];
		int rc;

		if (!len)
			return err_usage(e,
					 "--cpu: expected MODEL[,+FEATURE][,-FEATURE][,KEY=VALUE]; there is "
					 "nothing %s",
					 first ? "at its beginning" : "after a comma");
		if (len >= sizeof(item))
			return err_usage(e, "--cpu: '%.40s...' is longer than any feature's name", arg);
		memcpy(item, arg, len);
		item[len] = 0;
		rc = parse_item(spec, item, first, &seen, e);
		if (rc < 0)
			return rc;
		first = false;
		if (!arg[len])
			return settle(spec, seen, e);
		arg += len + 1;
	}
}
