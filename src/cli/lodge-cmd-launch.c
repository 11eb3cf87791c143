/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "lodge-launch-access.h"
#include "lodge-cmd.h"
#include "lodge-i18n.h"
#include "lodge-job-wait.h"
#include "lodge-name.h"
#include "lodge-output.h"

/* "key=value" words to a{ss}; the last one of a key counts. (transfer floating) */
static GVariant *
parse_config (const LodgeArgs *args, GError **error)
{
  g_autofree const char **pairs = lodge_args_strings (args, "config");
  g_auto (GVariantDict) dict = G_VARIANT_DICT_INIT (NULL);
  g_auto (GVariantBuilder) builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("a{ss}"));
  g_autoptr (GVariant) all = NULL;

  for (const char **pair = pairs; *pair != NULL; pair++)
    {
      const char *equals = strchr (*pair, '=');
      g_autofree char *key = NULL;

      if (equals == NULL || equals == *pair)
        {
          g_autofree char *shown = lodge_text_escape (*pair);
          g_set_error (
              error, LODGE_ERROR, LODGE_ERROR_INVALID_CONFIG,
              _ ("“%s” is not of the form key=value.\n"
                 "write it like -c limits.memory=200MiB; “lodge help keys” lists the keys"),
              shown);
          return NULL;
        }
      key = g_strndup (*pair, (gsize) (equals - *pair));
      g_variant_dict_insert (&dict, key, "s", equals + 1);
    }
  all = g_variant_ref_sink (g_variant_dict_end (&dict));
  for (gsize i = 0; i < g_variant_n_children (all); i++)
    {
      g_autoptr (GVariant) value = NULL;
      const char *key;

      g_variant_get_child (all, i, "{&sv}", &key, &value);
      g_variant_builder_add (&builder, "{ss}", key, g_variant_get_string (value, NULL));
    }
  return g_variant_builder_end (&builder);
}

/* The body of CreateInstance; NULL with @error. */
static GVariant *
build_request (const LodgeArgs *args, gboolean start, GError **error)
{
  g_auto (GVariantDict) source = G_VARIANT_DICT_INIT (NULL);
  g_auto (GVariantDict) settings = G_VARIANT_DICT_INIT (NULL);
  g_auto (GVariantDict) options = G_VARIANT_DICT_INIT (NULL);
  const char *image = lodge_args_word (args, 0);
  const char *name = lodge_args_word (args, 1);
  GVariant *config = parse_config (args, error);

  if (config == NULL)
    return NULL;
  g_variant_dict_insert_value (&settings, "config", config);
  /* Refused here already: it costs nothing, and the service checks again. */
  if (name != NULL && !lodge_name_validate (name, error))
    return NULL;
  if (!g_utf8_validate (image, -1, NULL))
    {
      g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                           _ ("The name of an image must be text."));
      return NULL;
    }
  if (!lodge_args_add_size (args, &options, error) || !lodge_access_add (args, &options, error))
    return NULL;
  g_variant_dict_insert (&source, "image", "s", image);
  g_variant_dict_insert (&settings, "kind", "s", lodge_args_flag (args, "vm") ? "vm" : "container");
  if (start)
    g_variant_dict_insert (&options, "start", "b", TRUE);
  if (start && lodge_args_flag (args, "wait"))
    g_variant_dict_insert (&options, "wait-booted", "b", TRUE);
  return g_variant_new ("(s@a{sv}@a{sv}@a{sv})", name != NULL ? name : "",
                        g_variant_dict_end (&source), g_variant_dict_end (&settings),
                        g_variant_dict_end (&options));
}

static gboolean
create (LodgeCli *cli, const LodgeArgs *args, gboolean start, GError **error)
{
  GVariant *request = build_request (args, start, error);
  g_autoptr (GVariant) result = NULL;

  if (request == NULL)
    return FALSE;
  g_autofree char *job
      = lodge_job_begin (cli, LODGE_OBJECT_PATH, "Manager", "CreateInstance", request, error);
  if (job == NULL)
    return FALSE;
  if (lodge_args_flag (args, "no-wait"))
    {
      lodge_cli_unwatch_signals (cli);
      lodge_job_print_id (job);
      return TRUE;
    }
  result = lodge_job_wait (cli, job, error);
  if (result == NULL)
    return FALSE;
  g_autofree char *name = lodge_row_string (result, "name");
  g_autofree char *shown = lodge_text_escape (name != NULL ? name : lodge_args_word (args, 1));
  puts (shown);
  return TRUE;
}

gboolean
lodge_cmd_launch (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  return create (cli, args, TRUE, error);
}

gboolean
lodge_cmd_create (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  return create (cli, args, FALSE, error);
}
