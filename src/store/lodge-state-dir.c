/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is on the disk: checks of the directory, its lock, the first look at the database file.
 * Everything that can refuse does so before SQLite is asked to write, because the file that is
 * refused may be all that is left to recover from.
 */
#include "lodge-state-dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lodge-fd.h"
#include "lodge-sqlite-backup.h"

#define DB_NAME   "lodge.db"
#define WAL_NAME  "lodge.db-wal"
#define NEW_NAME  "lodge.db.new"
#define LOCK_NAME "lodge.lock"

/* The write-ahead log gets its blocks ahead of need: SQLite copies it back at 4 MiB, and the
 * rest is what stops and deletes are recorded in when the file system is full. */
#define WAL_RESERVE_BYTES (8 * 1024 * 1024)

static char *
strip_slashes (const char *path)
{
  char *stripped = g_strdup (path);

  for (gsize length = strlen (stripped); length > 1 && stripped[length - 1] == '/'; length--)
    stripped[length - 1] = '\0';
  return stripped;
}

static gboolean
check_owner (const char *path, const struct stat *st, GError **error)
{
  if (st->st_uid != geteuid ())
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_STORE,
                   "\"%s\" belongs to uid %u and not to uid %u", path, st->st_uid, geteuid ());
      return FALSE;
    }
  if ((st->st_mode & (S_IWGRP | S_IWOTH)) != 0)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_STORE,
                   "\"%s\" is writable for others (mode %04o)\nMake sure that nobody changed "
                   "what is in it, then: chmod go-w %s",
                   path, st->st_mode & 07777, path);
      return FALSE;
    }
  return TRUE;
}

static int
open_checked_dir (const char *path, GError **error)
{
  /* With a slash at its end a link would be followed. */
  g_autofree char *stripped = strip_slashes (path);
  g_auto (LodgeFd) fd = open (stripped, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  struct stat st;

  if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_STORE,
                   "State directory \"%s\" is a symbolic link or not a directory", stripped);
      return -1;
    }
  if (fd < 0 || fstat (fd, &st) < 0)
    {
      lodge_error_set_errno (error, errno, "State directory \"%s\" cannot be opened", stripped);
      return -1;
    }
  if (!check_owner (stripped, &st, error))
    return -1;
  return lodge_fd_steal (&fd);
}

int
lodge_state_dir_lock (const char *path, GError **error)
{
  struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
  g_auto (LodgeFd) dir = open_checked_dir (path, error);
  g_auto (LodgeFd) fd = -1;

  if (dir < 0)
    return -1;
  fd = openat (dir, LOCK_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0)
    {
      lodge_error_set_errno (error, errno, "Lock file \"%s/%s\" cannot be opened", path, LOCK_NAME);
      return -1;
    }
  if (fcntl (fd, F_OFD_SETLK, &lock) < 0)
    {
      if (errno == EAGAIN || errno == EACCES)
        g_set_error (error, LODGE_ERROR, LODGE_ERROR_BUSY,
                     "State directory \"%s\" is in use by another lodged", path);
      else
        lodge_error_set_errno (error, errno, "\"%s/%s\" cannot be locked", path, LOCK_NAME);
      return -1;
    }
  return lodge_fd_steal (&fd);
}

/* Says after the sentence of @error what can be done. */
static void
add_restore_hint (GError **error, const char *path)
{
  if (error == NULL || *error == NULL || strchr ((*error)->message, '\n') != NULL)
    return;

  g_autofree char *backup = lodge_backup_find_good (path);
  GError *hinted
      = backup != NULL
            ? g_error_new ((*error)->domain, (*error)->code,
                           "%s\nTo restore the backup, move %s and %s away and copy %s to %s/%s.",
                           (*error)->message, DB_NAME, WAL_NAME, backup, path, DB_NAME)
            : g_error_new ((*error)->domain, (*error)->code,
                           "%s\nThere is no good backup in %s/%s; keep the file.",
                           (*error)->message, path, LODGE_BACKUP_DIR);
  g_error_free (*error);
  *error = hinted;
}

static guint32
read_big_endian (const guint8 *bytes)
{
  return (guint32) bytes[0] << 24 | (guint32) bytes[1] << 16 | (guint32) bytes[2] << 8 | bytes[3];
}

/* Reads the header itself: SQLite takes an empty file for a new database. */
static gboolean
check_header (const char *file, GError **error)
{
  g_auto (LodgeFd) fd = open (file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
  guint8 header[100];
  struct stat st;
  gssize n;

  if ((fd < 0 && errno == ELOOP) || (fd >= 0 && fstat (fd, &st) == 0 && !S_ISREG (st.st_mode)))
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_STORE,
                   "Database \"%s\" is a symbolic link or no file", file);
      return FALSE;
    }
  if (fd < 0)
    {
      lodge_error_set_errno (error, errno, "Database \"%s\" cannot be opened", file);
      return FALSE;
    }
  if (!check_owner (file, &st, error))
    return FALSE;
  n = pread (fd, header, sizeof header, 0);
  if (n < (gssize) sizeof header || memcmp (header, "SQLite format 3", 16) != 0)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_STORE, "Database \"%s\" is damaged: %s", file,
                   n == 0 ? "the file is empty" : "it is not an SQLite database");
      return FALSE;
    }
  if (read_big_endian (header + 68) != LODGE_APPLICATION_ID)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_STORE,
                   "Database \"%s\" belongs to another application", file);
      return FALSE;
    }
  return TRUE;
}

