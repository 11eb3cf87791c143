/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-job-wait.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "lodge-i18n.h"
#include "lodge-output.h"
#include "lodge-progress.h"

#define JOB_INTERFACE "org.lodge1.Job"
#define PROPERTIES    "org.freedesktop.DBus.Properties"
#define JOB_PATHS     LODGE_OBJECT_PATH "/job/"
/* Most jobs are over by then, and need no subscription. */
#define QUIET_MS  150
#define REDRAW_MS 1000
/* For the service to tell which job there is to cancel; it needs longer only while it asks. */
#define BEGIN_MS 1000

typedef struct
{
  LodgeCli *cli;
  LodgeClient *client;
  LodgeJobWait *waits;
  guint n_waits;
  LodgeProgress progress;
  gboolean subscribed;
  guint n_interrupts;
  gint64 started; /* monotonic, µs */
} Watch;

void
lodge_job_wait_clear (LodgeJobWait *wait)
{
  g_clear_pointer (&wait->path, g_free);
  g_clear_pointer (&wait->result, g_variant_unref);
  g_clear_pointer (&wait->status, g_variant_unref);
  g_clear_error (&wait->error);
}

const char *
lodge_job_id (const char *path)
{
  return g_str_has_prefix (path, JOB_PATHS) ? path + strlen (JOB_PATHS) : path;
}

void
lodge_job_print_id (const char *path)
{
  puts (lodge_job_id (path));
}

static LodgeJobWait *
first_unfinished (Watch *watch)
{
  for (guint i = 0; i < watch->n_waits; i++)
    if (!watch->waits[i].done)
      return &watch->waits[i];
  return NULL;
}

static guint
count_done (Watch *watch)
{
  guint n = 0;

  for (guint i = 0; i < watch->n_waits; i++)
    n += watch->waits[i].done ? 1 : 0;
  return n;
}

static gboolean
send_waits (Watch *watch, GError **error)
{
  for (guint i = 0; i < watch->n_waits; i++)
    {
      LodgeJobWait *wait = &watch->waits[i];

      wait->done = wait->error != NULL || wait->path == NULL;
      if (wait->done)
        continue;
      wait->serial = lodge_client_send (watch->client, wait->path, "Job", "Wait",
                                        g_variant_new ("(a{sv})", NULL), NULL, 0, error);
      if (wait->serial == 0)
        return FALSE;
    }
  return TRUE;
}

static void
collect_replies (Watch *watch)
{
  LodgeConnection *bus = lodge_client_get_connection (watch->client);

  for (guint i = 0; i < watch->n_waits; i++)
    {
      LodgeJobWait *wait = &watch->waits[i];
      LodgeMessage *reply = wait->done ? NULL : lodge_connection_take_reply (bus, wait->serial);

      if (reply == NULL)
        continue;
      wait->done = TRUE;
      g_autoptr (LodgeMessage) good = lodge_client_check (reply, "(a{sv})", &wait->error);
      if (good != NULL)
        wait->result = g_variant_get_child_value (good->body, 0);
    }
}

/* a{sv} with the entries of @changes in place of those of @status. */
static GVariant *
merge_status (GVariant *status, GVariant *changes)
{
  GVariantDict dict;
  GVariantIter iter;
  const char *key;
  GVariant *value;

  g_variant_dict_init (&dict, status);
  g_variant_iter_init (&iter, changes);
  while (g_variant_iter_loop (&iter, "{&sv}", &key, &value))
    g_variant_dict_insert_value (&dict, key, value);
  return g_variant_ref_sink (g_variant_dict_end (&dict));
}

static void
update_status (LodgeJobWait *wait, GVariant *changes)
{
  GVariant *merged = merge_status (wait->status, changes);

  g_clear_pointer (&wait->status, g_variant_unref);
  wait->status = merged;
}

static void
handle_signals_of_jobs (Watch *watch)
{
  LodgeMessage *next;

  while ((next = lodge_client_take_signal (watch->client)) != NULL)
    {
      g_autoptr (LodgeMessage) message = next;
      g_autoptr (GVariant) changes = NULL;

      if (g_strcmp0 (message->member, "PropertiesChanged") != 0
          || !g_variant_is_of_type (message->body, G_VARIANT_TYPE ("(sa{sv}as)")))
        continue;
      g_variant_get (message->body, "(&s@a{sv}as)", NULL, &changes, NULL);
      for (guint i = 0; i < watch->n_waits; i++)
        if (g_strcmp0 (watch->waits[i].path, message->path) == 0)
          update_status (&watch->waits[i], changes);
    }
}

/* Only now: a job that ends at once needs none of it.  The state is read after the subscription,
 * so that no change is missed.  What fails here costs the progress line only. */
