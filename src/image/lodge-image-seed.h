/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-image-store.h"

G_BEGIN_DECLS

/** The property of an image with templates: when they are used ("create,copy"). */
#define LODGE_IMAGE_TEMPLATES "templates"

/** What makes an instance itself. */
typedef struct
{
  const char *fingerprint; /* (nullable): of its image, for the templates */
  const char *plan;        /* a container's; NULL: a VM's seed */
  const char *output;      /* a VM's: the disk for cloud-init that is to be made */
  const char *name;
  const char *uuid;
  const char *architecture;
  const char *triggers; /* "create", "copy", "start", "rename", with commas between */
  gboolean cloud_init;  /* whether to write what cloud-init reads */
  GHashTable *config;   /* char* → char* */
  /* How its owner gets into it; each nullable. */
  const char *const *ssh_keys;
  const char *password_hash;
  const char *script;
  const char *disk; /* a VM's without cloud-init: is opened for that; there is no @output then */
} LodgeImageSeed;

/**
 * lodge_image_store_seed_async:
 * @what: copied
 * @notice: (nullable): called with @func_data
 *
 * Applies the templates of its image to an instance that does not run, and writes cloud-init's
 * NoCloud data: into a container's root, or as a disk for a VM.  lodge-image-worker does it.
 */
void lodge_image_store_seed_async (LodgeImageStore *self, const LodgeImageSeed *what,
                                   LodgeImageNoticeFunc notice, gpointer func_data,
                                   GCancellable *cancellable, GAsyncReadyCallback callback,
                                   gpointer user_data);
gboolean lodge_image_store_seed_finish (LodgeImageStore *self, GAsyncResult *result,
                                        GError **error);

G_END_DECLS
