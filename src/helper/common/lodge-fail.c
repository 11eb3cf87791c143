/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-fail.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct
{
  int error;
  const char *nick;
} nicks[] = {
  { ENOSPC, "NoSpace" },       { EDQUOT, "NoSpace" },       { ENOENT, "NotFound" },
  { EEXIST, "AlreadyExists" }, { EACCES, "NotAuthorized" }, { EPERM, "NotAuthorized" },
  { ETIMEDOUT, "TimedOut" },   { ECANCELED, "Cancelled" },  { EINVAL, "InvalidArgument" },
  { ESRCH, "InvalidState" },   { EMFILE, "LimitExceeded" }, { ENFILE, "LimitExceeded" },
  { EAGAIN, "LimitExceeded" }, { ENOMEM, "LimitExceeded" },
};

const char *
lodge_fail_nick_of_errno (int error)
{
  for (size_t i = 0; i < sizeof nicks / sizeof *nicks; i++)
    if (nicks[i].error == abs (error))
      return nicks[i].nick;
  return "Failed";
}

bool
lodge_fail (LodgeFail *fail, const char *nick, const char *format, ...)
{
  va_list args;

  fail->nick = nick;
  va_start (args, format);
  vsnprintf (fail->text, sizeof fail->text, format, args);
  va_end (args);
  return false;
}

bool
lodge_fail_errno (LodgeFail *fail, int error, const char *format, ...)
{
  va_list args;
  size_t used;

  fail->nick = lodge_fail_nick_of_errno (error);
  va_start (args, format);
  vsnprintf (fail->text, sizeof fail->text, format, args);
  va_end (args);
  used = strlen (fail->text);
  snprintf (fail->text + used, sizeof fail->text - used, ": %s", strerror (abs (error)));
  return false;
}
