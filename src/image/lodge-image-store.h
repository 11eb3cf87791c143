/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge/lodge-store.h"
#include "lodge/lodge-types.h"

G_BEGIN_DECLS

/*
 * The images of this host: content-addressed directories `<state>/images/<fingerprint>/` plus
 * documents in the store (`/images/<fingerprint>`, `/aliases/<kind>/<alias>` → fingerprint).
 * One alias may name an image of each kind.  Main thread only; work is done by helpers.
 *
 *   images/<fingerprint>/rootfs/     containers: the tree, unpacked once and shared, on-disk ids
 *                                    as in the guest
 *   images/<fingerprint>/disk.qcow2  VMs: the backing file of their disks, mode 0444
 *   images/<fingerprint>/disk.iso    VMs: an install medium instead of a disk, mode 0444
 *   images/<fingerprint>/metadata.yaml, templates/  as the image brought them; only helpers read
 *                                    them
 */
typedef struct
{
  char *fingerprint;
  LodgeKind kind;
  gboolean medium; /* VMs: it is an ISO to install a system from, not a disk with one */
  char *architecture;
  char *description;
  char *source; /* "build:debian/12", "import", … */
  char **aliases;
  GHashTable *properties; /* char* → char*: os, release, variant, init, …; display only */
  guint64 size;           /* bytes on disk */
  guint64 virtual_size;   /* VMs: of the disk */
  gint64 created_at;
  gint64 last_used_at;
  gboolean cached;      /* it came from a remote; see lodge-image-cache.h */
  gboolean pinned;      /* stays, whoever uses it */
  gboolean auto_update; /* newer versions take its place */
  gint64 used_clock;    /* of the cache's clock: when it was last of use */
} LodgeImage;

LodgeImage *lodge_image_copy (const LodgeImage *image);
void lodge_image_free (LodgeImage *image);
/** What users see as its kind: "container", "vm" or "iso".  Static. */
const char *lodge_image_kind_nick (const LodgeImage *image);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LodgeImage, lodge_image_free)

#define LODGE_TYPE_IMAGE_STORE (lodge_image_store_get_type ())
G_DECLARE_FINAL_TYPE (LodgeImageStore, lodge_image_store, LODGE, IMAGE_STORE, GObject)

/**
 * lodge_image_store_new:
 *
 * Loads the documents and cleans up after a crash: directories without a document go to
 * `<state>/trash/`.  Signals: `image-added`, `image-changed`, `image-removed` (const char
 * *fingerprint).
 */
LodgeImageStore *lodge_image_store_new (LodgeStore *store, const char *state_dir, GError **error);

/** Where lodge-image-worker is; at first the directory that Lodge was built for. */
void lodge_image_store_set_helper_dir (LodgeImageStore *self, const char *helper_dir);

/** What all downloads go through whose remote has no proxy of its own; the environment is never
 * asked.  INVALID_ARGUMENT. */
gboolean lodge_image_store_set_proxy (LodgeImageStore *self, const char *proxy, GError **error);

/** All images, newest first.  (transfer container): the images are borrowed. */
GPtrArray *lodge_image_store_list (LodgeImageStore *self);

/** By full fingerprint; borrowed, NULL when there is none. */
const LodgeImage *lodge_image_store_get (LodgeImageStore *self, const char *fingerprint);

/**
 * lodge_image_store_resolve:
 * @ref: alias (with or without "build:"), fingerprint, or unambiguous prefix of 6 digits or more
 * Returns: a borrowed image of @kind, or %NULL: NOT_FOUND with the nearest alias in the message.
 * What is not cached is not found; see lodge_image_store_obtain_async().
 */
const LodgeImage *lodge_image_store_resolve (LodgeImageStore *self, const char *ref, LodgeKind kind,
                                             GError **error);

/** Whether @ref is here or could be had; else NOT_FOUND, or why its remote could not be asked. */
gboolean lodge_image_store_check_ref (LodgeImageStore *self, const char *ref, LodgeKind kind,
                                      GError **error);

/** (transfer full): absolute paths. */
char *lodge_image_store_get_rootfs_dir (LodgeImageStore *self, const char *fingerprint);
char *lodge_image_store_get_disk_path (LodgeImageStore *self, const char *fingerprint);
char *lodge_image_store_get_medium_path (LodgeImageStore *self, const char *fingerprint);

typedef void (*LodgeImageProgressFunc) (double fraction, guint64 done, guint64 total,
                                        const char *stage, gpointer user_data);
typedef void (*LodgeImageNoticeFunc) (const char *notice, gpointer user_data);

typedef enum
{
  LODGE_OBTAIN_NONE = 0,
  LODGE_OBTAIN_REBUILD = 1 << 0, /* even when it is cached */
  LODGE_OBTAIN_PRIVATE = 1 << 1, /* an address may be one of a private network */
  LODGE_OBTAIN_HTTP = 1 << 2,    /* an address may begin with http:// */
  LODGE_OBTAIN_UPDATE = 1 << 3,  /* a newer version than what is cached, if there is one */
  LODGE_OBTAIN_QUIETLY = 1 << 4, /* nobody waits: with low priority */
} LodgeObtainFlags;

