/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-act.h"

#include "lodge-job-wait.h"

gboolean
lodge_report_errors (LodgeCli *cli, const char *const *names, GError *const *errors, guint n,
                     GError **error)
{
  if (n == 1 && errors[0] != NULL)
    {
      g_propagate_error (error, g_error_copy (errors[0]));
      return FALSE;
    }
  for (guint i = 0; i < n; i++)
    {
      if (errors[i] == NULL)
        continue;
      lodge_cli_print_error (cli, names[i], errors[i]);
      if (cli->exit_status == 0)
        cli->exit_status = lodge_error_exit_code (errors[i]);
    }
  return TRUE;
}

/* Sends one call for each instance that is still good, and takes the object paths that come:
 * without @method the instances', for those whose names say nothing of them. */
static void
call_each (LodgeClient *client, const char *const *names, LodgeJobWait *waits, guint n,
           const char *method, GVariant *options)
{
  g_autofree guint32 *serials = g_new0 (guint32, n);

  for (guint i = 0; i < n; i++)
    {
      if (waits[i].error != NULL)
        continue;
      if (method == NULL)
        waits[i].path = lodge_client_path_of_name (names[i]);
      if (method == NULL && waits[i].path != NULL)
        continue;
      if (method == NULL)
        serials[i] = lodge_client_send (client, LODGE_OBJECT_PATH, "Manager", "GetInstance",
                                        g_variant_new ("(s)", names[i]), NULL, 0, &waits[i].error);
      else
        serials[i]
            = lodge_client_send (client, waits[i].path, "Instance", method,
                                 g_variant_new ("(@a{sv})", options), NULL, 0, &waits[i].error);
    }
  for (guint i = 0; i < n; i++)
    {
      g_autoptr (LodgeMessage) reply = NULL;

      if (serials[i] == 0)
        continue;
      reply = lodge_client_finish (client, serials[i], "(o)", &waits[i].error);
      g_clear_pointer (&waits[i].path, g_free);
      if (reply != NULL)
        g_variant_get (reply->body, "(o)", &waits[i].path);
    }
}

static gboolean
finish (LodgeCli *cli, const LodgeArgs *args, const char *const *names, LodgeJobWait *waits,
        guint n, GError **error)
{
  g_autofree GError **errors = g_new0 (GError *, n);

  if (lodge_args_flag (args, "no-wait"))
    {
      for (guint i = 0; i < n; i++)
        if (waits[i].path != NULL)
          lodge_job_print_id (waits[i].path);
    }
  else if (!lodge_jobs_wait (cli, waits, n, error))
    return FALSE;
  for (guint i = 0; i < n; i++)
    errors[i] = waits[i].error;
  return lodge_report_errors (cli, names, errors, n, error);
}

gboolean
lodge_act (LodgeCli *cli, const LodgeArgs *args, const char *const *names, const char *method,
           GVariant *options, GError **error)
{
  g_autoptr (GVariant) sunk = g_variant_ref_sink (options);
  guint n = g_strv_length ((char **) names);
  g_autofree LodgeJobWait *waits = g_new0 (LodgeJobWait, n);
  LodgeClient *client = lodge_cli_get_client (cli, error);

  if (client == NULL)
    return FALSE;
  for (guint i = 0; i < n; i++)
    if (!g_utf8_validate (names[i], -1, NULL))
      g_set_error_literal (&waits[i].error, LODGE_ERROR, LODGE_ERROR_INVALID_NAME,
                           "The name of an instance must be text.");
  call_each (client, names, waits, n, NULL, NULL);
  call_each (client, names, waits, n, method, sunk);
  gboolean good = finish (cli, args, names, waits, n, error);
  for (guint i = 0; i < n; i++)
    lodge_job_wait_clear (&waits[i]);
  return good;
}
