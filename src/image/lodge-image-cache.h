/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-image-store.h"

G_BEGIN_DECLS

/*
 * What of the images may go by itself, when, and which of them have a newer version.  An image is
 * cached when it came from a remote and can come from there again; what was imported, also from an
 * address, or published is not, and stays.
 *
 * Time is counted, not read from a clock that may be wrong: while lodged runs, the machine's time
 * since its boot (with its sleep); over a time in which lodged did not run, the wall clock's, but
 * a day at most.  So a clock that jumps ten years makes no image ten years old.
 *
 * Main thread only.
 */

#define LODGE_IMAGE_DAY            (24 * 3600)
#define LODGE_IMAGE_EXPIRY_DEFAULT (10 * LODGE_IMAGE_DAY)
#define LODGE_IMAGE_UPDATE_DEFAULT (6 * 3600)

/** Two clocks, in seconds; tests have their own. */
typedef struct
{
  gint64 (*wall) (gpointer data);
  gint64 (*running) (gpointer data); /* never goes back while the program runs */
  gpointer data;
} LodgeImageClock;

/** @clock: copied.  Begins to count anew from what is recorded. */
void lodge_image_store_set_clock (LodgeImageStore *self, const LodgeImageClock *clock);

/** How long a cached image is kept that nobody uses, in seconds; 0: for ever. */
void lodge_image_store_set_expiry (LodgeImageStore *self, guint64 seconds);
/** How often remotes are asked for newer versions, in seconds; 0: never. */
void lodge_image_store_set_update_interval (LodgeImageStore *self, guint64 seconds);

typedef enum
{
  LODGE_IMAGE_KEPT,       /* imported, published, pinned, or named by the user */
  LODGE_IMAGE_CACHED,     /* could go, but need not */
  LODGE_IMAGE_EXPIRED,    /* unused for too long */
  LODGE_IMAGE_SUPERSEDED, /* cached, and no name leads to it any more */
} LodgeImageFate;

/** What is to become of an image that nothing uses; whether something does is not asked here. */
LodgeImageFate lodge_image_store_judge (LodgeImageStore *self, const LodgeImage *image);
/** "expired", "superseded", "unused", or "kept". */
const char *lodge_image_fate_nick (LodgeImageFate fate);

/** When the image expires if nothing uses it until then, by the wall clock; 0: never. */
gint64 lodge_image_store_get_expiry (LodgeImageStore *self, const LodgeImage *image);

/** Notes that the image is of use now, without an instance being made from it. */
void lodge_image_store_renew (LodgeImageStore *self, const char *fingerprint);

/** @pinned, @auto_update: 0, 1, or -1: as it is.  INVALID_STATE: an image without a remote
 * cannot be updated. */
gboolean lodge_image_store_set_flags (LodgeImageStore *self, const char *fingerprint, int pinned,
                                      int auto_update, GError **error);

/** What somebody asked for by itself is no cache: it stays, and is not updated by itself. */
gboolean lodge_image_store_keep (LodgeImageStore *self, const char *fingerprint, GError **error);

/**
 * lodge_image_store_tick:
 *
 * Records how much time has passed; to be called at least once an hour.
 *
 * Returns: (transfer full): the names of partial downloads that nobody came back for.
 */
GStrv lodge_image_store_tick (LodgeImageStore *self);

/** In how many seconds something may be due; an hour at most. */
guint lodge_image_store_get_next_tick (LodgeImageStore *self);

/* ---- partial downloads ---- */

typedef struct
{
  char *name;
  guint64 size;
} LodgeImagePartial;

/** (transfer full): those that no download works on, in the order of names.  Any thread. */
GPtrArray *lodge_image_partials_list (const char *state_dir);
GPtrArray *lodge_image_store_list_partials (LodgeImageStore *self);
/** Removes one unless a download works on it; a name that is none is ignored.  Any thread. */
void lodge_image_partial_remove (const char *state_dir, const char *name);

/* ---- newer versions ---- */

/**
 * lodge_image_store_list_refs:
 * @by_itself: only what a remote can say without a download
 *
 * Returns: (transfer full): the names under which a newer version of the image can be had; none
 * when it was imported.
 */
GStrv lodge_image_store_list_refs (LodgeImageStore *self, const LodgeImage *image,
                                   gboolean by_itself);

/** Notes how the update of @ref went.  Returns: whether it is the first failure in a row. */
gboolean lodge_image_store_note_update (LodgeImageStore *self, const char *ref, gboolean succeeded);

/**
 * lodge_image_store_check_async:
 *
 * Asks the remotes that are due whether they have newer versions of the images that are to be
 * updated.  A remote that cannot be asked is left alone for longer each time, a day at most, and
 * the first failure is one line in the log.
 */
void lodge_image_store_check_async (LodgeImageStore *self, GAsyncReadyCallback callback,
                                    gpointer user_data);
/** Returns: (transfer full): "<kind>/<ref>" of what there is a newer version of. */
GStrv lodge_image_store_check_finish (LodgeImageStore *self, GAsyncResult *result);

G_END_DECLS
