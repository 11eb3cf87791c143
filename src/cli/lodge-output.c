/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-output.h"

#include <stdio.h>
#include <string.h>

#include "lodge-i18n.h"
#include "lodge-name.h"
#include "lodge-table.h"
#include "lodge-units.h"

char *
lodge_row_string (GVariant *row, const char *key)
{
  g_autoptr (GVariant) value = g_variant_lookup_value (row, key, NULL);

  return value != NULL
                 && (g_variant_is_of_type (value, G_VARIANT_TYPE_STRING)
                     || g_variant_is_of_type (value, G_VARIANT_TYPE_OBJECT_PATH))
             ? g_variant_dup_string (value, NULL)
             : NULL;
}

/* Not g_variant_lookup(): that makes one block of the whole row first. */
guint64
lodge_row_uint (GVariant *row, const char *key, guint64 fallback)
{
  g_autoptr (GVariant) value = g_variant_lookup_value (row, key, NULL);

  if (value == NULL)
    return fallback;
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_UINT64))
    return g_variant_get_uint64 (value);
  return g_variant_is_of_type (value, G_VARIANT_TYPE_UINT32) ? g_variant_get_uint32 (value)
                                                             : fallback;
}

char *
lodge_format_time (guint64 seconds)
{
  g_autoptr (GDateTime) time = NULL;

  if (seconds > 0 && seconds < G_MAXINT64)
    time = g_date_time_new_from_unix_local ((gint64) seconds);
  return time != NULL ? g_date_time_format (time, "%Y-%m-%d %H:%M") : NULL;
}

char *
lodge_format_row_time (GVariant *row, const char *key)
{
  return lodge_format_time (lodge_row_uint (row, key, 0));
}

char *
lodge_format_row_size (GVariant *row, const char *key)
{
  guint64 bytes = lodge_row_uint (row, key, 0);

  return bytes > 0 ? lodge_format_size (bytes) : NULL;
}

char *
lodge_format_row_flag (GVariant *row, const char *key)
{
  gboolean value = FALSE;

  g_variant_lookup (row, key, "b", &value);
  return g_strdup (value ? _ ("yes") : "");
}

char *
lodge_format_row_fingerprint (GVariant *row, const char *key)
{
  g_autofree char *text = lodge_row_string (row, key);

  if (lodge_fingerprint_is_valid (text))
    text[12] = '\0';
  return text != NULL ? lodge_text_escape (text) : NULL;
}

static char *
plain_array (GVariant *value)
{
  g_autoptr (GString) out = g_string_new (NULL);

  for (gsize i = 0; i < g_variant_n_children (value); i++)
    {
      g_autoptr (GVariant) child = g_variant_get_child_value (value, i);
      g_autofree char *text = lodge_output_plain (child);

      if (i > 0)
        g_string_append (out, ", ");
      g_string_append (out, text);
    }
  return g_string_free (g_steal_pointer (&out), FALSE);
}

static char *
plain_entry (GVariant *value)
{
  g_autoptr (GVariant) key = g_variant_get_child_value (value, 0);
  g_autoptr (GVariant) inner = g_variant_get_child_value (value, 1);
  g_autofree char *left = lodge_output_plain (key);
  g_autofree char *right = lodge_output_plain (inner);

  return g_strdup_printf ("%s=%s", left, right);
}

char *
lodge_output_plain (GVariant *value)
{
  switch (g_variant_classify (value))
    {
    case G_VARIANT_CLASS_STRING:
    case G_VARIANT_CLASS_OBJECT_PATH:
    case G_VARIANT_CLASS_SIGNATURE:
      return lodge_text_escape (g_variant_get_string (value, NULL));
    case G_VARIANT_CLASS_BOOLEAN:
      return g_strdup (g_variant_get_boolean (value) ? "yes" : "no");
    case G_VARIANT_CLASS_ARRAY:
    case G_VARIANT_CLASS_TUPLE:
      return plain_array (value);
    case G_VARIANT_CLASS_DICT_ENTRY:
      return plain_entry (value);
    case G_VARIANT_CLASS_VARIANT:
      {
        g_autoptr (GVariant) inner = g_variant_get_variant (value);
        return lodge_output_plain (inner);
      }
    default:
      return g_variant_print (value, FALSE);
    }
}

typedef enum
{
  FORMAT_TABLE,
  FORMAT_JSON,
  FORMAT_YAML,
  FORMAT_CSV,
  FORMAT_NAME,
  N_FORMATS
} Format;

static const char *const format_names[N_FORMATS + 1]
    = { "table", "json", "yaml", "csv", "name", NULL };

