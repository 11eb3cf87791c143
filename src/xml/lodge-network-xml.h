/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge/lodge-error.h"
#include "lodge/lodge-types.h"

G_BEGIN_DECLS

/*
 * XML of libvirt networks and storage pools.  The rules of lodge-domain-xml.h hold: any thread,
 * INVALID_ARGUMENT for what XML cannot carry, hostile input is refused.
 */

/** One address range of a network. */
typedef struct
{
  char *address; /* the host's own in it */
  guint prefix;
  gboolean ipv6;
  char *dhcp_start, *dhcp_end; /* nullable */
} LodgeSubnet;

LodgeSubnet *lodge_subnet_new (const char *address, guint prefix, const char *dhcp_start,
                               const char *dhcp_end);
void lodge_subnet_free (LodgeSubnet *subnet);

/** A static lease. */
typedef struct
{
  char *mac;
  char *name; /* nullable */
  char *address;
} LodgeNetworkHost;

LodgeNetworkHost *lodge_network_host_new (const char *mac, const char *name, const char *address);
void lodge_network_host_free (LodgeNetworkHost *host);

/** A libvirt network, to be written or as it was read. */
typedef struct
{
  char *name;
  char *uuid;         /* nullable: libvirt makes one */
  char *forward;      /* "nat", "route", "bridge" …; NULL: isolated */
  char *bridge;       /* nullable */
  char *domain;       /* nullable: DNS domain, answered by the network alone */
  GPtrArray *subnets; /* element-type LodgeSubnet */
  GPtrArray *hosts;   /* element-type LodgeNetworkHost */
  GPtrArray *dnsmasq; /* element-type utf8: further options of dnsmasq; written, not read */
  gboolean managed;   /* carries Lodge's metadata */
} LodgeNetworkXml;

LodgeNetworkXml *lodge_network_xml_new (void);
void lodge_network_xml_free (LodgeNetworkXml *network);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LodgeNetworkXml, lodge_network_xml_free)

/** The definition of @network, with Lodge's metadata when `managed`.  (transfer full) */
char *lodge_network_xml_write (const LodgeNetworkXml *network,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

/** Reads any network's XML. */
gboolean lodge_network_xml_read (const char *xml, LodgeNetworkXml **out_network,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;

/** A storage pool of type "dir" on @path.  (transfer full) */
char *lodge_pool_xml_dir (const char *name, const char *path,
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
