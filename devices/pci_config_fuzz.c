/*
 * Fuzz target: a guest at the configuration space of a root with a virtio function, the edu device and the
 * host bridge, through ECAM and ports: BARs that move and overlap, decoding off and on, MSI-X tables full of
 * anything, INTx, D3hot, function-level resets, and accesses to whatever is mapped meanwhile.
 *
 * After each step what is decoded must be what the registers say, and after a reset everything must be as
 * at power-on. It does not prove what KVM does with routes and ioeventfds, nor anything about two vCPUs at once.
 */
#define VIRTIO_PCI_NO_LEGACY

#include <linux/virtio_pci.h>
#include <stdlib.h>

#include "devices/edu.h"
#include "devices/fuzz_host.h"
#include "devices/virtio/virtio_pci.h"
#include "devices/virtio/virtio_rig.h"
#include "vmm/base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { RAM = 64 << 10, EDU = PCI_DEVFN(1, 0), VIRTIO = PCI_DEVFN(2, 0), MAX_STEPS = 400 };

static struct machine {
	struct fuzz_host host;
	struct pci_root root;
	struct gmem mem;
	uint8_t *ram;
	struct edu edu;
	struct echo echo;
	struct virtio_pci vp;
	struct buf power_on; /* saved state of it all */
} m;

static void save_all(struct buf *b)
{
	pci_root_ops.save(&m.root, b);
	virtio_pci_dev_ops.save(&m.vp, b);
	edu_dev_ops.save(&m.edu, b);
	FUZZ_CHECK(buf_status(b) == 0);
}

static void reset_all(void)
{
	pci_root_ops.reset(&m.root);
	virtio_pci_dev_ops.reset(&m.vp);
	edu_dev_ops.reset(&m.edu);
	FUZZ_CHECK(pci_root_assign(&m.root, NULL) == 0);
	memset(m.ram, 0, RAM);
}

/* Once: all inputs meet the same machine, as a reset leaves it. */
static void machine_init(void)
{
	log_set_level(LOG_ERROR);
	fuzz_host_init(&m.host, &m.root);
	m.ram = aligned_alloc(4096, RAM);
	FUZZ_CHECK(m.ram && gmem_add(&m.mem, 0, RAM, m.ram, NULL) == 0);
	FUZZ_CHECK(edu_init(&m.edu, &m.mem, &m.host.host, NULL) == 0);
	FUZZ_CHECK(echo_init(&m.echo, &m.mem, ECHO_QUEUES) == 0);
	m.echo.dev.no_threads = true;
	FUZZ_CHECK(virtio_pci_init(&m.vp, &m.echo.dev, &m.host.host, 0x00ff00, NULL) == 0);
	FUZZ_CHECK(pci_root_add(&m.root, EDU, &m.edu.func, NULL) == 0);
	FUZZ_CHECK(pci_root_add(&m.root, VIRTIO, &m.vp.func, NULL) == 0);
	reset_all();
	save_all(&m.power_on);
}

/* ---- what the guest does ---- */

static unsigned int pick_devfn(struct fuzz_input *in)
{
	static const unsigned int devfns[] = { VIRTIO, VIRTIO, VIRTIO, EDU, EDU, 0, PCI_DEVFN(2, 1), 255 };

	return devfns[fuzz_pick(in, ARRAY_SIZE(devfns))];
}

