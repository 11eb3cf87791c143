/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-bus.h"

#include <malloc.h>

#include "lodge-bus-convert.h"
#include "lodge-bus-introspection.h"
#include "lodge-bus-paths.h"
#include "lodge-bus-private.h"

#define JOBS_OF_USER 64
#define JOBS_OF_ROOT 1024

#define DO_NOT_QUEUE  4
#define PRIMARY_OWNER 1
#define TRIM_AFTER    5     /* s */
#define CALL_TIMEOUT  10000 /* ms */

G_DEFINE_FINAL_TYPE (LodgeBus, lodge_bus, G_TYPE_OBJECT)

void
lodge_bus_emit (LodgeBus *self, const char *destination, const char *path, const char *interface,
                const char *signal, GVariant *parameters)
{
  g_autoptr (GError) error = NULL;

  if (!g_dbus_connection_emit_signal (self->connection, destination, path, interface, signal,
                                      parameters, &error))
    g_info ("signal %s of %s was not sent: %s", signal, path, error->message);
}

gboolean
lodge_bus_check_job_limit (LodgeBus *self, guint32 uid, GError **error)
{
  g_autoptr (GPtrArray) jobs = lodge_manager_list_jobs (self->manager);
  guint limit = uid == 0 ? JOBS_OF_ROOT : JOBS_OF_USER;
  guint count = 0;

  for (guint i = 0; i < jobs->len; i++)
    count += lodge_job_get_uid (jobs->pdata[i]) == uid
             && !lodge_job_state_is_final (lodge_job_get_state (jobs->pdata[i]));
  if (count < limit)
    return TRUE;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_LIMIT_EXCEEDED,
               "user %u has %u jobs that run already", uid, count);
  return FALSE;
}

/* ---- what objects tell ---- */

void
lodge_bus_emit_changed (LodgeBus *self, const LodgeBusInterface *interface, const char *path,
                        gpointer object, guint fields)
{
  GVariantBuilder values, invalidated;
  gboolean any = FALSE;

  g_variant_builder_init (&values, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_init (&invalidated, G_VARIANT_TYPE_STRING_ARRAY);
  for (const LodgeBusProperty *row = interface->properties; row->name != NULL; row++)
    {
      if ((row->fields & fields) == 0)
        continue;
      any = TRUE;
      if ((row->flags & LODGE_PROPERTY_INVALIDATES) != 0)
        g_variant_builder_add (&invalidated, "s", row->name);
      else
        g_variant_builder_add (&values, "{sv}", row->name, row->get (self, object, FALSE));
    }
  if (any)
    lodge_bus_emit (self, NULL, path, "org.freedesktop.DBus.Properties", "PropertiesChanged",
                    g_variant_new ("(sa{sv}as)", interface->info->name, &values, &invalidated));
  else
    {
      g_variant_builder_clear (&values);
      g_variant_builder_clear (&invalidated);
    }
}

static GVariant *
interfaces_of (LodgeBus *self, const LodgeBusInterface *interface, gpointer object,
               gboolean trusted)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a{sa{sv}}"));
  g_variant_builder_add (&builder, "{s@a{sv}}", interface->info->name,
                         lodge_bus_object_read (self, interface, object, trusted));
  return g_variant_builder_end (&builder);
}

void
lodge_bus_emit_added (LodgeBus *self, const LodgeBusInterface *interface, const char *path,
                      gpointer object)
{
  lodge_bus_emit (
      self, NULL, LODGE_OBJECT_PATH, lodge_bus_objects.info->name, "InterfacesAdded",
      g_variant_new ("(o@a{sa{sv}})", path, interfaces_of (self, interface, object, FALSE)));
}

void
lodge_bus_emit_removed (LodgeBus *self, const LodgeBusInterface *interface, const char *path)
{
  const char *names[] = { interface->info->name, NULL };

  lodge_bus_emit (self, NULL, LODGE_OBJECT_PATH, lodge_bus_objects.info->name, "InterfacesRemoved",
                  g_variant_new ("(o^as)", path, names));
}

/* ---- the ObjectManager ---- */

static gpointer
find_manager (LodgeBus *bus, const char *node, GError **error)
{
  return bus->manager;
}

static void
add_object (GVariantBuilder *builder, LodgeBusCall *call, const LodgeBusInterface *interface,
            char *path, gpointer object)
{
  g_variant_builder_add (
      builder, "{o@a{sa{sv}}}", path,
      interfaces_of (call->bus, interface, object, lodge_auth_is_trusted (call->uid)));
  g_free (path);
}

