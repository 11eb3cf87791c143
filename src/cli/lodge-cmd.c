/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-cmd.h"

#include <string.h>

#include "lodge-help.h"
#include "lodge-i18n.h"
#include "lodge-name.h"
#include "lodge-output.h"

typedef struct
{
  const char *name;
  const char *title;
} GroupRow;

static const GroupRow groups[] = {
  [LODGE_GROUP_INSTANCES] = { "instances", N_ ("Make, run and remove instances") },
  [LODGE_GROUP_INSIDE] = { "inside", N_ ("Run things inside") },
  [LODGE_GROUP_FILES] = { "files", N_ ("Copy files in and out") },
  [LODGE_GROUP_IMAGES] = { "images", N_ ("Images") },
  [LODGE_GROUP_JOBS] = { "jobs", N_ ("Jobs and events") },
  [LODGE_GROUP_OTHER] = { "other", N_ ("Lodge itself") },
};
G_STATIC_ASSERT (G_N_ELEMENTS (groups) == LODGE_N_GROUPS);

const char *
lodge_cmd_group_name (LodgeCmdGroup group)
{
  return groups[group].name;
}

const char *
lodge_cmd_group_title (LodgeCmdGroup group)
{
  return _ (groups[group].title);
}

const LodgeCmd *
lodge_cmd_by_name (const char *name)
{
  for (gsize i = 0; i < lodge_cmd_table_size; i++)
    if (strcmp (lodge_cmd_table[i].name, name) == 0)
      return &lodge_cmd_table[i];
  return NULL;
}

static const LodgeCmd *
lookup (const char *name, const char **out_extra)
{
  const LodgeCmd *cmd = lodge_cmd_by_name (name);

  if (cmd != NULL)
    return cmd;
  for (gsize i = 0; i < lodge_cmd_table_size; i++)
    if (lodge_cmd_table[i].also != NULL && g_strv_contains (lodge_cmd_table[i].also, name))
      return &lodge_cmd_table[i];
  for (gsize i = 0; i < lodge_cmd_aliases_size; i++)
    if (strcmp (lodge_cmd_aliases[i].name, name) == 0)
      {
        if (out_extra != NULL)
          *out_extra = lodge_cmd_aliases[i].option;
        return lodge_cmd_by_name (lodge_cmd_aliases[i].command);
      }
  return NULL;
}

/* "image" alone: a noun whose verbs are listed in the hint. */
static char *
verbs_of (const char *noun)
{
  g_autoptr (GString) verbs = g_string_new (NULL);
  gsize length = strlen (noun);

  for (gsize i = 0; i < lodge_cmd_table_size; i++)
    {
      const LodgeCmd *cmd = &lodge_cmd_table[i];
      if (strncmp (cmd->name, noun, length) == 0 && cmd->name[length] == '-')
        g_string_append_printf (verbs, "%s%s", verbs->len > 0 ? ", " : "", cmd->name + length + 1);
    }
  return verbs->len > 0 ? g_string_free (g_steal_pointer (&verbs), FALSE) : NULL;
}

static void
unknown_command (const char *const *words, GError **error)
{
  g_autofree char *verbs = verbs_of (words[0]);
  g_autofree char *shown = lodge_text_escape (words[0]);
  g_autoptr (GPtrArray) names = g_ptr_array_new ();

  if (verbs != NULL)
    {
      if (words[1] == NULL || words[1][0] == '-')
        g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                     _ ("“%s” needs a verb.\nthe verbs are %s"), shown, verbs);
      else
        g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                     _ ("There is no such command of “%s”.\nthe verbs are %s"), shown, verbs);
      return;
    }
  for (gsize i = 0; i < lodge_cmd_table_size; i++)
    if (!(lodge_cmd_table[i].flags & LODGE_CMD_HIDDEN))
      g_ptr_array_add (names, (gpointer) lodge_cmd_table[i].name);
  g_ptr_array_add (names, NULL);
  const char *nearest = lodge_nearest (words[0], (const char *const *) names->pdata);
  if (nearest != NULL)
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                 _ ("There is no command “%s”.\ndid you mean “%s”?"), shown, nearest);
  else
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                 _ ("There is no command “%s”.\n“lodge help” lists them"), shown);
}

