/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-client.h"

#include <string.h>
#include <sys/stat.h>

#include "lodge-name.h"

#define BUS_NAME     "org.freedesktop.DBus"
#define BUS_PATH     "/org/freedesktop/DBus"
#define PRIVATE_BUS  LODGE_DEFAULT_RUN_DIR "/bus"
#define SYSTEM_BUS   "unix:path=/run/dbus/system_bus_socket"
#define ERROR_PREFIX "org.lodge1.Error."
#define DBUS_PREFIX  "org.freedesktop.DBus.Error."
#define START_HINT                                                                                 \
  "start it with \"systemctl start lodged\", or with data/quickstart where there is no systemd"

struct _LodgeClient
{
  LodgeConnection *bus;
  char *owner; /* unique name of the service; NULL: not asked yet, "": none */
};

typedef struct
{
  const char *name; /* without DBUS_PREFIX */
  LodgeErrorCode code;
  const char *message; /* NULL: the one of the bus */
} BusErrorRow;

#define NOT_RUNNING "The Lodge service is not running.\n" START_HINT

/* What the bus itself, or GDBus on the other side, says. */
static const BusErrorRow bus_errors[] = {
  { "ServiceUnknown", LODGE_ERROR_DAEMON_UNREACHABLE, NOT_RUNNING },
  { "NameHasNoOwner", LODGE_ERROR_DAEMON_UNREACHABLE, NOT_RUNNING },
  { "NoReply", LODGE_ERROR_DAEMON_UNREACHABLE,
    "The Lodge service ended before it answered.\n"
    "\"lodge job list --all\" tells what became of the work when it is back" },
  { "Disconnected", LODGE_ERROR_DAEMON_UNREACHABLE, NULL },
  { "NoServer", LODGE_ERROR_DAEMON_UNREACHABLE, NULL },
  { "AccessDenied", LODGE_ERROR_NOT_AUTHORIZED, NULL },
  { "AuthFailed", LODGE_ERROR_NOT_AUTHORIZED, NULL },
  { "InteractiveAuthorizationRequired", LODGE_ERROR_NOT_AUTHORIZED, NULL },
  { "UnknownObject", LODGE_ERROR_NOT_FOUND, "The object is not there any more." },
  { "UnknownMethod", LODGE_ERROR_NOT_SUPPORTED,
    "The Lodge service does not know this request.\nit may be older than this lodge" },
  { "UnknownInterface", LODGE_ERROR_NOT_SUPPORTED,
    "The Lodge service does not know this request.\nit may be older than this lodge" },
  { "InvalidArgs", LODGE_ERROR_INVALID_ARGUMENT, NULL },
  { "LimitsExceeded", LODGE_ERROR_LIMIT_EXCEEDED, NULL },
  { "Timeout", LODGE_ERROR_TIMED_OUT, NULL },
  { "TimedOut", LODGE_ERROR_TIMED_OUT, NULL },
};

char *
lodge_client_choose_address (void)
{
  const char *from_env = g_getenv ("LODGE_BUS_ADDRESS");
  struct stat info;

  if (from_env != NULL && from_env[0] != '\0')
    return g_strdup (from_env);
  if (lstat (PRIVATE_BUS, &info) == 0 && S_ISSOCK (info.st_mode) && info.st_uid == 0)
    return g_strdup ("unix:path=" PRIVATE_BUS);
  from_env = g_getenv ("DBUS_SYSTEM_BUS_ADDRESS");
  return g_strdup (from_env != NULL && from_env[0] != '\0' ? from_env : SYSTEM_BUS);
}

LodgeClient *
lodge_client_open (GError **error)
{
  g_autofree char *address = lodge_client_choose_address ();
  g_autoptr (GError) local_error = NULL;
  LodgeConnection *bus = lodge_connection_open (address, &local_error);

  if (bus == NULL)
    {
      const char *hint = local_error->code == LODGE_ERROR_DAEMON_UNREACHABLE ? "\n" START_HINT : "";
      g_set_error (error, LODGE_ERROR, local_error->code, "%s%s", local_error->message, hint);
      return NULL;
    }
  LodgeClient *self = g_new0 (LodgeClient, 1);
  self->bus = bus;
  return self;
}

