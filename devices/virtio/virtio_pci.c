/*
 * virtio over PCI (virtio 1.2, 4.1): the function and its capabilities, where interrupts go, and the life of
 * the transport. Registers are in virtio_pci_regs.c. No legacy interface, no shared memory regions.
 */
#define VIRTIO_PCI_NO_LEGACY

#include <errno.h>
#include <linux/virtio_pci.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "devices/virtio/virtio_pci_internal.h"

enum {
	MSIX_BAR = 2,
	MSIX_PBA = 0x800,
	MSIX_BAR_BYTES = 0x1000,
	CFG_DATA = sizeof(struct virtio_pci_cap), /* pci_cfg_data, 4.1.4.9 */
};

_Static_assert((VIRTIO_MAX_QUEUES + 1) * PCI_MSIX_ENTRY_SIZE <= MSIX_PBA,
	       "the table ends before the pending bits");

/* ---- interrupts: any thread, and no lock of ours ---- */

static void intx_raise(struct virtio_pci *vp, unsigned int bit)
{
	atomic_fetch_or(&vp->isr, bit);
	pci_intx_set(&vp->func, true);
}

/* With MSI-X the vector, or nothing if there is none; without, the ISR and INTx (4.1.5.1.4, 4.1.5.2). */
static void interrupt_by(struct virtio_pci *vp, atomic_uint *vector, unsigned int isr_bit)
{
	if (pci_msix_enabled(&vp->func))
		(void)pci_msix_raise(&vp->func, atomic_load(vector)); /* no table has VIRTIO_NO_VECTOR */
	else
		intx_raise(vp, isr_bit);
}

static void vp_interrupt(void *transport, unsigned int q)
{
	struct virtio_pci *vp = transport;

	interrupt_by(vp, &vp->queue_vector[q], VIRTIO_PCI_ISR_QUEUE);
}

static void vp_config_changed(void *transport)
{
	struct virtio_pci *vp = transport;

	interrupt_by(vp, &vp->config_vector, VIRTIO_PCI_ISR_CONFIG);
}

static int vp_kick_fd(void *transport, unsigned int q)
{
	const struct virtio_pci *vp = transport;

	return vp->kick_fd[q];
}

static int vp_call_fd(void *transport, unsigned int q)
{
	struct virtio_pci *vp = transport;
	int fd = pci_msix_enabled(&vp->func) ? pci_msix_fd(&vp->func, atomic_load(&vp->queue_vector[q])) : -1;

	return fd < 0 ? -1 : fd;
}

static const atomic_bool *vp_access(void *transport)
{
	const struct virtio_pci *vp = transport;

	return &vp->func.bus_master;
}

static const struct virtio_transport_ops transport_ops = {
	.interrupt = vp_interrupt,
	.config_changed = vp_config_changed,
	.kick_fd = vp_kick_fd,
	.call_fd = vp_call_fd,
	.access = vp_access,
};

/* ---- reset ---- */

/* A vector that the table does not have reads back as none (4.1.5.1.2.1). */
void virtio_pci_put_vector(struct virtio_pci *vp, atomic_uint *vector, uint64_t val)
{
	atomic_store(vector, val < vp->func.msix.nr ? (unsigned int)val : VIRTIO_NO_VECTOR);
}

static void transport_clear_locked(struct virtio_pci *vp)
{
	vp->device_feature_select = vp->driver_feature_select = 0;
	vp->queue_select = 0;
	atomic_store(&vp->config_vector, VIRTIO_NO_VECTOR);
	for (unsigned int i = 0; i < vp->dev->nr_queues; i++)
		atomic_store(&vp->queue_vector[i], VIRTIO_NO_VECTOR);
	atomic_store(&vp->isr, 0);
	pci_intx_set(&vp->func, false);
}

/* The device first: from then on it interrupts no more. */
void virtio_pci_reset_locked(struct virtio_pci *vp)
{
	virtio_reset(vp->dev);
	transport_clear_locked(vp);
}

static void vp_reset(void *dev)
{
	struct virtio_pci *vp = dev;

	pthread_mutex_lock(&vp->lock);
	virtio_pci_reset_locked(vp);
	pthread_mutex_unlock(&vp->lock);
}

/* ---- the function ---- */

