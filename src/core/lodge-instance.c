/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-instance-private.h"

#include "lodge-json.h"
#include "lodge-name.h"

G_DEFINE_FINAL_TYPE (LodgeInstance, lodge_instance, G_TYPE_OBJECT)

enum
{
  SIGNAL_CHANGED,
  N_SIGNALS
};

static guint signals[N_SIGNALS];

static const char *const record_nicks[] = { "none", "creating", "ready", "deleting" };

static void
lodge_instance_finalize (GObject *object)
{
  LodgeInstance *self = LODGE_INSTANCE (object);

  g_clear_handle_id (&self->grace_source, g_source_remove);
  g_clear_handle_id (&self->changed_source, g_source_remove);
  g_free (self->uuid);
  g_free (self->name);
  g_free (self->claimed_name);
  g_free (self->uri);
  g_free (self->image_alias);
  g_free (self->image_fingerprint);
  g_free (self->medium);
  g_free (self->architecture);
  g_hash_table_unref (self->config);
  g_free (self->network);
  g_free (self->mac);
  g_free (self->address);
  g_ptr_array_unref (self->addresses);
  g_strfreev (self->drift);
  G_OBJECT_CLASS (lodge_instance_parent_class)->finalize (object);
}

static void
lodge_instance_class_init (LodgeInstanceClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = lodge_instance_finalize;
  signals[SIGNAL_CHANGED] = g_signal_new ("changed", G_TYPE_FROM_CLASS (klass), G_SIGNAL_RUN_LAST,
                                          0, NULL, NULL, NULL, G_TYPE_NONE, 1, G_TYPE_UINT);
}

static void
lodge_instance_init (LodgeInstance *self)
{
  self->config = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  self->addresses = g_ptr_array_new_with_free_func ((GDestroyNotify) lodge_address_free);
  self->drift = g_new0 (char *, 1);
  self->transient = -1;
  self->domain_id = -1;
}

LodgeInstance *
lodge_instance_new (const char *uuid, const char *name, LodgeKind kind)
{
  LodgeInstance *self = g_object_new (LODGE_TYPE_INSTANCE, NULL);

  self->uuid = g_strdup (uuid);
  self->name = g_strdup (name);
  self->kind = kind;
  self->architecture = g_strdup ("x86_64");
  return self;
}

static gboolean
emit_changed (gpointer user_data)
{
  LodgeInstance *self = user_data;
  guint fields = self->pending_fields;

  self->changed_source = 0;
  self->pending_fields = 0;
  g_signal_emit (self, signals[SIGNAL_CHANGED], 0, fields);
  return G_SOURCE_REMOVE;
}

void
lodge_instance_touch (LodgeInstance *self, LodgeInstanceField fields)
{
  self->pending_fields |= fields;
  if (self->changed_source == 0)
    self->changed_source = g_idle_add_full (G_PRIORITY_DEFAULT, emit_changed, self, NULL);
}

void
lodge_instance_set_transient (LodgeInstance *self, int state)
{
  if (self->transient == state)
    return;
  self->transient = state;
  lodge_instance_touch (self, LODGE_INSTANCE_FIELD_STATE);
}

const char *
lodge_instance_get_uuid (LodgeInstance *self)
{
  return self->uuid;
}

const char *
lodge_instance_get_name (LodgeInstance *self)
{
  return self->name;
}

LodgeKind
lodge_instance_get_kind (LodgeInstance *self)
{
  return self->kind;
}

LodgeOrigin
lodge_instance_get_origin (LodgeInstance *self)
{
  return self->record == LODGE_RECORD_NONE ? LODGE_ORIGIN_FOREIGN : LODGE_ORIGIN_LODGE;
}

const char *
lodge_instance_get_uri (LodgeInstance *self)
{
  return self->uri != NULL ? self->uri : "";
}

LodgeState
lodge_instance_get_state (LodgeInstance *self)
{
  return self->transient >= 0 ? (LodgeState) self->transient : self->observed;
}

LodgeState
lodge_instance_get_observed (LodgeInstance *self)
{
  return self->observed;
}

gboolean
lodge_instance_get_booted (LodgeInstance *self)
{
  return self->booted;
}

LodgeCaps
lodge_instance_get_caps (LodgeInstance *self)
{
  return self->caps;
}

const char *
lodge_instance_get_image (LodgeInstance *self)
{
  if (self->image_alias != NULL)
    return self->image_alias;
  if (self->image_fingerprint == NULL && self->medium != NULL)
    return self->medium;
  return self->image_fingerprint != NULL ? self->image_fingerprint : "";
}

const char *
lodge_instance_get_medium (LodgeInstance *self)
{
  return self->medium != NULL ? self->medium : "";
}

const char *
lodge_instance_get_image_fingerprint (LodgeInstance *self)
{
  return self->image_fingerprint;
}

GHashTable *
lodge_instance_get_config (LodgeInstance *self)
{
  return self->config;
}

GPtrArray *
lodge_instance_get_addresses (LodgeInstance *self)
{
  return self->addresses;
}

