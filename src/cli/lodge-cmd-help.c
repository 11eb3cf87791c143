/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "lodge-help.h"
#include "lodge-i18n.h"
#include "lodge-keys.h"
#include "lodge-name.h"
#include "lodge-output.h"

#define INDENT  2
#define WRAP_AT 78

/* Prints @text wrapped to lines, each behind @indent spaces; "\n\n" separates paragraphs. */
static void
print_wrapped (const char *text, guint indent)
{
  g_auto (GStrv) paragraphs = g_strsplit (text, "\n\n", -1);

  for (char **paragraph = paragraphs; *paragraph != NULL; paragraph++)
    {
      g_auto (GStrv) words = g_strsplit (*paragraph, " ", -1);
      guint column = 0;

      if (paragraph != paragraphs)
        putchar ('\n');
      for (char **word = words; *word != NULL; word++)
        {
          guint width = lodge_text_width (*word);
          if (column > indent && column + 1 + width > WRAP_AT)
            {
              putchar ('\n');
              column = 0;
            }
          if (column == 0)
            printf ("%*s", (int) indent, "");
          printf ("%s%s", column > indent ? " " : "", *word);
          column = (column == 0 ? indent : column + 1) + width;
        }
      putchar ('\n');
    }
}

static void
print_heading (LodgeCli *cli, const char *text)
{
  printf ("%s%s%s\n", lodge_cli_color (cli->color_stdout, LODGE_COLOR_BOLD), text,
          lodge_cli_color_end (cli->color_stdout));
}

static char *
option_text (const LodgeOptionSpec *spec)
{
  char short_form[5] = "    ";

  if (spec->short_name != '\0')
    g_snprintf (short_form, sizeof short_form, "-%c, ", spec->short_name);
  return g_strdup_printf ("%s--%s%s%s", short_form, spec->name, spec->metavar != NULL ? "=" : "",
                          spec->metavar != NULL ? spec->metavar : "");
}

static void
print_options (const LodgeOptionSpec *table)
{
  for (const LodgeOptionSpec *spec = table; spec->name != NULL; spec++)
    {
      g_autofree char *left = option_text (spec);
      guint width = lodge_text_width (left);

      if (width > 24)
        printf ("  %s\n%*s", left, 28, "");
      else
        printf ("  %s%*s", left, (int) (26 - width), "");
      puts (_ (spec->help));
    }
}

/* "also: ls, net-list": other names, and what other tools call it. */
static void
print_other_names (const LodgeCmd *cmd)
{
  g_autoptr (GString) names = g_string_new (NULL);

  for (const char *const *name = cmd->also; name != NULL && *name != NULL; name++)
    g_string_append_printf (names, "%s%s", names->len > 0 ? ", " : "", *name);
  for (gsize i = 0; i < lodge_cmd_aliases_size; i++)
    {
      const LodgeCmdAlias *alias = &lodge_cmd_aliases[i];
      if (strcmp (alias->command, cmd->name) != 0)
        continue;
      g_string_append_printf (names, "%s%s", names->len > 0 ? ", " : "", alias->name);
      if (alias->option != NULL)
        g_string_append_printf (names, " (%s)", alias->option);
    }
  if (names->len > 0)
    {
      /* TRANSLATORS: other names of a command follow */
      printf (_ ("Also: %s\n"), names->str);
      putchar ('\n');
    }
}

void
lodge_help_print_command (LodgeCli *cli, const LodgeCmd *cmd)
{
  const LodgeOptionSpec *tables[4];
  g_autofree char *usage = lodge_cmd_usage (cmd);

  printf ("%s\n\n", usage);
  print_wrapped (_ (cmd->summary), 0);
  putchar ('\n');
  if (cmd->description != NULL)
    {
      print_wrapped (_ (cmd->description), 0);
      putchar ('\n');
    }
  print_other_names (cmd);
  print_heading (cli, _ ("Options"));
  lodge_cmd_option_tables (cmd, tables);
  for (guint i = 0; tables[i] != NULL; i++)
    print_options (tables[i]);
  if (cmd->examples == NULL)
    return;
  putchar ('\n');
  print_heading (cli, _ ("Examples"));
  g_auto (GStrv) lines = g_strsplit (cmd->examples, "\n", -1);
  for (char **line = lines; *line != NULL; line++)
    printf ("  %s\n", *line);
}

static void
print_group (LodgeCli *cli, LodgeCmdGroup group)
{
  g_autofree char *heading
      = g_strdup_printf ("%s (%s)", lodge_cmd_group_title (group), lodge_cmd_group_name (group));

  print_heading (cli, heading);
  for (gsize i = 0; i < lodge_cmd_table_size; i++)
    {
      const LodgeCmd *cmd = &lodge_cmd_table[i];
      g_autofree char *name = g_strdup (cmd->name);
      char *dash = strchr (name, '-');

      if (cmd->group != group || (cmd->flags & LODGE_CMD_HIDDEN))
        continue;
      if (dash != NULL)
        *dash = ' ';
      printf ("  %-18s %s\n", name, _ (cmd->summary));
    }
}

void
lodge_help_print_overview (LodgeCli *cli)
{
  puts (_ ("lodge COMMAND [OPTION…] [ARGUMENT…]\n"));
  puts (_ ("System containers and virtual machines on libvirt.\n"));
  for (guint group = 0; group < LODGE_N_GROUPS; group++)
    {
      print_group (cli, (LodgeCmdGroup) group);
      putchar ('\n');
    }
  puts (
      _ ("“lodge help COMMAND” or “lodge COMMAND --help” tells more; “lodge help keys” lists the\n"
         "configuration keys; “lodge” alone on a terminal is an interactive shell."));
}

static gboolean
help_for_group (LodgeCli *cli, const char *word)
{
  for (guint group = 0; group < LODGE_N_GROUPS; group++)
    if (strcmp (word, lodge_cmd_group_name ((LodgeCmdGroup) group)) == 0)
      {
        print_group (cli, (LodgeCmdGroup) group);
        return TRUE;
      }
  return FALSE;
}

gboolean
lodge_cmd_help (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  const char *const *words = lodge_args_words (args);
  guint n_used;

  if (lodge_args_flag (args, "man"))
    {
      lodge_help_print_man ();
      return TRUE;
    }
  if (words[0] == NULL)
    {
      lodge_help_print_overview (cli);
      return TRUE;
    }
  if (strcmp (words[0], "keys") == 0)
    return lodge_keys_print (cli, args, error);
  if (words[1] == NULL && help_for_group (cli, words[0]))
    return TRUE;
  const LodgeCmd *cmd = lodge_cmd_find (words, &n_used, NULL, error);
  if (cmd == NULL)
    return FALSE;
  lodge_help_print_command (cli, cmd);
  return TRUE;
}