static void
subscribe (Watch *watch)
{
  watch->subscribed = TRUE;
  if (!watch->progress.enabled
      || !lodge_client_subscribe (watch->client, watch->n_waits == 1 ? watch->waits[0].path : NULL,
                                  PROPERTIES, "PropertiesChanged", NULL))
    return;
  for (guint i = 0; i < watch->n_waits; i++)
    {
      LodgeJobWait *wait = &watch->waits[i];
      g_autoptr (GVariant) all
          = wait->done ? NULL
                       : lodge_client_get_properties (watch->client, wait->path, "Job", NULL);
      if (all != NULL)
        update_status (wait, all);
    }
}

static void
draw (Watch *watch)
{
  LodgeJobWait *wait = first_unfinished (watch);
  g_autoptr (GString) line = g_string_new (NULL);
  double fraction = -1;

  if (!watch->subscribed || wait == NULL || wait->status == NULL)
    return;
  g_autofree char *description = lodge_row_string (wait->status, "Description");
  g_autofree char *stage = lodge_row_string (wait->status, "Stage");
  g_variant_lookup (wait->status, "Progress", "d", &fraction);
  g_autofree char *amount = lodge_progress_amount (
      fraction, lodge_row_uint (wait->status, "BytesDone", 0),
      lodge_row_uint (wait->status, "BytesTotal", 0), lodge_row_uint (wait->status, "Rate", 0));

  if (watch->n_waits > 1)
    g_string_append_printf (line, "[%u/%u] ", count_done (watch) + 1, watch->n_waits);
  g_string_append (line, description != NULL ? description : "");
  if (stage != NULL && stage[0] != '\0')
    g_string_append_printf (line, ": %s", stage);
  if (amount[0] != '\0')
    g_string_append_printf (line, ", %s", amount);
  gint64 seconds = (g_get_monotonic_time () - watch->started) / G_USEC_PER_SEC;
  if (seconds >= 2)
    g_string_append_printf (line, " (%" G_GINT64_FORMAT " s)", seconds);
  if (watch->n_interrupts > 0)
    g_string_append (line, _ (" — cancelling"));
  lodge_progress_draw (&watch->progress, line->str);
}

static void
cancel_all (Watch *watch)
{
  for (guint i = 0; i < watch->n_waits; i++)
    if (!watch->waits[i].done)
      lodge_connection_send_oneway (lodge_client_get_connection (watch->client), LODGE_BUS_NAME,
                                    watch->waits[i].path, JOB_INTERFACE, "Cancel",
                                    g_variant_new ("(a{sv})", NULL), NULL);
}

static void
leave_running (Watch *watch, int signum, GError **error)
{
  g_autoptr (GString) ids = g_string_new (NULL);

  lodge_progress_clear (&watch->progress);
  for (guint i = 0; i < watch->n_waits; i++)
    if (!watch->waits[i].done)
      g_string_append_printf (ids, "%s%s", ids->len > 0 ? ", " : "",
                              lodge_job_id (watch->waits[i].path));
  watch->cli->exit_status = signum == SIGINT ? 130 : 128 + signum;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_CANCELLED,
               _ ("Job %s goes on without this command.\n“lodge job wait %s” waits for it"),
               ids->str, ids->str);
}

/* FALSE: stop waiting. */
static gboolean
handle_interrupts (Watch *watch, GError **error)
{
  int signum;

  while ((signum = lodge_cli_take_signal (watch->cli)) != 0)
    {
      if (signum == SIGWINCH)
        continue;
      if (signum != SIGINT || watch->n_interrupts > 0)
        {
          leave_running (watch, signum, error);
          return FALSE;
        }
      watch->n_interrupts++;
      lodge_progress_clear (&watch->progress);
      lodge_cli_note (watch->cli, _ ("cancelling; Ctrl-C once more leaves the job running"));
      cancel_all (watch);
    }
  return TRUE;
}

static gboolean
loop (Watch *watch, GError **error)
{
  LodgeConnection *bus = lodge_client_get_connection (watch->client);

  while (first_unfinished (watch) != NULL)
    {
      struct pollfd fds[2] = { { .fd = lodge_connection_get_fd (bus), .events = POLLIN },
                               { .fd = watch->cli->signal_fd, .events = POLLIN } };
      int timeout = !watch->subscribed ? QUIET_MS : watch->progress.enabled ? REDRAW_MS : -1;
      int n = poll (fds, 2, timeout);

      if (n > 0 && fds[0].revents != 0 && !lodge_connection_dispatch (bus, 0, error))
        return FALSE;
      if (!handle_interrupts (watch, error))
        return FALSE;
      if (n == 0 && !watch->subscribed)
        subscribe (watch);
      collect_replies (watch);
      handle_signals_of_jobs (watch);
      draw (watch);
    }
  return TRUE;
}

