/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-kvm-private.h"

#include <errno.h>
#include <fcntl.h>
#include <libvirt/virterror.h>
#include <poll.h>
#include <string.h>
#include <sys/pidfd.h>
#include <signal.h>

#include "lodge-fd.h"
#include "lodge-network-xml.h"
#include "lodge-virt-durable.h"
#include "lodge-virt-network.h"

#define DEFAULT_MEMORY   (G_GUINT64_CONSTANT (1) << 30)
#define STATS_PERIOD     5 /* seconds between the balloon's reports */
#define SPARE_PCIE_PORTS 4
#define QEMU_TERM_MS     2000
#define QEMU_KILL_MS     10000
#define PING_SECONDS     2
#define LIBVIRT_PID_DIR  "/run/libvirt/qemu"
#define DOMAIN_TYPE      "qemu"

char *
lodge_kvm_domain_xml (virDomainPtr domain, guint flags, GError **error)
{
  const char *name = virDomainGetName (domain);
  char *xml = virDomainGetXMLDesc (domain, flags);

  if (xml == NULL)
    {
      lodge_virt_set_error (error, "cannot read the definition of '%s'", name);
      return NULL;
    }
  char *copy = g_strdup (xml);
  free (xml);
  return copy;
}

static virDomainPtr
find_domain (LodgeDriver *driver, const char *uuid, GError **error)
{
  return lodge_virt_connection_lookup (LODGE_KVM_DRIVER (driver)->connection, uuid, error);
}

static LodgeState
map_state (int state, int reason, gboolean saved)
{
  switch (state)
    {
    case VIR_DOMAIN_RUNNING:
    case VIR_DOMAIN_BLOCKED:
      return LODGE_STATE_RUNNING;
    case VIR_DOMAIN_PAUSED:
      if (reason == VIR_DOMAIN_PAUSED_STARTING_UP)
        return LODGE_STATE_STARTING;
      if (reason == VIR_DOMAIN_PAUSED_IOERROR || reason == VIR_DOMAIN_PAUSED_CRASHED)
        return LODGE_STATE_ERROR;
      return LODGE_STATE_PAUSED;
    case VIR_DOMAIN_PMSUSPENDED:
      return LODGE_STATE_PAUSED;
    case VIR_DOMAIN_SHUTDOWN:
      return LODGE_STATE_STOPPING;
    case VIR_DOMAIN_CRASHED:
      return LODGE_STATE_CRASHED;
    case VIR_DOMAIN_SHUTOFF:
      if (saved)
        return LODGE_STATE_SAVED;
      return reason == VIR_DOMAIN_SHUTOFF_CRASHED || reason == VIR_DOMAIN_SHUTOFF_FAILED
                 ? LODGE_STATE_CRASHED
                 : LODGE_STATE_STOPPED;
    default:
      return LODGE_STATE_ERROR;
    }
}

/* What can be asked of all domains with one call. */
typedef struct
{
  gboolean persistent;
  gboolean autostart;
  gboolean saved;
} Traits;

static LodgeDomainInfo *
read_domain (virDomainPtr domain, const Traits *traits, GError **error)
{
  g_autoptr (LodgeDomainInfo) info = NULL;
  const char *name = virDomainGetName (domain);
  int state = VIR_DOMAIN_NOSTATE;
  int reason = 0;

  g_autofree char *xml = lodge_kvm_domain_xml (domain, 0, error);
  if (xml == NULL || !lodge_domain_xml_read (xml, &info, error))
    return NULL;
  if (virDomainGetState (domain, &state, &reason, 0) < 0)
    {
      lodge_virt_set_error (error, "cannot read the state of '%s'", name);
      return NULL;
    }
  if (info->id >= 0 && traits->persistent)
    {
      g_autofree char *inactive = lodge_kvm_domain_xml (domain, VIR_DOMAIN_XML_INACTIVE, error);
      char *fingerprint = inactive != NULL ? lodge_domain_xml_fingerprint (inactive, error) : NULL;
      if (fingerprint == NULL)
        return NULL;
      g_free (info->fingerprint);
      info->fingerprint = fingerprint;
    }
  info->kind = LODGE_KIND_VM;
  info->state = map_state (state, reason, traits->saved);
  info->persistent = traits->persistent;
  info->autostart = traits->autostart;
  return g_steal_pointer (&info);
}

