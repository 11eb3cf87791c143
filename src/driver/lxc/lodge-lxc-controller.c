/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-lxc-controller.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "lodge-fd.h"

/* More than libvirt's process of a container has. */
#define SOCKETS_MAX 64

static void
close_copy (gpointer fd)
{
  close (*(int *) fd);
}

GArray *
lodge_lxc_controller_copy_sockets (int pid, int pidfd)
{
  GArray *copies = g_array_new (FALSE, FALSE, sizeof (int));
  g_array_set_clear_func (copies, close_copy);
  g_autofree char *dir_path = g_strdup_printf ("/proc/%d/fd", pid);
  g_autoptr (GDir) dir = g_dir_open (dir_path, 0, NULL);
  const char *name;
  while (dir != NULL && copies->len < SOCKETS_MAX && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (dir_path, name, NULL);
      g_autofree char *target = g_file_read_link (path, NULL);
      if (target == NULL || !g_str_has_prefix (target, "socket:"))
        continue;
      int fd = (int) syscall (SYS_pidfd_getfd, pidfd, (int) g_ascii_strtoll (name, NULL, 10), 0);
      if (fd >= 0)
        g_array_append_val (copies, fd);
    }
  return copies;
}

static gboolean
is_of_monitor (int fd, const char *socket_name)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  socklen_t length = sizeof address - 1;
  if (getsockname (fd, (struct sockaddr *) &address, &length) < 0 || address.sun_family != AF_UNIX)
    return FALSE;
  g_autofree char *name = g_path_get_basename (address.sun_path);
  return strcmp (name, socket_name) == 0;
}

static gboolean
is_listening (int fd)
{
  int value = 0;
  socklen_t length = sizeof value;
  return getsockopt (fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &length) == 0 && value != 0;
}

static short
poll_now (int fd)
{
  struct pollfd item = { .fd = fd, .events = POLLIN };
  return poll (&item, 1, 0) == 1 ? item.revents : 0;
}

/* A connection that the controller has not accepted yet is as good as one: nothing can have been
 * sent on it. */
gboolean
lodge_lxc_controller_is_heard (int pid, const char *name)
{
  g_auto (LodgeFd) pidfd = (int) syscall (SYS_pidfd_open, pid, 0);
  if (pidfd < 0)
    return TRUE;
  g_autofree char *socket_name = g_strconcat (name, ".sock", NULL);
  g_autoptr (GArray) copies = lodge_lxc_controller_copy_sockets (pid, pidfd);
  gboolean is_found = FALSE, is_heard = FALSE;
  for (guint i = 0; i < copies->len; i++)
    {
      int fd = g_array_index (copies, int, i);
      if (!is_of_monitor (fd, socket_name))
        continue;
      is_found = TRUE;
      is_heard
          |= is_listening (fd) ? (poll_now (fd) & POLLIN) != 0 : (poll_now (fd) & POLLHUP) == 0;
    }
  return is_heard || !is_found;
}
