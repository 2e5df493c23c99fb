/*
 * Message-signalled interrupts: vectors, which MSI and MSI-X share, and the MSI capability (PCI 3.0, 6.8.1).
 * A vector is an eventfd. While it is masked its count is the pending bit; when it is unmasked the machine
 * attaches it and takes what is there. So raising one needs no lock and does not know who listens.
 */
#include "devices/pci_internal.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "vmm/base/log.h"

struct pci_vector *pci_vectors_new(struct pci_func *f, unsigned int nr, int *rc)
{
	struct pci_vector *vec = calloc(nr, sizeof(*vec));

	*rc = vec ? 0 : -ENOMEM;
	for (unsigned int i = 0; vec && i < nr; i++)
		vec[i].v = (struct msi_vector){ .fd = -1, .gsi = -1 };
	for (unsigned int i = 0; vec && i < nr && *rc == 0; i++)
		*rc = f->host->msi_open(f->host->ctx, &vec[i].v);
	if (*rc == 0)
		return vec;
	pci_vectors_free(f, vec, nr);
	return NULL;
}

void pci_vectors_free(struct pci_func *f, struct pci_vector *vec, unsigned int nr)
{
	for (unsigned int i = 0; vec && i < nr; i++)
		f->host->msi_close(f->host->ctx, &vec[i].v);
	free(vec);
}

void pci_vector_update_locked(struct pci_func *f, struct pci_vector *v, bool want, uint64_t addr, uint32_t data)
{
	const struct dev_host *host = f->host;
	int rc;

	if (want && v->on && v->addr == addr && v->data == data)
		return;
	if (want) {
		rc = host->msi_set(host->ctx, &v->v, addr, data);
		if (rc == 0) {
			v->on = true;
			v->addr = addr;
			v->data = data;
			return;
		}
		/* Not the old message either: the guest has taken that back. */
		log_warn_once(&f->warned, "%s: no interrupts by message 0x%llx, 0x%x: %s", f->name,
			      (unsigned long long)addr, data, strerror(-rc));
	}
	if (v->on)
		host->msi_mask(host->ctx, &v->v);
	v->on = false;
}

bool pci_vector_pending_locked(const struct pci_vector *v)
{
	struct pollfd p = { .fd = v->v.fd, .events = POLLIN };

	return !v->on && poll(&p, 1, 0) == 1 && (p.revents & POLLIN);
}

static bool vector_signal(const struct pci_vector *v)
{
	uint64_t one = 1;

	/* Fails only at 2^64 - 2 signals that nobody took: then it is pending already. */
	return write(v->v.fd, &one, sizeof(one)) == sizeof(one) || errno == EAGAIN;
}

void pci_vector_set_pending_locked(struct pci_vector *v, bool pending)
{
	uint64_t count;

	/* Looked at first, so that an eventfd that blocks does not; only we read it while it is off. */
	if (pci_vector_pending_locked(v) && read(v->v.fd, &count, sizeof(count)) < 0)
		return;
	if (pending)
		(void)vector_signal(v);
}

int pci_add_msi(struct pci_func *f, unsigned int nr, bool maskable, struct err *e)
{
	unsigned int at, log2 = 0;
	int rc;

	assert(nr >= 1 && nr <= PCI_MSI_MAX && !(nr & (nr - 1)) && !f->msi.cap);
	f->msi.vec = pci_vectors_new(f, nr, &rc);
	if (!f->msi.vec)
		return err_sys(e, rc, "%s: cannot make %u MSI vectors", f->name, nr);
	while (1u << log2 < nr)
		log2++;

	at = pci_add_cap(f, PCI_CAP_ID_MSI, maskable ? PCI_MSI_PENDING_64 + 4 : PCI_MSI_DATA_64 + 4);
	pci_config_set(f, at + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_64BIT | log2 << 1 |
		       (maskable ? PCI_MSI_FLAGS_MASKBIT : 0));
	pci_config_writable(f, at + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE);
	pci_config_writable(f, at + PCI_MSI_ADDRESS_LO, 4, 0xfffffffc);
	pci_config_writable(f, at + PCI_MSI_ADDRESS_HI, 4, 0xffffffff);
	pci_config_writable(f, at + PCI_MSI_DATA_64, 2, 0xffff);
	if (maskable)
		pci_config_writable(f, at + PCI_MSI_MASK_64, 4, (uint32_t)((1ull << nr) - 1));
	f->msi.cap = at;
	f->msi.nr = nr;
	f->msi.maskable = maskable;
	return 0;
}

