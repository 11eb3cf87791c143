/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-sniff.h"

#include <errno.h>
#include <glib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REFUSED  -1
#define FROM_END (-1)
#define EXT4     1080 /* two bytes there prove little */

/* Marks at fixed places.  The first that is there decides; `weak` ones may come beside another,
 * for example the partition table of an ISO that boots from USB sticks as well. */
typedef struct
{
  int format; /* LodgeFormat or REFUSED */
  bool weak;
  long offset; /* FROM_END: of the last 512 bytes */
  const char *bytes;
  size_t length;
  const char *name;
} Mark;

#define MARK(format, weak, offset, text, name)                                                     \
  {                                                                                                \
    format, weak, offset, text, sizeof (text) - 1, name                                            \
  }

static const Mark MARKS[] = {
  MARK (LODGE_FORMAT_QCOW2, false, 0, "QFI\xfb", "a qcow2 disk"),
  MARK (LODGE_FORMAT_VMDK, false, 0, "KDMV", "a VMDK disk"),
  MARK (LODGE_FORMAT_VHDX, false, 0, "vhdxfile", "a VHDX disk"),
  MARK (LODGE_FORMAT_VDI, false, 64, "\x7f\x10\xda\xbe", "a VDI disk"),
  MARK (LODGE_FORMAT_SQUASHFS, false, 0, "hsqs", "a squashfs"),
  MARK (LODGE_FORMAT_TAR, false, 0, "\x1f\x8b", "a gzip file"),
  MARK (LODGE_FORMAT_TAR, false, 0,
        "\xfd"
        "7zXZ\0",
        "an xz file"),
  MARK (LODGE_FORMAT_TAR, false, 0, "BZh", "a bzip2 file"),
  MARK (LODGE_FORMAT_TAR, false, 0, "\x28\xb5\x2f\xfd", "a zstd file"),
  MARK (LODGE_FORMAT_TAR, false, 0, "\x04\x22\x4d\x18", "an lz4 file"),
  MARK (LODGE_FORMAT_TAR, false, 257, "ustar", "a tar archive"),
  MARK (REFUSED, false, 0, "# Disk DescriptorFile", "a VMDK description, which names other files"),
  MARK (REFUSED, false, 0, "COWD", "a VMDK disk of an old kind"),
  MARK (REFUSED, false, 0, "WithoutFreeSpace", "a Parallels disk"),
  MARK (REFUSED, false, 0, "WithouFreSpacExt", "a Parallels disk"),
  MARK (REFUSED, false, 0, "QED\0", "a QED disk"),
  MARK (REFUSED, false, 0, "Bochs Virtual HD Image", "a Bochs disk"),
  MARK (REFUSED, false, 0, "#!/bin/sh\n#V2.0 Format", "a compressed loop disk"),
  MARK (REFUSED, false, 0, "LUKS\xba\xbe", "an encrypted disk"),
  MARK (REFUSED, false, 0, "PK\x03\x04", "a zip archive"),
  MARK (REFUSED, false, FROM_END, "koly", "a macOS disk image"),
  MARK (LODGE_FORMAT_VHD, false, 0, "conectix", "a VHD disk"),
  MARK (LODGE_FORMAT_VHD, true, FROM_END, "conectix", "a VHD disk"),
  MARK (LODGE_FORMAT_ISO, true, 32769, "CD001", "an ISO file system"),
  MARK (LODGE_FORMAT_RAW, true, 510, "\x55\xaa", "a disk with a partition table"),
  MARK (LODGE_FORMAT_RAW, true, 512, "EFI PART", "a disk with a partition table"),
  MARK (LODGE_FORMAT_RAW, true, EXT4, "\x53\xef", "an ext4 file system"),
  MARK (LODGE_FORMAT_RAW, true, 0, "XFSB", "an XFS file system"),
};

bool
lodge_format_is_disk (LodgeFormat format)
{
  return format >= LODGE_FORMAT_QCOW2 && format <= LODGE_FORMAT_RAW;
}

const char *
lodge_format_driver (LodgeFormat format)
{
  static const char *const DRIVERS[] = {
    [LODGE_FORMAT_QCOW2] = "qcow2", [LODGE_FORMAT_VMDK] = "vmdk", [LODGE_FORMAT_VDI] = "vdi",
    [LODGE_FORMAT_VHD] = "vpc",     [LODGE_FORMAT_VHDX] = "vhdx", [LODGE_FORMAT_RAW] = "raw",
  };
  return lodge_format_is_disk (format) ? DRIVERS[format] : "";
}

static bool
is_there (const Mark *mark, const char *head, size_t head_size, const char *tail, size_t tail_size)
{
  const char *text = mark->offset == FROM_END ? tail : head + mark->offset;
  size_t size = mark->offset == FROM_END             ? tail_size
                : (size_t) mark->offset <= head_size ? head_size - (size_t) mark->offset
                                                     : 0;
  return size >= mark->length && memcmp (text, mark->bytes, mark->length) == 0;
}

/* Data that was compressed or packed may show anything at its later places. */
static bool
is_contradiction (const Mark *first, const Mark *second)
{
  if (!lodge_format_is_disk ((LodgeFormat) first->format) || second->offset == EXT4)
    return false;
  /* A footer after an ISO would make a disk of it. */
  return !first->weak || (first->format == LODGE_FORMAT_VHD && second->format == LODGE_FORMAT_ISO);
}

bool
lodge_sniff_bytes (const void *head, size_t head_size, const void *tail, size_t tail_size,
                   LodgeFormat *out_format, LodgeFail *fail)
{
  const Mark *found = NULL;

  for (size_t i = 0; i < G_N_ELEMENTS (MARKS); i++)
    {
      const Mark *mark = &MARKS[i];
      if (!is_there (mark, head, head_size, tail, tail_size))
        continue;
      if (found == NULL)
        found = mark;
      else if (found->format != mark->format && is_contradiction (found, mark))
        return lodge_fail (fail, "ImageInvalid", "The file is %s and %s at once", found->name,
                           mark->name);
    }
  if (found != NULL && found->format == REFUSED)
    return lodge_fail (fail, "ImageInvalid",
                       "The file is %s, which cannot be imported\nConvert it to qcow2 first.",
                       found->name);
  *out_format = found != NULL ? (LodgeFormat) found->format : LODGE_FORMAT_TAR;
  return true;
}

bool
lodge_sniff_file (int fd, LodgeFormat *out_format, LodgeFail *fail)
{
  g_autofree char *head = g_malloc0 (LODGE_SNIFF_HEAD_SIZE);
  char tail[LODGE_SNIFF_TAIL_SIZE];
  struct stat st;

  if (fstat (fd, &st) < 0 || !S_ISREG (st.st_mode))
    return lodge_fail (fail, "InvalidArgument", "The image is not a regular file");
  ssize_t head_size = pread (fd, head, LODGE_SNIFF_HEAD_SIZE, 0);
  ssize_t tail_size = st.st_size > LODGE_SNIFF_TAIL_SIZE
                          ? pread (fd, tail, sizeof tail, st.st_size - LODGE_SNIFF_TAIL_SIZE)
                          : 0;
  if (head_size < 0 || tail_size < 0)
    return lodge_fail_errno (fail, errno, "The image cannot be read");
  return lodge_sniff_bytes (head, (size_t) head_size, tail, (size_t) tail_size, out_format, fail);
}
