/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-guest-files.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lodge-io.h"
#include "lodge/lodge-files.h"

/* One message of libguestfs; the protocol ends at four MiB. */
#define CHUNK (2u << 20)

typedef struct
{
  guestfs_h *handle;
  int session;
  LodgeFilesRequest head;
  char path[LODGE_FILES_PATH_MAX + 1];
  char extra[LODGE_FILES_PATH_MAX + 1];
  int fd; /* the client's file, or -1 */
} Call;

typedef struct
{
  LodgeFilesReply head;
  char texts[LODGE_FILES_PACKET_MAX - sizeof (LodgeFilesReply)];
} Reply;

typedef struct guestfs_statns Stat;
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Stat, guestfs_free_statns)

/* ---- replies ---- */

static int
send_reply (const Call *call, const Reply *reply)
{
  size_t size = sizeof reply->head + reply->head.text_len + reply->head.link_len;
  ssize_t n;

  do
    n = send (call->session, reply, size, MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  return n < 0 ? -errno : 0;
}

static void
clear_reply (Reply *reply)
{
  memset (&reply->head, 0, sizeof reply->head);
  reply->head.version = LODGE_FILES_VERSION;
}

static int
send_error (const Call *call, int error)
{
  Reply reply;

  clear_reply (&reply);
  reply.head.flags = LODGE_FILES_END;
  reply.head.error = -error;
  int n = g_snprintf (reply.texts, sizeof reply.texts, "“%.4096s”: %s", call->path,
                      error == -EINVAL && call->head.op == LODGE_FILES_GET
                          ? "it is not a regular file"
                          : g_strerror (-error));
  reply.head.text_len = (uint16_t) MIN (n, (int) sizeof reply.texts - 1);
  return send_reply (call, &reply);
}

static void
describe (Reply *reply, const Stat *st)
{
  static const struct
  {
    mode_t format;
    LodgeFilesType type;
  } TYPES[] = {
    { S_IFREG, LODGE_FILES_TYPE_FILE },
    { S_IFDIR, LODGE_FILES_TYPE_DIR },
    { S_IFLNK, LODGE_FILES_TYPE_SYMLINK },
  };

  clear_reply (reply);
  for (gsize i = 0; i < G_N_ELEMENTS (TYPES); i++)
    if (((mode_t) st->st_mode & S_IFMT) == TYPES[i].format)
      reply->head.type = TYPES[i].type;
  reply->head.uid = (uint32_t) st->st_uid;
  reply->head.gid = (uint32_t) st->st_gid;
  reply->head.mode = (uint32_t) st->st_mode & 07777;
  reply->head.size = (uint64_t) st->st_size;
  reply->head.mtime = st->st_mtime_sec;
}

static void
append (Reply *reply, uint16_t *length, const char *text)
{
  size_t used = (size_t) reply->head.text_len + reply->head.link_len;
  size_t size = MIN (strlen (text), sizeof reply->texts - used);

  memcpy (reply->texts + used, text, size);
  *length = (uint16_t) size;
}

/* ---- operations: 0 or -errno ---- */

static int
last_error (const Call *call)
{
  int error = guestfs_last_errno (call->handle);
  return error > 0 ? -error : -EIO;
}

static Stat *
examine (const Call *call, const char *path, bool follow)
{
  return follow ? guestfs_statns (call->handle, path) : guestfs_lstatns (call->handle, path);
}

static bool
is_of (const Stat *st, mode_t format)
{
  return st != NULL && ((mode_t) st->st_mode & S_IFMT) == format;
}

static int
do_stat (Call *call, Reply *reply)
{
  g_autoptr (Stat) st = examine (call, call->path, (call->head.flags & LODGE_FILES_FOLLOW) != 0);

  if (st == NULL)
    return last_error (call);
  describe (reply, st);
  if (is_of (st, S_IFLNK))
    {
      char *target = guestfs_readlink (call->handle, call->path);
      if (target != NULL)
        append (reply, &reply->head.link_len, target);
      free (target);
    }
  return 0;
}

static int
send_entries (Call *call, char **names, struct guestfs_statns_list *stats, char **targets)
{
  for (uint32_t i = 0; i < stats->len && names[i] != NULL; i++)
    {
      Reply reply;

      /* -1: it has gone meanwhile. */
      if (stats->val[i].st_ino == -1)
        continue;
      describe (&reply, &stats->val[i]);
      append (&reply, &reply.head.text_len, names[i]);
      if (targets != NULL && targets[i] != NULL && *targets[i] != '\0')
        append (&reply, &reply.head.link_len, targets[i]);
      int status = send_reply (call, &reply);
      if (status < 0)
        return status;
    }
  return 0;
}

static int
do_list (Call *call, Reply *reply)
{
  char **names = guestfs_ls (call->handle, call->path);
  struct guestfs_statns_list *stats = NULL;
  char **targets = NULL;
  int status = 0;

  if (names == NULL)
    return last_error (call);
  stats = guestfs_lstatnslist (call->handle, call->path, names);
  targets = guestfs_readlinklist (call->handle, call->path, names);
  status = stats != NULL ? send_entries (call, names, stats, targets) : last_error (call);
  clear_reply (reply);
  reply->head.flags = LODGE_FILES_END;
  for (char **item = names; *item != NULL; item++)
    free (*item);
  for (char **item = targets; item != NULL && *item != NULL; item++)
    free (*item);
  free (names);
  free (targets);
  guestfs_free_statns_list (stats);
  return status;
}

static int
check_client_file (const Call *call, struct stat *out_stat)
{
  if (call->fd < 0 || fstat (call->fd, out_stat) < 0)
    return -EBADF;
  return S_ISREG (out_stat->st_mode) ? 0 : -EINVAL;
}

static int
write_client (int fd, const char *data, size_t size, off_t offset)
{
  while (size > 0)
    {
      ssize_t n = pwrite (fd, data, size, offset);
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return -errno;
      data += n;
      offset += n;
      size -= (size_t) n;
    }
  return 0;
}

static int
do_get (Call *call, Reply *reply)
{
  g_autoptr (Stat) st = examine (call, call->path, (call->head.flags & LODGE_FILES_FOLLOW) != 0);
  struct stat client;

  if (check_client_file (call, &client) < 0)
    return -EBADF;
  if (st == NULL)
    return last_error (call);
  if (!is_of (st, S_IFREG))
    return is_of (st, S_IFDIR) ? -EISDIR : -EINVAL;
  for (int64_t offset = 0; offset < st->st_size;)
    {
      size_t size;
      char *data = guestfs_pread (call->handle, call->path,
                                  (int) MIN (st->st_size - offset, (int64_t) CHUNK), offset, &size);
      if (data == NULL)
        return last_error (call);
      int status = size > 0 ? write_client (call->fd, data, size, offset) : -EIO;
      free (data);
      if (status < 0)
        return status;
      offset += (int64_t) size;
    }
  describe (reply, st);
  return 0;
}

static char *
parent_of (const char *path)
{
  return g_path_get_dirname (path);
}

static int
make_parents (Call *call)
{
  g_autofree char *parent = parent_of (call->path);

  if ((call->head.flags & LODGE_FILES_MAKE_PARENTS) == 0)
    return 0;
  return guestfs_mkdir_p (call->handle, parent) == 0 ? 0 : last_error (call);
}

static int
set_attributes (Call *call, const char *path, const Stat *old, int fallback)
{
  uint32_t flags = call->head.flags;
  bool owner = (flags & LODGE_FILES_SET_OWNER) != 0;
  int uid = owner ? (int) call->head.uid : old != NULL ? (int) old->st_uid : 0;
  int gid = owner ? (int) call->head.gid : old != NULL ? (int) old->st_gid : 0;
  int mode = (flags & LODGE_FILES_SET_MODE) != 0 ? (int) call->head.mode & 07777
             : old != NULL                       ? (int) old->st_mode & 07777
                                                 : fallback;

  /* The owner first: changing it clears the set-uid bits. */
  if (guestfs_chown (call->handle, uid, gid, path) < 0
      || guestfs_chmod (call->handle, mode, path) < 0)
    return last_error (call);
  if ((flags & LODGE_FILES_SET_MTIME) != 0
      && guestfs_utimens (call->handle, path, 0, -1, call->head.mtime, 0) < 0)
    return last_error (call);
  return 0;
}

static int
copy_from_client (Call *call, const char *path, off_t size)
{
  g_autofree char *block = g_malloc (CHUNK);

  if (guestfs_touch (call->handle, path) < 0 || guestfs_chmod (call->handle, 0600, path) < 0)
    return last_error (call);
  for (off_t offset = 0; offset < size;)
    {
      ssize_t n = pread (call->fd, block, MIN ((size_t) (size - offset), CHUNK), offset);
      if (n <= 0)
        return n < 0 ? -errno : -EIO;
      for (ssize_t done = 0; done < n;)
        {
          int written = guestfs_pwrite (call->handle, path, block + done, (size_t) (n - done),
                                        offset + done);
          if (written <= 0)
            return last_error (call);
          done += written;
        }
      offset += n;
    }
  return 0;
}

static int
do_put (Call *call, Reply *reply)
{
  g_autofree char *parent = parent_of (call->path);
  g_autofree char *temporary
      = g_strdup_printf ("%s/.lodge-%08x%08x", parent, g_random_int (), g_random_int ());
  struct stat source;
  int status = check_client_file (call, &source);

  if (status == 0)
    status = make_parents (call);
  if (status < 0)
    return status;
  g_autoptr (Stat) old = examine (call, call->path, false);
  if (is_of (old, S_IFDIR))
    return -EISDIR;
  status = copy_from_client (call, temporary, source.st_size);
  if (status == 0)
    status = set_attributes (call, temporary, is_of (old, S_IFREG) ? old : NULL, 0644);
  if (status == 0 && guestfs_rename (call->handle, temporary, call->path) < 0)
    status = last_error (call);
  if (status < 0)
    {
      guestfs_rm_f (call->handle, temporary);
      return status;
    }
  return do_stat (call, reply);
}

static int
do_make_dir (Call *call, Reply *reply)
{
  int status = make_parents (call);

  if (status < 0)
    return status;
  g_autoptr (Stat) old = examine (call, call->path, true);
  if (old != NULL && !is_of (old, S_IFDIR))
    return -EEXIST;
  if (old == NULL)
    {
      if (guestfs_mkdir (call->handle, call->path) < 0)
        return last_error (call);
      status = set_attributes (call, call->path, NULL, 0755);
    }
  return status < 0 ? status : do_stat (call, reply);
}

static int
do_make_link (Call *call, Reply *reply)
{
  int status = make_parents (call);

  if (*call->extra == '\0')
    return -EINVAL;
  if (status < 0)
    return status;
  g_autoptr (Stat) old = examine (call, call->path, false);
  if (old != NULL && !is_of (old, S_IFLNK))
    return -EEXIST;
  if ((old != NULL && guestfs_rm (call->handle, call->path) < 0)
      || guestfs_ln_s (call->handle, call->extra, call->path) < 0)
    return last_error (call);
  if ((call->head.flags & LODGE_FILES_SET_OWNER) != 0
      && guestfs_lchown (call->handle, (int) call->head.uid, (int) call->head.gid, call->path) < 0)
    return last_error (call);
  return do_stat (call, reply);
}

static int
do_remove (Call *call, Reply *reply)
{
  g_autoptr (Stat) st = examine (call, call->path, false);

  if (st == NULL)
    return last_error (call);
  describe (reply, st);
  int status = is_of (st, S_IFDIR) ? guestfs_rmdir (call->handle, call->path)
                                   : guestfs_rm (call->handle, call->path);
  return status == 0 ? 0 : last_error (call);
}

/* ---- requests ---- */

static int (*const OPERATIONS[]) (Call *, Reply *) = {
  [LODGE_FILES_STAT] = do_stat,      [LODGE_FILES_LIST] = do_list,
  [LODGE_FILES_GET] = do_get,        [LODGE_FILES_PUT] = do_put,
  [LODGE_FILES_MKDIR] = do_make_dir, [LODGE_FILES_SYMLINK] = do_make_link,
  [LODGE_FILES_REMOVE] = do_remove,
};

static int
parse (const char *packet, size_t size, Call *call)
{
  LodgeFilesRequest *head = &call->head;

  if (size < sizeof *head)
    return -EPROTO;
  memcpy (head, packet, sizeof *head);
  if (head->version != LODGE_FILES_VERSION || head->reserved != 0
      || head->path_len > LODGE_FILES_PATH_MAX || head->extra_len > LODGE_FILES_PATH_MAX
      || sizeof *head + head->path_len + head->extra_len != size)
    return -EPROTO;
  packet += sizeof *head;
  memcpy (call->path, packet, head->path_len);
  call->path[head->path_len] = '\0';
  memcpy (call->extra, packet + head->path_len, head->extra_len);
  call->extra[head->extra_len] = '\0';
  if (*call->path != '/' || strlen (call->path) != head->path_len
      || strlen (call->extra) != head->extra_len)
    return -EINVAL;
  return head->op < G_N_ELEMENTS (OPERATIONS) && OPERATIONS[head->op] != NULL ? 0 : -EOPNOTSUPP;
}

static int
take_descriptors (struct msghdr *message, Call *call)
{
  size_t n = 0;

  for (struct cmsghdr *c = CMSG_FIRSTHDR (message); c != NULL; c = CMSG_NXTHDR (message, c))
    for (size_t i = 0; c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS
                       && CMSG_LEN ((i + 1) * sizeof (int)) <= c->cmsg_len;
         i++)
      {
        int fd;
        memcpy (&fd, CMSG_DATA (c) + i * sizeof fd, sizeof fd);
        if (n++ == 0)
          call->fd = fd;
        else
          close (fd);
      }
  return n > 1 || (message->msg_flags & (MSG_CTRUNC | MSG_TRUNC)) != 0 ? -EINVAL : 0;
}

/** 1: a request was answered; 0: the session has ended; else -errno of the session. */
static int
serve_one (Call *call)
{
  char packet[LODGE_FILES_PACKET_MAX];
  char control[CMSG_SPACE (4 * sizeof (int))] = { 0 };
  struct iovec iov = { packet, sizeof packet };
  struct msghdr message = {
    .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
  };
  Reply reply;

  call->fd = -1;
  call->path[0] = '\0';
  call->head.op = 0;
  ssize_t n = recvmsg (call->session, &message, MSG_CMSG_CLOEXEC);
  if (n <= 0)
    return n == 0 || errno == ECONNRESET ? 0 : errno == EINTR ? 1 : -errno;
  int error = take_descriptors (&message, call);
  if (error == 0)
    error = parse (packet, (size_t) n, call);
  if (error == 0)
    error = OPERATIONS[call->head.op](call, &reply);
  lodge_io_close (&call->fd);
  int status = error < 0 ? send_error (call, error) : send_reply (call, &reply);
  /* A peer that has gone has ended the session. */
  return status == -EPIPE || status == -ECONNRESET ? 0 : status < 0 ? status : 1;
}

void
lodge_guest_files_send_failure (int session, const char *text)
{
  Call call = { .session = session };
  Reply reply;

  clear_reply (&reply);
  reply.head.flags = LODGE_FILES_END;
  reply.head.error = EIO;
  reply.head.text_len = (uint16_t) g_strlcpy (reply.texts, text, sizeof reply.texts);
  if (reply.head.text_len >= sizeof reply.texts)
    reply.head.text_len = sizeof reply.texts - 1;
  send_reply (&call, &reply);
}

bool
lodge_guest_files_serve (guestfs_h *handle, int session, LodgeFail *fail)
{
  Call call = { .handle = handle, .session = session };
  int status;

  do
    status = serve_one (&call);
  while (status > 0);
  return status == 0 || lodge_fail_errno (fail, status, "The file session failed");
}
