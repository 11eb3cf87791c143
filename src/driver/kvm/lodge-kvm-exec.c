/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-kvm-exec.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lodge-fd.h"

/*
 * A program without a terminal, by guest-exec.
 *
 * The agent keeps what a program writes until its end, and libvirt hands over 4 MiB at most.  So
 * the output goes to files in the guest's /run.  A program that ends soon gives the first
 * OUTPUT_SHORT bytes of each along with its exit status: three messages in all.  One that runs
 * longer, or says more, is read from the files while it runs.
 *
 * Input that is complete at the start travels with the first message; else the program reads a
 * FIFO, which is fed by one `cat` for each block, so that a program that does not read holds up
 * the sender and not the agent, and kept open by a handle that closes it at the end.
 */

#define OUTPUT_SHORT   262144 /* a plain number: it goes into the script */
#define STREAM_AFTER   (150 * G_TIME_SPAN_MILLISECOND)
#define POLL_FIRST_MS  2
#define POLL_LAST_MS   50
#define PUNCH_EVERY    (4 * 1024 * 1024) /* what has been read is given back to the guest */
#define FIFO_TRIES     400
#define FIFO_WAIT_USEC 5000
#define HANG_UP_USEC   (2 * G_USEC_PER_SEC)
#define LOST_USEC      (60 * G_USEC_PER_SEC) /* the agent may be silent for so long */
#define GONE_USEC      (5 * G_USEC_PER_SEC)  /* and be disconnected, as while it is restarted */

/* Nothing is forked in it that need not be: a fork costs milliseconds in an emulated machine. */
static const char exec_script[]
    = "exec 4>&2 2>/dev/null\n"
      "umask 077\n"
      "F=$1 m=$2; shift 2\n"
      "say() { echo \"lodge: $1\" >&4; exit 125; }\n"
      "[ ! -e \"$F.1\" ] || say 'the guest agent has started the program without saying so; it may "
      "still run'\n"
      "set -C; true >\"$F.1\" && true >\"$F.2\" && echo >\"$F.p\" || "
      "{ rm -f \"$F\".?; say '/run of this machine is full, or cannot be written'; }; set +C\n"
      "[ \"$m\" != fifo ] || mkfifo \"$F.0\" || exit 125\n"
      "enter() { read -r p x </proc/self/stat; echo \"$p\" >\"$F.p\"; umask 022\n" LODGE_KVM_ENTER
      "}\n"
      "case $m in\n"
      "fifo) (exec 4>&-; enter \"$@\") <\"$F.0\" >\"$F.1\" 2>\"$F.2\";;\n"
      "*) (exec 4>&-; enter \"$@\") >\"$F.1\" 2>\"$F.2\";;\n"
      "esac\n"
      "r=$?\n"
      "[ -s \"$F.1\" ] && head -c " G_STRINGIFY (
          OUTPUT_SHORT) " \"$F.1\"\n"
                        "[ -s \"$F.2\" ] && head -c " G_STRINGIFY (
                            OUTPUT_SHORT) " \"$F.2\" >&4\n"
                                          "echo >\"$F.t\" || echo 'lodge: /run of this machine is "
                                          "full: output may be cut' >&4\n"
                                          "exit $r\n";

/* Also what a lodged that was killed has left of programs that have ended: "/run/lodge-", eight
 * digits that only one lodged has, eight that only one program has. */
static const char clear_script[]
    = "rm -f \"$1\".?\n"
      "for f in " LODGE_KVM_GUEST_PREFIX "*.p; do\n"
      "  case $f in \"${1%????????}\"*) continue;; esac\n"
      "  read -r p <\"$f\" && [ ! -d \"/proc/${p:-0}\" ] && rm -f \"${f%p}\"?\n"
      "done 2>/dev/null\n"
      "exit 0\n";

typedef struct
{
  int fd;        /* the client's; borrowed */
  gint64 handle; /* in the guest; -1: not open */
  guint64 done;  /* bytes that the client has */
  guint64 punched;
  const char *file; /* what follows the prefix */
  gboolean unsure;  /* where the guest's handle stands, as a reply has been lost */
} Output;

