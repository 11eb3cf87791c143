/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-template.h"

G_BEGIN_DECLS

/** When a template is used. */
typedef enum
{
  LODGE_TEMPLATE_CREATE = 1 << 0,
  LODGE_TEMPLATE_COPY = 1 << 1,
  LODGE_TEMPLATE_START = 1 << 2,
  LODGE_TEMPLATE_RENAME = 1 << 3,
} LodgeTemplateTrigger;

/** One row of "templates:" in metadata.yaml. */
typedef struct
{
  char *path; /* of the file that it makes */
  guint when; /* LodgeTemplateTrigger */
  bool create_only;
  char *name; /* below templates/ */
  int mode;   /* -1: not said; the same for the next two */
  int uid;
  int gid;
  GHashTable *properties;
} LodgeTemplateEntry;

/** The trigger of that name, or 0. */
guint lodge_template_trigger_find (const char *name);

/** Reads metadata.yaml; at most 64 rows count.  (transfer full) LodgeTemplateEntry; NULL with
 * @fail: ImageInvalid. */
GPtrArray *lodge_templates_parse (const char *text, gsize size, LodgeFail *fail);

/**
 * lodge_templates_apply:
 * @image: the directory of an image, with metadata.yaml and templates/; absent files are none
 * @root: where the files go
 * @only_below: (nullable): a path with a slash at its end: others are passed over
 * @trigger: one of LodgeTemplateTrigger, which the scope's "trigger" names
 *
 * Makes the files that the image's templates tell.  One that cannot be made is told in a notice
 * and left out: an image's mistake must not keep an instance from being made.  `properties` and
 * "path" of @scope are set here.
 */
bool lodge_templates_apply (int image, int root, const char *only_below, guint trigger,
                            LodgeTemplateScope *scope, LodgeFail *fail);

G_END_DECLS
