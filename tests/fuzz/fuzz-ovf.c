/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The description in an OVA. */
#include "fuzz.h"

#include <string.h>

#include "lodge-ovf.h"

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  char disk[LODGE_OVF_NAME_SIZE] = "";
  LodgeFacts facts = { 0 };
  LodgeFail fail = { 0 };

  if (lodge_ovf_parse ((const char *) data, size, &facts, disk, &fail))
    g_assert_cmpuint (strnlen (disk, sizeof disk), <, sizeof disk);
  else
    g_assert_cmpstr (fail.nick, ==, "ImageInvalid");
  return 0;
}
