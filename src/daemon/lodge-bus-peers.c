/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-bus-peers.h"

#define BUS_NAME      "org.freedesktop.DBus"
#define BUS_PATH      "/org/freedesktop/DBus"
#define CALL_TIMEOUT  10000 /* ms */
#define CALLS_AT_ONCE 512

/* One rule for all callers.  A rule for each would cost two messages a caller, and most callers are
 * commands that make one call. */
#define LEAVE_RULE                                                                                 \
  "type='signal',sender='" BUS_NAME "',path='" BUS_PATH "',interface='" BUS_NAME "',"              \
  "member='NameOwnerChanged',arg2=''"

typedef struct
{
  gboolean uid_known;
  guint32 uid;
  guint calls;
  GPtrArray *tasks; /* nullable: those that wait for the uid */
} Peer;

struct _LodgeBusPeers
{
  GObject parent;

  GDBusConnection *connection;
  GHashTable *peers; /* unique name → Peer */
  guint subscription;
};

enum
{
  SIGNAL_LEFT,
  N_SIGNALS
};

static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (LodgeBusPeers, lodge_bus_peers, G_TYPE_OBJECT)

static void
peer_free (Peer *peer)
{
  g_clear_pointer (&peer->tasks, g_ptr_array_unref);
  g_free (peer);
}

static Peer *
ensure_peer (LodgeBusPeers *self, const char *sender)
{
  Peer *peer = g_hash_table_lookup (self->peers, sender);

  if (peer == NULL)
    {
      peer = g_new0 (Peer, 1);
      g_hash_table_insert (self->peers, g_strdup (sender), peer);
    }
  return peer;
}

static void
on_name_left (GDBusConnection *connection, const char *sender, const char *path,
              const char *interface, const char *member, GVariant *parameters, gpointer user_data)
{
  LodgeBusPeers *self = user_data;
  const char *name, *old_owner, *new_owner;
  g_autoptr (GPtrArray) tasks = NULL;
  Peer *peer;

  if (!g_variant_is_of_type (parameters, G_VARIANT_TYPE ("(sss)")))
    return;
  g_variant_get (parameters, "(&s&s&s)", &name, &old_owner, &new_owner);
  peer = g_hash_table_lookup (self->peers, name);
  if (new_owner[0] != '\0' || peer == NULL)
    return;
  tasks = g_steal_pointer (&peer->tasks);
  g_signal_emit (self, signals[SIGNAL_LEFT], 0, name);
  g_hash_table_remove (self->peers, name);
  /* The bus cannot say any more who it was; a call that waits for that ends here. */
  for (guint i = 0; tasks != NULL && i < tasks->len; i++)
    g_task_return_new_error (tasks->pdata[i], LODGE_ERROR, LODGE_ERROR_NOT_AUTHORIZED,
                             "%s has left the bus", name);
}

/* Answers all that wait, with @error or without. */
static void
settle (LodgeBusPeers *self, const char *sender, const guint32 *uid)
{
  Peer *peer = g_hash_table_lookup (self->peers, sender);
  g_autoptr (GPtrArray) tasks = NULL;

  if (peer == NULL)
    return;
  tasks = g_steal_pointer (&peer->tasks);
  if (uid != NULL)
    {
      peer->uid = *uid;
      peer->uid_known = TRUE;
    }
  else
    /* It left before we asked, and the news of that may have come before its call. */
    g_hash_table_remove (self->peers, sender);

  for (guint i = 0; tasks != NULL && i < tasks->len; i++)
    if (uid != NULL)
      g_task_return_boolean (tasks->pdata[i], TRUE);
    else
      g_task_return_new_error (tasks->pdata[i], LODGE_ERROR, LODGE_ERROR_NOT_AUTHORIZED,
                               "the bus does not know who %s is", sender);
}

typedef struct
{
  GWeakRef peers;
  char *sender;
} UidQuery;

static void
on_uid (GObject *source, GAsyncResult *result, gpointer user_data)
{
  UidQuery *query = user_data;
  g_autoptr (LodgeBusPeers) self = g_weak_ref_get (&query->peers);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply
      = g_dbus_connection_call_finish (G_DBUS_CONNECTION (source), result, &error);
  guint32 uid = G_MAXUINT32;

  if (reply != NULL)
    g_variant_get (reply, "(u)", &uid);
  if (self != NULL)
    settle (self, query->sender, uid != G_MAXUINT32 ? &uid : NULL);
  g_weak_ref_clear (&query->peers);
  g_free (query->sender);
  g_free (query);
}

static void
ask_bus (LodgeBusPeers *self, const char *sender)
{
  UidQuery *query = g_new0 (UidQuery, 1);

  g_weak_ref_init (&query->peers, self);
  query->sender = g_strdup (sender);
  g_dbus_connection_call (self->connection, BUS_NAME, BUS_PATH, BUS_NAME, "GetConnectionUnixUser",
                          g_variant_new ("(s)", sender), G_VARIANT_TYPE ("(u)"),
                          G_DBUS_CALL_FLAGS_NO_AUTO_START, CALL_TIMEOUT, NULL, on_uid, query);
}

