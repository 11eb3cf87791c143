/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-lxc-private.h"

#include <libvirt/virterror.h>

#include <errno.h>
#include <glib/gstdio.h>
#include <signal.h>

#include "lodge-lxc-end.h"
#include "lodge-virt-error.h"

/* From libvirt's word that it started until lodge-init has shaken hands; the machine may be busy
 * with many others. */
#define HANDSHAKE_SECONDS 30
#define KILL_SECONDS      30
/* How often to ask when an event may have been lost, and to look at a cancellable. */
#define POLL_MS          250
#define CONSOLE_TAIL_MAX 400

static gint64
deadline_in (gint64 milliseconds)
{
  return g_get_monotonic_time () + milliseconds * G_TIME_SPAN_MILLISECOND;
}

/* ---- power on ---- */

/* The last words on the console: most starts that fail do so after libvirt has called it one. */
static char *
console_tail (const LodgeLxcPaths *paths)
{
  g_autofree char *path = g_build_filename (paths->instance, "console.log", NULL);
  g_autofree char *text = NULL;
  gsize size;
  if (!g_file_get_contents (path, &text, &size, NULL))
    return g_strdup ("");
  const char *tail = size > CONSOLE_TAIL_MAX ? text + size - CONSOLE_TAIL_MAX : text;
  g_autofree char *valid = g_utf8_make_valid (tail, -1);
  for (char *p = valid; *p != '\0'; p++)
    if (g_ascii_iscntrl (*p))
      *p = ' ';
  return g_strdup (g_strstrip (valid));
}

static void
set_start_error (const LodgeLxcPaths *paths, const char *name, const char *reason, int code,
                 GError **error)
{
  g_autofree char *tail = console_tail (paths);
  g_set_error (error, LODGE_ERROR, code, "Container “%s” %s%s%s", name, reason,
               *tail != '\0' ? "; its console ends with: " : "", tail);
}

static gboolean
has_begun (const LodgeLxcPaths *paths)
{
  g_autoptr (LodgeLxcInit) init = lodge_lxc_init_read (paths->runtime, -1);
  return init != NULL;
}

/* libvirt's success only means that init is about to be executed. */
static gboolean
wait_for_init (LodgeLxcDriver *self, virDomainPtr domain, const char *uuid,
               const LodgeLxcPaths *paths, GCancellable *cancellable, GError **error)
{
  gint64 end = deadline_in (HANDSHAKE_SECONDS * 1000);
  const char *name = virDomainGetName (domain);
  for (;;)
    {
      LodgeLxcMarks seen = lodge_lxc_driver_get_marks (self, uuid);
      if (has_begun (paths))
        return TRUE;
      if (g_cancellable_is_cancelled (cancellable))
        {
          g_set_error (error, LODGE_ERROR, LODGE_ERROR_CANCELLED, "The start of “%s” was cancelled",
                       name);
          return FALSE;
        }
      if (virDomainIsActive (domain) != 1)
        {
          set_start_error (paths, name, "stopped before its init ran", LODGE_ERROR_BACKEND, error);
          return FALSE;
        }
      if (g_get_monotonic_time () > end)
        {
          set_start_error (paths, name, "did not start its init in time", LODGE_ERROR_TIMED_OUT,
                           error);
          return FALSE;
        }
      lodge_lxc_driver_wait (self, uuid, seen, deadline_in (POLL_MS));
    }
}

static gboolean
forget_last_run (const LodgeLxcPaths *paths, GError **error)
{
  g_autofree char *path = g_build_filename (paths->runtime, "init", NULL);
  if (g_unlink (path) == 0 || errno == ENOENT)
    return TRUE;
  lodge_error_set_errno (error, errno, "Cannot remove %s", path);
  return FALSE;
}

