/*
 * vCPU threads and how they are stopped. What an exit means is vcpu_exit.c's business, registers after
 * reset are vcpu_reset.c's.
 */
#include "vmm/vcpu.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "vmm/base/loop.h"
#include "vmm/base/signals.h"
#include "vmm/fault.h"
#include "vmm/irq.h"

/* What a vCPU thread needs: our exit handlers are shallow. glibc adds its own guard page. */
enum { VCPU_STACK_BYTES = 128 << 10 };

/* Exits that one instruction can make, as an upper bound. */
enum { MAX_PARTS = 64 };

static int kick_signal(void)
{
	return SIGRTMIN;
}

static void on_kick(int sig)
{
	(void)sig; /* its arrival ends KVM_RUN; there is nothing else to do */
}

static int vcpu_init(struct vcpu *v, struct vcpus *all, unsigned int index, struct err *e)
{
	const struct topo_cpu *place = &all->cfg.topo->cpu[index];
	struct cpuid_table *table;
	uint64_t from_ns, made_ns;
	void *run;

	*v = (struct vcpu){ .all = all, .place = place, .index = index, .fd = -1, .parked = true };
	v->fd = kvm_ioctl_value(all->cfg.kvm->vm_fd, KVM_CREATE_VCPU, (unsigned long)place->apic_id);
	if (v->fd < 0)
		return err_sys(e, -errno, "cannot make vCPU %u with APIC id %u", index, place->apic_id);
	run = mmap(NULL, all->cfg.kvm->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (run == MAP_FAILED)
		return err_sys(e, -errno, "cannot map the state of vCPU %u", index);
	v->run = run;
	from_ns = clock_now_ns();
	table = processors_cpuid(all->cfg.procs, index);
	made_ns = clock_now_ns();
	if (kvm_ioctl(v->fd, KVM_SET_CPUID2, table) < 0)
		return err_sys(e, -errno, "KVM refuses the CPUID table of vCPU %u", index);
	all->cpuid_ns += made_ns - from_ns;
	all->set_cpuid_ns += clock_now_ns() - made_ns;
	return 0;
}

static void vcpu_kick(struct vcpu *v)
{
	if (!atomic_load(&v->started) || pthread_equal(v->thread, pthread_self()))
		return; /* a vCPU that asks looks at the wish itself, before it enters the guest */
	__atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	pthread_kill(v->thread, kick_signal());
}

/* Any thread: the PICs have an interrupt for the boot processor. */
static void kick_boot_processor(void *ctx)
{
	struct vcpus *all = ctx;

	vcpu_kick(&all->vcpu[0]);
}

int vcpus_init(struct vcpus *all, const struct vcpus_config *cfg, struct err *e)
{
	unsigned int nr = cfg->topo->nr_present;
	int rc;

	*all = (struct vcpus){ .cfg = *cfg };
	pthread_mutex_init(&all->lock, NULL);
	pthread_cond_init(&all->changed, NULL);
	atomic_store(&all->wish, VCPUS_PARK);
	all->vcpu = calloc(nr, sizeof(*all->vcpu));
	if (!all->vcpu)
		return err_set(e, -ENOMEM, "out of memory for %u vCPUs", nr);
	/* KVM takes the vCPU with id 0 for the boot processor, and guests look for that in APICBASE. */
	if (cfg->topo->cpu[0].apic_id &&
	    kvm_ioctl_value(cfg->kvm->vm_fd, KVM_SET_BOOT_CPU_ID, cfg->topo->cpu[0].apic_id) < 0)
		return err_sys(e, -errno, "KVM_SET_BOOT_CPU_ID 0x%x", cfg->topo->cpu[0].apic_id);
	for (unsigned int i = 0; i < nr; i++) {
		all->nr++;
		rc = vcpu_init(&all->vcpu[i], all, i, e);
		if (rc < 0)
			return rc;
	}
	all->nr_parked = nr;
	all->vcpu[0].takes_extint = cfg->irqs->split;
	irqs_set_kick(cfg->irqs, kick_boot_processor, all);
	return 0;
}

static void vcpus_set_wish(struct vcpus *all, enum vcpu_wish wish)
{
	pthread_mutex_lock(&all->lock);
	if (atomic_load(&all->wish) != VCPUS_LEAVE)
		atomic_store(&all->wish, (int)wish);
	pthread_cond_broadcast(&all->changed);
	pthread_mutex_unlock(&all->lock);
}

void vcpus_fini(struct vcpus *all)
{
	if (!all->cfg.kvm)
		return;
	vcpus_set_wish(all, VCPUS_LEAVE);
	irqs_set_kick(all->cfg.irqs, NULL, NULL); /* devices go after us, and may still move lines */
	for (unsigned int i = 0; i < all->nr; i++)
		vcpu_kick(&all->vcpu[i]);
	for (unsigned int i = 0; i < all->nr; i++) {
		struct vcpu *v = &all->vcpu[i];

		if (v->started)
			pthread_join(v->thread, NULL);
		if (v->run)
			munmap(v->run, all->cfg.kvm->run_bytes);
		if (v->fd >= 0)
			close(v->fd);
	}
	pthread_cond_destroy(&all->changed);
	pthread_mutex_destroy(&all->lock);
	free(all->vcpu);
	*all = (struct vcpus){ 0 };
}

/*
 * KVM finishes a port or MMIO access at the next KVM_RUN. Do that now, without entering the guest, so
 * that the registers are whole (Documentation/virt/kvm/api.rst, 5, "immediate_exit").
 */
static void vcpu_complete_exit(struct vcpu *v)
{
	__atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	/* -EINTR by design; 0 says that the access has another part, as one that crosses a page. */
	for (int i = 0; i < MAX_PARTS && kvm_ioctl(v->fd, KVM_RUN, NULL) == 0; i++)
		vcpu_serve_exit(v);
}

/* Stay until the guest may run. Returns false when the thread is to end. */
static bool vcpu_wait(struct vcpu *v)
{
	struct vcpus *all = v->all;
	int wish;

	pthread_mutex_lock(&all->lock);
	if (!v->parked) {
		v->parked = true;
		all->nr_parked++;
		pthread_cond_broadcast(&all->changed);
	}
	while ((wish = atomic_load(&all->wish)) == VCPUS_PARK)
		pthread_cond_wait(&all->changed, &all->lock);
	if (wish == VCPUS_RUN) {
		v->parked = false;
		all->nr_parked--;
		/* Cleared before the wish is looked at again: a kick that comes now is not lost. */
		__atomic_store_n(&v->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
	}
	pthread_mutex_unlock(&all->lock);
	return wish == VCPUS_RUN;
}

/*
 * Before KVM_RUN on the boot processor of a split machine: hand over what the PICs have, or ask KVM for an exit
 * when it can be taken (Documentation/virt/kvm/api.rst, 4.16, KVM_INTERRUPT). A halted processor is woken by
 * it, too: the kick ended its KVM_RUN, and the next finds the interrupt.
 */
static void vcpu_offer_extint(struct vcpu *v)
{
	struct irqs *irqs = v->all->cfg.irqs;

	/* Who kicks has changed wish or PIC before: looking at both after this, no kick is lost. */
	__atomic_store_n(&v->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
	if (atomic_load(&v->all->wish) != VCPUS_RUN)
		__atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	if (irqs_extint(irqs) && v->run->ready_for_interrupt_injection) {
		struct kvm_interrupt extint = { .irq = irqs_extint_ack(irqs) };

		/* KVM has room for one, or it would not have been ready. */
		(void)kvm_ioctl(v->fd, KVM_INTERRUPT, &extint);
		v->run->ready_for_interrupt_injection = 0;
	}
	v->run->request_interrupt_window = irqs_extint(irqs);
}

/* Memory that we gave is gone: the host's doing, and the same end as by SIGBUS (vmm/fault.h). */
static void vcpu_lost_memory(struct vcpu *v, int error)
{
	char why[384];

	vcpu_report(v, fault_explain(v, error, why, sizeof(why)));
	v->all->cfg.owner.stop(v->all->cfg.owner.ctx, STOP_HOST_ERROR, 0);
}

/* One KVM_RUN and what follows from it. */
static void vcpu_run_once(struct vcpu *v)
{
	char why[96];
	int error;

	if (v->takes_extint)
		vcpu_offer_extint(v);
	if (kvm_ioctl(v->fd, KVM_RUN, NULL) == 0) {
		if (fault_is_mmio(v))
			vcpu_lost_memory(v, 0);
		else
			vcpu_serve_exit(v);
		return;
	}
	error = errno;
	if (error == EINTR || error == EAGAIN)
		return; /* kicked, or an AP got its INIT */
	if (error == EFAULT || error == EHWPOISON) {
		vcpu_lost_memory(v, error);
		return;
	}
	snprintf(why, sizeof(why), "KVM_RUN failed: %s", strerror(error));
	vcpu_report(v, why);
	v->all->cfg.owner.stop(v->all->cfg.owner.ctx, STOP_KVM_ERROR, 0);
}

/* Is any vCPU pinned? */
static bool vcpus_pinned(const struct vcpus *all)
{
	return all->cfg.pins && all->cfg.pins->nr_vcpus;
}

/*
 * Where --pin says, or, as the thread that made this one may be pinned itself, where the process could run. From here
 * on memory that is touched is near. vcpus_start() waits for the outcome. Returns whether the vCPU is where it belongs.
 */
static bool vcpu_take_cpus(struct vcpu *v)
{
	const struct cpuset *own = vcpus_pinned(v->all) ? &v->all->cfg.pins->vcpu[v->index] : NULL;
	int rc = 0;

	if (own && !cpuset_empty(own))
		rc = cpuset_apply(own, 0);
	else
		affinity_enter_any();
	if (!own)
		return true;
	pthread_mutex_lock(&v->all->lock);
	v->pin_rc = rc;
	v->placed = true;
	pthread_cond_broadcast(&v->all->changed);
	pthread_mutex_unlock(&v->all->lock);
	return rc == 0;
}

static void *vcpu_main(void *arg)
{
	struct vcpu *v = arg;
	char name[16];

	if (!vcpu_take_cpus(v))
		return NULL; /* parked, as it was made */
	snprintf(name, sizeof(name), "vcpu%u", v->index);
	prctl(PR_SET_NAME, name); /* pthread_setname_np() would open a file for it */
	while (vcpu_wait(v)) {
		while (atomic_load(&v->all->wish) == VCPUS_RUN)
			vcpu_run_once(v);
		vcpu_complete_exit(v);
	}
	return NULL;
}

static int vcpu_start(struct vcpu *v, const pthread_attr_t *attr, struct err *e)
{
	int rc = -pthread_create(&v->thread, attr, vcpu_main, v);

	atomic_store(&v->started, rc == 0); /* v->thread is written: others may kick it now */
	return rc < 0 ? err_sys(e, rc, "cannot start a thread for each of %u vCPUs", v->all->nr) : 0;
}

/* All have threads. Did they get to where they are pinned? pin_plan() said they could; that was a moment ago. */
static int vcpus_wait_placed(struct vcpus *all, struct err *e)
{
	char cpus[128];
	int rc = 0;

	pthread_mutex_lock(&all->lock);
	for (unsigned int i = 0; i < all->nr && rc == 0; i++) {
		while (!all->vcpu[i].placed)
			pthread_cond_wait(&all->changed, &all->lock);
		rc = all->vcpu[i].pin_rc;
		if (rc < 0)
			err_sys(e, rc,
				"--pin: vCPU %u cannot run on CPU %s of this host any more; it went offline, or a cgroup's cpuset "
				"took it",
				i, cpuset_text(&all->cfg.pins->vcpu[i], cpus, sizeof(cpus)));
	}
	pthread_mutex_unlock(&all->lock);
	return rc;
}

int vcpus_start(struct vcpus *all, struct err *e)
{
	struct sigaction sa = { .sa_handler = on_kick }; /* no SA_RESTART: KVM_RUN is to end */
	sigset_t mask, old;
	pthread_attr_t attr;
	int rc = 0;

	sigaction(kick_signal(), &sa, NULL);
	/* Signals to the process are main's; a vCPU takes its kick and its own faults. */
	signals_fill_but_faults(&mask);
	sigdelset(&mask, kick_signal());
	pthread_sigmask(SIG_SETMASK, &mask, &old);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, MAX((size_t)VCPU_STACK_BYTES, (size_t)PTHREAD_STACK_MIN));
	for (unsigned int i = 0; i < all->nr && rc == 0; i++)
		rc = vcpu_start(&all->vcpu[i], &attr, e);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc == 0 && vcpus_pinned(all) ? vcpus_wait_placed(all, e) : rc;
}

void vcpus_resume(struct vcpus *all)
{
	vcpus_set_wish(all, VCPUS_RUN);
}

void vcpus_ask_park(struct vcpus *all)
{
	vcpus_set_wish(all, VCPUS_PARK);
	for (unsigned int i = 0; i < all->nr; i++)
		vcpu_kick(&all->vcpu[i]);
}

void vcpus_park(struct vcpus *all)
{
	vcpus_ask_park(all);
	pthread_mutex_lock(&all->lock);
	while (all->nr_parked < all->nr)
		pthread_cond_wait(&all->changed, &all->lock);
	pthread_mutex_unlock(&all->lock);
}
