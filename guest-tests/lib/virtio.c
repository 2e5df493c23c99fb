/* The transport's side of the driver: capabilities, BARs, registers, features, MSI-X. Rings: virtq.c. */
#include "lib/virtio.h"
#include "lib/clock.h"
#include "lib/cpu.h"
#include "lib/multiboot.h"
#include "lib/paging.h"
#include "lib/pci.h"
#include "lib/tap.h"

/* Without firmware nobody has assigned the BARs; the edu device has the 16 MiB below this. */
#define FREE_ADDRESS 0xd1000000u

/* Types of capabilities, virtio 1.2, 4.1.4. */
enum { CAP_COMMON = 1, CAP_NOTIFY = 2, CAP_ISR = 3, CAP_DEVICE = 4, CAP_PCI = 5 };
enum { PCI_VENDOR_VIRTIO = 0x1af4, PCI_DEVICE_VIRTIO = 0x1040 };
enum { CAP_ID_VENDOR = 0x09, CAP_ID_MSIX = 0x11 };
/* Their fields, struct virtio_pci_cap and, with the step between doorbells, virtio_pci_notify_cap. */
enum { CAP_NEXT = 1, CAP_TYPE = 3, CAP_BAR = 4, CAP_OFFSET = 8, CAP_BYTES = 12, CAP_STEP = 16 };

/* ---- the function ---- */

static unsigned int find_cap(uint16_t bdf, uint8_t type)
{
	unsigned int at = pci_read(bdf, PCI_CAPABILITIES, 1) & 0xfc;

	for (int tries = 0; at && tries < 48; tries++) {
		if (pci_read(bdf, at, 1) == CAP_ID_VENDOR && pci_read(bdf, at + CAP_TYPE, 1) == type)
			return at;
		at = pci_read(bdf, at + CAP_NEXT, 1) & 0xfc;
	}
	return 0;
}

int virtio_bar_of(const struct virtio *v, uint8_t cap_type, uint32_t *offset)
{
	unsigned int at = find_cap(v->bdf, cap_type);

	if (!at)
		return -1;
	*offset = pci_read(v->bdf, at + CAP_OFFSET, 4);
	return (int)pci_read(v->bdf, at + CAP_BAR, 1);
}

uint64_t virtio_bar(const struct virtio *v, unsigned int bar)
{
	uint32_t low = pci_read(v->bdf, PCI_BAR0 + 4 * bar, 4);
	uint64_t at = low & ~0xfu;

	if ((low & 6) == 4)
		at |= (uint64_t)pci_read(v->bdf, PCI_BAR0 + 4 * bar + 4, 4) << 32;
	return at;
}

static void put_bar(const struct virtio *v, unsigned int bar, uint64_t to)
{
	uint32_t low = pci_read(v->bdf, PCI_BAR0 + 4 * bar, 4);

	pci_write(v->bdf, PCI_BAR0 + 4 * bar, 4, (uint32_t)to);
	if ((low & 6) == 4)
		pci_write(v->bdf, PCI_BAR0 + 4 * bar + 4, 4, (uint32_t)(to >> 32));
}

/* Each BAR that nobody has placed gets 1 MiB of its own, for good: more than any virtio device asks for. */
static uint64_t place_bar(const struct virtio *v, unsigned int bar)
{
	uint64_t at = virtio_bar(v, bar);

	if (!at) {
		at = FREE_ADDRESS + ((uint64_t)(v->bdf >> 3) * 6 + bar) * 0x100000;
		if (multiboot_touches_ram(at, 0x100000))
			tap_bail("0x%lx is RAM, cannot put a BAR there", at);
		put_bar(v, bar, at);
	}
	if (at >> 32 && !(at >> 38))	/* beyond is where only a hostile driver puts it, and does not look */
		paging_map(at, 0x10000);
	return at;
}

/* Where the structure of a capability decodes; 0: there is none. */
static uint64_t place_structure(const struct virtio *v, uint8_t type, uint32_t *bytes)
{
	unsigned int at = find_cap(v->bdf, type);

	if (!at)
		return 0;
	*bytes = pci_read(v->bdf, at + CAP_BYTES, 4);
	return place_bar(v, pci_read(v->bdf, at + CAP_BAR, 1)) + pci_read(v->bdf, at + CAP_OFFSET, 4);
}

static void find_structures(struct virtio *v)
{
	uint32_t bytes;

	v->common = place_structure(v, CAP_COMMON, &bytes);
	v->isr = place_structure(v, CAP_ISR, &bytes);
	v->notify = place_structure(v, CAP_NOTIFY, &v->notify_bytes);
	v->config = place_structure(v, CAP_DEVICE, &v->config_bytes);
	if (!v->common || !v->isr || !v->notify)
		tap_bail("device of type %u: a capability of virtio 1.2, 4.1.4 is missing", v->type);
	v->notify_step = pci_read(v->bdf, find_cap(v->bdf, CAP_NOTIFY) + CAP_STEP, 4);
	v->window = find_cap(v->bdf, CAP_PCI);
	v->msix = pci_find_capability(v->bdf, CAP_ID_MSIX);
	if (v->msix) {
		uint32_t table = pci_read(v->bdf, v->msix + 4, 4), pending = pci_read(v->bdf, v->msix + 8, 4);

		v->nr_vectors = (pci_read(v->bdf, v->msix + 2, 2) & 0x7ff) + 1;
		v->table = place_bar(v, table & 7) + (table & ~7u);
		v->pending = place_bar(v, pending & 7) + (pending & ~7u);
	}
}

