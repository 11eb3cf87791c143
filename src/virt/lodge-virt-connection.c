/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-virt-connection.h"

#include <libvirt/virterror.h>

#include "lodge-executor.h"
#include "lodge-virt-error.h"
#include "lodge-virt-loop.h"

/*
 * Life of a connection
 *
 *   stopped → connecting → connected → (closed by the other end, or keepalive gave up)
 *                 ↑   └ failed → waiting ┐               │
 *                 └──────────────────────┴───────────────┘
 *
 * Opening and closing are RPCs, so they run on a thread; everything else happens in the owner's
 * main context.  libvirt's callbacks know only a Link, which outlives the connection object: it
 * queues copies of what happened and wakes that context.
 */

#define RETRY_FIRST_MS     100
#define RETRY_LAST_MS      1000
#define ACQUIRE_WAIT_USEC  (3 * G_USEC_PER_SEC)
/* Seconds.  libvirtd asks after 5 of silence, and what it asks is a sign of life too: by asking
 * later, Lodge is woken half as often, and yet knows of one that hangs after 21 seconds. */
#define KEEPALIVE_INTERVAL 7
#define KEEPALIVE_COUNT    2
#define N_EVENT_IDS        4

typedef enum
{
  STATE_STOPPED,
  STATE_CONNECTING,
  STATE_WAITING,
  STATE_CONNECTED,
} State;

enum
{
  SIGNAL_CONNECTED,
  SIGNAL_DISCONNECTED,
  SIGNAL_DOMAIN_EVENT,
  SIGNAL_NETWORK_EVENT,
  N_SIGNALS
};

static guint signals[N_SIGNALS];

/* Not a domain's event: the connection itself was closed; detail is a virConnectCloseReason. */
#define EVENT_CLOSED (-1)
/* Of a network; detail is a virNetworkEventLifecycleType. */
#define EVENT_NETWORK (-2)

typedef struct
{
  guint serial; /* of the session that it came from */
  int kind;
  int detail;
  char uuid[VIR_UUID_STRING_BUFLEN];
} Event;

typedef struct
{
  GMutex lock;
  GMainContext *context;
  GWeakRef owner;
  GArray *events;
  gboolean scheduled;
} Link;

/* What libvirt's callbacks get. */
typedef struct
{
  Link *link;
  guint serial;
} Listener;

/* One open connection with its callbacks. */
typedef struct
{
  virConnectPtr connection;
  int event_ids[N_EVENT_IDS];
  int network_event_id; /* -1: not asked for, or not to be had */
  Listener *close_listener;
  char *version;
  guint serial;
} Session;

struct _LodgeVirtConnection
{
  GObject parent_instance;

  char *uri;
  Link *link;
  LodgeExecutor *executor;
  GSource *retry;
  guint retry_ms;
  guint serial;
  gboolean watch_networks;
  Session *session; /* while connected */

  GMutex lock; /* guards what follows; other threads ask for it */
  GCond changed;
  State state;
  gint64 lost_at; /* monotonic; when the last connection broke, 0: there was none */
  virConnectPtr handle;
  char *version;
  char *problem;
};

G_DEFINE_FINAL_TYPE (LodgeVirtConnection, lodge_virt_connection, G_TYPE_OBJECT)

static void begin_connect (LodgeVirtConnection *self);

static void
link_clear (Link *link)
{
  g_mutex_clear (&link->lock);
  g_main_context_unref (link->context);
  g_weak_ref_clear (&link->owner);
  g_array_unref (link->events);
}

static void
link_unref (gpointer link)
{
  g_atomic_rc_box_release_full (link, (GDestroyNotify) link_clear);
}

static void
listener_free (void *user_data)
{
  Listener *listener = user_data;

  link_unref (listener->link);
  g_free (listener);
}

static Listener *
listener_new (Link *link, guint serial)
{
  Listener *listener = g_new0 (Listener, 1);

  listener->link = g_atomic_rc_box_acquire (link);
  listener->serial = serial;
  return listener;
}

