/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <unistd.h>

#include "lodge-bus-convert.h"
#include "lodge-bus-introspection.h"
#include "lodge-bus-options.h"
#include "lodge-bus-paths.h"
#include "lodge-bus-private.h"
#include "lodge-config-keys.h"
#include "lodge-config.h"

#define API_LEVEL 1

static gpointer
find (LodgeBus *bus, const char *node, GError **error)
{
  return bus->manager;
}

/* ---- properties ---- */

static GVariant *
get_version (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return g_variant_new_string (LODGE_VERSION);
}

static GVariant *
get_api_level (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return g_variant_new_uint32 (API_LEVEL);
}

static GVariant *
get_features (LodgeBus *bus, gpointer object, gboolean trusted)
{
  GPtrArray *drivers = lodge_manager_get_drivers (bus->manager);
  gboolean unified = access ("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0;
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_STRING_ARRAY);
  g_variant_builder_add (&builder, "s", unified ? "cgroup2" : "cgroup1");
  for (guint i = 0; i < drivers->len; i++)
    g_variant_builder_add (&builder, "s",
                           lodge_kind_nick (lodge_driver_get_kind (drivers->pdata[i])));
  return g_variant_builder_end (&builder);
}

static GVariant *
describe_driver (LodgeDriver *driver)
{
  g_autoptr (GVariant) said = g_variant_ref_sink (lodge_driver_describe (driver));
  GVariantDict dict;

  g_variant_dict_init (&dict, said);
  g_variant_dict_insert_value (&dict, "capabilities",
                               lodge_bus_caps_to_variant (lodge_driver_get_caps (driver)));
  g_variant_dict_insert (&dict, "kind", "s", lodge_kind_nick (lodge_driver_get_kind (driver)));
  return g_variant_dict_end (&dict);
}

static GVariant *
get_drivers (LodgeBus *bus, gpointer object, gboolean trusted)
{
  GPtrArray *drivers = lodge_manager_get_drivers (bus->manager);
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a{sa{sv}}"));
  for (guint i = 0; i < drivers->len; i++)
    g_variant_builder_add (&builder, "{s@a{sv}}", lodge_driver_get_name (drivers->pdata[i]),
                           describe_driver (drivers->pdata[i]));
  return g_variant_builder_end (&builder);
}

static const LodgeBusProperty properties[] = {
  { "Version", get_version, 0, 0 },
  { "ApiLevel", get_api_level, 0, 0 },
  { "Features", get_features, 0, 0 },
  { "Drivers", get_drivers, 1, 0 },
  { NULL },
};

/* ---- methods ---- */

static void
get_instance (LodgeBusCall *call)
{
  GError *error = NULL;
  const char *name;

  g_variant_get (call->parameters, "(&s)", &name);
  LodgeInstance *instance = lodge_manager_find_instance (call->bus->manager, name, &error);
  if (instance == NULL)
    {
      lodge_bus_call_fail (call, error);
      return;
    }
  g_autofree char *path = lodge_bus_path_of_instance (lodge_instance_get_uuid (instance));
  lodge_bus_call_return (call, g_variant_new ("(o)", path));
}

static const LodgeBusOption list_options[]
    = { { "usage", "b" }, { "managed", "b" }, { "kind", "s" }, { NULL } };

/* Building a row takes ten times as long as sending it, and most lists find most rows unchanged;
 * so each instance keeps its row until it changes. */
static GVariant *
row_of (LodgeInstance *instance)
{
  GQuark quark = lodge_bus_row_quark ();
  GVariant *row = g_object_get_qdata (G_OBJECT (instance), quark);

  if (row == NULL)
    {
      row = g_variant_ref_sink (lodge_bus_instance_to_row (instance));
      g_object_set_qdata_full (G_OBJECT (instance), quark, row, (GDestroyNotify) g_variant_unref);
    }
  return row;
}

