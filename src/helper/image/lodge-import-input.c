/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lodge-import-private.h"
#include "lodge-io.h"
#include "lodge-sandbox.h"

#define COPY       LODGE_SANDBOX_STAGING "/copy"
#define COPY_CHUNK (8u << 20)

bool
lodge_import_copy_input (const LodgeImportStep *step, const char *path, LodgeFail *fail)
{
  LODGE_AUTOFD fd = open (path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  int input_fd = step->input;
  off_t offset = 0;
  ssize_t n;

  if (fd < 0)
    return lodge_fail_errno (fail, errno, "The image's file cannot be copied");
  while ((n = copy_file_range (input_fd, &offset, fd, NULL, COPY_CHUNK, 0)) > 0)
    ;
  if (n == 0)
    return true;
  g_autofree char *block = g_malloc (COPY_CHUNK);
  while ((n = pread (input_fd, block, COPY_CHUNK, offset)) > 0)
    {
      int error = lodge_io_write_all (fd, block, (size_t) n);
      if (error < 0)
        return lodge_fail_errno (fail, error, "The image's file cannot be copied");
      offset += n;
    }
  return n == 0 || lodge_fail_errno (fail, errno, "The image's file cannot be copied");
}

const char *
lodge_import_find_input (const LodgeImportStep *step, LodgeFail *fail)
{
  LODGE_AUTOFD fd = open (LODGE_IMPORT_INPUT, O_RDONLY | O_CLOEXEC);
  if (fd >= 0)
    return LODGE_IMPORT_INPUT;
  return lodge_import_copy_input (step, COPY, fail) ? COPY : NULL;
}

void
lodge_import_drop_copy (void)
{
  unlink (COPY);
}