static void
get_managed_objects (LodgeBusCall *call)
{
  LodgeManager *manager = call->bus->manager;
  g_autoptr (GPtrArray) instances = lodge_manager_list_instances (manager);
  g_autoptr (GPtrArray) images = lodge_image_store_list (lodge_manager_get_images (manager));
  g_autoptr (GPtrArray) jobs = lodge_manager_list_jobs (manager);
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a{oa{sa{sv}}}"));
  for (guint i = 0; i < instances->len; i++)
    add_object (&builder, call, &lodge_bus_instance,
                lodge_bus_path_of_instance (lodge_instance_get_uuid (instances->pdata[i])),
                instances->pdata[i]);
  for (guint i = 0; i < images->len; i++)
    add_object (&builder, call, &lodge_bus_image,
                lodge_bus_path_of_image (((LodgeImage *) images->pdata[i])->fingerprint),
                images->pdata[i]);
  for (guint i = 0; i < jobs->len; i++)
    add_object (&builder, call, &lodge_bus_job,
                lodge_bus_path_of_job (lodge_job_get_id (jobs->pdata[i])), jobs->pdata[i]);
  lodge_bus_call_return (call, g_variant_new ("(a{oa{sa{sv}}})", &builder));
}

static const LodgeBusMethod object_methods[]
    = { { "GetManagedObjects", get_managed_objects }, { NULL } };

const LodgeBusInterface lodge_bus_objects = {
  .info = &lodge_bus_info_objectmanager,
  .methods = object_methods,
  .find = find_manager,
};

/* ---- what the manager tells ---- */

static void
on_instance_changed (LodgeInstance *instance, guint fields, LodgeBus *self)
{
  g_autofree char *path = lodge_bus_path_of_instance (lodge_instance_get_uuid (instance));

  g_object_set_qdata (G_OBJECT (instance), lodge_bus_row_quark (), NULL);
  lodge_bus_emit_changed (self, &lodge_bus_instance, path, instance, fields);
}

static void
watch_instance (LodgeBus *self, LodgeInstance *instance)
{
  g_signal_connect_object (instance, "changed", G_CALLBACK (on_instance_changed), self, 0);
}

static void
on_instance_added (LodgeManager *manager, LodgeInstance *instance, LodgeBus *self)
{
  g_autofree char *path = lodge_bus_path_of_instance (lodge_instance_get_uuid (instance));

  watch_instance (self, instance);
  lodge_bus_emit_added (self, &lodge_bus_instance, path, instance);
}

static void
on_instance_removed (LodgeManager *manager, LodgeInstance *instance, LodgeBus *self)
{
  g_autofree char *path = lodge_bus_path_of_instance (lodge_instance_get_uuid (instance));

  g_signal_handlers_disconnect_by_func (instance, on_instance_changed, self);
  g_object_set_qdata (G_OBJECT (instance), lodge_bus_row_quark (), NULL);
  lodge_bus_emit_removed (self, &lodge_bus_instance, path);
}

static void
on_job_changed (LodgeJob *job, guint fields, LodgeBus *self)
{
  g_autofree char *path = lodge_bus_path_of_job (lodge_job_get_id (job));

  lodge_bus_emit_changed (self, &lodge_bus_job, path, job, fields);
}

static void
tell_end (LodgeBus *self, LodgeJob *job)
{
  g_autofree char *path = lodge_bus_path_of_job (lodge_job_get_id (job));
  gboolean success = lodge_job_get_error (job) == NULL;
  GVariant *result = success ? lodge_bus_job_result (self->manager, job)
                             : g_variant_new_array (G_VARIANT_TYPE ("{sv}"), NULL, 0);

  lodge_bus_emit (self, NULL, path, lodge_bus_job.info->name, "Completed",
                  g_variant_new ("(b@(ss)@a{sv})", success, lodge_bus_job_error (job), result));
  lodge_bus_job_settle (self, job);
  if (!success)
    {
      const LodgeAuditRow row = { .uid = lodge_job_get_uid (job),
                                  .sender = lodge_bus_job_get_sender (job),
                                  .operation = lodge_job_get_operation (job),
                                  .object = path,
                                  .error = lodge_job_get_error (job) };
      lodge_audit_write (self->audit, &row);
    }
  /* It has nothing more to tell; thousands of ended ones may be remembered. */
  g_signal_handlers_disconnect_by_data (job, self);
}

