/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-kvm-session.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lodge-fd.h"
#include "lodge-helper.h"
#include "lodge/lodge-files.h"

/*
 * The files of a running machine, by its agent: lodge-files.h is served on a thread, attributes
 * come from find(1) and are set by small shell scripts, contents go by guest-file-read and -write,
 * 48 KiB a message.  A script reports an errno value as its exit status.
 */

#define SCRIPT_SECONDS 20
#define LIST_SECONDS   60
/* What one find prints for one entry; NUL-separated, because names may hold anything else. */
#define ENTRY_FORMAT "%f\\0%y\\0%s\\0%U\\0%G\\0%m\\0%T@\\0%l\\0"
#define ENTRY_FIELDS 8

/* $1: path, $2: "follow" or "" */
static const char stat_script[]
    = "[ -e \"$1\" ] || [ -L \"$1\" ] || exit 2\n"
      "[ -n \"$2\" ] && { [ -e \"$1\" ] || exit 2; }\n"
      "exec find ${2:+-H} \"$1\" -maxdepth 0 -printf '" ENTRY_FORMAT "'\n";

static const char list_script[]
    = "[ -e \"$1\" ] || exit 2\n"
      "[ -d \"$1\" ] && [ ! -L \"$1\" ] || exit 20\n"
      "exec find \"$1\" -mindepth 1 -maxdepth 1 -printf '" ENTRY_FORMAT "'\n";

/* Changes: $1: path, $2: flags as words, $3: owner, $4: mode, $5: time, $6: extra */
#define MAKE_PARENTS                                                                               \
  "P=${1%/*}; case \"$2\" in *parents*) [ -d \"${P:-/}\" ] || (umask 022; mkdir -p \"$P\") || "    \
  "exit 20;; esac\n"                                                                               \
  "[ -d \"${P:-/}\" ] || exit 2\n"

#define SET_ATTRIBUTES                                                                             \
  "case \"$2\" in *owner*) chown -h \"$3\" \"$F\" || exit 1;; esac\n"                              \
  "case \"$2\" in *mode*) chmod \"$4\" \"$F\" || exit 1;; esac\n"                                  \
  "case \"$2\" in *mtime*) touch -c -d \"@$5\" \"$F\" || exit 1;; esac\n"

static const char prepare_put_script[]
    = "[ -d \"$1\" ] && [ ! -L \"$1\" ] && exit 21\n"
      "[ -e \"$1\" ] && [ ! -f \"$1\" ] && exit 22\n" MAKE_PARENTS
      "umask 077; set -C; : >\"$6\" || exit 13\n";

static const char finish_put_script[]
    = "F=$6; chmod 644 \"$F\" || exit 1\n"
      "[ -f \"$1\" ] && [ ! -L \"$1\" ] && { chown --reference=\"$1\" \"$F\"; "
      "chmod --reference=\"$1\" \"$F\"; }\n" SET_ATTRIBUTES "mv -fT \"$F\" \"$1\" || exit 13\n";

static const char mkdir_script[] = "F=$1\n"
                                   "[ -d \"$1\" ] && [ ! -L \"$1\" ] && exit 0\n"
                                   "[ -e \"$1\" ] || [ -L \"$1\" ] && exit 17\n" MAKE_PARENTS
                                   "umask 022; mkdir \"$1\" || exit 13\n" SET_ATTRIBUTES;

static const char symlink_script[]
    = "F=$1\n"
      "[ -L \"$1\" ] || { [ -e \"$1\" ] && exit 17; }\n" MAKE_PARENTS
      "ln -sfnT -- \"$6\" \"$1\" || exit 13\n"
      "case \"$2\" in *owner*) chown -h \"$3\" \"$F\" || exit 1;; esac\n";

static const char remove_script[]
    = "[ -e \"$1\" ] || [ -L \"$1\" ] || exit 2\n"
      "if [ -d \"$1\" ] && [ ! -L \"$1\" ]; then rmdir \"$1\" 2>/dev/null || exit 39\n"
      "else rm -f \"$1\" || exit 13; fi\n";

typedef struct
{
  LodgeFilesRequest head;
  char path[LODGE_FILES_PATH_MAX + 1];
  char extra[LODGE_FILES_PATH_MAX + 1];
  int fd; /* -1: none came */
} Call;

/* One record of find(1). */
typedef struct
{
  const char *name;
  const char *link;
  LodgeFilesReply reply;
} Entry;

