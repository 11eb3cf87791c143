/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-daemon.h"

#include <glib-unix.h>
#include <malloc.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "lodge-audit.h"
#include "lodge-bus.h"
#include "lodge-config.h"
#include "lodge-daemon-config.h"
#include "lodge-fd.h"
#include "lodge-firewall.h"
#include "lodge-log.h"
#include "lodge-resolver.h"
#include "lodge-units.h"

#define FILES_WANTED 65536
#define EXIT_USAGE   2
#define SETTLE_MS    2000

typedef struct
{
  LodgeDaemonOptions options;
  GMainLoop *loop;
  GDBusConnection *connection;
  LodgeSqliteStore *store;
  LodgeImageStore *images;
  GPtrArray *drivers;
  GObject *network;
  LodgeResolver *resolver;
  LodgeFirewall *firewall;
  LodgeManager *manager;
  LodgeAudit *audit;
  LodgeBus *bus;
  int exit_status;
} Daemon;

/* ---- command line ---- */

static void
options_clear (LodgeDaemonOptions *options)
{
  g_free (options->state_dir);
  g_free (options->run_dir);
  g_free (options->libexec_dir);
  g_free (options->bus_address);
  g_free (options->lxc_uri);
  g_free (options->kvm_uri);
  g_free (options->proxy);
  g_free (options->config_file);
}

static void
default_to (char **value, const char *fallback)
{
  if (*value == NULL)
    *value = g_strdup (fallback);
}

static gboolean
parse_options (LodgeDaemonOptions *out, int *argc, char ***argv, GError **error)
{
  const GOptionEntry entries[] = {
    { "state-dir", 0, 0, G_OPTION_ARG_FILENAME, &out->state_dir, "where everything is kept",
      "DIR" },
    { "run-dir", 0, 0, G_OPTION_ARG_FILENAME, &out->run_dir, "what lives until the next boot",
      "DIR" },
    { "libexec-dir", 0, 0, G_OPTION_ARG_FILENAME, &out->libexec_dir, "where the helpers are",
      "DIR" },
    { "bus-address", 0, 0, G_OPTION_ARG_STRING, &out->bus_address, "the bus (default: system)",
      "ADDRESS" },
    { "session", 0, 0, G_OPTION_ARG_NONE, &out->session, "use the session bus, without polkit",
      NULL },
    { "lxc-uri", 0, 0, G_OPTION_ARG_STRING, &out->lxc_uri, "libvirt connection of containers",
      "URI" },
    { "kvm-uri", 0, 0, G_OPTION_ARG_STRING, &out->kvm_uri, "libvirt connection of VMs", "URI" },
    { "proxy", 0, 0, G_OPTION_ARG_STRING, &out->proxy, "what downloads go through", "URL" },
    { "config", 0, 0, G_OPTION_ARG_FILENAME, &out->config_file, "instead of " LODGE_CONFIG_FILE,
      "FILE" },
    { "no-lxc", 0, 0, G_OPTION_ARG_NONE, &out->no_lxc, "no containers", NULL },
    { "no-kvm", 0, 0, G_OPTION_ARG_NONE, &out->no_kvm, "no VMs", NULL },
    { "debug", 0, 0, G_OPTION_ARG_NONE, &out->debug, "log more", NULL },
    { "version", 0, 0, G_OPTION_ARG_NONE, &out->version, "print the version and exit", NULL },
    { NULL },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);

  g_option_context_set_summary (context, "The service of Lodge: system containers and virtual "
                                         "machines on libvirt.");
  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, argc, argv, error))
    return FALSE;
  if (*argc > 1)
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "unexpected argument '%s'",
                 (*argv)[1]);
  else if (out->session && out->bus_address != NULL)
    g_set_error_literal (error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
                         "--session and --bus-address exclude each other");
  else if (out->no_lxc && out->no_kvm)
    g_set_error_literal (error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
                         "--no-lxc and --no-kvm leave nothing to do");
  else
    {
      default_to (&out->state_dir, LODGE_STATEDIR);
      default_to (&out->run_dir, LODGE_RUNDIR);
      default_to (&out->libexec_dir, LODGE_LIBEXECDIR);
      default_to (&out->lxc_uri, "lxc:///system");
      default_to (&out->kvm_uri, "qemu:///system");
      return TRUE;
    }
  return FALSE;
}

/* ---- the process ---- */

