/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-fake-driver.h"

#include "lodge-fake-process.h"
#include "lodge-units.h"

#define BOOT_DELAY     5 /* ms */
#define SHUTDOWN_DELAY 5 /* ms */

typedef struct
{
  LodgeFakeWorld *world;
  LodgeKind kind;
  char *scratch_dir;
  guint boot_delay;
  gboolean started;
  LodgeDomainEventFunc event_func;
  gpointer event_data;
} LodgeFakeDriverPrivate;

static void lodge_fake_driver_iface_init (LodgeDriverInterface *iface);

G_DEFINE_TYPE_WITH_CODE (LodgeFakeDriver, lodge_fake_driver, G_TYPE_OBJECT,
                         G_ADD_PRIVATE (LodgeFakeDriver)
                             G_IMPLEMENT_INTERFACE (LODGE_TYPE_DRIVER,
                                                    lodge_fake_driver_iface_init))

static LodgeFakeDriverPrivate *
private_of (gpointer self)
{
  return lodge_fake_driver_get_instance_private (self);
}

/* ---- events ---- */

typedef struct
{
  LodgeFakeDriver *driver;
  LodgeDomainEvent event;
  char *uuid;
} Emission;

static void
emission_free (Emission *emission)
{
  g_object_unref (emission->driver);
  g_free (emission->uuid);
  g_free (emission);
}

static gboolean
deliver (gpointer user_data)
{
  Emission *emission = user_data;
  LodgeFakeDriver *self = emission->driver;

  if (private_of (self)->event_func != NULL)
    private_of (self)->event_func (LODGE_DRIVER (self), emission->event, emission->uuid,
                                   private_of (self)->event_data);
  return G_SOURCE_REMOVE;
}

static void
emit_later (LodgeFakeDriver *self, LodgeDomainEvent event, const char *uuid, guint ms)
{
  Emission *emission = g_new0 (Emission, 1);

  emission->driver = g_object_ref (self);
  emission->event = event;
  emission->uuid = g_strdup (uuid);
  g_timeout_add_full (G_PRIORITY_DEFAULT, ms, deliver, emission, (GDestroyNotify) emission_free);
}

void
lodge_fake_driver_emit (LodgeFakeDriver *self, LodgeDomainEvent event, const char *uuid)
{
  emit_later (self, event, uuid, 0);
}

void
lodge_fake_driver_set_connected (LodgeFakeDriver *self, gboolean connected)
{
  lodge_fake_world_set_connected (private_of (self)->world, private_of (self)->kind, connected);
  lodge_fake_driver_emit (
      self, connected ? LODGE_DOMAIN_EVENT_CONNECTED : LODGE_DOMAIN_EVENT_DISCONNECTED, NULL);
}

/* ---- what every call begins with ---- */

static gboolean
begin (LodgeFakeDriver *self, const char *op, GCancellable *cancellable, GError **error)
{
  if (lodge_fake_world_get_connected (private_of (self)->world, private_of (self)->kind))
    return lodge_fake_world_pass (private_of (self)->world, op, cancellable, error);
  g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_BACKEND_UNAVAILABLE,
                       "the fake libvirt does not answer");
  return FALSE;
}

static LodgeDomainInfo *
begin_with (LodgeFakeDriver *self, const char *op, const char *uuid, GCancellable *cancellable,
            GError **error)
{
  LodgeDomainInfo *info;

  if (!begin (self, op, cancellable, error))
    return NULL;
  info = lodge_fake_world_find (private_of (self)->world, uuid);
  if (info == NULL)
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND, "there is no domain %s", uuid);
  return info;
}

/* ---- the slots ---- */

static void
fake_start (LodgeDriver *driver)
{
  LodgeFakeDriver *self = LODGE_FAKE_DRIVER (driver);

  if (!private_of (self)->started
      && lodge_fake_world_get_connected (private_of (self)->world, private_of (self)->kind))
    lodge_fake_driver_emit (self, LODGE_DOMAIN_EVENT_CONNECTED, NULL);
  private_of (self)->started = TRUE;
}

