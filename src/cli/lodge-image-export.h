/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-cmd.h"

G_BEGIN_DECLS

/**
 * lodge_image_export:
 * @image: the object path
 * @fds: opened for writing; of the format "split" metadata and root
 *
 * Asks the service to write the image, and waits for it.
 */
gboolean lodge_image_export (LodgeCli *cli, const char *image, const char *format,
                             const char *compression, const int *fds, guint n_fds, GError **error);

G_END_DECLS
