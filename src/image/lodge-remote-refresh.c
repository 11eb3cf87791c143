/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a simplestreams server offers, as files in `<state>/cache/remotes/<name>/`:
 *
 *   index, products-N   as the server sent them, for conditional requests
 *   catalog             the lines that lodge-fetch made of them
 *
 * New files have ".new" at their end until all of them are there and not older than what was seen
 * before.  All of it can be deleted at any time.
 */
#include "lodge-remote-private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lodge-fd.h"

#define FRESH_SECONDS    600
#define REFUSAL_SECONDS  300
#define CONNECT_MS       3000
#define STALL_SECONDS    10
#define INDEX_SECONDS    60
#define PRODUCTS_SECONDS 600
#define INDEX_MAX        (1 << 20)
#define PRODUCTS_MAX     (64 << 20)
#define DOCUMENTS_MAX    4
#define ETAG_MAX         256

/* Of a server that could not be asked. */
typedef struct
{
  gint64 until; /* monotonic */
  GError *error;
} Refusal;

typedef struct
{
  LodgeImageStore *store; /* owned */
  LodgeRemote *remote;
  char *dir;
  gboolean accept_older;
  GPtrArray *waiters; /* GTask */
  JsonObject *state;
  LodgeHelper *helper;
  char *paths[DOCUMENTS_MAX];
  guint n_paths;
  guint next;                            /* document */
  gboolean new_files[DOCUMENTS_MAX + 1]; /* 0: the index */
  gint64 updated;
  int catalog_fd;
} Refresh;

void
lodge_refresh_refusal_free (gpointer data)
{
  Refusal *refusal = data;

  g_error_free (refusal->error);
  g_free (refusal);
}

static const Refusal *
find_refusal (LodgeImageStore *self, const char *name)
{
  const Refusal *refusal = g_hash_table_lookup (self->refusals, name);

  return refusal != NULL && refusal->until > g_get_monotonic_time () ? refusal : NULL;
}

const GError *
lodge_refresh_get_refusal (LodgeImageStore *self, const char *name)
{
  const Refusal *refusal = find_refusal (self, name);

  return refusal != NULL ? refusal->error : NULL;
}

gboolean
lodge_refresh_is_hopeless (LodgeImageStore *self, const char *name)
{
  g_autofree char *path = lodge_refresh_catalog_path (self, name);

  return find_refusal (self, name) != NULL && access (path, F_OK) < 0;
}

static char *
cache_dir (LodgeImageStore *self, const char *name)
{
  return g_build_filename (self->state_dir, "cache", "remotes", name, NULL);
}

char *
lodge_refresh_catalog_path (LodgeImageStore *self, const char *name)
{
  g_autofree char *dir = cache_dir (self, name);

  return g_build_filename (dir, "catalog", NULL);
}

static void
refresh_free (Refresh *refresh)
{
  g_object_unref (refresh->store);
  lodge_remote_free (refresh->remote);
  g_free (refresh->dir);
  g_ptr_array_unref (refresh->waiters);
  json_object_unref (refresh->state);
  g_clear_object (&refresh->helper);
  for (guint i = 0; i < refresh->n_paths; i++)
    g_free (refresh->paths[i]);
  if (refresh->catalog_fd >= 0)
    close (refresh->catalog_fd);
  g_free (refresh);
}

/* ---- its end ---- */

static void
refuse_for_a_while (Refresh *refresh, const GError *error)
{
  Refusal *refusal = g_new0 (Refusal, 1);

  refusal->until = g_get_monotonic_time () + REFUSAL_SECONDS * G_USEC_PER_SEC;
  refusal->error = g_error_copy (error);
  g_hash_table_replace (refresh->store->refusals, g_strdup (refresh->remote->name), refusal);
}

/* @error: (transfer full) (nullable) */
static void
end (Refresh *refresh, GError *error)
{
  g_hash_table_remove (refresh->store->refreshes, refresh->remote->name);
  if (error != NULL)
    refuse_for_a_while (refresh, error);
  else
    g_hash_table_remove (refresh->store->refusals, refresh->remote->name);
  for (guint i = 0; i < refresh->waiters->len; i++)
    {
      GTask *task = g_ptr_array_index (refresh->waiters, i);

      if (error != NULL)
        g_task_return_error (task, g_error_copy (error));
      else
        g_task_return_boolean (task, TRUE);
    }
  g_clear_error (&error);
  refresh_free (refresh);
}

static char *
file_path (const Refresh *refresh, guint document, const char *suffix)
{
  g_autofree char *name = document == 0 ? g_strconcat ("index", suffix, NULL)
                                        : g_strdup_printf ("products-%u%s", document, suffix);

  return g_build_filename (refresh->dir, name, NULL);
}

