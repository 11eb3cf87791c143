/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-virt-connection.h"

G_BEGIN_DECLS

/*
 * What Lodge needs of libvirt's networks and storage pools, as XML text and plain values, so
 * that the layers above need no libvirt types.  All functions block and are not for the main
 * thread.  Errors: BACKEND_UNAVAILABLE without a connection, NOT_FOUND for an unknown name, else
 * as lodge_virt_set_error() maps them.
 */

/** One lease of a network's DHCP server. */
typedef struct
{
  char *mac; /* lower case */
  char *address;
  guint prefix;
  gboolean ipv6;
  char *hostname; /* nullable */
  gint64 expires; /* seconds since the epoch; 0: never */
} LodgeVirtLease;

void lodge_virt_lease_free (LodgeVirtLease *lease);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LodgeVirtLease, lodge_virt_lease_free)

/**
 * lodge_virt_network_list_xml:
 *
 * Returns: (transfer full) (element-type utf8): the XML of every network, running or not; their
 * bridges and subnets are not free.
 */
GPtrArray *lodge_virt_network_list_xml (LodgeVirtConnection *connection,
                                        GError **error) G_GNUC_WARN_UNUSED_RESULT;

/**
 * lodge_virt_network_get_xml:
 * @out_active: (out) (optional): whether it runs
 *
 * Returns: (transfer full): the XML; the live one when it runs.
 */
char *lodge_virt_network_get_xml (LodgeVirtConnection *connection, const char *name,
                                  gboolean *out_active, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/** Defines (or redefines) a persistent network.  Its UUID must be in @xml when it exists. */
gboolean lodge_virt_network_define (LodgeVirtConnection *connection, const char *xml,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;

/** Starts it; one that runs is a success.  @autostart: also with libvirtd from now on. */
gboolean lodge_virt_network_start (LodgeVirtConnection *connection, const char *name,
                                   gboolean autostart, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/** Stops it; one that does not run is a success. */
gboolean lodge_virt_network_stop (LodgeVirtConnection *connection, const char *name,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;

/** Removes its definition; absent is a success. */
gboolean lodge_virt_network_undefine (LodgeVirtConnection *connection, const char *name,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;

/**
 * lodge_virt_network_get_leases:
 * @mac: (nullable): only of this one
 *
 * Returns: (transfer full) (element-type LodgeVirtLease)
 */
GPtrArray *lodge_virt_network_get_leases (LodgeVirtConnection *connection, const char *name,
                                          const char *mac,
                                          GError **error) G_GNUC_WARN_UNUSED_RESULT;

/**
 * lodge_virt_pool_ensure:
 * @xml: of a pool whose directory exists
 *
 * Defines the pool when there is none of @name, starts it and lets it start with libvirtd.
 */
gboolean lodge_virt_pool_ensure (LodgeVirtConnection *connection, const char *name, const char *xml,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;

/** Makes libvirt look at the pool's files again. */
gboolean lodge_virt_pool_refresh (LodgeVirtConnection *connection, const char *name,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;

/** Stops the pool and removes its definition, never its files; absent is a success. */
gboolean lodge_virt_pool_undefine (LodgeVirtConnection *connection, const char *name,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
