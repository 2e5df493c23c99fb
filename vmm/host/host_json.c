/*
 * The report as one JSON object (RFC 8259), for programs. Keys:
 *
 *   kernel      release and machine, as uname(1) tells them
 *   problems    how many things are wrong that a guest without special wishes could meet
 *   kvm         usable, reason (why not), api_version, module, vendor (intel, amd, pvm), nested, max_vcpus, max_vcpu_id,
 *               capabilities: of each that trellis uses name, number, required, present, value (what KVM answered) and
 *               without (what is lost without it)
 *   ring0       interpreted, instructions_per_second (measured), reason (why it was not)
 *   cpu         by_kvm (features are those that KVM gives guests; else those of the processor), virtual_machine (this
 *               computer is itself one), vendor, brand, family, model, stepping, physical_bits, nearest_model (what --cpu
 *               host-model comes to), differs (from that model: "+a,-b"), features, shape (a sentence), allowed (the CPUs
 *               that we may run on, as a list), nr_allowed
 *   memory      total_bytes, available_bytes, swap_free_bytes, thp, thp_shmem, ksm (run: 0 stopped, 1 running, 2 unmerge;
 *               pages_shared, pages_sharing), pools (of each size: page_bytes, total, free, reserved, surplus, overcommit,
 *               in pages), nodes (node, total_bytes, free_bytes, cpus, pools; bytes are null of a node without memory)
 *   facilities  what is there or not: key, name, available, optional (no problem when it is not), detail, without (what
 *               is lost), mend (the command)
 *   limits      nofile, memlock_bytes: soft and hard, null where there is no limit
 *   iommu       groups (how many), reason (why there are none), mend, devices: group, address, vendor, device, class (all
 *               three in hexadecimal), driver
 *
 * What is not known, or does not apply, is null. Keys are added, never renamed.
 *
 * The answer of --check is {"starts": true or false, "problems": [sentences]}.
 */
#include "vmm/base/json.h"
#include "vmm/host/host.h"

/* ---- values, each after its key; before: what separates it from the last ---- */

static void put_key(FILE *out, const char *before, const char *key)
{
	fprintf(out, "%s\"%s\": ", before, key);
}

static void put_text(FILE *out, const char *before, const char *key, const char *text)
{
	put_key(out, before, key);
	json_put_string(out, text && *text ? text : NULL);
}

static void put_number(FILE *out, const char *before, const char *key, bool known, uint64_t v)
{
	put_key(out, before, key);
	if (known)
		fprintf(out, "%llu", (unsigned long long)v);
	else
		fputs("null", out);
}

static void put_bool(FILE *out, const char *before, const char *key, bool v)
{
	put_key(out, before, key);
	fputs(json_bool(v), out);
}

static void put_answer(FILE *out, const char *before, const char *key, enum host_answer a)
{
	put_key(out, before, key);
	fputs(a == HOST_UNKNOWN ? "null" : json_bool(a == HOST_YES), out);
}

static void put_hex(FILE *out, const char *before, const char *key, unsigned int digits, uint32_t v)
{
	put_key(out, before, key);
	fprintf(out, "\"%0*x\"", (int)digits, v);
}

/* ---- sections ---- */

static void put_capability(FILE *out, const struct kvm_capability *c, int value)
{
	put_text(out, "{", "name", c->name);
	put_number(out, ", ", "number", true, (uint64_t)c->cap);
	put_bool(out, ", ", "required", c->required);
	put_answer(out, ", ", "present", value < 0 ? HOST_UNKNOWN : value ? HOST_YES : HOST_NO);
	put_number(out, ", ", "value", value >= 0, (uint64_t)MAX(value, 0));
	put_text(out, ", ", "without", c->without);
	fputc('}', out);
}

