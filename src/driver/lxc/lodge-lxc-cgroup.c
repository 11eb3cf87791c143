/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-lxc-cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lodge-fd.h"

#define CGROUP_ROOT       "/sys/fs/cgroup"
#define CGROUP_FILE_MAX   (64 * 1024)
#define FREEZE_TIMEOUT_MS 5000
/* Fields 4 and 22 of /proc/PID/stat, counted after the command. */
#define STAT_PARENT_INDEX     1
#define STAT_START_TIME_INDEX 19

void
lodge_lxc_init_free (LodgeLxcInit *init)
{
  if (init == NULL)
    return;
  g_free (init->cgroup);
  g_free (init->cgroup_mount);
  g_free (init);
}

/* The fields of /proc/PID/stat after the command, which may contain anything; NULL: there is no
 * such process. */
static GStrv
read_stat (int pid)
{
  char path[64];
  g_snprintf (path, sizeof path, "/proc/%d/stat", pid);
  g_autofree char *text = NULL;
  if (!g_file_get_contents (path, &text, NULL, NULL))
    return NULL;
  const char *end = strrchr (text, ')');
  if (end == NULL)
    return NULL;
  g_auto (GStrv) fields = g_strsplit (g_strchug ((char *) end + 1), " ", -1);
  /* One that has ended and waits for its parent is no more, for all that is done here. */
  if (g_strv_length (fields) <= STAT_START_TIME_INDEX || strpbrk (fields[0], "ZXx") != NULL)
    return NULL;
  return g_steal_pointer (&fields);
}

int
lodge_lxc_process_parent (int pid)
{
  g_auto (GStrv) fields = read_stat (pid);
  return fields != NULL ? (int) g_ascii_strtoll (fields[STAT_PARENT_INDEX], NULL, 10) : 0;
}

guint64
lodge_lxc_process_start_time (int pid)
{
  g_auto (GStrv) fields = read_stat (pid);
  return fields != NULL ? g_ascii_strtoull (fields[STAT_START_TIME_INDEX], NULL, 10) : 0;
}

static void
replace_text (char **text, const char *value)
{
  g_free (*text);
  *text = g_strdup (value);
}

static void
take_fact (LodgeLxcInit *init, const char *key, const char *value)
{
  if (strcmp (key, "pid") == 0)
    init->pid = (int) g_ascii_strtoll (value, NULL, 10);
  else if (strcmp (key, "start-time") == 0)
    init->start_time = g_ascii_strtoull (value, NULL, 10);
  else if (strcmp (key, "cgroup") == 0)
    replace_text (&init->cgroup, value);
  else if (strcmp (key, "cgroup-mount") == 0)
    replace_text (&init->cgroup_mount, value);
}

LodgeLxcInit *
lodge_lxc_init_read (const char *runtime_dir, int cgroup_root)
{
  g_autofree char *path = g_build_filename (runtime_dir, "init", NULL);
  g_autofree char *text = NULL;
  if (!g_file_get_contents (path, &text, NULL, NULL))
    return NULL;

  g_autoptr (LodgeLxcInit) init = g_new0 (LodgeLxcInit, 1);
  init->cgroup_root = cgroup_root;
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  for (char **line = lines; *line != NULL; line++)
    {
      char *value = strchr (*line, '=');
      if (value == NULL)
        continue;
      *value = '\0';
      take_fact (init, *line, value + 1);
    }
  if (init->pid <= 1 || init->start_time == 0
      || lodge_lxc_process_start_time (init->pid) != init->start_time)
    return NULL;
  return g_steal_pointer (&init);
}

LodgeLxcInit *
lodge_lxc_init_find (int controller)
{
  char path[64];
  g_snprintf (path, sizeof path, "/proc/%d/task/%d/children", controller, controller);
  g_autofree char *children = NULL;
  if (!g_file_get_contents (path, &children, NULL, NULL))
    return NULL;
  g_autoptr (LodgeLxcInit) init = g_new0 (LodgeLxcInit, 1);
  init->cgroup_root = -1;
  init->pid = (int) g_ascii_strtoll (children, NULL, 10);
  init->start_time = init->pid > 1 ? lodge_lxc_process_start_time (init->pid) : 0;
  return init->start_time != 0 ? g_steal_pointer (&init) : NULL;
}

