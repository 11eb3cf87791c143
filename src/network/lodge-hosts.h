/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/*
 * Names and addresses for a network's dnsmasq, one file each in two directories that dnsmasq
 * watches (dnsmasq(8): --dhcp-hostsdir, --hostsdir):
 *
 *   <dir>/dhcp/<mac>    "52:54:00:…,10.87.1.2,web,10m"
 *   <dir>/names/<mac>   "10.87.1.2 web"; dnsmasq adds the network's domain
 *
 * They are made from the registry's records and hold no secrets: dnsmasq runs as another user.
 * Any thread.
 */

/** Makes the directories. */
gboolean lodge_hosts_prepare (const char *dir, GError **error);

/** Adds the options that tell dnsmasq of the directories to @options (char *). */
void lodge_hosts_add_options (const char *dir, GPtrArray *options);

/** Writes a host's files; dnsmasq knows it some milliseconds later. */
gboolean lodge_hosts_add (const char *dir, const char *mac, const char *name, const char *address,
                          GError **error);

/**
 * lodge_hosts_remove:
 * @out_address: (out) (nullable): the address that was reserved, if any
 *
 * Removes them; absent ones are a success.  dnsmasq forgets the name at once.  The reservation it
 * keeps until it reads everything anew, which costs: it then runs libvirt's lease program once for
 * each lease (20 to 80 ms each).  So the address is marked as retired in `<dir>/retired/`, and only
 * who gives it to another host has to call lodge_hosts_reload().
 */
gboolean lodge_hosts_remove (const char *dir, const char *mac, char **out_address, GError **error);

/** Whether dnsmasq may still have @address reserved for a host that has been removed. */
gboolean lodge_hosts_is_retired (const char *dir, const char *address);

/** Has the dnsmasq of libvirt's network @network read everything again.  Best effort. */
void lodge_hosts_reload (const char *dir, const char *network);

G_END_DECLS