/* Messages the guest has allocated; 0 while MSI is off. More than there are means all (PCI 3.0, 6.8.1.3). */
static unsigned int msi_allocated(const struct pci_func *f)
{
	uint16_t flags = get_le16(f->config + f->msi.cap + PCI_MSI_FLAGS);

	if (!(flags & PCI_MSI_FLAGS_ENABLE))
		return 0;
	return MIN(1u << ((flags & PCI_MSI_FLAGS_QSIZE) >> 4), f->msi.nr);
}

void pci_msi_update_locked(struct pci_func *f)
{
	const uint8_t *cap = f->config + f->msi.cap;
	struct pci_msi *msi = &f->msi;
	unsigned int nr_on;
	uint32_t mask, data;
	uint64_t addr;

	if (!msi->cap)
		return;
	nr_on = msi_allocated(f);
	addr = (uint64_t)get_le32(cap + PCI_MSI_ADDRESS_HI) << 32 | get_le32(cap + PCI_MSI_ADDRESS_LO);
	data = get_le16(cap + PCI_MSI_DATA_64) & ~(MAX(nr_on, 1u) - 1);
	mask = msi->maskable ? get_le32(cap + PCI_MSI_MASK_64) : 0;

	/* What came while it was off is history: the device spoke by INTx then, or not at all. */
	for (unsigned int i = 0; i < msi->nr && nr_on && !atomic_load(&msi->nr_on); i++)
		pci_vector_set_pending_locked(&msi->vec[i], false);
	atomic_store(&msi->nr_on, nr_on);
	/* A message is a memory write, which a function without Bus Master Enable cannot do (PCI 3.0, 6.2.2). */
	for (unsigned int i = 0; i < msi->nr; i++)
		pci_vector_update_locked(f, &msi->vec[i], i < nr_on && !(mask >> i & 1) && atomic_load(&f->bus_master),
					 addr, data | i);
	pci_intx_update_locked(f);
}

void pci_msi_reset_locked(struct pci_func *f)
{
	pci_msi_update_locked(f);
	for (unsigned int i = 0; i < f->msi.nr; i++)
		pci_vector_set_pending_locked(&f->msi.vec[i], false);
}

uint32_t pci_msi_pending_locked(const struct pci_func *f)
{
	uint32_t bits = 0;

	for (unsigned int i = 0; i < f->msi.nr; i++)
		bits |= (uint32_t)pci_vector_pending_locked(&f->msi.vec[i]) << i;
	return bits;
}

bool pci_msi_raise(struct pci_func *f, unsigned int n)
{
	unsigned int nr_on = atomic_load(&f->msi.nr_on);

	return nr_on && vector_signal(&f->msi.vec[n & (nr_on - 1)]);
}

bool pci_msix_raise(struct pci_func *f, unsigned int n)
{
	return n < f->msix.nr && atomic_load(&f->msix.on) && vector_signal(&f->msix.vec[n]);
}

int pci_msi_fd(const struct pci_func *f, unsigned int n)
{
	return n < f->msi.nr ? f->msi.vec[n].v.fd : -EINVAL;
}

int pci_msix_fd(const struct pci_func *f, unsigned int n)
{
	return n < f->msix.nr ? f->msix.vec[n].v.fd : -EINVAL;
}

bool pci_msi_enabled(struct pci_func *f)
{
	return atomic_load(&f->msi.nr_on) != 0;
}

bool pci_msix_enabled(struct pci_func *f)
{
	return atomic_load(&f->msix.on);
}
