/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-remote-private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lodge-config.h"
#include "lodge-fd.h"
#include "lodge-json.h"
#include "lodge-name.h"

#define IMAGE_PREFIX      "/images/"
#define ALIAS_PREFIX      "/aliases/"
#define ROOTFS_NAME       "rootfs"
#define DISK_NAME         "disk.qcow2"
#define MEDIUM_NAME       "disk.iso"
#define BUILD_DIR_PREFIX  "image-" /* in staging/; see lodge-image-work.c */
#define DOCUMENT_MAX      1024
#define SHORT_FINGERPRINT 6
#define ALIASES_MAX       60 /* all old and all new ones fit into one transaction */
/* A launch must not wait for the disk only to say that it happened. */
#define TOUCH_INTERVAL_SECONDS 60

enum
{
  IMAGE_ADDED,
  IMAGE_CHANGED,
  IMAGE_REMOVED,
  N_SIGNALS
};

static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (LodgeImageStore, lodge_image_store, G_TYPE_OBJECT)

static void
lodge_image_store_finalize (GObject *object)
{
  LodgeImageStore *self = LODGE_IMAGE_STORE (object);

  g_clear_object (&self->store);
  g_clear_object (&self->executor);
  g_free (self->state_dir);
  g_free (self->helper_dir);
  g_hash_table_unref (self->images);
  g_hash_table_unref (self->aliases);
  g_hash_table_unref (self->works);
  g_hash_table_unref (self->remotes);
  g_hash_table_unref (self->refreshes);
  g_hash_table_unref (self->refusals);
  g_free (self->default_remote);
  g_free (self->proxy);
  lodge_image_cache_clear (self);
  G_OBJECT_CLASS (lodge_image_store_parent_class)->finalize (object);
}

static void
lodge_image_store_class_init (LodgeImageStoreClass *klass)
{
  static const char *const names[N_SIGNALS] = { "image-added", "image-changed", "image-removed" };

  G_OBJECT_CLASS (klass)->finalize = lodge_image_store_finalize;
  for (guint i = 0; i < N_SIGNALS; i++)
    signals[i] = g_signal_new (names[i], G_TYPE_FROM_CLASS (klass), G_SIGNAL_RUN_LAST, 0, NULL,
                               NULL, NULL, G_TYPE_NONE, 1, G_TYPE_STRING);
}

static void
lodge_image_store_init (LodgeImageStore *self)
{
  self->helper_dir = g_strdup (LODGE_LIBEXECDIR);
  self->executor = lodge_executor_new ("images", 2);
  self->images
      = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, (GDestroyNotify) lodge_image_free);
  self->aliases = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  self->works = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  self->remotes
      = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, (GDestroyNotify) lodge_remote_free);
  self->refreshes = g_hash_table_new (g_str_hash, g_str_equal);
  self->refusals
      = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, lodge_refresh_refusal_free);
  lodge_image_cache_init (self);
}

void
lodge_image_store_set_helper_dir (LodgeImageStore *self, const char *helper_dir)
{
  lodge_image_set_string (&self->helper_dir, helper_dir);
}

char *
lodge_image_alias_key (LodgeKind kind, const char *alias)
{
  return g_strconcat (lodge_kind_nick (kind), "/", alias, NULL);
}

char *
lodge_image_store_dir (LodgeImageStore *self, const char *fingerprint)
{
  return g_build_filename (self->state_dir, "images", fingerprint, NULL);
}

char *
lodge_image_store_get_rootfs_dir (LodgeImageStore *self, const char *fingerprint)
{
  return g_build_filename (self->state_dir, "images", fingerprint, ROOTFS_NAME, NULL);
}

char *
lodge_image_store_get_disk_path (LodgeImageStore *self, const char *fingerprint)
{
  return g_build_filename (self->state_dir, "images", fingerprint, DISK_NAME, NULL);
}

char *
lodge_image_store_get_medium_path (LodgeImageStore *self, const char *fingerprint)
{
  return g_build_filename (self->state_dir, "images", fingerprint, MEDIUM_NAME, NULL);
}

/* ---- loading ---- */

