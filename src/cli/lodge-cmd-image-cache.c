/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* image refresh, image prune, image set: what of the store is a cache, and how fresh it is. */
#include <stdio.h>
#include <string.h>

#include "lodge-i18n.h"
#include "lodge-image-path.h"
#include "lodge-job-wait.h"
#include "lodge-output.h"
#include "lodge-units.h"

/* Waits for @path, unless there is no job; what became of which image its notices say. */
static gboolean
wait_for_job (LodgeCli *cli, const LodgeArgs *args, const char *path, GError **error)
{
  if (strcmp (path, "/") == 0)
    return TRUE;
  if (lodge_args_flag (args, "no-wait"))
    {
      lodge_job_print_id (path);
      return TRUE;
    }
  g_autoptr (GVariant) result = lodge_job_wait (cli, path, error);
  return result != NULL;
}

static gboolean
check_words (const LodgeArgs *args, GError **error)
{
  for (const char *const *word = lodge_args_words (args); *word != NULL; word++)
    if (!g_utf8_validate (*word, -1, NULL))
      {
        g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                             _ ("The name of an image must be text."));
        return FALSE;
      }
  return TRUE;
}

gboolean
lodge_cmd_image_refresh (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  LodgeClient *client = lodge_cli_get_client (cli, error);
  g_auto (GVariantDict) options = G_VARIANT_DICT_INIT (NULL);
  g_autoptr (GVariant) body = NULL;
  const char *job;

  if (client == NULL || !check_words (args, error))
    return FALSE;
  if (lodge_args_string (args, "kind") != NULL)
    g_variant_dict_insert (&options, "kind", "s", lodge_args_string (args, "kind"));
  body = lodge_client_call (
      client, LODGE_OBJECT_PATH, "Images", "Refresh",
      g_variant_new ("(^as@a{sv})", lodge_args_words (args), g_variant_dict_end (&options)), "(o)",
      error);
  if (body == NULL)
    return FALSE;
  g_variant_get (body, "(&o)", &job);
  if (strcmp (job, "/") == 0 && !cli->quiet)
    fputs (_ ("No image is to be updated by itself; name one.\n"), stderr);
  return wait_for_job (cli, args, job, error);
}

/* ---- prune ---- */

static const LodgeColumn prune_columns[] = {
  { "aliases", N_ ("ALIASES"), NULL, FALSE, FALSE },
  { "fingerprint", N_ ("FINGERPRINT"), lodge_format_row_fingerprint, FALSE, FALSE },
  { "kind", N_ ("KIND"), NULL, FALSE, FALSE },
  { "size", N_ ("SIZE"), lodge_format_row_size, TRUE, FALSE },
  { "last-used", N_ ("LAST USED"), lodge_format_row_time, FALSE, FALSE },
  { "why", N_ ("WHY"), NULL, FALSE, FALSE },
  { "source", N_ ("SOURCE"), NULL, FALSE, TRUE },
  { "description", N_ ("DESCRIPTION"), NULL, FALSE, TRUE },
  { NULL },
};

static void
print_summary (guint n_images, GVariant *summary, gboolean dry_run)
{
  guint64 bytes
      = lodge_row_uint (summary, "bytes", 0) + lodge_row_uint (summary, "download-bytes", 0);
  g_autofree char *size = lodge_format_size (bytes);
  g_autofree char *exact = g_strdup_printf ("%" G_GUINT64_FORMAT, bytes);

  fprintf (stderr,
           dry_run ? _ ("Images: %u, partial downloads: %u; %s (%s bytes) would be freed\n")
                   : _ ("Images: %u, partial downloads: %u; %s (%s bytes) were freed\n"),
           n_images, (guint) lodge_row_uint (summary, "downloads", 0), size, exact);
}

gboolean
lodge_cmd_image_prune (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  LodgeClient *client = lodge_cli_get_client (cli, error);
  gboolean dry_run = lodge_args_flag (args, "dry-run");
  g_auto (GVariantDict) options = G_VARIANT_DICT_INIT (NULL);
  g_autoptr (GPtrArray) rows = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);
  g_autoptr (GVariantIter) images = NULL;
  g_autoptr (GVariant) summary = NULL;
  g_autoptr (GVariant) body = NULL;
  GVariant *row;
  const char *job;

  if (client == NULL)
    return FALSE;
  g_variant_dict_insert (&options, "dry-run", "b", dry_run);
  body = lodge_client_call (client, LODGE_OBJECT_PATH, "Images", "Prune",
                            g_variant_new ("(@a{sv})", g_variant_dict_end (&options)),
                            "(aa{sv}a{sv}o)", error);
  if (body == NULL)
    return FALSE;
  g_variant_get (body, "(aa{sv}@a{sv}&o)", &images, &summary, &job);
  while ((row = g_variant_iter_next_value (images)) != NULL)
    g_ptr_array_add (rows, row);
  if (!wait_for_job (cli, args, job, error)
      || ((rows->len > 0 || lodge_output_is_for_programs (args))
          && !lodge_output_list (cli, args, rows, prune_columns, error)))
    return FALSE;
  if (!cli->quiet)
    print_summary (rows->len, summary, dry_run);
  return TRUE;
}

/* ---- set ---- */

static gboolean
parse_flag (const char *word, char **out_name, gboolean *out_value, GError **error)
{
  static const struct
  {
    const char *word;
    gboolean value;
  } values[] = { { "true", TRUE }, { "false", FALSE }, { "yes", TRUE },
                 { "no", FALSE },  { "1", TRUE },      { "0", FALSE } };
  const char *equals = strchr (word, '=');

  for (gsize i = 0; equals != NULL && i < G_N_ELEMENTS (values); i++)
    if (strcmp (equals + 1, values[i].word) == 0)
      {
        /* Users of LXD know auto_update. */
        *out_name = g_strdelimit (g_strndup (word, (gsize) (equals - word)), "_", '-');
        *out_value = values[i].value;
        return TRUE;
      }
  g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                       _ ("A flag is set as in pinned=true or auto-update=false."));
  return FALSE;
}

gboolean
lodge_cmd_image_set (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  LodgeClient *client = lodge_cli_get_client (cli, error);
  g_autofree char *path = NULL;
  g_autoptr (GVariant) body = NULL;
  g_auto (GVariantBuilder) flags = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("a{sb}"));

  if (client == NULL || !check_words (args, error))
    return FALSE;
  for (const char *const *word = lodge_args_words (args) + 1; *word != NULL; word++)
    {
      g_autofree char *name = NULL;
      gboolean value;

      if (!parse_flag (*word, &name, &value, error))
        return FALSE;
      g_variant_builder_add (&flags, "{sb}", name, value);
    }
  path = lodge_image_path (client, args, lodge_args_word (args, 0), error);
  if (path == NULL)
    return FALSE;
  body = lodge_client_call (client, path, "Image", "SetFlags",
                            g_variant_new ("(a{sb}a{sv})", &flags, NULL), "()", error);
  return body != NULL;
}
