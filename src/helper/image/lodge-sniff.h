/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lodge-fail.h"

/* As much of a file as lodge_sniff_bytes() wants to see of its beginning and of its end. */
#define LODGE_SNIFF_HEAD_SIZE 34816
#define LODGE_SNIFF_TAIL_SIZE 512

/** What a file that is to become an image is, as far as its bytes tell. */
typedef enum
{
  LODGE_FORMAT_TAR, /* compressed or not; also what has no mark at all */
  LODGE_FORMAT_SQUASHFS,
  LODGE_FORMAT_QCOW2,
  LODGE_FORMAT_VMDK, /* sparse in one file, or stream-optimised */
  LODGE_FORMAT_VDI,
  LODGE_FORMAT_VHD,
  LODGE_FORMAT_VHDX,
  LODGE_FORMAT_RAW, /* a partition table or a file system at its beginning */
  LODGE_FORMAT_ISO,
} LodgeFormat;

/** Whether it is a disk, which qemu-img can read, rather than files. */
bool lodge_format_is_disk (LodgeFormat format);

/** What qemu-img calls a disk's format.  Static. */
const char *lodge_format_driver (LodgeFormat format);

/**
 * lodge_sniff_bytes:
 * @head: the first LODGE_SNIFF_HEAD_SIZE bytes of the file, or all of it
 * @tail: its last LODGE_SNIFF_TAIL_SIZE bytes, or none
 *
 * Compares some bytes at fixed places and follows nothing, so that it may run anywhere.  A file
 * that is of two formats at once is refused, and so are formats that Lodge does not import
 * (ImageInvalid, by name).
 */
bool lodge_sniff_bytes (const void *head, size_t head_size, const void *tail, size_t tail_size,
                        LodgeFormat *out_format, LodgeFail *fail);

/** The same of an open regular file; its position does not matter. */
bool lodge_sniff_file (int fd, LodgeFormat *out_format, LodgeFail *fail);