/* What the jobs have to say although they did not fail. */
static void
print_notices (Watch *watch)
{
  for (guint i = 0; i < watch->n_waits; i++)
    {
      g_autoptr (GVariant) body = NULL;
      g_autoptr (GVariant) value = NULL;
      g_autofree const char **notices = NULL;

      if (watch->waits[i].path == NULL)
        continue;
      body = lodge_client_call (watch->client, watch->waits[i].path, PROPERTIES, "Get",
                                g_variant_new ("(ss)", JOB_INTERFACE, "Notices"), "(v)", NULL);
      if (body == NULL)
        continue;
      g_variant_get (body, "(v)", &value);
      if (g_variant_is_of_type (value, G_VARIANT_TYPE_STRING_ARRAY))
        notices = g_variant_get_strv (value, NULL);
      for (const char **notice = notices; notice != NULL && *notice != NULL; notice++)
        lodge_cli_note (watch->cli, *notice);
    }
}

gboolean
lodge_jobs_wait (LodgeCli *cli, LodgeJobWait *waits, guint n_waits, GError **error)
{
  Watch watch = { .cli = cli, .waits = waits, .n_waits = n_waits };

  watch.client = lodge_cli_get_client (cli, error);
  if (watch.client == NULL || !lodge_cli_watch_signals (cli, error))
    return FALSE;
  watch.started = g_get_monotonic_time ();
  lodge_progress_init (&watch.progress, cli);
  gboolean good = send_waits (&watch, error) && loop (&watch, error);
  lodge_progress_clear (&watch.progress);
  lodge_cli_unwatch_signals (cli);
  if (good && !cli->quiet)
    print_notices (&watch);
  return good;
}

/* The reply, or NULL when a signal came that nobody could be asked to heed in time.  Else
 * *@out_signum is the signal that came meanwhile, or 0. */
static LodgeMessage *
await_begin (LodgeCli *cli, LodgeConnection *bus, guint32 serial, int *out_signum, GError **error)
{
  gint64 deadline = 0;
  LodgeMessage *reply;

  while ((reply = lodge_connection_take_reply (bus, serial)) == NULL)
    {
      gint64 left = (deadline - g_get_monotonic_time ()) / 1000;
      struct pollfd fds[2] = { { .fd = lodge_connection_get_fd (bus), .events = POLLIN },
                               { .fd = cli->signal_fd, .events = POLLIN } };

      if (*out_signum != 0 && left < 0)
        {
          cli->exit_status = 128 + *out_signum;
          g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_CANCELLED, _ ("Interrupted."));
          return NULL;
        }
      poll (fds, 2, *out_signum != 0 ? (int) left + 1 : -1);
      int signum = lodge_cli_take_signal (cli);
      if (signum != 0 && signum != SIGWINCH && *out_signum == 0)
        {
          *out_signum = signum;
          deadline = g_get_monotonic_time () + BEGIN_MS * 1000;
        }
      if (fds[0].revents != 0 && !lodge_connection_dispatch (bus, 0, error))
        return NULL;
    }
  return reply;
}

static char *
call_for_job (LodgeCli *cli, LodgeClient *client, guint32 serial, GError **error)
{
  int signum = 0;
  char *job = NULL;
  LodgeMessage *reply
      = await_begin (cli, lodge_client_get_connection (client), serial, &signum, error);
  if (reply == NULL)
    return NULL;
  g_autoptr (LodgeMessage) good = lodge_client_check (reply, "(o)", error);
  if (good == NULL)
    return NULL;
  g_variant_get (good->body, "(o)", &job);
  /* Signals are blocked: it is there again for who waits for the job. */
  if (signum != 0)
    raise (signum);
  return job;
}

char *
lodge_job_begin (LodgeCli *cli, const char *path, const char *interface, const char *method,
                 GVariant *parameters, GError **error)
{
  g_autoptr (GVariant) sunk = g_variant_ref_sink (parameters);
  LodgeClient *client = lodge_cli_get_client (cli, error);

  if (client == NULL || !lodge_cli_watch_signals (cli, error))
    return NULL;
  guint32 serial = lodge_client_send (client, path, interface, method, sunk, NULL, 0, error);
  char *job = serial != 0 ? call_for_job (cli, client, serial, error) : NULL;
  if (job == NULL)
    lodge_cli_unwatch_signals (cli);
  return job;
}

GVariant *
lodge_job_wait (LodgeCli *cli, const char *path, GError **error)
{
  g_auto (LodgeJobWait) wait = { .path = g_strdup (path) };

  if (!lodge_jobs_wait (cli, &wait, 1, error))
    return NULL;
  if (wait.error != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&wait.error));
      return NULL;
    }
  return g_steal_pointer (&wait.result);
}
