/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-cmd.h"

G_BEGIN_DECLS

/** Returns: (transfer full): the object path of the image @ref, of --kind when that is given. */
char *lodge_image_path (LodgeClient *client, const LodgeArgs *args, const char *ref,
                        GError **error);
/** The same with @kind "container", "vm", or NULL: either. */
char *lodge_image_path_of_kind (LodgeClient *client, const char *kind, const char *ref,
                                GError **error);

G_END_DECLS
