/*
 * Everything about the guest's processors as one JSON object (RFC 8259), for programs. Keys:
 *
 *   summary    one sentence, for people
 *   vcpus      how many are described; present: how many of them are started, the first ones
 *   regular, hybrid
 *   cpu        model (what --cpu says), vendor, brand, family, cpu_model, stepping, hypervisor
 *   levels     thread, core, module, die, package, each with per_unit (most in one next larger unit), units (in the
 *              machine) and shift (the first bit of its field in x2APIC ids)
 *   caches     by kind: name, level, type, bytes, line, ways, partitions, sets, inclusive, fully_associative, shared
 *              (the level whose units have one each), core_type, instances (lists of the vCPUs that share one)
 *   cpus       by index: vcpu, apic_id, present, core_type, number (of each level's unit inside the next larger one),
 *              unit (the same in the machine), caches (by kind: index into its instances, null: it has none), node,
 *              host_cpu
 *   nodes      by number: node, memory_bytes, cpus, host_nodes, policy
 *   distances  as in the SLIT: distances[from][to]; without NUMA []
 *   paths      from, to, read_ns, write_ns, read_mbs, write_mbs (MB/s) where something is said of them
 *   msrs       of --msr, in order: index, value; both as strings in hexadecimal, since many readers' numbers end at 2^53
 *   notes      sentences
 *
 * What does not apply is null. Keys are added, never renamed.
 */
#include "vmm/view/view.h"

#include <errno.h>
#include <stdlib.h>

#include "vmm/base/json.h"

static const char *const level_key[NR_TOPO_LEVELS] = { "thread", "core", "module", "die", "package" };

/* ---- values ---- */

static const char *core_type_text(unsigned int type)
{
	return type == TOPO_PERFORMANCE  ? "\"performance\""
	       : type == TOPO_EFFICIENCY ? "\"efficiency\""
					 : "null";
}

/* ---- the processor ---- */

static void put_version(FILE *out, uint32_t eax)
{
	struct cpuid_version v = cpuid_version(eax);

	fprintf(out, ", \"family\": %u, \"cpu_model\": %u, \"stepping\": %u", v.family, v.model, v.stepping);
}

static void put_cpu(FILE *out, const struct processors *p)
{
	const struct kvm_cpuid_entry2 *version = p->table ? cpuid_get(p->table, 1, 0) : NULL;
	bool hypervisor =
		version && version->ecx >> 31; /* SDM and APM alike reserve it for this: 0 on real ones */
	char vendor[13] = "", brand[49] = "";

	fputs("  \"cpu\": {\"model\": ", out);
	if (p->opts)
		json_put_string(out, p->opts->model.name[0] ? p->opts->model.name : "host");
	else
		fputs("null", out);
	if (p->table) {
		cpuid_vendor(p->table, vendor);
		cpuid_brand(p->table, brand);
		fputs(", \"vendor\": ", out);
		json_put_string(out, vendor);
		fputs(", \"brand\": ", out);
		json_put_string(out, brand);
	} else {
		fputs(", \"vendor\": null, \"brand\": null", out);
	}
	if (version)
		put_version(out, version->eax);
	else
		fputs(", \"family\": null, \"cpu_model\": null, \"stepping\": null", out);
	fprintf(out, ", \"hypervisor\": %s},\n", json_bool(hypervisor));
}

/* ---- the shape ---- */

static void put_levels(FILE *out, const struct topology *t)
{
	fputs("  \"levels\": {\n", out);
	for (unsigned int i = 0; i < NR_TOPO_LEVELS; i++)
		fprintf(out, "    \"%s\": {\"per_unit\": %u, \"units\": %u, \"shift\": %u}%s\n", level_key[i],
			t->count[i], i == TOPO_THREAD ? t->nr_cpus : t->nr_units[i], t->shift[i],
			i + 1 < NR_TOPO_LEVELS ? "," : "");
	fputs("  },\n", out);
}

/*
 * For each number below nr the list of vCPUs that have it, in one pass over all: next[] chains those of a number.
 * Returns 0 or -ENOMEM.
 */
