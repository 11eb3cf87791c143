/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lodge-fail.h"

/* How deep a document of an image may be. */
#define LODGE_METADATA_DEPTH 8
#define LODGE_METADATA_MAX   (1024 * 1024)

/**
 * LodgeMetadataFunc:
 * @path: the keys that lead to it; an item of a list is under ""
 * @value: NUL-ended, valid UTF-8
 *
 * Gets one scalar value of a document.
 */
typedef void (*LodgeMetadataFunc) (const char *const *path, size_t depth, const char *value,
                                   void *user_data);

/**
 * lodge_metadata_parse:
 * @size: of @text; at most LODGE_METADATA_MAX
 *
 * Calls @func for each scalar of a YAML document in its order.  Aliases, tags and documents after
 * the first are refused (ImageInvalid, with the line), and so is what is nested too deep.
 */
bool lodge_metadata_parse (const char *text, size_t size, LodgeMetadataFunc func, void *user_data,
                           LodgeFail *fail);
