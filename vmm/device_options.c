/* The table of device options, and what only several of their words together can tell. */
#include "vmm/device_options.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>

#include "devices/block/block.h"
#include "devices/net/forward.h"
#include "devices/virtio/virtio_net.h"
#include "devices/virtio/virtq.h"

#define MAX_RATE (1ull << 40) /* bytes a second: far above any device */

int stream_option_parse(struct stream_option *s, const char *option, const char *arg, struct err *e)
{
	static const char *const words[] = {
		[STREAM_NONE] = "none", [STREAM_STDIO] = "stdio", [STREAM_FILE] = "file:",
		[STREAM_PTY] = "pty",   [STREAM_UNIX] = "unix:",
	};

	for (int mode = STREAM_NONE; mode <= STREAM_UNIX; mode++) {
		size_t len = strlen(words[mode]);
		bool path = words[mode][len - 1] == ':';

		if (strncmp(arg, words[mode], len) != 0 || (!path && arg[len]))
			continue;
		s->mode = (enum stream_mode)mode;
		if (!path)
			return 0;
		if (!arg[len])
			return err_usage(e, "%s %s: expected a path after the colon", option, arg);
		s->path = strdup(arg + len);
		return s->path ? 0 : err_set(e, -ENOMEM, "out of memory");
	}
	return err_usage(e, "%s %s: expected stdio, none, file:PATH, pty or unix:PATH", option, arg);
}

/* ---- disks ---- */

static const char *const format_choices[] = { [BLOCK_RAW] = "raw", [BLOCK_QCOW2] = "qcow2", [BLOCK_NULL] = "null", NULL };
static const char *const cache_choices[] = {
	[CACHE_WRITEBACK] = "writeback",   [CACHE_NONE] = "none",     [CACHE_WRITETHROUGH] = "writethrough",
	[CACHE_DIRECTSYNC] = "directsync", [CACHE_UNSAFE] = "unsafe", NULL,
};
static const char *const aio_choices[] = {
	[AIO_AUTO] = "auto", [AIO_IO_URING] = "io_uring", [AIO_THREADS] = "threads", [AIO_NATIVE] = "native", NULL,
};

#define DISK(field) .offset = offsetof(struct disk_option, field)

static const struct opt_key disk_keys[] = {
	{ .name = "path", .alias = "file", .value = "FILE", .kind = OPT_STRING, DISK(path), .positional = true },
	{ .name = "format", .value = "raw|qcow2|null", .kind = OPT_CHOICE, .choices = format_choices, DISK(format),
	  .help = "what the file is; one that looks like qcow2 wants it said (default raw; null: no file, path= is a size)" },
	{ .name = "readonly", .alias = "ro", .value = "on|off", .kind = OPT_BOOL, DISK(readonly),
	  .help = "the guest cannot write" },
	{ .name = "snapshot", .value = "on|off", .kind = OPT_BOOL, DISK(snapshot),
	  .help = "writes go to a temporary file and are forgotten at the end" },
	{ .name = "backing", .value = "on|off", .kind = OPT_BOOL, DISK(backing),
	  .help = "follow the backing file that a qcow2 image names (default off)" },
	{ .name = "cache", .value = "MODE", .kind = OPT_CHOICE, .choices = cache_choices, DISK(cache),
	  .help = "writeback (default), none, writethrough, directsync or unsafe; see DISKS in the manual" },
	{ .name = "aio", .value = "ENGINE", .kind = OPT_CHOICE, .choices = aio_choices, DISK(aio),
	  .help = "io_uring, threads, native (the best direct one) or auto (default)" },
	{ .name = "queues", .value = "N", .kind = OPT_UINT, .min = 1, .max = 64, DISK(queues),
	  .help = "request queues, each with a thread (default one for each vCPU, up to 4)" },
	{ .name = "queue-size", .value = "N", .kind = OPT_UINT, .min = 2, .max = VIRTQ_MAX_SIZE, DISK(queue_size),
	  .help = "entries of each queue, a power of two (default 256)" },
	{ .name = "discard", .value = "on|off", .kind = OPT_BOOL, DISK(discard),
	  .help = "let the guest give space back (default on)" },
	{ .name = "serial", .value = "TEXT", .kind = OPT_STRING, DISK(serial), .help = "serial number, up to 20 bytes" },
	{ .name = "id", .value = "NAME", .kind = OPT_STRING, DISK(id), .help = "name in messages (default disk0, disk1, ...)" },
	{ .name = "iops", .value = "N", .kind = OPT_UINT, .max = 1000000000, DISK(iops), .help = "most requests a second" },
	{ .name = "iops-burst", .value = "N", .kind = OPT_UINT, .max = 1000000000, DISK(iops_burst),
	  .help = "how many may come at once (default a tenth of a second's)" },
	{ .name = "bps", .value = "BYTES", .kind = OPT_BYTES, .max = MAX_RATE, DISK(bps), .help = "most bytes a second, e.g. 20M" },
	{ .name = "bps-burst", .value = "BYTES", .kind = OPT_BYTES, .max = MAX_RATE, DISK(bps_burst),
	  .help = "how many may come at once (default a tenth of a second's)" },
	{ .name = "fixed-buffers", .value = "on|off", .kind = OPT_BOOL, DISK(fixed_buffers),
	  .help = "register the guest's memory with io_uring: a little faster, and all of it stays resident" },
	{ 0 },
};