gboolean
lodge_lxc_init_is (const LodgeLxcInit *init, const char *program)
{
  char path[64];
  g_snprintf (path, sizeof path, "/proc/%d/exe", init->pid);
  g_autofree char *target = g_file_read_link (path, NULL);
  g_autofree char *name = target != NULL ? g_path_get_basename (target) : NULL;
  return g_strcmp0 (name, program) == 0;
}

static guint64
signal_mask (const char *status, const char *field)
{
  const char *found = strstr (status, field);
  return found != NULL ? g_ascii_strtoull (found + strlen (field), NULL, 16) : 0;
}

/* While it waits for signals by sigwait(3) they do not count as blocked. */
static gboolean
waits_for_signals (int pid)
{
  char path[64];
  g_snprintf (path, sizeof path, "/proc/%d/syscall", pid);
  g_autofree char *text = NULL;
  return g_file_get_contents (path, &text, NULL, NULL)
         && g_ascii_strtoll (text, NULL, 10) == SYS_rt_sigtimedwait;
}

/* It has a handler, or blocks the signal to fetch it by sigwait(3) or signalfd(2). */
gboolean
lodge_lxc_init_heeds (const LodgeLxcInit *init, int signum)
{
  char path[64];
  g_snprintf (path, sizeof path, "/proc/%d/status", init->pid);
  g_autofree char *status = NULL;
  if (!g_file_get_contents (path, &status, NULL, NULL))
    return FALSE;
  guint64 mask = signal_mask (status, "\nSigCgt:") | signal_mask (status, "\nSigBlk:");
  return (mask & (G_GUINT64_CONSTANT (1) << (signum - 1))) != 0 || waits_for_signals (init->pid);
}

