/*
 * The named processor models: data alone.
 */
#ifndef TRELLIS_CPU_MODELS_H
#define TRELLIS_CPU_MODELS_H

#include "vmm/cpu/cpuid.h"

enum model_vendor { MODEL_INTEL = CPUID_INTEL, MODEL_AMD = CPUID_AMD, MODEL_ANY };

struct model {
	const char *name;
	const char *about;        /* one line */
	const char *base;         /* another model whose features it has too, or NULL */
	const char *features;     /* more features, separated by blanks */
	enum model_vendor vendor; /* MODEL_ANY: the host's */
	uint8_t family, model, stepping;
	uint32_t max_basic, max_extended; /* leaf 0 and 80000000 EAX; raised when a feature needs it */
	uint8_t phys_bits;
	const char *brand; /* at most 47 characters */
};

/* By vendor and rising age, after the x86-64 levels. Ends with an entry whose name is NULL. */
extern const struct model models[];

/* By name, case being alike; NULL when there is none. "host", "max" and "host-model" are not among them. */
const struct model *model_find(const char *name);

#endif
