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
  const char *target; /* an existing directory: of the root file system */
  int side_fd;        /* a directory for what is beside it: metadata.yaml, templates/, the disk */
  bool is_layer;      /* of an OCI image: over what is there, with whiteouts; no other layout */
} LodgeExtract;

/* Beside the root file system, when the archive has them. */
#define LODGE_EXTRACT_METADATA  "metadata.yaml"
#define LODGE_EXTRACT_TEMPLATES "templates"
#define LODGE_EXTRACT_DISK      "source"

typedef struct
{
  LodgeLayout layout;
  bool has_root; /* something of a root file system, or of an OCI image, was unpacked */
  bool has_disk;
  uint64_t members;
  uint64_t devices;     /* that were dropped */
  uint64_t incomplete;  /* members whose attributes could not all be set */
  uint64_t other_disks; /* of a machine's description, that were left out */
  LodgeFacts facts;
} LodgeExtractResult;

/**
 * lodge_extract_run:
 *
 * Unpacks a tar archive, compressed or not.  Stops at the first thing in it that is hostile or
 * over a limit; what is in @extract->target then is the caller's to remove.  Reports progress.
 * Changes the working directory to the target.
 *
 * Errors: ImageInvalid, NoSpace, HelperFailed.
 */
bool lodge_extract_run (const LodgeExtract *extract, LodgeExtractResult *out_result,
                        LodgeFail *fail);

G_END_DECLS
