/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <unistd.h>

#include "lodge-act.h"
#include "lodge-i18n.h"
#include "lodge-name.h"
#include "lodge-output.h"

/* Whether some of @names exist and are not stopped.  What does not exist is told by the deletion.
 */
static gboolean
find_active (LodgeCli *cli, const char *const *names, const char **out_active, GError **error)
{
  LodgeClient *client = lodge_cli_get_client (cli, error);

  if (client == NULL)
    return FALSE;
  *out_active = NULL;
  for (; *names != NULL; names++)
    {
      g_autofree char *path = lodge_client_get_instance (client, *names, NULL);
      g_autoptr (GVariant) all
          = path != NULL ? lodge_client_get_properties (client, path, "Instance", NULL) : NULL;
      g_autofree char *state = all != NULL ? lodge_row_string (all, "State") : NULL;

      if (state != NULL && strcmp (state, "stopped") != 0 && *out_active == NULL)
        *out_active = *names;
    }
  return TRUE;
}

/* On a terminal a person is asked; a program says --force when it means running ones too. */
static gboolean
confirm (LodgeCli *cli, const char *const *names, gboolean *out_force, GError **error)
{
  g_autofree char *list = g_strjoinv (", ", (char **) names);
  g_autofree char *shown = lodge_text_escape (list);
  g_autofree char *question = NULL;
  const char *active = NULL;

  if (!find_active (cli, names, &active, error))
    return FALSE;
  if (active != NULL)
    question = g_strdup_printf (_ ("%s is running. Stop and delete %s?"), active, shown);
  else
    question = g_strdup_printf (_ ("Delete %s?"), shown);
  if (!lodge_cli_ask (cli, question))
    {
      g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_CANCELLED, _ ("Nothing was deleted."));
      return FALSE;
    }
  *out_force = active != NULL;
  return TRUE;
}

gboolean
lodge_cmd_delete (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  g_auto (GVariantDict) options = G_VARIANT_DICT_INIT (NULL);
  const char *const *names = lodge_args_words (args);
  gboolean force = lodge_args_flag (args, "force");
  gboolean asks
      = !force && !lodge_args_flag (args, "yes") && isatty (STDIN_FILENO) && cli->stderr_tty;

  if (asks && !confirm (cli, names, &force, error))
    return FALSE;
  if (force)
    g_variant_dict_insert (&options, "force", "b", TRUE);
  return lodge_act (cli, args, names, "Delete", g_variant_dict_end (&options), error);
}
