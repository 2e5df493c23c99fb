/*
 * The recipe: everything the guest will see, in order. What a step does is in the file of its name.
 */
#include "vmm/machine.h"

#include <errno.h>
#include <stdlib.h>

#include "vmm/base/log.h"
#include "vmm/base/map.h"
#include "vmm/boot.h"
#include "vmm/cpu/check.h"
#include "vmm/fault.h"
#include "vmm/kvm_stats.h"
#include "vmm/machine_internal.h"

static int open_files(struct machine *m, struct err *e)
{
	int rc = image_open(&m->kernel, m->opts->kernel, "kernel", e);

	for (unsigned int i = 0; rc == 0 && i < m->opts->nr_initrds; i++) {
		rc = image_open(&m->initrd[i], m->opts->initrd[i].path, "initrd", e);
		m->initrd_args[i] = m->opts->initrd[i].args;
		if (rc == 0)
			m->nr_initrds++;
	}
	return rc;
}

int machine_build_processors(struct machine *m, const struct model_host *host, struct err *e)
{
	uint64_t from_ns = clock_now_ns();
	int rc = processors_complete(&m->procs, host, false, e);

	timing_add(&m->timing, TIMING_CPUID, from_ns);
	for (unsigned int i = 0; rc == 0 && i < m->procs.notes.nr; i++)
		log_info("%s", m->procs.notes.text[i]);
	return rc;
}

int machine_ask_kvm(struct machine *m, struct err *e)
{
	struct cpuid_table *table = calloc(1, sizeof(*table));
	struct model_host host = { .table = table, .is_kvm = true, .tsc_deadline = m->kvm.tsc_deadline };
	int rc = table ? cpuid_read_kvm(m->kvm.fd, table, e) : err_set(e, -ENOMEM, "out of memory");

	if (rc == 0) {
		host.ring0_interpreted = cpuid_ring0_interpreted();
		rc = machine_build_processors(m, &host, e);
	}
	free(table);
	return rc;
}

/* Does this host have what the user asked for? */
static int host_open(struct machine *m, struct err *e)
{
	int rc;

	if ((rc = kvm_open(&m->kvm, e)) < 0 || (rc = machine_ask_kvm(m, e)) < 0 || (rc = machine_check_vcpus(m, e)) < 0)
		return rc;
	return machine_check_ram(m, e);
}

/* The limit first: pages stay with the group that was charged for them. */
static int memory_build(struct machine *m, struct err *e)
{
	const struct memory_options *o = &m->opts->cpu.memory;
	int rc = 0;

	if (o->hard_limit_bytes)
		rc = cgroup_init(&m->cgroup, "", m->opts->name, o->hard_limit_bytes, e);
	if (rc < 0 || (rc = memory_open(&m->mem, o, m->procs.ram_bytes, &m->procs.topo, e)) < 0)
		return rc;
	fault_init(&m->mem.gmem);
	return memory_attach(&m->mem, &m->kvm, e);
}

/*
 * Who runs where. The main thread goes to its place only when all others are made, as they inherit it; I/O threads
 * may be made by a pinned vCPU, so they are told where to be even when nobody said it.
 */
static int pins_build(struct machine *m, struct err *e)
{
	struct notes problems = { .nr = 0 };
	int rc = pin_plan(&m->pins, &m->opts->cpu.pin, &m->procs.topo, "", &problems);

	if (rc == 0 && m->opts->cpu.pin.said) {
		affinity_set_io(m->pins.io);
	} else if (rc < 0 && problems.nr) {
		notes_to_err(&problems, e);
	} else if (rc < 0) {
		err_set(e, rc, "out of memory");
	}
	notes_fini(&problems);
	return rc;
}

static void vcpu_stops_machine(void *ctx, enum stop_reason why, int value)
{
	machine_stop(ctx, why, value);
}

static void report_post_code(void *ctx, const struct post_code *code)
{
	(void)ctx;
	log_error("  post code %02x at %llu us, %llu times", code->value, (unsigned long long)(code->ns / 1000),
		  (unsigned long long)code->repeats);
}

static void report_post_codes(void *ctx)
{
	struct machine *m = ctx;

	post_each(&m->post, report_post_code, NULL);
}

static int vcpus_build(struct machine *m, struct err *e)
{
	const struct vcpus_config cfg = {
		.kvm = &m->kvm, .pio = &m->pio, .mmio = &m->mmio, .mem = &m->mem.gmem, .irqs = &m->irqs, .topo = &m->procs.topo,
		.procs = &m->procs, .pins = &m->pins, .owner = { .ctx = m, .stop = vcpu_stops_machine, .report = report_post_codes },
	};
	int rc = vcpus_init(&m->vcpus, &cfg, e);

	m->timing.part_ns[TIMING_CPUID] += m->vcpus.cpuid_ns;
	m->timing.part_ns[TIMING_SET_CPUID] += m->vcpus.set_cpuid_ns;
	return rc < 0 ? rc : vcpus_power_on(&m->vcpus, e);
}

