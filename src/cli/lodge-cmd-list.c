/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "lodge-cmd.h"
#include "lodge-i18n.h"
#include "lodge-name.h"
#include "lodge-output.h"
#include "lodge-rows.h"
#include "lodge-units.h"

static char *
format_cpu_time (GVariant *row, const char *key)
{
  guint64 ns = lodge_row_uint (row, key, 0);

  return ns > 0 ? lodge_format_duration (ns / 1000000000) : NULL;
}

static const LodgeColumn columns[] = {
  { "name", N_ ("NAME"), NULL, FALSE, FALSE },
  { "kind", N_ ("KIND"), NULL, FALSE, FALSE },
  { "state", N_ ("STATE"), NULL, FALSE, FALSE },
  { "address", N_ ("ADDRESS"), NULL, FALSE, FALSE },
  { "image", N_ ("IMAGE"), lodge_format_row_fingerprint, FALSE, FALSE },
  { "cpu-limit", N_ ("CPU"), NULL, TRUE, FALSE },
  { "memory-limit", N_ ("MEMORY"), lodge_format_row_size, TRUE, FALSE },
  { "uuid", N_ ("UUID"), NULL, FALSE, TRUE },
  { "origin", N_ ("ORIGIN"), NULL, FALSE, TRUE },
  { "addresses", N_ ("ADDRESSES"), NULL, FALSE, TRUE },
  { "created", N_ ("CREATED"), lodge_format_row_time, FALSE, TRUE },
  { "job", N_ ("JOB"), NULL, FALSE, TRUE },
  { "memory", N_ ("MEM USE"), lodge_format_row_size, TRUE, TRUE },
  { "cpu-ns", N_ ("CPU TIME"), format_cpu_time, TRUE, TRUE },
  { "processes", N_ ("PROCS"), NULL, TRUE, TRUE },
  { NULL },
};

static const LodgeColumn usage_columns[] = {
  { "name", N_ ("NAME"), NULL, FALSE, FALSE },
  { "state", N_ ("STATE"), NULL, FALSE, FALSE },
  { "cpu-ns", N_ ("CPU TIME"), format_cpu_time, TRUE, FALSE },
  { "memory", N_ ("MEMORY"), lodge_format_row_size, TRUE, FALSE },
  { "memory-limit", N_ ("LIMIT"), lodge_format_row_size, TRUE, FALSE },
  { "processes", N_ ("PROCS"), NULL, TRUE, FALSE },
  { NULL },
};

static int
by_name (gconstpointer a, gconstpointer b)
{
  const char *left = "", *right = "";

  g_variant_lookup (*(GVariant *const *) a, "name", "&s", &left);
  g_variant_lookup (*(GVariant *const *) b, "name", "&s", &right);
  return strcmp (left, right);
}

static gboolean
matches (GVariant *row, const LodgeArgs *args)
{
  const char *const *names = lodge_args_words (args);
  const char *state = lodge_args_string (args, "state");
  const char *name = "", *its_state = "";

  g_variant_lookup (row, "name", "&s", &name);
  g_variant_lookup (row, "state", "&s", &its_state);
  if (state != NULL && strcmp (state, its_state) != 0)
    return FALSE;
  if (names[0] == NULL)
    return TRUE;
  for (; *names != NULL; names++)
    if (g_pattern_match_simple (*names, name))
      return TRUE;
  return FALSE;
}

static gboolean
wants_usage (const LodgeArgs *args)
{
  return lodge_args_flag (args, "usage") || lodge_output_wants_column (args, "memory")
         || lodge_output_wants_column (args, "cpu-ns")
         || lodge_output_wants_column (args, "processes");
}

static GVariant *
build_options (const LodgeArgs *args)
{
  g_auto (GVariantDict) options = G_VARIANT_DICT_INIT (NULL);

  if (wants_usage (args))
    g_variant_dict_insert (&options, "usage", "b", TRUE);
  if (lodge_args_flag (args, "managed"))
    g_variant_dict_insert (&options, "managed", "b", TRUE);
  if (lodge_args_string (args, "kind") != NULL)
    g_variant_dict_insert (&options, "kind", "s", lodge_args_string (args, "kind"));
  return g_variant_new ("(@a{sv})", g_variant_dict_end (&options));
}

gboolean
lodge_cmd_list (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  g_autoptr (GPtrArray) all
      = lodge_rows_fetch (cli, "Manager", "ListInstances", build_options (args), error);
  g_autoptr (GPtrArray) rows = g_ptr_array_new ();

  if (all == NULL)
    return FALSE;
  for (guint i = 0; i < all->len; i++)
    if (matches (all->pdata[i], args))
      g_ptr_array_add (rows, all->pdata[i]);
  g_ptr_array_sort (rows, by_name);
  gboolean usage = lodge_args_flag (args, "usage") && lodge_args_string (args, "columns") == NULL;
  return lodge_output_list (cli, args, rows, usage ? usage_columns : columns, error);
}
