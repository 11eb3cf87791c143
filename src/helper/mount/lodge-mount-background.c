/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-mount.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Keeps only @fds, as 3 and up.  libvirt waits for the end of all that has its stderr. */
static bool
keep_only (const int *fds, int n_fds)
{
  const int first = STDERR_FILENO + 1;
  int null = open ("/dev/null", O_RDWR);
  int high[LODGE_MOUNT_BACKGROUND_FDS];

  for (int i = 0; i < n_fds; i++)
    high[i] = fcntl (fds[i], F_DUPFD, first + LODGE_MOUNT_BACKGROUND_FDS);
  for (int fd = 0; fd < first; fd++)
    if (dup2 (null, fd) < 0)
      return false;
  for (int i = 0; i < n_fds; i++)
    if (dup2 (high[i], first + i) < 0)
      return false;
  close_range ((unsigned) (first + n_fds), ~0U, 0);
  return true;
}

static void
run_in_background (const LodgePlan *plan, const int *fds, int n_fds, LodgeMountTask run)
{
  int kept[LODGE_MOUNT_BACKGROUND_FDS];

  setsid ();
  if (chdir ("/") < 0 || !keep_only (fds, n_fds))
    return;
  for (int i = 0; i < n_fds; i++)
    kept[i] = STDERR_FILENO + 1 + i;
  run (plan, kept);
}

bool
lodge_mount_background (const LodgePlan *plan, const int *fds, int n_fds, LodgeMountTask run,
                        LodgeFail *fail)
{
  pid_t child = fork ();
  int status = 0;

  if (child == 0)
    {
      pid_t grandchild = fork ();

      if (grandchild == 0)
        run_in_background (plan, fds, n_fds, run);
      _exit (grandchild < 0);
    }
  if (child < 0)
    return lodge_fail_errno (fail, errno, "Cannot start a process");
  while (waitpid (child, &status, 0) < 0 && errno == EINTR)
    continue;
  return status == 0 || lodge_fail (fail, "Failed", "Cannot start a process");
}
