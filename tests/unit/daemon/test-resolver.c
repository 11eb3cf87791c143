/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-resolver.h"

#include <net/if.h>

#define RESOLVED "org.freedesktop.resolve1"

/* ---- a network that only has the signal ---- */

#define TEST_TYPE_NETWORK (test_network_get_type ())
G_DECLARE_FINAL_TYPE (TestNetwork, test_network, TEST, NETWORK, GObject)

struct _TestNetwork
{
  GObject parent;
};

G_DEFINE_FINAL_TYPE (TestNetwork, test_network, G_TYPE_OBJECT)

static void
test_network_class_init (TestNetworkClass *klass)
{
  g_signal_new ("active", G_TYPE_FROM_CLASS (klass), G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                G_TYPE_NONE, 3, G_TYPE_STRING, G_TYPE_STRING, G_TYPE_STRING);
}

static void
test_network_init (TestNetwork *self)
{
}

/* ---- a resolved that writes down what it is told ---- */

#define RESOLVED_PATH "/org/freedesktop/resolve1"
/* Names and types as in org.freedesktop.resolve1(5): a wrong call is refused by GDBus. */
static const char RESOLVED_XML[]
    = "<node><interface name='org.freedesktop.resolve1.Manager'>"
      "<method name='SetLinkDNS'><arg type='i' direction='in'/><arg type='a(iay)' direction='in'/>"
      "</method>"
      "<method name='SetLinkDomains'><arg type='i' direction='in'/>"
      "<arg type='a(sb)' direction='in'/></method>"
      "<method name='SetLinkDefaultRoute'><arg type='i' direction='in'/>"
      "<arg type='b' direction='in'/></method>"
      "<method name='SetLinkDNSSEC'><arg type='i' direction='in'/><arg type='s' direction='in'/>"
      "</method></interface></node>";

typedef struct
{
  GTestDBus *bus;
  GDBusConnection *service;
  GDBusConnection *client;
  GObject *network;
  GPtrArray *calls; /* "Method(arguments)" */
} Fixture;

static void
on_call (GDBusConnection *connection, const char *sender, const char *path, const char *interface,
         const char *method, GVariant *arguments, GDBusMethodInvocation *call, gpointer user_data)
{
  Fixture *fixture = user_data;
  g_autofree char *text = g_variant_print (arguments, FALSE);

  g_ptr_array_add (fixture->calls, g_strconcat (method, text, NULL));
  g_dbus_method_invocation_return_value (call, NULL);
}

static GDBusConnection *
connect_to (GTestDBus *bus)
{
  return g_dbus_connection_new_for_address_sync (
      g_test_dbus_get_bus_address (bus),
      G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT
          | G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
      NULL, NULL, NULL);
}

static void
own_name (Fixture *fixture, const char *method)
{
  GVariant *arguments = g_str_equal (method, "RequestName") ? g_variant_new ("(su)", RESOLVED, 0)
                                                            : g_variant_new ("(s)", RESOLVED);
  g_autoptr (GVariant) answer = g_dbus_connection_call_sync (
      fixture->service, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
      method, arguments, NULL, G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL);

  g_assert_nonnull (answer);
}

static void
set_up (Fixture *fixture, gconstpointer data)
{
  static const GDBusInterfaceVTable vtable = { .method_call = on_call };
  g_autoptr (GDBusNodeInfo) node = g_dbus_node_info_new_for_xml (RESOLVED_XML, NULL);

  fixture->bus = g_test_dbus_new (G_TEST_DBUS_NONE);
  g_test_dbus_up (fixture->bus);
  fixture->service = connect_to (fixture->bus);
  fixture->client = connect_to (fixture->bus);
  fixture->network = g_object_new (TEST_TYPE_NETWORK, NULL);
  fixture->calls = g_ptr_array_new_with_free_func (g_free);
  g_assert_cmpuint (g_dbus_connection_register_object (fixture->service, RESOLVED_PATH,
                                                       node->interfaces[0], &vtable, fixture, NULL,
                                                       NULL),
                    !=, 0);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_dbus_connection_close_sync (fixture->service, NULL, NULL);
  g_dbus_connection_close_sync (fixture->client, NULL, NULL);
  g_object_unref (fixture->service);
  g_object_unref (fixture->client);
  g_object_unref (fixture->network);
  g_ptr_array_unref (fixture->calls);
  g_test_dbus_down (fixture->bus);
  g_object_unref (fixture->bus);
}

