/*
 * How many of the vCPUs an operating system would use. Windows is sold by sockets: it starts processors of so many
 * packages, and of these all it has room for; the packages are those it finds in CPUID (readers.h).
 *
 * Sources of the numbers, "documented" being Microsoft's own: for XP, licensing brief "Multicore Processor
 * Licensing"; for 7, "Windows 7 system requirements"; for Server 2003 to 2012 R2, the pages that compare editions and
 * the Windows Server team's blog (2012-10-13); from Server 2016, "Locks and limits" (windowsserverdocs). There is no
 * such page for 8, 10 and 11, nor for Vista: those are what people see ("de facto").
 */
#include "vmm/view/view.h"

#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#include "vmm/view/readers.h"

#define KVM_SIGNATURE_LEAF  0x40000000u
#define KVM_FEATURES_LEAF   0x40000001u
#define KVM_MSI_EXT_DEST_ID (1u << 15)

enum {
	OS_LEGACY = 1 << 0, /* reads leaves 1 and 4, or 80000008, alone */
	OS_DE_FACTO = 1 << 1,
	OS_GROUPS = 1 << 2,    /* more than 64 are in groups */
	OS_ONE_NODE = 1 << 3,  /* thinks that a package is in one node */
	OS_SHORT_IDS = 1 << 4, /* without an interrupt remapper uses APIC ids below 255 alone */
	OS_ONLY_32 = 1 << 5,   /* there is no 64-bit edition */
};

#define OLD    (OS_LEGACY | OS_SHORT_IDS)
#define MODERN (OS_GROUPS | OS_SHORT_IDS)

struct os {
	const char *names; /* separated by blanks; the first is the name, others are aliases */
	const char *title;
	unsigned int sockets;      /* 0: no limit */
	unsigned int cpus, cpus32; /* logical processors, of the 32-bit edition; 0: no limit, or none such */
	unsigned int flags;
};

