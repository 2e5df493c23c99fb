/*
 * Is there enough on the host's nodes: large pages, and memory at all? Guest nodes may be bound to several of the
 * host's each, and to the same ones, so what one takes another lacks: who gets what is found as a maximum flow, guest
 * nodes to host nodes. It says whether it can work out; which pages the kernel takes first is not ours to choose.
 */
#include "vmm/memory_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/base/cpulist.h"

/* Where something can come from: the host's nodes, and surplus pages, which come from any. */
enum { HOST_NODES = 128, SURPLUS = HOST_NODES, NR_SOURCES, NOBODY = UINT16_MAX };

struct flow {
	const struct topology *t;
	uint64_t want[TOPO_MAX_NODES]; /* of each guest node; 0 where it is not bound */
	uint64_t lack[TOPO_MAX_NODES]; /* what of that it did not get */
	uint64_t have[NR_SOURCES], left[NR_SOURCES];
	uint64_t given[TOPO_MAX_NODES][NR_SOURCES];
	uint64_t more[NR_SOURCES];          /* what each had to have in addition, for all to get theirs */
	uint64_t short_of[HOST_NODES / 64]; /* nodes that those who lack something have to share */
	bool is_short[TOPO_MAX_NODES];      /* who shares them */

	/* One search: how it got to each source and each guest node, or NOBODY. */
	uint16_t source_from[NR_SOURCES], guest_from[TOPO_MAX_NODES];
};

static bool may_take(const struct flow *f, unsigned int guest, unsigned int source)
{
	return source == SURPLUS || f->t->node[guest].host_nodes[source / 64] >> source % 64 & 1;
}

/*
 * From who lacks something, to sources it may take from, to those who have taken from them and may have to take from
 * others. Returns a source with something left, the nearest; or NOBODY.
 */
static unsigned int search(struct flow *f, unsigned int start)
{
	uint16_t queue[TOPO_MAX_NODES] = { (uint16_t)start };

	memset(f->source_from, 0xff, sizeof(f->source_from));
	memset(f->guest_from, 0xff, sizeof(f->guest_from));
	for (unsigned int at = 0, nr = 1; at < nr; at++) {
		unsigned int g = queue[at];

		for (unsigned int s = 0; s < NR_SOURCES; s++) {
			if (f->source_from[s] != NOBODY || !may_take(f, g, s))
				continue;
			f->source_from[s] = (uint16_t)g;
			if (f->left[s])
				return s;
			for (unsigned int other = 0; other < f->t->nr_nodes; other++) {
				if (!f->given[other][s] || other == start || f->guest_from[other] != NOBODY)
					continue;
				f->guest_from[other] = (uint16_t)s;
				queue[nr++] = (uint16_t)other;
			}
		}
	}
	return NOBODY;
}

/* Along the path that search() found: everyone takes from the next source instead of the last. */
static void pass_on(struct flow *f, unsigned int start, unsigned int source)
{
	uint64_t amount = MIN(f->lack[start], f->left[source]);

	for (unsigned int s = source, g; (g = f->source_from[s]) != start; s = f->guest_from[g])
		amount = MIN(amount, f->given[g][f->guest_from[g]]);
	f->left[source] -= amount;
	f->lack[start] -= amount;
	for (unsigned int s = source, g;; s = f->guest_from[g]) {
		g = f->source_from[s];
		f->given[g][s] += amount;
		if (g == start)
			return;
		f->given[g][f->guest_from[g]] -= amount;
	}
}

/*
 * The sources that the last search came to are used up, by the guest nodes it came to: nobody else can help. What is
 * lacking had best come from the node with most free memory.
 */
static void note_shortage(struct flow *f, unsigned int guest, const struct host_memory *h)
{
	const struct host_node *best = NULL;

	f->is_short[guest] = true;
	for (unsigned int g = 0; g < f->t->nr_nodes; g++)
		f->is_short[g] |= f->guest_from[g] != NOBODY;
	for (unsigned int s = 0; s < HOST_NODES; s++) {
		const struct host_node *node = host_memory_node(h, s);

		if (f->source_from[s] == NOBODY)
			continue;
		f->short_of[s / 64] |= 1ull << s % 64;
		if (node && (!best || node->free_bytes > best->free_bytes))
			best = node;
	}
	if (best)
		f->more[best->number] += f->lack[guest];
}

/* Find who gets what, want and have given. Returns whether everyone gets it all. */
static bool flow_solve(struct flow *f, const struct host_memory *h)
{
	bool enough = true;

	memcpy(f->left, f->have, sizeof(f->left));
	memcpy(f->lack, f->want, sizeof(f->lack));
	for (unsigned int g = 0; g < f->t->nr_nodes; g++) {
		unsigned int source = 0;

		while (f->lack[g] && (source = search(f, g)) != NOBODY)
			pass_on(f, g, source);
		if (f->lack[g]) {
			note_shortage(f, g, h);
			enough = false;
		}
	}
	return enough;
}

