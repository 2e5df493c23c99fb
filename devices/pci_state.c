/*
 * Saving and loading the root with all its functions. The machine must have been built alike: read-only
 * bits are compared, not taken over. Devices save what is behind their BARs themselves.
 *
 *   state    = u32 port 0xcf8, u16 functions, place of each, messages of each
 *   place    = u8 devfn, u8 BARs mapped (bit n), u8 INTx level, 4096 bytes of configuration space
 *   messages = u8 devfn, u16 MSI vectors, u8 pending of each,
 *              u16 MSI-X vectors, 16 bytes of table and u8 pending of each
 *
 * Messages come last: what is pending can be put back only after MSI is enabled again.
 */
#include "devices/pci_internal.h"

#include <errno.h>

static unsigned int count_locked(const struct pci_root *root)
{
	unsigned int nr = 0;

	for (unsigned int devfn = 0; devfn < PCI_NR_DEVFN; devfn++)
		nr += root->func[devfn] != NULL;
	return nr;
}

static void place_save_locked(const struct pci_func *f, struct buf *b)
{
	uint8_t mapped = 0;

	for (unsigned int n = 0; n < PCI_NR_BARS; n++)
		mapped |= (uint8_t)(f->bar[n].mapped << n);
	buf_put8(b, (uint8_t)f->devfn);
	buf_put8(b, mapped);
	buf_put8(b, f->intx_level);
	buf_put(b, f->config, sizeof(f->config));
}

static void messages_save_locked(const struct pci_func *f, struct buf *b)
{
	buf_put8(b, (uint8_t)f->devfn);
	buf_put16(b, (uint16_t)f->msi.nr);
	for (unsigned int i = 0; i < f->msi.nr; i++)
		buf_put8(b, pci_vector_pending_locked(&f->msi.vec[i]));
	buf_put16(b, (uint16_t)f->msix.nr);
	for (unsigned int i = 0; i < f->msix.nr; i++) {
		buf_put(b, f->msix.table + i * PCI_MSIX_ENTRY_SIZE, PCI_MSIX_ENTRY_SIZE);
		buf_put8(b, pci_vector_pending_locked(&f->msix.vec[i]));
	}
}

void pci_root_save(void *dev, struct buf *b)
{
	struct pci_root *root = dev;

	pthread_mutex_lock(&root->lock);
	buf_put32(b, root->address);
	buf_put16(b, (uint16_t)count_locked(root));
	for (unsigned int devfn = 0; devfn < PCI_NR_DEVFN; devfn++)
		if (root->func[devfn])
			place_save_locked(root->func[devfn], b);
	for (unsigned int devfn = 0; devfn < PCI_NR_DEVFN; devfn++)
		if (root->func[devfn])
			messages_save_locked(root->func[devfn], b);
	pthread_mutex_unlock(&root->lock);
}

static int other_device(const struct pci_func *f, const struct state_reader *r, struct err *e)
{
	if (r->failed)
		return err_set(e, -EINVAL, "saved state of PCI functions is cut short");
	return err_set(e, -EINVAL, "saved state has another device at PCI address 00:%02x.%u, where %s is now",
		       PCI_SLOT(f->devfn), PCI_FUNC(f->devfn), f->name);
}

/* Take the bits a guest can change; the others must be as they are here. */
static int place_load_locked(struct pci_func *f, struct state_reader *r, struct err *e)
{
	uint8_t config[sizeof(f->config)];
	uint8_t mapped;

	if (state_get8(r) != f->devfn)
		return other_device(f, r, e);
	mapped = state_get8(r);
	f->intx_level = state_get8(r);
	state_get(r, config, sizeof(config));
	for (unsigned int i = 0; i < sizeof(config); i++) {
		uint8_t mask = f->wmask[i] | f->w1c[i];

		if ((config[i] ^ f->initial[i]) & ~mask)
			return other_device(f, r, e);
		f->config[i] = config[i];
	}
	/* Where BARs overlap, who came first has the place: those that had it take it before the others try. */
	for (unsigned int n = 0; n < PCI_NR_BARS; n++)
		if (mapped >> n & 1)
			pci_bar_map_locked(f, n);
	return 0;
}

static int messages_load_locked(struct pci_func *f, struct state_reader *r, struct err *e)
{
	if (state_get8(r) != f->devfn || state_get16(r) != f->msi.nr)
		return other_device(f, r, e);
	for (unsigned int i = 0; i < f->msi.nr; i++)
		pci_vector_set_pending_locked(&f->msi.vec[i], state_get8(r));
	if (state_get16(r) != f->msix.nr)
		return other_device(f, r, e);
	for (unsigned int i = 0; i < f->msix.nr; i++) {
		uint8_t *entry = f->msix.table + i * PCI_MSIX_ENTRY_SIZE;

		state_get(r, entry, PCI_MSIX_ENTRY_SIZE);
		put_le32(entry + PCI_MSIX_ENTRY_VECTOR_CTRL,
			 get_le32(entry + PCI_MSIX_ENTRY_VECTOR_CTRL) & PCI_MSIX_ENTRY_CTRL_MASKBIT);
		pci_vector_set_pending_locked(&f->msix.vec[i], state_get8(r));
	}
	pci_msix_update_locked(f);
	return 0;
}

static int root_load_locked(struct pci_root *root, struct state_reader *r, struct err *e)
{
	unsigned int devfn;
	int rc = 0;

	for (devfn = 0; devfn < PCI_NR_DEVFN; devfn++)
		if (root->func[devfn])
			pci_func_reset_locked(root->func[devfn]);
	root->address = state_get32(r) & 0x80fffffc;
	if (state_get16(r) != count_locked(root))
		return err_set(e, -EINVAL, "saved state has another number of PCI functions");
	for (devfn = 0; devfn < PCI_NR_DEVFN && rc == 0; devfn++)
		if (root->func[devfn])
			rc = place_load_locked(root->func[devfn], r, e);
	for (devfn = 0; devfn < PCI_NR_DEVFN && rc == 0; devfn++)
		if (root->func[devfn])
			pci_func_update_locked(root->func[devfn]);
	for (devfn = 0; devfn < PCI_NR_DEVFN && rc == 0; devfn++)
		if (root->func[devfn])
			rc = messages_load_locked(root->func[devfn], r, e);
	return rc;
}

int pci_root_load(void *dev, struct state_reader *r, struct err *e)
{
	struct pci_root *root = dev;
	int rc;

	pthread_mutex_lock(&root->lock);
	rc = root_load_locked(root, r, e);
	pthread_mutex_unlock(&root->lock);
	return rc;
}
