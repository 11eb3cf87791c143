/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The interactive shell of `lodge`: reads lines and runs `lodge` for each command in them, so that
 * a command behaves here as it does in any other shell, and one that crashes ends nothing else.
 */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <readline/history.h>
#include <readline/readline.h>

#include "lodge-cli.h"
#include "lodge-config.h"
#include "lodge-i18n.h"
#include "lodge-words.h"

#define HISTORY_LINES 1000
#define PROMPT        "lodge # "

typedef struct
{
  LodgeCli cli;
  gboolean interactive;
  gboolean keep_going; /* -k */
  gboolean quit;
  int status; /* of the first command that failed, or of the last one when interactive */
} Shell;

/* The program beside this one, or the installed one.  (transfer full) */
static char *
lodge_program (void)
{
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *folder = self != NULL ? g_path_get_dirname (self) : g_strdup ("");
  g_autofree char *beside = g_build_filename (folder, "lodge", NULL);

  if (access (beside, X_OK) == 0)
    return g_steal_pointer (&beside);
  return g_strdup (LODGE_BINDIR "/lodge");
}

/* Ctrl-C belongs to the command that runs. */
static int
spawn_and_wait (char **argv)
{
  posix_spawnattr_t attributes;
  sigset_t defaults;
  pid_t pid;
  int status = 0;

  sigemptyset (&defaults);
  sigaddset (&defaults, SIGINT);
  sigaddset (&defaults, SIGQUIT);
  posix_spawnattr_init (&attributes);
  posix_spawnattr_setsigdefault (&attributes, &defaults);
  posix_spawnattr_setflags (&attributes, POSIX_SPAWN_SETSIGDEF);
  struct sigaction ignore = { .sa_handler = SIG_IGN };
  struct sigaction saved_int, saved_quit;
  sigaction (SIGINT, &ignore, &saved_int);
  sigaction (SIGQUIT, &ignore, &saved_quit);
  int failure = posix_spawn (&pid, argv[0], NULL, &attributes, argv, environ);
  while (failure == 0 && waitpid (pid, &status, 0) < 0 && errno == EINTR)
    ;
  sigaction (SIGINT, &saved_int, NULL);
  sigaction (SIGQUIT, &saved_quit, NULL);
  posix_spawnattr_destroy (&attributes);
  if (failure != 0)
    {
      fprintf (stderr, "%s: %s\n", argv[0], g_strerror (failure));
      return 1;
    }
  return WIFSIGNALED (status) ? 128 + WTERMSIG (status) : WEXITSTATUS (status);
}

static int
run_command (Shell *shell, char **words)
{
  g_autofree char *program = lodge_program ();
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();

  if (strcmp (words[0], "quit") == 0 || strcmp (words[0], "exit") == 0)
    {
      shell->quit = TRUE;
      return 0;
    }
  if (strcmp (words[0], "lodge") == 0 && words[1] != NULL)
    words++;
  g_ptr_array_add (argv, program);
  g_ptr_array_add (argv, (gpointer) "--");
  for (; *words != NULL; words++)
    g_ptr_array_add (argv, *words);
  g_ptr_array_add (argv, NULL);
  fflush (stdout);
  return spawn_and_wait ((char **) argv->pdata);
}

/* FALSE: stop reading. */
static gboolean
run_line (Shell *shell, const char *line)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) commands = lodge_words_split (line, &error);
  guint n = commands != NULL ? commands->len : 0;

  if (commands == NULL)
    {
      lodge_cli_print_error (&shell->cli, NULL, error);
      shell->status = lodge_error_exit_code (error);
      return shell->interactive || shell->keep_going;
    }
  for (guint i = 0; i < n && !shell->quit; i++)
    {
      int status = run_command (shell, commands->pdata[i]);

      if (shell->interactive || (status != 0 && shell->status == 0))
        shell->status = status;
      if (status != 0 && !shell->keep_going)
        return shell->interactive;
    }
  return !shell->quit;
}

static void
read_batch (Shell *shell)
{
  char *line = NULL;
  size_t size = 0;

  /* Commands read the same standard input: nothing may be read ahead. */
  setvbuf (stdin, NULL, _IONBF, 0);
  while (getline (&line, &size, stdin) >= 0)
    if (!run_line (shell, line))
      break;
  free (line);
}

