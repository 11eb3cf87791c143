/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Keeps what core shows equal to what libvirt has.  An event only means "read this again"; many
 * changes come without one, so everything is read again at each connect and every now and then.
 * Nothing is ever deleted because of an event: a managed instance whose domain is gone is shown as
 * an error and keeps its files.
 */
#include "lodge-manager-private.h"

#include "lodge-config-keys.h"
#include "lodge-name.h"
#include "lodge-units.h"

#define RESYNC_SECONDS 45
/* virt-manager renames by undefine and define, some milliseconds apart. */
#define GRACE_MS 3000

static void list_all (LodgeManager *self, LodgeKind kind, GTask *waiter);

/* ---- applying what was read ---- */

static gboolean
is_active (LodgeState state)
{
  return state == LODGE_STATE_RUNNING || state == LODGE_STATE_PAUSED;
}

/* The address is reserved for as long as the instance exists, but nobody answers there while it
 * is stopped: then none is shown. */
static void
show_addresses (LodgeInstance *instance)
{
  gboolean wanted = is_active (instance->observed) && instance->address != NULL;

  if (wanted == (instance->addresses->len > 0))
    return;
  g_ptr_array_set_size (instance->addresses, 0);
  if (wanted)
    g_ptr_array_add (instance->addresses,
                     lodge_address_new (instance->kind == LODGE_KIND_CONTAINER ? "eth0" : "",
                                        instance->address, instance->prefix, "reserved"));
  lodge_instance_touch (instance, LODGE_INSTANCE_FIELD_ADDRESSES);
}

static void
set_drift (LodgeInstance *instance, GPtrArray *lines)
{
  g_ptr_array_add (lines, NULL);
  if (g_strv_equal ((const char *const *) lines->pdata, (const char *const *) instance->drift))
    return;
  g_strfreev (instance->drift);
  instance->drift = g_strdupv ((char **) lines->pdata);
  lodge_instance_touch (instance, LODGE_INSTANCE_FIELD_DRIFT);
}

static void
check_drift (LodgeInstance *instance, const LodgeDomainInfo *info)
{
  g_autoptr (GPtrArray) lines = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GHashTable) config = lodge_config_effective (instance->kind, instance->config);
  const char *memory = g_hash_table_lookup (config, "limits.memory");
  guint64 bytes;

  if (instance->record == LODGE_RECORD_NONE)
    return;
  if (info == NULL)
    g_ptr_array_add (lines, g_strdup ("libvirt has no domain for it: somebody undefined it; its "
                                      "files are kept"));
  /* libvirt counts in KiB. */
  else if (memory != NULL && lodge_parse_size (memory, &bytes, NULL) && info->memory_limit != 0
           && bytes / 1024 != info->memory_limit / 1024)
    {
      g_autofree char *theirs = lodge_format_size (info->memory_limit);

      g_ptr_array_add (lines, g_strdup_printf ("limits.memory: Lodge recorded %s, libvirt has %s",
                                               memory, theirs));
    }
  set_drift (instance, lines);
}

static void
set_observed (LodgeManager *self, LodgeInstance *instance, LodgeState state, gint64 domain_id)
{
  gboolean active = is_active (state);
  /* A container's domain id is another one after each boot, also after one from within. */
  gboolean new_boot = active && (instance->domain_id != domain_id || instance->started_at == 0);

  /* After a start the guest's report may come before this reading of the start itself; only an id
   * that follows another one means that it is older. */
  gboolean rebooted = new_boot && instance->domain_id != -1;

  if ((rebooted || !active) && instance->booted)
    {
      instance->booted = FALSE;
      lodge_instance_touch (instance, LODGE_INSTANCE_FIELD_BOOTED);
    }
  if (new_boot || !active)
    {
      instance->started_at = new_boot ? g_get_real_time () / G_USEC_PER_SEC : 0;
      lodge_instance_touch (instance, LODGE_INSTANCE_FIELD_STARTED_AT);
    }
  /* Nobody will tell us about a boot that was before our time. */
  if (new_boot && !self->listed[instance->kind])
    instance->booted = TRUE;
  instance->domain_id = active ? domain_id : -1;
  if (instance->observed == state)
    return;
  instance->observed = state;
  show_addresses (instance);
  lodge_instance_touch (instance, LODGE_INSTANCE_FIELD_STATE);
  if (instance->announced)
    lodge_manager_emit_event (self, "instance-state", instance, NULL);
}

void
lodge_reconcile_set_state (LodgeManager *self, LodgeInstance *instance, LodgeState state)
{
  if (state == LODGE_STATE_STOPPED)
    {
      set_observed (self, instance, state, -1);
      return;
    }
  if (instance->observed == state)
    return;
  /* The id of a new boot comes with the reading. */
  instance->observed = state;
  show_addresses (instance);
  lodge_instance_touch (instance, LODGE_INSTANCE_FIELD_STATE);
  lodge_manager_emit_event (self, "instance-state", instance, NULL);
}

