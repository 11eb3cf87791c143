/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-exec-session.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "lodge-i18n.h"
#include "lodge-pump.h"
#include "lodge-terminal.h"

#define PROCESS_INTERFACE "org.lodge1.Process"
/* What a program wrote last may still be on its way when it has ended. */
#define DRAIN_MS  100
#define MAX_PUMPS 3

typedef struct
{
  LodgeCli *cli;
  LodgeClient *client;
  LodgeExecSession *session;
  LodgePump pumps[MAX_PUMPS];
  guint n_pumps;
  guint32 serial; /* of Process.Wait; 0 when it has been answered */
  guint n_interrupts;
} Run;

void
lodge_exec_session_clear (LodgeExecSession *session)
{
  g_clear_pointer (&session->process, g_free);
  if (session->pty >= 0)
    close (session->pty);
  for (guint i = 0; i < 3; i++)
    if (session->pipes[i] >= 0)
      close (session->pipes[i]);
  *session = (LodgeExecSession) LODGE_EXEC_SESSION_INIT;
}

static LodgePump *
add_pump (Run *run, int from, int to)
{
  LodgePump *pump = &run->pumps[run->n_pumps++];

  lodge_pump_init (pump, from, to);
  return pump;
}

static void
set_nonblocking (int fd)
{
  int flags = fcntl (fd, F_GETFL);

  if (flags >= 0)
    fcntl (fd, F_SETFL, flags | O_NONBLOCK);
}

static void
set_up_pumps (Run *run)
{
  LodgeExecSession *session = run->session;

  if (session->pty >= 0)
    {
      set_nonblocking (session->pty);
      add_pump (run, STDIN_FILENO, session->pty)->hangup_key = TRUE;
      add_pump (run, session->pty, STDOUT_FILENO);
      return;
    }
  if (session->pipes[0] >= 0)
    {
      set_nonblocking (session->pipes[0]);
      add_pump (run, STDIN_FILENO, session->pipes[0])->own_to = TRUE;
      session->pipes[0] = -1;
    }
  for (int fd = 1; fd <= 2; fd++)
    if (session->pipes[fd] >= 0)
      {
        set_nonblocking (session->pipes[fd]);
        add_pump (run, session->pipes[fd], fd);
      }
}

static void
call_process (Run *run, const char *method, GVariant *body)
{
  lodge_connection_send_oneway (lodge_client_get_connection (run->client), LODGE_BUS_NAME,
                                run->session->process, PROCESS_INTERFACE, method, body, NULL);
}

/*
 * Makes the program's terminal as large as ours, if it is not.  The service is told as well: a VM
 * has its terminal inside.
 */
static void
resize (Run *run)
{
  guint16 rows, columns, old_rows, old_columns;

  if (run->session->pty < 0)
    return;
  lodge_terminal_size (STDOUT_FILENO, &rows, &columns);
  lodge_terminal_size (run->session->pty, &old_rows, &old_columns);
  if (rows == old_rows && columns == old_columns)
    return;
  lodge_terminal_set_size (run->session->pty, rows, columns);
  call_process (run, "Resize", g_variant_new ("(qq)", rows, columns));
}

/* FALSE: end now; the connection goes with us, and the program gets SIGHUP. */
static gboolean
handle_signals (Run *run)
{
  int signum;

  while ((signum = lodge_cli_take_signal (run->cli)) != 0)
    {
      if (signum == SIGWINCH)
        {
          resize (run);
          continue;
        }
      if (run->session->pty >= 0 || ++run->n_interrupts > 3)
        {
          run->cli->exit_status = 128 + signum;
          return FALSE;
        }
      call_process (run, "Signal", g_variant_new ("(i)", signum));
    }
  return TRUE;
}

static gboolean
take_status (Run *run, GError **error)
{
  LodgeMessage *reply
      = lodge_connection_take_reply (lodge_client_get_connection (run->client), run->serial);
  gint32 status, signum;

  if (reply == NULL)
    return TRUE;
  run->serial = 0;
  g_autoptr (LodgeMessage) good = lodge_client_check (reply, "(ii)", error);
  if (good == NULL)
    return FALSE;
  g_variant_get (good->body, "(ii)", &status, &signum);
  run->cli->exit_status = signum > 0 ? 128 + (signum & 0x7f) : status & 0xff;
  return TRUE;
}

/* The pumps that bring something out, that is all but the one of our stdin. */
static gboolean
is_output_done (Run *run)
{
  for (guint i = 0; i < run->n_pumps; i++)
    if (run->pumps[i].from != STDIN_FILENO && !run->pumps[i].hangup_key && !run->pumps[i].own_to
        && !lodge_pump_is_done (&run->pumps[i]))
      return FALSE;
  return TRUE;
}

static gboolean
loop (Run *run, GError **error)
{
  LodgeConnection *bus = lodge_client_get_connection (run->client);

  for (;;)
    {
      struct pollfd fds[2 + 2 * MAX_PUMPS] = {
        { .fd = run->serial != 0 ? lodge_connection_get_fd (bus) : -1, .events = POLLIN },
        { .fd = run->cli->signal_fd, .events = POLLIN },
      };

      for (guint i = 0; i < run->n_pumps; i++)
        lodge_pump_prepare (&run->pumps[i], &fds[2 + 2 * i]);
      int n = poll (fds, 2 + 2 * run->n_pumps, run->serial != 0 ? -1 : DRAIN_MS);
      if (n < 0 && errno == EINTR)
        continue;
      if (fds[0].fd >= 0 && fds[0].revents != 0
          && (!lodge_connection_dispatch (bus, 0, error) || !take_status (run, error)))
        return FALSE;
      if (fds[1].revents != 0 && !handle_signals (run))
        return TRUE;
      for (guint i = 0; i < run->n_pumps; i++)
        lodge_pump_move (&run->pumps[i], &fds[2 + 2 * i]);
      if (run->serial == 0 && (n == 0 || is_output_done (run)))
        return TRUE;
    }
}

gboolean
lodge_exec_session_run (LodgeCli *cli, LodgeExecSession *session, GError **error)
{
  Run run = { .cli = cli, .session = session };
  g_auto (LodgeRawMode) raw = LODGE_RAW_MODE_INIT;

  run.client = lodge_cli_get_client (cli, error);
  if (run.client == NULL || !lodge_cli_watch_signals (cli, error))
    return FALSE;
  run.serial
      = lodge_client_send (run.client, session->process, "Process", "Wait", NULL, NULL, 0, error);
  if (run.serial == 0)
    return FALSE;
  set_up_pumps (&run);
  if (run.n_pumps > 0)
    signal (SIGPIPE, SIG_IGN); /* the write says so, and the terminal has to be put right */
  if (session->pty >= 0 && !lodge_raw_mode_enter (&raw, STDIN_FILENO, error))
    return FALSE;
  resize (&run); /* the window may have changed since its size was sent, before we heard of it */
  gboolean good = loop (&run, error);
  for (guint i = 0; i < run.n_pumps; i++)
    lodge_pump_clear (&run.pumps[i]);
  return good;
}
