/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "lodge-act.h"
#include "lodge-i18n.h"
#include "lodge-job-wait.h"
#include "lodge-name.h"
#include "lodge-output.h"
#include "lodge-rows.h"
#include "lodge-units.h"

static char *
format_progress (GVariant *row, const char *key)
{
  double progress = -1;

  g_variant_lookup (row, key, "d", &progress);
  return progress >= 0 && progress <= 1 ? g_strdup_printf ("%d %%", (int) (progress * 100)) : NULL;
}

static const LodgeColumn columns[] = {
  { "id", N_ ("ID"), NULL, TRUE, FALSE },
  { "operation", N_ ("OPERATION"), NULL, FALSE, FALSE },
  { "state", N_ ("STATE"), NULL, FALSE, FALSE },
  { "progress", N_ ("DONE"), format_progress, TRUE, FALSE },
  { "started", N_ ("STARTED"), lodge_format_row_time, FALSE, FALSE },
  { "description", N_ ("DESCRIPTION"), NULL, FALSE, FALSE },
  { "stage", N_ ("STAGE"), NULL, FALSE, TRUE },
  { "ended", N_ ("ENDED"), lodge_format_row_time, FALSE, TRUE },
  { "uid", N_ ("UID"), NULL, TRUE, TRUE },
  { "error", N_ ("ERROR"), NULL, FALSE, TRUE },
  { NULL },
};

gboolean
lodge_cmd_job_list (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  g_auto (GVariantDict) options = G_VARIANT_DICT_INIT (NULL);

  if (lodge_args_flag (args, "all"))
    g_variant_dict_insert (&options, "all", "b", TRUE);
  g_autoptr (GPtrArray) rows = lodge_rows_fetch (
      cli, "Manager", "ListJobs", g_variant_new ("(@a{sv})", g_variant_dict_end (&options)), error);
  return rows != NULL && lodge_output_list (cli, args, rows, columns, error);
}

/* "17" or a whole path to a path; NULL with @error. */
static char *
job_path (const char *id, GError **error)
{
  const char *number = lodge_job_id (id);
  guint64 value;

  if (!lodge_parse_uint (number, 1, G_MAXINT64, &value, NULL))
    {
      g_autofree char *shown = lodge_text_escape (id);
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                   _ ("“%s” is no number of a job.\n“lodge job list --all” lists them"), shown);
      return NULL;
    }
  return g_strdup_printf (LODGE_OBJECT_PATH "/job/%" G_GUINT64_FORMAT, value);
}

/* A path that nobody serves is, here, a job that is forgotten or never was. */
static void
name_job (const char *id, GError **error)
{
  if (error == NULL || *error == NULL
      || !(g_error_matches (*error, LODGE_ERROR, LODGE_ERROR_NOT_SUPPORTED)
           || g_error_matches (*error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND)))
    return;
  g_clear_error (error);
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND,
               _ ("There is no job %s.\njobs that ended are forgotten after a while"),
               lodge_job_id (id));
}

static void
print_job (GVariant *object)
{
  for (gsize i = 0; i < g_variant_n_children (object); i++)
    {
      g_autoptr (GVariant) value = NULL;
      g_autofree char *text = NULL;
      const char *key;

      g_variant_get_child (object, i, "{&sv}", &key, &value);
      if (strcmp (key, "progress") == 0)
        text = format_progress (object, key);
      else if (g_str_has_suffix (key, "-at"))
        text = lodge_format_row_time (object, key);
      else if (g_str_has_prefix (key, "bytes-") || strcmp (key, "rate") == 0)
        text = lodge_format_row_size (object, key);
      else
        text = lodge_output_plain (value);
      if (text != NULL && text[0] != '\0' && strcmp (text, ", ") != 0)
        printf ("%s:%*s %s\n", key, (int) MAX (0, 12 - (int) strlen (key)), "", text);
    }
}

gboolean
lodge_cmd_job_show (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  g_autofree char *path = job_path (lodge_args_word (args, 0), error);
  LodgeClient *client = path != NULL ? lodge_cli_get_client (cli, error) : NULL;
  g_autoptr (GVariant) properties
      = client != NULL ? lodge_client_get_properties (client, path, "Job", error) : NULL;
  g_autoptr (GVariant) object = NULL;

  if (properties == NULL)
    {
      name_job (lodge_args_word (args, 0), error);
      return FALSE;
    }
  object = lodge_rows_from_properties (properties);
  if (lodge_output_is_for_programs (args))
    return lodge_output_object (cli, args, object, error);
  print_job (object);
  return TRUE;
}

gboolean
lodge_cmd_job_wait (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  guint n = lodge_args_n_words (args);
  g_autofree LodgeJobWait *waits = g_new0 (LodgeJobWait, n);
  g_autofree GError **errors = g_new0 (GError *, n);

  for (guint i = 0; i < n; i++)
    waits[i].path = job_path (lodge_args_word (args, i), &waits[i].error);
  gboolean good = lodge_jobs_wait (cli, waits, n, error);
  for (guint i = 0; i < n; i++)
    {
      if (waits[i].path != NULL && waits[i].status == NULL && waits[i].result == NULL
          && g_error_matches (waits[i].error, LODGE_ERROR, LODGE_ERROR_NOT_SUPPORTED))
        name_job (lodge_args_word (args, i), &waits[i].error);
      errors[i] = waits[i].error;
    }
  good = good && lodge_report_errors (cli, lodge_args_words (args), errors, n, error);
  for (guint i = 0; i < n; i++)
    lodge_job_wait_clear (&waits[i]);
  return good;
}

gboolean
lodge_cmd_job_cancel (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  guint n = lodge_args_n_words (args);
  g_autoptr (GPtrArray) owned = g_ptr_array_new_with_free_func ((GDestroyNotify) g_error_free);
  g_autofree GError **errors = g_new0 (GError *, n);
  LodgeClient *client = lodge_cli_get_client (cli, error);

  if (client == NULL)
    return FALSE;
  for (guint i = 0; i < n; i++)
    {
      g_autofree char *path = job_path (lodge_args_word (args, i), &errors[i]);
      g_autoptr (GVariant) body
          = path != NULL ? lodge_client_call (client, path, "Job", "Cancel",
                                              g_variant_new ("(a{sv})", NULL), "()", &errors[i])
                         : NULL;
      if (body == NULL)
        {
          name_job (lodge_args_word (args, i), &errors[i]);
          g_ptr_array_add (owned, errors[i]);
        }
    }
  return lodge_report_errors (cli, lodge_args_words (args), errors, n, error);
}
