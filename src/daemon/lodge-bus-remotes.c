/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "lodge-bus-convert.h"
#include "lodge-bus-introspection.h"
#include "lodge-bus-options.h"
#include "lodge-bus-private.h"
#include "lodge-fd.h"
#include "lodge-remote.h"

static gpointer
find (LodgeBus *bus, const char *node, GError **error)
{
  return lodge_manager_get_images (bus->manager);
}

static void
add_string (GVariantBuilder *builder, const char *key, const char *value)
{
  g_variant_builder_add (builder, "{sv}", key, lodge_bus_string_to_variant (value));
}

static void
add_bool (GVariantBuilder *builder, const char *key, gboolean value)
{
  g_variant_builder_add (builder, "{sv}", key, g_variant_new_boolean (value));
}

/* ---- the table ---- */

static void
list_remotes (LodgeBusCall *call)
{
  g_autoptr (GVariant) options = g_variant_get_child_value (call->parameters, 0);
  g_autoptr (GPtrArray) remotes = NULL;
  GVariantBuilder builder;
  GError *error = NULL;

  if (!lodge_bus_options_check (options, NULL, "option", &error))
    {
      lodge_bus_call_fail (call, error);
      return;
    }
  remotes = lodge_image_store_list_remotes (call->object);
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < remotes->len; i++)
    {
      const LodgeRemote *remote = g_ptr_array_index (remotes, i);
      const char *chosen = lodge_image_store_get_default_remote (call->object);

      g_variant_builder_open (&builder, G_VARIANT_TYPE_VARDICT);
      add_string (&builder, "name", remote->name);
      add_string (&builder, "protocol", lodge_remote_protocol_nick (remote->protocol));
      add_string (&builder, "url", remote->url);
      g_variant_builder_add (&builder, "{sv}", "mirrors",
                             lodge_bus_strv_to_variant ((const char *const *) remote->mirrors));
      add_bool (&builder, "default", strcmp (remote->name, chosen) == 0);
      add_bool (&builder, "private", remote->allow_private);
      add_bool (&builder, "allow-http", remote->allow_http);
      add_bool (&builder, "authority", remote->has_ca);
      add_bool (&builder, "signed", remote->has_keyring);
      g_variant_builder_close (&builder);
    }
  lodge_bus_call_return (call, g_variant_new ("(aa{sv})", &builder));
}

static GBytes *
get_bytes (GVariant *options, const char *name)
{
  g_autoptr (GVariant) value = g_variant_lookup_value (options, name, G_VARIANT_TYPE_BYTESTRING);

  return value != NULL ? g_variant_get_data_as_bytes (value) : NULL;
}

static void
read_remote (LodgeRemote *remote, GVariant *options)
{
  const char *proxy = lodge_bus_options_get_string (options, "proxy");
  g_autofree const char **mirrors = lodge_bus_options_get_strings (options, "mirrors");

  remote->allow_http = lodge_bus_options_get_bool (options, "allow-http");
  remote->allow_private = lodge_bus_options_get_bool (options, "private");
  if (proxy != NULL)
    {
      g_free (remote->proxy);
      remote->proxy = g_strdup (proxy);
    }
  if (mirrors != NULL)
    {
      g_strfreev (remote->mirrors);
      remote->mirrors = g_strdupv ((char **) mirrors);
    }
}

static void
add_remote (LodgeBusCall *call)
{
  static const LodgeBusOption known[]
      = { { "protocol", "s" },   { "mirrors", "as" },   { "proxy", "s" },    { "private", "b" },
          { "allow-http", "b" }, { "authority", "ay" }, { "keyring", "ay" }, { NULL } };
  LodgeRemoteProtocol protocol = LODGE_REMOTE_SIMPLESTREAMS;
  g_autoptr (LodgeRemote) remote = NULL;
  g_autoptr (GVariant) options = NULL;
  g_autoptr (GBytes) ca = NULL;
  g_autoptr (GBytes) keyring = NULL;
  const char *name, *url, *nick;
  GError *error = NULL;

  g_variant_get (call->parameters, "(&s&s@a{sv})", &name, &url, &options);
  if (!lodge_bus_options_check (options, known, "option", &error))
    {
      lodge_bus_call_fail (call, error);
      return;
    }
  nick = lodge_bus_options_get_string (options, "protocol");
  if (nick != NULL && !lodge_remote_protocol_from_nick (nick, &protocol))
    {
      lodge_bus_call_fail (call, g_error_new (LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                                              "there is no such protocol of a remote\nthere are "
                                              "simplestreams and url"));
      return;
    }
  remote = lodge_remote_new (name, protocol, url);
  ca = get_bytes (options, "authority");
  keyring = get_bytes (options, "keyring");
  read_remote (remote, options);
  if (lodge_image_store_add_remote (call->object, remote, ca, keyring, &error))
    lodge_bus_call_return (call, NULL);
  else
    lodge_bus_call_fail (call, error);
}

