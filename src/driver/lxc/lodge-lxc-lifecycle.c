/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-lxc-private.h"

#include <libvirt/virterror.h>

#include <errno.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>

#include "lodge-lxc-controller.h"
#include "lodge-lxc-end.h"
#include "lodge-name.h"
#include "lodge-virt-error.h"

/* From libvirt's word that it started until lodge-init has shaken hands; the machine may be busy
 * with many others. */
#define HANDSHAKE_SECONDS 30
/* For what has been killed to end; then it is left to libvirt. */
#define KILL_SECONDS       3
#define DESTROY_TRIES      30
#define DESTROY_PAUSE_USEC 100000
/* How often to start a container to whose end libvirt would be deaf. */
#define START_TRIES 3
/* How often to ask when an event may have been lost, and to look at a cancellable. */
#define POLL_MS          250
#define ENTERING_POLL_MS 1
/* How long a known init may take from its first moment until it can be asked to power off. */
#define HEEDING_MS       500
#define HEEDING_POLL_MS  5
#define CONSOLE_TAIL_MAX 400

static gint64
deadline_in (gint64 milliseconds)
{
  return g_get_monotonic_time () + milliseconds * G_TIME_SPAN_MILLISECOND;
}

/* ---- power on ---- */

/* One attempt to start a container. */
typedef struct
{
  LodgeLxcDriver *driver;
  virDomainPtr domain;
  const char *uuid;
  const char *name;
  const LodgeLxcPaths *paths;
  char *log_path;
  gint64 log_start; /* what the console said before is not about this start */
  gint64 deadline;
  GCancellable *cancellable;
} Start;

static gint64
file_size (const char *path)
{
  GStatBuf info;
  return g_stat (path, &info) == 0 ? info.st_size : 0;
}

/* The last words on the console: most starts that fail do so after libvirt has called it one. */
static char *
console_tail (const Start *start)
{
  g_autofree char *text = NULL;
  gsize size;
  if (!g_file_get_contents (start->log_path, &text, &size, NULL))
    return g_strdup ("");
  gsize begin = (gsize) start->log_start <= size ? (gsize) start->log_start : 0;
  if (size - begin > CONSOLE_TAIL_MAX)
    begin = size - CONSOLE_TAIL_MAX;
  for (char *p = text + begin; *p != '\0'; p++)
    if (g_ascii_isspace (*p))
      *p = ' ';
  return lodge_text_escape (g_strstrip (text + begin));
}

static void
set_start_error (const Start *start, const char *reason, int code, GError **error)
{
  g_autofree char *tail = console_tail (start);
  g_set_error (error, LODGE_ERROR, code, "Container “%s” %s%s%s", start->name, reason,
               *tail != '\0' ? "; its console ends with: " : "", tail);
}

typedef enum
{
  INIT_ABSENT,   /* no handshake yet */
  INIT_ENTERING, /* lodge-init has shaken hands and still prepares the container */
  INIT_RUNS,     /* the image's own init has taken its place */
} InitStage;

static InitStage
init_stage (const LodgeLxcPaths *paths)
{
  g_autoptr (LodgeLxcInit) init = lodge_lxc_init_read (paths->runtime, -1);
  if (init == NULL)
    return INIT_ABSENT;
  g_autofree char *own_path = g_build_filename (paths->control, "init", NULL);
  g_autofree char *exe_path = g_strdup_printf ("/proc/%d/exe", init->pid);
  GStatBuf own, exe;
  if (g_stat (exe_path, &exe) < 0)
    return INIT_ABSENT;
  if (g_stat (own_path, &own) == 0 && own.st_ino == exe.st_ino && own.st_dev == exe.st_dev)
    return INIT_ENTERING;
  return INIT_RUNS;
}

/* Whether to go on waiting for the init. */
static gboolean
check_start (const Start *start, GError **error)
{
  if (g_cancellable_is_cancelled (start->cancellable))
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_CANCELLED, "The start of “%s” was cancelled",
                 start->name);
  else if (virDomainIsActive (start->domain) != 1)
    set_start_error (start, "stopped before its init ran", LODGE_ERROR_BACKEND, error);
  else if (g_get_monotonic_time () > start->deadline)
    set_start_error (start, "did not start its init in time", LODGE_ERROR_TIMED_OUT, error);
  else
    return TRUE;
  return FALSE;
}

/* libvirt's success only means that init is about to be executed. */
static gboolean
wait_for_init (const Start *start, GError **error)
{
  for (;;)
    {
      LodgeLxcMarks seen = lodge_lxc_driver_get_marks (start->driver, start->uuid);
      InitStage stage = init_stage (start->paths);
      if (stage == INIT_RUNS)
        return TRUE;
      if (!check_start (start, error))
        return FALSE;
      /* It takes a millisecond or two from the handshake to the real init, and nobody tells. */
      gint64 patience = stage == INIT_ENTERING ? ENTERING_POLL_MS : POLL_MS;
      lodge_lxc_driver_wait (start->driver, start->uuid, seen, deadline_in (patience));
    }
}

