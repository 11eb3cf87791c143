/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-image-store.h"

G_BEGIN_DECLS

/** A changed copy of an image that is wanted; what is NULL or 0 stays as it is. */
typedef struct
{
  const char *fingerprint;
  const char *const *aliases; /* of the new image; taken away from an image that has them */
  const char *description;    /* of the new image */
  const char *const *ssh_keys;
  const char *password_hash; /* root's; crypt(5) */
  const char *script;        /* runs as root in it, without a network */
  const char *hostname;
  gboolean reset_machine_id;
  gboolean serial;          /* VMs: a login on the first serial port */
  guint64 size;             /* VMs: bytes of the disk, all of which the root gets */
  const char *const *paths; /* where the contents of @fds go */
  const int *fds;           /* dup'ed: regular files */
} LodgeImageTailor;

/**
 * lodge_image_store_tailor_async:
 * @what: copied; checked by the caller
 *
 * Makes an image of another one and changes it by lodge-image-worker.  The other one stays.
 */
void lodge_image_store_tailor_async (LodgeImageStore *self, const LodgeImageTailor *what,
                                     LodgeImageProgressFunc progress, LodgeImageNoticeFunc notice,
                                     gpointer func_data, GCancellable *cancellable,
                                     GAsyncReadyCallback callback, gpointer user_data);
/** Returns: (transfer full): the fingerprint of what was made. */
char *lodge_image_store_tailor_finish (LodgeImageStore *self, GAsyncResult *result, GError **error);

G_END_DECLS
