/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-subnet-pick.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <string.h>

/* 1022 addresses: a Linux bridge has at most 1023 ports. */
#define SUBNET_PREFIX 22
#define FIRST_NET     ((10u << 24) | (87u << 16))
#define LAST_NET      ((10u << 24) | (199u << 16))

static guint32
mask_of (guint prefix)
{
  return prefix == 0 ? 0 : 0xffffffffu << (32 - prefix);
}

gboolean
lodge_range_overlaps (LodgeRange a, LodgeRange b)
{
  guint32 mask = mask_of (MIN (a.prefix, b.prefix));

  return (a.address & mask) == (b.address & mask);
}

gboolean
lodge_range_parse (const char *text, guint prefix, LodgeRange *out_range)
{
  struct in_addr in;

  if (text == NULL || prefix > 32 || inet_pton (AF_INET, text, &in) != 1)
    return FALSE;
  out_range->address = ntohl (in.s_addr) & mask_of (prefix);
  out_range->prefix = prefix;
  return TRUE;
}

char *
lodge_range_address_text (guint32 address)
{
  return g_strdup_printf ("%u.%u.%u.%u", address >> 24, address >> 16 & 255, address >> 8 & 255,
                          address & 255);
}

static void
add_interfaces (GArray *used)
{
  struct ifaddrs *all = NULL;

  if (getifaddrs (&all) < 0)
    return;
  for (struct ifaddrs *i = all; i != NULL; i = i->ifa_next)
    {
      if (i->ifa_addr == NULL || i->ifa_netmask == NULL || i->ifa_addr->sa_family != AF_INET)
        continue;
      guint32 mask = ntohl (((struct sockaddr_in *) (void *) i->ifa_netmask)->sin_addr.s_addr);
      guint32 address = ntohl (((struct sockaddr_in *) (void *) i->ifa_addr)->sin_addr.s_addr);
      LodgeRange range = { address & mask, (guint) __builtin_popcount (mask) };
      g_array_append_val (used, range);
    }
  freeifaddrs (all);
}

/* The kernel's own table: destination and mask in hex, in network byte order. */
static void
add_routes (GArray *used)
{
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;

  if (!g_file_get_contents ("/proc/net/route", &text, NULL, NULL))
    return;
  lines = g_strsplit (text, "\n", -1);
  for (gsize i = 1; lines[0] != NULL && lines[i] != NULL; i++)
    {
      char device[32];
      guint32 destination, mask;

      if (sscanf (lines[i], "%31s %x %*s %*s %*s %*s %*s %x", device, &destination, &mask) != 3
          || mask == 0)
        continue;
      LodgeRange range = { ntohl (destination) & ntohl (mask), (guint) __builtin_popcount (mask) };
      g_array_append_val (used, range);
    }
}

void
lodge_range_add_host_ranges (GArray *used)
{
  add_interfaces (used);
  add_routes (used);
}

gboolean
lodge_range_pick_free (GArray *used, LodgeRange *out_range)
{
  for (guint32 net = FIRST_NET; net < LAST_NET; net += 1u << (32 - SUBNET_PREFIX))
    {
      LodgeRange candidate = { net, SUBNET_PREFIX };
      gboolean is_free = TRUE;

      for (guint i = 0; i < used->len && is_free; i++)
        is_free = !lodge_range_overlaps (candidate, g_array_index (used, LodgeRange, i));
      if (is_free)
        {
          *out_range = candidate;
          return TRUE;
        }
    }
  return FALSE;
}
