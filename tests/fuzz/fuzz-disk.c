/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Beginning and end of a file that may be a disk. */
#include "fuzz.h"

#include "lodge-disk-check.h"

#define SIZE_MAX_VIRTUAL (16ull << 40)

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  gsize head_size = MIN (size, LODGE_DISK_HEAD_SIZE);
  gsize tail_size = size > LODGE_SNIFF_TAIL_SIZE ? LODGE_SNIFF_TAIL_SIZE : 0;
  const guint8 *tail = data + size - tail_size;
  LodgeFormat format;
  LodgeFail fail = { 0 };

  if (!lodge_sniff_bytes (data, MIN (size, LODGE_SNIFF_HEAD_SIZE), tail, tail_size, &format, &fail))
    g_assert_cmpstr (fail.nick, ==, "ImageInvalid");
  for (format = LODGE_FORMAT_TAR; format <= LODGE_FORMAT_ISO; format++)
    {
      guint32 snapshots = 0;
      guint64 virtual_size = 0;

      fail = (LodgeFail){ 0 };
      if (!lodge_disk_check (format, data, head_size, tail, tail_size, size, SIZE_MAX_VIRTUAL,
                             &snapshots, &virtual_size, &fail))
        g_assert_cmpstr (fail.nick, ==, "ImageInvalid");
      else if (format != LODGE_FORMAT_VHDX)
        g_assert_true (virtual_size > 0 && virtual_size <= SIZE_MAX_VIRTUAL);
    }
  return 0;
}