typedef struct
{
  LodgeKvmSession *session;
  char *prefix; /* of the session's files in the guest */
  gint64 pid;
  gint64 started_at;
  gint64 heard_at; /* when the agent answered last */
  Output outputs[2];

  GByteArray *input;   /* read from the client, not yet in the guest */
  gboolean input_end;  /* the client sends no more */
  gint64 input_handle; /* keeps the FIFO open; -1: there is none */
  gint64 feeder;       /* pid of the `cat` that is at work; -1: none */
} Exec;

/* Returns: FALSE when the client does not read any more. */
static gboolean
write_to_client (LodgeKvmSession *session, int fd, const guint8 *data, gsize size)
{
  while (size > 0 && fd >= 0)
    {
      struct pollfd fds[]
          = { { .fd = fd, .events = POLLOUT }, { .fd = session->wake_fd, .events = POLLIN } };
      if (poll (fds, G_N_ELEMENTS (fds), -1) < 0 && errno != EINTR)
        return FALSE;
      if (fds[0].revents == 0)
        {
          g_mutex_lock (&session->lock);
          gboolean hung_up = session->hung_up;
          g_mutex_unlock (&session->lock);
          if (hung_up)
            return FALSE;
          if (fds[1].revents != 0)
            g_usleep (10000);
          continue;
        }
      /* poll(2) promises room for so much in a pipe; the descriptor is the client's too, so it
       * cannot be made non-blocking. */
      ssize_t n = write (fd, data, MIN (size, PIPE_BUF));
      if (n < 0 && errno != EINTR && errno != EAGAIN)
        return FALSE;
      if (n > 0)
        {
          data += n;
          size -= (gsize) n;
        }
    }
  return TRUE;
}

/* Whether @fd is the null device, which has nothing to say. */
static gboolean
is_null (int fd)
{
  struct stat status;

  return fd < 0
         || (fstat (fd, &status) == 0 && S_ISCHR (status.st_mode)
             && status.st_rdev == makedev (1, 3));
}

/* Takes what the client has sent; never waits. */
static void
read_input (Exec *self)
{
  int fd = self->session->stdin_fd;
  guint8 buffer[4096];

  if (is_null (fd))
    self->input_end = TRUE;
  while (!self->input_end && self->input->len < LODGE_KVM_AGENT_BLOCK)
    {
      struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
      int ready = poll (&poll_fd, 1, 0);
      if (ready <= 0)
        return;
      ssize_t n = read (fd, buffer, sizeof buffer);
      if (n > 0)
        g_byte_array_append (self->input, buffer, (guint) n);
      else if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
      else
        self->input_end = TRUE;
    }
}

static gboolean
spawn (Exec *self, gboolean *out_fifo, GError **error)
{
  LodgeKvmSession *session = self->session;
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();
  g_auto (GStrv) environment = lodge_kvm_session_environment (session);
  g_autoptr (GBytes) input = NULL;

  read_input (self);
  *out_fifo = !self->input_end;
  if (self->input_end && self->input->len > 0)
    input = g_bytes_new (self->input->data, self->input->len);

  const char *const head[] = { "/bin/sh",     "-c",
                               exec_script,   "lodge",
                               self->prefix,  *out_fifo ? "fifo" : "plain",
                               session->user, session->cwd != NULL ? session->cwd : "" };
  for (gsize i = 0; i < G_N_ELEMENTS (head); i++)
    g_ptr_array_add (argv, (gpointer) head[i]);
  for (gsize i = 0; session->argv[i] != NULL; i++)
    g_ptr_array_add (argv, session->argv[i]);
  g_ptr_array_add (argv, NULL);
  return lodge_kvm_agents_spawn (session->agents, session->uuid, (const char *const *) argv->pdata,
                                 (const char *const *) environment, input, TRUE, &self->pid, error);
}

/* Most of the time the agent is there, and asking it first would cost a message.  Where it did
 * start the program but was too slow to say so, a second one finds its files and ends. */
static gboolean
spawn_patiently (Exec *self, gboolean *out_fifo, GError **error)
{
  g_autoptr (GError) local_error = NULL;

  if (spawn (self, out_fifo, &local_error))
    return TRUE;
  if (!g_error_matches (local_error, LODGE_ERROR, LODGE_ERROR_AGENT_UNAVAILABLE))
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  return lodge_kvm_session_wait_for_agent (self->session, FALSE, error)
         && spawn (self, out_fifo, error);
}

static gboolean
open_file (Exec *self, const char *file, const char *mode, gint64 *out_handle, GError **error)
{
  g_autofree char *path = g_strconcat (self->prefix, ".", file, NULL);

  return lodge_kvm_agents_file_open (self->session->agents, self->session->uuid, path, mode,
                                     out_handle, error);
}