static gboolean
tell_ends (gpointer user_data)
{
  LodgeBus *self = user_data;
  g_autoptr (GPtrArray) ending = g_steal_pointer (&self->ending);

  self->ending_source = 0;
  self->ending = g_ptr_array_new_with_free_func (g_object_unref);
  for (guint i = 0; i < ending->len; i++)
    tell_end (self, ending->pdata[i]);
  return G_SOURCE_REMOVE;
}

/* What the job did to its instance is announced from an idle source that is queued already; who
 * waits for the job must hear of that first.  So the end is told from the next one. */
static void
on_job_ended (LodgeJob *job, LodgeBus *self)
{
  g_ptr_array_add (self->ending, g_object_ref (job));
  if (self->ending_source == 0)
    self->ending_source = g_idle_add_full (G_PRIORITY_DEFAULT, tell_ends, self, NULL);
}

static void
watch_job (LodgeBus *self, LodgeJob *job)
{
  g_signal_connect_object (job, "changed", G_CALLBACK (on_job_changed), self, 0);
  g_signal_connect_object (job, "ended", G_CALLBACK (on_job_ended), self, 0);
}

static void
on_job_added (LodgeManager *manager, LodgeJob *job, LodgeBus *self)
{
  g_autofree char *path = lodge_bus_path_of_job (lodge_job_get_id (job));

  watch_job (self, job);
  lodge_bus_emit_added (self, &lodge_bus_job, path, job);
}

static gboolean
trim (gpointer user_data)
{
  LodgeBus *self = user_data;

  self->trim_source = 0;
  malloc_trim (0);
  return G_SOURCE_REMOVE;
}

/* Hundreds of jobs may be forgotten at once, and each is a message to queue; without this the
 * most memory that lodged ever needed would stay with it. */
static void
trim_soon (LodgeBus *self)
{
  if (self->trim_source == 0)
    self->trim_source = g_timeout_add_seconds (TRIM_AFTER, trim, self);
}

static void
on_job_removed (LodgeManager *manager, LodgeJob *job, LodgeBus *self)
{
  g_autofree char *path = lodge_bus_path_of_job (lodge_job_get_id (job));

  lodge_bus_emit_removed (self, &lodge_bus_job, path);
  trim_soon (self);
}

static void
on_image_added (LodgeImageStore *images, const char *fingerprint, LodgeBus *self)
{
  const LodgeImage *image = lodge_image_store_get (images, fingerprint);
  g_autofree char *path = lodge_bus_path_of_image (fingerprint);

  if (image != NULL)
    lodge_bus_emit_added (self, &lodge_bus_image, path, (gpointer) image);
}

static void
on_image_changed (LodgeImageStore *images, const char *fingerprint, LodgeBus *self)
{
  const LodgeImage *image = lodge_image_store_get (images, fingerprint);
  g_autofree char *path = lodge_bus_path_of_image (fingerprint);

  if (image != NULL)
    lodge_bus_emit_changed (self, &lodge_bus_image, path, (gpointer) image, G_MAXUINT);
}

static void
on_image_removed (LodgeImageStore *images, const char *fingerprint, LodgeBus *self)
{
  g_autofree char *path = lodge_bus_path_of_image (fingerprint);

  lodge_bus_emit_removed (self, &lodge_bus_image, path);
}

static void
on_drivers_changed (LodgeManager *manager, LodgeBus *self)
{
  lodge_bus_emit_changed (self, &lodge_bus_manager, LODGE_OBJECT_PATH, manager, G_MAXUINT);
}

/* ---- Event ---- */

static char *
describe_instance (LodgeInstance *instance, GVariantBuilder *details)
{
  g_variant_builder_add (details, "{sv}", "name",
                         lodge_bus_string_to_variant (lodge_instance_get_name (instance)));
  g_variant_builder_add (
      details, "{sv}", "state",
      g_variant_new_string (lodge_state_nick (lodge_instance_get_observed (instance))));
  g_variant_builder_add (
      details, "{sv}", "kind",
      g_variant_new_string (lodge_kind_nick (lodge_instance_get_kind (instance))));
  return lodge_bus_path_of_instance (lodge_instance_get_uuid (instance));
}

