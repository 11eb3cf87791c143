/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-guest-disk.h"

#include <errno.h>
#include <glib.h>
#include <string.h>
#include <sys/utsname.h>

#include "lodge-command.h"
#include "lodge-status.h"

#define FORMAT "qcow2"
#define SMP    2 /* a third faster than one */

/* libguestfs gives lists of allocated strings. */
static void
free_list (char **list)
{
  for (char **item = list; item != NULL && *item != NULL; item++)
    free (*item);
  free (list);
}

static bool
failed (guestfs_h *handle, const char *what, LodgeFail *fail)
{
  const char *why = guestfs_last_error (handle);

  if (why != NULL && strstr (why, "lock") != NULL)
    return lodge_fail (fail, "Busy", "The disk is in use");
  return lodge_fail (fail, "HelperFailed", "%s: %.300s", what, why != NULL ? why : "no reason");
}

bool
lodge_guest_disk_make_appliance (const char *dir, LodgeFail *fail)
{
  guestfs_h *handle = guestfs_create ();
  const char *path = handle != NULL ? guestfs_get_path (handle) : NULL;
  g_autofree char *parts = g_build_filename (path != NULL ? path : "", "supermin.d", NULL);
  g_autofree char *lock = g_strconcat (dir, ".lock", NULL);
  g_autofree char *mark = g_build_filename (dir, "README.fixed", NULL);
  struct utsname host;

  if (handle != NULL)
    guestfs_close (handle);
  if (uname (&host) < 0)
    return lodge_fail_errno (fail, errno, "The host's architecture is not known");
  if (!lodge_command_call (fail, "supermin", "--build", "--if-newer", "--lock", lock,
                           "--copy-kernel", "-f", "ext2", "--host-cpu", host.machine, parts, "-o",
                           dir, NULL))
    {
      bool no_kernel = strstr (fail->text, "kernel") != NULL;
      return no_kernel ? lodge_fail (fail, "NotSupported",
                                     "Disks of stopped VMs cannot be opened: this host has no "
                                     "kernel image in /boot; install linux-image-%s",
                                     strcmp (host.machine, "x86_64") == 0 ? "amd64" : "…")
                       : false;
    }
  /* Tells libguestfs that there is nothing to build. */
  return g_file_set_contents (mark, "", 0, NULL)
         || lodge_fail (fail, "NoSpace", "%s cannot be written", mark);
}

guestfs_h *
lodge_guest_disk_launch (const char *disk, bool read_only, const char *appliance_dir,
                         const char *cache_dir, LodgeFail *fail)
{
  guestfs_h *handle = guestfs_create ();

  if (handle == NULL)
    {
      lodge_fail (fail, "HelperFailed", "libguestfs cannot be used");
      return NULL;
    }
  guestfs_set_error_handler (handle, NULL, NULL);
  /* There is no /dev/kvm in the sandbox; asking for it would only take time. */
  if (guestfs_set_backend (handle, "direct") < 0
      || guestfs_set_backend_setting (handle, "force_tcg", "1") < 0
      || guestfs_set_path (handle, appliance_dir) < 0
      || guestfs_set_cachedir (handle, cache_dir) < 0 || guestfs_set_smp (handle, SMP) < 0
      || guestfs_add_drive_opts (handle, disk, GUESTFS_ADD_DRIVE_OPTS_FORMAT, FORMAT,
                                 GUESTFS_ADD_DRIVE_OPTS_READONLY, read_only ? 1 : 0, -1)
             < 0
      || guestfs_launch (handle) < 0)
    {
      failed (handle, "The disk cannot be opened", fail);
      guestfs_close (handle);
      return NULL;
    }
  return handle;
}

static bool
can_be_root (const char *type)
{
  static const char *const OTHERS[] = { "", "unknown", "swap", "vfat", "iso9660", "LVM2_member" };

  for (gsize i = 0; i < G_N_ELEMENTS (OTHERS); i++)
    if (strcmp (type, OTHERS[i]) == 0)
      return false;
  return true;
}

/** The one file system that can be a root; (transfer full); NULL: none or several. */
static char *
find_only_root (guestfs_h *handle)
{
  char **systems = guestfs_list_filesystems (handle);
  g_autofree char *found = NULL;
  guint n = 0;

  for (char **item = systems; item != NULL && item[0] != NULL; item += 2)
    if (can_be_root (item[1]) && n++ == 0)
      found = g_strdup (item[0]);
  free_list (systems);
  return n == 1 ? g_steal_pointer (&found) : NULL;
}

static int
compare_mount_points (const void *a, const void *b)
{
  const char *const *left = a, *const *right = b;
  size_t left_length = strlen (left[0]), right_length = strlen (right[0]);

  return left_length < right_length ? -1 : left_length > right_length;
}

/** By the operating system's own fstab; "/" first. */
static bool
mount_inspected (guestfs_h *handle, bool read_only, LodgeFail *fail)
{
  char **roots = guestfs_inspect_os (handle);
  if (roots == NULL || roots[0] == NULL)
    {
      free_list (roots);
      return lodge_fail (fail, "NotSupported",
                         "There is no operating system on the disk that "
                         "can be recognised");
    }
  char **points = guestfs_inspect_get_mountpoints (handle, roots[0]);
  free_list (roots);
  gsize n = 0;
  while (points != NULL && points[n] != NULL)
    n += 2;
  qsort (points, n / 2, 2 * sizeof *points, compare_mount_points);
  bool mounted = false;
  for (gsize i = 0; i < n; i += 2)
    {
      /* Only the root is indispensable: /mnt/usb of an fstab may well be absent. */
      int status = read_only ? guestfs_mount_ro (handle, points[i + 1], points[i])
                             : guestfs_mount (handle, points[i + 1], points[i]);
      if (status < 0)
        lodge_status_notice ("%.100s of the disk cannot be opened and is left out.", points[i]);
      mounted = mounted || (status == 0 && strcmp (points[i], "/") == 0);
    }
  free_list (points);
  return mounted || failed (handle, "The root file system cannot be mounted", fail);
}

char *
lodge_guest_disk_find_root (guestfs_h *handle)
{
  char *only = find_only_root (handle);
  char **roots = only == NULL ? guestfs_inspect_os (handle) : NULL;

  if (roots != NULL && roots[0] != NULL)
    only = g_strdup (roots[0]);
  free_list (roots);
  return only;
}

/** Inspection takes as long as the launch, so the common case does without. */
bool
lodge_guest_disk_mount (guestfs_h *handle, bool read_only, LodgeFail *fail)
{
  g_autofree char *root = find_only_root (handle);

  if (root == NULL)
    return mount_inspected (handle, read_only, fail);
  int status = read_only ? guestfs_mount_ro (handle, root, "/") : guestfs_mount (handle, root, "/");
  return status == 0 || failed (handle, "The root file system cannot be mounted", fail);
}

guestfs_h *
lodge_guest_disk_open (const char *disk, bool read_only, const char *appliance_dir,
                       const char *cache_dir, LodgeFail *fail)
{
  guestfs_h *handle = lodge_guest_disk_launch (disk, read_only, appliance_dir, cache_dir, fail);

  if (handle == NULL || lodge_guest_disk_mount (handle, read_only, fail))
    return handle;
  guestfs_close (handle);
  return NULL;
}

bool
lodge_guest_disk_close (guestfs_h *handle, LodgeFail *fail)
{
  bool ok = (guestfs_umount_all (handle) == 0 && guestfs_shutdown (handle) == 0)
            || failed (handle, "What was written may not have reached the disk", fail);

  guestfs_close (handle);
  return ok;
}