static LodgeInstance *
add_foreign (LodgeManager *self, const LodgeDomainInfo *info)
{
  g_autoptr (LodgeInstance) instance = lodge_instance_new (info->uuid, info->name, info->kind);
  LodgeDriver *driver = self->by_kind[info->kind];

  instance->caps = lodge_driver_get_caps (driver) & ~LODGE_CAP_FILES_OFFLINE & ~LODGE_CAP_RENAME;
  instance->image_fingerprint = g_strdup (info->image);
  instance->network = g_strdup (info->network);
  instance->mac = g_strdup (info->mac);
  lodge_registry_add (self->registry, instance);
  return instance;
}

/* libvirt owns the name: a rename elsewhere is followed. */
static void
follow_name (LodgeManager *self, LodgeInstance *instance, const LodgeDomainInfo *info)
{
  g_autoptr (GError) error = NULL;

  if (g_strcmp0 (instance->name, info->name) == 0 || instance->job_id != 0)
    return;
  if (instance->record != LODGE_RECORD_NONE
      && !lodge_registry_commit_rename (self->store, instance, info->name, NULL, &error))
    {
      g_warning ("“%s” has another name in libvirt now, which could not be recorded: %s",
                 instance->name, error->message);
      return;
    }
  lodge_registry_rename (self->registry, instance, info->name);
  lodge_manager_emit_event (self, "instance-renamed", instance, NULL);
}

static gboolean
grace_over (gpointer user_data)
{
  LodgeInstance *instance = user_data;
  LodgeManager *self = g_object_get_data (G_OBJECT (instance), "lodge-manager");

  instance->grace_source = 0;
  if (instance->present || self == NULL)
    return G_SOURCE_REMOVE;
  if (instance->record == LODGE_RECORD_NONE)
    lodge_manager_forget (self, instance);
  else
    {
      set_observed (self, instance, LODGE_STATE_ERROR, -1);
      check_drift (instance, NULL);
    }
  return G_SOURCE_REMOVE;
}

static void
apply_absent (LodgeManager *self, LodgeInstance *instance)
{
  instance->present = FALSE;
  if (instance->record == LODGE_RECORD_CREATING || instance->grace_source != 0)
    return;
  g_object_set_data (G_OBJECT (instance), "lodge-manager", self);
  instance->grace_source = g_timeout_add (GRACE_MS, grace_over, instance);
}

void
lodge_reconcile_apply (LodgeManager *self, const char *uuid, LodgeKind kind,
                       const LodgeDomainInfo *info)
{
  LodgeInstance *instance = lodge_registry_get (self->registry, uuid);

  if (info == NULL)
    {
      if (instance != NULL && instance->kind == kind)
        apply_absent (self, instance);
      return;
    }
  if (instance == NULL)
    instance = add_foreign (self, info);
  /* A job that is still creating it tells about it when it is done. */
  if (instance->record == LODGE_RECORD_CREATING)
    return;

  g_clear_handle_id (&instance->grace_source, g_source_remove);
  instance->present = TRUE;
  follow_name (self, instance, info);
  if (instance->memory_limit != info->memory_limit || instance->vcpus != info->vcpus)
    lodge_instance_touch (instance, LODGE_INSTANCE_FIELD_CONFIG);
  instance->memory_limit = info->memory_limit;
  instance->vcpus = info->vcpus;
  /* While a job starts it, “stopped” is what was before; the job says how it ended. */
  if (instance->transient != LODGE_STATE_STARTING || info->state != LODGE_STATE_STOPPED)
    set_observed (self, instance, info->state, info->id);
  check_drift (instance, info);
  lodge_manager_announce (self, instance);
}

/* ---- reading one domain ---- */

typedef struct
{
  LodgeDriver *driver;
  char *uuid;      /* NULL: a list of all */
  guint64 reading; /* when it was begun */
} LookUp;

static void
look_up_free (LookUp *look_up)
{
  g_object_unref (look_up->driver);
  g_free (look_up->uuid);
  g_free (look_up);
}

static void
look_up_on_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  LookUp *look_up = task_data;
  GError *error = NULL;
  LodgeDomainInfo *info = lodge_driver_lookup (look_up->driver, look_up->uuid, &error);

  if (info != NULL)
    g_task_return_pointer (task, info, (GDestroyNotify) lodge_domain_info_free);
  else
    g_task_return_error (task, error);
}

/* Whether a job on the instance has ended since the reading was begun; then it is read again.  One
 * that was deleted since would come back as a foreign domain. */
