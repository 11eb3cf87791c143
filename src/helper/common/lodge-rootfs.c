/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-rootfs.h"

#include "lodge-io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* glibc's <sys/mount.h> and <linux/mount.h> cannot be included together. */
int mount (const char *source, const char *target, const char *type, unsigned long flags,
           const void *data);
int umount2 (const char *target, int flags);

enum
{
  MOUNT_PRIVATE = 1 << 18,
  MOUNT_REC = 1 << 14,
  UMOUNT_DETACH = 1 << 1,
  UMOUNT_NO_FOLLOW = 1 << 3,
};

/* What the building child hands to its parent, which shares its descriptors. */
typedef struct
{
  LodgeFail fail;
  int mount_fd;
} Built;

static bool
write_id_map (pid_t pid, const char *file, const LodgePlan *plan, LodgeFail *fail)
{
  char path[64];
  char map[64];
  int r;

  snprintf (path, sizeof path, "/proc/%d/%s", (int) pid, file);
  snprintf (map, sizeof map, "0 %u %u\n", (unsigned) plan->base, plan->count);
  r = lodge_io_write_file (AT_FDCWD, path, map);
  return r == 0 || lodge_fail_errno (fail, r, "Cannot write the container's id map");
}

/* A user namespace with the plan's map; it lives by its descriptor alone. */
static int
open_user_namespace (const LodgePlan *plan, LodgeFail *fail)
{
  char path[64];
  int fd = -1;
  pid_t parent = getpid ();
  pid_t pid = (pid_t) syscall (SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);

  if (pid == 0)
    {
      prctl (PR_SET_PDEATHSIG, SIGKILL);
      /* A parent that died before this line would leave it here for ever. */
      while (getppid () == parent)
        pause ();
      _exit (1);
    }
  if (pid < 0)
    {
      lodge_fail_errno (fail, errno, "Cannot make a user namespace");
      return -1;
    }
  if (write_id_map (pid, "uid_map", plan, fail) && write_id_map (pid, "gid_map", plan, fail))
    {
      snprintf (path, sizeof path, "/proc/%d/ns/user", (int) pid);
      fd = open (path, O_RDONLY | O_CLOEXEC);
      if (fd < 0)
        lodge_fail_errno (fail, errno, "Cannot open a user namespace");
    }
  kill (pid, SIGKILL);
  while (waitpid (pid, NULL, 0) < 0 && errno == EINTR)
    continue;
  return fd;
}

