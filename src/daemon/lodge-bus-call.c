/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-bus-object.h"

#include <gio/gunixfdlist.h>
#include <unistd.h>

#include "lodge-bus-private.h"

/*
 * The way of a call: policy row → who calls → may they → the object, looked up again → run.
 * Nothing of the arguments is read, and nothing is made, before the answer of the third step.
 */

#define PROPERTIES           "org.freedesktop.DBus.Properties"
#define INTERACTION_REQUIRED "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"

const char *
lodge_bus_call_get_sender (LodgeBusCall *call)
{
  const char *sender = g_dbus_method_invocation_get_sender (call->invocation);

  return sender != NULL ? sender : "";
}

GUnixFDList *
lodge_bus_call_get_fds (LodgeBusCall *call)
{
  return g_dbus_message_get_unix_fd_list (g_dbus_method_invocation_get_message (call->invocation));
}

/* ---- the end of a call ---- */

static void
call_free (LodgeBusCall *call)
{
  if (call->counted)
    lodge_bus_peers_end_call (call->bus->peers, lodge_bus_call_get_sender (call));
  g_object_unref (call->invocation);
  g_clear_pointer (&call->details, g_variant_unref);
  g_clear_error (&call->error);
  g_free (call->node);
  g_object_unref (call->bus);
  g_free (call);
}

void
lodge_bus_call_return (LodgeBusCall *call, GVariant *result)
{
  g_dbus_method_invocation_return_value (g_object_ref (call->invocation), result);
  call_free (call);
}

void
lodge_bus_call_return_fds (LodgeBusCall *call, GVariant *result, const int *fds, gsize n_fds)
{
  g_autoptr (GUnixFDList) list
      = n_fds > 0 ? g_unix_fd_list_new_from_array (fds, (int) n_fds) : NULL;

  g_dbus_method_invocation_return_value_with_unix_fd_list (g_object_ref (call->invocation), result,
                                                           list);
  call_free (call);
}

static void
audit (LodgeBusCall *call, const GError *error)
{
  g_autofree char *operation
      = g_strconcat (g_dbus_method_invocation_get_interface_name (call->invocation), ".",
                     g_dbus_method_invocation_get_method_name (call->invocation), NULL);
  const LodgeAuditRow row = { .uid = call->uid,
                              .sender = lodge_bus_call_get_sender (call),
                              .operation = operation,
                              .object = g_dbus_method_invocation_get_object_path (call->invocation),
                              .error = error };

  lodge_audit_write (call->bus->audit, &row);
}

static void
answer_failure (LodgeBusCall *call)
{
  GError *error = g_steal_pointer (&call->error);

  if (error->code == LODGE_ERROR_NOT_AUTHORIZED)
    g_message ("refused %s.%s on '%s' for %s (user %d): %s", call->interface->info->name,
               g_dbus_method_invocation_get_method_name (call->invocation), call->node,
               lodge_bus_call_get_sender (call), (int) call->uid, error->message);
  if (!g_utf8_validate (error->message, -1, NULL))
    {
      char *message = g_utf8_make_valid (error->message, -1);
      g_free (error->message);
      error->message = message;
    }
  audit (call, error);
  g_dbus_method_invocation_take_error (g_object_ref (call->invocation), error);
  call_free (call);
}

static void
on_refused_uid (GObject *source, GAsyncResult *result, gpointer user_data)
{
  LodgeBusCall *call = user_data;

  if (!lodge_bus_peers_get_uid_finish (LODGE_BUS_PEERS (source), result, &call->uid, NULL))
    call->uid = G_MAXUINT32;
  answer_failure (call);
}

/* Who may call is not asked when everybody may; but whom something was refused to, the audit log
 * has to know, and only who waits for an answer can still be asked for. */
void
lodge_bus_call_fail (LodgeBusCall *call, GError *error)
{
  LodgeBusPeers *peers = call->bus->peers;
  const char *sender = lodge_bus_call_get_sender (call);

  call->error = lodge_error_normalize (error);
  if (call->uid != G_MAXUINT32 || !lodge_audit_is_refusal (call->error)
      || lodge_bus_peers_peek_uid (peers, sender, &call->uid) || !call->counted)
    answer_failure (call);
  else
    lodge_bus_peers_get_uid_async (peers, sender, on_refused_uid, call);
}

void
lodge_bus_call_drop (LodgeBusCall *call)
{
  call_free (call);
}

