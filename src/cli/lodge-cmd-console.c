/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lodge-cmd.h"
#include "lodge-fd.h"
#include "lodge-i18n.h"
#include "lodge-name.h"
#include "lodge-pump.h"
#include "lodge-terminal.h"

#define DEFAULT_ESCAPE "^]"
#define LOG_MAX        (8 * 1024 * 1024)

/* "^]" or "~" to the byte that the key sends; -1 with @error. */
static int
parse_escape (const char *text, GError **error)
{
  if (text[0] == '^' && text[1] >= '?' && text[1] <= 'z' && text[2] == '\0')
    return g_ascii_toupper (text[1]) ^ 0x40;
  if (g_ascii_isgraph (text[0]) && text[1] == '\0')
    return text[0];
  g_autofree char *shown = lodge_text_escape (text);
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
               _ ("“%s” is no key.\nwrite one character, or ^ and a letter: ^A"), shown);
  return -1;
}

/* Returns: a descriptor that @method gives; -1 with @error. */
static int
open_stream (LodgeCli *cli, const LodgeArgs *args, const char *method, GError **error)
{
  LodgeClient *client = lodge_cli_get_client (cli, error);
  g_autofree char *path = client != NULL
                              ? lodge_client_get_instance (client, lodge_args_word (args, 0), error)
                              : NULL;
  g_autoptr (LodgeMessage) reply = NULL;
  guint32 serial;
  gint32 handle;

  if (path == NULL)
    return -1;
  serial = lodge_client_send (client, path, "Instance", method, g_variant_new ("(a{sv})", NULL),
                              NULL, 0, error);
  if (serial == 0)
    return -1;
  reply = lodge_client_finish (client, serial, "(h)", error);
  if (reply == NULL)
    return -1;
  g_variant_get (reply->body, "(h)", &handle);
  return lodge_message_take_fd (reply, handle, error);
}

/* Lines stay lines; all else that a terminal might act on is shown as \xNN. */
static void
print_log (const char *text, gsize size)
{
  const char *end = text + size;

  for (const char *line = text; line < end;)
    {
      const char *newline = memchr (line, '\n', (gsize) (end - line));
      gsize length = (gsize) ((newline != NULL ? newline : end) - line);
      g_autoptr (GString) out = g_string_new (NULL);

      while (length > 0 && line[length - 1] == '\r')
        length--;
      /* A NUL would end the text for lodge_text_escape(). */
      for (gsize i = 0; i < length;)
        {
          gsize part = strnlen (line + i, length - i);
          g_autofree char *raw = g_strndup (line + i, part);
          g_autofree char *escaped = lodge_text_escape (raw);

          g_string_append (out, escaped);
          i += part;
          if (i < length)
            {
              g_string_append (out, "\\x00");
              i++;
            }
        }
      puts (out->str);
      line = newline != NULL ? newline + 1 : end;
    }
}

static gboolean
show_log (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  g_auto (LodgeFd) fd = open_stream (cli, args, "GetConsoleLog", error);
  g_autofree char *text = NULL;
  gsize size;

  if (fd < 0)
    return FALSE;
  text = lodge_fd_read_all (fd, LOG_MAX, &size, error);
  if (text == NULL)
    return FALSE;
  print_log (text, size);
  return TRUE;
}

/* Returns when the user or the guest leaves. */
static void
run_console (LodgeCli *cli, int stream, int escape)
{
  LodgePump in, out;

  lodge_pump_init (&in, STDIN_FILENO, stream);
  in.escape = isatty (STDIN_FILENO) ? escape : -1;
  lodge_pump_init (&out, stream, STDOUT_FILENO);
  while (!lodge_pump_is_done (&out) && !in.escaped)
    {
      struct pollfd fds[5] = { { .fd = cli->signal_fd, .events = POLLIN } };

      lodge_pump_prepare (&in, &fds[1]);
      lodge_pump_prepare (&out, &fds[3]);
      if (poll (fds, 5, -1) < 0 && errno != EINTR)
        break;
      int signum = lodge_cli_take_signal (cli);
      if (signum != 0 && signum != SIGWINCH)
        {
          cli->exit_status = 128 + signum;
          break;
        }
      lodge_pump_move (&in, &fds[1]);
      lodge_pump_move (&out, &fds[3]);
    }
  lodge_pump_clear (&in);
  lodge_pump_clear (&out);
}

gboolean
lodge_cmd_console (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  const char *key = lodge_args_string (args, "escape");
  g_auto (LodgeRawMode) raw = LODGE_RAW_MODE_INIT;
  g_auto (LodgeFd) stream = -1;
  int escape;

  if (lodge_args_flag (args, "log"))
    return show_log (cli, args, error);
  key = key != NULL ? key : DEFAULT_ESCAPE;
  escape = parse_escape (key, error);
  if (escape < 0)
    return FALSE;
  stream = open_stream (cli, args, "OpenConsole", error);
  if (stream < 0 || !lodge_cli_watch_signals (cli, error))
    return FALSE;
  fcntl (stream, F_SETFL, fcntl (stream, F_GETFL) | O_NONBLOCK);
  signal (SIGPIPE, SIG_IGN);
  if (cli->stderr_tty && !cli->quiet)
    fprintf (stderr, _ ("This is the console of %s; %s leaves it.\n"), lodge_args_word (args, 0),
             key);
  if (!lodge_raw_mode_enter (&raw, STDIN_FILENO, error))
    return FALSE;
  run_console (cli, stream, escape);
  lodge_raw_mode_leave (&raw);
  if (cli->stderr_tty && !cli->quiet)
    fprintf (stderr, _ ("\nYou have left the console of %s.\n"), lodge_args_word (args, 0));
  return TRUE;
}
