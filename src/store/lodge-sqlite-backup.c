/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-sqlite-backup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "lodge-sqlite-store-private.h"

#define KEEP         3
#define PARTIAL_NAME "lodge.partial"
#define TIME_FORMAT  "%Y%m%dT%H%M%SZ"

typedef gboolean (*AcceptFunc) (const char *name);

static gboolean
is_hourly (const char *name)
{
  return g_regex_match_simple ("^lodge-[0-9]{8}T[0-9]{6}Z\\.db$", name, G_REGEX_DOLLAR_ENDONLY, 0);
}

static gboolean
is_premigration (const char *name)
{
  return g_str_has_prefix (name, "before-") && g_str_has_suffix (name, ".db");
}

static gint
compare_newest_first (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) b, *(const char *const *) a);
}

static GPtrArray *
list_names (const char *state_dir, AcceptFunc accepts)
{
  g_autofree char *folder = g_build_filename (state_dir, LODGE_BACKUP_DIR, NULL);
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    if (accepts (name))
      g_ptr_array_add (names, g_strdup (name));
  g_ptr_array_sort (names, compare_newest_first);
  return names;
}

/* All names, those that are to be preferred first. */
static GPtrArray *
list_all_names (const char *state_dir)
{
  g_autoptr (GPtrArray) names = list_names (state_dir, is_hourly);

  g_ptr_array_extend_and_steal (names, list_names (state_dir, is_premigration));
  return g_steal_pointer (&names);
}

gboolean
lodge_backup_exists (const char *state_dir)
{
  g_autoptr (GPtrArray) names = list_all_names (state_dir);

  return names->len > 0;
}

char *
lodge_backup_find_good (const char *state_dir)
{
  g_autoptr (GPtrArray) names = list_all_names (state_dir);

  for (guint i = 0; i < names->len; i++)
    {
      g_autofree char *path = g_build_filename (state_dir, LODGE_BACKUP_DIR, names->pdata[i], NULL);

      if (lodge_db_verify_file (path, NULL))
        return g_steal_pointer (&path);
    }
  return NULL;
}

static gboolean
copy_database (LodgeDb *db, const char *path, GError **error)
{
  g_auto (LodgeStmt) stmt = LODGE_STMT_INIT;
  gboolean failed = db->failed;

  if (!lodge_stmt_use (&stmt, db, "VACUUM INTO ?1", error))
    return FALSE;
  lodge_stmt_bind_text (&stmt, 1, path);
  if (lodge_stmt_run (&stmt, error))
    return TRUE;
  /* It is the copy that could not be written; the database is as good as it was. */
  db->failed = failed;
  return FALSE;
}

/* Fills @partial, which SQLite takes because it is empty, and so with our mode. */
static gboolean
write_partial (LodgeDb *db, const char *partial, GError **error)
{
  g_auto (LodgeFd) fd = open (partial, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

  if (fd < 0)
    {
      lodge_error_set_errno (error, errno, "Backup \"%s\" cannot be made", partial);
      return FALSE;
    }
  if (!copy_database (db, partial, error) || !lodge_db_verify_file (partial, error))
    return FALSE;
  if (fsync (fd) < 0)
    {
      lodge_error_set_errno (error, errno, "Backup \"%s\" cannot be synced", partial);
      return FALSE;
    }
  return TRUE;
}

gboolean
lodge_backup_write (const char *state_dir, LodgeDb *db, const char *name, GError **error)
{
  g_autofree char *folder = g_build_filename (state_dir, LODGE_BACKUP_DIR, NULL);
  g_autofree char *partial = g_build_filename (folder, PARTIAL_NAME, NULL);
  g_autofree char *path = g_build_filename (folder, name, NULL);

  if (!lodge_dir_make (folder, 0700, error))
    return FALSE;
  unlink (partial);
  if (!write_partial (db, partial, error))
    {
      unlink (partial);
      return FALSE;
    }
  if (rename (partial, path) < 0)
    {
      lodge_error_set_errno (error, errno, "Backup \"%s\" cannot be made", path);
      unlink (partial);
      return FALSE;
    }
  return lodge_dir_sync (folder, error) && lodge_dir_sync (state_dir, error);
}

/* The time of the next backup: now, but later than the newest one whatever the clock says, since
 * the names are the order in which the oldest is given up. */
static GDateTime *
choose_time (GPtrArray *names)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autofree char *stamp = NULL;
  g_autoptr (GDateTime) newest = NULL;

  if (names->len > 0)
    {
      stamp = g_strndup ((const char *) names->pdata[0] + strlen ("lodge-"),
                         strlen ("20000101T000000Z"));
      newest = g_date_time_new_from_iso8601 (stamp, NULL);
    }
  if (newest != NULL && g_date_time_to_unix (newest) >= g_date_time_to_unix (now))
    return g_date_time_add_seconds (newest, 1);
  return g_steal_pointer (&now);
}

gboolean
lodge_sqlite_store_backup (LodgeSqliteStore *self, GError **error)
{
  g_autoptr (GPtrArray) names = NULL;
  g_autoptr (GDateTime) time = NULL;
  g_autofree char *stamp = NULL;
  g_autofree char *name = NULL;

  g_return_val_if_fail (LODGE_IS_SQLITE_STORE (self), FALSE);

  if (!lodge_sqlite_store_check_open (self, error))
    return FALSE;
  names = list_names (self->state_dir, is_hourly);
  time = choose_time (names);
  stamp = g_date_time_format (time, TIME_FORMAT);
  name = g_strdup_printf ("lodge-%s.db", stamp);
  if (!lodge_backup_write (self->state_dir, self->db, name, error))
    return FALSE;
  /* With the one just written; the others go only now that it is there. */
  for (guint i = KEEP - 1; i < names->len; i++)
    {
      g_autofree char *old
          = g_build_filename (self->state_dir, LODGE_BACKUP_DIR, names->pdata[i], NULL);

      unlink (old);
    }
  return TRUE;
}
