/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-image-private.h"

#include <string.h>
#include <sys/utsname.h>

#define BUILD_PREFIX "build:"

/* The names that other servers of images use: release, variant, architecture. */
#define RECIPE(distribution, suite, release, variant, machine, tail)                               \
  {                                                                                                \
    distribution, suite, variant, machine,                                                         \
    {                                                                                              \
      release tail, distribution "/" suite tail                                                    \
    }                                                                                              \
  }
#define VARIANTS(distribution, suite, release, machine, tail)                                      \
  RECIPE (distribution, suite, release, NULL, machine, tail),                                      \
      RECIPE (distribution, suite, release, "cloud", machine, "/cloud" tail),                      \
      RECIPE (distribution, suite, release, "minimal", machine, "/minimal" tail)
#define RELEASE(distribution, suite, release)                                                      \
  VARIANTS (distribution, suite, release, NULL, ""),                                               \
      VARIANTS (distribution, suite, release, "amd64", "/amd64"),                                  \
      VARIANTS (distribution, suite, release, "arm64", "/arm64"),                                  \
      VARIANTS (distribution, suite, release, "ppc64el", "/ppc64el"),                              \
      VARIANTS (distribution, suite, release, "riscv64", "/riscv64"),                              \
      VARIANTS (distribution, suite, release, "s390x", "/s390x")

static const LodgeImageRecipe recipes[] = {
  RELEASE ("debian", "bookworm", "debian/12"),
  RELEASE ("debian", "trixie", "debian/13"),
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
    for (const char *const *alias = recipes[i].aliases;
         recipes[i].machine == NULL && *alias != NULL; alias++)
      g_ptr_array_add (names, (gpointer) *alias);
}

const char *
lodge_image_recipe_architecture (const LodgeImageRecipe *recipe)
{
  for (gsize i = 0; recipe->machine != NULL && i < G_N_ELEMENTS (machines); i++)
    if (strcmp (machines[i].machine, recipe->machine) == 0)
      return machines[i].architecture;
  return lodge_image_host_architecture ();
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

gboolean
lodge_image_recipe_is_foreign (const LodgeImageRecipe *recipe)
{
  return recipe->machine != NULL && strcmp (recipe->machine, lodge_image_host_machine ()) != 0;
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