static gboolean
send_reply (LodgeKvmSession *session, LodgeFilesReply *reply, const char *text, const char *link)
{
  struct iovec parts[3] = { { .iov_base = reply, .iov_len = sizeof *reply },
                            { .iov_base = (char *) text, .iov_len = strlen (text) },
                            { .iov_base = (char *) link, .iov_len = strlen (link) } };
  struct msghdr message = { .msg_iov = parts, .msg_iovlen = G_N_ELEMENTS (parts) };

  reply->version = LODGE_FILES_VERSION;
  reply->text_len = (uint16_t) parts[1].iov_len;
  reply->link_len = (uint16_t) parts[2].iov_len;
  return sendmsg (session->socket, &message, MSG_NOSIGNAL) >= 0;
}

static gboolean
send_error (LodgeKvmSession *session, int code, const char *text)
{
  LodgeFilesReply reply = { .error = code != 0 ? code : EIO };
  g_autofree char *line = g_utf8_make_valid (text, (gssize) MIN (strlen (text), 512));

  return send_reply (session, &reply, line, "");
}

/* Runs a script; its exit status is an errno value. */
static gboolean
run_script (LodgeKvmSession *session, const char *script, const char *const *arguments,
            guint seconds, GBytes **out_output, int *out_code, GError **error)
{
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();
  g_auto (LodgeKvmExit) end = { 0 };
  const char *const head[] = { "/bin/sh", "-c", script, "lodge" };

  for (gsize i = 0; i < G_N_ELEMENTS (head); i++)
    g_ptr_array_add (argv, (gpointer) head[i]);
  for (gsize i = 0; arguments[i] != NULL; i++)
    g_ptr_array_add (argv, (gpointer) arguments[i]);
  g_ptr_array_add (argv, NULL);
  if (!lodge_kvm_agents_run (session->agents, session->uuid, (const char *const *) argv->pdata,
                             NULL, seconds, &end, error))
    {
      *out_code = EIO;
      return FALSE;
    }
  if (end.exit_status == 0 && end.term_signal == 0)
    {
      if (out_output != NULL)
        *out_output = end.out != NULL ? g_steal_pointer (&end.out) : g_bytes_new (NULL, 0);
      return TRUE;
    }
  *out_code = end.exit_status > 0 && end.exit_status < 126 ? end.exit_status : EIO;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_FAILED, "%s", g_strerror (*out_code));
  return FALSE;
}

static gint64
number (const char *text, int base)
{
  return g_ascii_strtoll (text, NULL, base);
}

static LodgeFilesType
type_of (const char *text)
{
  switch (text[0])
    {
    case 'f':
      return LODGE_FILES_TYPE_FILE;
    case 'd':
      return LODGE_FILES_TYPE_DIR;
    case 'l':
      return LODGE_FILES_TYPE_SYMLINK;
    default:
      return LODGE_FILES_TYPE_OTHER;
    }
}

/* Takes one entry off @at.  Returns: where the next one is, or NULL: there is none. */
static const char *
parse_entry (const char *at, const char *end, Entry *out_entry)
{
  const char *fields[ENTRY_FIELDS];

  for (gsize i = 0; i < ENTRY_FIELDS; i++)
    {
      const char *zero = at < end ? memchr (at, 0, (gsize) (end - at)) : NULL;
      if (zero == NULL)
        return NULL;
      fields[i] = at;
      at = zero + 1;
    }
  *out_entry = (Entry){ .name = fields[0],
                        .link = fields[7],
                        .reply = { .type = type_of (fields[1]),
                                   .size = (uint64_t) number (fields[2], 10),
                                   .uid = (uint32_t) number (fields[3], 10),
                                   .gid = (uint32_t) number (fields[4], 10),
                                   .mode = (uint32_t) number (fields[5], 8),
                                   .mtime = number (fields[6], 10) } };
  return strlen (fields[0]) <= NAME_MAX && strlen (fields[7]) <= LODGE_FILES_PATH_MAX ? at : NULL;
}

/* @out_text: what the entry's strings are in. */
static gboolean
stat_file (LodgeKvmSession *session, const char *path, gboolean follow, Entry *out_entry,
           GBytes **out_text, int *out_code, GError **error)
{
  const char *arguments[] = { path, follow ? "follow" : "", NULL };
  g_autoptr (GBytes) output = NULL;

  if (!run_script (session, stat_script, arguments, SCRIPT_SECONDS, &output, out_code, error))
    return FALSE;
  gsize size;
  const char *text = g_bytes_get_data (output, &size);
  if (parse_entry (text, text + size, out_entry) == NULL)
    {
      *out_code = EIO;
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_BACKEND, "find(1) of the guest says nonsense");
      return FALSE;
    }
  *out_text = g_steal_pointer (&output);
  return TRUE;
}

