/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-lxc-end.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lodge-fd.h"
#include "lodge-lxc-controller.h"

#define DEVICE_NAME_MAX 15

/* ---- the network device ---- */

typedef struct
{
  struct nlmsghdr header;
  struct ifinfomsg info;
  struct rtattr attribute;
  char name[DEVICE_NAME_MAX + 1];
} DeleteLink;

/* Both ends go together, and the answer comes when they have gone.  That it fails does not
 * matter: the device ends with the container's network namespace, only later. */
static void
delete_device (const char *name)
{
  gsize length = strlen (name) + 1;
  g_auto (LodgeFd) fd = socket (AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0 || length > DEVICE_NAME_MAX + 1)
    return;
  DeleteLink request = {
    .header = { .nlmsg_type = RTM_DELLINK, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
    .info = { .ifi_family = AF_UNSPEC },
    .attribute = { .rta_type = IFLA_IFNAME, .rta_len = (unsigned short) RTA_LENGTH (length) },
  };
  memcpy (request.name, name, length);
  request.header.nlmsg_len = (guint32) (offsetof (DeleteLink, attribute) + RTA_SPACE (length));
  char answer[1024];
  if (send (fd, &request, request.header.nlmsg_len, 0) >= 0)
    (void) !recv (fd, answer, sizeof answer, 0);
}

/* ---- the processes ---- */

static gboolean
wait_for_end (int pidfd, gint64 deadline)
{
  gint64 left = (deadline - g_get_monotonic_time ()) / G_TIME_SPAN_MILLISECOND;
  struct pollfd item = { .fd = pidfd, .events = POLLIN };
  return poll (&item, 1, (int) MAX (left, 0)) == 1;
}

static gboolean
send_kill (int pidfd)
{
  return syscall (SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) == 0;
}

/* The end of init is that of its whole process namespace, but a slow one: it ends the others
 * one by one when it has let go of all it had.  By its cgroup they end meanwhile.  The controller
 * may have noticed and ended by itself before it is its turn. */
static gboolean
kill_all (const LodgeLxcInit *init, int guest, int controller)
{
  if (!send_kill (guest))
    return FALSE;
  g_auto (LodgeFd) cgroup = lodge_lxc_cgroup_open (init, NULL);
  if (cgroup >= 0)
    lodge_lxc_cgroup_write (cgroup, "cgroup.kill", "1", NULL);
  return send_kill (controller) || errno == ESRCH;
}

GArray *
lodge_lxc_end (const LodgeLxcInit *init, int controller_pid, const char *host_device,
               int timeout_ms)
{
  gint64 deadline = g_get_monotonic_time () + timeout_ms * G_TIME_SPAN_MILLISECOND;
  g_auto (LodgeFd) guest = (int) syscall (SYS_pidfd_open, init->pid, 0);
  g_auto (LodgeFd) controller = (int) syscall (SYS_pidfd_open, controller_pid, 0);
  if (guest < 0 || controller < 0 || lodge_lxc_process_start_time (init->pid) != init->start_time
      || lodge_lxc_process_parent (init->pid) != controller_pid)
    return NULL;

  g_autoptr (GArray) held = lodge_lxc_controller_copy_sockets (controller_pid, controller);
  gboolean has_ended = kill_all (init, guest, controller);
  if (has_ended && host_device != NULL)
    delete_device (host_device);
  if (!has_ended || !wait_for_end (guest, deadline) || !wait_for_end (controller, deadline))
    return NULL;
  return g_steal_pointer (&held);
}
