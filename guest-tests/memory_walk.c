/*
 * A walk through memory at random: each of its cache lines, one a page of 4 KiB, names the next, in one circle through
 * all of them. The checks are that it is one circle; the figure is what a step costs, and that is mostly the TLB's
 * doing: tools/bench compares what backs the guest's memory by it.
 *
 * Command line: mib=N, over so much RAM (16); laps=N timed ones (5); seed=N; 1g, in guest pages of 1 GiB (lib/ram.h).
 * "# figures: median_ps=N best_ps=N", of the laps, in picoseconds a step. It does not say what data bandwidth is, nor
 * how one page more or less in the processor's caches matters.
 */
#include "lib/clock.h"
#include "lib/cpu.h"
#include "lib/multiboot.h"
#include "lib/ram.h"
#include "lib/tap.h"
#include "lib/user.h"

#define MIB      0x100000UL
#define PAGE     4096UL
#define LINE     64UL
#define MAX_LAPS 99

/* At the start of its line. */
struct element {
	struct element *next;
	uint64_t number;
	uint64_t seen;
};

/* What the functions in ring 3 work on. */
struct walk {
	uint64_t start, nr; /* elements: one in each of nr pages from start on */
	uint64_t seed;
	uint64_t sum, tsc;
	struct element *last;
};

/* SplitMix64's output function: https://prng.di.unimi.it/splitmix64.c. */
static uint64_t walk_mix(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

/* Lines differ from page to page, else all would share a few sets of each cache. */
static struct element *walk_element(const struct walk *w, uint64_t i)
{
	uint64_t line = walk_mix(w->seed + i) % (PAGE / LINE);

	return (struct element *)cpu_hide(w->start + i * PAGE + line * LINE);
}

/* Sattolo's algorithm: a random permutation that is one circle. Ring 3. */
static uint64_t walk_prepare(void *data)
{
	struct walk *w = data;
	uint64_t state = w->seed;

	for (uint64_t i = 0; i < w->nr; i++) {
		struct element *e = walk_element(w, i);

		*e = (struct element){ .next = e, .number = i };
	}
	for (uint64_t i = w->nr - 1; i > 0; i--) {
		struct element *a = walk_element(w, i), *b, *next = a->next;

		state += 0x9e3779b97f4a7c15ULL;
		b = walk_element(w, walk_mix(state) % i);
		a->next = b->next;
		b->next = next;
	}
	return 0;
}

/* Returns how many elements were met for the first time. Ring 3. */
static uint64_t walk_count(void *data)
{
	struct walk *w = data;
	struct element *e = walk_element(w, 0);
	uint64_t fresh = 0;

	for (uint64_t i = 0; i < w->nr; i++) {
		fresh += !e->seen;
		e->seen = 1;
		e = e->next;
	}
	w->last = e;
	return fresh;
}

/* One lap, on the TSC; leaves the sum of the elements' numbers. Ring 3. */
static uint64_t walk_lap(void *data)
{
	struct walk *w = data;
	const struct element *e = walk_element(w, 0);
	uint64_t sum = 0, start = cpu_rdtsc();

	for (uint64_t i = w->nr; i > 0; i--) {
		sum += e->number;
		e = e->next;
	}
	w->tsc = cpu_rdtsc() - start;
	w->sum += sum;
	return 0;
}

static void walk_find_room(struct walk *w, uint64_t bytes)
{
	struct ram_part part;

	for (unsigned int n = 0; ram_part(n, &part); n++) {
		uint64_t start = (part.start + 2 * MIB - 1) & ~(2 * MIB - 1);

		if (start + bytes <= part.start + part.bytes) {
			w->start = start;
			w->nr = bytes / PAGE;
			return;
		}
	}
	tap_bail("no %lu MiB of RAM in one piece above the program: give the guest more", bytes / MIB);
}

static void walk_sort(uint64_t *v, unsigned int nr)
{
	for (unsigned int i = 1; i < nr; i++)
		for (unsigned int j = i; j > 0 && v[j - 1] > v[j]; j--) {
			uint64_t other = v[j];

			v[j] = v[j - 1];
			v[j - 1] = other;
		}
}

/* Timed laps; then a wait, so that reading the PM timer, which may be slow, does not count in the TSC's rate. */
static void walk_measure(struct walk *w, unsigned int laps)
{
	uint64_t tsc[MAX_LAPS], ticks = clock_ticks(), all = cpu_rdtsc(), rate, median, best;

	for (unsigned int i = 0; i < laps; i++) {
		user_run(walk_lap, w);
		tsc[i] = w->tsc;
		clock_ticks(); /* no lap may take longer than its wrap, 4 s */
	}
	clock_wait_ticks(CLOCK_MS(50));
	ticks = clock_ticks() - ticks;
	all = cpu_rdtsc() - all;
	tap_equal(w->sum, laps * (w->nr * (w->nr - 1) / 2), "%u laps came by every element", laps);
	rate = all / (clock_to_us(ticks) / 1000);
	if (!tap_check(rate > 100000, "the TSC runs, at more than 100 MHz"))
		return;
	walk_sort(tsc, laps);
	median = tsc[laps / 2] * 1000000000 / rate / w->nr;
	best = tsc[0] * 1000000000 / rate / w->nr;
	tap_note("%lu MiB: %lu.%02lu ns a step, at best %lu.%02lu; TSC: %lu a ms", w->nr * PAGE / MIB,
		 median / 1000, median % 1000 / 10, best / 1000, best % 1000 / 10, rate);
	tap_note("figures: median_ps=%lu best_ps=%lu", median, best);
}

void test_main(void)
{
	unsigned int laps = (unsigned int)args_number("laps", 5);
	struct walk w = { .seed = args_number("seed", 1) };

	if (laps < 1 || laps > MAX_LAPS)
		tap_bail("laps=%u: expected 1 to %u", laps, MAX_LAPS);
	walk_find_room(&w, args_number("mib", 16) * MIB);
	user_run(walk_prepare, &w);
	tap_equal(user_run(walk_count, &w), w.nr, "%lu steps meet %lu elements", w.nr, w.nr);
	tap_equal((uint64_t)w.last, (uint64_t)walk_element(&w, 0), "and end where they began");
	walk_measure(&w, laps);
}
