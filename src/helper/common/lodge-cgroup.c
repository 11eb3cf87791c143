/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-cgroup.h"

#include "lodge-io.h"
#include "lodge-proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <time.h>

#define CGROUP_DIR "/sys/fs/cgroup"

bool
lodge_cgroup_is_unified (void)
{
  struct statfs fs;

  return statfs (CGROUP_DIR, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

int
lodge_cgroup_open_root (const char *mount)
{
  LODGE_AUTOFD fs = -1;
  int fd;

  if (mount && *mount)
    {
      fd = open (mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      return fd < 0 ? -errno : fd;
    }
  fs = (int) syscall (SYS_fsopen, "cgroup2", FSOPEN_CLOEXEC);
  if (fs < 0 || syscall (SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
    return -errno;
  fd = (int) syscall (SYS_fsmount, fs, FSMOUNT_CLOEXEC,
                      MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  return fd < 0 ? -errno : fd;
}

int
lodge_cgroup_open (int root, const char *path)
{
  const struct open_how how = {
    .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
    .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
  };
  int fd;

  path += strspn (path, "/");
  fd = (int) syscall (SYS_openat2, root, *path ? path : ".", &how, sizeof how);
  return fd < 0 ? -errno : fd;
}

int
lodge_cgroup_make (int root, const char *path)
{
  char buffer[PATH_MAX];
  int fd = lodge_cgroup_open (root, path);

  if (fd != -ENOENT)
    return fd;
  path += strspn (path, "/");
  if (strlen (path) >= sizeof buffer)
    return -ENAMETOOLONG;
  strcpy (buffer, path);
  for (char *slash = strchr (buffer, '/'); slash; slash = strchr (slash + 1, '/'))
    {
      *slash = '\0';
      if (mkdirat (root, buffer, 0755) < 0 && errno != EEXIST)
        return -errno;
      *slash = '/';
    }
  if (mkdirat (root, buffer, 0755) < 0 && errno != EEXIST)
    return -errno;
  return lodge_cgroup_open (root, path);
}

int
lodge_cgroup_delegate (int cgroup, uid_t owner)
{
  static const char *const files[]
      = { "cgroup.procs", "cgroup.threads", "cgroup.subtree_control", "memory.oom.group" };

  if (fchown (cgroup, owner, owner) < 0)
    return -errno;
  for (size_t i = 0; i < sizeof files / sizeof *files; i++)
    if (fchownat (cgroup, files[i], owner, owner, AT_SYMLINK_NOFOLLOW) < 0 && errno != ENOENT)
      return -errno;
  return 0;
}

int
lodge_cgroup_attach (int cgroup, pid_t pid)
{
  char text[16];

  snprintf (text, sizeof text, "%d", (int) pid);
  return lodge_io_write_file (cgroup, "cgroup.procs", text);
}

static long long
now_ms (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* Kills the processes of this one cgroup, where there is no cgroup.kill (v1, or before 5.14). */
static int
kill_members (int cgroup)
{
  char pids[65536];
  ssize_t n = lodge_io_read_file (cgroup, "cgroup.procs", pids, sizeof pids);
  int killed = 0;

  if (n < 0)
    return (int) n;
  for (char *line = pids; *line;)
    {
      char *end = NULL;
      long pid = strtol (line, &end, 10);

      if (end == line)
        break;
      if (pid > 0 && kill ((pid_t) pid, SIGKILL) == 0)
        killed++;
      line = end + strspn (end, "\n");
    }
  return killed;
}

/* Whether something is in @cgroup or below it: 0 or 1, or a negative errno value. */
static int
is_populated (int events, int cgroup)
{
  char text[256];
  ssize_t n;

  if (events < 0)
    {
      n = lodge_io_read_file (cgroup, "cgroup.procs", text, sizeof text);
      return n < 0 ? (int) n : n > 0;
    }
  n = pread (events, text, sizeof text - 1, 0);
  if (n < 0)
    return -errno;
  text[n] = '\0';
  return strstr (text, "populated 1") != NULL;
}

int
lodge_cgroup_kill (int cgroup, int timeout_ms)
{
  const long long deadline = now_ms () + timeout_ms;
  LODGE_AUTOFD events = openat (cgroup, "cgroup.events", O_RDONLY | O_CLOEXEC);
  bool whole = lodge_io_write_file (cgroup, "cgroup.kill", "1") == 0;

  for (;;)
    {
      struct pollfd change = { .fd = events, .events = POLLPRI };
      int r = is_populated (events, cgroup);
      long long left = deadline - now_ms ();

      if (r <= 0)
        return r;
      if (left <= 0)
        return -ETIMEDOUT;
      if (!whole && (r = kill_members (cgroup)) < 0)
        return r;
      /* A change that came between the look and the poll is still reported.  v1 tells nothing. */
      poll (&change, events >= 0, events >= 0 ? (int) left : 10);
    }
}

/* Removes the directories of @dir (taken), deepest first. */
static int
remove_children (int dir, int depth)
{
  DIR *stream = fdopendir (dir);
  struct dirent *entry;
  int r = 0;

  if (!stream)
    {
      close (dir);
      return -errno;
    }
  while (r == 0 && (entry = readdir (stream)))
    {
      int child;

      if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
        continue;
      child
          = openat (dirfd (stream), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
      if (child < 0)
        continue;
      r = depth > 0 ? remove_children (child, depth - 1) : -ELOOP;
      if (r == 0 && unlinkat (dirfd (stream), entry->d_name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        r = -errno;
    }
  closedir (stream);
  return r;
}

int
lodge_cgroup_remove (int parent, const char *name)
{
  int dir = lodge_cgroup_open (parent, name);
  int r;

  if (dir == -ENOENT)
    return 0;
  if (dir < 0)
    return dir;
  /* The guest may have made a tree of any depth; the kernel's own limit does not matter here. */
  r = remove_children (dir, 64);
  if (r < 0)
    return r;
  if (unlinkat (parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
    return -errno;
  return 0;
}

/* Splits a line "id:controllers:path" of /proc/PID/cgroup; @line is changed.  NULL: malformed. */
static char *
split_line (char *line, char **out_controllers)
{
  char *controllers = strchr (line, ':');
  char *path = controllers ? strchr (controllers + 1, ':') : NULL;

  if (!path)
    return NULL;
  *path = '\0';
  *out_controllers = controllers + 1;
  return path + 1;
}

static ssize_t
read_cgroups (pid_t pid, char *buffer, size_t size)
{
  char path[64];

  snprintf (path, sizeof path, "/proc/%d/cgroup", (int) pid);
  return lodge_io_read_file (AT_FDCWD, path, buffer, size);
}

/* Whether the comma separated @list has @word; the list of cgroup2 is empty, and so is its name. */
static bool
list_has (const char *list, const char *word)
{
  size_t length = strlen (word);

  if (length == 0)
    return *list == '\0';
  for (const char *p = strstr (list, word); p; p = strstr (p + 1, word))
    if ((p == list || p[-1] == ',') && (p[length] == '\0' || p[length] == ','))
      return true;
  return false;
}

int
lodge_cgroup_of (pid_t pid, const char *controller, char *out_path, size_t size)
{
  char text[16384];
  char *state = NULL;
  ssize_t n = read_cgroups (pid, text, sizeof text);

  if (n < 0)
    return (int) n;
  for (char *line = strtok_r (text, "\n", &state); line; line = strtok_r (NULL, "\n", &state))
    {
      char *controllers = NULL;
      const char *path = split_line (line, &controllers);

      if (!path || !list_has (controllers, controller))
        continue;
      if (strlen (path) >= size)
        return -ENAMETOOLONG;
      strcpy (out_path, path);
      return 0;
    }
  return -ENOENT;
}

int
lodge_cgroup_join_v1 (pid_t pid)
{
  char text[16384];
  char *state = NULL;
  ssize_t n;

  if (lodge_cgroup_is_unified ())
    return 0;
  n = read_cgroups (pid, text, sizeof text);
  if (n < 0)
    return (int) n;
  for (char *line = strtok_r (text, "\n", &state); line; line = strtok_r (NULL, "\n", &state))
    {
      char tasks[PATH_MAX];
      char *controllers = NULL;
      const char *path = split_line (line, &controllers);
      const char *name;
      int r;

      if (!path || !*controllers || strcmp (path, "/") == 0)
        continue;
      name = strncmp (controllers, "name=", 5) == 0 ? controllers + 5 : controllers;
      snprintf (tasks, sizeof tasks, CGROUP_DIR "/%s%s/tasks", name, path);
      /* "0" is the caller, and for a single task the kernel need not stop all forks meanwhile. */
      r = lodge_io_write_file (AT_FDCWD, tasks, "0");
      if (r < 0)
        return r;
    }
  return 0;
}