/* What the guest nodes with policy bind want, in units, rounded up. Returns NULL when there is no memory for it. */
static struct flow *flow_new(const struct topology *t, uint64_t bytes, uint64_t unit_bytes)
{
	struct flow *f = calloc(1, sizeof(*f));
	uint64_t at = 0, len;

	if (!f)
		return NULL;
	f->t = t;
	for (unsigned int n = 0; n < t->nr_nodes; n++, at += len) {
		const struct topo_node *node = &t->node[n];

		len = MIN(node->memory_bytes, bytes - at); /* as memory_bind() */
		if (node->policy == NODE_BIND && (node->host_nodes[0] || node->host_nodes[1]))
			f->want[n] = len / unit_bytes + (len % unit_bytes != 0);
	}
	return f;
}

static bool is_short(const void *ctx, unsigned int n)
{
	return ((const struct flow *)ctx)->is_short[n];
}

/* Who shares what, "guest nodes 0-1 bound to this host's node 1", and the sums of what they want and what is there. */
static void flow_text(const struct flow *f, char *buf, size_t len, uint64_t *want, uint64_t *have)
{
	char guests[256], hosts[256];
	unsigned int nr_guests = 0, nr_hosts = 0;

	*want = *have = 0;
	for (unsigned int g = 0; g < f->t->nr_nodes; g++)
		if (f->is_short[g]) {
			*want += f->want[g];
			nr_guests++;
		}
	for (unsigned int s = 0; s < HOST_NODES; s++)
		if (f->short_of[s / 64] >> s % 64 & 1) {
			*have += f->have[s];
			nr_hosts++;
		}
	snprintf(buf, len, "guest node%s %s bound to this host's node%s %s", nr_guests == 1 ? "" : "s",
		 cpulist_text(guests, sizeof(guests), f->t->nr_nodes, is_short, f), nr_hosts == 1 ? "" : "s",
		 memory_nodes_text(f->short_of, hosts, sizeof(hosts)));
}

/* ---- pools of large pages ---- */

static const char *const page_words[NR_HOST_PAGES] = { [HOST_PAGE_2M] = "2M", [HOST_PAGE_1G] = "1G" };

static const char *is_or_are(uint64_t nr)
{
	return nr == 1 ? "is" : "are";
}

/* "512 pages of 2M are". Returns buf. */
static const char *pages_text(enum host_page size, uint64_t pages, char *buf, size_t len)
{
	snprintf(buf, len, "%llu page%s of %s %s", (unsigned long long)pages, pages == 1 ? "" : "s",
		 page_words[size], is_or_are(pages));
	return buf;
}

/* Append to buf, whose text is *at long. */
PRINTF(4, 5) static void append(char *buf, size_t len, size_t *at, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf + *at, len - *at, fmt, ap);
	va_end(ap);
	*at = n < 0 ? *at : MIN(*at + (size_t)n, len - 1);
}

/* Gigabytes without a hole are rare in a host that has run for a while. */
static const char *boot_advice(enum host_page size, uint64_t pages, char *buf, size_t len)
{
	buf[0] = '\0';
	if (size == HOST_PAGE_1G)
		snprintf(buf, len,
			 ", or, as pages of 1G are hard to get later, boot the host with hugepagesz=1G "
			 "hugepages=%llu",
			 (unsigned long long)pages);
	return buf;
}

/* Writing nr_hugepages makes surplus pages ordinary ones first: it counts both (mm/hugetlb.c, v6.1). */
static int refuse_pool(const struct host_memory *h, enum host_page size, uint64_t pages, struct err *e)
{
	const struct host_pool *p = &h->pool[size];
	uint64_t idle = p->free - MIN(p->reserved, p->free), total = p->total + pages - idle;
	char need[64], nodes[256], promised[64] = "", boot[128];

	if (p->free > idle)
		snprintf(promised, sizeof(promised), ", %llu of them promised to others",
			 (unsigned long long)(p->free - idle));
	return err_set(e, -ENOMEM,
		       "--memory hugepages=%s: %s needed and %llu %s free%s (%s); reserve them with: echo "
		       "%llu > /sys/kernel/mm/hugepages/hugepages-%llukB/nr_hugepages%s",
		       page_words[size], pages_text(size, pages, need, sizeof(need)),
		       (unsigned long long)p->free, is_or_are(p->free), promised,
		       host_pool_text(h, size, nodes, sizeof(nodes)), (unsigned long long)total,
		       (unsigned long long)(host_page_bytes(size) / KIB),
		       boot_advice(size, total, boot, sizeof(boot)));
}

