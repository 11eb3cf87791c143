/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An import is a row of steps, each in a sandbox that sees as little as it can do with: archives
 * are unpacked where there is nothing but the staging directory, and what is found in them then
 * may be a disk for the next step.  This process has the host's rights, and only compares magic
 * numbers.
 */
#include "lodge-import.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lodge-command.h"
#include "lodge-hash.h"
#include "lodge-import-private.h"
#include "lodge-inspect.h"
#include "lodge-io.h"
#include "lodge-sandbox.h"
#include "lodge-status.h"
#include "lodge/lodge-helper-protocol.h"

#define DEFAULT_MAX         (64ll << 30)
#define DEFAULT_MAX_VIRTUAL (16ll << 40)
#define STACK_SIZE          (2u << 20)
#define SPOOL_CHUNK         (1u << 20)
#define SPOOL               "input"

typedef struct
{
  const LodgeRequest *request;
  int staging_fd;
  int fds[2]; /* the files of the image */
  int n_fds;
  uint64_t max_bytes;
  uint64_t max_virtual;
  bool inspect;
  LodgeImportFound *found;
} Import;

void
lodge_import_limit_memory (const LodgeImportStep *step)
{
  /* qemu-img has up to 64 threads, each with a stack of that size. */
  struct rlimit stack = { .rlim_cur = STACK_SIZE, .rlim_max = STACK_SIZE };
  if (step->memory == 0)
    return;
  setrlimit (RLIMIT_STACK, &stack);
#ifndef __SANITIZE_ADDRESS__ /* which reserves terabytes of addresses */
  struct rlimit limit = { .rlim_cur = step->memory, .rlim_max = step->memory };
  setrlimit (RLIMIT_AS, &limit);
#endif
}

static uint64_t
get_number (const LodgeRequest *request, const char *key, long long fallback)
{
  long long value = fallback;
  lodge_request_get_number (request, key, 1, INT64_MAX, &value, NULL);
  return (uint64_t) value;
}

/* ---- running a step ---- */

static bool
run_step (const Import *self, LodgeSandboxFunc func, LodgeImportStep *step, bool tools, int *status,
          LodgeFail *fail)
{
  const LodgeSandboxBind bind
      = { .fd = step->input, .target = LODGE_IMPORT_INPUT, .optional = true };
  const LodgeSandbox sandbox = { .idmap_base = LODGE_SANDBOX_IDMAP_BASE,
                                 .idmap_count = LODGE_SANDBOX_IDMAP_COUNT,
                                 .staging_fd = self->staging_fd,
                                 .host_tools = tools,
                                 .binds = &bind,
                                 .n_binds = tools && step->input >= 0 ? 1 : 0 };

  step->max_bytes = self->max_bytes;
  step->max_virtual = self->max_virtual;
  step->found = self->found;
  step->memory = get_number (self->request, tools ? "memory.convert" : "memory.unpack", 0);
  if (!lodge_sandbox_run (&sandbox, func, step, status, fail))
    return false;
  return *status <= 1
         || lodge_fail (fail, "HelperFailed", "The import was ended by signal %d", *status - 128);
}

