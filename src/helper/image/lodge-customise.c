/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-customise.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lodge-io.h"

#define RESOURCE_ROOT "/org/lodge1/image"
#define PROGRAM_DIR   "/usr/lib/lodge/"
#define SYSTEM        "/etc/systemd/system/"
#define UNITS         "/lib/systemd/system/"
#define GENERATORS    "/etc/systemd/system-generators/"

#define CONTAINER LODGE_OVERLAY_CONTAINER
#define BOTH      (LODGE_OVERLAY_CONTAINER | LODGE_OVERLAY_VM)

static const struct
{
  LodgeOverlay overlay;
  const char *name;
} OVERLAYS[] = {
  { LODGE_OVERLAY_COMMON, "common" },
  { LODGE_OVERLAY_CONTAINER, "container" },
  { LODGE_OVERLAY_VM, "vm" },
  { LODGE_OVERLAY_VM_EARLY, "vm-early" },
};

typedef struct
{
  LodgeOverlay overlay;
  const char *path;
  const char *target;
} Link;

static const Link LINKS[] = {
  { BOTH, SYSTEM "multi-user.target.wants/systemd-networkd.service",
    UNITS "systemd-networkd.service" },
  { BOTH, SYSTEM "sockets.target.wants/systemd-networkd.socket", UNITS "systemd-networkd.socket" },
  { BOTH, SYSTEM "dbus-org.freedesktop.network1.service", UNITS "systemd-networkd.service" },
  { LODGE_OVERLAY_VM, SYSTEM "sysinit.target.wants/qemu-guest-agent.service",
    SYSTEM "qemu-guest-agent.service" },
  { LODGE_OVERLAY_VM, SYSTEM "multi-user.target.wants/lodge-dhcp.path", SYSTEM "lodge-dhcp.path" },
  { LODGE_OVERLAY_VM, SYSTEM "multi-user.target.wants/lodge-grow-root.service",
    SYSTEM "lodge-grow-root.service" },
};

/* Units and generators that cost time at each boot and give a guest nothing. */
static const Link MASKS[] = {
  { BOTH, SYSTEM "systemd-update-utmp.service", NULL },
  { BOTH, SYSTEM "systemd-update-utmp-runlevel.service", NULL },
  { BOTH, SYSTEM "systemd-firstboot.service", NULL },
  { BOTH, SYSTEM "systemd-machine-id-commit.service", NULL },
  { BOTH, SYSTEM "systemd-journal-catalog-update.service", NULL },
  { BOTH, SYSTEM "systemd-pstore.service", NULL },
  /* Without PAM's module no logind runs, and systemctl poweroff would wait 25 s for it to come. */
  { CONTAINER, SYSTEM "dbus-org.freedesktop.login1.service", NULL },
  { BOTH, SYSTEM "sys-kernel-debug.mount", NULL },
  { BOTH, SYSTEM "sys-kernel-tracing.mount", NULL },
  { BOTH, SYSTEM "dev-hugepages.mount", NULL },
  { CONTAINER, SYSTEM "sys-kernel-config.mount", NULL },
  { CONTAINER, SYSTEM "sys-fs-fuse-connections.mount", NULL },
  { CONTAINER, SYSTEM "systemd-remount-fs.service", NULL },
  { CONTAINER, SYSTEM "systemd-tmpfiles-setup-dev.service", NULL },
  { CONTAINER, SYSTEM "getty-static.service", NULL },
  { LODGE_OVERLAY_VM, SYSTEM "systemd-hwdb-update.service", NULL },
  { LODGE_OVERLAY_VM, SYSTEM "modprobe@configfs.service", NULL },
  { LODGE_OVERLAY_VM, SYSTEM "modprobe@drm.service", NULL },
  { LODGE_OVERLAY_VM, SYSTEM "modprobe@efi_pstore.service", NULL },
  { LODGE_OVERLAY_VM, SYSTEM "modprobe@fuse.service", NULL },
  { LODGE_OVERLAY_VM, SYSTEM "modprobe@loop.service", NULL },
  { LODGE_OVERLAY_VM, SYSTEM "modprobe@dm_mod.service", NULL },
  { LODGE_OVERLAY_VM, SYSTEM "sys-fs-fuse-connections.mount", NULL },
  { LODGE_OVERLAY_VM, SYSTEM "systemd-random-seed.service", NULL },
  /* They look for disks and at the host's kernel parameters. */
  { CONTAINER, GENERATORS "systemd-cryptsetup-generator", NULL },
  { CONTAINER, GENERATORS "systemd-debug-generator", NULL },
  { CONTAINER, GENERATORS "systemd-gpt-auto-generator", NULL },
  { CONTAINER, GENERATORS "systemd-hibernate-resume-generator", NULL },
  { CONTAINER, GENERATORS "systemd-integritysetup-generator", NULL },
  { CONTAINER, GENERATORS "systemd-run-generator", NULL },
  { CONTAINER, GENERATORS "systemd-veritysetup-generator", NULL },
};

