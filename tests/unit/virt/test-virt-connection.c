/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <libvirt/virterror.h>

#include "lodge-virt-connection.h"
#include "lodge-virt-error.h"
#include "lodge-virt-network.h"

#define UUID "6695eb01-f6a4-8304-79aa-97f2502e193f" /* of the test driver's own domain */

typedef struct
{
  LodgeVirtConnection *connection;
  int connected;
  int disconnected;
  GPtrArray *events;
} Fixture;

static void
on_connected (LodgeVirtConnection *connection, gpointer user_data)
{
  ((Fixture *) user_data)->connected++;
}

static void
on_disconnected (LodgeVirtConnection *connection, const char *reason, gpointer user_data)
{
  ((Fixture *) user_data)->disconnected++;
}

static void
on_event (LodgeVirtConnection *connection, const char *uuid, int kind, int detail,
          gpointer user_data)
{
  g_ptr_array_add (((Fixture *) user_data)->events, g_strdup_printf ("%d %s", kind, uuid));
}

static void
set_up (Fixture *fixture, gconstpointer uri)
{
  fixture->connection = lodge_virt_connection_new (uri);
  fixture->events = g_ptr_array_new_with_free_func (g_free);
  g_signal_connect (fixture->connection, "connected", G_CALLBACK (on_connected), fixture);
  g_signal_connect (fixture->connection, "disconnected", G_CALLBACK (on_disconnected), fixture);
  g_signal_connect (fixture->connection, "domain-event", G_CALLBACK (on_event), fixture);
}

static void
tear_down (Fixture *fixture, gconstpointer uri)
{
  g_clear_object (&fixture->connection);
  g_ptr_array_unref (fixture->events);
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

/* Runs the main loop until @condition holds, for ten seconds at most. */
#define WAIT_FOR(condition)                                                                        \
  do                                                                                               \
    {                                                                                              \
      gint64 deadline = g_get_monotonic_time () + 10 * G_USEC_PER_SEC;                             \
      while (!(condition) && g_get_monotonic_time () < deadline)                                   \
        if (!g_main_context_iteration (NULL, FALSE))                                               \
          g_usleep (1000);                                                                         \
      g_assert_true (condition);                                                                   \
    }                                                                                              \
  while (0)

static gpointer
suspend_and_resume (gpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (virDomain) domain = lodge_virt_connection_lookup (data, UUID, &error);

  g_assert_no_error (error);
  g_assert_cmpint (virDomainSuspend (domain), ==, 0);
  g_assert_cmpint (virDomainResume (domain), ==, 0);
  g_assert_null (
      lodge_virt_connection_lookup (data, "00000000-0000-4000-8000-000000000000", &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND);
  return NULL;
}

static void
test_events (Fixture *fixture, gconstpointer uri)
{
  lodge_virt_connection_start (fixture->connection);
  g_assert_false (lodge_virt_connection_is_connected (fixture->connection));
  WAIT_FOR (fixture->connected == 1);
  g_assert_true (lodge_virt_connection_is_connected (fixture->connection));
  g_autofree char *version = lodge_virt_connection_get_version (fixture->connection);
  g_assert_nonnull (version);

  GThread *thread = g_thread_new ("caller", suspend_and_resume, fixture->connection);
  WAIT_FOR (fixture->events->len == 2);
  g_thread_join (thread);
  g_autofree char *first = g_strdup_printf ("%d " UUID, LODGE_VIRT_EVENT_SUSPENDED);
  g_autofree char *second = g_strdup_printf ("%d " UUID, LODGE_VIRT_EVENT_RESUMED);
  g_assert_cmpstr (fixture->events->pdata[0], ==, first);
  g_assert_cmpstr (fixture->events->pdata[1], ==, second);

  lodge_virt_connection_stop (fixture->connection);
  g_assert_false (lodge_virt_connection_is_connected (fixture->connection));
  g_assert_cmpint (fixture->disconnected, ==, 0);
}

static void
test_absent (Fixture *fixture, gconstpointer uri)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (lodge_virt_connection_acquire (fixture->connection, &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_BACKEND_UNAVAILABLE);
  g_assert_nonnull (strstr (error->message, uri));
  g_assert_nonnull (strchr (error->message, '\n'));

  lodge_virt_connection_start (fixture->connection);
  gint64 until = g_get_monotonic_time () + G_USEC_PER_SEC / 2;
  while (g_get_monotonic_time () < until)
    if (!g_main_context_iteration (NULL, FALSE))
      g_usleep (1000);
  g_assert_cmpint (fixture->connected, ==, 0);
  g_assert_cmpint (fixture->disconnected, ==, 0);
  g_autofree char *problem = lodge_virt_connection_get_problem (fixture->connection);
  g_assert_nonnull (problem);
}

/* What comes while an attempt is under way must neither crash nor leave a connection open. */
static void
test_stop_early (Fixture *fixture, gconstpointer uri)
{
  for (int i = 0; i < 20; i++)
    {
      lodge_virt_connection_start (fixture->connection);
      if (i % 3 == 0)
        g_main_context_iteration (NULL, FALSE);
      lodge_virt_connection_stop (fixture->connection);
    }
  lodge_virt_connection_start (fixture->connection);
  WAIT_FOR (fixture->connected >= 1);
}

static gpointer
use_networks (gpointer data)
{
  LodgeVirtConnection *connection = data;
  g_autoptr (GError) error = NULL;
  gboolean active = FALSE;

  g_autoptr (GPtrArray) list = lodge_virt_network_list_xml (connection, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (list->len, ==, 1);
  g_autofree char *xml = lodge_virt_network_get_xml (connection, "default", &active, &error);
  g_assert_no_error (error);
  g_assert_true (active);
  g_assert_cmpstr (xml, ==, list->pdata[0]);
  g_assert_true (lodge_virt_network_start (connection, "default", FALSE, &error));
  g_assert_true (lodge_virt_network_undefine (connection, "absent", &error));
  g_assert_null (lodge_virt_network_get_xml (connection, "absent", NULL, &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND);
  g_clear_error (&error);
  g_assert_false (lodge_virt_network_define (connection, "<network", &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT);
  return NULL;
}

static void
test_networks (Fixture *fixture, gconstpointer uri)
{
  lodge_virt_connection_start (fixture->connection);
  WAIT_FOR (fixture->connected == 1);
  g_thread_join (g_thread_new ("caller", use_networks, fixture->connection));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/virt/connection/events", Fixture, "test:///default", set_up, test_events,
              tear_down);
  g_test_add ("/virt/connection/stop-early", Fixture, "test:///default", set_up, test_stop_early,
              tear_down);
  g_test_add ("/virt/connection/networks", Fixture, "test:///default", set_up, test_networks,
              tear_down);
  g_test_add ("/virt/connection/absent", Fixture,
              "qemu+unix:///system?socket=/nonexistent/libvirt-sock", set_up, test_absent,
              tear_down);
  return g_test_run ();
}
