/*
 * vhost-net by the kernel's interface (linux/vhost.h; drivers/vhost, v6.1). Ring 0 receives and ring 1 transmits, as
 * seen by the guest. Which features a driver gets, and when rings run, is virtio_net.c's business; migration's
 * log of dirty pages is not used.
 */
#include "devices/net/vhost.h"

#include <errno.h>
#include <linux/vhost.h>
#include <linux/virtio_net.h>
#include <unistd.h>

#include "devices/net/vhost_internal.h"
#include "vmm/base/log.h"

#define BIT(n) (1ull << (n))

/*
 * Features in which the kernel must take part. All others are the device's alone: offloads, for one, are between
 * the guest and the tap. What the kernel offers beyond these is not for us: VHOST_NET_F_VIRTIO_NET_HDR would have
 * it add the header that the tap has already (IFF_VNET_HDR), VHOST_F_LOG_ALL write a log.
 */
static const uint64_t kernel_features =
	BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_F_VERSION_1) |
	BIT(VIRTIO_F_ACCESS_PLATFORM) | BIT(VIRTIO_F_RING_PACKED) | BIT(VIRTIO_F_IN_ORDER) |
	BIT(VIRTIO_F_RING_RESET) | BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_NET_F_HASH_REPORT);

static int vhost_explain(int rc, struct err *e)
{
	switch (rc) {
	case -ENOENT:
	case -ENODEV:
	case -ENXIO:
		return err_set(e, rc,
			       "this host has no /dev/vhost-net; `modprobe vhost_net` loads its "
			       "module");
	case -EACCES:
	case -EPERM:
		return err_set(e, rc,
			       "no permission to open /dev/vhost-net; join the group that owns it "
			       "(Debian: `adduser USER kvm`)");
	default:
		return err_sys(e, rc, "cannot open /dev/vhost-net");
	}
}

/* Addresses in rings are guest-physical; the kernel reaches them through our mappings. */
static int vhost_set_memory(struct vhost_net *v, const struct gmem *mem)
{
	_Alignas(struct vhost_memory) uint8_t room[sizeof(struct vhost_memory) +
						   GMEM_MAX_RANGES * sizeof(struct vhost_memory_region)] = { 0 };
	struct vhost_memory *table = (struct vhost_memory *)room;

	table->nregions = mem->nr_ranges;
	for (unsigned int i = 0; i < mem->nr_ranges; i++) {
		table->regions[i] = (struct vhost_memory_region){
			.guest_phys_addr = mem->range[i].gpa,
			.memory_size = mem->range[i].len,
			.userspace_addr = (uintptr_t)mem->range[i].hva,
		};
	}
	return vhost_host_call(v->fd, VHOST_SET_MEM_TABLE, table);
}

int vhost_net_check(struct err *e)
{
	int fd = vhost_host_open();

	if (fd < 0)
		return vhost_explain(fd, e);
	close(fd);
	return 0;
}

int vhost_net_open(struct vhost_net *v, const struct gmem *mem, struct err *e)
{
	int rc;

	*v = (struct vhost_net){ .fd = vhost_host_open() };
	if (v->fd < 0)
		return vhost_explain(v->fd, e);
	v->open = true;
	rc = vhost_host_call(v->fd, VHOST_SET_OWNER, NULL);
	if (rc < 0) {
		err_sys(e, rc, "the kernel starts no thread for vhost-net (VHOST_SET_OWNER)");
		goto fail;
	}
	rc = vhost_host_call(v->fd, VHOST_GET_FEATURES, &v->features);
	if (rc < 0) {
		err_sys(e, rc, "vhost-net does not say what it can do (VHOST_GET_FEATURES)");
		goto fail;
	}
	if (!(v->features & BIT(VIRTIO_F_VERSION_1))) {
		rc = err_set(e, -ENOTSUP,
			     "this kernel's vhost-net does not know virtio 1");
		goto fail;
	}
	rc = vhost_set_memory(v, mem);
	if (rc < 0) {
		err_sys(e, rc,
			"vhost-net does not take the guest's memory of %u ranges "
			"(VHOST_SET_MEM_TABLE; "
			"see /sys/module/vhost/parameters/max_mem_regions)",
			mem->nr_ranges);
		goto fail;
	}
	return 0;
fail:
	vhost_net_close(v);
	return rc;
}

void vhost_net_close(struct vhost_net *v)
{
	if (v->open)
		close(v->fd);
	*v = (struct vhost_net){ .fd = -1 };
}

