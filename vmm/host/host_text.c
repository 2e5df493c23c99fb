/*
 * The page: a section for each part, a line for each fact. In the first column '!' marks what is wrong, with what is
 * lost by it and what mends it below; '-' marks what is not there and only missed by those who ask for it.
 */
#include <stdarg.h>
#include <sys/ioctl.h>

#include "vmm/host/host.h"
#include "vmm/view/view.h"

enum { WIDTH = 100, MIN_WIDTH = 60, NAME = 22, TEXT_COLUMN = NAME + 3 };

static const char page_name[NR_HOST_PAGES][4] = { "2M", "1G" };

/* The page's, or what a narrower terminal has. */
static size_t width_of(FILE *out)
{
	struct winsize w = { .ws_col = 0 };
	int fd = fileno(out); /* -1: a stream in memory */

	if (fd < 0 || ioctl(fd, TIOCGWINSZ, &w) < 0 || !w.ws_col)
		return WIDTH;
	return MAX((size_t)MIN_WIDTH, MIN((size_t)WIDTH, (size_t)w.ws_col));
}

/* A mark, a name, and text that is wrapped into the column right of it. name "": more of the line above. */
PRINTF(4, 5) static void put(FILE *out, char mark, const char *name, const char *fmt, ...)
{
	char text[8192], *at = text;
	size_t width = width_of(out);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	do {
		int len = (int)view_wrap(at, width - TEXT_COLUMN);

		fprintf(out, "%c %-*s %.*s\n", mark, NAME, name, len, at);
		mark = ' ';
		name = "";
		at += len;
		at += strspn(at, " ");
	} while (*at);
}

static void put_section(FILE *out, const char *name)
{
	fprintf(out, "\n%s\n", name);
}

static char mark_of(bool here, bool optional)
{
	if (here)
		return ' ';
	return optional ? '-' : '!';
}

static const char *answer(enum host_answer a)
{
	return a == HOST_YES ? "yes" : a == HOST_NO ? "no" : "not known";
}

/* "15.6 GiB": three digits or so. */
static const char *size_text(uint64_t bytes, char buf[32])
{
	static const char *const unit[] = { "KiB", "MiB", "GiB", "TiB" };
	unsigned int i = 0;
	double v = (double)bytes / (double)KIB;

	while (v >= 1024 && i + 1 < ARRAY_SIZE(unit)) {
		v /= 1024;
		i++;
	}
	snprintf(buf, 32, v < 100 && (uint64_t)(v * 10) % 10 ? "%.1f %s" : "%.0f %s", v, unit[i]);
	return buf;
}

/* ---- KVM ---- */

static void put_capabilities(const struct host_kvm *k, FILE *out)
{
	const size_t prefix = strlen("KVM_CAP_");

	fprintf(out, "\n  %-*s %-5s %s\n", NAME, "capability", "here", "without it");
	for (unsigned int i = 0; kvm_capabilities[i].name && i < HOST_MAX_CAPABILITIES; i++) {
		const struct kvm_capability *c = &kvm_capabilities[i];
		bool here = k->capability[i] > 0;

		fprintf(out, "%c %-*s %-5s %s\n", mark_of(here, !c->required), NAME, c->name + prefix,
			here ? "yes" : "no", c->without);
	}
}

static void put_ring0(const struct host_ring0 *r, FILE *out)
{
	double million = (double)r->per_second / 1e6;

	if (r->interpreted == HOST_UNKNOWN) {
		put(out, '!', "ring 0", "not measured: %s", r->why.text);
		return;
	}
	put(out, r->interpreted == HOST_YES ? '!' : ' ', "ring 0",
	    million < 100 ? "%s: %.1f million instructions a second, measured"
			  : "%s: %.0f million instructions a second, measured",
	    r->interpreted == HOST_YES ? "interpreted" : "executed by the processor", million);
	if (r->interpreted == HOST_YES) {
		put(out, ' ', "", "lost: speed, a hundredfold, in everything that a guest's kernel does");
		put(out, ' ', "",
		    "mend: a machine with VT-x or AMD-V, and its module (modprobe kvm_intel or kvm_amd)");
	}
}