/* Answers with the attributes of @path. */
static gboolean
reply_with_stat (LodgeKvmSession *session, const char *path, gboolean follow)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) text = NULL;
  Entry entry;
  int code = EIO;

  if (!stat_file (session, path, follow, &entry, &text, &code, &error))
    return send_error (session, code, error->message);
  return send_reply (session, &entry.reply, "",
                     entry.reply.type == LODGE_FILES_TYPE_SYMLINK ? entry.link : "");
}

static gboolean
serve_stat (LodgeKvmSession *session, const Call *call)
{
  return reply_with_stat (session, call->path, (call->head.flags & LODGE_FILES_FOLLOW) != 0);
}

static gboolean
serve_list (LodgeKvmSession *session, const Call *call)
{
  const char *arguments[] = { call->path, NULL };
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) output = NULL;
  int code = EIO;

  if (!run_script (session, list_script, arguments, LIST_SECONDS, &output, &code, &error))
    return send_error (session, code, error->message);
  gsize size;
  const char *at = g_bytes_get_data (output, &size);
  const char *end = at + size;
  Entry entry;
  while (at != NULL && at < end)
    {
      at = parse_entry (at, end, &entry);
      if (at == NULL)
        return send_error (session, EIO, "find(1) of the guest says nonsense");
      if (!send_reply (session, &entry.reply, entry.name,
                       entry.reply.type == LODGE_FILES_TYPE_SYMLINK ? entry.link : ""))
        return FALSE;
    }
  LodgeFilesReply last = { .flags = LODGE_FILES_END };
  return send_reply (session, &last, "", "");
}

static gboolean
copy_out (LodgeKvmSession *session, gint64 handle, int fd, GError **error)
{
  gboolean eof = FALSE;

  while (!eof)
    {
      g_autoptr (GBytes) block
          = lodge_kvm_agents_file_read (session->agents, session->uuid, handle, &eof, error);
      gsize size;
      const void *data = block != NULL ? g_bytes_get_data (block, &size) : NULL;
      if (block == NULL || (data != NULL && !lodge_fd_write_all (fd, data, size, error)))
        return FALSE;
    }
  return TRUE;
}

static gboolean
serve_get (LodgeKvmSession *session, const Call *call)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) text = NULL;
  gboolean follow = (call->head.flags & LODGE_FILES_FOLLOW) != 0;
  gint64 handle = -1;
  int code = EIO;
  Entry entry;

  if (call->fd < 0)
    return send_error (session, EBADF, "no file came with the request");
  if (!stat_file (session, call->path, follow, &entry, &text, &code, &error))
    return send_error (session, code, error->message);
  /* Opening anything else could hang the agent. */
  if (entry.reply.type != LODGE_FILES_TYPE_FILE)
    return send_error (session, entry.reply.type == LODGE_FILES_TYPE_DIR ? EISDIR : EINVAL,
                       "not a regular file");
  if (!lodge_kvm_agents_file_open (session->agents, session->uuid, call->path, "rb", &handle,
                                   &error))
    return send_error (session, EIO, error->message);
  gboolean ok = copy_out (session, handle, call->fd, &error);
  if (!lodge_kvm_agents_file_close (session->agents, session->uuid, handle, NULL))
    g_debug ("cannot close a file in the guest");
  if (!ok)
    return send_error (session, EIO, error->message);
  return send_reply (session, &entry.reply, "", "");
}

/* Runs a script that changes something; see MAKE_PARENTS for its arguments. */
static gboolean
run_change (LodgeKvmSession *session, const char *script, const Call *call, const char *extra,
            int *out_code, GError **error)
{
  static const struct
  {
    guint flag;
    const char *word;
  } words[] = {
    { LODGE_FILES_MAKE_PARENTS, "parents " },
    { LODGE_FILES_SET_OWNER, "owner " },
    { LODGE_FILES_SET_MODE, "mode " },
    { LODGE_FILES_SET_MTIME, "mtime " },
  };
  g_autoptr (GString) flags = g_string_new (NULL);
  g_autofree char *owner = g_strdup_printf ("%u:%u", call->head.uid, call->head.gid);
  g_autofree char *mode = g_strdup_printf ("%o", call->head.mode & 07777);
  g_autofree char *mtime = g_strdup_printf ("%" G_GINT64_FORMAT, (gint64) call->head.mtime);
  const char *arguments[] = { call->path, NULL, owner, mode, mtime, extra, NULL };

  for (gsize i = 0; i < G_N_ELEMENTS (words); i++)
    if (call->head.flags & words[i].flag)
      g_string_append (flags, words[i].word);
  arguments[1] = flags->str;
  return run_script (session, script, arguments, SCRIPT_SECONDS, NULL, out_code, error);
}

