/*
 * Raw dumps of the guest's CPUID: one text that the program cpuid reads (cpuid -f), one directory that hwloc's x86
 * back end reads (lstopo --if cpuid). Only vCPUs that are present: a reader can ask no others.
 */
#include "vmm/view/view.h"

#include <errno.h>

#include "vmm/view/leaves.h"
#include "vmm/view/outdir.h"

#define HWLOC_INFO "hwloc-cpuid-info"

static void put_cpuid_line(void *ctx, uint32_t leaf, uint32_t index, bool indexed, const struct regs *r)
{
	(void)indexed;
	fprintf(ctx, "   0x%08x 0x%02x: eax=0x%08x ebx=0x%08x ecx=0x%08x edx=0x%08x\n", leaf, index, r->eax,
		r->ebx, r->ecx, r->edx);
}

int view_cpuid(struct processors *p, FILE *out, struct err *e)
{
	for (unsigned int i = 0; i < p->topo.nr_present; i++) {
		const struct cpuid_table *table = processors_cpuid(p, i);

		if (!table)
			return err_set(e, -ENOSPC, "the CPUID table of vCPU %u has no room for its overrides",
				       i);
		fprintf(out, "CPU %u:\n", i);
		leaves_each(table, put_cpuid_line, out);
	}
	return ferror(out) ? err_set(e, -EIO, "cannot write the dump") : 0;
}

/* Which inputs hwloc compares, a mask: 1 is EAX, 4 is ECX. */
static void put_hwloc_line(void *ctx, uint32_t leaf, uint32_t index, bool indexed, const struct regs *r)
{
	fprintf(ctx, "%x %x 0 %x 0 => %x %x %x %x\n", indexed ? 5 : 1, leaf, index, r->eax, r->ebx, r->ecx,
		r->edx);
}

static void put_pu(FILE *f, const void *ctx)
{
	fputs("# mask e[abcd]x => e[abcd]x\n", f);
	leaves_each(ctx, put_hwloc_line, f);
}

static void put_info(FILE *f, const void *ctx)
{
	(void)ctx;
	fputs("Architecture: x86\n", f);
}

static bool is_hwloc_file(const char *name)
{
	size_t digits = strncmp(name, "pu", 2) ? 0 : strspn(name + 2, "0123456789");

	return !strcmp(name, HWLOC_INFO) || (digits && !name[2 + digits]);
}

int view_hwloc(struct processors *p, const char *dir, struct err *e)
{
	struct outdir d;
	char name[24];
	int rc = outdir_begin(&d, dir, HWLOC_INFO, is_hwloc_file, e);

	if (rc == 0)
		rc = outdir_put(&d, HWLOC_INFO, put_info, NULL, e);
	for (unsigned int i = 0; i < p->topo.nr_present && rc == 0; i++) {
		const struct cpuid_table *table = processors_cpuid(p, i);

		snprintf(name, sizeof(name), "pu%u", i);
		rc = table ? outdir_put(&d, name, put_pu, table, e)
			   : err_set(e, -ENOSPC, "the CPUID table of vCPU %u has no room for its overrides",
				     i);
	}
	if (rc == 0)
		rc = outdir_commit(&d, e);
	outdir_drop(&d);
	return rc;
}
