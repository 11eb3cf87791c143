/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lodge-cmd.h"
#include "lodge-i18n.h"
#include "lodge-words.h"

#define SHELL_PROGRAM "lodge-shell"

/* A program that is started with 0, 1 or 2 closed would pass its first sockets off as them. */
static void
fill_standard_files (void)
{
  for (int fd = 0; fd <= 2; fd++)
    if (fcntl (fd, F_GETFD) < 0 && errno == EBADF)
      (void) !open ("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY);
}

/* The interactive shell is a program of its own, so that nobody else loads readline.  It is beside
 * this one in a build directory. */
static gboolean
run_shell (char **argv, GError **error)
{
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *folder = self != NULL ? g_path_get_dirname (self) : g_strdup ("");
  g_autofree char *beside = g_build_filename (folder, SHELL_PROGRAM, NULL);
  char *program = argv[0];

  argv[0] = (char *) SHELL_PROGRAM;
  execv (beside, argv);
  execv (LODGE_LIBEXECDIR "/" SHELL_PROGRAM, argv);
  argv[0] = program;
  lodge_error_set_errno (error, errno, "The interactive shell cannot be started");
  return FALSE;
}

/* `lodge 'list; info web'`: one argument with spaces is a line, as with virsh. */
static gboolean
is_line (int argc, char **argv)
{
  return argc == 2 && strpbrk (argv[1], " \t;\n") != NULL && argv[1][0] != '-';
}

static gboolean
run (LodgeCli *cli, int argc, char **argv, GError **error)
{
  static const char *const version[] = { "version", NULL };
  static const char *const help[] = { "help", NULL };

  if (argc < 2 || strcmp (argv[1], "-k") == 0 || is_line (argc, argv))
    return run_shell (argv, error);
  if (strcmp (argv[1], "--version") == 0 || strcmp (argv[1], "-V") == 0)
    return lodge_cmd_run (cli, version, error);
  if (strcmp (argv[1], "--help") == 0 || strcmp (argv[1], "-h") == 0)
    return lodge_cmd_run (cli, help, error);
  char **words = argv + 1;
  if (strcmp (words[0], "--") == 0 && words[1] != NULL)
    words++;
  if (words[0][0] == '-')
    {
      /* Options that every command has may stand before it. */
      g_autoptr (GPtrArray) turned = lodge_words_command_first (words);
      return lodge_cmd_run (cli, (const char *const *) turned->pdata, error);
    }
  return lodge_cmd_run (cli, (const char *const *) words, error);
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  LodgeCli cli;

  fill_standard_files ();
  lodge_i18n_init ();
  lodge_cli_init (&cli);
  gboolean good = run (&cli, argc, argv, &error);
  if (good)
    good = lodge_cli_flush (&error);
  if (!good)
    {
      lodge_cli_print_error (&cli, NULL, error);
      if (cli.exit_status == 0)
        cli.exit_status = lodge_error_exit_code (error);
    }
  lodge_cli_clear (&cli);
  return cli.exit_status;
}