int machine_describe_platform(struct machine *m, struct err *e)
{
	struct platform *p = &m->platform;

	tables_describe(p, &m->procs);
	p->name = m->opts->name;
	memcpy(p->uuid, m->opts->uuid, sizeof(p->uuid));
	for (unsigned int i = 0; i < MAX_SERIALS; i++)
		p->com_present[i] = i < m->opts->nr_serials;
	p->pvpanic_present = true;
	return tables_plan(&m->tables, p, &m->mem, e);
}

/* Say where what guests will read tells different shapes: overrides and odd layouts can bring that about. */
static void tell_findings(struct machine *m)
{
	const struct tables *t = &m->tables;
	const uint8_t *acpi = gmem_hva(&m->mem.gmem, t->acpi_base, t->acpi_bytes);
	const uint8_t *smbios = gmem_hva(&m->mem.gmem, t->smbios_base, t->smbios_bytes);
	struct findings f = { .nr = 0 };
	uint64_t from_ns = clock_now_ns();

	check_cpuid(&m->procs, &f);
	check_tables(&m->procs, acpi, t->acpi_bytes, smbios, t->smbios_bytes, &f);
	timing_add(&m->timing, TIMING_CHECK, from_ns);
	findings_log(&f);
	findings_fini(&f);
}

struct boot_request machine_boot_request(const struct machine *m)
{
	return (struct boot_request){
		.kernel = &m->kernel, .initrds = m->initrd, .initrd_args = m->initrd_args, .nr_initrds = m->nr_initrds,
		.cmdline = m->opts->append, .platform = &m->platform, .rsdp = m->tables.rsdp,
		.low_limit = m->tables.low_limit,
	};
}

/* All that is in memory before the first instruction, and the boot processor's registers. Again at reset. */
static int firmware_run(struct machine *m, struct err *e)
{
	const struct platform *p = &m->platform;
	const struct boot_request rq = machine_boot_request(m);
	int rc;

	if ((rc = pci_root_assign(&m->pci, e)) < 0)
		return rc;
	rc = tables_write(&m->tables, p, &m->mem.gmem, e);
	timing_mark(&m->timing, TIMING_TABLES);
	if (rc < 0 || (rc = boot_load(&rq, &m->mem.gmem, &m->entry, e)) < 0)
		return rc;
	return boot_enter(&m->vcpus.vcpu[0], &m->entry, &m->mem.gmem, e);
}

void machine_begin(struct machine *m, const struct run_options *opts)
{
	m->opts = opts;
	m->kernel.fd = -1;
	m->kvm = (struct kvm){ .fd = -1, .vm_fd = -1 };
	pthread_mutex_init(&m->stop_lock, NULL);
}

int machine_init(struct machine *m, const struct run_options *opts, struct loop *loop, uint64_t main_ns,
		 struct err *e)
{
	int rc;

	machine_begin(m, opts);
	m->loop = loop;
	m->timing.at_ns[TIMING_MAIN] = main_ns;
	bus_init(&m->pio, "port", 0x10000);
	bus_init(&m->mmio, "address", 0);
	if ((rc = open_files(m, e)) < 0 || (rc = processors_shape(&m->procs, &opts->cpu, e)) < 0 ||
	    (rc = host_open(m, e)) < 0 || (rc = pins_build(m, e)) < 0 ||
	    (rc = kvm_create_vm(&m->kvm, e)) < 0)
		return rc;
	timing_mark(&m->timing, TIMING_KVM);
	/* Memory before interrupts: each waits for KVM's readers, and after the routes that takes milliseconds. */
	if ((rc = memory_build(m, e)) < 0)
		return rc;
	timing_mark(&m->timing, TIMING_MEMORY);
	if ((rc = irqs_init(&m->irqs, &m->kvm, topology_wide_ids(&m->procs.topo), e)) < 0 || (rc = vcpus_build(m, e)) < 0)
		return rc;
	timing_mark(&m->timing, TIMING_VCPUS);
	if ((rc = machine_describe_platform(m, e)) < 0 || (rc = machine_plug_devices(m, e)) < 0)
		return rc;
	timing_mark(&m->timing, TIMING_DEVICES);
	if ((rc = firmware_run(m, e)) < 0)
		return rc;
	tell_findings(m);
	memory_keep(&m->mem);
	timing_mark(&m->timing, TIMING_LOAD);
	return 0;
}

void machine_fini(struct machine *m)
{
	vcpus_fini(&m->vcpus); /* no thread but ours from here on */
	machine_unplug_devices(m);
	irqs_fini(&m->irqs);
	kvm_close(&m->kvm);
	fault_fini();
	memory_fini(&m->mem);
	bus_fini(&m->pio);
	bus_fini(&m->mmio);
	pin_plan_fini(&m->pins);
	processors_fini(&m->procs);
	cgroup_fini(&m->cgroup);
	image_close(&m->kernel);
	for (unsigned int i = 0; i < m->nr_initrds; i++)
		image_close(&m->initrd[i]);
	pthread_mutex_destroy(&m->stop_lock);
}

