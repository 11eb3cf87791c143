/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-terminal.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lodge/lodge-error.h"

gboolean
lodge_raw_mode_enter (LodgeRawMode *raw, int fd, GError **error)
{
  struct termios mode;

  if (!isatty (fd))
    return TRUE;
  if (tcgetattr (fd, &raw->saved) == 0)
    {
      mode = raw->saved;
      cfmakeraw (&mode);
      if (tcsetattr (fd, TCSADRAIN, &mode) == 0)
        {
          raw->fd = fd;
          return TRUE;
        }
    }
  lodge_error_set_errno (error, errno, "The terminal cannot be put into raw mode");
  return FALSE;
}

void
lodge_raw_mode_leave (LodgeRawMode *raw)
{
  if (raw->fd >= 0)
    tcsetattr (raw->fd, TCSADRAIN, &raw->saved);
  raw->fd = -1;
}

void
lodge_terminal_size (int fd, guint16 *out_rows, guint16 *out_columns)
{
  struct winsize size;
  gboolean known = ioctl (fd, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0;

  *out_rows = known ? size.ws_row : 24;
  *out_columns = known ? size.ws_col : 80;
}

gboolean
lodge_terminal_set_size (int fd, guint16 rows, guint16 columns)
{
  struct winsize size = { .ws_row = rows, .ws_col = columns };

  return ioctl (fd, TIOCSWINSZ, &size) == 0;
}
