/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-mount.h"

#include "lodge-cgroup.h"
#include "lodge-io.h"
#include "lodge-proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KILL_LIMIT_MS 10000
#define PIDS_DIR      "/sys/fs/cgroup/pids"

/* Kills the init that the last run recorded, if it is still that process: with it goes its
 * whole pid namespace, also what was executed in the container from outside. */
static int
kill_recorded_init (const LodgePlan *plan)
{
  char path[PATH_MAX];
  char text[4096];
  const char *pid_text;
  const char *start_text;
  LodgeProcInfo info;
  LODGE_AUTOFD pidfd = -1;
  struct pollfd end = { .events = POLLIN };
  pid_t pid;

  if (!lodge_mount_path (path, sizeof path, plan->runtime, "init")
      || lodge_io_read_file (AT_FDCWD, path, text, sizeof text) < 0)
    return 0;
  pid_text = strstr (text, "pid=");
  start_text = strstr (text, "start-time=");
  if (!pid_text || !start_text)
    return 0;
  pid = atoi (pid_text + strlen ("pid="));
  if (pid <= 1)
    return 0;
  pidfd = lodge_proc_pidfd (pid);
  if (pidfd < 0 || lodge_proc_read_stat (pid, &info) < 0
      || info.start_time != strtoull (start_text + strlen ("start-time="), NULL, 10))
    return 0;
  if (lodge_proc_signal (pidfd, SIGKILL) < 0)
    return 0;
  end.fd = pidfd;
  return poll (&end, 1, KILL_LIMIT_MS) > 0 ? 0 : -ETIMEDOUT;
}

/* Empties and removes lodge/<uuid> of the hierarchy whose root is @root. */
static int
remove_cgroup (int root, const LodgePlan *plan)
{
  char path[128];
  LODGE_AUTOFD cgroup = -1;
  int r;

  lodge_mount_cgroup_path (plan, path, sizeof path);
  cgroup = lodge_cgroup_open (root, path);
  if (cgroup == -ENOENT)
    return 0;
  r = cgroup < 0 ? cgroup : lodge_cgroup_kill (cgroup, KILL_LIMIT_MS);
  return r < 0 ? r : lodge_cgroup_remove (root, path);
}

static int
remove_cgroups (const LodgePlan *plan)
{
  LODGE_AUTOFD root = -1;
  LODGE_AUTOFD pids = -1;
  int r;

  if (lodge_cgroup_is_unified ())
    return 0;
  root = lodge_cgroup_open_root (NULL);
  r = root < 0 ? root : remove_cgroup (root, plan);
  pids = open (PIDS_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (r == 0 && pids >= 0)
    r = remove_cgroup (pids, plan);
  return r;
}

bool
lodge_mount_end_stale (const LodgePlan *plan, LodgeFail *fail)
{
  char path[PATH_MAX];
  int r = kill_recorded_init (plan);

  if (r == 0)
    r = remove_cgroups (plan);
  if (r < 0)
    return lodge_fail_errno (fail, r, "Processes of the last run of “%s” do not end", plan->name);
  if (lodge_mount_path (path, sizeof path, plan->runtime, "init"))
    unlink (path);
  return true;
}