/* What `lodge complete` prints for the words up to the cursor. (transfer full) (nullable) */
static char *
ask_for_completion (void)
{
  g_autofree char *before = g_strndup (rl_line_buffer, (gsize) rl_point);
  g_autofree char *program = lodge_program ();
  g_autoptr (GPtrArray) commands = lodge_words_split (before, NULL);
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();
  char *output = NULL;

  if (commands == NULL)
    return NULL;
  g_ptr_array_add (argv, program);
  g_ptr_array_add (argv, (gpointer) "complete");
  g_ptr_array_add (argv, (gpointer) "--");
  if (commands->len > 0)
    for (char **word = commands->pdata[commands->len - 1]; *word != NULL; word++)
      g_ptr_array_add (argv, *word);
  if (rl_point == 0 || g_ascii_isspace (rl_line_buffer[rl_point - 1]))
    g_ptr_array_add (argv, (gpointer) "");
  g_ptr_array_add (argv, NULL);
  g_spawn_sync (NULL, (char **) argv->pdata, NULL, G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, &output,
                NULL, NULL, NULL);
  return output;
}

static char **
complete_words (const char *text, int start, int end)
{
  g_autofree char *output = ask_for_completion ();
  g_auto (GStrv) lines = output != NULL ? g_strsplit (output, "\n", -1) : NULL;
  g_autoptr (GPtrArray) matches = g_ptr_array_new ();

  rl_attempted_completion_over = 1;
  g_ptr_array_add (matches, strdup (text));
  for (char **line = lines; line != NULL && *line != NULL; line++)
    {
      if (strcmp (*line, ":files") == 0)
        rl_attempted_completion_over = 0;
      else if (strcmp (*line, ":nospace") == 0)
        rl_completion_append_character = '\0';
      else if ((*line)[0] != '\0')
        {
          (*line)[strcspn (*line, "\t")] = '\0';
          g_ptr_array_add (matches, strdup (*line));
        }
    }
  if (matches->len == 1)
    {
      free (matches->pdata[0]);
      return NULL;
    }
  if (matches->len == 2)
    {
      free (matches->pdata[0]);
      g_ptr_array_remove_index (matches, 0);
    }
  else
    {
      /* The first one is what all have in common. */
      char *common = strdup (matches->pdata[1]);
      for (guint i = 2; i < matches->len; i++)
        {
          const char *other = matches->pdata[i];
          gsize n = 0;
          while (common[n] != '\0' && common[n] == other[n])
            n++;
          common[n] = '\0';
        }
      free (matches->pdata[0]);
      matches->pdata[0] = common;
    }
  /* readline frees it with free(). */
  char **result = calloc (matches->len + 1, sizeof (char *));
  memcpy (result, matches->pdata, matches->len * sizeof (char *));
  return result;
}

static char *
history_path (void)
{
  return g_build_filename (g_get_user_state_dir (), "lodge", "history", NULL);
}

static void
read_interactive (Shell *shell)
{
  g_autofree char *path = history_path ();
  g_autofree char *folder = g_path_get_dirname (path);

  printf (_ ("This is lodge %s. “help” lists the commands, “quit” or Ctrl-D leaves.\n\n"),
          LODGE_VERSION);
  rl_readline_name = "lodge";
  rl_attempted_completion_function = complete_words;
  rl_completer_word_break_characters = (char *) " \t\n;'\"";
  g_mkdir_with_parents (folder, 0700);
  read_history (path);
  stifle_history (HISTORY_LINES);
  for (;;)
    {
      rl_completion_append_character = ' ';
      char *line = readline (PROMPT);

      if (line == NULL)
        {
          putchar ('\n');
          break;
        }
      if (line[strspn (line, " \t")] != '\0')
        add_history (line);
      gboolean go_on = run_line (shell, line);
      free (line);
      if (!go_on)
        break;
    }
  write_history (path);
}

int
main (int argc, char **argv)
{
  Shell shell = { 0 };
  const char *line = NULL;

  lodge_i18n_init ();
  lodge_cli_init (&shell.cli);
  for (int i = 1; i < argc; i++)
    {
      if (strcmp (argv[i], "-k") == 0)
        shell.keep_going = TRUE;
      else
        line = argv[i];
    }
  shell.interactive = line == NULL && isatty (STDIN_FILENO);
  if (line != NULL)
    run_line (&shell, line);
  else if (shell.interactive)
    read_interactive (&shell);
  else
    read_batch (&shell);
  lodge_cli_clear (&shell.cli);
  return shell.status;
}