static int check_queue_size(const char *option, unsigned int size, struct err *e)
{
	if (size & (size - 1))
		return err_usage(e, "%s: queue-size=%u: expected a power of two, e.g. 256", option, size);
	return 0;
}

static int check_id(const char *option, const char *id, struct err *e)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

	if (!id || (strlen(id) < DEVICE_NAME_BYTES && strspn(id, letters) == strlen(id)))
		return 0;
	return err_usage(e, "%s: id=%s: expected up to %d of letters, digits, '.', '_' and '-'", option, id,
			 DEVICE_NAME_BYTES - 1);
}

static int check_burst(const char *option, const char *key, uint64_t rate, uint64_t burst, struct err *e)
{
	if (rate || !burst)
		return 0;
	return err_usage(e, "%s: a burst is how far a limit may be overrun at once, so it needs the limit: %s=", option, key);
}

static int check_disk(const struct disk_option *d, struct err *e)
{
	int rc;

	if (d->serial && strlen(d->serial) > 20)
		return err_usage(e, "--disk: serial=%s: expected up to 20 bytes", d->serial);
	if (d->readonly && d->snapshot)
		return err_usage(e, "--disk %s: readonly=on and snapshot=on together make no sense: nothing would be written",
				 d->path);
	if (d->backing && (d->format == BLOCK_RAW || d->format == BLOCK_NULL))
		return err_usage(e, "--disk %s: backing=on belongs to format=qcow2; no other image has a backing file", d->path);
	if ((rc = check_id("--disk", d->id, e)) < 0 || (rc = check_burst("--disk", "iops", d->iops, d->iops_burst, e)) < 0 ||
	    (rc = check_burst("--disk", "bps", d->bps, d->bps_burst, e)) < 0)
		return rc;
	return check_queue_size("--disk", d->queue_size, e);
}

static int parse_disk(void *config, const char *arg, struct err *e)
{
	struct device_options *o = config;
	struct disk_option *d;
	int rc;

	if (o->nr_disks == MAX_DISKS)
		return err_usage(e, "--disk: a machine has at most %d disks", MAX_DISKS);
	d = &o->disk[o->nr_disks++];
	*d = (struct disk_option){ .format = -1, .discard = true, .queue_size = 256 };
	rc = opt_parse_list("--disk", arg, disk_keys, d, e);
	if (rc < 0)
		return rc;
	if (!d->path)
		return err_usage(e, "--disk %s: path=FILE is missing", arg);
	return check_disk(d, e);
}

/* ---- network ---- */

static const char *const net_choices[] = { [NET_TAP] = "tap", [NET_USER] = "user", NULL };
static const char *const vhost_choices[] = { [VHOST_OFF] = "off", [VHOST_ON] = "on", [VHOST_TRY] = "try", NULL };

#define NET(field) .offset = offsetof(struct net_option, field)