/* A capability of 4.1.4. len: of the capability. Returns its offset. */
static unsigned int add_cap(struct pci_func *f, uint8_t type, unsigned int len, uint32_t off, uint32_t bytes)
{
	unsigned int at = pci_add_cap(f, PCI_CAP_ID_VNDR, len);

	pci_config_set(f, at + VIRTIO_PCI_CAP_LEN, 1, len);
	pci_config_set(f, at + VIRTIO_PCI_CAP_CFG_TYPE, 1, type);
	pci_config_set(f, at + VIRTIO_PCI_CAP_OFFSET, 4, off);
	pci_config_set(f, at + VIRTIO_PCI_CAP_LENGTH, 4, bytes);
	return at;
}

static void add_virtio_caps(struct virtio_pci *vp)
{
	const unsigned int plain = sizeof(struct virtio_pci_cap);
	const struct virtio_dev *dev = vp->dev;
	struct pci_func *f = &vp->func;
	unsigned int at;

	add_cap(f, VIRTIO_PCI_CAP_COMMON_CFG, plain, VIRTIO_PCI_COMMON, VIRTIO_PCI_COMMON_BYTES);
	add_cap(f, VIRTIO_PCI_CAP_ISR_CFG, plain, VIRTIO_PCI_ISR, 1);
	if (dev->config_len)
		add_cap(f, VIRTIO_PCI_CAP_DEVICE_CFG, plain, VIRTIO_PCI_DEVICE, dev->config_len);
	at = add_cap(f, VIRTIO_PCI_CAP_NOTIFY_CFG, sizeof(struct virtio_pci_notify_cap), VIRTIO_PCI_NOTIFY,
		     dev->nr_queues * VIRTIO_PCI_NOTIFY_STEP);
	pci_config_set(f, at + VIRTIO_PCI_NOTIFY_CAP_MULT, 4, VIRTIO_PCI_NOTIFY_STEP);

	vp->window = add_cap(f, VIRTIO_PCI_CAP_PCI_CFG, sizeof(struct virtio_pci_cfg_cap), 0, 0);
	pci_config_writable(f, vp->window + VIRTIO_PCI_CAP_BAR, 1, 0xff);
	pci_config_writable(f, vp->window + VIRTIO_PCI_CAP_OFFSET, 4, 0xffffffff);
	pci_config_writable(f, vp->window + VIRTIO_PCI_CAP_LENGTH, 4, 0xffffffff);
	pci_config_hook(f, vp->window + CFG_DATA, 4, &virtio_pci_window_ops, vp);
}

static int function_init(struct virtio_pci *vp, const struct dev_host *host, uint32_t class, struct err *e)
{
	const struct pci_ids ids = {
		.vendor = 0x1af4, /* 4.1.2 */
		.device = (uint16_t)(0x1040 + vp->dev->type),
		.subvendor = 0x1af4,
		.subdevice = 0x1100,
		.class = class,
		.revision = 1,
		.pin = 1,
	};
	struct pci_func *f = &vp->func;
	int rc;

	pci_func_init(f, host, &ids, vp->dev->name);
	pci_add_bar(f, 0, VIRTIO_PCI_BAR_BYTES, PCI_BAR_MEM64, &virtio_pci_bar_ops, vp);
	pci_add_bar(f, MSIX_BAR, MSIX_BAR_BYTES, PCI_BAR_MEM32, NULL, NULL);
	rc = pci_add_msix(f, MSIX_BAR, 0, MSIX_PBA, vp->dev->nr_queues + 1, e);
	if (rc < 0)
		return rc;
	add_virtio_caps(vp);
	pci_add_pm(f);
	pci_add_express(f, vp_reset, vp);
	return 0;
}

static int doorbells_init(struct virtio_pci *vp, struct err *e)
{
	for (unsigned int i = 0; i < vp->dev->nr_queues; i++) {
		vp->kick_fd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (vp->kick_fd[i] < 0)
			return err_sys(e, -errno, "%s: cannot make an eventfd for queue %u", vp->dev->name,
				       i);
		/* Any length: 2 bytes, or 4 with VIRTIO_F_NOTIFICATION_DATA (4.1.5.2). */
		vp->bell[i] = (struct pci_doorbell){ .off = VIRTIO_PCI_NOTIFY + i * VIRTIO_PCI_NOTIFY_STEP,
						     .fd = vp->kick_fd[i] };
		pci_doorbell_add(&vp->func, &vp->bell[i]);
	}
	return 0;
}

