/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "lodge-cmd.h"
#include "lodge-config.h"
#include "lodge-i18n.h"
#include "lodge-name.h"
#include "lodge-output.h"
#include "lodge-rows.h"

static void
print_drivers (GVariant *object)
{
  g_autoptr (GVariant) drivers
      = g_variant_lookup_value (object, "drivers", G_VARIANT_TYPE ("a{sa{sv}}"));

  for (gsize i = 0; drivers != NULL && i < g_variant_n_children (drivers); i++)
    {
      g_autoptr (GVariant) driver = NULL;
      const char *name;
      gboolean connected = FALSE;

      g_variant_get_child (drivers, i, "{&s@a{sv}}", &name, &driver);
      g_variant_lookup (driver, "connected", "b", &connected);
      g_autofree char *uri = lodge_row_string (driver, "uri");
      g_autofree char *version = lodge_row_string (driver, "version");
      g_autofree char *why = lodge_row_string (driver, "error");
      g_autofree char *accel = lodge_row_string (driver, "accel");
      g_autofree char *line = g_strdup_printf (
          "%s: %s %s%s%s%s", name, uri != NULL ? uri : "", version != NULL ? version : "",
          accel != NULL && accel[0] != '\0' ? ", " : "", accel != NULL ? accel : "",
          connected ? "" : _ (", not connected"));
      g_autofree char *shown = lodge_text_escape (line);
      g_autofree char *shown_why = lodge_text_escape (why != NULL ? why : "");
      printf ("  %s%s%s\n", shown, shown_why[0] != '\0' ? ": " : "", shown_why);
    }
}

/* Works without a service too: who asks for the version may be looking for why nothing works. */
gboolean
lodge_cmd_version (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  LodgeClient *client = lodge_cli_get_client (cli, &local_error);
  g_autoptr (GVariant) properties
      = client != NULL
            ? lodge_client_get_properties (client, LODGE_OBJECT_PATH, "Manager", &local_error)
            : NULL;
  g_autoptr (GVariant) object = properties != NULL ? lodge_rows_from_properties (properties) : NULL;
  GVariantDict dict;

  if (lodge_output_is_for_programs (args))
    {
      g_autoptr (GVariant) all = NULL;
      g_variant_dict_init (&dict, NULL);
      g_variant_dict_insert (&dict, "client", "s", LODGE_VERSION);
      if (object != NULL)
        g_variant_dict_insert_value (&dict, "service", object);
      all = g_variant_ref_sink (g_variant_dict_end (&dict));
      return lodge_output_object (cli, args, all, error);
    }
  printf ("lodge %s\n", LODGE_VERSION);
  if (object == NULL)
    {
      lodge_cli_print_error (cli, NULL, local_error);
      cli->exit_status = lodge_error_exit_code (local_error);
      return TRUE;
    }
  g_autofree char *version = lodge_row_string (object, "version");
  g_autofree char *shown = lodge_text_escape (version != NULL ? version : "?");
  printf ("lodged %s\n", shown);
  print_drivers (object);
  return TRUE;
}

gboolean
lodge_cmd_reconcile (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  LodgeClient *client = lodge_cli_get_client (cli, error);
  g_autoptr (GVariant) body = NULL;

  if (client != NULL)
    body = lodge_client_call (client, LODGE_OBJECT_PATH, "Manager", "Reconcile",
                              g_variant_new ("(a{sv})", NULL), "()", error);
  return body != NULL;
}