static GVariant *
fake_describe (LodgeDriver *driver)
{
  LodgeFakeDriver *self = LODGE_FAKE_DRIVER (driver);
  GVariantDict dict;

  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "uri", "s", "fake:///system");
  g_variant_dict_insert (
      &dict, "connected", "b",
      lodge_fake_world_get_connected (private_of (self)->world, private_of (self)->kind));
  g_variant_dict_insert (&dict, "version", "s", "1.0");
  g_variant_dict_insert (&dict, "error", "s", "");
  return g_variant_dict_end (&dict);
}

static GPtrArray *
fake_list (LodgeDriver *driver, GCancellable *cancellable, GError **error)
{
  LodgeFakeDriver *self = LODGE_FAKE_DRIVER (driver);

  if (!begin (self, "list", cancellable, error))
    return NULL;
  return lodge_fake_world_list (private_of (self)->world, private_of (self)->kind);
}

static LodgeDomainInfo *
fake_lookup (LodgeDriver *driver, const char *uuid, GError **error)
{
  return begin_with (LODGE_FAKE_DRIVER (driver), "lookup", uuid, NULL, error);
}

static LodgeDomainInfo *
fake_lookup_name (LodgeDriver *driver, const char *name, GError **error)
{
  LodgeFakeDriver *self = LODGE_FAKE_DRIVER (driver);
  LodgeDomainInfo *info;

  if (!begin (self, "lookup-name", NULL, error))
    return NULL;
  info = lodge_fake_world_find (private_of (self)->world, name);
  if (info != NULL && info->kind != private_of (self)->kind)
    g_clear_pointer (&info, lodge_domain_info_free);
  return info;
}

static gboolean
fake_define (LodgeDriver *driver, const LodgeDomainSpec *spec, GPtrArray *out_notices,
             GCancellable *cancellable, GError **error)
{
  LodgeFakeDriver *self = LODGE_FAKE_DRIVER (driver);
  g_autoptr (LodgeDomainInfo) known = NULL;
  LodgeDomainInfo info = { .uuid = spec->uuid,
                           .name = spec->name,
                           .kind = spec->kind,
                           .state = LODGE_STATE_STOPPED,
                           .id = -1,
                           .persistent = TRUE,
                           .managed = TRUE,
                           .vcpus = 1,
                           .image = spec->image_fingerprint,
                           .network = spec->network,
                           .mac = spec->mac,
                           .fingerprint = spec->name };

  if (!begin (self, "define", cancellable, error))
    return FALSE;
  known = lodge_fake_world_find (private_of (self)->world, spec->uuid);
  if (known != NULL)
    return TRUE;
  known = lodge_fake_world_find (private_of (self)->world, spec->name);
  if (known != NULL)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_ALREADY_EXISTS, "there is a domain '%s' already",
                   spec->name);
      return FALSE;
    }
  lodge_parse_size (lodge_domain_spec_get (spec, "limits.memory", "0"), &info.memory_limit, NULL);
  lodge_fake_world_put (private_of (self)->world, &info);
  lodge_fake_driver_emit (self, LODGE_DOMAIN_EVENT_CHANGED, spec->uuid);
  return TRUE;
}

static gboolean
fake_undefine (LodgeDriver *driver, const char *uuid, GError **error)
{
  LodgeFakeDriver *self = LODGE_FAKE_DRIVER (driver);

  if (!begin (self, "undefine", NULL, error))
    return FALSE;
  if (lodge_fake_world_remove (private_of (self)->world, uuid))
    lodge_fake_driver_emit (self, LODGE_DOMAIN_EVENT_UNDEFINED, uuid);
  return TRUE;
}

static gboolean
fake_power_on (LodgeDriver *driver, const char *uuid, GCancellable *cancellable, GError **error)
{
  LodgeFakeDriver *self = LODGE_FAKE_DRIVER (driver);
  g_autoptr (LodgeDomainInfo) info = begin_with (self, "power-on", uuid, cancellable, error);

  if (info == NULL)
    return FALSE;
  if (info->state == LODGE_STATE_RUNNING)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_STATE, "'%s' runs already", info->name);
      return FALSE;
    }
  lodge_fake_world_set_state (private_of (self)->world, uuid, LODGE_STATE_RUNNING);
  lodge_fake_driver_emit (self, LODGE_DOMAIN_EVENT_CHANGED, uuid);
  emit_later (self, LODGE_DOMAIN_EVENT_BOOTED, uuid, private_of (self)->boot_delay);
  return TRUE;
}

