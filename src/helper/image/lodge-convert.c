/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * qemu-img runs in a sandbox without network, as nobody's uid, and gets the file through an
 * id-mapped mount of that one file; where its file system has no id maps, a copy.  Formats are
 * always given.
 */
#include "lodge-convert.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lodge-command.h"
#include "lodge-fingerprint.h"
#include "lodge-io.h"
#include "lodge-qcow2.h"
#include "lodge-sandbox.h"
#include "lodge-status.h"

#define INPUT  "/input"
#define COPY   LODGE_SANDBOX_STAGING "/input.qcow2"
#define OUTPUT LODGE_SANDBOX_STAGING "/disk.qcow2"

#define MAX_VIRTUAL_SIZE (16ll << 40)
#define COPY_CHUNK       (8u << 20)
#define CHECKSUM_END     0.4

typedef struct
{
  int input_fd;
  uint64_t max_bytes; /* 0: no limit of its own */
  LodgeQcow2 header;
} Conversion;

static void
show_checksum (double fraction, gpointer user_data)
{
  lodge_status_progress (fraction * CHECKSUM_END, 0, 0, "checksum");
}

/** qemu-img -p writes "    (12.34/100%)". */
static void
show_line (char *line, gpointer user_data)
{
  const char *number = strchr (line, '(');
  GString *last = user_data;

  if (number != NULL && strstr (number, "/100%") != NULL)
    lodge_status_progress (CHECKSUM_END
                               + (1 - CHECKSUM_END) * g_ascii_strtod (number + 1, NULL) / 100,
                           0, 0, "convert");
  else
    g_string_assign (last, line);
}

