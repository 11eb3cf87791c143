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

/* A row with its name, which sorting asks for often. */
typedef struct
{
  char *name;
  GVariant *row; /* borrowed */
} Named;

static void
named_clear (Named *named)
{
  g_free (named->name);
}

static int
by_name (gconstpointer a, gconstpointer b)
{
  return strcmp (((const Named *) a)->name, ((const Named *) b)->name);
}

static gboolean
matches (const Named *named, const LodgeArgs *args)
{
  const char *const *names = lodge_args_words (args);
  const char *state = lodge_args_string (args, "state");

  if (state != NULL)
    {
      g_autofree char *its_state = lodge_row_string (named->row, "state");
      if (g_strcmp0 (state, its_state) != 0)
        return FALSE;
    }
  if (names[0] == NULL)
    return TRUE;
  for (; *names != NULL; names++)
    if (g_pattern_match_simple (*names, named->name))
      return TRUE;
  return FALSE;
}

/* Returns: (transfer container): those of @all that are asked for, by name. */
static GPtrArray *
choose_rows (GPtrArray *all, const LodgeArgs *args)
{
  g_autoptr (GArray) chosen = g_array_new (FALSE, FALSE, sizeof (Named));
  GPtrArray *rows = g_ptr_array_sized_new (all->len);

  g_array_set_clear_func (chosen, (GDestroyNotify) named_clear);
  for (guint i = 0; i < all->len; i++)
    {
      char *name = lodge_row_string (all->pdata[i], "name");
      Named named = { .name = name != NULL ? name : g_strdup (""), .row = all->pdata[i] };

      if (matches (&named, args))
        g_array_append_val (chosen, named);
      else
        named_clear (&named);
    }
  g_array_sort (chosen, by_name);
  for (guint i = 0; i < chosen->len; i++)
    g_ptr_array_add (rows, g_array_index (chosen, Named, i).row);
  return rows;
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

/* Nothing at all would be listed, and a program would believe it. */
static gboolean
check_state (const char *state, GError **error)
{
  static const char *const states[] = { "stopped", "starting", "running", "paused", "stopping",
                                        "saved",   "crashed",  "error",   NULL };
  const char *nearest = state != NULL ? lodge_nearest (state, states) : NULL;

  if (state == NULL || g_strv_contains (states, state))
    return TRUE;

  g_autofree char *shown = lodge_text_escape (state);
  g_autofree char *all = g_strjoinv (", ", (char **) states);
  if (nearest != NULL)
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                 _ ("There is no state “%s”.\ndid you mean “%s”?"), shown, nearest);
  else
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                 _ ("There is no state “%s”.\nthe states are %s"), shown, all);
  return FALSE;
}

gboolean
lodge_cmd_list (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  if (!check_state (lodge_args_string (args, "state"), error))
    return FALSE;

  g_autoptr (GPtrArray) all
      = lodge_rows_fetch (cli, "Manager", "ListInstances", build_options (args), error);

  if (all == NULL)
    return FALSE;
  g_autoptr (GPtrArray) rows = choose_rows (all, args);
  gboolean usage = lodge_args_flag (args, "usage") && lodge_args_string (args, "columns") == NULL;
  return lodge_output_list (cli, args, rows, usage ? usage_columns : columns, error);
}
