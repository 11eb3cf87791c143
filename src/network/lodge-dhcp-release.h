/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * lodge_dhcp_release:
 * @bridge: the interface that the guest was on
 * @server: the DHCP server's IPv4 address, one of this host's
 * @mac: the guest's
 * @address: what it had leased
 *
 * Says to the DHCP server what a guest that has been killed could not say: that its lease has ended
 * (RFC 2131, 4.4.6).  Else the name and the address of a deleted instance would live on until the
 * lease expires.  One datagram without an answer; best effort.  Any thread.
 */
void lodge_dhcp_release (const char *bridge, const char *server, const char *mac,
                         const char *address);

G_END_DECLS
