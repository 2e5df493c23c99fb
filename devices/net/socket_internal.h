/* What socket.c and datagram.c share: places in the file system where sockets are. */
#ifndef TRELLIS_DEVICES_NET_SOCKET_INTERNAL_H
#define TRELLIS_DEVICES_NET_SOCKET_INTERNAL_H

#include <sys/un.h>

#include "vmm/base/base.h"
#include "vmm/base/err.h"

/* Returns 0; -EINVAL or -ENAMETOOLONG with a sentence. suffix is put behind path. */
MUST_CHECK int socket_address(struct sockaddr_un *addr, const char *path, const char *suffix, struct err *e);

/*
 * Keep other trellis out of the directory while a path in it is looked at and taken: two that start at once would
 * each find nobody.
 * wait  for another to be done, up to a second
 * Returns a descriptor for socket_unlock(), also when this user cannot lock the directory; -EAGAIN with a sentence
 * while another has it.
 */
MUST_CHECK int socket_lock(const struct sockaddr_un *addr, bool wait, struct err *e);
void socket_unlock(int lock);

/* Bind fd to addr, in place of a socket that nobody has open any more. Returns 0 or a negative errno with a sentence. */
MUST_CHECK int socket_bind(int fd, const struct sockaddr_un *addr, int type, struct err *e);

/*
 * A new socket of this type, connected to addr. Returns it; -ENOENT when nobody is there (no file, a leftover, or a
 * file that is no socket); another negative errno with a sentence.
 */
MUST_CHECK int socket_connect(const struct sockaddr_un *addr, int type, struct err *e);

/* The sentences of socket_connect(). They return a negative errno. */
int socket_refuse_type(const struct sockaddr_un *addr, int type, struct err *e);
int socket_refuse_connecting(int rc, const struct sockaddr_un *addr, struct err *e);

/*
 * Who has a socket open at addr? Asked so that nobody notices: a datagram socket is connected, which tells the other
 * side nothing, and which those of other types refuse (net/unix/af_unix.c, v6.1, unix_find_bsd()).
 * rc  receives what connect(2) said, for SOCKET_UNKNOWN
 */
enum socket_there { SOCKET_NOBODY, SOCKET_STREAM, SOCKET_DATAGRAM, SOCKET_UNKNOWN };
enum socket_there socket_look(const struct sockaddr_un *addr, int *rc);

/* Would socket_bind() succeed? Returns as that does, with its sentences; changes nothing. */
MUST_CHECK int socket_check_bind(const struct sockaddr_un *addr, struct err *e);

/* datagram.c: netdev_socket_open() and netdev_socket_check() for datagrams. */
struct netdev;
MUST_CHECK int datagram_open(struct netdev **n, const char *path, struct err *e);
MUST_CHECK int datagram_check(const char *path, struct err *e);

#endif
