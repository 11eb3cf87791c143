/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-lxc-private.h"

#include <sys/sysinfo.h>

#include "lodge-fd.h"
#include "lodge-helper.h"

#define EXECUTOR_THREADS 2

static void driver_iface_init (LodgeDriverInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (LodgeLxcDriver, lodge_lxc_driver, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (LODGE_TYPE_DRIVER, driver_iface_init))

/* ---- what the files of the driver share ---- */

char *
lodge_lxc_driver_dup_name (LodgeLxcDriver *self, const char *uuid)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  const char *name = g_hash_table_lookup (self->names, uuid);
  return g_strdup (name != NULL ? name : uuid);
}

void
lodge_lxc_driver_set_name (LodgeLxcDriver *self, const char *uuid, const char *name)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  const char *known = g_hash_table_lookup (self->names, uuid);
  if (g_strcmp0 (known, name) != 0)
    g_hash_table_replace (self->names, g_strdup (uuid), g_strdup (name));
}

LodgeLxcPaths *
lodge_lxc_driver_paths (LodgeLxcDriver *self, const char *uuid)
{
  return lodge_lxc_paths_new (self->state_dir, self->run_dir, uuid);
}

LodgeLxcInit *
lodge_lxc_driver_get_init (LodgeLxcDriver *self, const char *uuid, GError **error)
{
  g_autoptr (LodgeLxcPaths) paths = lodge_lxc_driver_paths (self, uuid);
  LodgeLxcInit *init = lodge_lxc_init_read (paths->runtime, self->cgroup_root);
  if (init != NULL)
    return init;
  g_autofree char *name = lodge_lxc_driver_dup_name (self, uuid);
  if (g_file_test (paths->plan, G_FILE_TEST_EXISTS))
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_STATE, "Container “%s” does not run",
                 name);
  else
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_SUPPORTED,
                 "Container “%s” was not made by Lodge, which has no way into it", name);
  return NULL;
}

/* Called with the lock held. */
static LodgeLxcMarks *
marks_of (LodgeLxcDriver *self, const char *uuid)
{
  LodgeLxcMarks *marks = g_hash_table_lookup (self->marks, uuid);
  if (marks == NULL)
    {
      marks = g_new0 (LodgeLxcMarks, 1);
      g_hash_table_insert (self->marks, g_strdup (uuid), marks);
    }
  return marks;
}

LodgeLxcMarks
lodge_lxc_driver_get_marks (LodgeLxcDriver *self, const char *uuid)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  return *marks_of (self, uuid);
}

gboolean
lodge_lxc_driver_wait (LodgeLxcDriver *self, const char *uuid, LodgeLxcMarks seen, gint64 deadline)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  for (;;)
    {
      LodgeLxcMarks *now = marks_of (self, uuid);
      if (now->n_init != seen.n_init || now->n_stopped != seen.n_stopped)
        return TRUE;
      if (!g_cond_wait_until (&self->changed, &self->lock, deadline))
        return FALSE;
    }
}

void
lodge_lxc_driver_mark (LodgeLxcDriver *self, const char *uuid, gboolean stopped)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  LodgeLxcMarks *marks = marks_of (self, uuid);
  if (stopped)
    marks->n_stopped++;
  else
    marks->n_init++;
  g_cond_broadcast (&self->changed);
}

void
lodge_lxc_driver_emit (LodgeLxcDriver *self, LodgeDomainEvent event, const char *uuid)
{
  if (self->event_func != NULL)
    self->event_func (LODGE_DRIVER (self), event, uuid, self->event_data);
}

typedef struct
{
  LodgeLxcDriver *driver;
  LodgeDomainEvent event;
  char *uuid;
} LaterEvent;

static gboolean
emit_now (gpointer user_data)
{
  LaterEvent *later = user_data;
  lodge_lxc_driver_emit (later->driver, later->event, later->uuid);
  return G_SOURCE_REMOVE;
}

static void
later_event_free (gpointer data)
{
  LaterEvent *later = data;
  g_object_unref (later->driver);
  g_free (later->uuid);
  g_free (later);
}

void
lodge_lxc_driver_emit_later (LodgeLxcDriver *self, LodgeDomainEvent event, const char *uuid)
{
  LaterEvent *later = g_new0 (LaterEvent, 1);
  later->driver = g_object_ref (self);
  later->event = event;
  later->uuid = g_strdup (uuid);
  g_idle_add_full (G_PRIORITY_DEFAULT, emit_now, later, later_event_free);
}

static gboolean
check_now (gpointer user_data)
{
  lodge_lxc_guests_check (user_data);
  return G_SOURCE_REMOVE;
}

