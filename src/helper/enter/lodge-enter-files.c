/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-enter.h"

#include "lodge-files-server.h"
#include "lodge-io.h"
#include "lodge-plan.h"
#include "lodge-rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* What copying files with their owners takes, and no more. */
#define FILE_CAPABILITIES                                                                          \
  (1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE | 1u << CAP_FOWNER | 1u << CAP_FSETID)

/* Keeps only FILE_CAPABILITIES, and makes sure that no more can come back. */
static bool
drop_capabilities (LodgeFail *fail)
{
  struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
  const struct __user_cap_data_struct data[2]
      = { { .effective = FILE_CAPABILITIES, .permitted = FILE_CAPABILITIES } };
  int r = lodge_enter_bound (FILE_CAPABILITIES);

  if (r == 0 && syscall (SYS_capset, &header, data) < 0)
    r = -errno;
  if (r == 0 && prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
    r = -errno;
  return r == 0 || lodge_fail_errno (fail, r, "Cannot drop the capabilities");
}

/* The fields of @server that do not depend on where the tree is. */
static bool
open_session (const LodgeRequest *request, LodgeFilesServer *server, LodgeFail *fail)
{
  int type = 0;
  socklen_t size = sizeof type;

  server->session = lodge_request_get_fd (request, "session");
  if (getsockopt (server->session, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_SEQPACKET)
    return lodge_fail (fail, "InvalidArgument", "The request has no session socket");
  server->self = open ("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (server->self < 0)
    return lodge_fail_errno (fail, errno, "Cannot open the own descriptors");
  return true;
}

/* Serves the root directory that the process has by now. */
static bool
serve_root (LodgeFilesServer *server, LodgeFail *fail)
{
  server->root = open ("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (server->root < 0 || chdir ("/") < 0)
    return lodge_fail_errno (fail, errno, "Cannot open the container's root");
  umask (0);
  return drop_capabilities (fail) && lodge_files_serve (server, fail);
}

bool
lodge_enter_files (const LodgeRequest *request, LodgeFail *fail)
{
  /* The map of the container says which ids there are. */
  LodgeFilesServer server = { .ids = UINT32_MAX };
  LodgeTarget target;

  return lodge_enter_open_target (request, &target, fail) && open_session (request, &server, fail)
         && lodge_enter_namespaces (&target, CLONE_NEWUSER | CLONE_NEWNS, fail)
         && serve_root (&server, fail);
}

/* The container may have been started since the request was written. */
static bool
check_stopped (const LodgePlan *plan, LodgeFail *fail)
{
  char path[PATH_MAX];
  char text[4096];
  const char *pid_text;
  const char *start_text;
  LodgeProcInfo info;

  snprintf (path, sizeof path, "%s/init", plan->runtime);
  if (lodge_io_read_file (AT_FDCWD, path, text, sizeof text) < 0)
    return true;
  pid_text = strstr (text, "pid=");
  start_text = strstr (text, "start-time=");
  if (!pid_text || !start_text
      || lodge_proc_read_stat (atoi (pid_text + strlen ("pid=")), &info) < 0
      || info.start_time != strtoull (start_text + strlen ("start-time="), NULL, 10))
    return true;
  return lodge_fail (fail, "InvalidState", "The container “%s” runs", plan->name);
}

/* Makes @mount_fd the root, and lets go of all else. */
static bool
pivot (int mount_fd, const char *place, LodgeFail *fail)
{
  if (unshare (CLONE_NEWNS) < 0 || mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
    return lodge_fail_errno (fail, errno, "Cannot make a mount namespace");
  if (!lodge_rootfs_attach (mount_fd, place, fail))
    return false;
  if (fchdir (mount_fd) < 0 || syscall (SYS_pivot_root, ".", ".") < 0
      || umount2 (".", MNT_DETACH) < 0 || chroot ("/") < 0)
    return lodge_fail_errno (fail, errno, "Cannot enter the container's root");
  return true;
}

/* The client has its end already: it hears from the answers why there is nothing to be had. */
static bool
refuse_all (LodgeFilesServer *server, const LodgeFail *why)
{
  LodgeFail ignored = { 0 };

  server->refusal = strcmp (why->nick, lodge_fail_nick_of_errno (ENOSPC)) == 0 ? ENOSPC : EIO;
  if (drop_capabilities (&ignored))
    lodge_files_serve (server, &ignored);
  return false;
}

bool
lodge_enter_files_offline (const LodgeRequest *request, LodgeFail *fail)
{
  const char *path = lodge_request_get (request, "plan");
  LodgeFilesServer server = { 0 };
  LodgePlan plan;
  LODGE_AUTOFD root = -1;

  if (!path)
    return lodge_fail (fail, "InvalidArgument", "The request names no plan");
  if (!lodge_plan_read (&plan, path, fail) || !check_stopped (&plan, fail)
      || !open_session (request, &server, fail))
    return false;
  server.ids = plan.count;
  root = lodge_rootfs_make (&plan, LODGE_ROOTFS_PLAIN, fail);
  if (root < 0 || !pivot (root, plan.source ? plan.source : plan.upper, fail))
    return refuse_all (&server, fail);
  lodge_io_close (&root);
  return serve_root (&server, fail);
}