void
lodge_client_close (LodgeClient *self)
{
  if (self == NULL)
    return;
  lodge_connection_close (self->bus);
  g_free (self->owner);
  g_free (self);
}

LodgeConnection *
lodge_client_get_connection (LodgeClient *self)
{
  return self->bus;
}

guint32
lodge_client_send (LodgeClient *self, const char *path, const char *interface, const char *method,
                   GVariant *body, const int *fds, guint n_fds, GError **error)
{
  g_autofree char *whole = NULL;

  if (strchr (interface, '.') == NULL)
    whole = g_strconcat (LODGE_BUS_NAME ".", interface, NULL);
  return lodge_connection_send (self->bus, LODGE_BUS_NAME, path, whole != NULL ? whole : interface,
                                method, body, fds, n_fds, error);
}

static const char *
message_text (LodgeMessage *reply)
{
  const char *text = NULL;

  if (g_variant_n_children (reply->body) > 0)
    {
      g_autoptr (GVariant) first = g_variant_get_child_value (reply->body, 0);
      if (g_variant_is_of_type (first, G_VARIANT_TYPE_STRING))
        text = g_variant_get_string (first, NULL); /* lives as long as the body does */
    }
  return text != NULL && text[0] != '\0' ? text : "The request failed.";
}

static void
set_bus_error (LodgeMessage *reply, GError **error)
{
  const char *name = reply->error_name;
  const char *text = message_text (reply);

  if (g_str_has_prefix (name, ERROR_PREFIX))
    {
      LodgeErrorCode code = lodge_error_from_nick (name + strlen (ERROR_PREFIX));
      g_set_error_literal (error, LODGE_ERROR, (int) code, text);
      return;
    }
  if (g_str_has_prefix (name, DBUS_PREFIX "Spawn."))
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_DAEMON_UNREACHABLE,
                   "The Lodge service could not be started: %s", text);
      return;
    }
  for (gsize i = 0; g_str_has_prefix (name, DBUS_PREFIX) && i < G_N_ELEMENTS (bus_errors); i++)
    if (strcmp (name + strlen (DBUS_PREFIX), bus_errors[i].name) == 0)
      {
        const BusErrorRow *row = &bus_errors[i];
        g_set_error_literal (error, LODGE_ERROR, (int) row->code,
                             row->message != NULL ? row->message : text);
        return;
      }
  g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_FAILED, text);
}

LodgeMessage *
lodge_client_check (LodgeMessage *reply, const char *reply_type, GError **error)
{
  g_autoptr (LodgeMessage) owned = reply;

  if (reply->type == LODGE_MESSAGE_ERROR)
    {
      set_bus_error (reply, error);
      return NULL;
    }
  if (!g_variant_is_of_type (reply->body, G_VARIANT_TYPE (reply_type)))
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_FAILED,
                   "The service answered with %s where %s was expected.\n"
                   "lodge and lodged are of different versions",
                   g_variant_get_type_string (reply->body), reply_type);
      return NULL;
    }
  return g_steal_pointer (&owned);
}

LodgeMessage *
lodge_client_finish (LodgeClient *self, guint32 serial, const char *reply_type, GError **error)
{
  LodgeMessage *reply = lodge_connection_wait_reply (self->bus, serial, error);

  return reply != NULL ? lodge_client_check (reply, reply_type, error) : NULL;
}

GVariant *
lodge_client_call (LodgeClient *self, const char *path, const char *interface, const char *method,
                   GVariant *body, const char *reply_type, GError **error)
{
  guint32 serial = lodge_client_send (self, path, interface, method, body, NULL, 0, error);

  if (serial == 0)
    return NULL;
  g_autoptr (LodgeMessage) reply = lodge_client_finish (self, serial, reply_type, error);
  return reply != NULL ? g_variant_ref (reply->body) : NULL;
}

char *
lodge_client_path_of_name (const char *name)
{
  if (!lodge_name_validate (name, NULL))
    return NULL;
  return g_strdelimit (g_strconcat (LODGE_OBJECT_PATH "/instance/", name, NULL), "-", '_');
}

