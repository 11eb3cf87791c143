/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lodge-facts.h"
#include "lodge-fail.h"

/** An unpacked OCI image layout (index.json, blobs/) or `docker save` archive (manifest.json). */
typedef struct
{
  const char *dir;
  const char *target; /* the root file system; is made */
  uint32_t ids;
  uint64_t max_bytes;
  uint64_t max_members;
} LodgeOci;

/**
 * lodge_oci_unpack:
 *
 * Applies the layers of the image for this machine, one over the other with their whiteouts, and
 * takes over what the image says about itself.  Blobs are checked against their digests.  Changes
 * the working directory.  Errors: ImageInvalid, NoSpace.
 */
bool lodge_oci_unpack (const LodgeOci *oci, LodgeFacts *facts, LodgeFail *fail);
