/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "lodge-facts.h"
#include "lodge-fail.h"
#include "lodge-member.h"

G_BEGIN_DECLS

typedef struct
{
  int fd; /* a regular file; read from its beginning, its position does not matter */
  LodgeMemberLimits limits;
  uint64_t max_total; /* bytes that the archive may unpack to */
  uint64_t max_members;
  const char *target; /* an existing empty directory */
} LodgeExtract;

typedef struct
{
  char fingerprint[65]; /* SHA-256 of all of the input */
  uint64_t members;
  uint64_t devices;    /* that were dropped */
  uint64_t incomplete; /* members whose attributes could not all be set */
  LodgeFacts facts;
} LodgeExtractResult;

/**
 * lodge_extract_run:
 *
 * Unpacks a tar archive, compressed or not.  Stops at the first thing in it that is hostile or
 * over a limit; what is in @extract->target then is the caller's to remove.  Reports progress.
 *
 * Errors: ImageInvalid, NoSpace, HelperFailed.
 */
bool lodge_extract_run (const LodgeExtract *extract, LodgeExtractResult *out_result,
                        LodgeFail *fail);

G_END_DECLS