static bool
copy_input (int input_fd, LodgeFail *fail)
{
  LODGE_AUTOFD fd = open (COPY, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  off_t offset = 0;
  ssize_t n;

  if (fd < 0)
    return lodge_fail_errno (fail, errno, "The disk cannot be copied");
  while ((n = copy_file_range (input_fd, &offset, fd, NULL, COPY_CHUNK, 0)) > 0)
    ;
  if (n == 0)
    return true;
  g_autofree char *block = g_malloc (COPY_CHUNK);
  while ((n = pread (input_fd, block, COPY_CHUNK, offset)) > 0)
    {
      int error = lodge_io_write_all (fd, block, (size_t) n);
      if (error < 0)
        return lodge_fail_errno (fail, error, "The disk cannot be copied");
      offset += n;
    }
  return n == 0 || lodge_fail_errno (fail, errno, "The disk cannot be copied");
}

/** The name under which qemu-img can open the input, or NULL. */
static const char *
find_input (const Conversion *self, LodgeFail *fail)
{
  LODGE_AUTOFD fd = open (INPUT, O_RDONLY | O_CLOEXEC);
  if (fd >= 0)
    return INPUT;
  return copy_input (self->input_fd, fail) ? COPY : NULL;
}

/** What is written too far is an error of write(2), not a signal. */
static void
limit_output (uint64_t max_bytes)
{
  struct rlimit limit;
  signal (SIGXFSZ, SIG_IGN);
  if (max_bytes == 0 || getrlimit (RLIMIT_FSIZE, &limit) < 0 || limit.rlim_cur <= max_bytes)
    return;
  limit.rlim_cur = limit.rlim_max = max_bytes;
  setrlimit (RLIMIT_FSIZE, &limit);
}

static bool
convert (const Conversion *self, LodgeFail *fail)
{
  const char *input = find_input (self, fail);
  if (input == NULL)
    return false;
  g_autoptr (GString) last = g_string_new (NULL);
  const char *const argv[]
      = { "qemu-img", "convert", "-p", "-f", "qcow2", "-O", "qcow2", "-W", input, OUTPUT, NULL };
  limit_output (self->max_bytes);
  bool ok = lodge_command_run (argv, NULL, show_line, last, fail);
  if (strcmp (input, COPY) == 0)
    unlink (COPY);
  if (ok)
    return true;
  if (strstr (last->str, "No space left") != NULL || strstr (last->str, "File too large") != NULL)
    return lodge_fail (fail, "NoSpace", "There is no space left to convert the disk");
  return lodge_fail (fail, "ImageInvalid", "The disk cannot be converted: %.300s", last->str);
}

static int
convert_in_sandbox (gpointer data)
{
  Conversion *self = data;
  LodgeFail fail = { 0 };
  char fingerprint[LODGE_FINGERPRINT_SIZE];
  uint64_t bytes;
  struct stat st;

  if (!lodge_fingerprint_file (self->input_fd, show_checksum, NULL, fingerprint, &bytes, &fail)
      || !convert (self, &fail))
    return lodge_status_fail (&fail);
  if (chmod (OUTPUT, 0444) < 0 || stat (OUTPUT, &st) < 0)
    {
      lodge_fail_errno (&fail, errno, "The converted disk cannot be used");
      return lodge_status_fail (&fail);
    }
  lodge_status_result ("fingerprint", "%s", fingerprint);
  lodge_status_result ("size", "%" G_GUINT64_FORMAT, (uint64_t) st.st_blocks * 512);
  lodge_status_result ("virtual-size", "%" G_GUINT64_FORMAT, self->header.virtual_size);
  if (self->header.snapshots > 0)
    lodge_status_notice ("The %u snapshots in the disk were left out.", self->header.snapshots);
  return 0;
}

static bool
check_input (const LodgeRequest *request, Conversion *self, LodgeFail *fail)
{
  g_autofree unsigned char *head = g_malloc (LODGE_QCOW2_HEAD_SIZE);
  long long max_virtual = MAX_VIRTUAL_SIZE, max_bytes = 0;
  struct stat st;

  lodge_request_get_number (request, "max-virtual-size", 1, INT64_MAX, &max_virtual, NULL);
  lodge_request_get_number (request, "max-bytes", 1, INT64_MAX, &max_bytes, NULL);
  self->max_bytes = (uint64_t) max_bytes;
  if (self->input_fd < 0 || fstat (self->input_fd, &st) < 0 || !S_ISREG (st.st_mode))
    return lodge_fail (fail, "InvalidArgument", "The disk is not a regular file");
  ssize_t n = pread (self->input_fd, head, LODGE_QCOW2_HEAD_SIZE, 0);
  if (n < 0)
    return lodge_fail_errno (fail, errno, "The disk cannot be read");
  return lodge_qcow2_check (head, (size_t) n, (uint64_t) st.st_size, (uint64_t) max_virtual,
                            &self->header, fail);
}

int
lodge_convert_run (const LodgeRequest *request)
{
  LodgeFail fail = { 0 };
  Conversion self = { .input_fd = lodge_request_get_fd (request, "input") };
  const LodgeSandboxBind bind = { .fd = self.input_fd, .target = INPUT, .optional = true };
  LodgeSandbox sandbox = { .idmap_base = LODGE_SANDBOX_IDMAP_BASE,
                           .idmap_count = LODGE_SANDBOX_IDMAP_COUNT,
                           .staging_fd = lodge_request_get_fd (request, "staging"),
                           .host_tools = true,
                           .binds = &bind,
                           .n_binds = 1 };
  int status = 1;

  if (sandbox.staging_fd < 0)
    lodge_fail (&fail, "InvalidArgument", "The conversion has no directory to work in");
  else if (check_input (request, &self, &fail)
           && lodge_sandbox_run (&sandbox, convert_in_sandbox, &self, &status, &fail) && status > 1)
    lodge_fail (&fail, "HelperFailed", "The conversion was ended by signal %d", status - 128);
  if (fail.nick != NULL)
    return lodge_status_fail (&fail);
  if (status == 0)
    lodge_status_done ();
  return status;
}
