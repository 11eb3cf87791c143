/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-cmd.h"

G_BEGIN_DECLS

/*
 * Lists and objects for people and for programs.  Rows are a{sv}, as the service sends them; their
 * keys are the keys of JSON and YAML, in kebab-case, and are promises.
 */

/** (transfer full): what a person sees; NULL or "" is shown as "-". */
typedef char *(*LodgeFormatFunc) (GVariant *row, const char *key);

typedef struct
{
  const char *key; /* NULL ends a table */
  const char *title;
  LodgeFormatFunc format; /* NULL: the plain value */
  gboolean right;         /* numbers */
  gboolean optional;      /* only when asked for by --columns */
} LodgeColumn;

/**
 * lodge_output_list:
 * @rows: of a{sv}
 * @columns: the first one is the name: -f name and -q print it alone
 *
 * Prints @rows as the options of lodge_output_options say.  Errors: INVALID_ARGUMENT for an
 * unknown column or format.
 */
gboolean lodge_output_list (LodgeCli *cli, const LodgeArgs *args, GPtrArray *rows,
                            const LodgeColumn *columns, GError **error);

/** TRUE when the options ask for @column by --columns. */
gboolean lodge_output_wants_column (const LodgeArgs *args, const char *column);

/** "table", "json" …: FALSE with INVALID_ARGUMENT for others. */
gboolean lodge_output_check_format (const LodgeArgs *args, GError **error);

/** TRUE for json and yaml and csv: what programs read. */
gboolean lodge_output_is_for_programs (const LodgeArgs *args);

/** Prints one a{sv} as JSON or YAML (csv: key,value lines). */
gboolean lodge_output_object (LodgeCli *cli, const LodgeArgs *args, GVariant *object,
                              GError **error);

/** Appends @value as JSON or YAML; anything that a terminal may act on is escaped. */
void lodge_output_append_json (GString *out, GVariant *value, guint indent);
void lodge_output_append_yaml (GString *out, GVariant *value, guint indent);

/** A value for people: strings escaped, arrays with commas. (transfer full) */
char *lodge_output_plain (GVariant *value);

/** Members of an a{sv}; absent or of another type: the fallback.  (transfer full) for strings. */
char *lodge_row_string (GVariant *row, const char *key);
guint64 lodge_row_uint (GVariant *row, const char *key, guint64 fallback);

/* Formatters for columns. */
char *lodge_format_row_size (GVariant *row, const char *key);
char *lodge_format_row_time (GVariant *row, const char *key);
char *lodge_format_row_fingerprint (GVariant *row, const char *key);
/** "yes" or nothing. */
char *lodge_format_row_flag (GVariant *row, const char *key);

/** Local time, "2026-03-01 12:30"; "-" for 0. (transfer full) */
char *lodge_format_time (guint64 seconds);

/** Columns that @text takes on a terminal. */
guint lodge_text_width (const char *text);

G_END_DECLS
