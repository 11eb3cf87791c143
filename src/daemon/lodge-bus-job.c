/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-bus-convert.h"
#include "lodge-bus-introspection.h"
#include "lodge-bus-options.h"
#include "lodge-bus-paths.h"
#include "lodge-bus-private.h"

static gpointer
find (LodgeBus *bus, const char *node, GError **error)
{
  guint64 id = lodge_bus_number_of_node (node);
  LodgeJob *job = id != 0 ? lodge_manager_find_job (bus->manager, (gint64) id) : NULL;

  if (job == NULL)
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND,
                 "there is no job %.20s, or it ended long ago", node);
  return job;
}

static GPtrArray *
list (LodgeBus *bus)
{
  g_autoptr (GPtrArray) jobs = lodge_manager_list_jobs (bus->manager);
  GPtrArray *nodes = g_ptr_array_new ();

  for (guint i = 0; i < jobs->len; i++)
    g_ptr_array_add (nodes,
                     g_strdup_printf ("%" G_GINT64_FORMAT, lodge_job_get_id (jobs->pdata[i])));
  return nodes;
}

static guint32
owner (gpointer object)
{
  return lodge_job_get_uid (object);
}

/* ---- properties ---- */

static GVariant *
get_operation (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return lodge_bus_string_to_variant (lodge_job_get_operation (object));
}

static GVariant *
get_description (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return lodge_bus_string_to_variant (lodge_job_get_description (object));
}

static GVariant *
get_state (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return g_variant_new_string (lodge_job_state_nick (lodge_job_get_state (object)));
}

static GVariant *
get_stage (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return lodge_bus_string_to_variant (lodge_job_get_stage (object));
}

static GVariant *
get_progress (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return g_variant_new_double (lodge_job_get_progress (object));
}

static GVariant *
get_bytes_done (LodgeBus *bus, gpointer object, gboolean trusted)
{
  guint64 done, total, rate;

  lodge_job_get_bytes (object, &done, &total, &rate);
  return g_variant_new_uint64 (done);
}

static GVariant *
get_bytes_total (LodgeBus *bus, gpointer object, gboolean trusted)
{
  guint64 done, total, rate;

  lodge_job_get_bytes (object, &done, &total, &rate);
  return g_variant_new_uint64 (total);
}

static GVariant *
get_rate (LodgeBus *bus, gpointer object, gboolean trusted)
{
  guint64 done, total, rate;

  lodge_job_get_bytes (object, &done, &total, &rate);
  return g_variant_new_uint64 (rate);
}

static GVariant *
get_started_at (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return g_variant_new_uint64 ((guint64) lodge_job_get_started_at (object));
}

static GVariant *
get_ended_at (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return g_variant_new_uint64 ((guint64) lodge_job_get_ended_at (object));
}

static GVariant *
get_cancellable (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return g_variant_new_boolean (lodge_job_get_cancellable (object));
}

static GVariant *
get_objects (LodgeBus *bus, gpointer object, gboolean trusted)
{
  const char *uuid = lodge_job_get_instance_uuid (object);
  const char *fingerprint = lodge_job_get_image_fingerprint (object);
  g_autoptr (GPtrArray) paths = g_ptr_array_new_with_free_func (g_free);

  if (uuid[0] != '\0')
    g_ptr_array_add (paths, lodge_bus_path_of_instance (uuid));
  if (fingerprint[0] != '\0')
    g_ptr_array_add (paths, lodge_bus_path_of_image (fingerprint));
  return g_variant_new_objv ((const char *const *) paths->pdata, (gssize) paths->len);
}

static GVariant *
get_uid (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return g_variant_new_uint32 (lodge_job_get_uid (object));
}

static GVariant *
get_result (LodgeBus *bus, gpointer object, gboolean trusted)
{
  if (lodge_job_get_state (object) != LODGE_JOB_SUCCEEDED)
    return g_variant_new_array (G_VARIANT_TYPE ("{sv}"), NULL, 0);
  return lodge_bus_job_result (bus->manager, object);
}

static GVariant *
get_error (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return lodge_bus_job_error (object);
}

static GVariant *
get_notices (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return lodge_bus_strv_to_variant (lodge_job_get_notices (object));
}

