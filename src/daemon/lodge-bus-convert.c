/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-bus-convert.h"

#include <string.h>

#include "lodge-bus-options.h"
#include "lodge-bus-paths.h"

/* ---- text ---- */

GVariant *
lodge_bus_string_to_variant (const char *text)
{
  if (text == NULL)
    return g_variant_new_string ("");
  if (G_LIKELY (g_utf8_validate (text, -1, NULL)))
    return g_variant_new_string (text);
  return g_variant_new_take_string (g_utf8_make_valid (text, -1));
}

GVariant *
lodge_bus_strv_to_variant (const char *const *texts)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_STRING_ARRAY);
  for (gsize i = 0; texts != NULL && texts[i] != NULL; i++)
    g_variant_builder_add_value (&builder, lodge_bus_string_to_variant (texts[i]));
  return g_variant_builder_end (&builder);
}

/* ---- maps ---- */

static gboolean
is_secret (const char *key)
{
  return g_str_has_prefix (key, "environment.") || g_str_has_prefix (key, "cloud-init.")
         || strcmp (key, "user.user-data") == 0 || strcmp (key, "user.vendor-data") == 0;
}

GVariant *
lodge_bus_config_to_variant (GHashTable *config, gboolean trusted)
{
  GVariantBuilder builder;
  GHashTableIter iter;
  const char *key, *value;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a{ss}"));
  g_hash_table_iter_init (&iter, config);
  while (g_hash_table_iter_next (&iter, (gpointer *) &key, (gpointer *) &value))
    g_variant_builder_add (&builder, "{ss}", key,
                           trusted || !is_secret (key) ? value : LODGE_BUS_HIDDEN);
  return g_variant_builder_end (&builder);
}

GVariant *
lodge_bus_map_to_variant (GHashTable *map)
{
  GVariantBuilder builder;
  GHashTableIter iter;
  const char *key, *value;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a{ss}"));
  if (map != NULL)
    {
      g_hash_table_iter_init (&iter, map);
      while (g_hash_table_iter_next (&iter, (gpointer *) &key, (gpointer *) &value))
        g_variant_builder_add (&builder, "{ss}", key, value);
    }
  return g_variant_builder_end (&builder);
}

GHashTable *
lodge_bus_config_from_variant (GVariant *variant, GError **error)
{
  g_autoptr (GHashTable) config = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  const char *key, *value;
  GVariantIter iter;

  g_variant_iter_init (&iter, variant);
  while (g_variant_iter_next (&iter, "{&s&s}", &key, &value))
    if (!g_hash_table_insert (config, g_strdup (key), g_strdup (value)))
      {
        g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                     "the configuration key '%s' is given twice", key);
        return NULL;
      }
  return g_steal_pointer (&config);
}

gboolean
lodge_bus_kind_from_options (GVariant *options, LodgeKind *out_kind, GError **error)
{
  const char *nick = lodge_bus_options_get_string (options, "kind");

  if (nick == NULL)
    {
      *out_kind = LODGE_KIND_CONTAINER;
      return TRUE;
    }
  if (lodge_kind_from_nick (nick, out_kind))
    return TRUE;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
               "option 'kind' must be 'container' or 'vm', not '%.32s'", nick);
  return FALSE;
}

/* ---- instances ---- */

static const struct
{
  LodgeCaps cap;
  const char *word;
} cap_words[] = {
  { LODGE_CAP_PAUSE, "pause" },   { LODGE_CAP_EXEC, "exec" },
  { LODGE_CAP_TTY, "shell" },     { LODGE_CAP_CONSOLE, "console" },
  { LODGE_CAP_FILES, "files" },   { LODGE_CAP_FILES_OFFLINE, "files-offline" },
  { LODGE_CAP_USAGE, "usage" },   { LODGE_CAP_BOOT_REPORT, "boot-report" },
  { LODGE_CAP_RENAME, "rename" },
};

GVariant *
lodge_bus_caps_to_variant (LodgeCaps caps)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_STRING_ARRAY);
  for (gsize i = 0; i < G_N_ELEMENTS (cap_words); i++)
    if ((caps & cap_words[i].cap) != 0)
      g_variant_builder_add (&builder, "s", cap_words[i].word);
  return g_variant_builder_end (&builder);
}

/* An entry of an a{sv}; half the price of g_variant_builder_add() with its format string, which
 * counts where a list has hundreds of them. */
static void
add (GVariantBuilder *builder, const char *key, GVariant *value)
{
  g_variant_builder_add_value (builder, g_variant_new_dict_entry (g_variant_new_string (key),
                                                                  g_variant_new_variant (value)));
}

static void
add_string (GVariantBuilder *builder, const char *key, const char *value)
{
  add (builder, key, lodge_bus_string_to_variant (value));
}

