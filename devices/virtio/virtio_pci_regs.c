/*
 * What a driver reads and writes in BAR 0 of a virtio function, and through the window of configuration
 * space into it. What follows from a status, a feature or a queue is virtio.c's business.
 *
 * Registers are to be accessed with their own width (virtio 1.2, 4.1.3.1), 64-bit ones also in halves. Any
 * other access reads 0 and writes nothing.
 */
#define VIRTIO_PCI_NO_LEGACY

#include <linux/virtio_pci.h>
#include <unistd.h>

#include "devices/virtio/virtio_pci_internal.h"

_Static_assert(VIRTIO_PCI_NOTIFY + VIRTIO_MAX_QUEUES * VIRTIO_PCI_NOTIFY_STEP <= VIRTIO_PCI_BAR_BYTES,
	       "virtio 1.2, 4.1.4.4: every queue has its place to notify");

/* ---- common configuration (4.1.4.3) ---- */

/* A field is an offset and a width at once, so that any other width falls through. */
#define FIELD(off, size) ((uint64_t)(off) << 4 | (size))

static struct virtio_queue *queue_selected_locked(struct virtio_pci *vp)
{
	return vp->queue_select < vp->dev->nr_queues ? &vp->dev->queue[vp->queue_select] : NULL;
}

/* The area whose address has a half, or all of it, at off; NULL: none has. shift: of the half. */
static uint64_t *queue_area(struct virtio_queue *q, uint64_t off, unsigned int size, unsigned int *shift)
{
	if (!(size == 4 && off % 4 == 0) && !(size == 8 && off % 8 == 0))
		return NULL;
	*shift = 8 * (off & 4);
	switch (off & ~4ull) {
	case VIRTIO_PCI_COMMON_Q_DESCLO:
		return &q->setup.desc;
	case VIRTIO_PCI_COMMON_Q_AVAILLO:
		return &q->setup.driver;
	case VIRTIO_PCI_COMMON_Q_USEDLO:
		return &q->setup.device;
	default:
		return NULL;
	}
}

/* The fields of the selected queue. One that does not exist has size 0, as the driver's way to know. */
static uint64_t queue_read_locked(struct virtio_pci *vp, uint64_t off, unsigned int size)
{
	struct virtio_queue *q = queue_selected_locked(vp);
	unsigned int shift;
	uint64_t *area;

	if (!q)
		return FIELD(off, size) == FIELD(VIRTIO_PCI_COMMON_Q_MSIX, 2) ? VIRTIO_NO_VECTOR : 0;
	switch (FIELD(off, size)) {
	case FIELD(VIRTIO_PCI_COMMON_Q_SIZE, 2):
		return q->setup.size;
	case FIELD(VIRTIO_PCI_COMMON_Q_MSIX, 2):
		return atomic_load(&vp->queue_vector[vp->queue_select]);
	case FIELD(VIRTIO_PCI_COMMON_Q_ENABLE, 2):
		return q->enabled;
	case FIELD(VIRTIO_PCI_COMMON_Q_NOFF, 2):
		return vp->queue_select;
	case FIELD(VIRTIO_PCI_COMMON_Q_NDATA, 2): /* without VIRTIO_F_NOTIF_CONFIG_DATA it does not exist */
	case FIELD(VIRTIO_PCI_COMMON_Q_RESET, 2): /* a reset is over when the write returns */
		return 0;
	default:
		area = queue_area(q, off, size, &shift);
		return area ? *area >> shift : 0;
	}
}

