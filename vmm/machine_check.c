/*
 * Would this guest start? machine.c's recipe, step by step, with nothing made: where a step fails, the next are looked
 * at all the same, unless they need what it would have made. Each sentence comes from where the step itself has it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/base/map.h"
#include "vmm/machine_internal.h"

/* Add what went wrong, if it did. Returns whether it went well. */
static bool tell(struct notes *problems, int rc, const struct err *e)
{
	if (rc < 0)
		notes_add_err(problems, e);
	return rc >= 0;
}

/* ---- files ---- */

static void check_files(struct machine *m, struct notes *problems)
{
	const struct run_options *o = m->opts;
	struct err e;

	tell(problems, image_open(&m->kernel, o->kernel, "kernel", &e), &e);
	for (unsigned int i = 0; i < o->nr_initrds; i++) {
		unsigned int at = m->nr_initrds;

		m->initrd_args[at] = o->initrd[i].args;
		if (tell(problems, image_open(&m->initrd[at], o->initrd[i].path, "initrd", &e), &e))
			m->nr_initrds++;
	}
}

/*
 * Have the kernel loaded by its loader, with those initrds that are there. That happens below 4 GiB, so no more RAM
 * than that is mapped, whatever the guest has and whatever is behind it.
 */
static void check_kernel(struct machine *m, struct notes *problems)
{
	const uint64_t low = MIN(m->procs.ram_bytes, MAP_LOW_RAM_MAX);
	struct boot_request rq;
	struct err e;

	if (!tell(problems, memory_init(&m->mem, low, &e), &e))
		return;
	m->mem.high_bytes = m->procs.ram_bytes - low; /* for the memory map alone */
	if (!tell(problems, machine_describe_platform(m, &e), &e))
		return;
	rq = machine_boot_request(m);
	tell(problems, boot_load(&rq, &m->mem.gmem, &m->entry, &e), &e);
}

/* ---- processors ---- */

int machine_check_vcpus(const struct machine *m, struct err *e)
{
	const struct topology *t = &m->procs.topo;

	if (t->nr_present > m->kvm.max_vcpus)
		return err_usage(e, "--cpus %u: KVM on this host allows %u vCPUs", t->nr_present, m->kvm.max_vcpus);
	if (topology_max_apic_id(t) >= m->kvm.max_vcpu_id)
		return err_usage(e, "--cpus: this shape needs APIC ids up to %u, and KVM on this host takes ids below %u",
				 topology_max_apic_id(t), m->kvm.max_vcpu_id);
	return 0;
}

int machine_check_ram(const struct machine *m, struct err *e)
{
	unsigned int bits = cpuid_phys_bits(m->procs.table);
	uint64_t most = memory_max_bytes(bits);
	char text[24];

	if (m->procs.ram_bytes <= most)
		return 0;
	return err_usage(e, "--memory: a guest on this processor can have at most %s (%u address bits)",
			 opt_size_text(most, text, sizeof(text)), bits);
}

/* Without KVM, or without asking for it, by what can be told of this host. */
static int complete_without_kvm(struct machine *m, bool host, struct err *e)
{
	struct cpuid_table *table = calloc(1, sizeof(*table));
	struct notes unwanted = { .nr = 0 }; /* that KVM is not there is among the problems already */
	struct model_host found;
	int rc;

	if (!table)
		return err_set(e, -ENOMEM, "out of memory");
	model_host_read(&found, table, host ? &unwanted : &m->procs.notes);
	rc = machine_build_processors(m, &found, e);
	notes_fini(&unwanted);
	free(table);
	return rc;
}

/* The shape is there. host: so is KVM, perhaps. */
static void check_processors(struct machine *m, bool host, struct notes *problems)
{
	const struct cpu_options *o = &m->opts->cpu;
	const struct layout *layout = o->topology ? &m->procs.layout : NULL;
	const bool kvm = m->kvm.fd >= 0;
	struct err e;
	int rc;

	if (kvm)
		tell(problems, machine_check_vcpus(m, &e), &e);
	rc = kvm ? machine_ask_kvm(m, &e) : complete_without_kvm(m, host, &e);
	if (tell(problems, rc, &e))
		tell(problems, machine_check_ram(m, &e), &e);
	else if (o->numa.nr_nodes && !m->procs.topo.nr_nodes) /* nodes ask nothing of a model, and come behind it */
		tell(problems, numa_place(&m->procs.topo, &o->numa, layout, m->procs.ram_bytes, &e), &e);
}

static void check_pins(struct machine *m, struct notes *problems)
{
	if (pin_plan(&m->pins, &m->opts->cpu.pin, &m->procs.topo, "", problems) == -ENOMEM)
		notes_add(problems, "--pin: out of memory");
}

/* KVM, and whether it makes a machine. That is the only way to hear of another hypervisor on the same processor. */
static void check_kvm(struct machine *m, struct notes *problems)
{
	struct err e;

	if (tell(problems, kvm_open(&m->kvm, &e), &e))
		tell(problems, kvm_create_vm(&m->kvm, &e), &e);
}

/* ---- byte streams ---- */

/* Serial ports, the virtio console and the monitor, in the order in which they are opened. */
static void check_streams(const struct machine *m, struct notes *problems)
{
	struct chardev_wish w[MAX_SERIALS + MAX_CONSOLES + 1];
	const struct run_options *o = m->opts;
	char label[MAX_SERIALS][16];
	unsigned int nr = 0;
	struct err e;

	for (unsigned int i = 0; i < o->nr_serials; i++) {
		if (o->serial[i].mode == STREAM_NONE)
			continue;
		snprintf(label[i], sizeof(label[i]), "COM%u", i + 1);
		w[nr++] = (struct chardev_wish){ machine_stream_kind(o->serial[i].mode), o->serial[i].path, label[i] };
	}
	for (unsigned int i = 0; i < o->devices.nr_consoles; i++)
		w[nr++] = machine_console_wish(&o->devices.console[i]);
	if (o->devices.monitor)
		w[nr++] = (struct chardev_wish){ CHARDEV_UNIX, o->devices.monitor, MONITOR_LABEL };
	for (unsigned int i = 0; i < nr; i++)
		tell(problems, chardev_check(w, i, &e), &e);
}

/* ---- all of it ---- */

/* What depends on the processors' shape, which is there. */
static void check_shaped(struct machine *m, bool host, struct notes *problems)
{
	const struct memory_options *o = &m->opts->cpu.memory;
	bool fits = true; /* into the address space, as far as it was asked */
	uint64_t page_bytes;
	struct err e;

	check_processors(m, host, problems);
	check_pins(m, problems);
	if (host) {
		memory_check(o, m->procs.ram_bytes, &m->procs.topo, "", problems);
		fits = tell(problems, memory_check_map(o, m->procs.ram_bytes, &e), &e);
	} else {
		(void)memory_check_words(o, m->procs.ram_bytes, &m->procs.topo, "", &page_bytes, problems);
	}
	machine_check_balloon(m, problems);
	if (fits && m->kernel.fd >= 0 && m->procs.table) /* an empty one serves, too, when there is no such model */
		check_kernel(m, problems);
}

void machine_check(struct machine *m, const struct run_options *opts, bool host, struct notes *problems)
{
	struct err e;

	machine_begin(m, opts);
	check_files(m, problems);
	if (host)
		check_kvm(m, problems);
	if (tell(problems, processors_shape(&m->procs, &opts->cpu, &e), &e))
		check_shaped(m, host, problems);
	check_streams(m, problems);
	machine_check_disks(m, problems);
	if (host)
		machine_check_nets(m, problems);
}
