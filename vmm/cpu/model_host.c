/*
 * What the host offers: the features that guests can have, those that they get, and the named model nearest to them.
 */
#include <stdio.h>

#include "vmm/cpu/cpuid_internal.h"
#include "vmm/cpu/model_internal.h"

/*
 * What processors have and KVM (Linux 6.12, arch/x86/kvm/cpuid.c, kvm_set_cpu_caps()) never gives guests. Only for
 * hosts whose KVM cannot be asked: KVM's own answer has none of it.
 */
#define NOT_FOR_GUESTS                                                                                       \
	"dtes64 monitor ds_cpl smx est tm2 cid sdbg xtpr dca osxsave pn dts acpi ht tm ia64 pbe dtherm ida " \
	"pln pts hwp "                                                                                       \
	"hwp_notify hwp_act_window hwp_epp hwp_pkg_req hfi aperfmperf epb cqm cqm_llc rdt_a pcommit "        \
	"intel_pt ospke tme kl "                                                                             \
	"enqcmd pks shstk ibt uintr srbds_ctrl tsx_force_abort hybrid pconfig arch_lbr core_capability "     \
	"rao_int lass "                                                                                      \
	"arch_perfmon_ext fred nmi_src hreset msrlist user_msr cet_sss extapic ibs skinit wdt lwp tce "      \
	"nodeid_msr mp "                                                                                     \
	"perfctr_nb bpext ptsc perfctr_llc mwaitx overflow_recov succor smca hw_pstate cpb proc_feedback "   \
	"acc_power rapl "                                                                                    \
	"irperf rdpru mba ibrs_same_mode amd_ppin cppc btc_no brs svm_lock x2avic avic v_spec_ctrl "         \
	"debug_swap svsm "                                                                                   \
	"smm_page_cfg_lock upper_address_ignore cpuid_user_dis amd_lbr_v2 amd_lbr_pmc_freeze sme sgx sgx1 "  \
	"sgx2 sgx_lc "                                                                                       \
	"sgx_edeccssa eraps"

/* KVM makes these itself, whatever the host has; of the first two its answer may say nothing. */
#define BY_KVM      "x2apic hypervisor"
#define ALSO_BY_KVM "arat tsc_adjust"

/* User space may always set these. */
#define BY_US "kvm_msi_ext_dest_id kvm_hint_dedicated"

/* No measure of likeness between models: they are the same for all guests here, or follow from other options. */
#define NO_MATTER                                                                                            \
	"x2apic arat tsc_deadline_timer hypervisor kvm_mmu kvm_hc_map_gpa_range kvm_migration_control vmx "  \
	"svm tsc_adjust " KVM_FEATURES " " BY_US " " SHAPE_FEATURES " " OS_FEATURES

static struct feature_set named(const struct build *b, const char *names)
{
	struct feature_set s = { 0 };

	set_put_names(&b->graph, &s, names);
	return s;
}

void host_features(struct build *b, struct feature_set *plain)
{
	struct feature_set s;
	unsigned int deadline = feature_number(&b->graph, "tsc_deadline_timer");

	set_read(&b->have, b->host->table);
	xsave_limit(b, &b->have, b->host->table);
	if (!b->host->is_kvm) {
		s = named(b, NOT_FOR_GUESTS);
		b->have = set_without(b->have, &s);
		s = named(b, ALSO_BY_KVM);
		b->have = set_with(b->have, &s);
		if (!cpuid_get(b->host->table, 0x40000001, 0)) {
			s = named(b, KVM_FEATURES);
			b->have = set_with(b->have, &s);
		}
	}
	s = named(b, OS_FEATURES);
	b->have = set_without(b->have, &s);
	s = named(b, BY_KVM);
	b->have = set_with(b->have, &s);
	set_take(&b->have, deadline);
	if (b->host->tsc_deadline || !b->host->is_kvm)
		set_put(&b->have, deadline);
	set_close(&b->graph, &b->have);
	s = named(b, BY_US);
	*plain = set_without(b->have, &s);
	s = named(b, BY_US " " SHAPE_FEATURES);
	b->have = set_with(b->have, &s);
}