void
lodge_lxc_driver_check_later (LodgeLxcDriver *self)
{
  g_idle_add_full (G_PRIORITY_DEFAULT, check_now, g_object_ref (self), g_object_unref);
}

typedef struct
{
  LodgeLxcMainFunc func;
  gpointer data;
  GMutex lock;
  GCond cond;
  gboolean done;
} Invocation;

static gboolean
invoke_now (gpointer user_data)
{
  Invocation *invocation = user_data;
  invocation->func (invocation->data);
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&invocation->lock);
  invocation->done = TRUE;
  g_cond_signal (&invocation->cond);
  return G_SOURCE_REMOVE;
}

void
lodge_lxc_invoke (LodgeLxcMainFunc func, gpointer data)
{
  Invocation invocation = { .func = func, .data = data };
  g_mutex_init (&invocation.lock);
  g_cond_init (&invocation.cond);
  g_idle_add_full (G_PRIORITY_DEFAULT, invoke_now, &invocation, NULL);
  g_mutex_lock (&invocation.lock);
  while (!invocation.done)
    g_cond_wait (&invocation.cond, &invocation.lock);
  g_mutex_unlock (&invocation.lock);
  g_mutex_clear (&invocation.lock);
  g_cond_clear (&invocation.cond);
}

/* ---- libvirt's events ---- */

static void
on_connected (LodgeVirtConnection *connection, LodgeLxcDriver *self)
{
  lodge_lxc_driver_emit (self, LODGE_DOMAIN_EVENT_CONNECTED, NULL);
  lodge_lxc_guests_adopt (self);
}

static void
on_disconnected (LodgeVirtConnection *connection, const char *reason, LodgeLxcDriver *self)
{
  lodge_lxc_driver_emit (self, LODGE_DOMAIN_EVENT_DISCONNECTED, NULL);
}

static void
on_domain_event (LodgeVirtConnection *connection, const char *uuid, int event, int detail,
                 LodgeLxcDriver *self)
{
  if (event == LODGE_VIRT_EVENT_STOPPED)
    lodge_lxc_driver_mark (self, uuid, TRUE);
  else if (lodge_lxc_guest_check (self, uuid, TRUE))
    lodge_lxc_guest_find_console (self, uuid);
  lodge_lxc_driver_emit (self,
                         event == LODGE_VIRT_EVENT_UNDEFINED ? LODGE_DOMAIN_EVENT_UNDEFINED
                                                             : LODGE_DOMAIN_EVENT_CHANGED,
                         uuid);
}

/* ---- the slots that are about the driver itself ---- */

static void
driver_start (LodgeDriver *driver)
{
  lodge_virt_connection_start (LODGE_LXC_DRIVER (driver)->connection);
}

static GVariant *
driver_describe (LodgeDriver *driver)
{
  LodgeLxcDriver *self = LODGE_LXC_DRIVER (driver);
  g_autofree char *version = lodge_virt_connection_get_version (self->connection);
  g_autofree char *problem = lodge_virt_connection_get_problem (self->connection);
  GVariantBuilder builder;
  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&builder, "{sv}", "uri",
                         g_variant_new_string (lodge_virt_connection_get_uri (self->connection)));
  g_variant_builder_add (
      &builder, "{sv}", "connected",
      g_variant_new_boolean (lodge_virt_connection_is_connected (self->connection)));
  if (version != NULL)
    g_variant_builder_add (&builder, "{sv}", "version", g_variant_new_string (version));
  if (problem != NULL)
    g_variant_builder_add (&builder, "{sv}", "error", g_variant_new_string (problem));
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}

static void
driver_set_event_func (LodgeDriver *driver, LodgeDomainEventFunc func, gpointer user_data)
{
  LodgeLxcDriver *self = LODGE_LXC_DRIVER (driver);
  self->event_func = func;
  self->event_data = user_data;
}

