/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-audit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lodge-fd.h"
#include "lodge-json.h"
#include "lodge-name.h"

#define FILES_KEPT    4
#define ROWS_A_MINUTE 600 /* of each user */
#define MESSAGE_MAX   400
#define TEXT_MAX      200

struct _LodgeAudit
{
  char *dir;
  char *path;
  gsize max_bytes;
  int fd; /* -1: not open */
  gsize size;
  guint64 missing; /* rows since the last that was written */
  gint64 minute;
  GHashTable *counts; /* uid → its rows of this minute */
  gboolean warned;
};

/* All others mean that lodged tried, or that there is nothing of that name. */
static const gboolean refusals[LODGE_ERROR_N_CODES] = {
  [LODGE_ERROR_INVALID_ARGUMENT] = TRUE,
  [LODGE_ERROR_INVALID_NAME] = TRUE,
  [LODGE_ERROR_INVALID_CONFIG] = TRUE,
  [LODGE_ERROR_ALREADY_EXISTS] = TRUE,
  [LODGE_ERROR_INVALID_STATE] = TRUE,
  [LODGE_ERROR_BUSY] = TRUE,
  [LODGE_ERROR_IN_USE] = TRUE,
  [LODGE_ERROR_CONFLICT] = TRUE,
  [LODGE_ERROR_NOT_SUPPORTED] = TRUE,
  [LODGE_ERROR_NOT_AUTHORIZED] = TRUE,
  [LODGE_ERROR_LIMIT_EXCEEDED] = TRUE,
  [LODGE_ERROR_IMAGE_INVALID] = TRUE,
  [LODGE_ERROR_VERIFICATION_FAILED] = TRUE,
};

gboolean
lodge_audit_is_refusal (const GError *error)
{
  return error->domain == LODGE_ERROR && error->code >= 0 && error->code < LODGE_ERROR_N_CODES
         && refusals[error->code];
}

/* ---- the files ---- */

/* A row that a crash has cut off must not swallow the next one. */
static gboolean
end_last_line (LodgeAudit *self, int fd)
{
  char last = '\n';

  if (self->size > 0 && pread (fd, &last, 1, (off_t) self->size - 1) != 1)
    return FALSE;
  if (last == '\n')
    return TRUE;
  if (write (fd, "\n", 1) != 1)
    return FALSE;
  self->size++;
  return TRUE;
}

