/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-bus-convert.h"
#include "lodge-bus-introspection.h"
#include "lodge-bus-options.h"
#include "lodge-bus-paths.h"
#include "lodge-bus-private.h"

#define DEFAULT_TIMEOUT 30 /* s */

static gpointer
find (LodgeBus *bus, const char *node, GError **error)
{
  g_autofree char *uuid = lodge_bus_uuid_of_node (node);
  g_autofree char *name = lodge_bus_name_of_node (node);
  LodgeInstance *instance = NULL;

  if (name != NULL)
    return lodge_manager_find_instance (bus->manager, name, error);
  if (uuid != NULL)
    instance = lodge_manager_find_instance (bus->manager, uuid, NULL);
  /* A name may look like a UUID; this path never means a name. */
  if (instance != NULL && g_str_equal (lodge_instance_get_uuid (instance), uuid))
    return instance;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND, "there is no instance %s any more",
               uuid != NULL ? uuid : "of that path");
  return NULL;
}

static GPtrArray *
list (LodgeBus *bus)
{
  g_autoptr (GPtrArray) instances = lodge_manager_list_instances (bus->manager);
  GPtrArray *nodes = g_ptr_array_new ();

  for (guint i = 0; i < instances->len; i++)
    g_ptr_array_add (nodes, lodge_bus_node_of_uuid (lodge_instance_get_uuid (instances->pdata[i])));
  return nodes;
}

static GVariant *
details (gpointer object)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a{ss}"));
  g_variant_builder_add (&builder, "{ss}", "instance.name", lodge_instance_get_name (object));
  g_variant_builder_add (&builder, "{ss}", "instance.kind",
                         lodge_kind_nick (lodge_instance_get_kind (object)));
  g_variant_builder_add (&builder, "{ss}", "instance.uri", lodge_instance_get_uri (object));
  return g_variant_builder_end (&builder);
}

/* ---- properties ---- */

static GVariant *
get_name (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return lodge_bus_string_to_variant (lodge_instance_get_name (object));
}

static GVariant *
get_uuid (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return g_variant_new_string (lodge_instance_get_uuid (object));
}

static GVariant *
get_kind (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return g_variant_new_string (lodge_kind_nick (lodge_instance_get_kind (object)));
}

static GVariant *
get_uri (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return lodge_bus_string_to_variant (lodge_instance_get_uri (object));
}

static GVariant *
get_state (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return g_variant_new_string (lodge_state_nick (lodge_instance_get_state (object)));
}

static GVariant *
get_booted (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return g_variant_new_boolean (lodge_instance_get_booted (object));
}

static GVariant *
get_origin (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return g_variant_new_string (lodge_origin_nick (lodge_instance_get_origin (object)));
}

static GVariant *
get_capabilities (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return lodge_bus_caps_to_variant (lodge_instance_get_caps (object));
}

static GVariant *
get_image (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return lodge_bus_string_to_variant (lodge_instance_get_image (object));
}

static GVariant *
get_medium (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return lodge_bus_string_to_variant (lodge_instance_get_medium (object));
}

static GVariant *
get_config (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return lodge_bus_config_to_variant (lodge_instance_get_config (object), trusted);
}

static GVariant *
get_drift (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return lodge_bus_strv_to_variant (lodge_instance_get_drift (object));
}

static GVariant *
get_addresses (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return lodge_bus_addresses_to_variant (lodge_instance_get_addresses (object));
}

static GVariant *
get_job (LodgeBus *bus, gpointer object, gboolean trusted)
{
  gint64 id = lodge_instance_get_job_id (object);
  g_autofree char *path = id != 0 ? lodge_bus_path_of_job (id) : g_strdup ("/");

  return g_variant_new_object_path (path);
}

static GVariant *
get_created_at (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return g_variant_new_uint64 ((guint64) lodge_instance_get_created_at (object));
}

static GVariant *
get_started_at (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return g_variant_new_uint64 ((guint64) lodge_instance_get_started_at (object));
}

