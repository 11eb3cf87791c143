/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The documents of OCI images and of `docker save`. */
#include "fuzz.h"

#include <string.h>

#include "lodge-oci-document.h"

static void
check_digest (const char *digest)
{
  g_assert_cmpuint (strspn (digest, "0123456789abcdef"), ==, 64);
  g_assert_cmpuint (strlen (digest), ==, 64);
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_auto (LodgeOciDocument) document = { 0 };
  g_auto (LodgeOciDocument) docker = { 0 };
  g_autofree char *text = g_strndup ((const char *) data, size);
  LodgeFacts facts = { 0 };
  LodgeFail fail = { 0 };

  if (lodge_oci_read_document (text, size, &document, &fail))
    {
      g_assert_true ((document.manifest != NULL) != (document.config != NULL));
      check_digest (document.manifest != NULL ? document.manifest : document.config);
      for (guint i = 0; document.layers != NULL && i < document.layers->len; i++)
        check_digest (g_ptr_array_index (document.layers, i));
    }
  else
    g_assert_cmpstr (fail.nick, ==, "ImageInvalid");
  if (lodge_oci_read_docker (text, size, &docker, &fail))
    g_assert_true (docker.config != NULL && docker.layers->len > 0 && docker.images > 0);
  (void) lodge_oci_read_config (text, size, &facts, &fail);
  return 0;
}
