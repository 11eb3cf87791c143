/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "lodge-fail.h"

G_BEGIN_DECLS

/*
 * Simplestreams, as image servers of LXD, Incus and Ubuntu publish it: an index names documents of
 * products; a product has versions, a version has items (files).  What comes out are lines of the
 * few fields that Lodge wants, each of which has been checked, in the form that
 * src/image/lodge-catalog.c reads.
 */
#define LODGE_STREAMS_INDEX_MAX    (1u << 20)
#define LODGE_STREAMS_PRODUCTS_MAX (64u << 20)
#define LODGE_STREAMS_PATHS        4     /* documents that an index may name */
#define LODGE_STREAMS_MAX_PRODUCTS 20000 /* of one document */
#define LODGE_STREAMS_MAX_VERSIONS 2000  /* of one product */
#define LODGE_STREAMS_MAX_ITEMS    100   /* of one version */

typedef struct
{
  char *paths[LODGE_STREAMS_PATHS + 1]; /* NULL-ended; relative to the server's root */
  gint64 updated;                       /* seconds since 1970; 0: it does not say */
} LodgeStreamsIndex;

void lodge_streams_index_clear (LodgeStreamsIndex *index);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (LodgeStreamsIndex, lodge_streams_index_clear)

/** Reads an index.  @out_index is to be cleared whatever comes out.  VerificationFailed: never;
 * Download: it is none, or has no images. */
bool lodge_streams_read_index (const char *data, gsize size, LodgeStreamsIndex *out_index,
                               LodgeFail *fail);

typedef struct
{
  guint products; /* that were read */
  guint images;   /* lines that were written */
  guint skipped;  /* products that make no image, for example because a field of theirs is bad */
  gint64 updated; /* as the document says, else the time of the newest version; 0: neither */
} LodgeStreamsSummary;

/**
 * lodge_streams_read_products:
 * @out: gets a line for each kind of image that the newest version of a product offers
 *
 * One bad product is left out; a document that is no document of products is an error.
 */
bool lodge_streams_read_products (const char *data, gsize size, GString *out,
                                  LodgeStreamsSummary *out_summary, LodgeFail *fail);

G_END_DECLS