gboolean
lodge_lxc_power_on (LodgeDriver *driver, const char *uuid, GCancellable *cancellable,
                    GError **error)
{
  LodgeLxcDriver *self = LODGE_LXC_DRIVER (driver);
  g_autoptr (LodgeLxcPaths) paths = lodge_lxc_driver_paths (self, uuid);
  g_autoptr (virDomain) domain = lodge_virt_connection_lookup (self->connection, uuid, error);
  if (domain == NULL)
    return FALSE;
  const char *name = virDomainGetName (domain);
  if (virDomainIsActive (domain) == 1)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_STATE, "Container “%s” runs already",
                   name);
      return FALSE;
    }
  if (!forget_last_run (paths, error))
    return FALSE;
  if (virDomainCreate (domain) < 0)
    {
      lodge_virt_set_error (error, "Cannot start container “%s”", name);
      return FALSE;
    }
  gboolean is_managed = g_file_test (paths->plan, G_FILE_TEST_EXISTS);
  if (!is_managed || wait_for_init (self, domain, uuid, paths, cancellable, error))
    return TRUE;
  lodge_lxc_kill (driver, uuid, NULL);
  return FALSE;
}

/* ---- power off ---- */

/* What asks an init to power off, by its program's name. */
static gboolean
ask_init (const LodgeLxcInit *init)
{
  const struct
  {
    const char *program;
    int signum;
  } rows[] = {
    { "systemd", SIGRTMIN + 4 },
    { "busybox", SIGUSR2 },
    { "runit-init", SIGCONT },
    { "runit", SIGCONT },
  };
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    if (lodge_lxc_init_is (init, rows[i].program))
      return lodge_lxc_init_signal (init, rows[i].signum);
  return FALSE;
}

gboolean
lodge_lxc_shutdown (LodgeDriver *driver, const char *uuid, GError **error)
{
  LodgeLxcDriver *self = LODGE_LXC_DRIVER (driver);
  g_autoptr (LodgeLxcPaths) paths = lodge_lxc_driver_paths (self, uuid);
  g_autoptr (LodgeLxcInit) init = lodge_lxc_init_read (paths->runtime, self->cgroup_root);
  if (init != NULL && lodge_lxc_init_is_frozen (init))
    {
      g_autofree char *name = lodge_lxc_driver_dup_name (self, uuid);
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_STATE,
                   "Container “%s” is paused; resume it first, or stop it by force", name);
      return FALSE;
    }
  if (init != NULL && ask_init (init))
    return TRUE;

  g_autoptr (virDomain) domain = lodge_virt_connection_lookup (self->connection, uuid, error);
  if (domain == NULL)
    return FALSE;
  const char *name = virDomainGetName (domain);
  if (virDomainShutdownFlags (domain, VIR_DOMAIN_SHUTDOWN_INITCTL) == 0)
    return TRUE;
  /* SysV's init and its kin take this for a failing power supply, and most others end by it. */
  if (virDomainIsActive (domain) == 1 && init != NULL && lodge_lxc_init_signal (init, SIGPWR))
    return TRUE;
  if (virDomainShutdownFlags (domain, 0) == 0)
    return TRUE;
  lodge_virt_set_error (error, "Cannot shut container “%s” down", name);
  return FALSE;
}

/* ---- kill ---- */

static gboolean
wait_until_stopped (LodgeLxcDriver *self, virDomainPtr domain, const char *uuid,
                    LodgeLxcMarks before, gint64 deadline)
{
  LodgeLxcMarks seen = before;
  while (g_get_monotonic_time () < deadline)
    {
      lodge_lxc_driver_wait (self, uuid, seen, MIN (deadline, deadline_in (POLL_MS)));
      seen = lodge_lxc_driver_get_marks (self, uuid);
      if (seen.n_stopped != before.n_stopped || virDomainIsActive (domain) != 1)
        return virDomainIsActive (domain) != 1;
    }
  return FALSE;
}