/* The commands that give each node what it lacks; more than three of them would bury the sentence. */
static void node_commands(const struct flow *f, const struct host_memory *h, enum host_page size, char *buf,
			  size_t len)
{
	unsigned int nr = 0;
	size_t at = 0;

	buf[0] = '\0';
	for (unsigned int i = 0; i < h->nr_nodes; i++) {
		const struct host_node *n = &h->node[i];

		if (n->number >= HOST_NODES || !f->more[n->number])
			continue;
		if (nr++ < 3)
			append(buf, len, &at,
			       "%secho %llu > "
			       "/sys/devices/system/node/node%u/hugepages/hugepages-%llukB/nr_hugepages",
			       at ? " && " : "",
			       (unsigned long long)(n->pool[size].total + f->more[n->number]), n->number,
			       (unsigned long long)(host_page_bytes(size) / KIB));
	}
	if (nr > 3)
		append(buf, len, &at, ", and likewise for %u more of the nodes", nr - 3);
}

static int refuse_nodes(const struct flow *f, const struct host_memory *h, enum host_page size, struct err *e)
{
	char need[64], who[600], nodes[160], commands[400], boot[128];
	uint64_t want, have, total = h->pool[size].total;

	flow_text(f, who, sizeof(who), &want, &have);
	for (unsigned int s = 0; s < HOST_NODES; s++)
		total += f->more[s];
	node_commands(f, h, size, commands, sizeof(commands));
	return err_set(e, -ENOMEM,
		       "--memory hugepages=%s: %s needed for %s, and %llu %s free there (%s); reserve them "
		       "with: %s%s",
		       page_words[size], pages_text(size, want, need, sizeof(need)), who,
		       (unsigned long long)have, is_or_are(have),
		       host_pool_text(h, size, nodes, sizeof(nodes)), commands,
		       boot_advice(size, total, boot, sizeof(boot)));
}

/* Pages are promised of the whole pool, not of a node: memory_check_pool() looks at those. */
static int check_nodes(const struct host_memory *h, enum host_page size, uint64_t bytes,
		       const struct topology *t, struct err *e)
{
	const struct host_pool *all = &h->pool[size];
	struct flow *f = flow_new(t, bytes, host_page_bytes(size));
	int rc = 0;

	if (!f)
		return err_set(e, -ENOMEM, "out of memory for the host's nodes");
	for (unsigned int i = 0; i < h->nr_nodes; i++)
		if (h->node[i].number < HOST_NODES)
			f->have[h->node[i].number] = h->node[i].pool[size].free;
	f->have[SURPLUS] = all->overcommit - MIN(all->surplus, all->overcommit);
	if (!flow_solve(f, h))
		rc = refuse_nodes(f, h, size, e);
	free(f);
	return rc;
}

int memory_check_pool(const struct host_memory *h, enum host_page size, uint64_t bytes,
		      const struct topology *t, struct err *e)
{
	uint64_t pages = bytes / host_page_bytes(size) + (bytes % host_page_bytes(size) != 0);
	int rc = 0;

	if (!h->pool[size].known)
		return err_set(e, -EOPNOTSUPP,
			       "--memory hugepages=%s: this host has no pages of %s (%s, or it hides "
			       "/sys/kernel/mm/hugepages); %s",
			       page_words[size], page_words[size],
			       size == HOST_PAGE_1G ? "its processor or kernel cannot do them"
						    : "its kernel was built without CONFIG_HUGETLBFS",
			       size == HOST_PAGE_1G && h->pool[HOST_PAGE_2M].known
				       ? "it has pages of 2M: hugepages=2M"
				       : "expected no hugepages=, perhaps thp=always");
	if (h->nr_nodes)
		rc = check_nodes(h, size, bytes, t, e);
	if (rc == 0 && pages > host_pool_available(&h->pool[size]))
		rc = refuse_pool(h, size, pages, e);
	return rc;
}

/* ---- memory of nodes ---- */

int memory_check_node_room(const struct host_memory *h, uint64_t bytes, const struct topology *t, bool now,
			   struct err *e)
{
	struct flow *f = flow_new(t, bytes, MIB);
	uint64_t want, have;
	char who[600];
	int rc = 0;

	if (!f)
		return err_set(e, -ENOMEM, "out of memory for the host's nodes");
	for (unsigned int i = 0; i < h->nr_nodes; i++) {
		const struct host_node *n = &h->node[i];

		if (n->number < HOST_NODES) /* a node that tells no size is checked by nobody */
			f->have[n->number] = !n->total_bytes
						     ? UINT32_MAX
						     : (now ? n->available_bytes : n->total_bytes) / MIB;
	}
	if (h->nr_nodes && !flow_solve(f, h)) {
		flow_text(f, who, sizeof(who), &want, &have);
		rc = err_set(e, -ENOMEM,
			     "--numa: %llu MiB are to come for %s, and %s %llu MiB; "
			     "expected less memory= for them, more host-nodes=, or policy=preferred",
			     (unsigned long long)want, who,
			     now ? "at once, where there are now" : "all the memory there is",
			     (unsigned long long)have);
	}
	free(f);
	return rc;
}
