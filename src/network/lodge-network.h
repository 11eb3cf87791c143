/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-virt-connection.h"

G_BEGIN_DECLS

/*
 * The default network: a NAT bridge of libvirt's with DHCP and DNS, `lodgebr0`, whose subnet was
 * free when it was made.  Each instance has its address reserved before it starts, so that it is
 * known without asking anybody.
 *
 * Signal `active` (const char *bridge, const char *gateway, const char *dns_domain), on the main
 * thread: the network runs, and its bridge may be a new one.
 *
 * Signal `rules-lost` (const char *bridge, guint attempt), on the main thread: its firewall rules
 * have gone although it runs, see lodge-ruleset.h.
 *
 * Created on the main thread; functions marked (blocking) are for worker threads.
 */
#define LODGE_TYPE_NETWORK (lodge_network_get_type ())
G_DECLARE_FINAL_TYPE (LodgeNetwork, lodge_network, LODGE, NETWORK, GObject)

#define LODGE_NETWORK_NAME   "lodgebr0"
#define LODGE_NETWORK_DOMAIN "lodge"

/**
 * lodge_network_new:
 * @uri: a libvirt connection whose daemon runs the networks; connects by itself
 * @state_dir: `<state_dir>/networks/` gets the names and addresses that dnsmasq reads
 */
LodgeNetwork *lodge_network_new (const char *uri, const char *state_dir);

/** Begins to connect.  Main thread. */
void lodge_network_start (LodgeNetwork *self);

/** What instances on the network get; a value. */
typedef struct
{
  char *name;
  char *bridge;
  char *gateway; /* also the name server */
  guint prefix;
  char *dns_domain;
} LodgeNetworkInfo;

void lodge_network_info_free (LodgeNetworkInfo *info);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LodgeNetworkInfo, lodge_network_info_free)

/**
 * lodge_network_ensure: (blocking)
 *
 * Makes the network when there is none, starts it when it does not run.  After the first success
 * the answer comes from memory until libvirt reports a change of networks.
 *
 * Returns: (transfer full)
 */
LodgeNetworkInfo *lodge_network_ensure (LodgeNetwork *self, GError **error);

/**
 * lodge_network_pick_address:
 * @taken: (element-type utf8): addresses that the registry has given out
 *
 * Picks a free address of the network, another one each time.  Nothing is written: see
 * lodge_network_add_host().  Main thread.
 *
 * Returns: (transfer full): the address; LIMIT_EXCEEDED when there is none left.
 */
char *lodge_network_pick_address (LodgeNetwork *self, const LodgeNetworkInfo *info,
                                  GHashTable *taken, GError **error);

/** A MAC address of libvirt's range (52:54:00) that is made from @uuid.  (transfer full) */
char *lodge_network_make_mac (const char *uuid);

/**
 * lodge_network_add_host: (blocking)
 *
 * Pins name, MAC and address together in DHCP and DNS; the same again is a success.  A file each
 * that dnsmasq notices by itself: libvirt's own way, virNetworkUpdate(), takes all firewall rules
 * of the network down and up again, which costs 400 ms and every connection its NAT.
 */
gboolean lodge_network_add_host (LodgeNetwork *self, const char *mac, const char *name,
                                 const char *address, GError **error);

/** (blocking) Has the host with @mac go by another name. */
gboolean lodge_network_rename_host (LodgeNetwork *self, const char *mac, const char *name,
                                    const char *address, GError **error);

/** (blocking) Takes that back, and the host's DHCP lease with it; an absent one is a success. */
gboolean lodge_network_remove_host (LodgeNetwork *self, const char *mac, GError **error);

G_END_DECLS
