/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From the name of an image to an image in the store.
 *
 *   what is here            is used at once, whatever a server has by now
 *   remote:name             from that remote
 *   name                    from the default remote; when that does not have it, or cannot be
 *                           reached, built from packages where Lodge knows how
 *   https://…               one file
 *
 * What can only be had for the other kind is converted.
 */
#include "lodge-remote-private.h"

#include <string.h>

#include "lodge-image-turn.h"
#include "lodge-name.h"

typedef struct
{
  LodgeKind kind;
  LodgeObtainFlags flags;
  char *sha256;
  char *description;
  LodgeRemote *remote; /* NULL with an address */
  char *ref;
  char *alias; /* as the remote knows it */
  char *local_alias;
  gboolean is_qualified;
  LodgeImageProgressFunc progress;
  LodgeImageNoticeFunc notice;
  gpointer func_data;
} Obtain;

static void
obtain_free (Obtain *obtain)
{
  lodge_remote_free (obtain->remote);
  g_free (obtain->sha256);
  g_free (obtain->description);
  g_free (obtain->ref);
  g_free (obtain->alias);
  g_free (obtain->local_alias);
  g_free (obtain);
}

static void notify (const Obtain *obtain, const char *format, ...) G_GNUC_PRINTF (2, 3);

static void
notify (const Obtain *obtain, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  text[strcspn (text, "\n")] = '\0';
  if (obtain->notice != NULL)
    obtain->notice (text, obtain->func_data);
}

/* ---- the other kind ---- */

static LodgeKind
other_kind (const Obtain *obtain)
{
  return obtain->kind == LODGE_KIND_VM ? LODGE_KIND_CONTAINER : LODGE_KIND_VM;
}

static void
on_turned (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  GError *error = NULL;
  char *fingerprint = lodge_image_store_turn_finish (LODGE_IMAGE_STORE (source), result, &error);

  if (fingerprint != NULL)
    g_task_return_pointer (task, fingerprint, g_free);
  else
    g_task_return_error (task, error);
}

/* @task: (transfer full) */
static void
turn (GTask *task, const char *fingerprint)
{
  const Obtain *obtain = g_task_get_task_data (task);
  const LodgeImageTurn what = { .kind = obtain->kind, .fingerprint = fingerprint };

  notify (obtain, "%s is there for %s only and is converted, once", obtain->ref,
          obtain->kind == LODGE_KIND_VM ? "containers" : "VMs");
  lodge_image_store_turn_async (g_task_get_source_object (task), &what, obtain->progress,
                                obtain->notice, obtain->func_data, g_task_get_cancellable (task),
                                on_turned, task);
}

/* @task, @fingerprint: (transfer full) */
static void
succeed (GTask *task, char *fingerprint)
{
  LodgeImageStore *self = g_task_get_source_object (task);
  const Obtain *obtain = g_task_get_task_data (task);
  const LodgeImage *image = lodge_image_store_get (self, fingerprint);
  GError *error = NULL;

  /* An install medium is for VMs, whoever asked for it. */
  if (image != NULL && image->kind != obtain->kind && !image->medium)
    {
      g_autofree char *other = fingerprint;

      if (obtain->local_alias == NULL
          || lodge_image_store_add_alias (self, other, obtain->local_alias, &error))
        turn (task, other);
      else
        {
          g_task_return_error (task, error);
          g_object_unref (task);
        }
      return;
    }
  if (obtain->local_alias != NULL
      && !lodge_image_store_add_alias (self, fingerprint, obtain->local_alias, &error))
    {
      g_free (fingerprint);
      g_task_return_error (task, error);
    }
  else
    g_task_return_pointer (task, fingerprint, g_free);
  g_object_unref (task);
}

/* @task, @error: (transfer full) */
static void
fail (GTask *task, GError *error)
{
  g_task_return_error (task, error);
  g_object_unref (task);
}

/* ---- build ---- */

static void
on_built (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *task = user_data;
  GError *error = NULL;
  char *fingerprint = g_task_propagate_pointer (G_TASK (result), &error);

  if (fingerprint == NULL)
    {
      fail (task, error);
      return;
    }
  /* A build has its own aliases. */
  g_task_return_pointer (task, fingerprint, g_free);
  g_object_unref (task);
}

static void
build (GTask *task, const LodgeImageRecipe *recipe)
{
  LodgeImageStore *self = g_task_get_source_object (task);
  const Obtain *obtain = g_task_get_task_data (task);

  lodge_image_build_join (self, recipe, obtain->kind, obtain->progress, obtain->notice,
                          obtain->func_data,
                          g_task_new (self, g_task_get_cancellable (task), on_built, task));
}