/* Sets the state of a domain that is there, and says so. */
static gboolean
change_state (LodgeDriver *driver, const char *op, const char *uuid, LodgeState state,
              GError **error)
{
  LodgeFakeDriver *self = LODGE_FAKE_DRIVER (driver);
  g_autoptr (LodgeDomainInfo) info = begin_with (self, op, uuid, NULL, error);

  if (info == NULL)
    return FALSE;
  lodge_fake_world_set_state (private_of (self)->world, uuid, state);
  lodge_fake_driver_emit (self, LODGE_DOMAIN_EVENT_CHANGED, uuid);
  return TRUE;
}

typedef struct
{
  LodgeFakeDriver *driver;
  char *uuid;
} Shutdown;

static void
shutdown_free (Shutdown *shutdown)
{
  g_object_unref (shutdown->driver);
  g_free (shutdown->uuid);
  g_free (shutdown);
}

static gboolean
finish_shutdown (gpointer user_data)
{
  Shutdown *shutdown = user_data;

  lodge_fake_world_set_state (private_of (shutdown->driver)->world, shutdown->uuid,
                              LODGE_STATE_STOPPED);
  lodge_fake_driver_emit (shutdown->driver, LODGE_DOMAIN_EVENT_CHANGED, shutdown->uuid);
  return G_SOURCE_REMOVE;
}

static gboolean
fake_shutdown (LodgeDriver *driver, const char *uuid, GError **error)
{
  LodgeFakeDriver *self = LODGE_FAKE_DRIVER (driver);
  g_autoptr (LodgeDomainInfo) info = begin_with (self, "shutdown", uuid, NULL, error);
  Shutdown *shutdown;

  if (info == NULL)
    return FALSE;
  if (lodge_fake_world_is_stubborn (private_of (self)->world, uuid))
    return TRUE;
  shutdown = g_new0 (Shutdown, 1);
  shutdown->driver = g_object_ref (self);
  shutdown->uuid = g_strdup (uuid);
  g_timeout_add_full (G_PRIORITY_DEFAULT, SHUTDOWN_DELAY, finish_shutdown, shutdown,
                      (GDestroyNotify) shutdown_free);
  return TRUE;
}

static gboolean
fake_kill (LodgeDriver *driver, const char *uuid, GError **error)
{
  return change_state (driver, "kill", uuid, LODGE_STATE_STOPPED, error);
}

static gboolean
fake_pause (LodgeDriver *driver, const char *uuid, GError **error)
{
  return change_state (driver, "pause", uuid, LODGE_STATE_PAUSED, error);
}

static gboolean
fake_resume (LodgeDriver *driver, const char *uuid, GError **error)
{
  return change_state (driver, "resume", uuid, LODGE_STATE_RUNNING, error);
}

static gboolean
fake_rename (LodgeDriver *driver, const char *uuid, const char *new_name, GError **error)
{
  LodgeFakeDriver *self = LODGE_FAKE_DRIVER (driver);
  g_autoptr (LodgeDomainInfo) info = begin_with (self, "rename", uuid, NULL, error);

  if (info == NULL)
    return FALSE;
  if (!g_str_equal (info->name, new_name)
      && !lodge_fake_world_rename (private_of (self)->world, uuid, new_name))
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_ALREADY_EXISTS, "there is a domain '%s' already",
                   new_name);
      return FALSE;
    }
  lodge_fake_driver_emit (self, LODGE_DOMAIN_EVENT_CHANGED, uuid);
  return TRUE;
}

static gboolean
fake_eject (LodgeDriver *driver, const char *uuid, gboolean force, GError **error)
{
  g_autoptr (LodgeDomainInfo) info
      = begin_with (LODGE_FAKE_DRIVER (driver), "eject", uuid, NULL, error);

  return info != NULL;
}

