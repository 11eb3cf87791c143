/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-keys.h"

#include <string.h>

#include "lodge-i18n.h"
#include "lodge-output.h"

static char *
format_plain (GVariant *row, const char *key)
{
  g_autoptr (GVariant) value = g_variant_lookup_value (row, key, NULL);

  return value != NULL ? lodge_output_plain (value) : NULL;
}

static const LodgeColumn columns[] = {
  { "key", N_ ("KEY"), NULL, FALSE, FALSE },
  { "type", N_ ("TYPE"), NULL, FALSE, FALSE },
  { "default", N_ ("DEFAULT"), NULL, FALSE, FALSE },
  { "kinds", N_ ("FOR"), format_plain, FALSE, FALSE },
  { "live", N_ ("LIVE"), format_plain, FALSE, FALSE },
  { "help", N_ ("WHAT IT DOES"), NULL, FALSE, FALSE },
  { NULL },
};

GPtrArray *
lodge_keys_fetch (LodgeCli *cli, GError **error)
{
  LodgeClient *client = lodge_cli_get_client (cli, error);
  g_autoptr (GVariant) body = NULL;
  g_autoptr (GVariant) array = NULL;
  const char *json;

  if (client == NULL)
    return NULL;
  body = lodge_client_call (client, LODGE_OBJECT_PATH, "Manager", "GetSchema",
                            g_variant_new ("(s)", "config"), "(s)", error);
  if (body == NULL)
    return NULL;
  g_variant_get (body, "(&s)", &json);
  array = lodge_data_from_json (json);
  if (array == NULL || !g_variant_is_of_type (array, G_VARIANT_TYPE ("av")))
    {
      g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_FAILED,
                           _ ("The service sent a list of keys that cannot be read."));
      return NULL;
    }
  GPtrArray *rows = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);
  for (gsize i = 0; i < g_variant_n_children (array); i++)
    {
      g_autoptr (GVariant) row = NULL;

      g_variant_get_child (array, i, "v", &row);
      if (g_variant_is_of_type (row, G_VARIANT_TYPE_VARDICT))
        g_ptr_array_add (rows, g_steal_pointer (&row));
    }
  return rows;
}

gboolean
lodge_keys_print (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  g_autoptr (GPtrArray) rows = lodge_keys_fetch (cli, error);

  return rows != NULL && lodge_output_list (cli, args, rows, columns, error);
}
