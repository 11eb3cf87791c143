/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

#include "lodge-facts.h"
#include "lodge-fail.h"

G_BEGIN_DECLS

/*
 * The JSON documents of OCI images and of what `docker save` writes.  Pure functions of a text; who
 * calls them looks for the files that they name.  Errors: ImageInvalid.
 */
#define LODGE_OCI_JSON_MAX   (4 * 1024 * 1024)
#define LODGE_OCI_LAYERS_MAX 512

typedef struct
{
  char *manifest;    /* an index: digest of the manifest, or index, for this machine; else NULL */
  char *config;      /* a manifest: digest of the configuration; docker's: its path */
  GPtrArray *layers; /* a manifest: char*, 1 to LODGE_OCI_LAYERS_MAX digests; docker's: paths */
  guint images;      /* docker's: how many there are; this is the first */
} LodgeOciDocument;

void lodge_oci_document_clear (LodgeOciDocument *document);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (LodgeOciDocument, lodge_oci_document_clear)

/** Reads an index or a manifest.  Digests are 64 hex digits, of SHA-256, without a prefix. */
bool lodge_oci_read_document (const char *text, size_t size, LodgeOciDocument *out_document,
                              LodgeFail *fail);

/** Reads the manifest.json of `docker save`.  The paths in it are checked by nobody yet. */
bool lodge_oci_read_docker (const char *text, size_t size, LodgeOciDocument *out_document,
                            LodgeFail *fail);

/** Takes over what the configuration of an image says that it runs. */
bool lodge_oci_read_config (const char *text, size_t size, LodgeFacts *facts, LodgeFail *fail);

G_END_DECLS