static char *
fake_get_xml (LodgeDriver *driver, const char *uuid, GError **error)
{
  g_autoptr (LodgeDomainInfo) info
      = begin_with (LODGE_FAKE_DRIVER (driver), "get-xml", uuid, NULL, error);

  if (info == NULL)
    return NULL;
  return g_markup_printf_escaped ("<domain type='fake'>\n  <name>%s</name>\n  <uuid>%s</uuid>\n"
                                  "</domain>\n",
                                  info->name, info->uuid);
}

static LodgeUsage *
fake_get_usage (LodgeDriver *driver, const char *uuid, GError **error)
{
  g_autoptr (LodgeDomainInfo) info
      = begin_with (LODGE_FAKE_DRIVER (driver), "get-usage", uuid, NULL, error);
  LodgeUsage *usage;

  if (info == NULL)
    return NULL;
  usage = lodge_usage_new ();
  usage->cpu_ns = 1500000000;
  usage->memory = 64 << 20;
  usage->memory_limit = (gint64) info->memory_limit;
  usage->processes = 7;
  usage->uptime = 42;
  usage->host_device = g_strdup ("vnet0");
  usage->rx_bytes = 1000;
  usage->tx_bytes = 2000;
  usage->rx_packets = 10;
  usage->tx_packets = 20;
  return usage;
}

/* ---- programs, console, files ---- */

static void
fake_exec (LodgeDriver *driver, const char *uuid, const LodgeExecRequest *request,
           GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (driver, cancellable, callback, user_data);
  g_autoptr (LodgeDomainInfo) info = NULL;
  LodgeExecResult *result = NULL;
  GError *error = NULL;

  info = begin_with (LODGE_FAKE_DRIVER (driver), "exec", uuid, cancellable, &error);
  if (info != NULL)
    result = lodge_fake_process_spawn (request, &error);
  if (result != NULL)
    g_task_return_pointer (task, result, (GDestroyNotify) lodge_exec_result_free);
  else
    g_task_return_error (task, error);
}

