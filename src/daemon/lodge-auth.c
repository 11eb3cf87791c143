/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-auth.h"

#include <unistd.h>

#define POLKIT_NAME      "org.freedesktop.PolicyKit1"
#define POLKIT_PATH      "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_INTERFACE "org.freedesktop.PolicyKit1.Authority"

#define ALLOW_INTERACTION 1
#define PLAIN_TIMEOUT     10000
/* Somebody has to find a password. */
#define INTERACTIVE_TIMEOUT 300000
#define PENDING_PER_USER    32

typedef struct
{
  char *sender;
  guint32 uid;
  char *action;
  char *cancellation_id;
  gboolean interactive;
  gboolean interaction_required;
  GCancellable *cancellable; /* of the call on the bus */
} Check;

struct _LodgeAuth
{
  GObject parent;

  GDBusConnection *connection;
  LodgeBusPeers *peers;
  gboolean use_polkit;
  guint plain_ms, interactive_ms;
  guint64 last_id;
  GPtrArray *pending; /* GTask, not owned */
};

G_DEFINE_FINAL_TYPE (LodgeAuth, lodge_auth, G_TYPE_OBJECT)

static void
check_free (Check *check)
{
  g_free (check->sender);
  g_free (check->action);
  g_free (check->cancellation_id);
  g_clear_object (&check->cancellable);
  g_free (check);
}

gboolean
lodge_auth_is_trusted (guint32 uid)
{
  return uid == 0 || uid == geteuid ();
}

/* polkit shows the dialog until it is told that nobody waits for the answer any more. */
static void
tell_cancelled (LodgeAuth *self, const Check *check)
{
  g_dbus_connection_call (self->connection, POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE,
                          "CancelCheckAuthorization", g_variant_new ("(s)", check->cancellation_id),
                          NULL, G_DBUS_CALL_FLAGS_NO_AUTO_START, -1, NULL, NULL, NULL);
}

static void
on_peer_left (LodgeBusPeers *peers, const char *sender, LodgeAuth *self)
{
  for (guint i = 0; i < self->pending->len; i++)
    {
      Check *check = g_task_get_task_data (self->pending->pdata[i]);

      if (g_str_equal (check->sender, sender))
        g_cancellable_cancel (check->cancellable);
    }
}

static gboolean
read_answer (GVariant *reply, Check *check, GError **error)
{
  gboolean authorized, challenge;
  g_autoptr (GVariant) details = NULL;

  g_variant_get (reply, "((bb@a{ss}))", &authorized, &challenge, &details);
  if (authorized)
    return TRUE;
  if (g_variant_lookup (details, "polkit.dismissed", "&s", NULL))
    {
      g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_CANCELLED,
                           "the request for authorisation was dismissed");
      return FALSE;
    }
  check->interaction_required = challenge && !check->interactive;
  g_set_error (
      error, LODGE_ERROR, LODGE_ERROR_NOT_AUTHORIZED, "not authorised for %s%s", check->action,
      challenge ? "\nit needs an administrator's password: use sudo, or run it on a terminal" : "");
  return FALSE;
}

static GError *
explain_failure (LodgeAuth *self, const Check *check, const GError *cause)
{
  if (g_cancellable_is_cancelled (check->cancellable))
    return g_error_new_literal (LODGE_ERROR, LODGE_ERROR_CANCELLED,
                                "the caller left the bus before polkit had answered");
  g_info ("polkit cannot be asked about %s: %s", check->action, cause->message);
  return g_error_new (LODGE_ERROR, LODGE_ERROR_NOT_AUTHORIZED,
                      "not authorised for %s: polkit cannot be asked\n"
                      "root may always; see whether polkitd runs",
                      check->action);
}

