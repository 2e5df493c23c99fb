/*
 * Disks, network interfaces, console, balloon and entropy: the back end is opened, the device put in front
 * of it, and the device into a PCI slot. What the guest sees of them is devices/virtio/'s business.
 */
#include "vmm/machine_virtio.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "vmm/base/log.h"
#include "vmm/machine.h"

enum {
	DISK_QUEUES_DEFAULT = 4, /* at most, when nothing is said: each has a thread */
	/* Class codes (PCI Code and ID Assignment 1.11), with the interface byte. */
	CLASS_STORAGE_SCSI = 0x010000,
	CLASS_ETHERNET = 0x020000,
	CLASS_COMMUNICATION = 0x078000,
	CLASS_NONE = 0x00ff00,
};

static void end_pci(void *dev)
{
	virtio_pci_fini(dev);
}

/* Give dev its function, in the first free slot, and a place in the machine's life. */
static int plug_virtio(struct machine *m, struct virtio_pci *vp, struct virtio_dev *dev, uint32_t class, struct err *e)
{
	int rc = virtio_pci_init(vp, dev, &m->host, class, e), slot;

	if (rc < 0)
		return rc;
	if ((rc = machine_plug(m, dev->name, &virtio_pci_dev_ops, vp, end_pci, e)) < 0)
		return rc;
	slot = pci_root_free_slot(&m->pci);
	if (slot < 0)
		return err_set(e, slot, "%s: all 31 PCI slots are taken", dev->name);
	return pci_root_add(&m->pci, (unsigned int)slot, &vp->func, e);
}

/* ---- disks ---- */

static struct block_options block_options(const struct disk_option *d, const char *label)
{
	return (struct block_options){
		.path = d->path, .format = d->format, .cache = d->cache, .aio = d->aio, .readonly = d->readonly,
		.discard = d->discard, .backing = d->backing, .snapshot = d->snapshot, .fixed_buffers = d->fixed_buffers,
		.label = label,
	};
}

static int plug_disk(struct machine *m, unsigned int i, struct err *e)
{
	const struct disk_option *d = &m->opts->devices.disk[i];
	struct machine_disk *disk = &m->virtio.disk[i];
	const struct block_options bo = block_options(d, disk->name);
	struct virtio_blk_options o = {
		.name = disk->name, .serial = d->serial, .queue_size = (uint16_t)d->queue_size, .discard = d->discard,
		.nr_queues = d->queues ? d->queues : MIN(m->procs.topo.nr_present, DISK_QUEUES_DEFAULT),
		.limits = { .ops = d->iops, .ops_burst = d->iops_burst, .bytes = d->bps, .bytes_burst = d->bps_burst },
	};
	int rc;

	device_name(disk->name, d->id, "disk", i);
	m->virtio.nr_disks = i + 1;
	if ((rc = block_open(&disk->block, &bo, e)) < 0)
		return rc;
	o.block = disk->block;
	if ((rc = virtio_blk_new(&disk->blk, &o, &m->mem.gmem, e)) < 0)
		return rc;
	log_debug("%s: %s, %u queues, %s", disk->name, d->path ? d->path : "null", o.nr_queues,
		  block_engine_name(disk->block));
	return plug_virtio(m, &disk->pci, virtio_blk_dev(disk->blk), CLASS_STORAGE_SCSI, e);
}

/* Open a disk so that nothing changes: a repair, or a dirty bit, would. Returns 0 or a negative errno with a sentence. */
static int open_to_look(struct block **b, const struct disk_option *d, unsigned int i, struct err *e)
{
	char name[DEVICE_NAME_BYTES];
	struct block_options bo = block_options(d, name);

	device_name(name, d->id, "disk", i);
	bo.check_only = !d->readonly && !d->snapshot;
	bo.readonly = bo.readonly || d->snapshot;
	bo.snapshot = false;
	return block_open(b, &bo, e);
}

void machine_check_disks(const struct machine *m, struct notes *problems)
{
	const struct device_options *o = &m->opts->devices;
	struct block *disk[MAX_DISKS] = { 0 }; /* all stay open until the end: one file may be two disks */
	struct err e;

	for (unsigned int i = 0; i < o->nr_disks; i++)
		if (open_to_look(&disk[i], &o->disk[i], i, &e) < 0)
			notes_add_err(problems, &e);
	for (unsigned int i = 0; i < o->nr_disks; i++)
		block_close(disk[i]);
}

