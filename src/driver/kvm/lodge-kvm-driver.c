/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-kvm-driver.h"

#include "lodge-kvm-private.h"

#include <stdlib.h>

static void driver_iface_init (LodgeDriverInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (LodgeKvmDriver, lodge_kvm_driver, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (LODGE_TYPE_DRIVER, driver_iface_init))

static void
emit_event (LodgeKvmDriver *self, LodgeDomainEvent event, const char *uuid)
{
  if (self->event_func != NULL)
    self->event_func (LODGE_DRIVER (self), event, uuid, self->event_data);
}

/*
 * libvirt finds out what QEMU can do when it first has to know, which takes ten seconds and more,
 * and keeps the answer on disk.  Asked now, the first machine need not wait for that.
 */
static gpointer
warm_up_thread (gpointer data)
{
  g_autoptr (LodgeVirtConnection) agent_connection = data;
  g_autoptr (virConnect) connection = lodge_virt_connection_acquire (agent_connection, NULL);

  if (connection != NULL)
    free (virConnectGetDomainCapabilities (connection, NULL, NULL, NULL, NULL, 0));
  return NULL;
}

static void
on_agents_connected (LodgeVirtConnection *connection, gpointer user_data)
{
  g_autoptr (GError) error = NULL;
  GThread *thread
      = g_thread_try_new ("kvm-warm-up", warm_up_thread, g_object_ref (connection), &error);

  if (thread != NULL)
    g_thread_unref (thread);
  else
    g_object_unref (connection);
}

static void
on_connected (LodgeVirtConnection *connection, gpointer user_data)
{
  g_info ("connected to %s", lodge_virt_connection_get_uri (connection));
  emit_event (user_data, LODGE_DOMAIN_EVENT_CONNECTED, NULL);
}

static void
on_disconnected (LodgeVirtConnection *connection, const char *reason, gpointer user_data)
{
  g_info ("lost %s: %s", lodge_virt_connection_get_uri (connection), reason);
  emit_event (user_data, LODGE_DOMAIN_EVENT_DISCONNECTED, NULL);
}

static void
on_agent_event (LodgeKvmDriver *self, const char *uuid, int state)
{
  gboolean present = state == VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_CONNECTED;

  lodge_kvm_agents_set_present (self->agents, uuid, present);
  if (present)
    emit_event (self, LODGE_DOMAIN_EVENT_BOOTED, uuid);
}

static void
on_domain_event (LodgeVirtConnection *connection, const char *uuid, int kind, int detail,
                 gpointer user_data)
{
  LodgeKvmDriver *self = user_data;

  switch ((LodgeVirtEvent) kind)
    {
    case LODGE_VIRT_EVENT_AGENT:
      on_agent_event (self, uuid, detail);
      break;
    case LODGE_VIRT_EVENT_UNDEFINED:
      emit_event (self, LODGE_DOMAIN_EVENT_UNDEFINED, uuid);
      break;
    case LODGE_VIRT_EVENT_STOPPED:
    case LODGE_VIRT_EVENT_CRASHED:
      lodge_kvm_agents_forget (self->agents, uuid);
      emit_event (self, LODGE_DOMAIN_EVENT_CHANGED, uuid);
      break;
    case LODGE_VIRT_EVENT_REBOOTED:
      lodge_kvm_agents_set_rebooted (self->agents, uuid);
      emit_event (self, LODGE_DOMAIN_EVENT_CHANGED, uuid);
      break;
    case LODGE_VIRT_EVENT_DEFINED:
    case LODGE_VIRT_EVENT_STARTED:
    case LODGE_VIRT_EVENT_SUSPENDED:
    case LODGE_VIRT_EVENT_RESUMED:
    case LODGE_VIRT_EVENT_SHUTDOWN:
    case LODGE_VIRT_EVENT_PMSUSPENDED:
    case LODGE_VIRT_EVENT_METADATA:
      emit_event (self, LODGE_DOMAIN_EVENT_CHANGED, uuid);
      break;
    default:
      break;
    }
}

static void
lodge_kvm_driver_start (LodgeDriver *driver)
{
  LodgeKvmDriver *self = LODGE_KVM_DRIVER (driver);

  lodge_kvm_accel_start (self->accel);
  lodge_virt_connection_start (self->connection);
  lodge_virt_connection_start (self->agent_connection);
}

static GVariant *
lodge_kvm_driver_describe (LodgeDriver *driver)
{
  static const char *const states[] = { [LODGE_KVM_PROBE_RUNNING] = "probing",
                                        [LODGE_KVM_PROBE_USABLE] = "kvm",
                                        [LODGE_KVM_PROBE_UNUSABLE] = "tcg" };
  LodgeKvmDriver *self = LODGE_KVM_DRIVER (driver);
  g_auto (GVariantDict) dict = G_VARIANT_DICT_INIT (NULL);
  g_autofree char *version = lodge_virt_connection_get_version (self->connection);
  g_autofree char *problem = lodge_virt_connection_get_problem (self->connection);
  g_autofree char *reason = NULL;
  LodgeKvmProbeState state = lodge_kvm_accel_peek (self->accel, &reason);

  g_variant_dict_insert (&dict, "uri", "s", lodge_virt_connection_get_uri (self->connection));
  g_variant_dict_insert (&dict, "connected", "b",
                         lodge_virt_connection_is_connected (self->connection));
  g_variant_dict_insert (&dict, "accel", "s", states[state]);
  if (reason != NULL)
    g_variant_dict_insert (&dict, "accel-reason", "s", reason);
  if (version != NULL)
    g_variant_dict_insert (&dict, "version", "s", version);
  if (problem != NULL)
    g_variant_dict_insert (&dict, "error", "s", problem);
  return g_variant_dict_end (&dict);
}

static void
lodge_kvm_driver_set_event_func (LodgeDriver *driver, LodgeDomainEventFunc func, gpointer user_data)
{
  LodgeKvmDriver *self = LODGE_KVM_DRIVER (driver);

  self->event_func = func;
  self->event_data = user_data;
}

static void
driver_iface_init (LodgeDriverInterface *iface)
{
  iface->name = "kvm";
  iface->kind = LODGE_KIND_VM;
  iface->caps = LODGE_CAP_PAUSE | LODGE_CAP_EXEC | LODGE_CAP_TTY | LODGE_CAP_CONSOLE
                | LODGE_CAP_FILES | LODGE_CAP_USAGE | LODGE_CAP_BOOT_REPORT | LODGE_CAP_RENAME
                | LODGE_CAP_FILES_OFFLINE;
  iface->start = lodge_kvm_driver_start;
  iface->describe = lodge_kvm_driver_describe;
  iface->list = lodge_kvm_list;
  iface->lookup = lodge_kvm_lookup;
  iface->lookup_name = lodge_kvm_lookup_name;
  iface->define = lodge_kvm_define;
  iface->undefine = lodge_kvm_undefine;
  iface->power_on = lodge_kvm_power_on;
  iface->shutdown = lodge_kvm_shutdown;
  iface->kill = lodge_kvm_kill;
  iface->pause = lodge_kvm_pause;
  iface->resume = lodge_kvm_resume;
  iface->rename = lodge_kvm_rename;
  iface->eject = lodge_kvm_eject;
  iface->get_xml = lodge_kvm_get_xml;
  iface->get_usage = lodge_kvm_get_usage;
  iface->exec = lodge_kvm_exec;
  iface->exec_finish = lodge_kvm_exec_finish;
  iface->open_console = lodge_kvm_open_console;
  iface->open_console_log = lodge_kvm_open_console_log;
  iface->open_files = lodge_kvm_open_files;
  iface->open_files_finish = lodge_kvm_open_files_finish;
  iface->set_event_func = lodge_kvm_driver_set_event_func;
}

LodgeDriver *
lodge_kvm_driver_new (const char *uri, const char *state_dir, const char *run_dir,
                      const char *libexec_dir, GError **error)
{
  if (!g_str_has_prefix (uri, "qemu"))
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                   "'%s' is not the URI of a libvirt for virtual machines", uri);
      return NULL;
    }

  LodgeKvmDriver *self = g_object_new (LODGE_TYPE_KVM_DRIVER, NULL);
  g_autofree char *cache = g_build_filename (run_dir, "kvm-probe", NULL);
  self->state_dir = g_strdup (state_dir);
  self->run_dir = g_strdup (run_dir);
  self->libexec_dir = g_strdup (libexec_dir);
  self->accel = lodge_kvm_accel_new (cache, NULL);
  self->connection = lodge_virt_connection_new (uri);
  self->agent_connection = lodge_virt_connection_new (uri);
  self->agents = lodge_kvm_agents_new (self->agent_connection);
  self->consoles = lodge_kvm_consoles_new (self->agent_connection);
  g_signal_connect (self->connection, "connected", G_CALLBACK (on_connected), self);
  g_signal_connect (self->agent_connection, "connected", G_CALLBACK (on_agents_connected), self);
  g_signal_connect (self->connection, "disconnected", G_CALLBACK (on_disconnected), self);
  g_signal_connect (self->connection, "domain-event", G_CALLBACK (on_domain_event), self);
  return LODGE_DRIVER (self);
}