static void
on_answer (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  LodgeAuth *self = g_task_get_source_object (task);
  Check *check = g_task_get_task_data (task);
  g_autoptr (GError) cause = NULL;
  GError *error = NULL;
  g_autoptr (GVariant) reply
      = g_dbus_connection_call_finish (G_DBUS_CONNECTION (source), result, &cause);

  g_ptr_array_remove_fast (self->pending, task);
  if (reply == NULL)
    {
      if (g_error_matches (cause, G_IO_ERROR, G_IO_ERROR_CANCELLED)
          || g_error_matches (cause, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
        tell_cancelled (self, check);
      g_task_return_error (task, explain_failure (self, check, cause));
    }
  else if (read_answer (reply, check, &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

static guint
count_of_user (LodgeAuth *self, guint32 uid)
{
  guint count = 0;

  for (guint i = 0; i < self->pending->len; i++)
    count += ((Check *) g_task_get_task_data (self->pending->pdata[i]))->uid == uid;
  return count;
}

static GVariant *
build_call (const Check *check, GVariant *details)
{
  GVariantBuilder subject;

  g_variant_builder_init (&subject, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&subject, "{sv}", "name", g_variant_new_string (check->sender));
  return g_variant_new ("((sa{sv})s@a{ss}us)", "system-bus-name", &subject, check->action, details,
                        check->interactive ? ALLOW_INTERACTION : 0, check->cancellation_id);
}

void
lodge_auth_check_async (LodgeAuth *self, const LodgeAuthRequest *request,
                        GAsyncReadyCallback callback, gpointer user_data)
{
  GTask *task = g_task_new (self, NULL, callback, user_data);
  Check *check = g_new0 (Check, 1);
  g_autoptr (GVariant) details = g_variant_ref_sink (request->details);

  check->sender = g_strdup (request->sender);
  check->uid = request->uid;
  check->action = g_strdup (request->action);
  check->interactive = request->interactive;
  check->cancellation_id = g_strdup_printf ("lodge-%" G_GUINT64_FORMAT, ++self->last_id);
  check->cancellable = g_cancellable_new ();
  g_task_set_task_data (task, check, (GDestroyNotify) check_free);

  if (lodge_auth_is_trusted (check->uid))
    g_task_return_boolean (task, TRUE);
  else if (!self->use_polkit)
    g_task_return_new_error (task, LODGE_ERROR, LODGE_ERROR_NOT_AUTHORIZED,
                             "only user %u may use this lodged", (guint) geteuid ());
  else if (count_of_user (self, check->uid) >= PENDING_PER_USER)
    g_task_return_new_error (task, LODGE_ERROR, LODGE_ERROR_LIMIT_EXCEEDED,
                             "user %u has %d requests that wait for authorisation already",
                             check->uid, PENDING_PER_USER);
  else
    {
      g_ptr_array_add (self->pending, task);
      g_dbus_connection_call (self->connection, POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE,
                              "CheckAuthorization", build_call (check, details),
                              G_VARIANT_TYPE ("((bba{ss}))"), G_DBUS_CALL_FLAGS_NONE,
                              (int) (check->interactive ? self->interactive_ms : self->plain_ms),
                              check->cancellable, on_answer, g_object_ref (task));
    }
  g_object_unref (task);
}

gboolean
lodge_auth_check_finish (LodgeAuth *self, GAsyncResult *result, gboolean *out_interaction_required,
                         GError **error)
{
  Check *check = g_task_get_task_data (G_TASK (result));

  if (out_interaction_required != NULL)
    *out_interaction_required = check->interaction_required;
  return g_task_propagate_boolean (G_TASK (result), error);
}

guint
lodge_auth_count_pending (LodgeAuth *self)
{
  return self->pending->len;
}

void
lodge_auth_set_timeouts (LodgeAuth *self, guint plain_ms, guint interactive_ms)
{
  self->plain_ms = plain_ms;
  self->interactive_ms = interactive_ms;
}

LodgeAuth *
lodge_auth_new (GDBusConnection *connection, LodgeBusPeers *peers, gboolean use_polkit)
{
  LodgeAuth *self = g_object_new (LODGE_TYPE_AUTH, NULL);

  self->connection = g_object_ref (connection);
  self->peers = g_object_ref (peers);
  self->use_polkit = use_polkit;
  g_signal_connect_object (peers, "left", G_CALLBACK (on_peer_left), self, 0);
  return self;
}

static void
lodge_auth_finalize (GObject *object)
{
  LodgeAuth *self = LODGE_AUTH (object);

  g_ptr_array_unref (self->pending);
  g_clear_object (&self->peers);
  g_clear_object (&self->connection);
  G_OBJECT_CLASS (lodge_auth_parent_class)->finalize (object);
}

static void
lodge_auth_class_init (LodgeAuthClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = lodge_auth_finalize;
}

static void
lodge_auth_init (LodgeAuth *self)
{
  self->plain_ms = PLAIN_TIMEOUT;
  self->interactive_ms = INTERACTIVE_TIMEOUT;
  self->pending = g_ptr_array_new ();
}