bool wished_on(const struct build *b, const char *name)
{
	unsigned int wanted = feature_number(&b->graph, name);

	for (unsigned int i = 0; i < b->spec->nr_wishes; i++) {
		struct feature_set s = { 0 };

		if (!b->spec->wish[i].on)
			continue;
		set_put_needs(&b->graph, &s, (unsigned int)(b->spec->wish[i].feature - features));
		if (set_has(&s, wanted))
			return true;
	}
	return false;
}

void host_leave_out_ring0(struct build *b)
{
	/* Such a KVM ends a guest that executes CMPXCHG16B or XRSTOR in ring 0 with KVM_EXIT_INTERNAL_ERROR. */
	static const char *const broken[] = { "cx16", "xsave" };
	struct feature_set before = b->want, gone;
	char names[1024];

	for (unsigned int i = 0; i < ARRAY_SIZE(broken); i++)
		if (!wished_on(b, broken[i]))
			set_take(&b->want, feature_number(&b->graph, broken[i]));
	set_close(&b->graph, &b->want);
	gone = set_without(before, &b->want);
	if (set_count(&gone))
		notes_add(b->notes,
			  "this host interprets what guests do in ring 0 and cannot run some instructions "
			  "there: %s left out; "
			  "+FEATURE puts one back",
			  set_names(&gone, ", ", "", names, sizeof(names)));
}

void model_features(const struct feature_graph *g, const struct model *m, struct feature_set *s)
{
	*s = (struct feature_set){ 0 };
	for (; m; m = m->base ? model_find(m->base) : NULL)
		set_put_names(g, s, m->features);
}

/* differs receives "+a,+b,-c": what the guest has more and less than the model. NULL when there is no model. */
static const struct model *find_nearest(const struct build *b, char *differs, size_t len)
{
	struct feature_set ignored = named(b, NO_MATTER), want, best_lacks, best_has;
	const struct model *best = NULL;
	unsigned int least = UINT32_MAX;
	size_t at;

	*differs = '\0';
	for (unsigned int i = 0; features[i].name; i++)
		if (features[i].leaf == 0x8000000a) /* SVM's own are nested='s business */
			set_put(&ignored, i);
	want = set_without(b->want, &ignored);
	for (const struct model *m = models; m->name; m++) {
		struct feature_set s, lacks, has;

		if ((int)m->vendor != (int)b->host_style)
			continue;
		model_features(&b->graph, m, &s);
		s = set_without(s, &ignored);
		lacks = set_without(want, &s);
		has = set_without(s, &want);
		if (set_count(&lacks) + set_count(&has) > least)
			continue;
		least = set_count(&lacks) + set_count(&has); /* the last of equals is the newest */
		best = m;
		best_lacks = lacks;
		best_has = has;
	}
	if (!best)
		return NULL; /* cannot be: there are models of each style */
	set_names(&best_lacks, ",", "+", differs, len);
	at = strlen(differs);
	if (set_count(&best_has) && at + 2 < len) {
		if (at)
			differs[at++] = ',';
		set_names(&best_has, ",", "-", differs + at, len - at);
	}
	return best;
}

const struct model *host_nearest_model(struct build *b)
{
	char differs[2048];
	const struct model *best = find_nearest(b, differs, sizeof(differs));

	if (best)
		notes_add(b->notes, "host-model: %s%s%s", best->name, *differs ? ", with " : "", differs);
	return best;
}

const char *model_nearest(const struct model_host *host, char *differs, size_t len)
{
	const struct model_spec spec = { .name = "host-model" };
	struct notes ignored = { .nr = 0 };
	struct build b = { .spec = &spec, .host = host, .notes = &ignored, .host_style = cpuid_style(host->table) };
	const struct model *best;

	feature_graph_init(&b.graph);
	host_features(&b, &b.want);
	if (host->ring0_interpreted)
		host_leave_out_ring0(&b);
	best = find_nearest(&b, differs, len);
	notes_fini(&ignored);
	return best ? best->name : NULL;
}
