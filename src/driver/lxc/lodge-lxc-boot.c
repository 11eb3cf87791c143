/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * When a container has finished booting.  systemd says so by sd_notify(3), once; see
 * lodge-lxc-notify.c.  Here is what to do when it said so before lodged could hear it, and for
 * inits that never say anything.
 */
#include "lodge-lxc-exec.h"

#include <string.h>

#include "lodge-fd.h"

#define BOOTED_FILE "booted"
/* After this time the real init runs in the place of lodge-init. */
#define INIT_DELAY_MS       1500
#define ASK_TIMEOUT_SECONDS 30

static char *
booted_path (LodgeLxcGuest *guest, LodgeLxcInit **out_init)
{
  g_autoptr (LodgeLxcPaths) paths = lodge_lxc_driver_paths (guest->driver, guest->uuid);
  *out_init = lodge_lxc_init_read (paths->runtime, -1);
  return g_build_filename (paths->runtime, BOOTED_FILE, NULL);
}

static char *
booted_text (const LodgeLxcInit *init)
{
  return g_strdup_printf ("%d %" G_GUINT64_FORMAT, init->pid, init->start_time);
}

gboolean
lodge_lxc_guest_has_booted (LodgeLxcGuest *guest)
{
  g_autoptr (LodgeLxcInit) init = NULL;
  g_autofree char *path = booted_path (guest, &init);
  g_autofree char *text = NULL;
  if (init == NULL || !g_file_get_contents (path, &text, NULL, NULL))
    return FALSE;
  g_autofree char *wanted = booted_text (init);
  return strcmp (text, wanted) == 0;
}

void
lodge_lxc_guest_set_booted (LodgeLxcGuest *guest)
{
  g_autoptr (LodgeLxcInit) init = NULL;
  g_autofree char *path = booted_path (guest, &init);
  if (init == NULL)
    return;
  g_autofree char *text = booted_text (init);
  g_autoptr (GError) error = NULL;
  if (!g_file_set_contents (path, text, -1, &error))
    g_debug ("%s", error->message);
  lodge_lxc_driver_emit (guest->driver, LODGE_DOMAIN_EVENT_BOOTED, guest->uuid);
}

/* The container of the question; it may have rebooted or gone before the answer. */
typedef struct
{
  LodgeLxcDriver *driver;
  char *uuid;
  int init_pid;
  gboolean is_up;
} Question;

static void
on_answer_line (LodgeHelper *helper, const char *line, int fd, gpointer user_data)
{
  Question *question = user_data;
  g_auto (LodgeFd) passed = fd;
  if (strcmp (line, "exit 0 0") == 0)
    question->is_up = TRUE;
}

static void
on_answered (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Question *question = user_data;
  g_autoptr (GError) error = NULL;
  if (!lodge_helper_run_finish (LODGE_HELPER (source), result, &error))
    g_debug ("%s", error->message);
  LodgeLxcGuest *guest = g_hash_table_lookup (question->driver->guests, question->uuid);
  g_autoptr (LodgeLxcInit) init
      = lodge_lxc_driver_get_init (question->driver, question->uuid, NULL);
  if (question->is_up && guest != NULL && init != NULL && init->pid == question->init_pid
      && !lodge_lxc_guest_has_booted (guest))
    lodge_lxc_guest_set_booted (guest);
  g_object_unref (question->driver);
  g_free (question->uuid);
  g_free (question);
}

/* Where the boot is not over the answer does not matter: the report is still to come. */
static void
ask_systemd (LodgeLxcGuest *guest, const LodgeLxcInit *init)
{
  static const char *const arguments[]
      = { "/bin/sh", "-c",
          "case $(systemctl is-system-running) in running|degraded) exit 0;; esac; exit 1" };
  g_autoptr (LodgeHelper) helper = lodge_lxc_enter_new (guest->driver, "exec", init);
  for (guint i = 0; i < G_N_ELEMENTS (arguments); i++)
    lodge_helper_add (helper, "arg", arguments[i]);
  lodge_helper_add (helper, "tty", "0");
  lodge_helper_set_stdio (helper, -1, -1, -1);
  lodge_helper_set_timeout (helper, ASK_TIMEOUT_SECONDS);
  Question *question = g_new0 (Question, 1);
  question->driver = g_object_ref (guest->driver);
  question->uuid = g_strdup (guest->uuid);
  question->init_pid = init->pid;
  lodge_helper_set_line_func (helper, on_answer_line, question);
  lodge_helper_run_async (helper, NULL, on_answered, question);
}

static gboolean
on_init_runs (gpointer user_data)
{
  LodgeLxcGuest *guest = user_data;
  guest->boot_source = 0;
  g_autoptr (LodgeLxcInit) init = lodge_lxc_driver_get_init (guest->driver, guest->uuid, NULL);
  if (init != NULL && !lodge_lxc_init_is (init, "systemd") && !lodge_lxc_guest_has_booted (guest))
    lodge_lxc_guest_set_booted (guest);
  return G_SOURCE_REMOVE;
}

void
lodge_lxc_guest_watch_boot (LodgeLxcGuest *guest, gboolean missed)
{
  g_clear_handle_id (&guest->boot_source, g_source_remove);
  g_autoptr (LodgeLxcInit) init = lodge_lxc_driver_get_init (guest->driver, guest->uuid, NULL);
  if (missed && init != NULL && lodge_lxc_init_is (init, "systemd")
      && !lodge_lxc_init_is_frozen (init))
    ask_systemd (guest, init);
  else
    guest->boot_source = g_timeout_add (INIT_DELAY_MS, on_init_runs, guest);
}
