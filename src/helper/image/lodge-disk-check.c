/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-disk-check.h"

#include <endian.h>
#include <glib.h>
#include <string.h>

#include "lodge-qcow2.h"

#define SECTOR 512

typedef struct
{
  const unsigned char *head;
  size_t head_size;
  const unsigned char *tail;
  size_t tail_size;
  uint64_t file_size;
  uint64_t max_virtual_size;
  uint32_t snapshots;
  uint64_t size;
  LodgeFail *fail;
} Check;

static bool
refuse (Check *check, const char *what, const char *why)
{
  return lodge_fail (check->fail, "ImageInvalid", "The %s disk is refused: %s", what, why);
}

/** Little-endian; 0 past the end. */
static uint32_t
le32_at (const Check *check, size_t offset)
{
  uint32_t value = 0;
  if (offset + sizeof value <= check->head_size)
    memcpy (&value, check->head + offset, sizeof value);
  return le32toh (value);
}

static uint64_t
le64_at (const Check *check, size_t offset)
{
  uint64_t value = 0;
  if (offset + sizeof value <= check->head_size)
    memcpy (&value, check->head + offset, sizeof value);
  return le64toh (value);
}

static bool
check_size (Check *check, const char *what, uint64_t size)
{
  check->size = size;
  if (size > 0 && size <= check->max_virtual_size)
    return true;
  return lodge_fail (check->fail, "ImageInvalid",
                     "The %s disk is refused: its virtual size is not between 1 byte and %llu GiB",
                     what, (unsigned long long) (check->max_virtual_size >> 30));
}

/* ---- VMDK ---- */

#define VMDK_CAPACITY          12 /* sectors */
#define VMDK_DESCRIPTOR_OFFSET 28 /* sectors */
#define VMDK_DESCRIPTOR_SIZE   36 /* sectors */
#define VMDK_DESCRIPTOR_MAX    20 /* sectors; what QEMU reads of it */
#define VMDK_NO_PARENT         "ffffffff"

/** One line of the description within the disk. */
static bool
check_vmdk_line (Check *check, const char *line, guint *extents)
{
  if (g_ascii_strncasecmp (line, "parentFileNameHint", 18) == 0)
    return refuse (check, "VMDK", "it is built on another file (a parent)");
  if (g_ascii_strncasecmp (line, "parentCID=", 10) == 0
      && g_ascii_strncasecmp (line + 10, VMDK_NO_PARENT, 8) != 0)
    return refuse (check, "VMDK", "it is built on another file (a parent)");
  if (g_ascii_strncasecmp (line, "createType=", 11) == 0
      && g_ascii_strncasecmp (line + 11, "\"monolithicSparse\"", 18) != 0
      && g_ascii_strncasecmp (line + 11, "\"streamOptimized\"", 17) != 0)
    return refuse (check, "VMDK", "it keeps its data in other files");
  bool is_extent = g_str_has_prefix (line, "RW ") || g_str_has_prefix (line, "RDONLY ")
                   || g_str_has_prefix (line, "NOACCESS ");
  if (!is_extent)
    return true;
  /* The name in it is that of this very file. */
  if (++*extents > 1 || strstr (line, " SPARSE ") == NULL)
    return refuse (check, "VMDK", "it keeps its data in other files");
  return true;
}

static bool
check_vmdk_descriptor (Check *check, size_t offset, size_t size)
{
  g_autofree char *text = g_strndup ((const char *) check->head + offset, size);
  g_auto (GStrv) lines = g_strsplit_set (text, "\r\n", -1);
  guint extents = 0;

  for (char **line = lines; *line != NULL; line++)
    if (!check_vmdk_line (check, g_strchug (*line), &extents))
      return false;
  return true;
}

