/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-kvm-accel.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include "lodge-fd.h"

#define PROBE_SECONDS    5
#define PROBE_EXIT       85 /* what lodge-kvm-probe.S ends with */
#define PROBE_IMAGE_FD   3
#define DECIDE_USEC      ((PROBE_SECONDS + 2) * G_USEC_PER_SEC)
#define BOOT_ID_PATH     "/proc/sys/kernel/random/boot_id"
#define KVM_DEVICE       "/dev/kvm"
#define DEFAULT_EMULATOR "qemu-system-x86_64"

struct _LodgeKvmAccel
{
  GObject parent_instance;

  char *cache_path;
  char *emulator;
  GSubprocess *process;
  guint timeout;
  gboolean timed_out;
  gboolean started;

  GMutex lock; /* guards what follows */
  GCond changed;
  LodgeKvmProbeState state;
  char *reason;
};

G_DEFINE_FINAL_TYPE (LodgeKvmAccel, lodge_kvm_accel, G_TYPE_OBJECT)

static void
set_answer (LodgeKvmAccel *self, gboolean usable, const char *reason)
{
  g_mutex_lock (&self->lock);
  self->state = usable ? LODGE_KVM_PROBE_USABLE : LODGE_KVM_PROBE_UNUSABLE;
  g_free (self->reason);
  self->reason = usable ? NULL : g_strdup (reason);
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
}

static char *
read_boot_id (void)
{
  char *boot_id = NULL;

  if (!g_file_get_contents (BOOT_ID_PATH, &boot_id, NULL, NULL))
    return NULL;
  return g_strstrip (boot_id);
}

/* Three lines: boot id, "usable" or "unusable", reason. */
static gboolean
read_cache (LodgeKvmAccel *self)
{
  g_autofree char *boot_id = read_boot_id ();
  g_autofree char *contents = NULL;

  if (boot_id == NULL || !g_file_get_contents (self->cache_path, &contents, NULL, NULL))
    return FALSE;
  g_auto (GStrv) lines = g_strsplit (contents, "\n", 4);
  if (g_strv_length (lines) < 3 || strcmp (lines[0], boot_id) != 0)
    return FALSE;
  gboolean usable = strcmp (lines[1], "usable") == 0;
  if (!usable && strcmp (lines[1], "unusable") != 0)
    return FALSE;
  set_answer (self, usable, lines[2]);
  return TRUE;
}

/* The answer and its cache.  Losing the cache costs a probe, so failing to write it is no error. */
static void
conclude (LodgeKvmAccel *self, gboolean usable, const char *reason)
{
  g_autofree char *boot_id = read_boot_id ();
  g_autoptr (GError) error = NULL;

  set_answer (self, usable, reason);
  g_info ("KVM %s%s", usable ? "is usable" : "is not usable: ", usable ? "" : reason);
  if (boot_id == NULL)
    return;
  g_autofree char *contents = g_strdup_printf (
      "%s\n%s\n%s\n", boot_id, usable ? "usable" : "unusable", usable ? "" : reason);
  if (!lodge_file_replace (self->cache_path, contents, -1, 0644, &error))
    g_debug ("cannot keep the answer of the KVM probe: %s", error->message);
}

static gboolean
can_open_kvm (char **out_reason)
{
  g_auto (LodgeFd) fd = open (KVM_DEVICE, O_RDWR | O_CLOEXEC);

  if (fd >= 0)
    return TRUE;
  *out_reason = errno == ENOENT ? g_strdup ("there is no " KVM_DEVICE)
                                : g_strdup_printf (KVM_DEVICE ": %s", g_strerror (errno));
  return FALSE;
}

#ifdef LODGE_HAVE_KVM_PROBE
extern const guint8 lodge_kvm_probe_image[];
extern const guint8 lodge_kvm_probe_image_end[];

