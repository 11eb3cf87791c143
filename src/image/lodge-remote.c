/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-remote-private.h"

#include <string.h>

#include "lodge-json.h"
#include "lodge-name.h"

#define NAME_MAX_LENGTH 32
#define URL_MAX_LENGTH  1024

static const char *const protocols[] = {
  [LODGE_REMOTE_SIMPLESTREAMS] = "simplestreams",
  [LODGE_REMOTE_URL] = "url",
  [LODGE_REMOTE_BUILD] = "build",
};

const char *
lodge_remote_protocol_nick (LodgeRemoteProtocol protocol)
{
  return protocols[protocol];
}

gboolean
lodge_remote_protocol_from_nick (const char *nick, LodgeRemoteProtocol *out_protocol)
{
  for (gsize i = 0; i < G_N_ELEMENTS (protocols); i++)
    if (strcmp (protocols[i], nick) == 0)
      {
        *out_protocol = (LodgeRemoteProtocol) i;
        return TRUE;
      }
  return FALSE;
}

LodgeRemote *
lodge_remote_new (const char *name, LodgeRemoteProtocol protocol, const char *url)
{
  LodgeRemote *remote = g_new0 (LodgeRemote, 1);
  gsize length = strlen (url);

  while (length > 0 && url[length - 1] == '/')
    length--;
  remote->name = g_strdup (name);
  remote->protocol = protocol;
  remote->url = g_strndup (url, length);
  remote->mirrors = g_new0 (char *, 1);
  remote->proxy = g_strdup ("");
  return remote;
}

LodgeRemote *
lodge_remote_copy (const LodgeRemote *remote)
{
  LodgeRemote *copy = g_memdup2 (remote, sizeof *remote);

  copy->name = g_strdup (remote->name);
  copy->url = g_strdup (remote->url);
  copy->mirrors = g_strdupv (remote->mirrors);
  copy->proxy = g_strdup (remote->proxy);
  return copy;
}

void
lodge_remote_free (LodgeRemote *remote)
{
  if (remote == NULL)
    return;
  g_free (remote->name);
  g_free (remote->url);
  g_strfreev (remote->mirrors);
  g_free (remote->proxy);
  g_free (remote);
}

/* ---- validation ---- */

gboolean
lodge_remote_name_validate (const char *name, GError **error)
{
  gsize length = strlen (name);

  if (length > 0 && length <= NAME_MAX_LENGTH && g_ascii_isalnum (name[0])
      && strspn (name, "abcdefghijklmnopqrstuvwxyz0123456789-") == length)
    return TRUE;
  g_autofree char *head = g_strndup (name, 80);
  g_autofree char *shown = lodge_text_escape (head);
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_NAME,
               "“%s” is no name for a remote\nIt is made of a-z, 0-9 and -, %d at most.", shown,
               NAME_MAX_LENGTH);
  return FALSE;
}

static const char *
find_fault (const char *url, gboolean allow_http)
{
  g_autoptr (GUri) uri = NULL;

  if (strlen (url) > URL_MAX_LENGTH)
    return "is too long";
  for (const char *p = url; *p != '\0'; p++)
    if (*p <= 0x20 || *p >= 0x7f || strchr ("\"<>\\^`{|}", *p) != NULL)
      return "has characters that an address cannot have";
  uri = g_uri_parse (url, G_URI_FLAGS_ENCODED | G_URI_FLAGS_HAS_PASSWORD, NULL);
  if (uri == NULL || g_uri_get_host (uri) == NULL || *g_uri_get_host (uri) == '\0')
    return "is no absolute address";
  if (strcmp (g_uri_get_scheme (uri), "https") != 0
      && !(allow_http && strcmp (g_uri_get_scheme (uri), "http") == 0))
    return allow_http ? "does not begin with https:// or http://" : "does not begin with https://";
  if (g_uri_get_userinfo (uri) != NULL)
    return "has a user name, which would be shown to everybody";
  if (g_uri_get_fragment (uri) != NULL)
    return "has a fragment";
  return NULL;
}

gboolean
lodge_remote_url_validate (const char *url, gboolean allow_http, const char *what, GError **error)
{
  const char *fault = find_fault (url, allow_http);

  if (fault == NULL)
    return TRUE;
  g_autofree char *head = g_strndup (url, 200);
  g_autofree char *shown = lodge_text_escape (head);
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT, "%s “%s” %s", what, shown, fault);
  return FALSE;
}

