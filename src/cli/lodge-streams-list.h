/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-streams-tree.h"

G_BEGIN_DECLS

/* The documents of a tree.  Their date comes first, so that two can be compared without it. */

/** The list of @images (LodgeStreamsImage), without its date.  (transfer full) */
char *lodge_streams_list_make (GPtrArray *images);

/** The index, which says that the list is at @path, without its date.  (transfer full) */
char *lodge_streams_list_make_index (GPtrArray *images, const char *path);

/** @body with the date of now.  (transfer full) */
char *lodge_streams_list_date (const char *body);

/** Whether @document is one of these. */
gboolean lodge_streams_list_is_ours (const char *document);

/** Whether @document is @body with some date. */
gboolean lodge_streams_list_says (const char *document, const char *body);

G_END_DECLS
