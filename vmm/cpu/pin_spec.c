/* The --pin option. Whether the host has these CPUs, and who goes where, is pin.c's business. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/base/opt.h"
#include "vmm/base/topology.h"
#include "vmm/cpu/pin.h"

#define EXPECTED "expected auto, none, or some of vcpuN=LIST, vcpus=LIST, io=LIST, main=LIST and overlap=ok"

static int no_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "out of memory");
}

static int parse_cpus(struct cpuset *cpus, const char *key, const char *list, struct err *e)
{
	if (cpuset_parse(cpus, list) == 0)
		return 0;
	return err_usage(
		e,
		"--pin %s=%s: expected CPUs of this host, numbers from 0 to %d, e.g. %s=2, %s=0-3 or "
		"%s=0-3,,8",
		key, list, CPUSET_BITS - 1, key, key, key);
}

static int said_before(const char *key, const char *list, const struct cpuset *before, struct err *e)
{
	char text[128];

	return err_usage(e, "--pin %s=%s: %s is said already, to be %s; --pin none takes back what was said",
			 key, list, key, cpuset_text(before, text, sizeof(text)));
}

/* vcpus=, io= and main=. */
static int parse_set(struct cpuset **set, const char *key, const char *list, struct err *e)
{
	if (*set)
		return said_before(key, list, *set, e);
	*set = malloc(sizeof(**set));
	return *set ? parse_cpus(*set, key, list, e) : no_memory(e);
}

/* vcpuN=; key is "vcpuN", or what came instead. */
static int parse_wish(struct pin_spec *spec, const char *key, const char *list, struct err *e)
{
	struct pin_wish *more;
	uint64_t vcpu;

	if (opt_parse_uint(key + strlen("vcpu"), 0, TOPO_MAX_CPUS - 1, &vcpu) < 0)
		return err_usage(e, "--pin %s=%s: expected vcpu and a number from 0 to %d, e.g. vcpu0=2", key,
				 list, TOPO_MAX_CPUS - 1);
	for (unsigned int i = 0; i < spec->nr_wishes; i++)
		if (spec->wish[i].vcpu == vcpu)
			return said_before(key, list, &spec->wish[i].cpus, e);
	more = realloc(spec->wish, (spec->nr_wishes + 1) * sizeof(*more));
	if (!more)
		return no_memory(e);
	spec->wish = more;
	more[spec->nr_wishes].vcpu = (unsigned int)vcpu;
	return parse_cpus(&more[spec->nr_wishes++].cpus, key, list, e);
}

/* One item of the list. */
static int parse_item(struct pin_spec *spec, char *item, struct err *e)
{
	char *list = strchr(item, '=');

	if (!strcmp(item, "auto")) {
		spec->automatic = true;
		return 0;
	}
	if (!strcmp(item, "none"))
		return err_usage(
			e,
			"--pin: none stands alone; what it takes back goes before it, what counts after it");
	if (item[strspn(item, "0123456789-")] == '\0' && *item)
		return err_usage(
			e, "--pin: '%s' is no key=value; a comma inside a list is written twice: io=0,,4",
			item);
	if (!list)
		return err_usage(e, "--pin: unexpected '%s'; " EXPECTED, item);
	*list++ = '\0';
	if (!strcmp(item, "vcpus"))
		return parse_set(&spec->vcpus, item, list, e);
	if (!strcmp(item, "io"))
		return parse_set(&spec->io, item, list, e);
	if (!strcmp(item, "main"))
		return parse_set(&spec->main, item, list, e);
	if (!strncmp(item, "vcpu", strlen("vcpu")))
		return parse_wish(spec, item, list, e);
	if (strcmp(item, "overlap") != 0)
		return err_usage(e, "--pin: unknown key '%s'; " EXPECTED, item);
	if (strcmp(list, "ok") != 0)
		return err_usage(e, "--pin: overlap=%s: expected overlap=ok, which lets vCPUs share CPUs",
				 list);
	spec->overlap = true;
	return 0;
}

/* Take the text up to the next single comma into item, with doubled commas as one. Returns what is behind, or NULL. */
static const char *next_item(const char *at, char *item)
{
	bool more = false;

	while (*at && !more) {
		if (*at == ',' && *++at != ',')
			more = true;
		else
			*item++ = *at++;
	}
	*item = '\0';
	return more ? at : NULL;
}

int pin_spec_parse(struct pin_spec *spec, const char *arg, struct err *e)
{
	char *item;
	int rc = 0;

	if (!strcmp(arg, "none")) {
		pin_spec_fini(spec);
		return 0;
	}
	if (!*arg)
		return err_usage(e, "--pin '': " EXPECTED);
	item = malloc(strlen(arg) + 1);
	if (!item)
		return no_memory(e);
	for (const char *at = arg; rc == 0 && at;) {
		at = next_item(at, item);
		rc = *item ? parse_item(spec, item, e)
			   : err_usage(e,
				       "--pin %s: there is nothing between a comma and the next, or the end",
				       arg);
	}
	free(item);
	if (rc == 0 && spec->automatic && spec->vcpus)
		rc = err_usage(e, "--pin: auto and vcpus= each place all vCPUs; say one of them, and vcpuN= "
				  "for exceptions");
	spec->said = true;
	return rc;
}

void pin_spec_fini(struct pin_spec *spec)
{
	free(spec->vcpus);
	free(spec->io);
	free(spec->main);
	free(spec->wish);
	*spec = (struct pin_spec){ 0 };
}
