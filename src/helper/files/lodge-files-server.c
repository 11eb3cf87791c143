/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-files-private.h"

#include "lodge-io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A reply packet.  The texts come after the head: `text`, then the link's target. */
typedef struct
{
  LodgeFilesReply head;
  char texts[LODGE_FILES_PACKET_MAX - sizeof (LodgeFilesReply)];
} Reply;

static void
describe (Reply *reply, const struct stat *st)
{
  static const struct
  {
    mode_t format;
    LodgeFilesType type;
  } types[] = {
    { S_IFREG, LODGE_FILES_TYPE_FILE },
    { S_IFDIR, LODGE_FILES_TYPE_DIR },
    { S_IFLNK, LODGE_FILES_TYPE_SYMLINK },
  };

  memset (&reply->head, 0, sizeof reply->head);
  reply->head.version = LODGE_FILES_VERSION;
  reply->head.type = LODGE_FILES_TYPE_OTHER;
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if ((st->st_mode & S_IFMT) == types[i].format)
      reply->head.type = types[i].type;
  reply->head.uid = st->st_uid;
  reply->head.gid = st->st_gid;
  reply->head.mode = st->st_mode & 07777;
  reply->head.size = (uint64_t) st->st_size;
  reply->head.mtime = st->st_mtim.tv_sec;
}