gboolean
lodge_bus_peers_peek_uid (LodgeBusPeers *self, const char *sender, guint32 *out_uid)
{
  Peer *peer = g_hash_table_lookup (self->peers, sender);

  if (peer == NULL || !peer->uid_known)
    return FALSE;
  *out_uid = peer->uid;
  return TRUE;
}

void
lodge_bus_peers_get_uid_async (LodgeBusPeers *self, const char *sender,
                               GAsyncReadyCallback callback, gpointer user_data)
{
  GTask *task = g_task_new (self, NULL, callback, user_data);
  Peer *peer = ensure_peer (self, sender);

  g_task_set_task_data (task, g_strdup (sender), g_free);
  if (peer->uid_known)
    {
      g_task_return_boolean (task, TRUE);
      g_object_unref (task);
      return;
    }
  if (peer->tasks == NULL)
    {
      peer->tasks = g_ptr_array_new_with_free_func (g_object_unref);
      ask_bus (self, sender);
    }
  g_ptr_array_add (peer->tasks, task);
}

gboolean
lodge_bus_peers_get_uid_finish (LodgeBusPeers *self, GAsyncResult *result, guint32 *out_uid,
                                GError **error)
{
  guint32 uid;

  if (!g_task_propagate_boolean (G_TASK (result), error))
    return FALSE;
  /* It may have left between the answer and this callback. */
  if (!lodge_bus_peers_peek_uid (self, g_task_get_task_data (G_TASK (result)), &uid))
    {
      g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_NOT_AUTHORIZED,
                           "the caller has left the bus");
      return FALSE;
    }
  *out_uid = uid;
  return TRUE;
}

gboolean
lodge_bus_peers_begin_call (LodgeBusPeers *self, const char *sender)
{
  Peer *peer = ensure_peer (self, sender);

  if (peer->calls >= CALLS_AT_ONCE)
    return FALSE;
  peer->calls++;
  return TRUE;
}

void
lodge_bus_peers_end_call (LodgeBusPeers *self, const char *sender)
{
  Peer *peer = g_hash_table_lookup (self->peers, sender);

  if (peer != NULL && peer->calls > 0)
    peer->calls--;
}

gboolean
lodge_bus_peers_is_present (LodgeBusPeers *self, const char *sender)
{
  return g_hash_table_contains (self->peers, sender);
}

guint
lodge_bus_peers_count (LodgeBusPeers *self)
{
  return g_hash_table_size (self->peers);
}

LodgeBusPeers *
lodge_bus_peers_new (GDBusConnection *connection, GError **error)
{
  g_autoptr (LodgeBusPeers) self = g_object_new (LODGE_TYPE_BUS_PEERS, NULL);
  g_autoptr (GVariant) reply = NULL;

  self->connection = g_object_ref (connection);
  self->subscription = g_dbus_connection_signal_subscribe (
      connection, BUS_NAME, BUS_NAME, "NameOwnerChanged", BUS_PATH, NULL,
      G_DBUS_SIGNAL_FLAGS_NO_MATCH_RULE, on_name_left, self, NULL);
  reply = g_dbus_connection_call_sync (connection, BUS_NAME, BUS_PATH, BUS_NAME, "AddMatch",
                                       g_variant_new ("(s)", LEAVE_RULE), NULL,
                                       G_DBUS_CALL_FLAGS_NONE, CALL_TIMEOUT, NULL, error);
  return reply != NULL ? g_steal_pointer (&self) : NULL;
}

static void
lodge_bus_peers_dispose (GObject *object)
{
  LodgeBusPeers *self = LODGE_BUS_PEERS (object);

  if (self->subscription != 0)
    g_dbus_connection_signal_unsubscribe (self->connection, self->subscription);
  self->subscription = 0;
  G_OBJECT_CLASS (lodge_bus_peers_parent_class)->dispose (object);
}

static void
lodge_bus_peers_finalize (GObject *object)
{
  LodgeBusPeers *self = LODGE_BUS_PEERS (object);

  g_hash_table_unref (self->peers);
  g_clear_object (&self->connection);
  G_OBJECT_CLASS (lodge_bus_peers_parent_class)->finalize (object);
}

static void
lodge_bus_peers_class_init (LodgeBusPeersClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = lodge_bus_peers_dispose;
  G_OBJECT_CLASS (klass)->finalize = lodge_bus_peers_finalize;

  signals[SIGNAL_LEFT] = g_signal_new ("left", LODGE_TYPE_BUS_PEERS, G_SIGNAL_RUN_LAST, 0, NULL,
                                       NULL, NULL, G_TYPE_NONE, 1, G_TYPE_STRING);
}

static void
lodge_bus_peers_init (LodgeBusPeers *self)
{
  self->peers = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) peer_free);
}
