/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/*
 * Notices that the firewall rules of a network of libvirt's have gone: `nft flush ruleset`, a
 * restart of nftables.service or of another firewall takes them along, and from then on no guest
 * gets through.  The kernel tells of each change of the rules (NETLINK_NETFILTER, group
 * NFNLGRP_NFTABLES); when there was one and it is quiet again, the rules are read, which takes no
 * process and about a millisecond for a thousand of them.
 *
 * Known are rules of iptables-nft (chains LIBVIRT_*) and of libvirt's own table
 * (libvirt_network, since 10.4).  Those of iptables-legacy cannot be seen this way, so where that
 * is in use nothing is found missing.  Main thread only.
 */
typedef struct _LodgeRuleset LodgeRuleset;

/** So often it is told that they are lost; then not before they have been there again. */
#define LODGE_RULESET_ATTEMPTS 3

/**
 * LodgeRulesetLostFunc:
 * @attempt: 1 for the first time; counts on until the rules are back
 */
typedef void (*LodgeRulesetLostFunc) (const char *bridge, guint attempt, gpointer user_data);

/** Watches nothing yet. */
LodgeRuleset *lodge_ruleset_new (LodgeRulesetLostFunc lost, gpointer user_data);

/**
 * lodge_ruleset_watch:
 * @bridge: of a network that runs
 * @gateway: its IPv4 address on it
 * @prefix: bits of the subnet
 *
 * Begins, or begins anew.  What cannot be watched, for want of rights or of nftables in the kernel,
 * is not.
 */
void lodge_ruleset_watch (LodgeRuleset *self, const char *bridge, const char *gateway,
                          guint prefix);

void lodge_ruleset_free (LodgeRuleset *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LodgeRuleset, lodge_ruleset_free)

G_END_DECLS