static gboolean deliver_events (gpointer user_data);

static void
queue (Link *link, Event event)
{
  g_mutex_lock (&link->lock);
  const Event *last
      = link->events->len > 0 ? &g_array_index (link->events, Event, link->events->len - 1) : NULL;
  if (last == NULL || memcmp (last, &event, sizeof event) != 0)
    g_array_append_val (link->events, event);
  gboolean schedule = !link->scheduled;
  link->scheduled = TRUE;
  g_mutex_unlock (&link->lock);

  if (schedule)
    {
      /* Not g_main_context_invoke(): it would call us back from inside libvirt. */
      g_autoptr (GSource) source = g_idle_source_new ();
      g_source_set_priority (source, G_PRIORITY_DEFAULT);
      g_source_set_callback (source, deliver_events, g_atomic_rc_box_acquire (link), link_unref);
      g_source_attach (source, link->context);
    }
}

static void
queue_event (const Listener *listener, int kind, int detail, virDomainPtr domain)
{
  Event event = { .serial = listener->serial, .kind = kind, .detail = detail };

  if (domain == NULL || virDomainGetUUIDString (domain, event.uuid) == 0)
    queue (listener->link, event);
}

static int
on_lifecycle (virConnectPtr connection, virDomainPtr domain, int event, int detail, void *user_data)
{
  static const int kinds[] = {
    [VIR_DOMAIN_EVENT_DEFINED] = LODGE_VIRT_EVENT_DEFINED,
    [VIR_DOMAIN_EVENT_UNDEFINED] = LODGE_VIRT_EVENT_UNDEFINED,
    [VIR_DOMAIN_EVENT_STARTED] = LODGE_VIRT_EVENT_STARTED,
    [VIR_DOMAIN_EVENT_SUSPENDED] = LODGE_VIRT_EVENT_SUSPENDED,
    [VIR_DOMAIN_EVENT_RESUMED] = LODGE_VIRT_EVENT_RESUMED,
    [VIR_DOMAIN_EVENT_STOPPED] = LODGE_VIRT_EVENT_STOPPED,
    [VIR_DOMAIN_EVENT_SHUTDOWN] = LODGE_VIRT_EVENT_SHUTDOWN,
    [VIR_DOMAIN_EVENT_PMSUSPENDED] = LODGE_VIRT_EVENT_PMSUSPENDED,
    [VIR_DOMAIN_EVENT_CRASHED] = LODGE_VIRT_EVENT_CRASHED,
  };

  if (event >= 0 && event < (int) G_N_ELEMENTS (kinds))
    queue_event (user_data, kinds[event], detail, domain);
  return 0;
}

static void
on_reboot (virConnectPtr connection, virDomainPtr domain, void *user_data)
{
  queue_event (user_data, LODGE_VIRT_EVENT_REBOOTED, 0, domain);
}

static void
on_metadata_change (virConnectPtr connection, virDomainPtr domain, int type, const char *uri,
                    void *user_data)
{
  queue_event (user_data, LODGE_VIRT_EVENT_METADATA, type, domain);
}

static void
on_agent_lifecycle (virConnectPtr connection, virDomainPtr domain, int state, int reason,
                    void *user_data)
{
  queue_event (user_data, LODGE_VIRT_EVENT_AGENT, state, domain);
}

static void
on_network_lifecycle (virConnectPtr connection, virNetworkPtr network, int event, int detail,
                      void *user_data)
{
  const Listener *listener = user_data;
  Event queued = { .serial = listener->serial, .kind = EVENT_NETWORK, .detail = event };

  if (virNetworkGetUUIDString (network, queued.uuid) == 0)
    queue (listener->link, queued);
}

static void
on_closed (virConnectPtr connection, int reason, void *user_data)
{
  queue_event (user_data, EVENT_CLOSED, reason, NULL);
}

