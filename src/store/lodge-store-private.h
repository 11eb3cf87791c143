/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge/lodge-store.h"

G_BEGIN_DECLS

#define LODGE_STORE_MAX_KEY_BYTES   512
#define LODGE_STORE_MAX_VALUE_BYTES (1024 * 1024)
#define LODGE_STORE_MAX_OPERATIONS  128

/** A transaction as lodge_store_txn() takes it; everything is borrowed. */
typedef struct
{
  const LodgeStoreCompare *compares;
  gsize n_compares;
  const LodgeStoreOp *ops;
  gsize n_ops;
} LodgeStoreTxn;

/**
 * lodge_store_txn_check:
 *
 * What every store refuses before it starts: a bad key or prefix, text that is not UTF-8, a key
 * that is written twice (INVALID_ARGUMENT), and too much of anything (LIMIT_EXCEEDED).  Whether
 * a value is well-formed JSON is left to the store.  Any thread.
 */
gboolean lodge_store_txn_check (const LodgeStoreTxn *txn, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/** The same for one key, or for a prefix of keys.  Any thread. */
gboolean lodge_store_key_check (const char *key, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