/* What the default remote cannot give may be built, unless something speaks against trusting what
 * comes from outside at all, or the caller has left.  @error: (transfer full) */
static void
fall_back (GTask *task, GError *error)
{
  const Obtain *obtain = g_task_get_task_data (task);
  const LodgeImageRecipe *recipe
      = !obtain->is_qualified ? lodge_image_recipe_find (obtain->ref) : NULL;
  LodgeImageStore *self = g_task_get_source_object (task);
  const LodgeImage *other
      = lodge_image_store_resolve (self, obtain->ref, other_kind (obtain), NULL);

  if (recipe == NULL && !obtain->is_qualified
      && g_error_matches (error, LODGE_ERROR, LODGE_ERROR_DOWNLOAD))
    {
      /* Nobody has said that there is such an image at all. */
      notify (obtain, "The remote “%s” cannot be asked: %s", obtain->remote->name, error->message);
      g_clear_error (&error);
      (void) lodge_image_store_resolve (self, obtain->ref, obtain->kind, &error);
    }
  if (recipe == NULL || g_error_matches (error, LODGE_ERROR, LODGE_ERROR_VERIFICATION_FAILED)
      || g_error_matches (error, LODGE_ERROR, LODGE_ERROR_CANCELLED)
      || g_error_matches (error, LODGE_ERROR, LODGE_ERROR_NO_SPACE))
    {
      if (other != NULL && !g_error_matches (error, LODGE_ERROR, LODGE_ERROR_CANCELLED)
          && !g_error_matches (error, LODGE_ERROR, LODGE_ERROR_NO_SPACE))
        {
          g_clear_error (&error);
          turn (task, other->fingerprint);
        }
      else
        fail (task, error);
      return;
    }
  error->message[strcspn (error->message, "\n")] = '\0';
  notify (obtain, "%s, so %s is built from the distribution's packages", error->message,
          obtain->ref);
  g_clear_error (&error);
  build (task, recipe);
}

/* ---- servers ---- */

static void
on_downloaded (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *task = user_data;
  const Obtain *obtain = g_task_get_task_data (task);
  GError *error = NULL;
  char *fingerprint = g_task_propagate_pointer (G_TASK (result), &error);

  if (fingerprint != NULL)
    succeed (task, fingerprint);
  else if (obtain->remote != NULL)
    fall_back (task, error);
  else
    fail (task, error);
}

static void
download (GTask *task, const LodgeRemote *remote, const LodgeCatalogEntry *entry,
          const char *source)
{
  LodgeImageStore *self = g_task_get_source_object (task);
  const Obtain *obtain = g_task_get_task_data (task);
  const LodgeImageFile file = { .sha256 = obtain->sha256, .description = obtain->description };

  lodge_image_download_join (self, remote, entry, &file, obtain->local_alias, source,
                             (obtain->flags & LODGE_OBTAIN_QUIETLY) != 0, obtain->progress,
                             obtain->notice, obtain->func_data,
                             g_task_new (self, g_task_get_cancellable (task), on_downloaded, task));
}

static GError *
make_not_found (const Obtain *obtain, GPtrArray *catalog)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  g_autofree char *head = g_strndup (obtain->alias, 80);
  g_autofree char *shown = lodge_text_escape (head);

  for (guint i = 0; i < catalog->len; i++)
    {
      const LodgeCatalogEntry *entry = g_ptr_array_index (catalog, i);
      for (char **alias = entry->aliases; *alias != NULL; alias++)
        g_ptr_array_add (names, *alias);
    }
  g_ptr_array_add (names, NULL);
  const char *nearest = lodge_nearest (obtain->alias, (const char *const *) names->pdata);
  return g_error_new (LODGE_ERROR, LODGE_ERROR_NOT_FOUND,
                      nearest != NULL ? "The remote “%s” has no image “%s”\nDid you mean “%s”?"
                                      : "The remote “%s” has no image “%s”",
                      obtain->remote->name, shown, nearest);
}

