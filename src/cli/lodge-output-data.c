/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GVariant to JSON and YAML: a small writer, so that list does not load a JSON library. */
#include <math.h>
#include <string.h>

#include "lodge-output.h"

static gboolean
is_safe_in_text (gunichar c)
{
  return g_unichar_isprint (c) && !(c >= 0x202a && c <= 0x202e) && !(c >= 0x2066 && c <= 0x2069)
         && c != 0x200e && c != 0x200f && c != 0xfeff;
}

static void
append_escape (GString *out, gunichar c)
{
  if (c > 0xffff)
    {
      c -= 0x10000;
      g_string_append_printf (out, "\\u%04x\\u%04x", 0xd800 + (c >> 10), 0xdc00 + (c & 0x3ff));
      return;
    }
  g_string_append_printf (out, "\\u%04x", c);
}

/* What the service sends is valid UTF-8: the bus and the decoder see to it. */
static void
append_string (GString *out, const char *text)
{
  g_string_append_c (out, '"');
  for (const char *p = text; *p != '\0'; p = g_utf8_next_char (p))
    {
      gunichar c = g_utf8_get_char (p);

      if (c == '"' || c == '\\')
        g_string_append_printf (out, "\\%c", (char) c);
      else if (c == '\n')
        g_string_append (out, "\\n");
      else if (c == '\t')
        g_string_append (out, "\\t");
      else if (is_safe_in_text (c))
        g_string_append_unichar (out, c);
      else
        append_escape (out, c);
    }
  g_string_append_c (out, '"');
}

static void
append_indent (GString *out, guint indent)
{
  for (guint i = 0; i < indent; i++)
    g_string_append (out, "  ");
}

static void
append_double (GString *out, double value)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE];

  if (!isfinite (value))
    g_string_append (out, "null");
  else
    g_string_append (out, g_ascii_formatd (text, sizeof text, "%.6g", value));
}

/* FALSE for containers. */
static gboolean
append_scalar (GString *out, GVariant *value)
{
  switch (g_variant_classify (value))
    {
    case G_VARIANT_CLASS_STRING:
    case G_VARIANT_CLASS_OBJECT_PATH:
    case G_VARIANT_CLASS_SIGNATURE:
      append_string (out, g_variant_get_string (value, NULL));
      return TRUE;
    case G_VARIANT_CLASS_BOOLEAN:
      g_string_append (out, g_variant_get_boolean (value) ? "true" : "false");
      return TRUE;
    case G_VARIANT_CLASS_DOUBLE:
      append_double (out, g_variant_get_double (value));
      return TRUE;
    case G_VARIANT_CLASS_BYTE:
      g_string_append_printf (out, "%u", g_variant_get_byte (value));
      return TRUE;
    case G_VARIANT_CLASS_ARRAY:
    case G_VARIANT_CLASS_TUPLE:
    case G_VARIANT_CLASS_VARIANT:
    case G_VARIANT_CLASS_DICT_ENTRY:
    case G_VARIANT_CLASS_MAYBE:
      return FALSE;
    default:
      {
        g_autofree char *text = g_variant_print (value, FALSE);
        g_string_append (out, text);
        return TRUE;
      }
    }
}

static GVariant *
unwrap (GVariant *value)
{
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_VARIANT))
    return g_variant_get_variant (value);
  return g_variant_ref (value);
}

static gboolean
is_dictionary (GVariant *value)
{
  return g_variant_is_of_type (value, G_VARIANT_TYPE_DICTIONARY);
}

static void
append_key (GString *out, GVariant *entry)
{
  g_autoptr (GVariant) key = g_variant_get_child_value (entry, 0);

  if (g_variant_is_of_type (key, G_VARIANT_TYPE_STRING))
    append_string (out, g_variant_get_string (key, NULL));
  else
    {
      g_autofree char *text = g_variant_print (key, FALSE);
      append_string (out, text);
    }
}

void
lodge_output_append_json (GString *out, GVariant *value, guint indent)
{
  g_autoptr (GVariant) inner = unwrap (value);
  gboolean dictionary = is_dictionary (inner);
  gsize n;

  if (append_scalar (out, inner))
    return;
  n = g_variant_n_children (inner);
  g_string_append_c (out, dictionary ? '{' : '[');
  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) child = g_variant_get_child_value (inner, i);
      g_autoptr (GVariant) item = dictionary ? g_variant_get_child_value (child, 1) : NULL;

      g_string_append (out, i > 0 ? ",\n" : "\n");
      append_indent (out, indent + 1);
      if (dictionary)
        {
          append_key (out, child);
          g_string_append (out, ": ");
        }
      lodge_output_append_json (out, dictionary ? item : child, indent + 1);
    }
  if (n > 0)
    {
      g_string_append_c (out, '\n');
      append_indent (out, indent);
    }
  g_string_append_c (out, dictionary ? '}' : ']');
}

/* @first_inline: the caller has written "- " already. */
static void
append_yaml (GString *out, GVariant *value, guint indent, gboolean first_inline)
{
  gboolean dictionary = is_dictionary (value);
  gsize n = g_variant_n_children (value);

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) child = g_variant_get_child_value (value, i);
      g_autoptr (GVariant) raw
          = dictionary ? g_variant_get_child_value (child, 1) : g_variant_ref (child);
      g_autoptr (GVariant) item = unwrap (raw);

      if (i > 0)
        g_string_append_c (out, '\n');
      if (i > 0 || !first_inline)
        append_indent (out, indent);
      if (dictionary)
        append_key (out, child);
      g_string_append (out, dictionary ? ":" : "-");
      if (append_scalar (g_string_append_c (out, ' '), item))
        continue;
      if (g_variant_n_children (item) == 0)
        {
          g_string_append (out, is_dictionary (item) ? "{}" : "[]");
          continue;
        }
      if (dictionary)
        {
          g_string_truncate (out, out->len - 1);
          g_string_append_c (out, '\n');
        }
      append_yaml (out, item, indent + 1, !dictionary);
    }
}

void
lodge_output_append_yaml (GString *out, GVariant *value, guint indent)
{
  g_autoptr (GVariant) inner = unwrap (value);

  if (append_scalar (out, inner))
    return;
  if (g_variant_n_children (inner) == 0)
    g_string_append (out, is_dictionary (inner) ? "{}" : "[]");
  else
    append_yaml (out, inner, indent, FALSE);
}
