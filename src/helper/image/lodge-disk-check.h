/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lodge-fail.h"
#include "lodge-sniff.h"

/* As much of a file as lodge_disk_check() wants to see. */
#define LODGE_DISK_HEAD_SIZE 65536

/**
 * lodge_disk_check:
 * @head: the first LODGE_DISK_HEAD_SIZE bytes of the file, or all of it
 * @tail: its last LODGE_SNIFF_TAIL_SIZE bytes
 * @file_size: bytes
 * @out_snapshots: that are in it and will be left out
 * @out_size: virtual, bytes; 0: only qemu-img can tell
 *
 * Looks at the header of a disk before any of QEMU's tools opens the file: those follow what it
 * says to other files of the host.  Refused (ImageInvalid) is everything that names another file
 * or is only a part of a disk.
 */
bool lodge_disk_check (LodgeFormat format, const void *head, size_t head_size, const void *tail,
                       size_t tail_size, uint64_t file_size, uint64_t max_virtual_size,
                       uint32_t *out_snapshots, uint64_t *out_size, LodgeFail *fail);