static gboolean
check_age (Refresh *refresh, GError **error)
{
  gint64 seen = lodge_json_get_int (refresh->state, "updated", 0);

  if (refresh->updated == 0 || refresh->updated >= seen || refresh->accept_older)
    return TRUE;
  g_set_error (
      error, LODGE_ERROR, LODGE_ERROR_VERIFICATION_FAILED,
      "The remote “%s” serves a list that is older than one it served before\nSomebody may "
      "want old images to be used. If it is meant: lodge remote refresh %s --accept-older",
      refresh->remote->name, refresh->remote->name);
  return FALSE;
}

static gboolean
commit (Refresh *refresh, GError **error)
{
  g_autofree char *new_catalog = g_build_filename (refresh->dir, "catalog.new", NULL);
  g_autofree char *catalog = g_build_filename (refresh->dir, "catalog", NULL);

  if (!check_age (refresh, error))
    return FALSE;
  json_object_set_int_member (refresh->state, "updated", refresh->updated);
  if (!lodge_remotes_set_state (refresh->store, refresh->remote->name, refresh->state, error))
    return FALSE;
  for (guint i = 0; i <= refresh->n_paths; i++)
    {
      g_autofree char *from = file_path (refresh, i, ".new");
      g_autofree char *to = file_path (refresh, i, "");
      if (refresh->new_files[i] && rename (from, to) < 0)
        {
          lodge_error_set_errno (error, errno, "%s cannot be replaced", to);
          return FALSE;
        }
    }
  if (rename (new_catalog, catalog) == 0)
    return TRUE;
  lodge_error_set_errno (error, errno, "%s cannot be replaced", catalog);
  return FALSE;
}

/* ---- its course ---- */

typedef void (*NextFunc) (Refresh *refresh);

static void get_document (Refresh *refresh, guint document);

/* Opens what there is of a document: the new one, or the one that has not changed. */
static int
open_document (Refresh *refresh, guint document, GError **error)
{
  g_autofree char *path = file_path (refresh, document, refresh->new_files[document] ? ".new" : "");
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

  if (fd < 0)
    lodge_error_set_errno (error, errno, "%s cannot be opened", path);
  return fd;
}

static gboolean
run (Refresh *refresh, LodgeHelper *helper, GAsyncReadyCallback callback)
{
  if (helper == NULL)
    return FALSE;
  g_clear_object (&refresh->helper);
  refresh->helper = helper;
  lodge_helper_run_async (helper, NULL, callback, refresh);
  return TRUE;
}

static gint64
take_updated (Refresh *refresh)
{
  const char *text = lodge_helper_get_result (refresh->helper, "updated");
  gint64 updated = 0;

  if (text == NULL || !g_ascii_string_to_signed (text, 10, 0, G_MAXINT32 * 8ll, &updated, NULL))
    return 0;
  return updated;
}

static void
on_products_read (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Refresh *refresh = user_data;
  GError *error = NULL;

  if (!lodge_helper_run_finish (refresh->helper, result, &error))
    {
      end (refresh, error);
      return;
    }
  refresh->updated = MAX (refresh->updated, take_updated (refresh));
  if (++refresh->next <= refresh->n_paths)
    get_document (refresh, refresh->next);
  else if (commit (refresh, &error))
    end (refresh, NULL);
  else
    end (refresh, error);
}

/* Names below the server's root; the helper has checked them, and the URL is made of them. */
static gboolean
take_paths (Refresh *refresh, GError **error)
{
  for (guint i = 0; i < DOCUMENTS_MAX; i++)
    {
      g_autofree char *key = g_strdup_printf ("path.%u", i);
      const char *path = lodge_helper_get_result (refresh->helper, key);

      if (path == NULL || strstr (path, "..") != NULL || *path == '/'
          || strpbrk (path, "?#%\\ ") != NULL)
        break;
      /* What the index names is not signed by itself; its signed form lies beside it. */
      refresh->paths[refresh->n_paths++]
          = refresh->remote->has_keyring && g_str_has_suffix (path, ".json")
                ? g_strdup_printf ("%.*s.sjson", (int) strlen (path) - 5, path)
                : g_strdup (path);
    }
  if (refresh->n_paths > 0)
    return TRUE;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_DOWNLOAD, "The remote “%s” has no list of images",
               refresh->remote->name);
  return FALSE;
}

