/* What block.c asks a raw image beside what every format answers. */
#ifndef TRELLIS_DEVICES_BLOCK_RAW_H
#define TRELLIS_DEVICES_BLOCK_RAW_H

#include "devices/block/format.h"

/*
 * Is img a raw image, and how large would it be if it were opened now? *bytes is a multiple of BLOCK_SECTOR.
 * Returns false, with *bytes of no meaning, for other images, when nobody can tell, and when the file is empty
 * now. Any thread.
 */
MUST_CHECK bool raw_capacity(const struct block_image *img, uint64_t *bytes);

#endif
