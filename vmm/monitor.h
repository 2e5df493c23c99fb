/*
 * The monitor: a line protocol on a Unix socket, until the control socket comes. docs/trellis.1 describes it.
 *
 *   balloon SIZE   the guest is to have SIZE of memory ("512M"); answers "ok" or "error: sentence"
 *   balloon?       answers "balloon actual=BYTES target=BYTES"
 *   stats          answers one line "NAME KEY=VALUE ..." for each device that has numbers, then "ok"
 *
 * What is none of these is answered with "error: sentence". One client at a time; commands are taken up in
 * order, the next when the answer to the last has been taken; a line has at most 255 bytes.
 */
#ifndef TRELLIS_MONITOR_H
#define TRELLIS_MONITOR_H

#include "devices/chardev.h"
#include "vmm/base/buf.h"

/* What a command may use; ctx is the machine's. All on the loop's thread. */
struct monitor_ops {
	int (*set_balloon)(void *ctx, uint64_t bytes, struct err *e);
	int (*get_balloon)(void *ctx, uint64_t *actual, uint64_t *target, struct err *e);
	void (*stats)(void *ctx, struct buf *text); /* whole lines */
};

#define MONITOR_LABEL "monitor" /* its stream's, for messages */

struct monitor {
	struct chardev chr;
	bool open;
	const struct monitor_ops *ops; /* borrowed */
	void *ctx;
	char line[256];
	size_t len;
	bool too_long;                 /* the rest of the line is dropped */
	struct buf answer;             /* owned; what there was no room for */
	size_t answered;               /* bytes of it that went */
};

/* Listen at path, on the main loop. Returns 0 or a negative errno with a sentence. fini: safe on all zero. */
MUST_CHECK int monitor_init(struct monitor *m, const char *path, struct loop *loop, const struct monitor_ops *ops,
			    void *ctx, struct err *e);
void monitor_fini(struct monitor *m);

#endif