/** What is known of the file behind an address. */
typedef struct
{
  const char *sha256;      /* (nullable): else VERIFICATION_FAILED */
  const char *description; /* (nullable): instead of the image's own */
} LodgeImageFile;

/**
 * lodge_image_store_check_address:
 *
 * Returns: whether @ref is no address, or one that may be asked.  INVALID_ARGUMENT.
 */
gboolean lodge_image_store_check_address (const char *ref, LodgeObtainFlags flags, GError **error);

/**
 * lodge_image_store_obtain_async:
 * @staging_dir: an empty directory of the calling job, below `<state>/staging/`; what is left in
 *   it after a crash is removed by the job's recovery
 * @ref: alias, "remote:alias", fingerprint, or an https address
 * @file: (nullable): copied; for an address only
 *
 * Finds @ref or gets it from its remote: `build:` by lodge-image-worker, others by lodge-fetch and
 * an import.  What the default remote cannot give is built when there is a recipe for it, with a
 * notice.  Two callers that want the same image share the work; cancelling one leaves the other's
 * going.
 */
void lodge_image_store_obtain_async (LodgeImageStore *self, const char *ref, LodgeKind kind,
                                     LodgeObtainFlags flags, const LodgeImageFile *file,
                                     const char *staging_dir, LodgeImageProgressFunc progress,
                                     LodgeImageNoticeFunc notice, gpointer func_data,
                                     GCancellable *cancellable, GAsyncReadyCallback callback,
                                     gpointer user_data);
/** Returns: (transfer full): the fingerprint. */
char *lodge_image_store_obtain_finish (LodgeImageStore *self, GAsyncResult *result, GError **error);

/** What is to be imported. */
typedef struct
{
  const int *fds;             /* dup'ed: regular files or pipes; of a split image metadata, root */
  guint n_fds;                /* 1 or 2 */
  const char *const *aliases; /* (nullable): taken away from an image that has them */
  const char *description;    /* (nullable): instead of the image's own */
  const char *source;         /* (nullable): where it is from; "import" */
  const char *fingerprint;    /* (nullable): what it must have; else IMAGE_INVALID */
  /* It can be had from @source again; that can say when there is a newer one; low priority. */
  gboolean cached, auto_update, quietly;
} LodgeImageImport;

/**
 * lodge_image_store_import_async:
 * @what: copied
 * @staging_dir: an empty directory of the calling job
 *
 * Makes an image of one file (a tar archive of a root file system or an OCI image, a squashfs, a
 * unified image, a disk, an OVA), or of a split image's two.  The files' contents tell the format
 * and the kind; they are opened by lodge-image-worker only.
 */
void lodge_image_store_import_async (LodgeImageStore *self, const LodgeImageImport *what,
                                     const char *staging_dir, LodgeImageProgressFunc progress,
                                     LodgeImageNoticeFunc notice, gpointer func_data,
                                     GCancellable *cancellable, GAsyncReadyCallback callback,
                                     gpointer user_data);
/** Returns: (transfer full): the fingerprint. */
char *lodge_image_store_import_finish (LodgeImageStore *self, GAsyncResult *result, GError **error);

/** What is to be written out, and how. */
typedef struct
{
  /* Of the image that it is, or that the instance was made from; NULL: a VM's disk was empty. */
  const char *fingerprint;
  /* Instead of that image, an instance that does not run: */
  const char *plan;        /* (nullable): a container's */
  const char *disk;        /* (nullable): a VM's, whose backing file is the image's disk */
  const char *format;      /* "unified", "split", "tar", "qcow2", "raw"; of a medium "iso" */
  const char *compression; /* (nullable): "none", "gzip", "xz", "zstd" */
  const int *fds;          /* dup'ed: where to write; of "split" the second is for the root */
  guint n_fds;
} LodgeImageExport;

/**
 * lodge_image_store_export_async:
 * @what: copied
 * @staging_dir: an empty directory of the calling job
 *
 * Writes an image as others read it: the same image gives the same bytes.
 */
void lodge_image_store_export_async (LodgeImageStore *self, const LodgeImageExport *what,
                                     const char *staging_dir, LodgeImageProgressFunc progress,
                                     LodgeImageNoticeFunc notice, gpointer func_data,
                                     GCancellable *cancellable, GAsyncReadyCallback callback,
                                     gpointer user_data);
gboolean lodge_image_store_export_finish (LodgeImageStore *self, GAsyncResult *result,
                                          GError **error);

/** Replaces the aliases of an image.  Synchronous: documents only. */
gboolean lodge_image_store_set_aliases (LodgeImageStore *self, const char *fingerprint,
                                        const char *const *aliases, GError **error);

/** Gives an image one more alias, which others lose. */
gboolean lodge_image_store_add_alias (LodgeImageStore *self, const char *fingerprint,
                                      const char *alias, GError **error);

/** Notes that an instance was made from it. */
void lodge_image_store_touch (LodgeImageStore *self, const char *fingerprint);

/**
 * lodge_image_store_delete:
 *
 * Forgets the image and moves its directory to `<state>/trash/<name>`, for the caller to remove
 * on a worker (lodge_tree_remove()).  That no instance uses it is the caller's to check.
 *
 * Returns: (transfer full): the path in the trash, or %NULL.
 */
char *lodge_image_store_delete (LodgeImageStore *self, const char *fingerprint, GError **error);

G_END_DECLS
