/*
 * Between chardev.c (moving bytes), chardev_open.c (what they move to) and chardev_check.c (whether they can). Loop
 * thread or setup.
 */
#ifndef TRELLIS_DEVICES_CHARDEV_INTERNAL_H
#define TRELLIS_DEVICES_CHARDEV_INTERNAL_H

#include "devices/chardev.h"

/* Why a stream cannot be opened. Each returns a negative errno. */
int chardev_refuse_writing(int rc, const char *label, const char *path, struct err *e);
int chardev_refuse_busy(const char *label, const char *path, struct err *e);
int chardev_refuse_pty(int rc, const char *label, struct err *e);
int chardev_refuse_long(const char *label, const char *path, struct err *e);
int chardev_refuse_taken(const char *label, const char *path, struct err *e);
int chardev_refuse_listening(int rc, const char *label, const char *path, struct err *e);

/* Open what c->kind and c->path say and begin waiting for input. */
MUST_CHECK int chardev_open(struct chardev *c, struct err *e);
void chardev_close(struct chardev *c);

/* The socket's client is gone: listen again. */
void chardev_hang_up(struct chardev *c);

/* Somebody is connected or not; tells the user when that is news. */
void chardev_set_open(struct chardev *c, bool open);

/* Stop reading because the buffer is full; chardev_read() makes the loop resume. */
void chardev_pause_input(struct chardev *c);
void chardev_resume_input(struct chardev *c);

/* The socket's client went while input is paused: what it sent stays to be read, until another client comes. */
void chardev_client_left(struct chardev *c);

/* read(2) gave the end of input or an error. */
void chardev_input_ended(struct chardev *c);

/* Read once, as far as there is room, and tell the user. */
void chardev_input(struct chardev *c);
void chardev_in_ready(void *ctx, uint32_t events);

#endif