/* ---- properties ---- */

static const LodgeBusProperty *
find_property (const LodgeBusInterface *interface, const char *name)
{
  for (gsize i = 0; interface->properties != NULL && interface->properties[i].name != NULL; i++)
    if (g_str_equal (interface->properties[i].name, name))
      return &interface->properties[i];
  return NULL;
}

static gboolean
asks_for_secret (LodgeBusCall *call, const char *name)
{
  for (gsize i = 0;
       call->interface->properties != NULL && call->interface->properties[i].name != NULL; i++)
    if ((call->interface->properties[i].flags & LODGE_PROPERTY_SECRET) != 0
        && (name == NULL || g_str_equal (name, call->interface->properties[i].name)))
      return TRUE;
  return FALSE;
}

/* The property that Get is about, or NULL for GetAll. */
static const char *
property_name (LodgeBusCall *call)
{
  const char *name = NULL;

  if (g_variant_n_children (call->parameters) > 1)
    g_variant_get_child (call->parameters, 1, "&s", &name);
  return name;
}

static void
run_properties (LodgeBusCall *call)
{
  const char *name = property_name (call);
  gboolean trusted = call->uid != G_MAXUINT32 && lodge_auth_is_trusted (call->uid);

  if (name == NULL)
    {
      GVariant *all = lodge_bus_object_read (call->bus, call->interface, call->object, trusted);
      lodge_bus_call_return (call, g_variant_new ("(@a{sv})", all));
      return;
    }

  const LodgeBusProperty *property = find_property (call->interface, name);
  if (property == NULL)
    lodge_bus_call_fail (
        call, g_error_new (LODGE_ERROR, LODGE_ERROR_NOT_FOUND, "there is no property %s", name));
  else
    lodge_bus_call_return (call,
                           g_variant_new ("(v)", property->get (call->bus, call->object, trusted)));
}

/* ---- methods ---- */

/* What polkit was asked about must still be what it is: a rename in between would make a rule
 * that goes by names say yes to another machine. */
static gboolean
is_still_the_same (LodgeBusCall *call)
{
  g_autoptr (GVariant) now = NULL;

  if (call->details == NULL)
    return TRUE;
  now = g_variant_ref_sink (call->interface->details (call->object));
  return g_variant_equal (now, call->details);
}

static void
run (LodgeBusCall *call)
{
  GError *error = NULL;

  call->object = call->interface->find (call->bus, call->node, &error);
  if (call->object == NULL)
    lodge_bus_call_fail (call, error);
  else if (call->method == NULL)
    run_properties (call);
  else if (!is_still_the_same (call))
    lodge_bus_call_fail (call, g_error_new_literal (LODGE_ERROR, LODGE_ERROR_CONFLICT,
                                                    "the object changed while authorisation was "
                                                    "asked for\ntry again"));
  else
    call->method->run (call);
}

static void
on_checked (GObject *source, GAsyncResult *result, gpointer user_data)
{
  LodgeBusCall *call = user_data;
  gboolean interaction_required;
  GError *error = NULL;

  if (lodge_auth_check_finish (LODGE_AUTH (source), result, &interaction_required, &error))
    {
      run (call);
      return;
    }
  if (interaction_required)
    {
      audit (call, error);
      g_dbus_method_invocation_return_dbus_error (g_object_ref (call->invocation),
                                                  INTERACTION_REQUIRED, error->message);
      g_error_free (error);
      call_free (call);
      return;
    }
  lodge_bus_call_fail (call, error);
}

static void
ask_polkit (LodgeBusCall *call)
{
  GDBusMessage *message = g_dbus_method_invocation_get_message (call->invocation);
  LodgeAuthRequest request = {
    .sender = lodge_bus_call_get_sender (call),
    .uid = call->uid,
    .action = call->policy->action,
    .interactive
    = (g_dbus_message_get_flags (message) & G_DBUS_MESSAGE_FLAGS_ALLOW_INTERACTIVE_AUTHORIZATION)
      != 0,
  };

  if (call->interface->details != NULL)
    call->details = g_variant_ref_sink (call->interface->details (call->object));
  request.details = call->details != NULL ? call->details
                                          : g_variant_new_array (G_VARIANT_TYPE ("{ss}"), NULL, 0);
  call->object = NULL;
  lodge_auth_check_async (call->bus->auth, &request, on_checked, call);
}