/* Of a container of ours only, and only what libvirt made for a network. */
static char *
find_own_device (virDomainPtr domain)
{
  char *xml = virDomainGetXMLDesc (domain, 0);
  LodgeDomainInfo *info = NULL;
  gboolean is_read = xml != NULL && lodge_domain_xml_read (xml, &info, NULL);
  free (xml);
  if (!is_read)
    return NULL;
  g_autoptr (LodgeDomainInfo) owner = info;
  gboolean is_own = info->managed && info->network != NULL && info->host_device != NULL
                    && g_str_has_prefix (info->host_device, "vnet");
  return is_own ? g_steal_pointer (&info->host_device) : NULL;
}

static gboolean
end_at_once (virDomainPtr domain, const LodgeLxcInit *init)
{
  g_autofree char *device = find_own_device (domain);
  return lodge_lxc_end (init, (int) virDomainGetID (domain), device, KILL_SECONDS * 1000);
}

gboolean
lodge_lxc_kill (LodgeDriver *driver, const char *uuid, GError **error)
{
  LodgeLxcDriver *self = LODGE_LXC_DRIVER (driver);
  g_autoptr (LodgeLxcPaths) paths = lodge_lxc_driver_paths (self, uuid);
  g_autoptr (virDomain) domain = lodge_virt_connection_lookup (self->connection, uuid, error);
  if (domain == NULL)
    return FALSE;
  const char *name = virDomainGetName (domain);
  if (virDomainIsActive (domain) == 0)
    return TRUE;

  LodgeLxcMarks before = lodge_lxc_driver_get_marks (self, uuid);
  g_autoptr (LodgeLxcInit) init = lodge_lxc_init_read (paths->runtime, self->cgroup_root);
  if (init != NULL && lodge_lxc_init_is_frozen (init))
    lodge_lxc_resume (driver, uuid, NULL);
  if (init != NULL && end_at_once (domain, init)
      && wait_until_stopped (self, domain, uuid, before, deadline_in (KILL_SECONDS * 1000)))
    return TRUE;
  if (virDomainDestroy (domain) == 0 || lodge_virt_error_is (VIR_ERR_OPERATION_INVALID))
    return TRUE;
  lodge_virt_set_error (error, "Cannot stop container “%s”", name);
  return FALSE;
}

/* ---- pause ---- */

/* On pure cgroup2 libvirt 9 fails, so Lodge writes the file, and says so itself. */
static gboolean
freeze_ourselves (LodgeLxcDriver *self, const char *uuid, gboolean frozen, GError **error)
{
  g_autoptr (LodgeLxcInit) init = lodge_lxc_driver_get_init (self, uuid, error);
  if (init == NULL || !lodge_lxc_cgroup_freeze (init, frozen, error))
    return FALSE;
  lodge_lxc_driver_emit_later (self, LODGE_DOMAIN_EVENT_CHANGED, uuid);
  return TRUE;
}

static gboolean
freeze (LodgeDriver *driver, const char *uuid, gboolean frozen, GError **error)
{
  LodgeLxcDriver *self = LODGE_LXC_DRIVER (driver);
  if (lodge_lxc_cgroup_is_unified ())
    return freeze_ourselves (self, uuid, frozen, error);
  g_autoptr (virDomain) domain = lodge_virt_connection_lookup (self->connection, uuid, error);
  if (domain == NULL)
    return FALSE;
  const char *name = virDomainGetName (domain);
  int state = VIR_DOMAIN_NOSTATE;
  if (virDomainGetState (domain, &state, NULL, 0) == 0
      && (state == VIR_DOMAIN_PAUSED) == (frozen != FALSE) && virDomainIsActive (domain) == 1)
    return TRUE;
  if ((frozen ? virDomainSuspend (domain) : virDomainResume (domain)) == 0)
    return TRUE;
  lodge_virt_set_error (error, "Cannot %s container “%s”", frozen ? "pause" : "resume", name);
  return FALSE;
}

gboolean
lodge_lxc_pause (LodgeDriver *driver, const char *uuid, GError **error)
{
  return freeze (driver, uuid, TRUE, error);
}

gboolean
lodge_lxc_resume (LodgeDriver *driver, const char *uuid, GError **error)
{
  return freeze (driver, uuid, FALSE, error);
}
