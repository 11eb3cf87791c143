/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files about remotes and downloads share. */

#include "lodge-image-private.h"
#include "lodge-json.h"
#include "lodge-remote.h"

G_BEGIN_DECLS

#define LODGE_REMOTE_MIRRORS_MAX 8 /* with the address itself */
#define LODGE_REMOTE_BUILD_NAME  "build"

/* ---- lodge-remote.c ---- */

gboolean lodge_remote_validate (const LodgeRemote *remote, GError **error);
/** "" is none; else an http, https or socks5 address. */
gboolean lodge_remote_proxy_validate (const char *proxy, GError **error);
/** (transfer full) */
char *lodge_remote_to_document (const LodgeRemote *remote);
/** (transfer full): NULL when it is none. */
LodgeRemote *lodge_remote_from_object (const char *name, JsonObject *object);

/* ---- lodge-remotes.c ---- */

/** Reads the store's documents over what is shipped. */
gboolean lodge_remotes_load (LodgeImageStore *self, GError **error);
/** (transfer full): `<state>/remotes/<name><suffix>` */
char *lodge_remotes_path (LodgeImageStore *self, const char *name, const char *suffix);
/** (transfer full): what was noted about a remote; empty when there is nothing. */
JsonObject *lodge_remotes_get_state (LodgeImageStore *self, const char *name);
gboolean lodge_remotes_set_state (LodgeImageStore *self, const char *name, JsonObject *state,
                                  GError **error);

/**
 * lodge_remotes_split:
 * @out_remote: borrowed; with an unqualified @ref the default
 * @out_alias: borrowed from @ref
 *
 * Returns: whether @ref names its remote.  An unknown one is an error (NOT_FOUND): then @out_remote
 * is NULL.
 */
gboolean lodge_remotes_split (LodgeImageStore *self, const char *ref,
                              const LodgeRemote **out_remote, const char **out_alias,
                              GError **error);
/** Whether @ref is an address. */
gboolean lodge_remotes_is_url (const char *ref);

/* ---- lodge-catalog.c ---- */

/** (transfer full): NULL: there is none, or it is not of this version. */
GPtrArray *lodge_catalog_read (const char *path);
/** The lines of @text, which is cut into pieces, that are sound.  (transfer full) */
GPtrArray *lodge_catalog_parse (char *text);
/**
 * lodge_catalog_find:
 * @alias: one of an entry, its fingerprint (12 digits or more of it), or one of these with
 *   "/<machine>" at its end
 *
 * Returns: (nullable): borrowed, for @kind and by default for this host's architecture.
 */
const LodgeCatalogEntry *lodge_catalog_find (GPtrArray *catalog, const char *alias, LodgeKind kind);
/** (transfer full): "Debian bookworm amd64 (20260608_05:24)" */
char *lodge_catalog_describe (const LodgeCatalogEntry *entry);
/** What build: offers, in the same form.  (transfer full) */
GPtrArray *lodge_catalog_of_recipes (void);

/* ---- lodge-image-fetch.c ---- */

/**
 * lodge_fetch_get:
 * @path: below the remote's address; NULL: the address itself
 *
 * A helper that downloads to @fd, which stays the caller's.  NULL on failure.
 */
LodgeHelper *lodge_fetch_get (LodgeImageStore *self, const LodgeRemote *remote, const char *path,
                              int fd, GError **error);
/** A helper that reads @input without the network. */
LodgeHelper *lodge_fetch_read (LodgeImageStore *self, const LodgeRemote *remote, const char *op,
                               int input, GError **error);
/** Adds what there is to do to the error of a helper. */
void lodge_fetch_explain (LodgeHelper *helper, const LodgeRemote *remote, GError **error);

/* ---- lodge-remote-refresh.c ---- */

/** (transfer full): the file of what @name was seen to offer. */
char *lodge_refresh_catalog_path (LodgeImageStore *self, const char *name);
/** Of an entry of store->refusals. */
void lodge_refresh_refusal_free (gpointer refusal);
/** Why the remote @name could not be asked a moment ago; (transfer none), NULL: it could. */
const GError *lodge_refresh_get_refusal (LodgeImageStore *self, const char *name);

/** Whether asking @name now would only give the error that it gave a moment ago. */
gboolean lodge_refresh_is_hopeless (LodgeImageStore *self, const char *name);

/* ---- lodge-image-work.c: work that several callers wait for ---- */

typedef struct _LodgeImageWork LodgeImageWork;
typedef void (*LodgeImageWorkStart) (LodgeImageWork *work);

struct _LodgeImageWork
{
  LodgeImageStore *store; /* owned */
  char *key;              /* in store->works */
  char *dir;              /* `<state>/staging/image-<uuid>`, the work's own */
  GCancellable *cancellable;
  gpointer data; /* of who does it */
  GDestroyNotify data_free;
  GPtrArray *waiters;
  GPtrArray *notices; /* for those who join later */
  char *fingerprint;
  GError *error;
};

/** The work of that key which can still be joined, or NULL. */
LodgeImageWork *lodge_image_work_find (LodgeImageStore *self, const char *key);
/** @data: (transfer full).  NULL on failure; @data is then freed. */
LodgeImageWork *lodge_image_work_new (LodgeImageStore *self, const char *key, gpointer data,
                                      GDestroyNotify data_free, GError **error);
/** @task: (transfer full): returns a fingerprint; its cancellable makes it leave. */
void lodge_image_work_join (LodgeImageWork *work, GTask *task, LodgeImageProgressFunc progress,
                            LodgeImageNoticeFunc notice, gpointer func_data);
/** What helpers and imports can be given as functions, with the work as their data. */
void lodge_image_work_progress (double fraction, guint64 done, guint64 total, const char *stage,
                                gpointer work);
void lodge_image_work_notice (const char *notice, gpointer work);
void lodge_image_work_watch (LodgeImageWork *work, LodgeHelper *helper);
/** Ends it, frees it.  The directory is removed first. @error: (transfer full). */
void lodge_image_work_succeed (LodgeImageWork *work, const char *fingerprint);
void lodge_image_work_fail (LodgeImageWork *work, GError *error);

/* ---- lodge-image-build.c, lodge-image-download.c ---- */

/** Both take @task, as lodge_image_work_join() does. */
void lodge_image_build_join (LodgeImageStore *self, const LodgeImageRecipe *recipe, LodgeKind kind,
                             LodgeImageProgressFunc progress, LodgeImageNoticeFunc notice,
                             gpointer func_data, GTask *task);
/**
 * lodge_image_download_join:
 * @entry: (nullable): what to get from a server; NULL: the one file that @remote's address is
 * @file: of the one file
 * @alias: (nullable): for the image
 * @source: where it is from
 * @quietly: with low priority
 */
void lodge_image_download_join (LodgeImageStore *self, const LodgeRemote *remote,
                                const LodgeCatalogEntry *entry, const LodgeImageFile *file,
                                const char *alias, const char *source, gboolean quietly,
                                LodgeImageProgressFunc progress, LodgeImageNoticeFunc notice,
                                gpointer func_data, GTask *task);

G_END_DECLS