static const struct
{
  int id;
  virConnectDomainEventGenericCallback callback;
} event_table[N_EVENT_IDS] = {
  { VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK (on_lifecycle) },
  { VIR_DOMAIN_EVENT_ID_REBOOT, VIR_DOMAIN_EVENT_CALLBACK (on_reboot) },
  { VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, VIR_DOMAIN_EVENT_CALLBACK (on_metadata_change) },
  { VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK (on_agent_lifecycle) },
};

static gboolean
on_free_listener (gpointer listener)
{
  listener_free (listener);
  return G_SOURCE_REMOVE;
}

/* On the thread of the callbacks, where it cannot be in use. */
static void
free_in_loop (Listener *listener)
{
  g_autoptr (GSource) source = g_idle_source_new ();

  g_source_set_callback (source, on_free_listener, listener, NULL);
  g_source_attach (source, listener->link->context);
}

/* libvirt's callbacks hold references on the connection: without taking each back, closing
 * would leave it open. */
static void
session_free (gpointer data)
{
  Session *session = data;

  for (gsize i = 0; i < N_EVENT_IDS; i++)
    if (session->event_ids[i] >= 0)
      virConnectDomainEventDeregisterAny (session->connection, session->event_ids[i]);
  if (session->network_event_id >= 0)
    virConnectNetworkEventDeregisterAny (session->connection, session->network_event_id);
  virConnectUnregisterCloseCallback (session->connection, on_closed);
  virConnectClose (session->connection);
  if (session->close_listener != NULL)
    free_in_loop (session->close_listener);
  g_free (session->version);
  g_free (session);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Session, session_free)

static void
set_unavailable (GError **error, const char *uri)
{
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_BACKEND_UNAVAILABLE,
               "libvirtd does not answer at %s\nIs it running?  Look at `systemctl status "
               "libvirtd`.",
               uri);
}

typedef struct
{
  char *uri;
  Link *link;
  guint serial;
  gboolean watch_networks;
} OpenRequest;

static void
open_request_free (gpointer data)
{
  OpenRequest *request = data;

  g_free (request->uri);
  link_unref (request->link);
  g_free (request);
}

static int
watch_networks (virConnectPtr connection, const OpenRequest *request)
{
  Listener *listener = listener_new (request->link, request->serial);
  int id = virConnectNetworkEventRegisterAny (connection, NULL, VIR_NETWORK_EVENT_ID_LIFECYCLE,
                                              VIR_NETWORK_EVENT_CALLBACK (on_network_lifecycle),
                                              listener, listener_free);

  if (id < 0)
    listener_free (listener);
  return id;
}

static void
open_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  const OpenRequest *request = task_data;
  virConnectPtr connection = virConnectOpen (request->uri);

  if (connection == NULL)
    {
      const virError *last = virGetLastError ();
      g_task_return_new_error (task, LODGE_ERROR, LODGE_ERROR_BACKEND_UNAVAILABLE,
                               "cannot connect to %s: %s", request->uri,
                               last != NULL && last->message != NULL ? last->message : "no reason");
      return;
    }

  g_autoptr (Session) session = g_new0 (Session, 1);
  session->connection = connection;
  session->serial = request->serial;
  /* Drivers inside this process take a close callback and forget it, also how it is freed. */
  session->close_listener = listener_new (request->link, request->serial);
  virConnectRegisterCloseCallback (connection, on_closed, session->close_listener, NULL);
  /* The test driver has no keepalive; without a socket there is nothing to watch. */
  virConnectSetKeepAlive (connection, KEEPALIVE_INTERVAL, KEEPALIVE_COUNT);
  for (gsize i = 0; i < N_EVENT_IDS; i++)
    {
      Listener *listener = listener_new (request->link, request->serial);
      session->event_ids[i] = virConnectDomainEventRegisterAny (
          connection, NULL, event_table[i].id, event_table[i].callback, listener, listener_free);
      if (session->event_ids[i] < 0)
        listener_free (listener);
    }
  session->network_event_id = request->watch_networks ? watch_networks (connection, request) : -1;
  if (session->event_ids[0] < 0)
    {
      GError *error = NULL;
      lodge_virt_set_error (&error, "cannot watch the domains of %s", request->uri);
      g_task_return_error (task, error);
      return;
    }

  unsigned long version = 0;
  if (virConnectGetLibVersion (connection, &version) == 0)
    session->version
        = g_strdup_printf ("%lu.%lu.%lu", version / 1000000, version / 1000 % 1000, version % 1000);
  g_task_return_pointer (task, g_steal_pointer (&session), session_free);
}