static const Link REMOVALS[] = {
  { BOTH, "/etc/hostname", NULL },
  { BOTH, "/var/lib/dbus/machine-id", NULL },
  { BOTH, "/etc/ssh/ssh_host_*", NULL },
  { BOTH, "/etc/apt/apt.conf.d/99mmdebstrap", NULL },
  { BOTH, "/etc/dpkg/dpkg.cfg.d/99mmdebstrap", NULL },
  { BOTH, "/var/cache/ldconfig/aux-cache", NULL },
  { BOTH, "/var/cache/debconf/*-old", NULL },
  { BOTH, "/var/lib/dpkg/*-old", NULL },
  { BOTH, "/var/log/*.log", NULL },
  { BOTH, "/var/log/apt/*", NULL },
  { BOTH, "/var/log/journal", NULL },
  { BOTH, "/etc/*-", NULL },
  { BOTH, SYSTEM "*.wants/e2scrub_*", NULL },
  { BOTH, SYSTEM "*.wants/systemd-pstore.service", NULL },
  { BOTH, SYSTEM "*.wants/fstrim.timer", NULL },
  { BOTH, "/etc/resolv.conf", NULL },
  { LODGE_OVERLAY_VM, SYSTEM "*.wants/systemd-networkd-wait-online.service", NULL },
};

static bool
write_file (const char *path, const void *data, gsize size, LodgeFail *fail)
{
  g_autofree char *parent = g_path_get_dirname (path);
  if (g_mkdir_with_parents (parent, 0755) < 0)
    return lodge_fail_errno (fail, errno, "%s cannot be made", parent);
  mode_t mode = strstr (path, PROGRAM_DIR) != NULL ? 0755 : 0644;
  unlink (path);
  LODGE_AUTOFD fd = open (path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
  if (fd < 0)
    return lodge_fail_errno (fail, errno, "%s cannot be written", path);
  int error = lodge_io_write_all (fd, data, size);
  return error == 0 || lodge_fail_errno (fail, error, "%s cannot be written", path);
}

/** Writes what is in the resource folder @folder, which ends with '/'. */
static bool
write_folder (const char *folder, gsize prefix_length, const char *root, LodgeFail *fail)
{
  g_auto (GStrv) names = g_resources_enumerate_children (folder, 0, NULL);
  for (char **name = names; name != NULL && *name != NULL; name++)
    {
      g_autofree char *resource = g_strconcat (folder, *name, NULL);
      if (g_str_has_suffix (resource, "/"))
        {
          if (!write_folder (resource, prefix_length, root, fail))
            return false;
          continue;
        }
      g_autoptr (GBytes) bytes = g_resources_lookup_data (resource, 0, NULL);
      g_autofree char *path = g_strconcat (root, resource + prefix_length, NULL);
      if (!write_file (path, g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), fail))
        return false;
    }
  return true;
}

bool
lodge_customise_write (LodgeOverlay overlay, const char *root, LodgeFail *fail)
{
  for (gsize i = 0; i < G_N_ELEMENTS (OVERLAYS); i++)
    {
      if ((overlay & OVERLAYS[i].overlay) == 0)
        continue;
      g_autofree char *folder = g_strconcat (RESOURCE_ROOT "/", OVERLAYS[i].name, "/", NULL);
      if (!write_folder (folder, strlen (folder) - 1, root, fail))
        return false;
    }
  return true;
}

