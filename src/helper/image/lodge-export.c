/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Also what is written out is read in a sandbox: a tree that a guest has had in its hands is no
 * place for the host's root to walk in.
 */
#include "lodge-export.h"

#include <archive.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lodge-command.h"
#include "lodge-extract.h"
#include "lodge-io.h"
#include "lodge-member.h"
#include "lodge-plan-root.h"
#include "lodge-sandbox.h"
#include "lodge-status.h"
#include "lodge-tarball.h"

#define ROOTFS     "/rootfs"
#define METADATA   "/image"
#define WORK_FILE  LODGE_SANDBOX_STAGING "/export"
#define TEXT_MAX   (1024 * 1024)
#define BINDS_MAX  16
#define TAR_BLOCK  (1024 * 1024)
#define COPY_BLOCK (64 * 1024)

typedef enum
{
  FORMAT_UNIFIED,
  FORMAT_SPLIT,
  FORMAT_TAR,
  FORMAT_QCOW2,
  FORMAT_RAW,
  FORMAT_ISO, /* an install medium, as it is */
} Format;

typedef struct
{
  const LodgeRequest *request;
  Format format;
  const char *compression;
  const char *disk;   /* NULL: a container */
  const char *rootfs; /* NULL: by `plan` */
  const char *plan;
  int staging; /* a directory */
  int output;
  int root_output;
} Export;

static const struct
{
  const char *name;
  int (*add) (struct archive *archive);
} COMPRESSIONS[] = {
  { "none", archive_write_add_filter_none },
  { "gzip", archive_write_add_filter_gzip },
  { "xz", archive_write_add_filter_xz },
  { "zstd", archive_write_add_filter_zstd },
};

/* ---- metadata ---- */

static void
append_value (GString *text, const char *key, const char *value)
{
  g_auto (GStrv) parts = g_strsplit (value, "'", -1);
  g_autofree char *quoted = g_strjoinv ("''", parts);
  g_string_append_printf (text, "%s: '%s'\n", key, quoted);
}

static bool
is_key (const char *text, gsize length)
{
  for (gsize i = 0; i < length; i++)
    if (!g_ascii_isalnum (text[i]) && strchr ("._-", text[i]) == NULL)
      return false;
  return length > 0;
}

/** A document that LXD takes.  Its date is that of the root directory or of the disk: today's would
 * make each export another one.  (transfer full) */
static char *
make_metadata (const Export *self)
{
  GString *text = g_string_new (NULL);
  const char *description = lodge_request_get (self->request, "description");
  const char *architecture = lodge_request_get (self->request, "architecture");
  struct stat st = { 0 };

  stat (self->disk != NULL ? self->disk : ROOTFS, &st);
  append_value (text, "architecture", architecture != NULL ? architecture : "");
  g_string_append_printf (text, "creation_date: %lld\nproperties:\n",
                          (long long) MAX (st.st_mtime, 1));
  append_value (text, "  description", description != NULL ? description : "");
  for (const char *item = lodge_request_next (self->request, "property", NULL); item != NULL;
       item = lodge_request_next (self->request, "property", item))
    {
      const char *equals = strchr (item, '=');
      if (equals == NULL || !is_key (item, (gsize) (equals - item)))
        continue;
      g_autofree char *key = g_strdup_printf ("  %.*s", (int) (equals - item), item);
      append_value (text, key, equals + 1);
    }
  return g_string_free (text, FALSE);
}

/** (transfer full): NULL when it is not there. */
static char *
read_text (const char *path, gsize *out_size)
{
  g_autofree char *text = g_malloc (TEXT_MAX + 1);
  gsize size;
  LODGE_AUTOFD fd = lodge_io_open_regular (AT_FDCWD, path, TEXT_MAX, &size);
  ssize_t n = fd >= 0 ? lodge_io_read_fd (fd, text, TEXT_MAX + 1) : -1;

  if (n < 0)
    return NULL;
  *out_size = (gsize) n;
  return g_steal_pointer (&text);
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

static bool
add_templates (struct archive *archive, LodgeFail *fail)
{
  g_autoptr (GDir) dir = g_dir_open (METADATA "/" LODGE_EXTRACT_TEMPLATES, 0, NULL);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);

  for (const char *name = dir != NULL ? g_dir_read_name (dir) : NULL; name != NULL;
       name = g_dir_read_name (dir))
    if (lodge_member_is_template_name (name))
      g_ptr_array_add (names, g_strdup (name));
  g_ptr_array_sort (names, compare_names);
  for (guint i = 0; i < names->len; i++)
    {
      g_autofree char *member = g_build_filename (LODGE_EXTRACT_TEMPLATES, names->pdata[i], NULL);
      g_autofree char *path = g_build_filename (METADATA, member, NULL);
      gsize size;
      g_autofree char *text = read_text (path, &size);
      if (text != NULL && !lodge_tarball_add_text (archive, member, text, size, fail))
        return false;
    }
  return true;
}

