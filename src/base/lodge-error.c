/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge/lodge-error.h"

#include <errno.h>

#define BUS_PREFIX "org.lodge1.Error."

typedef struct
{
  LodgeErrorCode code;
  const char *dbus_name;
  int exit_code;
} ErrorRow;

/* The one table of errors.  Exit codes: README.md, "Exit codes". */
static const ErrorRow error_table[] = {
  { LODGE_ERROR_FAILED, BUS_PREFIX "Failed", 1 },
  { LODGE_ERROR_INVALID_ARGUMENT, BUS_PREFIX "InvalidArgument", 2 },
  { LODGE_ERROR_INVALID_NAME, BUS_PREFIX "InvalidName", 2 },
  { LODGE_ERROR_INVALID_CONFIG, BUS_PREFIX "InvalidConfig", 2 },
  { LODGE_ERROR_NOT_FOUND, BUS_PREFIX "NotFound", 3 },
  { LODGE_ERROR_ALREADY_EXISTS, BUS_PREFIX "AlreadyExists", 6 },
  { LODGE_ERROR_INVALID_STATE, BUS_PREFIX "InvalidState", 6 },
  { LODGE_ERROR_BUSY, BUS_PREFIX "Busy", 6 },
  { LODGE_ERROR_IN_USE, BUS_PREFIX "InUse", 6 },
  { LODGE_ERROR_CONFLICT, BUS_PREFIX "Conflict", 6 },
  { LODGE_ERROR_NOT_SUPPORTED, BUS_PREFIX "NotSupported", 1 },
  { LODGE_ERROR_NOT_AUTHORIZED, BUS_PREFIX "NotAuthorized", 4 },
  { LODGE_ERROR_CANCELLED, BUS_PREFIX "Cancelled", 130 },
  { LODGE_ERROR_TIMED_OUT, BUS_PREFIX "TimedOut", 7 },
  { LODGE_ERROR_LIMIT_EXCEEDED, BUS_PREFIX "LimitExceeded", 1 },
  { LODGE_ERROR_NO_SPACE, BUS_PREFIX "NoSpace", 1 },
  { LODGE_ERROR_BACKEND, BUS_PREFIX "Backend", 1 },
  { LODGE_ERROR_BACKEND_UNAVAILABLE, BUS_PREFIX "BackendUnavailable", 5 },
  { LODGE_ERROR_AGENT_UNAVAILABLE, BUS_PREFIX "AgentUnavailable", 1 },
  { LODGE_ERROR_STORE, BUS_PREFIX "Store", 1 },
  { LODGE_ERROR_STORE_TOO_NEW, BUS_PREFIX "StoreTooNew", 1 },
  { LODGE_ERROR_DOWNLOAD, BUS_PREFIX "Download", 1 },
  { LODGE_ERROR_VERIFICATION_FAILED, BUS_PREFIX "VerificationFailed", 1 },
  { LODGE_ERROR_IMAGE_INVALID, BUS_PREFIX "ImageInvalid", 1 },
  { LODGE_ERROR_HELPER_FAILED, BUS_PREFIX "HelperFailed", 1 },
  { LODGE_ERROR_DAEMON_UNREACHABLE, BUS_PREFIX "DaemonUnreachable", 5 },
};
G_STATIC_ASSERT (G_N_ELEMENTS (error_table) == LODGE_ERROR_N_CODES);

G_DEFINE_QUARK (lodge - error - quark, lodge_error)

const char *
lodge_error_dbus_name (LodgeErrorCode code)
{
  g_return_val_if_fail (code < LODGE_ERROR_N_CODES, error_table[0].dbus_name);
  return error_table[code].dbus_name;
}

const char *
lodge_error_nick (LodgeErrorCode code)
{
  return lodge_error_dbus_name (code) + strlen (BUS_PREFIX);
}

LodgeErrorCode
lodge_error_from_nick (const char *nick)
{
  for (gsize i = 0; i < G_N_ELEMENTS (error_table); i++)
    if (g_strcmp0 (nick, error_table[i].dbus_name + strlen (BUS_PREFIX)) == 0)
      return error_table[i].code;
  return LODGE_ERROR_HELPER_FAILED;
}

typedef struct
{
  int from;
  LodgeErrorCode to;
} ErrnoMap;

static const ErrnoMap errno_map[] = {
  { ENOSPC, LODGE_ERROR_NO_SPACE },       { EDQUOT, LODGE_ERROR_NO_SPACE },
  { ENOENT, LODGE_ERROR_NOT_FOUND },      { EEXIST, LODGE_ERROR_ALREADY_EXISTS },
  { EACCES, LODGE_ERROR_NOT_AUTHORIZED }, { EPERM, LODGE_ERROR_NOT_AUTHORIZED },
  { ETIMEDOUT, LODGE_ERROR_TIMED_OUT },   { ECANCELED, LODGE_ERROR_CANCELLED },
  { EMFILE, LODGE_ERROR_LIMIT_EXCEEDED }, { ENFILE, LODGE_ERROR_LIMIT_EXCEEDED },
};

static LodgeErrorCode
code_of_errno (int saved_errno)
{
  for (gsize i = 0; i < G_N_ELEMENTS (errno_map); i++)
    if (errno_map[i].from == saved_errno)
      return errno_map[i].to;
  return LODGE_ERROR_FAILED;
}

int
lodge_error_exit_code (const GError *error)
{
  g_return_val_if_fail (error != NULL, 1);
  if (error->domain != LODGE_ERROR || error->code < 0 || error->code >= LODGE_ERROR_N_CODES)
    return error_table[LODGE_ERROR_FAILED].exit_code;
  return error_table[error->code].exit_code;
}

void
lodge_error_set_errno (GError **error, int saved_errno, const char *format, ...)
{
  g_autofree char *what = NULL;
  va_list args;

  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, LODGE_ERROR, (int) code_of_errno (saved_errno), "%s: %s", what,
               g_strerror (saved_errno));
}
