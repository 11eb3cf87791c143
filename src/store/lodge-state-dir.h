/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-db.h"
#include "lodge-migrate.h"

G_BEGIN_DECLS

/**
 * lodge_state_dir_lock:
 *
 * Checks that @path is a directory of the effective user that nobody else can write to, and
 * takes the lock of its `lodge.lock`.  The lock is of the open file: it ends with the
 * descriptor, also when the process is killed, and is not lost when another descriptor closes.
 *
 * Returns: the descriptor that holds the lock, or -1 (BUSY, STORE, NOT_FOUND).
 */
int lodge_state_dir_lock (const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/**
 * lodge_state_dir_open_db:
 * @path: a locked state directory
 *
 * Opens its `lodge.db`, checked, migrated and active.  Where there is none it is made beside its
 * place and renamed, so that an empty or half-written file is always a sign of damage.
 */
LodgeDb *lodge_state_dir_open_db (const char *path, const LodgeMigration *migrations,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