static const struct os systems[] = {
	{ "windows-xp-home", "Windows XP Home", 1, 32, 0, OLD | OS_ONLY_32 },
	{ "windows-xp-professional windows-xp windows-xp-pro", "Windows XP Professional", 2, 64, 32, OLD },
	{ "windows-vista-starter", "Windows Vista Starter", 1, 32, 0,
	  OLD | OS_ONLY_32 | OS_ONE_NODE | OS_DE_FACTO },
	{ "windows-vista-home windows-vista-home-basic windows-vista-home-premium", "Windows Vista Home", 1,
	  64, 32, OLD | OS_ONE_NODE | OS_DE_FACTO },
	{ "windows-vista-business windows-vista", "Windows Vista Business", 2, 64, 32,
	  OLD | OS_ONE_NODE | OS_DE_FACTO },
	{ "windows-vista-enterprise", "Windows Vista Enterprise", 2, 64, 32,
	  OLD | OS_ONE_NODE | OS_DE_FACTO },
	{ "windows-vista-ultimate", "Windows Vista Ultimate", 2, 64, 32, OLD | OS_ONE_NODE | OS_DE_FACTO },
	{ "windows-7-starter", "Windows 7 Starter", 1, 32, 0, OLD | OS_ONLY_32 },
	{ "windows-7-home windows-7-home-basic windows-7-home-premium", "Windows 7 Home", 1, 256, 32,
	  MODERN },
	{ "windows-7-professional windows-7 windows-7-pro", "Windows 7 Professional", 2, 256, 32, MODERN },
	{ "windows-7-enterprise", "Windows 7 Enterprise", 2, 256, 32, MODERN },
	{ "windows-7-ultimate", "Windows 7 Ultimate", 2, 256, 32, MODERN },
	{ "windows-8-home windows-8-core", "Windows 8", 1, 256, 32, MODERN | OS_DE_FACTO },
	{ "windows-8-pro windows-8 windows-8-professional", "Windows 8 Pro", 2, 256, 32,
	  MODERN | OS_DE_FACTO },
	{ "windows-8-enterprise", "Windows 8 Enterprise", 2, 256, 32, MODERN | OS_DE_FACTO },
	{ "windows-8.1-home windows-8.1-core", "Windows 8.1", 1, 256, 32, MODERN | OS_DE_FACTO },
	{ "windows-8.1-pro windows-8.1 windows-8.1-professional", "Windows 8.1 Pro", 2, 256, 32,
	  MODERN | OS_DE_FACTO },
	{ "windows-8.1-enterprise", "Windows 8.1 Enterprise", 2, 256, 32, MODERN | OS_DE_FACTO },
	{ "windows-10-home", "Windows 10 Home", 1, 64, 32, MODERN | OS_DE_FACTO },
	{ "windows-10-pro windows-10 windows-10-professional", "Windows 10 Pro", 2, 128, 32,
	  MODERN | OS_DE_FACTO },
	{ "windows-10-education", "Windows 10 Education", 2, 128, 32, MODERN | OS_DE_FACTO },
	{ "windows-10-enterprise", "Windows 10 Enterprise", 2, 128, 32, MODERN | OS_DE_FACTO },
	{ "windows-10-pro-workstation windows-10-pro-for-workstations", "Windows 10 Pro for Workstations", 4,
	  256, 0, MODERN | OS_DE_FACTO },
	{ "windows-11-home", "Windows 11 Home", 1, 64, 0, MODERN | OS_DE_FACTO },
	{ "windows-11-pro windows-11 windows-11-professional", "Windows 11 Pro", 2, 128, 0,
	  MODERN | OS_DE_FACTO },
	{ "windows-11-education", "Windows 11 Education", 2, 128, 0, MODERN | OS_DE_FACTO },
	{ "windows-11-enterprise", "Windows 11 Enterprise", 2, 128, 0, MODERN | OS_DE_FACTO },
	{ "windows-11-pro-workstation windows-11-pro-for-workstations", "Windows 11 Pro for Workstations", 4,
	  256, 0, MODERN | OS_DE_FACTO },
	{ "windows-server-2003-standard windows-server-2003", "Windows Server 2003 Standard", 4, 64, 32,
	  OLD },
	{ "windows-server-2003-enterprise", "Windows Server 2003 Enterprise", 8, 64, 32, OLD },
	{ "windows-server-2003-datacenter", "Windows Server 2003 Datacenter", 64, 64, 32, OLD | OS_DE_FACTO },
	{ "windows-server-2008-standard windows-server-2008", "Windows Server 2008 Standard", 4, 64, 32,
	  OLD | OS_ONE_NODE },
	{ "windows-server-2008-enterprise", "Windows Server 2008 Enterprise", 8, 64, 32, OLD | OS_ONE_NODE },
	{ "windows-server-2008-datacenter", "Windows Server 2008 Datacenter", 64, 64, 32, OLD | OS_ONE_NODE },
	{ "windows-server-2008r2-standard windows-server-2008r2", "Windows Server 2008 R2 Standard", 4, 256,
	  0, MODERN },
	{ "windows-server-2008r2-enterprise", "Windows Server 2008 R2 Enterprise", 8, 256, 0, MODERN },
	{ "windows-server-2008r2-datacenter", "Windows Server 2008 R2 Datacenter", 64, 256, 0, MODERN },
	{ "windows-server-2012-standard windows-server-2012", "Windows Server 2012 Standard", 64, 640, 0,
	  MODERN },
	{ "windows-server-2012-datacenter", "Windows Server 2012 Datacenter", 64, 640, 0, MODERN },
	{ "windows-server-2012r2-standard windows-server-2012r2", "Windows Server 2012 R2 Standard", 64, 640,
	  0, MODERN },
	{ "windows-server-2012r2-datacenter", "Windows Server 2012 R2 Datacenter", 64, 640, 0, MODERN },
	{ "windows-server-2016 windows-server-2016-standard windows-server-2016-datacenter",
	  "Windows Server 2016", 64, 0, 0, MODERN },
	{ "windows-server-2019 windows-server-2019-standard windows-server-2019-datacenter",
	  "Windows Server 2019", 64, 0, 0, MODERN },
	{ "windows-server-2022 windows-server-2022-standard windows-server-2022-datacenter",
	  "Windows Server 2022", 64, 0, 0, MODERN },
	{ "windows-server-2025 windows-server-2025-standard windows-server-2025-datacenter",
	  "Windows Server 2025", 64, 0, 0, MODERN },
	/* NR_CPUS_RANGE_END in arch/x86/Kconfig, v6.12, with MAXSMP; distributions build with it. */
	{ "linux", "Linux (x86-64)", 0, 8192, 64, 0 },
	/* MAXCPU in sys/amd64/include/param.h: 1024 since 14.0, 256 before. */
	{ "freebsd", "FreeBSD 14 (amd64)", 0, 1024, 0, 0 },
};

