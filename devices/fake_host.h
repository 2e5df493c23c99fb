/*
 * For unit tests of this folder only: a machine that remembers how it was stopped. Include it in one file of
 * a test program.
 */
#ifndef TRELLIS_DEVICES_FAKE_HOST_H
#define TRELLIS_DEVICES_FAKE_HOST_H

#include "vmm/base/dev.h"

static struct {
	unsigned int stops;
	enum stop_reason why;
	int value;
} fake_stopped;

static void fake_stop(void *ctx, enum stop_reason why, int value)
{
	(void)ctx;
	fake_stopped.stops++;
	fake_stopped.why = why;
	fake_stopped.value = value;
}

static const struct dev_host fake_host = { .stop = fake_stop };

#endif
