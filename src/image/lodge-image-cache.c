/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The cache's own time, and what it decides.  The document `/image-cache` has what was counted
 * when lodged wrote it last, the wall clock of that moment, when partial downloads were seen to
 * change, and when remotes are to be asked.
 */
#include "lodge-remote-private.h"

#include <string.h>
#include <time.h>

#include "lodge-name.h"

#define CACHE_KEY      "/image-cache"
#define DOCUMENT_MAX   (256 * 1024)
#define PARTIALS_MAX   1000
#define PARTIAL_EXPIRY (7 * LODGE_IMAGE_DAY)
/* How much of a time without lodged counts. */
#define GAP_MAX  LODGE_IMAGE_DAY
#define TICK_MAX 3600

/* A partial download as it was when it was looked at. */
typedef struct
{
  gint64 at; /* by the cache's own time */
  guint64 size;
} Seen;

/* ---- time ---- */

static gint64
read_wall (gpointer data)
{
  return g_get_real_time () / G_USEC_PER_SEC;
}

/* Unlike CLOCK_MONOTONIC it counts while the machine sleeps. */
static gint64
read_running (gpointer data)
{
  struct timespec now = { 0 };

  clock_gettime (CLOCK_BOOTTIME, &now);
  return now.tv_sec;
}

gint64
lodge_image_cache_now (LodgeImageStore *self)
{
  LodgeImageCache *cache = &self->cache;
  gint64 passed = cache->clock.running (cache->clock.data) - cache->since;

  return cache->counted + MAX (passed, 0);
}

void
lodge_image_cache_init (LodgeImageStore *self)
{
  LodgeImageCache *cache = &self->cache;

  cache->clock = (LodgeImageClock){ .wall = read_wall, .running = read_running };
  cache->expiry = LODGE_IMAGE_EXPIRY_DEFAULT;
  cache->interval = LODGE_IMAGE_UPDATE_DEFAULT;
  cache->partials = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  cache->checks = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
}

void
lodge_image_cache_clear (LodgeImageStore *self)
{
  g_hash_table_unref (self->cache.partials);
  g_hash_table_unref (self->cache.checks);
}

/* ---- the document ---- */

static void
load_partials (LodgeImageStore *self, JsonObject *partials)
{
  JsonObjectIter iter;
  const char *name;
  JsonNode *node;

  g_hash_table_remove_all (self->cache.partials);
  if (partials == NULL)
    return;
  json_object_iter_init (&iter, partials);
  while (json_object_iter_next (&iter, &name, &node))
    if (JSON_NODE_HOLDS_OBJECT (node))
      {
        JsonObject *object = json_node_get_object (node);
        Seen *seen = g_new0 (Seen, 1);

        seen->at = lodge_json_get_int (object, "at", 0);
        seen->size = (guint64) lodge_json_get_int (object, "size", 0);
        g_hash_table_insert (self->cache.partials, g_strdup (name), seen);
      }
}

static void
load_checks (LodgeImageStore *self, JsonObject *checks)
{
  JsonObjectIter iter;
  const char *name;
  JsonNode *node;

  g_hash_table_remove_all (self->cache.checks);
  if (checks == NULL)
    return;
  json_object_iter_init (&iter, checks);
  while (json_object_iter_next (&iter, &name, &node))
    lodge_image_cache_get_check (self, name)->due = lodge_json_get_int (checks, name, 0);
}

void
lodge_image_cache_load (LodgeImageStore *self)
{
  LodgeImageCache *cache = &self->cache;
  g_autoptr (LodgeStoreEntry) entry = NULL;
  g_autoptr (JsonObject) object = NULL;
  g_autoptr (GError) error = NULL;
  gint64 wall = cache->clock.wall (cache->clock.data);

  if (!lodge_store_get (self->store, CACHE_KEY, &entry, &error))
    g_warning ("%s", error->message);
  object = entry != NULL ? lodge_json_parse_object (entry->value, -1, DOCUMENT_MAX, NULL) : NULL;
  if (object == NULL)
    object = json_object_new ();
  gint64 gap = wall - lodge_json_get_int (object, "wall", wall);
  cache->counted = lodge_json_get_int (object, "counted", 0) + CLAMP (gap, 0, GAP_MAX);
  cache->since = cache->clock.running (cache->clock.data);
  load_partials (self, lodge_json_get_object (object, "partials"));
  load_checks (self, lodge_json_get_object (object, "checks"));
}