/* What a hook wrote, without the command line that libvirt puts before it. */
static void
shorten_hook_error (const char *name, GError **error)
{
  static const char marker[] = "lodge-mount: ";
  const char *text = error != NULL && *error != NULL ? strstr ((*error)->message, marker) : NULL;
  if (text == NULL)
    return;
  g_autofree char *prefix = g_strconcat (name, ": ", NULL);
  text += strlen (marker);
  if (g_str_has_prefix (text, prefix))
    text += strlen (prefix);
  char *message = g_strdup_printf ("Cannot start container “%s”: %s", name, text);
  g_free ((*error)->message);
  (*error)->message = g_strchomp (message);
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

/* As virDomainCreate(), but what libvirt would not hear of is started anew: lodge-init has hardly
 * begun then, and nobody could ever tell when the container ends. */
static gboolean
create (const Start *start, gboolean is_managed, GError **error)
{
  for (guint i = 1; virDomainCreate (start->domain) == 0; i++)
    {
      int controller = (int) virDomainGetID (start->domain);
      if (!is_managed || i == START_TRIES
          || lodge_lxc_controller_is_heard (controller, start->name))
        return TRUE;
      g_debug ("libvirt has lost its connection to “%s”: starting it anew", start->name);
      if (!lodge_lxc_kill (LODGE_DRIVER (start->driver), start->uuid, error)
          || !forget_last_run (start->paths, error))
        return FALSE;
    }
  lodge_virt_set_error (error, "Cannot start container “%s”", start->name);
  shorten_hook_error (start->name, error);
  return FALSE;
}

static gboolean
run_start (Start *start, GError **error)
{
  gboolean is_managed = g_file_test (start->paths->plan, G_FILE_TEST_EXISTS);
  start->log_start = file_size (start->log_path);
  if (!create (start, is_managed, error))
    return FALSE;
  start->deadline = deadline_in (HANDSHAKE_SECONDS * 1000);
  if (!is_managed || wait_for_init (start, error))
    {
      lodge_lxc_driver_check_later (start->driver);
      return TRUE;
    }
  lodge_lxc_kill (LODGE_DRIVER (start->driver), start->uuid, NULL);
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
  if (!forget_last_run (paths, error) || !lodge_lxc_renew (domain, error))
    return FALSE;
  g_autofree char *log_path = g_build_filename (paths->instance, "console.log", NULL);
  Start start = {
    .driver = self,
    .domain = domain,
    .uuid = uuid,
    .name = name,
    .paths = paths,
    .log_path = log_path,
    .cancellable = cancellable,
  };
  return run_start (&start, error);
}

/* ---- power off ---- */

/* A known init that has only just begun does not heed anything yet.  And a shell script that is run
 * by busybox has its program without being its init. */
static gboolean
wait_until_heeded (const LodgeLxcInit *init, int signum)
{
  gint64 deadline = deadline_in (HEEDING_MS);
  while (!lodge_lxc_init_heeds (init, signum))
    {
      if (g_get_monotonic_time () > deadline)
        return FALSE;
      g_usleep (HEEDING_POLL_MS * 1000);
    }
  return TRUE;
}

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
      return wait_until_heeded (init, rows[i].signum)
             && lodge_lxc_init_signal (init, rows[i].signum);
  return FALSE;
}

/* Inits like SysV's take the first for a failing power supply; what else runs as a first process,
 * often a script or a supervisor, ends by one of them. */
static gboolean
ask_unknown_init (const LodgeLxcInit *init)
{
  static const int signums[] = { SIGPWR, SIGTERM };
  for (guint i = 0; i < G_N_ELEMENTS (signums); i++)
    if (lodge_lxc_init_heeds (init, signums[i]))
      return lodge_lxc_init_signal (init, signums[i]);
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
  /* Without the pipe libvirt says all the same that it has asked. */
  if (init != NULL && !lodge_lxc_init_has_pipe (init) && ask_unknown_init (init))
    return TRUE;
  /* It may have ended by itself meanwhile. */
  if (virDomainShutdownFlags (domain, 0) == 0 || lodge_virt_error_is (VIR_ERR_OPERATION_INVALID))
    return TRUE;
  lodge_virt_set_error (error, "Cannot shut container “%s” down", name);
  return FALSE;
}

/* ---- kill ---- */

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

static GArray *
end_at_once (virDomainPtr domain, const LodgeLxcInit *init)
{
  g_autofree char *device = find_own_device (domain);
  return lodge_lxc_end (init, (int) virDomainGetID (domain), device, KILL_SECONDS * 1000);
}

/*
 * Where systemd runs it removes the control group of a container that has ended, also while libvirt
 * reads there, and then libvirt fails.  The next try finds either a container that has ended, as
 * libvirt notices by itself without what @held keeps back, or no control group.
 */
static gboolean
destroy (virDomainPtr domain, GArray **held)
{
  guint tries = *held != NULL ? DESTROY_TRIES : 1;

  for (guint i = 0; i < tries; i++)
    {
      if (i > 0)
        g_usleep (DESTROY_PAUSE_USEC);
      if (virDomainDestroy (domain) == 0 || lodge_virt_error_is (VIR_ERR_OPERATION_INVALID))
        return TRUE;
      g_clear_pointer (held, g_array_unref);
    }
  return FALSE;
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

  g_autoptr (LodgeLxcInit) init = lodge_lxc_init_read (paths->runtime, self->cgroup_root);
  if (init != NULL && lodge_lxc_init_is_frozen (init))
    lodge_lxc_resume (driver, uuid, NULL);
  /* libvirt would ask it to end, which a first process need not heed, and kill it 1.6 s later. */
  if (init == NULL)
    init = lodge_lxc_init_find ((int) virDomainGetID (domain));
  g_autoptr (GArray) held = init != NULL ? end_at_once (domain, init) : NULL;
  if (destroy (domain, &held))
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
is_frozen (LodgeLxcDriver *self, const char *uuid)
{
  g_autoptr (LodgeLxcPaths) paths = lodge_lxc_driver_paths (self, uuid);
  g_autoptr (LodgeLxcInit) init = lodge_lxc_init_read (paths->runtime, self->cgroup_root);
  return init != NULL && lodge_lxc_init_is_frozen (init);
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
    {
      if (frozen || !is_frozen (self, uuid))
        return TRUE;
      /* libvirt thaws only what it knows to be frozen, and after its own death it has forgotten. */
      virDomainSuspend (domain);
    }
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