static gboolean
copy_in (LodgeKvmSession *session, gint64 handle, int fd, GError **error)
{
  g_autofree guint8 *buffer = g_malloc (LODGE_KVM_AGENT_BLOCK);

  while (TRUE)
    {
      ssize_t n = read (fd, buffer, LODGE_KVM_AGENT_BLOCK);
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        {
          lodge_error_set_errno (error, errno, "cannot read the file that is to be sent");
          return FALSE;
        }
      if (n == 0)
        return TRUE;
      if (!lodge_kvm_agents_file_write (session->agents, session->uuid, handle, buffer, (gsize) n,
                                        FALSE, error))
        return FALSE;
    }
}

static gboolean
put_contents (LodgeKvmSession *session, const char *path, int fd, GError **error)
{
  gint64 handle = -1;

  if (!lodge_kvm_agents_file_open (session->agents, session->uuid, path, "wb", &handle, error))
    return FALSE;
  gboolean ok = copy_in (session, handle, fd, error);
  /* Closing flushes: that too can find the disk full. */
  return lodge_kvm_agents_file_close (session->agents, session->uuid, handle, ok ? error : NULL)
         && ok;
}

static gboolean
serve_put (LodgeKvmSession *session, const Call *call)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *directory = g_path_get_dirname (call->path);
  g_autofree char *temporary
      = g_strdup_printf ("%s/.lodge-%s-%08x", directory, session->id, g_random_int ());
  int code = EIO;

  if (call->fd < 0)
    return send_error (session, EBADF, "no file came with the request");
  if (!run_change (session, prepare_put_script, call, temporary, &code, &error))
    return send_error (session, code, error->message);
  if (!put_contents (session, temporary, call->fd, &error)
      || !run_change (session, finish_put_script, call, temporary, &code, &error))
    {
      lodge_kvm_session_fire (session, "rm -f \"$1\"", temporary);
      return send_error (session, code, error->message);
    }
  return reply_with_stat (session, call->path, FALSE);
}

static gboolean
serve_change (LodgeKvmSession *session, const Call *call, const char *script, gboolean stat_after)
{
  g_autoptr (GError) error = NULL;
  int code = EIO;

  if (!run_change (session, script, call, call->extra, &code, &error))
    return send_error (session, code, error->message);
  if (stat_after)
    return reply_with_stat (session, call->path, FALSE);
  LodgeFilesReply reply = { 0 };
  return send_reply (session, &reply, "", "");
}

static gboolean
serve_mkdir (LodgeKvmSession *session, const Call *call)
{
  return serve_change (session, call, mkdir_script, TRUE);
}

static gboolean
serve_symlink (LodgeKvmSession *session, const Call *call)
{
  return serve_change (session, call, symlink_script, TRUE);
}

static gboolean
serve_remove (LodgeKvmSession *session, const Call *call)
{
  return serve_change (session, call, remove_script, FALSE);
}

typedef gboolean (*ServeFunc) (LodgeKvmSession *session, const Call *call);

static const ServeFunc servers[] = {
  [LODGE_FILES_STAT] = serve_stat,     [LODGE_FILES_LIST] = serve_list,
  [LODGE_FILES_GET] = serve_get,       [LODGE_FILES_PUT] = serve_put,
  [LODGE_FILES_MKDIR] = serve_mkdir,   [LODGE_FILES_SYMLINK] = serve_symlink,
  [LODGE_FILES_REMOVE] = serve_remove,
};

/* Keeps the first descriptor of @message and closes the rest. */
static int
take_fd (struct msghdr *message)
{
  int fd = -1;

  for (struct cmsghdr *control = CMSG_FIRSTHDR (message); control != NULL;
       control = CMSG_NXTHDR (message, control))
    {
      if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS)
        continue;
      gsize n = (control->cmsg_len - CMSG_LEN (0)) / sizeof (int);
      for (gsize i = 0; i < n; i++)
        {
          int one;
          memcpy (&one, CMSG_DATA (control) + i * sizeof one, sizeof one);
          if (fd < 0)
            fd = one;
          else
            close (one);
        }
    }
  return fd;
}