static bool
add_metadata (const Export *self, struct archive *archive, LodgeFail *fail)
{
  gsize size;
  g_autofree char *text = read_text (METADATA "/" LODGE_EXTRACT_METADATA, &size);

  if (text == NULL)
    {
      text = make_metadata (self);
      size = strlen (text);
    }
  return lodge_tarball_add_text (archive, LODGE_EXTRACT_METADATA, text, size, fail)
         && add_templates (archive, fail);
}

/* ---- archives ---- */

static void
show_bytes (uint64_t bytes, void *user_data)
{
  lodge_status_progress (-1, bytes, 0, "pack");
}

static bool
add_root (const Export *self, const char *prefix, struct archive *archive, LodgeFail *fail)
{
  /* libvirt makes that one in each container; it stays empty. */
  const LodgeTarball tarball = { .rootfs = ROOTFS,
                                 .prefix = prefix,
                                 .keep_times = true,
                                 .leave_out = self->plan != NULL ? ".oldroot" : NULL,
                                 .progress = show_bytes };
  uint64_t bytes;

  if (self->disk == NULL)
    return lodge_tarball_add_tree (archive, &tarball, &bytes, fail);
  LODGE_AUTOFD fd = open (WORK_FILE, O_RDONLY | O_CLOEXEC);
  return fd >= 0 ? lodge_tarball_add_file (archive, "rootfs.img", fd, fail)
                 : lodge_fail_errno (fail, errno, "The disk cannot be read");
}

typedef bool (*FillFunc) (const Export *self, struct archive *archive, LodgeFail *fail);

static bool
fill_unified (const Export *self, struct archive *archive, LodgeFail *fail)
{
  return add_metadata (self, archive, fail) && add_root (self, "rootfs", archive, fail);
}

static bool
fill_root (const Export *self, struct archive *archive, LodgeFail *fail)
{
  return add_root (self, "", archive, fail);
}

static bool
add_filter (const Export *self, struct archive *archive)
{
  for (gsize i = 0; i < G_N_ELEMENTS (COMPRESSIONS); i++)
    if (strcmp (COMPRESSIONS[i].name, self->compression) == 0)
      return COMPRESSIONS[i].add (archive) == ARCHIVE_OK;
  return false;
}

static bool
write_archive (const Export *self, int fd, FillFunc fill, LodgeFail *fail)
{
  struct archive *archive = archive_write_new ();
  bool ready
      = add_filter (self, archive)
        && archive_write_set_format_pax_restricted (archive) == ARCHIVE_OK
        /* As GNU tar, and with it LXD, reads them. */
        && archive_write_set_format_option (archive, NULL, "xattrheader", "SCHILY") == ARCHIVE_OK
        && archive_write_set_bytes_per_block (archive, TAR_BLOCK) == ARCHIVE_OK
        && archive_write_set_bytes_in_last_block (archive, 1) == ARCHIVE_OK
        /* The time of now has no place in gzip's header. */
        && (strcmp (self->compression, "gzip") != 0
            || archive_write_set_filter_option (archive, "gzip", "timestamp", NULL) == ARCHIVE_OK)
        && archive_write_open_fd (archive, fd) == ARCHIVE_OK;

  if (!ready)
    lodge_fail (fail, "HelperFailed", "The archive cannot be written: %s",
                archive_error_string (archive));
  bool ok = ready && fill (self, archive, fail);
  if (ok && archive_write_close (archive) != ARCHIVE_OK)
    ok = lodge_fail (fail, archive_errno (archive) == ENOSPC ? "NoSpace" : "HelperFailed",
                     "The archive cannot be written: %s", archive_error_string (archive));
  archive_write_free (archive);
  return ok;
}