static JsonObject *
partials_to_object (LodgeImageStore *self)
{
  JsonObject *object = json_object_new ();
  GHashTableIter iter;
  gpointer name, value;

  g_hash_table_iter_init (&iter, self->cache.partials);
  while (g_hash_table_iter_next (&iter, &name, &value))
    {
      const Seen *seen = value;
      JsonObject *member = json_object_new ();

      json_object_set_int_member (member, "at", seen->at);
      json_object_set_int_member (member, "size", (gint64) seen->size);
      json_object_set_object_member (object, name, member);
    }
  return object;
}

static JsonObject *
checks_to_object (LodgeImageStore *self)
{
  JsonObject *object = json_object_new ();
  GHashTableIter iter;
  gpointer name, check;

  g_hash_table_iter_init (&iter, self->cache.checks);
  while (g_hash_table_iter_next (&iter, &name, &check))
    if (g_hash_table_contains (self->remotes, name))
      json_object_set_int_member (object, name, ((LodgeImageCheck *) check)->due);
  return object;
}

void
lodge_image_cache_save (LodgeImageStore *self)
{
  LodgeImageCache *cache = &self->cache;
  g_autoptr (JsonObject) object = json_object_new ();
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;
  LodgeStoreOp op = { .kind = LODGE_STORE_OP_PUT, .key = CACHE_KEY };

  json_object_set_int_member (object, "counted", lodge_image_cache_now (self));
  json_object_set_int_member (object, "wall", cache->clock.wall (cache->clock.data));
  json_object_set_object_member (object, "partials", partials_to_object (self));
  json_object_set_object_member (object, "checks", checks_to_object (self));
  op.value = text = lodge_json_to_text (object);
  if (!lodge_store_txn (self->store, NULL, 0, &op, 1, NULL, &error))
    g_warning ("The age of the images is not recorded: %s", error->message);
}

LodgeImageCheck *
lodge_image_cache_get_check (LodgeImageStore *self, const char *remote)
{
  LodgeImageCheck *check = g_hash_table_lookup (self->cache.checks, remote);

  if (check == NULL)
    {
      check = g_new0 (LodgeImageCheck, 1);
      g_hash_table_insert (self->cache.checks, g_strdup (remote), check);
    }
  return check;
}

/* ---- settings ---- */

void
lodge_image_store_set_clock (LodgeImageStore *self, const LodgeImageClock *clock)
{
  self->cache.clock = *clock;
  lodge_image_cache_load (self);
}

void
lodge_image_store_set_expiry (LodgeImageStore *self, guint64 seconds)
{
  self->cache.expiry = seconds;
}

void
lodge_image_store_set_update_interval (LodgeImageStore *self, guint64 seconds)
{
  GHashTableIter iter;
  gpointer check;

  self->cache.interval = seconds;
  /* Who wants to ask more often does not wait for what was planned before. */
  g_hash_table_iter_init (&iter, self->cache.checks);
  while (g_hash_table_iter_next (&iter, NULL, &check))
    {
      LodgeImageCheck *planned = check;
      planned->due = MIN (planned->due, lodge_image_cache_now (self) + (gint64) seconds);
    }
}

gboolean
lodge_image_store_set_flags (LodgeImageStore *self, const char *fingerprint, int pinned,
                             int auto_update, GError **error)
{
  LodgeImage *image = g_hash_table_lookup (self->images, fingerprint);

  g_return_val_if_fail (image != NULL, FALSE);
  if (auto_update == 1)
    {
      g_auto (GStrv) refs = lodge_image_store_list_refs (self, image, TRUE);
      if (refs[0] == NULL)
        {
          g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_STATE,
                       "The image %.12s cannot be updated by itself: no image server has it under "
                       "a name that it goes by",
                       fingerprint);
          return FALSE;
        }
    }
  gboolean old_pinned = image->pinned, old_update = image->auto_update;
  image->pinned = pinned >= 0 ? pinned : old_pinned;
  image->auto_update = auto_update >= 0 ? auto_update : old_update;
  if (lodge_image_store_record (self, image, error))
    return TRUE;
  image->pinned = old_pinned;
  image->auto_update = old_update;
  return FALSE;
}

gboolean
lodge_image_store_keep (LodgeImageStore *self, const char *fingerprint, GError **error)
{
  LodgeImage *image = g_hash_table_lookup (self->images, fingerprint);

  g_return_val_if_fail (image != NULL, FALSE);
  if (!image->cached)
    return TRUE;
  gboolean old_update = image->auto_update;
  image->cached = image->auto_update = FALSE;
  if (lodge_image_store_record (self, image, error))
    return TRUE;
  image->cached = TRUE;
  image->auto_update = old_update;
  return FALSE;
}

/* ---- what becomes of an image ---- */