/* ---- network ---- */

/*
 * 52:54:00 as the world does it (a locally administered prefix, once QEMU's), then three bytes made of the
 * machine's name and the interface's number (FNV-1a), so that a guest keeps its address.
 */
static void default_mac(uint8_t mac[6], const char *machine, unsigned int i)
{
	uint32_t hash = 2166136261u;

	for (const char *at = machine; *at; at++)
		hash = (hash ^ (uint8_t)*at) * 16777619u;
	hash = (hash ^ i) * 16777619u;
	mac[0] = 0x52;
	mac[1] = 0x54;
	mac[2] = 0x00;
	mac[3] = (uint8_t)(hash >> 16);
	mac[4] = (uint8_t)(hash >> 8);
	mac[5] = (uint8_t)hash;
}

static int refuse_no_kind(struct err *e)
{
	return err_set(e, -EINVAL, "--net: no kind was given");
}

static int open_netdev(struct netdev **n, const struct net_option *o, struct err *e)
{
	switch ((enum net_type)o->type) {
	case NET_TAP:
		return netdev_tap_open(n, o->ifname, o->fd, o->queues, e);
	case NET_BRIDGE:
		return netdev_bridge_open(n, o->bridge, o->queues, e);
	case NET_USER:
		return netdev_passt_open(n, (const char *const *)o->forward.text, o->forward.nr, o->mtu, e);
	case NET_SOCKET:
		return netdev_socket_open(n, o->socket, o->datagram, e);
	case NET_NOT_SAID:
		break;
	}
	return refuse_no_kind(e);
}

static int check_netdev(struct netdev *n, const struct net_option *o, struct err *e)
{
	switch ((enum net_type)o->type) {
	case NET_TAP:
		return netdev_tap_check(n, o->ifname, o->fd, o->queues, e);
	case NET_BRIDGE:
		return netdev_bridge_check(n, o->bridge, o->queues, e);
	case NET_USER:
		return netdev_passt_check(n, (const char *const *)o->forward.text, o->forward.nr, o->mtu, e);
	case NET_SOCKET:
		return netdev_socket_check(n, o->socket, o->datagram, e);
	case NET_NOT_SAID:
		break;
	}
	return refuse_no_kind(e);
}

/* name: receives the interface's. The back end is left to the caller. */
static struct virtio_net_options net_options(const struct machine *m, unsigned int i, char name[DEVICE_NAME_BYTES])
{
	const struct net_option *o = &m->opts->devices.net[i];
	struct virtio_net_options no = {
		.name = name, .pairs = o->queues, .queue_size = (uint16_t)o->queue_size, .mtu = o->mtu, .vhost = o->vhost,
		.rate_in = { .bytes = o->rate_in, .bytes_burst = o->burst_in },
		.rate_out = { .bytes = o->rate_out, .bytes_burst = o->burst_out },
	};

	device_name(name, o->id, "net", i);
	if (o->mac)
		memcpy(no.mac, o->mac_bytes, sizeof(no.mac));
	else
		default_mac(no.mac, m->opts->name, i);
	return no;
}

void machine_check_nets(const struct machine *m, struct notes *problems)
{
	for (unsigned int i = 0; i < m->opts->devices.nr_nets; i++) {
		char name[DEVICE_NAME_BYTES];
		struct virtio_net_options no = net_options(m, i, name);
		struct netdev known;
		struct err e;
		int rc = check_netdev(&known, &m->opts->devices.net[i], &e);

		no.netdev = &known;
		if (rc < 0) {
			err_prefix(&e, "%s", name);
			notes_add_err(problems, &e);
		}
		/* Of a tap that cannot be had it is known all the same what it would be. */
		if ((rc == 0 || known.vnet_hdr) && virtio_net_check(&no, &e) < 0)
			notes_add_err(problems, &e);
	}
}