static LodgeExecResult *
fake_exec_finish (LodgeDriver *driver, GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

static int
fake_open_console (LodgeDriver *driver, const char *uuid, GError **error)
{
  g_autoptr (LodgeDomainInfo) info
      = begin_with (LODGE_FAKE_DRIVER (driver), "open-console", uuid, NULL, error);

  return info != NULL ? lodge_fake_console_open (error) : -1;
}

static int
fake_open_console_log (LodgeDriver *driver, const char *uuid, GError **error)
{
  g_autoptr (LodgeDomainInfo) info
      = begin_with (LODGE_FAKE_DRIVER (driver), "open-console-log", uuid, NULL, error);
  g_autofree char *text = NULL;

  if (info == NULL)
    return -1;
  text = g_strdup_printf ("console of %s\n", info->name);
  return lodge_fake_log_open (text, error);
}

static void
fake_open_files (LodgeDriver *driver, const char *uuid, gboolean running, GCancellable *cancellable,
                 GAsyncReadyCallback callback, gpointer user_data)
{
  LodgeFakeDriver *self = LODGE_FAKE_DRIVER (driver);
  g_autoptr (GTask) task = g_task_new (driver, cancellable, callback, user_data);
  g_autoptr (LodgeDomainInfo) info = begin_with (self, "open-files", uuid, cancellable, NULL);
  g_autofree char *root = g_build_filename (private_of (self)->scratch_dir, uuid, NULL);
  LodgeProcess *server = NULL;
  GError *error = NULL;
  int fd = -1;

  if (info != NULL)
    fd = lodge_fake_files_open (root, &server, &error);
  else
    g_set_error (&error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND, "there is no domain %s", uuid);
  if (fd < 0)
    {
      g_task_return_error (task, error);
      return;
    }
  g_task_set_task_data (task, server, g_object_unref);
  g_task_return_int (task, fd);
}

static int
fake_open_files_finish (LodgeDriver *driver, GAsyncResult *result, LodgeProcess **out_server,
                        GError **error)
{
  int fd = (int) g_task_propagate_int (G_TASK (result), error);

  if (fd >= 0)
    *out_server = g_object_ref (g_task_get_task_data (G_TASK (result)));
  return fd;
}

static void
fake_set_event_func (LodgeDriver *driver, LodgeDomainEventFunc func, gpointer user_data)
{
  LodgeFakeDriver *self = LODGE_FAKE_DRIVER (driver);

  private_of (self)->event_func = func;
  private_of (self)->event_data = user_data;
}

/* ---- the object ---- */

void
lodge_fake_driver_set_boot_delay (LodgeFakeDriver *self, guint ms)
{
  private_of (self)->boot_delay = ms;
}

static void
lodge_fake_driver_iface_init (LodgeDriverInterface *iface)
{
  iface->name = "fake-lxc";
  iface->kind = LODGE_KIND_CONTAINER;
  iface->caps = LODGE_CAP_PAUSE | LODGE_CAP_EXEC | LODGE_CAP_TTY | LODGE_CAP_CONSOLE
                | LODGE_CAP_FILES | LODGE_CAP_FILES_OFFLINE | LODGE_CAP_USAGE
                | LODGE_CAP_BOOT_REPORT | LODGE_CAP_RENAME;
  iface->start = fake_start;
  iface->describe = fake_describe;
  iface->list = fake_list;
  iface->lookup = fake_lookup;
  iface->lookup_name = fake_lookup_name;
  iface->define = fake_define;
  iface->undefine = fake_undefine;
  iface->power_on = fake_power_on;
  iface->shutdown = fake_shutdown;
  iface->kill = fake_kill;
  iface->pause = fake_pause;
  iface->resume = fake_resume;
  iface->rename = fake_rename;
  iface->eject = fake_eject;
  iface->get_xml = fake_get_xml;
  iface->get_usage = fake_get_usage;
  iface->exec = fake_exec;
  iface->exec_finish = fake_exec_finish;
  iface->open_console = fake_open_console;
  iface->open_console_log = fake_open_console_log;
  iface->open_files = fake_open_files;
  iface->open_files_finish = fake_open_files_finish;
  iface->set_event_func = fake_set_event_func;
}

static void
lodge_fake_driver_finalize (GObject *object)
{
  LodgeFakeDriverPrivate *priv = private_of (object);

  g_clear_object (&priv->world);
  g_free (priv->scratch_dir);
  G_OBJECT_CLASS (lodge_fake_driver_parent_class)->finalize (object);
}

static void
lodge_fake_driver_class_init (LodgeFakeDriverClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = lodge_fake_driver_finalize;
}

static void
lodge_fake_driver_init (LodgeFakeDriver *self)
{
  private_of (self)->boot_delay = BOOT_DELAY;
}

/* ---- of VMs: the kind belongs to the interface, so it takes a type ---- */

typedef struct
{
  LodgeFakeDriver parent;
} LodgeFakeVmDriver;

typedef struct
{
  LodgeFakeDriverClass parent_class;
} LodgeFakeVmDriverClass;

static GType lodge_fake_vm_driver_get_type (void);

/* The other slots are the parent's. */
static void
lodge_fake_vm_driver_iface_init (LodgeDriverInterface *iface)
{
  iface->name = "fake-kvm";
  iface->kind = LODGE_KIND_VM;
}

G_DEFINE_FINAL_TYPE_WITH_CODE (LodgeFakeVmDriver, lodge_fake_vm_driver, LODGE_TYPE_FAKE_DRIVER,
                               G_IMPLEMENT_INTERFACE (LODGE_TYPE_DRIVER,
                                                      lodge_fake_vm_driver_iface_init))

static void
lodge_fake_vm_driver_class_init (LodgeFakeVmDriverClass *klass)
{
}

static void
lodge_fake_vm_driver_init (LodgeFakeVmDriver *self)
{
}

LodgeFakeDriver *
lodge_fake_driver_new (LodgeFakeWorld *world, LodgeKind kind, const char *scratch_dir)
{
  LodgeFakeDriver *self = g_object_new (
      kind == LODGE_KIND_VM ? lodge_fake_vm_driver_get_type () : LODGE_TYPE_FAKE_DRIVER, NULL);

  private_of (self)->world = g_object_ref (world);
  private_of (self)->kind = kind;
  private_of (self)->scratch_dir = g_strdup (scratch_dir);
  return self;
}
