/* One request to rtnetlink(7), and what the kernel would let us do. */
#include "devices/net/link.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/nsfs.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	ANSWER_BYTES = 32 << 10, /* without lists of virtual functions it has some 2 KiB */
	MAX_GROUPS = 1024,
};

/* Returns the length of the answer or a negative errno. */
static ssize_t ask(const char *name, void *answer)
{
	struct {
		struct nlmsghdr head;
		struct ifinfomsg info;
		struct rtattr attr;
		char name[IFNAMSIZ];
	} q = {
		.head = { .nlmsg_len = sizeof(q), .nlmsg_type = RTM_GETLINK, .nlmsg_flags = NLM_F_REQUEST },
		.attr = { .rta_len = RTA_LENGTH(IFNAMSIZ), .rta_type = IFLA_IFNAME },
	};
	const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	ssize_t len;

	if (fd < 0)
		return -errno;
	snprintf(q.name, sizeof(q.name), "%s", name);
	len = sendto(fd, &q, sizeof(q), 0, (const struct sockaddr *)&kernel, sizeof(kernel));
	if (len >= 0) /* the kernel has answered by now */
		len = recv(fd, answer, ANSWER_BYTES, MSG_DONTWAIT | MSG_TRUNC);
	len = len < 0 ? -errno : len > ANSWER_BYTES ? -EMSGSIZE : len;
	close(fd);
	return len;
}

/* The attribute of that type among len bytes of attributes, or NULL; it has at least bytes of payload. */
static const void *find(const void *attributes, size_t len, unsigned int type, size_t bytes, size_t *payload)
{
	const uint8_t *at = attributes;

	while (len >= sizeof(struct rtattr)) {
		const struct rtattr *a = (const void *)at;
		size_t step = RTA_ALIGN((size_t)a->rta_len);

		if (a->rta_len < sizeof(*a) || a->rta_len > len)
			return NULL;
		if ((a->rta_type & NLA_TYPE_MASK) == type && a->rta_len - sizeof(*a) >= bytes) {
			if (payload)
				*payload = a->rta_len - sizeof(*a);
			return at + sizeof(*a);
		}
		if (step > len)
			return NULL;
		at += step;
		len -= step;
	}
	return NULL;
}

static bool find_u8(const void *attributes, size_t len, unsigned int type, uint8_t *v)
{
	const uint8_t *p = find(attributes, len, type, sizeof(*v), NULL);

	if (p)
		*v = *p;
	return p != NULL;
}

static void find_u32(const void *attributes, size_t len, unsigned int type, uint32_t *v)
{
	const void *p = find(attributes, len, type, sizeof(*v), NULL);

	if (p)
		memcpy(v, p, sizeof(*v));
}

static void read_tun(struct net_link *l, const void *data, size_t len)
{
	uint8_t type = 0, many = 0;

	l->tun_known =
		find_u8(data, len, IFLA_TUN_TYPE, &type) && find_u8(data, len, IFLA_TUN_MULTI_QUEUE, &many);
	l->tap = type == IFF_TAP;
	l->multi_queue = many;
	find_u32(data, len, IFLA_TUN_OWNER, &l->owner);
	find_u32(data, len, IFLA_TUN_GROUP, &l->group);
}

static void read_link(struct net_link *l, const void *attributes, size_t len)
{
	size_t info_len, kind_len, data_len;
	const void *info = find(attributes, len, IFLA_LINKINFO, 0, &info_len), *data;
	const char *kind = info ? find(info, info_len, IFLA_INFO_KIND, 0, &kind_len) : NULL;
	uint8_t carrier = 0;

	find_u32(attributes, len, IFLA_MTU, &l->mtu);
	(void)find_u8(attributes, len, IFLA_CARRIER, &carrier);
	l->carrier = carrier;
	if (!kind)
		return;
	snprintf(l->kind, sizeof(l->kind), "%.*s", (int)MIN(kind_len, sizeof(l->kind)), kind);
	data = find(info, info_len, IFLA_INFO_DATA, 0, &data_len);
	if (data && !strcmp(l->kind, "tun"))
		read_tun(l, data, data_len);
}

int net_link_read(struct net_link *l, const char *name)
{
	union {
		struct nlmsghdr head;
		uint8_t bytes[ANSWER_BYTES];
	} answer;
	const size_t before = NLMSG_SPACE(sizeof(struct ifinfomsg));
	ssize_t len;

	*l = (struct net_link){ .owner = NET_LINK_ANYBODY, .group = NET_LINK_ANYBODY };
	if (strlen(name) >= IFNAMSIZ)
		return -ENODEV;
	len = ask(name, &answer);
	if (len < 0)
		return (int)len;
	if ((size_t)len < sizeof(answer.head) || answer.head.nlmsg_len > (size_t)len)
		return -EPROTO;
	if (answer.head.nlmsg_type == NLMSG_ERROR && answer.head.nlmsg_len >= NLMSG_LENGTH(sizeof(int)))
		return MIN(((const struct nlmsgerr *)NLMSG_DATA(&answer.head))->error, -1);
	if (answer.head.nlmsg_type != RTM_NEWLINK || answer.head.nlmsg_len < before)
		return -EPROTO;
	read_link(l, answer.bytes + before, answer.head.nlmsg_len - before);
	return 0;
}

bool net_link_may_administer(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct have[_LINUX_CAPABILITY_U32S_3] = { 0 };
	int ns, user_ns;
	bool ours;

	if (syscall(SYS_capget, &head, have) < 0 || !(have[0].effective >> CAP_NET_ADMIN & 1))
		return false;
	/* Root of a user namespace is nobody in a network namespace of its parent's (ioctl_ns(2), Linux 4.9). */
	ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (ns < 0)
		return true;
	user_ns = ioctl(ns, NS_GET_USERNS);
	ours = user_ns >= 0 || errno != EPERM;
	if (user_ns >= 0)
		close(user_ns);
	close(ns);
	return ours;
}

static bool in_group(uint32_t group)
{
	gid_t groups[MAX_GROUPS];
	int nr = getgroups(MAX_GROUPS, groups);

	if (group == getegid())
		return true;
	for (int i = 0; i < nr; i++)
		if (groups[i] == group)
			return true;
	return nr < 0; /* too many to tell */
}

bool net_link_may_use(const struct net_link *l)
{
	return ((l->owner == NET_LINK_ANYBODY || l->owner == geteuid()) &&
		(l->group == NET_LINK_ANYBODY || in_group(l->group))) ||
	       net_link_may_administer();
}