static void put_kvm(FILE *out, const struct host_kvm *k)
{
	fputs("  \"kvm\": {", out);
	put_answer(out, "", "usable", k->usable);
	put_text(out, ", ", "reason", k->why.text);
	put_number(out, ", ", "api_version", k->api_version > 0, (uint64_t)MAX(k->api_version, 0));
	put_text(out, ", ", "module", k->module);
	put_text(out, ", ", "vendor", k->vendor);
	put_answer(out, ", ", "nested", k->nested);
	put_number(out, ", ", "max_vcpus", k->max_vcpus, k->max_vcpus);
	put_number(out, ", ", "max_vcpu_id", k->max_vcpu_id, k->max_vcpu_id);
	fputs(",\n    \"capabilities\": [", out);
	for (unsigned int i = 0; kvm_capabilities[i].name && i < HOST_MAX_CAPABILITIES; i++) {
		fputs(i ? ",\n      " : "\n      ", out);
		put_capability(out, &kvm_capabilities[i], k->capability[i]);
	}
	fputs("]},\n", out);
}

static void put_ring0(FILE *out, const struct host_ring0 *r)
{
	fputs("  \"ring0\": {", out);
	put_answer(out, "", "interpreted", r->interpreted);
	put_number(out, ", ", "instructions_per_second", r->interpreted != HOST_UNKNOWN, r->per_second);
	put_text(out, ", ", "reason", r->why.text);
	fputs("},\n", out);
}

/* Names with blanks between, as a list. */
static void put_features(FILE *out, const char *at)
{
	char name[64];

	fputs(",\n    \"features\": ", out);
	fputs(at ? "[" : "null", out);
	for (bool first = true; at && *at; first = false) {
		size_t len = strcspn(at, " ");

		snprintf(name, sizeof(name), "%.*s", (int)len, at);
		fputs(first ? "" : ", ", out);
		json_put_string(out, name);
		at += len + (at[len] == ' ');
	}
	fputs(at ? "]" : "", out);
}

static void put_cpu(FILE *out, const struct host_cpu *c)
{
	fputs("  \"cpu\": {", out);
	put_bool(out, "", "by_kvm", c->by_kvm);
	put_bool(out, ", ", "virtual_machine", c->is_guest);
	put_text(out, ", ", "vendor", c->vendor);
	put_text(out, ", ", "brand", c->brand);
	put_number(out, ", ", "family", true, c->family);
	put_number(out, ", ", "model", true, c->model);
	put_number(out, ", ", "stepping", true, c->stepping);
	put_number(out, ", ", "physical_bits", true, c->phys_bits);
	put_text(out, ",\n    ", "nearest_model", c->nearest);
	put_key(out, ", ", "differs");
	json_put_string(out, c->nearest ? c->differs : NULL);
	put_features(out, c->features);
	put_text(out, ",\n    ", "shape", c->shape);
	put_text(out, ",\n    ", "allowed", c->allowed);
	put_number(out, ", ", "nr_allowed", c->nr_allowed, c->nr_allowed);
	fputs("},\n", out);
}

static void put_pools(FILE *out, const struct host_pool *pool, bool whole)
{
	bool any = false;

	fputs("\"pools\": [", out);
	for (unsigned int p = 0; p < NR_HOST_PAGES; p++) {
		if (!pool[p].known)
			continue;
		put_number(out, any ? ", {" : "{", "page_bytes", true, host_page_bytes((enum host_page)p));
		put_number(out, ", ", "total", true, pool[p].total);
		put_number(out, ", ", "free", true, pool[p].free);
		put_number(out, ", ", "reserved", whole, pool[p].reserved);
		put_number(out, ", ", "surplus", true, pool[p].surplus);
		put_number(out, ", ", "overcommit", whole, pool[p].overcommit);
		fputc('}', out);
		any = true;
	}
	fputc(']', out);
}

static void put_node(FILE *out, const struct host_node *n)
{
	put_number(out, "{", "node", true, n->number);
	put_number(out, ", ", "total_bytes", n->has_memory, n->total_bytes);
	put_number(out, ", ", "free_bytes", n->has_memory, n->free_bytes);
	put_key(out, ", ", "cpus");
	json_put_string(out, n->cpus);
	fputs(", ", out);
	put_pools(out, n->pool, false);
	fputc('}', out);
}