typedef gboolean (*ChangeFunc) (LodgeImageStore *images, const char *name, GError **error);

static void
change (LodgeBusCall *call, ChangeFunc func)
{
  g_autoptr (GVariant) options = NULL;
  GError *error = NULL;
  const char *name;

  g_variant_get (call->parameters, "(&s@a{sv})", &name, &options);
  if (lodge_bus_options_check (options, NULL, "option", &error)
      && func (call->object, name, &error))
    lodge_bus_call_return (call, NULL);
  else
    lodge_bus_call_fail (call, error);
}

static void
remove_remote (LodgeBusCall *call)
{
  change (call, lodge_image_store_remove_remote);
}

static void
set_default (LodgeBusCall *call)
{
  change (call, lodge_image_store_set_default_remote);
}

/* ---- what they have ---- */

typedef struct
{
  LodgeBusCall *call;
  char *remote;
  char **words;
  char *architecture;
  gboolean any_kind;
  LodgeKind kind;
} Listing;

static void
listing_free (Listing *listing)
{
  g_free (listing->remote);
  g_strfreev (listing->words);
  g_free (listing->architecture);
  g_free (listing);
}

static gboolean
has_property (const LodgeCatalogEntry *entry, const char *word)
{
  const struct
  {
    const char *name;
    const char *value;
  } properties[] = { { "os=", entry->os },           { "release=", entry->release },
                     { "variant=", entry->variant }, { "serial=", entry->serial },
                     { "arch=", entry->machine },    { "kind=", lodge_kind_nick (entry->kind) } };

  for (gsize i = 0; i < G_N_ELEMENTS (properties); i++)
    if (g_str_has_prefix (word, properties[i].name))
      return g_ascii_strcasecmp (word + strlen (properties[i].name), properties[i].value) == 0;
  return FALSE;
}

static gboolean
matches (const LodgeCatalogEntry *entry, const char *word)
{
  for (char **alias = entry->aliases; *alias != NULL; alias++)
    if (strstr (*alias, word) != NULL)
      return TRUE;
  return has_property (entry, word)
         || (strlen (word) >= 6 && g_str_has_prefix (entry->fingerprint, word));
}

static gboolean
is_wanted (const Listing *listing, const LodgeCatalogEntry *entry)
{
  if (!listing->any_kind && entry->kind != listing->kind)
    return FALSE;
  if (strcmp (listing->architecture, "all") != 0
      && strcmp (listing->architecture, entry->machine) != 0)
    return FALSE;
  for (char **word = listing->words; *word != NULL; word++)
    if (!matches (entry, *word))
      return FALSE;
  return TRUE;
}

static void
add_entry (GVariantBuilder *builder, const Listing *listing, const LodgeCatalogEntry *entry)
{
  const char *shortest = entry->aliases[0];
  g_autofree char *description = g_strdup_printf (
      "%s %s%s%s", entry->os, entry->title,
      *entry->variant == '\0' || strcmp (entry->variant, "default") == 0 ? "" : " ",
      strcmp (entry->variant, "default") == 0 ? "" : entry->variant);

  for (char **alias = entry->aliases; *alias != NULL; alias++)
    if (strlen (*alias) < strlen (shortest))
      shortest = *alias;
  g_autofree char *name = g_strconcat (listing->remote, ":", shortest, NULL);
  g_variant_builder_open (builder, G_VARIANT_TYPE_VARDICT);
  add_string (builder, "name", name);
  g_variant_builder_add (builder, "{sv}", "aliases",
                         lodge_bus_strv_to_variant ((const char *const *) entry->aliases));
  add_string (builder, "fingerprint", entry->fingerprint);
  add_string (builder, "kind", lodge_kind_nick (entry->kind));
  add_string (builder, "architecture", entry->machine);
  add_string (builder, "serial", entry->serial);
  g_variant_builder_add (builder, "{sv}", "size",
                         g_variant_new_uint64 (entry->meta_size + entry->root_size));
  add_string (builder, "description", description);
  add_string (builder, "os", entry->os);
  add_string (builder, "release", entry->release);
  add_string (builder, "variant", entry->variant);
  g_variant_builder_close (builder);
}

