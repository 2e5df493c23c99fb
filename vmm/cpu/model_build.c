/*
 * From what the user asks for and what the host offers to the features that the guest gets. What CPUID says of them is
 * model_table.c's business.
 */
#include <errno.h>
#include <stdio.h>
#include <strings.h>

#include "vmm/cpu/cpuid_internal.h"
#include "vmm/cpu/model_internal.h"

enum {
	NAMES = 500,   /* letters of features in an error; a sentence must fit around them */
	WORDS = 120,   /* letters of what the user said, in a message */
	FEW_NAMES = 8, /* features in a note, which is read again and again */
};

static bool is_name(const struct build *b, const char *name)
{
	return !strcasecmp(*b->spec->name ? b->spec->name : "host", name);
}

static void take(struct build *b, const char *name)
{
	set_take(&b->want, feature_number(&b->graph, name));
	set_close(&b->graph, &b->want);
}

static void put_names(struct build *b, const char *names)
{
	set_put_names(&b->graph, &b->want, names);
}

static bool has(const struct build *b, const struct feature_set *s, const char *name)
{
	return set_has(s, feature_number(&b->graph, name));
}

/* Which leaves only one vendor has: features there go when the guest is told of the other vendor. */
static bool foreign(const struct feature *f, enum cpuid_style style)
{
	static const char *const intel[] = { "vmx", "sgx",
					     "amx_tile" }; /* the last two have leaves past AMD's limit */
	static const char *const amd[] = { "svm", "topoext", "cmp_legacy" };
	const char *const *names = style == CPUID_AMD ? intel : amd;

	for (unsigned int i = 0; i < 3; i++)
		if (!strcmp(f->name, names[i]))
			return true;
	return style == CPUID_INTEL && f->leaf > 0x80000008;
}

static const char *vendor_name(enum cpuid_style style)
{
	return style == CPUID_AMD ? "AMD" : "Intel";
}

static const char *virt_feature(enum cpuid_style style)
{
	return style == CPUID_AMD ? "svm" : "vmx";
}

/* Does a wish bring the other vendor's way of virtualization? KVM has no such processor. */
static bool alien(const struct build *b, const struct feature_wish *w)
{
	enum cpuid_style other = b->style == CPUID_AMD ? CPUID_INTEL : CPUID_AMD;
	struct feature_set needed = { 0 };

	if (!w->on)
		return false;
	set_put_needs(&b->graph, &needed, (unsigned int)(w->feature - features));
	return has(b, &needed, virt_feature(other));
}

/* Wishes that no processor of this vendor can fulfil: an error, or left out. */
static int refuse_alien(struct build *b)
{
	for (unsigned int i = 0; i < b->spec->nr_wishes; i++) {
		const struct feature_wish *w = &b->spec->wish[i];
		const char *vendor = vendor_name(b->style), *virt = virt_feature(b->style);
		bool itself = !strcmp(w->feature->name, "vmx") || !strcmp(w->feature->name, "svm");

		if (!alien(b, w))
			continue;
		if (b->spec->enforce != ENFORCE_OFF)
			return err_usage(b->e, "--cpu +%s: not a feature of %s processors%s%s",
					 w->feature->name, vendor, itself ? "; nested=on gives " : "",
					 itself ? virt : "");
		notes_add(b->notes, "--cpu +%s: left out, since it is not a feature of %s processors",
			  w->feature->name, vendor);
	}
	return 0;
}

static void start_from_host(struct build *b, const struct feature_set *plain)
{
	b->want = *plain;
	if (b->host->ring0_interpreted && !is_name(b, "max"))
		host_leave_out_ring0(b);
	if (is_name(b, "host-model"))
		b->model = host_nearest_model(b);
	for (unsigned int i = 0; i < b->graph.nr && b->style != b->host_style; i++)
		if (foreign(&features[i], b->style))
			set_take(&b->want, i);
	set_close(&b->graph, &b->want);
}

static void start_from_model(struct build *b)
{
	struct feature_set kvm = { 0 };

	model_features(&b->graph, b->model, &b->want);
	put_names(b, "x2apic hypervisor");
	if (b->style == CPUID_AMD)
		put_names(b, "topoext");
	/* Not of the processor, but of KVM's timer: worth having whatever the model. */
	if (b->fixed || has(b, &b->have, "tsc_deadline_timer"))
		put_names(b, "tsc_deadline_timer");
	set_put_names(&b->graph, &kvm, KVM_FEATURES);
	if (!b->fixed)
		kvm = set_common(kvm, &b->have);
	b->want = set_with(b->want, &kvm);
	for (unsigned int i = 0; i < b->graph.nr; i++)
		if (foreign(&features[i], b->style))
			set_take(&b->want, i);
	set_close(&b->graph, &b->want);
}

