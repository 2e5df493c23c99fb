/*
 * Saving and loading the common part of a virtio device. The machine must have been built alike. Of the
 * configuration space only what the driver wrote is taken over: the rest is what the host side is now.
 *
 *   state = u16 type, u8 status, u8 needs reset, u64 driver features, u32 generation,
 *           u16 bytes of configuration space, those, u16 queues, queue of each, the device's own
 *   queue = u8 enabled, u16 size, u64 descriptor, u64 driver and u64 device area,
 *           u16 available and u16 used index
 */
#include <errno.h>

#include "devices/virtio/virtio_internal.h"

static void queue_save(const struct virtio_queue *q, struct buf *b)
{
	buf_put8(b, q->enabled);
	buf_put16(b, q->setup.size);
	buf_put64(b, q->setup.desc);
	buf_put64(b, q->setup.driver);
	buf_put64(b, q->setup.device);
	buf_put16(b, q->saved_avail);
	buf_put16(b, q->saved_used);
}

void virtio_save(struct virtio_dev *d, struct buf *b)
{
	buf_put16(b, d->type);
	buf_put8(b, d->status);
	buf_put8(b, atomic_load(&d->needs_reset));
	buf_put64(b, d->driver_features);
	pthread_mutex_lock(&d->config_lock);
	buf_put32(b, atomic_load(&d->generation));
	buf_put16(b, (uint16_t)d->config_len);
	buf_put(b, d->config, d->config_len);
	pthread_mutex_unlock(&d->config_lock);
	buf_put16(b, (uint16_t)d->nr_queues);
	for (unsigned int i = 0; i < d->nr_queues; i++)
		queue_save(&d->queue[i], b);
	if (d->ops->save)
		d->ops->save(d, b);
}

/* The bytes saved, into what the driver can write. changed: did the host's part change meanwhile? */
static void config_load(struct virtio_dev *d, const uint8_t *bytes, uint32_t generation, bool *changed)
{
	pthread_mutex_lock(&d->config_lock);
	*changed = false;
	for (unsigned int i = 0; i < d->config_len; i++) {
		uint8_t mask = d->config_wmask[i];

		*changed |= ((d->config[i] ^ bytes[i]) & ~mask) != 0;
		d->config[i] = (uint8_t)((d->config[i] & ~mask) | (bytes[i] & mask));
	}
	atomic_store(&d->generation, generation + *changed);
	pthread_mutex_unlock(&d->config_lock);
}

static int status_load(struct virtio_dev *d, uint8_t status, struct err *e)
{
	if (status & ~(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_DRIVER_OK |
		       VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_FAILED) ||
	    ((status & VIRTIO_CONFIG_S_DRIVER_OK) && !(status & VIRTIO_CONFIG_S_FEATURES_OK)))
		return err_set(e, -EINVAL, "%s: saved state has an impossible device status, 0x%x", d->name,
			       status);
	if (status & VIRTIO_CONFIG_S_FEATURES_OK) {
		if (!virtio_features_sound(d))
			return err_set(
				e, -EINVAL,
				"%s: saved state has features 0x%llx, this device has only 0x%llx; start it "
				"with the options it had then",
				d->name, (unsigned long long)d->driver_features,
				(unsigned long long)d->features);
		d->negotiated = d->driver_features;
	}
	pthread_mutex_lock(&d->config_lock);
	d->status = status;
	pthread_mutex_unlock(&d->config_lock);
	return 0;
}

static int queue_load(struct virtio_queue *q, struct state_reader *r, struct err *e)
{
	q->enabled = state_get8(r);
	q->setup.size = state_get16(r);
	q->setup.desc = state_get64(r);
	q->setup.driver = state_get64(r);
	q->setup.device = state_get64(r);
	q->saved_avail = state_get16(r);
	q->saved_used = state_get16(r);
	if (!r->failed && (!q->setup.size || q->setup.size > q->vq.max_size))
		return err_set(e, -EINVAL, "%s: saved state has %u entries in queue %u, possible are 1 to %u",
			       q->dev->name, q->setup.size, q->vq.nr, q->vq.max_size);
	return 0;
}

static int cut_short(const struct virtio_dev *d, struct err *e)
{
	return err_set(e, -EINVAL, "%s: saved state is cut short", d->name);
}

/* Everything but starting. */
static int state_load(struct virtio_dev *d, struct state_reader *r, bool *changed, struct err *e)
{
	uint8_t bytes[VIRTIO_CONFIG_BYTES], status;
	uint16_t type = state_get16(r), len, nr;
	uint32_t generation;
	int rc;

	status = state_get8(r);
	atomic_store(&d->needs_reset, state_get8(r));
	d->driver_features = state_get64(r);
	generation = state_get32(r);
	len = state_get16(r);
	if (r->failed)
		return cut_short(d, e);
	if (type != d->type || len != d->config_len)
		return err_set(e, -EINVAL,
			       "%s: saved state is of another kind of device (virtio type %u, here %u)",
			       d->name, type, d->type);
	rc = status_load(d, status, e);
	if (rc < 0)
		return rc;
	state_get(r, bytes, len);
	config_load(d, bytes, generation, changed);
	nr = state_get16(r);
	if (!r->failed && nr != d->nr_queues)
		return err_set(e, -EINVAL, "%s: saved state has %u queues, this device has %u", d->name, nr,
			       d->nr_queues);
	for (unsigned int i = 0; i < d->nr_queues && rc == 0; i++)
		rc = queue_load(&d->queue[i], r, e);
	if (rc == 0 && d->ops->load)
		rc = d->ops->load(d, r, e);
	return rc == 0 && r->failed ? cut_short(d, e) : rc;
}

int virtio_load(struct virtio_dev *d, struct state_reader *r, struct err *e)
{
	bool changed;
	int rc;

	virtio_reset(d);
	rc = state_load(d, r, &changed, e);
	if (rc < 0)
		return rc;
	virtio_resume(d);
	if (changed)
		virtio_notify_config(d);
	return 0;
}
