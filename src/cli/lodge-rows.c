/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-rows.h"

GPtrArray *
lodge_rows_fetch (LodgeCli *cli, const char *interface, const char *method, GVariant *body,
                  GError **error)
{
  g_autoptr (GVariant) sunk = g_variant_ref_sink (body);
  LodgeClient *client = lodge_cli_get_client (cli, error);
  g_autoptr (GVariant) reply = NULL;
  g_autoptr (GVariant) list = NULL;

  if (client == NULL)
    return NULL;
  reply = lodge_client_call (client, LODGE_OBJECT_PATH, interface, method, sunk, "(aa{sv})", error);
  if (reply == NULL)
    return NULL;
  list = g_variant_get_child_value (reply, 0);
  GPtrArray *rows = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);
  for (gsize i = 0; i < g_variant_n_children (list); i++)
    g_ptr_array_add (rows, g_variant_get_child_value (list, i));
  return rows;
}

static char *
to_kebab (const char *name)
{
  GString *out = g_string_new (NULL);

  for (const char *p = name; *p != '\0'; p++)
    {
      if (g_ascii_isupper (*p) && p != name)
        g_string_append_c (out, '-');
      g_string_append_c (out, g_ascii_tolower (*p));
    }
  return g_string_free (out, FALSE);
}

GVariant *
lodge_rows_from_properties (GVariant *properties)
{
  g_auto (GVariantBuilder) builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE_VARDICT);

  for (gsize i = 0; i < g_variant_n_children (properties); i++)
    {
      g_autoptr (GVariant) value = NULL;
      const char *name;

      g_variant_get_child (properties, i, "{&sv}", &name, &value);
      g_autofree char *key = to_kebab (name);
      g_variant_builder_add (&builder, "{sv}", key, value);
    }
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}