/* What comes of it. */
struct outcome {
	unsigned int sockets, cpus; /* here */
	unsigned int used, used_sockets;
	unsigned int ids;                       /* it starts processors whose APIC id is below */
	unsigned int no_socket, no_room, no_id; /* vCPUs left out, by the limit that does it */
};

static bool is_named(const struct os *os, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = os->names; *at;) {
		size_t word = strcspn(at, " ");

		if (word == len && !strncasecmp(at, name, len))
			return true;
		at += word + strspn(at + word, " ");
	}
	return false;
}

static const struct os *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(systems); i++)
		if (is_named(&systems[i], name))
			return &systems[i];
	return NULL;
}

static void list(FILE *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(systems); i++) {
		const char *rest = strchr(systems[i].names, ' ');

		fprintf(out, "%.*s", (int)strcspn(systems[i].names, " "), systems[i].names);
		if (rest)
			fprintf(out, " (also%s)", rest);
		fputc('\n', out);
	}
}

/* Which package each present vCPU is in, as this system finds it. Returns 0 or -ENOMEM with a sentence. */
static int read_packages(struct processors *p, const struct os *os, struct reading *r, struct err *e)
{
	unsigned int nr = p->topo.nr_present;
	struct leaves *l = calloc(nr, sizeof(*l));
	int rc = -ENOMEM;

	for (unsigned int i = 0; l && i < nr; i++) {
		const struct cpuid_table *table = processors_cpuid(p, i);

		if (table)
			leaves_read(table, p->topo.cpu[i].apic_id, &l[i]);
	}
	if (l)
		rc = reading_make(r, os->flags & OS_LEGACY ? READER_LEGACY : READER_WINDOWS, l, nr);
	free(l);
	return rc < 0 ? err_set(e, rc, "out of memory") : 0;
}

static bool is_linux(const struct os *os)
{
	return !strcmp(os->names, "linux");
}

/*
 * APIC ids that it starts are below this. Linux goes by KVM's leaves (arch/x86/kernel/apic/apic.c, v6.12,
 * try_to_enable_x2apic(); arch/x86/kernel/kvm.c): without them it switches x2APIC mode off, as there is no interrupt
 * remapper; with them ids may be as large as the destinations of messages, 8 bits or the extended 15.
 */
static unsigned int ids_limit(const struct os *os, const struct cpuid_table *table)
{
	const struct kvm_cpuid_entry2 *l1 = cpuid_get(table, 1, 0), *signature = cpuid_get(table, KVM_SIGNATURE_LEAF, 0);
	const struct kvm_cpuid_entry2 *said = cpuid_get(table, KVM_FEATURES_LEAF, 0);
	bool kvm = l1 && l1->ecx >> 31 & 1 && signature && signature->ebx == 0x4b4d564b; /* "KVMK" */

	if (os->flags & OS_SHORT_IDS)
		return 255;
	if (!is_linux(os))
		return UINT32_MAX;
	if (!kvm)
		return 255;
	return said && said->eax & KVM_MSI_EXT_DEST_ID ? 32768 : 256;
}

