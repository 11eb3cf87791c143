/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-kvm-exec.h"

#include <errno.h>
#include <fcntl.h>
#include <libvirt/virterror.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "lodge-fd.h"

/*
 * A program on a terminal.
 *
 * Each session hot-plugs a virtio-serial port of its own; guest-exec runs script(1) in the guest
 * with the port as its stdin and stdout, which gives the program a terminal.  The client gets the
 * master side of a terminal on the host, so that it need not know what is behind; this thread
 * has the slave side, raw, and pumps between it and the port.
 *
 * The end is told in the stream, by a token that only this session knows: a port has no end of
 * file, and asking the agent all the time would keep it busy for as long as a shell is open.
 *
 * Without an agent a login shell falls back to the serial console, where the user logs in.  It
 * tells no end of anything, so a key leaves it.  As long as nothing has been typed there, it turns
 * into the shell that was asked for once an agent comes: the machine may just be booting.
 */

#define ALIAS_PREFIX   LODGE_DEVICE_ALIAS_PREFIX "sh-"
#define PORT_PREFIX    "org.lodge1.shell."
#define BUFFER_SIZE    65536
#define LIVENESS_MS    5000
#define RESIZE_MS      150
#define HANG_UP_USEC   (2 * G_USEC_PER_SEC)
#define LOST_STATUS    125
#define TOKEN_LINE_MAX 80
#define ESCAPE_KEY     0x1d /* Ctrl-], as of `lodge console` */
#define CONSOLE_MS     500
#define PROMPT_MAX     4096

static const char shell_script[]
    = "F=$1 P=/dev/virtio-ports/$2 T=$3 C=$4\n"
      "n=0; while [ ! -e \"$P\" ] && [ $n -lt 500 ]; do n=$((n+1)); sleep 0.02; done\n"
      "exec 3<>\"$P\" || exit 125\n"
      "if command -v script >/dev/null; then\n"
      "  SHELL=/bin/sh script -qfec \"$C\" /dev/null <&3 >&3 2>&3\n"
      "  r=$?\n"
      "else\n"
      "  printf 'lodge: the machine has no script(1) (package bsdutils)\\r\\n' >&3\n"
      "  r=127\n"
      "fi\n"
      "printf '\\000%s %d\\n' \"$T\" \"$r\" >&3\n"
      "rm -f \"$F\".?\n";

/* $1: rows, $2: columns, $3: prefix of the session's files; then as LODGE_KVM_ENTER. */
static const char terminal_script[] = "umask 077; stty rows \"$1\" cols \"$2\"; tty >\"$3.t\"\n"
                                      "read -r p x </proc/self/stat; echo \"$p\" >\"$3.p\"\n"
                                      "shift 3; umask 022\n" LODGE_KVM_ENTER;

/* Waits for a terminal that is being made: the window may change before the program runs. */
static const char resize_script[]
    = "n=0; while [ ! -s \"$1.t\" ] && [ $n -lt 200 ]; do n=$((n+1)); sleep 0.05; done\n"
      "stty -F \"$(cat \"$1.t\")\" rows \"$2\" cols \"$3\"";

typedef struct
{
  LodgeKvmSession *session;
  virDomainPtr domain;
  char *prefix; /* of the session's files in the guest */
  char *alias;  /* NULL: no port is plugged */
  gint64 pid;   /* of the script in the guest */
  int slave;
  int port;       /* socket of the port, or of the console */
  char *token;    /* nullable: a console has none */
  gboolean typed; /* on the console: somebody uses it */

  guint8 *to_guest, *to_client; /* BUFFER_SIZE each */
  gsize to_guest_len, to_client_len;
  struct winsize size, told; /* of the terminal here, and as the guest was last told */
  gint64 may_tell;           /* monotonic, usec: when it may be told again */
  int exit_status;
} Shell;

