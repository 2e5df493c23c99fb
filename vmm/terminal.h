/*
 * The terminal we were started in: raw while the guest has it, sane on every way out.
 */
#ifndef TRELLIS_TERMINAL_H
#define TRELLIS_TERMINAL_H

/*
 * Make standard input raw if it is a terminal and we are in its foreground; otherwise do nothing.
 * From here on exit(), and the signals by which a program dies, restore it. Main thread.
 */
void terminal_make_raw(void);

/* Give the terminal back as it was. Harmless when it is not raw. Any thread, and signal handlers. */
void terminal_restore(void);

/* Raw again after terminal_restore(), e.g. when the user continues us with fg. Main thread. */
void terminal_resume(void);

#endif