static void
free_domains (virDomainPtr *domains, int n)
{
  for (int i = 0; i < n; i++)
    virDomainFree (domains[i]);
  free (domains);
}

/* UUIDs of the domains that @flags select; NULL on failure. */
static GHashTable *
list_uuids (virConnectPtr connection, guint flags, GError **error)
{
  virDomainPtr *domains = NULL;
  int n = virConnectListAllDomains (connection, &domains, flags);

  if (n < 0)
    {
      lodge_virt_set_error (error, "cannot list the virtual machines");
      return NULL;
    }
  GHashTable *set = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  for (int i = 0; i < n; i++)
    {
      char uuid[VIR_UUID_STRING_BUFLEN] = "";
      virDomainGetUUIDString (domains[i], uuid);
      g_hash_table_add (set, g_strdup (uuid));
    }
  free_domains (domains, n);
  return set;
}

static GPtrArray *
read_domains (virDomainPtr *domains, int n, GHashTable *persistent, GHashTable *autostart,
              GHashTable *saved, GCancellable *cancellable, GError **error)
{
  g_autoptr (GPtrArray) list
      = g_ptr_array_new_with_free_func ((GDestroyNotify) lodge_domain_info_free);

  for (int i = 0; i < n; i++)
    {
      char uuid[VIR_UUID_STRING_BUFLEN] = "";
      g_autoptr (GError) local_error = NULL;
      if (g_cancellable_set_error_if_cancelled (cancellable, &local_error))
        {
          g_propagate_error (error, lodge_error_normalize (g_steal_pointer (&local_error)));
          return NULL;
        }
      virDomainGetUUIDString (domains[i], uuid);
      Traits traits = { .persistent = g_hash_table_contains (persistent, uuid),
                        .autostart = g_hash_table_contains (autostart, uuid),
                        .saved = g_hash_table_contains (saved, uuid) };
      LodgeDomainInfo *info = read_domain (domains[i], &traits, &local_error);
      if (info != NULL)
        g_ptr_array_add (list, info);
      else if (g_error_matches (local_error, LODGE_ERROR, LODGE_ERROR_BACKEND_UNAVAILABLE))
        {
          g_propagate_error (error, g_steal_pointer (&local_error));
          return NULL;
        }
      else if (!g_error_matches (local_error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND))
        /* One domain that cannot be read must not hide the others. */
        g_info ("skipping domain %s: %s", uuid, local_error->message);
    }
  return g_steal_pointer (&list);
}

GPtrArray *
lodge_kvm_list (LodgeDriver *driver, GCancellable *cancellable, GError **error)
{
  LodgeKvmDriver *self = LODGE_KVM_DRIVER (driver);
  g_autoptr (virConnect) connection = lodge_virt_connection_acquire (self->connection, error);
  virDomainPtr *domains = NULL;

  if (connection == NULL)
    return NULL;
  g_autoptr (GHashTable) persistent
      = list_uuids (connection, VIR_CONNECT_LIST_DOMAINS_PERSISTENT, error);
  g_autoptr (GHashTable) autostart
      = persistent != NULL ? list_uuids (connection, VIR_CONNECT_LIST_DOMAINS_AUTOSTART, error)
                           : NULL;
  g_autoptr (GHashTable) saved
      = autostart != NULL ? list_uuids (connection, VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE, error)
                          : NULL;
  if (saved == NULL)
    return NULL;

  int n = virConnectListAllDomains (connection, &domains, 0);
  if (n < 0)
    {
      lodge_virt_set_error (error, "cannot list the virtual machines");
      return NULL;
    }
  GPtrArray *list = read_domains (domains, n, persistent, autostart, saved, cancellable, error);
  free_domains (domains, n);
  return list;
}

static LodgeDomainInfo *
read_one (virDomainPtr domain, GError **error)
{
  int autostart = 0;

  virDomainGetAutostart (domain, &autostart);
  Traits traits = { .persistent = virDomainIsPersistent (domain) == 1,
                    .autostart = autostart == 1,
                    .saved = virDomainHasManagedSaveImage (domain, 0) == 1 };
  return read_domain (domain, &traits, error);
}

LodgeDomainInfo *
lodge_kvm_lookup (LodgeDriver *driver, const char *uuid, GError **error)
{
  g_autoptr (virDomain) domain = find_domain (driver, uuid, error);

  return domain != NULL ? read_one (domain, error) : NULL;
}

