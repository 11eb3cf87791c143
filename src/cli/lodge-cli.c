/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-cli.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "lodge-i18n.h"
#include "lodge-name.h"

/* Colours follow the terminal and the conventions of no-color.org. */
static gboolean
wants_color (gboolean tty)
{
  const char *no_color = g_getenv ("NO_COLOR");
  const char *term = g_getenv ("TERM");

  return tty && (no_color == NULL || no_color[0] == '\0') && term != NULL
         && strcmp (term, "dumb") != 0;
}

void
lodge_cli_init (LodgeCli *cli)
{
  *cli = (LodgeCli){ .signal_fd = -1 };
  cli->stdout_tty = isatty (STDOUT_FILENO) != 0;
  cli->stderr_tty = isatty (STDERR_FILENO) != 0;
  cli->color_stdout = wants_color (cli->stdout_tty);
  cli->color_stderr = wants_color (cli->stderr_tty);
}

void
lodge_cli_clear (LodgeCli *cli)
{
  g_clear_pointer (&cli->client, lodge_client_close);
  lodge_cli_unwatch_signals (cli);
}

gboolean
lodge_cli_set_color (LodgeCli *cli, const char *when, GError **error)
{
  if (strcmp (when, "auto") == 0)
    return TRUE;
  if (strcmp (when, "always") != 0 && strcmp (when, "never") != 0)
    {
      g_autofree char *shown = lodge_text_escape (when);
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                   _ ("“%s” is no value of --color.\nauto, always and never are"), shown);
      return FALSE;
    }
  cli->color_stdout = cli->color_stderr = strcmp (when, "always") == 0;
  return TRUE;
}

LodgeClient *
lodge_cli_get_client (LodgeCli *cli, GError **error)
{
  if (cli->client == NULL)
    cli->client = lodge_client_open (error);
  return cli->client;
}

const char *
lodge_cli_color (gboolean enabled, LodgeColor color)
{
  static const char *const sequences[] = {
    [LODGE_COLOR_PLAIN] = "",        [LODGE_COLOR_BOLD] = "\033[1m",
    [LODGE_COLOR_DIM] = "\033[2m",   [LODGE_COLOR_GOOD] = "\033[32m",
    [LODGE_COLOR_BUSY] = "\033[33m", [LODGE_COLOR_BAD] = "\033[31m",
  };

  return enabled ? sequences[color] : "";
}

const char *
lodge_cli_color_end (gboolean enabled)
{
  return enabled ? "\033[0m" : "";
}

static void
print_marked (gboolean color, LodgeColor kind, const char *mark, const char *text)
{
  g_autofree char *escaped = lodge_text_escape (text);

  fflush (stdout);
  fprintf (stderr, "%s%s%s %s\n", lodge_cli_color (color, kind), mark, lodge_cli_color_end (color),
           escaped);
}

void
lodge_cli_note (LodgeCli *cli, const char *text)
{
  if (!cli->quiet)
    print_marked (cli->color_stderr, LODGE_COLOR_BUSY, _ ("note:"), text);
}

void
lodge_cli_print_error (LodgeCli *cli, const char *prefix, const GError *error)
{
  /* Errors of the client library are constant; those of the service come as they are. */
  g_auto (GStrv) lines = g_strsplit (_ (error->message), "\n", 2);
  g_autofree char *text = g_strconcat (prefix != NULL ? prefix : "", prefix != NULL ? ": " : "",
                                       lines[0] != NULL ? lines[0] : "", NULL);

  print_marked (cli->color_stderr, LODGE_COLOR_BAD, _ ("error:"), text);
  if (lines[0] == NULL || lines[1] == NULL)
    return;
  if (g_str_has_prefix (lines[1], "usage: "))
    print_marked (FALSE, LODGE_COLOR_PLAIN, _ ("usage:"), lines[1] + strlen ("usage: "));
  else
    print_marked (cli->color_stderr, LODGE_COLOR_DIM, _ ("hint:"), lines[1]);
}

static void
watched_signals (sigset_t *set)
{
  sigemptyset (set);
  sigaddset (set, SIGINT);
  sigaddset (set, SIGTERM);
  sigaddset (set, SIGHUP);
  sigaddset (set, SIGQUIT);
  sigaddset (set, SIGWINCH);
}

gboolean
lodge_cli_watch_signals (LodgeCli *cli, GError **error)
{
  sigset_t set;

  if (cli->signal_fd >= 0)
    return TRUE;
  watched_signals (&set);
  sigprocmask (SIG_BLOCK, &set, NULL);
  cli->signal_fd = signalfd (-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (cli->signal_fd >= 0)
    return TRUE;
  lodge_error_set_errno (error, errno, "Signals cannot be watched");
  return FALSE;
}

void
lodge_cli_unwatch_signals (LodgeCli *cli)
{
  sigset_t set;

  if (cli->signal_fd < 0)
    return;
  close (cli->signal_fd);
  cli->signal_fd = -1;
  watched_signals (&set);
  sigprocmask (SIG_UNBLOCK, &set, NULL);
}

int
lodge_cli_take_signal (LodgeCli *cli)
{
  struct signalfd_siginfo info;

  if (cli->signal_fd < 0 || read (cli->signal_fd, &info, sizeof info) != sizeof info)
    return 0;
  return (int) info.ssi_signo;
}

LodgeMessage *
lodge_cli_finish (LodgeCli *cli, guint32 serial, const char *reply_type, GError **error)
{
  LodgeConnection *connection = lodge_client_get_connection (cli->client);

  for (;;)
    {
      struct pollfd fds[2] = { { .fd = lodge_connection_get_fd (connection), .events = POLLIN },
                               { .fd = cli->signal_fd, .events = POLLIN } };
      LodgeMessage *reply = lodge_connection_take_reply (connection, serial);

      if (reply != NULL)
        return lodge_client_check (reply, reply_type, error);
      poll (fds, 2, -1);
      int signum = lodge_cli_take_signal (cli);
      if (signum != 0 && signum != SIGWINCH)
        {
          cli->exit_status = 128 + signum;
          g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_CANCELLED, _ ("Interrupted."));
          return NULL;
        }
      if (fds[0].revents != 0 && !lodge_connection_dispatch (connection, 0, error))
        return NULL;
    }
}

gboolean
lodge_cli_ask (LodgeCli *cli, const char *question)
{
  char answer[16];

  if (!isatty (STDIN_FILENO) || !cli->stderr_tty)
    return FALSE;
  fprintf (stderr, "%s [y/N] ", question);
  if (fgets (answer, sizeof answer, stdin) == NULL)
    {
      fputc ('\n', stderr);
      return FALSE;
    }
  return answer[0] == 'y' || answer[0] == 'Y';
}

gboolean
lodge_cli_flush (GError **error)
{
  if (fflush (stdout) == 0 && !ferror (stdout))
    return TRUE;
  if (errno == EPIPE)
    return TRUE;
  lodge_error_set_errno (error, errno, "The output cannot be written");
  return FALSE;
}
