/*
 * PCI configuration space of segment 0 by both ways: ports 0xcf8/0xcfc (PCI Local Bus 3.0, 3.2.2.3.2)
 * and ECAM (PCI Express 4.0, 7.2.2). bdf is bus << 8 | device << 3 | function. Offsets are aligned to the size.
 */
#ifndef GUEST_PCI_H
#define GUEST_PCI_H

#include <stdbool.h>
#include <stdint.h>

#define PCI_BDF(bus, device, function) ((uint16_t)((bus) << 8 | (device) << 3 | (function)))
#define PCI_NONE 0xffff

enum { PCI_COMMAND = 0x04, PCI_HEADER_TYPE = 0x0e, PCI_BAR0 = 0x10, PCI_CAPABILITIES = 0x34, PCI_LINE = 0x3c, PCI_PIN = 0x3d };
enum { PCI_COMMAND_MEMORY = 2, PCI_COMMAND_MASTER = 4, PCI_COMMAND_NO_INTX = 0x400 };

/* Read 1, 2 or 4 bytes of the first 256 through the ports. */
uint32_t pci_read(uint16_t bdf, unsigned int offset, unsigned int bytes);
/* Write 1, 2 or 4 bytes through the ports. */
void pci_write(uint16_t bdf, unsigned int offset, unsigned int bytes, uint32_t value);
/* Read 1, 2 or 4 bytes of the 4096 through ECAM; needs acpi_ecam_base(). */
uint32_t pci_ecam_read(uint16_t bdf, unsigned int offset, unsigned int bytes);
/* Write 1, 2 or 4 bytes through ECAM. */
void pci_ecam_write(uint16_t bdf, unsigned int offset, unsigned int bytes, uint32_t value);
/* The first function on bus 0 with these ids, or PCI_NONE. */
uint16_t pci_find(uint16_t vendor, uint16_t device);
/* Offset of a capability, or 0. Bounded, so that a looped list ends. */
unsigned int pci_find_capability(uint16_t bdf, uint8_t id);
/* Size in bytes of a 32-bit memory BAR by writing ones (PCI 3.0, 6.2.5.1); decode is off meanwhile. */
uint32_t pci_bar_bytes(uint16_t bdf, unsigned int bar);

#endif
