/*
 * Forwarded ports, as the command line has them. It forwards nothing itself.
 */
#include "devices/net/forward.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define FORWARD_SYNTAX "expected e.g. tcp:2222:22, udp:5300:53, tcp:127.0.0.1/8000-8010:80-90"

/* A port number at *at, which moves behind it. Returns 0 when there is none from 1 to 65535. */
static uint16_t take_port(const char **at)
{
	const char *s = *at;
	uint32_t port = 0;

	while (*s >= '0' && *s <= '9' && port <= UINT16_MAX)
		port = port * 10 + (uint32_t)(*s++ - '0');
	if (port == 0 || port > UINT16_MAX)
		return 0;
	*at = s;
	return (uint16_t)port;
}

/* "8000" or "8000-8010". Returns how many ports, 0 when that is none. */
static uint32_t take_range(const char **at, uint16_t *first)
{
	uint16_t last;

	*first = last = take_port(at);
	if (last && **at == '-') {
		(*at)++;
		last = take_port(at);
	}
	return last && last >= *first ? (uint32_t)last - *first + 1 : 0;
}

/* "127.0.0.1", "::1" or "[::1]", the len bytes from text on. */
static int parse_address(struct forward *f, const char *text, size_t len)
{
	struct in6_addr bytes;

	if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	if (len >= sizeof(f->addr))
		return -EINVAL;
	memcpy(f->addr, text, len);
	f->addr[len] = '\0';
	if (inet_pton(AF_INET, f->addr, &bytes) == 1)
		f->family = AF_INET;
	else if (inet_pton(AF_INET6, f->addr, &bytes) == 1)
		f->family = AF_INET6;
	else
		return -EINVAL;
	return 0;
}

/* One item of the list, up to its end or a comma; *at moves there. */
static int parse_item(struct forward *f, const char **at, const char *text, struct err *e)
{
	const char *start = *at, *slash = strchr(start, '/'), *s = start;
	size_t len = strcspn(start, ",");
	uint32_t count, guests;

	if (slash && (size_t)(slash - start) < len) {
		if (parse_address(f, start, (size_t)(slash - start)) < 0)
			return err_usage(e, "forward %s: '%.*s' is no IP address; " FORWARD_SYNTAX, text,
					 (int)(slash - start), start);
		s = slash + 1;
	}
	count = guests = take_range(&s, &f->host);
	f->guest = f->host;
	if (count && *s == ':') {
		s++;
		guests = take_range(&s, &f->guest);
	}
	if (!count || !guests || s != start + len)
		return err_usage(e, "forward %s: '%.*s' are no ports from 1 to 65535; " FORWARD_SYNTAX, text,
				 (int)len, start);
	if (count != guests)
		return err_usage(
			e, "forward %s: %u ports here lead to %u in the guest; give as many on both sides",
			text, count, guests);
	f->count = (uint16_t)count;
	*at = s;
	return 0;
}

int forward_parse(const char *text, struct forward *f, unsigned int max, struct err *e)
{
	bool udp = strncmp(text, "udp:", 4) == 0;
	const char *at = text + 4;
	unsigned int nr = 0;
	int rc;

	if (!udp && strncmp(text, "tcp:", 4) != 0)
		return err_usage(e, "forward %s: " FORWARD_SYNTAX, text);
	for (;;) {
		if (nr == max)
			return err_usage(
				e,
				"forward %s: more than the %u forwards that are possible in all; use ranges",
				text, max);
		f[nr] = (struct forward){ .udp = udp };
		rc = parse_item(&f[nr], &at, text, e);
		if (rc < 0)
			return rc;
		nr++;
		if (*at == '\0')
			return (int)nr;
		at++;
	}
}

static const char *protocol(const struct forward *f)
{
	return f->udp ? "UDP" : "TCP";
}

static socklen_t make_address(const struct forward *f, int family, uint16_t port, struct sockaddr_in6 *room)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)room;

	memset(room, 0, sizeof(*room));
	if (family == AF_INET) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		if (f->family)
			(void)inet_pton(AF_INET, f->addr, &v4->sin_addr);
		return sizeof(*v4);
	}
	room->sin6_family = AF_INET6;
	room->sin6_port = htons(port);
	if (f->family)
		(void)inet_pton(AF_INET6, f->addr, &room->sin6_addr);
	return sizeof(*room);
}

/* Bind and let go. Returns 0 or a negative errno, or 0 when this host has no such family. */
static int try_port(const struct forward *f, int family, uint16_t port)
{
	struct sockaddr_in6 addr;
	socklen_t len = make_address(f, family, port, &addr);
	int fd = socket(family, (f->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0), one = 1, rc;

	if (fd < 0)
		return errno == EAFNOSUPPORT ? 0 : -errno;
	if (family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (!f->udp) /* as passt does: connections that are closing do not matter, who listens does */
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	rc = bind(fd, (struct sockaddr *)&addr, len) < 0 ? -errno : 0;
	close(fd);
	if (rc == -EADDRNOTAVAIL && !f->family) /* IPv6 is there, but switched off */
		return 0;
	return rc;
}

/* The first port that everybody may take. */
static unsigned int first_unprivileged_port(void)
{
	FILE *file = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "re");
	char line[16] = "";
	unsigned int port = 1024;

	if (!file)
		return port;
	if (fgets(line, sizeof(line), file))
		port = (unsigned int)strtoul(line, NULL, 10);
	fclose(file);
	return port;
}

static int complain(const struct forward *f, uint16_t port, int rc, struct err *e)
{
	switch (rc) {
	case -EADDRINUSE:
		return err_set(e, rc,
			       "%s port %u is in use; choose another, or see with `ss -lnp` who has it",
			       protocol(f), port);
	case -EACCES:
		return err_set(
			e, rc,
			"%s port %u is for root alone, which passt never is; choose one from %u up, or have an administrator run "
			"`sysctl net.ipv4.ip_unprivileged_port_start=%u`",
			protocol(f), port, first_unprivileged_port(), port);
	case -EADDRNOTAVAIL:
		return err_set(e, rc, "%s port %u: this host has no address %s", protocol(f), port, f->addr);
	default:
		return err_sys(e, rc, "%s port %u cannot be used", protocol(f), port);
	}
}

int forward_check_free(const struct forward *f, bool privileged, struct err *e)
{
	static const int any[] = { AF_INET, AF_INET6 };
	int rc;

	if (!privileged && f->host < first_unprivileged_port())
		return complain(f, f->host, -EACCES, e);
	for (uint32_t port = f->host; port < (uint32_t)f->host + f->count; port++) {
		for (unsigned int i = 0; i < ARRAY_SIZE(any); i++) {
			if (f->family && f->family != any[i])
				continue;
			rc = try_port(f, any[i], (uint16_t)port);
			if (rc < 0)
				return complain(f, (uint16_t)port, rc, e);
		}
	}
	return 0;
}

static void print_range(char *out, size_t size, uint16_t first, uint16_t count)
{
	if (count == 1)
		snprintf(out, size, "%u", first);
	else
		snprintf(out, size, "%u-%u", first, first + count - 1);
}

void forward_spec(const struct forward *f, char *spec, size_t size)
{
	char host[16], guest[16];

	print_range(host, sizeof(host), f->host, f->count);
	print_range(guest, sizeof(guest), f->guest, f->count);
	snprintf(spec, size, "%s%s%s:%s", f->family ? f->addr : "", f->family ? "/" : "", host, guest);
}
