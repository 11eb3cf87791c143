/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge/lodge-types.h"

G_BEGIN_DECLS

/*
 * The one table of configuration keys.  Validation, completion, `lodge help keys`, the manual
 * page and Manager.GetSchema come from it.  Any thread: the table is constant.
 */

typedef enum
{
  LODGE_CONFIG_STRING,
  LODGE_CONFIG_SIZE, /* "512MiB" */
  LODGE_CONFIG_UINT, /* a whole number in min … max */
  LODGE_CONFIG_CPUS, /* a number of CPUs ("2") or a set of them ("0-1,3") */
  LODGE_CONFIG_BOOL, /* "true" or "false" */
  LODGE_CONFIG_ENUM, /* one of `choices` */
  LODGE_CONFIG_WORD, /* a name, or one of `choices`, which are then no more than the known ones */
  LODGE_CONFIG_TEXT, /* a string that may have several lines */
} LodgeConfigType;

typedef enum
{
  LODGE_CONFIG_FOR_CONTAINER = 1 << LODGE_KIND_CONTAINER,
  LODGE_CONFIG_FOR_VM = 1 << LODGE_KIND_VM,
  LODGE_CONFIG_FOR_BOTH = LODGE_CONFIG_FOR_CONTAINER | LODGE_CONFIG_FOR_VM,
} LodgeConfigKinds;

typedef struct
{
  const char *key; /* ends in ".*" when any suffix is a key of its own */
  LodgeConfigType type;
  LodgeConfigKinds kinds;
  const char *fallback[2]; /* by LodgeKind; NULL: unset */
  guint64 min, max;        /* SIZE and UINT */
  const char *const *choices;
  gboolean live;    /* a change takes effect without a restart */
  const char *help; /* one line */
} LodgeConfigKey;

/** The table.  Static. */
const LodgeConfigKey *lodge_config_keys (gsize *out_n_keys);

/** The row of @key, also for those of a ".*" row; NULL when it is not known. */
const LodgeConfigKey *lodge_config_key_find (const char *key);

/**
 * lodge_config_validate_value:
 *
 * Checks one pair for an instance of @kind.  Errors are INVALID_CONFIG and name the key; an
 * unknown key's message has the nearest one.
 */
gboolean lodge_config_validate_value (LodgeKind kind, const char *key, const char *value,
                                      GError **error);

/** Checks a whole map (char* → char*). */
gboolean lodge_config_validate (LodgeKind kind, GHashTable *config, GError **error);

/**
 * lodge_config_effective:
 *
 * Returns: (transfer full): the defaults of @kind, overlaid with @own.
 */
GHashTable *lodge_config_effective (LodgeKind kind, GHashTable *own);

/** The table as the JSON text of Manager.GetSchema.  (transfer full) */
char *lodge_config_schema_json (void);

G_END_DECLS
