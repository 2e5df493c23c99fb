/* Switching the machine off, shared by poweroff_acpi and power_button. */
#ifndef GUEST_POWER_H
#define GUEST_POWER_H

#include <stdint.h>

/* SLP_TYP of S5; bails out if the DSDT has no \_S5 that can be read. */
uint16_t power_find_s5(void);
/* Enter S5 (ACPI 6.4, 16.1.7); bails out if the machine is still on 2 s later. */
_Noreturn void power_off(uint16_t type);

#endif
