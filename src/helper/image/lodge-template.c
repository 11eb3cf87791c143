/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-template.h"

#include <string.h>

#include "lodge-template-expression.h"

#define DEPTH_MAX 16

/* One {% if %} that is open. */
typedef struct
{
  bool outer;   /* whether what is around it is shown */
  bool shown;   /* whether its current branch is */
  bool decided; /* a branch of it has been shown */
  bool in_else;
} Block;

typedef struct
{
  const char *at;
  const char *text;
  LodgeExpression expression;
  GString *output;
  LodgeFail *fail;
  Block blocks[DEPTH_MAX];
  guint depth;
  guint escapes; /* open {% autoescape %} */
  bool trim;     /* the last tag ended with a hyphen */
} Renderer;

static bool
refuse (const Renderer *self, const char *why)
{
  guint line = 1;

  for (const char *p = self->text; p < self->at; p++)
    line += *p == '\n';
  return lodge_fail (self->fail, "ImageInvalid", "line %u: %s", line, why);
}

static bool
is_shown (const Renderer *self)
{
  return self->depth == 0 || self->blocks[self->depth - 1].shown;
}

static bool
emit (Renderer *self, const char *text, gsize length)
{
  if (!is_shown (self))
    return true;
  if (self->output->len + length > LODGE_TEMPLATE_OUTPUT_MAX)
    return refuse (self, "it makes more than 1 MiB");
  g_string_append_len (self->output, text, (gssize) length);
  return true;
}

/* The text up to the next tag, without the blanks that a hyphen of either tag takes away. */
static bool
take_literal (Renderer *self, const char *end)
{
  const char *start = self->at;
  const char *stop = end;

  if (self->trim)
    while (start < stop && g_ascii_isspace (*start))
      start++;
  if (*end != '\0' && end[2] == '-')
    while (stop > start && g_ascii_isspace (stop[-1]))
      stop--;
  self->trim = false;
  self->at = end;
  return emit (self, start, (gsize) (stop - start));
}

/* ---- tags ---- */

static bool
evaluate (Renderer *self, bool *out_true, char **out_text)
{
  const char *why = NULL;

  if (lodge_expression_evaluate (&self->expression, out_true, out_text, &why))
    return true;
  return refuse (self, why);
}

static bool
tag_if (Renderer *self)
{
  bool outer = is_shown (self);
  bool shown = false;

  if (self->depth == DEPTH_MAX)
    return refuse (self, "it is nested too deep");
  if (outer && !evaluate (self, &shown, NULL))
    return false;
  self->blocks[self->depth++]
      = (Block){ .outer = outer, .shown = outer && shown, .decided = shown };
  return true;
}

static bool
tag_elif (Renderer *self)
{
  Block *block = self->depth > 0 ? &self->blocks[self->depth - 1] : NULL;
  bool shown = false;

  if (block == NULL || block->in_else)
    return refuse (self, "there is an elif without its if");
  if (block->outer && !block->decided && !evaluate (self, &shown, NULL))
    return false;
  block->shown = shown;
  block->decided = block->decided || shown;
  return true;
}

static bool
tag_else (Renderer *self)
{
  Block *block = self->depth > 0 ? &self->blocks[self->depth - 1] : NULL;

  if (block == NULL || block->in_else)
    return refuse (self, "there is an else without its if");
  block->shown = block->outer && !block->decided;
  block->in_else = true;
  return true;
}

static bool
tag_endif (Renderer *self)
{
  if (self->depth == 0)
    return refuse (self, "there is an endif without its if");
  self->depth--;
  return true;
}

static bool
tag_autoescape (Renderer *self)
{
  self->escapes++;
  return true;
}

static bool
tag_endautoescape (Renderer *self)
{
  if (self->escapes == 0)
    return refuse (self, "there is an endautoescape without its autoescape");
  self->escapes--;
  return true;
}

static const struct
{
  const char *name;
  bool (*run) (Renderer *self);
  bool has_expression;
} TAGS[] = {
  { "if", tag_if, true },
  { "elif", tag_elif, true },
  { "else", tag_else, false },
  { "endif", tag_endif, false },
  { "autoescape", tag_autoescape, true },
  { "endautoescape", tag_endautoescape, false },
};

/* @start, @end: what is between the braces. */
static bool
take_tag (Renderer *self, const char *start, const char *end)
{
  while (start < end && g_ascii_isspace (*start))
    start++;
  gsize length = 0;
  while (start + length < end && g_ascii_isalpha (start[length]))
    length++;
  for (gsize i = 0; i < G_N_ELEMENTS (TAGS); i++)
    if (strlen (TAGS[i].name) == length && strncmp (TAGS[i].name, start, length) == 0)
      {
        lodge_expression_begin (&self->expression, start + length, end);
        if (!TAGS[i].has_expression && !lodge_expression_is_empty (&self->expression))
          return refuse (self, "there is something after a tag that takes nothing");
        return TAGS[i].run (self);
      }

  g_autofree char *why = g_strdup_printf ("“%.*s” is not supported", (int) MIN (length, 32), start);
  return refuse (self, why);
}

static bool
take_value (Renderer *self, const char *start, const char *end)
{
  g_autofree char *text = NULL;
  bool ignored;

  if (!is_shown (self))
    return true;
  lodge_expression_begin (&self->expression, start, end);
  return evaluate (self, &ignored, &text) && emit (self, text, strlen (text));
}

/* Where a tag that begins at @start ends: a brace within quotes is none. */
static const char *
find_end (const char *start, char closing)
{
  char quote = '\0';

  for (const char *p = start; *p != '\0'; p++)
    if (closing != '#' && quote == '\0' && (*p == '"' || *p == '\''))
      quote = *p;
    else if (quote != '\0' && *p == '\\' && p[1] != '\0')
      p++;
    else if (quote != '\0' && *p == quote)
      quote = '\0';
    else if (quote == '\0' && *p == closing && p[1] == '}')
      return p;
  return NULL;
}

static bool
take_braces (Renderer *self)
{
  const char kind = self->at[1];
  const char *start = self->at + 2;
  const char *end = find_end (start, kind == '{' ? '}' : kind);

  if (end == NULL)
    return refuse (self, "a tag does not end");

  const char *after = end + 2;
  if (*start == '-' && start < end)
    start++;
  if (end > start && end[-1] == '-')
    {
      self->trim = true;
      end--;
    }
  bool ok = kind == '#' || (kind == '{' ? take_value : take_tag) (self, start, end);
  self->at = after;
  return ok;
}

static const char *
find_braces (const char *text)
{
  for (const char *p = strchr (text, '{'); p != NULL; p = strchr (p + 1, '{'))
    if (p[1] == '{' || p[1] == '%' || p[1] == '#')
      return p;
  return text + strlen (text);
}

bool
lodge_template_render (const char *text, const LodgeTemplateScope *scope, GString *output,
                       LodgeFail *fail)
{
  Renderer self = { .at = text,
                    .text = text,
                    .expression = { .scope = scope, .steps = LODGE_TEMPLATE_STEPS_MAX },
                    .output = output,
                    .fail = fail };

  while (*self.at != '\0')
    if (!take_literal (&self, find_braces (self.at)) || (*self.at != '\0' && !take_braces (&self)))
      return false;
  if (self.depth > 0)
    return refuse (&self, "an if has no endif");
  return true;
}
