/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-dhcp-release.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "lodge-fd.h"

#define SERVER_PORT     67
#define BOOTREQUEST     1
#define ETHERNET        1
#define COOKIE          0x63825363
#define OPTION_TYPE     53
#define OPTION_SERVER   54
#define OPTION_END      255
#define DHCPRELEASE     7
#define MINIMUM_OPTIONS 60 /* BOOTP's smallest message has 300 bytes */

/* RFC 2131, figure 1; integers in network byte order. */
typedef struct
{
  uint8_t op, htype, hlen, hops;
  uint32_t xid;
  uint16_t secs, flags;
  uint32_t ciaddr, yiaddr, siaddr, giaddr;
  uint8_t chaddr[16];
  uint8_t sname[64];
  uint8_t file[128];
  uint32_t cookie;
  uint8_t options[MINIMUM_OPTIONS];
} Message;

static gboolean
parse_mac (const char *text, uint8_t mac[static 6])
{
  return sscanf (text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", &mac[0], &mac[1], &mac[2], &mac[3],
                 &mac[4], &mac[5])
         == 6;
}

void
lodge_dhcp_release (const char *bridge, const char *server, const char *mac, const char *address)
{
  struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons (SERVER_PORT) };
  struct in_addr leased;
  Message message = {
    .op = BOOTREQUEST,
    .htype = ETHERNET,
    .hlen = 6,
    .xid = g_random_int (),
    .cookie = htonl (COOKIE),
    .options = { OPTION_TYPE, 1, DHCPRELEASE, OPTION_SERVER, sizeof to.sin_addr },
  };

  if (inet_pton (AF_INET, server, &to.sin_addr) != 1 || inet_pton (AF_INET, address, &leased) != 1
      || !parse_mac (mac, message.chaddr))
    return;
  message.ciaddr = leased.s_addr;
  memcpy (message.options + 5, &to.sin_addr, sizeof to.sin_addr);
  message.options[5 + sizeof to.sin_addr] = OPTION_END;

  g_auto (LodgeFd) fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  /* The server tells its networks apart by the interface that a message comes from. */
  if (fd >= 0 && setsockopt (fd, SOL_SOCKET, SO_BINDTODEVICE, bridge, strlen (bridge) + 1) == 0)
    sendto (fd, &message, sizeof message, MSG_DONTWAIT, (struct sockaddr *) &to, sizeof to);
}