static void
add_uint64 (GVariantBuilder *builder, const char *key, gint64 value)
{
  add (builder, key, g_variant_new_uint64 ((guint64) MAX (value, 0)));
}

/* A number that the host could not tell is left out. */
static void
add_known (GVariantBuilder *builder, const char *key, gint64 value)
{
  if (value >= 0)
    add_uint64 (builder, key, value);
}

static void
add_path (GVariantBuilder *builder, const char *key, char *path)
{
  add (builder, key, g_variant_new_object_path (path));
  g_free (path);
}

GVariant *
lodge_bus_addresses_to_variant (GPtrArray *addresses)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < addresses->len; i++)
    {
      const LodgeAddress *address = addresses->pdata[i];

      g_variant_builder_open (&builder, G_VARIANT_TYPE_VARDICT);
      add_string (&builder, "device", address->device);
      add_string (&builder, "family", address->ipv6 ? "inet6" : "inet");
      add_string (&builder, "address", address->address);
      add (&builder, "prefix", g_variant_new_uint32 (address->prefix));
      add_string (&builder, "source", address->source);
      g_variant_builder_close (&builder);
    }
  return g_variant_builder_end (&builder);
}

static GVariant *
address_strings (GPtrArray *addresses)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_STRING_ARRAY);
  for (guint i = 0; i < addresses->len; i++)
    g_variant_builder_add_value (
        &builder, g_variant_new_string (((LodgeAddress *) addresses->pdata[i])->address));
  return g_variant_builder_end (&builder);
}

/* What the user said, or what libvirt has: for a VM there is always a number. */
static void
add_cpu_limit (GVariantBuilder *builder, LodgeInstance *instance)
{
  const char *said = g_hash_table_lookup (lodge_instance_get_config (instance), "limits.cpu");
  char number[16] = "";

  if (said == NULL && lodge_instance_get_kind (instance) == LODGE_KIND_VM
      && lodge_instance_get_vcpus (instance) > 0)
    g_snprintf (number, sizeof number, "%u", lodge_instance_get_vcpus (instance));
  add_string (builder, "cpu-limit", said != NULL ? said : number);
}

GVariant *
lodge_bus_instance_to_row (LodgeInstance *instance)
{
  GPtrArray *addresses = lodge_instance_get_addresses (instance);
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  add_string (&builder, "name", lodge_instance_get_name (instance));
  add_string (&builder, "uuid", lodge_instance_get_uuid (instance));
  add_string (&builder, "kind", lodge_kind_nick (lodge_instance_get_kind (instance)));
  add_string (&builder, "state", lodge_state_nick (lodge_instance_get_state (instance)));
  add_path (&builder, "path", lodge_bus_path_of_instance (lodge_instance_get_uuid (instance)));
  add_string (&builder, "origin", lodge_origin_nick (lodge_instance_get_origin (instance)));
  add_string (&builder, "address",
              addresses->len > 0 ? ((LodgeAddress *) addresses->pdata[0])->address : "");
  add (&builder, "addresses", address_strings (addresses));
  add_string (&builder, "image", lodge_instance_get_image (instance));
  add_uint64 (&builder, "created", lodge_instance_get_created_at (instance));
  add (&builder, "memory-limit", g_variant_new_uint64 (lodge_instance_get_memory_limit (instance)));
  add_cpu_limit (&builder, instance);
  if (lodge_instance_get_job_id (instance) != 0)
    add_path (&builder, "job", lodge_bus_path_of_job (lodge_instance_get_job_id (instance)));
  return g_variant_builder_end (&builder);
}

GVariant *
lodge_bus_row_with_usage (GVariant *row, const LodgeUsage *usage)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  for (gsize i = 0; i < g_variant_n_children (row); i++)
    {
      g_autoptr (GVariant) entry = g_variant_get_child_value (row, i);

      g_variant_builder_add_value (&builder, entry);
    }
  add_known (&builder, "memory", usage->memory);
  add_known (&builder, "cpu-ns", usage->cpu_ns);
  add_known (&builder, "processes", usage->processes);
  return g_variant_builder_end (&builder);
}

GQuark
lodge_bus_row_quark (void)
{
  return g_quark_from_static_string ("lodge-bus-row");
}

static GVariant *
networks_to_variant (const LodgeUsage *usage)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a{sa{sv}}"));
  if (usage->host_device != NULL)
    {
      g_variant_builder_open (&builder, G_VARIANT_TYPE ("{sa{sv}}"));
      /* The one NIC of an instance; the guest may call its end what it likes. */
      g_variant_builder_add (&builder, "s", "eth0");
      g_variant_builder_open (&builder, G_VARIANT_TYPE_VARDICT);
      add_string (&builder, "host-device", usage->host_device);
      add_known (&builder, "rx-bytes", usage->rx_bytes);
      add_known (&builder, "tx-bytes", usage->tx_bytes);
      add_known (&builder, "rx-packets", usage->rx_packets);
      add_known (&builder, "tx-packets", usage->tx_packets);
      g_variant_builder_close (&builder);
      g_variant_builder_close (&builder);
    }
  return g_variant_builder_end (&builder);
}

