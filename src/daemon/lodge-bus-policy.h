/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/*
 * Who may call which method.  The one table: a method without a row is refused, and a test fails
 * when the introspection data has a method that the table has not.
 */
typedef enum
{
  LODGE_POLICY_NONE = 0,
  LODGE_POLICY_TAKES_FDS = 1 << 0, /* of other methods' messages all files are closed at once */
  LODGE_POLICY_OWN_FREE = 1 << 1,  /* no question when the object belongs to the caller */
  LODGE_POLICY_OWNER = 1 << 2,     /* nobody but the owner of the object, and root */
} LodgePolicyFlags;

typedef struct
{
  const char *interface;
  const char *method;
  const char *action; /* of polkit; NULL: everybody may, because nothing changes or leaks */
  LodgePolicyFlags flags;
} LodgeBusPolicy;

/** The row, or NULL.  Static.  Any thread. */
const LodgeBusPolicy *lodge_bus_policy_find (const char *interface, const char *method);

/** All rows.  Static. */
const LodgeBusPolicy *lodge_bus_policy_table (gsize *out_n_rows);

G_END_DECLS
