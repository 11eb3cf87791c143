/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-oci.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "lodge-extract.h"
#include "lodge-fingerprint.h"
#include "lodge-io.h"
#include "lodge-json.h"
#include "lodge-status.h"

#define JSON_MAX    (4 * 1024 * 1024)
#define LAYERS_MAX  512
#define INDEXES_MAX 4 /* an index may name an index */
#define DIGEST      "sha256:"

typedef struct
{
  const LodgeOci *oci;
  LodgeFacts *facts;
  int dir_fd;
  GPtrArray *layers; /* paths below the directory, owned */
  uint64_t members;
  uint64_t devices;
  LodgeFail *fail;
} Unpacking;

static int
open_inside (const Unpacking *self, const char *path)
{
  struct open_how how = { .flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC,
                          .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
  return (int) syscall (SYS_openat2, self->dir_fd, path, &how, sizeof how);
}

/** (transfer full); NULL with or without an error: see @wanted. */
static JsonNode *
read_json (Unpacking *self, const char *path, bool wanted)
{
  LODGE_AUTOFD fd = open_inside (self, path);
  struct stat st;
  if (fd < 0 && !wanted)
    return NULL;
  if (fd < 0 || fstat (fd, &st) < 0 || !S_ISREG (st.st_mode) || st.st_size > JSON_MAX)
    {
      lodge_fail (self->fail, "ImageInvalid", "The OCI image has no sound %.100s", path);
      return NULL;
    }
  g_autofree char *text = g_malloc (JSON_MAX + 1);
  ssize_t n = lodge_io_read_fd (fd, text, JSON_MAX + 1);
  JsonNode *node = n >= 0 ? lodge_json_parse (text, n, JSON_MAX, NULL) : NULL;
  if (node == NULL)
    lodge_fail (self->fail, "ImageInvalid", "%.100s of the OCI image is no sound JSON", path);
  return node;
}

/** The path of a descriptor's blob, after its contents were checked.  (transfer full) */
static char *
find_blob (Unpacking *self, JsonObject *descriptor)
{
  const char *digest = descriptor != NULL ? lodge_json_get_string (descriptor, "digest", "") : "";
  const char *colon = strchr (digest, ':');
  const char *hex = colon != NULL ? colon + 1 : "";
  char fingerprint[LODGE_FINGERPRINT_SIZE];
  uint64_t bytes;

  if (!g_str_has_prefix (digest, DIGEST) || strlen (hex) != 64
      || strspn (hex, "0123456789abcdef") != 64)
    {
      lodge_fail (self->fail, "ImageInvalid", "The OCI image has a malformed digest");
      return NULL;
    }
  g_autofree char *path = g_strconcat ("blobs/sha256/", hex, NULL);
  LODGE_AUTOFD fd = open_inside (self, path);
  if (fd < 0)
    {
      lodge_fail (self->fail, "ImageInvalid", "The OCI image lacks the blob %.12s", hex);
      return NULL;
    }
  if (!lodge_fingerprint_file (fd, NULL, NULL, fingerprint, &bytes, self->fail))
    return NULL;
  if (strcmp (fingerprint, hex) != 0)
    {
      lodge_fail (self->fail, "ImageInvalid", "The blob %.12s of the OCI image is damaged", hex);
      return NULL;
    }
  return g_steal_pointer (&path);
}

/* ---- finding the layers ---- */

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

static JsonObject *
get_object_at (JsonArray *array, guint index)
{
  JsonNode *node = array != NULL && index < json_array_get_length (array)
                       ? json_array_get_element (array, index)
                       : NULL;
  return node != NULL && JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
}

/** (transfer full): the manifest that an index leads to. */
static JsonNode *
find_manifest (Unpacking *self, JsonNode *root)
{
  g_autoptr (JsonNode) node = json_node_ref (root);

  for (int i = 0; i < INDEXES_MAX; i++)
    {
      JsonObject *object = JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
      JsonArray *manifests = object != NULL ? lodge_json_get_array (object, "manifests") : NULL;
      if (manifests == NULL)
        return object != NULL ? g_steal_pointer (&node) : NULL;
      JsonObject *chosen = NULL;
      for (guint m = 0; m < json_array_get_length (manifests) && chosen == NULL; m++)
        {
          JsonObject *item = get_object_at (manifests, m);
          chosen = item != NULL && is_for_this_machine (item) ? item : NULL;
        }
      if (chosen == NULL)
        {
          lodge_fail (self->fail, "ImageInvalid", "The OCI image has nothing for this machine");
          return NULL;
        }
      g_autofree char *path = find_blob (self, chosen);
      JsonNode *next = path != NULL ? read_json (self, path, true) : NULL;
      if (next == NULL)
        return NULL;
      json_node_unref (node);
      node = next;
    }
  return NULL;
}

static bool
take_config (Unpacking *self, const char *path)
{
  g_autoptr (JsonNode) node = read_json (self, path, true);
  JsonObject *object
      = node != NULL && JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
  JsonObject *config = object != NULL ? lodge_json_get_object (object, "config") : NULL;
  g_autoptr (GString) command = g_string_new (NULL);
  static const char *const PARTS[] = { "Entrypoint", "Cmd" };

  if (object == NULL)
    return self->fail->nick != NULL
               ? false
               : lodge_fail (self->fail, "ImageInvalid", "The OCI image's configuration is none");
  for (gsize i = 0; i < G_N_ELEMENTS (PARTS); i++)
    {
      JsonArray *words = config != NULL ? lodge_json_get_array (config, PARTS[i]) : NULL;
      for (guint w = 0; words != NULL && w < json_array_get_length (words); w++)
        {
          JsonNode *word = json_array_get_element (words, w);
          const char *text
              = json_node_get_value_type (word) == G_TYPE_STRING ? json_node_get_string (word) : "";
          g_autofree char *quoted = g_shell_quote (text);
          g_string_append_printf (command, "%s%s", command->len > 0 ? " " : "", quoted);
        }
    }
  lodge_facts_set (self->facts->command, sizeof self->facts->command, command->str, command->len);
  g_strlcpy (self->facts->type, "oci", sizeof self->facts->type);
  return true;
}

static bool
list_oci_layers (Unpacking *self, JsonNode *index)
{
  g_autoptr (JsonNode) node = find_manifest (self, index);
  JsonObject *manifest = node != NULL ? json_node_get_object (node) : NULL;
  JsonArray *layers = manifest != NULL ? lodge_json_get_array (manifest, "layers") : NULL;

  if (layers == NULL)
    return self->fail->nick != NULL
               ? false
               : lodge_fail (self->fail, "ImageInvalid", "The OCI image has no layers");
  g_autofree char *config = find_blob (self, lodge_json_get_object (manifest, "config"));
  if (config == NULL || !take_config (self, config))
    return false;
  for (guint i = 0; i < json_array_get_length (layers) && i <= LAYERS_MAX; i++)
    {
      char *path = find_blob (self, get_object_at (layers, i));
      if (path == NULL)
        return false;
      g_ptr_array_add (self->layers, path);
    }
  return true;
}

/** What `docker save` writes: a list of images; the first is taken. */
static bool
list_docker_layers (Unpacking *self, JsonNode *node)
{
  JsonArray *images = JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;
  JsonObject *image = get_object_at (images, 0);
  JsonArray *layers = image != NULL ? lodge_json_get_array (image, "Layers") : NULL;

  if (layers == NULL)
    return lodge_fail (self->fail, "ImageInvalid", "The archive's manifest.json has no layers");
  if (json_array_get_length (images) > 1)
    lodge_status_notice ("The archive has more than one image; only the first was imported.");
  if (!take_config (self, lodge_json_get_string (image, "Config", "")))
    return false;
  for (guint i = 0; i < json_array_get_length (layers) && i <= LAYERS_MAX; i++)
    {
      JsonNode *layer = json_array_get_element (layers, i);
      if (json_node_get_value_type (layer) != G_TYPE_STRING)
        return lodge_fail (self->fail, "ImageInvalid", "The archive's manifest.json is malformed");
      g_ptr_array_add (self->layers, json_node_dup_string (layer));
    }
  return true;
}

/* ---- applying them ---- */

static bool
apply_layer (Unpacking *self, const char *path)
{
  LODGE_AUTOFD fd = open_inside (self, path);
  const LodgeExtract extract
      = { .fd = fd,
          .limits = { .ids = self->oci->ids, .max_bytes = self->oci->max_bytes },
          .max_total = self->oci->max_bytes,
          .max_members = self->oci->max_members,
          .target = self->oci->target,
          .side_fd = -1,
          .is_layer = true };
  LodgeExtractResult result = { 0 };

  if (fd < 0)
    return lodge_fail (self->fail, "ImageInvalid", "The OCI image lacks the layer %.100s", path);
  if (!lodge_extract_run (&extract, &result, self->fail))
    return false;
  self->devices += result.devices;
  return true;
}

static bool
unpack (Unpacking *self)
{
  g_autoptr (JsonNode) index = read_json (self, "index.json", false);
  g_autoptr (JsonNode) manifest
      = index == NULL && self->fail->nick == NULL ? read_json (self, "manifest.json", true) : NULL;

  if (index == NULL && manifest == NULL)
    return false;
  if (!(index != NULL ? list_oci_layers (self, index) : list_docker_layers (self, manifest)))
    return false;
  if (self->layers->len == 0 || self->layers->len > LAYERS_MAX)
    return lodge_fail (self->fail, "ImageInvalid", "The OCI image has no layers, or more than %d",
                       LAYERS_MAX);
  for (guint i = 0; i < self->layers->len; i++)
    if (!apply_layer (self, g_ptr_array_index (self->layers, i)))
      return false;
  if (self->devices > 0)
    lodge_status_notice ("%" G_GUINT64_FORMAT " device nodes of the image were left out.",
                         self->devices);
  return true;
}

bool
lodge_oci_unpack (const LodgeOci *oci, LodgeFacts *facts, LodgeFail *fail)
{
  g_autoptr (GPtrArray) layers = g_ptr_array_new_with_free_func (g_free);
  LODGE_AUTOFD dir_fd = open (oci->dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  Unpacking self = { .oci = oci, .facts = facts, .dir_fd = dir_fd, .layers = layers, .fail = fail };

  if (dir_fd < 0 || (mkdir (oci->target, 0755) < 0 && errno != EEXIST))
    return lodge_fail_errno (fail, errno, "The OCI image cannot be unpacked");
  return unpack (&self);
}