LodgeDomainInfo *
lodge_kvm_lookup_name (LodgeDriver *driver, const char *name, GError **error)
{
  LodgeKvmDriver *self = LODGE_KVM_DRIVER (driver);
  g_autoptr (virConnect) connection = lodge_virt_connection_acquire (self->connection, error);

  if (connection == NULL)
    return NULL;
  g_autoptr (virDomain) domain = virDomainLookupByName (connection, name);
  if (domain == NULL)
    {
      if (!lodge_virt_error_is (VIR_ERR_NO_DOMAIN))
        lodge_virt_set_error (error, "cannot look up '%s'", name);
      return NULL;
    }
  return read_one (domain, error);
}

/* libvirt has no code of its own for a name that another domain has. */
static gboolean
check_name_free (virConnectPtr connection, const char *name, const char *uuid, GError **error)
{
  char other[VIR_UUID_STRING_BUFLEN] = "";
  g_autoptr (virDomain) domain = virDomainLookupByName (connection, name);

  if (domain == NULL || virDomainGetUUIDString (domain, other) < 0 || strcmp (other, uuid) == 0)
    return TRUE;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_ALREADY_EXISTS,
               "libvirt has a virtual machine '%s' already", name);
  return FALSE;
}

static char *
make_xml (LodgeKvmDriver *self, virConnectPtr connection, const LodgeDomainSpec *spec,
          GPtrArray *out_notices, GError **error)
{
  const char *accel = lodge_domain_spec_get (spec, "vm.accel", "auto");
  g_autofree char *notice = NULL;
  const char *type = NULL;

  if (!lodge_kvm_accel_decide (self->accel, accel, spec->architecture, &type, &notice, error)
      || !lodge_kvm_check_cpu (connection, spec, type, error))
    return NULL;
  if (notice != NULL && out_notices != NULL)
    g_ptr_array_add (out_notices, g_steal_pointer (&notice));

  g_autofree char *log = g_build_filename (spec->instance_dir, "console.log", NULL);
  LodgeKvmXmlOptions options = { .domain_type = type,
                                 .console_log = log,
                                 .memory = DEFAULT_MEMORY,
                                 .vcpus = MIN (2, g_get_num_processors ()),
                                 .stats_period = STATS_PERIOD,
                                 .spare_ports = SPARE_PCIE_PORTS };
  return lodge_domain_xml_kvm (spec, &options, error);
}

/* Puts the disk into a pool of libvirt's, so that virt-manager and Cockpit know it as a volume.  No
 * machine is worse off without, so a failure is told and no more. */
static void
show_disk (LodgeKvmDriver *self, const LodgeDomainSpec *spec, GPtrArray *out_notices)
{
  g_autofree char *dir = g_path_get_dirname (spec->disk_path);
  g_autoptr (GError) error = NULL;
  g_autofree char *xml = lodge_pool_xml_dir (LODGE_POOL_NAME, dir, &error);

  if (xml != NULL && lodge_virt_pool_ensure (self->connection, LODGE_POOL_NAME, xml, &error)
      && lodge_virt_pool_refresh (self->connection, LODGE_POOL_NAME, &error))
    return;
  if (out_notices == NULL)
    return;
  g_ptr_array_add (
      out_notices,
      g_strdup_printf ("libvirt's storage pool “%s” does not show the disk of “%s”: %s",
                       LODGE_POOL_NAME, spec->name, error->message));
}

gboolean
lodge_kvm_define (LodgeDriver *driver, const LodgeDomainSpec *spec, GPtrArray *out_notices,
                  GCancellable *cancellable, GError **error)
{
  LodgeKvmDriver *self = LODGE_KVM_DRIVER (driver);
  g_autoptr (virConnect) connection = lodge_virt_connection_acquire (self->connection, error);

  if (connection == NULL || !check_name_free (connection, spec->name, spec->uuid, error))
    return FALSE;
  g_autofree char *xml = make_xml (self, connection, spec, out_notices, error);
  if (xml == NULL)
    return FALSE;
  g_autoptr (virDomain) domain = virDomainDefineXMLFlags (connection, xml, 0);
  if (domain == NULL)
    {
      lodge_virt_set_error (error, "cannot define '%s'", spec->name);
      return FALSE;
    }
  if (!lodge_virt_sync_definitions (DOMAIN_TYPE, error))
    return FALSE;
  show_disk (self, spec, out_notices);
  return TRUE;
}

