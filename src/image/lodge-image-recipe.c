/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-image-private.h"

#include <string.h>
#include <sys/utsname.h>

#define BUILD_PREFIX "build:"

static const LodgeImageRecipe recipes[] = {
  { "debian", "bookworm", NULL, { "debian/12", "debian/bookworm" } },
  { "debian", "bookworm", "cloud", { "debian/12/cloud", "debian/bookworm/cloud" } },
  { "debian", "trixie", NULL, { "debian/13", "debian/trixie" } },
  { "debian", "trixie", "cloud", { "debian/13/cloud", "debian/trixie/cloud" } },
};

/* uname(2), which is also what libvirt says, and dpkg. */
static const struct
{
  const char *architecture;
  const char *machine;
} machines[] = {
  { "x86_64", "amd64" },    { "aarch64", "arm64" }, { "riscv64", "riscv64" },
  { "ppc64le", "ppc64el" }, { "s390x", "s390x" },
};

const char *
lodge_image_recipe_strip (const char *ref)
{
  return g_str_has_prefix (ref, BUILD_PREFIX) ? ref + strlen (BUILD_PREFIX) : ref;
}

const LodgeImageRecipe *
lodge_image_recipe_find (const char *ref)
{
  const char *name = lodge_image_recipe_strip (ref);

  for (gsize i = 0; i < G_N_ELEMENTS (recipes); i++)
    if (g_strv_contains (recipes[i].aliases, name))
      return &recipes[i];
  return NULL;
}

const LodgeImageRecipe *
lodge_image_recipe_nth (guint index)
{
  return index < G_N_ELEMENTS (recipes) ? &recipes[index] : NULL;
}

void
lodge_image_recipe_add_names (GPtrArray *names)
{
  for (gsize i = 0; i < G_N_ELEMENTS (recipes); i++)
    for (const char *const *alias = recipes[i].aliases; *alias != NULL; alias++)
      g_ptr_array_add (names, (gpointer) *alias);
}

static gsize
find_host (void)
{
  struct utsname host;
  gsize i = 0;

  if (uname (&host) == 0)
    while (i < G_N_ELEMENTS (machines) && strcmp (machines[i].architecture, host.machine) != 0)
      i++;
  return i < G_N_ELEMENTS (machines) ? i : 0;
}

const char *
lodge_image_host_machine (void)
{
  return machines[find_host ()].machine;
}

const char *
lodge_image_host_architecture (void)
{
  return machines[find_host ()].architecture;
}
