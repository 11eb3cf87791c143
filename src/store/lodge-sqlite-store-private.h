/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-fd.h"
#include "lodge-migrate.h"
#include "lodge-sqlite-store.h"
#include "lodge-stmt.h"
#include "lodge-store-private.h"

G_BEGIN_DECLS

/*
 * Where the ring of changes stands; a copy of what is in the database, replaced when a commit
 * has succeeded.
 */
typedef struct
{
  gint64 revision;  /* of the store */
  gint64 last_seq;  /* of the newest change, 0: none yet */
  gint64 compacted; /* changes up to this revision are forgotten */
  gint64 trimmed;   /* and up to this seq */
  gint64 n_rows;
  gint64 n_bytes; /* of keys and values */
} LodgeHistory;

struct _LodgeSqliteStore
{
  GObject parent;

  char *state_dir;
  LodgeFd lock;
  LodgeDb *db; /* NULL: closed */
  GMainContext *context;
  LodgeHistory history;
  GHashTable *leases; /* gint64 -> Lease of lodge-sqlite-lease.c */
  GPtrArray *watches; /* Watch of lodge-sqlite-watch.c */
  GSource *delivery;  /* pending: some watch has something to read */
  guint last_watch;
};

/** lodge_sqlite_store_open() with other migrations: how tests make old and new schemas. */
LodgeSqliteStore *lodge_sqlite_store_open_with (const char *state_dir,
                                                const LodgeMigration *migrations,
                                                GError **error) G_GNUC_WARN_UNUSED_RESULT;

/** STORE when it was closed. */
gboolean lodge_sqlite_store_check_open (LodgeSqliteStore *self,
                                        GError **error) G_GNUC_WARN_UNUSED_RESULT;

/** Reads how the ring stands, at open. */
gboolean lodge_sqlite_txn_load (LodgeSqliteStore *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/** Writes node-local rows within a commit. */
typedef gboolean (*LodgeSqliteExtraFunc) (LodgeSqliteStore *self, gpointer user_data,
                                          GError **error);

/**
 * lodge_sqlite_txn_commit:
 * @txn: (nullable): checked by lodge_store_txn_check() unless it is the store's own
 * @extra: (nullable): runs in the same transaction, after the keys
 *
 * The one way in which anything is written.
 */
gboolean lodge_sqlite_txn_commit (LodgeSqliteStore *self, const LodgeStoreTxn *txn,
                                  LodgeSqliteExtraFunc extra, gpointer user_data,
                                  gint64 *out_revision, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/** Deletes the keys of @lease in one commit; 0: those of all leases. */
gboolean lodge_sqlite_lease_drop_keys (LodgeSqliteStore *self, gint64 lease,
                                       GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean lodge_sqlite_lease_is_alive (LodgeSqliteStore *self, gint64 lease);
gint64 lodge_sqlite_lease_grant (LodgeStore *store, guint ttl_seconds, GError **error);
gboolean lodge_sqlite_lease_keepalive (LodgeStore *store, gint64 lease, GError **error);
gboolean lodge_sqlite_lease_revoke (LodgeStore *store, gint64 lease, GError **error);
GHashTable *lodge_sqlite_lease_table_new (void);

GPtrArray *lodge_sqlite_watch_table_new (void);
guint lodge_sqlite_watch_add (LodgeStore *store, const char *prefix, gint64 from_revision,
                              LodgeStoreWatchFunc func, gpointer user_data, GDestroyNotify destroy);
void lodge_sqlite_watch_remove (LodgeStore *store, guint id);

/** Lets the watches read what is new, on the main context. */
void lodge_sqlite_watch_wake (LodgeSqliteStore *self);

/** Ends all watches and what is pending. */
void lodge_sqlite_watch_stop (LodgeSqliteStore *self);

/**
 * The bounds of a range scan over @prefix: keys from @prefix (included) to the result
 * (excluded).  (transfer full): not UTF-8, for comparison only.
 */
char *lodge_sqlite_prefix_end (const char *prefix);

G_END_DECLS
