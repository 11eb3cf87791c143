/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-recipe.h"

#include <string.h>

static const LodgeRecipe RECIPES[] = {
  { "debian", "bookworm", "12", "Debian 12 (bookworm)", "http://debian.org/debian/12" },
  { "debian", "trixie", "13", "Debian 13 (trixie)", "http://debian.org/debian/13" },
};

static const LodgeArchive ARCHIVES[] = {
  { "Debian", "debian", "", "http://deb.debian.org/debian" },
  { "Debian", "debian", "-updates", "http://deb.debian.org/debian" },
  { "Debian-Security", "debian-security", "-security", "http://deb.debian.org/debian-security" },
  { NULL },
};

/* What a system needs to be one, and what its first user looks for at once. */
#define COMMON                                                                                     \
  "systemd,systemd-sysv,dbus,iproute2,iputils-ping,netbase,procps,libnss-myhostname,"              \
  "ca-certificates,less,nano"
#define VM "udev,kmod,fdisk,e2fsprogs,initramfs-tools,zstd,qemu-guest-agent"
/* sudo, because cloud-init's first user is to be an administrator; and a server to log in to. */
#define CLOUD "cloud-init,sudo,openssh-server"
/* An init, a network and what apt needs: the instance is as good as any, only nothing is at hand.
 */
#define MINIMAL "systemd,systemd-sysv,dbus,iproute2,netbase,ca-certificates"

static const struct
{
  const char *variant; /* NULL: the ordinary one */
  const char *packages;
} VARIANTS[] = {
  { NULL, COMMON },
  { "cloud", COMMON "," CLOUD },
  { "minimal", MINIMAL },
};

static const struct
{
  const char *machine;
  const char *kernel;
} KERNELS[] = {
  { "amd64", "linux-image-cloud-amd64" },
  { "arm64", "linux-image-cloud-arm64" },
};

const LodgeRecipe *
lodge_recipe_find (const char *distribution, const char *suite)
{
  for (gsize i = 0; i < G_N_ELEMENTS (RECIPES); i++)
    if (strcmp (RECIPES[i].distribution, distribution) == 0
        && strcmp (RECIPES[i].suite, suite) == 0)
      return &RECIPES[i];
  return NULL;
}

const LodgeArchive *
lodge_recipe_archives (const LodgeRecipe *recipe)
{
  return ARCHIVES;
}

char *
lodge_recipe_boot_packages (const LodgeRecipe *recipe, const char *machine)
{
  for (gsize i = 0; i < G_N_ELEMENTS (KERNELS); i++)
    if (strcmp (KERNELS[i].machine, machine) == 0)
      return g_strconcat (VM ",", KERNELS[i].kernel, NULL);
  return g_strconcat (VM ",linux-image-", machine, NULL);
}

bool
lodge_recipe_has_variant (const char *variant)
{
  for (gsize i = 0; i < G_N_ELEMENTS (VARIANTS); i++)
    if (g_strcmp0 (VARIANTS[i].variant, variant) == 0)
      return true;
  return false;
}

char *
lodge_recipe_packages (const LodgeRecipe *recipe, bool is_vm, const char *variant,
                       const char *machine)
{
  const char *packages = COMMON;

  for (gsize i = 0; i < G_N_ELEMENTS (VARIANTS); i++)
    if (g_strcmp0 (VARIANTS[i].variant, variant) == 0)
      packages = VARIANTS[i].packages;
  if (!is_vm)
    return g_strdup (packages);
  g_autofree char *boot = lodge_recipe_boot_packages (recipe, machine);
  return g_strconcat (packages, ",", boot, NULL);
}