/* Whether somebody gave it a name of his own, which Lodge cannot know how to give back. */
static gboolean
is_named (const LodgeImage *image)
{
  const LodgeImageRecipe *recipe
      = g_str_has_prefix (image->source, "build:") ? lodge_image_recipe_find (image->source) : NULL;

  for (char **alias = image->aliases; *alias != NULL; alias++)
    if (strchr (*alias, ':') == NULL
        && (recipe == NULL || !g_strv_contains (recipe->aliases, *alias)))
      return TRUE;
  return FALSE;
}

/* Whether a launch would still find it by what its first launch named. */
static gboolean
is_current (LodgeImageStore *self, const LodgeImage *image)
{
  return image->aliases[0] != NULL
         || (lodge_remotes_is_url (image->source)
             && lodge_image_store_find_source (self, image->source, image->kind) == image);
}

LodgeImageFate
lodge_image_store_judge (LodgeImageStore *self, const LodgeImage *image)
{
  gint64 unused = lodge_image_cache_now (self) - image->used_clock;

  if (!image->cached || image->pinned || is_named (image))
    return LODGE_IMAGE_KEPT;
  if (!is_current (self, image))
    return LODGE_IMAGE_SUPERSEDED;
  return self->cache.expiry != 0 && unused >= (gint64) self->cache.expiry ? LODGE_IMAGE_EXPIRED
                                                                          : LODGE_IMAGE_CACHED;
}

const char *
lodge_image_fate_nick (LodgeImageFate fate)
{
  static const char *const nicks[] = { "kept", "unused", "expired", "superseded" };

  return nicks[fate];
}

/* What the wall clock is ahead of the cache's own time: the same until the clock is set, so that
 * an expiry does not waver with the fractions of their seconds. */
static gint64
get_wall_offset (LodgeImageStore *self)
{
  LodgeImageCache *cache = &self->cache;
  gint64 offset = cache->clock.wall (cache->clock.data) - lodge_image_cache_now (self);

  if (ABS (offset - cache->wall_offset) > 2)
    cache->wall_offset = offset;
  return cache->wall_offset;
}

gint64
lodge_image_store_get_expiry (LodgeImageStore *self, const LodgeImage *image)
{
  const LodgeImageCache *cache = &self->cache;

  if (cache->expiry == 0 || lodge_image_store_judge (self, image) == LODGE_IMAGE_KEPT)
    return 0;
  return image->used_clock + (gint64) cache->expiry + get_wall_offset (self);
}

void
lodge_image_store_renew (LodgeImageStore *self, const char *fingerprint)
{
  LodgeImage *image = g_hash_table_lookup (self->images, fingerprint);
  gint64 now = lodge_image_cache_now (self);

  if (image == NULL || !image->cached || now - image->used_clock < 60)
    return;
  image->used_clock = now;
  lodge_image_store_record (self, image, NULL);
}

/* ---- the tick ---- */

GPtrArray *
lodge_image_store_list_partials (LodgeImageStore *self)
{
  return lodge_image_partials_list (self->state_dir);
}

/* What has not changed for a week, and nobody works on. */
static GStrv
find_old_partials (LodgeImageStore *self)
{
  g_autoptr (GPtrArray) partials = lodge_image_partials_list (self->state_dir);
  g_autoptr (GStrvBuilder) old = g_strv_builder_new ();
  g_autoptr (GHashTable) before = g_steal_pointer (&self->cache.partials);
  gint64 now = lodge_image_cache_now (self);

  self->cache.partials = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  for (guint i = 0; i < partials->len && i < PARTIALS_MAX; i++)
    {
      const LodgeImagePartial *partial = g_ptr_array_index (partials, i);
      const Seen *known = g_hash_table_lookup (before, partial->name);
      Seen *seen = g_new0 (Seen, 1);

      seen->at = known != NULL && known->size == partial->size ? known->at : now;
      seen->size = partial->size;
      g_hash_table_insert (self->cache.partials, g_strdup (partial->name), seen);
      if (now - seen->at >= PARTIAL_EXPIRY)
        g_strv_builder_add (old, partial->name);
    }
  return g_strv_builder_end (old);
}

GStrv
lodge_image_store_tick (LodgeImageStore *self)
{
  GStrv old = find_old_partials (self);

  lodge_image_cache_save (self);
  return old;
}

guint
lodge_image_store_get_next_tick (LodgeImageStore *self)
{
  guint64 next = TICK_MAX;

  if (self->cache.expiry != 0)
    next = MIN (next, self->cache.expiry);
  if (self->cache.interval != 0)
    next = MIN (next, self->cache.interval);
  return (guint) MAX (next, 1);
}
