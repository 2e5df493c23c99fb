/*
 * Token buckets. Amounts are whole tokens; what a refill leaves over in nanoseconds is kept, so that no rate
 * is lost to rounding however often somebody asks.
 */
#include "vmm/base/throttle.h"

enum { NS_PER_S = 1000000000 };

static void bucket_init(struct throttle_bucket *b, uint64_t rate, uint64_t burst)
{
	/* Half the range: refills and debts of such a bucket cannot overflow. */
	b->rate = MIN(rate, (uint64_t)INT64_MAX / 4);
	b->burst = MIN(burst ? burst : MAX(b->rate / 10, 1ull), (uint64_t)INT64_MAX / 4);
	b->tokens = (int64_t)b->burst;
	b->rest = 0;
}

void throttle_init(struct throttle *t, const struct throttle_limits *limits)
{
	*t = (struct throttle){ 0 };
	pthread_mutex_init(&t->lock, NULL);
	bucket_init(&t->ops, limits->ops, limits->ops_burst);
	bucket_init(&t->bytes, limits->bytes, limits->bytes_burst);
}

void throttle_fini(struct throttle *t)
{
	pthread_mutex_destroy(&t->lock);
}

static void bucket_refill(struct throttle_bucket *b, uint64_t ns)
{
	unsigned __int128 earned;
	uint64_t tokens;

	if (!b->rate || b->tokens == (int64_t)b->burst)
		return;
	earned = (unsigned __int128)b->rate * ns + b->rest;
	b->rest = (uint64_t)(earned % NS_PER_S);
	earned /= NS_PER_S;
	tokens = (uint64_t)((int64_t)b->burst - b->tokens);
	if (earned < tokens) {
		b->tokens += (int64_t)earned;
	} else {
		b->tokens = (int64_t)b->burst;
		b->rest = 0;
	}
}

/* In how many nanoseconds the bucket holds what a request of n needs: n, or its burst if that is less. */
static uint64_t bucket_wait(const struct throttle_bucket *b, uint64_t n)
{
	int64_t need = (int64_t)MIN(n, b->burst);
	unsigned __int128 ns;

	if (!b->rate || b->tokens >= need)
		return 0;
	ns = (unsigned __int128)(uint64_t)(need - b->tokens) * NS_PER_S - b->rest;
	ns = (ns + b->rate - 1) / b->rate;
	return ns > UINT64_MAX ? UINT64_MAX : (uint64_t)ns;
}

static void bucket_take(struct throttle_bucket *b, uint64_t n)
{
	if (b->rate)
		b->tokens -= (int64_t)MIN(n, (uint64_t)INT64_MAX / 4);
}

static void end_wait(struct throttle *t, uint64_t now_ns)
{
	uint64_t end = MIN(now_ns, t->waiting_until_ns);

	if (t->waiting_since_ns && end > t->waiting_since_ns)
		t->waited_ns += end - t->waiting_since_ns;
	t->waiting_since_ns = t->waiting_until_ns = 0;
}

uint64_t throttle_take(struct throttle *t, uint64_t now_ns, uint64_t bytes, bool again)
{
	uint64_t wait;

	if (!throttle_active(t))
		return 0;
	pthread_mutex_lock(&t->lock);
	if (t->started && now_ns > t->refilled_ns) {
		bucket_refill(&t->ops, now_ns - t->refilled_ns);
		bucket_refill(&t->bytes, now_ns - t->refilled_ns);
	}
	if (!t->started || now_ns > t->refilled_ns) /* threads read the clock before they take the lock */
		t->refilled_ns = now_ns;
	t->started = true;

	wait = MAX(bucket_wait(&t->ops, 1), bucket_wait(&t->bytes, bytes));
	if (wait) {
		t->waits += !again;
		if (t->waiting_until_ns < now_ns)
			end_wait(t, now_ns);
		if (!t->waiting_since_ns)
			t->waiting_since_ns = now_ns;
		t->waiting_until_ns = MAX(t->waiting_until_ns, now_ns + MIN(wait, UINT64_MAX - now_ns));
	} else {
		bucket_take(&t->ops, 1);
		bucket_take(&t->bytes, bytes);
		end_wait(t, now_ns);
	}
	pthread_mutex_unlock(&t->lock);
	return wait;
}
