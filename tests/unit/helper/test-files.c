/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-files-server.h"

#include "lodge/lodge-files.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TRIES 100000

/* A tree "root", with a file beside it that nothing may touch, and a session to it. */
typedef struct
{
  char *dir;
  char *root;
  int session;
  LodgeFilesServer server;
  GThread *thread;
  LodgeFilesReply reply;
  char text[LODGE_FILES_PACKET_MAX];
} Fixture;

static gpointer
serve (gpointer data)
{
  const LodgeFilesServer *server = data;
  LodgeFail fail = { 0 };
  gboolean ok = lodge_files_serve (server, &fail);

  close (server->session);
  return GINT_TO_POINTER (ok);
}

static void
set_up (Fixture *fixture, gconstpointer data)
{
  g_autofree char *canary = NULL;
  int pair[2];

  fixture->dir = g_dir_make_tmp ("lodge-files-XXXXXX", NULL);
  fixture->root = g_build_filename (fixture->dir, "root", NULL);
  canary = g_build_filename (fixture->dir, "canary", NULL);
  g_assert_cmpint (g_mkdir (fixture->root, 0755), ==, 0);
  g_assert_cmpint (g_mkdir (canary, 0755), ==, 0);
  g_assert_cmpint (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), ==, 0);
  fixture->session = pair[0];
  fixture->server.session = pair[1];
  fixture->server.root = open (fixture->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
  fixture->server.self = open ("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
  fixture->server.ids = 65536;
  fixture->thread = g_thread_new ("server", serve, &fixture->server);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_autofree char *command = g_strdup_printf ("rm -rf '%s'", fixture->dir);

  close (fixture->session);
  g_assert_true (GPOINTER_TO_INT (g_thread_join (fixture->thread)));
  close (fixture->server.root);
  close (fixture->server.self);
  g_assert_cmpint (system (command), ==, 0);
  g_free (fixture->dir);
  g_free (fixture->root);
}

/* Receives a reply.  Returns its errno value. */
static int
receive (Fixture *fixture)
{
  char packet[LODGE_FILES_PACKET_MAX];
  ssize_t n = recv (fixture->session, packet, sizeof packet, 0);

  g_assert_cmpint (n, >=, sizeof fixture->reply);
  memcpy (&fixture->reply, packet, sizeof fixture->reply);
  g_assert_cmpint (n, ==,
                   sizeof fixture->reply + fixture->reply.text_len + fixture->reply.link_len);
  memcpy (fixture->text, packet + sizeof fixture->reply, n - sizeof fixture->reply);
  fixture->text[n - sizeof fixture->reply] = '\0';
  return fixture->reply.error;
}

static void
send_packet (Fixture *fixture, const void *data, gsize size, int fd)
{
  union
  {
    struct cmsghdr header;
    char bytes[CMSG_SPACE (sizeof (int))];
  } control = { 0 };
  struct iovec iov = { (void *) data, size };
  struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

  if (fd >= 0)
    {
      control.header.cmsg_level = SOL_SOCKET;
      control.header.cmsg_type = SCM_RIGHTS;
      control.header.cmsg_len = CMSG_LEN (sizeof fd);
      memcpy (CMSG_DATA (&control.header), &fd, sizeof fd);
      message.msg_control = control.bytes;
      message.msg_controllen = sizeof control.bytes;
    }
  g_assert_cmpint (sendmsg (fixture->session, &message, MSG_NOSIGNAL), ==, size);
}

/* Performs one request; @attributes: its uid, gid, mode, mtime and flags.  The errno value. */
static int
call (Fixture *fixture, LodgeFilesOp op, const char *path, const char *extra, int fd,
      LodgeFilesRequest attributes)
{
  char packet[LODGE_FILES_PACKET_MAX];
  gsize path_len = strlen (path);
  gsize extra_len = extra ? strlen (extra) : 0;

  attributes.version = LODGE_FILES_VERSION;
  attributes.op = op;
  attributes.path_len = (uint16_t) path_len;
  attributes.extra_len = (uint16_t) extra_len;
  memcpy (packet, &attributes, sizeof attributes);
  memcpy (packet + sizeof attributes, path, path_len);
  memcpy (packet + sizeof attributes + path_len, extra ? extra : "", extra_len);
  send_packet (fixture, packet, sizeof attributes + path_len + extra_len, fd);
  return receive (fixture);
}

#define NO_ATTRIBUTES ((LodgeFilesRequest){ 0 })

static int
memory_file (const char *text)
{
  int fd = memfd_create ("content", MFD_CLOEXEC);

  g_assert_cmpint (write (fd, text, strlen (text)), ==, strlen (text));
  return fd;
}

static gboolean
skip_unless_root (void)
{
  if (geteuid () == 0)
    return FALSE;
  g_test_skip ("only root may give files to users");
  return TRUE;
}

static void
test_copy (Fixture *fixture, gconstpointer data)
{
  const LodgeFilesRequest all = {
    .flags = LODGE_FILES_MAKE_PARENTS | LODGE_FILES_SET_OWNER | LODGE_FILES_SET_MODE
             | LODGE_FILES_SET_MTIME,
    .uid = 33,
    .gid = 4,
    .mode = 04751,
    .mtime = 1000,
  };
  char buffer[16] = "";
  int source = memory_file ("hello");
  int target = memory_file ("");

  if (skip_unless_root ())
    return;
  g_assert_cmpint (call (fixture, LODGE_FILES_PUT, "/a/b/f", NULL, source, NO_ATTRIBUTES), ==,
                   ENOENT);
  g_assert_nonnull (strstr (fixture->text, "/a/b/f"));
  g_assert_cmpint (call (fixture, LODGE_FILES_PUT, "/a/b/f", NULL, source, all), ==, 0);
  g_assert_cmpint (call (fixture, LODGE_FILES_STAT, "/a/b/f", NULL, -1, NO_ATTRIBUTES), ==, 0);
  g_assert_cmpuint (fixture->reply.uid, ==, 33);
  g_assert_cmpuint (fixture->reply.gid, ==, 4);
  g_assert_cmpuint (fixture->reply.mode, ==, 04751);
  g_assert_cmpint (fixture->reply.mtime, ==, 1000);
  g_assert_cmpuint (fixture->reply.size, ==, 5);

  /* Another content keeps what the request does not set. */
  g_assert_cmpint (call (fixture, LODGE_FILES_PUT, "/a/b/f", NULL, source, NO_ATTRIBUTES), ==, 0);
  g_assert_cmpuint (fixture->reply.uid, ==, 33);
  g_assert_cmpuint (fixture->reply.mode, ==, 04751);

  g_assert_cmpint (call (fixture, LODGE_FILES_GET, "/a/b/f", NULL, target, NO_ATTRIBUTES), ==, 0);
  g_assert_cmpint (pread (target, buffer, sizeof buffer, 0), ==, 5);
  g_assert_cmpstr (buffer, ==, "hello");
  close (source);
  close (target);
}

static void
test_sparse (Fixture *fixture, gconstpointer data)
{
  const off_t size = (off_t) 1 << 38;
  int source = memory_file ("");
  char byte = 'x';
  struct stat st;
  g_autofree char *path = g_build_filename (fixture->root, "sparse", NULL);

  if (skip_unless_root ())
    return;
  g_assert_cmpint (ftruncate (source, size), ==, 0);
  g_assert_cmpint (pwrite (source, &byte, 1, size / 2), ==, 1);
  g_assert_cmpint (call (fixture, LODGE_FILES_PUT, "/sparse", NULL, source, NO_ATTRIBUTES), ==, 0);
  g_assert_cmpint (stat (path, &st), ==, 0);
  g_assert_cmpint (st.st_size, ==, size);
  g_assert_cmpint (st.st_blocks, <, 4096);
  close (source);
}

static void
test_links (Fixture *fixture, gconstpointer data)
{
  g_autofree char *outside = g_build_filename (fixture->dir, "canary", "f", NULL);
  int source = memory_file ("hello");

  if (skip_unless_root ())
    return;
  g_assert_cmpint (call (fixture, LODGE_FILES_SYMLINK, "/up", "../canary", -1, NO_ATTRIBUTES), ==,
                   0);
  g_assert_cmpint (call (fixture, LODGE_FILES_PUT, "/up/f", NULL, source, NO_ATTRIBUTES), ==,
                   ENOENT);
  g_assert_cmpint (call (fixture, LODGE_FILES_PUT, "/../canary/f", NULL, source, NO_ATTRIBUTES), ==,
                   ENOENT);
  g_assert_false (g_file_test (outside, G_FILE_TEST_EXISTS));

  /* A link that leads from the root leads from this root. */
  g_assert_cmpint (call (fixture, LODGE_FILES_MKDIR, "/d", NULL, -1, NO_ATTRIBUTES), ==, 0);
  g_assert_cmpint (call (fixture, LODGE_FILES_SYMLINK, "/up", "/d", -1, NO_ATTRIBUTES), ==, 0);
  g_assert_cmpint (call (fixture, LODGE_FILES_PUT, "/up/f", NULL, source, NO_ATTRIBUTES), ==, 0);
  g_assert_cmpint (call (fixture, LODGE_FILES_STAT, "/d/f", NULL, -1, NO_ATTRIBUTES), ==, 0);
  g_assert_cmpint (call (fixture, LODGE_FILES_STAT, "/up", NULL, -1, NO_ATTRIBUTES), ==, 0);
  g_assert_cmpuint (fixture->reply.type, ==, LODGE_FILES_TYPE_SYMLINK);
  g_assert_cmpstr (fixture->text, ==, "/d");

  g_assert_cmpint (call (fixture, LODGE_FILES_SYMLINK, "/d/f", "x", -1, NO_ATTRIBUTES), ==, EEXIST);
  /* Replaces the link, not what it leads to. */
  g_assert_cmpint (call (fixture, LODGE_FILES_PUT, "/up", NULL, source, NO_ATTRIBUTES), ==, 0);
  g_assert_cmpint (call (fixture, LODGE_FILES_STAT, "/up", NULL, -1, NO_ATTRIBUTES), ==, 0);
  g_assert_cmpuint (fixture->reply.type, ==, LODGE_FILES_TYPE_FILE);
  close (source);
}

static void
test_list_and_remove (Fixture *fixture, gconstpointer data)
{
  guint entries = 0;

  if (skip_unless_root ())
    return;
  for (guint i = 0; i < 300; i++)
    {
      g_autofree char *path = g_strdup_printf ("/dir/entry-%u", i);

      g_assert_cmpint (call (fixture, LODGE_FILES_MKDIR, path, NULL, -1,
                             (LodgeFilesRequest){ .flags = LODGE_FILES_MAKE_PARENTS }),
                       ==, 0);
    }
  g_assert_cmpint (call (fixture, LODGE_FILES_MKDIR, "/dir", NULL, -1, NO_ATTRIBUTES), ==, 0);
  g_assert_cmpint (call (fixture, LODGE_FILES_REMOVE, "/dir", NULL, -1, NO_ATTRIBUTES), ==,
                   ENOTEMPTY);
  g_assert_cmpint (call (fixture, LODGE_FILES_LIST, "/dir", NULL, -1, NO_ATTRIBUTES), ==, 0);
  while (!(fixture->reply.flags & LODGE_FILES_END))
    {
      g_assert_true (g_str_has_prefix (fixture->text, "entry-"));
      g_assert_cmpuint (fixture->reply.type, ==, LODGE_FILES_TYPE_DIR);
      entries++;
      g_assert_cmpint (receive (fixture), ==, 0);
    }
  g_assert_cmpuint (entries, ==, 300);
  g_assert_cmpint (call (fixture, LODGE_FILES_REMOVE, "/dir/entry-7", NULL, -1, NO_ATTRIBUTES), ==,
                   0);
  g_assert_cmpint (call (fixture, LODGE_FILES_LIST, "/nope", NULL, -1, NO_ATTRIBUTES), ==, ENOENT);
}

/* What cannot be asked for, and the errno value of the answer. */
static void
test_refused (Fixture *fixture, gconstpointer data)
{
  g_autofree char *fifo = g_build_filename (fixture->root, "fifo", NULL);
  g_autofree char *long_name = g_strnfill (300, 'x');
  int content = memory_file ("x");
  int null = open ("/dev/null", O_RDWR | O_CLOEXEC);
  const struct
  {
    LodgeFilesOp op;
    const char *path;
    int fd;
    int error;
  } rows[] = {
    { LODGE_FILES_GET, "/fifo", content, EINVAL }, { LODGE_FILES_GET, "/", content, EISDIR },
    { LODGE_FILES_GET, "/fifo", -1, EBADF },       { LODGE_FILES_GET, "/fifo", null, EBADF },
    { LODGE_FILES_PUT, "/f", -1, EBADF },          { LODGE_FILES_PUT, "/f", null, EINVAL },
    { LODGE_FILES_PUT, "/", content, EINVAL },     { LODGE_FILES_PUT, "/..", content, EINVAL },
    { LODGE_FILES_PUT, "f", content, EINVAL },     { LODGE_FILES_REMOVE, "/", -1, EINVAL },
    { LODGE_FILES_SYMLINK, "/l", -1, EINVAL },     { (LodgeFilesOp) 99, "/", -1, EOPNOTSUPP },
    { LODGE_FILES_LIST, "/fifo", -1, ENOTDIR },    { LODGE_FILES_STAT, "", -1, EINVAL },
  };

  g_assert_cmpint (mkfifo (fifo, 0666), ==, 0);
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    g_assert_cmpint (call (fixture, rows[i].op, rows[i].path, NULL, rows[i].fd, NO_ATTRIBUTES), ==,
                     rows[i].error);
  long_name[0] = '/';
  g_assert_cmpint (call (fixture, LODGE_FILES_PUT, long_name, NULL, content, NO_ATTRIBUTES), ==,
                   ENAMETOOLONG);
  g_assert_cmpint (call (fixture, LODGE_FILES_PUT, "/f", NULL, content,
                         (LodgeFilesRequest){ .flags = LODGE_FILES_SET_OWNER, .uid = 65536 }),
                   ==, EINVAL);
  send_packet (fixture, "short", 5, -1);
  g_assert_cmpint (receive (fixture), ==, EPROTO);
  close (content);
  close (null);
}

/* Set when the requests are done. */
static gint swap_ends;

/* Exchanges @first and @second for as long as the session is used. */
typedef struct
{
  char *first;
  char *second;
} Pair;

static gpointer
swap (gpointer data)
{
  const Pair *pair = data;

  while (!g_atomic_int_get (&swap_ends))
    if (syscall (SYS_renameat2, AT_FDCWD, pair->first, AT_FDCWD, pair->second, 2) < 0)
      g_assert_cmpint (errno, ==, ENOENT);
  return NULL;
}

/* All of a file but when it was read last. */
static char *
describe (const char *path)
{
  struct stat st;

  g_assert_cmpint (lstat (path, &st), ==, 0);
  return g_strdup_printf ("%lu %o %u:%u %lu %ld %ld.%09ld", (gulong) st.st_ino, st.st_mode,
                          st.st_uid, st.st_gid, (gulong) st.st_nlink, (glong) st.st_size,
                          (glong) st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
}

/* Row E05, and E06: what a link points to is neither written nor changed. */
static void
test_swap_race (Fixture *fixture, gconstpointer data)
{
  Pair pair = { .first = g_build_filename (fixture->root, "directory", NULL),
                .second = g_build_filename (fixture->root, "link", NULL) };
  g_autofree char *canary = g_build_filename (fixture->dir, "canary", NULL);
  const LodgeFilesRequest all
      = { .flags = LODGE_FILES_SET_OWNER | LODGE_FILES_SET_MODE | LODGE_FILES_SET_MTIME,
          .uid = 1000,
          .gid = 1000,
          .mode = 06777 };
  g_autoptr (GDir) dir = NULL;
  GThread *thread;
  int source = memory_file ("hello");
  guint written = 0;

  if (skip_unless_root ())
    return;
  g_assert_cmpint (g_mkdir (pair.first, 0755), ==, 0);
  g_assert_cmpint (symlink (canary, pair.second), ==, 0);
  g_autofree char *before = describe (canary);
  thread = g_thread_new ("swap", swap, &pair);
  for (guint i = 0; i < TRIES; i++)
    if (call (fixture, i % 2 ? LODGE_FILES_PUT : LODGE_FILES_MKDIR,
              i % 3 ? "/directory/f" : "/directory/../directory/g", NULL, i % 2 ? source : -1, all)
        == 0)
      written++;
  g_atomic_int_set (&swap_ends, 1);
  g_thread_join (thread);
  g_test_message ("%u of %u requests found the directory", written, TRIES);
  g_assert_cmpuint (written, >, 0);
  g_assert_cmpuint (written, <, TRIES);
  dir = g_dir_open (canary, 0, NULL);
  g_assert_null (g_dir_read_name (dir));
  g_autofree char *after = describe (canary);
  g_assert_cmpstr (after, ==, before);
  close (source);
  g_free (pair.first);
  g_free (pair.second);
}

/*
 * Row E06: what owner, mode and time are set of is the new file, directory or link, never what a
 * link leads to.  The one stays a link out of the root, the other is exchanged again and again for
 * what the requests make.
 */
static void
test_attributes_of_links (Fixture *fixture, gconstpointer data)
{
  static const LodgeFilesOp ops[]
      = { LODGE_FILES_PUT, LODGE_FILES_REMOVE, LODGE_FILES_SYMLINK, LODGE_FILES_MKDIR };
  g_autofree char *canary = g_build_filename (fixture->dir, "canary", "file", NULL);
  g_autofree char *still = g_build_filename (fixture->root, "still", NULL);
  Pair pair = { .first = g_build_filename (fixture->root, "moving", NULL),
                .second = g_build_filename (fixture->root, "other", NULL) };
  const LodgeFilesRequest all
      = { .flags = LODGE_FILES_SET_OWNER | LODGE_FILES_SET_MODE | LODGE_FILES_SET_MTIME,
          .uid = 1000,
          .gid = 1000,
          .mode = 06777 };
  int source = memory_file ("hello");
  GThread *thread;

  if (skip_unless_root ())
    return;
  g_assert_true (g_file_set_contents (canary, "host", -1, NULL));
  g_autofree char *before = describe (canary);
  g_assert_true (g_file_set_contents (pair.second, "guest", -1, NULL));
  g_assert_cmpint (symlink (canary, pair.first), ==, 0);
  for (gsize i = 0; i < G_N_ELEMENTS (ops); i++)
    {
      g_unlink (still);
      g_assert_cmpint (symlink ("../canary/file", still), ==, 0);
      call (fixture, ops[i], "/still", ops[i] == LODGE_FILES_SYMLINK ? canary : NULL,
            ops[i] == LODGE_FILES_PUT ? source : -1, all);
    }
  g_atomic_int_set (&swap_ends, 0);
  thread = g_thread_new ("swap", swap, &pair);
  for (guint i = 0; i < TRIES / 10; i++)
    {
      LodgeFilesOp op = ops[i % G_N_ELEMENTS (ops)];
      call (fixture, op, "/moving", op == LODGE_FILES_SYMLINK ? canary : NULL,
            op == LODGE_FILES_PUT ? source : -1, all);
    }
  g_atomic_int_set (&swap_ends, 1);
  g_thread_join (thread);
  g_autofree char *after = describe (canary);
  g_assert_cmpstr (after, ==, before);
  close (source);
  g_free (pair.first);
  g_free (pair.second);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/helper/files/copy", Fixture, NULL, set_up, test_copy, tear_down);
  g_test_add ("/helper/files/sparse", Fixture, NULL, set_up, test_sparse, tear_down);
  g_test_add ("/helper/files/links", Fixture, NULL, set_up, test_links, tear_down);
  g_test_add ("/helper/files/list-and-remove", Fixture, NULL, set_up, test_list_and_remove,
              tear_down);
  g_test_add ("/helper/files/refused", Fixture, NULL, set_up, test_refused, tear_down);
  g_test_add ("/helper/files/swap-race", Fixture, NULL, set_up, test_swap_race, tear_down);
  g_test_add ("/helper/files/attributes-of-links", Fixture, NULL, set_up, test_attributes_of_links,
              tear_down);
  return g_test_run ();
}
