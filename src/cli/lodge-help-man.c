/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The commands' part of lodge(1), in reST; data/man/lodge.1.rst.in is the frame. */
#include <stdio.h>
#include <string.h>

#include "lodge-help.h"

/* Text that reST would take for markup. */
static void
print_escaped (const char *text)
{
  for (const char *p = text; *p != '\0'; p++)
    {
      if (strchr ("\\*`|_", *p) != NULL)
        putchar ('\\');
      putchar (*p);
    }
}

static void
print_title (const char *text, char underline)
{
  puts (text);
  for (const char *p = text; *p != '\0'; p++)
    putchar (underline);
  puts ("\n");
}

static void
print_options (const LodgeOptionSpec *table)
{
  for (const LodgeOptionSpec *spec = table; spec->name != NULL; spec++)
    {
      g_autoptr (GString) left = g_string_new (NULL);

      if (spec->short_name != '\0')
        g_string_append_printf (left, "**-%c**, ", spec->short_name);
      g_string_append_printf (left, "**--%s**", spec->name);
      if (spec->metavar != NULL)
        g_string_append_printf (left, "\\ =\\ *%s*", spec->metavar);
      printf ("%s\n  ", left->str);
      print_escaped (spec->help);
      puts (".\n");
    }
}

static void
print_names (const LodgeCmd *cmd)
{
  g_autoptr (GString) names = g_string_new (NULL);

  for (const char *const *name = cmd->also; name != NULL && *name != NULL; name++)
    g_string_append_printf (names, "%s**%s**", names->len > 0 ? ", " : "", *name);
  for (gsize i = 0; i < lodge_cmd_aliases_size; i++)
    if (strcmp (lodge_cmd_aliases[i].command, cmd->name) == 0)
      {
        g_string_append_printf (names, "%s**%s**", names->len > 0 ? ", " : "",
                                lodge_cmd_aliases[i].name);
        if (lodge_cmd_aliases[i].option != NULL)
          g_string_append_printf (names, " (with **%s**)", lodge_cmd_aliases[i].option);
      }
  if (names->len > 0)
    printf ("Also: %s.\n\n", names->str);
}

static void
print_command (const LodgeCmd *cmd)
{
  g_autofree char *usage = lodge_cmd_usage (cmd);

  print_title (usage + strlen ("lodge "), '~');
  print_escaped (cmd->summary);
  puts (".\n");
  if (cmd->description != NULL)
    {
      print_escaped (cmd->description);
      puts ("\n");
    }
  print_names (cmd);
  if (cmd->options != NULL)
    print_options (cmd->options);
  if (cmd->flags & LODGE_CMD_OUTPUT)
    puts ("Takes the options for output, see `OPTIONS OF SEVERAL COMMANDS`_.\n");
  if (cmd->examples == NULL)
    return;
  puts ("::\n");
  g_auto (GStrv) lines = g_strsplit (cmd->examples, "\n", -1);
  for (char **line = lines; *line != NULL; line++)
    printf ("  %s\n", *line);
  putchar ('\n');
}

void
lodge_help_print_man (void)
{
  print_title ("COMMANDS", '=');
  for (guint group = 0; group < LODGE_N_GROUPS; group++)
    {
      print_title (lodge_cmd_group_title ((LodgeCmdGroup) group), '-');
      for (gsize i = 0; i < lodge_cmd_table_size; i++)
        if (lodge_cmd_table[i].group == group && !(lodge_cmd_table[i].flags & LODGE_CMD_HIDDEN))
          print_command (&lodge_cmd_table[i]);
    }
  print_title ("OPTIONS OF SEVERAL COMMANDS", '=');
  puts ("Every command has these:\n");
  print_options (lodge_global_options);
  puts ("Commands that print lists or objects also have these:\n");
  print_options (lodge_output_options);
}