static gboolean
is_owner (LodgeBusCall *call)
{
  return call->interface->owner != NULL && call->interface->owner (call->object) == call->uid;
}

static void
authorize (LodgeBusCall *call)
{
  GError *error = NULL;
  gboolean is_free
      = call->method == NULL
        || (call->policy->action == NULL && (call->policy->flags & LODGE_POLICY_OWNER) == 0);

  if (is_free || lodge_auth_is_trusted (call->uid))
    {
      run (call);
      return;
    }
  call->object = call->interface->find (call->bus, call->node, &error);
  if (call->object == NULL)
    lodge_bus_call_fail (call, error);
  else if ((call->policy->flags & (LODGE_POLICY_OWN_FREE | LODGE_POLICY_OWNER)) != 0
           && is_owner (call))
    call->method->run (call);
  else if (call->policy->action == NULL)
    lodge_bus_call_fail (call, g_error_new_literal (LODGE_ERROR, LODGE_ERROR_NOT_AUTHORIZED,
                                                    "it belongs to another user"));
  else
    ask_polkit (call);
}

static void
on_uid (GObject *source, GAsyncResult *result, gpointer user_data)
{
  LodgeBusCall *call = user_data;
  GError *error = NULL;

  if (lodge_bus_peers_get_uid_finish (LODGE_BUS_PEERS (source), result, &call->uid, &error))
    authorize (call);
  else
    lodge_bus_call_fail (call, error);
}

/* ---- the beginning ---- */

static gboolean
needs_uid (LodgeBusCall *call)
{
  if (call->method == NULL)
    return asks_for_secret (call, property_name (call));
  return call->policy->action != NULL || (call->policy->flags & LODGE_POLICY_OWNER) != 0
         || call->interface == &lodge_bus_objects;
}

/* A caller must not be able to make us hold files that nobody asked for (or to have us run out of
 * descriptors while a dialog is open). */
static void
close_unwanted_fds (LodgeBusCall *call)
{
  GUnixFDList *list = lodge_bus_call_get_fds (call);
  g_autofree int *fds = NULL;
  int n_fds = 0;

  if (list == NULL)
    return;
  fds = g_unix_fd_list_steal_fds (list, &n_fds);
  for (int i = 0; i < n_fds; i++)
    close (fds[i]);
}

static const LodgeBusMethod *
find_method (const LodgeBusInterface *interface, const char *name)
{
  for (gsize i = 0; interface->methods != NULL && interface->methods[i].name != NULL; i++)
    if (g_str_equal (interface->methods[i].name, name))
      return &interface->methods[i];
  return NULL;
}

void
lodge_bus_call_begin (LodgeBus *bus, const LodgeBusInterface *interface, const char *node,
                      const char *interface_name, const char *method_name,
                      GDBusMethodInvocation *invocation)
{
  LodgeBusCall *call = g_new0 (LodgeBusCall, 1);
  gboolean is_property = g_str_equal (interface_name, PROPERTIES);

  call->bus = g_object_ref (bus);
  call->interface = interface;
  call->invocation = invocation;
  call->parameters = g_dbus_method_invocation_get_parameters (invocation);
  call->node = g_strdup (node);
  call->uid = G_MAXUINT32;
  call->counted = lodge_bus_peers_begin_call (bus->peers, lodge_bus_call_get_sender (call));
  if (!is_property)
    {
      call->method = find_method (interface, method_name);
      call->policy = lodge_bus_policy_find (interface->info->name, method_name);
    }

  if (call->policy == NULL || (call->policy->flags & LODGE_POLICY_TAKES_FDS) == 0)
    close_unwanted_fds (call);
  if (!call->counted)
    lodge_bus_call_fail (call, g_error_new (LODGE_ERROR, LODGE_ERROR_LIMIT_EXCEEDED,
                                            "%s has too many calls without an answer",
                                            lodge_bus_call_get_sender (call)));
  else if (!is_property && (call->method == NULL || call->policy == NULL))
    lodge_bus_call_fail (call, g_error_new (LODGE_ERROR, LODGE_ERROR_NOT_AUTHORIZED,
                                            "nobody may call %s", method_name));
  else if (!needs_uid (call))
    run (call);
  else if (lodge_bus_peers_peek_uid (bus->peers, lodge_bus_call_get_sender (call), &call->uid))
    authorize (call);
  else
    lodge_bus_peers_get_uid_async (bus->peers, lodge_bus_call_get_sender (call), on_uid, call);
}
