/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-mount.h"

#include "lodge-io.h"
#include "lodge-rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

/* The program for <control>/init: what the plan says, else lodge-init beside our own file. */
static bool
find_init (const LodgePlan *plan, char *out_path, size_t size)
{
  ssize_t n;
  char *slash;

  if (plan->init)
    return snprintf (out_path, size, "%s", plan->init) < (int) size;
  n = readlink ("/proc/self/exe", out_path, size - 1);
  if (n < 0)
    return false;
  out_path[n] = '\0';
  slash = strrchr (out_path, '/');
  if (!slash || (size_t) (slash - out_path) + sizeof "/lodge-init" > size)
    return false;
  strcpy (slash, "/lodge-init");
  return true;
}

static int
copy_program (int source, const char *path)
{
  char temporary[PATH_MAX + 16];
  LODGE_AUTOFD fd = -1;
  ssize_t n;

  snprintf (temporary, sizeof temporary, "%s.%d~", path, (int) getpid ());
  fd = open (temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0555);
  if (fd < 0)
    return -errno;
  while ((n = sendfile (fd, source, NULL, 1 << 20)) > 0)
    continue;
  if (n < 0 || fchmod (fd, 0555) < 0 || rename (temporary, path) < 0)
    {
      int saved = errno;

      unlink (temporary);
      return -saved;
    }
  return 0;
}

/*
 * Puts lodge-init into the control directory: a link to one copy for all containers, beside the
 * control directories, which a newer program replaces.  Never the installed file itself: what runs
 * in a container must not be able to reach it through /proc/1/exe.
 */
static bool
place_init (const LodgePlan *plan, LodgeFail *fail)
{
  char program[PATH_MAX];
  char copy[PATH_MAX];
  char target[PATH_MAX];
  LODGE_AUTOFD source = -1;
  struct stat st;
  struct stat copied;
  int length = (int) (strrchr (plan->control, '/') - plan->control);
  int r = 0;

  if (!find_init (plan, program, sizeof program)
      || !lodge_mount_path (target, sizeof target, plan->control, "init"))
    return lodge_fail (fail, "Failed", "Cannot find lodge-init");
  source = open (program, O_RDONLY | O_CLOEXEC);
  if (source < 0 || fstat (source, &st) < 0)
    return lodge_fail_errno (fail, errno, "Cannot open “%s”", program);
  snprintf (copy, sizeof copy, "%.*s/.init-%llx-%llx-%llx", length, plan->control,
            (unsigned long long) st.st_ino, (unsigned long long) st.st_mtim.tv_sec,
            (unsigned long long) st.st_mtim.tv_nsec);
  if (stat (copy, &copied) < 0 || copied.st_size != st.st_size)
    r = copy_program (source, copy);
  unlink (target);
  if (r == 0 && link (copy, target) < 0)
    r = -errno;
  return r == 0 || lodge_fail_errno (fail, r, "Cannot copy “%s” for the container", program);
}

static bool
make_dir (const char *path, mode_t mode, LodgeFail *fail)
{
  int r = lodge_io_make_dirs (path, mode);

  return r == 0 || lodge_fail_errno (fail, r, "Cannot make the directory “%s”", path);
}

/* lodge-init is executed from the control directory, and libvirt makes it read-only: neither is
 * possible where /run forbids programs, as systemd has it.  One mount serves all containers. */
static bool
make_control_parent (const LodgePlan *plan, LodgeFail *fail)
{
  char path[PATH_MAX];

  snprintf (path, sizeof path, "%.*s", (int) (strrchr (plan->control, '/') - plan->control),
            plan->control);
  return make_dir (path, 0755, fail) && lodge_rootfs_unrestrict (path, fail);
}