/* ---- disks ---- */

/** One file with nothing below it.  Written in order, so that it is the same each time. */
static bool
flatten (const Export *self, LodgeFail *fail)
{
  g_autoptr (GString) last = g_string_new (NULL);
  const char *output = self->format == FORMAT_RAW ? "raw" : "qcow2";
  const char *const argv[]
      = { "qemu-img", "convert", "-p", "-f", "qcow2", "-O", output, self->disk, WORK_FILE, NULL };
  int status = lodge_command_run_status (argv, NULL, lodge_command_show_qemu_img, last, fail);

  if (status <= 0)
    return status == 0;
  return lodge_fail (fail, strstr (last->str, "No space") != NULL ? "NoSpace" : "HelperFailed",
                     "The disk cannot be converted: %.300s", last->str);
}

static bool
is_zero (const char *block, size_t size)
{
  return size == 0 || (*block == '\0' && memcmp (block, block + 1, size - 1) == 0);
}

/** A new file gets holes where there is nothing; a pipe cannot. */
static bool
can_have_holes (int fd)
{
  struct stat st;
  int flags = fcntl (fd, F_GETFL);
  return fstat (fd, &st) == 0 && S_ISREG (st.st_mode) && st.st_size == 0 && flags >= 0
         && (flags & O_APPEND) == 0 && lseek (fd, 0, SEEK_CUR) == 0;
}

static bool
copy_disk (const char *path, int output, LodgeFail *fail)
{
  LODGE_AUTOFD fd = open (path, O_RDONLY | O_CLOEXEC);
  g_autofree char *block = g_malloc (COPY_BLOCK);
  bool sparse = can_have_holes (output);
  off_t size = 0;
  ssize_t n;

  if (fd < 0)
    return lodge_fail_errno (fail, errno, "The disk cannot be read");
  while ((n = read (fd, block, COPY_BLOCK)) > 0)
    {
      bool hole = sparse && is_zero (block, (size_t) n);
      int error = hole ? (lseek (output, n, SEEK_CUR) < 0 ? -errno : 0)
                       : lodge_io_write_all (output, block, (size_t) n);
      if (error < 0)
        return lodge_fail_errno (fail, error, "The disk cannot be written");
      size += n;
    }
  if (n < 0)
    return lodge_fail_errno (fail, errno, "The disk cannot be read");
  return !sparse || ftruncate (output, size) == 0
         || lodge_fail_errno (fail, errno, "The disk cannot be written");
}

/* ---- the whole ---- */

static bool
write_export (const Export *self, LodgeFail *fail)
{
  if (self->format == FORMAT_ISO)
    return copy_disk (self->disk, self->output, fail);
  if (self->disk != NULL && !flatten (self, fail))
    return false;
  switch (self->format)
    {
    case FORMAT_UNIFIED:
      return write_archive (self, self->output, fill_unified, fail);
    case FORMAT_SPLIT:
      return write_archive (self, self->output, add_metadata, fail)
             && (self->disk != NULL ? copy_disk (WORK_FILE, self->root_output, fail)
                                    : write_archive (self, self->root_output, fill_root, fail));
    case FORMAT_TAR:
      return write_archive (self, self->output, fill_root, fail);
    case FORMAT_QCOW2:
    case FORMAT_RAW:
    case FORMAT_ISO:
    default:
      return copy_disk (WORK_FILE, self->output, fail);
    }
}

static int
export_in_sandbox (gpointer data)
{
  const Export *self = data;
  LodgeFail fail = { 0 };

  /* Names are UTF-8 and stay what they are. */
  setlocale (LC_CTYPE, "C.UTF-8");
  bool ok = write_export (self, &fail);

  unlink (WORK_FILE);
  return ok ? 0 : lodge_status_fail (&fail);
}

static bool
run_sandbox (const Export *self, LodgeSandbox *sandbox, const LodgeSandboxBind *binds, gsize n,
             LodgeFail *fail)
{
  int status = 1;

  sandbox->staging_fd = self->staging;
  sandbox->host_tools = self->disk != NULL;
  sandbox->binds = binds;
  sandbox->n_binds = n;
  if (!lodge_sandbox_run (sandbox, export_in_sandbox, (gpointer) self, &status, fail))
    return false;
  if (status > 1)
    return lodge_fail (fail, "HelperFailed", "The export was ended by signal %d", status - 128);
  return status == 0;
}

