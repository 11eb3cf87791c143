/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-init.h"

#include "lodge-cgroup.h"
#include "lodge-io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define SOCKET_FILE   "/dev/lodge/init.sock"
#define CGROUP_DIR    "/sys/fs/cgroup"
#define HELLO         "hello 1\n"
#define TIME_LIMIT_MS 10000

/* Reads the host's answer, a line; false when the time is over or the host hung up. */
static bool
read_answer (int fd, char *answer, size_t size)
{
  size_t used = 0;
  struct timespec start;
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &start);
  for (;;)
    {
      struct pollfd ready = { .fd = fd, .events = POLLIN };
      long left;
      ssize_t n;

      clock_gettime (CLOCK_MONOTONIC, &now);
      left = TIME_LIMIT_MS - (now.tv_sec - start.tv_sec) * 1000
             - (now.tv_nsec - start.tv_nsec) / 1000000;
      if (left <= 0 || used + 1 >= size)
        return false;
      if (poll (&ready, 1, (int) left) <= 0)
        continue;
      n = read (fd, answer + used, size - 1 - used);
      if (n <= 0)
        return false;
      used += (size_t) n;
      answer[used] = '\0';
      if (answer[used - 1] == '\n')
        {
          answer[used - 1] = '\0';
          return true;
        }
    }
}

typedef enum
{
  HANDSHAKE_DONE,
  HANDSHAKE_REFUSED, /* the host says that it could not set the limits */
  HANDSHAKE_SILENT,
} Handshake;

static Handshake
shake_hands (void)
{
  const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = SOCKET_FILE };
  LODGE_AUTOFD fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  char answer[512];

  if (fd < 0 || connect (fd, (const struct sockaddr *) &address, sizeof address) < 0
      || lodge_io_write_all (fd, HELLO, strlen (HELLO)) < 0)
    {
      lodge_init_say ("cannot reach the host at " SOCKET_FILE ": %s", strerror (errno));
      return HANDSHAKE_SILENT;
    }
  if (!read_answer (fd, answer, sizeof answer))
    {
      lodge_init_say ("the host does not answer at " SOCKET_FILE);
      return HANDSHAKE_SILENT;
    }
  if (strcmp (answer, "go") == 0)
    return HANDSHAKE_DONE;
  lodge_init_say ("the host refuses the start: %s", answer);
  return HANDSHAKE_REFUSED;
}

/* Copies the mount point that is mounted last at or below @dir.  False: there is none. */
static bool
find_last_mount (const char *dir, char *out_path, size_t size)
{
  char mounts[262144];
  size_t length = strlen (dir);
  char *state = NULL;
  bool found = false;

  if (lodge_io_read_file (AT_FDCWD, "/proc/self/mounts", mounts, sizeof mounts) < 0)
    return false;
  for (char *line = strtok_r (mounts, "\n", &state); line; line = strtok_r (NULL, "\n", &state))
    {
      char *path = strchr (line, ' ');
      char *end = path ? strchr (path + 1, ' ') : NULL;

      if (!end)
        continue;
      *end = '\0';
      path++;
      if (strncmp (path, dir, length) != 0 || (path[length] && path[length] != '/'))
        continue;
      if (strlen (path) < size)
        {
          strcpy (out_path, path);
          found = true;
        }
    }
  return found;
}

/* Replaces the host's cgroup tree, which libvirt binds into the container, by the own cgroup. */
static bool
mount_own_cgroup (void)
{
  const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  char path[PATH_MAX];

  if (unshare (CLONE_NEWCGROUP) < 0)
    {
      lodge_init_say ("cannot make a cgroup namespace: %s", strerror (errno));
      return false;
    }
  for (int i = 0; i < 256 && find_last_mount (CGROUP_DIR, path, sizeof path); i++)
    if (umount2 (path, MNT_DETACH) < 0)
      {
        lodge_init_say ("cannot detach “%s”: %s", path, strerror (errno));
        return false;
      }
  if (mount ("cgroup2", CGROUP_DIR, "cgroup2", flags, "nsdelegate") == 0
      || mount ("cgroup2", CGROUP_DIR, "cgroup2", flags, NULL) == 0)
    return true;
  lodge_init_say ("cannot mount the cgroups: %s", strerror (errno));
  return false;
}

/* Whether root here is an unprivileged user of the host. */
static bool
is_mapped (void)
{
  char map[256];
  unsigned inside = 0;
  unsigned outside = 0;

  if (lodge_io_read_file (AT_FDCWD, "/proc/self/uid_map", map, sizeof map) < 0)
    return false;
  return sscanf (map, "%u %u", &inside, &outside) == 2 && inside == 0 && outside != 0;
}

/* Without the host's help: an unprivileged root may go on, in a scope that libvirt made if any. */
static bool
go_on_alone (void)
{
  char path[PATH_MAX];

  if (!is_mapped ())
    {
      lodge_init_say ("a privileged container does not start without the host's help");
      return false;
    }
  lodge_init_say ("going on without the host's help; limits and exec may not work");
  if (lodge_cgroup_is_unified () && lodge_cgroup_of (getpid (), "", path, sizeof path) == 0
      && strcmp (path, "/") != 0)
    return mount_own_cgroup ();
  return true;
}

bool
lodge_init_enter_cgroups (void)
{
  switch (shake_hands ())
    {
    case HANDSHAKE_DONE:
      return mount_own_cgroup ();
    case HANDSHAKE_SILENT:
      return go_on_alone ();
    case HANDSHAKE_REFUSED:
      break;
    }
  return false;
}