/* @usages: nullable */
static void
return_list (LodgeBusCall *call, GVariant *options, GHashTable *usages)
{
  g_autoptr (GPtrArray) instances = lodge_manager_list_instances (call->bus->manager);
  gboolean managed = lodge_bus_options_get_bool (options, "managed");
  const char *kind = lodge_bus_options_get_string (options, "kind");
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < instances->len; i++)
    {
      LodgeInstance *instance = instances->pdata[i];
      const char *nick = lodge_kind_nick (lodge_instance_get_kind (instance));
      const LodgeUsage *usage;

      if ((managed && lodge_instance_get_origin (instance) != LODGE_ORIGIN_LODGE)
          || (kind != NULL && !g_str_equal (kind, nick)))
        continue;
      usage = usages != NULL ? g_hash_table_lookup (usages, lodge_instance_get_uuid (instance))
                             : NULL;
      g_variant_builder_add_value (
          &builder,
          usage != NULL ? lodge_bus_row_with_usage (row_of (instance), usage) : row_of (instance));
    }
  lodge_bus_call_return (call, g_variant_new ("(aa{sv})", &builder));
}

static void
on_usages (GObject *source, GAsyncResult *result, gpointer user_data)
{
  LodgeBusCall *call = user_data;
  g_autoptr (GVariant) options = g_variant_get_child_value (call->parameters, 0);
  g_autoptr (GError) error = NULL;
  g_autoptr (GHashTable) usages
      = lodge_manager_get_usages_finish (LODGE_MANAGER (source), result, &error);

  /* A list without figures is better than none: libvirt may be away. */
  if (usages == NULL)
    g_info ("no usage for the list: %s", error->message);
  return_list (call, options, usages);
}

static void
list_instances (LodgeBusCall *call)
{
  g_autoptr (GVariant) options = g_variant_get_child_value (call->parameters, 0);
  GError *error = NULL;
  LodgeKind kind;

  if (!lodge_bus_options_check (options, list_options, "option", &error)
      || !lodge_bus_kind_from_options (options, &kind, &error))
    lodge_bus_call_fail (call, error);
  else if (lodge_bus_options_get_bool (options, "usage"))
    lodge_manager_get_usages (call->bus->manager, on_usages, call);
  else
    return_list (call, options, NULL);
}

static const LodgeBusOption source_options[] = { { "image", "s" }, { NULL } };
static const LodgeBusOption setting_options[]
    = { { "kind", "s" }, { "config", "a{ss}" }, { "devices", "a{sa{ss}}" }, { NULL } };
static const LodgeBusOption create_options[] = { { "start", "b" },
                                                 { "wait-booted", "b" },
                                                 { "ssh-keys", "as" },
                                                 { "password-hash", "s" },
                                                 { "script", "s" },
                                                 { "size", "t" },
                                                 { NULL } };

static gboolean
check_settings (GVariant *settings, GError **error)
{
  g_autoptr (GVariant) devices
      = g_variant_lookup_value (settings, "devices", G_VARIANT_TYPE ("a{sa{ss}}"));

  if (devices == NULL || g_variant_n_children (devices) == 0)
    return TRUE;
  g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_NOT_SUPPORTED,
                       "this version of Lodge cannot add devices to an instance");
  return FALSE;
}

/* Reads and checks the four arguments into @out_request, whose strings belong to them. */
static gboolean
read_create (GVariant *source, GVariant *settings, GVariant *options,
             LodgeCreateRequest *out_request, GError **error)
{
  g_autoptr (GVariant) config = NULL;

  if (!lodge_bus_options_check (source, source_options, "source", error)
      || !lodge_bus_options_check (settings, setting_options, "setting", error)
      || !lodge_bus_options_check (options, create_options, "option", error)
      || !lodge_bus_kind_from_options (settings, &out_request->kind, error)
      || !check_settings (settings, error))
    return FALSE;

  out_request->image = lodge_bus_options_get_string (source, "image");
  if (out_request->image == NULL || out_request->image[0] == '\0')
    {
      g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                           "the source has no 'image'");
      return FALSE;
    }
  g_variant_lookup (options, "size", "t", &out_request->size);
  out_request->start = lodge_bus_options_get_bool (options, "start");
  out_request->ssh_keys = (const char *const *) lodge_bus_options_get_strings (options, "ssh-keys");
  out_request->password_hash = lodge_bus_options_get_string (options, "password-hash");
  out_request->script = lodge_bus_options_get_string (options, "script");
  out_request->wait_booted = lodge_bus_options_get_bool (options, "wait-booted");
  config = g_variant_lookup_value (settings, "config", G_VARIANT_TYPE ("a{ss}"));
  if (config != NULL)
    out_request->config = lodge_bus_config_from_variant (config, error);
  return config == NULL || out_request->config != NULL;
}

