/*
 * What the files of the PCI layer tell each other. Everything here wants root->lock, unless it says
 * setup. Not for devices.
 */
#ifndef TRELLIS_DEVICES_PCI_INTERNAL_H
#define TRELLIS_DEVICES_PCI_INTERNAL_H

#include "devices/pci.h"

/* pci_bar.c */

/* The address that BAR n holds, decoded or not. */
uint64_t pci_bar_address(const struct pci_func *f, unsigned int n);

/* Write an address into BAR n as a guest would; decoding is not updated. */
void pci_bar_put_address(struct pci_func *f, unsigned int n, uint64_t addr);

/* Make the machine decode exactly what the BARs and the command register of f say. */
void pci_bars_update_locked(struct pci_func *f);

/* Map one BAR that is not mapped, if it is to be decoded; for putting BARs back in the order they had. */
void pci_bar_map_locked(struct pci_func *f, unsigned int n);

/* pci_msi.c, pci_msix.c */

/* Open nr vectors. Returns them, or NULL with *rc a negative errno. Setup. */
struct pci_vector *pci_vectors_new(struct pci_func *f, unsigned int nr, int *rc);
void pci_vectors_free(struct pci_func *f, struct pci_vector *vec, unsigned int nr);

/* Have the machine deliver v as this message, or not deliver it. */
void pci_vector_update_locked(struct pci_func *f, struct pci_vector *v, bool want, uint64_t addr,
			      uint32_t data);

/* Has it been raised and not delivered? Make it so, or not. */
bool pci_vector_pending_locked(const struct pci_vector *v);
void pci_vector_set_pending_locked(struct pci_vector *v, bool pending);

/* Take over what the capability, the command register (and the table) say now. */
void pci_msi_update_locked(struct pci_func *f);
void pci_msix_update_locked(struct pci_func *f);

/* The MSI Pending Bits register. */
uint32_t pci_msi_pending_locked(const struct pci_func *f);

/* The state after power-on, the capability's registers being so already. */
void pci_msi_reset_locked(struct pci_func *f);
void pci_msix_reset_locked(struct pci_func *f);

/* The registers of the BAR that holds the MSI-X table; dev is the function. */
extern const struct io_ops pci_msix_bar_ops;

/* pci_func.c */

/* Read or write one access that stays inside one dword. write returns true: reset the device's side too. */
uint32_t pci_func_read_locked(const struct pci_func *f, unsigned int off, unsigned int size);
MUST_CHECK bool pci_func_write_locked(struct pci_func *f, unsigned int off, unsigned int size, uint32_t val);

/* Have BARs, interrupts and bus mastering follow the registers. */
void pci_func_update_locked(struct pci_func *f);

/* Everything of the function as after power-on. */
void pci_func_reset_locked(struct pci_func *f);

/* pci_state.c */

void pci_root_save(void *dev, struct buf *b);
MUST_CHECK int pci_root_load(void *dev, struct state_reader *r, struct err *e);

/* pci_root.c */

/* Drive or release the function's line as it should be. */
void pci_intx_update_locked(struct pci_func *f);

/* root->lock, if f is on a bus; setup happens before. */
void pci_lock(struct pci_func *f);
void pci_unlock(struct pci_func *f);

#endif