static int
send_reply (const LodgeFilesServer *server, const Reply *reply)
{
  size_t size = sizeof reply->head + reply->head.text_len + reply->head.link_len;
  ssize_t n;

  do
    n = send (server->session, reply, size, MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  return n < 0 ? -errno : 0;
}

static int
send_error (const LodgeFilesServer *server, const LodgeFilesCall *call, int error)
{
  static const char *const verbs[] = {
    [LODGE_FILES_STAT] = "Cannot examine",  [LODGE_FILES_LIST] = "Cannot list",
    [LODGE_FILES_GET] = "Cannot read",      [LODGE_FILES_PUT] = "Cannot write",
    [LODGE_FILES_MKDIR] = "Cannot make",    [LODGE_FILES_SYMLINK] = "Cannot link",
    [LODGE_FILES_REMOVE] = "Cannot remove",
  };
  const char *verb = call->head.op < sizeof verbs / sizeof *verbs ? verbs[call->head.op] : NULL;
  const char *reason = strerror (-error);
  Reply reply;
  int n;

  memset (&reply.head, 0, sizeof reply.head);
  reply.head.version = LODGE_FILES_VERSION;
  reply.head.flags = LODGE_FILES_END;
  reply.head.error = -error;
  if (error == -EINVAL && call->head.op == LODGE_FILES_GET)
    reason = "it is not a regular file";
  else if (error == -EINVAL && call->fd >= 0)
    reason = "the name, the owner or the file that was passed is not valid";
  n = snprintf (reply.texts, sizeof reply.texts, "%s “%s”: %s",
                verb ? verb : "Cannot do what was asked with", call->path, reason);
  reply.head.text_len = (uint16_t) n;
  return send_reply (server, &reply);
}

/* Adds the target of the link @name of @dir ("": of @dir itself) to a reply about it. */
static void
add_target (Reply *reply, int dir, const char *name)
{
  ssize_t n;

  if (reply->head.type != LODGE_FILES_TYPE_SYMLINK)
    return;
  n = readlinkat (dir, name, reply->texts + reply->head.text_len, PATH_MAX);
  if (n > 0)
    reply->head.link_len = (uint16_t) n;
}

static int
do_stat (const LodgeFilesServer *server, LodgeFilesCall *call, Reply *reply)
{
  int follow = call->head.flags & LODGE_FILES_FOLLOW ? 0 : O_NOFOLLOW;
  LODGE_AUTOFD fd = lodge_files_open (server, call->path, O_PATH | follow);
  struct stat st;

  if (fd < 0)
    return fd;
  if (fstat (fd, &st) < 0)
    return -errno;
  describe (reply, &st);
  add_target (reply, fd, "");
  return 0;
}

static int
send_entry (const LodgeFilesServer *server, int dir, const char *name)
{
  size_t length = strlen (name);
  struct stat st;
  Reply reply;

  /* It may have gone since it was read. */
  if (fstatat (dir, name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0)
    return 0;
  describe (&reply, &st);
  memcpy (reply.texts, name, length);
  reply.head.text_len = (uint16_t) length;
  add_target (&reply, dir, name);
  return send_reply (server, &reply);
}

static int
do_list (const LodgeFilesServer *server, LodgeFilesCall *call, Reply *reply)
{
  int fd = lodge_files_open (server, call->path, O_RDONLY | O_DIRECTORY | O_NONBLOCK);
  DIR *dir = fd < 0 ? NULL : fdopendir (fd);
  struct dirent *entry;
  int r = 0;

  if (fd < 0)
    return fd;
  if (!dir)
    {
      r = -errno;
      close (fd);
      return r;
    }
  while (r == 0 && (errno = 0, entry = readdir (dir)))
    if (strcmp (entry->d_name, ".") != 0 && strcmp (entry->d_name, "..") != 0)
      r = send_entry (server, dirfd (dir), entry->d_name);
  if (r == 0 && errno != 0)
    r = -errno;
  closedir (dir);
  memset (&reply->head, 0, sizeof reply->head);
  reply->head.version = LODGE_FILES_VERSION;
  reply->head.flags = LODGE_FILES_END;
  return r;
}

static int
do_get (const LodgeFilesServer *server, LodgeFilesCall *call, Reply *reply)
{
  int follow = call->head.flags & LODGE_FILES_FOLLOW ? 0 : O_NOFOLLOW;
  LODGE_AUTOFD path = -1;
  LODGE_AUTOFD fd = -1;
  struct stat st;
  int r;

  if (call->fd < 0)
    return -EBADF;
  if (fstat (call->fd, &st) < 0 || !S_ISREG (st.st_mode))
    return -EBADF;
  path = lodge_files_open (server, call->path, O_PATH | follow);
  if (path < 0)
    return path;
  if (fstat (path, &st) < 0)
    return -errno;
  if (!S_ISREG (st.st_mode))
    return S_ISDIR (st.st_mode) ? -EISDIR : -EINVAL;
  fd = lodge_files_reopen (server, path, O_RDONLY);
  if (fd < 0)
    return fd;
  r = lodge_files_copy (fd, call->fd, (uint64_t) st.st_size);
  if (r < 0)
    return r;
  describe (reply, &st);
  return 0;
}

static int
change (const LodgeFilesServer *server, LodgeFilesCall *call, Reply *reply,
        int (*operation) (const LodgeFilesServer *, LodgeFilesCall *, struct stat *))
{
  struct stat st;
  int r;

  if ((call->head.flags & LODGE_FILES_SET_OWNER)
      && (call->head.uid >= server->ids || call->head.gid >= server->ids))
    return -EINVAL;
  r = operation (server, call, &st);
  if (r == 0)
    describe (reply, &st);
  return r;
}

static int
perform (const LodgeFilesServer *server, LodgeFilesCall *call, Reply *reply)
{
  switch ((LodgeFilesOp) call->head.op)
    {
    case LODGE_FILES_STAT:
      return do_stat (server, call, reply);
    case LODGE_FILES_LIST:
      return do_list (server, call, reply);
    case LODGE_FILES_GET:
      return do_get (server, call, reply);
    case LODGE_FILES_PUT:
      return change (server, call, reply, lodge_files_put);
    case LODGE_FILES_MKDIR:
      return change (server, call, reply, lodge_files_make_dir);
    case LODGE_FILES_SYMLINK:
      return change (server, call, reply, lodge_files_make_link);
    case LODGE_FILES_REMOVE:
      return change (server, call, reply, lodge_files_remove);
    }
  return -EOPNOTSUPP;
}

/* Takes the descriptors of @message: the first into @call, more than one is an error. */
static int
take_descriptors (struct msghdr *message, LodgeFilesCall *call)
{
  size_t n = 0;

  for (struct cmsghdr *header = CMSG_FIRSTHDR (message); header;
       header = CMSG_NXTHDR (message, header))
    {
      if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
        continue;
      for (size_t i = 0; CMSG_LEN ((i + 1) * sizeof (int)) <= header->cmsg_len; i++)
        {
          int fd;

          memcpy (&fd, CMSG_DATA (header) + i * sizeof (int), sizeof fd);
          if (n++ == 0)
            call->fd = fd;
          else
            close (fd);
        }
    }
  return n > 1 || (message->msg_flags & MSG_CTRUNC) ? -EINVAL : 0;
}

/* Cuts the packet into the fields of @call and checks them. */
static int
parse (const char *packet, size_t size, LodgeFilesCall *call)
{
  LodgeFilesRequest *head = &call->head;

  if (size < sizeof *head)
    return -EPROTO;
  memcpy (head, packet, sizeof *head);
  if (head->version != LODGE_FILES_VERSION || head->reserved != 0)
    return -EPROTO;
  if (head->path_len > LODGE_FILES_PATH_MAX || head->extra_len > LODGE_FILES_PATH_MAX
      || sizeof *head + head->path_len + head->extra_len != size)
    return -EPROTO;
  packet += sizeof *head;
  memcpy (call->path, packet, head->path_len);
  call->path[head->path_len] = '\0';
  memcpy (call->extra, packet + head->path_len, head->extra_len);
  call->extra[head->extra_len] = '\0';
  if (call->path[0] != '/' || strlen (call->path) != head->path_len
      || strlen (call->extra) != head->extra_len)
    return -EINVAL;
  return 0;
}

/* Receives a packet into @call.  1: there is one; 0: the session has ended; else -errno of the
 * session; what is wrong with the packet goes to @out_error. */
static int
receive (const LodgeFilesServer *server, LodgeFilesCall *call, int *out_error)
{
  char packet[LODGE_FILES_PACKET_MAX];
  union
  {
    struct cmsghdr header;
    char bytes[CMSG_SPACE (4 * sizeof (int))];
  } control;
  struct iovec iov = { packet, sizeof packet };
  struct msghdr message = {
    .msg_iov = &iov,
    .msg_iovlen = 1,
    .msg_control = control.bytes,
    .msg_controllen = sizeof control.bytes,
  };
  ssize_t n;

  do
    n = recvmsg (server->session, &message, MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n < 0)
    return errno == ECONNRESET ? 0 : -errno;
  if (n == 0)
    return 0;
  call->path[0] = '\0';
  call->head.op = 0;
  *out_error = take_descriptors (&message, call);
  if (*out_error == 0)
    *out_error = message.msg_flags & MSG_TRUNC ? -EMSGSIZE : parse (packet, (size_t) n, call);
  return 1;
}

/* Serves one request: as receive(). */
static int
serve_one (const LodgeFilesServer *server)
{
  LodgeFilesCall call;
  Reply reply;
  int error = 0;
  int r;

  call.fd = -1;
  r = receive (server, &call, &error);
  if (r <= 0)
    return r;
  if (error == 0)
    error = server->refusal != 0 ? -server->refusal : perform (server, &call, &reply);
  lodge_io_close (&call.fd);
  r = error < 0 ? send_error (server, &call, error) : send_reply (server, &reply);
  /* A peer that has gone has ended the session. */
  return r == -EPIPE || r == -ECONNRESET ? 0 : r < 0 ? r : 1;
}

bool
lodge_files_serve (const LodgeFilesServer *server, LodgeFail *fail)
{
  int r;

  do
    r = serve_one (server);
  while (r > 0);
  return r == 0 || lodge_fail_errno (fail, r, "The file session failed");
}