/* Returns: the master; *@out_slave is raw and does not block. */
static int
open_terminal (const struct winsize *size, int *out_slave, GError **error)
{
  g_auto (LodgeFd) master = posix_openpt (O_RDWR | O_NOCTTY | O_CLOEXEC);
  char path[64];
  struct termios settings;

  if (master < 0 || grantpt (master) < 0 || unlockpt (master) < 0
      || ptsname_r (master, path, sizeof path) != 0)
    {
      lodge_error_set_errno (error, errno, "cannot make a terminal");
      return -1;
    }
  g_auto (LodgeFd) slave = open (path, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
  if (slave < 0 || tcgetattr (slave, &settings) < 0)
    {
      lodge_error_set_errno (error, errno, "cannot open a terminal");
      return -1;
    }
  cfmakeraw (&settings);
  if (tcsetattr (slave, TCSANOW, &settings) < 0 || ioctl (slave, TIOCSWINSZ, size) < 0)
    {
      lodge_error_set_errno (error, errno, "cannot set a terminal up");
      return -1;
    }
  *out_slave = lodge_fd_steal (&slave);
  return lodge_fd_steal (&master);
}

static int
connect_port (const char *path, GError **error)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  g_auto (LodgeFd) fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  if (fd < 0 || strlen (path) >= sizeof address.sun_path)
    {
      lodge_error_set_errno (error, fd < 0 ? errno : ENAMETOOLONG, "cannot open %s", path);
      return -1;
    }
  strcpy (address.sun_path, path);
  if (connect (fd, (struct sockaddr *) &address, sizeof address) < 0)
    {
      lodge_error_set_errno (error, errno, "cannot connect to %s", path);
      return -1;
    }
  if (fcntl (fd, F_SETFL, O_NONBLOCK) < 0)
    {
      lodge_error_set_errno (error, errno, "cannot set %s up", path);
      return -1;
    }
  return lodge_fd_steal (&fd);
}

/* Ports that a lodged left behind when it was killed: their ids begin with another's number. */
static void
unplug_stale (Shell *self, const char *xml)
{
  static const char mark[] = "<alias name='" ALIAS_PREFIX;

  for (const char *at = strstr (xml, mark); at != NULL; at = strstr (at, mark))
    {
      at += strlen (mark);
      gsize length = strspn (at, "0123456789abcdef");
      if (length != strlen (self->session->id) || at[length] != '\''
          || strncmp (at, self->session->id, LODGE_KVM_NONCE_LENGTH) == 0)
        continue;
      g_autofree char *id = g_strndup (at, length);
      g_autofree char *alias = g_strconcat (ALIAS_PREFIX, id, NULL);
      if (virDomainDetachDeviceAlias (self->domain, alias, 0) == 0)
        g_info ("took a forgotten terminal out of '%s'", self->session->name);
    }
}

static gboolean
plug_port (Shell *self, const char *port, GError **error)
{
  g_autofree char *alias = g_strconcat (ALIAS_PREFIX, self->session->id, NULL);
  g_autofree char *xml = g_strdup_printf ("<channel type='unix'><target type='virtio' name='%s'/>"
                                          "<alias name='%s'/></channel>",
                                          port, alias);

  if (virDomainAttachDeviceFlags (self->domain, xml, VIR_DOMAIN_AFFECT_LIVE) < 0)
    {
      lodge_virt_set_error (error, "cannot plug a terminal into '%s'", self->session->name);
      return FALSE;
    }
  self->alias = g_steal_pointer (&alias);
  g_autofree char *live = lodge_kvm_domain_xml (self->domain, 0, error);
  g_autofree char *path = live != NULL ? lodge_domain_xml_channel_path (live, port, error) : NULL;
  if (path == NULL)
    {
      if (live != NULL && error != NULL && *error == NULL)
        g_set_error (error, LODGE_ERROR, LODGE_ERROR_BACKEND,
                     "libvirt does not say where the terminal of '%s' is", self->session->name);
      return FALSE;
    }
  unplug_stale (self, live);
  self->port = connect_port (path, error);
  return self->port >= 0;
}

static void
unplug_port (Shell *self)
{
  if (self->alias != NULL && virDomainDetachDeviceAlias (self->domain, self->alias, 0) < 0)
    g_debug ("cannot unplug %s: %s", self->alias, virGetLastErrorMessage ());
  g_clear_pointer (&self->alias, g_free);
}

