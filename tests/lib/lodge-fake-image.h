/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge/lodge-store.h"
#include "lodge/lodge-types.h"

G_BEGIN_DECLS

#define LODGE_FAKE_IMAGE_ALIAS "debian/12"

/**
 * lodge_fake_image_add:
 *
 * Puts an image of @kind with the alias "debian/12" where lodge_image_store_new() finds it: an
 * almost empty tree, or an empty disk of 64 MiB.  Once is enough; again is a success.
 */
gboolean lodge_fake_image_add (LodgeStore *store, const char *state_dir, LodgeKind kind,
                               GError **error);

G_END_DECLS
