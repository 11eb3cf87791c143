/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-args.h"

#include <string.h>

#include "lodge-i18n.h"
#include "lodge-name.h"
#include "lodge-units.h"
#include "lodge/lodge-error.h"

typedef struct
{
  const LodgeOptionSpec *spec;
  const char *value;
  guint64 seconds;
} Given;

struct _LodgeArgs
{
  char *usage;
  GPtrArray *strings; /* owns copies of all words */
  GPtrArray *words;   /* borrowed from strings, NULL-ended */
  GArray *given;      /* of Given */
  guint dashes_at;    /* arguments before "--" */
  const LodgeArgSpec *arguments;
  const LodgeOptionSpec *const *tables;
};

void
lodge_args_free (LodgeArgs *args)
{
  if (args == NULL)
    return;
  g_free (args->usage);
  g_ptr_array_unref (args->strings);
  g_ptr_array_unref (args->words);
  g_array_unref (args->given);
  g_free (args);
}

static gboolean usage_error (const LodgeArgs *args, GError **error, const char *format, ...)
    G_GNUC_PRINTF (3, 4);

static gboolean
usage_error (const LodgeArgs *args, GError **error, const char *format, ...)
{
  va_list list;

  va_start (list, format);
  g_autofree char *text = g_strdup_vprintf (format, list);
  va_end (list);
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT, "%s\n%s", text, args->usage);
  return FALSE;
}

const LodgeOptionSpec *
lodge_option_find (const LodgeOptionSpec *const *tables, const char *name, gsize length)
{
  for (; *tables != NULL; tables++)
    for (const LodgeOptionSpec *spec = *tables; spec->name != NULL; spec++)
      if (strncmp (spec->name, name, length) == 0 && spec->name[length] == '\0')
        return spec;
  return NULL;
}

const LodgeOptionSpec *
lodge_option_find_short (const LodgeOptionSpec *const *tables, char name)
{
  for (; *tables != NULL; tables++)
    for (const LodgeOptionSpec *spec = *tables; spec->name != NULL; spec++)
      if (spec->short_name == name && name != '\0')
        return spec;
  return NULL;
}

static gboolean
unknown_option (const LodgeArgs *args, const char *name, GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  g_autofree char *shown = lodge_text_escape (name);

  for (const LodgeOptionSpec *const *table = args->tables; *table != NULL; table++)
    for (const LodgeOptionSpec *spec = *table; spec->name != NULL; spec++)
      g_ptr_array_add (names, (gpointer) spec->name);
  g_ptr_array_add (names, NULL);
  const char *nearest = lodge_nearest (name, (const char *const *) names->pdata);
  if (nearest == NULL)
    return usage_error (args, error, _ ("There is no option --%s."), shown);
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
               _ ("There is no option --%s.\ndid you mean --%s?"), shown, nearest);
  return FALSE;
}

static gboolean
add_given (LodgeArgs *args, const LodgeOptionSpec *spec, const char *value, GError **error)
{
  Given given = { .spec = spec, .value = value };

  if (value != NULL && !g_utf8_validate (value, -1, NULL) && strcmp (spec->name, "cwd") != 0)
    return usage_error (args, error, _ ("The value of --%s is not text."), spec->name);
  if (spec->type == LODGE_OPTION_SECONDS && !lodge_parse_duration (value, &given.seconds, error))
    {
      g_prefix_error (error, "--%s: ", spec->name);
      return FALSE;
    }
  g_array_append_val (args->given, given);
  return TRUE;
}

/* @word: "--name" or "--name=value"; *index is moved when the value is the next word. */
static gboolean
parse_long (LodgeArgs *args, guint *index, GError **error)
{
  const char *name = (const char *) args->strings->pdata[*index] + 2;
  const char *equals = strchr (name, '=');
  gsize length = equals != NULL ? (gsize) (equals - name) : strlen (name);
  g_autofree char *only = g_strndup (name, length);
  const LodgeOptionSpec *spec = lodge_option_find (args->tables, name, length);

  if (spec == NULL)
    return unknown_option (args, only, error);
  if (spec->type == LODGE_OPTION_FLAG)
    {
      if (equals != NULL)
        return usage_error (args, error, _ ("The option --%s takes no value."), spec->name);
      return add_given (args, spec, NULL, error);
    }
  if (equals != NULL)
    return add_given (args, spec, equals + 1, error);
  if (*index + 1 >= args->strings->len)
    return usage_error (args, error, _ ("The option --%s needs a value."), spec->name);
  return add_given (args, spec, args->strings->pdata[++*index], error);
}

/* "-f", "-qf", "-cNAME", "-c NAME". */
static gboolean
parse_short (LodgeArgs *args, guint *index, GError **error)
{
  const char *word = args->strings->pdata[*index];

  for (const char *p = word + 1; *p != '\0'; p++)
    {
      const LodgeOptionSpec *spec = lodge_option_find_short (args->tables, *p);

      if (spec == NULL)
        {
          g_autofree char *shown = lodge_text_escape (word);
          return usage_error (args, error, _ ("There is no option -%c (in “%s”)."),
                              g_ascii_isgraph (*p) ? *p : '?', shown);
        }
      if (spec->type == LODGE_OPTION_FLAG)
        {
          if (!add_given (args, spec, NULL, error))
            return FALSE;
          continue;
        }
      if (p[1] != '\0')
        return add_given (args, spec, p + 1 + (p[1] == '=' ? 1 : 0), error);
      if (*index + 1 >= args->strings->len)
        return usage_error (args, error, _ ("The option -%c needs a value."), *p);
      return add_given (args, spec, args->strings->pdata[++*index], error);
    }
  return TRUE;
}