/* In the order of the MADT: a new package is taken while the number allows, and a processor while there is room. */
static int count(const struct topology *t, const struct os *os, const uint16_t *package, struct outcome *o,
		 struct err *e)
{
	struct {
		bool taken, used;
	} *socket = calloc(t->nr_present, sizeof(*socket)); /* by its first vCPU */
	unsigned int taken = 0;

	*o = (struct outcome){ .cpus = t->nr_present, .ids = o->ids };
	if (!socket)
		return err_set(e, -ENOMEM, "out of memory");
	for (unsigned int i = 0; i < t->nr_present; i++) {
		bool first = package[i] == i;

		o->sockets += first;
		if (first && (!os->sockets || taken < os->sockets)) {
			socket[i].taken = true;
			taken++;
		}
		if (!socket[package[i]].taken)
			o->no_socket++;
		else if (t->cpu[i].apic_id >= o->ids)
			o->no_id++;
		else if (os->cpus && o->used == os->cpus)
			o->no_room++;
		else
			socket[package[i]].used = ++o->used > 0;
	}
	for (unsigned int i = 0; i < t->nr_present; i++)
		o->used_sockets += socket[i].used;
	free(socket);
	return 0;
}

static const char *plural(unsigned int n)
{
	return n == 1 ? "" : "s";
}

static void print_limits(const struct os *os, FILE *out)
{
	fprintf(out, "  Limits: ");
	if (os->sockets)
		fprintf(out, "%u socket%s", os->sockets, plural(os->sockets));
	else
		fprintf(out, "any number of sockets");
	if (os->cpus)
		fprintf(out, ", %u logical processors", os->cpus);
	else
		fprintf(out, ", any number of logical processors");
	if (os->cpus32)
		fprintf(out, " (%u for the 32-bit edition)", os->cpus32);
	fprintf(out, "; %s\n", os->flags & OS_DE_FACTO ? "de facto: not published" : "documented");
}

static void print_reasons(const struct os *os, const struct outcome *o, FILE *out)
{
	if (o->no_socket)
		fprintf(out, "  %u not used: on sockets beyond the first %u\n", o->no_socket, os->sockets);
	if (o->no_room)
		fprintf(out, "  %u not used: more than %u logical processors\n", o->no_room, os->cpus);
	if (o->no_id && !is_linux(os))
		fprintf(out,
			"  %u not used: APIC ids from 255 up need an interrupt remapper there, and the guest "
			"has none\n",
			o->no_id);
	else if (o->no_id && o->ids == 32768)
		fprintf(out, "  %u not used: APIC ids end at 32767, as the destinations of messages do\n", o->no_id);
	else if (o->no_id)
		fprintf(out,
			"  %u not used: APIC ids from %u up need KVM's extended destination ids (leaf 40000001H "
			"EAX bit 15), which this guest is not told of\n",
			o->no_id, o->ids);
}

/* One socket, so many cores: what every edition uses. */
static void print_advice(const struct topology *t, const struct os *os, const struct outcome *o, FILE *out)
{
	unsigned int threads = MAX(t->count[TOPO_THREAD], 1u), cpus = o->cpus;

	if (o->used == o->cpus) {
		fprintf(out, "  Nothing to change: this shape gives it all\n");
		return;
	}
	if (os->cpus)
		cpus = MIN(cpus, os->cpus);
	cpus = MIN(cpus, o->ids);
	/* A power of two leaves no holes between the ids, so that the last is cpus - 1. */
	if (threads & (threads - 1) || o->cpus % threads || threads > cpus)
		threads = 1;
	cpus -= cpus % threads;
	fprintf(out, "  Choose instead: --cpus %u,sockets=1,cores=%u", cpus, cpus / threads);
	if (threads > 1)
		fprintf(out, ",threads=%u", threads);
	fputc('\n', out);
	if (cpus < o->cpus)
		fprintf(out, "  It has no way to use the other %u\n", o->cpus - cpus);
}