/* Both ends, or the agent would wait for a reader. */
static void
open_fifo (Exec *self)
{
  for (guint i = 0; i < FIFO_TRIES; i++)
    {
      g_autoptr (GError) error = NULL;
      if (open_file (self, "0", "r+", &self->input_handle, &error))
        return;
      g_debug ("not there yet: %s", error->message);
      g_usleep (FIFO_WAIT_USEC);
    }
}

static void
close_handle (Exec *self, gint64 *handle)
{
  g_autoptr (GError) error = NULL;

  if (*handle >= 0
      && !lodge_kvm_agents_file_close (self->session->agents, self->session->uuid, *handle, &error))
    g_debug ("cannot close a file in the guest: %s", error->message);
  *handle = -1;
}

/* Whether the same may succeed a moment later: the agent is slow, or is being restarted. */
static gboolean
may_pass (Exec *self, const GError *error)
{
  LodgeKvmAgentState state
      = lodge_kvm_agents_get_state (self->session->agents, self->session->uuid);
  gint64 now = g_get_monotonic_time ();

  if (state.absent_since != 0 && now - state.absent_since >= GONE_USEC)
    return FALSE;
  return (g_error_matches (error, LODGE_ERROR, LODGE_ERROR_AGENT_UNAVAILABLE)
          || g_error_matches (error, LODGE_ERROR, LODGE_ERROR_BUSY))
         && now - self->heard_at < LOST_USEC;
}

/* FALSE while the last block has not been taken; what cannot be asked has not ended. */
static gboolean
feeder_has_ended (Exec *self)
{
  g_auto (LodgeKvmExit) end = { 0 };
  g_autoptr (GError) error = NULL;

  if (self->feeder < 0)
    return TRUE;
  if (lodge_kvm_agents_reap (self->session->agents, self->session->uuid, self->feeder, &end, &error)
          ? !end.exited
          : may_pass (self, error))
    return FALSE;
  self->feeder = -1;
  return TRUE;
}

/* Moves input on: one block at a time, the next one when the guest has taken it.  Whether a block
 * whose sending failed has arrived nobody knows, so that is the end, unless it was never sent. */
static gboolean
feed (Exec *self, GError **error)
{
  LodgeKvmSession *session = self->session;
  g_autofree char *fifo = g_strconcat (self->prefix, ".0", NULL);
  const char *argv[] = { "/bin/sh", "-c", "exec cat >\"$1\"", "lodge", fifo, NULL };
  g_autoptr (GError) local_error = NULL;

  if (self->input_handle < 0 || !feeder_has_ended (self))
    return TRUE;
  read_input (self);
  if (self->input->len == 0)
    {
      if (self->input_end)
        close_handle (self, &self->input_handle);
      return TRUE;
    }
  g_autoptr (GBytes) block = g_bytes_new (self->input->data, self->input->len);
  if (lodge_kvm_agents_spawn (session->agents, session->uuid, argv, NULL, block, FALSE,
                              &self->feeder, &local_error))
    g_byte_array_set_size (self->input, 0);
  else if (!g_error_matches (local_error, LODGE_ERROR, LODGE_ERROR_BUSY))
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  return TRUE;
}

static void
punch (Exec *self, Output *output)
{
  if (output->done - output->punched < PUNCH_EVERY)
    return;
  g_autofree char *script
      = g_strdup_printf ("fallocate -p -o %" G_GUINT64_FORMAT " -l %" G_GUINT64_FORMAT " \"$1.%s\"",
                         output->punched, output->done - output->punched, output->file);
  lodge_kvm_session_fire (self->session, script, self->prefix);
  output->punched = output->done;
}

static GBytes *
read_output (Exec *self, Output *output, gboolean *out_eof, GError **error)
{
  LodgeKvmSession *session = self->session;

  if (output->handle < 0 && !open_file (self, output->file, "r", &output->handle, error))
    return NULL;
  if (output->unsure
      && !lodge_kvm_agents_file_seek (session->agents, session->uuid, output->handle, output->done,
                                      error))
    return NULL;
  GBytes *data
      = lodge_kvm_agents_file_read (session->agents, session->uuid, output->handle, out_eof, error);
  output->unsure = data == NULL;
  return data;
}

