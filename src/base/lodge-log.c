/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-log.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lodge-fd.h"

static const char *
field (const GLogField *fields, gsize n_fields, const char *key)
{
  for (gsize i = 0; i < n_fields; i++)
    if (strcmp (fields[i].key, key) == 0 && fields[i].length < 0)
      return fields[i].value;
  return NULL;
}

static GLogWriterOutput
write_log (GLogLevelFlags level, const GLogField *fields, gsize n_fields, gpointer user_data)
{
  gboolean debug = GPOINTER_TO_INT (user_data);

  if (!debug && (level & (G_LOG_LEVEL_DEBUG | G_LOG_LEVEL_INFO)) != 0)
    return G_LOG_WRITER_HANDLED;
  if (g_log_writer_is_journald (fileno (stderr))
      && g_log_writer_journald (level, fields, n_fields, NULL) == G_LOG_WRITER_HANDLED)
    return G_LOG_WRITER_HANDLED;

  const char *message = field (fields, n_fields, "MESSAGE");
  const char *word = (level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL)) != 0 ? "critical: "
                     : (level & G_LOG_LEVEL_WARNING) != 0                      ? "warning: "
                     : (level & G_LOG_LEVEL_DEBUG) != 0                        ? "debug: "
                                                                               : "";
  g_autoptr (GDateTime) now = g_date_time_new_now_local ();
  g_autofree char *stamp = g_date_time_format (now, "%Y-%m-%d %H:%M:%S");
  fprintf (stderr, "%s.%03d %s[%d]: %s%s\n", stamp, g_date_time_get_microsecond (now) / 1000,
           g_get_prgname (), (int) getpid (), word, message != NULL ? message : "");
  return G_LOG_WRITER_HANDLED;
}

void
lodge_log_init (const char *program, gboolean debug)
{
  g_set_prgname (program);
  g_log_set_writer_func (write_log, GINT_TO_POINTER (debug), NULL);
}

void
lodge_notify_service (const char *state)
{
  const char *path = g_getenv ("NOTIFY_SOCKET");
  struct sockaddr_un address = { .sun_family = AF_UNIX };

  if (path == NULL || (path[0] != '/' && path[0] != '@')
      || strlen (path) >= sizeof address.sun_path)
    return;
  memcpy (address.sun_path, path, strlen (path));
  if (path[0] == '@')
    address.sun_path[0] = '\0';

  g_auto (LodgeFd) fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  socklen_t size = (socklen_t) (offsetof (struct sockaddr_un, sun_path) + strlen (path));
  if (fd < 0
      || sendto (fd, state, strlen (state), MSG_NOSIGNAL, (struct sockaddr *) &address, size) < 0)
    g_debug ("could not notify the service manager at %s", path);
}