static uint64_t common_read_locked(struct virtio_pci *vp, uint64_t off, unsigned int size)
{
	const struct virtio_dev *dev = vp->dev;

	switch (FIELD(off, size)) {
	case FIELD(VIRTIO_PCI_COMMON_DFSELECT, 4):
		return vp->device_feature_select;
	case FIELD(VIRTIO_PCI_COMMON_DF, 4):
		return virtio_offered(dev, vp->device_feature_select);
	case FIELD(VIRTIO_PCI_COMMON_GFSELECT, 4):
		return vp->driver_feature_select;
	case FIELD(VIRTIO_PCI_COMMON_GF, 4):
		return virtio_accepted(dev, vp->driver_feature_select);
	case FIELD(VIRTIO_PCI_COMMON_MSIX, 2):
		return atomic_load(&vp->config_vector);
	case FIELD(VIRTIO_PCI_COMMON_NUMQ, 2):
		return dev->nr_queues;
	case FIELD(VIRTIO_PCI_COMMON_STATUS, 1):
		return virtio_read_status(dev);
	case FIELD(VIRTIO_PCI_COMMON_CFGGENERATION, 1):
		return atomic_load(&dev->generation) & 0xff;
	case FIELD(VIRTIO_PCI_COMMON_Q_SELECT, 2):
		return vp->queue_select;
	default:
		return queue_read_locked(vp, off, size);
	}
}

static void queue_size_put(struct virtio_queue *q, uint64_t val)
{
	/* Whether it must be a power of two depends on the ring's format: virtq_start() knows. */
	if (!q->enabled && val >= 1 && val <= q->vq.max_size)
		q->setup.size = (uint16_t)val;
}

static void queue_write_locked(struct virtio_pci *vp, uint64_t off, unsigned int size, uint64_t val)
{
	struct virtio_queue *q = queue_selected_locked(vp);
	unsigned int shift;
	uint64_t *area;

	if (!q)
		return;
	switch (FIELD(off, size)) {
	case FIELD(VIRTIO_PCI_COMMON_Q_SIZE, 2):
		queue_size_put(q, val);
		break;
	case FIELD(VIRTIO_PCI_COMMON_Q_MSIX, 2):
		virtio_pci_put_vector(vp, &vp->queue_vector[vp->queue_select], val);
		break;
	case FIELD(VIRTIO_PCI_COMMON_Q_ENABLE, 2):
		if (val == 1) /* 0 is not for drivers to write */
			virtio_queue_enable(vp->dev, vp->queue_select);
		break;
	case FIELD(VIRTIO_PCI_COMMON_Q_RESET, 2):
		if (val != 1 || !virtio_has(vp->dev, VIRTIO_F_RING_RESET))
			break;
		virtio_queue_reset(vp->dev, vp->queue_select);
		virtio_pci_put_vector(vp, &vp->queue_vector[vp->queue_select], VIRTIO_NO_VECTOR);
		break;
	default:
		area = queue_area(q, off, size, &shift);
		if (area && !q->enabled)
			*area = (*area & ~(ones(size) << shift)) | val << shift;
	}
}

static void common_write_locked(struct virtio_pci *vp, uint64_t off, unsigned int size, uint64_t val)
{
	switch (FIELD(off, size)) {
	case FIELD(VIRTIO_PCI_COMMON_DFSELECT, 4):
		vp->device_feature_select = (uint32_t)val;
		break;
	case FIELD(VIRTIO_PCI_COMMON_GFSELECT, 4):
		vp->driver_feature_select = (uint32_t)val;
		break;
	case FIELD(VIRTIO_PCI_COMMON_GF, 4):
		virtio_accept(vp->dev, vp->driver_feature_select, (uint32_t)val);
		break;
	case FIELD(VIRTIO_PCI_COMMON_MSIX, 2):
		virtio_pci_put_vector(vp, &vp->config_vector, val);
		break;
	case FIELD(VIRTIO_PCI_COMMON_STATUS, 1):
		if (val)
			virtio_write_status(vp->dev, (uint8_t)val);
		else
			virtio_pci_reset_locked(vp);
		break;
	case FIELD(VIRTIO_PCI_COMMON_Q_SELECT, 2):
		vp->queue_select = (uint16_t)val;
		break;
	default:
		queue_write_locked(vp, off, size, val);
	}
}

/* ---- BAR 0 ---- */

/* Reading acknowledges (4.1.4.5). A bit that comes between the two steps must not be left with the line low. */
static uint8_t isr_take(struct virtio_pci *vp)
{
	unsigned int isr = atomic_exchange(&vp->isr, 0);

	pci_intx_set(&vp->func, false);
	if (atomic_load(&vp->isr))
		pci_intx_set(&vp->func, true);
	return (uint8_t)isr;
}

