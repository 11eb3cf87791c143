/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* start, stop, restart, pause, resume, eject, rename: one call each, the rest is lodge_act(). */
#include <string.h>

#include "lodge-act.h"
#include "lodge-i18n.h"
#include "lodge-job-wait.h"

gboolean
lodge_cmd_start (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  g_auto (GVariantDict) options = G_VARIANT_DICT_INIT (NULL);

  if (lodge_args_flag (args, "wait"))
    g_variant_dict_insert (&options, "wait-booted", "b", TRUE);
  return lodge_act (cli, args, lodge_args_words (args), "Start", g_variant_dict_end (&options),
                    error);
}

static gboolean
stop_or_restart (LodgeCli *cli, const LodgeArgs *args, const char *method, GError **error)
{
  g_auto (GVariantDict) options = G_VARIANT_DICT_INIT (NULL);

  if (lodge_args_flag (args, "force") && lodge_args_string (args, "timeout") != NULL)
    {
      g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                           _ ("--force and --timeout exclude each other.\n"
                              "--force does not wait for the guest"));
      return FALSE;
    }
  if (lodge_args_flag (args, "force"))
    g_variant_dict_insert (&options, "force", "b", TRUE);
  if (lodge_args_string (args, "timeout") != NULL)
    {
      guint64 seconds = lodge_args_seconds (args, "timeout", 0);
      g_variant_dict_insert (&options, "timeout", "u", (guint32) MIN (seconds, G_MAXUINT32));
    }
  return lodge_act (cli, args, lodge_args_words (args), method, g_variant_dict_end (&options),
                    error);
}

gboolean
lodge_cmd_stop (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  return stop_or_restart (cli, args, "Stop", error);
}

gboolean
lodge_cmd_restart (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  return stop_or_restart (cli, args, "Restart", error);
}

gboolean
lodge_cmd_pause (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  return lodge_act (cli, args, lodge_args_words (args), "Pause", g_variant_new ("a{sv}", NULL),
                    error);
}

gboolean
lodge_cmd_resume (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  return lodge_act (cli, args, lodge_args_words (args), "Resume", g_variant_new ("a{sv}", NULL),
                    error);
}

gboolean
lodge_cmd_eject (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  g_auto (GVariantDict) options = G_VARIANT_DICT_INIT (NULL);

  if (lodge_args_flag (args, "force"))
    g_variant_dict_insert (&options, "force", "b", TRUE);
  return lodge_act (cli, args, lodge_args_words (args), "Eject", g_variant_dict_end (&options),
                    error);
}

gboolean
lodge_cmd_rename (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  LodgeClient *client = lodge_cli_get_client (cli, error);
  g_autofree char *path = client != NULL
                              ? lodge_client_get_instance (client, lodge_args_word (args, 0), error)
                              : NULL;
  g_autoptr (GVariant) body = NULL;
  g_autoptr (GVariant) result = NULL;
  const char *job;

  if (path == NULL)
    return FALSE;
  body = lodge_client_call (client, path, "Instance", "Rename",
                            g_variant_new ("(sa{sv})", lodge_args_word (args, 1), NULL), "(o)",
                            error);
  if (body == NULL)
    return FALSE;
  g_variant_get (body, "(&o)", &job);
  result = lodge_job_wait (cli, job, error);
  return result != NULL;
}