/* VMX or SVM. */
static int apply_nested(struct build *b)
{
	const char *virt = virt_feature(b->style), *said = b->spec->nested_implied ? "+" : "nested=on",
		   *which = b->spec->nested_implied ? virt : "";
	bool can = has(b, &b->have, virt),
	     asked = b->spec->nested_implied ? wished_on(b, virt) : b->spec->nested,
	     loose = b->spec->enforce == ENFORCE_OFF || (b->describe && b->spec->enforce == ENFORCE_UNSAID);

	if (!asked || (is_name(b, "max") && !can)) {
		take(b, "vmx");
		take(b, "svm");
		return 0;
	}
	if (!can && !loose && b->style != b->host_style)
		return err_set(b->e, -ENOTSUP,
			       "--cpu %s%s: this host's processor is not %s's and has no %s; leave %s%s out",
			       said, which, vendor_name(b->style), virt, said, which);
	if (!can && !loose)
		return err_set(
			b->e, -ENOTSUP,
			"--cpu %s%s: this host's KVM does not offer guests %s; load the module %s with "
			"nested=1, or leave %s%s out",
			said, which, virt, b->style == CPUID_AMD ? "kvm_amd" : "kvm_intel", said, which);
	put_names(b, virt);
	return 0;
}

/* +a and -b where a needs b cannot both be. */
static int refuse_contradictions(struct build *b, const struct feature_wish *on)
{
	struct feature_set needed = { 0 };

	set_put_needs(&b->graph, &needed, (unsigned int)(on->feature - features));
	for (unsigned int i = 0; i < b->spec->nr_wishes; i++) {
		const struct feature_wish *off = &b->spec->wish[i];

		if (!off->on && set_has(&needed, (unsigned int)(off->feature - features)))
			return err_usage(b->e, "--cpu +%s,-%s: %s needs %s; leave one of the two out",
					 on->feature->name, off->feature->name, on->feature->name,
					 off->feature->name);
	}
	return 0;
}

/* What a wish changed beyond the words of the user. */
static void note_others(struct build *b, const struct feature_wish *w, const struct feature_set *changed)
{
	struct feature_set others = *changed;
	char names[1024];

	for (unsigned int i = 0; i < b->spec->nr_wishes; i++)
		set_take(&others, (unsigned int)(b->spec->wish[i].feature - features));
	if (set_count(&others))
		notes_add(b->notes, "%c%s also %s %s", w->on ? '+' : '-', w->feature->name,
			  w->on ? "adds" : "removes", set_names(&others, ", ", "", names, sizeof(names)));
}

static int apply_wishes(struct build *b)
{
	for (int on = 1; on >= 0; on--) /* what is asked for first, then what is not wanted */
		for (unsigned int i = 0; i < b->spec->nr_wishes; i++) {
			const struct feature_wish *w = &b->spec->wish[i];
			unsigned int number = (unsigned int)(w->feature - features);
			struct feature_set before = b->want, changed;
			int rc = on && w->on ? refuse_contradictions(b, w) : 0;

			if (rc < 0)
				return rc;
			if (w->on != on || alien(b, w))
				continue;
			if (on) {
				set_put_needs(&b->graph, &b->want, number);
				changed = set_without(b->want, &before);
			} else {
				set_take(&b->want, number);
				set_close(&b->graph, &b->want);
				changed = set_without(before, &b->want);
			}
			note_others(b, w, &changed);
		}
	return 0;
}

/* The user's words that ask for some of these features: "EPYC,+vaes,nested=on". */
static const char *asked_words(const struct build *b, const struct feature_set *missing, char buf[WORDS])
{
	size_t at = (size_t)snprintf(buf, WORDS, "%s", *b->spec->name ? b->spec->name : "host");

	for (unsigned int i = 0; i < b->spec->nr_wishes; i++) {
		const struct feature_wish *w = &b->spec->wish[i];
		struct feature_set brought = { 0 };

		if (!w->on)
			continue;
		set_put_needs(&b->graph, &brought, (unsigned int)(w->feature - features));
		brought = set_common(brought, missing);
		if (set_count(&brought) && at + strlen(w->feature->name) + sizeof(",+,nested=on") < WORDS)
			at += (size_t)snprintf(buf + at, WORDS - at, ",+%s", w->feature->name);
	}
	if (b->spec->nested && !b->spec->nested_implied && !is_name(b, "max") &&
	    has(b, missing, virt_feature(b->style)))
		snprintf(buf + at, WORDS - at, ",nested=on");
	return buf;
}

