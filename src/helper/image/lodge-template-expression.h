/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-template.h"

G_BEGIN_DECLS

/** The expressions of templates: see lodge_template_render(). */
typedef struct
{
  const LodgeTemplateScope *scope;
  guint steps; /* how many values may still be looked at */
  guint depth;
  const char *at;
  const char *end;
  const char *why; /* static; what is wrong */
} LodgeExpression;

/** Turns to the text from @start to @end (borrowed). */
void lodge_expression_begin (LodgeExpression *self, const char *start, const char *end);

bool lodge_expression_is_empty (LodgeExpression *self);

/**
 * lodge_expression_evaluate:
 * @out_text: (nullable) (transfer full): "" for what is not there
 * @out_why: a static sentence, on failure
 */
bool lodge_expression_evaluate (LodgeExpression *self, bool *out_true, char **out_text,
                                const char **out_why);

G_END_DECLS
