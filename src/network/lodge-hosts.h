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

/** Removes them; absent ones are a success.  dnsmasq forgets at the next lodge_hosts_reload(). */
gboolean lodge_hosts_remove (const char *dir, const char *mac, GError **error);

/** Has the dnsmasq of libvirt's network @network read everything again.  Best effort. */
void lodge_hosts_reload (const char *network);

G_END_DECLS
