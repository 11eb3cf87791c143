/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A changed copy of an image, as a row of steps: copy, change, measure.  A container's tree is
 * changed by its paths in a sandbox without network, a disk by libguestfs in one.
 */
#include "lodge-tailor.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lodge-access.h"
#include "lodge-command.h"
#include "lodge-extract.h"
#include "lodge-fingerprint.h"
#include "lodge-guest-access.h"
#include "lodge-guest-disk.h"
#include "lodge-guest-session.h"
#include "lodge-import-private.h"
#include "lodge-io.h"
#include "lodge-root-file.h"
#include "lodge-sandbox.h"
#include "lodge-status.h"
#include "lodge-tree.h"

#define SOURCE     "/source"
#define IMAGE      "/image"
#define ROOTFS     LODGE_SANDBOX_STAGING "/" LODGE_IMPORT_ROOTFS
#define DISK       LODGE_SANDBOX_STAGING "/" LODGE_IMPORT_DISK
#define UPLOAD     LODGE_SANDBOX_STAGING "/upload"
#define HOSTNAME   "/etc/hostname"
#define MACHINE_ID "/etc/machine-id"
#define DBUS_ID    "/var/lib/dbus/machine-id"
#define GETTY      "/lib/systemd/system/serial-getty@.service"
#define WANTS      "/etc/systemd/system/getty.target.wants"
#define FILES_MAX  16
#define FILE_MAX   (64u << 20)
#define BINDS_MAX  4
#define SIZE_MIN   (1ll << 20)
#define DISK_MAX   (64ll << 40)

/** Written by the steps, in shared memory: what is in it is only shown, or checked. */
typedef struct
{
  LodgeFacts facts;
  char fingerprint[LODGE_FINGERPRINT_SIZE];
  uint64_t size;
} Found;

typedef struct
{
  const char *path;
  int fd;
} File;

typedef struct
{
  const LodgeRequest *request;
  const char *rootfs;
  const char *disk;
  const char *metadata;
  const char *machine;
  const char *hostname;
  bool machine_id;
  bool serial;
  long long size;
  LodgeAccess access;
  File files[FILES_MAX];
  gsize n_files;
  int staging;
  Found *found;
} Tailor;

static int
end_step (bool ok, const LodgeFail *fail)
{
  return ok ? 0 : lodge_status_fail (fail);
}

/** Returns false with @fail, or without when the step has reported its error itself. */
static bool
run_step (Tailor *self, LodgeSandboxFunc func, const LodgeSandboxBind *binds, gsize n,
          LodgeFail *fail)
{
  const LodgeSandbox sandbox = { .idmap_base = LODGE_SANDBOX_IDMAP_BASE,
                                 .idmap_count = LODGE_SANDBOX_IDMAP_COUNT,
                                 .staging_fd = self->staging,
                                 .host_tools = true,
                                 .binds = binds,
                                 .n_binds = n };
  int status = 1;

  if (!lodge_sandbox_run (&sandbox, func, self, &status, fail))
    return false;
  if (status > 1)
    return lodge_fail (fail, "HelperFailed", "Customising was ended by signal %d", status - 128);
  return status == 0;
}

/* ---- a tree ---- */

static bool
copy_metadata (LodgeFail *fail)
{
  static const char *const NAMES[] = { LODGE_EXTRACT_METADATA, LODGE_EXTRACT_TEMPLATES };

  for (gsize i = 0; i < G_N_ELEMENTS (NAMES); i++)
    {
      g_autofree char *path = g_build_filename (IMAGE, NAMES[i], NULL);
      if (access (path, F_OK) == 0
          && !lodge_command_call (fail, "cp", "--recursive", "--no-dereference", path,
                                  LODGE_SANDBOX_STAGING, NULL))
        return false;
    }
  return true;
}

