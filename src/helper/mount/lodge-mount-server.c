/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-mount.h"

#include "lodge-cgroup.h"
#include "lodge-io.h"
#include "lodge-proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HELLO           "hello 1\n"
#define QUIT            "quit\n"
#define SERVER_LIMIT_MS 60000
#define READ_LIMIT_MS   5000
#define PIDS_DIR        "/sys/fs/cgroup/pids"
/* A container may have one part in so many of what the host can watch. */
#define WATCHES_SHARE 4

/* How the container's processes are grouped; goes into <runtime>/init. */
typedef struct
{
  char path[PATH_MAX];
  const char *mount;
  bool owned;
} Group;

static bool
socket_address (const LodgePlan *plan, struct sockaddr_un *out_address)
{
  *out_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
  return lodge_mount_path (out_address->sun_path, sizeof out_address->sun_path, plan->control,
                           "init.sock");
}

void
lodge_mount_send_event (const LodgePlan *plan, const char *what)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  LODGE_AUTOFD fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  char text[128];
  int n = snprintf (text, sizeof text, "%s %s\n", what, plan->uuid);

  if (!plan->events || fd < 0 || strlen (plan->events) >= sizeof address.sun_path)
    return;
  strcpy (address.sun_path, plan->events);
  /* lodged reads everything anew when it starts, so a message that is lost does no harm. */
  (void) !sendto (fd, text, (size_t) n, MSG_NOSIGNAL, (const struct sockaddr *) &address,
                  sizeof address);
}

int
lodge_mount_server_listen (const LodgePlan *plan, LodgeFail *fail)
{
  struct sockaddr_un address;
  LODGE_AUTOFD fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  if (!socket_address (plan, &address))
    {
      lodge_fail (fail, "InvalidConfig", "The path “%s” is too long for a socket", plan->control);
      return -1;
    }
  unlink (address.sun_path);
  if (fd < 0 || bind (fd, (const struct sockaddr *) &address, sizeof address) < 0
      || chmod (address.sun_path, 0666) < 0 || listen (fd, 8) < 0)
    {
      lodge_fail_errno (fail, errno, "Cannot listen on “%s”", address.sun_path);
      return -1;
    }
  return lodge_io_steal (&fd);
}

void
lodge_mount_server_stop (const LodgePlan *plan)
{
  struct sockaddr_un address;
  LODGE_AUTOFD fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  struct pollfd end = { .fd = fd, .events = POLLIN };

  if (fd < 0 || !socket_address (plan, &address))
    return;
  /* Nobody listens: nothing to end.  Asking by the socket rather than by a recorded pid cannot hit
   * a stranger. */
  if (connect (fd, (const struct sockaddr *) &address, sizeof address) == 0
      && send (fd, QUIT, strlen (QUIT), MSG_NOSIGNAL) > 0)
    poll (&end, 1, 1000);
  unlink (address.sun_path);
}

/* Whether a host without the controller, which is what @error of setting the limit tells, will do.
 */
static bool
needs_no_limit (const LodgePlan *plan, int error)
{
  return error == -ENOENT && strcmp (plan->pids_max, "max") == 0;
}