/* Mostly a register that does something. */
static unsigned int pick_reg(struct fuzz_input *in)
{
	const struct pci_func *f = &m.vp.func;
	const unsigned int regs[] = {
		PCI_COMMAND,
		PCI_COMMAND,
		PCI_BASE_ADDRESS_0,
		PCI_BASE_ADDRESS_1,
		PCI_BASE_ADDRESS_2,
		PCI_BASE_ADDRESS_3,
		PCI_INTERRUPT_LINE,
		f->msix.cap + PCI_MSIX_FLAGS,
		f->pm + PCI_PM_CTRL,
		f->express + PCI_EXP_DEVCTL,
		m.edu.func.express + PCI_EXP_DEVCTL,
		m.edu.func.msi.cap + PCI_MSI_FLAGS,
		m.edu.func.msi.cap + PCI_MSI_ADDRESS_LO,
		m.vp.window + VIRTIO_PCI_CAP_BAR,
		m.vp.window + VIRTIO_PCI_CAP_OFFSET,
		m.vp.window + VIRTIO_PCI_CAP_LENGTH,
		m.vp.window + (unsigned int)sizeof(struct virtio_pci_cap),
	};
	unsigned int n = fuzz_byte(in);

	return n < 240 ? regs[n % ARRAY_SIZE(regs)] : (unsigned int)fuzz_bytes(in, 2) & 0xfff;
}

static uint64_t pick_val(struct fuzz_input *in)
{
	switch (fuzz_pick(in, 8)) {
	case 0:
		return MAP_PCI32_BASE + (fuzz_bytes(in, 2) << 12);
	case 1:
		return FUZZ_HIGH_BASE >> 32;
	case 2:
		return UINT64_MAX;
	case 3:
		return PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	case 4:
		return (uint64_t)fuzz_byte(in) << 8; /* enables of MSI-X, FLR */
	case 5:
		return fuzz_byte(in);
	default:
		return fuzz_bytes(in, 8);
	}
}

static void step_ecam(struct fuzz_input *in, bool write)
{
	uint64_t at = (uint64_t)pick_devfn(in) << 12 | pick_reg(in);
	unsigned int size = 1u << fuzz_pick(in, 4);

	if (fuzz_byte(in) == 0xff)
		at += fuzz_bytes(in, 4) & ((256 << 20) - 1); /* other buses */
	if (write)
		pci_ecam_ops.write(&m.root, at, size, pick_val(in));
	else
		(void)pci_ecam_ops.read(&m.root, at, size);
}

static void step_ports(struct fuzz_input *in)
{
	uint32_t addr = 0x80000000 | pick_devfn(in) << 8 | (pick_reg(in) & 0xff);
	unsigned int off = fuzz_pick(in, 4), size = 1u << fuzz_pick(in, 3);

	pci_addr_ops.write(&m.root, fuzz_byte(in) == 0xff, 4, addr);
	(void)pci_addr_ops.read(&m.root, 0, 4);
	pci_data_ops.write(&m.root, off, size, pick_val(in));
	(void)pci_data_ops.read(&m.root, off, size);
}

/* Anywhere in anything that is mapped: registers, doorbells, MSI-X tables. */
static void step_mapped(struct fuzz_input *in)
{
	unsigned int n = fuzz_byte(in), size = 1u << fuzz_pick(in, 4);
	uint64_t gpa;

	if (!m.host.nr_win)
		return;
	gpa = m.host.win[n % m.host.nr_win].base + fuzz_bytes(in, 2) % m.host.win[n % m.host.nr_win].len;
	if (fuzz_byte(in) & 1)
		fuzz_mmio_write(&m.host, gpa, size, pick_val(in));
	else
		(void)fuzz_mmio_read(&m.host, gpa, size);
}

