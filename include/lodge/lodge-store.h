/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "lodge-error.h"

G_BEGIN_DECLS

/**
 * LodgeStore:
 *
 * The shared state of Lodge as an ordered map of keys to JSON documents, with the revision
 * rules of etcd: one store-wide revision that grows by one with each committed transaction
 * that writes; each key has `create_rev`, `mod_rev` and `version` (1 at creation, +1 a write).
 * One conformance suite (tests/unit/store) is written against this interface.
 *
 * Keys are UTF-8, start with '/', at most 512 bytes; values at most 1 MiB and a transaction at
 * most 128 operations, which is what etcd admits.
 *
 * Main thread only.  Calls are synchronous; a committed transaction survives power loss.
 */
#define LODGE_TYPE_STORE (lodge_store_get_type ())
G_DECLARE_INTERFACE (LodgeStore, lodge_store, LODGE, STORE, GObject)

typedef struct
{
  char *key;
  char *value;
  gint64 create_rev;
  gint64 mod_rev;
  gint64 version;
  gint64 lease; /* 0: none */
} LodgeStoreEntry;

void lodge_store_entry_free (LodgeStoreEntry *entry);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LodgeStoreEntry, lodge_store_entry_free)

/** A condition of a transaction; all must hold. */
typedef enum
{
  LODGE_STORE_COMPARE_ABSENT,  /* the key does not exist */
  LODGE_STORE_COMPARE_EXISTS,
  LODGE_STORE_COMPARE_MOD_REV, /* the key's mod_rev equals `revision` */
} LodgeStoreCompareKind;

typedef struct
{
  LodgeStoreCompareKind kind;
  const char *key;
  gint64 revision;
} LodgeStoreCompare;

typedef enum
{
  LODGE_STORE_OP_PUT,
  LODGE_STORE_OP_DELETE, /* deleting an absent key is no error and writes nothing */
} LodgeStoreOpKind;

typedef struct
{
  LodgeStoreOpKind kind;
  const char *key;
  const char *value; /* PUT only; well-formed JSON */
  gint64 lease;      /* PUT only; 0: none */
} LodgeStoreOp;

typedef enum
{
  LODGE_STORE_CHANGE_PUT,
  LODGE_STORE_CHANGE_DELETE,
} LodgeStoreChangeKind;

/**
 * LodgeStoreWatchFunc:
 * @entry: for a deletion only `key` and `mod_rev` (the deleting revision) count
 *
 * Called on the main context after the commit, in the order of revisions, never from within
 * lodge_store_txn().  @kind is %LODGE_STORE_CHANGE_PUT or _DELETE.  When the history that was
 * asked for is gone, @entry is %NULL: list again and watch from the current revision.  That is
 * the last call; the watch still wants its lodge_store_unwatch().  @func may write, and may end
 * its own watch; @destroy then runs after it has returned.
 */
typedef void (*LodgeStoreWatchFunc) (LodgeStoreChangeKind kind, const LodgeStoreEntry *entry,
                                     gpointer user_data);

struct _LodgeStoreInterface
{
  GTypeInterface parent;

  gboolean (*get) (LodgeStore *self, const char *key, LodgeStoreEntry **out_entry,
                   GError **error);
  GPtrArray *(*list) (LodgeStore *self, const char *prefix, gint64 *out_revision,
                      GError **error);
  gboolean (*txn) (LodgeStore *self, const LodgeStoreCompare *compares, gsize n_compares,
                   const LodgeStoreOp *ops, gsize n_ops, gint64 *out_revision, GError **error);
  guint (*watch) (LodgeStore *self, const char *prefix, gint64 from_revision,
                  LodgeStoreWatchFunc func, gpointer user_data, GDestroyNotify destroy);
  void (*unwatch) (LodgeStore *self, guint id);
  gint64 (*lease_grant) (LodgeStore *self, guint ttl_seconds, GError **error);
  gboolean (*lease_keepalive) (LodgeStore *self, gint64 lease, GError **error);
  gboolean (*lease_revoke) (LodgeStore *self, gint64 lease, GError **error);
};

/**
 * lodge_store_get:
 * @out_entry: (out) (transfer full) (nullable): %NULL when there is no such key
 *
 * Returns: %FALSE only on failure (%LODGE_ERROR_STORE); an absent key is a success.
 */
gboolean lodge_store_get (LodgeStore *self, const char *key, LodgeStoreEntry **out_entry,
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;

/**
 * lodge_store_list:
 * @prefix: for example "/instances/"
 * @out_revision: (out) (optional): the store's revision that the list is of
 *
 * Returns: (transfer full) (element-type LodgeStoreEntry): in the order of keys, or %NULL.
 */
GPtrArray *lodge_store_list (LodgeStore *self, const char *prefix, gint64 *out_revision,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

/**
 * lodge_store_txn:
 * @out_revision: (out) (optional): the revision of this commit
 *
 * All of @ops are done, or none.  When a comparison does not hold the error is
 * %LODGE_ERROR_CONFLICT and names the key.  ENOSPC comes as %LODGE_ERROR_NO_SPACE; a bad key,
 * a value that is no JSON and a key that is changed twice as %LODGE_ERROR_INVALID_ARGUMENT; more
 * than the limits as %LODGE_ERROR_LIMIT_EXCEEDED; a lease that has ended as
 * %LODGE_ERROR_NOT_FOUND.  Deletions that delete nothing make no revision, nor does an empty @ops.
 * A comparison with revision 0 holds for an absent key.
 */
gboolean lodge_store_txn (LodgeStore *self, const LodgeStoreCompare *compares, gsize n_compares,
                          const LodgeStoreOp *ops, gsize n_ops, gint64 *out_revision,
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;

/**
 * lodge_store_watch:
 * @from_revision: the first revision wanted; 0: only what comes from now on
 *
 * Returns: an id for lodge_store_unwatch(), never 0.
 */
guint lodge_store_watch (LodgeStore *self, const char *prefix, gint64 from_revision,
                         LodgeStoreWatchFunc func, gpointer user_data, GDestroyNotify destroy);
void lodge_store_unwatch (LodgeStore *self, guint id);

/**
 * lodge_store_lease_grant:
 *
 * Keys put under a lease are deleted when it ends.  Time is CLOCK_MONOTONIC.
 *
 * Returns: the lease, or 0 on failure.
 */
gint64 lodge_store_lease_grant (LodgeStore *self, guint ttl_seconds, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
gboolean lodge_store_lease_keepalive (LodgeStore *self, gint64 lease, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
gboolean lodge_store_lease_revoke (LodgeStore *self, gint64 lease, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
