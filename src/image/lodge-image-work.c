/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Making an image is work that several callers may wait for.  It has a staging directory of its
 * own, not its first caller's: that caller may be cancelled, and its job cleans up, while others
 * still wait.
 */
#include "lodge-remote-private.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lodge-fd.h"

#define NOTICE_WORD "notice "

typedef struct
{
  LodgeImageWork *work; /* borrowed: it outlives its waiters */
  GTask *task;
  GSource *cancel_source;
  LodgeImageProgressFunc progress;
  LodgeImageNoticeFunc notice;
  gpointer func_data;
} Waiter;

static void
waiter_free (Waiter *waiter)
{
  if (waiter->cancel_source != NULL)
    {
      g_source_destroy (waiter->cancel_source);
      g_source_unref (waiter->cancel_source);
    }
  g_clear_object (&waiter->task);
  g_free (waiter);
}

static void
work_free (LodgeImageWork *work)
{
  g_ptr_array_unref (work->waiters);
  g_ptr_array_unref (work->notices);
  work->data_free (work->data);
  g_object_unref (work->cancellable);
  g_clear_error (&work->error);
  g_free (work->fingerprint);
  g_free (work->key);
  g_free (work->dir);
  g_object_unref (work->store);
  g_free (work);
}

/* From here on a new caller starts a work of its own. */
static void
close_for_joining (LodgeImageWork *work)
{
  if (g_hash_table_lookup (work->store->works, work->key) == work)
    g_hash_table_remove (work->store->works, work->key);
}

LodgeImageWork *
lodge_image_work_find (LodgeImageStore *self, const char *key)
{
  return g_hash_table_lookup (self->works, key);
}

static char *
make_dir (LodgeImageStore *self, GError **error)
{
  g_autofree char *uuid = g_uuid_string_random ();
  g_autofree char *name = g_strconcat ("image-", uuid, NULL);
  char *dir = g_build_filename (self->state_dir, "staging", name, NULL);

  if (mkdir (dir, 0700) == 0)
    return dir;
  lodge_error_set_errno (error, errno, "The directory %s cannot be made", dir);
  g_free (dir);
  return NULL;
}

LodgeImageWork *
lodge_image_work_new (LodgeImageStore *self, const char *key, gpointer data,
                      GDestroyNotify data_free, GError **error)
{
  char *dir = make_dir (self, error);

  if (dir == NULL)
    {
      data_free (data);
      return NULL;
    }
  LodgeImageWork *work = g_new0 (LodgeImageWork, 1);
  work->store = g_object_ref (self);
  work->key = g_strdup (key);
  work->dir = dir;
  work->data = data;
  work->data_free = data_free;
  work->cancellable = g_cancellable_new ();
  work->waiters = g_ptr_array_new_with_free_func ((GDestroyNotify) waiter_free);
  work->notices = g_ptr_array_new_with_free_func (g_free);
  g_hash_table_insert (self->works, g_strdup (key), work);
  return work;
}

/* ---- its end ---- */

static void
on_discarded (GObject *source, GAsyncResult *result, gpointer user_data)
{
  LodgeImageWork *work = user_data;

  for (guint i = 0; i < work->waiters->len; i++)
    {
      Waiter *waiter = g_ptr_array_index (work->waiters, i);

      if (work->error != NULL)
        g_task_return_error (waiter->task, g_error_copy (work->error));
      else
        g_task_return_pointer (waiter->task, g_strdup (work->fingerprint), g_free);
    }
  work_free (work);
}

void
lodge_image_work_succeed (LodgeImageWork *work, const char *fingerprint)
{
  close_for_joining (work);
  work->fingerprint = g_strdup (fingerprint);
  lodge_image_discard_async (work->store, work->dir, on_discarded, work);
}

void
lodge_image_work_fail (LodgeImageWork *work, GError *error)
{
  close_for_joining (work);
  work->error = error;
  lodge_image_discard_async (work->store, work->dir, on_discarded, work);
}

/* ---- its course ---- */

void
lodge_image_work_progress (double fraction, guint64 done, guint64 total, const char *stage,
                           gpointer user_data)
{
  LodgeImageWork *work = user_data;

  for (guint i = 0; i < work->waiters->len; i++)
    {
      Waiter *waiter = g_ptr_array_index (work->waiters, i);

      if (waiter->progress != NULL)
        waiter->progress (fraction, done, total, stage, waiter->func_data);
    }
}

void
lodge_image_work_notice (const char *notice, gpointer user_data)
{
  LodgeImageWork *work = user_data;

  g_ptr_array_add (work->notices, g_strdup (notice));
  for (guint i = 0; i < work->waiters->len; i++)
    {
      Waiter *waiter = g_ptr_array_index (work->waiters, i);

      if (waiter->notice != NULL)
        waiter->notice (notice, waiter->func_data);
    }
}

static void
on_progress (LodgeHelper *helper, double fraction, guint64 done, guint64 total, const char *stage,
             gpointer user_data)
{
  lodge_image_work_progress (fraction, done, total, stage, user_data);
}

static void
on_line (LodgeHelper *helper, const char *line, int fd, gpointer user_data)
{
  if (fd >= 0)
    close (fd);
  if (g_str_has_prefix (line, NOTICE_WORD))
    lodge_image_work_notice (line + strlen (NOTICE_WORD), user_data);
}

void
lodge_image_work_watch (LodgeImageWork *work, LodgeHelper *helper)
{
  lodge_helper_set_progress_func (helper, on_progress, work);
  lodge_helper_set_line_func (helper, on_line, work);
}

/*
 * The last one who waits waits on, for the end of what it has stopped; others just leave.
 */
static gboolean
on_waiter_cancelled (GCancellable *cancellable, gpointer user_data)
{
  Waiter *waiter = user_data;
  LodgeImageWork *work = waiter->work;

  if (work->waiters->len == 1)
    {
      close_for_joining (work);
      g_cancellable_cancel (work->cancellable);
    }
  else
    {
      g_task_return_new_error (waiter->task, LODGE_ERROR, LODGE_ERROR_CANCELLED, "cancelled");
      g_ptr_array_remove (work->waiters, waiter);
    }
  return G_SOURCE_REMOVE;
}

void
lodge_image_work_join (LodgeImageWork *work, GTask *task, LodgeImageProgressFunc progress,
                       LodgeImageNoticeFunc notice, gpointer func_data)
{
  GCancellable *cancellable = g_task_get_cancellable (task);
  Waiter *waiter = g_new0 (Waiter, 1);

  /* Its end is the end of what it has stopped. */
  g_task_set_check_cancellable (task, FALSE);
  waiter->work = work;
  waiter->task = task;
  waiter->progress = progress;
  waiter->notice = notice;
  waiter->func_data = func_data;
  if (cancellable != NULL)
    {
      waiter->cancel_source = g_cancellable_source_new (cancellable);
      g_source_set_callback (waiter->cancel_source, G_SOURCE_FUNC (on_waiter_cancelled), waiter,
                             NULL);
      g_source_attach (waiter->cancel_source, NULL);
    }
  g_ptr_array_add (work->waiters, waiter);
  for (guint i = 0; notice != NULL && i < work->notices->len; i++)
    notice (g_ptr_array_index (work->notices, i), func_data);
}
