/*
 * Ports of the host that lead into the guest: "tcp:2222:22", "udp:127.0.0.1/5300-5310:53-63". They are parsed and
 * looked at here; passt.c has them forwarded.
 */
#ifndef TRELLIS_DEVICES_NET_FORWARD_H
#define TRELLIS_DEVICES_NET_FORWARD_H

#include <netinet/in.h>

#include "vmm/base/base.h"
#include "vmm/base/err.h"

enum { FORWARD_MAX = 64 }; /* of one interface */

struct forward {
	bool udp;
	int family; /* of addr: AF_INET, AF_INET6; 0: on every address */
	char addr[INET6_ADDRSTRLEN];
	uint16_t host, guest; /* the first ports of either side, never 0 */
	uint16_t count;       /* how many from there up, at least 1 */
};

/*
 * Parse "tcp:" or "udp:" and a list of [ADDR/]HOST[-HOST][:GUEST[-GUEST]] with commas between; without GUEST the
 * numbers are the same on both sides.
 * f, max  receives them
 * Returns how many they are; -EINVAL with a sentence that shows what would be accepted.
 */
MUST_CHECK int forward_parse(const char *text, struct forward *f, unsigned int max, struct err *e);

/*
 * Could somebody listen on the host's ports? It looks and lets go, so what it finds can change.
 * privileged  they may take the low ports, too
 * Returns 0; a negative errno with a sentence that names the port.
 */
MUST_CHECK int forward_check_free(const struct forward *f, bool privileged, struct err *e);

/* As passt's -t and -u take it: "127.0.0.1/2222-2223:22-23". size: at least FORWARD_SPEC bytes. */
enum { FORWARD_SPEC = INET6_ADDRSTRLEN + 32 };
void forward_spec(const struct forward *f, char *spec, size_t size);

#endif