static int
open_staged (const Import *self, const char *name)
{
  struct open_how how = { .flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC,
                          .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
  return (int) syscall (SYS_openat2, self->staging_fd, name, &how, sizeof how);
}

/** Removes an unpacked OCI image; in the sandbox, as nothing there is to be trusted. */
static int
drop_oci (gpointer data)
{
  LodgeFail fail = { 0 };
  const char *const argv[]
      = { "rm", "-rf", "--one-file-system", LODGE_SANDBOX_STAGING "/" LODGE_IMPORT_OCI, NULL };
  return lodge_command_run (argv, NULL, NULL, NULL, &fail) ? 0 : lodge_status_fail (&fail);
}

static bool
take_disk (const Import *self, int fd, LodgeFormat format, int *status, LodgeFail *fail)
{
  LodgeImportStep step = { .input = fd, .format = format };

  return run_step (self, lodge_import_disk, &step, true, status, fail);
}

/** What was in an archive besides a root file system. */
static bool
take_contents (const Import *self, int *status, LodgeFail *fail)
{
  LodgeImportStep step = { .input = -1 };
  LodgeFormat format;

  if (self->found->layout == LODGE_LAYOUT_OCI)
    return run_step (self, lodge_import_oci, &step, false, status, fail)
           && (*status != 0 || run_step (self, drop_oci, &step, true, status, fail));
  if (!self->found->has_disk)
    return true;
  LODGE_AUTOFD fd = open_staged (self, LODGE_EXTRACT_DISK);
  if (fd < 0)
    return lodge_fail_errno (fail, errno, "The disk in the archive cannot be read");
  if (!lodge_sniff_file (fd, &format, fail))
    return false;
  if (!lodge_format_is_disk (format))
    return lodge_fail (fail, "ImageInvalid", "The disk in the archive is none");
  bool ok = take_disk (self, fd, format, status, fail);
  unlinkat (self->staging_fd, LODGE_EXTRACT_DISK, 0);
  return ok;
}

/** What came by a pipe lies in the staging directory already and need only be called otherwise. */
static bool
adopt_spool (const Import *self, int fd, LodgeFail *fail)
{
  struct stat st, spool;

  if (fstatat (self->staging_fd, SPOOL, &spool, AT_SYMLINK_NOFOLLOW) < 0 || fstat (fd, &st) < 0
      || st.st_dev != spool.st_dev || st.st_ino != spool.st_ino)
    return true;
  return renameat (self->staging_fd, SPOOL, self->staging_fd, LODGE_IMPORT_MEDIUM) == 0
         || lodge_fail_errno (fail, errno, "The install medium cannot be stored");
}

static bool
take_medium (const Import *self, LodgeImportStep *step, int *status, LodgeFail *fail)
{
  if (self->n_fds > 1)
    return lodge_fail (fail, "ImageInvalid",
                       "An install medium is one file\nGive the ISO without metadata.");
  return adopt_spool (self, step->input, fail)
         && run_step (self, lodge_import_iso, step, false, status, fail);
}

static bool
take_file (const Import *self, int fd, bool metadata_only, int *status, LodgeFail *fail)
{
  LodgeImportStep step = { .input = fd, .metadata_only = metadata_only };

  if (!lodge_sniff_file (fd, &step.format, fail))
    return false;
  if (metadata_only && step.format != LODGE_FORMAT_TAR)
    return lodge_fail (fail, "ImageInvalid",
                       "The first of the two files is not a tar archive\nA split image has its "
                       "metadata in the first file, its root in the second.");
  if (step.format == LODGE_FORMAT_ISO)
    return take_medium (self, &step, status, fail);
  if (step.format == LODGE_FORMAT_SQUASHFS)
    return run_step (self, lodge_import_squashfs, &step, true, status, fail);
  if (lodge_format_is_disk (step.format))
    return take_disk (self, fd, step.format, status, fail);
  return run_step (self, lodge_import_unpack, &step, false, status, fail)
         && (*status != 0 || metadata_only || take_contents (self, status, fail));
}

/* ---- the whole ---- */

static bool
take_files (const Import *self, int *status, LodgeFail *fail)
{
  if (self->n_fds == 2 && (!take_file (self, self->fds[0], true, status, fail) || *status != 0))
    return fail->nick == NULL;
  if (!take_file (self, self->fds[self->n_fds - 1], false, status, fail) || *status != 0)
    return fail->nick == NULL;
  if (self->found->has_disk && self->inspect)
    lodge_inspect_disk (self->request, self->staging_fd, LODGE_IMPORT_DISK, &self->found->facts);
  return true;
}

static void
report (const Import *self, const char *fingerprint)
{
  LodgeImportFound found = *self->found;

  lodge_status_result ("kind", "%s",
                       found.has_medium ? "iso"
                       : found.has_disk ? "vm"
                                        : "container");
  lodge_status_result ("fingerprint", "%s", fingerprint);
  lodge_status_result ("size", "%" G_GUINT64_FORMAT, found.size);
  lodge_status_result ("virtual-size", "%" G_GUINT64_FORMAT, found.virtual_size);
  lodge_facts_report (&found.facts);
}

static int
import_files (const Import *self)
{
  char fingerprint[LODGE_FINGERPRINT_SIZE];
  LodgeFail fail = { 0 };
  LodgeHash hash;
  int status = 0;

  if (!lodge_hash_start (self->fds, self->n_fds, &hash, &fail))
    return lodge_status_fail (&fail);
  bool ok = take_files (self, &status, &fail) && status == 0;
  if (!lodge_hash_finish (&hash, fingerprint, ok ? &fail : NULL) || !ok)
    return fail.nick != NULL ? lodge_status_fail (&fail) : 1;
  report (self, fingerprint);
  lodge_status_done ();
  return 0;
}

/** A pipe becomes the file @name, as formats are not read from their beginning to their end
 * only. */
static bool
spool (Import *self, int *fd, const char *name, LodgeFail *fail)
{
  struct stat st;

  if (fstat (*fd, &st) < 0 || (!S_ISREG (st.st_mode) && !S_ISFIFO (st.st_mode)))
    return lodge_fail (fail, "InvalidArgument", "The image is neither a regular file nor a pipe");
  if (S_ISREG (st.st_mode))
    return true;
  int file
      = openat (self->staging_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (file < 0)
    return lodge_fail_errno (fail, errno, "The image cannot be received");
  uint64_t size = 0;
  ssize_t n;
  while ((n = splice (*fd, NULL, file, NULL, SPOOL_CHUNK, 0)) > 0 && size <= self->max_bytes)
    {
      size += (uint64_t) n;
      lodge_status_progress (-1, size, 0, "receive");
    }
  int error = errno;
  *fd = file;
  if (n < 0)
    return lodge_fail_errno (fail, error, "The image cannot be received");
  return n == 0 || lodge_fail (fail, "NoSpace", "There is no space left to receive the image");
}

static bool
read_request (const LodgeRequest *request, Import *self, LodgeFail *fail)
{
  const char *inspect = lodge_request_get (request, "inspect");

  self->request = request;
  self->staging_fd = lodge_request_get_fd (request, "staging");
  self->fds[0] = lodge_request_get_fd (request, "input");
  self->fds[1] = lodge_request_get_fd (request, "root");
  self->n_fds = self->fds[1] >= 0 ? 2 : 1;
  self->max_bytes = get_number (request, "max-bytes", DEFAULT_MAX);
  self->max_virtual = get_number (request, "max-virtual-size", DEFAULT_MAX_VIRTUAL);
  self->inspect = inspect != NULL && strcmp (inspect, "1") == 0;
  if (self->staging_fd < 0 || self->fds[0] < 0)
    return lodge_fail (fail, "InvalidArgument", "There is nothing to import, or nowhere to do it");
  self->found
      = mmap (NULL, sizeof *self->found, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return self->found != MAP_FAILED || lodge_fail_errno (fail, errno, "There is no memory");
}

int
lodge_import_run (const LodgeRequest *request)
{
  Import self = { 0 };
  LodgeFail fail = { 0 };

  if (!read_request (request, &self, &fail))
    return lodge_status_fail (&fail);
  static const char *const SPOOLS[] = { SPOOL, "input-root" };
  bool ok = true;
  for (int i = 0; ok && i < self.n_fds; i++)
    ok = spool (&self, &self.fds[i], SPOOLS[i], &fail);
  int status = ok ? import_files (&self) : lodge_status_fail (&fail);
  for (int i = 0; i < self.n_fds; i++)
    unlinkat (self.staging_fd, SPOOLS[i], 0);
  return status;
}
