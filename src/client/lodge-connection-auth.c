/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-connection-auth.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lodge-fd.h"
#include "lodge/lodge-error.h"

#define AUTH_TIMEOUT_MS 10000
#define AUTH_MAX_LINE   512

/* The value of @key in "unix:key=value,other=value", unescaped; NULL when it is not there. */
static char *
address_value (const char *entry, const char *key)
{
  const char *colon = strchr (entry, ':');

  if (colon == NULL)
    return NULL;
  g_auto (GStrv) pairs = g_strsplit (colon + 1, ",", -1);
  for (char **pair = pairs; *pair != NULL; pair++)
    {
      char *equals = strchr (*pair, '=');

      if (equals == NULL || strncmp (*pair, key, (gsize) (equals - *pair)) != 0
          || key[equals - *pair] != '\0')
        continue;
      return g_uri_unescape_string (equals + 1, NULL);
    }
  return NULL;
}

static int
connect_path (const char *path, gboolean abstract)
{
  struct sockaddr_un name = { .sun_family = AF_UNIX };
  gsize length = strlen (path);
  g_auto (LodgeFd) fd = -1;

  if (length == 0 || length >= sizeof name.sun_path - 1)
    {
      errno = ENAMETOOLONG;
      return -1;
    }
  memcpy (name.sun_path + (abstract ? 1 : 0), path, length);
  fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0
      || connect (
             fd, (struct sockaddr *) &name,
             (socklen_t) (offsetof (struct sockaddr_un, sun_path) + length + (abstract ? 1 : 0)))
             < 0)
    return -1;
  return lodge_fd_steal (&fd);
}

/* Connects to the first entry that answers.  -1 with errno. */
static int
connect_address (const char *address)
{
  g_auto (GStrv) entries = g_strsplit (address, ";", -1);

  errno = EINVAL;
  for (char **entry = entries; *entry != NULL; entry++)
    {
      g_autofree char *path = NULL;
      g_autofree char *abstract = NULL;
      int fd = -1;

      if (!g_str_has_prefix (*entry, "unix:"))
        continue;
      path = address_value (*entry, "path");
      abstract = address_value (*entry, "abstract");
      if (path != NULL)
        fd = connect_path (path, FALSE);
      else if (abstract != NULL)
        fd = connect_path (abstract, TRUE);
      if (fd >= 0)
        return fd;
    }
  return -1;
}

/* Reads no byte more than the line: what follows the last one are messages. */
static char *
read_line (int fd, GError **error)
{
  char line[AUTH_MAX_LINE];

  for (;;)
    {
      struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
      gssize n
          = poll (&poll_fd, 1, AUTH_TIMEOUT_MS) > 0 ? recv (fd, line, sizeof line, MSG_PEEK) : -1;
      const char *end = n > 0 ? memmem (line, (gsize) n, "\r\n", 2) : NULL;

      if (n <= 0 || (end == NULL && n == sizeof line))
        break;
      if (end == NULL)
        {
          /* Half a line: a peek would return at once again. */
          g_usleep (1000);
          continue;
        }
      gsize length = (gsize) (end - line) + 2;
      if (recv (fd, line, length, 0) != (gssize) length)
        break;
      return g_strndup (line, length);
    }
  g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_DAEMON_UNREACHABLE,
                       "The message bus does not answer.");
  return NULL;
}

static gboolean
expect_line (int fd, const char *prefix, GError **error)
{
  g_autofree char *line = read_line (fd, error);

  if (line == NULL)
    return FALSE;
  if (g_str_has_prefix (line, prefix))
    return TRUE;
  g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_NOT_AUTHORIZED,
                       "The message bus refuses this user.");
  return FALSE;
}

static gboolean
authenticate (int fd, GError **error)
{
  g_autofree char *uid = g_strdup_printf ("%u", (guint) geteuid ());
  g_autoptr (GString) request = g_string_new_len ("\0", 1);

  g_string_append (request, "AUTH EXTERNAL ");
  for (const char *p = uid; *p != '\0'; p++)
    g_string_append_printf (request, "%02x", (guint) *p);
  /* All at once: each answer that is waited for costs a round trip. */
  g_string_append (request, "\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n");
  if (send (fd, request->str, request->len, MSG_NOSIGNAL) != (gssize) request->len)
    {
      g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_DAEMON_UNREACHABLE,
                           "The message bus does not answer.");
      return FALSE;
    }
  return expect_line (fd, "OK ", error) && expect_line (fd, "AGREE_UNIX_FD", error);
}

int
lodge_connection_auth_connect (const char *address, GError **error)
{
  g_auto (LodgeFd) fd = connect_address (address);

  if (fd < 0)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_DAEMON_UNREACHABLE,
                   "The message bus at %s cannot be reached: %s", address, g_strerror (errno));
      return -1;
    }
  if (!authenticate (fd, error))
    return -1;
  return lodge_fd_steal (&fd);
}
