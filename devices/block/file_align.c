/*
 * One question to statx(2), in a file of its own: the kernel's struct statx knows more than the C library's,
 * and the two cannot be included together.
 */
#include "devices/block/file_internal.h"

#include <errno.h>
#include <linux/fcntl.h>
#include <linux/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int file_statx_align(int fd, uint32_t *offset, uint32_t *memory)
{
	struct statx stx = { 0 };

	/* Linux 6.1 (statx(2), STATX_DIOALIGN); earlier kernels leave the bit out of stx_mask. */
	if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) < 0 ||
	    !(stx.stx_mask & STATX_DIOALIGN))
		return -ENODATA;
	if (!stx.stx_dio_offset_align)
		return -EOPNOTSUPP;
	*offset = stx.stx_dio_offset_align;
	*memory = stx.stx_dio_mem_align;
	return 0;
}
