/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>

G_BEGIN_DECLS

/** How an image of one release of one distribution is made. */
typedef struct
{
  const char *distribution; /* "debian" */
  const char *suite;        /* "bookworm" */
  const char *release;      /* "12" */
  const char *title;        /* "Debian 12 (bookworm)" */
  const char *os_id;        /* of libosinfo */
} LodgeRecipe;

/** A mirror's part of sources.list. */
typedef struct
{
  const char *label;    /* of the archive's Release file */
  const char *path;     /* last part of its URI, for mirrors whose lists are not there yet */
  const char *suffix;   /* of the suite */
  const char *fallback; /* the distribution's own, when the host's apt knows none */
} LodgeArchive;

/** Returns: NULL when there is none.  Static. */
const LodgeRecipe *lodge_recipe_find (const char *distribution, const char *suite);

/** The archives of Debian, in the order of sources.list; ended by a NULL label.  Static. */
const LodgeArchive *lodge_recipe_archives (const LodgeRecipe *recipe);

/** Whether there is such a variant of each recipe; NULL is the ordinary one. */
bool lodge_recipe_has_variant (const char *variant);

/**
 * lodge_recipe_packages:
 * @variant: (nullable): one of lodge_recipe_has_variant()
 * @machine: dpkg's name of the architecture
 *
 * Returns: (transfer full): with ',' between them.
 */
char *lodge_recipe_packages (const LodgeRecipe *recipe, bool is_vm, const char *variant,
                             const char *machine);

/** What a container lacks to be a VM: kernel, udev, agent.  As lodge_recipe_packages(). */
char *lodge_recipe_boot_packages (const LodgeRecipe *recipe, const char *machine);

G_END_DECLS
