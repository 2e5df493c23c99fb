/*
 * Who runs where: what --pin says, held against this host. Sentences for all that is wrong are collected, not only
 * the first. Where auto puts vCPUs is pin_auto.c's business; nothing is pinned here.
 */
#include "vmm/cpu/pin.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/cpu/pin_internal.h"

enum { SOME = 160 };            /* letters of a list that a sentence shows */

void pin_refuse(struct pin_job *j, bool usage, const char *what, const char *fmt, ...)
{
	struct err e;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(e.text, sizeof(e.text), fmt, ap);
	va_end(ap);
	err_prefix(&e, "--pin %s", what);
	e.usage = usage;
	notes_add_err(j->problems, &e);
	j->refused = true;
}

/* ---- this host's CPUs ---- */

/* What the kernel says of all CPUs (Documentation/admin-guide/cputopology.rst, v6.12). */
struct host_cpus {
	bool online_known, present_known;
	struct cpuset online, present, allowed;
};

static void minus(struct cpuset *a, const struct cpuset *b)
{
	for (size_t i = 0; i < ARRAY_SIZE(a->bits); i++)
		a->bits[i] &= ~b->bits[i];
}

static void both(struct cpuset *a, const struct cpuset *b)
{
	for (size_t i = 0; i < ARRAY_SIZE(a->bits); i++)
		a->bits[i] &= b->bits[i];
}

static const char *plural(const struct cpuset *s)
{
	return cpuset_count(s) == 1 ? "" : "s";
}

static void refuse_offline(struct pin_job *j, const char *what, const struct cpuset *offline)
{
	char some[SOME];

	cpuset_text(offline, some, sizeof(some));
	if (cpuset_count(offline) == 1)
		pin_refuse(j, false, what,
			   "CPU %s of this host is offline; 'echo 1 > /sys/devices/system/cpu/cpu%s/online' "
			   "as root brings "
			   "it back",
			   some, some);
	else
		pin_refuse(j, false, what,
			   "CPUs %s of this host are offline; 'chcpu -e %s' as root brings them back", some,
			   some);
}

/* May these CPUs be used? what: the key, for sentences. */
static void cpus_check(struct pin_job *j, const struct host_cpus *host, const char *what,
		       const struct cpuset *cpus)
{
	struct cpuset part, rest = *cpus;
	char some[SOME], have[SOME];

	part = rest;
	minus(&part, &host->present);
	if (host->present_known && !cpuset_empty(&part)) {
		pin_refuse(j, false, what, "this host has no CPU%s %s; it has CPU%s %s", plural(&part),
			   cpuset_text(&part, some, sizeof(some)), plural(&host->present),
			   cpuset_text(&host->present, have, sizeof(have)));
		minus(&rest, &part);
	}
	part = rest;
	minus(&part, &host->online);
	if (host->online_known && !cpuset_empty(&part)) {
		refuse_offline(j, what, &part);
		minus(&rest, &part);
	}
	part = rest;
	minus(&part, &host->allowed);
	if (!cpuset_empty(&part))
		pin_refuse(j, false, what,
			   "this process may not run on CPU%s %s of this host: taskset or a cgroup's cpuset "
			   "leaves it "
			   "CPU%s %s",
			   plural(&part), cpuset_text(&part, some, sizeof(some)), plural(&host->allowed),
			   cpuset_text(&host->allowed, have, sizeof(have)));
}

/* ---- vCPUs ---- */

