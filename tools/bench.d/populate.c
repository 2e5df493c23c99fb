/*
 * What it takes to have all of a guest's memory: memory_populate() of this tree beside the bare thing, which is
 * MADV_POPULATE_WRITE (Linux 5.14) on as many threads, each its share in one call. Anonymous memory on small pages,
 * mapped and unmapped for each. It says nothing of other backings, nor of nodes.
 *
 *   populate [ROUNDS [MIB]]      5 rounds of 4,096 MiB
 *
 * Prints a line for each round, "ours-1=US bare-1=US ours-2=US bare-2=US": microseconds with one and with two
 * threads. Which of them is first changes from round to round; a round before them is not told, since it gets memory
 * that the host itself may not have had yet.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "vmm/memory.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

enum { THREADS = 2, PAGE = 4096 };

struct share {
	pthread_t thread;
	uint8_t *hva;
	uint64_t bytes;
	int rc; /* negative errno */
};

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static _Noreturn void fail(const char *what, int rc)
{
	fprintf(stderr, "populate: %s: %s\n", what, strerror(-rc));
	exit(1);
}

static void *bare_share(void *arg)
{
	struct share *s = arg;

	s->rc = madvise(s->hva, s->bytes, MADV_POPULATE_WRITE) < 0 ? -errno : 0;
	return NULL;
}

/* As memory_populate(), and nothing else: no signals, no progress, no balance between threads. */
static int bare_populate(uint8_t *hva, uint64_t bytes, unsigned int threads)
{
	struct share s[THREADS];
	int rc = 0;

	for (unsigned int i = 0; i < threads; i++) {
		s[i] = (struct share){ .hva = hva + i * (bytes / threads), .bytes = bytes / threads };
		rc = pthread_create(&s[i].thread, NULL, bare_share, &s[i]);
		if (rc)
			fail("pthread_create", -rc);
	}
	for (unsigned int i = 0; i < threads; i++) {
		pthread_join(s[i].thread, NULL);
		if (s[i].rc < 0)
			rc = s[i].rc;
	}
	return rc;
}

/* Returns microseconds. */
static uint64_t measure(bool ours, unsigned int threads, uint64_t bytes)
{
	uint8_t *hva =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t us;
	int rc;

	if (hva == MAP_FAILED)
		fail("mmap", -errno);
	us = now_us();
	rc = ours ? memory_populate(hva, bytes, PAGE, threads) : bare_populate(hva, bytes, threads);
	us = now_us() - us;
	if (rc < 0)
		fail(ours ? "memory_populate" : "madvise", rc);
	munmap(hva, bytes);
	return us;
}

int main(int argc, char **argv)
{
	unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 5;
	uint64_t bytes = (argc > 2 ? strtoull(argv[2], NULL, 10) : 4096) * MIB;

	if (!rounds || !bytes || argc > 3) {
		fprintf(stderr, "usage: populate [ROUNDS [MIB]]\n");
		return 2;
	}
	for (unsigned long round = 0; round <= rounds; round++) {
		uint64_t us[2][THREADS + 1];

		for (unsigned int threads = 1; threads <= THREADS; threads++) {
			us[round % 2][threads] = measure(round % 2, threads, bytes);
			us[!(round % 2)][threads] = measure(!(round % 2), threads, bytes);
		}
		if (!round)
			continue;
		printf("ours-1=%llu bare-1=%llu ours-2=%llu bare-2=%llu\n", (unsigned long long)us[1][1],
		       (unsigned long long)us[0][1], (unsigned long long)us[1][2],
		       (unsigned long long)us[0][2]);
		fflush(stdout);
	}
	return 0;
}
