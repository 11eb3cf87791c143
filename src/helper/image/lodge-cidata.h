/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "lodge-fail.h"

G_BEGIN_DECLS

/*
 * What cloud-init's data source NoCloud reads: four small files, in a directory of a container or
 * on a disk of a VM with the label "cidata".
 */
#define LODGE_CIDATA_DIR "/var/lib/cloud/seed/nocloud-net/"

typedef struct
{
  const char *uuid;
  const char *name;
  GHashTable *config;      /* of the instance: cloud-init.*, and user.* as LXD had them */
  const char *vendor_data; /* (nullable): instead of what the configuration says */
} LodgeCidata;

/** The value of cloud-init.@name, or of user.@name; NULL when neither is set.  Borrowed. */
const char *lodge_cidata_get (GHashTable *config, const char *name);

/**
 * lodge_cidata_write:
 * @root: the directory that LODGE_CIDATA_DIR is below
 *
 * Writes the files.  What the configuration says nothing of and is there already (an image's
 * template made it) stays.  The instance's id changes when one of its documents does, so that
 * cloud-init acts on it at the next boot.
 */
bool lodge_cidata_write (int root, const LodgeCidata *data, LodgeFail *fail);

/** Writes those files as an ISO 9660 file system with the label of a NoCloud disk to @fd. */
bool lodge_cidata_pack (int root, int fd, LodgeFail *fail);

G_END_DECLS