static void
close_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  session_free (task_data);
  g_task_return_boolean (task, TRUE);
}

static void
set_state (LodgeVirtConnection *self, State state, virConnectPtr handle, const char *version,
           const char *problem)
{
  g_mutex_lock (&self->lock);
  if (self->state == STATE_CONNECTED && state != STATE_CONNECTED)
    self->lost_at = g_get_monotonic_time ();
  self->state = state;
  self->handle = handle;
  g_free (self->version);
  self->version = g_strdup (version);
  if (problem != NULL || handle != NULL)
    {
      g_free (self->problem);
      self->problem = g_strdup (problem);
    }
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
}

/* Closing talks to libvirtd and may have to wait for it. */
static void
close_session (LodgeVirtConnection *self, Session *session)
{
  if (session == NULL)
    return;
  g_autoptr (GTask) task = g_task_new (NULL, NULL, NULL, NULL);
  g_task_set_task_data (task, session, NULL);
  lodge_executor_run (self->executor, task, close_thread);
}

static void
cancel_retry (LodgeVirtConnection *self)
{
  if (self->retry == NULL)
    return;
  g_source_destroy (self->retry);
  g_clear_pointer (&self->retry, g_source_unref);
}

static gboolean
on_retry (gpointer user_data)
{
  LodgeVirtConnection *self = user_data;

  g_clear_pointer (&self->retry, g_source_unref);
  begin_connect (self);
  return G_SOURCE_REMOVE;
}

static void
schedule_retry (LodgeVirtConnection *self)
{
  cancel_retry (self);
  self->retry = g_timeout_source_new (self->retry_ms);
  g_source_set_callback (self->retry, on_retry, self, NULL);
  g_source_attach (self->retry, self->link->context);
  self->retry_ms = MIN (self->retry_ms * 2, RETRY_LAST_MS);
}

static void
on_opened (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (LodgeVirtConnection) self = user_data;
  const OpenRequest *request = g_task_get_task_data (G_TASK (result));
  g_autoptr (GError) error = NULL;
  Session *session = g_task_propagate_pointer (G_TASK (result), &error);
  gboolean wanted = self->state == STATE_CONNECTING && request->serial == self->serial;
  /* It may have broken before anybody could listen for that; no RPC. */
  gboolean alive = session != NULL && virConnectIsAlive (session->connection) == 1;

  if (wanted && alive)
    {
      self->session = session;
      self->retry_ms = RETRY_FIRST_MS;
      set_state (self, STATE_CONNECTED, session->connection, session->version, NULL);
      g_signal_emit (self, signals[SIGNAL_CONNECTED], 0);
      return;
    }
  close_session (self, session);
  if (wanted)
    {
      set_state (self, STATE_WAITING, NULL, NULL,
                 error != NULL ? error->message : "libvirtd closed the connection");
      schedule_retry (self);
    }
}

static void
begin_connect (LodgeVirtConnection *self)
{
  OpenRequest *request = g_new0 (OpenRequest, 1);

  request->uri = g_strdup (self->uri);
  request->link = g_atomic_rc_box_acquire (self->link);
  request->serial = ++self->serial;
  request->watch_networks = self->watch_networks;
  set_state (self, STATE_CONNECTING, NULL, NULL, NULL);

  /* Not as the source object: the thread might drop the last reference, and with it the pool
   * that it belongs to. */
  g_autoptr (GTask) task = g_task_new (NULL, NULL, on_opened, g_object_ref (self));
  g_task_set_task_data (task, request, open_request_free);
  lodge_executor_run (self->executor, task, open_thread);
}