/* As the ioeventfd does, when the machine had none left or the write came through the window below. */
static void notify(struct virtio_pci *vp, uint64_t off)
{
	uint64_t q = off / VIRTIO_PCI_NOTIFY_STEP, one = 1;

	if (off % VIRTIO_PCI_NOTIFY_STEP || q >= vp->dev->nr_queues)
		return;
	if (write(vp->kick_fd[q], &one, sizeof(one)) < 0)
		return; /* the counter is full: the queue has been told often enough */
}

static uint64_t device_read_locked(struct virtio_pci *vp, uint64_t off, unsigned int size)
{
	uint8_t bytes[8] = { 0 };

	virtio_config_read(vp->dev, (unsigned int)off, bytes, size);
	return get_le64(bytes);
}

static void device_write_locked(struct virtio_pci *vp, uint64_t off, unsigned int size, uint64_t val)
{
	uint8_t bytes[8];

	put_le64(bytes, val);
	virtio_config_write(vp->dev, (unsigned int)off, bytes, size);
}

static uint64_t bar_read(void *dev, uint64_t off, unsigned int size)
{
	struct virtio_pci *vp = dev;
	uint64_t val = 0;

	if (off == VIRTIO_PCI_ISR) /* any width: a driver that reads more than its byte acknowledges too */
		return isr_take(vp);
	if (off >= VIRTIO_PCI_NOTIFY)
		return 0;
	pthread_mutex_lock(&vp->lock);
	if (off < VIRTIO_PCI_ISR)
		val = common_read_locked(vp, off - VIRTIO_PCI_COMMON, size);
	else if (off >= VIRTIO_PCI_DEVICE)
		val = device_read_locked(vp, off - VIRTIO_PCI_DEVICE, size);
	pthread_mutex_unlock(&vp->lock);
	return val & ones(size);
}

static void bar_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	struct virtio_pci *vp = dev;

	if (off >= VIRTIO_PCI_NOTIFY) {
		notify(vp, off - VIRTIO_PCI_NOTIFY);
		return;
	}
	val &= ones(size);
	pthread_mutex_lock(&vp->lock);
	if (off < VIRTIO_PCI_ISR)
		common_write_locked(vp, off - VIRTIO_PCI_COMMON, size, val);
	else if (off >= VIRTIO_PCI_DEVICE)
		device_write_locked(vp, off - VIRTIO_PCI_DEVICE, size, val);
	pthread_mutex_unlock(&vp->lock);
}

const struct io_ops virtio_pci_bar_ops = { .read = bar_read, .write = bar_write };

/* ---- the window into BAR 0, for those who cannot reach memory yet (4.1.4.9) ---- */

/*
 * Where the capability points now. The guest writes its fields as plain registers at any time: they are
 * copied here, and judged. Returns the length of the access, or 0 when it leads nowhere.
 */
static unsigned int window_target(struct virtio_pci *vp, uint64_t off, unsigned int size, uint64_t *at)
{
	uint32_t bar = pci_config_get(&vp->func, vp->window + VIRTIO_PCI_CAP_BAR, 1);
	uint32_t len = pci_config_get(&vp->func, vp->window + VIRTIO_PCI_CAP_LENGTH, 4);

	*at = pci_config_get(&vp->func, vp->window + VIRTIO_PCI_CAP_OFFSET, 4);
	if (off || size < len || bar || (len != 1 && len != 2 && len != 4) || *at % len ||
	    !range_ok(*at, len, VIRTIO_PCI_BAR_BYTES))
		return 0;
	return len;
}

static uint64_t window_read(void *dev, uint64_t off, unsigned int size)
{
	uint64_t at;
	unsigned int len = window_target(dev, off, size, &at);

	return len ? bar_read(dev, at, len) : 0;
}

static void window_write(void *dev, uint64_t off, unsigned int size, uint64_t val)
{
	uint64_t at;
	unsigned int len = window_target(dev, off, size, &at);

	if (len)
		bar_write(dev, at, len, val & ones(len));
}

const struct io_ops virtio_pci_window_ops = { .read = window_read, .write = window_write };
