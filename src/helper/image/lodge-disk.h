/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lodge-fail.h"

/** A virtual machine's disk that is to be made. */
typedef struct
{
  const char *machine;  /* dpkg's name of the architecture */
  const char *rootfs;   /* the tree */
  const char *work_dir; /* for files of the work; those of an earlier try are replaced */
  const char *output;   /* the qcow2 file */
  uint64_t size;        /* virtual, bytes, a multiple of 1 MiB */
} LodgeDisk;

/**
 * lodge_disk_make:
 *
 * Makes a disk that boots by BIOS and by UEFI from a root file system, without mounting
 * anything: GPT, a BIOS boot partition, an EFI system partition and, last so that it can grow, ext4
 * with the label "root".  Runs in the sandbox.
 */
bool lodge_disk_make (const LodgeDisk *disk, LodgeFail *fail);
