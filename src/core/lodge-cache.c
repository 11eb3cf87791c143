/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Housekeeping: one timer, which once an hour lets time pass for the image cache, drops what has
 * expired, asks remotes for newer images when that is due, and backs up the database.
 */
#include "lodge-manager-private.h"

#include <string.h>

/* A host that boots has better things to do. */
#define FIRST_TICK_SECONDS 120
#define BACKUP_SECONDS     3600

/* ---- what is in use ---- */

/* Whether a job that runs names the image, or will look it up by a name that leads to it. */
static gboolean
is_named_by (LodgeJob *job, LodgeImageStore *images, const LodgeImage *image)
{
  static const char *const members[] = { "image", "ref" };

  if (job->data == NULL || lodge_job_state_is_final (job->state))
    return FALSE;
  if (strcmp (lodge_json_get_string (job->data, "fingerprint", ""), image->fingerprint) == 0)
    return TRUE;
  for (gsize i = 0; i < G_N_ELEMENTS (members); i++)
    {
      const char *ref = lodge_json_get_string (job->data, members[i], NULL);

      if (ref != NULL && lodge_image_store_resolve (images, ref, image->kind, NULL) == image)
        return TRUE;
    }
  return FALSE;
}

static gboolean
is_in_use (LodgeManager *self, const LodgeImage *image)
{
  g_autoptr (GPtrArray) users = lodge_manager_list_users_of_image (self, image->fingerprint);
  GHashTableIter iter;
  gpointer job;

  if (users->len > 0)
    return TRUE;
  g_hash_table_iter_init (&iter, self->jobs);
  while (g_hash_table_iter_next (&iter, NULL, &job))
    if (is_named_by (job, self->images, image))
      return TRUE;
  /* Nor is anything dropped that an interrupted job may come back to. */
  for (guint i = 0; i < self->left_over->len; i++)
    if (is_named_by (g_ptr_array_index (self->left_over, i), self->images, image))
      return TRUE;
  return FALSE;
}

gint64
lodge_manager_get_image_expiry (LodgeManager *self, const LodgeImage *image)
{
  return is_in_use (self, image) ? 0 : lodge_image_store_get_expiry (self->images, image);
}

/* Fingerprints of the images that nothing uses and whose fate is at least @least. */
static GPtrArray *
list_droppable (LodgeManager *self, LodgeImageFate least)
{
  g_autoptr (GPtrArray) images = lodge_image_store_list (self->images);
  GPtrArray *found = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; i < images->len; i++)
    {
      const LodgeImage *image = g_ptr_array_index (images, i);

      if (lodge_image_store_judge (self->images, image) >= least && !is_in_use (self, image))
        g_ptr_array_add (found, g_strdup (image->fingerprint));
    }
  return found;
}

GPtrArray *
lodge_manager_list_prunable (LodgeManager *self)
{
  return list_droppable (self, LODGE_IMAGE_CACHED);
}

gboolean
lodge_cache_may_drop (LodgeManager *self, const LodgeImage *image)
{
  return lodge_image_store_judge (self->images, image) != LODGE_IMAGE_KEPT
         && !is_in_use (self, image);
}

/* ---- what happens by itself ---- */

static void
drop (LodgeManager *self, GPtrArray *fingerprints, const char *const *partials)
{
  g_autoptr (GError) error = NULL;

  if (fingerprints->len == 0 && partials[0] == NULL)
    return;
  if (lodge_manager_drop_images (self, fingerprints, partials, 0, &error) == NULL)
    g_warning ("Unused images are not removed: %s", error->message);
}

void
lodge_cache_sweep (LodgeManager *self)
{
  static const char *const none[] = { NULL };
  g_autoptr (GPtrArray) images = list_droppable (self, LODGE_IMAGE_EXPIRED);

  drop (self, images, none);
}

void
lodge_cache_let_go (LodgeManager *self, const char *fingerprint)
{
  const LodgeImage *image
      = fingerprint != NULL ? lodge_image_store_get (self->images, fingerprint) : NULL;

  if (image == NULL || is_in_use (self, image))
    return;
  /* Until this moment it was of use. */
  lodge_image_store_renew (self->images, fingerprint);
  lodge_cache_sweep (self);
}

static void
on_checked (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GWeakRef *weak = user_data;
  g_autoptr (LodgeManager) self = g_weak_ref_get (weak);
  g_auto (GStrv) refs = lodge_image_store_check_finish (LODGE_IMAGE_STORE (source), result);
  g_autoptr (GError) error = NULL;

  g_weak_ref_clear (weak);
  g_free (weak);
  if (self == NULL)
    return;
  self->checks_images = FALSE;
  if (refs[0] != NULL
      && lodge_manager_update_refs (self, (const char *const *) refs, TRUE, 0, &error) == NULL)
    g_warning ("Images are not updated: %s", error->message);
}

static void
check_for_updates (LodgeManager *self)
{
  if (self->checks_images)
    return;
  GWeakRef *weak = g_new0 (GWeakRef, 1);
  g_weak_ref_init (weak, self);
  self->checks_images = TRUE;
  lodge_image_store_check_async (self->images, on_checked, weak);
}

/* ---- the timer ---- */

static void
back_up (LodgeManager *self)
{
  g_autoptr (GError) error = NULL;
  gint64 now = g_get_monotonic_time ();

  if (now - self->backed_up_at < (gint64) BACKUP_SECONDS * G_USEC_PER_SEC)
    return;
  self->backed_up_at = now;
  if (!lodge_sqlite_store_backup (self->store, &error))
    g_warning ("the database was not backed up: %s", error->message);
}

static gboolean
keep_house (gpointer user_data)
{
  LodgeManager *self = user_data;
  g_auto (GStrv) partials = lodge_image_store_tick (self->images);
  g_autoptr (GPtrArray) images = list_droppable (self, LODGE_IMAGE_EXPIRED);

  drop (self, images, (const char *const *) partials);
  check_for_updates (self);
  back_up (self);
  self->housekeeping_source = g_timeout_add_seconds_full (
      G_PRIORITY_LOW, lodge_image_store_get_next_tick (self->images), keep_house, self, NULL);
  return G_SOURCE_REMOVE;
}

void
lodge_cache_start (LodgeManager *self)
{
  guint next = lodge_image_store_get_next_tick (self->images);

  self->backed_up_at = g_get_monotonic_time ();
  self->housekeeping_source = g_timeout_add_seconds_full (
      G_PRIORITY_LOW, MIN (next, FIRST_TICK_SECONDS), keep_house, self, NULL);
}
