/*
 * The common half of the reset_* programs: a marker in CMOS RAM tells the second boot from the first.
 *
 * First boot: dirty the machine, leave the marker, reset. Second boot: see the marker, clear it, check that
 * the machine is as new. With the word "once" on the command line the reset should end the VMM
 * (--no-reboot), so the plan is printed before it.
 */
#ifndef GUEST_RESET_H
#define GUEST_RESET_H

/* Run both halves; way() must reset the machine and identifies itself by a number 1..255. Bails out if the
 * machine still lives 2 s after way() returned. */
void reset_check(unsigned char number, void (*way)(void));

#endif
