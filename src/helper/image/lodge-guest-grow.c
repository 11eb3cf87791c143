/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib.h>
#include <string.h>

#include "lodge-guest-disk.h"
#include "lodge-status.h"

#define ALIGNMENT 2048 /* sectors; a GPT's last usable one is before such a boundary */
#define GPT_TAIL  33   /* sectors of the second table, at the end */

static bool
failed (guestfs_h *handle, const char *what, LodgeFail *fail)
{
  const char *why = guestfs_last_error (handle);

  return lodge_fail (fail, "HelperFailed", "%s cannot be enlarged: %.300s", what,
                     why != NULL ? why : "no reason");
}

/** Whether nothing lies behind partition @number. */
static bool
is_last (guestfs_h *handle, const char *disk, int number)
{
  struct guestfs_partition_list *parts = guestfs_part_list (handle, disk);
  uint64_t end = 0;
  int last = -1;

  for (uint32_t i = 0; parts != NULL && i < parts->len; i++)
    if (parts->val[i].part_end >= end)
      {
        end = parts->val[i].part_end;
        last = parts->val[i].part_num;
      }
  if (parts != NULL)
    guestfs_free_partition_list (parts);
  return last == number;
}

static bool
grow_partition (guestfs_h *handle, const char *root, LodgeFail *fail)
{
  g_autofree char *disk = guestfs_part_to_dev (handle, root);
  int number = disk != NULL ? guestfs_part_to_partnum (handle, root) : -1;

  if (number < 0)
    return lodge_fail (fail, "NotSupported",
                       "The disk cannot be enlarged: its root is in no ordinary partition");
  g_autofree char *table = guestfs_part_get_parttype (handle, disk);
  int64_t sectors = guestfs_blockdev_getsz (handle, disk);
  bool is_gpt = g_strcmp0 (table, "gpt") == 0;

  if (!is_last (handle, disk, number))
    return lodge_fail (fail, "NotSupported",
                       "The disk cannot be enlarged: another partition lies behind the root's");
  if (is_gpt && guestfs_part_expand_gpt (handle, disk) < 0)
    return failed (handle, "The partition table", fail);
  int64_t end = is_gpt ? (sectors - GPT_TAIL) / ALIGNMENT * ALIGNMENT : sectors;
  return guestfs_part_resize (handle, disk, number, end - 1) == 0
         || failed (handle, "The root's partition", fail);
}

static bool
grow_mounted (guestfs_h *handle, const char *root, bool xfs, LodgeFail *fail)
{
  bool ok = guestfs_mount (handle, root, "/") == 0
            && (xfs ? guestfs_xfs_growfs (handle, "/", -1) == 0
                    : guestfs_btrfs_filesystem_resize (handle, "/", -1) == 0);

  ok = ok || failed (handle, "The root file system", fail);
  guestfs_umount_all (handle);
  return ok;
}

static bool
grow_file_system (guestfs_h *handle, const char *root, LodgeFail *fail)
{
  g_autofree char *type = guestfs_vfs_type (handle, root);

  if (type != NULL && g_str_has_prefix (type, "ext"))
    return (guestfs_e2fsck (handle, root, GUESTFS_E2FSCK_CORRECT, 1, -1) == 0
            && guestfs_resize2fs (handle, root) == 0)
           || failed (handle, "The root file system", fail);
  if (g_strcmp0 (type, "xfs") == 0 || g_strcmp0 (type, "btrfs") == 0)
    return grow_mounted (handle, root, strcmp (type, "xfs") == 0, fail);
  return lodge_fail (fail, "NotSupported", "A root file system of the type “%s” cannot be enlarged",
                     type != NULL ? type : "?");
}

bool
lodge_guest_disk_grow (guestfs_h *handle, LodgeFail *fail)
{
  g_autofree char *root = lodge_guest_disk_find_root (handle);

  lodge_status_progress (-1, 0, 0, "enlarge");
  if (root == NULL)
    return lodge_fail (fail, "NotSupported", "No root file system can be recognised on the disk");
  /* A file system may have the disk to itself. */
  bool whole = guestfs_is_whole_device (handle, root) == 1;
  return (whole || grow_partition (handle, root, fail)) && grow_file_system (handle, root, fail);
}