static void
set_up_process (void)
{
  struct rlimit files;

  umask (077);
  signal (SIGPIPE, SIG_IGN);
  /* A few threads that allocate little: arenas of their own would only be memory. */
  mallopt (M_ARENA_MAX, 2);
  mallopt (M_TRIM_THRESHOLD, 256 * 1024);
  mallopt (M_MMAP_THRESHOLD, 256 * 1024);
  if (getrlimit (RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max)
    {
      files.rlim_cur = MIN (files.rlim_max, FILES_WANTED);
      setrlimit (RLIMIT_NOFILE, &files);
    }
}

static gboolean
on_end_signal (gpointer user_data)
{
  Daemon *self = user_data;

  g_main_loop_quit (self->loop);
  return G_SOURCE_CONTINUE;
}

static void
on_bus_closed (GDBusConnection *connection, gboolean remote_peer_vanished, GError *error,
               Daemon *self)
{
  g_warning ("the connection to the bus is lost: %s", error != NULL ? error->message : "closed");
  self->exit_status = EXIT_FAILURE;
  g_main_loop_quit (self->loop);
}

static gboolean
feed_watchdog (gpointer user_data)
{
  lodge_notify_service ("WATCHDOG=1");
  return G_SOURCE_CONTINUE;
}

static void
start_watchdog (void)
{
  const char *usec = g_getenv ("WATCHDOG_USEC");
  const char *pid = g_getenv ("WATCHDOG_PID");
  guint64 interval, wanted;

  if (usec == NULL
      || !lodge_parse_uint (usec, 1000000, G_MAXINT32 * G_GUINT64_CONSTANT (1000), &interval, NULL))
    return;
  if (pid != NULL
      && (!lodge_parse_uint (pid, 1, G_MAXINT32, &wanted, NULL) || (pid_t) wanted != getpid ()))
    return;
  g_timeout_add ((guint) (interval / 2000), feed_watchdog, NULL);
}

/* ---- putting it together ---- */

static gboolean
connect_bus (Daemon *self, GError **error)
{
  GBusType type = self->options.session ? G_BUS_TYPE_SESSION : G_BUS_TYPE_SYSTEM;
  g_autofree char *address = g_strdup (self->options.bus_address);

  if (address == NULL)
    address = g_dbus_address_get_for_bus_sync (type, NULL, error);
  if (address == NULL)
    return FALSE;
  self->connection = g_dbus_connection_new_for_address_sync (
      address,
      G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT
          | G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
      NULL, NULL, error);
  if (self->connection == NULL)
    {
      g_prefix_error (error, "no connection to the bus %s: ", address);
      return FALSE;
    }
  g_signal_connect (self->connection, "closed", G_CALLBACK (on_bus_closed), self);
  return TRUE;
}

static gboolean
configure_images (Daemon *self, const LodgeDaemonConfig *config, GError **error)
{
  const char *proxy = self->options.proxy != NULL ? self->options.proxy : config->proxy;

  lodge_image_store_set_helper_dir (self->images, self->options.libexec_dir);
  lodge_image_store_set_expiry (self->images, config->remote_cache_expiry);
  lodge_image_store_set_update_interval (self->images, config->auto_update_interval);
  return proxy == NULL || lodge_image_store_set_proxy (self->images, proxy, error);
}

/* The store's lock comes before all else: a second lodged must not touch a thing. */
static gboolean
open_state (Daemon *self, const LodgeDaemonParts *parts, GError **error)
{
  const LodgeDaemonOptions *options = &self->options;
  gboolean ordinary = options->config_file == NULL;
  g_auto (LodgeDaemonConfig) config = { 0 };

  if (!lodge_daemon_config_read (ordinary ? LODGE_CONFIG_FILE : options->config_file, ordinary,
                                 &config, error))
    return FALSE;
  /* qemu and dnsmasq are other users: they pass through to their own files, and can list none. */
  if (!lodge_dir_make (options->state_dir, 0711, error))
    return FALSE;
  self->store = lodge_sqlite_store_open (options->state_dir, error);
  if (self->store == NULL || !lodge_dir_make (options->run_dir, 0755, error))
    return FALSE;
  if (parts->prepare != NULL && !parts->prepare (options, self->store, error))
    return FALSE;
  self->images = lodge_image_store_new (LODGE_STORE (self->store), options->state_dir, error);
  if (self->images == NULL || !configure_images (self, &config, error))
    return FALSE;
  self->drivers = parts->make_drivers (options, error);
  if (self->drivers == NULL)
    return FALSE;
  if (parts->make_network != NULL)
    self->network = parts->make_network (options);
  return TRUE;
}

static gboolean
on_tick (gpointer user_data)
{
  return G_SOURCE_CONTINUE; /* only wakes the loop up */
}

/* Calls that come before libvirt has been read would be told states of yesterday.  Until the name
 * is owned the bus keeps them; without a libvirt there is an answer all the same. */
static void
wait_for_libvirt (Daemon *self)
{
  gint64 deadline = g_get_monotonic_time () + SETTLE_MS * 1000;
  guint tick = g_timeout_add (SETTLE_MS / 10, on_tick, NULL);

  while (!lodge_manager_is_settled (self->manager) && g_get_monotonic_time () < deadline)
    g_main_context_iteration (NULL, TRUE);
  g_source_remove (tick);
}

static gboolean
set_up (Daemon *self, const LodgeDaemonParts *parts, GError **error)
{
  LodgeManagerConfig config = { 0 };

  if (!open_state (self, parts, error) || !connect_bus (self, error))
    return FALSE;
  config.state_dir = self->options.state_dir;
  config.run_dir = self->options.run_dir;
  config.store = self->store;
  config.images = self->images;
  config.drivers = self->drivers;
  config.network = self->network;
  self->manager = lodge_manager_new (&config, error);
  if (self->manager == NULL)
    return FALSE;
  self->audit = lodge_audit_new (self->options.state_dir, LODGE_AUDIT_MAX_BYTES);
  self->bus = lodge_bus_new (self->connection, self->manager, self->audit, !self->options.session,
                             error);
  if (self->bus == NULL)
    return FALSE;
  /* On a user's own bus there is neither the host's resolver nor its libvirt. */
  if (self->network != NULL && !self->options.session)
    {
      self->resolver = lodge_resolver_new (self->connection, self->network);
      self->firewall = lodge_firewall_new (self->connection, self->network);
    }
  lodge_manager_start (self->manager);
  wait_for_libvirt (self);
  return lodge_bus_own_name (self->bus, error);
}

static void
run (Daemon *self)
{
  guint term = g_unix_signal_add (SIGTERM, on_end_signal, self);
  guint interrupt = g_unix_signal_add (SIGINT, on_end_signal, self);

  start_watchdog ();
  lodge_notify_service ("READY=1");
  g_debug ("ready");
  g_main_loop_run (self->loop);
  lodge_notify_service ("STOPPING=1");
  g_source_remove (term);
  g_source_remove (interrupt);
}

/* Guests go on running, and jobs that are not done are taken up at the next start. */
static void
tear_down (Daemon *self)
{
  if (self->connection != NULL)
    g_signal_handlers_disconnect_by_data (self->connection, self);
  if (self->bus != NULL)
    lodge_bus_close (self->bus);
  g_clear_object (&self->bus);
  g_clear_pointer (&self->audit, lodge_audit_free);
  g_clear_object (&self->firewall);
  g_clear_object (&self->resolver);
  g_clear_object (&self->manager);
  g_clear_pointer (&self->drivers, g_ptr_array_unref);
  g_clear_object (&self->network);
  g_clear_object (&self->images);
  if (self->store != NULL)
    lodge_sqlite_store_close (self->store);
  g_clear_object (&self->store);
  if (self->connection != NULL)
    g_dbus_connection_flush_sync (self->connection, NULL, NULL);
  g_clear_object (&self->connection);
  g_main_loop_unref (self->loop);
  options_clear (&self->options);
}

int
lodge_daemon_main (int argc, char **argv, const LodgeDaemonParts *parts)
{
  g_autoptr (GError) error = NULL;
  Daemon self = { .exit_status = EXIT_SUCCESS };

  if (!parse_options (&self.options, &argc, &argv, &error))
    {
      g_printerr ("lodged: %s\n", error->message);
      options_clear (&self.options);
      return EXIT_USAGE;
    }
  if (self.options.version)
    {
      g_print ("lodged %s\n", LODGE_VERSION);
      options_clear (&self.options);
      return EXIT_SUCCESS;
    }

  set_up_process ();
  lodge_log_init ("lodged", self.options.debug);
  lodge_error_register_bus ();
  self.loop = g_main_loop_new (NULL, FALSE);
  if (set_up (&self, parts, &error))
    run (&self);
  else
    {
      g_critical ("%s", error->message);
      self.exit_status = EXIT_FAILURE;
    }
  tear_down (&self);
  return self.exit_status;
}
