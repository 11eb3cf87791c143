/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "lodge-fail.h"
#include "lodge-fingerprint.h"

/* A checksum that is made beside the import, by a process of its own: the importing one must have
 * one thread only, and there is mostly a second processor. */
typedef struct
{
  pid_t pid;
  int fd;
} LodgeHash;

/**
 * lodge_hash_start:
 * @fds: regular files, read from their beginnings, one after the other
 *
 * Begins the SHA-256 of their bytes.  End it with lodge_hash_finish(), also after a failure.
 */
bool lodge_hash_start (const int *fds, int n_fds, LodgeHash *out_hash, LodgeFail *fail);

/** Waits for the checksum; @fail NULL: it is not wanted any more. */
bool lodge_hash_finish (LodgeHash *hash, char out_fingerprint[LODGE_FINGERPRINT_SIZE],
                        LodgeFail *fail);
