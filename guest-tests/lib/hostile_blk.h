/*
 * A virtio disk as the subject of hostile drivers: its request in the arena, each part with canaries around
 * it. The disk must hold 64 sectors or more; sector 5 is ours, and must not change. One request at a time.
 */
#ifndef GUEST_HOSTILE_BLK_H
#define GUEST_HOSTILE_BLK_H

#include "lib/hostile.h"

enum { BLK_IN = 0, BLK_OUT = 1, BLK_FLUSH = 4, BLK_GET_ID = 8, BLK_DISCARD = 11, BLK_WRITE_ZEROES = 13 };
enum { BLK_F_RO = 5, BLK_F_FLUSH = 9, BLK_F_DISCARD = 13, BLK_F_WRITE_ZEROES = 14 };
enum { BLK_HEADER_BYTES = 16, BLK_SECTOR = 512, BLK_UNTOUCHED = 0xee };

/* Where the parts are. */
#define BLK_HEADER (arena + 0x100)
#define BLK_DATA   (arena + 0x200)	/* up to two sectors */
#define BLK_STATUS (arena + 0x700)
#define BLK_TABLE  ((struct virtq_desc *)(void *)(arena + 0x800))	/* of up to 64 */

extern struct virtio blk;
extern struct virtq blk_queue;		/* queue 0, 16 descriptors */
extern const struct hostile_rig blk_rig;

/* Find the disk and write its pattern. Skips the program without one. */
void blk_init(void);
/* Negotiate these features, set the queue up, DRIVER_OK. */
bool blk_start_with(uint64_t features);
/* The header, and a status byte nobody has written. */
void blk_prepare(uint32_t type, uint64_t sector);
/* A read of sector 5, as three segments: header, data, status. */
void blk_read_segs(struct virtq_seg seg[3]);
/* What came of the request, as lib/hostile.h has it. The first makes it available, kicks and waits; the second
 * only kicks and waits; the third judges what hostile_poll() said. */
unsigned int blk_submit(const struct virtq_seg *seg, unsigned int n);
unsigned int blk_settle(void);
unsigned int blk_judge(unsigned int came);
/* A correct read, of the pattern: SERVED or what else came of it. */
unsigned int blk_read(void);

#endif