static void
on_index_read (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Refresh *refresh = user_data;
  GError *error = NULL;

  if (!lodge_helper_run_finish (refresh->helper, result, &error) || !take_paths (refresh, &error))
    {
      end (refresh, error);
      return;
    }
  refresh->updated = take_updated (refresh);
  if (!check_age (refresh, &error))
    end (refresh, error);
  else
    get_document (refresh, refresh->next = 1);
}

static void
read_document (Refresh *refresh, guint document)
{
  GError *error = NULL;
  g_auto (LodgeFd) fd = open_document (refresh, document, &error);
  LodgeHelper *helper = fd >= 0
                            ? lodge_fetch_read (refresh->store, refresh->remote,
                                                document == 0 ? "index" : "products", fd, &error)
                            : NULL;

  if (helper != NULL && document > 0)
    lodge_helper_add_fd (helper, "output", refresh->catalog_fd);
  if (!run (refresh, helper, document == 0 ? on_index_read : on_products_read))
    end (refresh, error);
}

static char *
etag_key (guint document)
{
  return g_strdup_printf ("etag-%u", document);
}

static void
on_got (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Refresh *refresh = user_data;
  g_autofree char *key = etag_key (refresh->next);
  GError *error = NULL;

  if (!lodge_helper_run_finish (refresh->helper, result, &error))
    {
      lodge_fetch_explain (refresh->helper, refresh->remote, &error);
      end (refresh, error);
      return;
    }
  if (lodge_helper_get_result (refresh->helper, "not-modified") == NULL)
    {
      const char *etag = lodge_helper_get_result (refresh->helper, "etag");

      refresh->new_files[refresh->next] = TRUE;
      if (etag != NULL && strlen (etag) < ETAG_MAX && g_str_is_ascii (etag))
        json_object_set_string_member (refresh->state, key, etag);
      else
        json_object_remove_member (refresh->state, key);
    }
  read_document (refresh, refresh->next);
}

/* The ETag counts for the file of that address only. */
static void
add_etag (Refresh *refresh, LodgeHelper *helper, guint document, const char *path)
{
  g_autofree char *key = etag_key (document);
  g_autofree char *path_key = g_strconcat (key, "-of", NULL);
  g_autofree char *file = file_path (refresh, document, "");
  const char *etag = lodge_json_get_string (refresh->state, key, NULL);

  if (etag != NULL && strcmp (lodge_json_get_string (refresh->state, path_key, ""), path) == 0
      && access (file, R_OK) == 0)
    lodge_helper_add (helper, "etag", etag);
  else
    json_object_remove_member (refresh->state, key);
  json_object_set_string_member (refresh->state, path_key, path);
}