static bool package_in_two_nodes(const struct topology *t, const uint16_t *package)
{
	for (unsigned int i = 0; i < t->nr_present; i++)
		if (t->cpu[i].node != t->cpu[package[i]].node)
			return true;
	return false;
}

static void print_remarks(const struct topology *t, const struct os *os, const struct reading *r,
			  const struct outcome *o, FILE *out)
{
	if (os->cpus32 && o->used > os->cpus32)
		fprintf(out, "  Of its 32-bit edition no more than %u are used\n", os->cpus32);
	if (os->flags & OS_GROUPS && o->used > 64)
		fprintf(out, "  More than 64 are put into processor groups of at most 64; a program that "
			     "does not know groups uses "
			     "one\n");
	if (os->flags & OS_ONE_NODE && package_in_two_nodes(t, r->set[READ_PACKAGE]))
		fprintf(out, "  A socket lies in several NUMA nodes: it may start half of the processors "
			     "(KB969468). Make nodes of "
			     "whole sockets\n");
	if (!strncmp(os->names, "windows-server-2003", 19))
		fprintf(out, "  Before hotfix 932370 its tools call every core and thread a processor\n");
	if (os->flags & OS_LEGACY && t->count[TOPO_THREAD] > 1 && r->leaf == 0x80000008)
		fprintf(out, "  It reads no AMD leaf that tells threads: they look like cores\n");
	if (is_linux(os) && o->ids == 32768 && topology_max_apic_id(t) >= 255)
		fprintf(out, "  APIC ids from 255 up need Linux 5.11 or newer with KVM guest support "
			     "(CONFIG_KVM_GUEST)\n");
	if (is_linux(os))
		fprintf(out, "  The limit is CONFIG_NR_CPUS of the kernel; a plain defconfig has 64\n");
	if (!strcmp(os->names, "freebsd") && o->used > 256)
		fprintf(out, "  FreeBSD before 14.0 uses 256 at most\n");
	if (o->cpus < t->nr_cpus)
		fprintf(out, "  Another %u can be plugged later; they count as well then\n",
			t->nr_cpus - o->cpus);
}

int view_os(struct processors *p, const char *name, FILE *out, struct err *e)
{
	const struct os *os = find(name);
	struct reading r = { 0 };
	struct outcome o;
	int rc;

	if (!strcmp(name, "list")) {
		list(out);
		return 0;
	}
	if (!os)
		return err_usage(e,
				 "--os %.64s: not known; known are windows-xp, -vista, -7, -8, -8.1, -10 and "
				 "-11, with -home, -pro, "
				 "-enterprise and so on, windows-server-2003, -2008, -2008r2, -2012, "
				 "-2012r2, -2016, -2019, -2022 "
				 "and -2025, with -standard, -enterprise or -datacenter, linux and freebsd; "
				 "--os list prints all",
				 name);
	rc = read_packages(p, os, &r, e);
	o.ids = ids_limit(os, processors_cpuid(p, 0));
	if (rc == 0)
		rc = count(&p->topo, os, r.set[READ_PACKAGE], &o, e);
	if (rc == 0) {
		fprintf(out, "%s\n", os->title);
		print_limits(os, out);
		fprintf(out, "  This shape: %u socket%s, %u vCPU%s\n", o.sockets, plural(o.sockets), o.cpus,
			plural(o.cpus));
		fprintf(out, "  It would use %u of %u vCPU%s, on %u socket%s\n", o.used, o.cpus,
			plural(o.cpus), o.used_sockets, plural(o.used_sockets));
		print_reasons(os, &o, out);
		print_advice(&p->topo, os, &o, out);
		print_remarks(&p->topo, os, &r, &o, out);
	}
	reading_fini(&r);
	return rc;
}