char *
lodge_client_get_instance (LodgeClient *self, const char *name, GError **error)
{
  g_autoptr (GVariant) body = NULL;
  char *path = NULL;

  if (!g_utf8_validate (name, -1, NULL))
    {
      g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_INVALID_NAME,
                           "The name of an instance must be text.");
      return NULL;
    }
  body = lodge_client_call (self, LODGE_OBJECT_PATH, "Manager", "GetInstance",
                            g_variant_new ("(s)", name), "(o)", error);
  if (body != NULL)
    g_variant_get (body, "(o)", &path);
  return path;
}

GVariant *
lodge_client_get_properties (LodgeClient *self, const char *path, const char *interface,
                             GError **error)
{
  g_autofree char *whole = g_strconcat (LODGE_BUS_NAME ".", interface, NULL);
  g_autoptr (GVariant) body
      = lodge_client_call (self, path, "org.freedesktop.DBus.Properties", "GetAll",
                           g_variant_new ("(s)", whole), "(a{sv})", error);

  return body != NULL ? g_variant_get_child_value (body, 0) : NULL;
}

/* A call to the bus itself. */
static LodgeMessage *
call_bus (LodgeClient *self, const char *method, const char *argument, GError **error)
{
  guint32 serial = lodge_connection_send (self->bus, BUS_NAME, BUS_PATH, BUS_NAME, method,
                                          g_variant_new ("(s)", argument), NULL, 0, error);

  return serial != 0 ? lodge_connection_wait_reply (self->bus, serial, error) : NULL;
}

static gboolean
add_match (LodgeClient *self, const char *rule, GError **error)
{
  g_autoptr (LodgeMessage) reply = call_bus (self, "AddMatch", rule, error);

  if (reply != NULL)
    reply = lodge_client_check (g_steal_pointer (&reply), "()", error);
  return reply != NULL;
}

/* Subscribes to the owner's changes first: else one between the two calls would be lost. */
static gboolean
learn_owner (LodgeClient *self, GError **error)
{
  if (self->owner != NULL)
    return TRUE;
  if (!add_match (self,
                  "type='signal',sender='" BUS_NAME "',interface='" BUS_NAME
                  "',member='NameOwnerChanged',arg0='" LODGE_BUS_NAME "'",
                  error))
    return FALSE;
  g_autoptr (LodgeMessage) reply = call_bus (self, "GetNameOwner", LODGE_BUS_NAME, error);
  if (reply == NULL)
    return FALSE;
  if (reply->type == LODGE_MESSAGE_RETURN
      && g_variant_is_of_type (reply->body, G_VARIANT_TYPE ("(s)")))
    g_variant_get (reply->body, "(s)", &self->owner);
  else
    self->owner = g_strdup ("");
  return TRUE;
}

gboolean
lodge_client_subscribe (LodgeClient *self, const char *path, const char *interface,
                        const char *member, GError **error)
{
  g_autoptr (GString) rule = g_string_new ("type='signal',sender='" LODGE_BUS_NAME "'");

  g_string_append_printf (rule, ",interface='%s',member='%s'", interface, member);
  if (path != NULL)
    g_string_append_printf (rule, ",path='%s'", path);
  return learn_owner (self, error) && add_match (self, rule->str, error);
}

static void
note_owner_change (LodgeClient *self, LodgeMessage *signal)
{
  const char *name, *new_owner;

  if (g_strcmp0 (signal->member, "NameOwnerChanged") != 0
      || !g_variant_is_of_type (signal->body, G_VARIANT_TYPE ("(sss)")))
    return;
  g_variant_get (signal->body, "(&s&s&s)", &name, NULL, &new_owner);
  if (strcmp (name, LODGE_BUS_NAME) != 0)
    return;
  g_free (self->owner);
  self->owner = g_strdup (new_owner);
}

LodgeMessage *
lodge_client_take_signal (LodgeClient *self)
{
  LodgeMessage *signal;

  while ((signal = lodge_connection_take_signal (self->bus)) != NULL)
    {
      if (g_strcmp0 (signal->sender, BUS_NAME) == 0)
        note_owner_change (self, signal);
      else if (self->owner != NULL && self->owner[0] != '\0'
               && g_strcmp0 (signal->sender, self->owner) == 0)
        return signal;
      lodge_message_free (signal);
    }
  return NULL;
}

gboolean
lodge_client_is_service_up (LodgeClient *self)
{
  return self->owner == NULL || self->owner[0] != '\0';
}
