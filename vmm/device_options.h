/*
 * The options about disks, network interfaces and the smaller virtio devices: what a user asks for, parsed
 * and checked as far as the words go; no file is touched.
 */
#ifndef TRELLIS_DEVICE_OPTIONS_H
#define TRELLIS_DEVICE_OPTIONS_H

#include "devices/net/netdev.h"
#include "vmm/base/opt.h"

enum { MAX_PCI_DEVICES = 31, DEVICE_NAME_BYTES = 16 };
enum { MAX_DISKS = MAX_PCI_DEVICES, MAX_NETS = 16, MAX_CONSOLES = 16 };

/* Where a byte stream leads: "stdio", "file:PATH", and so on, for --serial and --console. */
enum stream_mode { STREAM_NONE, STREAM_STDIO, STREAM_FILE, STREAM_PTY, STREAM_UNIX };

struct stream_option {
	enum stream_mode mode;
	char *path; /* owned, may be NULL */
};

struct disk_option {
	char *path;              /* owned, like all strings here */
	int format;              /* enum block_format; -1: not said */
	int cache, aio;          /* enum block_cache, block_aio */
	bool readonly, snapshot, backing, discard, fixed_buffers;
	unsigned int queues;     /* 0: one for each vCPU, up to four */
	unsigned int queue_size;
	char *serial, *id;
	unsigned int iops, iops_burst;
	uint64_t bps, bps_burst;
};

enum net_type { NET_TAP, NET_USER, NET_BRIDGE, NET_SOCKET, NET_NOT_SAID };

struct net_option {
	int type;                /* enum net_type */
	char *ifname, *fds, *bridge, *socket, *mac, *id;
	struct opt_strings forward;
	bool datagram;
	unsigned int queues, queue_size, mtu;
	int vhost;               /* enum virtio_net_vhost */
	uint64_t rate_in, rate_out, burst_in, burst_out;
	uint8_t mac_bytes[6];    /* when mac was given */
	int fd[NETDEV_MAX_PAIRS];
	unsigned int nr_fds;
};

struct console_option {
	char *to;
	struct stream_option stream;
	char *name;              /* NULL: a console */
};

struct balloon_option {
	bool present;
	uint64_t size_bytes;     /* 0: all of the memory */
	bool deflate_on_oom, free_page_reporting;
	unsigned int stats_interval_s;
};

struct rng_option {
	bool present;
	uint64_t bps, bps_burst;
};

struct device_options {
	struct disk_option disk[MAX_DISKS];
	unsigned int nr_disks;
	struct net_option net[MAX_NETS];
	unsigned int nr_nets;
	struct console_option console[MAX_CONSOLES];
	unsigned int nr_consoles;
	struct balloon_option balloon;
	struct rng_option rng;
	char *monitor;           /* path of the socket, or NULL */
};

/* Their table, to be a group in a command's own; its config is the struct device_options. */
extern const struct opt device_opts[];

void device_options_fini(struct device_options *o);

/*
 * What only all of them together can tell: whether their names differ, and whether there are PCI slots for them.
 * others  how many PCI devices the machine has besides
 * Returns 0, or -EINVAL (usage) with a sentence.
 */
MUST_CHECK int device_options_check(const struct device_options *o, unsigned int others, struct err *e);

/* A device's name in messages and statistics: the id that was given, or prefix and number. */
void device_name(char name[DEVICE_NAME_BYTES], const char *id, const char *prefix, unsigned int i);

/*
 * Read "stdio", "none", "file:PATH", "pty" or "unix:PATH".
 * option  for messages, "--serial"
 * Returns 0, or -EINVAL (usage) with a sentence; -ENOMEM.
 */
MUST_CHECK int stream_option_parse(struct stream_option *s, const char *option, const char *arg, struct err *e);

#endif