/* Fills the empty @file and closes it again, which folds its log into it. */
static gboolean
fill_new_db (const char *file, const LodgeMigration *migrations, GError **error)
{
  g_autoptr (LodgeDb) db = lodge_db_open (file, error);

  return db != NULL && lodge_db_activate (db, error)
         && lodge_migrate_run (db, migrations, 0, error);
}

static gboolean
make_new_db (const char *path, const LodgeMigration *migrations, GError **error)
{
  g_autofree char *file = g_build_filename (path, NEW_NAME, NULL);
  g_autofree char *wal = g_strconcat (file, "-wal", NULL);
  g_autofree char *final = g_build_filename (path, DB_NAME, NULL);
  g_auto (LodgeFd) fd = -1;

  /* Leftovers of a start that was cut short. */
  unlink (wal);
  unlink (file);
  fd = open (file, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0)
    {
      lodge_error_set_errno (error, errno, "Database \"%s\" cannot be made", file);
      return FALSE;
    }
  if (!fill_new_db (file, migrations, error))
    {
      unlink (wal);
      unlink (file);
      return FALSE;
    }
  if (fsync (fd) < 0 || rename (file, final) < 0)
    {
      lodge_error_set_errno (error, errno, "Database \"%s\" cannot be made", final);
      unlink (file);
      return FALSE;
    }
  return lodge_dir_sync (path, error);
}

/* A lost database with backups beside it is no new machine: starting empty would make every
 * instance a foreign one. */
static gboolean
check_is_new (const char *path, GError **error)
{
  g_autofree char *wal = g_build_filename (path, WAL_NAME, NULL);
  gboolean has_wal = g_file_test (wal, G_FILE_TEST_EXISTS);

  if (!has_wal && !lodge_backup_exists (path))
    return TRUE;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_STORE,
               "Database \"%s/%s\" is gone, but \"%s\" is there", path, DB_NAME,
               has_wal ? WAL_NAME : LODGE_BACKUP_DIR);
  return FALSE;
}

static void
reserve_wal (const char *path)
{
  g_autofree char *file = g_build_filename (path, WAL_NAME, NULL);
  g_auto (LodgeFd) fd = open (file, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);

  /* Not every file system can, and a full one must not keep lodged from starting. */
  if (fd >= 0)
    fallocate (fd, FALLOC_FL_KEEP_SIZE, 0, WAL_RESERVE_BYTES);
}

static gboolean
backup_and_migrate (const char *path, LodgeDb *db, const LodgeMigration *migrations, int version,
                    GError **error)
{
  int latest = lodge_migrations_latest (migrations);
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autofree char *stamp = g_date_time_format (now, "%Y%m%dT%H%M%SZ");
  g_autofree char *name = g_strdup_printf ("before-%04d-%s.db", latest, stamp);

  if (version == latest)
    return TRUE;
  return lodge_backup_write (path, db, name, error)
         && lodge_migrate_run (db, migrations, version, error);
}

static LodgeDb *
open_checked_db (const char *path, const char *file, const LodgeMigration *migrations,
                 GError **error)
{
  g_autoptr (LodgeDb) db = NULL;
  int version;

  if (!check_header (file, error))
    return NULL;
  db = lodge_db_open (file, error);
  if (db == NULL || !lodge_migrate_check (db, migrations, &version, error)
      || !lodge_db_check (db, error) || !lodge_db_activate (db, error)
      || !backup_and_migrate (path, db, migrations, version, error))
    return NULL;
  return g_steal_pointer (&db);
}

/* SQLite makes an empty log where there is none; a refusal leaves no trace. */
static void
remove_empty_wal (const char *wal)
{
  struct stat st;

  if (lstat (wal, &st) == 0 && S_ISREG (st.st_mode) && st.st_size == 0)
    unlink (wal);
}

LodgeDb *
lodge_state_dir_open_db (const char *path, const LodgeMigration *migrations, GError **error)
{
  g_autofree char *file = g_build_filename (path, DB_NAME, NULL);
  g_autoptr (GError) local_error = NULL;
  g_autoptr (LodgeDb) db = NULL;
  g_autofree char *wal = g_build_filename (path, WAL_NAME, NULL);
  gboolean had_wal = g_file_test (wal, G_FILE_TEST_EXISTS);
  gboolean is_new = faccessat (AT_FDCWD, file, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;

  if (is_new && check_is_new (path, &local_error) && !make_new_db (path, migrations, &local_error))
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return NULL;
    }
  if (local_error == NULL)
    db = open_checked_db (path, file, migrations, &local_error);
  if (db == NULL)
    {
      if (!had_wal)
        remove_empty_wal (wal);
      if (local_error->code == LODGE_ERROR_STORE || local_error->code == LODGE_ERROR_STORE_TOO_NEW)
        add_restore_hint (&local_error, path);
      g_propagate_error (error, g_steal_pointer (&local_error));
      return NULL;
    }
  reserve_wal (path);
  return g_steal_pointer (&db);
}
