/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "lodge-fail.h"

G_BEGIN_DECLS

/* What one template may grow to, and how much it may compute. */
#define LODGE_TEMPLATE_OUTPUT_MAX (1024 * 1024)
#define LODGE_TEMPLATE_STEPS_MAX  10000

/** What a template can see; all tables are char* → char*. */
typedef struct
{
  GHashTable *values;     /* "instance.name", "trigger", …; container.x is instance.x */
  GHashTable *config;     /* for config_get() */
  GHashTable *properties; /* "properties.x": of this template alone */
} LodgeTemplateScope;

/**
 * lodge_template_render:
 * @text: NUL-ended
 * @output: what came out is appended; what it holds after a failure is of no use
 *
 * Renders the part of the Django-like language that images use: `{{ expression }}`, `{% if %}`,
 * `elif`, `else`, `endif`, `{% autoescape %}` (nothing is ever escaped), comments, `-` for blanks;
 * in expressions text, names, config_get(key, default), ==, !=, and, or, not, parentheses and the
 * filters default, lower, upper, trim and safe.  A name that is not known is empty.  There are no
 * loops, no inclusion and no access to files: such a tag is an error, as is all else.  Any thread.
 *
 * Errors: ImageInvalid, with the line.
 */
bool lodge_template_render (const char *text, const LodgeTemplateScope *scope, GString *output,
                            LodgeFail *fail);

G_END_DECLS