/* script(1) takes one string. */
static char *
make_command (Shell *self)
{
  LodgeKvmSession *session = self->session;
  g_autofree char *rows = g_strdup_printf ("%u", self->size.ws_row);
  g_autofree char *columns = g_strdup_printf ("%u", self->size.ws_col);
  const char *const head[] = {
    "exec", "/bin/sh", "-c",         terminal_script, "lodge",
    rows,   columns,   self->prefix, session->user,   session->cwd != NULL ? session->cwd : ""
  };
  GString *command = g_string_new (NULL);

  for (gsize i = 0; i < G_N_ELEMENTS (head); i++)
    {
      g_autofree char *word = g_shell_quote (head[i]);
      g_string_append_printf (command, "%s ", i == 0 ? head[i] : word);
    }
  for (gsize i = 0; session->argv[i] != NULL; i++)
    {
      g_autofree char *word = g_shell_quote (session->argv[i]);
      g_string_append_printf (command, "%s ", word);
    }
  return g_string_free (command, FALSE);
}

static gboolean
run_script (Shell *self, const char *port, GError **error)
{
  LodgeKvmSession *session = self->session;
  g_autofree char *command = make_command (self);
  g_auto (GStrv) environment = lodge_kvm_session_environment (session);
  const char *argv[]
      = { "/bin/sh", "-c", shell_script, "lodge", self->prefix, port, self->token, command, NULL };

  return lodge_kvm_agents_spawn (session->agents, session->uuid, argv,
                                 (const char *const *) environment, NULL, FALSE, &self->pid, error);
}

static gboolean
start_shell (Shell *self, GError **error)
{
  g_autofree char *port = g_strconcat (PORT_PREFIX, self->session->id, NULL);

  self->token = g_strdup_printf ("lodge-%08x%08x%08x%08x", g_random_int (), g_random_int (),
                                 g_random_int (), g_random_int ());
  self->told = self->size;
  return plug_port (self, port, error) && run_script (self, port, error);
}

static gboolean
start_by_agent (Shell *self, GError **error)
{
  LodgeKvmSession *session = self->session;
  gboolean is_login = session->argv[0] == NULL;

  if (!lodge_kvm_session_wait_for_agent (session, is_login, error))
    return FALSE;
  if (self->domain == NULL)
    self->domain = lodge_virt_connection_lookup (session->connection, session->uuid, error);
  return self->domain != NULL && start_shell (self, error);
}

static void
say (Shell *self, const char *text, gsize size)
{
  gsize length = MIN (size, BUFFER_SIZE - self->to_client_len);

  memcpy (self->to_client + self->to_client_len, text, length);
  self->to_client_len += length;
}