static gboolean
has_files (LodgeImageStore *self, const LodgeImage *image)
{
  gboolean is_vm = image->kind == LODGE_KIND_VM;
  g_autofree char *path = image->medium
                              ? lodge_image_store_get_medium_path (self, image->fingerprint)
                          : is_vm ? lodge_image_store_get_disk_path (self, image->fingerprint)
                                  : lodge_image_store_get_rootfs_dir (self, image->fingerprint);
  struct stat st;

  return lstat (path, &st) == 0 && (is_vm ? S_ISREG (st.st_mode) : S_ISDIR (st.st_mode));
}

static gboolean
load_images (LodgeImageStore *self, GError **error)
{
  g_autoptr (GPtrArray) entries = lodge_store_list (self->store, IMAGE_PREFIX, NULL, error);

  for (guint i = 0; entries != NULL && i < entries->len; i++)
    {
      LodgeStoreEntry *entry = g_ptr_array_index (entries, i);
      g_autoptr (GError) local_error = NULL;
      LodgeImage *image = lodge_image_from_document (entry->key + strlen (IMAGE_PREFIX),
                                                     entry->value, &local_error);

      if (image == NULL)
        g_warning ("%s", local_error->message);
      else if (!has_files (self, image))
        {
          /* Kept in the store: the file system may just not be mounted. */
          g_warning ("The image %.12s has lost its files", image->fingerprint);
          lodge_image_free (image);
        }
      else
        g_hash_table_insert (self->images, image->fingerprint, image);
    }
  return entries != NULL;
}

static gboolean
load_aliases (LodgeImageStore *self, GError **error)
{
  g_autoptr (GPtrArray) entries = lodge_store_list (self->store, ALIAS_PREFIX, NULL, error);

  for (guint i = 0; entries != NULL && i < entries->len; i++)
    {
      LodgeStoreEntry *entry = g_ptr_array_index (entries, i);
      g_autoptr (JsonObject) object
          = lodge_json_parse_object (entry->value, -1, DOCUMENT_MAX, NULL);
      const char *fingerprint
          = object != NULL ? lodge_json_get_string (object, "fingerprint", "") : "";

      if (g_hash_table_contains (self->images, fingerprint))
        g_hash_table_insert (self->aliases, g_strdup (entry->key + strlen (ALIAS_PREFIX)),
                             g_strdup (fingerprint));
    }
  return entries != NULL;
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

/* Gives each image the sorted list of its aliases. */
static void
list_aliases (LodgeImageStore *self, LodgeImage *image)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  g_autofree char *prefix = lodge_image_alias_key (image->kind, "");
  GHashTableIter iter;
  gpointer key, fingerprint;

  g_hash_table_iter_init (&iter, self->aliases);
  while (g_hash_table_iter_next (&iter, &key, &fingerprint))
    if (strcmp (fingerprint, image->fingerprint) == 0 && g_str_has_prefix (key, prefix))
      g_ptr_array_add (names, g_strdup ((char *) key + strlen (prefix)));
  g_ptr_array_sort (names, compare_names);
  g_ptr_array_add (names, NULL);
  g_strfreev (image->aliases);
  image->aliases = (char **) g_ptr_array_free (g_steal_pointer (&names), FALSE);
}

static gboolean
move_to_trash (LodgeImageStore *self, const char *path, char **out_trash, GError **error)
{
  g_autofree char *name = g_path_get_basename (path);
  g_autofree char *unique
      = g_strdup_printf ("image-%.12s-%" G_GINT64_FORMAT, name, g_get_real_time ());
  g_autofree char *trash = g_build_filename (self->state_dir, "trash", unique, NULL);

  if (rename (path, trash) < 0 && errno != ENOENT)
    {
      lodge_error_set_errno (error, errno, "%s cannot be moved to the trash", path);
      return FALSE;
    }
  if (out_trash != NULL)
    *out_trash = g_steal_pointer (&trash);
  return TRUE;
}

/* What a crash left: files that never got a document, and builds that nobody waits for. */
static gboolean
clean_folder (LodgeImageStore *self, const char *folder, const char *prefix, GError **error)
{
  g_autofree char *path = g_build_filename (self->state_dir, folder, NULL);
  g_autoptr (GDir) dir = NULL;
  const char *name;

  if (!lodge_dir_make (path, 0711, error) || (dir = g_dir_open (path, 0, error)) == NULL)
    return FALSE;
  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *child = g_build_filename (path, name, NULL);

      if (!g_str_has_prefix (name, prefix) || g_hash_table_contains (self->images, name))
        continue;
      g_message ("%s belongs to no image and goes to the trash", child);
      if (!move_to_trash (self, child, NULL, error))
        return FALSE;
    }
  return TRUE;
}

