/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "lodge-keys.h"

#define MAX_DEPTH 16

typedef struct
{
  const char *p;
  guint depth;
} Reader;

static GVariant *read_value (Reader *reader);

static void
skip_space (Reader *reader)
{
  reader->p += strspn (reader->p, " \t\r\n");
}

static gboolean
take (Reader *reader, char c)
{
  skip_space (reader);
  if (*reader->p != c)
    return FALSE;
  reader->p++;
  return TRUE;
}

/* Four hexadecimal digits after "\u"; -1 when they are none. */
static int
read_hex (Reader *reader)
{
  int value = 0;

  for (guint i = 0; i < 4; i++)
    {
      int digit = g_ascii_xdigit_value (*reader->p);
      if (digit < 0)
        return -1;
      value = value * 16 + digit;
      reader->p++;
    }
  return value;
}

static gboolean
read_unicode (Reader *reader, GString *out)
{
  int high = read_hex (reader);
  gunichar c = (gunichar) high;

  if (high >= 0xd800 && high < 0xdc00)
    {
      if (reader->p[0] != '\\' || reader->p[1] != 'u')
        return FALSE;
      reader->p += 2;
      int low = read_hex (reader);
      if (low < 0xdc00 || low > 0xdfff)
        return FALSE;
      c = 0x10000 + (((gunichar) high & 0x3ff) << 10) + ((gunichar) low & 0x3ff);
    }
  if (high <= 0 || !g_unichar_validate (c))
    return FALSE;
  g_string_append_unichar (out, c);
  return TRUE;
}

static gboolean
read_escape (Reader *reader, GString *out)
{
  static const char from[] = "\"\\/bfnrt";
  static const char to[] = "\"\\/\b\f\n\r\t";
  char c = *reader->p;

  if (c == '\0')
    return FALSE;
  reader->p++;
  if (c == 'u')
    return read_unicode (reader, out);
  const char *found = strchr (from, c);
  if (found == NULL)
    return FALSE;
  g_string_append_c (out, to[found - from]);
  return TRUE;
}

static char *
read_string (Reader *reader)
{
  g_autoptr (GString) out = g_string_new (NULL);

  if (!take (reader, '"'))
    return NULL;
  while (*reader->p != '"')
    {
      if ((guchar) *reader->p < 0x20)
        return NULL;
      if (*reader->p != '\\')
        {
          g_string_append_c (out, *reader->p++);
          continue;
        }
      reader->p++;
      if (!read_escape (reader, out))
        return NULL;
    }
  reader->p++;
  return g_string_free (g_steal_pointer (&out), FALSE);
}

static GVariant *
read_object (Reader *reader)
{
  g_auto (GVariantBuilder) builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE_VARDICT);

  reader->p++;
  if (take (reader, '}'))
    return g_variant_ref_sink (g_variant_builder_end (&builder));
  do
    {
      g_autofree char *key = read_string (reader);
      g_autoptr (GVariant) value = key != NULL && take (reader, ':') ? read_value (reader) : NULL;

      if (value == NULL)
        return NULL;
      g_variant_builder_add (&builder, "{sv}", key, value);
    }
  while (take (reader, ','));
  return take (reader, '}') ? g_variant_ref_sink (g_variant_builder_end (&builder)) : NULL;
}

static GVariant *
read_array (Reader *reader)
{
  g_auto (GVariantBuilder) builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("av"));

  reader->p++;
  if (take (reader, ']'))
    return g_variant_ref_sink (g_variant_builder_end (&builder));
  do
    {
      g_autoptr (GVariant) value = read_value (reader);

      if (value == NULL)
        return NULL;
      g_variant_builder_add (&builder, "v", value);
    }
  while (take (reader, ','));
  return take (reader, ']') ? g_variant_ref_sink (g_variant_builder_end (&builder)) : NULL;
}

static GVariant *
read_scalar (Reader *reader)
{
  static const struct
  {
    const char *word;
    gboolean boolean;
    gboolean value;
  } words[] = { { "true", TRUE, TRUE }, { "false", TRUE, FALSE }, { "null", FALSE, FALSE } };
  char *end;

  for (gsize i = 0; i < G_N_ELEMENTS (words); i++)
    if (g_str_has_prefix (reader->p, words[i].word))
      {
        reader->p += strlen (words[i].word);
        return g_variant_ref_sink (words[i].boolean ? g_variant_new_boolean (words[i].value)
                                                    : g_variant_new_string (""));
      }
  if (*reader->p != '-' && !g_ascii_isdigit (*reader->p))
    return NULL;
  double number = g_ascii_strtod (reader->p, &end);
  reader->p = end;
  return g_variant_ref_sink (g_variant_new_double (number));
}

static GVariant *
read_value (Reader *reader)
{
  GVariant *value = NULL;

  skip_space (reader);
  if (++reader->depth > MAX_DEPTH)
    return NULL;
  if (*reader->p == '{')
    value = read_object (reader);
  else if (*reader->p == '[')
    value = read_array (reader);
  else if (*reader->p == '"')
    {
      g_autofree char *text = read_string (reader);
      value = text != NULL ? g_variant_ref_sink (g_variant_new_string (text)) : NULL;
    }
  else
    value = read_scalar (reader);
  reader->depth--;
  return value;
}

GVariant *
lodge_data_from_json (const char *text)
{
  Reader reader = { .p = text };
  g_autoptr (GVariant) value = NULL;

  if (!g_utf8_validate (text, -1, NULL))
    return NULL;
  value = read_value (&reader);
  skip_space (&reader);
  return value != NULL && *reader.p == '\0' ? g_steal_pointer (&value) : NULL;
}
