/* The runtime's own entry; tests do not call it. */
#ifndef GUEST_RUNTIME_H
#define GUEST_RUNTIME_H

/* Called by start.S on the boot CPU, in long mode, interrupts off. Sets up console, traps, LAPIC; runs
 * test_main(); leaves by the exit port. */
void runtime_main(void);

#endif
