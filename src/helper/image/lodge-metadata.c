/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-metadata.h"

#include <glib.h>
#include <string.h>
#include <yaml.h>

#define EVENTS_MAX 100000

typedef struct
{
  char *keys[LODGE_METADATA_DEPTH]; /* owned; of a list "" */
  bool is_list[LODGE_METADATA_DEPTH];
  bool has_key[LODGE_METADATA_DEPTH]; /* of a mapping: the key came, its value has not */
  size_t depth;
  LodgeMetadataFunc func;
  void *user_data;
  LodgeFail *fail;
} Walk;

static bool
refuse (Walk *walk, const yaml_event_t *event, const char *why)
{
  return lodge_fail (walk->fail, "ImageInvalid", "Line %zu of the image's metadata.yaml %s",
                     event->start_mark.line + 1, why);
}

static bool
open_level (Walk *walk, const yaml_event_t *event, bool is_list)
{
  bool is_key
      = walk->depth > 0 && !walk->is_list[walk->depth - 1] && !walk->has_key[walk->depth - 1];

  if (is_key)
    return refuse (walk, event, "has a key that is no text");
  if (walk->depth == LODGE_METADATA_DEPTH)
    return refuse (walk, event, "is nested too deep");
  walk->is_list[walk->depth] = is_list;
  walk->has_key[walk->depth] = false;
  walk->keys[walk->depth] = is_list ? g_strdup ("") : NULL;
  walk->depth++;
  return true;
}

static void
value_ends (Walk *walk)
{
  if (walk->depth > 0 && !walk->is_list[walk->depth - 1])
    walk->has_key[walk->depth - 1] = false;
}

static bool
close_level (Walk *walk)
{
  walk->depth--;
  g_clear_pointer (&walk->keys[walk->depth], g_free);
  value_ends (walk);
  return true;
}

static bool
take_scalar (Walk *walk, const yaml_event_t *event)
{
  const char *value = (const char *) event->data.scalar.value;
  size_t top = walk->depth - 1;

  if (strlen (value) != event->data.scalar.length)
    return refuse (walk, event, "has a NUL character");
  if (walk->depth == 0)
    return refuse (walk, event, "is no mapping of keys to values");
  if (!walk->is_list[top] && !walk->has_key[top])
    {
      g_free (walk->keys[top]);
      walk->keys[top] = g_strdup (value);
      walk->has_key[top] = true;
      return true;
    }
  walk->func ((const char *const *) walk->keys, walk->depth, value, walk->user_data);
  value_ends (walk);
  return true;
}

static bool
take_event (Walk *walk, const yaml_event_t *event, int *documents)
{
  switch (event->type)
    {
    case YAML_DOCUMENT_START_EVENT:
      return ++*documents == 1 || refuse (walk, event, "begins a second document");
    case YAML_ALIAS_EVENT:
      return refuse (walk, event, "has an alias");
    case YAML_MAPPING_START_EVENT:
      return open_level (walk, event, false);
    case YAML_SEQUENCE_START_EVENT:
      return open_level (walk, event, true);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
      return close_level (walk);
    case YAML_SCALAR_EVENT:
      return take_scalar (walk, event);
    default:
      return true;
    }
}

static bool
walk_events (Walk *walk, yaml_parser_t *parser)
{
  int documents = 0;

  for (int i = 0; i < EVENTS_MAX; i++)
    {
      yaml_event_t event;
      if (!yaml_parser_parse (parser, &event))
        return lodge_fail (
            walk->fail, "ImageInvalid", "Line %zu of the image's metadata.yaml is no YAML: %.200s",
            parser->problem_mark.line + 1, parser->problem != NULL ? parser->problem : "malformed");
      bool ended = event.type == YAML_STREAM_END_EVENT;
      bool ok = take_event (walk, &event, &documents);
      yaml_event_delete (&event);
      if (ended || !ok)
        return ok;
    }
  return lodge_fail (walk->fail, "ImageInvalid", "The image's metadata.yaml has too many values");
}

bool
lodge_metadata_parse (const char *text, size_t size, LodgeMetadataFunc func, void *user_data,
                      LodgeFail *fail)
{
  Walk walk = { .func = func, .user_data = user_data, .fail = fail };
  yaml_parser_t parser;

  if (size > LODGE_METADATA_MAX)
    return lodge_fail (fail, "ImageInvalid", "The image's metadata.yaml is larger than 1 MiB");
  if (!yaml_parser_initialize (&parser))
    return lodge_fail (fail, "HelperFailed", "There is no memory to read metadata.yaml");
  yaml_parser_set_encoding (&parser, YAML_UTF8_ENCODING);
  yaml_parser_set_input_string (&parser, (const unsigned char *) text, size);
  bool ok = walk_events (&walk, &parser);
  yaml_parser_delete (&parser);
  for (size_t i = 0; i < walk.depth; i++)
    g_free (walk.keys[i]);
  return ok;
}