bool
lodge_customise_link (const char *target, const char *path, LodgeFail *fail)
{
  g_autofree char *parent = g_path_get_dirname (path);
  if (g_mkdir_with_parents (parent, 0755) < 0)
    return lodge_fail_errno (fail, errno, "%s cannot be made", parent);
  if ((unlink (path) < 0 && errno != ENOENT) || symlink (target, path) < 0)
    return lodge_fail_errno (fail, errno, "%s cannot be linked", path);
  return true;
}

bool
lodge_customise_write_text (const char *path, const char *text, LodgeFail *fail)
{
  return write_file (path, text, strlen (text), fail);
}

static char *
resource_name (LodgeOverlay overlay, const char *path)
{
  for (gsize i = 0; i < G_N_ELEMENTS (OVERLAYS); i++)
    if (OVERLAYS[i].overlay == overlay)
      return g_strconcat (RESOURCE_ROOT "/", OVERLAYS[i].name, path, NULL);
  return g_strdup (path);
}

bool
lodge_customise_write_one (LodgeOverlay overlay, const char *path, LodgeFail *fail)
{
  g_autofree char *name = resource_name (overlay, path);
  g_autoptr (GBytes) bytes = g_resources_lookup_data (name, 0, NULL);

  if (bytes == NULL)
    return lodge_fail (fail, "HelperFailed", "%s is not part of Lodge", path);
  return write_file (path, g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), fail);
}

static bool
make_links (LodgeOverlay overlay, LodgeFail *fail)
{
  for (gsize i = 0; i < G_N_ELEMENTS (LINKS); i++)
    if ((LINKS[i].overlay & overlay) != 0
        && !lodge_customise_link (LINKS[i].target, LINKS[i].path, fail))
      return false;
  for (gsize i = 0; i < G_N_ELEMENTS (MASKS); i++)
    {
      if ((MASKS[i].overlay & overlay) != 0
          && !lodge_customise_link ("/dev/null", MASKS[i].path, fail))
        return false;
    }
  return true;
}

static void
remove_traces (LodgeOverlay overlay)
{
  for (gsize i = 0; i < G_N_ELEMENTS (REMOVALS); i++)
    {
      glob_t found = { 0 };
      if ((REMOVALS[i].overlay & overlay) == 0
          || glob (REMOVALS[i].path, GLOB_NOSORT, NULL, &found) != 0)
        continue;
      for (gsize k = 0; k < found.gl_pathc; k++)
        if (unlink (found.gl_pathv[k]) < 0 && errno == EISDIR)
          rmdir (found.gl_pathv[k]);
      globfree (&found);
    }
}

/*
 * systemd compares the time of /usr with that of these files, and would run half a dozen "first
 * boot after an update" services in each new instance.
 */
static bool
mark_updated (LodgeFail *fail)
{
  static const char *const FILES[] = { "/etc/.updated", "/var/.updated" };
  struct stat usr;
  if (stat ("/usr", &usr) < 0)
    return lodge_fail_errno (fail, errno, "/usr cannot be read");
  g_autofree char *text = g_strdup_printf ("TIMESTAMP_NSEC=%" G_GINT64_FORMAT "%09ld\n",
                                           (gint64) usr.st_mtim.tv_sec, usr.st_mtim.tv_nsec);
  struct timespec times[2] = { usr.st_mtim, usr.st_mtim };
  for (gsize i = 0; i < G_N_ELEMENTS (FILES); i++)
    {
      if (!write_file (FILES[i], text, strlen (text), fail))
        return false;
      if (utimensat (AT_FDCWD, FILES[i], times, 0) < 0)
        return lodge_fail_errno (fail, errno, "%s cannot be dated", FILES[i]);
    }
  return true;
}

static bool
write_apt_options (char **options, LodgeFail *fail)
{
  if (*options == NULL)
    return true;
  g_autofree char *lines = g_strjoinv ("\n", options);
  g_autofree char *text = g_strconcat (lines, "\n", NULL);
  return write_file ("/etc/apt/apt.conf.d/90lodge-mirror", text, strlen (text), fail);
}