static void
on_browsed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *task = user_data;
  LodgeImageStore *self = LODGE_IMAGE_STORE (source);
  const Obtain *obtain = g_task_get_task_data (task);
  GError *error = NULL;
  g_autoptr (GPtrArray) catalog = lodge_image_store_browse_finish (self, result, &error);
  const LodgeCatalogEntry *entry
      = catalog != NULL ? lodge_catalog_find (catalog, obtain->alias, obtain->kind) : NULL;
  const LodgeImageRecipe *recipe
      = !obtain->is_qualified ? lodge_image_recipe_find (obtain->ref) : NULL;
  /* What is built for the kind beats what is converted to it. */
  if (entry == NULL && catalog != NULL && recipe == NULL)
    entry = lodge_catalog_find (catalog, obtain->alias, other_kind (obtain));
  const LodgeImage *known = entry != NULL ? lodge_image_store_get (self, entry->fingerprint) : NULL;

  if (g_cancellable_is_cancelled (g_task_get_cancellable (task)))
    {
      g_clear_error (&error);
      fail (task, g_error_new (LODGE_ERROR, LODGE_ERROR_CANCELLED, "cancelled"));
    }
  else if (catalog == NULL)
    fall_back (task, error);
  else if (entry == NULL)
    fall_back (task, make_not_found (obtain, catalog));
  else if (known != NULL)
    succeed (task, g_strdup (known->fingerprint));
  else
    {
      g_autofree char *name = g_strconcat (obtain->remote->name, ":", obtain->alias, NULL);
      download (task, obtain->remote, entry, name);
    }
}

static void
append_path (char **url, const char *path)
{
  char *full = g_strconcat (*url, "/", path, NULL);

  g_free (*url);
  *url = full;
}

/* One file of a remote that is a folder. */
static void
download_file (GTask *task)
{
  const Obtain *obtain = g_task_get_task_data (task);
  g_autoptr (LodgeRemote) file = lodge_remote_copy (obtain->remote);
  GError *error = NULL;

  append_path (&file->url, obtain->alias);
  for (char **mirror = file->mirrors; *mirror != NULL; mirror++)
    append_path (mirror, obtain->alias);
  if (lodge_remote_url_validate (file->url, file->allow_http, "The address", &error))
    download (task, file, NULL, obtain->local_alias);
  else
    fail (task, error);
}

static void
download_address (GTask *task)
{
  const Obtain *obtain = g_task_get_task_data (task);
  g_autoptr (LodgeRemote) remote = lodge_remote_new (NULL, LODGE_REMOTE_URL, obtain->ref);
  GError *error = NULL;

  remote->allow_private = (obtain->flags & LODGE_OBTAIN_PRIVATE) != 0;
  remote->allow_http = (obtain->flags & LODGE_OBTAIN_HTTP) != 0;
  if (lodge_remote_url_validate (obtain->ref, remote->allow_http, "The address", &error))
    download (task, remote, NULL, obtain->ref);
  else
    fail (task, error);
}

/* ---- the decision ---- */

static gboolean
split (LodgeImageStore *self, Obtain *obtain, GError **error)
{
  const LodgeRemote *remote;
  const char *alias;

  if (lodge_remotes_is_url (obtain->ref))
    return TRUE;
  obtain->is_qualified = lodge_remotes_split (self, obtain->ref, &remote, &alias, error);
  if (remote == NULL || !lodge_alias_validate (alias, error))
    return FALSE;
  obtain->remote = lodge_remote_copy (remote);
  obtain->alias = g_strdup (alias);
  if (remote->protocol != LODGE_REMOTE_BUILD)
    obtain->local_alias = g_strconcat (remote->name, ":", alias, NULL);
  return TRUE;
}

static void
get_from_remote (GTask *task)
{
  LodgeImageStore *self = g_task_get_source_object (task);
  const Obtain *obtain = g_task_get_task_data (task);
  const LodgeImageRecipe *recipe = lodge_image_recipe_find (obtain->alias);
  /* Whoever updates quietly has just asked. */
  LodgeBrowseFlags flags
      = (obtain->flags & (LODGE_OBTAIN_UPDATE | LODGE_OBTAIN_QUIETLY)) == LODGE_OBTAIN_UPDATE
            ? LODGE_BROWSE_REFRESH
            : LODGE_BROWSE_NONE;
  GError *error = NULL;

  switch (obtain->remote->protocol)
    {
    case LODGE_REMOTE_SIMPLESTREAMS:
      lodge_image_store_browse_async (self, obtain->remote->name, flags, on_browsed, task);
      break;
    case LODGE_REMOTE_URL:
      download_file (task);
      break;
    default:
      if (recipe != NULL)
        build (task, recipe);
      else
        {
          (void) lodge_image_store_resolve (self, obtain->ref, obtain->kind, &error);
          fail (task, error);
        }
    }
}

/* An image of the other kind that nobody else could give for this one. */
static const LodgeImage *
find_other (LodgeImageStore *self, const Obtain *obtain)
{
  const LodgeImage *other
      = lodge_image_store_resolve (self, obtain->ref, other_kind (obtain), NULL);
  gboolean is_own
      = other != NULL
        && (g_str_equal (other->source, "import") || g_str_has_prefix (other->source, "instance:")
            || g_str_has_prefix (other->source, "convert:")
            || g_str_has_prefix (other->fingerprint, obtain->ref));

  return is_own ? other : NULL;
}

