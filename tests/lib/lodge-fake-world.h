/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge/lodge-driver.h"

G_BEGIN_DECLS

/*
 * The host that the fake drivers pretend to see: domains in memory, and rules that make calls slow
 * or fail.  Any thread: everything is behind one lock.
 *
 * With a state file the world outlives the process, as libvirt outlives lodged.
 */
#define LODGE_TYPE_FAKE_WORLD (lodge_fake_world_get_type ())
G_DECLARE_FINAL_TYPE (LodgeFakeWorld, lodge_fake_world, LODGE, FAKE_WORLD, GObject)

/** @state_file: (nullable): read now, written at each change */
LodgeFakeWorld *lodge_fake_world_new (const char *state_file, GError **error);

/**
 * lodge_fake_world_pass:
 * @op: the slot: "define", "power-on", "list", …
 *
 * What every call of a driver begins with: waits as long as the rules for @op say, or until it
 * is cancelled, then fails when they say so.
 */
gboolean lodge_fake_world_pass (LodgeFakeWorld *self, const char *op, GCancellable *cancellable,
                                GError **error);

/** Makes @op wait.  0: not at all. */
void lodge_fake_world_set_delay (LodgeFakeWorld *self, const char *op, guint ms);
/** Makes the next @count calls of @op fail.  0: none. */
void lodge_fake_world_set_failure (LodgeFakeWorld *self, const char *op, LodgeErrorCode code,
                                   const char *message, guint count);
/** Forgets all rules. */
void lodge_fake_world_clear_rules (LodgeFakeWorld *self);
/** How often @op was called. */
guint lodge_fake_world_count (LodgeFakeWorld *self, const char *op);

/* Domains.  Infos are copies. */
GPtrArray *lodge_fake_world_list (LodgeFakeWorld *self, LodgeKind kind);
/** By UUID or by name; NULL: there is none. */
LodgeDomainInfo *lodge_fake_world_find (LodgeFakeWorld *self, const char *uuid_or_name);
/** Adds it or replaces it. */
void lodge_fake_world_put (LodgeFakeWorld *self, const LodgeDomainInfo *info);
gboolean lodge_fake_world_remove (LodgeFakeWorld *self, const char *uuid_or_name);
gboolean lodge_fake_world_set_state (LodgeFakeWorld *self, const char *uuid_or_name,
                                     LodgeState state);
gboolean lodge_fake_world_rename (LodgeFakeWorld *self, const char *uuid_or_name,
                                  const char *new_name);
gboolean lodge_fake_world_set_memory (LodgeFakeWorld *self, const char *uuid_or_name,
                                      guint64 bytes);

/* A guest that does not care for being asked to power off. */
void lodge_fake_world_set_stubborn (LodgeFakeWorld *self, const char *uuid, gboolean stubborn);
gboolean lodge_fake_world_is_stubborn (LodgeFakeWorld *self, const char *uuid);

/* Without a connection every call fails with BACKEND_UNAVAILABLE. */
void lodge_fake_world_set_connected (LodgeFakeWorld *self, LodgeKind kind, gboolean connected);
gboolean lodge_fake_world_get_connected (LodgeFakeWorld *self, LodgeKind kind);

G_END_DECLS