/* vcpus=: vCPU i has the i-th CPU, and where there are too few and that is fine, they begin again. */
static void vcpus_deal(struct pin_job *j, const bool *excepted)
{
	unsigned int have = cpuset_count(j->spec->vcpus), needed = 0, cpu = 0;
	char some[SOME];

	for (unsigned int i = 0; i < j->plan->nr_vcpus; i++)
		needed = excepted[i] ? needed : i + 1;
	if (have < needed && !j->spec->overlap) {
		pin_refuse(j, true, "vcpus",
			   "%s is %u CPU%s for %u vCPUs; name at least %u, or add overlap=ok, which has "
			   "vCPUs share them in "
			   "turn",
			   cpuset_text(j->spec->vcpus, some, sizeof(some)), have, plural(j->spec->vcpus),
			   needed, needed);
		return;
	}
	for (unsigned int i = 0; i < j->plan->nr_vcpus; i++, cpu++) {
		while (!cpuset_has(j->spec->vcpus, cpu % CPUSET_BITS)) /* not empty: cpuset_parse() */
			cpu++;
		if (!excepted[i])
			cpuset_add(&j->plan->vcpu[i], cpu % CPUSET_BITS);
	}
}

/* vcpuN=, which goes before all else. excepted: set for those. */
static void wishes_fill(struct pin_job *j, const struct host_cpus *host, bool *excepted)
{
	unsigned int nr = j->plan->nr_vcpus;
	char what[24];

	for (unsigned int i = 0; i < j->spec->nr_wishes; i++) {
		const struct pin_wish *w = &j->spec->wish[i];

		snprintf(what, sizeof(what), "vcpu%u", w->vcpu);
		cpus_check(j, host, what, &w->cpus);
		if (w->vcpu >= nr) {
			pin_refuse(j, true, what,
				   "there is no such vCPU; the guest starts with %u, counted from 0", nr);
			continue;
		}
		j->plan->vcpu[w->vcpu] = w->cpus;
		excepted[w->vcpu] = true;
	}
}

/* auto: those that stand for a CPU of this host go there, the others where there is room. */
static int auto_fill(struct pin_job *j, const struct host_cpus *host, const bool *excepted)
{
	struct cpuset known = { 0 };

	for (unsigned int i = 0; i < j->plan->nr_vcpus; i++)
		if (!excepted[i] && j->t->cpu[i].host_cpu >= 0) {
			cpuset_add(&j->plan->vcpu[i], (unsigned int)j->t->cpu[i].host_cpu);
			cpuset_add(&known, (unsigned int)j->t->cpu[i].host_cpu);
		}
	cpus_check(j, host, "auto", &known);
	return pin_auto(j);
}

/* The only CPU of a set, or -1. */
static int only_cpu(const struct cpuset *s)
{
	int cpu = -1;

	for (size_t i = 0; i < ARRAY_SIZE(s->bits); i++) {
		if (!s->bits[i])
			continue;
		if (cpu >= 0 || s->bits[i] & (s->bits[i] - 1))
			return -1;
		cpu = (int)(64 * i) + __builtin_ctzll(s->bits[i]);
	}
	return cpu;
}

/*
 * Two vCPUs that have the same CPU and no other cannot run at the same time, and a guest that spins for the other
 * stands still. Sets of several CPUs may overlap: the host's scheduler finds room.
 */
static void overlaps_check(struct pin_job *j)
{
	uint16_t first[CPUSET_BITS]; /* the vCPU that has this CPU alone, plus one */
	char what[48];

	memset(first, 0, sizeof(first));
	for (unsigned int i = 0; i < j->plan->nr_vcpus; i++) {
		int cpu = only_cpu(&j->plan->vcpu[i]);

		if (cpu >= 0 && first[cpu]) {
			snprintf(what, sizeof(what), "vcpu%u and vcpu%u", first[cpu] - 1u, i);
			pin_refuse(j, true, what,
				   "both would run on CPU %d alone; give each a CPU of its own, or add "
				   "overlap=ok",
				   cpu);
		} else if (cpu >= 0) {
			first[cpu] = (uint16_t)(i + 1);
		}
	}
}