static const LodgeBusProperty properties[] = {
  { "Name", get_name, LODGE_INSTANCE_FIELD_NAME, 0 },
  { "Uuid", get_uuid, 0, 0 },
  { "Kind", get_kind, 0, 0 },
  { "Uri", get_uri, 0, 0 },
  { "State", get_state, LODGE_INSTANCE_FIELD_STATE, 0 },
  { "Booted", get_booted, LODGE_INSTANCE_FIELD_BOOTED, 0 },
  { "Origin", get_origin, LODGE_INSTANCE_FIELD_CONFIG, 0 },
  { "Capabilities", get_capabilities, LODGE_INSTANCE_FIELD_CONFIG, 0 },
  { "Image", get_image, LODGE_INSTANCE_FIELD_CONFIG, 0 },
  { "Medium", get_medium, LODGE_INSTANCE_FIELD_CONFIG, 0 },
  /* Signals go to everybody, so the news is only that it changed. */
  { "Config", get_config, LODGE_INSTANCE_FIELD_CONFIG,
    LODGE_PROPERTY_SECRET | LODGE_PROPERTY_INVALIDATES },
  { "Drift", get_drift, LODGE_INSTANCE_FIELD_DRIFT, 0 },
  { "Addresses", get_addresses, LODGE_INSTANCE_FIELD_ADDRESSES, 0 },
  { "Job", get_job, LODGE_INSTANCE_FIELD_JOB, 0 },
  { "CreatedAt", get_created_at, 0, 0 },
  { "StartedAt", get_started_at, LODGE_INSTANCE_FIELD_STARTED_AT, 0 },
  { NULL },
};

/* ---- life cycle ---- */

static const LodgeBusOption start_options[] = { { "wait-booted", "b" }, { NULL } };
static const LodgeBusOption stop_options[] = { { "force", "b" }, { "timeout", "u" }, { NULL } };
static const LodgeBusOption delete_options[] = { { "force", "b" }, { NULL } };
static const LodgeBusOption eject_options[] = { { "force", "b" }, { NULL } };

/* What all methods that make a job begin with. */
static gboolean
admit (LodgeBusCall *call, GVariant *options, const LodgeBusOption *known, GError **error)
{
  return lodge_bus_check_job_limit (call->bus, call->uid, error)
         && lodge_bus_options_check (options, known, "option", error);
}

static void
start (LodgeBusCall *call)
{
  g_autoptr (GVariant) options = g_variant_get_child_value (call->parameters, 0);
  LodgeJob *job = NULL;
  GError *error = NULL;

  if (admit (call, options, start_options, &error))
    job = lodge_manager_start_instance (call->bus->manager, call->object,
                                        lodge_bus_options_get_bool (options, "wait-booted"),
                                        call->uid, &error);
  lodge_bus_call_return_job (call, job, error);
}

typedef LodgeJob *(*StopFunc) (LodgeManager *manager, LodgeInstance *instance, gboolean force,
                               guint timeout, guint32 uid, GError **error);

static void
stop_with (LodgeBusCall *call, StopFunc func)
{
  g_autoptr (GVariant) options = g_variant_get_child_value (call->parameters, 0);
  LodgeJob *job = NULL;
  GError *error = NULL;

  if (admit (call, options, stop_options, &error))
    job = func (call->bus->manager, call->object, lodge_bus_options_get_bool (options, "force"),
                lodge_bus_options_get_uint (options, "timeout", DEFAULT_TIMEOUT), call->uid,
                &error);
  lodge_bus_call_return_job (call, job, error);
}

static void
stop (LodgeBusCall *call)
{
  stop_with (call, lodge_manager_stop_instance);
}

static void
restart (LodgeBusCall *call)
{
  stop_with (call, lodge_manager_restart_instance);
}

static void
pause_instance (LodgeBusCall *call)
{
  g_autoptr (GVariant) options = g_variant_get_child_value (call->parameters, 0);
  LodgeJob *job = NULL;
  GError *error = NULL;

  if (admit (call, options, NULL, &error))
    job = lodge_manager_pause_instance (call->bus->manager, call->object, call->uid, &error);
  lodge_bus_call_return_job (call, job, error);
}

