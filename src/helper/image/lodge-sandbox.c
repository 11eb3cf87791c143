/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Order matters here.  All mounts are made by the host's root in a mount namespace that belongs
 * to the host's user namespace; then the process enters the new user namespace and copies that
 * mount namespace once more.  The copies are locked: what is read-only stays so, whatever the
 * sandbox's root tries.
 */
#include "lodge-sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/mount.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
/* The check for leaks looks for its own threads in /proc, and a sandbox has none. */
int __lsan_is_turned_off (void);

int
__lsan_is_turned_off (void)
{
  return 1;
}
#endif

/* glibc 2.36 declares these in headers that do not get along with linux/mount.h everywhere. */
static int
sys_open_tree (int dir_fd, const char *path, unsigned int flags)
{
  return (int) syscall (SYS_open_tree, dir_fd, path, flags);
}

static int
sys_move_mount (int from_fd, const char *from_path, int to_fd, const char *to_path,
                unsigned int flags)
{
  return (int) syscall (SYS_move_mount, from_fd, from_path, to_fd, to_path, flags);
}

static int
sys_mount_setattr (int dir_fd, const char *path, unsigned int flags, struct mount_attr *attr)
{
  return (int) syscall (SYS_mount_setattr, dir_fd, path, flags, attr, sizeof *attr);
}

static const char *const HOST_TREES[] = {
  "/usr",
  "/bin",
  "/sbin",
  "/lib",
  "/lib32",
  "/lib64",
  "/libx32",
  "/etc",
  "/var/lib/apt",
  "/var/lib/dpkg",
  "/run/systemd/resolve",
  "/run/resolvconf",
};

static const char *const DEVICES[] = { "null", "zero", "full", "random", "urandom", "tty" };

static bool
refuse (LodgeFail *fail, const char *what)
{
  lodge_fail (fail, "HelperFailed", "The sandbox cannot %s: %s", what, strerror (errno));
  return false;
}

static bool
write_map (pid_t pid, const char *name, const LodgeSandbox *sandbox)
{
  char path[64];
  g_snprintf (path, sizeof path, "/proc/%d/%s", (int) pid, name);
  int fd = open (path, O_WRONLY | O_CLOEXEC);
  if (fd < 0)
    return false;
  char map[64];
  int length = g_snprintf (map, sizeof map, "0 %u %u\n", sandbox->idmap_base, sandbox->idmap_count);
  bool ok = write (fd, map, (size_t) length) == length;
  int saved = errno;
  close (fd);
  errno = saved;
  return ok;
}

