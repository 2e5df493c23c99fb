/* Fuzz target of packed rings. What the input means, and what this does not prove, is in virtq_fuzz_rig.h. */
#include "devices/virtio/virtq_fuzz_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return fuzz_run(data, size, true);
}