static const char *
close_reason (int reason)
{
  static const char *const reasons[] = {
    [VIR_CONNECT_CLOSE_REASON_ERROR] = "the connection failed",
    [VIR_CONNECT_CLOSE_REASON_EOF] = "libvirtd closed the connection",
    [VIR_CONNECT_CLOSE_REASON_KEEPALIVE] = "libvirtd stopped answering",
    [VIR_CONNECT_CLOSE_REASON_CLIENT] = "the connection was closed",
  };

  return reason >= 0 && reason < (int) G_N_ELEMENTS (reasons) ? reasons[reason]
                                                              : "the connection was lost";
}

static void
handle_closed (LodgeVirtConnection *self, int reason)
{
  set_state (self, STATE_WAITING, NULL, NULL, close_reason (reason));
  close_session (self, g_steal_pointer (&self->session));
  self->retry_ms = RETRY_FIRST_MS;
  schedule_retry (self);
  g_signal_emit (self, signals[SIGNAL_DISCONNECTED], 0, close_reason (reason));
}

static gboolean
deliver_events (gpointer user_data)
{
  Link *link = user_data;
  g_autoptr (GArray) events = g_array_new (FALSE, FALSE, sizeof (Event));
  g_autoptr (LodgeVirtConnection) self = g_weak_ref_get (&link->owner);

  g_mutex_lock (&link->lock);
  GArray *empty = events;
  events = link->events;
  link->events = empty;
  link->scheduled = FALSE;
  g_mutex_unlock (&link->lock);

  for (guint i = 0; self != NULL && i < events->len; i++)
    {
      const Event *event = &g_array_index (events, Event, i);
      if (self->session == NULL || self->session->serial != event->serial)
        continue;
      if (event->kind == EVENT_CLOSED)
        handle_closed (self, event->detail);
      else if (event->kind == EVENT_NETWORK)
        g_signal_emit (self, signals[SIGNAL_NETWORK_EVENT], 0, event->uuid, event->detail);
      else
        g_signal_emit (self, signals[SIGNAL_DOMAIN_EVENT], 0, event->uuid, event->kind,
                       event->detail);
    }
  return G_SOURCE_REMOVE;
}

void
lodge_virt_connection_watch_networks (LodgeVirtConnection *self)
{
  self->watch_networks = TRUE;
}

void
lodge_virt_connection_start (LodgeVirtConnection *self)
{
  if (self->state != STATE_STOPPED)
    return;
  self->retry_ms = RETRY_FIRST_MS;
  begin_connect (self);
}

void
lodge_virt_connection_stop (LodgeVirtConnection *self)
{
  cancel_retry (self);
  set_state (self, STATE_STOPPED, NULL, NULL, NULL);
  close_session (self, g_steal_pointer (&self->session));
}

const char *
lodge_virt_connection_get_uri (LodgeVirtConnection *self)
{
  return self->uri;
}

gboolean
lodge_virt_connection_is_connected (LodgeVirtConnection *self)
{
  g_mutex_lock (&self->lock);
  gboolean connected = self->handle != NULL;
  g_mutex_unlock (&self->lock);
  return connected;
}

char *
lodge_virt_connection_get_version (LodgeVirtConnection *self)
{
  g_mutex_lock (&self->lock);
  char *version = g_strdup (self->version);
  g_mutex_unlock (&self->lock);
  return version;
}

char *
lodge_virt_connection_get_problem (LodgeVirtConnection *self)
{
  g_mutex_lock (&self->lock);
  char *problem = self->handle != NULL ? NULL : g_strdup (self->problem);
  g_mutex_unlock (&self->lock);
  return problem;
}

/* A first attempt, or a libvirtd that is being restarted, is worth a short wait. */
static gboolean
may_come_soon (const LodgeVirtConnection *self)
{
  if (self->state == STATE_CONNECTING)
    return TRUE;
  return self->state == STATE_WAITING && self->lost_at != 0
         && g_get_monotonic_time () - self->lost_at < ACQUIRE_WAIT_USEC;
}