gboolean
lodge_kvm_undefine (LodgeDriver *driver, const char *uuid, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  g_autoptr (virDomain) domain = find_domain (driver, uuid, &local_error);

  if (domain == NULL)
    {
      if (g_error_matches (local_error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND))
        return lodge_virt_sync_definitions (DOMAIN_TYPE, error);
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  const char *name = virDomainGetName (domain);
  if (virDomainUndefineFlags (domain, VIR_DOMAIN_UNDEFINE_NVRAM | VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
                                          | VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
                                          | VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA)
          == 0
      || lodge_virt_error_is (VIR_ERR_NO_DOMAIN))
    return lodge_virt_sync_definitions (DOMAIN_TYPE, error);
  lodge_virt_set_error (error, "cannot remove '%s'", name);
  return FALSE;
}

gboolean
lodge_kvm_power_on (LodgeDriver *driver, const char *uuid, GCancellable *cancellable,
                    GError **error)
{
  g_autoptr (virDomain) domain = find_domain (driver, uuid, error);

  if (domain == NULL)
    return FALSE;
  const char *name = virDomainGetName (domain);
  if (virDomainCreateWithFlags (domain, 0) == 0)
    return TRUE;
  lodge_virt_set_error (error, "cannot start '%s'", name);
  return FALSE;
}

typedef struct
{
  LodgeKvmAgents *agents;
  char *uuid;
} ShutdownRequest;

/* guest-shutdown has no reply: libvirt waits for one all the same, so nobody waits for libvirt. */
static gpointer
shutdown_thread (gpointer data)
{
  ShutdownRequest *request = data;
  g_autoptr (JsonObject) arguments = json_object_new ();
  g_autoptr (GError) error = NULL;

  json_object_set_string_member (arguments, "mode", "powerdown");
  if (!lodge_kvm_agents_call (request->agents, request->uuid, "guest-shutdown", arguments, 1, NULL,
                              &error))
    g_debug ("guest-shutdown ended without a reply, as it should: %s", error->message);
  lodge_kvm_agents_forget (request->agents, request->uuid);
  g_object_unref (request->agents);
  g_free (request->uuid);
  g_free (request);
  return NULL;
}

gboolean
lodge_kvm_shutdown (LodgeDriver *driver, const char *uuid, GError **error)
{
  LodgeKvmDriver *self = LODGE_KVM_DRIVER (driver);
  g_autoptr (virDomain) domain = find_domain (driver, uuid, error);
  g_autoptr (GError) agent_error = NULL;

  if (domain == NULL)
    return FALSE;
  const char *name = virDomainGetName (domain);
  if (!lodge_kvm_agents_is_suspect (self->agents, uuid)
      && lodge_kvm_agents_call (self->agents, uuid, "guest-ping", NULL, PING_SECONDS, NULL,
                                &agent_error))
    {
      ShutdownRequest *request = g_new0 (ShutdownRequest, 1);
      request->agents = g_object_ref (self->agents);
      request->uuid = g_strdup (uuid);
      g_thread_unref (g_thread_new ("kvm-shutdown", shutdown_thread, request));
      return TRUE;
    }
  if (virDomainShutdownFlags (domain, VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN) == 0)
    return TRUE;
  lodge_virt_set_error (error, "cannot shut '%s' down", name);
  return FALSE;
}

/* The pid file belongs to libvirt, but it is the process itself that tells whose it is. */
static gboolean
is_qemu_of (pid_t pid, const char *uuid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/cmdline", (int) pid);
  g_autofree char *contents = NULL;
  gsize length = 0;

  if (!g_file_get_contents (path, &contents, &length, NULL))
    return FALSE;
  const char *end = contents + length;
  for (const char *word = contents; word < end; word += strlen (word) + 1)
    if (strcmp (word, "-uuid") == 0 && word + 6 < end && strcmp (word + 6, uuid) == 0)
      return TRUE;
  return FALSE;
}

int
lodge_kvm_find_qemu (const char *name, const char *uuid, pid_t *out_pid)
{
  g_autofree char *file = g_strconcat (name, ".pid", NULL);
  g_autofree char *path = g_build_filename (LIBVIRT_PID_DIR, file, NULL);
  g_autofree char *contents = NULL;

  if (strchr (name, '/') != NULL || !g_file_get_contents (path, &contents, NULL, NULL))
    return -1;
  gint64 pid = g_ascii_strtoll (contents, NULL, 10);
  if (pid <= 1 || pid > G_MAXINT)
    return -1;
  g_auto (LodgeFd) pidfd = pidfd_open ((pid_t) pid, 0);
  if (pidfd < 0 || !is_qemu_of ((pid_t) pid, uuid))
    return -1;
  *out_pid = (pid_t) pid;
  return lodge_fd_steal (&pidfd);
}

static gboolean
has_ended (int pidfd, int milliseconds)
{
  struct pollfd poll_fd = { .fd = pidfd, .events = POLLIN };
  int ready;

  do
    ready = poll (&poll_fd, 1, milliseconds);
  while (ready < 0 && errno == EINTR);
  return ready > 0;
}

/*
 * Ends the process, so that libvirt's own way (a signal, then a look every 200 ms) finds the work
 * done.  On SIGTERM QEMU writes its caches out, tells libvirt, which then does not take it for a
 * crash, and exits within milliseconds; one that cannot gives what a power failure would have.
 */
static void
end_process (virDomainPtr domain, const char *uuid)
{
  pid_t pid = 0;
  g_auto (LodgeFd) pidfd = lodge_kvm_find_qemu (virDomainGetName (domain), uuid, &pid);

  if (pidfd < 0 || pidfd_send_signal (pidfd, SIGTERM, NULL, 0) < 0
      || has_ended (pidfd, QEMU_TERM_MS))
    return;
  if (pidfd_send_signal (pidfd, SIGKILL, NULL, 0) == 0)
    has_ended (pidfd, QEMU_KILL_MS);
}

gboolean
lodge_kvm_kill (LodgeDriver *driver, const char *uuid, GError **error)
{
  g_autoptr (virDomain) domain = find_domain (driver, uuid, error);
  int state = VIR_DOMAIN_NOSTATE;

  if (domain == NULL)
    return FALSE;
  const char *name = virDomainGetName (domain);
  if (virDomainGetState (domain, &state, NULL, 0) == 0 && state == VIR_DOMAIN_SHUTOFF)
    return TRUE;
  end_process (domain, uuid);
  /* Also the way to wait until libvirt has cleaned up; it may have done so already, and then a
   * transient domain is gone. */
  if (virDomainDestroyFlags (domain, 0) == 0 || lodge_virt_error_is (VIR_ERR_OPERATION_INVALID)
      || lodge_virt_error_is (VIR_ERR_NO_DOMAIN))
    return TRUE;
  lodge_virt_set_error (error, "cannot kill '%s'", name);
  return FALSE;
}

gboolean
lodge_kvm_pause (LodgeDriver *driver, const char *uuid, GError **error)
{
  g_autoptr (virDomain) domain = find_domain (driver, uuid, error);

  if (domain == NULL)
    return FALSE;
  const char *name = virDomainGetName (domain);
  if (virDomainSuspend (domain) == 0)
    return TRUE;
  lodge_virt_set_error (error, "cannot pause '%s'", name);
  return FALSE;
}

gboolean
lodge_kvm_resume (LodgeDriver *driver, const char *uuid, GError **error)
{
  g_autoptr (virDomain) domain = find_domain (driver, uuid, error);

  if (domain == NULL)
    return FALSE;
  const char *name = virDomainGetName (domain);
  if (virDomainResume (domain) == 0)
    return TRUE;
  lodge_virt_set_error (error, "cannot resume '%s'", name);
  return FALSE;
}

gboolean
lodge_kvm_rename (LodgeDriver *driver, const char *uuid, const char *new_name, GError **error)
{
  g_autoptr (virDomain) domain = find_domain (driver, uuid, error);

  if (domain == NULL || !check_name_free (virDomainGetConnect (domain), new_name, uuid, error))
    return FALSE;
  const char *name = virDomainGetName (domain);
  if (strcmp (name, new_name) == 0 || virDomainRename (domain, new_name, 0) == 0)
    return lodge_virt_sync_definitions (DOMAIN_TYPE, error);
  lodge_virt_set_error (error, "cannot rename '%s' to '%s'", name, new_name);
  return FALSE;
}

char *
lodge_kvm_get_xml (LodgeDriver *driver, const char *uuid, GError **error)
{
  g_autoptr (virDomain) domain = find_domain (driver, uuid, error);

  return domain != NULL ? lodge_kvm_domain_xml (domain, 0, error) : NULL;
}
