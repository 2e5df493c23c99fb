/*
 * The devices: made, put at their ports and addresses, wired to their lines. The numbers are in
 * vmm/base/map.h; what the firmware tables say about them is firmware/acpi_dsdt.c's business.
 */
#include <errno.h>
#include <linux/pci.h>

#include "vmm/base/log.h"
#include "vmm/base/map.h"
#include "vmm/machine.h"

/* ---- what devices are offered ---- */

static void host_stop(void *ctx, enum stop_reason why, int value)
{
	machine_stop(ctx, why, value);
}

static int host_mmio_add(void *ctx, uint64_t gpa, uint64_t len, const struct io_ops *ops, void *dev, const char *name)
{
	struct machine *m = ctx;

	return bus_add(&m->mmio, gpa, len, ops, dev, name, NULL);
}

static void host_mmio_remove(void *ctx, uint64_t gpa, uint64_t len)
{
	struct machine *m = ctx;

	bus_remove(&m->mmio, gpa, len);
}

static int host_pio_add(void *ctx, uint64_t port, uint64_t len, const struct io_ops *ops, void *dev, const char *name)
{
	struct machine *m = ctx;

	return bus_add(&m->pio, port, len, ops, dev, name, NULL);
}

static void host_pio_remove(void *ctx, uint64_t port, uint64_t len)
{
	struct machine *m = ctx;

	bus_remove(&m->pio, port, len);
}

static int host_msi_open(void *ctx, struct msi_vector *v)
{
	struct machine *m = ctx;

	return irqs_msi_open(&m->irqs, v);
}

static void host_msi_close(void *ctx, struct msi_vector *v)
{
	struct machine *m = ctx;

	irqs_msi_close(&m->irqs, v);
}

static int host_msi_set(void *ctx, struct msi_vector *v, uint64_t addr, uint32_t data)
{
	struct machine *m = ctx;

	return irqs_msi_set(&m->irqs, v, addr, data);
}

static void host_msi_mask(void *ctx, struct msi_vector *v)
{
	struct machine *m = ctx;

	irqs_msi_mask(&m->irqs, v);
}

static int host_doorbell(void *ctx, bool add, uint64_t gpa, unsigned int len, int fd)
{
	struct machine *m = ctx;
	struct kvm_ioeventfd arg = {
		.addr = gpa, .len = len, .fd = fd, .flags = add ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN,
	};

	return kvm_ioctl(m->kvm.vm_fd, KVM_IOEVENTFD, &arg) < 0 ? -errno : 0;
}

static const struct dev_host host_ops = {
	.stop = host_stop,
	.mmio_add = host_mmio_add,
	.mmio_remove = host_mmio_remove,
	.pio_add = host_pio_add,
	.pio_remove = host_pio_remove,
	.msi_open = host_msi_open,
	.msi_close = host_msi_close,
	.msi_set = host_msi_set,
	.msi_mask = host_msi_mask,
	.doorbell = host_doorbell,
};

/* ---- plugging ---- */

int machine_plug(struct machine *m, const char *name, const struct dev_ops *ops, void *dev, void (*fini)(void *dev),
		 struct err *e)
{
	if (m->nr_devices == MACHINE_MAX_DEVICES) {
		fini(dev);
		return err_set(e, -ENOSPC, "%s: more than %d devices", name, MACHINE_MAX_DEVICES);
	}
	m->device[m->nr_devices++] = (struct machine_device){ .name = name, .ops = ops, .dev = dev, .fini = fini };
	return 0;
}

static void console_quits(void *ctx)
{
	machine_stop(ctx, STOP_QUIT, 0);
}

enum chardev_kind machine_stream_kind(enum stream_mode mode)
{
	static const enum chardev_kind kind[] = {
		[STREAM_STDIO] = CHARDEV_STDIO, [STREAM_FILE] = CHARDEV_FILE, [STREAM_PTY] = CHARDEV_PTY,
		[STREAM_UNIX] = CHARDEV_UNIX,
	};

	return kind[mode];
}