static void put_kvm(const struct host_report *r, FILE *out)
{
	const struct host_kvm *k = &r->kvm;

	put_section(out, "KVM");
	if (k->usable == HOST_NO)
		put(out, '!', "usable", "no: %s", k->why.text);
	else
		put(out, ' ', "usable", "%s", answer(k->usable));
	if (k->api_version)
		put(out, ' ', "API version", "%d", k->api_version);
	put(out, ' ', "module", "%s", *k->module ? k->module : "none that is known");
	if (k->usable == HOST_YES) {
		put(out, ' ', "vCPUs", "at most %u, with APIC ids below %u", k->max_vcpus, k->max_vcpu_id);
		put_ring0(&r->ring0, out);
	}
	if (k->capability[0] >= 0)
		put_capabilities(k, out);
}

/* ---- the processor ---- */

static void put_cpu(const struct host_cpu *c, FILE *out)
{
	char differs[sizeof(c->differs)];

	snprintf(differs, sizeof(differs), "%s", c->differs);
	for (char *comma = differs; (comma = strchr(comma, ','));) /* lines break at blanks */
		*comma = ' ';
	put_section(out, "Processor");
	put(out, ' ', "name", "%s", *c->brand ? c->brand : c->vendor);
	put(out, ' ', "version", "%s family %u model %u stepping %u", c->vendor, c->family, c->model,
	    c->stepping);
	put(out, ' ', "--cpu host-model", "%s%s%s", c->nearest ? c->nearest : "not known",
	    *differs ? ", with " : "", differs);
	put(out, ' ', "address bits", "%u physical", c->phys_bits);
	if (*c->shape)
		put(out, ' ', "shape", "%s", c->shape);
	else
		put(out, ' ', "shape", "not known: %s", c->shape_why.text);
	if (c->nr_allowed)
		put(out, ' ', "CPUs for us", "%s (%u)", c->allowed, c->nr_allowed);
	put(out, ' ', c->by_kvm ? "features for guests" : "features here", "%s",
	    c->features ? c->features : "");
	if (!c->by_kvm)
		put(out, ' ', "",
		    "(as the processor tells them; KVM could not be asked which ones guests get)");
}

/* ---- memory ---- */

static void put_pool(FILE *out, const char *page, const char *node, const struct host_pool *p, bool whole)
{
	fprintf(out, "  %-6s %5s %10llu %10llu", page, node, (unsigned long long)p->total,
		(unsigned long long)p->free);
	if (whole)
		fprintf(out, " %10llu", (unsigned long long)p->reserved);
	else
		fprintf(out, " %10s", "");
	fprintf(out, " %10llu\n", (unsigned long long)p->surplus);
}

static void put_pools(const struct host_memory *m, FILE *out)
{
	char node[16];

	if (!m->pool[HOST_PAGE_2M].known && !m->pool[HOST_PAGE_1G].known)
		return;
	fprintf(out, "\n  %-6s %5s %10s %10s %10s %10s\n", "pages", "node", "total", "free", "reserved",
		"surplus");
	for (unsigned int p = 0; p < NR_HOST_PAGES; p++) {
		if (!m->pool[p].known)
			continue;
		put_pool(out, page_name[p], "all", &m->pool[p], true);
		for (unsigned int i = 0; m->nr_nodes > 1 && i < m->nr_nodes; i++) {
			snprintf(node, sizeof(node), "%u", m->node[i].number);
			if (m->node[i].pool[p].known)
				put_pool(out, "", node, &m->node[i].pool[p], false);
		}
	}
}

static void put_memory(const struct host_memory *m, FILE *out)
{
	char a[32], b[32], c[32];

	put_section(out, "Memory");
	put(out, ' ', "memory", "%s, %s available, %s of swap free", size_text(m->total_bytes, a),
	    size_text(m->available_bytes, b),
	    m->swap_free_bytes ? size_text(m->swap_free_bytes, c) : "nothing");
	put(out, ' ', "transparent huge pages", "%s; for shared memory %s", *m->thp ? m->thp : "not known",
	    *m->thp_shmem ? m->thp_shmem : "not known");
	if (m->ksm_known && !m->ksm_pages_shared)
		put(out, ' ', "KSM", "%s; no pages are shared", m->ksm_run == 1 ? "running" : "stopped");
	else if (m->ksm_known)
		put(out, ' ', "KSM", "%s; %llu pages stand for %llu", m->ksm_run == 1 ? "running" : "stopped",
		    (unsigned long long)m->ksm_pages_shared,
		    (unsigned long long)(m->ksm_pages_shared + m->ksm_pages_sharing));
	else
		put(out, ' ', "KSM", "not known");
	if (m->nr_nodes)
		fprintf(out, "\n  %-6s %10s %10s  %s\n", "node", "memory", "free", "CPUs");
	for (unsigned int i = 0; i < m->nr_nodes; i++) {
		const struct host_node *n = &m->node[i];

		fprintf(out, "  %-6u %10s %10s  %s\n", n->number,
			n->has_memory ? size_text(n->total_bytes, a) : "none",
			n->has_memory ? size_text(n->free_bytes, b) : "none", *n->cpus ? n->cpus : "none");
	}
	put_pools(m, out);
}

