/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-template-expression.h"

#include <string.h>

#define DEPTH_MAX       32
#define NAME_MAX_LENGTH 128

typedef struct
{
  char *text; /* owned */
  bool is_true;
} Value;

static bool parse_or (LodgeExpression *self, Value *out);

static bool
refuse (LodgeExpression *self, const char *why)
{
  self->why = why;
  return false;
}

static void
set (Value *value, char *text)
{
  g_free (value->text);
  value->text = text;
  value->is_true = *text != '\0';
}

static void
set_truth (Value *value, bool is_true)
{
  set (value, g_strdup (is_true ? "True" : "False"));
  value->is_true = is_true;
}

static void
skip_blanks (LodgeExpression *self)
{
  while (self->at < self->end && g_ascii_isspace (*self->at))
    self->at++;
}

/* Takes @sign when it comes next. */
static bool
accept (LodgeExpression *self, const char *sign)
{
  gsize length = strlen (sign);

  skip_blanks (self);
  if ((gsize) (self->end - self->at) < length || strncmp (self->at, sign, length) != 0)
    return false;
  self->at += length;
  return true;
}

static bool
is_name_char (char c)
{
  return g_ascii_isalnum (c) || c == '_';
}

static bool
accept_word (LodgeExpression *self, const char *word)
{
  const char *start = self->at;

  if (accept (self, word) && (self->at == self->end || !is_name_char (*self->at)))
    return true;
  self->at = start;
  return false;
}

static char *
take_name (LodgeExpression *self, const char *more)
{
  gsize length = 0;

  skip_blanks (self);
  while (self->at + length < self->end
         && (is_name_char (self->at[length]) || strchr (more, self->at[length]) != NULL))
    length++;
  if (length == 0 || length > NAME_MAX_LENGTH)
    return NULL;
  char *name = g_strndup (self->at, length);
  self->at += length;
  return name;
}

/* ---- values ---- */

static bool
parse_text (LodgeExpression *self, Value *out)
{
  char quote = *self->at++;
  g_autoptr (GString) text = g_string_new (NULL);

  for (; self->at < self->end && *self->at != quote; self->at++)
    {
      if (*self->at == '\\' && self->at + 1 < self->end)
        self->at++;
      g_string_append_c (text, *self->at);
    }
  if (self->at == self->end)
    return refuse (self, "a text has no closing quote");
  self->at++;
  set (out, g_strdup (text->str));
  return true;
}

static bool
parse_config_get (LodgeExpression *self, Value *out)
{
  Value key = { 0 };
  Value fallback = { 0 };
  bool ok = accept (self, "(") && parse_or (self, &key)
            && (!accept (self, ",") || parse_or (self, &fallback)) && accept (self, ")");

  if (ok)
    {
      const char *value = g_hash_table_lookup (self->scope->config, key.text);
      if (value == NULL)
        value = fallback.text != NULL ? fallback.text : "";
      set (out, g_strdup (value));
    }
  g_free (key.text);
  g_free (fallback.text);
  if (!ok && self->why == NULL)
    self->why = "config_get() takes a key and a default";
  return ok;
}

static const char *
look_up (LodgeExpression *self, const char *name)
{
  static const char old[] = "container.";
  static const char of_template[] = "properties.";
  const char *value = NULL;

  if (g_str_has_prefix (name, of_template))
    value = g_hash_table_lookup (self->scope->properties, name + strlen (of_template));
  else if (g_str_has_prefix (name, old))
    {
      g_autofree char *now = g_strconcat ("instance.", name + strlen (old), NULL);
      value = g_hash_table_lookup (self->scope->values, now);
    }
  else
    value = g_hash_table_lookup (self->scope->values, name);
  return value != NULL ? value : "";
}

static bool
parse_primary (LodgeExpression *self, Value *out)
{
  if (self->steps == 0)
    return refuse (self, "it computes too much");
  self->steps--;
  skip_blanks (self);
  if (self->at == self->end)
    return refuse (self, "a value is missing");
  if (*self->at == '"' || *self->at == '\'')
    return parse_text (self, out);
  if (accept (self, "("))
    return parse_or (self, out)
           && (accept (self, ")") || refuse (self, "a parenthesis is not closed"));

  g_autofree char *name = take_name (self, ".");
  if (name == NULL)
    return refuse (self, "an expression is malformed");
  if (strcmp (name, "config_get") == 0)
    return parse_config_get (self, out);
  if (strcmp (name, "true") == 0 || strcmp (name, "false") == 0)
    set_truth (out, *name == 't');
  else
    set (out, g_strdup (g_ascii_isdigit (*name) ? name : look_up (self, name)));
  return true;
}

/* ---- filters ---- */