static int
make_image (GError **error)
{
  g_auto (LodgeFd) fd = memfd_create ("lodge-kvm-probe", MFD_CLOEXEC);

  if (fd < 0)
    {
      lodge_error_set_errno (error, errno, "cannot make the KVM probe's image");
      return -1;
    }
  if (!lodge_fd_write_all (fd, lodge_kvm_probe_image,
                           (gsize) (lodge_kvm_probe_image_end - lodge_kvm_probe_image), error))
    return -1;
  return lodge_fd_steal (&fd);
}

/* A QEMU that aborts, as some do on a KVM they do not get on with, leaves no core behind; one
 * that hangs does not outlive the daemon that watches it. */
static void
prepare_child (gpointer user_data)
{
  static const struct rlimit none = { 0, 0 };

  setrlimit (RLIMIT_CORE, &none);
  prctl (PR_SET_PDEATHSIG, SIGKILL);
}

static gboolean
on_timeout (gpointer user_data)
{
  LodgeKvmAccel *self = user_data;

  self->timeout = 0;
  self->timed_out = TRUE;
  g_subprocess_force_exit (self->process);
  return G_SOURCE_REMOVE;
}

static void
on_exited (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (LodgeKvmAccel) self = user_data;
  GSubprocess *process = G_SUBPROCESS (source);
  g_autofree char *reason = NULL;

  g_subprocess_wait_finish (process, result, NULL);
  g_clear_handle_id (&self->timeout, g_source_remove);
  if (self->timed_out)
    reason = g_strdup_printf ("a test machine did not finish within %d seconds", PROBE_SECONDS);
  else if (g_subprocess_get_if_signaled (process))
    reason = g_strdup_printf ("a test machine ended QEMU with signal %d",
                              g_subprocess_get_term_sig (process));
  else if (g_subprocess_get_exit_status (process) != PROBE_EXIT)
    reason = g_strdup ("a test machine crashed");
  conclude (self, reason == NULL, reason);
  g_clear_object (&self->process);
}

static gboolean
run_probe (LodgeKvmAccel *self, GError **error)
{
  g_autoptr (GSubprocessLauncher) launcher = g_subprocess_launcher_new (
      G_SUBPROCESS_FLAGS_STDOUT_SILENCE | G_SUBPROCESS_FLAGS_STDERR_SILENCE);
  int image = make_image (error);

  if (image < 0)
    return FALSE;
  g_subprocess_launcher_take_fd (launcher, image, PROBE_IMAGE_FD);
  g_subprocess_launcher_set_child_setup (launcher, prepare_child, NULL, NULL);
  self->process = g_subprocess_launcher_spawn (
      launcher, error, self->emulator, "-nodefaults", "-no-user-config", "-display", "none",
      "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny", "-M",
      "q35,accel=kvm", "-cpu", "host", "-m", "32", "-no-reboot", "-bios",
      "/proc/self/fd/" G_STRINGIFY (PROBE_IMAGE_FD), "-device",
      "isa-debug-exit,iobase=0xf4,iosize=1", NULL);
  if (self->process == NULL)
    return FALSE;
  self->timeout = g_timeout_add_seconds (PROBE_SECONDS, on_timeout, self);
  g_subprocess_wait_async (self->process, NULL, on_exited, g_object_ref (self));
  return TRUE;
}
#else
/* No payload for this architecture: that the device opens has to do. */
static gboolean
run_probe (LodgeKvmAccel *self, GError **error)
{
  conclude (self, TRUE, NULL);
  return TRUE;
}
#endif

void
lodge_kvm_accel_start (LodgeKvmAccel *self)
{
  g_autofree char *reason = NULL;
  g_autoptr (GError) error = NULL;

  if (self->started)
    return;
  self->started = TRUE;
  if (read_cache (self))
    return;
  if (!can_open_kvm (&reason))
    /* Not cached: the module may be loaded later. */
    set_answer (self, FALSE, reason);
  else if (!run_probe (self, &error))
    set_answer (self, FALSE, error->message);
}

LodgeKvmProbeState
lodge_kvm_accel_peek (LodgeKvmAccel *self, char **out_reason)
{
  g_mutex_lock (&self->lock);
  LodgeKvmProbeState state = self->state;
  if (out_reason != NULL)
    *out_reason = g_strdup (self->reason);
  g_mutex_unlock (&self->lock);
  return state;
}