static void
resume (LodgeBusCall *call)
{
  g_autoptr (GVariant) options = g_variant_get_child_value (call->parameters, 0);
  LodgeJob *job = NULL;
  GError *error = NULL;

  if (admit (call, options, NULL, &error))
    job = lodge_manager_resume_instance (call->bus->manager, call->object, call->uid, &error);
  lodge_bus_call_return_job (call, job, error);
}

static void
rename_instance (LodgeBusCall *call)
{
  g_autoptr (GVariant) options = NULL;
  LodgeJob *job = NULL;
  GError *error = NULL;
  const char *name;

  g_variant_get (call->parameters, "(&s@a{sv})", &name, &options);
  if (admit (call, options, NULL, &error))
    job = lodge_manager_rename_instance (call->bus->manager, call->object, name, call->uid, &error);
  lodge_bus_call_return_job (call, job, error);
}

static void
delete_instance (LodgeBusCall *call)
{
  g_autoptr (GVariant) options = g_variant_get_child_value (call->parameters, 0);
  LodgeJob *job = NULL;
  GError *error = NULL;

  if (admit (call, options, delete_options, &error))
    job = lodge_manager_delete_instance (call->bus->manager, call->object,
                                         lodge_bus_options_get_bool (options, "force"), call->uid,
                                         &error);
  lodge_bus_call_return_job (call, job, error);
}

static void
eject (LodgeBusCall *call)
{
  g_autoptr (GVariant) options = g_variant_get_child_value (call->parameters, 0);
  LodgeJob *job = NULL;
  GError *error = NULL;

  if (admit (call, options, eject_options, &error))
    job = lodge_manager_eject_medium (call->bus->manager, call->object,
                                      lodge_bus_options_get_bool (options, "force"), call->uid,
                                      &error);
  lodge_bus_call_return_job (call, job, error);
}

/* ---- streams ---- */

/* Answers with one descriptor; -1: with @error (transfer full). */
static void
return_fd (LodgeBusCall *call, int fd, GError *error)
{
  if (fd >= 0)
    lodge_bus_call_return_fds (call, g_variant_new ("(h)", 0), &fd, 1);
  else
    lodge_bus_call_fail (call, error);
}

static void
open_console (LodgeBusCall *call)
{
  g_autoptr (GVariant) options = g_variant_get_child_value (call->parameters, 0);
  GError *error = NULL;
  int fd = -1;

  if (lodge_bus_options_check (options, NULL, "option", &error))
    fd = lodge_manager_open_console (call->bus->manager, call->object, &error);
  return_fd (call, fd, error);
}

static void
get_console_log (LodgeBusCall *call)
{
  g_autoptr (GVariant) options = g_variant_get_child_value (call->parameters, 0);
  GError *error = NULL;
  int fd = -1;

  if (lodge_bus_options_check (options, NULL, "option", &error))
    fd = lodge_manager_open_console_log (call->bus->manager, call->object, &error);
  return_fd (call, fd, error);
}

static void
on_files (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GError *error = NULL;
  int fd = lodge_manager_open_files_finish (LODGE_MANAGER (source), result, &error);

  return_fd (user_data, fd, error);
}

static void
open_files (LodgeBusCall *call)
{
  g_autoptr (GVariant) options = g_variant_get_child_value (call->parameters, 0);
  GError *error = NULL;

  if (lodge_bus_options_check (options, NULL, "option", &error))
    lodge_manager_open_files (call->bus->manager, call->object, NULL, on_files, call);
  else
    lodge_bus_call_fail (call, error);
}

static void
publish (LodgeBusCall *call)
{
  static const LodgeBusOption known[] = { { "aliases", "as" }, { "description", "s" }, { NULL } };
  g_autoptr (GVariant) options = g_variant_get_child_value (call->parameters, 0);
  LodgeJob *job = NULL;
  GError *error = NULL;

  if (lodge_bus_check_job_limit (call->bus, call->uid, &error)
      && lodge_bus_options_check (options, known, "option", &error))
    {
      g_autofree const char **aliases = lodge_bus_options_get_strings (options, "aliases");

      job = lodge_manager_publish_instance (call->bus->manager, call->object, aliases,
                                            lodge_bus_options_get_string (options, "description"),
                                            call->uid, &error);
    }
  lodge_bus_call_return_job (call, job, error);
}