/* ---- the rest ---- */

static void put_facility(const struct host_facility *f, FILE *out)
{
	bool missing = f->here == HOST_NO;

	put(out, mark_of(!missing, f->optional), f->name, "%s%s%s", answer(f->here),
	    *f->detail.text ? ": " : "", f->detail.text);
	if (!missing)
		return;
	put(out, ' ', "", "lost: %s", f->without);
	if (f->mend)
		put(out, ' ', "", "mend: %s", f->mend);
}

static const char *limit_text(uint64_t v, bool bytes, char buf[32])
{
	if (v == HOST_UNLIMITED)
		return "unlimited";
	if (bytes)
		return size_text(v, buf);
	snprintf(buf, 32, "%llu", (unsigned long long)v);
	return buf;
}

static void put_limit(const char *name, const struct host_limit *l, bool bytes, FILE *out)
{
	char soft[32], hard[32];

	if (l->known && l->soft == l->hard)
		put(out, ' ', name, "%s", limit_text(l->soft, bytes, soft));
	else if (l->known)
		put(out, ' ', name, "%s; it can be raised to: %s", limit_text(l->soft, bytes, soft),
		    limit_text(l->hard, bytes, hard));
}

static void put_iommu(const struct host_iommu *i, FILE *out)
{
	put_section(out, "Passthrough");
	if (!i->nr_groups) {
		put(out, '-', "IOMMU groups", "none: %s", i->why_none);
		put(out, ' ', "", "mend: %s", i->mend);
		return;
	}
	put(out, ' ', "IOMMU groups", "%u, with %u PCI devices", i->nr_groups, i->nr_devices);
	if (i->nr_devices)
		fprintf(out, "\n  %5s  %-13s %-6s %-9s  %s\n", "group", "device", "class", "ids", "driver");
	for (unsigned int n = 0; n < i->nr_devices; n++) {
		const struct host_device *d = &i->device[n];

		fprintf(out, "  %5u  %-13s %06x %04x:%04x  %s\n", d->group, d->address, d->class, d->vendor,
			d->device, *d->driver ? d->driver : "none");
	}
}

static void put_verdict(const struct host_report *r, FILE *out)
{
	unsigned int problems = host_count_problems(r);

	put(out, ' ', "kernel", "Linux %s %s%s", r->release, r->machine,
	    r->cpu.is_guest ? ", itself in a virtual machine" : "");
	if (r->kvm.usable == HOST_NO)
		put(out, '!', "verdict", "no guest can run; marked with ! below: %u", problems);
	else if (problems)
		put(out, '!', "verdict", "guests can run; marked with ! below: %u", problems);
	else
		put(out, ' ', "verdict", "guests can run, and nothing that they usually want is missing");
}

void host_print_text(const struct host_report *r, FILE *out)
{
	fprintf(out, "What this computer can do for guests\n");
	put_verdict(r, out);
	put_kvm(r, out);
	put_cpu(&r->cpu, out);
	put_memory(&r->memory, out);
	put_section(out, "What guests can use");
	for (unsigned int i = 0; i < r->nr_facilities; i++)
		put_facility(&r->facility[i], out);
	put_section(out, "Limits of this user");
	put_limit("open files", &r->nofile, false, out);
	put_limit("locked memory", &r->memlock, true, out);
	put_iommu(&r->iommu, out);
}

void host_check_text(const struct notes *problems, FILE *out)
{
	for (unsigned int i = 0; i < problems->nr; i++)
		fprintf(out, "problem: %s\n", problems->text[i]);
	if (!problems->nr)
		fputs("this guest would start\n", out);
}
