/*
 * Fuzz target: a driver at the registers of a virtio function: common, notify, ISR and device regions with
 * any width at any offset, negotiation and queues mostly sound, MSI-X on and off, stopping, saving and loading in
 * between, with rings in memory that hold whatever the input says.
 *
 * The rules of virtio 1.2, 2.1 and 4.1.4.3 are checked after each step, and after a reset everything must be
 * as at power-on. It proves little about rings (virtq's own targets do), and nothing about two vCPUs at once.
 */
#define VIRTIO_PCI_NO_LEGACY

#include <linux/virtio_pci.h>
#include <stdlib.h>

#include "devices/fuzz_host.h"
#include "devices/virtio/virtio_pci_internal.h"
#include "devices/virtio/virtio_rig.h"
#include "vmm/base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { RAM = 64 << 10, DEVFN = PCI_DEVFN(2, 0), MAX_STEPS = 400 };

static struct machine {
	struct fuzz_host host;
	struct pci_root root;
	struct gmem mem;
	uint8_t *ram;
	struct echo echo;
	struct virtio_pci vp;
	struct buf power_on;
} m;

static void save_all(struct buf *b)
{
	pci_root_ops.save(&m.root, b);
	virtio_pci_dev_ops.save(&m.vp, b);
	FUZZ_CHECK(buf_status(b) == 0);
}

static void config_put(unsigned int off, uint8_t val)
{
	virtio_config_put(&m.echo.dev, off, &val, 1, true);
}

static void reset_all(void)
{
	pci_root_ops.reset(&m.root);
	virtio_pci_dev_ops.reset(&m.vp);
	FUZZ_CHECK(pci_root_assign(&m.root, NULL) == 0);
	for (unsigned int i = 0; i < 8; i++)
		config_put(i, 0);
	atomic_store(&m.echo.dev.generation, 0); /* the one thing that goes on through resets */
	m.echo.start_rc = m.echo.queue_start_rc = 0;
	m.echo.kernel = false;
	memset(m.ram, 0, RAM);
}

static void machine_init(void)
{
	log_set_level(LOG_ERROR);
	fuzz_host_init(&m.host, &m.root);
	m.ram = aligned_alloc(4096, RAM);
	FUZZ_CHECK(m.ram && gmem_add(&m.mem, 0, RAM, m.ram, NULL) == 0);
	FUZZ_CHECK(echo_init(&m.echo, &m.mem, ECHO_QUEUES) == 0);
	m.echo.dev.no_threads = true;
	FUZZ_CHECK(virtio_pci_init(&m.vp, &m.echo.dev, &m.host.host, 0x00ff00, NULL) == 0);
	FUZZ_CHECK(pci_root_add(&m.root, DEVFN, &m.vp.func, NULL) == 0);
	reset_all();
	save_all(&m.power_on);
}

static uint64_t reg_get(uint64_t off, unsigned int size)
{
	return virtio_pci_bar_ops.read(&m.vp, off, size);
}

static void reg_put(uint64_t off, unsigned int size, uint64_t val)
{
	virtio_pci_bar_ops.write(&m.vp, off, size, val);
}

/* ---- what the driver does ---- */

static uint64_t pick_off(struct fuzz_input *in)
{
	switch (fuzz_pick(in, 6)) {
	case 0:
		return VIRTIO_PCI_ISR + fuzz_byte(in) % 4;
	case 1:
		return VIRTIO_PCI_DEVICE + fuzz_byte(in) % 32;
	case 2:
		return VIRTIO_PCI_NOTIFY + fuzz_byte(in) % 32;
	case 3:
		return fuzz_bytes(in, 2) % VIRTIO_PCI_BAR_BYTES;
	default:
		return fuzz_byte(in) % 0x40;
	}
}

static void step_any(struct fuzz_input *in, bool write)
{
	uint64_t off = pick_off(in);
	unsigned int size = 1u << fuzz_pick(in, 4);

	if (write)
		reg_put(off, size, fuzz_bytes(in, size));
	else
		FUZZ_CHECK((reg_get(off, size) & ~ones(size)) == 0);
}

static void step_features(struct fuzz_input *in)
{
	uint8_t what = fuzz_byte(in);

	/* Mostly what is offered; now and then anything, in any half. */
	for (unsigned int half = 0; half < 2; half++) {
		uint32_t bits = virtio_offered(&m.echo.dev, half) & (uint32_t)fuzz_bytes(in, 4);

		reg_put(VIRTIO_PCI_COMMON_GFSELECT, 4, what == 0xff ? fuzz_byte(in) % 4 : half);
		reg_put(VIRTIO_PCI_COMMON_GF, 4, what == 0xfe ? fuzz_bytes(in, 4) : bits | half);
	}
}

static void step_status(struct fuzz_input *in)
{
	static const uint8_t to[] = { 0x00, 0x01, 0x03, 0x0b, 0x0b, 0x0f, 0x0f, 0x0f };

	reg_put(VIRTIO_PCI_COMMON_STATUS, 1, fuzz_pick(in, 8) ? to[fuzz_pick(in, 8)] : fuzz_byte(in));
}

