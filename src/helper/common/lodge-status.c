/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-status.h"

#include "lodge/lodge-helper-protocol.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* Sends a line of @length bytes, which has room for its end.  @fd: -1: none. */
static void
send_line (char *line, size_t length, int fd)
{
  union
  {
    struct cmsghdr header;
    char bytes[CMSG_SPACE (sizeof (int))];
  } control = { 0 };
  struct iovec iov = { line, 0 };
  struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
  ssize_t n;

  for (size_t i = 0; i < length; i++)
    if ((unsigned char) line[i] < 0x20 || line[i] == 0x7f)
      line[i] = '?';
  line[length++] = '\n';
  iov.iov_len = length;
  if (fd >= 0)
    {
      control.header.cmsg_level = SOL_SOCKET;
      control.header.cmsg_type = SCM_RIGHTS;
      control.header.cmsg_len = CMSG_LEN (sizeof (int));
      memcpy (CMSG_DATA (&control.header), &fd, sizeof fd);
      message.msg_control = control.bytes;
      message.msg_controllen = sizeof control.bytes;
    }
  while (iov.iov_len > 0)
    {
      n = sendmsg (LODGE_HELPER_STATUS_FD, &message, MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return;
      iov.iov_base = (char *) iov.iov_base + n;
      iov.iov_len -= (size_t) n;
      message.msg_control = NULL;
      message.msg_controllen = 0;
    }
}

static void
format_line (int fd, const char *prefix, const char *format, va_list args)
{
  char line[LODGE_HELPER_LINE_MAX];
  int n = snprintf (line, sizeof line, "%s", prefix);
  size_t used = n < 0 ? 0 : (size_t) n;

  if (used >= sizeof line - 1)
    used = sizeof line - 2;
  n = vsnprintf (line + used, sizeof line - 1 - used, format, args);
  if (n > 0)
    used += (size_t) n;
  if (used > sizeof line - 2)
    used = sizeof line - 2;
  send_line (line, used, fd);
}

static void __attribute__ ((format (printf, 3, 4)))
print_line (int fd, const char *prefix, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  format_line (fd, prefix, format, args);
  va_end (args);
}

void
lodge_status_progress (double fraction, uint64_t done, uint64_t total, const char *stage)
{
  /* By hand: printf's "%f" would follow a locale, and pulls much code into a static binary. */
  unsigned thousandths = fraction < 0 ? 0 : (unsigned) (fraction * 1000 + 0.5);

  if (fraction < 0)
    print_line (-1, "progress ", "-1 %llu %llu %s", (unsigned long long) done,
                (unsigned long long) total, stage);
  else
    print_line (-1, "progress ", "%u.%03u %llu %llu %s", thousandths / 1000, thousandths % 1000,
                (unsigned long long) done, (unsigned long long) total, stage);
}

void
lodge_status_notice (const char *format, ...)
{
  va_list args;

  va_start (args, format);
  format_line (-1, "notice ", format, args);
  va_end (args);
}

void
lodge_status_result (const char *key, const char *format, ...)
{
  char prefix[128];
  va_list args;

  snprintf (prefix, sizeof prefix, "result %s ", key);
  va_start (args, format);
  format_line (-1, prefix, format, args);
  va_end (args);
}

void
lodge_status_pid (int pid)
{
  print_line (-1, "pid ", "%d", pid);
}

void
lodge_status_fd (const char *name, int fd)
{
  print_line (fd, "fd ", "%s", name);
}

void
lodge_status_exit (int status, int signum)
{
  print_line (-1, "exit ", "%d %d", status, signum);
}

void
lodge_status_error (const char *nick, const char *format, ...)
{
  char prefix[128];
  va_list args;

  snprintf (prefix, sizeof prefix, "error %s ", nick);
  va_start (args, format);
  format_line (-1, prefix, format, args);
  va_end (args);
}

int
lodge_status_fail (const LodgeFail *fail)
{
  lodge_status_error (fail->nick ? fail->nick : "Failed", "%s", fail->text);
  return 1;
}

void
lodge_status_done (void)
{
  print_line (-1, "done", "%s", "");
}