static const struct opt_key net_keys[] = {
	{ .name = "type", .value = "tap|user", .kind = OPT_CHOICE, .choices = net_choices, NET(type), .positional = true },
	{ .name = "ifname", .value = "NAME", .kind = OPT_STRING, NET(ifname), .help = "tap: the interface, which must be there" },
	{ .name = "fd", .alias = "fds", .value = "N[:N...]", .kind = OPT_STRING, NET(fds),
	  .help = "tap: descriptors that are open already, one a queue" },
	{ .name = "bridge", .alias = "br", .value = "NAME", .kind = OPT_STRING, NET(bridge),
	  .help = "make a tap and put it on this bridge (needs CAP_NET_ADMIN)" },
	{ .name = "forward", .alias = "hostfwd", .value = "tcp|udp:[ADDRESS/]HOST:GUEST", .kind = OPT_STRINGS, NET(forward),
	  .help = "user: lead a port of the host to one of the guest; may be repeated" },
	{ .name = "socket", .value = "PATH", .kind = OPT_STRING, NET(socket),
	  .help = "a Unix socket to another guest or program: connect if somebody listens, listen otherwise" },
	{ .name = "datagram", .value = "on|off", .kind = OPT_BOOL, NET(datagram),
	  .help = "socket: one frame a datagram, instead of a stream with lengths" },
	{ .name = "mac", .alias = "macaddr", .value = "ADDRESS", .kind = OPT_STRING, NET(mac),
	  .help = "default: made of the machine's name" },
	{ .name = "queues", .value = "N", .kind = OPT_UINT, .min = 1, .max = NETDEV_MAX_PAIRS, NET(queues),
	  .help = "pairs of queues, each with a thread (tap; default 1)" },
	{ .name = "queue-size", .value = "N", .kind = OPT_UINT, .min = 16, .max = VIRTQ_MAX_SIZE, NET(queue_size),
	  .help = "entries of each queue, a power of two (default 256)" },
	{ .name = "vhost", .value = "on|off|try", .kind = OPT_CHOICE, .choices = vhost_choices, NET(vhost),
	  .help = "tap: have the kernel move the frames (vhost-net)" },
	{ .name = "mtu", .alias = "host_mtu", .value = "BYTES", .kind = OPT_UINT, .min = 68, .max = 65535, NET(mtu),
	  .help = "the largest packet, told to the guest" },
	{ .name = "rate-in", .value = "BYTES", .kind = OPT_BYTES, .max = MAX_RATE, NET(rate_in),
	  .help = "most bytes a second to the guest, e.g. 10M" },
	{ .name = "rate-out", .value = "BYTES", .kind = OPT_BYTES, .max = MAX_RATE, NET(rate_out),
	  .help = "most bytes a second from the guest" },
	{ .name = "burst-in", .value = "BYTES", .kind = OPT_BYTES, .max = MAX_RATE, NET(burst_in),
	  .help = "how many may come at once (default a tenth of a second's)" },
	{ .name = "burst-out", .value = "BYTES", .kind = OPT_BYTES, .max = MAX_RATE, NET(burst_out), .help = "the same from the guest" },
	{ .name = "id", .value = "NAME", .kind = OPT_STRING, NET(id), .help = "name in messages (default net0, net1, ...)" },
	{ 0 },
};

static int parse_mac(struct net_option *n, struct err *e)
{
	unsigned int b[6];
	int used = 0;

	if (!n->mac)
		return 0;
	if (strlen(n->mac) != strlen("52:54:00:12:34:56") || strspn(n->mac, "0123456789abcdefABCDEF:") != strlen(n->mac) ||
	    sscanf(n->mac, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &used) != 6 || n->mac[used])
		return err_usage(e, "--net: mac=%s: expected six pairs of hexadecimal digits, e.g. 52:54:00:12:34:56", n->mac);
	for (unsigned int i = 0; i < 6; i++)
		n->mac_bytes[i] = (uint8_t)b[i];
	if (n->mac_bytes[0] & 1)
		return err_usage(e, "--net: mac=%s is a group's address; the first byte of an interface's own is even", n->mac);
	for (unsigned int i = 0; i < 6; i++)
		if (n->mac_bytes[i])
			return 0;
	return err_usage(e, "--net: mac=%s is nobody's address; expected e.g. 52:54:00:12:34:56", n->mac);
}