static void put_memory(FILE *out, const struct host_memory *m)
{
	fputs("  \"memory\": {", out);
	put_number(out, "", "total_bytes", m->total_bytes, m->total_bytes);
	put_number(out, ", ", "available_bytes", m->total_bytes, m->available_bytes);
	put_number(out, ", ", "swap_free_bytes", m->total_bytes, m->swap_free_bytes);
	put_text(out, ",\n    ", "thp", m->thp);
	put_text(out, ", ", "thp_shmem", m->thp_shmem);
	put_number(out, ",\n    \"ksm\": {", "run", m->ksm_known, m->ksm_run);
	put_number(out, ", ", "pages_shared", m->ksm_known, m->ksm_pages_shared);
	put_number(out, ", ", "pages_sharing", m->ksm_known, m->ksm_pages_sharing);
	fputs("},\n    ", out);
	put_pools(out, m->pool, true);
	fputs(",\n    \"nodes\": [", out);
	for (unsigned int i = 0; i < m->nr_nodes; i++) {
		fputs(i ? ",\n      " : "\n      ", out);
		put_node(out, &m->node[i]);
	}
	fputs("]},\n", out);
}

static void put_facility(FILE *out, const struct host_facility *f)
{
	put_text(out, "{", "key", f->key);
	put_text(out, ", ", "name", f->name);
	put_answer(out, ", ", "available", f->here);
	put_bool(out, ", ", "optional", f->optional);
	put_text(out, ", ", "detail", f->detail.text);
	put_text(out, ", ", "without", f->without);
	put_text(out, ", ", "mend", f->mend);
	fputc('}', out);
}

static void put_limit(FILE *out, const char *key, const struct host_limit *l, const char *after)
{
	put_key(out, "", key);
	if (!l->known) {
		fprintf(out, "null%s", after);
		return;
	}
	put_number(out, "{", "soft", l->soft != HOST_UNLIMITED, l->soft);
	put_number(out, ", ", "hard", l->hard != HOST_UNLIMITED, l->hard);
	fprintf(out, "}%s", after);
}

static void put_device(FILE *out, const struct host_device *d)
{
	put_number(out, "{", "group", true, d->group);
	put_text(out, ", ", "address", d->address);
	put_hex(out, ", ", "vendor", 4, d->vendor);
	put_hex(out, ", ", "device", 4, d->device);
	put_hex(out, ", ", "class", 6, d->class);
	put_text(out, ", ", "driver", d->driver);
	fputc('}', out);
}

static void put_iommu(FILE *out, const struct host_iommu *i)
{
	fputs("  \"iommu\": {", out);
	put_number(out, "", "groups", true, i->nr_groups);
	put_text(out, ", ", "reason", i->why_none);
	put_text(out, ", ", "mend", i->mend);
	fputs(", \"devices\": [", out);
	for (unsigned int n = 0; n < i->nr_devices; n++) {
		fputs(n ? ",\n    " : "\n    ", out);
		put_device(out, &i->device[n]);
	}
	fputs("]}\n", out);
}

/* ---- the objects ---- */

void host_print_json(const struct host_report *r, FILE *out)
{
	put_text(out, "{\n  \"kernel\": {", "release", r->release);
	put_text(out, ", ", "machine", r->machine);
	put_number(out, "},\n  ", "problems", true, host_count_problems(r));
	fputs(",\n", out);
	put_kvm(out, &r->kvm);
	put_ring0(out, &r->ring0);
	put_cpu(out, &r->cpu);
	put_memory(out, &r->memory);
	fputs("  \"facilities\": [", out);
	for (unsigned int i = 0; i < r->nr_facilities; i++) {
		fputs(i ? ",\n    " : "\n    ", out);
		put_facility(out, &r->facility[i]);
	}
	fputs("],\n  \"limits\": {", out);
	put_limit(out, "nofile", &r->nofile, ", ");
	put_limit(out, "memlock_bytes", &r->memlock, "},\n");
	put_iommu(out, &r->iommu);
	fputs("}\n", out);
}

void host_check_json(const struct notes *problems, FILE *out)
{
	put_bool(out, "{", "starts", !problems->nr);
	fputs(", \"problems\": [", out);
	for (unsigned int i = 0; i < problems->nr; i++) {
		fputs(i ? ",\n  " : "\n  ", out);
		json_put_string(out, problems->text[i]);
	}
	fputs("]}\n", out);
}