LodgeImageStore *
lodge_image_store_new (LodgeStore *store, const char *state_dir, GError **error)
{
  g_autoptr (LodgeImageStore) self = g_object_new (LODGE_TYPE_IMAGE_STORE, NULL);
  g_autofree char *trash = g_build_filename (state_dir, "trash", NULL);
  GHashTableIter iter;
  gpointer image;

  self->store = g_object_ref (store);
  self->state_dir = g_strdup (state_dir);
  if (!lodge_dir_make (trash, 0700, error) || !load_images (self, error)
      || !load_aliases (self, error) || !clean_folder (self, "images", "", error)
      || !clean_folder (self, "staging", BUILD_DIR_PREFIX, error)
      || !lodge_remotes_load (self, error))
    return NULL;
  lodge_image_cache_load (self);
  g_hash_table_iter_init (&iter, self->images);
  while (g_hash_table_iter_next (&iter, NULL, &image))
    list_aliases (self, image);
  return g_steal_pointer (&self);
}

/* ---- finding ---- */

static int
compare_age (gconstpointer a, gconstpointer b)
{
  const LodgeImage *left = *(LodgeImage *const *) a, *right = *(LodgeImage *const *) b;

  if (left->created_at != right->created_at)
    return left->created_at < right->created_at ? 1 : -1;
  return strcmp (left->fingerprint, right->fingerprint);
}

GPtrArray *
lodge_image_store_list (LodgeImageStore *self)
{
  GPtrArray *images = g_ptr_array_new ();
  GHashTableIter iter;
  gpointer image;

  g_hash_table_iter_init (&iter, self->images);
  while (g_hash_table_iter_next (&iter, NULL, &image))
    g_ptr_array_add (images, image);
  g_ptr_array_sort (images, compare_age);
  return images;
}

const LodgeImage *
lodge_image_store_get (LodgeImageStore *self, const char *fingerprint)
{
  return g_hash_table_lookup (self->images, fingerprint);
}

static gboolean
is_prefix_of_fingerprint (const char *ref)
{
  gsize length = strlen (ref);

  return length >= SHORT_FINGERPRINT && length <= 64 && strspn (ref, "0123456789abcdef") == length;
}

/* Returns: the one image of @kind; @out_n: how many there are. */
static const LodgeImage *
find_by_prefix (LodgeImageStore *self, const char *ref, LodgeKind kind, guint *out_n)
{
  const LodgeImage *found = NULL;
  GHashTableIter iter;
  gpointer value;

  *out_n = 0;
  g_hash_table_iter_init (&iter, self->images);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      const LodgeImage *image = value;

      if (image->kind != kind || !g_str_has_prefix (image->fingerprint, ref))
        continue;
      found = image;
      (*out_n)++;
    }
  return found;
}

static const char *
describe_kind (LodgeKind kind)
{
  return kind == LODGE_KIND_VM ? "VMs" : "containers";
}

static void
set_not_found (LodgeImageStore *self, const char *ref, LodgeKind kind, GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  g_autofree char *head = g_strndup (ref, 80);
  g_autofree char *shown = lodge_text_escape (head);
  g_autofree char *prefix = lodge_image_alias_key (kind, "");
  LodgeKind other = kind == LODGE_KIND_VM ? LODGE_KIND_CONTAINER : LODGE_KIND_VM;
  g_autofree char *other_key = lodge_image_alias_key (other, ref);
  GHashTableIter iter;
  gpointer key;

  if (g_hash_table_contains (self->aliases, other_key))
    {
      const char *fingerprint = g_hash_table_lookup (self->aliases, other_key);
      const LodgeImage *image = g_hash_table_lookup (self->images, fingerprint);
      if (image != NULL && image->medium)
        lodge_image_set_medium_error (image, ref, LODGE_ERROR_NOT_FOUND, error);
      else
        g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND, "The image “%s” is for %s only",
                     shown, describe_kind (other));
      return;
    }
  lodge_image_recipe_add_names (names);
  g_hash_table_iter_init (&iter, self->aliases);
  while (g_hash_table_iter_next (&iter, &key, NULL))
    if (g_str_has_prefix (key, prefix))
      g_ptr_array_add (names, (char *) key + strlen (prefix));
  g_ptr_array_add (names, NULL);
  const char *nearest = lodge_nearest (ref, (const char *const *) names->pdata);
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND,
               nearest != NULL ? "There is no image “%s” for %s\nDid you mean “%s”?"
                               : "There is no image “%s” for %s",
               shown, describe_kind (kind), nearest);
}