static bool
customise_here (bool is_vm, char **apt_options, LodgeFail *fail)
{
  LodgeOverlay kind = is_vm ? LODGE_OVERLAY_VM : LODGE_OVERLAY_CONTAINER;

  remove_traces (kind);
  return lodge_customise_write (LODGE_OVERLAY_COMMON | kind, "", fail) && make_links (kind, fail)
         && write_file ("/etc/machine-id", "", 0, fail) && write_apt_options (apt_options, fail)
         && mark_updated (fail);
}

typedef struct
{
  bool is_vm;
  char **apt_options;
} Image;

static bool
customise_image (gpointer data, LodgeFail *fail)
{
  const Image *image = data;
  return customise_here (image->is_vm, image->apt_options, fail);
}

bool
lodge_customise_in_root (const char *root, LodgeCustomiseFunc func, gpointer data, LodgeFail *fail)
{
  int report[2];
  if (pipe2 (report, O_CLOEXEC) < 0)
    return lodge_fail_errno (fail, errno, "The image cannot be customised");
  pid_t pid = fork ();
  if (pid == 0)
    {
      if (chroot (root) < 0 || chdir ("/") < 0)
        lodge_fail_errno (fail, errno, "The image cannot be entered");
      else if (func (data, fail))
        _exit (0);
      dprintf (report[1], "%s", fail->text);
      _exit (1);
    }
  close (report[1]);
  char text[sizeof fail->text] = "it ended early";
  ssize_t ignored G_GNUC_UNUSED = read (report[0], text, sizeof text - 1);
  close (report[0]);
  int status = -1;
  if (pid > 0)
    waitpid (pid, &status, 0);
  return status == 0
         || lodge_fail (fail, "HelperFailed", "The image cannot be customised: %s", text);
}

bool
lodge_customise_run (bool is_vm, const char *root, char **apt_options, LodgeFail *fail)
{
  Image image = { .is_vm = is_vm, .apt_options = apt_options };
  return lodge_customise_in_root (root, customise_image, &image, fail);
}

/* ---- taking back ---- */

/** Removes the files below the resource folder @folder that are what Lodge wrote. */
static void
remove_folder (const char *folder, gsize prefix_length)
{
  g_auto (GStrv) names = g_resources_enumerate_children (folder, 0, NULL);
  for (char **name = names; name != NULL && *name != NULL; name++)
    {
      g_autofree char *resource = g_strconcat (folder, *name, NULL);
      const char *path = resource + prefix_length;
      if (g_str_has_suffix (resource, "/"))
        {
          remove_folder (resource, prefix_length);
          continue;
        }
      g_autoptr (GBytes) bytes = g_resources_lookup_data (resource, 0, NULL);
      gsize size = g_bytes_get_size (bytes);
      g_autofree char *there = g_malloc (size + 1);
      gsize length = 0;
      LODGE_AUTOFD fd = lodge_io_open_regular (AT_FDCWD, path, size, &length);
      if (fd >= 0 && length == size && lodge_io_read_fd (fd, there, size + 1) == (ssize_t) size
          && memcmp (there, g_bytes_get_data (bytes, NULL), size) == 0)
        unlink (path);
    }
}

static void
remove_link (const char *path, const char *target)
{
  g_autofree char *there = g_file_read_link (path, NULL);
  if (g_strcmp0 (there, target) == 0)
    unlink (path);
}

void
lodge_customise_undo (LodgeOverlay overlay)
{
  g_autofree char *folder = resource_name (overlay, "/");

  remove_folder (folder, strlen (folder) - 1);
  for (gsize i = 0; i < G_N_ELEMENTS (LINKS); i++)
    if (LINKS[i].overlay == overlay)
      remove_link (LINKS[i].path, LINKS[i].target);
  for (gsize i = 0; i < G_N_ELEMENTS (MASKS); i++)
    if (MASKS[i].overlay == overlay)
      remove_link (MASKS[i].path, "/dev/null");
}