static gboolean
decode (const guint8 *packet, gsize size, Call *out_call)
{
  LodgeFilesRequest *head = &out_call->head;

  if (size < sizeof *head)
    return FALSE;
  memcpy (head, packet, sizeof *head);
  if (head->version != LODGE_FILES_VERSION || head->op >= G_N_ELEMENTS (servers)
      || servers[head->op] == NULL || head->path_len > LODGE_FILES_PATH_MAX
      || head->extra_len > LODGE_FILES_PATH_MAX
      || size != sizeof *head + head->path_len + head->extra_len)
    return FALSE;
  memcpy (out_call->path, packet + sizeof *head, head->path_len);
  memcpy (out_call->extra, packet + sizeof *head + head->path_len, head->extra_len);
  out_call->path[head->path_len] = out_call->extra[head->extra_len] = '\0';
  return out_call->path[0] == '/' && strlen (out_call->path) == head->path_len
         && strlen (out_call->extra) == head->extra_len
         && g_utf8_validate (out_call->path, -1, NULL)
         && g_utf8_validate (out_call->extra, -1, NULL);
}

/* Returns: whether the session goes on. */
static gboolean
serve_packet (LodgeKvmSession *session, guint8 *packet)
{
  char control[CMSG_SPACE (8 * sizeof (int))];
  struct iovec part = { .iov_base = packet, .iov_len = LODGE_FILES_PACKET_MAX };
  struct msghdr message = {
    .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
  };
  ssize_t n = recvmsg (session->socket, &message, MSG_CMSG_CLOEXEC);

  if (n <= 0)
    return n < 0 && errno == EINTR;
  g_auto (LodgeFd) fd = take_fd (&message);
  g_autofree Call *call = g_new0 (Call, 1);
  call->fd = fd;
  if (message.msg_flags & MSG_TRUNC || !decode (packet, (gsize) n, call))
    return send_error (session, EINVAL, "not a request that the guest agent can serve");
  return servers[call->head.op](session, call);
}

static void
files_run (LodgeKvmSession *session)
{
  g_autofree guint8 *packet = g_malloc (LODGE_FILES_PACKET_MAX);
  GError *error = NULL;
  gboolean on = TRUE;
  int fds[2];

  if (!lodge_kvm_session_wait_for_agent (session, FALSE, &error))
    {
      lodge_kvm_session_failed (session, error);
      return;
    }
  if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
    {
      lodge_error_set_errno (&error, errno, "cannot make a socket pair");
      lodge_kvm_session_failed (session, error);
      return;
    }
  session->socket = fds[1];
  lodge_kvm_session_started (session, fds[0]);
  while (on)
    {
      g_auto (LodgeKvmWishes) wishes = { 0 };
      struct pollfd poll_fds[] = { { .fd = session->socket, .events = POLLIN },
                                   { .fd = session->wake_fd, .events = POLLIN } };
      if (poll (poll_fds, G_N_ELEMENTS (poll_fds), -1) < 0 && errno != EINTR)
        break;
      lodge_kvm_session_get_wishes (session, &wishes);
      if (wishes.hung_up || wishes.signals->len > 0)
        break;
      if (poll_fds[0].revents != 0)
        on = serve_packet (session, packet);
    }
  lodge_fd_clear (&session->socket);
  lodge_kvm_session_exited (session, 0, 0);
}

void
lodge_kvm_open_files (LodgeDriver *driver, const char *uuid, gboolean running,
                      GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (driver, cancellable, callback, user_data);
  GError *error = NULL;

  g_task_set_source_tag (task, lodge_kvm_open_files);
  if (!running)
    {
      lodge_kvm_open_files_offline (LODGE_KVM_DRIVER (driver), uuid, g_steal_pointer (&task));
      return;
    }
  LodgeKvmSession *session
      = lodge_kvm_session_new (LODGE_KVM_DRIVER (driver), uuid, NULL, files_run, &error);
  if (session == NULL)
    {
      g_task_return_error (task, error);
      return;
    }
  lodge_kvm_session_start (session, g_steal_pointer (&task));
}

int
lodge_kvm_open_files_finish (LodgeDriver *driver, GAsyncResult *result, LodgeProcess **out_server,
                             GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, driver), -1);
  g_autoptr (LodgeExecResult) session = g_task_propagate_pointer (G_TASK (result), error);

  if (session == NULL)
    return -1;
  *out_server = g_steal_pointer (&session->process);
  return lodge_fd_steal (&session->pty_fd);
}
