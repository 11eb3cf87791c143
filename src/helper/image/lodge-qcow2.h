/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lodge-fail.h"

/* As much of a file as lodge_qcow2_check() wants to see. */
#define LODGE_QCOW2_HEAD_SIZE 65536

typedef struct
{
  uint32_t version;
  uint32_t cluster_bits;
  uint32_t snapshots;
  uint64_t virtual_size; /* bytes */
} LodgeQcow2;

/**
 * lodge_qcow2_check:
 * @head: the first LODGE_QCOW2_HEAD_SIZE bytes of the file, or all of it
 * @file_size: bytes
 * @max_virtual_size: bytes
 *
 * Looks at the header before any of QEMU's tools opens the file: those follow what it says to
 * other files of the host.  Refused (ImageInvalid) is everything that names another file,
 * encryption, tables outside of the file, and features that are not known here.
 */
bool lodge_qcow2_check (const void *head, size_t head_size, uint64_t file_size,
                        uint64_t max_virtual_size, LodgeQcow2 *out_header, LodgeFail *fail);