/** A change of credentials clears the death signal, so it comes after them. */
static void
die_with (pid_t parent)
{
  if (prctl (PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid () != parent)
    _exit (127);
}

/** A user namespace that nobody lives in. */
static int
make_userns (const LodgeSandbox *sandbox, LodgeFail *fail)
{
  int ready[2];
  if (pipe2 (ready, O_CLOEXEC) < 0)
    {
      refuse (fail, "make a pipe");
      return -1;
    }
  pid_t parent = getpid ();
  pid_t pid = fork ();
  if (pid == 0)
    {
      char word = unshare (CLONE_NEWUSER) == 0 ? 'y' : 'n';
      die_with (parent);
      if (write (ready[1], &word, 1) == 1)
        pause ();
      _exit (1);
    }
  close (ready[1]);
  int fd = -1;
  char word = 'n';
  if (pid < 0 || read (ready[0], &word, 1) != 1 || word != 'y')
    refuse (fail, "make a user namespace");
  else if (!write_map (pid, "uid_map", sandbox) || !write_map (pid, "gid_map", sandbox))
    refuse (fail, "map its ids");
  else
    {
      char path[64];
      g_snprintf (path, sizeof path, "/proc/%d/ns/user", (int) pid);
      fd = open (path, O_RDONLY | O_CLOEXEC);
      if (fd < 0)
        refuse (fail, "open its user namespace");
    }
  close (ready[0]);
  if (pid > 0)
    {
      kill (pid, SIGKILL);
      waitpid (pid, NULL, 0);
    }
  return fd;
}

/** A detached copy of a mount, id-mapped when @userns_fd is not -1. */
static int
clone_mount (int dir_fd, const char *path, guint64 attributes, int userns_fd)
{
  int fd = sys_open_tree (
      dir_fd, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (*path == '\0' ? AT_EMPTY_PATH : 0));
  if (fd < 0)
    return -1;
  struct mount_attr attr = { .attr_set = attributes };
  if (userns_fd >= 0)
    {
      attr.attr_set |= MOUNT_ATTR_IDMAP;
      attr.userns_fd = (guint64) userns_fd;
    }
  if (sys_mount_setattr (fd, "", AT_EMPTY_PATH, &attr) < 0)
    {
      int saved = errno;
      close (fd);
      errno = saved;
      return -1;
    }
  return fd;
}

static bool
attach (int mount_fd, const char *target)
{
  bool ok = sys_move_mount (mount_fd, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) == 0;
  int saved = errno;
  close (mount_fd);
  errno = saved;
  return ok;
}

/** Makes the place for a mount of @source below the new root, which is the working directory. */
static bool
make_place (int dir_fd, const char *source, const char *target)
{
  struct stat st;
  if (fstatat (dir_fd, source, &st, *source == '\0' ? AT_EMPTY_PATH : 0) < 0)
    return false;
  g_autofree char *parent = g_path_get_dirname (target);
  if (g_mkdir_with_parents (parent, 0755) < 0)
    return false;
  if (S_ISDIR (st.st_mode))
    return mkdir (target, 0755) == 0 || errno == EEXIST;
  int fd = open (target, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd < 0)
    return false;
  close (fd);
  return true;
}

/** @source: below @dir_fd; "" is @dir_fd itself. */
static bool
bind_at (int dir_fd, const char *source, const char *target, guint64 attributes, int userns_fd)
{
  if (!make_place (dir_fd, source, target))
    return false;
  int fd = clone_mount (dir_fd, source, attributes, userns_fd);
  return fd >= 0 && attach (fd, target);
}

static bool
bind_host (const char *source, const char *target, guint64 attributes)
{
  return bind_at (AT_FDCWD, source, target, attributes, -1);
}

static bool
add_host_tree (const char *path)
{
  const char *target = path + 1;
  struct stat st;
  if (lstat (path, &st) < 0)
    return true;
  if (!S_ISLNK (st.st_mode))
    return bind_host (path, target, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID);
  char link[256];
  ssize_t length = readlink (path, link, sizeof link - 1);
  if (length < 0)
    return false;
  link[length] = '\0';
  return symlink (link, target) == 0;
}

static bool
add_devices (LodgeFail *fail)
{
  if (mkdir ("dev", 0755) < 0 || mkdir ("dev/shm", 01777) < 0 || mkdir ("dev/pts", 0755) < 0)
    return refuse (fail, "make /dev");
  for (gsize i = 0; i < G_N_ELEMENTS (DEVICES); i++)
    {
      g_autofree char *source = g_strconcat ("/dev/", DEVICES[i], NULL);
      if (!bind_host (source, source + 1, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC))
        return refuse (fail, "show /dev");
    }
  if (symlink ("/proc/self/fd", "dev/fd") < 0 || symlink ("/proc/self/fd/0", "dev/stdin") < 0
      || symlink ("/proc/self/fd/1", "dev/stdout") < 0
      || symlink ("/proc/self/fd/2", "dev/stderr") < 0 || symlink ("pts/ptmx", "dev/ptmx") < 0)
    return refuse (fail, "link /dev");
  return true;
}

static bool
add_host_tools (LodgeFail *fail)
{
  for (gsize i = 0; i < G_N_ELEMENTS (HOST_TREES); i++)
    if (!add_host_tree (HOST_TREES[i]))
      return refuse (fail, HOST_TREES[i]);
  /* Both must be there unmasked, or the kernel refuses new instances to the sandbox's root. */
  if (!bind_host ("/proc", "proc", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)
      || !bind_host ("/sys", "sys",
                     MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY))
    return refuse (fail, "show /proc and /sys");
  return add_devices (fail);
}

static bool
add_binds (const LodgeSandbox *sandbox, int userns_fd, const int *file_mounts, LodgeFail *fail)
{
  for (gsize i = 0; i < sandbox->n_binds; i++)
    {
      const LodgeSandboxBind *bind = &sandbox->binds[i];
      guint64 attributes = MOUNT_ATTR_NOSUID | (bind->writable ? 0 : MOUNT_ATTR_RDONLY);
      bool bound = bind->path != NULL
                       ? bind_at (AT_FDCWD, bind->path, bind->target + 1, attributes,
                                  bind->mapped ? -1 : userns_fd)
                       : make_place (bind->fd, "", bind->target + 1) && file_mounts[i] >= 0
                             && attach (file_mounts[i], bind->target + 1);
      if (!bound && bind->optional)
        unlink (bind->target + 1);
      else if (!bound)
        return refuse (fail, bind->path != NULL ? bind->path : bind->target);
    }
  return true;
}

/** Leaves the process in a root of its own, made of nothing but what the sandbox shows. */
static bool
enter_root (const LodgeSandbox *sandbox, int staging_mount, const int *file_mounts, int userns_fd,
            LodgeFail *fail)
{
  if (mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
    return refuse (fail, "make its mounts private");
  /* Any directory will do to hang the new root on: nobody else sees this namespace. */
  if (mount ("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=256m") < 0
      || chdir ("/tmp") < 0)
    return refuse (fail, "make its root");
  static const char *const PLACES[]
      = { "proc", "sys", "tmp", "run", "var", "var/lib", "var/tmp", LODGE_SANDBOX_STAGING + 1 };
  for (gsize i = 0; i < G_N_ELEMENTS (PLACES); i++)
    if (mkdir (PLACES[i], 0755) < 0)
      return refuse (fail, "make its directories");
  if (sandbox->host_tools && !add_host_tools (fail))
    return false;
  if (!add_binds (sandbox, userns_fd, file_mounts, fail))
    return false;
  if (staging_mount >= 0
      && sys_move_mount (staging_mount, "", AT_FDCWD, LODGE_SANDBOX_STAGING + 1,
                         MOVE_MOUNT_F_EMPTY_PATH)
             < 0)
    return refuse (fail, "mount the staging directory");
  if (chown ("tmp", sandbox->idmap_base, sandbox->idmap_base) < 0
      || chown ("var/tmp", sandbox->idmap_base, sandbox->idmap_base) < 0 || chmod ("tmp", 01777) < 0
      || chmod ("var/tmp", 01777) < 0)
    return refuse (fail, "hand over /tmp");
  if (syscall (SYS_pivot_root, ".", ".") < 0 || umount2 (".", MNT_DETACH) < 0 || chdir ("/") < 0)
    return refuse (fail, "change its root");
  return true;
}

static bool
enter_namespaces (const LodgeSandbox *sandbox, int userns_fd, LodgeFail *fail)
{
  if (setns (userns_fd, CLONE_NEWUSER) < 0)
    return refuse (fail, "enter its user namespace");
  if (setgroups (0, NULL) < 0 || setresgid (0, 0, 0) < 0 || setresuid (0, 0, 0) < 0)
    return refuse (fail, "become its root");
  int flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS;
  if (unshare (flags | (sandbox->network ? 0 : CLONE_NEWNET)) < 0)
    return refuse (fail, "make its namespaces");
  return true;
}

static int
wait_for (pid_t pid)
{
  int status;
  while (waitpid (pid, &status, 0) < 0)
    if (errno != EINTR)
      return 127;
  return WIFSIGNALED (status) ? 128 + WTERMSIG (status) : WEXITSTATUS (status);
}

/** Sends the text of @fail through @report_fd; the parent takes it over. */
G_NORETURN static void
give_up (int report_fd, const LodgeFail *fail)
{
  ssize_t ignored G_GNUC_UNUSED = write (report_fd, fail->text, strlen (fail->text));
  _exit (127);
}

/** What the sandbox's own making needed; a directory of the host is a way out of its root. */
static void
drop_fds (const LodgeSandbox *sandbox, int staging_mount, int userns_fd)
{
  const int fds[] = { sandbox->staging_fd, staging_mount, userns_fd };
  struct stat st;

  for (gsize i = 0; i < G_N_ELEMENTS (fds); i++)
    if (fds[i] >= 0)
      close (fds[i]);
  for (gsize i = 0; i < sandbox->n_binds; i++)
    {
      const LodgeSandboxBind *bind = &sandbox->binds[i];
      if (bind->path == NULL && fstat (bind->fd, &st) == 0 && S_ISDIR (st.st_mode))
        close (bind->fd);
    }
}

/** As PID 1, until @pid has ended, with whom all others end. */
G_NORETURN static void
reap (pid_t pid)
{
  int status;
  pid_t ended;

  while ((ended = waitpid (-1, &status, 0)) != pid)
    if (ended < 0 && errno != EINTR)
      _exit (127);
  _exit (WIFSIGNALED (status) ? 128 + WTERMSIG (status) : WEXITSTATUS (status));
}

/*
 * PID 1 runs nothing foreign, nor can what does trace or kill it: only so does its death signal
 * stay, which ends the sandbox with the worker.
 */
G_NORETURN static void
run_first (const LodgeSandbox *sandbox, int report_fd, LodgeSandboxFunc func, gpointer data)
{
  LodgeFail fail = { 0 };
  if (sandbox->host_tools
      && (mount ("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0
          || mount ("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
                    "newinstance,ptmxmode=0666,mode=0620")
                 < 0))
    {
      refuse (&fail, "mount /proc and /dev/pts");
      give_up (report_fd, &fail);
    }
  pid_t pid = fork ();
  if (pid < 0)
    {
      refuse (&fail, "fork");
      give_up (report_fd, &fail);
    }
  if (pid > 0)
    {
      prctl (PR_SET_DUMPABLE, 0);
      close (report_fd);
      reap (pid);
    }
  if (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
    {
      refuse (&fail, "give up privileges");
      give_up (report_fd, &fail);
    }
  ssize_t ignored G_GNUC_UNUSED = write (report_fd, "", 1);
  close (report_fd);
  exit (func (data));
}

/** Dies with the other end of a pipe that nobody writes to, should that have happened already. */
static void
die_with_pipe (const int life[2])
{
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  close (life[1]);
  struct pollfd end = { .fd = life[0], .events = POLLIN };
  if (poll (&end, 1, 0) != 0)
    _exit (127);
  close (life[0]);
}

G_NORETURN static void
run_outer (const LodgeSandbox *sandbox, int staging_mount, const int *file_mounts, int userns_fd,
           int report_fd, LodgeSandboxFunc func, gpointer data, pid_t caller)
{
  LodgeFail fail = { 0 };
  int life[2];
  die_with (caller);
  /* lodged's own is 077, which would shut the sandbox's user out of its root. */
  umask (022);
  if (unshare (CLONE_NEWNS) < 0 || pipe2 (life, O_CLOEXEC) < 0)
    {
      refuse (&fail, "make a mount namespace");
      give_up (report_fd, &fail);
    }
  if (!enter_root (sandbox, staging_mount, file_mounts, userns_fd, &fail)
      || !enter_namespaces (sandbox, userns_fd, &fail))
    give_up (report_fd, &fail);
  die_with (caller);
  drop_fds (sandbox, staging_mount, userns_fd);
  pid_t pid = fork ();
  if (pid < 0)
    {
      refuse (&fail, "fork");
      give_up (report_fd, &fail);
    }
  if (pid == 0)
    {
      /* getppid() is 0 across pid namespaces, so there is nothing to compare. */
      die_with_pipe (life);
      run_first (sandbox, report_fd, func, data);
    }
  close (report_fd);
  _exit (wait_for (pid));
}

/** Reads what the sandbox says about its making: a NUL byte when it succeeded, else a message. */
static bool
read_report (int report_fd, LodgeFail *fail)
{
  char text[512];
  ssize_t length = read (report_fd, text, sizeof text - 1);
  if (length == 1 && text[0] == '\0')
    return true;
  text[MAX (length, 0)] = '\0';
  return lodge_fail (fail, "HelperFailed", "%s",
                     length > 0 ? text : "The sandbox ended before it had begun");
}

/** Copies of the mounts of files that are given open; -1 where that cannot be.  This must be done
 * before there is another mount namespace: only what is in the process's own can be copied. */
static int *
clone_files (const LodgeSandbox *sandbox, int userns_fd)
{
  int *mounts = g_new (int, sandbox->n_binds + 1);

  for (gsize i = 0; i < sandbox->n_binds; i++)
    {
      const LodgeSandboxBind *bind = &sandbox->binds[i];
      guint64 attributes = MOUNT_ATTR_NOSUID | (bind->writable ? 0 : MOUNT_ATTR_RDONLY);
      mounts[i] = bind->path == NULL ? clone_mount (bind->fd, "", attributes, userns_fd) : -1;
    }
  return mounts;
}

static void
close_files (const LodgeSandbox *sandbox, const int *mounts)
{
  for (gsize i = 0; i < sandbox->n_binds; i++)
    if (mounts[i] >= 0)
      close (mounts[i]);
}

bool
lodge_sandbox_run (const LodgeSandbox *sandbox, LodgeSandboxFunc func, gpointer data,
                   int *out_status, LodgeFail *fail)
{
  int userns_fd = make_userns (sandbox, fail);
  if (userns_fd < 0)
    return false;
  int staging_mount = -1;
  if (sandbox->staging_fd >= 0)
    {
      staging_mount
          = clone_mount (sandbox->staging_fd, "", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, userns_fd);
      if (staging_mount < 0)
        {
          close (userns_fd);
          return refuse (fail, "id-map the staging directory");
        }
    }
  int report[2];
  if (pipe2 (report, O_CLOEXEC) < 0)
    {
      close (userns_fd);
      return refuse (fail, "make a pipe");
    }
  g_autofree int *file_mounts = clone_files (sandbox, userns_fd);
  pid_t caller = getpid ();
  pid_t pid = fork ();
  if (pid == 0)
    {
      close (report[0]);
      run_outer (sandbox, staging_mount, file_mounts, userns_fd, report[1], func, data, caller);
    }
  close (report[1]);
  close (userns_fd);
  close_files (sandbox, file_mounts);
  if (staging_mount >= 0)
    close (staging_mount);
  bool made = pid > 0 && read_report (report[0], fail);
  if (pid < 0)
    refuse (fail, "fork");
  close (report[0]);
  int status = pid > 0 ? wait_for (pid) : 127;
  if (!made)
    return false;
  *out_status = status;
  return true;
}
