/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* qemu-img runs in a sandbox without network, as nobody's uid.  Formats are always given. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lodge-command.h"
#include "lodge-disk-check.h"
#include "lodge-import-private.h"
#include "lodge-io.h"
#include "lodge-json.h"
#include "lodge-sandbox.h"
#include "lodge-status.h"

#define OUTPUT   LODGE_SANDBOX_STAGING "/" LODGE_IMPORT_DISK
#define INFO_MAX (1024 * 1024)

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

/** For formats whose size is not at a fixed place.  0: not known. */
static uint64_t
ask_size (const LodgeImportStep *step, const char *input, LodgeFail *fail)
{
  const char *const argv[] = {
    "qemu-img", "info", "--output=json", "-f", lodge_format_driver (step->format), input, NULL
  };
  g_autofree char *text = lodge_command_capture (argv, fail);
  g_autoptr (JsonObject) object
      = text != NULL ? lodge_json_parse_object (text, -1, INFO_MAX, NULL) : NULL;
  if (object == NULL || json_object_has_member (object, "backing-filename"))
    return 0;
  return (uint64_t) lodge_json_get_int (object, "virtual-size", 0);
}

static bool
check_size (const LodgeImportStep *step, const char *input, uint64_t size, LodgeFail *fail)
{
  if (size == 0)
    size = ask_size (step, input, fail);
  if (size == 0 || size > step->max_virtual)
    return lodge_fail (fail, "ImageInvalid",
                       "The %s disk is refused: it cannot be read by itself, or its virtual size is"
                       " not between 1 byte and %llu GiB",
                       lodge_format_driver (step->format),
                       (unsigned long long) (step->max_virtual >> 30));
  step->found->virtual_size = size;
  return true;
}

static bool
convert (const LodgeImportStep *step, uint64_t size, LodgeFail *fail)
{
  const char *input = lodge_import_find_input (step, fail);
  if (input == NULL || !check_size (step, input, size, fail))
    return false;
  g_autoptr (GString) last = g_string_new (NULL);
  const char *const argv[]
      = { "qemu-img", "convert", "-p",   "-f", lodge_format_driver (step->format), "-O", "qcow2",
          "-W",       input,     OUTPUT, NULL };
  limit_output (step->max_bytes);
  int status = lodge_command_run_status (argv, NULL, lodge_command_show_qemu_img, last, fail);
  lodge_import_drop_copy ();
  if (status <= 0)
    return status == 0;
  if (strstr (last->str, "No space left") != NULL || strstr (last->str, "File too large") != NULL)
    return lodge_fail (fail, "NoSpace", "There is no space left to convert the disk");
  return lodge_fail (fail, "ImageInvalid", "The disk cannot be converted: %.300s", last->str);
}

static bool
check_input (const LodgeImportStep *step, uint64_t *out_size, LodgeFail *fail)
{
  g_autofree unsigned char *head = g_malloc (LODGE_DISK_HEAD_SIZE);
  unsigned char tail[LODGE_SNIFF_TAIL_SIZE];
  uint32_t snapshots = 0;
  struct stat st;

  if (fstat (step->input, &st) < 0 || !S_ISREG (st.st_mode))
    return lodge_fail (fail, "InvalidArgument", "The disk is not a regular file");
  ssize_t n = pread (step->input, head, LODGE_DISK_HEAD_SIZE, 0);
  ssize_t tail_size = st.st_size >= (off_t) sizeof tail
                          ? pread (step->input, tail, sizeof tail, st.st_size - (off_t) sizeof tail)
                          : 0;
  if (n < 0 || tail_size < 0)
    return lodge_fail_errno (fail, errno, "The disk cannot be read");
  if (!lodge_disk_check (step->format, head, (size_t) n, tail, (size_t) tail_size,
                         (uint64_t) st.st_size, step->max_virtual, &snapshots, out_size, fail))
    return false;
  if (snapshots > 0)
    lodge_status_notice ("The %u snapshots in the disk were left out.", snapshots);
  return true;
}

int
lodge_import_disk (gpointer data)
{
  const LodgeImportStep *step = data;
  uint64_t size = 0;
  struct stat st;
  LodgeFail fail = { 0 };

  lodge_import_limit_memory (step);
  if (!check_input (step, &size, &fail) || !convert (step, size, &fail))
    return lodge_status_fail (&fail);
  if (chmod (OUTPUT, 0444) < 0 || stat (OUTPUT, &st) < 0)
    {
      lodge_fail_errno (&fail, errno, "The converted disk cannot be used");
      return lodge_status_fail (&fail);
    }
  step->found->size = (uint64_t) st.st_blocks * 512;
  step->found->has_disk = true;
  return 0;
}
