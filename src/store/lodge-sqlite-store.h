/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge/lodge-store.h"

G_BEGIN_DECLS

#define LODGE_TYPE_SQLITE_STORE (lodge_sqlite_store_get_type ())
G_DECLARE_FINAL_TYPE (LodgeSqliteStore, lodge_sqlite_store, LODGE, SQLITE_STORE, GObject)

/**
 * lodge_sqlite_store_open:
 * @state_dir: the directory that has, or will get, `lodge.db`
 *
 * Refuses, and changes nothing: a directory that is a symbolic link, not owned by the effective
 * user, or writable for others (%LODGE_ERROR_STORE); a database of a newer schema
 * (%LODGE_ERROR_STORE_TOO_NEW) or of another application; one that a second lodged has open
 * (%LODGE_ERROR_BUSY; an OFD lock on `lodge.lock`); a damaged one (%LODGE_ERROR_STORE; the
 * message says which backup to restore), and one that is gone while its backups are there.  It
 * never deletes a database that it cannot read.
 *
 * After a failed write or sync (EIO) the store goes on reading and refuses to write
 * (%LODGE_ERROR_STORE) until it is opened again; after %LODGE_ERROR_NO_SPACE it goes on writing.
 * Other programs cannot open the database as long as this one has it.
 *
 * A database of an older schema is backed up and migrated, one transaction a version.
 */
LodgeSqliteStore *lodge_sqlite_store_open (const char *state_dir, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/**
 * lodge_sqlite_store_backup:
 *
 * Writes `backup/lodge-<UTC time>.db` below the state directory by VACUUM INTO, syncs it and
 * keeps the newest three.  lodged calls it hourly when something has changed.
 */
gboolean lodge_sqlite_store_backup (LodgeSqliteStore *self, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/** Closes the database and gives up the lock; further calls fail.  The last unref does it too. */
void lodge_sqlite_store_close (LodgeSqliteStore *self);

G_END_DECLS