static gboolean
on_timeout (gpointer passed)
{
  *(gboolean *) passed = TRUE;
  return G_SOURCE_REMOVE;
}

/* Runs the loop until @n calls have come, or for @ms. */
static void
wait_for_calls (Fixture *fixture, guint n, guint ms)
{
  gboolean passed = FALSE;
  guint source = g_timeout_add (ms, on_timeout, &passed);

  while (!passed && fixture->calls->len < n)
    g_main_context_iteration (NULL, TRUE);
  if (!passed)
    g_source_remove (source);
}

static void
assert_told (Fixture *fixture)
{
  guint link = if_nametoindex ("lo");
  g_autofree char *dns
      = g_strdup_printf ("SetLinkDNS(%u, [(2, [0x0a, 0x57, 0x00, 0x01])])", link);
  g_autofree char *domains = g_strdup_printf ("SetLinkDomains(%u, [('lodge', true)])", link);
  g_autofree char *route = g_strdup_printf ("SetLinkDefaultRoute(%u, false)", link);
  g_autofree char *dnssec = g_strdup_printf ("SetLinkDNSSEC(%u, 'no')", link);
  const char *wanted[] = { dns, domains, route, dnssec };

  wait_for_calls (fixture, G_N_ELEMENTS (wanted), 5000);
  g_assert_cmpuint (fixture->calls->len, ==, G_N_ELEMENTS (wanted));
  for (gsize i = 0; i < G_N_ELEMENTS (wanted); i++)
    g_assert_cmpstr (g_ptr_array_index (fixture->calls, i), ==, wanted[i]);
  g_ptr_array_set_size (fixture->calls, 0);
}

static void
test_told_whenever_one_is_new (Fixture *fixture, gconstpointer data)
{
  own_name (fixture, "RequestName");
  g_autoptr (LodgeResolver) resolver = lodge_resolver_new (fixture->client, fixture->network);

  g_signal_emit_by_name (fixture->network, "active", "lo", "10.87.0.1", "lodge");
  assert_told (fixture);
  /* The network was restarted. */
  g_signal_emit_by_name (fixture->network, "active", "lo", "10.87.0.1", "lodge");
  assert_told (fixture);
  /* resolved was. */
  own_name (fixture, "ReleaseName");
  own_name (fixture, "RequestName");
  assert_told (fixture);
}

static void
test_without_resolved (Fixture *fixture, gconstpointer data)
{
  g_autoptr (LodgeResolver) resolver = lodge_resolver_new (fixture->client, fixture->network);

  g_signal_emit_by_name (fixture->network, "active", "lo", "10.87.0.1", "lodge");
  wait_for_calls (fixture, 1, 200);
  g_assert_cmpuint (fixture->calls->len, ==, 0);
  own_name (fixture, "RequestName");
  assert_told (fixture);
}

static void
test_without_a_bridge (Fixture *fixture, gconstpointer data)
{
  own_name (fixture, "RequestName");
  g_autoptr (LodgeResolver) resolver = lodge_resolver_new (fixture->client, fixture->network);

  wait_for_calls (fixture, 1, 100);
  g_signal_emit_by_name (fixture->network, "active", "no-such-link", "10.87.0.1", "lodge");
  wait_for_calls (fixture, 1, 200);
  g_assert_cmpuint (fixture->calls->len, ==, 0);
}

#define ADD(path, function) g_test_add (path, Fixture, NULL, set_up, function, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("/resolver/told-whenever-one-is-new", test_told_whenever_one_is_new);
  ADD ("/resolver/without-resolved", test_without_resolved);
  ADD ("/resolver/without-a-bridge", test_without_a_bridge);
  return g_test_run ();
}