static gboolean
is_stale (LodgeManager *self, const char *uuid, guint64 reading)
{
  LodgeInstance *instance = lodge_registry_get (self->registry, uuid);
  guint64 *forgotten = g_hash_table_lookup (self->forgotten, uuid);

  if (instance == NULL)
    return forgotten != NULL && *forgotten >= reading;
  if (instance->settled < reading)
    return FALSE;
  lodge_reconcile_look_up (self, uuid);
  return TRUE;
}

static gboolean
is_forgotten_before (gpointer key, gpointer value, gpointer user_data)
{
  return *(guint64 *) value < *(guint64 *) user_data;
}

static LookUp *
look_up_new (LodgeManager *self, LodgeDriver *driver, const char *uuid)
{
  LookUp *look_up = g_new0 (LookUp, 1);

  look_up->driver = g_object_ref (driver);
  look_up->uuid = g_strdup (uuid);
  look_up->reading = ++self->reading;
  return look_up;
}

static void
on_looked_up (GObject *source, GAsyncResult *result, gpointer user_data)
{
  LodgeManager *self = LODGE_MANAGER (source);
  LookUp *look_up = g_task_get_task_data (G_TASK (result));
  LodgeKind kind = lodge_driver_get_kind (look_up->driver);
  g_autoptr (GError) error = NULL;
  g_autoptr (LodgeDomainInfo) info = g_task_propagate_pointer (G_TASK (result), &error);

  if (is_stale (self, look_up->uuid, look_up->reading))
    return;
  if (info != NULL || g_error_matches (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND))
    lodge_reconcile_apply (self, look_up->uuid, kind, info);
  else
    g_debug ("could not read domain %s: %s", look_up->uuid, error->message);
}

static void
look_up_with (LodgeManager *self, LodgeDriver *driver, const char *uuid)
{
  g_autoptr (GTask) task = g_task_new (self, NULL, on_looked_up, NULL);

  g_task_set_task_data (task, look_up_new (self, driver, uuid), (GDestroyNotify) look_up_free);
  lodge_executor_run (self->query_pool, task, look_up_on_thread);
}

static gboolean
look_up_pending (gpointer user_data)
{
  LodgeManager *self = user_data;
  GHashTableIter iter;
  gpointer key, value;

  self->look_up_source = 0;
  g_hash_table_iter_init (&iter, self->to_look_up);
  while (g_hash_table_iter_next (&iter, &key, &value))
    {
      look_up_with (self, value, key);
      g_hash_table_iter_remove (&iter);
    }
  return G_SOURCE_REMOVE;
}

/* Several events about one domain come in one turn of the main loop; one reading answers all. */
static void
queue_look_up (LodgeManager *self, LodgeDriver *driver, const char *uuid)
{
  g_hash_table_replace (self->to_look_up, g_strdup (uuid), driver);
  if (self->look_up_source == 0)
    self->look_up_source = g_idle_add (look_up_pending, self);
}

void
lodge_reconcile_look_up (LodgeManager *self, const char *uuid)
{
  LodgeInstance *instance = lodge_registry_get (self->registry, uuid);

  if (instance != NULL && self->by_kind[instance->kind] != NULL && self->connected[instance->kind])
    queue_look_up (self, self->by_kind[instance->kind], uuid);
}

/* ---- reading all of them ---- */

static void
list_on_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  GError *error = NULL;
  LookUp *look_up = task_data;
  GPtrArray *all = lodge_driver_list (look_up->driver, cancellable, &error);

  if (all != NULL)
    g_task_return_pointer (task, all, (GDestroyNotify) g_ptr_array_unref);
  else
    g_task_return_error (task, error);
}

static void
apply_list (LodgeManager *self, LodgeKind kind, GPtrArray *all, guint64 reading)
{
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GPtrArray) instances = lodge_registry_list (self->registry);

  for (guint i = 0; i < all->len; i++)
    {
      LodgeDomainInfo *info = g_ptr_array_index (all, i);

      g_hash_table_add (seen, info->uuid);
      if (!is_stale (self, info->uuid, reading))
        lodge_reconcile_apply (self, info->uuid, kind, info);
    }
  for (guint i = 0; i < instances->len; i++)
    {
      LodgeInstance *instance = g_ptr_array_index (instances, i);

      if (instance->kind == kind && !g_hash_table_contains (seen, instance->uuid)
          && !is_stale (self, instance->uuid, reading))
        lodge_reconcile_apply (self, instance->uuid, kind, NULL);
    }
  self->listed[kind] = TRUE;
  /* No reading takes as long as two lists are apart. */
  g_hash_table_foreach_remove (self->forgotten, is_forgotten_before, &self->last_list);
  self->last_list = reading;
}