/* Set a queue up: most of the time in RAM and aligned. */
static void step_queue(struct fuzz_input *in)
{
	static const unsigned int areas[] = { VIRTIO_PCI_COMMON_Q_DESCLO, VIRTIO_PCI_COMMON_Q_AVAILLO,
					      VIRTIO_PCI_COMMON_Q_USEDLO };

	reg_put(VIRTIO_PCI_COMMON_Q_SELECT, 2, fuzz_pick(in, ECHO_QUEUES + 1));
	reg_put(VIRTIO_PCI_COMMON_Q_SIZE, 2, fuzz_pick(in, 8) ? 1u << fuzz_pick(in, 7) : fuzz_bytes(in, 2));
	reg_put(VIRTIO_PCI_COMMON_Q_MSIX, 2, fuzz_pick(in, 6));
	for (unsigned int i = 0; i < ARRAY_SIZE(areas); i++)
		reg_put(areas[i], 8, fuzz_pick(in, 16) ? fuzz_byte(in) % 64 << 10 : fuzz_bytes(in, 8));
	reg_put(VIRTIO_PCI_COMMON_Q_ENABLE, 2, fuzz_pick(in, 16) ? 1 : fuzz_byte(in));
}

static void step_memory(struct fuzz_input *in)
{
	unsigned int at = (unsigned int)fuzz_bytes(in, 2) % RAM, len = 1 + fuzz_byte(in) % 32;

	for (unsigned int i = 0; i < len && at + i < RAM; i++)
		m.ram[at + i] = fuzz_byte(in);
}

/* A descriptor and an index, so that a split queue does have something to do. */
static void step_buffer(struct fuzz_input *in)
{
	struct virtio_queue *q = &m.echo.dev.queue[fuzz_pick(in, ECHO_QUEUES)];
	uint8_t *desc = gmem_hva(&m.mem, q->setup.desc, 16), *avail = gmem_hva(&m.mem, q->setup.driver, 4);

	if (!desc || !avail)
		return;
	put_le64(desc, fuzz_bytes(in, 2));
	put_le32(desc + 8, fuzz_byte(in));
	put_le16(desc + 12, VRING_DESC_F_WRITE);
	put_le16(avail + 2, (uint16_t)(get_le16(avail + 2) + 1));
	reg_put(VIRTIO_PCI_NOTIFY + q->vq.nr * VIRTIO_PCI_NOTIFY_STEP, 2, q->vq.nr);
}

static void step_pci(struct fuzz_input *in)
{
	uint64_t at = DEVFN << 12;

	switch (fuzz_pick(in, 4)) {
	case 0:
		pci_ecam_ops.write(&m.root, at | (m.vp.func.msix.cap + PCI_MSIX_FLAGS), 2,
				   (uint64_t)fuzz_byte(in) << 8);
		break;
	case 1:
		pci_ecam_ops.write(&m.root, at | PCI_COMMAND, 2, fuzz_byte(in) | PCI_COMMAND_MASTER);
		break;
	case 2:
		pci_ecam_ops.write(&m.root, at | PCI_COMMAND, 2, fuzz_byte(in));
		break;
	default:
		pci_ecam_ops.write(&m.root, at | (m.vp.func.express + PCI_EXP_DEVCTL), 2,
				   (uint64_t)fuzz_byte(in) << 8);
	}
}

/* The host's side: news, failures to come, a pause, a save and a load of possibly damaged bytes. */
static void step_host(struct fuzz_input *in)
{
	struct buf b = { 0 };
	struct state_reader r;
	size_t at;

	switch (fuzz_pick(in, 8)) {
	case 0:
		config_put(fuzz_byte(in) % 8, fuzz_byte(in));
		break;
	case 1:
		virtio_break(&m.echo.dev, "the input says so");
		break;
	case 2:
		m.echo.queue_start_rc = fuzz_byte(in) & 1 ? -EIO : 0;
		m.echo.failing_queue = fuzz_pick(in, ECHO_QUEUES);
		break;
	case 3:
		m.echo.start_rc = fuzz_byte(in) & 1 ? -EIO : 0;
		m.echo.kernel = fuzz_byte(in) & 1;
		break;
	case 4:
		virtio_pci_dev_ops.stop(&m.vp);
		virtio_resume(&m.echo.dev);
		break;
	case 5:
		virtio_pci_dev_ops.stop(&m.vp);
		virtio_pci_dev_ops.save(&m.vp, &b);
		at = fuzz_bytes(in, 2);
		if (at < b.len)
			b.data[at] ^= fuzz_byte(in);
		r = (struct state_reader){ .data = b.data, .len = b.len };
		if (virtio_pci_dev_ops.load(&m.vp, &r, NULL) < 0)
			virtio_pci_dev_ops.reset(&m.vp);
		buf_fini(&b);
		break;
	default:
		echo_run(&m.echo);
	}
}