void virtio_plug(struct virtio *v)
{
	find_structures(v);
	pci_write(v->bdf, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_NO_INTX);
	virtio_msix_enable(v, false);
}

bool virtio_probe(struct virtio *v, uint16_t type, unsigned int nth)
{
	*v = (struct virtio){ .type = type };
	for (unsigned int bdf = 0; bdf < 256; bdf++) {
		if (pci_read((uint16_t)bdf, 0, 4) != ((PCI_DEVICE_VIRTIO + (uint32_t)type) << 16 | PCI_VENDOR_VIRTIO) || nth--)
			continue;
		v->bdf = (uint16_t)bdf;
		virtio_plug(v);
		virtio_put32(v, VIRTIO_DEVICE_FEATURE_SELECT, 1);
		v->offered = (uint64_t)virtio_get32(v, VIRTIO_DEVICE_FEATURE) << 32;
		virtio_put32(v, VIRTIO_DEVICE_FEATURE_SELECT, 0);
		v->offered |= virtio_get32(v, VIRTIO_DEVICE_FEATURE);
		v->nr_queues = virtio_get16(v, VIRTIO_NUM_QUEUES);
		return true;
	}
	return false;
}

void virtio_find(struct virtio *v, uint16_t type, unsigned int nth)
{
	if (!virtio_probe(v, type, nth))
		tap_skip_all("no virtio device 1af4:%x on bus 0", PCI_DEVICE_VIRTIO + type);
}

void virtio_move_bar(struct virtio *v, unsigned int bar, uint64_t to)
{
	put_bar(v, bar, to);
	find_structures(v);
}

/* ---- registers ---- */

uint8_t virtio_get8(const struct virtio *v, unsigned int reg)
{
	return cpu_read8(v->common + reg);
}

uint16_t virtio_get16(const struct virtio *v, unsigned int reg)
{
	return cpu_read16(v->common + reg);
}

uint32_t virtio_get32(const struct virtio *v, unsigned int reg)
{
	return cpu_read32(v->common + reg);
}

void virtio_put8(const struct virtio *v, unsigned int reg, uint8_t value)
{
	cpu_write8(v->common + reg, value);
}

void virtio_put16(const struct virtio *v, unsigned int reg, uint16_t value)
{
	cpu_write16(v->common + reg, value);
}

void virtio_put32(const struct virtio *v, unsigned int reg, uint32_t value)
{
	cpu_write32(v->common + reg, value);
}

void virtio_put64(const struct virtio *v, unsigned int reg, uint64_t value)
{
	virtio_put32(v, reg, (uint32_t)value);
	virtio_put32(v, reg + 4, (uint32_t)(value >> 32));
}

uint8_t virtio_status(const struct virtio *v)
{
	return virtio_get8(v, VIRTIO_STATUS);
}

/* ---- the way up, virtio 1.2, 3.1.1 ---- */

bool virtio_reset(struct virtio *v)
{
	v->features = 0;
	virtio_put8(v, VIRTIO_STATUS, 0);
	return CLOCK_WAIT_FOR(virtio_status(v) == 0, CLOCK_MS(2000));
}

void virtio_put_features(struct virtio *v, uint64_t features)
{
	virtio_put32(v, VIRTIO_DRIVER_FEATURE_SELECT, 0);
	virtio_put32(v, VIRTIO_DRIVER_FEATURE, (uint32_t)features);
	virtio_put32(v, VIRTIO_DRIVER_FEATURE_SELECT, 1);
	virtio_put32(v, VIRTIO_DRIVER_FEATURE, (uint32_t)(features >> 32));
}

bool virtio_negotiate(struct virtio *v, uint64_t wanted)
{
	if (!virtio_reset(v))
		return false;
	virtio_put8(v, VIRTIO_STATUS, VIRTIO_ACKNOWLEDGE);
	virtio_put8(v, VIRTIO_STATUS, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
	v->features = v->offered & (wanted | VIRTIO_F_VERSION_1);
	virtio_put_features(v, v->features);
	virtio_put8(v, VIRTIO_STATUS, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK);
	return virtio_status(v) & VIRTIO_FEATURES_OK;
}

void virtio_driver_ok(struct virtio *v)
{
	virtio_put8(v, VIRTIO_STATUS, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK);
}

/* ---- MSI-X ---- */

void virtio_msix_enable(const struct virtio *v, bool on)
{
	if (v->msix)
		pci_write(v->bdf, v->msix + 2, 2, on ? 0x8000 : 0);
}

void virtio_msix_route(const struct virtio *v, unsigned int entry, uint64_t address, uint32_t data, bool masked)
{
	uint64_t at = v->table + 16 * entry;

	cpu_write32(at + 12, 1);
	cpu_write32(at, (uint32_t)address);
	cpu_write32(at + 4, (uint32_t)(address >> 32));
	cpu_write32(at + 8, data);
	if (!masked)
		cpu_write32(at + 12, 0);
}

bool virtio_msix_pending(const struct virtio *v, unsigned int entry)
{
	return cpu_read32(v->pending + 4 * (entry / 32)) >> (entry % 32) & 1;
}