static const LodgeImage *
find_by_alias (LodgeImageStore *self, const char *alias, LodgeKind kind)
{
  g_autofree char *key = lodge_image_alias_key (kind, alias);
  const char *fingerprint = g_hash_table_lookup (self->aliases, key);

  return fingerprint != NULL ? g_hash_table_lookup (self->images, fingerprint) : NULL;
}

const LodgeImage *
lodge_image_store_find_source (LodgeImageStore *self, const char *source, LodgeKind kind)
{
  const LodgeImage *newest = NULL;
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, self->images);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      const LodgeImage *image = value;
      if (image->kind == kind && strcmp (image->source, source) == 0
          && (newest == NULL || image->created_at > newest->created_at))
        newest = image;
    }
  return newest;
}

/* What is here under that name: its own, or the one that the default remote has for it. */
static const LodgeImage *
find_by_name (LodgeImageStore *self, const char *ref, LodgeKind kind)
{
  const char *name = lodge_image_recipe_strip (ref);
  g_autofree char *qualified = g_strconcat (self->default_remote, ":", ref, NULL);
  const LodgeImage *image = find_by_alias (self, name, kind);

  if (image == NULL && name == ref)
    image = find_by_alias (self, qualified, kind);
  return image == NULL && lodge_remotes_is_url (ref)
             ? lodge_image_store_find_source (self, ref, kind)
             : image;
}

const LodgeImage *
lodge_image_store_resolve (LodgeImageStore *self, const char *ref, LodgeKind kind, GError **error)
{
  const char *name = lodge_image_recipe_strip (ref);
  const LodgeImage *image = find_by_name (self, ref, kind);
  guint n = 0;

  if (image != NULL)
    return image;
  if (is_prefix_of_fingerprint (name))
    image = find_by_prefix (self, name, kind, &n);
  if (n == 1)
    return image;
  if (n > 1)
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND,
                 "%u images have fingerprints that begin with “%s”\nGive more of its digits.", n,
                 name);
  else
    set_not_found (self, name, kind, error);
  return NULL;
}

/* ---- changing ---- */

/* A transaction that is being put together; owns its strings. */
typedef struct
{
  GArray *ops; /* LodgeStoreOp */
  GPtrArray *strings;
} Changes;

static void
changes_init (Changes *changes)
{
  changes->ops = g_array_new (FALSE, TRUE, sizeof (LodgeStoreOp));
  changes->strings = g_ptr_array_new_with_free_func (g_free);
}

static void
changes_clear (Changes *changes)
{
  g_array_unref (changes->ops);
  g_ptr_array_unref (changes->strings);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Changes, changes_clear)

/* @key, @value: (transfer full); without a value the key is deleted. */
static void
changes_add (Changes *changes, char *key, char *value)
{
  LodgeStoreOp op = { .kind = value != NULL ? LODGE_STORE_OP_PUT : LODGE_STORE_OP_DELETE,
                      .key = key,
                      .value = value };

  g_array_append_val (changes->ops, op);
  g_ptr_array_add (changes->strings, key);
  g_ptr_array_add (changes->strings, value);
}

static void
changes_put_image (Changes *changes, const LodgeImage *image)
{
  changes_add (changes, g_strconcat (IMAGE_PREFIX, image->fingerprint, NULL),
               lodge_image_to_document (image));
}

static void
changes_put_alias (Changes *changes, const LodgeImage *image, const char *alias)
{
  g_autoptr (JsonObject) object = json_object_new ();
  g_autofree char *key = lodge_image_alias_key (image->kind, alias);

  json_object_set_string_member (object, "fingerprint", image->fingerprint);
  changes_add (changes, g_strconcat (ALIAS_PREFIX, key, NULL), lodge_json_to_text (object));
}