/* All that a sound driver does, so that later steps meet a device that runs. */
static void step_driver(struct fuzz_input *in)
{
	uint64_t features = m.echo.dev.features & ~VIRTIO_BIT(ECHO_FEATURE_REFUSED);
	uint8_t without = fuzz_byte(in);

	features &= ~((uint64_t)(without & 15) << VIRTIO_F_RING_PACKED);            /* and IN_ORDER */
	features &= ~((uint64_t)(without >> 4 & 3) << VIRTIO_RING_F_INDIRECT_DESC); /* and EVENT_IDX */
	reg_put(VIRTIO_PCI_COMMON_STATUS, 1, 0);
	for (unsigned int half = 0; half < 2; half++) {
		reg_put(VIRTIO_PCI_COMMON_GFSELECT, 4, half);
		reg_put(VIRTIO_PCI_COMMON_GF, 4, features >> (32 * half));
	}
	reg_put(VIRTIO_PCI_COMMON_STATUS, 1, 0x0b);
	for (unsigned int q = 0; q < ECHO_QUEUES; q++) {
		reg_put(VIRTIO_PCI_COMMON_Q_SELECT, 2, q);
		reg_put(VIRTIO_PCI_COMMON_Q_SIZE, 2, 16);
		reg_put(VIRTIO_PCI_COMMON_Q_MSIX, 2, q);
		reg_put(VIRTIO_PCI_COMMON_Q_DESCLO, 8, (q + 1) << 12);
		reg_put(VIRTIO_PCI_COMMON_Q_AVAILLO, 8, (q + 1) << 12 | 0x400);
		reg_put(VIRTIO_PCI_COMMON_Q_USEDLO, 8, (q + 1) << 12 | 0x800);
		reg_put(VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	}
	reg_put(VIRTIO_PCI_COMMON_STATUS, 1, 0x0f);
	FUZZ_CHECK(reg_get(VIRTIO_PCI_COMMON_STATUS, 1) & VIRTIO_CONFIG_S_DRIVER_OK);
}

static void step(struct fuzz_input *in)
{
	switch (fuzz_pick(in, 13)) {
	case 12:
		step_driver(in);
		break;
	case 0:
		step_any(in, false);
		break;
	case 1:
	case 2:
		step_any(in, true);
		break;
	case 3:
		step_features(in);
		break;
	case 4:
	case 5:
		step_status(in);
		break;
	case 6:
	case 7:
		step_queue(in);
		break;
	case 8:
		step_memory(in);
		break;
	case 9:
		step_buffer(in);
		break;
	case 10:
		step_pci(in);
		break;
	default:
		step_host(in);
	}
}

/* ---- what must hold ---- */

static void check_queue(const struct virtio_queue *q)
{
	FUZZ_CHECK(!q->running || (q->enabled && q->dev->started && q->vq.started));
	FUZZ_CHECK(!q->polled || (q->running && !q->kernel));
	FUZZ_CHECK(q->running || !q->vq.started);
	FUZZ_CHECK(q->setup.size >= 1 && q->setup.size <= ECHO_SIZE);
}

static void check_rules(void)
{
	const struct virtio_dev *d = &m.echo.dev;
	uint8_t status = (uint8_t)reg_get(VIRTIO_PCI_COMMON_STATUS, 1);

	FUZZ_CHECK(!(status & VIRTIO_CONFIG_S_DRIVER_OK) || (status & VIRTIO_CONFIG_S_FEATURES_OK));
	FUZZ_CHECK(!d->started || (status & VIRTIO_CONFIG_S_DRIVER_OK));
	FUZZ_CHECK(!(d->negotiated & ~d->features));
	FUZZ_CHECK(!!(status & VIRTIO_CONFIG_S_FEATURES_OK) == virtio_has(d, VIRTIO_F_VERSION_1));
	FUZZ_CHECK(!virtio_has(d, ECHO_FEATURE_REFUSED));
	for (unsigned int i = 0; i < ECHO_QUEUES; i++) {
		unsigned int vector = atomic_load(&m.vp.queue_vector[i]);

		check_queue(&d->queue[i]);
		FUZZ_CHECK(vector <= ECHO_QUEUES || vector == VIRTIO_NO_VECTOR);
	}
	FUZZ_CHECK(!m.echo.stops_before_queues);
	FUZZ_CHECK(m.host.line[2] == m.vp.func.intx_driven);
	/* Whoever reads the ISR hears of it: the line is up, as far as PCI lets it. */
	FUZZ_CHECK(!atomic_load(&m.vp.isr) || m.vp.func.intx_level);
}

static void check_power_on(void)
{
	struct buf now = { 0 };

	save_all(&now);
	FUZZ_CHECK(now.len == m.power_on.len && memcmp(now.data, m.power_on.data, now.len) == 0);
	buf_fini(&now);
	FUZZ_CHECK(m.echo.queue_starts == m.echo.queue_stops);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_input in = { .data = data, .len = len };

	if (!m.ram)
		machine_init();
	pci_ecam_ops.write(&m.root, DEVFN << 12 | PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	for (unsigned int i = 0; i < MAX_STEPS && in.len; i++) {
		step(&in);
		check_rules();
	}
	reset_all();
	check_power_on();
	return 0;
}