/* Hands over what has come since the last time.  @out_any: set when there was anything. */
static gboolean
pump_output (Exec *self, Output *output, gboolean *out_any, GError **error)
{
  gboolean eof = FALSE;

  while (!eof)
    {
      g_autoptr (GBytes) data = read_output (self, output, &eof, error);
      if (data == NULL)
        return FALSE;
      gsize size;
      const guint8 *bytes = g_bytes_get_data (data, &size);
      if (size == 0)
        break;
      *out_any = TRUE;
      output->done += size;
      self->heard_at = g_get_monotonic_time ();
      if (!write_to_client (self->session, output->fd, bytes, size))
        {
          output->fd = -1;
          lodge_kvm_session_kill (self->session, self->prefix, SIGPIPE);
          break;
        }
      punch (self, output);
    }
  return TRUE;
}

/* At the end: from the reply when all of it is there, else from the file. */
static gboolean
finish_output (Exec *self, Output *output, GBytes *captured, GError **error)
{
  gsize size = 0;
  const guint8 *data = captured != NULL ? g_bytes_get_data (captured, &size) : NULL;
  gboolean any = FALSE;

  if (output->handle < 0 && size < OUTPUT_SHORT)
    {
      if (size > 0)
        write_to_client (self->session, output->fd, data, size);
      return TRUE;
    }
  while (TRUE)
    {
      g_autoptr (GError) local_error = NULL;
      if (pump_output (self, output, &any, &local_error))
        break;
      if (!may_pass (self, local_error))
        {
          g_propagate_error (error, g_steal_pointer (&local_error));
          return FALSE;
        }
      g_usleep (POLL_LAST_MS * 1000);
    }
  /* What the script itself had to say follows what the program said. */
  if (size < OUTPUT_SHORT && size > output->done)
    write_to_client (self->session, output->fd, data + output->done, size - output->done);
  return TRUE;
}

static void
obey (Exec *self, const LodgeKvmWishes *wishes)
{
  for (guint i = 0; i < wishes->signals->len; i++)
    lodge_kvm_session_kill (self->session, self->prefix, g_array_index (wishes->signals, int, i));
}

/* Waits for the client's input or wishes. */
static void
wait_a_little (Exec *self, int milliseconds)
{
  gboolean wants_input = self->input_handle >= 0 && self->feeder < 0 && !self->input_end;
  struct pollfd fds[] = { { .fd = self->session->wake_fd, .events = POLLIN },
                          { .fd = wants_input ? self->session->stdin_fd : -1, .events = POLLIN } };

  if (poll (fds, G_N_ELEMENTS (fds), milliseconds) < 0 && errno != EINTR)
    g_usleep ((gulong) milliseconds * 1000);
}

static gboolean
has_exited (Exec *self, LodgeKvmExit *out_end, GError **error)
{
  g_autoptr (GError) local_error = NULL;

  if (lodge_kvm_agents_reap (self->session->agents, self->session->uuid, self->pid, out_end,
                             &local_error))
    self->heard_at = g_get_monotonic_time ();
  else if (!may_pass (self, local_error))
    g_propagate_error (error, g_steal_pointer (&local_error));
  return out_end->exited;
}

/* Files that are not there yet, or an agent that is silent: has_exited() knows what that means. */
static gboolean
pump_outputs (Exec *self)
{
  gboolean any = FALSE;

  for (gsize i = 0; i < G_N_ELEMENTS (self->outputs); i++)
    {
      g_autoptr (GError) error = NULL;
      if (!pump_output (self, &self->outputs[i], &any, &error))
        g_debug ("no output: %s", error->message);
    }
  return any;
}

/*
 * Returns: FALSE when the client or the machine has gone before the program ended.
 */
static gboolean
watch (Exec *self, LodgeKvmExit *out_end, GError **error)
{
  LodgeKvmSession *session = self->session;
  int pause = POLL_FIRST_MS;

  while (TRUE)
    {
      g_auto (LodgeKvmWishes) wishes = { 0 };
      g_autoptr (GError) local_error = NULL;
      gboolean busy = FALSE;

      wait_a_little (self, pause);
      lodge_kvm_session_get_wishes (session, &wishes);
      obey (self, &wishes);
      if (wishes.hung_up || !feed (self, error))
        return FALSE;
      if (has_exited (self, out_end, &local_error))
        return TRUE;
      if (local_error != NULL)
        {
          g_propagate_error (error, g_steal_pointer (&local_error));
          return FALSE;
        }
      if (g_get_monotonic_time () - self->started_at > STREAM_AFTER)
        busy = pump_outputs (self);
      pause = busy ? POLL_FIRST_MS : MIN (pause * 3 / 2 + 1, POLL_LAST_MS);
    }
}