static void
changes_drop_alias (Changes *changes, const LodgeImage *image, const char *alias)
{
  g_autofree char *key = lodge_image_alias_key (image->kind, alias);

  changes_add (changes, g_strconcat (ALIAS_PREFIX, key, NULL), NULL);
}

static gboolean
changes_commit (Changes *changes, LodgeImageStore *self, GError **error)
{
  return lodge_store_txn (self->store, NULL, 0, (const LodgeStoreOp *) changes->ops->data,
                          changes->ops->len, NULL, error);
}

static gboolean
check_aliases (const char *const *aliases, GError **error)
{
  guint n = 0;

  for (const char *const *alias = aliases; alias != NULL && *alias != NULL; alias++, n++)
    if (!lodge_alias_validate (*alias, error))
      return FALSE;
  if (n <= ALIASES_MAX)
    return TRUE;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_LIMIT_EXCEEDED, "An image can have %d aliases",
               ALIASES_MAX);
  return FALSE;
}

/* Makes @aliases those of @image in memory, and tells about the images that lost one. */
static void
take_aliases (LodgeImageStore *self, LodgeImage *image, const char *const *aliases)
{
  g_autoptr (GPtrArray) losers = g_ptr_array_new ();
  g_auto (GStrv) old = g_steal_pointer (&image->aliases);

  for (char **alias = old; *alias != NULL; alias++)
    {
      g_autofree char *key = lodge_image_alias_key (image->kind, *alias);
      g_hash_table_remove (self->aliases, key);
    }
  for (const char *const *alias = aliases; *alias != NULL; alias++)
    {
      char *key = lodge_image_alias_key (image->kind, *alias);
      const char *owner = g_hash_table_lookup (self->aliases, key);
      LodgeImage *loser = owner != NULL ? g_hash_table_lookup (self->images, owner) : NULL;

      if (loser != NULL && loser != image && !g_ptr_array_find (losers, loser, NULL))
        g_ptr_array_add (losers, loser);
      g_hash_table_replace (self->aliases, key, g_strdup (image->fingerprint));
    }
  list_aliases (self, image);
  for (guint i = 0; i < losers->len; i++)
    {
      LodgeImage *loser = g_ptr_array_index (losers, i);

      list_aliases (self, loser);
      g_signal_emit (self, signals[IMAGE_CHANGED], 0, loser->fingerprint);
    }
}

gboolean
lodge_image_store_commit (LodgeImageStore *self, LodgeImage *image, GError **error)
{
  g_autoptr (LodgeImage) owned = image;
  g_auto (Changes) changes = { 0 };
  LodgeImage *old = g_hash_table_lookup (self->images, image->fingerprint);
  g_autoptr (GPtrArray) aliases = g_ptr_array_new_with_free_func (g_free);

  changes_init (&changes);
  if (old != NULL)
    {
      image->created_at = old->created_at;
      image->last_used_at = old->last_used_at;
      /* What somebody brought here himself stays his. */
      image->cached = image->cached && old->cached;
      image->pinned = old->pinned;
      image->auto_update = image->cached && old->auto_update;
    }
  image->used_clock = lodge_image_cache_now (self);
  for (char **alias = old != NULL ? old->aliases : NULL; alias != NULL && *alias != NULL; alias++)
    if (!g_strv_contains ((const char *const *) image->aliases, *alias))
      g_ptr_array_add (aliases, g_strdup (*alias));
  for (char **alias = image->aliases; *alias != NULL; alias++)
    {
      g_ptr_array_add (aliases, g_strdup (*alias));
      changes_put_alias (&changes, image, *alias);
    }
  g_ptr_array_add (aliases, NULL);
  if (!check_aliases ((const char *const *) aliases->pdata, error))
    return FALSE;
  changes_put_image (&changes, image);
  if (!changes_commit (&changes, self, error))
    return FALSE;

  g_strfreev (owned->aliases);
  owned->aliases = old != NULL ? g_strdupv (old->aliases) : g_new0 (char *, 1);
  /* The key is the value's own string, so both are replaced. */
  g_hash_table_replace (self->images, owned->fingerprint, owned);
  LodgeImage *kept = g_steal_pointer (&owned);
  take_aliases (self, kept, (const char *const *) aliases->pdata);
  g_signal_emit (self, signals[old != NULL ? IMAGE_CHANGED : IMAGE_ADDED], 0, kept->fingerprint);
  return TRUE;
}