static void
on_listed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  LodgeManager *self = LODGE_MANAGER (source);
  g_autoptr (GTask) waiter = user_data;
  LookUp *look_up = g_task_get_task_data (G_TASK (result));
  LodgeKind kind = lodge_driver_get_kind (look_up->driver);
  GError *error = NULL;
  g_autoptr (GPtrArray) all = g_task_propagate_pointer (G_TASK (result), &error);

  if (all != NULL)
    {
      gboolean first = !self->listed[kind];

      apply_list (self, kind, all, look_up->reading);
      /* Only now is it known what there is to finish or to undo. */
      if (first)
        lodge_recovery_resume (self, kind);
    }
  else
    g_debug ("could not list domains: %s", error->message);

  if (waiter != NULL)
    {
      guint left = GPOINTER_TO_UINT (g_task_get_task_data (waiter)) - 1;

      g_task_set_task_data (waiter, GUINT_TO_POINTER (left), NULL);
      if (left == 0)
        g_task_return_boolean (waiter, TRUE);
    }
  g_clear_error (&error);
}

static void
list_all (LodgeManager *self, LodgeKind kind, GTask *waiter)
{
  g_autoptr (GTask) task
      = g_task_new (self, NULL, on_listed, waiter != NULL ? g_object_ref (waiter) : NULL);

  g_task_set_task_data (task, look_up_new (self, self->by_kind[kind], NULL),
                        (GDestroyNotify) look_up_free);
  lodge_executor_run (self->query_pool, task, list_on_thread);
}

/* ---- events ---- */

static void
set_connected (LodgeManager *self, LodgeKind kind, gboolean connected)
{
  self->connected[kind] = connected;
  if (connected)
    list_all (self, kind, NULL);
  else
    self->listed[kind] = FALSE;
  g_signal_emit_by_name (self, "drivers-changed");
  lodge_manager_emit_event (self, "driver", NULL, NULL);
}

static void
set_booted (LodgeManager *self, const char *uuid)
{
  LodgeInstance *instance = lodge_registry_get (self->registry, uuid);

  if (instance == NULL || instance->booted)
    return;
  instance->booted = TRUE;
  lodge_instance_touch (instance, LODGE_INSTANCE_FIELD_BOOTED);
  lodge_manager_emit_event (self, "instance-booted", instance, NULL);
}

static void
on_event (LodgeDriver *driver, LodgeDomainEvent event, const char *uuid, gpointer user_data)
{
  LodgeManager *self = user_data;

  switch (event)
    {
    case LODGE_DOMAIN_EVENT_CONNECTED:
    case LODGE_DOMAIN_EVENT_DISCONNECTED:
      set_connected (self, lodge_driver_get_kind (driver), event == LODGE_DOMAIN_EVENT_CONNECTED);
      break;
    case LODGE_DOMAIN_EVENT_BOOTED:
      set_booted (self, uuid);
      break;
    case LODGE_DOMAIN_EVENT_CHANGED:
    case LODGE_DOMAIN_EVENT_UNDEFINED:
      queue_look_up (self, driver, uuid);
      break;
    }
}

static gboolean
resync (gpointer user_data)
{
  LodgeManager *self = user_data;

  for (int kind = 0; kind < LODGE_N_KINDS; kind++)
    if (self->connected[kind])
      list_all (self, (LodgeKind) kind, NULL);
  return G_SOURCE_CONTINUE;
}

void
lodge_reconcile_start (LodgeManager *self)
{
  for (guint i = 0; i < self->drivers->len; i++)
    {
      LodgeDriver *driver = g_ptr_array_index (self->drivers, i);

      lodge_driver_set_event_func (driver, on_event, self);
      lodge_driver_start (driver);
    }
  self->resync_source = g_timeout_add_seconds (RESYNC_SECONDS, resync, self);
}

void
lodge_reconcile_stop (LodgeManager *self)
{
  for (guint i = 0; i < self->drivers->len; i++)
    lodge_driver_set_event_func (g_ptr_array_index (self->drivers, i), NULL, NULL);
  g_clear_handle_id (&self->resync_source, g_source_remove);
  g_clear_handle_id (&self->look_up_source, g_source_remove);
}

void
lodge_manager_reconcile (LodgeManager *self, GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, NULL, callback, user_data);
  guint n_connected = 0;

  for (int kind = 0; kind < LODGE_N_KINDS; kind++)
    n_connected += self->connected[kind] ? 1 : 0;
  g_task_set_task_data (task, GUINT_TO_POINTER (n_connected), NULL);
  if (n_connected == 0)
    {
      g_task_return_new_error (task, LODGE_ERROR, LODGE_ERROR_BACKEND_UNAVAILABLE,
                               "libvirt does not answer\nis libvirtd running?");
      return;
    }
  for (int kind = 0; kind < LODGE_N_KINDS; kind++)
    if (self->connected[kind])
      list_all (self, (LodgeKind) kind, task);
}

gboolean
lodge_manager_reconcile_finish (LodgeManager *self, GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}