static bool
check_vmdk (Check *check)
{
  uint64_t capacity = le64_at (check, VMDK_CAPACITY);
  uint64_t offset = le64_at (check, VMDK_DESCRIPTOR_OFFSET);
  uint64_t size = le64_at (check, VMDK_DESCRIPTOR_SIZE);

  if (check->head_size < SECTOR)
    return refuse (check, "VMDK", "it ends before its header does");
  /* Without a capacity QEMU takes the description's word for where the data is. */
  if (!check_size (check, "VMDK", capacity < (UINT64_MAX / SECTOR) ? capacity * SECTOR : 0))
    return false;
  if (offset != 0 && (offset != 1 || size == 0 || size > VMDK_DESCRIPTOR_MAX))
    return refuse (check, "VMDK", "its description is not where it should be");
  size_t end = MIN (SECTOR * (1 + (size_t) VMDK_DESCRIPTOR_MAX), check->head_size);
  return end <= SECTOR || check_vmdk_descriptor (check, SECTOR, end - SECTOR);
}

/* ---- VDI ---- */

#define VDI_TYPE        76
#define VDI_SIZE        368
#define VDI_DYNAMIC     1
#define VDI_STATIC      2
#define VDI_PARENT_UUID 440

static bool
check_vdi (Check *check)
{
  uint32_t type = le32_at (check, VDI_TYPE);

  if (check->head_size < SECTOR)
    return refuse (check, "VDI", "it ends before its header does");
  if (type != VDI_DYNAMIC && type != VDI_STATIC)
    return refuse (check, "VDI", "it is only the difference to another file");
  return check_size (check, "VDI", le64_at (check, VDI_SIZE));
}

/* ---- VHD: a footer, and a copy of it at the beginning of dynamic disks ---- */

#define VHD_COOKIE  "conectix"
#define VHD_SIZE    48
#define VHD_TYPE    60
#define VHD_FIXED   2
#define VHD_DYNAMIC 3

static bool
check_vhd (Check *check)
{
  bool at_start = check->head_size >= SECTOR && memcmp (check->head, VHD_COOKIE, 8) == 0;
  const unsigned char *footer = at_start ? check->head : check->tail;
  uint64_t size;
  uint32_t type;

  if (!at_start && check->tail_size < SECTOR)
    return refuse (check, "VHD", "it ends before its footer does");
  memcpy (&size, footer + VHD_SIZE, sizeof size);
  memcpy (&type, footer + VHD_TYPE, sizeof type);
  if (be32toh (type) != VHD_FIXED && be32toh (type) != VHD_DYNAMIC)
    return refuse (check, "VHD", "it is only the difference to another file");
  return check_size (check, "VHD", be64toh (size));
}

/* ---- the others ---- */

static bool
check_qcow2 (Check *check)
{
  LodgeQcow2 header;
  if (!lodge_qcow2_check (check->head, MIN (check->head_size, LODGE_QCOW2_HEAD_SIZE),
                          check->file_size, check->max_virtual_size, &header, check->fail))
    return false;
  check->snapshots = header.snapshots;
  check->size = header.virtual_size;
  return true;
}

static bool
check_raw (Check *check)
{
  return check_size (check, "raw", check->file_size);
}

/** Its size is in tables that are not at a fixed place; qemu-img refuses those with a parent. */
static bool
check_vhdx (Check *check)
{
  check->size = 0;
  return check->head_size == LODGE_DISK_HEAD_SIZE
         || refuse (check, "VHDX", "it ends before its header does");
}

bool
lodge_disk_check (LodgeFormat format, const void *head, size_t head_size, const void *tail,
                  size_t tail_size, uint64_t file_size, uint64_t max_virtual_size,
                  uint32_t *out_snapshots, uint64_t *out_size, LodgeFail *fail)
{
  static bool (*const CHECKS[]) (Check * check) = {
    [LODGE_FORMAT_QCOW2] = check_qcow2, [LODGE_FORMAT_VMDK] = check_vmdk,
    [LODGE_FORMAT_VDI] = check_vdi,     [LODGE_FORMAT_VHD] = check_vhd,
    [LODGE_FORMAT_VHDX] = check_vhdx,   [LODGE_FORMAT_RAW] = check_raw,
  };
  Check check = { .head = head,
                  .head_size = head_size,
                  .tail = tail,
                  .tail_size = tail_size,
                  .file_size = file_size,
                  .max_virtual_size = max_virtual_size,
                  .fail = fail };

  if (!lodge_format_is_disk (format))
    return lodge_fail (fail, "ImageInvalid", "The file is not a disk");
  if (!CHECKS[format](&check))
    return false;
  *out_snapshots = check.snapshots;
  *out_size = check.size;
  return true;
}
