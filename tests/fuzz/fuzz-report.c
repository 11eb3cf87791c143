/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a helper that was taken over says to lodged. */
#include "fuzz.h"

#include <math.h>

#include "lodge-helper-report.h"

static void
on_line (const char *line, int fd, gpointer user_data)
{
  LodgeHelperProgress progress;

  g_assert_true (g_utf8_validate (line, -1, NULL));
  g_assert_cmpint (fd, ==, -1);
  if (!lodge_helper_report_read_progress (line, &progress))
    return;
  g_assert_true (progress.fraction == -1 || (progress.fraction >= 0 && progress.fraction <= 1));
  g_assert_nonnull (progress.stage);
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  LodgeHelperReport report;
  gsize half = size / 2;
  GHashTableIter iter;
  gpointer value;

  lodge_helper_report_init (&report);
  lodge_helper_report_feed (&report, (const char *) data, half, -1, on_line, NULL);
  lodge_helper_report_feed (&report, (const char *) data + half, size - half, -1, on_line, NULL);
  g_assert_cmpuint (g_hash_table_size (report.results), <=, LODGE_HELPER_RESULTS_MAX);
  g_hash_table_iter_init (&iter, report.results);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    g_assert_true (g_utf8_validate (value, -1, NULL));
  if (report.error != NULL)
    g_assert_true (g_utf8_validate (report.error->message, -1, NULL));
  lodge_helper_report_clear (&report);
  return 0;
}