static int vcpus_fill(struct pin_job *j, const struct host_cpus *host)
{
	unsigned int nr = j->t->nr_present;
	bool *excepted;
	int rc = 0;

	if (!j->spec->vcpus && !j->spec->nr_wishes && !j->spec->automatic)
		return 0;
	excepted = calloc(nr, sizeof(*excepted));
	j->plan->vcpu = calloc(nr, sizeof(*j->plan->vcpu));
	if (excepted && j->plan->vcpu) {
		j->plan->nr_vcpus = nr;
		wishes_fill(j, host, excepted);
		if (j->spec->vcpus) {
			cpus_check(j, host, "vcpus", j->spec->vcpus);
			vcpus_deal(j, excepted);
		}
		if (j->spec->automatic)
			rc = auto_fill(j, host, excepted);
		if (!j->spec->overlap)
			overlaps_check(j);
	} else {
		rc = -ENOMEM;
	}
	free(excepted);
	return rc;
}

/* ---- the plan ---- */

/* io= and main=. rest: for those that auto places; NULL: none. */
static int others_fill(struct pin_job *j, const struct host_cpus *host, const char *what,
		       const struct cpuset *said, const struct cpuset *rest, struct cpuset **out)
{
	const struct cpuset *from = said ? said : rest;

	if (said)
		cpus_check(j, host, what, said);
	if (!from || cpuset_empty(from))
		return 0;
	*out = malloc(sizeof(**out));
	if (!*out)
		return -ENOMEM;
	**out = *from;
	return 0;
}

/* Have those who show a vCPU's place show the CPU that auto chose. */
static void tell_host_cpus(const struct pin_plan *plan, const struct pin_spec *spec, struct topology *t)
{
	for (unsigned int i = 0; spec->automatic && i < plan->nr_vcpus; i++) {
		int cpu = only_cpu(&plan->vcpu[i]);

		if (cpu >= 0)
			t->cpu[i].host_cpu = cpu;
	}
}

int pin_plan_allowed(struct pin_plan *plan, const struct pin_spec *spec, struct topology *t, const char *root,
		     const struct cpuset *allowed, struct notes *problems)
{
	struct pin_job j = {
		.plan = plan, .spec = spec, .t = t, .root = root, .problems = problems, .usable = *allowed
	};
	struct host_cpus host = { .allowed = *allowed };
	struct cpuset rest;
	int rc;

	*plan = (struct pin_plan){ 0 };
	host.online_known = pin_host_list(&host.online, root, "/sys/devices/system/cpu/online");
	host.present_known = pin_host_list(&host.present, root, "/sys/devices/system/cpu/present");
	if (host.online_known)
		both(&j.usable, &host.online);
	rc = vcpus_fill(&j, &host);
	rest = j.usable;
	for (unsigned int i = 0; i < plan->nr_vcpus; i++)
		minus(&rest, &plan->vcpu[i]);
	if (rc == 0)
		rc = others_fill(&j, &host, "io", spec->io, spec->automatic ? &rest : NULL, &plan->io);
	if (rc == 0)
		rc = others_fill(&j, &host, "main", spec->main, spec->automatic ? &rest : NULL, &plan->main);
	if (rc == 0 && j.refused)
		rc = -EINVAL;
	if (rc < 0)
		pin_plan_fini(plan);
	else
		tell_host_cpus(plan, spec, t);
	return rc;
}

int pin_plan(struct pin_plan *plan, const struct pin_spec *spec, struct topology *t, const char *root,
	     struct notes *problems)
{
	struct cpuset allowed;
	int rc;

	*plan = (struct pin_plan){ 0 };
	if (!spec->said)
		return 0;
	rc = cpuset_get_own(&allowed);
	if (rc == 0)
		return pin_plan_allowed(plan, spec, t, root, &allowed, problems);
	notes_add(problems, "--pin: cannot tell on which CPUs this process may run: %s", strerror(-rc));
	return -EINVAL;
}

void pin_plan_fini(struct pin_plan *plan)
{
	free(plan->vcpu);
	free(plan->io);
	free(plan->main);
	*plan = (struct pin_plan){ 0 };
}