static void
create_instance (LodgeBusCall *call)
{
  g_autoptr (GVariant) source = NULL;
  g_autoptr (GVariant) settings = NULL;
  g_autoptr (GVariant) options = NULL;
  g_autoptr (GHashTable) config = NULL;
  LodgeCreateRequest request = { 0 };
  LodgeJob *job = NULL;
  GError *error = NULL;

  g_variant_get (call->parameters, "(&s@a{sv}@a{sv}@a{sv})", &request.name, &source, &settings,
                 &options);
  if (lodge_bus_check_job_limit (call->bus, call->uid, &error)
      && read_create (source, settings, options, &request, &error))
    job = lodge_manager_create (call->bus->manager, &request, call->uid, &error);
  config = request.config;
  g_free ((gpointer) request.ssh_keys);
  lodge_bus_call_return_job (call, job, error);
}

static void
list_jobs (LodgeBusCall *call)
{
  static const LodgeBusOption known[] = { { "all", "b" }, { NULL } };
  g_autoptr (GVariant) options = g_variant_get_child_value (call->parameters, 0);
  g_autoptr (GPtrArray) jobs = NULL;
  GVariantBuilder builder;
  GError *error = NULL;

  if (!lodge_bus_options_check (options, known, "option", &error))
    {
      lodge_bus_call_fail (call, error);
      return;
    }
  jobs = lodge_manager_list_jobs (call->bus->manager);
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < jobs->len; i++)
    if (lodge_bus_options_get_bool (options, "all")
        || !lodge_job_state_is_final (lodge_job_get_state (jobs->pdata[i])))
      g_variant_builder_add_value (&builder, lodge_bus_job_to_row (jobs->pdata[i]));
  lodge_bus_call_return (call, g_variant_new ("(aa{sv})", &builder));
}

static void
get_schema (LodgeBusCall *call)
{
  g_autofree char *json = NULL;
  const char *kind;

  g_variant_get (call->parameters, "(&s)", &kind);
  if (!g_str_equal (kind, "config"))
    {
      lodge_bus_call_fail (call, g_error_new (LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                                              "there is no schema '%.32s', only 'config'", kind));
      return;
    }
  json = lodge_config_schema_json ();
  lodge_bus_call_return (call, g_variant_new ("(s)", json));
}

static void
on_reconciled (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GError *error = NULL;

  if (lodge_manager_reconcile_finish (LODGE_MANAGER (source), result, &error))
    lodge_bus_call_return (user_data, NULL);
  else
    lodge_bus_call_fail (user_data, error);
}

static void
reconcile (LodgeBusCall *call)
{
  g_autoptr (GVariant) options = g_variant_get_child_value (call->parameters, 0);
  GError *error = NULL;

  if (lodge_bus_options_check (options, NULL, "option", &error))
    lodge_manager_reconcile (call->bus->manager, on_reconciled, call);
  else
    lodge_bus_call_fail (call, error);
}

static const LodgeBusMethod methods[] = {
  { "GetInstance", get_instance },
  { "ListInstances", list_instances },
  { "CreateInstance", create_instance },
  { "ListJobs", list_jobs },
  { "GetSchema", get_schema },
  { "Reconcile", reconcile },
  { NULL },
};

const LodgeBusInterface lodge_bus_manager = {
  .info = &lodge_bus_info_manager,
  .properties = properties,
  .methods = methods,
  .find = find,
};
