/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* JSON, which is what replies of agents, records and images' documents are. */
#include "fuzz.h"

#include "lodge-json.h"

static void check_node (JsonNode *node);

static void
check_member (JsonObject *object, const char *name, JsonNode *node, gpointer user_data)
{
  /* D-Bus takes no other strings. */
  g_assert_true (g_utf8_validate (name, -1, NULL));
  check_node (node);
}

static void
check_element (JsonArray *array, guint index, JsonNode *node, gpointer user_data)
{
  check_node (node);
}

static void
check_node (JsonNode *node)
{
  if (JSON_NODE_HOLDS_OBJECT (node))
    json_object_foreach_member (json_node_get_object (node), check_member, NULL);
  else if (JSON_NODE_HOLDS_ARRAY (node))
    json_array_foreach_element (json_node_get_array (node), check_element, NULL);
  else if (json_node_get_value_type (node) == G_TYPE_STRING)
    g_assert_true (g_utf8_validate (json_node_get_string (node), -1, NULL));
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autofree char *text = g_strndup ((const char *) data, size);
  g_autoptr (JsonNode) node = lodge_json_parse (text, (gssize) size, 1 << 20, NULL);

  if (node != NULL)
    check_node (node);
  return 0;
}