/* "avx512f, vaes and 7 more". */
static const char *few_names(const struct feature_set *s, char buf[NAMES])
{
	struct feature_set few = { 0 };
	unsigned int nr = 0;
	size_t len;

	for (unsigned int i = 0; features[i].name && nr < FEW_NAMES; i++)
		if (set_has(s, i)) {
			set_put(&few, i);
			nr++;
		}
	len = strlen(set_names(&few, ", ", "", buf, NAMES));
	if (set_count(s) > nr)
		snprintf(buf + len, NAMES - len, " and %u more", set_count(s) - nr);
	return buf;
}

/* What the host has not: an error, a warning, or left out. */
static int enforce(struct build *b)
{
	struct feature_set missing = set_without(b->want, &b->have);
	char words[WORDS], names[NAMES], all[4096];
	const char *name = asked_words(b, &missing, words);

	if (!set_count(&missing))
		return 0;
	if (b->spec->enforce == ENFORCE_OFF) {
		notes_add(b->notes, "--cpu %s: left out, since this host cannot give it: %s", name,
			  set_names(&missing, ", ", "", all, sizeof(all)));
		b->want = set_without(b->want, &missing);
		set_close(&b->graph, &b->want);
		return 0;
	}
	if (b->describe && b->spec->enforce == ENFORCE_UNSAID) {
		notes_add(b->notes, "this host cannot run --cpu %s: it lacks %s", name,
			  few_names(&missing, names));
		return 0;
	}
	return err_set(b->e, -ENOTSUP,
		       "--cpu %s: this host cannot give %s; -FEATURE or enforce=off leaves that out", name,
		       set_names(&missing, ", ", "", names, sizeof(names)));
}

static void apply_privacy(struct build *b)
{
	bool hide_kvm = b->spec->no_kvm || b->spec->no_hypervisor;

	if (b->spec->no_hypervisor)
		take(b, "hypervisor");
	for (unsigned int i = 0; i < b->graph.nr && hide_kvm; i++)
		if (features[i].leaf == 0x40000001)
			set_take(&b->want, i);
}

/* Whose processor is it, and whose leaves does it have? */
static int choose_model(struct build *b)
{
	b->host_style = cpuid_style(b->host->table);
	b->style = b->host_style;
	if (!is_name(b, "host") && !is_name(b, "max") && !is_name(b, "host-model")) {
		b->model = model_find(b->spec->name);
		if (!b->model)
			return err_usage(b->e, "--cpu %s: there is no such model", b->spec->name);
		if (b->model->vendor != MODEL_ANY)
			b->style = (enum cpuid_style)b->model->vendor;
		b->fixed = b->describe && b->spec->enforce == ENFORCE_UNSAID;
	}
	if (b->spec->vendor)
		b->style = (enum cpuid_style)(b->spec->vendor - 1);
	if (b->style != b->host_style && !b->describe)
		notes_add(b->notes,
			  "the guest is told of %s processor and runs on %s: its kernel may take the wrong "
			  "precautions",
			  b->style == CPUID_AMD ? "an AMD" : "an Intel",
			  b->host_style == CPUID_AMD ? "an AMD one" : "another vendor's");
	return 0;
}

int model_build(const struct model_spec *spec, const struct model_host *host, bool describe,
		struct cpuid_table *out, struct notes *notes, struct err *e)
{
	struct build b = {
		.spec = spec,
		.host = host,
		.describe = describe,
		.out = out,
		.notes = notes,
		.e = e,
	};
	struct feature_set plain;
	int rc = choose_model(&b);

	if (rc < 0)
		return rc;
	feature_graph_init(&b.graph);
	host_features(&b, &plain);
	if (b.model)
		start_from_model(&b);
	else
		start_from_host(&b, &plain);
	if ((rc = refuse_alien(&b)) < 0 || (rc = apply_nested(&b)) < 0 || (rc = apply_wishes(&b)) < 0)
		return rc;
	apply_privacy(&b);
	rc = enforce(&b);
	return rc < 0 ? rc : table_write(&b);
}