static int parse_fds(struct net_option *n, struct err *e)
{
	const char *at = n->fds;

	while (at) {
		const char *end = strchr(at, ':');
		size_t len = end ? (size_t)(end - at) : strlen(at);
		char digits[12];
		uint64_t v;

		if (n->nr_fds == NETDEV_MAX_PAIRS)
			return err_usage(e, "--net: fd=%s: at most %d descriptors", n->fds, NETDEV_MAX_PAIRS);
		snprintf(digits, sizeof(digits), "%.*s", (int)MIN(len, sizeof(digits) - 1), at);
		if (len >= sizeof(digits) || opt_parse_uint(digits, 0, INT32_MAX, &v) < 0)
			return err_usage(e, "--net: fd=%s: expected numbers of open descriptors, e.g. 3 or 3:4", n->fds);
		n->fd[n->nr_fds++] = (int)v;
		at = end ? end + 1 : NULL;
	}
	return 0;
}

static int check_interface(const char *key, const char *name, struct err *e)
{
	if (!name || (strlen(name) < IFNAMSIZ && !strpbrk(name, "/% ")))
		return 0;
	return err_usage(e, "--net: %s=%s: expected the name of an interface, up to %d bytes", key, name, IFNAMSIZ - 1);
}

static int check_forwards(const struct net_option *n, struct err *e)
{
	struct forward f[FORWARD_MAX];
	int rc;

	for (unsigned int i = 0, nr = 0; i < n->forward.nr; i++, nr += (unsigned int)rc)
		if ((rc = forward_parse(n->forward.text[i], f + nr, FORWARD_MAX - nr, e)) < 0) {
			err_prefix(e, "--net user");
			return rc;
		}
	return 0;
}

static int check_net(const struct net_option *n, struct err *e)
{
	int rc;

	if ((rc = check_interface("ifname", n->ifname, e)) < 0 || (rc = check_interface("bridge", n->bridge, e)) < 0 ||
	    (rc = check_id("--net", n->id, e)) < 0 || (rc = check_forwards(n, e)) < 0 ||
	    (rc = check_burst("--net", "rate-in", n->rate_in, n->burst_in, e)) < 0 ||
	    (rc = check_burst("--net", "rate-out", n->rate_out, n->burst_out, e)) < 0)
		return rc;
	return check_queue_size("--net", n->queue_size, e);
}

/* Keys that one kind of back end alone has. */
static int check_net_keys(const struct net_option *n, struct err *e)
{
	const bool tap = n->type == NET_TAP, bridge = n->type == NET_BRIDGE;

	if ((n->ifname || n->fds) && !tap)
		return err_usage(e, "--net: ifname= and fd= belong to --net tap");
	if (n->ifname && n->fds)
		return err_usage(e, "--net tap: give ifname= or fd=, not both");
	if (tap && !n->ifname && !n->fds)
		return err_usage(e, "--net tap: ifname=NAME or fd=N is missing; ip tuntap add dev tap0 mode tap user $USER makes one");
	if (n->forward.nr && n->type != NET_USER)
		return err_usage(e, "--net: forward= belongs to --net user");
	if (n->datagram && n->type != NET_SOCKET)
		return err_usage(e, "--net: datagram= belongs to --net socket=PATH");
	if (n->vhost != VHOST_OFF && !tap && !bridge)
		return err_usage(e, "--net: vhost= needs a tap: --net tap or --net bridge=NAME");
	if (n->queues > 1 && !tap && !bridge)
		return err_usage(e, "--net: queues=%u: only --net tap and --net bridge=NAME have more than one", n->queues);
	if (n->nr_fds > 1 && n->queues > 1 && n->nr_fds != n->queues)
		return err_usage(e, "--net tap: fd= gives %u descriptors for queues=%u", n->nr_fds, n->queues);
	return 0;
}

