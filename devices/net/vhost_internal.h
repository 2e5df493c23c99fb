/* For vhost.c and its test: what it asks of the kernel, in a file of its own, so that a test can be the kernel. */
#ifndef TRELLIS_DEVICES_NET_VHOST_INTERNAL_H
#define TRELLIS_DEVICES_NET_VHOST_INTERNAL_H

/* Open /dev/vhost-net. Returns a descriptor or a negative errno. */
int vhost_host_open(void);

/* ioctl(2) on it. Returns 0 or a negative errno. */
int vhost_host_call(int fd, unsigned int request, void *arg);

#endif