static char *
describe_job (LodgeJob *job, GVariantBuilder *details)
{
  const GError *error = lodge_job_get_error (job);

  g_variant_builder_add (details, "{sv}", "operation",
                         lodge_bus_string_to_variant (lodge_job_get_operation (job)));
  g_variant_builder_add (details, "{sv}", "description",
                         lodge_bus_string_to_variant (lodge_job_get_description (job)));
  g_variant_builder_add (details, "{sv}", "name",
                         lodge_bus_string_to_variant (lodge_job_get_instance_name (job)));
  g_variant_builder_add (details, "{sv}", "state",
                         g_variant_new_string (lodge_job_state_nick (lodge_job_get_state (job))));
  if (error != NULL)
    g_variant_builder_add (details, "{sv}", "error", lodge_bus_string_to_variant (error->message));
  return lodge_bus_path_of_job (lodge_job_get_id (job));
}

static void
on_event (LodgeManager *manager, const char *type, GObject *about, const char *fingerprint,
          LodgeBus *self)
{
  g_autofree char *path = NULL;
  GVariantBuilder details;

  g_variant_builder_init (&details, G_VARIANT_TYPE_VARDICT);
  if (about != NULL && LODGE_IS_INSTANCE (about))
    path = describe_instance (LODGE_INSTANCE (about), &details);
  else if (about != NULL && LODGE_IS_JOB (about))
    path = describe_job (LODGE_JOB (about), &details);
  else if (fingerprint != NULL)
    {
      path = lodge_bus_path_of_image (fingerprint);
      g_variant_builder_add (&details, "{sv}", "fingerprint", g_variant_new_string (fingerprint));
    }
  else
    path = g_strdup (LODGE_OBJECT_PATH);
  lodge_bus_emit (self, NULL, LODGE_OBJECT_PATH, lodge_bus_manager.info->name, "Event",
                  g_variant_new ("(tsoa{sv})", ++self->sequence, type, path, &details));
}

static void
on_peer_left (LodgeBusPeers *peers, const char *sender, LodgeBus *self)
{
  lodge_bus_job_drop_caller (self, sender);
  lodge_bus_processes_drop_caller (self->processes, sender);
}

/* ---- setting up ---- */

static void
connect_signals (LodgeBus *self)
{
  LodgeImageStore *images = lodge_manager_get_images (self->manager);
  g_autoptr (GPtrArray) instances = lodge_manager_list_instances (self->manager);
  g_autoptr (GPtrArray) jobs = lodge_manager_list_jobs (self->manager);
  const struct
  {
    gpointer object;
    const char *signal;
    GCallback callback;
  } table[] = {
    { self->manager, "instance-added", G_CALLBACK (on_instance_added) },
    { self->manager, "instance-removed", G_CALLBACK (on_instance_removed) },
    { self->manager, "job-added", G_CALLBACK (on_job_added) },
    { self->manager, "job-removed", G_CALLBACK (on_job_removed) },
    { self->manager, "event", G_CALLBACK (on_event) },
    { self->manager, "drivers-changed", G_CALLBACK (on_drivers_changed) },
    { images, "image-added", G_CALLBACK (on_image_added) },
    { images, "image-changed", G_CALLBACK (on_image_changed) },
    { images, "image-removed", G_CALLBACK (on_image_removed) },
    { self->peers, "left", G_CALLBACK (on_peer_left) },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (table); i++)
    g_signal_connect_object (table[i].object, table[i].signal, table[i].callback, self, 0);
  for (guint i = 0; i < instances->len; i++)
    watch_instance (self, instances->pdata[i]);
  for (guint i = 0; i < jobs->len; i++)
    watch_job (self, jobs->pdata[i]);
}

static gboolean
register_all (LodgeBus *self, GError **error)
{
  const LodgeBusInterface *const roots[]
      = { &lodge_bus_manager, &lodge_bus_images, &lodge_bus_remotes, &lodge_bus_objects };
  const struct
  {
    const LodgeBusInterface *interface;
    const char *path;
  } trees[] = {
    { &lodge_bus_instance, LODGE_BUS_PATH_INSTANCES },
    { &lodge_bus_image, LODGE_BUS_PATH_IMAGES },
    { &lodge_bus_job, LODGE_BUS_PATH_JOBS },
    { &lodge_bus_process, LODGE_BUS_PATH_PROCESSES },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (roots); i++)
    {
      guint id = lodge_bus_object_register (self, roots[i], LODGE_OBJECT_PATH, error);

      if (id == 0)
        return FALSE;
      g_array_append_val (self->objects, id);
    }
  for (gsize i = 0; i < G_N_ELEMENTS (trees); i++)
    {
      guint id = lodge_bus_object_register_subtree (self, trees[i].interface, trees[i].path, error);

      if (id == 0)
        return FALSE;
      g_array_append_val (self->subtrees, id);
    }
  return TRUE;
}

