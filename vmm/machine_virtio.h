/*
 * The virtio devices of a machine with what is behind them: disks, network back ends, byte streams. Part of
 * struct machine; vmm/machine_virtio.c makes and ends them.
 */
#ifndef TRELLIS_MACHINE_VIRTIO_H
#define TRELLIS_MACHINE_VIRTIO_H

#include "devices/block/block.h"
#include "devices/chardev.h"
#include "devices/net/netdev.h"
#include "devices/virtio/virtio_balloon.h"
#include "devices/virtio/virtio_blk.h"
#include "devices/virtio/virtio_console.h"
#include "devices/virtio/virtio_net.h"
#include "devices/virtio/virtio_pci.h"
#include "devices/virtio/virtio_rng.h"
#include "vmm/base/notes.h"
#include "vmm/device_options.h"
#include "vmm/monitor.h"


struct machine_disk {
	char name[DEVICE_NAME_BYTES]; /* "disk0", unless an id was given */
	struct block *block;           /* owned, as all here */
	struct virtio_blk *blk;
	struct virtio_pci pci;
};

struct machine_net {
	char name[DEVICE_NAME_BYTES];
	struct netdev *netdev;
	struct virtio_net *net;
	struct virtio_pci pci;
};

struct machine_virtio {
	struct machine_disk *disk;     /* owned arrays, by the options' numbers */
	unsigned int nr_disks;         /* how many of them have been begun */
	struct machine_net *net;
	unsigned int nr_nets;

	struct iothread io;            /* of the three below */
	struct chardev *chr;           /* owned array; the console's streams */
	unsigned int nr_chrs;          /* of them are open */
	struct virtio_console *console;
	struct virtio_pci console_pci;
	struct virtio_balloon *balloon;
	struct virtio_pci balloon_pci;
	struct virtio_rng *rng;
	struct virtio_pci rng_pci;

	struct monitor monitor;
};

struct machine;

/*
 * Make every virtio device that the options ask for, put it into a PCI slot, and open the monitor.
 * Returns 0 or a negative errno with a sentence; machine_virtio_end() is to be called either way, after the
 * devices have been unplugged, with no vCPU running. Main thread.
 */
MUST_CHECK int machine_plug_virtio(struct machine *m, struct err *e);
void machine_virtio_end(struct machine *m);

/*
 * Would machine_plug_virtio() succeed with these? Each adds a sentence to problems for every device that could not be,
 * the one that the plugging would have; nothing is changed, made, connected or started.
 * m  its options, and for the balloon m->procs.ram_bytes
 */
void machine_check_disks(const struct machine *m, struct notes *problems);
void machine_check_nets(const struct machine *m, struct notes *problems);
void machine_check_balloon(const struct machine *m, struct notes *problems);

/* The stream of a port of the virtio console, borrowed from c. */
struct chardev_wish machine_console_wish(const struct console_option *c);

#endif
