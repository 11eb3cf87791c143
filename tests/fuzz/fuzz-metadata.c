/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* metadata.yaml of an image, and what a root file system says of itself. */
#include "fuzz.h"

#include <string.h>

#include "lodge-facts.h"

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  const char *text = (const char *) data;
  LodgeFacts facts = { 0 };
  LodgeFail fail = { 0 };

  if (!lodge_facts_take_metadata (&facts, text, size, &fail))
    g_assert_cmpstr (fail.nick, ==, "ImageInvalid");
  lodge_facts_take_os_release (&facts, text, size);
  lodge_facts_take_program (&facts, data, size);
  /* What is shown to users is text, and of one line. */
  g_assert_true (g_utf8_validate (facts.description, -1, NULL));
  g_assert_null (strpbrk (facts.description, "\n\x1b\x7f"));
  g_assert_true (g_utf8_validate (facts.architecture, -1, NULL));
  return 0;
}
