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

GQuark
lodge_error_quark (void)
{
  static gsize quark = 0;

  if (g_once_init_enter (&quark))
    {
      GQuark value = g_quark_from_static_string ("lodge-error-quark");

      for (gsize i = 0; i < G_N_ELEMENTS (error_table); i++)
        {
          g_assert (error_table[i].code == i);
          g_dbus_error_register_error (value, (int) error_table[i].code, error_table[i].dbus_name);
        }
      g_once_init_leave (&quark, value);
    }
  return (GQuark) quark;
}

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

/* What codes of GLib's own domains mean in ours. */
typedef struct
{
  int from;
  LodgeErrorCode to;
} CodeMap;

static const CodeMap io_map[] = {
  { G_IO_ERROR_NOT_FOUND, LODGE_ERROR_NOT_FOUND },
  { G_IO_ERROR_EXISTS, LODGE_ERROR_ALREADY_EXISTS },
  { G_IO_ERROR_CANCELLED, LODGE_ERROR_CANCELLED },
  { G_IO_ERROR_TIMED_OUT, LODGE_ERROR_TIMED_OUT },
  { G_IO_ERROR_NO_SPACE, LODGE_ERROR_NO_SPACE },
  { G_IO_ERROR_PERMISSION_DENIED, LODGE_ERROR_NOT_AUTHORIZED },
  { G_IO_ERROR_NOT_SUPPORTED, LODGE_ERROR_NOT_SUPPORTED },
  { G_IO_ERROR_INVALID_ARGUMENT, LODGE_ERROR_INVALID_ARGUMENT },
  { G_IO_ERROR_BUSY, LODGE_ERROR_BUSY },
  { G_IO_ERROR_CLOSED, LODGE_ERROR_DAEMON_UNREACHABLE },
  { G_IO_ERROR_CONNECTION_REFUSED, LODGE_ERROR_DAEMON_UNREACHABLE },
};

static const CodeMap bus_map[] = {
  { G_DBUS_ERROR_ACCESS_DENIED, LODGE_ERROR_NOT_AUTHORIZED },
  { G_DBUS_ERROR_AUTH_FAILED, LODGE_ERROR_NOT_AUTHORIZED },
  { G_DBUS_ERROR_SERVICE_UNKNOWN, LODGE_ERROR_DAEMON_UNREACHABLE },
  { G_DBUS_ERROR_NAME_HAS_NO_OWNER, LODGE_ERROR_DAEMON_UNREACHABLE },
  { G_DBUS_ERROR_NO_REPLY, LODGE_ERROR_DAEMON_UNREACHABLE },
  { G_DBUS_ERROR_DISCONNECTED, LODGE_ERROR_DAEMON_UNREACHABLE },
  { G_DBUS_ERROR_NO_SERVER, LODGE_ERROR_DAEMON_UNREACHABLE },
  { G_DBUS_ERROR_SPAWN_EXEC_FAILED, LODGE_ERROR_DAEMON_UNREACHABLE },
  { G_DBUS_ERROR_SPAWN_SERVICE_NOT_FOUND, LODGE_ERROR_DAEMON_UNREACHABLE },
  { G_DBUS_ERROR_UNKNOWN_OBJECT, LODGE_ERROR_NOT_FOUND },
  { G_DBUS_ERROR_UNKNOWN_METHOD, LODGE_ERROR_NOT_SUPPORTED },
  { G_DBUS_ERROR_INVALID_ARGS, LODGE_ERROR_INVALID_ARGUMENT },
  { G_DBUS_ERROR_LIMITS_EXCEEDED, LODGE_ERROR_LIMIT_EXCEEDED },
  { G_DBUS_ERROR_TIMEOUT, LODGE_ERROR_TIMED_OUT },
  { G_DBUS_ERROR_TIMED_OUT, LODGE_ERROR_TIMED_OUT },
};

static LodgeErrorCode
map_code (const CodeMap *map, gsize n_rows, int from)
{
  for (gsize i = 0; i < n_rows; i++)
    if (map[i].from == from)
      return map[i].to;
  return LODGE_ERROR_FAILED;
}

static gboolean
is_interaction_required (const GError *error)
{
  g_autofree char *name
      = error->domain == G_IO_ERROR ? g_dbus_error_get_remote_error (error) : NULL;

  return g_strcmp0 (name, "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired") == 0;
}

static LodgeErrorCode
code_of (const GError *error)
{
  if (error->domain == LODGE_ERROR && error->code >= 0 && error->code < LODGE_ERROR_N_CODES)
    return (LodgeErrorCode) error->code;
  /* GLib has no code of its own for this one. */
  if (is_interaction_required (error))
    return LODGE_ERROR_NOT_AUTHORIZED;
  if (error->domain == G_IO_ERROR)
    return map_code (io_map, G_N_ELEMENTS (io_map), error->code);
  if (error->domain == G_DBUS_ERROR)
    return map_code (bus_map, G_N_ELEMENTS (bus_map), error->code);
  return LODGE_ERROR_FAILED;
}

int
lodge_error_exit_code (const GError *error)
{
  g_return_val_if_fail (error != NULL, 1);
  return error_table[code_of (error)].exit_code;
}

GError *
lodge_error_normalize (GError *error)
{
  if (error == NULL)
    return NULL;
  if (error->domain == LODGE_ERROR)
    return error;

  LodgeErrorCode code = code_of (error);
  if (g_dbus_error_is_remote_error (error))
    g_dbus_error_strip_remote_error (error);

  GError *normal = g_error_new_literal (LODGE_ERROR, (int) code, error->message);
  g_error_free (error);
  return normal;
}

static const CodeMap errno_map[] = {
  { ENOSPC, LODGE_ERROR_NO_SPACE },       { EDQUOT, LODGE_ERROR_NO_SPACE },
  { ENOENT, LODGE_ERROR_NOT_FOUND },      { EEXIST, LODGE_ERROR_ALREADY_EXISTS },
  { EACCES, LODGE_ERROR_NOT_AUTHORIZED }, { EPERM, LODGE_ERROR_NOT_AUTHORIZED },
  { ETIMEDOUT, LODGE_ERROR_TIMED_OUT },   { ECANCELED, LODGE_ERROR_CANCELLED },
  { EMFILE, LODGE_ERROR_LIMIT_EXCEEDED }, { ENFILE, LODGE_ERROR_LIMIT_EXCEEDED },
};

void
lodge_error_set_errno (GError **error, int saved_errno, const char *format, ...)
{
  g_autofree char *what = NULL;
  va_list args;

  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, LODGE_ERROR,
               (int) map_code (errno_map, G_N_ELEMENTS (errno_map), saved_errno), "%s: %s", what,
               g_strerror (saved_errno));
}
