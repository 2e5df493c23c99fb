/*
 * The pool: one list of work, and of idle threads the one that has been idle for the shortest time is woken, so
 * that the others get their rest and end. Ended threads are joined by whoever needs their place.
 */
#include "devices/block/workers.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#include "vmm/base/cpuset.h"
#include "vmm/base/signals.h"

enum {
	WORKER_STACK_BYTES = 128 << 10,
	WORKER_IDLE_S = 10,
};

enum worker_state { WORKER_NONE, WORKER_RUNS, WORKER_ENDED };

struct worker {
	struct workers *pool;
	pthread_t thread;        /* valid unless WORKER_NONE */
	pthread_cond_t called;   /* idle no longer */
	enum worker_state state; /* guarded by the pool's lock, as is all below */
	bool idle;
	struct worker *next_idle;
};

struct workers {
	pthread_mutex_t lock;
	pthread_cond_t ended;      /* no thread runs */
	struct work *first, *last; /* guarded by lock, as is all below; to be done, in order */
	struct worker *idle;       /* latest first */
	unsigned int nr_running;
	bool stop;
	struct worker worker[WORKERS_MAX];
};

struct workers *workers_new(void)
{
	struct workers *p = calloc(1, sizeof(*p));
	pthread_condattr_t attr;

	if (!p)
		return NULL;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->ended, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	for (unsigned int i = 0; i < WORKERS_MAX; i++) {
		p->worker[i].pool = p;
		pthread_cond_init(&p->worker[i].called, &attr);
	}
	pthread_condattr_destroy(&attr);
	return p;
}

static void idle_remove_locked(struct workers *p, struct worker *me)
{
	struct worker **at = &p->idle;

	while (*at != me)
		at = &(*at)->next_idle; /* me is on the list: worker_wait_locked() */
	*at = me->next_idle;
	me->idle = false;
}

/* Wait for work. Returns whether there is any; without, the thread is to end. */
static bool worker_wait_locked(struct workers *p, struct worker *me)
{
	struct timespec until;
	int rc = 0;

	if (p->first || p->stop)
		return p->first != NULL;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += WORKER_IDLE_S;
	me->idle = true;
	me->next_idle = p->idle;
	p->idle = me;
	while (me->idle && !rc)
		rc = pthread_cond_timedwait(&me->called, &p->lock, &until);
	if (me->idle)
		idle_remove_locked(p, me);
	return p->first != NULL || !rc; /* called, but another was quicker: wait again */
}

static struct work *work_take_locked(struct workers *p)
{
	struct work *w = p->first;

	if (w)
		p->first = w->next;
	if (!p->first)
		p->last = NULL;
	return w;
}

static void *worker_main(void *arg)
{
	struct worker *me = arg;
	struct workers *p = me->pool;

	affinity_enter_io();
	prctl(PR_SET_NAME, "blk-worker");
	pthread_mutex_lock(&p->lock);
	while (worker_wait_locked(p, me)) {
		struct work *w = work_take_locked(p);

		if (!w)
			continue;
		pthread_mutex_unlock(&p->lock);
		w->run(w);
		pthread_mutex_lock(&p->lock);
	}
	me->state = WORKER_ENDED;
	p->nr_running--;
	pthread_cond_signal(&p->ended);
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static int worker_start_locked(struct workers *p)
{
	pthread_attr_t attr;
	struct worker *w = p->worker;
	sigset_t mask, old;
	int rc;

	while (w < p->worker + WORKERS_MAX && w->state == WORKER_RUNS)
		w++;
	if (w == p->worker + WORKERS_MAX)
		return -EAGAIN;
	if (w->state == WORKER_ENDED)
		pthread_join(w->thread, NULL); /* it has let go of the lock, or is about to return */
	w->state = WORKER_NONE;
	signals_fill_but_faults(&mask);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, WORKER_STACK_BYTES);
	pthread_sigmask(SIG_SETMASK, &mask, &old); /* inherited: signals are the main thread's */
	rc = -pthread_create(&w->thread, &attr, worker_main, w); /* joined above, or in workers_free() */
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (rc < 0)
		return rc;
	w->state = WORKER_RUNS;
	p->nr_running++;
	return 0;
}

void workers_add(struct workers *p, struct work *w)
{
	struct worker *me;
	int rc = 0;

	w->next = NULL;
	pthread_mutex_lock(&p->lock);
	me = p->idle;
	if (!me && p->nr_running < WORKERS_MAX)
		rc = worker_start_locked(p);
	if (rc < 0 && !p->nr_running) { /* slow, but neither lost nor stuck */
		pthread_mutex_unlock(&p->lock);
		w->run(w);
		return;
	}
	if (p->last)
		p->last->next = w;
	else
		p->first = w;
	p->last = w;
	if (me) {
		idle_remove_locked(p, me);
		pthread_cond_signal(&me->called);
	}
	pthread_mutex_unlock(&p->lock);
}

void workers_free(struct workers *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	for (struct worker *w = p->idle; w; w = p->idle) {
		idle_remove_locked(p, w);
		pthread_cond_signal(&w->called);
	}
	while (p->nr_running)
		pthread_cond_wait(&p->ended, &p->lock);
	pthread_mutex_unlock(&p->lock);
	for (unsigned int i = 0; i < WORKERS_MAX; i++) {
		if (p->worker[i].state == WORKER_ENDED)
			pthread_join(p->worker[i].thread, NULL);
		pthread_cond_destroy(&p->worker[i].called);
	}
	pthread_cond_destroy(&p->ended);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