static gboolean
runs_natively (const char *architecture)
{
  struct utsname host;

  if (uname (&host) < 0)
    return FALSE;
  return strcmp (architecture, host.machine) == 0
         || (strcmp (host.machine, "x86_64") == 0 && strcmp (architecture, "i686") == 0);
}

static LodgeKvmProbeState
wait_for_probe (LodgeKvmAccel *self, char **out_reason)
{
  gint64 deadline = g_get_monotonic_time () + DECIDE_USEC;

  g_mutex_lock (&self->lock);
  while (self->state == LODGE_KVM_PROBE_RUNNING)
    if (!g_cond_wait_until (&self->changed, &self->lock, deadline))
      break;
  LodgeKvmProbeState state = self->state;
  *out_reason = g_strdup (self->reason != NULL ? self->reason : "the probe has not ended");
  g_mutex_unlock (&self->lock);
  return state;
}

static gboolean
decide_kvm (const char *architecture, const char **out_type, GError **error)
{
  g_autofree char *reason = NULL;

  if (!runs_natively (architecture))
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_SUPPORTED,
                   "KVM cannot run %s machines on this host\nUse vm.accel=tcg or auto.",
                   architecture);
      return FALSE;
    }
  if (!can_open_kvm (&reason))
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_SUPPORTED,
                   "KVM is not available on this host: %s\nUse vm.accel=tcg or auto.", reason);
      return FALSE;
    }
  *out_type = "kvm";
  return TRUE;
}

gboolean
lodge_kvm_accel_decide (LodgeKvmAccel *self, const char *wish, const char *architecture,
                        const char **out_type, char **out_notice, GError **error)
{
  g_autofree char *reason = NULL;

  *out_notice = NULL;
  if (strcmp (wish, "kvm") == 0)
    return decide_kvm (architecture, out_type, error);
  if (strcmp (wish, "tcg") == 0)
    {
      *out_type = "qemu";
      return TRUE;
    }
  if (!runs_natively (architecture))
    {
      *out_type = "qemu";
      *out_notice
          = g_strdup_printf ("%s is emulated (TCG) on this host, which is slow", architecture);
      return TRUE;
    }
  if (wait_for_probe (self, &reason) == LODGE_KVM_PROBE_USABLE)
    {
      *out_type = "kvm";
      return TRUE;
    }
  *out_type = "qemu";
  *out_notice = g_strdup_printf ("KVM does not work on this host (%s), so the machine is emulated "
                                 "(TCG), which is much slower",
                                 reason);
  return TRUE;
}

LodgeKvmAccel *
lodge_kvm_accel_new (const char *cache_path, const char *emulator)
{
  LodgeKvmAccel *self = g_object_new (LODGE_TYPE_KVM_ACCEL, NULL);

  self->cache_path = g_strdup (cache_path);
  self->emulator = g_strdup (emulator != NULL ? emulator : DEFAULT_EMULATOR);
  return self;
}

static void
lodge_kvm_accel_dispose (GObject *object)
{
  LodgeKvmAccel *self = LODGE_KVM_ACCEL (object);

  g_clear_handle_id (&self->timeout, g_source_remove);
  if (self->process != NULL)
    g_subprocess_force_exit (self->process);
  g_clear_object (&self->process);
  G_OBJECT_CLASS (lodge_kvm_accel_parent_class)->dispose (object);
}

static void
lodge_kvm_accel_finalize (GObject *object)
{
  LodgeKvmAccel *self = LODGE_KVM_ACCEL (object);

  g_free (self->cache_path);
  g_free (self->emulator);
  g_free (self->reason);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->changed);
  G_OBJECT_CLASS (lodge_kvm_accel_parent_class)->finalize (object);
}

static void
lodge_kvm_accel_class_init (LodgeKvmAccelClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = lodge_kvm_accel_dispose;
  G_OBJECT_CLASS (klass)->finalize = lodge_kvm_accel_finalize;
}

static void
lodge_kvm_accel_init (LodgeKvmAccel *self)
{
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
}