static void
lodge_kvm_driver_dispose (GObject *object)
{
  LodgeKvmDriver *self = LODGE_KVM_DRIVER (object);

  if (self->connection != NULL)
    {
      g_signal_handlers_disconnect_by_data (self->connection, self);
      g_signal_handlers_disconnect_by_data (self->agent_connection, self);
      lodge_virt_connection_stop (self->connection);
      lodge_virt_connection_stop (self->agent_connection);
    }
  self->event_func = NULL;
  G_OBJECT_CLASS (lodge_kvm_driver_parent_class)->dispose (object);
}

static void
lodge_kvm_driver_finalize (GObject *object)
{
  LodgeKvmDriver *self = LODGE_KVM_DRIVER (object);

  g_clear_object (&self->offline_pool);
  g_clear_object (&self->connection);
  g_clear_object (&self->agent_connection);
  g_clear_object (&self->agents);
  g_clear_object (&self->accel);
  g_clear_pointer (&self->consoles, lodge_kvm_consoles_unref);
  g_free (self->state_dir);
  g_free (self->run_dir);
  g_free (self->libexec_dir);
  G_OBJECT_CLASS (lodge_kvm_driver_parent_class)->finalize (object);
}

static void
lodge_kvm_driver_class_init (LodgeKvmDriverClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = lodge_kvm_driver_dispose;
  G_OBJECT_CLASS (klass)->finalize = lodge_kvm_driver_finalize;
}

static void
lodge_kvm_driver_init (LodgeKvmDriver *self)
{
  g_snprintf (self->nonce, sizeof self->nonce, "%08x", g_random_int ());
}
