/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Templates of images, and the rows of metadata.yaml that name them. */
#include "fuzz.h"

#include "lodge-template.h"
#include "lodge-templates.h"

static GHashTable *
make_table (const char *key, const char *value)
{
  GHashTable *table = g_hash_table_new (g_str_hash, g_str_equal);

  g_hash_table_insert (table, (gpointer) key, (gpointer) value);
  return table;
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autofree char *text = g_strndup ((const char *) data, size);
  g_autoptr (GHashTable) values = make_table ("instance.name", "web");
  g_autoptr (GHashTable) config = make_table ("user.x", "Y");
  g_autoptr (GHashTable) properties = make_table ("default", "z");
  const LodgeTemplateScope scope = { .values = values, .config = config, .properties = properties };
  g_autoptr (GString) output = g_string_new (NULL);
  g_autoptr (GPtrArray) rows = NULL;
  LodgeFail fail = { 0 };

  if (lodge_template_render (text, &scope, output, &fail))
    g_assert_cmpuint (output->len, <=, LODGE_TEMPLATE_OUTPUT_MAX);
  else
    g_assert_cmpstr (fail.nick, ==, "ImageInvalid");
  fail = (LodgeFail){ 0 };
  rows = lodge_templates_parse (text, size, &fail);
  g_assert_true ((rows != NULL) == (fail.nick == NULL));
  if (rows != NULL)
    g_assert_cmpuint (rows->len, <=, 64);
  return 0;
}