static bool
add_sources (Export *self, LodgePlan *plan, LodgeSandbox *sandbox, LodgeSandboxBind *binds,
             gsize *n, LodgeFail *fail)
{
  if (self->rootfs != NULL)
    binds[(*n)++] = (LodgeSandboxBind){ .path = self->rootfs, .target = ROOTFS };
  else if (self->plan != NULL)
    {
      if (!lodge_plan_root_mount (plan, self->plan, &self->staging, fail))
        return false;
      sandbox->idmap_base = plan->base;
      sandbox->idmap_count = plan->count;
      binds[(*n)++] = (LodgeSandboxBind){ .path = plan->source != NULL ? plan->source : plan->upper,
                                          .target = ROOTFS,
                                          .mapped = true };
    }
  else
    binds[(*n)++] = (LodgeSandboxBind){ .path = self->disk, .target = self->disk };
  for (const char *path = lodge_request_next (self->request, "backing", NULL); path != NULL;
       path = lodge_request_next (self->request, "backing", path))
    {
      if (*path != '/' || *n == BINDS_MAX)
        return lodge_fail (fail, "InvalidArgument", "The disk's backing files are malformed");
      binds[(*n)++] = (LodgeSandboxBind){ .path = path, .target = path };
    }
  return true;
}

static bool
read_request (const LodgeRequest *request, Export *self, LodgeFail *fail)
{
  static const char *const FORMATS[] = { "unified", "split", "tar", "qcow2", "raw", "iso" };
  const char *format = lodge_request_get (request, "format");
  int index = -1;

  for (int i = 0; i < (int) G_N_ELEMENTS (FORMATS); i++)
    if (format != NULL && strcmp (format, FORMATS[i]) == 0)
      index = i;
  self->request = request;
  self->format = (Format) index;
  self->compression = lodge_request_get (request, "compression");
  if (self->compression == NULL)
    self->compression = "zstd";
  self->disk = lodge_request_get (request, "disk");
  self->rootfs = lodge_request_get (request, "rootfs");
  self->plan = lodge_request_get (request, "plan");
  self->staging = lodge_request_get_fd (request, "staging");
  self->output = lodge_request_get_fd (request, "output");
  self->root_output = lodge_request_get_fd (request, "root");
  bool has_source = self->disk != NULL || self->rootfs != NULL || self->plan != NULL;
  bool is_disk_format = self->format >= FORMAT_QCOW2;
  if (index < 0 || !has_source || self->output < 0
      || (self->format == FORMAT_SPLIT && self->root_output < 0))
    return lodge_fail (fail, "InvalidArgument", "There is nothing to export, or nowhere to");
  if (is_disk_format && self->disk == NULL)
    return lodge_fail (fail, "InvalidArgument", "A container has no disk: use tar or unified");
  return self->format != FORMAT_TAR || self->disk == NULL
         || lodge_fail (fail, "InvalidArgument", "A VM's image has no tree: use qcow2 or unified");
}

int
lodge_export_run (const LodgeRequest *request)
{
  g_autofree LodgePlan *plan = g_new0 (LodgePlan, 1);
  LodgeSandbox sandbox
      = { .idmap_base = LODGE_SANDBOX_IDMAP_BASE, .idmap_count = LODGE_SANDBOX_IDMAP_COUNT };
  const char *metadata = lodge_request_get (request, "metadata");
  LodgeSandboxBind binds[BINDS_MAX + 1];
  Export self;
  LodgeFail fail = { 0 };
  gsize n = 0;

  if (metadata != NULL)
    binds[n++] = (LodgeSandboxBind){ .path = metadata, .target = METADATA };
  bool ok = read_request (request, &self, &fail)
            && add_sources (&self, plan, &sandbox, binds, &n, &fail)
            && run_sandbox (&self, &sandbox, binds, n, &fail);
  if (!ok)
    return fail.nick != NULL ? lodge_status_fail (&fail) : 1;
  lodge_status_done ();
  return 0;
}
