/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-inspect.h"

#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lodge-guest-disk.h"
#include "lodge-guest-session.h"
#include "lodge-sandbox.h"
#include "lodge-status.h"

#define GPT_ESP       "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
#define GPT_BIOS_BOOT "21686148-6449-6E6F-744E-656564454649"

typedef struct
{
  const char *name;
  LodgeFacts *facts;
} Inspection;

static void
free_list (char **list)
{
  for (char **item = list; item != NULL && *item != NULL; item++)
    free (*item);
  free (list);
}

/** Takes @value, which libguestfs has allocated. */
static void
take (char *field, size_t size, char *value)
{
  if (value != NULL && strcmp (value, "unknown") != 0)
    lodge_facts_set (field, size, value, strlen (value));
  free (value);
}

/** Whether a disk starts by BIOS, by UEFI or by both shows in its partitions. */
static void
find_firmware (guestfs_h *handle, LodgeFacts *facts)
{
  g_autofree char *type = guestfs_part_get_parttype (handle, "/dev/sda");
  struct guestfs_partition_list *parts
      = type != NULL ? guestfs_part_list (handle, "/dev/sda") : NULL;
  bool is_gpt = g_strcmp0 (type, "gpt") == 0;
  bool efi = false, bios = !is_gpt;

  for (uint32_t i = 0; parts != NULL && i < parts->len; i++)
    {
      g_autofree char *guid
          = is_gpt ? guestfs_part_get_gpt_type (handle, "/dev/sda", parts->val[i].part_num) : NULL;
      efi = efi || (guid != NULL && g_ascii_strcasecmp (guid, GPT_ESP) == 0);
      bios = bios || (guid != NULL && g_ascii_strcasecmp (guid, GPT_BIOS_BOOT) == 0);
      efi = efi
            || (!is_gpt
                && guestfs_part_get_mbr_id (handle, "/dev/sda", parts->val[i].part_num) == 0xef);
    }
  if (parts != NULL)
    guestfs_free_partition_list (parts);
  if (type != NULL && (efi || bios))
    lodge_facts_set (facts->firmware, sizeof facts->firmware,
                     efi && bios ? "bios,uefi"
                     : efi       ? "uefi"
                                 : "bios",
                     efi && bios ? 9 : 4);
}

static bool
is_one_there (guestfs_h *handle, const char *const *paths, gsize n)
{
  for (gsize i = 0; i < n; i++)
    if (guestfs_exists (handle, paths[i]) == 1)
      return true;
  return false;
}

static void
find_programs (guestfs_h *handle, LodgeFacts *facts)
{
  static const char *const SYSTEMD[] = { "/usr/lib/systemd/systemd", "/lib/systemd/systemd" };
  static const char *const OPENRC[] = { "/sbin/openrc", "/sbin/openrc-init" };
  static const char *const CLOUD_INIT[] = { "/usr/bin/cloud-init", "/usr/local/bin/cloud-init" };
  static const char *const AGENT[] = { "/usr/sbin/qemu-ga", "/usr/bin/qemu-ga" };

  if (is_one_there (handle, SYSTEMD, G_N_ELEMENTS (SYSTEMD)))
    g_strlcpy (facts->init, "systemd", sizeof facts->init);
  else if (is_one_there (handle, OPENRC, G_N_ELEMENTS (OPENRC)))
    g_strlcpy (facts->init, "openrc", sizeof facts->init);
  if (is_one_there (handle, CLOUD_INIT, G_N_ELEMENTS (CLOUD_INIT)))
    g_strlcpy (facts->cloud_init, "yes", sizeof facts->cloud_init);
  if (is_one_there (handle, AGENT, G_N_ELEMENTS (AGENT)))
    g_strlcpy (facts->agent, "yes", sizeof facts->agent);
}

static void
find_version (guestfs_h *handle, const char *root, LodgeFacts *facts)
{
  int major = guestfs_inspect_get_major_version (handle, root);
  int minor = guestfs_inspect_get_minor_version (handle, root);
  char full[32], release[32];

  if (major <= 0)
    return;
  g_snprintf (full, sizeof full, minor > 0 ? "%d.%02d" : "%d", major, minor);
  g_snprintf (release, sizeof release, "%d", major);
  bool is_ubuntu = strcmp (facts->os, "ubuntu") == 0;
  if (!is_ubuntu && minor > 0)
    g_snprintf (full, sizeof full, "%d.%d", major, minor);
  const char *shown = is_ubuntu ? full : release;
  lodge_facts_set (facts->version, sizeof facts->version, full, strlen (full));
  lodge_facts_set (facts->release, sizeof facts->release, shown, strlen (shown));
}

static void
look (guestfs_h *handle, const char *root, LodgeFacts *facts)
{
  take (facts->os, sizeof facts->os, guestfs_inspect_get_distro (handle, root));
  find_version (handle, root, facts);
  take (facts->architecture, sizeof facts->architecture, guestfs_inspect_get_arch (handle, root));
  take (facts->hostname, sizeof facts->hostname, guestfs_inspect_get_hostname (handle, root));
  take (facts->description, sizeof facts->description,
        guestfs_inspect_get_product_name (handle, root));
  if (guestfs_mount_ro (handle, root, "/") == 0)
    find_programs (handle, facts);
}

static int
inspect_in_sandbox (gpointer data)
{
  const Inspection *self = data;
  LodgeFacts facts = *self->facts;
  LodgeFail fail = { 0 };

  lodge_guest_session_set_environment ();
  lodge_status_progress (-1, 0, 0, "inspect");
  guestfs_h *handle
      = lodge_guest_disk_launch (self->name, true, LODGE_GUEST_APPLIANCE, LODGE_GUEST_CACHE, &fail);
  if (handle == NULL)
    return 1;
  find_firmware (handle, &facts);
  char **roots = guestfs_inspect_os (handle);
  if (roots != NULL && roots[0] != NULL)
    look (handle, roots[0], &facts);
  free_list (roots);
  guestfs_close (handle);
  *self->facts = facts;
  return 0;
}

void
lodge_inspect_disk (const LodgeRequest *request, int staging_fd, const char *name,
                    LodgeFacts *facts)
{
  g_autofree char *path = g_build_filename (LODGE_SANDBOX_STAGING, name, NULL);
  g_autofree char *cache = NULL;
  g_autofree char *appliance = NULL;
  Inspection inspection = { .name = path, .facts = facts };
  LodgeFail fail = { 0 };
  int status = 1;

  if (lodge_guest_session_prepare_cache (request, &cache, &appliance, &fail))
    {
      const LodgeSandboxBind binds[]
          = { { .path = cache, .target = LODGE_GUEST_CACHE, .writable = true },
              { .path = appliance, .target = LODGE_GUEST_APPLIANCE } };
      const LodgeSandbox sandbox = { .idmap_base = LODGE_SANDBOX_IDMAP_BASE,
                                     .idmap_count = LODGE_SANDBOX_IDMAP_COUNT,
                                     .staging_fd = staging_fd,
                                     .host_tools = true,
                                     .binds = binds,
                                     .n_binds = G_N_ELEMENTS (binds) };
      lodge_sandbox_run (&sandbox, inspect_in_sandbox, &inspection, &status, &fail);
    }
  if (status != 0)
    lodge_status_notice ("What is on the disk could not be found out%s%.200s",
                         fail.nick != NULL ? ": " : "", fail.text);
}
