/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-enter.h"

#include "lodge-io.h"
#include "lodge-status.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define BUFFER_SIZE   65536
#define ANSWER_MS     2000
#define ADDRESSES_MAX 4096

typedef struct
{
  int netlink;
  int ioctls;
  unsigned count;
} Dump;

static bool
ask (int netlink)
{
  const struct
  {
    struct nlmsghdr header;
    struct ifaddrmsg message;
  } request = {
    .header = {
      .nlmsg_len = sizeof request,
      .nlmsg_type = RTM_GETADDR,
      .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
    },
    .message = { .ifa_family = AF_UNSPEC },
  };

  return send (netlink, &request, sizeof request, 0) == (ssize_t) sizeof request;
}

/* The address that other hosts know: the local one of a point-to-point link. */
static const void *
find_address (const struct nlmsghdr *header)
{
  const struct ifaddrmsg *message = NLMSG_DATA (header);
  size_t wanted = message->ifa_family == AF_INET6 ? 16 : 4;
  int left = (int) IFA_PAYLOAD (header);
  const void *address = NULL;

  for (const struct rtattr *attr = IFA_RTA (message); RTA_OK (attr, left);
       attr = RTA_NEXT (attr, left))
    {
      if (RTA_PAYLOAD (attr) != wanted)
        continue;
      if (attr->rta_type == IFA_LOCAL)
        return RTA_DATA (attr);
      if (attr->rta_type == IFA_ADDRESS)
        address = RTA_DATA (attr);
    }
  return address;
}

static void
report (Dump *dump, const struct nlmsghdr *header)
{
  const struct ifaddrmsg *message = NLMSG_DATA (header);
  struct ifreq device = { .ifr_ifindex = (int) message->ifa_index };
  char text[INET6_ADDRSTRLEN];
  const void *address;

  if (header->nlmsg_len < NLMSG_LENGTH (sizeof *message)
      || (message->ifa_family != AF_INET && message->ifa_family != AF_INET6)
      || dump->count == ADDRESSES_MAX)
    return;
  address = find_address (header);
  if (!address || ioctl (dump->ioctls, SIOCGIFNAME, &device) < 0
      || strcmp (device.ifr_name, "lo") == 0)
    return;
  dump->count++;
  inet_ntop (message->ifa_family, address, text, sizeof text);
  lodge_status_result ("address", "%s %s %s/%u", device.ifr_name,
                       message->ifa_family == AF_INET6 ? "inet6" : "inet", text,
                       message->ifa_prefixlen);
}

/* Reads one message of the dump.  1: there is more; 0: it is complete; else -errno. */
static int
read_part (Dump *dump)
{
  _Alignas(struct nlmsghdr) char buffer[BUFFER_SIZE];
  struct pollfd ready = { .fd = dump->netlink, .events = POLLIN };
  ssize_t n;

  if (poll (&ready, 1, ANSWER_MS) <= 0)
    return -ETIMEDOUT;
  n = recv (dump->netlink, buffer, sizeof buffer, 0);
  if (n < 0)
    return -errno;
  for (const struct nlmsghdr *header = (const struct nlmsghdr *) buffer; NLMSG_OK (header, n);
       header = NLMSG_NEXT (header, n))
    {
      if (header->nlmsg_type == NLMSG_DONE)
        return 0;
      if (header->nlmsg_type == NLMSG_ERROR)
        return ((const struct nlmsgerr *) NLMSG_DATA (header))->error ?: -EPROTO;
      if (header->nlmsg_type == RTM_NEWADDR)
        report (dump, header);
    }
  return 1;
}

bool
lodge_enter_addresses (const LodgeRequest *request, LodgeFail *fail)
{
  LODGE_AUTOFD netlink = -1;
  LODGE_AUTOFD ioctls = -1;
  LodgeTarget target;
  Dump dump = { 0 };
  int r = 1;

  if (!lodge_enter_open_target (request, &target, fail)
      || !lodge_enter_namespaces (&target, CLONE_NEWNET, fail))
    return false;
  netlink = socket (AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  ioctls = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (netlink < 0 || ioctls < 0 || !ask (netlink))
    return lodge_fail_errno (fail, errno, "Cannot ask for the container's addresses");
  dump.netlink = netlink;
  dump.ioctls = ioctls;
  while (r > 0)
    r = read_part (&dump);
  return r == 0 || lodge_fail_errno (fail, r, "Cannot read the container's addresses");
}
