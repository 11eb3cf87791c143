/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What errors have to do with GIO.  A file of its own, so that the command line, which speaks to
 * the bus without GIO, need not load it: that would double the time of `lodge exec`. */
#include "lodge/lodge-error.h"

void
lodge_error_register_bus (void)
{
  /* GDBus passes over what it knows already. */
  for (int code = 0; code < LODGE_ERROR_N_CODES; code++)
    g_dbus_error_register_error (LODGE_ERROR, code, lodge_error_dbus_name ((LodgeErrorCode) code));
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