uint64_t vhost_net_mask(const struct vhost_net *v, uint64_t features)
{
	/* A network that has to be translated for would need our help at every miss. */
	uint64_t possible = v->features & ~BIT(VIRTIO_F_ACCESS_PLATFORM);

	return features & (possible | ~kernel_features);
}

/* Numbers, places and descriptors of one ring. */
static int vhost_set_ring(struct vhost_net *v, unsigned int index, const struct virtq *q, int kick, int call)
{
	struct vhost_vring_state size = { index, q->setup.size };
	struct vhost_vring_state base = { .index = index };
	struct vhost_vring_addr addr = {
		.index = index,
		.desc_user_addr = (uintptr_t)q->desc,
		.avail_user_addr = (uintptr_t)q->driver,
		.used_user_addr = (uintptr_t)q->device,
	};
	struct vhost_vring_file file = { .index = index };
	uint16_t avail, used;
	int rc;

	virtq_indices(q, &avail, &used); /* the kernel reads used from the ring itself */
	base.num = avail;
	if ((rc = vhost_host_call(v->fd, VHOST_SET_VRING_NUM, &size)) < 0 ||
	    (rc = vhost_host_call(v->fd, VHOST_SET_VRING_BASE, &base)) < 0 ||
	    (rc = vhost_host_call(v->fd, VHOST_SET_VRING_ADDR, &addr)) < 0)
		return rc;
	file.fd = call;
	rc = vhost_host_call(v->fd, VHOST_SET_VRING_CALL, &file);
	if (rc < 0)
		return rc;
	file.fd = kick;
	return vhost_host_call(v->fd, VHOST_SET_VRING_KICK, &file);
}

static int vhost_set_backend(struct vhost_net *v, unsigned int index, int fd)
{
	struct vhost_vring_file file = { index, fd };

	return vhost_host_call(v->fd, VHOST_NET_SET_BACKEND, &file);
}

/* Let go of a ring's descriptors: the kernel holds on to eventfds until it is told otherwise. */
static void vhost_forget_files(struct vhost_net *v, unsigned int index)
{
	struct vhost_vring_file none = { index, VHOST_FILE_UNBIND };

	(void)vhost_host_call(v->fd, VHOST_SET_VRING_KICK, &none);
	(void)vhost_host_call(v->fd, VHOST_SET_VRING_CALL, &none);
}

int vhost_net_start(struct vhost_net *v, uint64_t features, struct virtq *rx, struct virtq *tx, int rx_kick,
		    int tx_kick, int rx_call, int tx_call, int tap_fd)
{
	uint64_t acked = features & v->features & kernel_features;
	int rc;

	if (rx->setup.packed || tx->setup.packed)
		return -ENOTSUP; /* vhost_net_mask() has left it out */
	if ((rc = vhost_host_call(v->fd, VHOST_SET_FEATURES, &acked)) < 0 ||
	    (rc = vhost_set_ring(v, 0, rx, rx_kick, rx_call)) < 0 ||
	    (rc = vhost_set_ring(v, 1, tx, tx_kick, tx_call)) < 0 ||
	    (rc = vhost_set_backend(v, 0, tap_fd)) < 0 || (rc = vhost_set_backend(v, 1, tap_fd)) < 0) {
		for (unsigned int i = 0; i < 2; i++) {
			(void)vhost_set_backend(v, i, VHOST_FILE_UNBIND);
			vhost_forget_files(v, i);
		}
	}
	return rc;
}

/*
 * The used index is what the kernel has published in the ring (virtio 1.2, 2.7.8): once it has let go, every
 * chain that it took is used, or will be taken anew.
 */
static void vhost_take_back(struct vhost_net *v, unsigned int index, struct virtq *q)
{
	struct vhost_vring_state base = { .index = index };
	uint16_t used = get_le16(q->device + 2);
	int rc = vhost_host_call(v->fd, VHOST_GET_VRING_BASE, &base);

	if (rc < 0) {
		log_warn("vhost: the kernel does not say how far ring %u is: error %d", index, -rc);
		base.num = used;
	}
	virtq_set_indices(q, (uint16_t)base.num, used);
}

void vhost_net_stop(struct vhost_net *v, struct virtq *rx, struct virtq *tx)
{
	/* Both first: this waits until the kernel's thread has left the ring. */
	for (unsigned int i = 0; i < 2; i++)
		if (vhost_set_backend(v, i, VHOST_FILE_UNBIND) < 0)
			log_warn("vhost: the kernel does not let go of ring %u", i);
	for (unsigned int i = 0; i < 2; i++) {
		vhost_take_back(v, i, i ? tx : rx);
		vhost_forget_files(v, i);
	}
}