const char *const *
lodge_instance_get_drift (LodgeInstance *self)
{
  return (const char *const *) self->drift;
}

gint64
lodge_instance_get_created_at (LodgeInstance *self)
{
  return self->created_at;
}

gint64
lodge_instance_get_started_at (LodgeInstance *self)
{
  return self->started_at;
}

guint64
lodge_instance_get_memory_limit (LodgeInstance *self)
{
  return self->memory_limit;
}

guint
lodge_instance_get_vcpus (LodgeInstance *self)
{
  return self->vcpus;
}

gint64
lodge_instance_get_job_id (LodgeInstance *self)
{
  return self->job_id;
}

/* ---- the record ---- */

static void
set_optional (JsonObject *object, const char *member, const char *value)
{
  if (value != NULL)
    json_object_set_string_member (object, member, value);
}

char *
lodge_instance_to_json (LodgeInstance *self)
{
  g_autoptr (JsonObject) object = json_object_new ();
  JsonObject *config = json_object_new ();
  GHashTableIter iter;
  gpointer key, value;

  g_hash_table_iter_init (&iter, self->config);
  while (g_hash_table_iter_next (&iter, &key, &value))
    json_object_set_string_member (config, key, value);

  json_object_set_int_member (object, "version", 1);
  json_object_set_string_member (object, "uuid", self->uuid);
  json_object_set_string_member (object, "name", self->name);
  json_object_set_string_member (object, "kind", lodge_kind_nick (self->kind));
  json_object_set_string_member (object, "record", record_nicks[self->record]);
  json_object_set_string_member (object, "architecture", self->architecture);
  json_object_set_int_member (object, "created-at", self->created_at);
  json_object_set_int_member (object, "idmap-base", self->idmap_base);
  json_object_set_object_member (object, "config", config);
  set_optional (object, "image-alias", self->image_alias);
  set_optional (object, "image-fingerprint", self->image_fingerprint);
  set_optional (object, "medium", self->medium);
  set_optional (object, "network", self->network);
  set_optional (object, "mac", self->mac);
  set_optional (object, "address", self->address);
  json_object_set_int_member (object, "prefix", self->prefix);
  return lodge_json_to_text (object);
}

static void
read_config (LodgeInstance *self, JsonObject *config)
{
  JsonObjectIter iter;
  const char *key;
  JsonNode *node;

  if (config == NULL)
    return;
  json_object_iter_init (&iter, config);
  while (json_object_iter_next (&iter, &key, &node))
    {
      const char *value = lodge_json_get_string (config, key, NULL);

      if (value != NULL)
        g_hash_table_insert (self->config, g_strdup (key), g_strdup (value));
    }
}

static gboolean
record_from_nick (const char *nick, LodgeRecordState *out_record)
{
  for (gsize i = LODGE_RECORD_CREATING; i < G_N_ELEMENTS (record_nicks); i++)
    if (g_strcmp0 (nick, record_nicks[i]) == 0)
      {
        *out_record = (LodgeRecordState) i;
        return TRUE;
      }
  return FALSE;
}

LodgeInstance *
lodge_instance_from_json (const char *text, GError **error)
{
  g_autoptr (JsonObject) object = lodge_json_parse_object (text, -1, 1024 * 1024, NULL);
  const char *uuid = lodge_json_get_string (object, "uuid", NULL);
  const char *name = lodge_json_get_string (object, "name", NULL);
  LodgeKind kind;
  LodgeRecordState record;

  if (!lodge_uuid_is_valid (uuid) || name == NULL || lodge_json_get_int (object, "version", 0) != 1
      || !lodge_kind_from_nick (lodge_json_get_string (object, "kind", NULL), &kind)
      || !record_from_nick (lodge_json_get_string (object, "record", NULL), &record))
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_STORE,
                   "the record of instance %s cannot be read",
                   lodge_uuid_is_valid (uuid) ? uuid : "(unknown)");
      return NULL;
    }

  LodgeInstance *self = lodge_instance_new (uuid, name, kind);
  self->record = record;
  g_free (self->architecture);
  self->architecture = g_strdup (lodge_json_get_string (object, "architecture", "x86_64"));
  self->created_at = lodge_json_get_int (object, "created-at", 0);
  self->idmap_base = (guint32) lodge_json_get_int (object, "idmap-base", 0);
  self->image_alias = g_strdup (lodge_json_get_string (object, "image-alias", NULL));
  self->image_fingerprint = g_strdup (lodge_json_get_string (object, "image-fingerprint", NULL));
  self->medium = g_strdup (lodge_json_get_string (object, "medium", NULL));
  self->network = g_strdup (lodge_json_get_string (object, "network", NULL));
  self->mac = g_strdup (lodge_json_get_string (object, "mac", NULL));
  self->address = g_strdup (lodge_json_get_string (object, "address", NULL));
  self->prefix = (guint) lodge_json_get_int (object, "prefix", 0);
  read_config (self, lodge_json_get_object (object, "config"));
  return self;
}
