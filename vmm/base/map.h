/*
 * Where everything is: guest-physical addresses, ports and interrupt lines. Plain numbers, read by
 * the machine that builds it and by the firmware tables that describe it. docs/design.md draws it.
 */
#ifndef TRELLIS_BASE_MAP_H
#define TRELLIS_BASE_MAP_H

/* Guest-physical memory. RAM lies below LOW_RAM_MAX and from HIGH_RAM_BASE up. */
#define MAP_EBDA          0x0009fc00ull /* 1 KiB, reserved; conventional memory ends here */
#define MAP_BIOS_BASE     0x000e0000ull /* anchors: RSDP, SMBIOS, MP floating pointer; to 1 MiB */
#define MAP_LOW_RAM_MAX   0xc0000000ull /* 3 GiB */
#define MAP_PCI32_BASE    0xc0000000ull /* 32-bit BARs */
#define MAP_PCI32_LEN     0x20000000ull
#define MAP_ECAM_BASE     0xe0000000ull /* 1 MiB for each bus, PCI Firmware 3.3, 4.1.2 */
#define MAP_ECAM_BUSES    256
#define MAP_IOAPIC_BASE   0xfec00000ull
#define MAP_LAPIC_BASE    0xfee00000ull
#define MAP_IDENTITY_PAGE 0xfeffc000ull /* KVM_SET_IDENTITY_MAP_ADDR: one page */
#define MAP_TSS_BASE      0xfeffd000ull /* KVM_SET_TSS_ADDR: three pages */
#define MAP_HIGH_RAM_BASE 0x100000000ull

/* Ports. */
#define PORT_PIC_MASTER   0x20
#define PORT_PIT          0x40
#define PORT_PORT61       0x61
#define PORT_PIC_SLAVE    0xa0
#define PORT_PIC_ELCR     0x4d0
#define PORT_POST         0x80
#define PORT_PORT92       0x92
#define PORT_RTC          0x70  /* and 0x71 */
#define PORT_I8042_DATA   0x60
#define PORT_I8042_CMD    0x64
#define PORT_COM1         0x3f8
#define PORT_COM2         0x2f8
#define PORT_COM3         0x3e8
#define PORT_COM4         0x2e8
#define PORT_PVPANIC      0x505
#define PORT_PM_BASE      0x600 /* PM1a_EVT 4, PM1a_CNT 2 at +4, PM_TMR 4 at +8 */
#define PORT_PM_EVT       0x600
#define PORT_PM_CNT       0x604
#define PORT_PM_TMR       0x608
#define PORT_GPE0         0x620 /* status then enable, GPE0_LEN bytes in all */
#define GPE0_LEN          8
#define PORT_PCI_ADDR     0xcf8
#define MAP_PCI_IO_BASE   0x1000 /* I/O BARs; to 0xffff */
#define MAP_PCI_IO_LEN    0xf000
#define PORT_RESET        0xcf9 /* also the FADT reset register */
#define PORT_PCI_DATA     0xcfc
#define PORT_DEBUG_EXIT   0xf4
#define RESET_VALUE       0x06  /* bit 1 hard reset, bit 2 do it */
#define PM_SLP_TYP_S5     5     /* what \_S5 gives to PM1a_CNT.SLP_TYP */
#define PM_TMR_BITS       32    /* 24 or 32; 32 needs TMR_VAL_EXT in the FADT */

/* Interrupt lines (GSIs). 0-15 are ISA, 16-19 PCI INTA-INTD, level triggered. */
#define GSI_I8042         1
#define GSI_PIT           2     /* IRQ 0 arrives here (MADT interrupt source override) */
#define GSI_COM1          4     /* and COM3 */
#define GSI_COM2          3     /* and COM4 */
#define GSI_RTC           8
#define GSI_SCI           9
#define GSI_PCI_BASE      16
#define NR_GSI_PCI        4
#define NR_IOAPIC_PINS    24

#endif