static const LodgeBusProperty properties[] = {
  { "Operation", get_operation, 0, 0 },
  { "Description", get_description, 0, 0 },
  { "State", get_state, LODGE_JOB_FIELD_STATE, 0 },
  { "Stage", get_stage, LODGE_JOB_FIELD_STAGE, 0 },
  { "Progress", get_progress, LODGE_JOB_FIELD_PROGRESS, 0 },
  { "BytesDone", get_bytes_done, LODGE_JOB_FIELD_PROGRESS, 0 },
  { "BytesTotal", get_bytes_total, LODGE_JOB_FIELD_PROGRESS, 0 },
  { "Rate", get_rate, LODGE_JOB_FIELD_PROGRESS, 0 },
  { "StartedAt", get_started_at, 0, 0 },
  { "EndedAt", get_ended_at, LODGE_JOB_FIELD_STATE, 0 },
  { "Cancellable", get_cancellable, LODGE_JOB_FIELD_STATE | LODGE_JOB_FIELD_STAGE, 0 },
  { "Objects", get_objects, LODGE_JOB_FIELD_OBJECT, 0 },
  { "Uid", get_uid, 0, 0 },
  { "Result", get_result, LODGE_JOB_FIELD_STATE, 0 },
  { "Error", get_error, LODGE_JOB_FIELD_STATE, 0 },
  { "Notices", get_notices, LODGE_JOB_FIELD_NOTICES, 0 },
  { NULL },
};

/* ---- methods ---- */

/* What of a job is only the bus's: the name of who asked for it. */
#define SENDER_KEY "lodge-bus-sender"

const char *
lodge_bus_job_get_sender (LodgeJob *job)
{
  const char *sender = g_object_get_data (G_OBJECT (job), SENDER_KEY);

  return sender != NULL ? sender : "";
}

void
lodge_bus_call_return_job (LodgeBusCall *call, LodgeJob *job, GError *error)
{
  if (job == NULL)
    {
      lodge_bus_call_fail (call, error);
      return;
    }
  g_autofree char *path = lodge_bus_path_of_job (lodge_job_get_id (job));
  g_object_set_data_full (G_OBJECT (job), SENDER_KEY, g_strdup (lodge_bus_call_get_sender (call)),
                          g_free);
  lodge_bus_call_return (call, g_variant_new ("(o)", path));
}

static void
cancel (LodgeBusCall *call)
{
  g_autoptr (GVariant) options = g_variant_get_child_value (call->parameters, 0);
  GError *error = NULL;

  if (lodge_bus_options_check (options, NULL, "option", &error)
      && lodge_job_cancel (call->object, &error))
    lodge_bus_call_return (call, NULL);
  else
    lodge_bus_call_fail (call, error);
}

static void
answer (LodgeBusCall *call, LodgeJob *job)
{
  const GError *error = lodge_job_get_error (job);

  if (error != NULL)
    lodge_bus_call_fail (call, g_error_copy (error));
  else
    lodge_bus_call_return (
        call, g_variant_new ("(@a{sv})", lodge_bus_job_result (call->bus->manager, job)));
}

static void
wait (LodgeBusCall *call)
{
  g_autoptr (GVariant) options = g_variant_get_child_value (call->parameters, 0);
  GError *error = NULL;

  if (!lodge_bus_options_check (options, NULL, "option", &error))
    lodge_bus_call_fail (call, error);
  else if (lodge_job_state_is_final (lodge_job_get_state (call->object))
           && !g_ptr_array_find (call->bus->ending, call->object, NULL))
    answer (call, call->object);
  else
    g_ptr_array_add (call->bus->waiting, call);
}

void
lodge_bus_job_settle (LodgeBus *self, LodgeJob *job)
{
  guint64 id = (guint64) lodge_job_get_id (job);

  for (guint i = 0; i < self->waiting->len;)
    {
      LodgeBusCall *call = self->waiting->pdata[i];

      if (lodge_bus_number_of_node (call->node) != id)
        {
          i++;
          continue;
        }
      g_ptr_array_remove_index (self->waiting, i);
      answer (call, job);
    }
}

void
lodge_bus_job_drop_caller (LodgeBus *self, const char *sender)
{
  for (guint i = 0; i < self->waiting->len;)
    {
      LodgeBusCall *call = self->waiting->pdata[i];

      if (!g_str_equal (lodge_bus_call_get_sender (call), sender))
        {
          i++;
          continue;
        }
      g_ptr_array_remove_index (self->waiting, i);
      lodge_bus_call_drop (call);
    }
}

static const LodgeBusMethod methods[] = { { "Cancel", cancel }, { "Wait", wait }, { NULL } };

const LodgeBusInterface lodge_bus_job = {
  .info = &lodge_bus_info_job,
  .properties = properties,
  .methods = methods,
  .find = find,
  .list = list,
  .owner = owner,
};