virConnectPtr
lodge_virt_connection_acquire (LodgeVirtConnection *self, GError **error)
{
  gint64 deadline = g_get_monotonic_time () + ACQUIRE_WAIT_USEC;

  g_mutex_lock (&self->lock);
  while (self->handle == NULL && may_come_soon (self))
    if (!g_cond_wait_until (&self->changed, &self->lock, deadline))
      break;
  virConnectPtr handle = self->handle;
  if (handle != NULL)
    virConnectRef (handle);
  g_mutex_unlock (&self->lock);

  if (handle == NULL)
    set_unavailable (error, self->uri);
  return handle;
}

virDomainPtr
lodge_virt_connection_lookup (LodgeVirtConnection *self, const char *uuid, GError **error)
{
  g_autoptr (virConnect) connection = lodge_virt_connection_acquire (self, error);

  if (connection == NULL)
    return NULL;
  virDomainPtr domain = virDomainLookupByUUIDString (connection, uuid);
  if (domain == NULL && lodge_virt_error_is (VIR_ERR_NO_DOMAIN))
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND, "libvirt has no domain %s", uuid);
  else if (domain == NULL)
    lodge_virt_set_error (error, "cannot look up domain %s", uuid);
  return domain;
}

LodgeVirtConnection *
lodge_virt_connection_new (const char *uri)
{
  lodge_virt_loop_init (NULL);
  lodge_virt_error_init ();

  LodgeVirtConnection *self = g_object_new (LODGE_TYPE_VIRT_CONNECTION, NULL);
  self->uri = g_strdup (uri);
  return self;
}

static void
lodge_virt_connection_dispose (GObject *object)
{
  LodgeVirtConnection *self = LODGE_VIRT_CONNECTION (object);

  lodge_virt_connection_stop (self);
  g_weak_ref_set (&self->link->owner, NULL);
  G_OBJECT_CLASS (lodge_virt_connection_parent_class)->dispose (object);
}

static void
lodge_virt_connection_finalize (GObject *object)
{
  LodgeVirtConnection *self = LODGE_VIRT_CONNECTION (object);

  g_clear_object (&self->executor);
  link_unref (self->link);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->changed);
  g_free (self->uri);
  g_free (self->version);
  g_free (self->problem);
  G_OBJECT_CLASS (lodge_virt_connection_parent_class)->finalize (object);
}

static void
lodge_virt_connection_class_init (LodgeVirtConnectionClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GType type = G_TYPE_FROM_CLASS (klass);

  object_class->dispose = lodge_virt_connection_dispose;
  object_class->finalize = lodge_virt_connection_finalize;
  signals[SIGNAL_CONNECTED]
      = g_signal_new ("connected", type, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 0);
  signals[SIGNAL_DISCONNECTED]
      = g_signal_new ("disconnected", type, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 1,
                      G_TYPE_STRING | G_SIGNAL_TYPE_STATIC_SCOPE);
  signals[SIGNAL_DOMAIN_EVENT]
      = g_signal_new ("domain-event", type, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 3,
                      G_TYPE_STRING | G_SIGNAL_TYPE_STATIC_SCOPE, G_TYPE_INT, G_TYPE_INT);
  signals[SIGNAL_NETWORK_EVENT]
      = g_signal_new ("network-event", type, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 2,
                      G_TYPE_STRING | G_SIGNAL_TYPE_STATIC_SCOPE, G_TYPE_INT);
}

static void
lodge_virt_connection_init (LodgeVirtConnection *self)
{
  self->link = g_atomic_rc_box_new0 (Link);
  g_mutex_init (&self->link->lock);
  self->link->context = g_main_context_ref_thread_default ();
  g_weak_ref_init (&self->link->owner, self);
  self->link->events = g_array_new (FALSE, FALSE, sizeof (Event));
  self->executor = lodge_executor_new ("virt", 1);
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
}