int virtio_pci_init(struct virtio_pci *vp, struct virtio_dev *dev, const struct dev_host *host,
		    uint32_t class, struct err *e)
{
	unsigned int nr = dev->nr_queues;
	int rc;

	*vp = (struct virtio_pci){ .dev = dev };
	pthread_mutex_init(&vp->lock, NULL);
	vp->queue_vector = calloc(nr, sizeof(*vp->queue_vector));
	vp->kick_fd = malloc(nr * sizeof(*vp->kick_fd));
	vp->bell = calloc(nr, sizeof(*vp->bell));
	for (unsigned int i = 0; vp->kick_fd && i < nr; i++)
		vp->kick_fd[i] = -1;
	if (!vp->queue_vector || !vp->kick_fd || !vp->bell)
		rc = err_set(e, -ENOMEM, "%s: out of memory for %u queues", dev->name, nr);
	else
		rc = function_init(vp, host, class, e);
	if (rc == 0)
		rc = doorbells_init(vp, e);
	if (rc < 0) {
		virtio_pci_fini(vp);
		return rc;
	}
	virtio_attach(dev, &transport_ops, vp);
	vp_reset(vp);
	return 0;
}

void virtio_pci_fini(struct virtio_pci *vp)
{
	if (!vp->dev)
		return;
	if (vp->dev->transport_ctx == vp) {
		vp_reset(vp);
		virtio_attach(vp->dev, NULL, NULL);
	}
	pci_func_fini(&vp->func);
	for (unsigned int i = 0; vp->kick_fd && i < vp->dev->nr_queues; i++)
		if (vp->kick_fd[i] >= 0)
			close(vp->kick_fd[i]);
	free(vp->queue_vector);
	free(vp->kick_fd);
	free(vp->bell);
	pthread_mutex_destroy(&vp->lock);
	*vp = (struct virtio_pci){ 0 };
}

/* ---- the life of the device ---- */

static void vp_stop(void *dev)
{
	struct virtio_pci *vp = dev;

	pthread_mutex_lock(&vp->lock);
	virtio_stop(vp->dev);
	pthread_mutex_unlock(&vp->lock);
}

/* state = u32 device and u32 driver feature select, u16 queue select, u8 ISR, u16 vector of configuration
 * changes, u16 queues, u16 vector of each, the device */
static void vp_save(void *dev, struct buf *b)
{
	struct virtio_pci *vp = dev;

	pthread_mutex_lock(&vp->lock);
	buf_put32(b, vp->device_feature_select);
	buf_put32(b, vp->driver_feature_select);
	buf_put16(b, vp->queue_select);
	buf_put8(b, (uint8_t)atomic_load(&vp->isr));
	buf_put16(b, (uint16_t)atomic_load(&vp->config_vector));
	buf_put16(b, (uint16_t)vp->dev->nr_queues);
	for (unsigned int i = 0; i < vp->dev->nr_queues; i++)
		buf_put16(b, (uint16_t)atomic_load(&vp->queue_vector[i]));
	virtio_save(vp->dev, b);
	pthread_mutex_unlock(&vp->lock);
}

static int load_locked(struct virtio_pci *vp, struct state_reader *r, struct err *e)
{
	unsigned int nr;

	virtio_pci_reset_locked(vp);
	vp->device_feature_select = state_get32(r);
	vp->driver_feature_select = state_get32(r);
	vp->queue_select = state_get16(r);
	atomic_store(&vp->isr, state_get8(r) & (VIRTIO_PCI_ISR_QUEUE | VIRTIO_PCI_ISR_CONFIG));
	virtio_pci_put_vector(vp, &vp->config_vector, state_get16(r));
	nr = state_get16(r);
	if (!r->failed && nr != vp->dev->nr_queues)
		return err_set(e, -EINVAL, "%s: saved state has %u queues, this device has %u", vp->dev->name,
			       nr, vp->dev->nr_queues);
	for (unsigned int i = 0; i < vp->dev->nr_queues; i++)
		virtio_pci_put_vector(vp, &vp->queue_vector[i], state_get16(r));
	pci_intx_set(&vp->func, atomic_load(&vp->isr) != 0);
	return virtio_load(vp->dev, r, e); /* last: it may interrupt at once */
}

static int vp_load(void *dev, struct state_reader *r, struct err *e)
{
	struct virtio_pci *vp = dev;
	int rc;

	pthread_mutex_lock(&vp->lock);
	rc = load_locked(vp, r, e);
	pthread_mutex_unlock(&vp->lock);
	return rc;
}

const struct dev_ops virtio_pci_dev_ops = {
	.version = 1,
	.reset = vp_reset,
	.stop = vp_stop,
	.save = vp_save,
	.load = vp_load,
};
