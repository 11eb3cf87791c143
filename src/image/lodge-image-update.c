/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether servers have newer versions of what is cached. */
#include "lodge-remote-private.h"

#include <string.h>

#include "lodge-name.h"

#define BACK_OFF_MAX LODGE_IMAGE_DAY

/* ---- names ---- */

/* The remote that @ref names, when it can be asked. */
static const LodgeRemote *
find_remote (LodgeImageStore *self, const char *ref, gboolean by_itself, const char **out_alias)
{
  const LodgeRemote *remote;

  if (lodge_remotes_is_url (ref) || !lodge_remotes_split (self, ref, &remote, out_alias, NULL)
      || remote == NULL)
    return NULL;
  if (by_itself && remote->protocol != LODGE_REMOTE_SIMPLESTREAMS)
    return NULL;
  return remote;
}

/* Whether the image has a name, and it is not @ref: then it is not what @ref stands for now. */
static gboolean
is_another (const LodgeImage *image, const char *ref)
{
  return image->aliases[0] != NULL
         && !g_strv_contains ((const char *const *) image->aliases, lodge_image_recipe_strip (ref));
}

GStrv
lodge_image_store_list_refs (LodgeImageStore *self, const LodgeImage *image, gboolean by_itself)
{
  g_autoptr (GStrvBuilder) refs = g_strv_builder_new ();
  gboolean is_address = lodge_remotes_is_url (image->source);
  const char *alias;

  /* What was imported from an address is only looked for there when somebody says so. */
  if (!image->cached && (by_itself || !is_address))
    return g_strv_builder_end (refs);
  for (char **name = image->aliases; image->cached && *name != NULL; name++)
    if (find_remote (self, *name, by_itself, &alias) != NULL)
      g_strv_builder_add (refs, *name);
  if (!by_itself
      && (is_address
          || (lodge_image_recipe_find (image->source) != NULL
              && !is_another (image, image->source))))
    g_strv_builder_add (refs, image->source);
  return g_strv_builder_end (refs);
}

/* ---- the question ---- */

typedef struct
{
  GPtrArray *remotes; /* names of those to ask */
  guint next;
  GStrvBuilder *found;
} Check;

static void
check_free (gpointer data)
{
  Check *check = data;

  g_ptr_array_unref (check->remotes);
  g_strv_builder_unref (check->found);
  g_free (check);
}

/* Of the catalogue of @remote: the names of images that stand for another one by now.
 * Returns: how many. */
static guint
compare (LodgeImageStore *self, const char *name, GPtrArray *catalog, GStrvBuilder *found)
{
  g_autoptr (GPtrArray) images = lodge_image_store_list (self);
  guint n = 0;

  for (guint i = 0; i < images->len; i++)
    {
      const LodgeImage *image = g_ptr_array_index (images, i);
      g_auto (GStrv) refs = lodge_image_store_list_refs (self, image, TRUE);

      for (char **ref = refs; image->auto_update && !image->pinned && *ref != NULL; ref++)
        {
          const char *alias;
          const LodgeRemote *remote = find_remote (self, *ref, TRUE, &alias);
          const LodgeCatalogEntry *entry = strcmp (remote->name, name) == 0
                                               ? lodge_catalog_find (catalog, alias, image->kind)
                                               : NULL;
          g_autofree char *key = lodge_image_alias_key (image->kind, *ref);

          if (entry == NULL || strcmp (entry->fingerprint, image->fingerprint) == 0)
            continue;
          g_strv_builder_add (found, key);
          n++;
        }
    }
  return n;
}

/* When to ask again: after the interval, and after failures twice as long each time. */
static void
set_due (LodgeImageStore *self, const char *name, guint failures)
{
  LodgeImageCheck *check = lodge_image_cache_get_check (self, name);
  guint64 wait = self->cache.interval;

  for (guint i = 1; i < failures && wait < BACK_OFF_MAX; i++)
    wait *= 2;
  wait = MIN (wait, MAX (self->cache.interval, BACK_OFF_MAX));
  check->failures = failures;
  check->due = lodge_image_cache_now (self) + (gint64) wait;
}

gboolean
lodge_image_store_note_update (LodgeImageStore *self, const char *ref, gboolean succeeded)
{
  const char *alias;
  const LodgeRemote *remote = find_remote (self, ref, TRUE, &alias);
  guint failures = remote != NULL ? lodge_image_cache_get_check (self, remote->name)->failures : 0;

  if (remote != NULL)
    {
      set_due (self, remote->name, succeeded ? 0 : failures + 1);
      lodge_image_cache_save (self);
    }
  return !succeeded && failures == 0;
}

static void ask_next (GTask *task);

static void
on_browsed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *task = user_data;
  LodgeImageStore *self = LODGE_IMAGE_STORE (source);
  Check *check = g_task_get_task_data (task);
  const char *name = g_ptr_array_index (check->remotes, check->next++);
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) catalog = lodge_image_store_browse_finish (self, result, &error);

  guint failures = lodge_image_cache_get_check (self, name)->failures;

  /* What is found is still to be downloaded: only then it is known how it went. */
  if (catalog == NULL && failures == 0)
    g_message ("The remote “%s” was not asked for newer images: %s", name, error->message);
  if (catalog == NULL)
    set_due (self, name, failures + 1);
  else
    set_due (self, name, compare (self, name, catalog, check->found) > 0 ? failures : 0);
  ask_next (task);
}

static void
ask_next (GTask *task)
{
  LodgeImageStore *self = g_task_get_source_object (task);
  Check *check = g_task_get_task_data (task);

  if (check->next < check->remotes->len)
    {
      lodge_image_store_browse_async (self, g_ptr_array_index (check->remotes, check->next),
                                      LODGE_BROWSE_REFRESH | LODGE_BROWSE_SILENT, on_browsed, task);
      return;
    }
  if (check->remotes->len > 0)
    lodge_image_cache_save (self);
  g_task_return_pointer (task, g_strv_builder_end (check->found), (GDestroyNotify) g_strfreev);
  g_object_unref (task);
}

/* The remotes of images that are to be updated, as far as they are due. */
static GPtrArray *
list_due (LodgeImageStore *self)
{
  g_autoptr (GPtrArray) images = lodge_image_store_list (self);
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);
  gint64 now = lodge_image_cache_now (self);

  for (guint i = 0; self->cache.interval != 0 && i < images->len; i++)
    {
      const LodgeImage *image = g_ptr_array_index (images, i);
      g_auto (GStrv) refs = lodge_image_store_list_refs (self, image, TRUE);

      for (char **ref = refs; image->auto_update && !image->pinned && *ref != NULL; ref++)
        {
          const char *alias;
          const char *name = find_remote (self, *ref, TRUE, &alias)->name;

          if (!g_ptr_array_find_with_equal_func (names, name, g_str_equal, NULL)
              && lodge_image_cache_get_check (self, name)->due <= now)
            g_ptr_array_add (names, g_strdup (name));
        }
    }
  return names;
}

void
lodge_image_store_check_async (LodgeImageStore *self, GAsyncReadyCallback callback,
                               gpointer user_data)
{
  GTask *task = g_task_new (self, NULL, callback, user_data);
  Check *check = g_new0 (Check, 1);

  check->remotes = list_due (self);
  check->found = g_strv_builder_new ();
  g_task_set_task_data (task, check, check_free);
  ask_next (task);
}

GStrv
lodge_image_store_check_finish (LodgeImageStore *self, GAsyncResult *result)
{
  return g_task_propagate_pointer (G_TASK (result), NULL);
}
