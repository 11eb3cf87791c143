/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-units.h"

#include <string.h>

#include "lodge/lodge-error.h"

typedef struct
{
  const char *suffix;
  guint64 factor;
} Unit;

/* LXD's units: kB is 1000, KiB is 1024; a bare number is bytes. */
static const Unit size_units[] = {
  { "", 1 },
  { "B", 1 },
  { "kB", G_GUINT64_CONSTANT (1000) },
  { "MB", G_GUINT64_CONSTANT (1000000) },
  { "GB", G_GUINT64_CONSTANT (1000000000) },
  { "TB", G_GUINT64_CONSTANT (1000000000000) },
  { "PB", G_GUINT64_CONSTANT (1000000000000000) },
  { "EB", G_GUINT64_CONSTANT (1000000000000000000) },
  { "KiB", G_GUINT64_CONSTANT (1) << 10 },
  { "MiB", G_GUINT64_CONSTANT (1) << 20 },
  { "GiB", G_GUINT64_CONSTANT (1) << 30 },
  { "TiB", G_GUINT64_CONSTANT (1) << 40 },
  { "PiB", G_GUINT64_CONSTANT (1) << 50 },
  { "EiB", G_GUINT64_CONSTANT (1) << 60 },
};

static const Unit duration_units[] = {
  { "", 1 }, { "s", 1 }, { "m", 60 }, { "h", 3600 }, { "d", 86400 },
};

static const Unit *
find_unit (const Unit *units, gsize n_units, const char *suffix)
{
  for (gsize i = 0; i < n_units; i++)
    if (strcmp (units[i].suffix, suffix) == 0)
      return &units[i];
  return NULL;
}

/* Digits, at most six of them behind a '.'; the value is scaled so that it stays an integer. */
static gboolean
parse_decimal (const char *text, guint64 *out_whole, guint64 *out_millionths, const char **out_rest)
{
  guint64 whole = 0, millionths = 0;
  const char *p = text;

  if (!g_ascii_isdigit (*p))
    return FALSE;
  for (; g_ascii_isdigit (*p); p++)
    if (!g_uint64_checked_mul (&whole, whole, 10)
        || !g_uint64_checked_add (&whole, whole, (guint64) (*p - '0')))
      return FALSE;
  if (*p == '.')
    {
      guint64 place = 100000;

      p++;
      if (!g_ascii_isdigit (*p))
        return FALSE;
      for (; g_ascii_isdigit (*p); p++, place /= 10)
        millionths += (guint64) (*p - '0') * place;
    }
  *out_whole = whole;
  *out_millionths = millionths;
  *out_rest = p;
  return TRUE;
}

static gboolean
parse_with_units (const char *text, const Unit *units, gsize n_units, guint64 *out_value)
{
  guint64 whole, millionths, value;
  const char *rest;

  if (text == NULL || strlen (text) > 32 || !parse_decimal (text, &whole, &millionths, &rest))
    return FALSE;

  const Unit *unit = find_unit (units, n_units, rest);
  if (unit == NULL || (millionths != 0 && unit->factor == 1)
      || !g_uint64_checked_mul (&value, whole, unit->factor))
    return FALSE;

  /* In two steps, so that the product fits for every unit. */
  guint64 part
      = unit->factor / 1000000 * millionths + unit->factor % 1000000 * millionths / 1000000;
  return g_uint64_checked_add (out_value, value, part);
}

gboolean
lodge_parse_size (const char *text, guint64 *out_bytes, GError **error)
{
  guint64 bytes;

  if (!parse_with_units (text, size_units, G_N_ELEMENTS (size_units), &bytes) || bytes > G_MAXINT64)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                   "not a size\nwrite a number with a unit, for example 512MiB, 2GiB or 500MB");
      return FALSE;
    }
  *out_bytes = bytes;
  return TRUE;
}

gboolean
lodge_parse_duration (const char *text, guint64 *out_seconds, GError **error)
{
  guint64 seconds;

  if (!parse_with_units (text, duration_units, G_N_ELEMENTS (duration_units), &seconds)
      || seconds > G_MAXINT32)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                   "not a time span\nwrite a number with a unit, for example 30s, 5m or 2h");
      return FALSE;
    }
  *out_seconds = seconds;
  return TRUE;
}

char *
lodge_format_size (guint64 bytes)
{
  static const char *const suffixes[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
  double value = (double) bytes;
  gsize i = 0;

  while (value >= 1024 && i + 1 < G_N_ELEMENTS (suffixes))
    {
      value /= 1024;
      i++;
    }
  char number[G_ASCII_DTOSTR_BUF_SIZE];
  g_ascii_formatd (number, sizeof number, i == 0 || value >= 100 ? "%.0f" : "%.1f", value);
  if (g_str_has_suffix (number, ".0"))
    number[strlen (number) - 2] = '\0';
  return g_strconcat (number, suffixes[i], NULL);
}

char *
lodge_format_duration (guint64 seconds)
{
  if (seconds < 60)
    return g_strdup_printf ("%" G_GUINT64_FORMAT "s", seconds);
  if (seconds < 3600)
    return g_strdup_printf ("%" G_GUINT64_FORMAT "m %" G_GUINT64_FORMAT "s", seconds / 60,
                            seconds % 60);
  if (seconds < 86400)
    return g_strdup_printf ("%" G_GUINT64_FORMAT "h %" G_GUINT64_FORMAT "m", seconds / 3600,
                            seconds % 3600 / 60);
  return g_strdup_printf ("%" G_GUINT64_FORMAT "d %" G_GUINT64_FORMAT "h", seconds / 86400,
                          seconds % 86400 / 3600);
}

gboolean
lodge_parse_uint (const char *text, guint64 min, guint64 max, guint64 *out_value, GError **error)
{
  guint64 value;

  if (text == NULL || !g_ascii_isdigit (text[0])
      || !g_ascii_string_to_unsigned (text, 10, min, max, &value, NULL))
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                   "not a whole number from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT, min, max);
      return FALSE;
    }
  *out_value = value;
  return TRUE;
}
