/* Spans of a file that are being written: a list by arrival. It moves no data. */
#include "devices/block/span.h"

#include <stdlib.h>

struct spans *spans_new(void)
{
	struct spans *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->released, NULL);
	return s;
}

void spans_free(struct spans *s)
{
	if (!s)
		return;
	pthread_cond_destroy(&s->released);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* Is somebody before sp in its way? With sp not listed yet: somebody at all. */
static bool span_blocked_locked(const struct spans *s, const struct span *sp)
{
	if (!s->nr_alone)
		return false;
	for (const struct span *o = s->first; o && o != sp; o = o->next)
		if ((o->alone || sp->alone) && o->start < sp->end && sp->start < o->end)
			return true;
	return false;
}

static void span_append_locked(struct spans *s, struct span *sp)
{
	sp->listed = true;
	sp->next = NULL;
	sp->prev = s->last;
	if (s->last)
		s->last->next = sp;
	else
		s->first = sp;
	s->last = sp;
	s->nr_alone += sp->alone;
}

void spans_hold(struct spans *s, struct span *sp, uint64_t start, uint64_t end, bool alone)
{
	*sp = (struct span){ .start = start, .end = end, .alone = alone };
	pthread_mutex_lock(&s->lock);
	span_append_locked(s, sp);
	s->nr_waiting++;
	while (span_blocked_locked(s, sp))
		pthread_cond_wait(&s->released, &s->lock);
	s->nr_waiting--;
	pthread_mutex_unlock(&s->lock);
}

bool spans_try_share(struct spans *s, struct span *sp, uint64_t start, uint64_t end)
{
	bool ok;

	*sp = (struct span){ .start = start, .end = end };
	pthread_mutex_lock(&s->lock);
	ok = !span_blocked_locked(s, sp);
	if (ok)
		span_append_locked(s, sp);
	pthread_mutex_unlock(&s->lock);
	return ok;
}

void spans_release(struct spans *s, struct span *sp)
{
	if (!sp->listed)
		return;
	pthread_mutex_lock(&s->lock);
	*(sp->prev ? &sp->prev->next : &s->first) = sp->next;
	*(sp->next ? &sp->next->prev : &s->last) = sp->prev;
	s->nr_alone -= sp->alone;
	sp->listed = false;
	if (s->nr_waiting)
		pthread_cond_broadcast(&s->released);
	pthread_mutex_unlock(&s->lock);
}