static int put_members(FILE *out, const uint16_t *number, unsigned int nr_cpus, unsigned int nr,
		       void (*before)(FILE *out, const struct topology *t, unsigned int i),
		       void (*after)(FILE *out, const struct topology *t, unsigned int i),
		       const struct topology *t)
{
	uint32_t *head = malloc((nr + 1) * sizeof(*head)), *next = malloc(nr_cpus * sizeof(*next));

	if (!head || !next) {
		free(head);
		free(next);
		return -ENOMEM;
	}
	for (unsigned int i = 0; i < nr; i++)
		head[i] = nr_cpus;
	for (unsigned int i = nr_cpus; i--;) {
		if (number[i] >= nr)
			continue;
		next[i] = head[number[i]];
		head[number[i]] = i;
	}
	for (unsigned int i = 0; i < nr; i++) {
		if (before)
			before(out, t, i);
		fputc('[', out);
		for (uint32_t cpu = head[i]; cpu < nr_cpus; cpu = next[cpu])
			fprintf(out, "%u%s", cpu, next[cpu] < nr_cpus ? ", " : "");
		fputc(']', out);
		if (after)
			after(out, t, i);
		if (i + 1 < nr)
			fputs(before ? ",\n" : ", ", out);
	}
	free(head);
	free(next);
	return 0;
}

static int put_cache(FILE *out, const struct topology *t, unsigned int kind, uint16_t *number)
{
	static const char *const type[] = { "null", "\"data\"", "\"instruction\"", "\"unified\"" };
	const struct topo_cache *c = &t->cache[kind];
	unsigned int instances = 0;
	char name[16];
	int rc;

	for (unsigned int i = 0; i < t->nr_cpus; i++) {
		number[i] = t->cpu[i].cache[kind];
		if (number[i] != TOPO_NO_CACHE)
			instances = MAX(instances, number[i] + 1u);
	}
	fputs("    {\"name\": ", out);
	json_put_string(out, cache_name(c, name, sizeof(name)));
	fprintf(out,
		", \"level\": %u, \"type\": %s, \"bytes\": %u, \"line\": %u, \"ways\": %u, \"partitions\": "
		"%u",
		c->level, type[c->type < ARRAY_SIZE(type) ? c->type : 0], c->bytes, c->line, c->ways,
		c->partitions);
	fprintf(out, ", \"sets\": %u, \"inclusive\": %s, \"fully_associative\": %s, \"shared\": \"%s\"",
		c->sets, json_bool(c->inclusive), json_bool(c->fully_associative),
		level_key[MIN(c->shared, TOPO_PACKAGE)]);
	fprintf(out, ", \"core_type\": %s,\n     \"instances\": [", core_type_text(c->core_type));
	rc = put_members(out, number, t->nr_cpus, instances, NULL, NULL, t);
	fprintf(out, "]}%s\n", kind + 1 < t->nr_caches ? "," : "");
	return rc;
}

static int put_caches(FILE *out, const struct topology *t, uint16_t *number)
{
	int rc = 0;

	fputs("  \"caches\": [\n", out);
	for (unsigned int i = 0; i < t->nr_caches && !rc; i++)
		rc = put_cache(out, t, i, number);
	fputs("  ],\n", out);
	return rc;
}

static void put_numbers(FILE *out, const char *key, const uint16_t number[NR_TOPO_LEVELS])
{
	fprintf(out, ", \"%s\": {", key);
	for (int level = TOPO_PACKAGE; level >= TOPO_THREAD; level--)
		fprintf(out, "\"%s\": %u%s", level_key[level], number[level],
			level > TOPO_THREAD ? ", " : "}");
}

static void put_one_cpu(FILE *out, const struct topology *t, unsigned int index)
{
	const struct topo_cpu *c = &t->cpu[index];

	fprintf(out, "    {\"vcpu\": %u, \"apic_id\": %u, \"present\": %s, \"core_type\": %s", index,
		c->apic_id, json_bool(c->present), core_type_text(c->core_type));
	put_numbers(out, "number", c->id);
	put_numbers(out, "unit", c->unit);
	fputs(", \"caches\": [", out);
	for (unsigned int i = 0; i < t->nr_caches; i++) {
		if (c->cache[i] == TOPO_NO_CACHE)
			fputs("null", out);
		else
			fprintf(out, "%u", c->cache[i]);
		fputs(i + 1 < t->nr_caches ? ", " : "", out);
	}
	fputc(']', out);
	if (t->nr_nodes)
		fprintf(out, ", \"node\": %u", c->node);
	else
		fputs(", \"node\": null", out);
	if (c->host_cpu >= 0)
		fprintf(out, ", \"host_cpu\": %d}", c->host_cpu);
	else
		fputs(", \"host_cpu\": null}", out);
}

/* ---- nodes ---- */

static void before_node(FILE *out, const struct topology *t, unsigned int i)
{
	fprintf(out, "    {\"node\": %u, \"memory_bytes\": %llu, \"cpus\": ", i,
		(unsigned long long)t->node[i].memory_bytes);
}