static int plug_net(struct machine *m, unsigned int i, struct err *e)
{
	const struct net_option *o = &m->opts->devices.net[i];
	struct machine_net *net = &m->virtio.net[i];
	struct virtio_net_options no = net_options(m, i, net->name);
	int rc;

	m->virtio.nr_nets = i + 1;
	if ((rc = open_netdev(&net->netdev, o, e)) < 0) {
		err_prefix(e, "%s", net->name);
		return rc;
	}
	no.netdev = net->netdev;
	if ((rc = virtio_net_new(&net->net, &no, &m->mem.gmem, e)) < 0)
		return rc;
	log_debug("%s: %s%s", net->name, net->netdev->name, virtio_net_uses_vhost(net->net) ? ", vhost" : "");
	return plug_virtio(m, &net->pci, virtio_net_dev(net->net), CLASS_ETHERNET, e);
}

/* ---- console, balloon, entropy ---- */

static void console_quits(void *ctx)
{
	machine_stop(ctx, STOP_QUIT, 0);
}

struct chardev_wish machine_console_wish(const struct console_option *c)
{
	const bool none = c->stream.mode == STREAM_NONE; /* every port leads somewhere */

	return (struct chardev_wish){
		.kind = none ? CHARDEV_FILE : machine_stream_kind(c->stream.mode), .path = none ? "/dev/null" : c->stream.path,
		.label = c->name ? c->name : "console",
	};
}