/* Returns: N_FORMATS with @error set when there is no such format. */
static Format
get_format (const LodgeArgs *args, GError **error)
{
  const char *name = lodge_args_string (args, "format");

  if (name == NULL)
    return lodge_args_flag (args, "quiet") ? FORMAT_NAME : FORMAT_TABLE;
  for (guint i = 0; i < N_FORMATS; i++)
    if (strcmp (name, format_names[i]) == 0)
      return (Format) i;
  g_autofree char *shown = lodge_text_escape (name);
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
               _ ("There is no format “%s”.\ntable, json, yaml, csv and name are"), shown);
  return N_FORMATS;
}

gboolean
lodge_output_check_format (const LodgeArgs *args, GError **error)
{
  return get_format (args, error) != N_FORMATS;
}

gboolean
lodge_output_is_for_programs (const LodgeArgs *args)
{
  Format format = get_format (args, NULL);

  return format == FORMAT_JSON || format == FORMAT_YAML || format == FORMAT_CSV;
}

gboolean
lodge_output_wants_column (const LodgeArgs *args, const char *column)
{
  const char *list = lodge_args_string (args, "columns");
  g_auto (GStrv) names = list != NULL ? g_strsplit (list, ",", -1) : NULL;

  return names != NULL && g_strv_contains ((const char *const *) names, column);
}

static const LodgeColumn *
find_column (const LodgeColumn *columns, const char *key, GError **error)
{
  g_autoptr (GPtrArray) keys = g_ptr_array_new ();

  for (const LodgeColumn *column = columns; column->key != NULL; column++)
    {
      if (strcmp (column->key, key) == 0)
        return column;
      g_ptr_array_add (keys, (gpointer) column->key);
    }
  g_ptr_array_add (keys, NULL);

  const char *nearest = lodge_nearest (key, (const char *const *) keys->pdata);
  g_autofree char *shown = lodge_text_escape (key);
  g_autofree char *all = g_strjoinv (", ", (char **) keys->pdata);
  if (nearest != NULL)
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                 _ ("There is no column “%s”.\ndid you mean “%s”?"), shown, nearest);
  else
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                 _ ("There is no column “%s”.\nthe columns are %s"), shown, all);
  return NULL;
}

/* Returns: (transfer container): the columns to show, or NULL. */
static GPtrArray *
choose_columns (const LodgeArgs *args, const LodgeColumn *columns, GError **error)
{
  g_autoptr (GPtrArray) chosen = g_ptr_array_new ();
  const char *list = lodge_args_string (args, "columns");

  if (list == NULL)
    {
      for (const LodgeColumn *column = columns; column->key != NULL; column++)
        if (!column->optional)
          g_ptr_array_add (chosen, (gpointer) column);
      return g_steal_pointer (&chosen);
    }
  g_auto (GStrv) names = g_strsplit (list, ",", -1);
  for (char **name = names; *name != NULL; name++)
    {
      const LodgeColumn *column = find_column (columns, g_strstrip (*name), error);
      if (column == NULL)
        return NULL;
      g_ptr_array_add (chosen, (gpointer) column);
    }
  return g_steal_pointer (&chosen);
}

static char *
cell (GVariant *row, const LodgeColumn *column)
{
  g_autoptr (GVariant) value = NULL;

  if (column->format != NULL)
    return column->format (row, column->key);
  value = g_variant_lookup_value (row, column->key, NULL);
  return value != NULL ? lodge_output_plain (value) : NULL;
}

static void
print_table (LodgeCli *cli, const LodgeArgs *args, GPtrArray *rows, GPtrArray *columns)
{
  g_autoptr (LodgeTable) table = lodge_table_new (columns->len);

  for (guint c = 0; c < columns->len; c++)
    {
      const LodgeColumn *column = columns->pdata[c];
      lodge_table_set_column (table, c, _ (column->title), column->right,
                              strcmp (column->key, "state") == 0);
    }
  for (guint r = 0; r < rows->len; r++)
    for (guint c = 0; c < columns->len; c++)
      lodge_table_take_cell (table, cell (rows->pdata[r], columns->pdata[c]));
  lodge_table_print (table, cli, !lodge_args_flag (args, "no-header"));
}

/* RFC 4180, but with plain line ends. */
static void
print_csv_field (const char *text)
{
  if (strpbrk (text, ",\"\n\r") == NULL)
    {
      fputs (text, stdout);
      return;
    }
  putchar ('"');
  for (; *text != '\0'; text++)
    {
      if (*text == '"')
        putchar ('"');
      putchar (*text);
    }
  putchar ('"');
}