static void
get_document (Refresh *refresh, guint document)
{
  const char *path = document > 0                   ? refresh->paths[document - 1]
                     : refresh->remote->has_keyring ? "streams/v1/index.sjson"
                                                    : "streams/v1/index.json";
  g_autofree char *target = file_path (refresh, document, ".new");
  g_auto (LodgeFd) fd = open (target, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  LodgeHelper *helper = NULL;
  GError *error = NULL;

  if (fd < 0)
    lodge_error_set_errno (&error, errno, "%s cannot be made", target);
  else
    helper = lodge_fetch_get (refresh->store, refresh->remote, path, fd, &error);
  if (helper != NULL)
    {
      add_etag (refresh, helper, document, path);
      lodge_helper_add_int (helper, "connect-ms", CONNECT_MS);
      lodge_helper_add_int (helper, "stall-seconds", STALL_SECONDS);
      lodge_helper_add_int (helper, "max-bytes", document == 0 ? INDEX_MAX : PRODUCTS_MAX);
      lodge_helper_set_timeout (helper, document == 0 ? INDEX_SECONDS : PRODUCTS_SECONDS);
    }
  refresh->new_files[document] = FALSE;
  if (!run (refresh, helper, on_got))
    end (refresh, error);
}

/* ---- its beginning ---- */

static gboolean
open_catalog (Refresh *refresh, GError **error)
{
  g_autofree char *path = g_build_filename (refresh->dir, "catalog.new", NULL);

  if (!lodge_dir_make (refresh->dir, 0700, error))
    return FALSE;
  refresh->catalog_fd
      = open (path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (refresh->catalog_fd >= 0)
    return TRUE;
  lodge_error_set_errno (error, errno, "%s cannot be made", path);
  return FALSE;
}

/* @task: (transfer full) */
static void
refresh_join (LodgeImageStore *self, const LodgeRemote *remote, gboolean accept_older, GTask *task)
{
  Refresh *refresh = g_hash_table_lookup (self->refreshes, remote->name);
  g_autofree char *parent = g_build_filename (self->state_dir, "cache", NULL);
  g_autofree char *remotes = g_build_filename (parent, "remotes", NULL);
  GError *error = NULL;

  if (refresh != NULL)
    {
      g_ptr_array_add (refresh->waiters, task);
      return;
    }
  refresh = g_new0 (Refresh, 1);
  refresh->store = g_object_ref (self);
  refresh->remote = lodge_remote_copy (remote);
  refresh->dir = cache_dir (self, remote->name);
  refresh->accept_older = accept_older;
  refresh->waiters = g_ptr_array_new_with_free_func (g_object_unref);
  refresh->state = lodge_remotes_get_state (self, remote->name);
  refresh->catalog_fd = -1;
  g_ptr_array_add (refresh->waiters, task);
  g_hash_table_insert (self->refreshes, refresh->remote->name, refresh);
  if (!lodge_dir_make (parent, 0700, &error) || !lodge_dir_make (remotes, 0700, &error)
      || !open_catalog (refresh, &error))
    end (refresh, error);
  else
    get_document (refresh, 0);
}

/* ---- browsing ---- */

static gboolean
is_fresh (const char *path)
{
  struct stat st;
  gint64 age = stat (path, &st) == 0 ? g_get_real_time () / G_USEC_PER_SEC - st.st_mtime : -1;

  return age >= 0 && age < FRESH_SECONDS;
}

typedef struct
{
  char *remote;
  LodgeBrowseFlags flags;
} Browse;

static void
browse_free (Browse *browse)
{
  g_free (browse->remote);
  g_free (browse);
}

static void
return_catalog (GTask *task, const GError *failure)
{
  LodgeImageStore *self = g_task_get_source_object (task);
  Browse *browse = g_task_get_task_data (task);
  g_autofree char *path = lodge_refresh_catalog_path (self, browse->remote);
  GPtrArray *catalog = failure == NULL || !(browse->flags & LODGE_BROWSE_REFRESH)
                           ? lodge_catalog_read (path)
                           : NULL;

  if (catalog != NULL)
    g_task_return_pointer (task, catalog, (GDestroyNotify) g_ptr_array_unref);
  else if (failure != NULL)
    g_task_return_error (task, g_error_copy (failure));
  else
    g_task_return_new_error (task, LODGE_ERROR, LODGE_ERROR_DOWNLOAD,
                             "What the remote “%s” has cannot be read", browse->remote);
  g_object_unref (task);
}

static void
on_refreshed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *task = user_data;
  const Browse *browse = g_task_get_task_data (task);
  g_autoptr (GError) error = NULL;

  (void) g_task_propagate_boolean (G_TASK (result), &error);
  /* A list that was refused as hostile is no reason to stop using the one before it. */
  if (error != NULL && (browse->flags & LODGE_BROWSE_SILENT) == 0)
    g_message ("%s", error->message);
  return_catalog (task, error);
}

void
lodge_image_store_browse_async (LodgeImageStore *self, const char *name, LodgeBrowseFlags flags,
                                GAsyncReadyCallback callback, gpointer user_data)
{
  GTask *task = g_task_new (self, NULL, callback, user_data);
  GError *error = NULL;
  const LodgeRemote *remote = lodge_image_store_get_remote (self, name, &error);
  g_autofree char *path = lodge_refresh_catalog_path (self, name);
  gboolean refresh = (flags & LODGE_BROWSE_REFRESH) != 0;
  Browse *browse = g_new0 (Browse, 1);

  browse->remote = g_strdup (name);
  browse->flags = flags;
  g_task_set_task_data (task, browse, (GDestroyNotify) browse_free);
  if (remote != NULL && remote->protocol == LODGE_REMOTE_URL)
    g_set_error (&error, LODGE_ERROR, LODGE_ERROR_NOT_SUPPORTED,
                 "The remote “%s” is a folder of files and cannot say what it has", name);
  if (error != NULL)
    {
      g_task_return_error (task, error);
      g_object_unref (task);
    }
  else if (remote->protocol == LODGE_REMOTE_BUILD)
    {
      g_task_return_pointer (task, lodge_catalog_of_recipes (), (GDestroyNotify) g_ptr_array_unref);
      g_object_unref (task);
    }
  else if (!refresh && is_fresh (path))
    return_catalog (task, NULL);
  else if (!refresh && find_refusal (self, name) != NULL)
    return_catalog (task, find_refusal (self, name)->error);
  else
    refresh_join (self, remote, (flags & LODGE_BROWSE_ACCEPT_OLDER) != 0,
                  g_task_new (self, NULL, on_refreshed, task));
}

GPtrArray *
lodge_image_store_browse_finish (LodgeImageStore *self, GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}
