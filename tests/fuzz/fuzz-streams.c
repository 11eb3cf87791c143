/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an image server may send, as an index and as a list of products. */
#include "fuzz.h"

#include "lodge-streams.h"

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_auto (LodgeStreamsIndex) index = { 0 };
  g_autoptr (GString) out = g_string_new (NULL);
  LodgeStreamsSummary summary = { 0 };
  LodgeFail fail = { 0 };

  (void) lodge_streams_read_index ((const char *) data, size, &index, &fail);
  if (lodge_streams_read_products ((const char *) data, size, out, &summary, &fail))
    {
      g_auto (GStrv) lines = g_strsplit (out->str, "\n", -1);

      /* A line for each image, of 16 fields each. */
      g_assert_cmpuint (g_strv_length (lines), ==, summary.images > 0 ? summary.images + 1 : 0);
      for (guint i = 0; i < summary.images; i++)
        {
          g_auto (GStrv) fields = g_strsplit (lines[i], "\t", -1);
          g_assert_cmpuint (g_strv_length (fields), ==, 16);
        }
    }
  return 0;
}
