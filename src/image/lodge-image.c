/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-remote-private.h"

#include <string.h>

#include "lodge-name.h"

#define DOCUMENT_MAX (64 * 1024)

static GHashTable *
copy_properties (GHashTable *properties)
{
  GHashTable *copy = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  GHashTableIter iter;
  gpointer key, value;

  if (properties == NULL)
    return copy;
  g_hash_table_iter_init (&iter, properties);
  while (g_hash_table_iter_next (&iter, &key, &value))
    g_hash_table_insert (copy, g_strdup (key), g_strdup (value));
  return copy;
}

LodgeImage *
lodge_image_new (const char *fingerprint, LodgeKind kind)
{
  LodgeImage *image = g_new0 (LodgeImage, 1);

  image->fingerprint = g_strdup (fingerprint);
  image->kind = kind;
  image->architecture = g_strdup ("");
  image->description = g_strdup ("");
  image->source = g_strdup ("");
  image->aliases = g_new0 (char *, 1);
  image->properties = copy_properties (NULL);
  return image;
}

LodgeImage *
lodge_image_copy (const LodgeImage *image)
{
  LodgeImage *copy = g_memdup2 (image, sizeof *image);

  copy->fingerprint = g_strdup (image->fingerprint);
  copy->architecture = g_strdup (image->architecture);
  copy->description = g_strdup (image->description);
  copy->source = g_strdup (image->source);
  copy->aliases = g_strdupv (image->aliases);
  copy->properties = copy_properties (image->properties);
  return copy;
}

const char *
lodge_image_kind_nick (const LodgeImage *image)
{
  return image->medium ? LODGE_IMAGE_MEDIUM_NICK : lodge_kind_nick (image->kind);
}

void
lodge_image_set_medium_error (const LodgeImage *image, const char *ref, LodgeErrorCode code,
                              GError **error)
{
  g_autofree char *head = g_strndup (ref != NULL ? ref : image->fingerprint, ref != NULL ? 80 : 12);
  g_autofree char *shown = lodge_text_escape (head);

  g_set_error (error, LODGE_ERROR, (int) code,
               "“%s” is an install medium: only a VM can be made from it\n`lodge launch --vm %s` "
               "makes one with an empty disk, which boots from it",
               shown, shown);
}

void
lodge_image_free (LodgeImage *image)
{
  if (image == NULL)
    return;
  g_free (image->fingerprint);
  g_free (image->architecture);
  g_free (image->description);
  g_free (image->source);
  g_strfreev (image->aliases);
  g_hash_table_unref (image->properties);
  g_free (image);
}

void
lodge_image_set_string (char **field, const char *value)
{
  char *copy = g_strdup (value != NULL ? value : "");

  g_free (*field);
  *field = copy;
}

char *
lodge_image_to_document (const LodgeImage *image)
{
  g_autoptr (JsonObject) object = json_object_new ();
  JsonObject *properties = json_object_new ();
  GHashTableIter iter;
  gpointer key, value;

  g_hash_table_iter_init (&iter, image->properties);
  while (g_hash_table_iter_next (&iter, &key, &value))
    json_object_set_string_member (properties, key, value);
  json_object_set_string_member (object, "kind", lodge_kind_nick (image->kind));
  json_object_set_string_member (object, "architecture", image->architecture);
  json_object_set_string_member (object, "description", image->description);
  json_object_set_string_member (object, "source", image->source);
  json_object_set_int_member (object, "size", (gint64) image->size);
  json_object_set_int_member (object, "virtual-size", (gint64) image->virtual_size);
  json_object_set_int_member (object, "created-at", image->created_at);
  json_object_set_int_member (object, "last-used-at", image->last_used_at);
  json_object_set_int_member (object, "used-clock", image->used_clock);
  if (image->medium)
    json_object_set_boolean_member (object, "medium", TRUE);
  json_object_set_boolean_member (object, "cached", image->cached);
  json_object_set_boolean_member (object, "pinned", image->pinned);
  json_object_set_boolean_member (object, "auto-update", image->auto_update);
  json_object_set_object_member (object, "properties", properties);
  return lodge_json_to_text (object);
}

static void
take_properties (LodgeImage *image, JsonObject *properties)
{
  JsonObjectIter iter;
  const char *name;
  JsonNode *node;

  if (properties == NULL)
    return;
  json_object_iter_init (&iter, properties);
  while (json_object_iter_next (&iter, &name, &node))
    if (json_node_get_value_type (node) == G_TYPE_STRING)
      g_hash_table_insert (image->properties, g_strdup (name), json_node_dup_string (node));
}

/* Records of a version without a cache do not say it. */
static gboolean
comes_from_remote (const char *source)
{
  return strchr (source, ':') != NULL && !g_str_has_prefix (source, "instance:");
}

/* A build has to be made, and an address downloaded, to know what it has become. */
static gboolean
can_be_asked (const char *source)
{
  return comes_from_remote (source) && !g_str_has_prefix (source, "build:")
         && !lodge_remotes_is_url (source);
}

static void
take_flags (LodgeImage *image, JsonObject *object)
{
  image->used_clock = lodge_json_get_int (object, "used-clock", 0);
  image->cached = lodge_json_get_bool (object, "cached", comes_from_remote (image->source));
  image->pinned = lodge_json_get_bool (object, "pinned", FALSE);
  image->auto_update
      = lodge_json_get_bool (object, "auto-update", image->cached && can_be_asked (image->source));
}

LodgeImage *
lodge_image_from_document (const char *fingerprint, const char *document, GError **error)
{
  g_autoptr (JsonObject) object = lodge_json_parse_object (document, -1, DOCUMENT_MAX, error);
  LodgeKind kind;

  if (object == NULL)
    return NULL;
  if (!lodge_fingerprint_is_valid (fingerprint)
      || !lodge_kind_from_nick (lodge_json_get_string (object, "kind", ""), &kind))
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_STORE,
                   "The record of the image %.12s is not of this version", fingerprint);
      return NULL;
    }

  LodgeImage *image = lodge_image_new (fingerprint, kind);
  lodge_image_set_string (&image->architecture, lodge_json_get_string (object, "architecture", ""));
  lodge_image_set_string (&image->description, lodge_json_get_string (object, "description", ""));
  lodge_image_set_string (&image->source, lodge_json_get_string (object, "source", ""));
  image->size = (guint64) lodge_json_get_int (object, "size", 0);
  image->virtual_size = (guint64) lodge_json_get_int (object, "virtual-size", 0);
  image->created_at = lodge_json_get_int (object, "created-at", 0);
  image->last_used_at = lodge_json_get_int (object, "last-used-at", 0);
  image->medium = kind == LODGE_KIND_VM && lodge_json_get_bool (object, "medium", FALSE);
  take_flags (image, object);
  take_properties (image, lodge_json_get_object (object, "properties"));
  return image;
}
