/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/** An IPv4 range in host byte order. */
typedef struct
{
  guint32 address; /* the first one */
  guint prefix;
} LodgeRange;

/** Whether two ranges have an address in common.  Any thread. */
gboolean lodge_range_overlaps (LodgeRange a, LodgeRange b);

/**
 * lodge_range_parse:
 * @text: "10.1.2.3"
 *
 * Returns: whether @text is an IPv4 address; *@out_range is its network of @prefix bits.
 */
gboolean lodge_range_parse (const char *text, guint prefix, LodgeRange *out_range);

/** "10.1.2.3" of an address in host byte order.  (transfer full) */
char *lodge_range_address_text (guint32 address);

/** Adds the ranges of the host's interfaces and routes to @used (LodgeRange). */
void lodge_range_add_host_ranges (GArray *used);

/** The first /22 of 10.87.0.0/16, then of 10.88.0.0/16 and on, that overlaps none of @used. */
gboolean lodge_range_pick_free (GArray *used, LodgeRange *out_range);

G_END_DECLS
