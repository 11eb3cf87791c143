/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-resolver.h"

#include <arpa/inet.h>
#include <net/if.h>

/* org.freedesktop.resolve1(5) */
#define RESOLVED           "org.freedesktop.resolve1"
#define RESOLVED_PATH      "/org/freedesktop/resolve1"
#define RESOLVED_INTERFACE "org.freedesktop.resolve1.Manager"

struct _LodgeResolver
{
  GObject parent;
  GDBusConnection *connection;
  GObject *network;
  guint watch;
  gboolean there; /* resolved is on the bus */
  /* Of the network as it was last seen; NULL: not seen. */
  char *bridge;
  char *server;
  char *domain;
};

G_DEFINE_FINAL_TYPE (LodgeResolver, lodge_resolver, G_TYPE_OBJECT)

/* Not having names on the host stops nobody's work, so it is said once here and to nobody else. */
static void
on_told (GObject *source, GAsyncResult *result, gpointer method)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer
      = g_dbus_connection_call_finish (G_DBUS_CONNECTION (source), result, &error);

  if (answer == NULL && !g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CLOSED))
    g_message ("systemd-resolved refuses %s: %s", (const char *) method, error->message);
}

static void
tell (LodgeResolver *self, const char *method, GVariant *arguments)
{
  g_dbus_connection_call (self->connection, RESOLVED, RESOLVED_PATH, RESOLVED_INTERFACE, method,
                          arguments, NULL, G_DBUS_CALL_FLAGS_NO_AUTO_START, -1, NULL, on_told,
                          (gpointer) method);
}

static void
tell_all (LodgeResolver *self)
{
  int link = self->bridge != NULL ? (int) if_nametoindex (self->bridge) : 0;
  struct in_addr address;

  if (!self->there || link == 0 || inet_pton (AF_INET, self->server, &address) != 1)
    return;

  GVariant *bytes = g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, &address, sizeof address, 1);
  GVariant *server = g_variant_new ("(i@ay)", AF_INET, bytes);
  GVariant *domain = g_variant_new ("(sb)", self->domain, TRUE);

  tell (self, "SetLinkDNS",
        g_variant_new ("(i@a(iay))", link, g_variant_new_array (NULL, &server, 1)));
  /* "~lodge": for names of this domain only, and not for completing short names. */
  tell (self, "SetLinkDomains",
        g_variant_new ("(i@a(sb))", link, g_variant_new_array (NULL, &domain, 1)));
  tell (self, "SetLinkDefaultRoute", g_variant_new ("(ib)", link, FALSE));
  /* Nobody has signed it. */
  tell (self, "SetLinkDNSSEC", g_variant_new ("(is)", link, "no"));
}

static void
on_active (GObject *network, const char *bridge, const char *server, const char *domain,
           LodgeResolver *self)
{
  g_free (self->bridge);
  g_free (self->server);
  g_free (self->domain);
  self->bridge = g_strdup (bridge);
  self->server = g_strdup (server);
  self->domain = g_strdup (domain);
  tell_all (self);
}

static void
on_appeared (GDBusConnection *connection, const char *name, const char *owner, gpointer user_data)
{
  LodgeResolver *self = user_data;

  self->there = TRUE;
  tell_all (self);
}

static void
on_vanished (GDBusConnection *connection, const char *name, gpointer user_data)
{
  LodgeResolver *self = user_data;

  self->there = FALSE;
}

static void
lodge_resolver_dispose (GObject *object)
{
  LodgeResolver *self = LODGE_RESOLVER (object);

  if (self->watch != 0)
    g_bus_unwatch_name (self->watch);
  self->watch = 0;
  if (self->network != NULL)
    g_signal_handlers_disconnect_by_data (self->network, self);
  g_clear_object (&self->network);
  g_clear_object (&self->connection);
  G_OBJECT_CLASS (lodge_resolver_parent_class)->dispose (object);
}

static void
lodge_resolver_finalize (GObject *object)
{
  LodgeResolver *self = LODGE_RESOLVER (object);

  g_free (self->bridge);
  g_free (self->server);
  g_free (self->domain);
  G_OBJECT_CLASS (lodge_resolver_parent_class)->finalize (object);
}

static void
lodge_resolver_class_init (LodgeResolverClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = lodge_resolver_dispose;
  G_OBJECT_CLASS (klass)->finalize = lodge_resolver_finalize;
}

static void
lodge_resolver_init (LodgeResolver *self)
{
}

LodgeResolver *
lodge_resolver_new (GDBusConnection *connection, GObject *network)
{
  LodgeResolver *self = g_object_new (LODGE_TYPE_RESOLVER, NULL);

  self->connection = g_object_ref (connection);
  self->network = g_object_ref (network);
  g_signal_connect (network, "active", G_CALLBACK (on_active), self);
  self->watch = g_bus_watch_name_on_connection (connection, RESOLVED, G_BUS_NAME_WATCHER_FLAGS_NONE,
                                                on_appeared, on_vanished, self, NULL);
  return self;
}
