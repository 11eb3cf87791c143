/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Parsing of options and arguments by tables. */

typedef enum
{
  LODGE_OPTION_FLAG,
  LODGE_OPTION_STRING,
  LODGE_OPTION_STRINGS, /* may be given several times */
  LODGE_OPTION_SECONDS, /* "90", "5m" */
} LodgeOptionType;

/* What completes a value. */
typedef enum
{
  LODGE_COMPLETE_NOTHING,
  LODGE_COMPLETE_INSTANCES,
  LODGE_COMPLETE_RUNNING,
  LODGE_COMPLETE_STOPPED,
  LODGE_COMPLETE_PAUSED,
  LODGE_COMPLETE_IMAGES,
  LODGE_COMPLETE_REMOTES,
  LODGE_COMPLETE_JOBS,
  LODGE_COMPLETE_KEYS, /* configuration keys, with "=" */
  LODGE_COMPLETE_COLUMNS,
  LODGE_COMPLETE_FORMATS,
  LODGE_COMPLETE_COLORS,
  LODGE_COMPLETE_KINDS,
  LODGE_COMPLETE_IMAGE_FLAGS,
  LODGE_COMPLETE_FILES,        /* of this host; the shell does it */
  LODGE_COMPLETE_REMOTE_FILES, /* "web/" */
  LODGE_COMPLETE_COMMANDS,
} LodgeCompleter;

typedef struct
{
  const char *name; /* NULL ends a table */
  char short_name;  /* or '\0' */
  LodgeOptionType type;
  const char *metavar;
  const char *help;
  LodgeCompleter completer;
} LodgeOptionSpec;

#define LODGE_ARG_OPTIONAL (1u << 0)
#define LODGE_ARG_MANY     (1u << 1) /* the last one: takes what is left */
#define LODGE_ARG_VERBATIM (1u << 2) /* from here on no word is an option of ours */

typedef struct
{
  const char *name; /* NULL ends a table; in capitals */
  guint flags;
  LodgeCompleter completer;
} LodgeArgSpec;

typedef struct _LodgeArgs LodgeArgs;

/**
 * lodge_args_parse:
 * @usage: what an error's hint shows
 * @tables: NULL-ended list of option tables
 * @words: NULL-ended
 *
 * Options and arguments may be mixed until "--" or an argument that is verbatim.  When --help is
 * among the options, missing arguments are no error.  Errors: INVALID_ARGUMENT with a hint.
 */
LodgeArgs *lodge_args_parse (const char *usage, const LodgeArgSpec *arguments,
                             const LodgeOptionSpec *const *tables, const char *const *words,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;
void lodge_args_free (LodgeArgs *args);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LodgeArgs, lodge_args_free)

gboolean lodge_args_flag (const LodgeArgs *args, const char *option);

/** (nullable): the last value that was given; borrowed. */
const char *lodge_args_string (const LodgeArgs *args, const char *option);

/** Puts what --size says into @options as "size" (t), in bytes; without one it is left out. */
gboolean lodge_args_add_size (const LodgeArgs *args, GVariantDict *options, GError **error);

/** NULL-ended, all values in order; the array is the caller's, the strings are borrowed. */
const char **lodge_args_strings (const LodgeArgs *args, const char *option);

/** The seconds, or @fallback when it was not given. */
guint64 lodge_args_seconds (const LodgeArgs *args, const char *option, guint64 fallback);

/** The arguments, NULL-ended; borrowed. */
const char *const *lodge_args_words (const LodgeArgs *args);
guint lodge_args_n_words (const LodgeArgs *args);

/** Argument @index, or NULL. */
const char *lodge_args_word (const LodgeArgs *args, guint index);

/** TRUE when "--" stood before argument @index. */
gboolean lodge_args_is_after_dashes (const LodgeArgs *args, guint index);

/** The usage line that was passed to lodge_args_parse(). */
const char *lodge_args_usage (const LodgeArgs *args);

/** The option of that long or short name in @tables, or NULL. */
const LodgeOptionSpec *lodge_option_find (const LodgeOptionSpec *const *tables, const char *name,
                                          gsize length);
const LodgeOptionSpec *lodge_option_find_short (const LodgeOptionSpec *const *tables, char name);

G_END_DECLS
