/*
 * Fuzz target: inflate.c. The input is the stream, after two bytes that give the room for its output. It does
 * not prove that the output is right: inflate_test.c compares with zlib.
 */
#include <stdlib.h>

#include "devices/block/inflate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t room;
	uint8_t *out;
	int64_t n;

	if (size < 2)
		return 0;
	room = get_le16(data);
	out = malloc(room);
	n = out || !room ? inflate_raw(out, room, data + 2, size - 2) : 0;
	if (n > (int64_t)room)
		abort();
	free(out);
	return 0;
}