static int open_streams(struct machine *m, struct virtio_console_port *port, struct err *e)
{
	const struct device_options *o = &m->opts->devices;
	const struct chardev_escape escape = { .ctx = m, .quit = console_quits };
	struct machine_virtio *v = &m->virtio;

	v->chr = calloc(o->nr_consoles, sizeof(*v->chr));
	if (!v->chr)
		return err_set(e, -ENOMEM, "out of memory");
	for (unsigned int i = 0; i < o->nr_consoles; i++) {
		const struct console_option *c = &o->console[i];
		const struct chardev_wish w = machine_console_wish(c);
		int rc;

		port[i] = (struct virtio_console_port){ .name = c->name, .chr = &v->chr[i] };
		rc = chardev_init(&v->chr[i], w.kind, w.path, w.label, &v->io.loop,
				  w.kind == CHARDEV_STDIO ? &escape : NULL, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int plug_console(struct machine *m, struct err *e)
{
	struct virtio_console_port port[MAX_CONSOLES];
	struct machine_virtio *v = &m->virtio;
	int rc = open_streams(m, port, e);

	v->nr_chrs = v->chr ? m->opts->devices.nr_consoles : 0;
	if (rc < 0 || (rc = virtio_console_new(&v->console, "console", &v->io, port, v->nr_chrs, &m->mem.gmem, e)) < 0 ||
	    (rc = iothread_start(&v->io, e)) < 0) /* Ctrl-a x must work before, and without, a driver */
		return rc;
	return plug_virtio(m, &v->console_pci, virtio_console_dev(v->console), CLASS_COMMUNICATION, e);
}

static int check_balloon(const struct machine *m, struct err *e)
{
	const uint64_t size = m->opts->devices.balloon.size_bytes, ram = m->procs.ram_bytes;
	char have[24], want[24];

	if (size <= ram)
		return 0;
	return err_usage(e, "--balloon: size=%s is more than the machine's memory of %s",
			 opt_size_text(size, want, sizeof(want)), opt_size_text(ram, have, sizeof(have)));
}

void machine_check_balloon(const struct machine *m, struct notes *problems)
{
	struct err e;

	if (m->opts->devices.balloon.present && check_balloon(m, &e) < 0)
		notes_add_err(problems, &e);
}

static int plug_balloon(struct machine *m, struct err *e)
{
	const struct balloon_option *o = &m->opts->devices.balloon;
	const uint64_t ram = m->procs.ram_bytes;
	struct virtio_balloon_options bo = {
		.name = "balloon", .thread = &m->virtio.io, .ram_bytes = ram, .target_bytes = o->size_bytes ? o->size_bytes : ram,
		.deflate_on_oom = o->deflate_on_oom, .free_page_reporting = o->free_page_reporting,
		.stats_interval_s = o->stats_interval_s,
	};
	int rc = check_balloon(m, e);

	if (rc < 0 || (rc = virtio_balloon_new(&m->virtio.balloon, &bo, &m->mem.gmem, e)) < 0)
		return rc;
	return plug_virtio(m, &m->virtio.balloon_pci, virtio_balloon_dev(m->virtio.balloon), CLASS_NONE, e);
}

static int plug_rng(struct machine *m, struct err *e)
{
	const struct throttle_limits limits = {
		.bytes = m->opts->devices.rng.bps, .bytes_burst = m->opts->devices.rng.bps_burst,
	};
	int rc = virtio_rng_new(&m->virtio.rng, "rng", &m->virtio.io, &limits, &m->mem.gmem, e);

	return rc < 0 ? rc : plug_virtio(m, &m->virtio.rng_pci, virtio_rng_dev(m->virtio.rng), CLASS_NONE, e);
}

/* ---- the monitor ---- */

static int set_balloon(void *ctx, uint64_t bytes, struct err *e)
{
	struct machine *m = ctx;
	char most[24];

	if (!m->virtio.balloon)
		return err_set(e, -ENODEV, "this machine has no balloon; start it with --balloon");
	if (virtio_balloon_set_target(m->virtio.balloon, bytes) < 0)
		return err_set(e, -EINVAL, "the machine has %s of memory; expected a size up to that",
			       opt_size_text(m->procs.ram_bytes, most, sizeof(most)));
	return 0;
}

static int get_balloon(void *ctx, uint64_t *actual, uint64_t *target, struct err *e)
{
	struct machine *m = ctx;

	if (!m->virtio.balloon)
		return err_set(e, -ENODEV, "this machine has no balloon; start it with --balloon");
	*actual = virtio_balloon_actual(m->virtio.balloon);
	*target = virtio_balloon_target(m->virtio.balloon);
	return 0;
}

PRINTF(2, 3) static void put_line(struct buf *text, const char *fmt, ...)
{
	char line[512];
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	buf_put(text, line, MIN((size_t)len, sizeof(line) - 1));
	buf_put8(text, '\n');
}

static void disk_stats(struct machine_disk *d, struct buf *text)
{
	struct virtio_blk_stats s;

	virtio_blk_get_stats(d->blk, &s);
	put_line(text, "%s reads=%llu read-bytes=%llu writes=%llu write-bytes=%llu flushes=%llu discards=%llu errors=%llu "
		       "throttled=%llu throttled-ns=%llu",
		 d->name, (unsigned long long)s.reads, (unsigned long long)s.read_bytes, (unsigned long long)s.writes,
		 (unsigned long long)s.write_bytes, (unsigned long long)s.flushes, (unsigned long long)s.discards,
		 (unsigned long long)s.errors, (unsigned long long)s.throttled, (unsigned long long)s.throttled_ns);
}

static void net_stats(struct machine_net *n, struct buf *text)
{
	struct virtio_net_stats s;

	virtio_net_get_stats(n->net, &s);
	put_line(text, "%s rx-frames=%llu rx-bytes=%llu rx-dropped=%llu tx-frames=%llu tx-bytes=%llu tx-dropped=%llu "
		       "in-throttled-ns=%llu out-throttled-ns=%llu",
		 n->name, (unsigned long long)s.rx_frames, (unsigned long long)s.rx_bytes, (unsigned long long)s.rx_dropped,
		 (unsigned long long)s.tx_frames, (unsigned long long)s.tx_bytes, (unsigned long long)s.tx_dropped,
		 (unsigned long long)s.in_throttled_ns, (unsigned long long)s.out_throttled_ns);
}

/* The names that libvirt's dommemstat and QEMU use for the guest's statistics. */
static void balloon_stats(struct virtio_balloon *b, struct buf *text)
{
	static const char *const names[BALLOON_NR_STATS] = {
		[VIRTIO_BALLOON_S_SWAP_IN] = "swap-in",       [VIRTIO_BALLOON_S_SWAP_OUT] = "swap-out",
		[VIRTIO_BALLOON_S_MAJFLT] = "major-faults",   [VIRTIO_BALLOON_S_MINFLT] = "minor-faults",
		[VIRTIO_BALLOON_S_MEMFREE] = "free",          [VIRTIO_BALLOON_S_MEMTOT] = "total",
		[VIRTIO_BALLOON_S_AVAIL] = "available",       [VIRTIO_BALLOON_S_CACHES] = "disk-caches",
		[VIRTIO_BALLOON_S_HTLB_PGALLOC] = "hugetlb-allocs", [VIRTIO_BALLOON_S_HTLB_PGFAIL] = "hugetlb-fails",
	};
	struct virtio_balloon_stats s;
	char word[64];

	virtio_balloon_get_stats(b, &s);
	put_line(text, "balloon actual=%llu target=%llu inflated=%llu discarded=%llu reported=%llu",
		 (unsigned long long)virtio_balloon_actual(b), (unsigned long long)virtio_balloon_target(b),
		 (unsigned long long)s.inflated_bytes, (unsigned long long)s.discarded_bytes,
		 (unsigned long long)s.reported_bytes);
	if (!s.at_ns) {
		virtio_balloon_ask_stats(b); /* for whoever asks again */
		return;
	}
	buf_put(text, "guest-memory", strlen("guest-memory"));
	for (unsigned int i = 0; i < BALLOON_NR_STATS; i++)
		if (s.known[i] && names[i])
			buf_put(text, word, (size_t)snprintf(word, sizeof(word), " %s=%llu", names[i],
							     (unsigned long long)s.value[i]));
	put_line(text, " age-ms=%llu", (unsigned long long)((clock_now_ns() - s.at_ns) / 1000000));
	virtio_balloon_ask_stats(b);
}

static void all_stats(void *ctx, struct buf *text)
{
	struct machine *m = ctx;
	struct machine_virtio *v = &m->virtio;

	for (unsigned int i = 0; i < v->nr_disks; i++)
		disk_stats(&v->disk[i], text);
	for (unsigned int i = 0; i < v->nr_nets; i++)
		net_stats(&v->net[i], text);
	if (v->balloon)
		balloon_stats(v->balloon, text);
}

static const struct monitor_ops monitor_ops = {
	.set_balloon = set_balloon, .get_balloon = get_balloon, .stats = all_stats,
};

/* ---- all of them ---- */

static void end_stream(struct chardev *c)
{
	size_t lost = c->loop ? chardev_drain(c, 1000) : 0;

	if (lost)
		log_warn("%s: the last %zu bytes of output could not be written", c->label, lost);
	chardev_fini(c);
}

int machine_plug_virtio(struct machine *m, struct err *e)
{
	const struct device_options *o = &m->opts->devices;
	struct machine_virtio *v = &m->virtio;
	int rc = 0;

	if (o->nr_disks && !(v->disk = calloc(o->nr_disks, sizeof(*v->disk))))
		return err_set(e, -ENOMEM, "out of memory");
	if (o->nr_nets && !(v->net = calloc(o->nr_nets, sizeof(*v->net))))
		return err_set(e, -ENOMEM, "out of memory");
	for (unsigned int i = 0; i < o->nr_disks && rc == 0; i++)
		rc = plug_disk(m, i, e);
	for (unsigned int i = 0; i < o->nr_nets && rc == 0; i++)
		rc = plug_net(m, i, e);
	if (rc == 0 && (o->nr_consoles || o->balloon.present || o->rng.present))
		rc = iothread_init(&v->io, "io", e);
	if (rc == 0 && o->nr_consoles)
		rc = plug_console(m, e);
	if (rc == 0 && o->balloon.present)
		rc = plug_balloon(m, e);
	if (rc == 0 && o->rng.present)
		rc = plug_rng(m, e);
	if (rc == 0 && o->monitor)
		rc = monitor_init(&v->monitor, o->monitor, m->loop, &monitor_ops, m, e);
	return rc;
}

void machine_virtio_end(struct machine *m)
{
	struct machine_virtio *v = &m->virtio;

	monitor_fini(&v->monitor);
	virtio_rng_free(v->rng);
	virtio_balloon_free(v->balloon);
	virtio_console_free(v->console);
	iothread_stop(&v->io); /* the streams' loop: from here on they are ours */
	for (unsigned int i = 0; i < v->nr_chrs; i++)
		end_stream(&v->chr[i]);
	iothread_fini(&v->io);
	for (unsigned int i = 0; i < v->nr_nets; i++) {
		virtio_net_free(v->net[i].net);
		netdev_close(v->net[i].netdev);
	}
	for (unsigned int i = 0; i < v->nr_disks; i++) {
		virtio_blk_free(v->disk[i].blk);
		block_close(v->disk[i].block);
	}
	free(v->chr);
	free(v->net);
	free(v->disk);
	*v = (struct machine_virtio){ 0 };
}