/* Whether a remote could supply @ref, so that NOT_FOUND need not be the last word. */
static gboolean
can_obtain (LodgeImageStore *self, const char *ref, LodgeKind kind)
{
  LodgeKind other = kind == LODGE_KIND_VM ? LODGE_KIND_CONTAINER : LODGE_KIND_VM;
  const LodgeRemote *remote;
  const char *alias;

  if (lodge_image_store_resolve (self, ref, kind, NULL) == NULL
      && lodge_image_store_resolve (self, ref, other, NULL) != NULL)
    return TRUE;
  if (lodge_remotes_is_url (ref))
    return lodge_remote_url_validate (ref, TRUE, "The address", NULL);
  if (lodge_image_recipe_find (ref) != NULL)
    return TRUE;
  (void) lodge_remotes_split (self, ref, &remote, &alias, NULL);
  return remote != NULL && remote->protocol != LODGE_REMOTE_BUILD
         && lodge_alias_validate (alias, NULL) && !lodge_refresh_is_hopeless (self, remote->name);
}

void
lodge_image_store_obtain_async (LodgeImageStore *self, const char *ref, LodgeKind kind,
                                LodgeObtainFlags flags, const LodgeImageFile *file,
                                const char *staging_dir, LodgeImageProgressFunc progress,
                                LodgeImageNoticeFunc notice, gpointer func_data,
                                GCancellable *cancellable, GAsyncReadyCallback callback,
                                gpointer user_data)
{
  GTask *task = g_task_new (self, cancellable, callback, user_data);
  gboolean update = (flags & LODGE_OBTAIN_UPDATE) != 0;
  gboolean rebuild = update || (flags & LODGE_OBTAIN_REBUILD) != 0;
  const LodgeImage *image = lodge_image_store_resolve (self, ref, kind, NULL);
  const LodgeImageRecipe *recipe = lodge_image_recipe_find (ref);
  Obtain *obtain = g_new0 (Obtain, 1);
  GError *error = NULL;

  g_task_set_check_cancellable (task, FALSE);
  g_task_set_task_data (task, obtain, (GDestroyNotify) obtain_free);
  obtain->kind = kind;
  obtain->flags = flags;
  obtain->ref = g_strdup (ref);
  obtain->sha256 = file != NULL ? g_strdup (file->sha256) : NULL;
  obtain->description = file != NULL ? g_strdup (file->description) : NULL;
  obtain->progress = progress;
  obtain->notice = notice;
  obtain->func_data = func_data;
  if (image != NULL && !update && (!rebuild || !can_obtain (self, ref, kind)))
    {
      g_task_return_pointer (task, g_strdup (image->fingerprint), g_free);
      g_object_unref (task);
    }
  else if (!rebuild && recipe == NULL && find_other (self, obtain) != NULL)
    turn (task, find_other (self, obtain)->fingerprint);
  else if (rebuild && recipe != NULL)
    build (task, recipe);
  else if (!split (self, obtain, &error))
    fail (task, error);
  else if (obtain->remote == NULL)
    download_address (task);
  else
    get_from_remote (task);
}

char *
lodge_image_store_obtain_finish (LodgeImageStore *self, GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

gboolean
lodge_image_store_check_address (const char *ref, LodgeObtainFlags flags, GError **error)
{
  /* No alias has two slashes in a row. */
  return strstr (ref, "://") == NULL
         || lodge_remote_url_validate (ref, (flags & LODGE_OBTAIN_HTTP) != 0, "The address", error);
}

gboolean
lodge_image_store_check_ref (LodgeImageStore *self, const char *ref, LodgeKind kind, GError **error)
{
  g_autoptr (GError) not_found = NULL;
  const LodgeRemote *remote = NULL;
  const GError *refusal = NULL;
  const char *alias;

  if (lodge_image_store_resolve (self, ref, kind, &not_found) != NULL
      || can_obtain (self, ref, kind))
    return TRUE;
  /* A remote that was named and cannot be asked may well have it. */
  if (lodge_remotes_split (self, ref, &remote, &alias, NULL) && remote != NULL
      && remote->protocol != LODGE_REMOTE_BUILD && lodge_alias_validate (alias, NULL))
    refusal = lodge_refresh_get_refusal (self, remote->name);
  g_propagate_error (error,
                     refusal != NULL ? g_error_copy (refusal) : g_steal_pointer (&not_found));
  return FALSE;
}
