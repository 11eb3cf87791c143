/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Builds have a staging directory of their own, not their first caller's: that caller may be
 * cancelled, and its job cleans up, while others still wait for the same build.
 */
#include "lodge-image-private.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "lodge-fd.h"

#define NOTICE_WORD "notice "

typedef struct
{
  LodgeImageStore *store; /* owned */
  const LodgeImageRecipe *recipe;
  LodgeKind kind;
  char *key; /* in store->builds */
  char *dir;
  LodgeHelper *helper;
  GCancellable *cancellable; /* of the helper */
  GPtrArray *waiters;        /* Waiter, owned */
  GPtrArray *notices;        /* for those who join later */
  char *fingerprint;         /* when it has been built */
  GError *error;             /* when it has failed */
} LodgeImageBuild;

typedef struct
{
  LodgeImageBuild *build; /* borrowed: it outlives its waiters */
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
build_free (LodgeImageBuild *build)
{
  g_ptr_array_unref (build->waiters);
  g_ptr_array_unref (build->notices);
  g_clear_object (&build->helper);
  g_object_unref (build->cancellable);
  g_clear_error (&build->error);
  g_free (build->fingerprint);
  g_free (build->key);
  g_free (build->dir);
  g_object_unref (build->store);
  g_free (build);
}

/* From here on a new caller starts a build of its own. */
static void
close_for_joining (LodgeImageBuild *build)
{
  if (g_hash_table_lookup (build->store->builds, build->key) == build)
    g_hash_table_remove (build->store->builds, build->key);
}

/* ---- its end ---- */

static void
finish (LodgeImageBuild *build)
{
  close_for_joining (build);
  for (guint i = 0; i < build->waiters->len; i++)
    {
      Waiter *waiter = g_ptr_array_index (build->waiters, i);

      if (build->error != NULL)
        g_task_return_error (waiter->task, g_error_copy (build->error));
      else
        g_task_return_pointer (waiter->task, g_strdup (build->fingerprint), g_free);
    }
  build_free (build);
}

static void
on_discarded (GObject *source, GAsyncResult *result, gpointer user_data)
{
  finish (user_data);
}

/* @error: (transfer full) */
static void
fail (LodgeImageBuild *build, GError *error)
{
  close_for_joining (build);
  build->error = error;
  if (g_error_matches (error, LODGE_ERROR, LODGE_ERROR_DOWNLOAD) && !strchr (error->message, '\n'))
    {
      g_autofree char *message
          = g_strconcat (error->message,
                         "\nCheck the network and the mirrors in /etc/apt; an image that was "
                         "fetched elsewhere can be imported.",
                         NULL);
      lodge_image_set_string (&error->message, message);
    }
  lodge_image_discard_async (build->store, build->dir, on_discarded, build);
}

static void
on_published (GObject *source, GAsyncResult *result, gpointer user_data)
{
  LodgeImageBuild *build = user_data;
  GError *error = NULL;

  if (!lodge_image_publish_finish (build->store, result, &error))
    fail (build, error);
  else
    finish (build);
}

static LodgeImage *
describe (LodgeImageBuild *build, GError **error)
{
  LodgeImage *image = lodge_image_from_results (build->helper, build->kind, error);
  g_autofree char *source = g_strconcat ("build:", build->recipe->aliases[0], NULL);

  if (image == NULL)
    return NULL;
  lodge_image_set_string (&image->source, source);
  g_strfreev (image->aliases);
  image->aliases = g_strdupv ((char **) build->recipe->aliases);
  return image;
}

static void
on_built (GObject *source, GAsyncResult *result, gpointer user_data)
{
  LodgeImageBuild *build = user_data;
  g_autoptr (LodgeImage) image = NULL;
  GError *error = NULL;

  if (!lodge_helper_run_finish (build->helper, result, &error)
      || (image = describe (build, &error)) == NULL)
    {
      fail (build, error);
      return;
    }
  build->fingerprint = g_strdup (image->fingerprint);
  lodge_image_publish_async (build->store, image, build->dir, on_published, build);
}

/* ---- its course ---- */

static void
on_progress (LodgeHelper *helper, double fraction, guint64 done, guint64 total, const char *stage,
             gpointer user_data)
{
  LodgeImageBuild *build = user_data;

  for (guint i = 0; i < build->waiters->len; i++)
    {
      Waiter *waiter = g_ptr_array_index (build->waiters, i);

      if (waiter->progress != NULL)
        waiter->progress (fraction, done, total, stage, waiter->func_data);
    }
}

static void
on_line (LodgeHelper *helper, const char *line, int fd, gpointer user_data)
{
  LodgeImageBuild *build = user_data;

  if (fd >= 0)
    close (fd);
  if (!g_str_has_prefix (line, NOTICE_WORD))
    return;
  line += strlen (NOTICE_WORD);
  g_ptr_array_add (build->notices, g_strdup (line));
  for (guint i = 0; i < build->waiters->len; i++)
    {
      Waiter *waiter = g_ptr_array_index (build->waiters, i);

      if (waiter->notice != NULL)
        waiter->notice (line, waiter->func_data);
    }
}

/*
 * The last one who waits waits on, for the end of what it has stopped; others just leave.
 */
static gboolean
on_waiter_cancelled (GCancellable *cancellable, gpointer user_data)
{
  Waiter *waiter = user_data;
  LodgeImageBuild *build = waiter->build;

  if (build->waiters->len == 1)
    {
      close_for_joining (build);
      g_cancellable_cancel (build->cancellable);
    }
  else
    {
      g_task_return_new_error (waiter->task, LODGE_ERROR, LODGE_ERROR_CANCELLED, "cancelled");
      g_ptr_array_remove (build->waiters, waiter);
    }
  return G_SOURCE_REMOVE;
}

static void
join (LodgeImageBuild *build, GTask *task, LodgeImageProgressFunc progress,
      LodgeImageNoticeFunc notice, gpointer func_data)
{
  GCancellable *cancellable = g_task_get_cancellable (task);
  Waiter *waiter = g_new0 (Waiter, 1);

  waiter->build = build;
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
  g_ptr_array_add (build->waiters, waiter);
  for (guint i = 0; notice != NULL && i < build->notices->len; i++)
    notice (g_ptr_array_index (build->notices, i), func_data);
}

/* ---- its beginning ---- */

static char *
make_build_dir (LodgeImageStore *self, GError **error)
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

static LodgeImageBuild *
start_build (LodgeImageStore *self, const LodgeImageRecipe *recipe, LodgeKind kind, const char *key,
             GError **error)
{
  g_autofree char *dir = make_build_dir (self, error);
  LodgeHelper *helper
      = dir != NULL ? lodge_image_store_make_helper (self, LODGE_IMAGE_WORKER, "build", dir, error)
                    : NULL;

  if (helper == NULL)
    return NULL;
  LodgeImageBuild *build = g_new0 (LodgeImageBuild, 1);
  build->store = g_object_ref (self);
  build->recipe = recipe;
  build->kind = kind;
  build->key = g_strdup (key);
  build->dir = g_steal_pointer (&dir);
  build->helper = helper;
  build->cancellable = g_cancellable_new ();
  build->waiters = g_ptr_array_new_with_free_func ((GDestroyNotify) waiter_free);
  build->notices = g_ptr_array_new_with_free_func (g_free);
  lodge_helper_add (helper, "distribution", recipe->distribution);
  lodge_helper_add (helper, "suite", recipe->suite);
  lodge_helper_add (helper, "kind", lodge_kind_nick (kind));
  lodge_helper_add (helper, "arch", lodge_image_host_machine ());
  lodge_helper_set_progress_func (helper, on_progress, build);
  lodge_helper_set_line_func (helper, on_line, build);
  g_hash_table_insert (self->builds, g_strdup (key), build);
  return build;
}

void
lodge_image_store_obtain_async (LodgeImageStore *self, const char *ref, LodgeKind kind,
                                gboolean rebuild, const char *staging_dir,
                                LodgeImageProgressFunc progress, LodgeImageNoticeFunc notice,
                                gpointer func_data, GCancellable *cancellable,
                                GAsyncReadyCallback callback, gpointer user_data)
{
  GTask *task = g_task_new (self, cancellable, callback, user_data);
  const LodgeImageRecipe *recipe = lodge_image_recipe_find (ref);
  GError *error = NULL;
  const LodgeImage *image = lodge_image_store_resolve (self, ref, kind, &error);
  LodgeImageBuild *build = NULL;

  g_task_set_check_cancellable (task, FALSE);
  if (image != NULL && (!rebuild || recipe == NULL))
    {
      g_task_return_pointer (task, g_strdup (image->fingerprint), g_free);
      g_object_unref (task);
      return;
    }
  if (recipe != NULL)
    {
      g_autofree char *key = lodge_image_alias_key (kind, recipe->aliases[0]);

      g_clear_error (&error);
      build = g_hash_table_lookup (self->builds, key);
      if (build != NULL)
        {
          join (build, task, progress, notice, func_data);
          return;
        }
      build = start_build (self, recipe, kind, key, &error);
    }
  if (build == NULL)
    {
      g_task_return_error (task, error);
      g_object_unref (task);
      return;
    }
  join (build, task, progress, notice, func_data);
  lodge_helper_run_async (build->helper, build->cancellable, on_built, build);
}

char *
lodge_image_store_obtain_finish (LodgeImageStore *self, GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}
