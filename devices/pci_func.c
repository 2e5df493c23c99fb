/*
 * One function's configuration space: what it holds, which bits a guest may change, and what follows
 * from a change. Which accesses arrive here, and from where, is pci_root.c's business.
 */
#include "devices/pci_internal.h"

#include <assert.h>
#include <stdlib.h>

void pci_func_init(struct pci_func *f, const struct dev_host *host, const struct pci_ids *ids, const char *name)
{
	*f = (struct pci_func){ .name = name, .host = host, .next_cap = PCI_STD_HEADER_SIZEOF };

	pci_config_set(f, PCI_VENDOR_ID, 2, ids->vendor);
	pci_config_set(f, PCI_DEVICE_ID, 2, ids->device);
	pci_config_set(f, PCI_CLASS_REVISION, 4, ids->class << 8 | ids->revision);
	pci_config_set(f, PCI_SUBSYSTEM_VENDOR_ID, 2, ids->subvendor);
	pci_config_set(f, PCI_SUBSYSTEM_ID, 2, ids->subdevice);
	pci_config_set(f, PCI_INTERRUPT_PIN, 1, ids->pin);

	/* The decode bits come with the BARs that need them. */
	pci_config_writable(f, PCI_COMMAND, 2, PCI_COMMAND_MASTER | PCI_COMMAND_PARITY | PCI_COMMAND_SERR |
			    PCI_COMMAND_INTX_DISABLE);
	put_le16(f->w1c + PCI_STATUS, PCI_STATUS_PARITY | PCI_STATUS_SIG_TARGET_ABORT | PCI_STATUS_REC_TARGET_ABORT |
		 PCI_STATUS_REC_MASTER_ABORT | PCI_STATUS_SIG_SYSTEM_ERROR | PCI_STATUS_DETECTED_PARITY);
	pci_config_writable(f, PCI_CACHE_LINE_SIZE, 1, 0xff);
	if (ids->pin)
		pci_config_writable(f, PCI_INTERRUPT_LINE, 1, 0xff);
}

void pci_func_fini(struct pci_func *f)
{
	if (f->root)
		pci_root_remove(f->root, f);
	pci_vectors_free(f, f->msi.vec, f->msi.nr);
	pci_vectors_free(f, f->msix.vec, f->msix.nr);
	free(f->msix.table);
	*f = (struct pci_func){ 0 };
}

unsigned int pci_add_cap(struct pci_func *f, uint8_t id, unsigned int len)
{
	unsigned int at = f->next_cap;

	assert(at + len <= PCI_CFG_SPACE_SIZE); /* the device's own list is what fills it */
	if (f->last_cap) {
		pci_config_set(f, f->last_cap + PCI_CAP_LIST_NEXT, 1, at);
	} else {
		pci_config_set(f, PCI_CAPABILITY_LIST, 1, at);
		pci_config_set(f, PCI_STATUS, 2, PCI_STATUS_CAP_LIST);
	}
	pci_config_set(f, at + PCI_CAP_LIST_ID, 1, id);
	f->last_cap = at;
	f->next_cap = (unsigned int)align_up(at + len, 4);
	return at;
}

void pci_config_set(struct pci_func *f, unsigned int off, unsigned int size, uint32_t val)
{
	assert(size <= 4 && range_ok(off, size, sizeof(f->config)));
	for (unsigned int i = 0; i < size; i++) {
		f->config[off + i] = (uint8_t)(val >> (8 * i));
		f->initial[off + i] = f->config[off + i];
	}
}

void pci_config_writable(struct pci_func *f, unsigned int off, unsigned int size, uint32_t mask)
{
	assert(size <= 4 && range_ok(off, size, sizeof(f->wmask)));
	for (unsigned int i = 0; i < size; i++)
		f->wmask[off + i] = (uint8_t)(mask >> (8 * i));
}

void pci_config_hook(struct pci_func *f, unsigned int off, unsigned int len, const struct io_ops *ops,
		     void *dev)
{
	assert(off % 4 == 0 && len % 4 == 0 && range_ok(off, len, sizeof(f->config)));
	f->hook_off = off;
	f->hook_len = len;
	f->hook_ops = ops;
	f->hook_dev = dev;
}

void pci_add_express(struct pci_func *f, void (*flr)(void *dev), void *dev)
{
	/* All of version 2; an integrated endpoint's link, slot and root registers read zero (PCIe 4.0, 7.5.3). */
	unsigned int at = pci_add_cap(f, PCI_CAP_ID_EXP, 0x3c);

	pci_config_set(f, at + PCI_EXP_FLAGS, 2, 2 | PCI_EXP_TYPE_RC_END << 4);
	pci_config_set(f, at + PCI_EXP_DEVCAP, 4, PCI_EXP_DEVCAP_RBER | (flr ? PCI_EXP_DEVCAP_FLR : 0));
	pci_config_set(f, at + PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_NOSNOOP_EN |
		       PCI_EXP_DEVCTL_READRQ_512B);
	/* Bit 15, Initiate Function Level Reset, always reads 0. */
	pci_config_writable(f, at + PCI_EXP_DEVCTL, 2, 0x7fff);
	put_le16(f->w1c + at + PCI_EXP_DEVSTA, PCI_EXP_DEVSTA_CED | PCI_EXP_DEVSTA_NFED | PCI_EXP_DEVSTA_FED |
		 PCI_EXP_DEVSTA_URD);
	f->express = at;
	f->flr = flr;
	f->flr_dev = dev;
}

