/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-json.h"

#include <string.h>

#define MAX_DEPTH 32

/* json-glib's parser recurses for each bracket, so they are counted before.  It takes comments,
 * too, in which quotes would hide what comes after them from the count: so outside of strings
 * nothing passes but what JSON has there. */
static gboolean
is_structure (char c)
{
  return g_ascii_isalnum (c) || (c != '\0' && strchr (" \t\r\n,:+-.{}[]\"", c) != NULL);
}

/* The four digits of "\uXXXX", or -1. */
static int
read_unit (const char *text, gsize length)
{
  int value = 0;

  if (length < 6 || text[0] != '\\' || text[1] != 'u')
    return -1;
  for (int i = 2; i < 6; i++)
    {
      int digit = g_ascii_xdigit_value (text[i]);
      if (digit < 0)
        return -1;
      value = value * 16 + digit;
    }
  return value;
}

/* Length of the escape sequence at @text, or 0 when it is none.  json-glib makes bytes that are not
 * UTF-8 of half a pair of surrogates, and something of what is no sequence at all. */
static gsize
escape_length (const char *text, gsize length)
{
  if (length >= 2 && text[1] != 'u')
    return text[1] != '\0' && strchr ("\"\\/bfnrt", text[1]) != NULL ? 2 : 0;
  int first = read_unit (text, length);
  if (first < 0xd800 || first > 0xdfff)
    return first < 0 ? 0 : 6;
  int second = first <= 0xdbff ? read_unit (text + 6, length - 6) : -1;
  return second >= 0xdc00 && second <= 0xdfff ? 12 : 0;
}

/* Length of the string at @text, which begins with its quote, or 0 when it has no end. */
static gsize
string_length (const char *text, gsize length)
{
  gsize i = 1;

  while (i < length && text[i] != '"')
    {
      gsize step = text[i] == '\\' ? escape_length (text + i, length - i) : 1;
      if (step == 0)
        return 0;
      i += step;
    }
  return i < length ? i + 1 : 0;
}

/* Returns: why it may not be parsed, or NULL. */
static const char *
find_fault (const char *text, gsize length)
{
  guint depth = 0;
  gsize step;

  for (gsize i = 0; i < length; i += step)
    {
      char c = text[i];

      step = c == '"' ? string_length (text + i, length - i) : is_structure (c) ? 1 : 0;
      if (step == 0)
        return "it is not well-formed";
      if ((c == '{' || c == '[') && ++depth > MAX_DEPTH)
        return "it is nested too deeply";
      if ((c == '}' || c == ']') && depth > 0)
        depth--;
    }
  return NULL;
}

JsonNode *
lodge_json_parse (const char *text, gssize length, gsize max_size, GError **error)
{
  gsize size = length < 0 ? strlen (text) : (gsize) length;
  const char *why = size > max_size ? "it is too long" : find_fault (text, size);

  if (why == NULL && !g_utf8_validate (text, (gssize) size, NULL))
    why = "it is not UTF-8";
  if (why != NULL)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT, "JSON text refused: %s", why);
      return NULL;
    }

  /* json-glib's own message quotes the text, which may be a guest's. */
  g_autoptr (JsonParser) parser = json_parser_new_immutable ();
  JsonNode *root = NULL;
  if (json_parser_load_from_data (parser, text, (gssize) size, NULL))
    root = json_parser_steal_root (parser);
  if (root == NULL)
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                 "JSON text refused: it is not well-formed");
  return root;
}

JsonObject *
lodge_json_parse_object (const char *text, gssize length, gsize max_size, GError **error)
{
  g_autoptr (JsonNode) root = lodge_json_parse (text, length, max_size, error);

  if (root == NULL)
    return NULL;
  if (!JSON_NODE_HOLDS_OBJECT (root))
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                   "JSON text refused: it is not an object");
      return NULL;
    }
  return json_node_dup_object (root);
}

char *
lodge_json_to_text (JsonObject *object)
{
  g_autoptr (JsonNode) root = json_node_new (JSON_NODE_OBJECT);

  json_node_set_object (root, object);
  return json_to_string (root, FALSE);
}

static JsonNode *
member_of_type (JsonObject *object, const char *member, JsonNodeType type)
{
  JsonNode *node = object != NULL ? json_object_get_member (object, member) : NULL;

  return node != NULL && json_node_get_node_type (node) == type ? node : NULL;
}

const char *
lodge_json_get_string (JsonObject *object, const char *member, const char *fallback)
{
  JsonNode *node = member_of_type (object, member, JSON_NODE_VALUE);

  return node != NULL && json_node_get_value_type (node) == G_TYPE_STRING
             ? json_node_get_string (node)
             : fallback;
}

gint64
lodge_json_get_int (JsonObject *object, const char *member, gint64 fallback)
{
  JsonNode *node = member_of_type (object, member, JSON_NODE_VALUE);

  return node != NULL && json_node_get_value_type (node) == G_TYPE_INT64 ? json_node_get_int (node)
                                                                         : fallback;
}

gboolean
lodge_json_get_bool (JsonObject *object, const char *member, gboolean fallback)
{
  JsonNode *node = member_of_type (object, member, JSON_NODE_VALUE);

  return node != NULL && json_node_get_value_type (node) == G_TYPE_BOOLEAN
             ? json_node_get_boolean (node)
             : fallback;
}

JsonObject *
lodge_json_get_object (JsonObject *object, const char *member)
{
  JsonNode *node = member_of_type (object, member, JSON_NODE_OBJECT);

  return node != NULL ? json_node_get_object (node) : NULL;
}

JsonArray *
lodge_json_get_array (JsonObject *object, const char *member)
{
  JsonNode *node = member_of_type (object, member, JSON_NODE_ARRAY);

  return node != NULL ? json_node_get_array (node) : NULL;
}