static int parse_net(void *config, const char *arg, struct err *e)
{
	struct device_options *o = config;
	struct net_option *n;
	char word[32];
	int rc;

	snprintf(word, sizeof(word), "%.*s", (int)strcspn(arg, ","), arg);
	if (o->nr_nets == MAX_NETS)
		return err_usage(e, "--net: a machine has at most %d interfaces", MAX_NETS);
	n = &o->net[o->nr_nets++];
	*n = (struct net_option){ .type = NET_NOT_SAID, .queue_size = 256 };
	if (strcmp(word, "tap") != 0 && strcmp(word, "user") != 0 && !strchr(word, '='))
		return err_usage(e, "--net %s: expected tap, user, bridge=NAME or socket=PATH first", *word ? word : "''");
	rc = opt_parse_list("--net", arg, net_keys, n, e);
	if (rc < 0)
		return rc;
	if ((n->bridge || n->socket) && n->type != NET_NOT_SAID)
		return err_usage(e, "--net %s: %s is a kind of its own: --net %s=...", arg, n->bridge ? "bridge" : "socket",
				 n->bridge ? "bridge" : "socket");
	if (n->bridge && n->socket)
		return err_usage(e, "--net %s: give bridge= or socket=, not both", arg);
	if (n->bridge)
		n->type = NET_BRIDGE;
	else if (n->socket)
		n->type = NET_SOCKET;
	if (n->type == NET_NOT_SAID)
		return err_usage(e, "--net %s: expected tap, user, bridge=NAME or socket=PATH first", arg);
	if ((rc = parse_mac(n, e)) < 0 || (rc = parse_fds(n, e)) < 0 || (rc = check_net_keys(n, e)) < 0)
		return rc;
	if (!n->queues)
		n->queues = n->nr_fds ? n->nr_fds : 1;
	return check_net(n, e);
}

/* ---- the smaller ones ---- */

static const struct opt_key console_keys[] = {
	{ .name = "to", .value = "stdio|none|file:PATH|pty|unix:PATH", .kind = OPT_STRING,
	  .offset = offsetof(struct console_option, to), .positional = true },
	{ .name = "name", .value = "NAME", .kind = OPT_STRING, .offset = offsetof(struct console_option, name),
	  .help = "a port of this name, not a console: /dev/virtio-ports/NAME" },
	{ 0 },
};

static int parse_console(void *config, const char *arg, struct err *e)
{
	struct device_options *o = config;
	struct console_option *c;
	int rc;

	if (o->nr_consoles == MAX_CONSOLES)
		return err_usage(e, "--console: a machine has at most %d of them", MAX_CONSOLES);
	c = &o->console[o->nr_consoles++];
	rc = opt_parse_list("--console", arg, console_keys, c, e);
	if (rc == 0 && !c->to)
		return err_usage(e, "--console %s: expected stdio, none, file:PATH, pty or unix:PATH first", arg);
	return rc < 0 ? rc : stream_option_parse(&c->stream, "--console", c->to, e);
}

#define BALLOON(field) .offset = offsetof(struct balloon_option, field)

static const struct opt_key balloon_keys[] = {
	{ .name = "size", .value = "SIZE", .kind = OPT_SIZE, .min = 1 << 20, .max = 1ull << 52, BALLOON(size_bytes),
	  .help = "how much memory the guest is to have at first (default all of it)" },
	{ .name = "deflate-on-oom", .value = "on|off", .kind = OPT_BOOL, BALLOON(deflate_on_oom),
	  .help = "the guest may take pages back before it runs out of memory" },
	{ .name = "free-page-reporting", .value = "on|off", .kind = OPT_BOOL, BALLOON(free_page_reporting),
	  .help = "the guest tells which pages are free, and the host gets them back" },
	{ .name = "stats-interval", .value = "SECONDS", .kind = OPT_UINT, .max = 86400, BALLOON(stats_interval_s),
	  .help = "how often to ask for statistics (default only when somebody wants them)" },
	{ 0 },
};

static int parse_balloon(void *config, const char *arg, struct err *e)
{
	struct device_options *o = config;

	if (o->balloon.present)
		return err_usage(e, "--balloon: a machine has one balloon");
	o->balloon.present = true;
	return arg ? opt_parse_list("--balloon", arg, balloon_keys, &o->balloon, e) : 0;
}

static const struct opt_key rng_keys[] = {
	{ .name = "bps", .value = "BYTES", .kind = OPT_BYTES, .max = MAX_RATE, .offset = offsetof(struct rng_option, bps),
	  .help = "most bytes a second" },
	{ .name = "bps-burst", .value = "BYTES", .kind = OPT_BYTES, .max = MAX_RATE,
	  .offset = offsetof(struct rng_option, bps_burst), .help = "how many may come at once (default a tenth of a second's)" },
	{ 0 },
};

static int parse_rng(void *config, const char *arg, struct err *e)
{
	struct device_options *o = config;
	int rc;

	if (o->rng.present)
		return err_usage(e, "--rng: a machine has one entropy device");
	o->rng.present = true;
	if (!arg)
		return 0;
	rc = opt_parse_list("--rng", arg, rng_keys, &o->rng, e);
	return rc < 0 ? rc : check_burst("--rng", "bps", o->rng.bps, o->rng.bps_burst, e);
}

