/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <locale.h>

#include "lodge-units.h"
#include "lodge/lodge-error.h"

typedef struct
{
  const char *text;
  guint64 bytes;
} Size;

static void
test_sizes (void)
{
  static const Size good[] = {
    { "0", 0 },
    { "512", 512 },
    { "512B", 512 },
    { "1kB", 1000 },
    { "1KiB", 1024 },
    { "200MiB", 200ull << 20 },
    { "1.5GiB", 3ull << 29 },
    { "2GB", 2000000000 },
    { "0.000001MB", 1 },
    { "7EiB", 7ull << 60 },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (good); i++)
    {
      guint64 bytes = 0;

      g_assert_true (lodge_parse_size (good[i].text, &bytes, NULL));
      g_assert_cmpuint (bytes, ==, good[i].bytes);
    }
}

/* Row S04 of the hostile cases. */
static void
test_bad_sizes (void)
{
  static const char *const bad[] = { "18446744073709551616",
                                     "-1",
                                     "1e309",
                                     "0x10",
                                     "9999999TiB",
                                     "",
                                     "1,5GiB",
                                     "1 GiB",
                                     "GiB",
                                     "1.",
                                     ".5G",
                                     "1.5",
                                     "1gib",
                                     "1GiBx",
                                     "+1",
                                     "8EiB",
                                     "nan",
                                     "1.5B",
                                     " 1",
                                     "1\n",
                                     "٣MiB" };

  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) error = NULL;
      guint64 bytes = 4711;

      g_assert_false (lodge_parse_size (bad[i], &bytes, &error));
      g_assert_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT);
      g_assert_cmpuint (bytes, ==, 4711);
    }
}

/* Row S11: the locale changes nothing. */
static void
test_locale (void)
{
  guint64 bytes;
  g_autofree char *shown = NULL;

  if (setlocale (LC_ALL, "de_DE.UTF-8") == NULL)
    g_test_message ("de_DE.UTF-8 is not installed; the C locale is tested");
  g_assert_true (lodge_parse_size ("1.5MiB", &bytes, NULL));
  g_assert_cmpuint (bytes, ==, 3 << 19);
  shown = lodge_format_size (bytes);
  g_assert_cmpstr (shown, ==, "1.5MiB");
  setlocale (LC_ALL, "C");
}

static void
test_format (void)
{
  g_autofree char *none = lodge_format_size (0);
  g_autofree char *bytes = lodge_format_size (1023);
  g_autofree char *whole = lodge_format_size (200ull << 20);
  g_autofree char *large = lodge_format_size (G_MAXUINT64);
  g_autofree char *span = lodge_format_duration (90061);

  g_assert_cmpstr (none, ==, "0B");
  g_assert_cmpstr (bytes, ==, "1023B");
  g_assert_cmpstr (whole, ==, "200MiB");
  g_assert_cmpstr (large, ==, "16EiB");
  g_assert_cmpstr (span, ==, "1d 1h");
}

static void
test_durations (void)
{
  guint64 seconds;

  g_assert_true (lodge_parse_duration ("90", &seconds, NULL));
  g_assert_cmpuint (seconds, ==, 90);
  g_assert_true (lodge_parse_duration ("2h", &seconds, NULL));
  g_assert_cmpuint (seconds, ==, 7200);
  g_assert_false (lodge_parse_duration ("99999999999d", &seconds, NULL));
  g_assert_false (lodge_parse_duration ("1.5s", &seconds, NULL));
}

static void
test_uint (void)
{
  guint64 value;

  g_assert_true (lodge_parse_uint ("500", 8, 1000, &value, NULL));
  g_assert_cmpuint (value, ==, 500);
  g_assert_false (lodge_parse_uint ("7", 8, 1000, &value, NULL));
  g_assert_false (lodge_parse_uint ("+8", 8, 1000, &value, NULL));
  g_assert_false (lodge_parse_uint ("8 ", 8, 1000, &value, NULL));
  g_assert_false (lodge_parse_uint ("", 0, 1000, &value, NULL));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/units/sizes", test_sizes);
  g_test_add_func ("/units/bad-sizes", test_bad_sizes);
  g_test_add_func ("/units/locale", test_locale);
  g_test_add_func ("/units/format", test_format);
  g_test_add_func ("/units/durations", test_durations);
  g_test_add_func ("/units/uint", test_uint);
  return g_test_run ();
}