GVariant *
lodge_bus_usage_to_variant (const LodgeUsage *usage)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  add_known (&builder, "cpu-ns", usage->cpu_ns);
  add_known (&builder, "memory", usage->memory);
  add_known (&builder, "memory-peak", usage->memory_peak);
  add_known (&builder, "memory-limit", usage->memory_limit);
  add_known (&builder, "swap", usage->swap);
  add_known (&builder, "processes", usage->processes);
  add_known (&builder, "processes-limit", usage->processes_limit);
  add_known (&builder, "disk", usage->disk);
  add_known (&builder, "uptime", usage->uptime);
  add (&builder, "networks", networks_to_variant (usage));
  return g_variant_builder_end (&builder);
}

/* ---- jobs ---- */

GVariant *
lodge_bus_job_error (LodgeJob *job)
{
  const GError *error = lodge_job_get_error (job);

  if (error == NULL)
    return g_variant_new ("(ss)", "", "");

  g_autoptr (GError) normal = lodge_error_normalize (g_error_copy (error));
  return g_variant_new ("(s@s)", lodge_error_dbus_name ((LodgeErrorCode) normal->code),
                        lodge_bus_string_to_variant (normal->message));
}

GVariant *
lodge_bus_job_to_row (LodgeJob *job)
{
  const GError *error = lodge_job_get_error (job);
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  add_uint64 (&builder, "id", lodge_job_get_id (job));
  add_path (&builder, "path", lodge_bus_path_of_job (lodge_job_get_id (job)));
  add_string (&builder, "operation", lodge_job_get_operation (job));
  add_string (&builder, "description", lodge_job_get_description (job));
  add_string (&builder, "state", lodge_job_state_nick (lodge_job_get_state (job)));
  add_string (&builder, "stage", lodge_job_get_stage (job));
  add (&builder, "progress", g_variant_new_double (lodge_job_get_progress (job)));
  add (&builder, "uid", g_variant_new_uint32 (lodge_job_get_uid (job)));
  add_uint64 (&builder, "started", lodge_job_get_started_at (job));
  add_uint64 (&builder, "ended", lodge_job_get_ended_at (job));
  add_string (&builder, "error", error != NULL ? error->message : "");
  return g_variant_builder_end (&builder);
}

GVariant *
lodge_bus_job_result (LodgeManager *manager, LodgeJob *job)
{
  const char *uuid = lodge_job_get_instance_uuid (job);
  const char *name = lodge_job_get_instance_name (job);
  const char *fingerprint = lodge_job_get_image_fingerprint (job);
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  /* Of a delete the name is what remains. */
  if (uuid[0] != '\0' && lodge_manager_find_instance (manager, uuid, NULL) != NULL)
    add_path (&builder, "instance", lodge_bus_path_of_instance (uuid));
  if (name[0] != '\0')
    add_string (&builder, "name", name);
  if (fingerprint[0] != '\0')
    {
      add_string (&builder, "fingerprint", fingerprint);
      add_path (&builder, "image", lodge_bus_path_of_image (fingerprint));
    }
  return g_variant_builder_end (&builder);
}

/* ---- images ---- */

GVariant *
lodge_bus_image_users (LodgeManager *manager, const char *fingerprint)
{
  g_autoptr (GPtrArray) users = lodge_manager_list_users_of_image (manager, fingerprint);

  return g_variant_new_strv ((const char *const *) users->pdata, (gssize) users->len);
}

GVariant *
lodge_bus_image_to_row (LodgeManager *manager, const LodgeImage *image)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  add_string (&builder, "fingerprint", image->fingerprint);
  add (&builder, "aliases", lodge_bus_strv_to_variant ((const char *const *) image->aliases));
  add_string (&builder, "kind", lodge_image_kind_nick (image));
  add_string (&builder, "architecture", image->architecture);
  add_string (&builder, "description", image->description);
  add (&builder, "size", g_variant_new_uint64 (image->size));
  add_uint64 (&builder, "created", image->created_at);
  add_uint64 (&builder, "last-used", image->last_used_at);
  add_string (&builder, "source", image->source);
  add_path (&builder, "path", lodge_bus_path_of_image (image->fingerprint));
  add (&builder, "used-by", lodge_bus_image_users (manager, image->fingerprint));
  add_uint64 (&builder, "expires", lodge_manager_get_image_expiry (manager, image));
  add (&builder, "cached", g_variant_new_boolean (image->cached));
  add (&builder, "pinned", g_variant_new_boolean (image->pinned));
  add (&builder, "auto-update", g_variant_new_boolean (image->auto_update));
  return g_variant_builder_end (&builder);
}