static void
convert (LodgeBusCall *call)
{
  static const LodgeBusOption known[] = { { "size", "t" }, { "start", "b" }, { NULL } };
  g_autoptr (GVariant) options = NULL;
  LodgeKind kind = LODGE_KIND_CONTAINER;
  guint64 size = 0;
  gboolean start = FALSE;
  LodgeJob *job = NULL;
  GError *error = NULL;
  const char *nick;

  g_variant_get (call->parameters, "(&s@a{sv})", &nick, &options);
  g_variant_lookup (options, "size", "t", &size);
  g_variant_lookup (options, "start", "b", &start);
  if (!lodge_kind_from_nick (nick, &kind))
    g_set_error (&error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                 "an instance is converted to a container or a vm");
  else if (lodge_bus_check_job_limit (call->bus, call->uid, &error)
           && lodge_bus_options_check (options, known, "option", &error))
    job = lodge_manager_convert_instance (call->bus->manager, call->object, kind, size, start,
                                          call->uid, &error);
  lodge_bus_call_return_job (call, job, error);
}

/* ---- questions ---- */

static void
on_usage (GObject *source, GAsyncResult *result, gpointer user_data)
{
  LodgeBusCall *call = user_data;
  GError *error = NULL;
  g_autoptr (LodgeUsage) usage
      = lodge_manager_get_usage_finish (LODGE_MANAGER (source), result, &error);

  if (usage != NULL)
    lodge_bus_call_return (call, g_variant_new ("(@a{sv})", lodge_bus_usage_to_variant (usage)));
  else
    lodge_bus_call_fail (call, error);
}

static void
get_usage (LodgeBusCall *call)
{
  g_autoptr (GVariant) options = g_variant_get_child_value (call->parameters, 0);
  GError *error = NULL;

  if (lodge_bus_options_check (options, NULL, "option", &error))
    lodge_manager_get_usage (call->bus->manager, call->object, on_usage, call);
  else
    lodge_bus_call_fail (call, error);
}

static void
on_xml (GObject *source, GAsyncResult *result, gpointer user_data)
{
  LodgeBusCall *call = user_data;
  GError *error = NULL;
  g_autofree char *xml = lodge_manager_get_xml_finish (LODGE_MANAGER (source), result, &error);

  if (xml != NULL)
    lodge_bus_call_return (call, g_variant_new ("(@s)", lodge_bus_string_to_variant (xml)));
  else
    lodge_bus_call_fail (call, error);
}

static void
get_xml (LodgeBusCall *call)
{
  g_autoptr (GVariant) options = g_variant_get_child_value (call->parameters, 0);
  GError *error = NULL;

  if (lodge_bus_options_check (options, NULL, "option", &error))
    lodge_manager_get_xml (call->bus->manager, call->object, on_xml, call);
  else
    lodge_bus_call_fail (call, error);
}

static const LodgeBusMethod methods[] = {
  { "Start", start },
  { "Stop", stop },
  { "Restart", restart },
  { "Pause", pause_instance },
  { "Resume", resume },
  { "Rename", rename_instance },
  { "Delete", delete_instance },
  { "Eject", eject },
  { "Publish", publish },
  { "Convert", convert },
  { "Exec", lodge_bus_instance_exec },
  { "OpenConsole", open_console },
  { "GetConsoleLog", get_console_log },
  { "OpenFiles", open_files },
  { "GetUsage", get_usage },
  { "GetXml", get_xml },
  { NULL },
};

const LodgeBusInterface lodge_bus_instance = {
  .info = &lodge_bus_info_instance,
  .properties = properties,
  .methods = methods,
  .find = find,
  .list = list,
  .details = details,
};
