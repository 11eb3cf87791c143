/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-proc.h"

#include "lodge-io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

int
lodge_proc_pidfd (pid_t pid)
{
  int fd = (int) syscall (SYS_pidfd_open, pid, 0);

  return fd < 0 ? -errno : fd;
}

int
lodge_proc_signal (int pidfd, int signum)
{
  return syscall (SYS_pidfd_send_signal, pidfd, signum, NULL, 0) < 0 ? -errno : 0;
}

/* The start of field @number of /proc/PID/stat, counted as in proc(5), or NULL. */
static const char *
stat_field (const char *stat, int number)
{
  /* The second field is the name, which may hold spaces and parentheses of its own. */
  const char *p = strrchr (stat, ')');

  for (int i = 2; p && i < number; i++)
    {
      p = strchr (p, ' ');
      if (p)
        p++;
    }
  return p;
}

int
lodge_proc_read_stat (pid_t pid, LodgeProcInfo *out_info)
{
  char path[64];
  char stat[1024];
  const char *parent;
  const char *start;
  ssize_t n;

  snprintf (path, sizeof path, "/proc/%d/stat", (int) pid);
  n = lodge_io_read_file (AT_FDCWD, path, stat, sizeof stat);
  if (n < 0)
    return (int) n;
  parent = stat_field (stat, 4);
  start = stat_field (stat, 22);
  if (!parent || !start)
    return -EPROTO;
  out_info->parent = atoi (parent);
  out_info->start_time = strtoull (start, NULL, 10);
  return 0;
}

static int
read_bounding_set (pid_t pid, uint64_t *out_set)
{
  char path[64];
  char status[4096];
  const char *line;
  ssize_t n;

  snprintf (path, sizeof path, "/proc/%d/status", (int) pid);
  n = lodge_io_read_file (AT_FDCWD, path, status, sizeof status);
  if (n < 0)
    return (int) n;
  line = strstr (status, "\nCapBnd:");
  if (!line)
    return -EPROTO;
  *out_set = strtoull (line + strlen ("\nCapBnd:"), NULL, 16);
  return 0;
}

int
lodge_proc_open (pid_t pid, unsigned long long start_time, LodgeProcInfo *out_info, LodgeFail *fail)
{
  LodgeProcInfo info = { 0 };
  /* The descriptor comes first: what is read afterwards while it is alive is of its process. */
  LODGE_AUTOFD pidfd = lodge_proc_pidfd (pid);
  int r = pidfd < 0 ? pidfd : lodge_proc_read_stat (pid, &info);

  if (r == 0 && info.start_time != start_time)
    r = -ESRCH;
  if (r == 0)
    r = read_bounding_set (pid, &info.bounding);
  if (r == 0)
    r = lodge_proc_signal (pidfd, 0);
  if (r == -ESRCH || r == -ENOENT)
    {
      lodge_fail (fail, "InvalidState", "The container does not run any more");
      return -1;
    }
  if (r < 0)
    {
      lodge_fail_errno (fail, r, "Cannot examine the container's first process");
      return -1;
    }
  *out_info = info;
  return lodge_io_steal (&pidfd);
}
