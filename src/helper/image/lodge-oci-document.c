/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-oci-document.h"

#include <string.h>
#include <sys/utsname.h>

#include "lodge-json.h"

#define DIGEST "sha256:"

void
lodge_oci_document_clear (LodgeOciDocument *document)
{
  g_clear_pointer (&document->manifest, g_free);
  g_clear_pointer (&document->config, g_free);
  g_clear_pointer (&document->layers, g_ptr_array_unref);
}

static JsonNode *
parse (const char *text, size_t size, LodgeFail *fail)
{
  JsonNode *node = lodge_json_parse (text, (gssize) size, LODGE_OCI_JSON_MAX, NULL);

  if (node == NULL)
    lodge_fail (fail, "ImageInvalid", "The OCI image has a document that is no sound JSON");
  return node;
}

static JsonObject *
get_object_at (JsonArray *array, guint index)
{
  JsonNode *node = array != NULL && index < json_array_get_length (array)
                       ? json_array_get_element (array, index)
                       : NULL;
  return node != NULL && JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
}

/** The digest of a descriptor, which may be NULL.  (transfer full) */
static char *
read_digest (JsonObject *descriptor, LodgeFail *fail)
{
  const char *digest = lodge_json_get_string (descriptor, "digest", "");
  const char *hex = g_str_has_prefix (digest, DIGEST) ? digest + strlen (DIGEST) : "";

  if (strlen (hex) == 64 && strspn (hex, "0123456789abcdef") == 64)
    return g_strdup (hex);
  lodge_fail (fail, "ImageInvalid", "The OCI image has a malformed digest");
  return NULL;
}

static bool
is_for_this_machine (JsonObject *descriptor)
{
  static const struct
  {
    const char *machine;
    const char *name;
  } NAMES[]
      = { { "x86_64", "amd64" }, { "aarch64", "arm64" }, { "armv7l", "arm" }, { "i686", "386" } };
  JsonObject *platform = lodge_json_get_object (descriptor, "platform");
  const char *wanted = NULL;
  struct utsname host;

  if (platform == NULL)
    return true;
  if (uname (&host) == 0)
    wanted = host.machine;
  for (gsize i = 0; wanted != NULL && i < G_N_ELEMENTS (NAMES); i++)
    if (strcmp (wanted, NAMES[i].machine) == 0)
      wanted = NAMES[i].name;
  return g_strcmp0 (lodge_json_get_string (platform, "architecture", ""), wanted) == 0
         && strcmp (lodge_json_get_string (platform, "os", "linux"), "linux") == 0;
}

static bool
read_index (JsonArray *manifests, LodgeOciDocument *document, LodgeFail *fail)
{
  for (guint i = 0; i < json_array_get_length (manifests); i++)
    {
      JsonObject *item = get_object_at (manifests, i);
      if (item == NULL || !is_for_this_machine (item))
        continue;
      document->manifest = read_digest (item, fail);
      return document->manifest != NULL;
    }
  return lodge_fail (fail, "ImageInvalid", "The OCI image has nothing for this machine");
}

static bool
check_layers (JsonArray *layers, LodgeFail *fail)
{
  guint n = layers != NULL ? json_array_get_length (layers) : 0;

  return (n > 0 && n <= LODGE_OCI_LAYERS_MAX)
         || lodge_fail (fail, "ImageInvalid", "The OCI image has no layers, or more than %d",
                        LODGE_OCI_LAYERS_MAX);
}

static bool
read_manifest (JsonObject *manifest, LodgeOciDocument *document, LodgeFail *fail)
{
  JsonArray *layers = lodge_json_get_array (manifest, "layers");

  if (!check_layers (layers, fail))
    return false;
  document->config = read_digest (lodge_json_get_object (manifest, "config"), fail);
  if (document->config == NULL)
    return false;
  document->layers = g_ptr_array_new_with_free_func (g_free);
  for (guint i = 0; i < json_array_get_length (layers); i++)
    {
      char *digest = read_digest (get_object_at (layers, i), fail);
      if (digest == NULL)
        return false;
      g_ptr_array_add (document->layers, digest);
    }
  return true;
}

bool
lodge_oci_read_document (const char *text, size_t size, LodgeOciDocument *out_document,
                         LodgeFail *fail)
{
  g_autoptr (JsonNode) node = parse (text, size, fail);
  g_auto (LodgeOciDocument) document = { 0 };

  if (node == NULL)
    return false;
  if (!JSON_NODE_HOLDS_OBJECT (node))
    return lodge_fail (fail, "ImageInvalid", "The OCI image has no manifest");
  JsonObject *object = json_node_get_object (node);
  JsonArray *manifests = lodge_json_get_array (object, "manifests");
  bool ok = manifests != NULL ? read_index (manifests, &document, fail)
                              : read_manifest (object, &document, fail);
  if (!ok)
    return false;
  *out_document = document;
  document = (LodgeOciDocument){ 0 };
  return true;
}

bool
lodge_oci_read_docker (const char *text, size_t size, LodgeOciDocument *out_document,
                       LodgeFail *fail)
{
  g_autoptr (JsonNode) node = parse (text, size, fail);
  g_autoptr (GPtrArray) paths = g_ptr_array_new_with_free_func (g_free);

  if (node == NULL)
    return false;
  JsonArray *images = JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;
  JsonObject *image = get_object_at (images, 0);
  JsonArray *layers = image != NULL ? lodge_json_get_array (image, "Layers") : NULL;

  if (!check_layers (layers, fail))
    return false;
  for (guint i = 0; i < json_array_get_length (layers); i++)
    {
      JsonNode *layer = json_array_get_element (layers, i);
      if (json_node_get_value_type (layer) != G_TYPE_STRING)
        return lodge_fail (fail, "ImageInvalid", "The archive's manifest.json is malformed");
      g_ptr_array_add (paths, json_node_dup_string (layer));
    }
  out_document->images = json_array_get_length (images);
  out_document->config = g_strdup (lodge_json_get_string (image, "Config", ""));
  out_document->layers = g_steal_pointer (&paths);
  return true;
}

bool
lodge_oci_read_config (const char *text, size_t size, LodgeFacts *facts, LodgeFail *fail)
{
  static const char *const PARTS[] = { "Entrypoint", "Cmd" };
  g_autoptr (JsonNode) node = parse (text, size, fail);
  g_autoptr (GString) command = g_string_new (NULL);

  if (node == NULL)
    return false;
  if (!JSON_NODE_HOLDS_OBJECT (node))
    return lodge_fail (fail, "ImageInvalid", "The OCI image's configuration is none");
  JsonObject *config = lodge_json_get_object (json_node_get_object (node), "config");
  for (gsize i = 0; i < G_N_ELEMENTS (PARTS); i++)
    {
      JsonArray *words = lodge_json_get_array (config, PARTS[i]);
      for (guint w = 0; words != NULL && w < json_array_get_length (words); w++)
        {
          JsonNode *word = json_array_get_element (words, w);
          const char *plain
              = json_node_get_value_type (word) == G_TYPE_STRING ? json_node_get_string (word) : "";
          g_autofree char *quoted = g_shell_quote (plain);
          g_string_append_printf (command, "%s%s", command->len > 0 ? " " : "", quoted);
        }
    }
  lodge_facts_set (facts->command, sizeof facts->command, command->str, command->len);
  g_strlcpy (facts->type, "oci", sizeof facts->type);
  return true;
}