/* Does the machine go on after this? */
static bool is_reset(const struct machine *m, enum stop_reason why)
{
	return (why == STOP_RESET || why == STOP_TRIPLE_FAULT) && !m->opts->no_reboot;
}

void machine_stop(struct machine *m, enum stop_reason why, int value)
{
	pthread_mutex_lock(&m->stop_lock);
	/* The first reason counts, but an end must not be lost to a reset that came just before it. */
	if (m->why == STOP_NONE || (is_reset(m, m->why) && !is_reset(m, why))) {
		m->why = why;
		m->value = value;
	}
	pthread_mutex_unlock(&m->stop_lock);
	vcpus_ask_park(&m->vcpus);
	loop_wake(m->loop);
}

bool machine_press_power_button(struct machine *m)
{
	return pm_press_power_button(&m->pm);
}

/* Every vCPU is parked. */
static int machine_reset(struct machine *m, struct err *e)
{
	char lost[384];
	int rc;

	/* Then the triple fault was no wish to start afresh, and there is nowhere to start. */
	if (fault_truncated(&m->mem.gmem, lost, sizeof(lost)))
		return err_set(e, -EIO, "%s", lost);
	for (unsigned int i = 0; i < m->nr_devices; i++)
		if (m->device[i].ops->stop)
			m->device[i].ops->stop(m->device[i].dev);
	for (unsigned int i = 0; i < m->nr_devices; i++)
		m->device[i].ops->reset(m->device[i].dev);
	rc = vcpus_reset(&m->vcpus, &m->irqs, e);
	return rc < 0 ? rc : firmware_run(m, e);
}

/* Somebody called machine_stop(), or loop_wake() for no reason. */
static void on_wake(void *ctx)
{
	struct machine *m = ctx;
	struct err e = { 0 };
	enum stop_reason why;

	pthread_mutex_lock(&m->stop_lock);
	why = m->why;
	pthread_mutex_unlock(&m->stop_lock);
	if (why == STOP_NONE)
		return;
	vcpus_park(&m->vcpus);
	pthread_mutex_lock(&m->stop_lock);
	why = m->why; /* until they were parked, a vCPU could turn a reset into an end */
	if (is_reset(m, why))
		m->why = STOP_NONE;
	pthread_mutex_unlock(&m->stop_lock);
	if (!is_reset(m, why)) {
		loop_stop(m->loop);
		return;
	}
	if (why == STOP_TRIPLE_FAULT && !m->told_triple_fault) {
		m->told_triple_fault = true; /* a kernel that dies at once does it for ever */
		log_info("vcpu%d: triple fault; the machine is reset (--no-reboot: report it and exit)", m->value);
	}
	if (machine_reset(m, &e) < 0) {
		log_error("the reset failed: %s", e.text);
		machine_stop(m, STOP_HOST_ERROR, 0);
		return;
	}
	vcpus_resume(&m->vcpus);
}

static void print_stat(void *ctx, const char *name, uint64_t value)
{
	(void)ctx;
	if (value)
		log_info("kvm: %s %llu", name, (unsigned long long)value);
}

/* KVM's statistics of this machine, those that are not 0. */
static void tell_stats(const struct machine *m)
{
	int rc = kvm_stats_each(m->kvm.vm_fd, print_stat, NULL);

	if (rc < 0)
		log_warn("--stats: this KVM gives none (%s); it takes Linux 5.14", strerror(-rc));
}

int machine_run(struct machine *m, enum stop_reason *why, int *value, struct err *e)
{
	int rc;

	log_debug("%s, %u of %u vCPUs, entry 0x%llx", m->entry.what, m->procs.topo.nr_present, m->procs.topo.nr_cpus,
		  (unsigned long long)m->entry.rip);
	m->loop->on_wake = on_wake;
	m->loop->wake_ctx = m;
	vcpus_resume(&m->vcpus); /* first, so that no thread begins by waiting */
	if ((rc = vcpus_start(&m->vcpus, e)) < 0) {
		vcpus_park(&m->vcpus); /* those that did start */
		return rc;
	}
	if (m->pins.main && (rc = cpuset_apply(m->pins.main, 0)) < 0) {
		vcpus_park(&m->vcpus);
		return err_sys(e, rc, "--pin main: cannot run there");
	}
	rc = loop_run(m->loop);
	vcpus_park(&m->vcpus);
	if (rc < 0)
		return err_sys(e, rc, "cannot wait for events");
	if (m->opts->stats)
		tell_stats(m);
	*why = m->why;
	*value = m->value;
	if (*why == STOP_TRIPLE_FAULT)
		vcpu_report(&m->vcpus.vcpu[m->value],
			    "triple fault: an exception arrived whose handlers could not be reached either");
	return machine_drain_consoles(m, e);
}
