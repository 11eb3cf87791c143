/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The lines that a taken over lodge-fetch may leave for lodged. */
#include "fuzz.h"

#include <string.h>

#include "lodge-name.h"
#include "lodge-remote-private.h"

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autofree char *text = g_strndup ((const char *) data, size);
  g_autoptr (GPtrArray) catalog = lodge_catalog_parse (text);

  for (guint i = 0; i < catalog->len; i++)
    {
      const LodgeCatalogEntry *entry = g_ptr_array_index (catalog, i);
      g_autofree char *words = lodge_catalog_describe (entry);

      g_assert_true (lodge_fingerprint_is_valid (entry->fingerprint));
      g_assert_true (lodge_fingerprint_is_valid (entry->root_sha256));
      g_assert_null (strstr (entry->root_path, ".."));
      g_assert_true (g_utf8_validate (words, -1, NULL));
      g_assert_cmpuint (g_strv_length (entry->aliases), >, 0);
      (void) lodge_catalog_find (catalog, entry->aliases[0], entry->kind);
    }
  return 0;
}