/* A detached clone of the mount at @path, with its ids mapped unless @user_ns is -1. */
static int
clone_tree (const char *path, int user_ns, LodgeFail *fail)
{
  LODGE_AUTOFD tree = (int) syscall (SYS_open_tree, AT_FDCWD, path,
                                     OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
  struct mount_attr attr = { 0 };

  if (tree < 0)
    {
      lodge_fail_errno (fail, errno, "Cannot open the directory “%s”", path);
      return -1;
    }
  if (user_ns >= 0)
    {
      attr.attr_set = MOUNT_ATTR_IDMAP;
      attr.userns_fd = (__u64) user_ns;
      if (syscall (SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0)
        {
          lodge_fail_errno (fail, errno, "Cannot map the ids of “%s”", path);
          return -1;
        }
    }
  return lodge_io_steal (&tree);
}

static bool
place_tree (const char *path, int user_ns, const char *name, LodgeFail *fail)
{
  LODGE_AUTOFD tree = clone_tree (path, user_ns, fail);

  if (tree < 0)
    return false;
  if (mkdir (name, 0755) < 0
      || syscall (SYS_move_mount, tree, "", AT_FDCWD, name, MOVE_MOUNT_F_EMPTY_PATH) < 0)
    return lodge_fail_errno (fail, errno, "Cannot place a layer");
  return true;
}

/* Places the layers in the working directory, and writes overlayfs's options for them. */
static bool
place_layers (const LodgePlan *plan, int user_ns, char *lower, size_t size, LodgeFail *fail)
{
  char parent[PATH_MAX];
  size_t used = 0;

  for (size_t i = 0; i < plan->n_lower; i++)
    {
      char name[24];

      snprintf (name, sizeof name, "%zu", i);
      if (!place_tree (plan->lower[i], user_ns, name, fail))
        return false;
      used += (size_t) snprintf (lower + used, size - used, "%s%s", i > 0 ? ":" : "", name);
      if (used >= size)
        return lodge_fail (fail, "LimitExceeded", "The container's root has too many layers");
    }
  /* overlayfs wants upper and work in one mount. */
  snprintf (parent, sizeof parent, "%.*s", (int) (strrchr (plan->upper, '/') - plan->upper),
            plan->upper);
  return place_tree (parent, user_ns, "u", fail);
}

/*
 * overlayfs acts with the ids of who mounted it.  Host root has no id in mapped layers and could
 * create nothing; the container's root has one.  The capabilities must survive the change.
 */
static bool
become_owner (uid_t base, LodgeFail *fail)
{
  if (prctl (PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) < 0)
    return lodge_fail_errno (fail, errno, "Cannot keep the capabilities");
  setfsgid (base);
  setfsuid (base);
  return true;
}

static bool
set_option (int fs, const char *key, const char *value, LodgeFail *fail)
{
  if (syscall (SYS_fsconfig, fs, FSCONFIG_SET_STRING, key, value, 0) == 0)
    return true;
  return lodge_fail_errno (fail, errno, "The overlay file system refuses its %s", key);
}

/* Where overlayfs cannot make its own directory in @work, it mounts the root read-only and says so
 * to nobody. */
static bool
check_writable (int root, const char *work, const char *name, LodgeFail *fail)
{
  struct statvfs info;

  if (fstatvfs (root, &info) == 0 && (info.f_flag & ST_RDONLY) == 0)
    return true;
  bool is_full = statvfs (work, &info) == 0 && (info.f_bavail == 0 || info.f_favail == 0);
  return lodge_fail_errno (fail, is_full ? ENOSPC : EROFS, "Cannot mount the root of “%s”", name);
}

static int
make_overlay (const LodgePlan *plan, const char *lower, unsigned attributes, LodgeFail *fail)
{
  LODGE_AUTOFD fs = (int) syscall (SYS_fsopen, "overlay", FSOPEN_CLOEXEC);
  LODGE_AUTOFD fd = -1;
  char upper[PATH_MAX];
  char work[PATH_MAX];

  snprintf (upper, sizeof upper, "u%s", strrchr (plan->upper, '/'));
  snprintf (work, sizeof work, "u%s", strrchr (plan->work, '/'));
  if (fs < 0)
    {
      lodge_fail_errno (fail, errno, "The kernel has no overlay file system");
      return -1;
    }
  if (!set_option (fs, "source", "lodge", fail) || !set_option (fs, "lowerdir", lower, fail)
      || !set_option (fs, "upperdir", upper, fail)
      || !set_option (fs, "workdir", work, fail)
      /* With an index a layer could not be mounted while the last mount is being written back. */
      || !set_option (fs, "index", "off", fail))
    return -1;
  if (syscall (SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
    {
      lodge_fail_errno (fail, errno, "Cannot mount the root of “%s”", plan->name);
      return -1;
    }
  fd = (int) syscall (SYS_fsmount, fs, FSMOUNT_CLOEXEC, attributes);
  if (fd < 0)
    lodge_fail_errno (fail, errno, "Cannot mount the root of “%s”", plan->name);
  else if (!check_writable (fd, work, plan->name, fail))
    return -1;
  return lodge_io_steal (&fd);
}

static int
build_overlay (const LodgePlan *plan, int user_ns, unsigned attributes, LodgeFail *fail)
{
  char lower[256];

  if (unshare (CLONE_NEWNS) < 0 || mount (NULL, "/", NULL, MOUNT_REC | MOUNT_PRIVATE, NULL) < 0
      || mount ("lodge", "/proc", "tmpfs", 0, "mode=0755") < 0 || chdir ("/proc") < 0)
    {
      lodge_fail_errno (fail, errno, "Cannot make a place to build the root in");
      return -1;
    }
  if (!place_layers (plan, user_ns, lower, sizeof lower, fail)
      || (user_ns >= 0 && !become_owner (plan->base, fail)))
    return -1;
  return make_overlay (plan, lower, attributes, fail);
}

/* Runs build_overlay() in a child that shares our descriptors but not our namespace and ids. */
static int
build_in_child (const LodgePlan *plan, int user_ns, unsigned attributes, LodgeFail *fail)
{
  Built *built
      = mmap (NULL, sizeof *built, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  int status = 0;
  int fd = -1;
  pid_t pid;

  if (built == MAP_FAILED)
    {
      lodge_fail_errno (fail, errno, "Cannot mount the root of “%s”", plan->name);
      return -1;
    }
  built->mount_fd = -1;
  lodge_fail (&built->fail, "Failed", "The process that mounts the root ended early");
  pid = (pid_t) syscall (SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);
  if (pid == 0)
    {
      prctl (PR_SET_PDEATHSIG, SIGKILL);
      built->mount_fd = build_overlay (plan, user_ns, attributes, &built->fail);
      _exit (built->mount_fd < 0);
    }
  while (pid > 0 && waitpid (pid, &status, 0) < 0 && errno == EINTR)
    continue;
  if (pid < 0)
    lodge_fail_errno (fail, errno, "Cannot start a process");
  else if (status != 0)
    *fail = built->fail;
  else
    fd = built->mount_fd;
  munmap (built, sizeof *built);
  return fd;
}

int
lodge_rootfs_make (const LodgePlan *plan, LodgeRootfsMode mode, LodgeFail *fail)
{
  const bool mapped = mode == LODGE_ROOTFS_MAPPED;
  /* The host has no use for devices below this root; the container's /dev is a file system of
   * its own. */
  const unsigned attributes
      = MOUNT_ATTR_NODEV | (mapped ? 0 : MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
  struct mount_attr attr = { .attr_set = attributes };
  LODGE_AUTOFD user_ns = mapped ? open_user_namespace (plan, fail) : -1;
  LODGE_AUTOFD fd = -1;

  if (mapped && user_ns < 0)
    return -1;
  if (!plan->source)
    return build_in_child (plan, user_ns, attributes, fail);
  fd = clone_tree (plan->source, user_ns, fail);
  if (fd >= 0 && syscall (SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0)
    {
      lodge_fail_errno (fail, errno, "Cannot mount the root of “%s”", plan->name);
      return -1;
    }
  return lodge_io_steal (&fd);
}

bool
lodge_rootfs_attach (int mount_fd, const char *path, LodgeFail *fail)
{
  if (syscall (SYS_move_mount, mount_fd, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) == 0)
    return true;
  return lodge_fail_errno (fail, errno, "Cannot mount at “%s”", path);
}

static bool
is_restricted (int dir)
{
  struct statvfs info;

  return fstatvfs (dir, &info) == 0
         && (info.f_flag & (ST_NOSUID | ST_NODEV | ST_NOEXEC | ST_RDONLY)) != 0;
}

bool
lodge_rootfs_unrestrict (const char *dir, LodgeFail *fail)
{
  struct mount_attr attr = {
    .attr_clr = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY,
  };
  LODGE_AUTOFD lock = open (dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  LODGE_AUTOFD again = -1;
  LODGE_AUTOFD tree = -1;

  if (lock >= 0 && !is_restricted (lock))
    return true;
  /* Of several containers that start at once, the others wait until it is done. */
  if (lock < 0 || flock (lock, LOCK_EX) < 0)
    return lodge_fail_errno (fail, errno, "Cannot open the directory “%s”", dir);
  again = open (dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (again >= 0 && !is_restricted (again))
    return true;
  tree = clone_tree (dir, -1, fail);
  if (tree < 0)
    return false;
  if (syscall (SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0)
    return lodge_fail_errno (fail, errno, "Cannot allow programs in “%s”", dir);
  return lodge_rootfs_attach (tree, dir, fail);
}

/* Whether @path itself, not only something above it, is where a mount begins. */
static int
is_mount_point (const char *path)
{
  struct statx st;

  if (statx (AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE, &st) < 0)
    return -errno;
  return (st.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

int
lodge_rootfs_detach (const char *path)
{
  int r;

  while ((r = is_mount_point (path)) > 0)
    if (umount2 (path, UMOUNT_DETACH | UMOUNT_NO_FOLLOW) < 0)
      return -errno;
  return r == -ENOENT ? 0 : r;
}
