/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names, sizes and values of configuration, as callers of D-Bus give them. */
#include "fuzz.h"

#include <string.h>

#include "lodge-config-keys.h"
#include "lodge-cpu-limit.h"
#include "lodge-name.h"
#include "lodge-subnet-pick.h"
#include "lodge-units.h"

static void
take_config (const char *text)
{
  g_auto (GStrv) parts = g_strsplit (text, "=", 2);
  const char *value = parts[0] != NULL && parts[1] != NULL ? parts[1] : text;
  gsize n;
  const LodgeConfigKey *keys = lodge_config_keys (&n);

  for (int kind = LODGE_KIND_CONTAINER; kind <= LODGE_KIND_VM; kind++)
    {
      if (parts[0] != NULL)
        (void) lodge_config_validate_value ((LodgeKind) kind, parts[0], value, NULL);
      for (gsize i = 0; i < n; i++)
        (void) lodge_config_validate_value ((LodgeKind) kind, keys[i].key, value, NULL);
    }
}

static void
take_number (const char *text)
{
  g_autofree char *cpuset = NULL;
  guint64 number;
  guint count;
  LodgeRange range;

  if (lodge_parse_size (text, &number, NULL))
    {
      g_autofree char *shown = lodge_format_size (number);
      g_assert_true (lodge_parse_size (shown, &number, NULL));
    }
  if (lodge_parse_duration (text, &number, NULL))
    g_free (lodge_format_duration (number));
  if (lodge_parse_uint (text, 1, 100, &number, NULL))
    g_assert_true (number >= 1 && number <= 100);
  if (lodge_cpu_limit_parse (text, &count, &cpuset, NULL))
    g_assert_true (count >= 1 && count <= LODGE_CPU_LIMIT_MAX);
  (void) lodge_range_parse (text, 24, &range);
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  static const char *const WORDS[] = { "launch", "list", "löschen", NULL };
  g_autofree char *text = g_strndup ((const char *) data, MIN (size, 4096));
  g_autofree char *escaped = lodge_text_escape (text);
  g_autoptr (GError) error = NULL;

  g_assert_true (g_utf8_validate (escaped, -1, NULL));
  g_assert_null (strpbrk (escaped, "\n\x1b\x7f"));
  if (lodge_name_validate (text, &error))
    g_assert_true (strlen (text) <= 63 && g_ascii_islower (*text));
  else
    g_assert_true (g_utf8_validate (error->message, -1, NULL));
  if (lodge_alias_validate (text, NULL))
    g_assert_null (strstr (text, ".."));
  (void) lodge_fingerprint_is_valid (text);
  (void) lodge_uuid_is_valid (text);
  if (g_utf8_validate (text, -1, NULL))
    (void) lodge_nearest (text, WORDS);
  take_number (text);
  take_config (text);
  return 0;
}