/* What a driver does to get the virtio device going, so that later steps meet it running. */
static void step_driver(void)
{
	uint64_t bar = pci_ecam_ops.read(&m.root, VIRTIO << 12 | PCI_BASE_ADDRESS_0, 8) & ~15ull;
	static const struct {
		unsigned int off, size;
		uint64_t val;
	} put[] = {
		{ VIRTIO_PCI_COMMON_GFSELECT, 4, 1 },       { VIRTIO_PCI_COMMON_GF, 4, 1 },
		{ VIRTIO_PCI_COMMON_STATUS, 1, 0x0b },      { VIRTIO_PCI_COMMON_Q_SELECT, 2, 0 },
		{ VIRTIO_PCI_COMMON_Q_MSIX, 2, 1 },         { VIRTIO_PCI_COMMON_Q_DESCLO, 8, 0x1000 },
		{ VIRTIO_PCI_COMMON_Q_AVAILLO, 8, 0x2000 }, { VIRTIO_PCI_COMMON_Q_USEDLO, 8, 0x3000 },
		{ VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1 },       { VIRTIO_PCI_COMMON_STATUS, 1, 0x0f },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(put); i++)
		fuzz_mmio_write(&m.host, bar + put[i].off, put[i].size, put[i].val);
	/* One buffer more, of 64 bytes. */
	put_le64(m.ram + 0x1000, 0x4000);
	put_le32(m.ram + 0x1008, 64);
	put_le16(m.ram + 0x100c, VRING_DESC_F_WRITE);
	put_le16(m.ram + 0x2002, (uint16_t)(get_le16(m.ram + 0x2002) + 1));
	fuzz_mmio_write(&m.host, bar + VIRTIO_PCI_NOTIFY, 2, 0);
}

static void step(struct fuzz_input *in)
{
	switch (fuzz_pick(in, 12)) {
	case 0:
		step_ecam(in, false);
		break;
	case 1:
	case 2:
		step_ports(in);
		break;
	case 3:
	case 4:
		step_mapped(in);
		break;
	case 5:
		step_driver();
		break;
	case 6:
		echo_run(&m.echo);
		break;
	case 7:
		m.host.refuse = fuzz_byte(in) & 1;
		break;
	default:
		step_ecam(in, true);
	}
}

/* ---- what must hold ---- */

static unsigned int check_func(unsigned int devfn, const struct pci_func *f, uint32_t id)
{
	unsigned int command = (unsigned int)pci_ecam_ops.read(&m.root, devfn << 12 | PCI_COMMAND, 2);
	unsigned int mapped = 0;

	FUZZ_CHECK((uint32_t)pci_ecam_ops.read(&m.root, devfn << 12, 4) == id);
	FUZZ_CHECK(atomic_load(&f->bus_master) == !!(command & PCI_COMMAND_MASTER));
	for (unsigned int n = 0; n < PCI_NR_BARS; n++) {
		const struct pci_bar *b = &f->bar[n];

		if (!b->mapped)
			continue;
		mapped++;
		FUZZ_CHECK(command & PCI_COMMAND_MEMORY);
		FUZZ_CHECK(b->addr % b->size == 0);
		FUZZ_CHECK(
			(uint32_t)b->addr ==
			((uint32_t)pci_ecam_ops.read(&m.root, devfn << 12 | (PCI_BASE_ADDRESS_0 + 4 * n), 4) &
			 ~15u));
	}
	return mapped;
}

static void check_rules(void)
{
	unsigned int mapped = check_func(EDU, &m.edu.func, 0x11e81234);

	mapped += check_func(VIRTIO, &m.vp.func, (0x1040u + ECHO_TYPE) << 16 | 0x1af4);
	FUZZ_CHECK(mapped == m.host.nr_win);
	FUZZ_CHECK(m.host.nr_bell <= ECHO_QUEUES + 1u);
	FUZZ_CHECK(m.host.line[1] == m.edu.func.intx_driven && m.host.line[2] == m.vp.func.intx_driven);
}

static void check_power_on(void)
{
	struct buf now = { 0 };

	save_all(&now);
	FUZZ_CHECK(now.len == m.power_on.len && memcmp(now.data, m.power_on.data, now.len) == 0);
	buf_fini(&now);
	FUZZ_CHECK(m.echo.queue_starts == m.echo.queue_stops && !m.echo.stops_before_queues);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_input in = { .data = data, .len = len };

	if (!m.ram)
		machine_init();
	for (unsigned int i = 0; i < MAX_STEPS && in.len; i++) {
		step(&in);
		check_rules();
	}
	m.host.refuse = false;
	reset_all();
	check_power_on();
	return 0;
}