gboolean
lodge_remote_proxy_validate (const char *proxy, GError **error)
{
  g_autoptr (GUri) uri = *proxy != '\0' ? g_uri_parse (proxy, G_URI_FLAGS_ENCODED, NULL) : NULL;
  static const char *const schemes[] = { "http", "https", "socks5h", "socks5", NULL };

  if (*proxy == '\0')
    return TRUE;
  if (uri != NULL && strlen (proxy) <= URL_MAX_LENGTH
      && g_strv_contains (schemes, g_uri_get_scheme (uri)) && g_uri_get_host (uri) != NULL
      && g_str_is_ascii (proxy))
    return TRUE;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
               "The address of the proxy is none\nfor example http://proxy.example.com:3128");
  return FALSE;
}

gboolean
lodge_remote_validate (const LodgeRemote *remote, GError **error)
{
  if (!lodge_remote_name_validate (remote->name, error)
      || !lodge_remote_url_validate (remote->url, remote->allow_http, "The address", error)
      || !lodge_remote_proxy_validate (remote->proxy, error))
    return FALSE;
  if (strchr (remote->url, '?') != NULL)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                   "The address of a remote cannot have a query");
      return FALSE;
    }
  for (char **mirror = remote->mirrors; *mirror != NULL; mirror++)
    if (!lodge_remote_url_validate (*mirror, remote->allow_http, "The mirror", error))
      return FALSE;
  if (g_strv_length (remote->mirrors) < LODGE_REMOTE_MIRRORS_MAX)
    return TRUE;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_LIMIT_EXCEEDED, "A remote can have %d mirrors",
               LODGE_REMOTE_MIRRORS_MAX - 1);
  return FALSE;
}

/* ---- documents ---- */

char *
lodge_remote_to_document (const LodgeRemote *remote)
{
  g_autoptr (JsonObject) object = json_object_new ();
  JsonArray *mirrors = json_array_new ();

  for (char **mirror = remote->mirrors; *mirror != NULL; mirror++)
    json_array_add_string_element (mirrors, *mirror);
  json_object_set_string_member (object, "protocol", lodge_remote_protocol_nick (remote->protocol));
  json_object_set_string_member (object, "url", remote->url);
  json_object_set_array_member (object, "mirrors", mirrors);
  json_object_set_string_member (object, "proxy", remote->proxy);
  json_object_set_boolean_member (object, "allow-http", remote->allow_http);
  json_object_set_boolean_member (object, "allow-private", remote->allow_private);
  json_object_set_boolean_member (object, "ca", remote->has_ca);
  json_object_set_boolean_member (object, "keyring", remote->has_keyring);
  return lodge_json_to_text (object);
}

LodgeRemote *
lodge_remote_from_object (const char *name, JsonObject *object)
{
  JsonArray *mirrors = lodge_json_get_array (object, "mirrors");
  LodgeRemoteProtocol protocol;

  if (!lodge_remote_name_validate (name, NULL)
      || !lodge_remote_protocol_from_nick (lodge_json_get_string (object, "protocol", ""),
                                           &protocol))
    return NULL;
  LodgeRemote *remote
      = lodge_remote_new (name, protocol, lodge_json_get_string (object, "url", ""));
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  for (guint i = 0; mirrors != NULL && i < json_array_get_length (mirrors); i++)
    if (json_node_get_value_type (json_array_get_element (mirrors, i)) == G_TYPE_STRING)
      g_strv_builder_add (builder, json_array_get_string_element (mirrors, i));
  g_strfreev (remote->mirrors);
  remote->mirrors = g_strv_builder_end (builder);
  lodge_image_set_string (&remote->proxy, lodge_json_get_string (object, "proxy", ""));
  remote->allow_http = lodge_json_get_bool (object, "allow-http", FALSE);
  remote->allow_private = lodge_json_get_bool (object, "allow-private", FALSE);
  remote->has_ca = lodge_json_get_bool (object, "ca", FALSE);
  remote->has_keyring = lodge_json_get_bool (object, "keyring", FALSE);
  return remote;
}