static bool
write_file (int root, const File *file, LodgeFail *fail)
{
  struct stat st;

  if (fstat (file->fd, &st) < 0 || !S_ISREG (st.st_mode) || st.st_size > FILE_MAX)
    return lodge_fail (fail, "InvalidArgument", "%s is not a regular file of 64 MiB at most",
                       file->path);
  const LodgeRootFileOwner owner = { .mode = st.st_mode & 0777 };
  g_autofree char *data = g_malloc ((gsize) st.st_size + 1);
  ssize_t n = pread (file->fd, data, (gsize) st.st_size, 0);
  if (n < 0)
    return lodge_fail_errno (fail, errno, "What is to be %s cannot be read", file->path);
  return lodge_root_file_write (root, file->path, data, (size_t) n, &owner, false, fail);
}

/* An empty file: systemd makes an id at the next boot. */
static bool
reset_machine_id (int root, LodgeFail *fail)
{
  LODGE_AUTOFD dbus = lodge_root_file_open (root, "/var/lib/dbus", O_PATH | O_DIRECTORY);

  if (dbus >= 0)
    unlinkat (dbus, "machine-id", 0);
  return lodge_root_file_write (root, MACHINE_ID, "", 0, NULL, false, fail);
}

static bool
change_tree (const Tailor *self, LodgeFail *fail)
{
  LODGE_AUTOFD root = open (ROOTFS, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  g_autofree char *name = self->hostname != NULL ? g_strconcat (self->hostname, "\n", NULL) : NULL;
  bool ok = root >= 0 || lodge_fail_errno (fail, errno, "The tree cannot be opened");

  lodge_status_progress (-1, 0, 0, "change");
  ok = ok
       && (name == NULL
           || lodge_root_file_write (root, HOSTNAME, name, strlen (name), NULL, false, fail));
  for (gsize i = 0; ok && i < self->n_files; i++)
    ok = write_file (root, &self->files[i], fail);
  ok = ok && lodge_access_write (&self->access, root, fail)
       && (self->access.script == NULL || lodge_access_run_script (&self->access, ROOTFS, fail));
  /* Last: what the script ran may have made one. */
  return ok && (!self->machine_id || reset_machine_id (root, fail));
}

static int
copy_and_change_tree (gpointer data)
{
  LodgeFail fail = { 0 };

  umask (022);
  lodge_status_progress (-1, 0, 0, "copy");
  return end_step (lodge_tree_copy (SOURCE, ROOTFS, &fail) && copy_metadata (&fail)
                       && change_tree (data, &fail),
                   &fail);
}

static void
show_checksum (double fraction, gpointer user_data)
{
  lodge_status_progress (-1, 0, 0, "checksum");
}

static int
measure_tree (gpointer data)
{
  const Tailor *self = data;
  LodgeFail fail = { 0 };
  g_autofree char *metadata = NULL;
  uint64_t bytes = 0;

  if (!g_file_get_contents (LODGE_SANDBOX_STAGING "/" LODGE_EXTRACT_METADATA, &metadata, NULL,
                            NULL))
    metadata = g_strdup_printf ("architecture: %s\n", self->machine);
  bool ok = chdir (ROOTFS) == 0 || lodge_fail_errno (&fail, errno, "The tree has gone");
  return end_step (ok && lodge_tree_finish (&self->found->facts, &bytes, &fail)
                       && lodge_fingerprint_tree (ROOTFS, metadata, bytes, show_checksum, NULL,
                                                  self->found->fingerprint, &self->found->size,
                                                  &fail),
                   &fail);
}

static bool
tailor_tree (Tailor *self, LodgeFail *fail)
{
  LodgeSandboxBind binds[BINDS_MAX];
  gsize n = 0;

  binds[n++] = (LodgeSandboxBind){ .path = self->rootfs, .target = SOURCE };
  if (self->metadata != NULL)
    binds[n++] = (LodgeSandboxBind){ .path = self->metadata, .target = IMAGE };
  return run_step (self, copy_and_change_tree, binds, n, fail)
         && run_step (self, measure_tree, NULL, 0, fail);
}

/* ---- a disk ---- */

static int
copy_disk (gpointer data)
{
  const Tailor *self = data;
  LodgeFail fail = { 0 };
  g_autofree char *size = g_strdup_printf ("%lld", self->size);

  lodge_status_progress (-1, 0, 0, "copy");
  bool ok = lodge_command_call (&fail, "cp", "--sparse=always", "--no-preserve=mode", self->disk,
                                DISK, NULL)
            && copy_metadata (&fail)
            && (self->size == 0
                || lodge_command_call (&fail, "qemu-img", "resize", "-q", "-f", "qcow2", DISK, size,
                                       NULL));
  return end_step (ok, &fail);
}

static bool
failed (guestfs_h *handle, const char *what, LodgeFail *fail)
{
  const char *why = guestfs_last_error (handle);

  return lodge_fail (fail, "HelperFailed", "%s cannot be written: %.300s", what,
                     why != NULL ? why : "no reason");
}

static bool
upload (guestfs_h *handle, const File *file, LodgeFail *fail)
{
  const LodgeImportStep step = { .input = file->fd };
  g_autofree char *dir = g_path_get_dirname (file->path);
  struct stat st;

  if (fstat (file->fd, &st) < 0 || !S_ISREG (st.st_mode) || st.st_size > FILE_MAX)
    return lodge_fail (fail, "InvalidArgument", "%s is not a regular file of 64 MiB at most",
                       file->path);
  if (!lodge_import_copy_input (&step, UPLOAD, fail))
    return false;
  bool ok = guestfs_mkdir_p (handle, dir) == 0 && guestfs_upload (handle, UPLOAD, file->path) == 0
            && guestfs_chmod (handle, (int) (st.st_mode & 0777), file->path) == 0;
  unlink (UPLOAD);
  return ok || failed (handle, file->path, fail);
}

static bool
add_serial_login (guestfs_h *handle, LodgeFail *fail)
{
  if (guestfs_exists (handle, GETTY) != 1)
    return lodge_fail (fail, "NotSupported",
                       "There is no systemd on the disk to open a login on "
                       "the serial console");
  return (guestfs_mkdir_p (handle, WANTS) == 0
          && guestfs_ln_sf (handle, GETTY, WANTS "/serial-getty@ttyS0.service") == 0)
         || failed (handle, WANTS, fail);
}

static bool
change_disk (const Tailor *self, guestfs_h *handle, LodgeFail *fail)
{
  g_autofree char *name = self->hostname != NULL ? g_strconcat (self->hostname, "\n", NULL) : NULL;

  lodge_status_progress (-1, 0, 0, "change");
  if (name != NULL && guestfs_write (handle, HOSTNAME, name, strlen (name)) < 0)
    return failed (handle, HOSTNAME, fail);
  for (gsize i = 0; i < self->n_files; i++)
    if (!upload (handle, &self->files[i], fail))
      return false;
  if ((self->serial && !add_serial_login (handle, fail))
      || !lodge_guest_access_apply (handle, &self->access, fail))
    return false;
  /* Last: what the script ran may have made one. */
  return !self->machine_id
         || (guestfs_rm_f (handle, DBUS_ID) == 0 && guestfs_write (handle, MACHINE_ID, "", 0) == 0)
         || failed (handle, MACHINE_ID, fail);
}

static bool
wants_files (const Tailor *self)
{
  return self->hostname != NULL || self->n_files > 0 || self->serial || self->machine_id
         || !lodge_access_is_empty (&self->access);
}

static int
open_and_change_disk (gpointer data)
{
  const Tailor *self = data;
  LodgeFail fail = { 0 };
  LodgeFail close_fail = { 0 };

  lodge_guest_session_set_environment ();
  lodge_status_progress (-1, 0, 0, "open the disk");
  guestfs_h *handle
      = lodge_guest_disk_launch (DISK, false, LODGE_GUEST_APPLIANCE, LODGE_GUEST_CACHE, &fail);
  if (handle == NULL)
    return lodge_status_fail (&fail);
  bool ok = (self->size == 0 || lodge_guest_disk_grow (handle, &fail))
            && (!wants_files (self)
                || (lodge_guest_disk_mount (handle, false, &fail)
                    && change_disk (self, handle, &fail)));
  ok = lodge_guest_disk_close (handle, ok ? &fail : &close_fail) && ok;
  return end_step (ok, &fail);
}

static int
measure_disk (gpointer data)
{
  const Tailor *self = data;
  LodgeFail fail = { 0 };
  LODGE_AUTOFD fd = open (DISK, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

  if (fd < 0 || fchmod (fd, 0444) < 0)
    return end_step (lodge_fail_errno (&fail, errno, "The disk cannot be opened"), &fail);
  return end_step (lodge_fingerprint_file (fd, show_checksum, NULL, self->found->fingerprint,
                                           &self->found->size, &fail),
                   &fail);
}

static bool
tailor_disk (Tailor *self, LodgeFail *fail)
{
  g_autofree char *cache = NULL;
  g_autofree char *appliance = NULL;
  LodgeSandboxBind source[BINDS_MAX];
  gsize n = 0;

  if (!lodge_guest_session_prepare_cache (self->request, &cache, &appliance, fail))
    return false;
  source[n++] = (LodgeSandboxBind){ .path = self->disk, .target = self->disk };
  if (self->metadata != NULL)
    source[n++] = (LodgeSandboxBind){ .path = self->metadata, .target = IMAGE };
  const LodgeSandboxBind guest[]
      = { { .path = cache, .target = LODGE_GUEST_CACHE, .writable = true },
          { .path = appliance, .target = LODGE_GUEST_APPLIANCE } };
  return run_step (self, copy_disk, source, n, fail)
         && run_step (self, open_and_change_disk, guest, G_N_ELEMENTS (guest), fail)
         && run_step (self, measure_disk, NULL, 0, fail);
}

/* ---- the whole ---- */

static bool
read_files (const LodgeRequest *request, Tailor *self, LodgeFail *fail)
{
  for (const char *path = lodge_request_next (request, "path", NULL); path != NULL;
       path = lodge_request_next (request, "path", path))
    {
      g_autofree char *name = g_strdup_printf ("file-%" G_GSIZE_FORMAT, self->n_files);
      int fd = lodge_request_get_fd (request, name);

      if (self->n_files == FILES_MAX || fd < 0 || *path != '/')
        return lodge_fail (fail, "InvalidArgument", "The files to copy are malformed");
      self->files[self->n_files++] = (File){ .path = path, .fd = fd };
    }
  return true;
}

static bool
read_request (const LodgeRequest *request, Tailor *self, LodgeFail *fail)
{
  self->request = request;
  self->rootfs = lodge_request_get (request, "rootfs");
  self->disk = lodge_request_get (request, "disk");
  self->metadata = lodge_request_get (request, "metadata");
  self->machine = lodge_request_get (request, "arch");
  self->hostname = lodge_request_get (request, "hostname");
  self->machine_id = lodge_request_get (request, "machine-id") != NULL;
  self->serial = lodge_request_get (request, "serial") != NULL;
  self->staging = lodge_request_get_fd (request, "staging");
  if (self->staging < 0 || self->machine == NULL || (self->rootfs == NULL) == (self->disk == NULL))
    return lodge_fail (fail, "InvalidArgument", "There is nothing to change, or nowhere to do it");
  if (lodge_request_get (request, "size") != NULL
      && !lodge_request_get_number (request, "size", SIZE_MIN, DISK_MAX, &self->size, fail))
    return false;
  self->found
      = mmap (NULL, sizeof *self->found, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return (self->found != MAP_FAILED || lodge_fail_errno (fail, errno, "There is no memory"))
         && read_files (request, self, fail);
}

static void
report (const Tailor *self)
{
  Found found = *self->found;

  found.fingerprint[sizeof found.fingerprint - 1] = '\0';
  lodge_status_result ("fingerprint", "%s", found.fingerprint);
  lodge_status_result ("size", "%" G_GUINT64_FORMAT, found.size);
  lodge_status_result ("virtual-size", "%lld", self->size);
  if (self->rootfs != NULL)
    lodge_facts_report (&found.facts);
}

int
lodge_tailor_run (const LodgeRequest *request)
{
  Tailor self = { 0 };
  LodgeFail fail = { 0 };

  lodge_access_read (&self.access, request);
  bool ok = read_request (request, &self, &fail)
            && (self.disk != NULL ? tailor_disk (&self, &fail) : tailor_tree (&self, &fail));
  lodge_access_clear (&self.access);
  if (!ok)
    return fail.nick != NULL ? lodge_status_fail (&fail) : 1;
  report (&self);
  lodge_status_done ();
  return 0;
}
