/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-cpu-limit.h"

#include <string.h>

static gboolean
parse_number (const char *text, guint64 min, guint64 *out_value)
{
  return g_ascii_string_to_unsigned (text, 10, min, LODGE_CPU_LIMIT_MAX, out_value, NULL);
}

/* One "3" or "0-1"; CPUs are marked in a set, so that one that is named twice counts once. */
static gboolean
mark_range (const char *text, gboolean *marks)
{
  g_auto (GStrv) ends = g_strsplit (text, "-", 2);
  guint64 first, last;
  if (ends[0] == NULL || !parse_number (ends[0], 0, &first))
    return FALSE;
  last = first;
  if (ends[1] != NULL && !parse_number (ends[1], first, &last))
    return FALSE;
  for (guint64 cpu = first; cpu <= last; cpu++)
    marks[cpu] = TRUE;
  return TRUE;
}

gboolean
lodge_cpu_limit_parse (const char *text, guint *out_count, char **out_cpuset, GError **error)
{
  guint64 number;
  if (parse_number (text, 1, &number))
    {
      *out_count = (guint) number;
      *out_cpuset = NULL;
      return TRUE;
    }

  g_autofree gboolean *marks = g_new0 (gboolean, LODGE_CPU_LIMIT_MAX + 1);
  g_auto (GStrv) ranges = g_strsplit (text, ",", -1);
  gboolean valid = strpbrk (text, ",-") != NULL;
  for (char **range = ranges; valid && *range != NULL; range++)
    valid = mark_range (*range, marks);
  if (!valid)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_CONFIG,
                   "The value of limits.cpu is neither a number of CPUs, such as 2, nor a list "
                   "of them, such as 0-1,3");
      return FALSE;
    }

  guint count = 0;
  for (guint cpu = 0; cpu <= LODGE_CPU_LIMIT_MAX; cpu++)
    count += marks[cpu] ? 1 : 0;
  *out_count = count;
  *out_cpuset = g_strdup (text);
  return TRUE;
}