static LodgeImage *
look_up (LodgeImageStore *self, const char *fingerprint, GError **error)
{
  LodgeImage *image = g_hash_table_lookup (self->images, fingerprint);

  if (image == NULL)
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND,
                 "There is no image with that "
                 "fingerprint");
  return image;
}

gboolean
lodge_image_store_set_aliases (LodgeImageStore *self, const char *fingerprint,
                               const char *const *aliases, GError **error)
{
  LodgeImage *image = look_up (self, fingerprint, error);
  g_auto (Changes) changes = { 0 };

  changes_init (&changes);
  if (image == NULL || !check_aliases (aliases, error))
    return FALSE;
  for (char **alias = image->aliases; *alias != NULL; alias++)
    if (!g_strv_contains (aliases, *alias))
      changes_drop_alias (&changes, image, *alias);
  for (const char *const *alias = aliases; *alias != NULL; alias++)
    changes_put_alias (&changes, image, *alias);
  if (changes.ops->len > 0 && !changes_commit (&changes, self, error))
    return FALSE;
  take_aliases (self, image, aliases);
  g_signal_emit (self, signals[IMAGE_CHANGED], 0, image->fingerprint);
  return TRUE;
}

gboolean
lodge_image_store_add_alias (LodgeImageStore *self, const char *fingerprint, const char *alias,
                             GError **error)
{
  LodgeImage *image = look_up (self, fingerprint, error);
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();

  if (image == NULL)
    return FALSE;
  if (g_strv_contains ((const char *const *) image->aliases, alias))
    return TRUE;
  g_strv_builder_addv (builder, (const char **) image->aliases);
  g_strv_builder_add (builder, alias);
  g_auto (GStrv) aliases = g_strv_builder_end (builder);
  return lodge_image_store_set_aliases (self, fingerprint, (const char *const *) aliases, error);
}

void
lodge_image_store_touch (LodgeImageStore *self, const char *fingerprint)
{
  LodgeImage *image = g_hash_table_lookup (self->images, fingerprint);
  gint64 now = g_get_real_time () / G_USEC_PER_SEC;
  gint64 clock = lodge_image_cache_now (self);

  if (image == NULL
      || (ABS (now - image->last_used_at) < TOUCH_INTERVAL_SECONDS
          && clock - image->used_clock < TOUCH_INTERVAL_SECONDS))
    return;
  image->last_used_at = now;
  image->used_clock = clock;
  lodge_image_store_record (self, image, NULL);
}

gboolean
lodge_image_store_record (LodgeImageStore *self, LodgeImage *image, GError **error)
{
  g_auto (Changes) changes = { 0 };
  g_autoptr (GError) local_error = NULL;

  changes_init (&changes);
  changes_put_image (&changes, image);
  if (!changes_commit (&changes, self, &local_error))
    {
      if (error == NULL)
        g_warning ("A change of the image %.12s is not recorded: %s", image->fingerprint,
                   local_error->message);
      else
        g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  g_signal_emit (self, signals[IMAGE_CHANGED], 0, image->fingerprint);
  return TRUE;
}

char *
lodge_image_store_delete (LodgeImageStore *self, const char *fingerprint, GError **error)
{
  LodgeImage *image = look_up (self, fingerprint, error);
  g_auto (Changes) changes = { 0 };
  static const char *const none[] = { NULL };

  changes_init (&changes);
  if (image == NULL)
    return NULL;
  for (char **alias = image->aliases; *alias != NULL; alias++)
    changes_drop_alias (&changes, image, *alias);
  changes_add (&changes, g_strconcat (IMAGE_PREFIX, fingerprint, NULL), NULL);
  if (!changes_commit (&changes, self, error))
    return NULL;

  g_autofree char *name = g_strdup (image->fingerprint);
  g_autofree char *path = lodge_image_store_dir (self, name);
  char *trash = NULL;
  take_aliases (self, image, none);
  g_hash_table_remove (self->images, name);
  g_signal_emit (self, signals[IMAGE_REMOVED], 0, name);
  return move_to_trash (self, path, &trash, error) ? trash : NULL;
}
