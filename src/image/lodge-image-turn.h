/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-image-store.h"

G_BEGIN_DECLS

/** What is to become one of the other kind. */
typedef struct
{
  LodgeKind kind; /* that it is to be */
  /* Of the image that it is, or that the instance was made from; NULL: a VM's disk was empty. */
  const char *fingerprint;
  guint64 size; /* of a VM's disk, bytes; 0: as is good */
  /* Instead of that image, an instance that does not run: */
  const char *plan; /* (nullable): a container's */
  const char *disk; /* (nullable): a VM's, whose backing file is the image's disk */
  const char *name; /* (nullable): the instance's */
} LodgeImageTurn;

/**
 * lodge_image_store_turn_async:
 * @what: copied
 *
 * Makes an image for VMs of one for containers, or the other way round.  It gets the aliases of
 * what it is made from; that of an instance has none, and keeps the instance's identity.  Two
 * callers that want the same share the work.  NOT_SUPPORTED: for another architecture than the
 * host's, or no kernel can be had.
 */
void lodge_image_store_turn_async (LodgeImageStore *self, const LodgeImageTurn *what,
                                   LodgeImageProgressFunc progress, LodgeImageNoticeFunc notice,
                                   gpointer func_data, GCancellable *cancellable,
                                   GAsyncReadyCallback callback, gpointer user_data);
/** Returns: (transfer full): the fingerprint of what was made. */
char *lodge_image_store_turn_finish (LodgeImageStore *self, GAsyncResult *result, GError **error);

G_END_DECLS
