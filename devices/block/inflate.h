/*
 * Decompress raw deflate (RFC 1951): what a compressed cluster of a qcow2 image holds. No headers, no
 * checksums, no state between calls; the input is trusted in nothing.
 */
#ifndef TRELLIS_DEVICES_BLOCK_INFLATE_H
#define TRELLIS_DEVICES_BLOCK_INFLATE_H

#include "vmm/base/base.h"

/*
 * Decompress in[] into out[], until the stream ends or out_len bytes are there (what follows is not looked at).
 * Returns how many bytes of out[] are valid, at most out_len; -EINVAL when the stream is malformed or cut short
 * before that. After a failure out[] holds anything. Uses about 4 KiB of stack. Any thread.
 */
MUST_CHECK int64_t inflate_raw(uint8_t *out, size_t out_len, const uint8_t *in, size_t in_len);

#endif
