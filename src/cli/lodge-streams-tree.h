/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/*
 * A folder of images as the servers of LXD and Incus have them: plain files, which any web server
 * can serve.  Lodge, LXD and Incus read it by the protocol simplestreams.
 *
 *   streams/v1/index.json   says where the list is
 *   streams/v1/images.json  the list
 *   streams/v1/index.sjson, images.sjson  both once more, signed
 *   images/<fingerprint>.<compression>/  the files of an image, and what is known of them
 *
 * An image's folder appears with one rename, before the list names it, and goes when neither the
 * list nor the one before names it any more: whoever has read a list can get what it names.
 */
typedef struct _LodgeStreamsTree LodgeStreamsTree;

/** A file of an image. */
typedef struct
{
  char name[24];
  guint64 size;
  char sha256[65];
} LodgeStreamsFile;

/** An image as the list shows it.  Strings and arrays are owned. */
typedef struct
{
  char *folder;       /* below "images/" */
  char *kind;         /* "container" or "vm" */
  char *architecture; /* as Debian has it */
  char **aliases;
  char *serial; /* of the version: "20260608_05:24" */
  char *os;
  char *release;
  char *variant;
  char *fingerprint;      /* that clients will see: of both files together */
  GVariant *requirements; /* (nullable) a{ss} */
  LodgeStreamsFile meta;
  LodgeStreamsFile root;
} LodgeStreamsImage;

void lodge_streams_image_free (LodgeStreamsImage *image);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LodgeStreamsImage, lodge_streams_image_free)

/** What the list calls it; the aliases, the architecture and the kind must be set. (transfer full)
 */
char *lodge_streams_image_name (const LodgeStreamsImage *image);

/**
 * lodge_streams_tree_open:
 *
 * Makes @path where it is missing, locks it against others who would change it, and removes what an
 * earlier run that was killed has left.  Errors: BUSY; ALREADY_EXISTS when the folder has a list
 * that is none of ours.
 */
LodgeStreamsTree *lodge_streams_tree_open (const char *path, GError **error);
void lodge_streams_tree_free (LodgeStreamsTree *tree);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LodgeStreamsTree, lodge_streams_tree_free)

/** Whether the tree has @image's files already; then their sizes and hashes are filled in. */
gboolean lodge_streams_tree_has (LodgeStreamsTree *tree, LodgeStreamsImage *image);

/**
 * lodge_streams_tree_begin:
 * @out_fds: for the metadata and the root, to be written to; the caller closes them
 *
 * A new folder for the files of @image, of which the names must be set.
 */
gboolean lodge_streams_tree_begin (LodgeStreamsTree *tree, const LodgeStreamsImage *image,
                                   int out_fds[2], GError **error);

/** Reads what was written, fills in sizes and hashes, and gives the folder its name. */
gboolean lodge_streams_tree_commit (LodgeStreamsTree *tree, LodgeStreamsImage *image,
                                    GError **error);

/** Drops what lodge_streams_tree_begin() began. */
void lodge_streams_tree_abort (LodgeStreamsTree *tree);

/**
 * lodge_streams_tree_publish:
 * @images: of LodgeStreamsImage, in the order that the list is to have
 * @key: (nullable): whose OpenPGP key is to sign the list
 *
 * Writes the list and the index, unless they say the same already, and removes the folders that
 * nobody needs any more.  Errors: INVALID_ARGUMENT when the list was signed and @key is missing.
 */
gboolean lodge_streams_tree_publish (LodgeStreamsTree *tree, GPtrArray *images, const char *key,
                                     GError **error);

G_END_DECLS
