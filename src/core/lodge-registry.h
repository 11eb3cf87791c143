/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-instance-private.h"
#include "lodge-journal.h"
#include "lodge/lodge-ids.h"

G_BEGIN_DECLS

/*
 * The instances that core knows, by UUID and by name, and their records in the store:
 *
 *   /instances/<uuid>   the record (lodge_instance_to_json())
 *   /names/<name>       the UUID: what makes a name unique, also between two hosts later
 *   /idmaps/<base>      the UUID that has the range of ids
 *
 * Main thread only.
 */
typedef struct _LodgeRegistry LodgeRegistry;

LodgeRegistry *lodge_registry_new (void);
void lodge_registry_free (LodgeRegistry *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LodgeRegistry, lodge_registry_free)

/** Reads all records.  One that cannot be read is an error: nothing is skipped in silence. */
gboolean lodge_registry_load (LodgeRegistry *self, LodgeStore *store, GError **error);

LodgeInstance *lodge_registry_get (LodgeRegistry *self, const char *uuid);
LodgeInstance *lodge_registry_get_by_name (LodgeRegistry *self, const char *name);
/** Who has the name or is about to get it: nobody else may be given it.  Nullable. */
LodgeInstance *lodge_registry_get_name_holder (LodgeRegistry *self, const char *name);
/** (transfer full): in the order of names. */
GPtrArray *lodge_registry_list (LodgeRegistry *self);

/** Adds an instance (a reference is taken) or takes one out.  The store is not touched. */
void lodge_registry_add (LodgeRegistry *self, LodgeInstance *instance);
void lodge_registry_remove (LodgeRegistry *self, LodgeInstance *instance);

/** Changes the name in the tables.  The store is not touched. */
void lodge_registry_rename (LodgeRegistry *self, LodgeInstance *instance, const char *new_name);

/** A range of LODGE_IDMAP_COUNT ids that nobody has; 0 with LIMIT_EXCEEDED when none is left. */
guint32 lodge_registry_pick_idmap (LodgeRegistry *self, GError **error);

/** The addresses that are given out: a set of char *.  (transfer full) */
GHashTable *lodge_registry_addresses (LodgeRegistry *self);

/*
 * Changes of records, each one commit together with the job's journal row.
 */

/** Writes a new record; ALREADY_EXISTS when the name has been taken meanwhile. */
gboolean lodge_registry_commit_new (LodgeSqliteStore *store, LodgeInstance *instance,
                                    const LodgeJournalRow *row, GError **error);
/** Writes the record of an instance that has one. */
gboolean lodge_registry_commit_update (LodgeSqliteStore *store, LodgeInstance *instance,
                                       const LodgeJournalRow *row, GError **error);
/** Removes it; an absent one is a success. */
gboolean lodge_registry_commit_delete (LodgeSqliteStore *store, LodgeInstance *instance,
                                       const LodgeJournalRow *row, GError **error);
/** Changes the name in the record and in /names; @row may be NULL. */
gboolean lodge_registry_commit_rename (LodgeSqliteStore *store, LodgeInstance *instance,
                                       const char *new_name, const LodgeJournalRow *row,
                                       GError **error);

G_END_DECLS