static void
print_csv (const LodgeArgs *args, GPtrArray *rows, GPtrArray *columns)
{
  for (guint c = 0; c < columns->len && !lodge_args_flag (args, "no-header"); c++)
    printf ("%s%s", ((const LodgeColumn *) columns->pdata[c])->key,
            c + 1 < columns->len ? "," : "\n");
  for (guint r = 0; r < rows->len; r++)
    for (guint c = 0; c < columns->len; c++)
      {
        const LodgeColumn *column = columns->pdata[c];
        g_autoptr (GVariant) value = g_variant_lookup_value (rows->pdata[r], column->key, NULL);
        g_autofree char *text = value != NULL ? lodge_output_plain (value) : g_strdup ("");

        print_csv_field (text);
        putchar (c + 1 < columns->len ? ',' : '\n');
      }
}

/* With --columns only those keys, else all that the service told. */
static GVariant *
pick_keys (GVariant *row, const LodgeArgs *args, GPtrArray *columns)
{
  g_auto (GVariantBuilder) builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE_VARDICT);

  if (lodge_args_string (args, "columns") == NULL)
    return g_variant_ref (row);
  for (guint c = 0; c < columns->len; c++)
    {
      const LodgeColumn *column = columns->pdata[c];
      g_autoptr (GVariant) value = g_variant_lookup_value (row, column->key, NULL);
      if (value != NULL)
        g_variant_builder_add (&builder, "{sv}", column->key, value);
    }
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}

static void
print_structured (const LodgeArgs *args, GPtrArray *rows, GPtrArray *columns, Format format)
{
  g_auto (GVariantBuilder) builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("aa{sv}"));
  g_autoptr (GString) out = g_string_new (NULL);
  g_autoptr (GVariant) all = NULL;

  for (guint r = 0; r < rows->len; r++)
    {
      g_autoptr (GVariant) row = pick_keys (rows->pdata[r], args, columns);
      g_variant_builder_add_value (&builder, row);
    }
  all = g_variant_ref_sink (g_variant_builder_end (&builder));
  if (format == FORMAT_JSON)
    lodge_output_append_json (out, all, 0);
  else
    lodge_output_append_yaml (out, all, 0);
  g_string_append_c (out, '\n');
  fputs (out->str, stdout);
}

static void
print_names (GPtrArray *rows, const LodgeColumn *column)
{
  for (guint r = 0; r < rows->len; r++)
    {
      g_autoptr (GVariant) value = g_variant_lookup_value (rows->pdata[r], column->key, NULL);
      g_autofree char *text = value != NULL ? lodge_output_plain (value) : g_strdup ("");
      puts (text);
    }
}

gboolean
lodge_output_list (LodgeCli *cli, const LodgeArgs *args, GPtrArray *rows,
                   const LodgeColumn *columns, GError **error)
{
  g_autoptr (GPtrArray) chosen = choose_columns (args, columns, error);
  Format format = chosen != NULL ? get_format (args, error) : N_FORMATS;

  switch (format)
    {
    case FORMAT_TABLE:
      print_table (cli, args, rows, chosen);
      return TRUE;
    case FORMAT_CSV:
      print_csv (args, rows, chosen);
      return TRUE;
    case FORMAT_JSON:
    case FORMAT_YAML:
      print_structured (args, rows, chosen, format);
      return TRUE;
    case FORMAT_NAME:
      print_names (rows, columns);
      return TRUE;
    case N_FORMATS:
    default:
      return FALSE;
    }
}

static void
print_object_csv (GVariant *object)
{
  for (gsize i = 0; i < g_variant_n_children (object); i++)
    {
      g_autoptr (GVariant) value = NULL;
      const char *key;

      g_variant_get_child (object, i, "{&sv}", &key, &value);
      g_autofree char *text = lodge_output_plain (value);
      print_csv_field (key);
      putchar (',');
      print_csv_field (text);
      putchar ('\n');
    }
}

gboolean
lodge_output_object (LodgeCli *cli, const LodgeArgs *args, GVariant *object, GError **error)
{
  g_autoptr (GString) out = g_string_new (NULL);
  Format format = get_format (args, error);

  if (format == N_FORMATS)
    return FALSE;
  if (format == FORMAT_CSV)
    {
      print_object_csv (object);
      return TRUE;
    }
  if (format == FORMAT_YAML)
    lodge_output_append_yaml (out, object, 0);
  else
    lodge_output_append_json (out, object, 0);
  puts (out->str);
  return TRUE;
}