const LodgeCmd *
lodge_cmd_find (const char *const *words, guint *out_n_used, const char **out_extra, GError **error)
{
  const LodgeCmd *cmd = NULL;

  /* Two words first: "image list" must not be taken for an alias "image". */
  if (words[0] != NULL && words[1] != NULL && words[1][0] != '-')
    {
      g_autofree char *joined = g_strconcat (words[0], "-", words[1], NULL);
      cmd = lookup (joined, out_extra);
      *out_n_used = 2;
    }
  if (cmd == NULL && words[0] != NULL)
    {
      cmd = lookup (words[0], out_extra);
      *out_n_used = 1;
    }
  if (cmd == NULL && words[0] != NULL)
    unknown_command (words, error);
  return cmd;
}

void
lodge_cmd_option_tables (const LodgeCmd *cmd, const LodgeOptionSpec *out_tables[4])
{
  guint n = 0;

  if (cmd->options != NULL)
    out_tables[n++] = cmd->options;
  if (cmd->flags & LODGE_CMD_OUTPUT)
    out_tables[n++] = lodge_output_options;
  out_tables[n++] = lodge_global_options;
  out_tables[n] = NULL;
}

char *
lodge_cmd_usage (const LodgeCmd *cmd)
{
  g_autoptr (GString) usage = g_string_new ("lodge ");
  gsize start = usage->len;

  g_string_append (usage, cmd->name);
  /* "image list" reads better than "image-list". */
  char *dash = strchr (usage->str + start, '-');
  if (dash != NULL)
    *dash = ' ';
  g_string_append (usage, _ (" [OPTION…]"));
  for (const LodgeArgSpec *spec = cmd->arguments; spec != NULL && spec->name != NULL; spec++)
    {
      gboolean optional = (spec->flags & LODGE_ARG_OPTIONAL) != 0;
      g_string_append_printf (usage, " %s%s%s%s", optional ? "[" : "", spec->name,
                              spec->flags & LODGE_ARG_MANY ? "…" : "", optional ? "]" : "");
    }
  return g_string_free (g_steal_pointer (&usage), FALSE);
}

static gboolean
run_parsed (LodgeCli *cli, const LodgeCmd *cmd, const LodgeArgs *args, GError **error)
{
  const char *color = lodge_args_string (args, "color");

  if (color != NULL && !lodge_cli_set_color (cli, color, error))
    return FALSE;
  if (lodge_args_flag (args, "help"))
    {
      lodge_help_print_command (cli, cmd);
      return TRUE;
    }
  cli->quiet = lodge_args_flag (args, "quiet");
  /* Before the service is asked: a typing error should not cost a round trip. */
  if ((cmd->flags & LODGE_CMD_OUTPUT) && !lodge_output_check_format (args, error))
    return FALSE;
  return cmd->run (cli, args, error);
}

gboolean
lodge_cmd_run (LodgeCli *cli, const char *const *words, GError **error)
{
  const LodgeOptionSpec *tables[4];
  const char *extra = NULL;
  guint n_used = 0;
  const LodgeCmd *cmd = lodge_cmd_find (words, &n_used, &extra, error);

  if (cmd == NULL)
    return FALSE;
  g_autoptr (GPtrArray) rest = g_ptr_array_new ();
  if (extra != NULL)
    g_ptr_array_add (rest, (gpointer) extra);
  for (const char *const *word = words + n_used; *word != NULL; word++)
    g_ptr_array_add (rest, (gpointer) *word);
  g_ptr_array_add (rest, NULL);

  g_autofree char *line = lodge_cmd_usage (cmd);
  g_autofree char *usage = g_strconcat ("usage: ", line, NULL);
  lodge_cmd_option_tables (cmd, tables);
  g_autoptr (LodgeArgs) args
      = lodge_args_parse (usage, cmd->arguments, tables, (const char *const *) rest->pdata, error);
  if (args != NULL && run_parsed (cli, cmd, args, error))
    return TRUE;
  /* A script that looks at $? can tell the guest's program from Lodge. */
  if ((cmd->flags & LODGE_CMD_STATUS) && cli->exit_status == 0)
    cli->exit_status = 125;
  return FALSE;
}
