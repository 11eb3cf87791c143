/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-sqlite-store.h"

G_BEGIN_DECLS

/*
 * The journal of jobs: node-local rows beside the shared keys, in the same database, so that a
 * job's step and a change of the registry can be one commit.  Main thread only.
 *
 * A step is written before it is done, together with the names of all that it will create
 * (`data`, JSON): after a crash the row alone says what to finish or undo.
 */

typedef struct
{
  gint64 id;            /* grows; never used twice */
  char *operation;      /* "instance-create", … */
  char *description;    /* for people */
  char *object;         /* UUID of the instance or fingerprint of the image; "" when none */
  char *state;          /* queued running cancelling succeeded failed cancelled */
  char *step;           /* nick of the step that was begun last; "" before the first */
  char *direction;      /* "do" or "undo" */
  char *data;           /* JSON: the arguments and the names of what the steps create */
  char *result;         /* JSON object; "{}" */
  char *error_nick;     /* lodge_error_nick(), or "" */
  char *error_message;
  guint32 uid;          /* of the caller */
  gint64 started_at;    /* seconds since 1970 */
  gint64 ended_at;      /* 0 while it runs */
} LodgeJournalRow;

void lodge_journal_row_free (LodgeJournalRow *row);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LodgeJournalRow, lodge_journal_row_free)

/** lodge_journal_add: inserts @row and sets its `id`. */
gboolean lodge_journal_add (LodgeSqliteStore *store, LodgeJournalRow *row, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/**
 * lodge_journal_update: writes every field of @row but id, operation, uid and started_at.
 * @ops: (nullable): changes of keys that are committed with it, all or nothing, under @compares
 *
 * The change of the keys and the row are one commit.
 */
gboolean lodge_journal_update (LodgeSqliteStore *store, const LodgeJournalRow *row,
                               const LodgeStoreCompare *compares, gsize n_compares,
                               const LodgeStoreOp *ops, gsize n_ops, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/** lodge_journal_list: all rows, oldest first; @unfinished_only: those without an end. */
GPtrArray *lodge_journal_list (LodgeSqliteStore *store, gboolean unfinished_only, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/** lodge_journal_prune: forgets rows that ended before @ended_before (seconds since 1970). */
gboolean lodge_journal_prune (LodgeSqliteStore *store, gint64 ended_before, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
