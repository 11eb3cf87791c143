/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Enters a container for one task; see lodge-helper-protocol.h.  It is run from a sealed memfd and
 * linked statically: nothing in a container can change what the host runs, nothing of the container
 * is loaded, and it starts fast.  Single-threaded, as setns(2) wants.
 */

#include "lodge-enter.h"

#include "lodge-status.h"
#include "lodge/lodge-helper-protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct
{
  const char *name;
  bool (*run) (const LodgeRequest *request, LodgeFail *fail);
} operations[] = {
  { "exec", lodge_enter_exec },
  { "files", lodge_enter_files },
  { "files-offline", lodge_enter_files_offline },
};

bool
lodge_enter_open_target (const LodgeRequest *request, LodgeTarget *out_target, LodgeFail *fail)
{
  long long pid;
  long long start_time;
  LodgeTarget target;

  if (!lodge_request_get_number (request, "init-pid", 2, INT_MAX, &pid, fail)
      || !lodge_request_get_number (request, "init-start", 0, LLONG_MAX, &start_time, fail))
    return false;
  target.pid = (pid_t) pid;
  target.pidfd = lodge_proc_open (target.pid, (unsigned long long) start_time, &target.info, fail);
  if (target.pidfd < 0)
    return false;
  *out_target = target;
  return true;
}

bool
lodge_enter_namespaces (const LodgeTarget *target, int namespaces, LodgeFail *fail)
{
  if (setns (target->pidfd, namespaces) < 0)
    {
      if (errno == ESRCH)
        return lodge_fail (fail, "InvalidState", "The container does not run any more");
      return lodge_fail_errno (fail, errno, "Cannot enter the container");
    }
  if (!(namespaces & CLONE_NEWUSER))
    return true;
  if (setgroups (0, NULL) < 0 || setresgid (0, 0, 0) < 0 || setresuid (0, 0, 0) < 0)
    return lodge_fail_errno (fail, errno, "Cannot become the container's root");
  return true;
}

int
lodge_enter_bound (uint64_t keep)
{
  for (int capability = 0; capability < 64; capability++)
    {
      if (keep & (UINT64_C (1) << capability))
        continue;
      if (prctl (PR_CAPBSET_DROP, capability, 0, 0, 0) == 0)
        continue;
      /* The first that the kernel does not know: there are no more. */
      return errno == EINVAL ? 0 : -errno;
    }
  return 0;
}

static bool
run (LodgeFail *fail)
{
  LodgeRequest request;
  const char *op;

  if (!lodge_request_read (&request, LODGE_HELPER_REQUEST_FD, fail)
      || !lodge_request_apply_limits (&request, fail))
    return false;
  op = lodge_request_get (&request, "op");
  for (size_t i = 0; op && i < sizeof operations / sizeof *operations; i++)
    if (strcmp (op, operations[i].name) == 0)
      return operations[i].run (&request, fail);
  return lodge_fail (fail, "InvalidArgument", "The request has no operation that is known");
}

int
main (void)
{
  LodgeFail fail = { 0 };

  /* What the helper was given is for the helper, not for the programs that it starts. */
  close_range (LODGE_HELPER_STATUS_FD, ~0U, CLOSE_RANGE_CLOEXEC);
  signal (SIGPIPE, SIG_IGN);
  umask (022);
  if (!run (&fail))
    return lodge_status_fail (&fail);
  lodge_status_done ();
  return 0;
}