/* The directory that the container sees as /dev/lodge.  lodged's own socket in it stays. */
static bool
make_control (const LodgePlan *plan, LodgeFail *fail)
{
  char path[PATH_MAX];
  int r;

  if (!make_control_parent (plan, fail) || !make_dir (plan->control, 0755, fail)
      || !lodge_mount_path (path, sizeof path, plan->control, "guest")
      || !make_dir (path, 0755, fail) || !place_init (plan, fail))
    return false;
  lodge_mount_path (path, sizeof path, plan->control, "setup");
  r = lodge_io_replace_file (path, plan->setup, 0444);
  return r == 0 || lodge_fail_errno (fail, r, "Cannot write “%s”", path);
}

/* Makes @path for the container's root; its ids must be able to walk through what is above. */
static bool
make_root_dir (const char *path, LodgeFail *fail)
{
  int r = lodge_rootfs_detach (path);

  if (r < 0)
    return lodge_fail_errno (fail, r, "Cannot unmount “%s”", path);
  return make_dir (path, 0711, fail);
}

static bool
mount_root (const LodgePlan *plan, LodgeFail *fail)
{
  LODGE_AUTOFD root = -1;

  if (!make_root_dir (plan->root, fail))
    return false;
  root = lodge_rootfs_make (plan, LODGE_ROOTFS_MAPPED, fail);
  return root >= 0 && lodge_rootfs_attach (root, plan->root, fail);
}

bool
lodge_mount_prepare (const LodgePlan *plan, LodgeFail *fail)
{
  LODGE_AUTOFD socket = -1;
  LodgeFail ignored = { 0 };

  lodge_mount_server_stop (plan);
  if (!lodge_mount_end_stale (plan, fail) || !make_dir (plan->runtime, 0700, fail)
      || !make_control (plan, fail))
    return false;
  socket = lodge_mount_server_listen (plan, fail);
  if (socket >= 0 && mount_root (plan, fail) && lodge_mount_server_start (plan, socket, fail))
    return true;
  lodge_mount_release (plan, &ignored);
  return false;
}

/* The directory itself is lodged's, and so is its socket in it. */
static void
remove_control (const LodgePlan *plan)
{
  static const char *const names[] = { "setup", "setup~", "init" };
  char path[PATH_MAX];

  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (lodge_mount_path (path, sizeof path, plan->control, names[i]))
      unlink (path);
  if (lodge_mount_path (path, sizeof path, plan->control, "guest"))
    rmdir (path);
}

/* Lives until the hook has ended, so that it and not the hook lets go of the mount last. */
static void
outlive_hook (const LodgePlan *plan, const int *fds)
{
  char byte;

  while (read (fds[0], &byte, 1) < 0 && errno == EINTR)
    continue;
}

/*
 * Takes the root away.  When the last reference to an overlay goes, the kernel writes back all that
 * its upper file system holds in memory, of other containers too; neither a stop nor a restart
 * should wait for that.  Returns 0 or a negative errno value.
 */
static int
drop_root (const LodgePlan *plan)
{
  int pipe_fds[2];
  int fds[2];
  LodgeFail ignored;
  LODGE_AUTOFD root = open (plan->root, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  int r = lodge_rootfs_detach (plan->root);

  if (r == 0 && root >= 0 && pipe2 (pipe_fds, O_CLOEXEC) == 0)
    {
      fds[0] = pipe_fds[0];
      fds[1] = root;
      lodge_mount_background (plan, fds, 2, outlive_hook, &ignored);
      close (pipe_fds[0]);
      /* The other end closes with this process. */
    }
  return r;
}

bool
lodge_mount_release (const LodgePlan *plan, LodgeFail *fail)
{
  bool ended;
  int r;

  lodge_mount_server_stop (plan);
  ended = lodge_mount_end_stale (plan, fail);
  r = drop_root (plan);
  if (r == 0)
    rmdir (plan->root);
  remove_control (plan);
  lodge_mount_send_event (plan, "release");
  if (ended && r < 0)
    return lodge_fail_errno (fail, r, "Cannot unmount “%s”", plan->root);
  return ended;
}
