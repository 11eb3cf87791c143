/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* RFC 6890 and its successors. */
static const struct
{
  uint32_t network;
  unsigned bits;
} closed_ipv4[] = {
  { 0x00000000, 8 },  /* this network */
  { 0x0a000000, 8 },  /* private */
  { 0x64400000, 10 }, /* carrier-grade NAT */
  { 0x7f000000, 8 },  /* loopback */
  { 0xa9fe0000, 16 }, /* link-local, cloud metadata */
  { 0xac100000, 12 }, /* private */
  { 0xc0000000, 24 }, /* protocol assignments */
  { 0xc0000200, 24 }, /* documentation */
  { 0xc0a80000, 16 }, /* private */
  { 0xc6120000, 15 }, /* benchmarks */
  { 0xc6336400, 24 }, /* documentation */
  { 0xcb007100, 24 }, /* documentation */
  { 0xe0000000, 3 },  /* multicast, reserved, broadcast */
};

static bool
is_public_ipv4 (uint32_t address)
{
  for (size_t i = 0; i < sizeof closed_ipv4 / sizeof *closed_ipv4; i++)
    if ((address ^ closed_ipv4[i].network) >> (32 - closed_ipv4[i].bits) == 0)
      return false;
  return true;
}

static bool
is_public_ipv6 (const struct in6_addr *address)
{
  static const unsigned char nat64[12] = { 0x00, 0x64, 0xff, 0x9b };
  const unsigned char *bytes = address->s6_addr;

  /* Only 2000::/3 is given out; of that not the tunnels (Teredo, 6to4) and the documentation. */
  if (memcmp (bytes, nat64, sizeof nat64) == 0)
    return is_public_ipv4 ((uint32_t) bytes[12] << 24 | (uint32_t) bytes[13] << 16
                           | (uint32_t) bytes[14] << 8 | bytes[15]);
  if ((bytes[0] & 0xe0) != 0x20 || (bytes[0] == 0x20 && bytes[1] == 0x02))
    return false;
  return !(bytes[0] == 0x20 && bytes[1] == 0x01
           && ((bytes[2] & 0xfe) == 0 || (bytes[2] == 0x0d && bytes[3] == 0xb8)));
}

bool
lodge_address_is_public (const struct sockaddr *address)
{
  const void *any = address;

  if (address->sa_family == AF_INET)
    return is_public_ipv4 (ntohl (((const struct sockaddr_in *) any)->sin_addr.s_addr));
  if (address->sa_family == AF_INET6)
    return is_public_ipv6 (&((const struct sockaddr_in6 *) any)->sin6_addr);
  return false;
}