/* Sets the process limit on hybrid hosts: libvirt uses no pids controller there. */
static int
limit_pids (int root, const LodgePlan *plan, pid_t pid)
{
  char path[128];
  LODGE_AUTOFD pids = open (PIDS_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  LODGE_AUTOFD cgroup = -1;
  int r;

  if (!plan->pids_max)
    return 0;
  lodge_mount_cgroup_path (plan, path, sizeof path);
  if (pids < 0)
    {
      /* The controller is not mounted as v1, so cgroup2 may have it. */
      r = lodge_io_write_file (root, "cgroup.subtree_control", "+pids");
      if (r == -EINVAL)
        r = -ENOENT;
      if (r == 0)
        r = lodge_io_write_file (root, "lodge/cgroup.subtree_control", "+pids");
      cgroup = r < 0 ? r : lodge_cgroup_open (root, path);
      return cgroup < 0 ? cgroup : lodge_io_write_file (cgroup, "pids.max", plan->pids_max);
    }
  cgroup = lodge_cgroup_make (pids, path);
  r = cgroup < 0 ? cgroup : lodge_io_write_file (cgroup, "pids.max", plan->pids_max);
  return r < 0 ? r : lodge_cgroup_attach (cgroup, pid);
}

static bool
enter_own_group (const LodgePlan *plan, pid_t pid, Group *group, LodgeFail *fail)
{
  LODGE_AUTOFD root = lodge_cgroup_open_root (NULL);
  LODGE_AUTOFD cgroup = -1;
  int r;

  group->mount = "";
  group->owned = true;
  lodge_mount_cgroup_path (plan, group->path, sizeof group->path);
  cgroup = root < 0 ? root : lodge_cgroup_make (root, group->path);
  r = cgroup < 0 ? cgroup : lodge_cgroup_delegate (cgroup, plan->base);
  if (r == 0)
    r = lodge_cgroup_attach (cgroup, pid);
  if (r < 0)
    return lodge_fail_errno (fail, r, "Cannot make the container's cgroup");
  r = limit_pids (root, plan, pid);
  return r == 0 || needs_no_limit (plan, r)
         || lodge_fail_errno (fail, r, "Cannot limit the container's processes");
}

/* libvirt made the cgroup; the limit goes where the container's root cannot change it. */
static bool
use_libvirt_group (const LodgePlan *plan, pid_t pid, Group *group, LodgeFail *fail)
{
  LODGE_AUTOFD root = lodge_cgroup_open_root ("/sys/fs/cgroup");
  LODGE_AUTOFD cgroup = -1;
  char limited[PATH_MAX];
  char *slash;
  bool has_scope;
  int r = lodge_cgroup_of (pid, "", group->path, sizeof group->path);

  group->mount = "/sys/fs/cgroup";
  group->owned = false;
  if (r < 0)
    return lodge_fail_errno (fail, r, "Cannot find the container's cgroup");
  if (strcmp (group->path, "/") == 0)
    return lodge_fail (fail, "Backend", "libvirt has made no cgroup for the container");
  strcpy (limited, group->path);
  slash = strrchr (limited, '/');
  has_scope = strcmp (slash, "/libvirt") == 0 && slash > limited;
  if (has_scope)
    *slash = '\0';
  cgroup = root < 0 ? root : lodge_cgroup_open (root, limited);
  /* libvirt passes on only what it uses itself.  Without this one the guest's systemd has no
   * TasksMax= and nobody knows how many processes there are; a host without it is fine. */
  if (has_scope && cgroup >= 0)
    lodge_io_write_file (cgroup, "cgroup.subtree_control", "+pids");
  if (!plan->pids_max)
    return true;
  r = cgroup < 0 ? cgroup : lodge_io_write_file (cgroup, "pids.max", plan->pids_max);
  return r == 0 || needs_no_limit (plan, r)
         || lodge_fail_errno (fail, r, "Cannot limit the container's processes");
}

static bool
write_facts (const LodgePlan *plan, pid_t pid, const LodgeProcInfo *info, const Group *group,
             LodgeFail *fail)
{
  char text[PATH_MAX + 256];
  char path[PATH_MAX];
  int r;

  snprintf (text, sizeof text,
            "pid=%d\nstart-time=%llu\ncgroup=%s\ncgroup-mount=%s\n"
            "cgroup-owned=%d\n",
            (int) pid, info->start_time, group->path + strspn (group->path, "/"), group->mount,
            group->owned);
  lodge_mount_path (path, sizeof path, plan->runtime, "init");
  r = lodge_io_replace_file (path, text, 0600);
  return r == 0 || lodge_fail_errno (fail, r, "Cannot write “%s”", path);
}

/* Keeps the out-of-memory killer from libvirt's own process of the container, whose end would
 * be the container's, and undoes that for the container.  The first needs a capability that
 * not every host gives. */
static void
set_oom_scores (pid_t pid, const LodgeProcInfo *info)
{
  char path[64];

  snprintf (path, sizeof path, "/proc/%d/oom_score_adj", (int) info->parent);
  lodge_io_write_file (AT_FDCWD, path, "-999");
  snprintf (path, sizeof path, "/proc/%d/oom_score_adj", (int) pid);
  lodge_io_write_file (AT_FDCWD, path, "0");
}

/* Sets the limits of the user namespace that this process is in: the same files for all. */
static void
share_watches (void)
{
  static const struct
  {
    const char *host;
    const char *own;
  } rows[] = {
    { "/proc/sys/fs/inotify/max_user_instances", "/proc/sys/user/max_inotify_instances" },
    { "/proc/sys/fs/inotify/max_user_watches", "/proc/sys/user/max_inotify_watches" },
    { "/proc/sys/fs/fanotify/max_user_groups", "/proc/sys/user/max_fanotify_groups" },
    { "/proc/sys/fs/fanotify/max_user_marks", "/proc/sys/user/max_fanotify_marks" },
  };
  char text[32];

  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    {
      if (lodge_io_read_file (AT_FDCWD, rows[i].host, text, sizeof text) < 0)
        continue;
      snprintf (text, sizeof text, "%ld", strtol (text, NULL, 10) / WATCHES_SHARE);
      lodge_io_write_file (AT_FDCWD, rows[i].own, text);
    }
}

/* What a container watches counts against the host's root and with it against all others: one
 * alone must not be able to use it up.  It cannot raise the limits, for which it would need a
 * capability that it has not got. */
static void
limit_watches (pid_t pid)
{
  LODGE_AUTOFD pidfd = lodge_proc_pidfd (pid);
  pid_t child = pidfd < 0 ? -1 : fork ();

  if (child == 0)
    {
      if (setns (pidfd, CLONE_NEWUSER) == 0)
        share_watches ();
      _exit (0);
    }
  while (child > 0 && waitpid (child, NULL, 0) < 0 && errno == EINTR)
    continue;
}

static bool
admit (const LodgePlan *plan, pid_t pid, LodgeFail *fail)
{
  Group group;
  LodgeProcInfo info = { 0 };
  /* The process waits for our answer on its socket, so its number cannot be another's. */
  int r = lodge_proc_read_stat (pid, &info);

  if (r < 0)
    return lodge_fail_errno (fail, r, "Cannot examine the container's first process");
  if (!(lodge_cgroup_is_unified () ? use_libvirt_group : enter_own_group) (plan, pid, &group, fail))
    return false;
  set_oom_scores (pid, &info);
  limit_watches (pid);
  return write_facts (plan, pid, &info, &group, fail);
}

/* Reads a line of at most @size - 1 bytes from a peer that may be hostile. */
static bool
read_line (int fd, char *line, size_t size)
{
  struct pollfd ready = { .fd = fd, .events = POLLIN };
  size_t used = 0;

  while (used + 1 < size)
    {
      ssize_t n;

      if (poll (&ready, 1, READ_LIMIT_MS) <= 0)
        return false;
      n = read (fd, line + used, size - 1 - used);
      if (n <= 0)
        return false;
      used += (size_t) n;
      line[used] = '\0';
      if (line[used - 1] == '\n')
        return true;
    }
  return false;
}

/* Serves one connection.  Returns whether the server's task is over. */
static bool
serve (const LodgePlan *plan, int fd)
{
  struct ucred peer = { 0 };
  socklen_t length = sizeof peer;
  char line[16];
  LodgeFail fail = { 0 };
  bool admitted;

  if (getsockopt (fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0 || peer.pid <= 0
      || !read_line (fd, line, sizeof line))
    return false;
  if (peer.uid == 0 && strcmp (line, QUIT) == 0)
    return true;
  if (peer.uid != plan->base || strcmp (line, HELLO) != 0)
    return false;
  admitted = admit (plan, peer.pid, &fail);
  if (admitted)
    snprintf (fail.text, sizeof fail.text, "go");
  dprintf (fd, "%s\n", fail.text);
  if (admitted)
    lodge_mount_send_event (plan, "init");
  return true;
}

static long
elapsed_ms (const struct timespec *start)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return (now.tv_sec - start->tv_sec) * 1000 + (now.tv_nsec - start->tv_nsec) / 1000000;
}

static void
serve_until_done (const LodgePlan *plan, int socket)
{
  struct pollfd ready = { .fd = socket, .events = POLLIN };
  struct timespec start;
  long left;

  clock_gettime (CLOCK_MONOTONIC, &start);
  while ((left = SERVER_LIMIT_MS - elapsed_ms (&start)) > 0)
    {
      LODGE_AUTOFD peer = -1;

      if (poll (&ready, 1, (int) left) <= 0)
        continue;
      peer = accept4 (socket, NULL, NULL, SOCK_CLOEXEC);
      if (peer >= 0 && serve (plan, peer))
        return;
    }
}

static void
run_server (const LodgePlan *plan, const int *fds)
{
  signal (SIGPIPE, SIG_IGN);
  serve_until_done (plan, fds[0]);
}

bool
lodge_mount_server_start (const LodgePlan *plan, int socket, LodgeFail *fail)
{
  return lodge_mount_background (plan, &socket, 1, run_server, fail);
}