LodgeBus *
lodge_bus_new (GDBusConnection *connection, LodgeManager *manager, LodgeAudit *audit,
               gboolean use_polkit, GError **error)
{
  g_autoptr (LodgeBus) self = g_object_new (LODGE_TYPE_BUS, NULL);
  GError *local_error = NULL;

  self->connection = g_object_ref (connection);
  self->manager = g_object_ref (manager);
  self->audit = audit;
  self->processes = lodge_bus_processes_new (self);
  self->peers = lodge_bus_peers_new (connection, &local_error);
  if (self->peers == NULL || !register_all (self, &local_error))
    {
      g_propagate_error (error, lodge_error_normalize (local_error));
      return NULL;
    }
  self->auth = lodge_auth_new (connection, self->peers, use_polkit);
  connect_signals (self);
  return g_steal_pointer (&self);
}

gboolean
lodge_bus_own_name (LodgeBus *self, GError **error)
{
  GError *local_error = NULL;
  g_autoptr (GVariant) reply = g_dbus_connection_call_sync (
      self->connection, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
      "RequestName", g_variant_new ("(su)", LODGE_BUS_NAME, DO_NOT_QUEUE), G_VARIANT_TYPE ("(u)"),
      G_DBUS_CALL_FLAGS_NONE, CALL_TIMEOUT, NULL, &local_error);
  guint32 answer = 0;

  if (reply == NULL)
    {
      g_dbus_error_strip_remote_error (local_error);
      g_prefix_error (&local_error, "the name " LODGE_BUS_NAME " cannot be had: ");
      g_propagate_error (error, lodge_error_normalize (local_error));
      return FALSE;
    }
  g_variant_get (reply, "(u)", &answer);
  if (answer == PRIMARY_OWNER)
    return TRUE;
  g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_ALREADY_EXISTS,
                       "the name " LODGE_BUS_NAME " has an owner on this bus already: another "
                       "lodged runs");
  return FALSE;
}

void
lodge_bus_close (LodgeBus *self)
{
  g_autoptr (GPtrArray) waiting = g_steal_pointer (&self->waiting);

  for (guint i = 0; i < self->objects->len; i++)
    g_dbus_connection_unregister_object (self->connection, g_array_index (self->objects, guint, i));
  for (guint i = 0; i < self->subtrees->len; i++)
    g_dbus_connection_unregister_subtree (self->connection,
                                          g_array_index (self->subtrees, guint, i));
  g_array_set_size (self->objects, 0);
  g_array_set_size (self->subtrees, 0);
  g_clear_handle_id (&self->ending_source, g_source_remove);
  g_clear_handle_id (&self->trim_source, g_source_remove);
  self->waiting = g_ptr_array_new ();
  /* Each holds a reference to us. */
  for (guint i = 0; i < waiting->len; i++)
    lodge_bus_call_drop (waiting->pdata[i]);
  if (self->processes != NULL)
    lodge_bus_processes_drop_caller (self->processes, NULL);
}

static void
lodge_bus_dispose (GObject *object)
{
  lodge_bus_close (LODGE_BUS (object));
  G_OBJECT_CLASS (lodge_bus_parent_class)->dispose (object);
}

static void
lodge_bus_finalize (GObject *object)
{
  LodgeBus *self = LODGE_BUS (object);

  g_clear_pointer (&self->processes, lodge_bus_processes_free);
  g_ptr_array_unref (self->waiting);
  g_ptr_array_unref (self->ending);
  g_array_unref (self->objects);
  g_array_unref (self->subtrees);
  g_clear_object (&self->auth);
  g_clear_object (&self->peers);
  g_clear_object (&self->manager);
  g_clear_object (&self->connection);
  G_OBJECT_CLASS (lodge_bus_parent_class)->finalize (object);
}

static void
lodge_bus_class_init (LodgeBusClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = lodge_bus_dispose;
  G_OBJECT_CLASS (klass)->finalize = lodge_bus_finalize;
}

static void
lodge_bus_init (LodgeBus *self)
{
  self->objects = g_array_new (FALSE, FALSE, sizeof (guint));
  self->subtrees = g_array_new (FALSE, FALSE, sizeof (guint));
  self->waiting = g_ptr_array_new ();
  self->ending = g_ptr_array_new_with_free_func (g_object_unref);
}
