/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-firewall.h"

#include <string.h>

#define BUS           "org.freedesktop.DBus"
#define BUS_PATH      "/org/freedesktop/DBus"
#define FIREWALL      "org.fedoraproject.FirewallD1"
#define FIREWALL_PATH "/org/fedoraproject/FirewallD1"
#define CALL_MS       5000
#define LAST_ATTEMPT  3 /* LODGE_RULESET_ATTEMPTS */

/* Those that have networks. */
static const char *const daemons[] = { "libvirtd", "virtnetworkd", NULL };

struct _LodgeFirewall
{
  GObject parent;
  GDBusConnection *connection;
  GObject *network;
};

G_DEFINE_FINAL_TYPE (LodgeFirewall, lodge_firewall, G_TYPE_OBJECT)

/* (transfer full) (nullable) */
static GVariant *
ask_bus (GDBusConnection *connection, const char *method, const char *name, const char *type)
{
  return g_dbus_connection_call_sync (
      connection, BUS, BUS_PATH, BUS, method, name != NULL ? g_variant_new ("(s)", name) : NULL,
      G_VARIANT_TYPE (type), G_DBUS_CALL_FLAGS_NONE, CALL_MS, NULL, NULL);
}

static gboolean
ask_number (GDBusConnection *connection, const char *method, const char *name, guint32 *out)
{
  g_autoptr (GVariant) answer = ask_bus (connection, method, name, "(u)");

  if (answer != NULL)
    g_variant_get (answer, "(u)", out);
  return answer != NULL;
}

static gboolean
is_libvirt (GDBusConnection *connection, const char *name)
{
  guint32 uid;
  guint32 pid;

  if (*name != ':' || !ask_number (connection, "GetConnectionUnixUser", name, &uid) || uid != 0
      || !ask_number (connection, "GetConnectionUnixProcessID", name, &pid))
    return FALSE;
  g_autofree char *path = g_strdup_printf ("/proc/%u/comm", pid);
  g_autofree char *program = NULL;
  return g_file_get_contents (path, &program, NULL, NULL)
         && g_strv_contains (daemons, g_strchomp (program));
}

static void
repair_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  GDBusConnection *connection = source;
  g_autoptr (GVariant) answer = ask_bus (connection, "ListNames", NULL, "(as)");
  g_autofree const char **names = NULL;
  gboolean told = FALSE;

  if (answer != NULL)
    g_variant_get (answer, "(^a&s)", &names);
  for (const char **name = names; name != NULL && *name != NULL; name++)
    if (is_libvirt (connection, *name))
      told = g_dbus_connection_emit_signal (connection, *name, FIREWALL_PATH, FIREWALL, "Reloaded",
                                            NULL, NULL)
             || told;
  g_task_return_boolean (task, told);
}

static void
on_repaired (GObject *source, GAsyncResult *result, gpointer user_data)
{
  if (!g_task_propagate_boolean (G_TASK (result), NULL))
    g_warning ("libvirt is not on the system bus and cannot be asked to write its firewall rules "
               "anew: restart libvirtd, or guests have no network");
}

static void
on_rules_lost (GObject *network, const char *bridge, guint attempt, LodgeFirewall *self)
{
  g_autoptr (GTask) task = g_task_new (self->connection, NULL, on_repaired, NULL);

  if (attempt < LAST_ATTEMPT)
    g_warning ("the firewall rules of %s have gone, as after `nft flush ruleset`: libvirt is asked "
               "to write them anew",
               bridge);
  else
    g_warning ("the firewall rules of %s do not come back: restart libvirtd, or guests have no "
               "network",
               bridge);
  g_task_run_in_thread (task, repair_thread);
}

static void
lodge_firewall_dispose (GObject *object)
{
  LodgeFirewall *self = LODGE_FIREWALL (object);

  if (self->network != NULL)
    g_signal_handlers_disconnect_by_data (self->network, self);
  g_clear_object (&self->network);
  g_clear_object (&self->connection);
  G_OBJECT_CLASS (lodge_firewall_parent_class)->dispose (object);
}

static void
lodge_firewall_class_init (LodgeFirewallClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = lodge_firewall_dispose;
}

static void
lodge_firewall_init (LodgeFirewall *self)
{
}

LodgeFirewall *
lodge_firewall_new (GDBusConnection *connection, GObject *network)
{
  LodgeFirewall *self = g_object_new (LODGE_TYPE_FIREWALL, NULL);

  self->connection = g_object_ref (connection);
  self->network = g_object_ref (network);
  g_signal_connect (network, "rules-lost", G_CALLBACK (on_rules_lost), self);
  return self;
}