static void
driver_iface_init (LodgeDriverInterface *iface)
{
  iface->name = "lxc";
  iface->kind = LODGE_KIND_CONTAINER;
  iface->caps = LODGE_CAP_PAUSE | LODGE_CAP_EXEC | LODGE_CAP_TTY | LODGE_CAP_CONSOLE
                | LODGE_CAP_FILES | LODGE_CAP_FILES_OFFLINE | LODGE_CAP_USAGE
                | LODGE_CAP_BOOT_REPORT | LODGE_CAP_RENAME;
  iface->start = driver_start;
  iface->describe = driver_describe;
  iface->set_event_func = driver_set_event_func;
  iface->list = lodge_lxc_list;
  iface->lookup = lodge_lxc_lookup;
  iface->lookup_name = lodge_lxc_lookup_name;
  iface->define = lodge_lxc_define;
  iface->undefine = lodge_lxc_undefine;
  iface->rename = lodge_lxc_rename;
  iface->get_xml = lodge_lxc_get_xml;
  iface->power_on = lodge_lxc_power_on;
  iface->shutdown = lodge_lxc_shutdown;
  iface->kill = lodge_lxc_kill;
  iface->pause = lodge_lxc_pause;
  iface->resume = lodge_lxc_resume;
  iface->get_usage = lodge_lxc_get_usage;
  iface->exec = lodge_lxc_exec;
  iface->exec_finish = lodge_lxc_exec_finish;
  iface->open_console = lodge_lxc_open_console;
  iface->open_console_log = lodge_lxc_open_console_log;
  iface->open_files = lodge_lxc_open_files;
  iface->open_files_finish = lodge_lxc_open_files_finish;
}

/* ---- life ---- */

static void
lodge_lxc_driver_dispose (GObject *object)
{
  LodgeLxcDriver *self = LODGE_LXC_DRIVER (object);
  self->event_func = NULL;
  if (self->connection != NULL)
    {
      g_signal_handlers_disconnect_by_data (self->connection, self);
      lodge_virt_connection_stop (self->connection);
    }
  lodge_lxc_events_close (self);
  g_hash_table_remove_all (self->guests);
  g_clear_object (&self->connection);
  g_clear_object (&self->executor);
  G_OBJECT_CLASS (lodge_lxc_driver_parent_class)->dispose (object);
}

static void
lodge_lxc_driver_finalize (GObject *object)
{
  LodgeLxcDriver *self = LODGE_LXC_DRIVER (object);
  g_free (self->state_dir);
  g_free (self->run_dir);
  g_free (self->guest_dir);
  g_free (self->enter_program);
  lodge_fd_clear (&self->enter_fd);
  lodge_fd_clear (&self->cgroup_root);
  g_hash_table_unref (self->guests);
  g_hash_table_unref (self->marks);
  g_hash_table_unref (self->names);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->changed);
  G_OBJECT_CLASS (lodge_lxc_driver_parent_class)->finalize (object);
}

static void
lodge_lxc_driver_class_init (LodgeLxcDriverClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  object_class->dispose = lodge_lxc_driver_dispose;
  object_class->finalize = lodge_lxc_driver_finalize;
}

static void
lodge_lxc_driver_init (LodgeLxcDriver *self)
{
  self->enter_fd = -1;
  self->cgroup_root = -1;
  self->events_fd = -1;
  self->guests = g_hash_table_new_full (g_str_hash, g_str_equal, NULL,
                                        (GDestroyNotify) lodge_lxc_guest_free);
  self->marks = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  self->names = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
}

LodgeDriver *
lodge_lxc_driver_new (const char *uri, const char *state_dir, const char *run_dir,
                      const char *libexec_dir, GError **error)
{
  g_autoptr (LodgeLxcDriver) self = g_object_new (LODGE_TYPE_LXC_DRIVER, NULL);
  self->state_dir = g_strdup (state_dir);
  self->run_dir = g_strdup (run_dir);
  self->guest_dir = g_build_filename (libexec_dir, "guest", NULL);
  self->executor = lodge_executor_new ("lxc", EXECUTOR_THREADS);

  struct sysinfo host;
  if (sysinfo (&host) == 0)
    self->host_memory = (guint64) host.totalram * host.mem_unit;

  /* Without it containers run as well; to end or to thaw one then takes libvirt longer. */
  if (!lodge_lxc_cgroup_is_unified ())
    self->cgroup_root = lodge_lxc_cgroup_open_root (NULL);

  g_autofree char *enter = g_build_filename (libexec_dir, "lodge-enter", NULL);
  self->enter_fd = lodge_helper_seal_program (enter, error);
  if (self->enter_fd < 0)
    return NULL;
  self->enter_program = g_strdup_printf ("/proc/self/fd/%d", self->enter_fd);
  if (!lodge_dir_make (run_dir, 0755, error) || !lodge_lxc_events_bind (self, error))
    return NULL;

  self->connection = lodge_virt_connection_new (uri);
  g_signal_connect (self->connection, "connected", G_CALLBACK (on_connected), self);
  g_signal_connect (self->connection, "disconnected", G_CALLBACK (on_disconnected), self);
  g_signal_connect (self->connection, "domain-event", G_CALLBACK (on_domain_event), self);
  return LODGE_DRIVER (g_steal_pointer (&self));
}