static void
on_browsed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Listing *listing = user_data;
  GError *error = NULL;
  g_autoptr (GPtrArray) catalog
      = lodge_image_store_browse_finish (LODGE_IMAGE_STORE (source), result, &error);
  GVariantBuilder builder;

  if (catalog == NULL)
    lodge_bus_call_fail (listing->call, error);
  else
    {
      g_variant_builder_init (&builder, G_VARIANT_TYPE ("aa{sv}"));
      for (guint i = 0; i < catalog->len; i++)
        if (is_wanted (listing, g_ptr_array_index (catalog, i)))
          add_entry (&builder, listing, g_ptr_array_index (catalog, i));
      lodge_bus_call_return (listing->call, g_variant_new ("(aa{sv})", &builder));
    }
  listing_free (listing);
}

static void
list_images (LodgeBusCall *call)
{
  static const LodgeBusOption known[]
      = { { "filter", "as" }, { "kind", "s" }, { "architecture", "s" }, { NULL } };
  g_autoptr (GVariant) options = NULL;
  Listing *listing = g_new0 (Listing, 1);
  GError *error = NULL;
  const char *name;

  g_variant_get (call->parameters, "(&s@a{sv})", &name, &options);
  if (!lodge_bus_options_check (options, known, "option", &error)
      || !lodge_bus_kind_from_options (options, &listing->kind, &error))
    {
      lodge_bus_call_fail (call, error);
      listing_free (listing);
      return;
    }
  g_autofree const char **words = lodge_bus_options_get_strings (options, "filter");
  const char *architecture = lodge_bus_options_get_string (options, "architecture");
  listing->call = call;
  listing->remote = g_strdup (name);
  listing->words = words != NULL ? g_strdupv ((char **) words) : g_new0 (char *, 1);
  listing->architecture
      = g_strdup (architecture != NULL ? architecture : lodge_image_store_get_machine ());
  listing->any_kind = lodge_bus_options_get_string (options, "kind") == NULL;
  lodge_image_store_browse_async (call->object, name, LODGE_BROWSE_NONE, on_browsed, listing);
}

static void
on_refreshed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  LodgeBusCall *call = user_data;
  GError *error = NULL;
  g_autoptr (GPtrArray) catalog
      = lodge_image_store_browse_finish (LODGE_IMAGE_STORE (source), result, &error);

  if (catalog == NULL)
    lodge_bus_call_fail (call, error);
  else
    lodge_bus_call_return (call, g_variant_new ("(u)", catalog->len));
}

static void
refresh (LodgeBusCall *call)
{
  static const LodgeBusOption known[] = { { "accept-older", "b" }, { NULL } };
  g_autoptr (GVariant) options = NULL;
  GError *error = NULL;
  const char *name;

  g_variant_get (call->parameters, "(&s@a{sv})", &name, &options);
  if (!lodge_bus_options_check (options, known, "option", &error))
    {
      lodge_bus_call_fail (call, error);
      return;
    }
  lodge_image_store_browse_async (
      call->object, name,
      LODGE_BROWSE_REFRESH
          | (lodge_bus_options_get_bool (options, "accept-older") ? LODGE_BROWSE_ACCEPT_OLDER : 0),
      on_refreshed, call);
}

static const LodgeBusMethod methods[] = {
  { "List", list_remotes },
  { "Add", add_remote },
  { "Remove", remove_remote },
  { "SetDefault", set_default },
  { "ListImages", list_images },
  { "Refresh", refresh },
  { NULL },
};

const LodgeBusInterface lodge_bus_remotes = {
  .info = &lodge_bus_info_remotes,
  .methods = methods,
  .find = find,
};
