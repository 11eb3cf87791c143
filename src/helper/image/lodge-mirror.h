/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-recipe.h"

G_BEGIN_DECLS

/**
 * lodge_mirror_sources:
 * @override: (nullable): the URI of a mirror of the main archive; other archives stay
 *
 * What sources.list of the image is to say: the mirrors that the host's own apt uses for this
 * distribution, else the distribution's.  Runs apt-get.
 *
 * Returns: (transfer full): one "deb …" line each, NULL-ended.
 */
char **lodge_mirror_sources (const LodgeRecipe *recipe, const char *override);

/**
 * lodge_mirror_options:
 *
 * What the host's apt is told about reaching its mirrors (proxies, dates of frozen archives),
 * which holds for the build as well.  Runs apt-config.
 *
 * Returns: (transfer full): lines of apt.conf(5), NULL-ended.
 */
char **lodge_mirror_options (void);

/** Whether such a line is of use in the image too: what the mirror needs, not the way to it. */
bool lodge_mirror_option_is_of_archive (const char *option);

G_END_DECLS