static int parse_monitor(void *config, const char *arg, struct err *e)
{
	struct device_options *o = config;

	if (strncmp(arg, "unix:", 5) != 0 || !arg[5])
		return err_usage(e, "--monitor %s: expected unix:PATH", arg);
	free(o->monitor);
	o->monitor = strdup(arg + 5);
	return o->monitor ? 0 : err_set(e, -ENOMEM, "out of memory");
}

const struct opt device_opts[] = {
	{ .name = "disk", .arg = "path=FILE[,KEY=VALUE...]", .parse = parse_disk, .keys = disk_keys,
	  .help = "Add a disk (virtio-blk): a file or a block device. Disks appear in this order." },
	{ .name = "net", .arg = "tap,ifname=NAME|user|bridge=NAME|socket=PATH[,KEY=VALUE...]", .parse = parse_net, .keys = net_keys,
	  .help = "Add a network interface (virtio-net). tap: an interface that an administrator made; user: through passt, "
		  "which needs neither root nor set-up." },
	{ .name = "console", .arg = "stdio|none|file:PATH|pty|unix:PATH[,name=NAME]", .parse = parse_console,
	  .keys = console_keys,
	  .help = "Add a port of a virtio console: hvc0, hvc1 and so on, or with a name what guest agents and the like look "
		  "for (org.qemu.guest_agent.0)." },
	{ .name = "balloon", .arg = "KEY=VALUE...", .parse = parse_balloon, .keys = balloon_keys, .optional = true,
	  .help = "Add a memory balloon (virtio-balloon); --monitor changes its size." },
	{ .name = "rng", .arg = "KEY=VALUE...", .parse = parse_rng, .keys = rng_keys, .optional = true,
	  .help = "Add an entropy device (virtio-rng), fed by getrandom(2)." },
	{ .name = "monitor", .arg = "unix:PATH", .parse = parse_monitor,
	  .help = "Take commands at a Unix socket: balloon SIZE, balloon?, stats; see MONITOR in the manual." },
	{ 0 },
};

void device_name(char name[DEVICE_NAME_BYTES], const char *id, const char *prefix, unsigned int i)
{
	if (id)
		snprintf(name, DEVICE_NAME_BYTES, "%s", id);
	else
		snprintf(name, DEVICE_NAME_BYTES, "%s%u", prefix, i);
}

/* Messages and statistics would not tell them apart. */
static int check_names(const struct device_options *o, struct err *e)
{
	char name[MAX_DISKS + MAX_NETS][DEVICE_NAME_BYTES];
	unsigned int nr = 0;

	for (unsigned int i = 0; i < o->nr_disks; i++)
		device_name(name[nr++], o->disk[i].id, "disk", i);
	for (unsigned int i = 0; i < o->nr_nets; i++)
		device_name(name[nr++], o->net[i].id, "net", i);
	for (unsigned int i = 0; i < nr; i++)
		for (unsigned int k = 0; k < i; k++)
			if (!strcmp(name[k], name[i]))
				return err_usage(e, "two devices are called %s; give each an id= of its own", name[i]);
	return 0;
}

int device_options_check(const struct device_options *o, unsigned int others, struct err *e)
{
	unsigned int nr = o->nr_disks + o->nr_nets + !!o->nr_consoles + o->balloon.present + o->rng.present + others;

	if (nr > MAX_PCI_DEVICES)
		return err_usage(e, "%u PCI devices are asked for, and a machine has room for %d: each --disk, --net, --balloon, "
				    "--rng and --test-device is one, all --console together one", nr, MAX_PCI_DEVICES);
	return check_names(o, e);
}

void device_options_fini(struct device_options *o)
{
	for (unsigned int i = 0; i < o->nr_disks; i++)
		opt_free(disk_keys, &o->disk[i]);
	for (unsigned int i = 0; i < o->nr_nets; i++)
		opt_free(net_keys, &o->net[i]);
	for (unsigned int i = 0; i < o->nr_consoles; i++) {
		opt_free(console_keys, &o->console[i]);
		free(o->console[i].stream.path);
	}
	free(o->monitor);
	o->nr_disks = o->nr_nets = o->nr_consoles = 0;
	o->monitor = NULL;
}