static void after_node(FILE *out, const struct topology *t, unsigned int i)
{
	static const char *const policy[] = { "null", "\"bind\"", "\"preferred\"", "\"interleave\"" };
	const struct topo_node *n = &t->node[i];
	bool any = false;

	fputs(", \"host_nodes\": [", out);
	for (unsigned int bit = 0; bit < 128; bit++)
		if (n->host_nodes[bit / 64] >> (bit % 64) & 1) {
			fprintf(out, "%s%u", any ? ", " : "", bit);
			any = true;
		}
	fprintf(out, "], \"policy\": %s}",
		policy[n->policy >= 0 && (size_t)n->policy < ARRAY_SIZE(policy) ? n->policy : NODE_DEFAULT]);
}

static int put_nodes(FILE *out, const struct topology *t, uint16_t *number)
{
	int rc = 0;

	for (unsigned int i = 0; i < t->nr_cpus; i++)
		number[i] = t->cpu[i].node;
	fputs("  \"nodes\": [\n", out);
	if (t->nr_nodes)
		rc = put_members(out, number, t->nr_cpus, t->nr_nodes, before_node, after_node, t);
	fputs("\n  ],\n  \"distances\": [\n", out);
	for (unsigned int from = 0; from < t->nr_nodes; from++) {
		fputs("    [", out);
		for (unsigned int to = 0; to < t->nr_nodes; to++)
			fprintf(out, "%u%s", t->distance[from * t->nr_nodes + to],
				to + 1 < t->nr_nodes ? ", " : "]");
		fputs(from + 1 < t->nr_nodes ? ",\n" : "\n", out);
	}
	fputs("  ],\n", out);
	return rc;
}

static void put_paths(FILE *out, const struct topology *t)
{
	bool any = false;

	fputs("  \"paths\": [", out);
	for (unsigned int i = 0; t->path && i < t->nr_nodes * t->nr_nodes; i++) {
		const struct topo_path *path = &t->path[i];

		if (!path->read_ns && !path->write_ns && !path->read_mbs && !path->write_mbs)
			continue;
		fprintf(out,
			"%s\n    {\"from\": %u, \"to\": %u, \"read_ns\": %u, \"write_ns\": %u, \"read_mbs\": "
			"%u, \"write_mbs\": "
			"%u}",
			any ? "," : "", i / t->nr_nodes, i % t->nr_nodes, path->read_ns, path->write_ns,
			path->read_mbs, path->write_mbs);
		any = true;
	}
	fputs(any ? "\n  ],\n" : "],\n", out);
}

/* ---- what the user sets himself ---- */

static void put_msrs(FILE *out, const struct cpu_options *o)
{
	unsigned int nr = o ? o->nr_msrs : 0;

	fputs("  \"msrs\": [", out);
	for (unsigned int i = 0; i < nr; i++)
		fprintf(out, "%s\n    {\"index\": \"0x%x\", \"value\": \"0x%llx\"}", i ? "," : "",
			o->msr[i].index, (unsigned long long)o->msr[i].value);
	fputs(nr ? "\n  ],\n" : "],\n", out);
}

/* ---- the object ---- */

int view_json(struct processors *p, FILE *out, struct err *e)
{
	const struct topology *t = &p->topo;
	uint16_t *number = malloc(t->nr_cpus * sizeof(*number)); /* scratch */
	char summary[VIEW_SUMMARY];
	int rc;

	if (!number)
		return err_set(e, -ENOMEM, "out of memory for %u processors", t->nr_cpus);
	fputs("{\n  \"summary\": ", out);
	json_put_string(out, view_summary(t, summary));
	fprintf(out, ",\n  \"vcpus\": %u,\n  \"present\": %u,\n  \"regular\": %s,\n  \"hybrid\": %s,\n",
		t->nr_cpus, t->nr_present, json_bool(t->regular), json_bool(t->hybrid));
	put_cpu(out, p);
	put_levels(out, t);
	rc = put_caches(out, t, number);
	fputs("  \"cpus\": [\n", out);
	for (unsigned int i = 0; i < t->nr_cpus; i++) {
		put_one_cpu(out, t, i);
		fputs(i + 1 < t->nr_cpus ? ",\n" : "\n", out);
	}
	fputs("  ],\n", out);
	if (!rc)
		rc = put_nodes(out, t, number);
	put_paths(out, t);
	put_msrs(out, p->opts);
	fputs("  \"notes\": [", out);
	for (unsigned int i = 0; i < p->notes.nr; i++) {
		fputs(i ? ",\n    " : "\n    ", out);
		json_put_string(out, p->notes.text[i]);
	}
	fputs(p->notes.nr ? "\n  ]\n}\n" : "]\n}\n", out);
	free(number);
	if (rc < 0)
		return err_set(e, rc, "out of memory for %u processors", t->nr_cpus);
	return ferror(out) ? err_set(e, -EIO, "cannot write the processors as JSON") : 0;
}
