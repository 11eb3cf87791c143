/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of this folder share. */

#include "lodge-executor.h"
#include "lodge-helper.h"
#include "lodge-image-cache.h"

G_BEGIN_DECLS

#define LODGE_IMAGE_WORKER "lodge-image-worker"

/* An import or a build that takes longer is stuck. */
#define LODGE_IMAGE_TIMEOUT_SECONDS (2 * 3600)

/* Of helpers for whose work nobody waits. */
#define LODGE_IMAGE_QUIET_NICE 19

/* When a remote is asked whether it has newer versions. */
typedef struct
{
  gint64 due; /* by the cache's own time */
  guint failures;
} LodgeImageCheck;

/* See lodge-image-cache.h. */
typedef struct
{
  LodgeImageClock clock;
  gint64 counted;       /* what had been counted at `since` */
  gint64 since;         /* of clock.running */
  gint64 wall_offset;   /* of the wall clock to what is counted */
  guint64 expiry;       /* seconds; 0: none */
  guint64 interval;     /* seconds between questions; 0: none are asked */
  GHashTable *partials; /* name of a partial download → Seen; see lodge-image-cache.c */
  GHashTable *checks;   /* name of a remote → LodgeImageCheck */
} LodgeImageCache;

struct _LodgeImageStore
{
  GObject parent;

  LodgeStore *store;
  char *state_dir;
  char *helper_dir;
  LodgeExecutor *executor; /* for what waits for the disk */
  GHashTable *images;      /* fingerprint → LodgeImage */
  GHashTable *aliases;     /* "<kind>/<alias>" → fingerprint */
  GHashTable *works;       /* key → LodgeImageWork, borrowed: those to be joined */
  GHashTable *remotes;     /* name → LodgeRemote */
  GHashTable *refreshes;   /* name of a remote → Refresh, borrowed: those to be joined */
  GHashTable *refusals;    /* name of a remote → why it is not asked for a while */
  char *default_remote;
  char *proxy; /* for all remotes that name none; or NULL */
  LodgeImageCache cache;
};

/* ---- lodge-image.c ---- */

/* What helpers and users call an image that is an install medium. */
#define LODGE_IMAGE_MEDIUM_NICK "iso"

/** Says that only a VM can be made from it.  @ref: (nullable): what the user called it. */
void lodge_image_set_medium_error (const LodgeImage *image, const char *ref, LodgeErrorCode code,
                                   GError **error);
LodgeImage *lodge_image_new (const char *fingerprint, LodgeKind kind);
/** Replaces a string field; NULL is "". */
void lodge_image_set_string (char **field, const char *value);
/** (transfer full) */
char *lodge_image_to_document (const LodgeImage *image);
LodgeImage *lodge_image_from_document (const char *fingerprint, const char *document,
                                       GError **error);

/* ---- lodge-image-recipe.c ---- */

/** A ref that the `build:` remote can supply. */
typedef struct
{
  const char *distribution;
  const char *suite;
  const char *variant;    /* NULL: the ordinary one; "cloud": with cloud-init; "minimal" */
  const char *machine;    /* dpkg's architecture; NULL: this host's */
  const char *aliases[3]; /* NULL-ended; the first is the name of the recipe */
} LodgeImageRecipe;

/** Returns: NULL when there is none of that name, "build:" in front or not.  Static. */
const LodgeImageRecipe *lodge_image_recipe_find (const char *ref);
/** @ref without "build:".  Borrowed. */
const char *lodge_image_recipe_strip (const char *ref);
/** Recipe number @index, or NULL.  Static. */
const LodgeImageRecipe *lodge_image_recipe_nth (guint index);
/** Whether it is for another architecture than this host's. */
gboolean lodge_image_recipe_is_foreign (const LodgeImageRecipe *recipe);
/** Of what it makes, as libvirt has it.  Static. */
const char *lodge_image_recipe_architecture (const LodgeImageRecipe *recipe);
/** Adds the aliases of all recipes for this host (static strings). */
void lodge_image_recipe_add_names (GPtrArray *names);
/** This host's architecture as dpkg has it; libvirt's name when dpkg's is not known. */
const char *lodge_image_host_machine (void);
/** As libvirt has it.  Static. */
const char *lodge_image_host_architecture (void);

/* ---- lodge-image-store.c ---- */

/** "<kind>/<alias>".  (transfer full) */
char *lodge_image_alias_key (LodgeKind kind, const char *alias);
/** (transfer full): `<state>/images/<fingerprint>` */
char *lodge_image_store_dir (LodgeImageStore *self, const char *fingerprint);

/**
 * lodge_image_store_commit:
 * @image: (transfer full): with the aliases that it is to have
 *
 * Writes the documents of a published image, takes its aliases away from others, and tells about
 * it.  An image that is there already keeps its age and, as far as @image has none, its aliases.
 */
gboolean lodge_image_store_commit (LodgeImageStore *self, LodgeImage *image, GError **error);

/** Writes the document of @image, which has been changed, and tells.  A failure is logged when
 * @error is NULL. */
gboolean lodge_image_store_record (LodgeImageStore *self, LodgeImage *image, GError **error);

/** The newest image of @kind that came from @source; borrowed or NULL. */
const LodgeImage *lodge_image_store_find_source (LodgeImageStore *self, const char *source,
                                                 LodgeKind kind);

/* ---- lodge-image-cache.c ---- */

void lodge_image_cache_init (LodgeImageStore *self);
void lodge_image_cache_clear (LodgeImageStore *self);
/** Reads how much time has been counted, and begins to count. */
void lodge_image_cache_load (LodgeImageStore *self);
/** Seconds of the cache's own time. */
gint64 lodge_image_cache_now (LodgeImageStore *self);
/** Of a remote: borrowed, made when there is none. */
LodgeImageCheck *lodge_image_cache_get_check (LodgeImageStore *self, const char *remote);
/** Writes what was counted and when remotes are to be asked; a failure is logged. */
void lodge_image_cache_save (LodgeImageStore *self);

/* ---- lodge-image-publish.c ---- */

/**
 * lodge_image_publish_async:
 * @image: copied
 * @source_dir: with rootfs/ or disk.qcow2 in it; is gone on success
 *
 * Makes the files durable, moves them to their place and commits the documents.
 */
void lodge_image_publish_async (LodgeImageStore *self, const LodgeImage *image,
                                const char *source_dir, GAsyncReadyCallback callback,
                                gpointer user_data);
gboolean lodge_image_publish_finish (LodgeImageStore *self, GAsyncResult *result, GError **error);

/** Removes a tree on the executor; a failure is logged.  @done is called on the main thread. */
void lodge_image_discard_async (LodgeImageStore *self, const char *path,
                                GAsyncReadyCallback callback, gpointer user_data);

/** An image of what a helper reported.  NULL: it reported no fingerprint. */
LodgeImage *lodge_image_from_results (LodgeHelper *helper, LodgeKind kind, GError **error);

/** A helper of this store, with limits and the directory @staging_dir.  NULL on failure. */
LodgeHelper *lodge_image_store_make_helper (LodgeImageStore *self, const char *program,
                                            const char *op, const char *staging_dir,
                                            GError **error);

G_END_DECLS
