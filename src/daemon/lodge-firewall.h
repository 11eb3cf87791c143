/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/*
 * Has libvirt write the firewall rules of the network anew when somebody has flushed them, and
 * warns of it.  libvirt makes its chains once, when it starts; the one thing that makes it begin
 * from the start without a restart is firewalld's signal that it has reloaded (tried with 9.0: all
 * rules are there a second later, and neither guests nor dnsmasq notice).  So libvirt alone is sent
 * that signal, whether there is a firewalld or not.  Main thread only.
 */
#define LODGE_TYPE_FIREWALL (lodge_firewall_get_type ())
G_DECLARE_FINAL_TYPE (LodgeFirewall, lodge_firewall, LODGE, FIREWALL, GObject)

/**
 * lodge_firewall_new:
 * @connection: to the bus that libvirt is on
 * @network: has the signal `rules-lost` of LodgeNetwork
 */
LodgeFirewall *lodge_firewall_new (GDBusConnection *connection, GObject *network);

G_END_DECLS