/* The container may have made any link in the place of these. */
gboolean
lodge_lxc_init_has_pipe (const LodgeLxcInit *init)
{
  static const char *const pipes[] = { "run/initctl", "dev/initctl", "etc/.initctl" };
  struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
  char path[64];
  g_snprintf (path, sizeof path, "/proc/%d/root", init->pid);
  g_auto (LodgeFd) root = open (path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  for (guint i = 0; root >= 0 && i < G_N_ELEMENTS (pipes); i++)
    {
      struct stat info;
      g_auto (LodgeFd) fd = (int) syscall (SYS_openat2, root, pipes[i], &how, sizeof how);
      if (fd >= 0 && fstat (fd, &info) == 0 && S_ISFIFO (info.st_mode))
        return TRUE;
    }
  return FALSE;
}

gboolean
lodge_lxc_init_signal (const LodgeLxcInit *init, int signum)
{
  g_auto (LodgeFd) fd = (int) syscall (SYS_pidfd_open, init->pid, 0);
  if (fd < 0 || lodge_lxc_process_start_time (init->pid) != init->start_time)
    return FALSE;
  return syscall (SYS_pidfd_send_signal, fd, signum, NULL, 0) == 0;
}

gboolean
lodge_lxc_cgroup_is_unified (void)
{
  return access (CGROUP_ROOT "/cgroup.controllers", F_OK) == 0;
}

gboolean
lodge_lxc_cgroup_limits_swap (void)
{
  if (!lodge_lxc_cgroup_is_unified ())
    return access (CGROUP_ROOT "/memory/memory.memsw.limit_in_bytes", F_OK) == 0;
  return access ("/proc/swaps", F_OK) == 0;
}

/* A mount of cgroup2 that nobody else sees: libvirt 9 fails to start containers where a cgroup2
 * mount with controllers is visible beside those of v1. */
int
lodge_lxc_cgroup_open_root (GError **error)
{
  g_auto (LodgeFd) fs = (int) syscall (SYS_fsopen, "cgroup2", FSOPEN_CLOEXEC);
  if (fs >= 0 && syscall (SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
    {
      int root = (int) syscall (SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0);
      if (root >= 0)
        return root;
    }
  lodge_error_set_errno (error, errno, "Cannot reach the cgroup2 hierarchy");
  return -1;
}

int
lodge_lxc_cgroup_open (const LodgeLxcInit *init, GError **error)
{
  const int flags = O_DIRECTORY | O_CLOEXEC | O_PATH;
  gboolean is_hidden = init->cgroup_mount == NULL || *init->cgroup_mount == '\0';
  g_auto (LodgeFd) mount = is_hidden ? -1 : open (init->cgroup_mount, flags);
  int root = is_hidden ? init->cgroup_root : mount;
  if (init->cgroup == NULL || root < 0)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_FAILED, "The container has no known cgroup");
      return -1;
    }
  const char *relative = init->cgroup + strspn (init->cgroup, "/");
  int cgroup = openat (root, *relative != '\0' ? relative : ".", flags | O_NOFOLLOW);
  if (cgroup < 0)
    lodge_error_set_errno (error, errno, "Cannot open the container's cgroup");
  return cgroup;
}

gboolean
lodge_lxc_cgroup_write (int cgroup, const char *file, const char *text, GError **error)
{
  g_auto (LodgeFd) fd = openat (cgroup, file, O_WRONLY | O_CLOEXEC);
  if (fd >= 0 && write (fd, text, strlen (text)) == (gssize) strlen (text))
    return TRUE;
  lodge_error_set_errno (error, errno, "Cannot write %s of the container's cgroup", file);
  return FALSE;
}

char *
lodge_lxc_cgroup_read (int cgroup, const char *file)
{
  g_auto (LodgeFd) fd = openat (cgroup, file, O_RDONLY | O_CLOEXEC);
  return fd >= 0 ? lodge_fd_read_all (fd, CGROUP_FILE_MAX, NULL, NULL) : NULL;
}

static gboolean
events_say (int fd, const char *line)
{
  char text[512];
  gssize n = pread (fd, text, sizeof text - 1, 0);
  text[MAX (n, 0)] = '\0';
  return strstr (text, line) != NULL;
}

gboolean
lodge_lxc_cgroup_freeze (const LodgeLxcInit *init, gboolean frozen, GError **error)
{
  g_auto (LodgeFd) cgroup = lodge_lxc_cgroup_open (init, error);
  if (cgroup < 0 || !lodge_lxc_cgroup_write (cgroup, "cgroup.freeze", frozen ? "1" : "0", error))
    return FALSE;

  g_auto (LodgeFd) events = openat (cgroup, "cgroup.events", O_RDONLY | O_CLOEXEC);
  const char *wanted = frozen ? "frozen 1" : "frozen 0";
  gint64 deadline = g_get_monotonic_time () + FREEZE_TIMEOUT_MS * G_TIME_SPAN_MILLISECOND;
  while (!events_say (events, wanted))
    {
      gint64 left = (deadline - g_get_monotonic_time ()) / G_TIME_SPAN_MILLISECOND;
      struct pollfd item = { .fd = events, .events = POLLPRI };
      if (left <= 0 || (poll (&item, 1, (int) left) < 0 && errno != EINTR))
        {
          g_set_error (error, LODGE_ERROR, LODGE_ERROR_TIMED_OUT,
                       "The container's processes did not %s in time", frozen ? "freeze" : "thaw");
          return FALSE;
        }
    }
  return TRUE;
}

char *
lodge_lxc_cgroup_v1_dir (int pid, const char *controller)
{
  char path[64];
  g_snprintf (path, sizeof path, "/proc/%d/cgroup", pid);
  g_autofree char *text = NULL;
  if (!g_file_get_contents (path, &text, NULL, NULL))
    return NULL;
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  for (char **line = lines; *line != NULL; line++)
    {
      g_auto (GStrv) fields = g_strsplit (*line, ":", 3);
      if (g_strv_length (fields) != 3)
        continue;
      g_auto (GStrv) controllers = g_strsplit (fields[1], ",", -1);
      if (g_strv_contains ((const char *const *) controllers, controller))
        return g_build_filename (CGROUP_ROOT, fields[1], fields[2], NULL);
    }
  return NULL;
}

static gboolean
is_frozen_v1 (const LodgeLxcInit *init)
{
  g_autofree char *dir = lodge_lxc_cgroup_v1_dir (init->pid, "freezer");
  if (dir == NULL)
    return FALSE;
  g_autofree char *path = g_build_filename (dir, "freezer.state", NULL);
  g_autofree char *state = NULL;
  return g_file_get_contents (path, &state, NULL, NULL) && g_str_has_prefix (state, "FR");
}

gboolean
lodge_lxc_init_is_frozen (const LodgeLxcInit *init)
{
  if (!lodge_lxc_cgroup_is_unified ())
    return is_frozen_v1 (init);
  g_auto (LodgeFd) cgroup = lodge_lxc_cgroup_open (init, NULL);
  g_autofree char *events = cgroup >= 0 ? lodge_lxc_cgroup_read (cgroup, "cgroup.events") : NULL;
  return events != NULL && strstr (events, "frozen 1") != NULL;
}
