/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An ISO file system: its volume descriptors and what it boots. */
#include "fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

#include "lodge-iso.h"

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  LodgeFacts facts = { 0 };
  LodgeFail fail = { 0 };
  /* The first 32 KiB are whoever boots from a disk's. */
  const off_t begin = 16 * 2048;
  int fd = memfd_create ("iso", MFD_CLOEXEC);

  g_assert_cmpint (pwrite (fd, data, size, begin), ==, (gssize) size);
  if (!lodge_iso_read (fd, &facts, &fail))
    g_assert_cmpstr (fail.nick, ==, "ImageInvalid");
  g_assert_true (g_utf8_validate (facts.description, -1, NULL));
  close (fd);
  return 0;
}