static void
filter_lower (Value *value, const char *argument)
{
  set (value, g_utf8_strdown (value->text, -1));
}

static void
filter_upper (Value *value, const char *argument)
{
  set (value, g_utf8_strup (value->text, -1));
}

static void
filter_trim (Value *value, const char *argument)
{
  set (value, g_strstrip (g_strdup (value->text)));
}

static void
filter_default (Value *value, const char *argument)
{
  if (!value->is_true)
    set (value, g_strdup (argument != NULL ? argument : ""));
}

static void
filter_safe (Value *value, const char *argument)
{
}

static const struct
{
  const char *name;
  void (*apply) (Value *value, const char *argument);
} FILTERS[] = {
  { "default", filter_default }, { "lower", filter_lower }, { "safe", filter_safe },
  { "trim", filter_trim },       { "upper", filter_upper },
};

/* Not the first half of an "or". */
static bool
accept_pipe (LodgeExpression *self)
{
  skip_blanks (self);
  bool is_or = self->at + 1 < self->end && self->at[1] == '|';
  return !is_or && accept (self, "|");
}

static bool
parse_filtered (LodgeExpression *self, Value *out)
{
  if (!parse_primary (self, out))
    return false;
  while (accept_pipe (self))
    {
      g_autofree char *name = take_name (self, "");
      Value argument = { 0 };
      gsize i = 0;

      while (i < G_N_ELEMENTS (FILTERS) && g_strcmp0 (FILTERS[i].name, name) != 0)
        i++;
      if (i == G_N_ELEMENTS (FILTERS))
        return refuse (self, "a filter is not supported");
      bool ok = !accept (self, ":") || parse_primary (self, &argument);
      if (ok)
        FILTERS[i].apply (out, argument.text);
      g_free (argument.text);
      if (!ok)
        return false;
    }
  return true;
}

/* ---- operators ---- */

static bool
parse_comparison (LodgeExpression *self, Value *out)
{
  Value right = { 0 };

  if (!parse_filtered (self, out))
    return false;
  bool equal = accept (self, "==");
  if (!equal && !accept (self, "!="))
    return true;
  bool ok = parse_filtered (self, &right);
  if (ok)
    set_truth (out, (strcmp (out->text, right.text) == 0) == equal);
  g_free (right.text);
  return ok;
}

static bool
accept_not (LodgeExpression *self)
{
  skip_blanks (self);
  bool is_unequal = self->at + 1 < self->end && self->at[1] == '=';
  return accept_word (self, "not") || (!is_unequal && accept (self, "!"));
}

static bool
parse_not (LodgeExpression *self, Value *out)
{
  bool negated = false;

  while (accept_not (self))
    negated = !negated;
  if (!parse_comparison (self, out))
    return false;
  if (negated)
    set_truth (out, !out->is_true);
  return true;
}

/* Both sides are always looked at: there is nothing that could happen by it. */
static bool
parse_and (LodgeExpression *self, Value *out)
{
  if (!parse_not (self, out))
    return false;
  while (accept_word (self, "and") || accept (self, "&&"))
    {
      Value right = { 0 };
      bool ok = parse_not (self, &right);

      if (ok)
        set_truth (out, out->is_true && right.is_true);
      g_free (right.text);
      if (!ok)
        return false;
    }
  return true;
}

static bool
parse_or (LodgeExpression *self, Value *out)
{
  if (++self->depth > DEPTH_MAX)
    return refuse (self, "an expression is nested too deep");
  if (!parse_and (self, out))
    return false;
  while (accept_word (self, "or") || accept (self, "||"))
    {
      Value right = { 0 };
      bool ok = parse_and (self, &right);

      if (ok)
        set_truth (out, out->is_true || right.is_true);
      g_free (right.text);
      if (!ok)
        return false;
    }
  self->depth--;
  return true;
}

/* ---- the whole ---- */

void
lodge_expression_begin (LodgeExpression *self, const char *start, const char *end)
{
  self->at = start;
  self->end = end;
  self->depth = 0;
  self->why = NULL;
}

bool
lodge_expression_is_empty (LodgeExpression *self)
{
  skip_blanks (self);
  return self->at == self->end;
}

bool
lodge_expression_evaluate (LodgeExpression *self, bool *out_true, char **out_text,
                           const char **out_why)
{
  Value value = { 0 };
  bool ok = parse_or (self, &value)
            && (lodge_expression_is_empty (self) || refuse (self, "an expression is malformed"));

  if (ok)
    {
      *out_true = value.is_true;
      if (out_text != NULL)
        *out_text = g_steal_pointer (&value.text);
    }
  else
    *out_why = self->why != NULL ? self->why : "an expression is malformed";
  g_free (value.text);
  return ok;
}