static int console_open(struct machine *m, unsigned int i, const char *label, struct err *e)
{
	const struct stream_option *s = &m->opts->serial[i];
	const struct chardev_escape escape = { .ctx = m, .quit = console_quits };

	if (s->mode == STREAM_NONE)
		return 0;
	return chardev_init(&m->chr[i], machine_stream_kind(s->mode), s->path, label, m->loop,
			    s->mode == STREAM_STDIO ? &escape : NULL, e);
}

static void unplug_serial(void *dev)
{
	serial_fini(dev);
}

static int plug_serial(struct machine *m, struct err *e)
{
	static const struct {
		const char *name;
		uint16_t port;
		unsigned int gsi, source;
	} com[MAX_SERIALS] = {
		{ "COM1", PORT_COM1, GSI_COM1, 0 },
		{ "COM2", PORT_COM2, GSI_COM2, 0 },
		{ "COM3", PORT_COM3, GSI_COM1, 1 },
		{ "COM4", PORT_COM4, GSI_COM2, 1 },
	};

	for (unsigned int i = 0; i < m->opts->nr_serials; i++) {
		struct chardev *chr = m->opts->serial[i].mode == STREAM_NONE ? NULL : &m->chr[i];
		struct irq_line irq = irqs_line(&m->irqs, com[i].gsi, com[i].source);
		int rc;

		if ((rc = console_open(m, i, com[i].name, e)) < 0 ||
		    (rc = serial_init(&m->com[i], irq, chr, m->loop, com[i].name, e)) < 0 ||
		    (rc = machine_plug(m, com[i].name, &serial_dev_ops, &m->com[i], unplug_serial, e)) < 0)
			return rc;
		m->nr_coms++;
		rc = bus_add(&m->pio, com[i].port, SERIAL_WINDOW, &serial_io_ops, &m->com[i], com[i].name, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static void unplug_ioapic(void *dev)
{
	ioapic_fini(dev);
}

static void unplug_pic(void *dev)
{
	i8259_fini(dev);
}

static void unplug_pit(void *dev)
{
	i8254_fini(dev);
}

/* The controllers and the timer that KVM does not have in a split machine (vmm/irq.h). Before all other devices. */
static int plug_interrupt_chips(struct machine *m, struct err *e)
{
	const struct ioapic_host messages = irqs_ioapic_host(&m->irqs);
	int rc;

	ioapic_init(&m->ioapic, &messages);
	if ((rc = machine_plug(m, "ioapic", &ioapic_dev_ops, &m->ioapic, unplug_ioapic, e)) < 0)
		return rc;
	i8259_init(&m->pic, irqs_intr_line(&m->irqs));
	if ((rc = machine_plug(m, "pic", &i8259_dev_ops, &m->pic, unplug_pic, e)) < 0)
		return rc;
	irqs_attach_chips(&m->irqs, &m->ioapic, &m->pic);
	if ((rc = i8254_init(&m->pit, irqs_line(&m->irqs, 0, 0), m->loop, e)) < 0 ||
	    (rc = machine_plug(m, "pit", &i8254_dev_ops, &m->pit, unplug_pit, e)) < 0 ||
	    (rc = bus_add(&m->mmio, MAP_IOAPIC_BASE, IOAPIC_WINDOW, &ioapic_io_ops, &m->ioapic, "ioapic", e)) < 0 ||
	    (rc = bus_add(&m->pio, PORT_PIC_MASTER, I8259_WINDOW, &i8259_master_io_ops, &m->pic, "pic", e)) < 0 ||
	    (rc = bus_add(&m->pio, PORT_PIC_SLAVE, I8259_WINDOW, &i8259_slave_io_ops, &m->pic, "slave pic", e)) < 0 ||
	    (rc = bus_add(&m->pio, PORT_PIC_ELCR, I8259_WINDOW, &i8259_elcr_io_ops, &m->pic, "elcr", e)) < 0 ||
	    (rc = bus_add(&m->pio, PORT_PIT, I8254_WINDOW, &i8254_io_ops, &m->pit, "pit", e)) < 0)
		return rc;
	return bus_add(&m->pio, PORT_PORT61, 1, &i8254_port61_io_ops, &m->pit, "port 61", e);
}

static void unplug_rtc(void *dev)
{
	rtc_fini(dev);
}

static int plug_rtc(struct machine *m, struct err *e)
{
	int rc = rtc_init(&m->rtc, irqs_line(&m->irqs, GSI_RTC, 0), m->loop, NULL, m->mem.low_bytes, m->mem.high_bytes, e);

	if (rc < 0 || (rc = machine_plug(m, "rtc", &rtc_dev_ops, &m->rtc, unplug_rtc, e)) < 0)
		return rc;
	return bus_add(&m->pio, PORT_RTC, RTC_WINDOW, &rtc_io_ops, &m->rtc, "rtc", e);
}

static void unplug_i8042(void *dev)
{
	i8042_fini(dev);
}

static int plug_i8042(struct machine *m, struct err *e)
{
	int rc;

	i8042_init(&m->i8042, irqs_line(&m->irqs, GSI_I8042, 0), &m->host);
	if ((rc = machine_plug(m, "i8042", &i8042_dev_ops, &m->i8042, unplug_i8042, e)) < 0 ||
	    (rc = bus_add(&m->pio, PORT_I8042_DATA, 1, &i8042_data_io_ops, &m->i8042, "i8042", e)) < 0 ||
	    (rc = bus_add(&m->pio, PORT_I8042_CMD, 1, &i8042_cmd_io_ops, &m->i8042, "i8042", e)) < 0)
		return rc;
	return bus_add(&m->pio, PORT_PORT92, 1, &i8042_port92_io_ops, &m->i8042, "port 92", e);
}

static void unplug_pm(void *dev)
{
	pm_fini(dev);
}

static int plug_pm(struct machine *m, struct err *e)
{
	int rc = pm_init(&m->pm, irqs_line(&m->irqs, GSI_SCI, 0), &m->host, m->loop, e);

	if (rc < 0 || (rc = machine_plug(m, "pm", &pm_dev_ops, &m->pm, unplug_pm, e)) < 0 ||
	    (rc = bus_add(&m->pio, PORT_PM_EVT, PM_EVT_WINDOW, &pm_evt_io_ops, &m->pm, "pm1 events", e)) < 0 ||
	    (rc = bus_add(&m->pio, PORT_PM_CNT, PM_CNT_WINDOW, &pm_cnt_io_ops, &m->pm, "pm1 control", e)) < 0 ||
	    (rc = bus_add(&m->pio, PORT_PM_TMR, PM_TMR_WINDOW, &pm_tmr_io_ops, &m->pm, "pm timer", e)) < 0)
		return rc;
	return bus_add(&m->pio, PORT_GPE0, GPE0_LEN, &pm_gpe_io_ops, &m->pm, "gpe0", e);
}

static void first_post_code(void *ctx, uint64_t ns)
{
	struct machine *m = ctx;

	(void)ns;
	timing_mark(&m->timing, TIMING_GUEST);
	if (m->opts->timing)
		timing_print(&m->timing);
}

static void unplug_reset_port(void *dev)
{
	reset_port_fini(dev);
}

static void unplug_pvpanic(void *dev)
{
	pvpanic_fini(dev);
}

static void unplug_post(void *dev)
{
	post_fini(dev);
}

static void unplug_debug_exit(void *dev)
{
	(void)dev; /* it has nothing to release */
}

/* Small ones that only listen at a port. */
static int plug_ports(struct machine *m, struct err *e)
{
	int rc;

	reset_port_init(&m->reset, &m->host);
	if ((rc = machine_plug(m, "reset", &reset_port_dev_ops, &m->reset, unplug_reset_port, e)) < 0 ||
	    (rc = bus_add(&m->pio, PORT_RESET, 1, &reset_port_io_ops, &m->reset, "reset", e)) < 0)
		return rc;
	pvpanic_init(&m->pvpanic, &m->host);
	if ((rc = machine_plug(m, "pvpanic", &pvpanic_dev_ops, &m->pvpanic, unplug_pvpanic, e)) < 0 ||
	    (rc = bus_add(&m->pio, PORT_PVPANIC, 1, &pvpanic_io_ops, &m->pvpanic, "pvpanic", e)) < 0)
		return rc;
	post_init(&m->post, m->timing.at_ns[TIMING_MAIN], first_post_code, m);
	if ((rc = machine_plug(m, "post", &post_dev_ops, &m->post, unplug_post, e)) < 0 ||
	    (rc = bus_add(&m->pio, PORT_POST, 1, &post_io_ops, &m->post, "post", e)) < 0)
		return rc;
	if (!m->opts->debug_exit)
		return 0;
	debug_exit_init(&m->debug_exit, &m->host);
	if ((rc = machine_plug(m, "isa-debug-exit", &debug_exit_dev_ops, &m->debug_exit, unplug_debug_exit, e)) < 0)
		return rc;
	return bus_add(&m->pio, m->opts->debug_exit_port, DEBUG_EXIT_WINDOW, &debug_exit_io_ops, &m->debug_exit,
		       "isa-debug-exit", e);
}

static void unplug_pci(void *dev)
{
	pci_root_fini(dev);
}

static void unplug_edu(void *dev)
{
	edu_fini(dev);
}

static int plug_pci(struct machine *m, struct err *e)
{
	const struct platform *p = &m->platform;
	const struct pci_windows windows = {
		.mem32_base = p->pci32_base, .mem32_len = p->pci32_len, .mem64_base = p->pci64_base,
		.mem64_len = p->pci64_len, .io_base = MAP_PCI_IO_BASE, .io_len = MAP_PCI_IO_LEN,
	};
	struct irq_line line[PCI_NR_LINES];
	int rc;

	for (unsigned int i = 0; i < PCI_NR_LINES; i++)
		line[i] = irqs_line(&m->irqs, GSI_PCI_BASE + i, 0);
	pci_root_init(&m->pci, &m->host, &windows, line);
	if ((rc = machine_plug(m, "pci", &pci_root_ops, &m->pci, unplug_pci, e)) < 0 ||
	    (rc = bus_add(&m->mmio, MAP_ECAM_BASE, MAP_ECAM_BUSES * MIB, &pci_ecam_ops, &m->pci, "ecam", e)) < 0 ||
	    (rc = bus_add_exact(&m->pio, PORT_PCI_ADDR, 4, &pci_addr_ops, &m->pci, "pci address", e)) < 0 ||
	    (rc = bus_add(&m->pio, PORT_PCI_DATA, 4, &pci_data_ops, &m->pci, "pci data", e)) < 0)
		return rc;
	if (!m->opts->test_device)
		return 0;
	if ((rc = edu_init(&m->edu, &m->mem.gmem, &m->host, e)) < 0 ||
	    (rc = machine_plug(m, "edu", &edu_dev_ops, &m->edu, unplug_edu, e)) < 0)
		return rc;
	return pci_root_add(&m->pci, PCI_DEVFN(1, 0), &m->edu.func, e);
}

int machine_plug_devices(struct machine *m, struct err *e)
{
	int rc;

	m->host = host_ops;
	m->host.ctx = m;
	if (m->irqs.split && (rc = plug_interrupt_chips(m, e)) < 0)
		return rc;
	if ((rc = plug_serial(m, e)) < 0 || (rc = plug_rtc(m, e)) < 0 || (rc = plug_i8042(m, e)) < 0 ||
	    (rc = plug_pm(m, e)) < 0 || (rc = plug_ports(m, e)) < 0 || (rc = plug_pci(m, e)) < 0)
		return rc;
	return machine_plug_virtio(m, e);
}

void machine_unplug_devices(struct machine *m)
{
	while (m->nr_devices) {
		const struct machine_device *d = &m->device[--m->nr_devices];

		d->fini(d->dev);
	}
	machine_virtio_end(m);
	m->nr_coms = 0;
	for (unsigned int i = 0; i < MAX_SERIALS; i++)
		chardev_fini(&m->chr[i]);
}

int machine_drain_consoles(struct machine *m, struct err *e)
{
	int rc = 0;

	for (unsigned int i = 0; i < m->nr_coms; i++) {
		uint64_t busy = serial_lost_bytes(&m->com[i]);
		size_t left = m->com[i].chr ? chardev_drain(&m->chr[i], 1000) : 0;

		if (busy)
			log_warn("COM%u: the guest wrote %llu bytes while the port was busy; they are lost", i + 1,
				 (unsigned long long)busy);
		if (left)
			rc = err_set(e, -EIO, "COM%u: the last %zu bytes of output could not be written to %s", i + 1, left,
				     m->chr[i].path ? m->chr[i].path : "standard output");
	}
	return rc;
}
