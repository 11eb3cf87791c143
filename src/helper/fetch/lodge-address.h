/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

/**
 * lodge_address_is_public:
 *
 * Whether @address belongs to the internet at large: not to this host, to a private or link-local
 * network, to a multicast group, or to a range in which one of these can be hidden (mapped,
 * translated or tunnelled IPv4).
 */
bool lodge_address_is_public (const struct sockaddr *address);