/* What stands on the last line of the console.  Returns: whether there is anything. */
static gboolean
say_prompt (Shell *self)
{
  g_auto (LodgeFd) fd
      = open (self->session->console_log, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  char text[PROMPT_MAX];

  if (fd < 0)
    return FALSE;
  off_t size = lseek (fd, 0, SEEK_END);
  ssize_t length = pread (fd, text, sizeof text, MAX (size - (off_t) sizeof text, 0));
  if (length <= 0)
    return FALSE;
  const char *newline = memrchr (text, '\n', (gsize) length);
  const char *line = newline != NULL ? newline + 1 : text;
  gsize rest = (gsize) (text + length - line);
  say (self, line, rest);
  return rest > 0;
}

static void
say_about_console (Shell *self, gboolean booting)
{
  const char *name = self->session->name;
  g_autofree char *text
      = booting
            ? g_strdup_printf ("\r\n'%s' is still starting: this is the serial console.  Ctrl-] "
                               "leaves it.\r\nUnless you type something, it becomes a shell "
                               "when the guest agent answers.\r\n",
                               name)
            : g_strdup_printf ("\r\nNo guest agent answers in '%s': this is the serial "
                               "console.  Ctrl-] leaves it.\r\nIt does not know the size of "
                               "your terminal; after you have logged in: stty rows %u cols "
                               "%u\r\n\r\n",
                               name, self->size.ws_row, self->size.ws_col);

  say (self, text, strlen (text));
}

/* A line that is empty is one where Enter does nothing but to call for the prompt; what somebody
 * has typed on another one, or a boot loader that would take it, is left alone. */
static gboolean
start_console (Shell *self, GError **error)
{
  LodgeKvmSession *session = self->session;
  gboolean booting = lodge_kvm_session_is_booting (session);

  self->port = lodge_kvm_consoles_open (session->consoles, session->uuid, error);
  if (self->port < 0)
    return FALSE;
  say_about_console (self, booting);
  if (!say_prompt (self) && !booting)
    self->to_guest[self->to_guest_len++] = '\r';
  return TRUE;
}

/* An agent has come while nobody used the console. */
static void
become_shell (Shell *self)
{
  static const char text[] = "\r\nThe guest agent answers: this is a shell now.\r\n";
  g_auto (LodgeFd) console = lodge_fd_steal (&self->port);
  g_autoptr (GError) error = NULL;

  if (start_by_agent (self, &error))
    {
      say (self, text, strlen (text));
      return;
    }
  g_info ("a console stays one: %s", error->message);
  unplug_port (self);
  g_clear_pointer (&self->token, g_free);
  lodge_fd_clear (&self->port);
  self->port = lodge_fd_steal (&console);
  self->typed = TRUE;
}

static void
resize (Shell *self, guint rows, guint columns)
{
  if (rows == self->size.ws_row && columns == self->size.ws_col)
    return;
  self->size.ws_row = (unsigned short) rows;
  self->size.ws_col = (unsigned short) columns;
  ioctl (self->slave, TIOCSWINSZ, &self->size);
}

static gboolean
is_size_told (const Shell *self)
{
  return self->token == NULL
         || (self->size.ws_row == self->told.ws_row && self->size.ws_col == self->told.ws_col);
}

/*
 * Each size that the guest is told of is a program there, and what they do comes in any order: so
 * there is some time between two, and a window that is being dragged ends with its last size.
 */
static void
tell_size (Shell *self)
{
  g_autofree char *rows = g_strdup_printf ("%u", self->size.ws_row);
  g_autofree char *columns = g_strdup_printf ("%u", self->size.ws_col);
  const char *argv[]
      = { "/bin/sh", "-c", resize_script, "lodge", self->prefix, rows, columns, NULL };
  gint64 now = g_get_monotonic_time ();
  g_autoptr (GError) error = NULL;
  gint64 pid;

  if (is_size_told (self) || now < self->may_tell)
    return;
  self->told = self->size;
  self->may_tell = now + RESIZE_MS * G_TIME_SPAN_MILLISECOND;
  if (!lodge_kvm_agents_spawn (self->session->agents, self->session->uuid, argv, NULL, NULL, FALSE,
                               &pid, &error))
    g_debug ("cannot resize a terminal: %s", error->message);
}

/* A client may set the size on its side of the terminal; nothing tells us, so look. */
static void
check_size (Shell *self)
{
  struct winsize size;

  if (ioctl (self->slave, TIOCGWINSZ, &size) == 0 && size.ws_row != 0 && size.ws_col != 0)
    resize (self, size.ws_row, size.ws_col);
}

/* Whether the pump goes on. */
typedef enum
{
  FLOW_ON,
  FLOW_CLIENT_GONE,
  FLOW_GUEST_GONE,
  FLOW_EXITED,
  FLOW_LEFT, /* by the escape key */
} Flow;

static gboolean
move_in (int fd, guint8 *buffer, gsize *length)
{
  ssize_t n = read (fd, buffer + *length, BUFFER_SIZE - *length);

  if (n > 0)
    *length += (gsize) n;
  return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/* @limit: how much may go */
static gboolean
move_out (int fd, guint8 *buffer, gsize *length, gsize limit)
{
  ssize_t n = limit > 0 ? write (fd, buffer, limit) : 0;

  if (n > 0)
    {
      *length -= (gsize) n;
      memmove (buffer, buffer + n, *length);
    }
  return n >= 0 || errno == EAGAIN || errno == EINTR;
}

/*
 * How much of what the guest sent is certainly the program's: what may be the beginning of the
 * token is kept back.
 */
static gsize
find_token (Shell *self)
{
  const guint8 *start = self->to_client;
  gsize token_length = self->token != NULL ? strlen (self->token) : 0;

  while (self->token != NULL)
    {
      gsize rest = self->to_client_len - (gsize) (start - self->to_client);
      const guint8 *zero = memchr (start, 0, rest);
      if (zero == NULL)
        break;
      gsize n = MIN (self->to_client_len - (gsize) (zero + 1 - self->to_client), token_length);
      if (memcmp (zero + 1, self->token, n) == 0)
        return (gsize) (zero - self->to_client);
      start = zero + 1;
    }
  return self->to_client_len;
}

/* Returns: whether the whole token has come; then also the program's exit status. */
static gboolean
parse_token (Shell *self)
{
  gsize position = find_token (self);
  gsize length = self->to_client_len - position;
  gsize head = self->token != NULL ? strlen (self->token) + 2 : 0; /* NUL before, space behind */

  if (position == self->to_client_len || length < head + 2)
    return FALSE;
  const char *line = (const char *) self->to_client + position + head;
  const char *end = memchr (line, '\n', MIN (length - head, TOKEN_LINE_MAX));
  if (end == NULL)
    return FALSE;
  g_autofree char *number = g_strndup (line, (gsize) (end - line));
  self->exit_status = (int) (g_ascii_strtoll (number, NULL, 10) & 0xff);
  self->to_client_len = position;
  return TRUE;
}

static gboolean
is_alive (Shell *self)
{
  g_auto (LodgeKvmExit) end = { 0 };
  g_autoptr (GError) error = NULL;

  if (self->token == NULL)
    return TRUE;
  if (lodge_kvm_agents_reap (self->session->agents, self->session->uuid, self->pid, &end, &error))
    {
      self->exit_status = end.exited && end.exit_status != 0 ? end.exit_status : LOST_STATUS;
      return !end.exited;
    }
  /* An agent that is busy is no reason to end a shell; one that has forgotten the program is. */
  return g_error_matches (error, LODGE_ERROR, LODGE_ERROR_AGENT_UNAVAILABLE);
}

static Flow
pump_client (Shell *self, short events)
{
  gsize before = self->to_guest_len;

  if (events & POLLIN && !move_in (self->slave, self->to_guest, &self->to_guest_len))
    return FLOW_CLIENT_GONE;
  if (events & (POLLHUP | POLLERR) && !(events & POLLIN))
    return FLOW_CLIENT_GONE;
  if (events & POLLIN)
    check_size (self);
  if (self->token != NULL || self->to_guest_len == before)
    return FLOW_ON;
  self->typed = TRUE;
  return memchr (self->to_guest + before, ESCAPE_KEY, self->to_guest_len - before) != NULL
             ? FLOW_LEFT
             : FLOW_ON;
}

static Flow
pump_guest (Shell *self, short events)
{
  if (events & POLLIN && !move_in (self->port, self->to_client, &self->to_client_len))
    return FLOW_GUEST_GONE;
  if (events & (POLLHUP | POLLERR) && !(events & POLLIN))
    return FLOW_GUEST_GONE;
  return parse_token (self) ? FLOW_EXITED : FLOW_ON;
}

static Flow
obey (Shell *self)
{
  g_auto (LodgeKvmWishes) wishes = { 0 };

  lodge_kvm_session_get_wishes (self->session, &wishes);
  if (wishes.hung_up)
    return FLOW_CLIENT_GONE;
  if (wishes.resized)
    resize (self, wishes.rows, wishes.columns);
  for (guint i = 0; self->token != NULL && i < wishes.signals->len; i++)
    lodge_kvm_session_kill (self->session, self->prefix, g_array_index (wishes.signals, int, i));
  return FLOW_ON;
}

static Flow
pump_once (Shell *self)
{
  gboolean is_console = self->token == NULL;

  if (is_console && !self->typed
      && lodge_kvm_agents_get_state (self->session->agents, self->session->uuid).present)
    become_shell (self);
  gsize sendable = find_token (self);
  struct pollfd fds[] = {
    { .fd = self->slave,
      .events
      = (short) ((self->to_guest_len < BUFFER_SIZE ? POLLIN : 0) | (sendable > 0 ? POLLOUT : 0)) },
    { .fd = self->port,
      .events = (short) ((self->to_client_len < BUFFER_SIZE ? POLLIN : 0)
                         | (self->to_guest_len > 0 ? POLLOUT : 0)) },
    { .fd = self->session->wake_fd, .events = POLLIN },
  };
  Flow flow = FLOW_ON;

  tell_size (self);
  int idle_ms = is_console ? CONSOLE_MS : is_size_told (self) ? LIVENESS_MS : RESIZE_MS;
  int ready = poll (fds, G_N_ELEMENTS (fds), idle_ms);
  if (ready < 0)
    return errno == EINTR ? FLOW_ON : FLOW_GUEST_GONE;
  if (ready == 0 && is_size_told (self))
    return is_alive (self) ? FLOW_ON : FLOW_EXITED;
  if (fds[2].revents != 0)
    flow = obey (self);
  if (flow == FLOW_ON && fds[0].revents & POLLOUT
      && !move_out (self->slave, self->to_client, &self->to_client_len, sendable))
    flow = FLOW_CLIENT_GONE;
  if (flow == FLOW_ON && fds[1].revents & POLLOUT
      && !move_out (self->port, self->to_guest, &self->to_guest_len, self->to_guest_len))
    flow = FLOW_GUEST_GONE;
  if (flow == FLOW_ON)
    flow = pump_client (self, fds[0].revents);
  if (flow == FLOW_ON)
    flow = pump_guest (self, fds[1].revents);
  return flow;
}

/* Hands over what is left; a client that does not read loses it after a while. */
static void
drain (Shell *self)
{
  gint64 deadline = g_get_monotonic_time () + HANG_UP_USEC;

  while (self->to_client_len > 0 && g_get_monotonic_time () < deadline)
    {
      struct pollfd fd = { .fd = self->slave, .events = POLLOUT };
      if (poll (&fd, 1, 100) < 0 || fd.revents & (POLLHUP | POLLERR)
          || !move_out (self->slave, self->to_client, &self->to_client_len, self->to_client_len))
        return;
    }
}

static void
pump (Shell *self)
{
  Flow flow;

  do
    flow = pump_once (self);
  while (flow == FLOW_ON);
  if (flow == FLOW_CLIENT_GONE && self->token != NULL)
    lodge_kvm_session_kill (self->session, self->prefix, SIGHUP);
  if (flow == FLOW_CLIENT_GONE)
    self->exit_status = 128 + SIGHUP;
  else
    drain (self);
  if (flow == FLOW_LEFT)
    self->exit_status = 0;
}

static gboolean
start (Shell *self, GError **error)
{
  g_autoptr (GError) local_error = NULL;

  if (start_by_agent (self, &local_error))
    return TRUE;
  if (self->session->argv[0] != NULL
      || !g_error_matches (local_error, LODGE_ERROR, LODGE_ERROR_AGENT_UNAVAILABLE))
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  /* It may have gone after the first steps. */
  unplug_port (self);
  lodge_fd_clear (&self->port);
  g_clear_pointer (&self->token, g_free);
  return start_console (self, error);
}

static void
shell_clear (Shell *self)
{
  unplug_port (self);
  g_clear_pointer (&self->domain, virDomainFree);
  lodge_fd_clear (&self->slave);
  lodge_fd_clear (&self->port);
  g_free (self->prefix);
  g_free (self->token);
  g_free (self->to_guest);
  g_free (self->to_client);
}

void
lodge_kvm_shell_run (LodgeKvmSession *session)
{
  Shell self = { .session = session,
                 .prefix = g_strconcat (LODGE_KVM_GUEST_PREFIX, session->id, NULL),
                 .slave = -1,
                 .port = -1,
                 .to_guest = g_malloc (BUFFER_SIZE),
                 .to_client = g_malloc (BUFFER_SIZE),
                 .size = { .ws_row = (unsigned short) session->rows,
                           .ws_col = (unsigned short) session->columns },
                 .exit_status = LOST_STATUS };
  GError *error = NULL;
  int master = -1;

  if (start (&self, &error))
    master = open_terminal (&self.size, &self.slave, &error);
  if (master < 0)
    lodge_kvm_session_failed (session, error);
  else
    {
      lodge_kvm_session_started (session, master);
      pump (&self);
      lodge_fd_clear (&self.slave);
      lodge_kvm_session_exited (session, self.exit_status, 0);
    }
  shell_clear (&self);
}
