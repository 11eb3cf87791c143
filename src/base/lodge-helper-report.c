/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-helper-report.h"

#include <string.h>
#include <unistd.h>

#include "lodge-name.h"
#include "lodge/lodge-error.h"
#include "lodge/lodge-helper-protocol.h"

#define PROGRESS "progress "

void
lodge_helper_report_init (LodgeHelperReport *report)
{
  report->partial_line = g_string_new (NULL);
  report->results = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  report->error = NULL;
  report->done = FALSE;
}

void
lodge_helper_report_clear (LodgeHelperReport *report)
{
  g_string_free (report->partial_line, TRUE);
  g_hash_table_unref (report->results);
  g_clear_error (&report->error);
}

static void
take_result (LodgeHelperReport *report, const char *fields)
{
  const char *space = strchr (fields, ' ');

  if (space == NULL)
    return;
  g_autofree char *key = g_strndup (fields, (gsize) (space - fields));
  if (g_hash_table_contains (report->results, key)
      || g_hash_table_size (report->results) < LODGE_HELPER_RESULTS_MAX)
    g_hash_table_replace (report->results, g_steal_pointer (&key), g_strdup (space + 1));
}

static void
take_error (LodgeHelperReport *report, const char *fields)
{
  const char *space = strchr (fields, ' ');
  g_autofree char *nick
      = space != NULL ? g_strndup (fields, (gsize) (space - fields)) : g_strdup (fields);
  g_autofree char *message = lodge_text_escape (space != NULL ? space + 1 : "it gave no reason");

  g_clear_error (&report->error);
  report->error = g_error_new_literal (LODGE_ERROR, (int) lodge_error_from_nick (nick), message);
}

static void
take_line (LodgeHelperReport *report, int fd, LodgeHelperReportFunc func, gpointer user_data)
{
  /* All of it may reach D-Bus, which takes nothing else. */
  g_autofree char *line = g_utf8_make_valid (report->partial_line->str, -1);

  /* Whoever runs the helper may want to see results when they come. */
  if (g_str_has_prefix (line, "result "))
    take_result (report, line + strlen ("result "));
  if (g_str_has_prefix (line, "error "))
    take_error (report, line + strlen ("error "));
  else if (strcmp (line, "done") == 0)
    report->done = TRUE;
  else if (func != NULL)
    {
      func (line, fd, user_data);
      return;
    }
  if (fd >= 0)
    close (fd);
}

void
lodge_helper_report_feed (LodgeHelperReport *report, const char *data, gsize size, int fd,
                          LodgeHelperReportFunc func, gpointer user_data)
{
  for (gsize i = 0; i < size; i++)
    {
      if (data[i] != '\n')
        {
          if (report->partial_line->len < LODGE_HELPER_LINE_MAX)
            g_string_append_c (report->partial_line, data[i]);
          continue;
        }
      take_line (report, fd, func, user_data);
      g_string_truncate (report->partial_line, 0);
      fd = -1;
    }
  if (fd >= 0)
    close (fd);
}

gboolean
lodge_helper_report_read_progress (const char *line, LodgeHelperProgress *out_progress)
{
  if (!g_str_has_prefix (line, PROGRESS))
    return FALSE;

  char *end;
  double fraction = g_ascii_strtod (line + strlen (PROGRESS), &end);
  if (*end != ' ')
    return FALSE;
  guint64 done = g_ascii_strtoull (end + 1, &end, 10);
  if (*end != ' ')
    return FALSE;
  guint64 total = g_ascii_strtoull (end + 1, &end, 10);
  if (*end != '\0' && *end != ' ')
    return FALSE;
  /* Also false for what is no number. */
  out_progress->fraction = fraction >= 0 && fraction <= 1 ? fraction : fraction > 1 ? 1 : -1;
  out_progress->done = done;
  out_progress->total = total;
  out_progress->stage = *end == ' ' ? end + 1 : end;
  return TRUE;
}
