/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* image convert and convert: containers become VMs, and the other way round. */
#include <stdio.h>

#include "lodge-cmd.h"
#include "lodge-image-path.h"
#include "lodge-i18n.h"
#include "lodge-job-wait.h"
#include "lodge-name.h"
#include "lodge-output.h"

/* "--to", "--size" and, when wanted, "start" as the arguments of a method Convert. */
static GVariant *
convert_body (const LodgeArgs *args, gboolean start, GError **error)
{
  g_auto (GVariantDict) options = G_VARIANT_DICT_INIT (NULL);
  const char *to = lodge_args_string (args, "to");
  LodgeKind kind = LODGE_KIND_CONTAINER;

  if (to == NULL || !lodge_kind_from_nick (to, &kind))
    {
      g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                           _ ("Say what it is to become: --to=vm or --to=container."));
      return NULL;
    }
  if (!lodge_args_add_size (args, &options, error))
    return NULL;
  if (start)
    g_variant_dict_insert (&options, "start", "b", TRUE);
  return g_variant_ref_sink (g_variant_new ("(s@a{sv})", to, g_variant_dict_end (&options)));
}

/* Sends a method that answers with a job, and waits for that.  (transfer full) */
static GVariant *
run_job (LodgeCli *cli, LodgeClient *client, const char *path, const char *interface,
         const char *method, GVariant *body, GError **error)
{
  g_autoptr (GVariant) reply
      = lodge_client_call (client, path, interface, method, body, "(o)", error);
  const char *job;

  if (reply == NULL)
    return NULL;
  g_variant_get (reply, "(&o)", &job);
  return lodge_job_wait (cli, job, error);
}

gboolean
lodge_cmd_image_convert (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  g_autoptr (GVariant) body = convert_body (args, FALSE, error);
  LodgeClient *client = body != NULL ? lodge_cli_get_client (cli, error) : NULL;
  const char *from = g_strcmp0 (lodge_args_string (args, "to"), "vm") == 0 ? "container" : "vm";

  if (client == NULL)
    return FALSE;
  g_autofree char *image
      = lodge_image_path_of_kind (client, from, lodge_args_word (args, 0), error);
  g_autoptr (GVariant) result
      = image != NULL ? run_job (cli, client, image, "Image", "Convert", body, error) : NULL;
  if (result == NULL)
    return FALSE;
  g_autofree char *fingerprint = lodge_row_string (result, "fingerprint");
  g_autofree char *shown = lodge_text_escape (fingerprint != NULL ? fingerprint : "");
  puts (shown);
  return TRUE;
}

/* What is of that kind already need not be stopped to hear so. */
static gboolean
must_stop (LodgeClient *client, const char *instance, const char *to)
{
  g_autoptr (GVariant) all = lodge_client_get_properties (client, instance, "Instance", NULL);
  g_autofree char *state = all != NULL ? lodge_row_string (all, "State") : NULL;

  g_autofree char *kind = all != NULL ? lodge_row_string (all, "Kind") : NULL;

  return g_strcmp0 (state, "running") == 0 && g_strcmp0 (kind, to) != 0;
}

gboolean
lodge_cmd_convert (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  /* Checked before anything is stopped for it. */
  g_autoptr (GVariant) check = convert_body (args, FALSE, error);
  LodgeClient *client = check != NULL ? lodge_cli_get_client (cli, error) : NULL;
  g_autofree char *instance
      = client != NULL ? lodge_client_get_instance (client, lodge_args_word (args, 0), error)
                       : NULL;
  g_autoptr (GVariant) none = g_variant_ref_sink (g_variant_new ("(a{sv})", NULL));

  if (instance == NULL)
    return FALSE;
  gboolean was_running = lodge_args_flag (args, "force")
                         && must_stop (client, instance, lodge_args_string (args, "to"));
  if (was_running)
    {
      g_autoptr (GVariant) stopped
          = run_job (cli, client, instance, "Instance", "Stop", none, error);
      if (stopped == NULL)
        return FALSE;
    }
  g_autoptr (GVariant) body
      = convert_body (args, was_running || lodge_args_flag (args, "start"), error);
  g_autoptr (GVariant) result = run_job (cli, client, instance, "Instance", "Convert", body, error);
  if (result != NULL)
    return TRUE;
  if (was_running)
    {
      g_autoptr (GVariant) started
          = run_job (cli, client, instance, "Instance", "Start", none, NULL);
    }
  return FALSE;
}