static void
exec_clear (Exec *self)
{
  for (gsize i = 0; i < G_N_ELEMENTS (self->outputs); i++)
    close_handle (self, &self->outputs[i].handle);
  close_handle (self, &self->input_handle);
  lodge_kvm_session_fire (self->session, clear_script, self->prefix);
  g_byte_array_unref (self->input);
  g_free (self->prefix);
}

/* A program that has been told to hang up may need a moment; its files are wanted until then. */
static void
wait_for_hang_up (Exec *self)
{
  gint64 deadline = g_get_monotonic_time () + HANG_UP_USEC;

  lodge_kvm_session_kill (self->session, self->prefix, SIGHUP);
  while (g_get_monotonic_time () < deadline)
    {
      g_auto (LodgeKvmExit) end = { 0 };
      if (!lodge_kvm_agents_reap (self->session->agents, self->session->uuid, self->pid, &end, NULL)
          || end.exited)
        return;
      g_usleep (POLL_LAST_MS * 1000);
    }
}

/* The program is out of reach: only its own standard error can still tell the user. */
static void
give_up (Exec *self, const GError *error)
{
  g_auto (GStrv) lines = g_strsplit (error->message, "\n", 2);
  g_autofree char *text
      = g_strdup_printf ("lodge: the program is lost, and may still run: %s\n", lines[0]);

  g_info ("a program in machine %s is lost: %s", self->session->uuid, error->message);
  write_to_client (self->session, self->session->stderr_fd, (const guint8 *) text, strlen (text));
  lodge_kvm_session_exited (self->session, 125, 0);
}

static void
run_started (Exec *self)
{
  g_auto (LodgeKvmExit) end = { 0 };
  g_autoptr (GError) error = NULL;

  if (watch (self, &end, &error) && finish_output (self, &self->outputs[0], end.out, &error)
      && finish_output (self, &self->outputs[1], end.err, &error))
    lodge_kvm_session_exited (self->session, end.exit_status, end.term_signal);
  else if (error != NULL)
    give_up (self, error);
  else
    {
      wait_for_hang_up (self);
      lodge_kvm_session_exited (self->session, 125, 0);
    }
}

void
lodge_kvm_exec_run (LodgeKvmSession *session)
{
  Exec self = { .session = session,
                .prefix = g_strconcat (LODGE_KVM_GUEST_PREFIX, session->id, NULL),
                .outputs = { { .fd = session->stdout_fd, .handle = -1, .file = "1" },
                             { .fd = session->stderr_fd, .handle = -1, .file = "2" } },
                .input = g_byte_array_new (),
                .input_handle = -1,
                .feeder = -1 };
  GError *error = NULL;
  gboolean fifo = FALSE;

  if (!spawn_patiently (&self, &fifo, &error))
    {
      lodge_kvm_session_failed (session, error);
      g_byte_array_unref (self.input);
      g_free (self.prefix);
      return;
    }
  self.started_at = self.heard_at = g_get_monotonic_time ();
  lodge_kvm_session_started (session, -1);
  if (fifo)
    open_fifo (&self);
  run_started (&self);
  exec_clear (&self);
}

void
lodge_kvm_exec (LodgeDriver *driver, const char *uuid, const LodgeExecRequest *request,
                GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data)
{
  LodgeKvmDriver *self = LODGE_KVM_DRIVER (driver);
  g_autoptr (GTask) task = g_task_new (driver, cancellable, callback, user_data);
  GError *error = NULL;

  g_task_set_source_tag (task, lodge_kvm_exec);
  LodgeKvmSession *session = lodge_kvm_session_new (
      self, uuid, request, request->tty ? lodge_kvm_shell_run : lodge_kvm_exec_run, &error);
  if (session == NULL)
    {
      g_task_return_error (task, error);
      return;
    }
  lodge_kvm_session_start (session, g_steal_pointer (&task));
}

LodgeExecResult *
lodge_kvm_exec_finish (LodgeDriver *driver, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, driver), NULL);
  return g_task_propagate_pointer (G_TASK (result), error);
}