static gboolean
open_file (LodgeAudit *self)
{
  struct stat st;

  if (self->fd >= 0)
    return TRUE;
  g_auto (LodgeFd) fd
      = open (self->path,
              O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
  if (fd < 0 || fstat (fd, &st) < 0)
    return FALSE;
  errno = EINVAL;
  if (!S_ISREG (st.st_mode) || fchmod (fd, 0600) < 0)
    return FALSE;
  self->size = (gsize) st.st_size;
  if (!end_last_line (self, fd))
    return FALSE;
  self->fd = lodge_fd_steal (&fd);
  return TRUE;
}

static char *
name_of (LodgeAudit *self, int age)
{
  return age == 0 ? g_strdup (self->path) : g_strdup_printf ("%s.%d", self->path, age);
}

static gboolean
rotate (LodgeAudit *self)
{
  for (int age = FILES_KEPT - 1; age > 0; age--)
    {
      g_autofree char *from = name_of (self, age - 1);
      g_autofree char *to = name_of (self, age);

      if (rename (from, to) < 0 && (errno != ENOENT || age == 1))
        return FALSE;
    }
  lodge_fd_clear (&self->fd);
  return open_file (self);
}

static gboolean
append (LodgeAudit *self, const char *line, gsize size)
{
  ssize_t n = write (self->fd, line, size);

  if (n == (ssize_t) size)
    {
      self->size += size;
      return TRUE;
    }
  int saved = n < 0 ? errno : ENOSPC;
  /* Half a row is none. */
  if (n > 0 && ftruncate (self->fd, (off_t) self->size) < 0)
    lodge_fd_clear (&self->fd);
  errno = saved;
  return FALSE;
}

/* ---- rows ---- */

static void
set_text (JsonObject *object, const char *member, const char *text, gsize max)
{
  g_autofree char *line = g_strndup (text, strcspn (text, "\n"));
  g_autofree char *shown = lodge_text_escape (line);

  if (strlen (shown) > max)
    {
      while (max > 0 && (shown[max] & 0xc0) == 0x80)
        max--;
      shown[max] = '\0';
    }
  json_object_set_string_member (object, member, shown);
}

/* (transfer full) */
static char *
make_line (LodgeAudit *self, const LodgeAuditRow *row)
{
  g_autoptr (JsonObject) object = json_object_new ();
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autofree char *second = g_date_time_format (now, "%Y-%m-%dT%H:%M:%S");
  g_autofree char *stamp
      = g_strdup_printf ("%s.%03dZ", second, g_date_time_get_microsecond (now) / 1000);
  g_autofree char *text = NULL;

  json_object_set_string_member (object, "time", stamp);
  if (row->uid != G_MAXUINT32)
    json_object_set_int_member (object, "uid", row->uid);
  else
    json_object_set_null_member (object, "uid");
  set_text (object, "sender", row->sender, TEXT_MAX);
  set_text (object, "operation", row->operation, TEXT_MAX);
  set_text (object, "object", row->object, TEXT_MAX);
  json_object_set_string_member (object, "error",
                                 lodge_error_nick ((LodgeErrorCode) row->error->code));
  set_text (object, "message", row->error->message, MESSAGE_MAX);
  if (self->missing > 0)
    json_object_set_int_member (object, "missing", (gint64) self->missing);
  text = lodge_json_to_text (object);
  return g_strconcat (text, "\n", NULL);
}

static gboolean
is_flood (LodgeAudit *self, guint32 uid)
{
  gint64 minute = g_get_monotonic_time () / (60 * G_USEC_PER_SEC);
  gpointer key = GUINT_TO_POINTER (uid);

  if (minute != self->minute)
    g_hash_table_remove_all (self->counts);
  self->minute = minute;
  guint count = GPOINTER_TO_UINT (g_hash_table_lookup (self->counts, key));
  g_hash_table_insert (self->counts, key, GUINT_TO_POINTER (count + 1));
  return count >= ROWS_A_MINUTE;
}

static void
complain (LodgeAudit *self)
{
  if (!self->warned)
    g_warning ("%s cannot be written: %s", self->path, g_strerror (errno));
  self->warned = TRUE;
}

void
lodge_audit_write (LodgeAudit *self, const LodgeAuditRow *row)
{
  if (!lodge_audit_is_refusal (row->error))
    return;
  if (is_flood (self, row->uid))
    {
      self->missing++;
      return;
    }
  g_autofree char *line = make_line (self, row);
  gsize size = strlen (line);

  if (open_file (self) && (self->size + size <= self->max_bytes || rotate (self))
      && append (self, line, size))
    {
      self->missing = 0;
      self->warned = FALSE;
      return;
    }
  complain (self);
  self->missing++;
}

/* ---- beginning and end ---- */

LodgeAudit *
lodge_audit_new (const char *state_dir, gsize max_bytes)
{
  LodgeAudit *self = g_new0 (LodgeAudit, 1);
  g_autoptr (GError) error = NULL;

  self->dir = g_build_filename (state_dir, LODGE_AUDIT_DIR, NULL);
  self->path = g_build_filename (self->dir, LODGE_AUDIT_FILE, NULL);
  self->max_bytes = max_bytes;
  self->fd = -1;
  self->counts = g_hash_table_new (NULL, NULL);
  if (!lodge_dir_make (self->dir, 0700, &error))
    g_warning ("%s", error->message);
  else if (!open_file (self))
    complain (self);
  return self;
}

void
lodge_audit_free (LodgeAudit *self)
{
  lodge_fd_clear (&self->fd);
  g_hash_table_unref (self->counts);
  g_free (self->path);
  g_free (self->dir);
  g_free (self);
}