void pci_add_pm(struct pci_func *f)
{
	unsigned int at = pci_add_cap(f, PCI_CAP_ID_PM, PCI_PM_SIZEOF);

	pci_config_set(f, at + PCI_PM_PMC, 2, 3); /* version of PM 1.2; no D1, no D2, no PME */
	pci_config_set(f, at + PCI_PM_CTRL, 2, PCI_PM_CTRL_NO_SOFT_RESET);
	pci_config_writable(f, at + PCI_PM_CTRL, 2, PCI_PM_CTRL_STATE_MASK);
	f->pm = at;
}

/* Bits which are not stored because others change them: into the dword read from reg. */
static uint32_t config_live_bits_locked(const struct pci_func *f, unsigned int reg)
{
	if (reg == PCI_COMMAND && f->intx_level)
		return (uint32_t)PCI_STATUS_INTERRUPT << 16;
	if (f->msi.maskable && reg == f->msi.cap + PCI_MSI_PENDING_64)
		return pci_msi_pending_locked(f);
	return 0;
}

uint32_t pci_func_read_locked(const struct pci_func *f, unsigned int off, unsigned int size)
{
	unsigned int reg = off & ~3u;
	uint32_t val = get_le32(f->config + reg) | config_live_bits_locked(f, reg);

	return (uint32_t)((val >> (8 * (off - reg))) & ones(size));
}

void pci_func_update_locked(struct pci_func *f)
{
	atomic_store(&f->bus_master, (get_le16(f->config + PCI_COMMAND) & PCI_COMMAND_MASTER) != 0);
	pci_bars_update_locked(f);
	pci_msi_update_locked(f);
	pci_msix_update_locked(f);
	pci_intx_update_locked(f);
}

void pci_func_reset_locked(struct pci_func *f)
{
	memcpy(f->config, f->initial, sizeof(f->config));
	f->intx_level = false;
	atomic_store(&f->bus_master, false);
	pci_bars_update_locked(f);
	pci_msi_reset_locked(f);
	pci_msix_reset_locked(f);
	pci_intx_update_locked(f);
}

/* What follows from the dword at reg having been written. */
static void config_written_locked(struct pci_func *f, unsigned int reg)
{
	if (reg == PCI_COMMAND)
		pci_func_update_locked(f);
	else if (reg >= PCI_BASE_ADDRESS_0 && reg <= PCI_BASE_ADDRESS_5)
		pci_bars_update_locked(f);
	else if (f->msi.cap && reg >= f->msi.cap && reg <= f->msi.cap + PCI_MSI_MASK_64)
		pci_msi_update_locked(f);
	else if (f->msix.cap && reg == f->msix.cap)
		pci_msix_update_locked(f);
}

bool pci_func_write_locked(struct pci_func *f, unsigned int off, unsigned int size, uint32_t val)
{
	unsigned int reg = off & ~3u, shift = 8 * (off - reg);
	uint32_t lanes = (uint32_t)ones(size) << shift;
	uint32_t was = get_le32(f->config + reg), mask = get_le32(f->wmask + reg) & lanes;
	uint32_t now;

	val = (val << shift) & lanes;
	/* States that do not exist: the write ends normally, its data is dropped (PCI PM 1.2, 3.2.4). */
	if (f->pm && reg == f->pm + PCI_PM_CTRL && (val & PCI_PM_CTRL_STATE_MASK) % 3 != 0)
		mask &= ~(uint32_t)PCI_PM_CTRL_STATE_MASK;
	now = ((was & ~mask) | (val & mask)) & ~(val & get_le32(f->w1c + reg));
	put_le32(f->config + reg, now);

	if (f->flr && reg == f->express + PCI_EXP_DEVCTL && (val & PCI_EXP_DEVCTL_BCR_FLR)) {
		pci_func_reset_locked(f);
		return true;
	}
	if (now != was)
		config_written_locked(f, reg);
	return false;
}

uint32_t pci_config_get(struct pci_func *f, unsigned int off, unsigned int size)
{
	uint32_t val;

	assert(off % size == 0 && size <= 4 && range_ok(off, size, sizeof(f->config)));
	pci_lock(f);
	val = pci_func_read_locked(f, off, size);
	pci_unlock(f);
	return val;
}

bool pci_bus_master(struct pci_func *f)
{
	return atomic_load(&f->bus_master);
}