/* The specification of argument @n; the last one when that takes all that is left. */
static const LodgeArgSpec *
spec_of_argument (const LodgeArgSpec *arguments, guint n)
{
  const LodgeArgSpec *spec = arguments;

  if (spec == NULL || spec->name == NULL)
    return NULL;
  for (guint i = 0; i < n; i++)
    {
      if (spec->flags & LODGE_ARG_MANY)
        return spec;
      spec++;
      if (spec->name == NULL)
        return NULL;
    }
  return spec;
}

static gboolean
parse_words (LodgeArgs *args, GError **error)
{
  gboolean only_words = FALSE;

  for (guint i = 0; i < args->strings->len; i++)
    {
      const char *word = args->strings->pdata[i];

      if (!only_words && strcmp (word, "--") == 0)
        {
          only_words = TRUE;
          args->dashes_at = args->words->len;
          continue;
        }
      if (!only_words && word[0] == '-' && word[1] != '\0')
        {
          if (!(word[1] == '-' ? parse_long (args, &i, error) : parse_short (args, &i, error)))
            return FALSE;
          continue;
        }
      const LodgeArgSpec *spec = spec_of_argument (args->arguments, args->words->len);
      if (spec == NULL)
        {
          g_autofree char *shown = lodge_text_escape (word);
          return usage_error (args, error, _ ("“%s” is one argument too many."), shown);
        }
      if (spec->flags & LODGE_ARG_VERBATIM)
        only_words = TRUE;
      g_ptr_array_add (args->words, (gpointer) word);
    }
  return TRUE;
}

static gboolean
check_required (const LodgeArgs *args, GError **error)
{
  guint n = args->words->len;

  if (args->arguments == NULL || lodge_args_flag (args, "help"))
    return TRUE;
  for (const LodgeArgSpec *spec = args->arguments; spec->name != NULL; spec++)
    {
      if (n == 0 && !(spec->flags & LODGE_ARG_OPTIONAL))
        return usage_error (args, error, _ ("%s is missing."), spec->name);
      if (n > 0)
        n--;
    }
  return TRUE;
}

LodgeArgs *
lodge_args_parse (const char *usage, const LodgeArgSpec *arguments,
                  const LodgeOptionSpec *const *tables, const char *const *words, GError **error)
{
  g_autoptr (LodgeArgs) args = g_new0 (LodgeArgs, 1);

  args->usage = g_strdup (usage);
  args->strings = g_ptr_array_new_with_free_func (g_free);
  args->words = g_ptr_array_new ();
  args->given = g_array_new (FALSE, FALSE, sizeof (Given));
  args->dashes_at = G_MAXUINT;
  args->arguments = arguments;
  args->tables = tables;
  for (; *words != NULL; words++)
    g_ptr_array_add (args->strings, g_strdup (*words));
  if (!parse_words (args, error) || !check_required (args, error))
    return NULL;
  g_ptr_array_add (args->words, NULL);
  args->tables = NULL; /* may live on the caller's stack */
  return g_steal_pointer (&args);
}

gboolean
lodge_args_flag (const LodgeArgs *args, const char *option)
{
  for (guint i = 0; i < args->given->len; i++)
    if (strcmp (g_array_index (args->given, Given, i).spec->name, option) == 0)
      return TRUE;
  return FALSE;
}

const char *
lodge_args_string (const LodgeArgs *args, const char *option)
{
  for (guint i = args->given->len; i > 0; i--)
    {
      const Given *given = &g_array_index (args->given, Given, i - 1);
      if (strcmp (given->spec->name, option) == 0)
        return given->value;
    }
  return NULL;
}

const char **
lodge_args_strings (const LodgeArgs *args, const char *option)
{
  const char **values = g_new0 (const char *, args->given->len + 1);
  guint n = 0;

  for (guint i = 0; i < args->given->len; i++)
    {
      const Given *given = &g_array_index (args->given, Given, i);
      if (strcmp (given->spec->name, option) == 0)
        values[n++] = given->value;
    }
  return values;
}

guint64
lodge_args_seconds (const LodgeArgs *args, const char *option, guint64 fallback)
{
  for (guint i = args->given->len; i > 0; i--)
    {
      const Given *given = &g_array_index (args->given, Given, i - 1);
      if (strcmp (given->spec->name, option) == 0)
        return given->seconds;
    }
  return fallback;
}

const char *const *
lodge_args_words (const LodgeArgs *args)
{
  return (const char *const *) args->words->pdata;
}

guint
lodge_args_n_words (const LodgeArgs *args)
{
  return args->words->len - 1;
}

const char *
lodge_args_word (const LodgeArgs *args, guint index)
{
  return index < lodge_args_n_words (args) ? args->words->pdata[index] : NULL;
}

gboolean
lodge_args_is_after_dashes (const LodgeArgs *args, guint index)
{
  return index >= args->dashes_at;
}

const char *
lodge_args_usage (const LodgeArgs *args)
{
  return args->usage;
}

gboolean
lodge_args_add_size (const LodgeArgs *args, GVariantDict *options, GError **error)
{
  const char *text = lodge_args_string (args, "size");
  guint64 bytes = 0;

  if (text == NULL)
    return TRUE;
  if (!lodge_parse_size (text, &bytes, error))
    {
      g_prefix_error (error, "--size: ");
      return FALSE;
    }
  g_variant_dict_insert (options, "size", "t", bytes);
  return TRUE;
}
