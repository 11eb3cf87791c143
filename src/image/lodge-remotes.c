/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of remotes, and how the name of an image names one. */
#include "lodge-remote-private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lodge-fd.h"
#include "lodge-name.h"

#define REMOTE_PREFIX  "/remotes/"
#define STATE_PREFIX   "/remote-state/"
#define DEFAULT_KEY    "/settings/default-remote"
#define DOCUMENT_MAX   (64 * 1024)
#define CA_SUFFIX      ".ca"
#define KEYRING_SUFFIX ".keyring"
#define CA_MAX         (1 << 20)
#define REMOTES_MAX    100

static const struct
{
  const char *name;
  LodgeRemoteProtocol protocol;
  const char *url;
} shipped[] = {
  { "images", LODGE_REMOTE_SIMPLESTREAMS, "https://images.linuxcontainers.org" },
  { "ubuntu", LODGE_REMOTE_SIMPLESTREAMS, "https://cloud-images.ubuntu.com/releases" },
  { LODGE_REMOTE_BUILD_NAME, LODGE_REMOTE_BUILD, "" },
};

#define FIRST_DEFAULT "images"

/* ---- documents ---- */

static char *
key_of (const char *prefix, const char *name)
{
  return g_strconcat (prefix, name, NULL);
}

static gboolean
put (LodgeImageStore *self, const char *key, const char *value, GError **error)
{
  LodgeStoreOp op = { .kind = LODGE_STORE_OP_PUT, .key = key, .value = value };

  return lodge_store_txn (self->store, NULL, 0, &op, 1, NULL, error);
}

/* (transfer full): NULL when there is none, or it cannot be read. */
static JsonObject *
get (LodgeImageStore *self, const char *key)
{
  g_autoptr (LodgeStoreEntry) entry = NULL;
  g_autoptr (GError) error = NULL;

  if (!lodge_store_get (self->store, key, &entry, &error))
    g_warning ("%s", error->message);
  return entry != NULL ? lodge_json_parse_object (entry->value, -1, DOCUMENT_MAX, NULL) : NULL;
}

static void
keep (LodgeImageStore *self, LodgeRemote *remote)
{
  g_hash_table_replace (self->remotes, remote->name, remote);
}

gboolean
lodge_remotes_load (LodgeImageStore *self, GError **error)
{
  g_autoptr (GPtrArray) entries = lodge_store_list (self->store, REMOTE_PREFIX, NULL, error);
  g_autoptr (JsonObject) choice = NULL;

  if (entries == NULL)
    return FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS (shipped); i++)
    keep (self, lodge_remote_new (shipped[i].name, shipped[i].protocol, shipped[i].url));
  for (guint i = 0; i < entries->len; i++)
    {
      const LodgeStoreEntry *entry = g_ptr_array_index (entries, i);
      const char *name = entry->key + strlen (REMOTE_PREFIX);
      g_autoptr (JsonObject) object
          = lodge_json_parse_object (entry->value, -1, DOCUMENT_MAX, NULL);
      LodgeRemote *remote = object != NULL ? lodge_remote_from_object (name, object) : NULL;

      if (remote != NULL)
        keep (self, remote);
      else if (object != NULL && lodge_json_get_bool (object, "removed", FALSE))
        g_hash_table_remove (self->remotes, name);
      else
        g_warning ("The record of the remote “%s” is not of this version", name);
    }
  choice = get (self, DEFAULT_KEY);
  const char *name = choice != NULL ? lodge_json_get_string (choice, "name", "") : FIRST_DEFAULT;
  lodge_image_set_string (&self->default_remote, g_hash_table_contains (self->remotes, name)
                                                     ? name
                                                     : LODGE_REMOTE_BUILD_NAME);
  return TRUE;
}

char *
lodge_remotes_path (LodgeImageStore *self, const char *name, const char *suffix)
{
  g_autofree char *file = g_strconcat (name, suffix, NULL);

  return g_build_filename (self->state_dir, "remotes", file, NULL);
}

JsonObject *
lodge_remotes_get_state (LodgeImageStore *self, const char *name)
{
  g_autofree char *key = key_of (STATE_PREFIX, name);
  JsonObject *state = get (self, key);

  return state != NULL ? state : json_object_new ();
}

gboolean
lodge_remotes_set_state (LodgeImageStore *self, const char *name, JsonObject *state, GError **error)
{
  g_autofree char *key = key_of (STATE_PREFIX, name);
  g_autofree char *value = lodge_json_to_text (state);

  return put (self, key, value, error);
}

/* ---- looking ---- */

static int
compare_remotes (gconstpointer a, gconstpointer b)
{
  return strcmp ((*(LodgeRemote *const *) a)->name, (*(LodgeRemote *const *) b)->name);
}

GPtrArray *
lodge_image_store_list_remotes (LodgeImageStore *self)
{
  GPtrArray *remotes = g_ptr_array_new ();
  GHashTableIter iter;
  gpointer remote;

  g_hash_table_iter_init (&iter, self->remotes);
  while (g_hash_table_iter_next (&iter, NULL, &remote))
    g_ptr_array_add (remotes, remote);
  g_ptr_array_sort (remotes, compare_remotes);
  return remotes;
}

const LodgeRemote *
lodge_image_store_get_remote (LodgeImageStore *self, const char *name, GError **error)
{
  const LodgeRemote *remote = g_hash_table_lookup (self->remotes, name);
  g_autofree char *head = g_strndup (name, 80);
  g_autofree char *shown = lodge_text_escape (head);

  if (remote != NULL)
    return remote;
  g_autoptr (GPtrArray) remotes = lodge_image_store_list_remotes (self);
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  for (guint i = 0; i < remotes->len; i++)
    g_ptr_array_add (names, ((LodgeRemote *) g_ptr_array_index (remotes, i))->name);
  g_ptr_array_add (names, NULL);
  const char *nearest = lodge_nearest (name, (const char *const *) names->pdata);
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND,
               nearest != NULL ? "There is no remote “%s”\nDid you mean “%s”?"
                               : "There is no remote “%s”\n`lodge remote list` shows those that "
                                 "there are.",
               shown, nearest);
  return NULL;
}

const char *
lodge_image_store_get_machine (void)
{
  return lodge_image_host_machine ();
}

const char *
lodge_image_store_get_default_remote (LodgeImageStore *self)
{
  return self->default_remote;
}

gboolean
lodge_remotes_is_url (const char *ref)
{
  return g_str_has_prefix (ref, "https://") || g_str_has_prefix (ref, "http://");
}

gboolean
lodge_remotes_split (LodgeImageStore *self, const char *ref, const LodgeRemote **out_remote,
                     const char **out_alias, GError **error)
{
  const char *colon = strchr (ref, ':');
  const char *slash = strchr (ref, '/');

  *out_alias = ref;
  if (colon == NULL || (slash != NULL && slash < colon))
    {
      *out_remote = lodge_image_store_get_remote (self, self->default_remote, error);
      return FALSE;
    }
  g_autofree char *name = g_strndup (ref, (gsize) (colon - ref));
  *out_remote = lodge_image_store_get_remote (self, name, error);
  *out_alias = colon + 1;
  return TRUE;
}

/* ---- changing ---- */

gboolean
lodge_image_store_set_proxy (LodgeImageStore *self, const char *proxy, GError **error)
{
  if (!lodge_remote_proxy_validate (proxy, error))
    return FALSE;
  lodge_image_set_string (&self->proxy, proxy);
  return TRUE;
}

/* With @contents NULL there is none. */
static gboolean
write_file (LodgeImageStore *self, const char *name, const char *suffix, GBytes *contents,
            GError **error)
{
  g_autofree char *path = lodge_remotes_path (self, name, suffix);
  g_autofree char *dir = g_path_get_dirname (path);

  if (contents == NULL)
    {
      unlink (path);
      return TRUE;
    }
  if (g_bytes_get_size (contents) == 0 || g_bytes_get_size (contents) > CA_MAX)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                   "A file of authorities or keys is empty, or larger than a mebibyte");
      return FALSE;
    }
  return lodge_dir_make (dir, 0700, error)
         && lodge_file_replace (path, g_bytes_get_data (contents, NULL),
                                (gssize) g_bytes_get_size (contents), 0600, error);
}

/* A name that is used again must not inherit what another server was seen to have. */
static gboolean
forget_state (LodgeImageStore *self, const char *name, GError **error)
{
  g_autofree char *key = key_of (STATE_PREFIX, name);
  LodgeStoreOp op = { .kind = LODGE_STORE_OP_DELETE, .key = key };
  g_autofree char *catalog = lodge_refresh_catalog_path (self, name);
  g_autofree char *dir = g_path_get_dirname (catalog);

  g_hash_table_remove (self->refusals, name);
  if (access (dir, F_OK) == 0)
    lodge_image_discard_async (self, dir, NULL, NULL);
  return lodge_store_txn (self->store, NULL, 0, &op, 1, NULL, error);
}

gboolean
lodge_image_store_add_remote (LodgeImageStore *self, const LodgeRemote *remote, GBytes *ca,
                              GBytes *keyring, GError **error)
{
  g_autoptr (LodgeRemote) copy = lodge_remote_copy (remote);
  g_autofree char *key = key_of (REMOTE_PREFIX, remote->name);

  if (!lodge_remote_validate (remote, error))
    return FALSE;
  if (g_hash_table_contains (self->remotes, remote->name)
      || g_hash_table_size (self->remotes) >= REMOTES_MAX)
    {
      g_set_error (error, LODGE_ERROR,
                   g_hash_table_contains (self->remotes, remote->name) ? LODGE_ERROR_ALREADY_EXISTS
                                                                       : LODGE_ERROR_LIMIT_EXCEEDED,
                   g_hash_table_contains (self->remotes, remote->name)
                       ? "There is a remote “%s” already"
                       : "There is no room for the remote “%s”: there are too many",
                   remote->name);
      return FALSE;
    }
  if (remote->protocol == LODGE_REMOTE_BUILD)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_SUPPORTED,
                   "There can be one remote that builds, and it is there: build:");
      return FALSE;
    }
  copy->has_ca = ca != NULL;
  copy->has_keyring = keyring != NULL;
  g_autofree char *value = lodge_remote_to_document (copy);
  if (!forget_state (self, remote->name, error)
      || !write_file (self, remote->name, CA_SUFFIX, ca, error)
      || !write_file (self, remote->name, KEYRING_SUFFIX, keyring, error)
      || !put (self, key, value, error))
    return FALSE;
  keep (self, g_steal_pointer (&copy));
  return TRUE;
}

static gboolean
is_shipped (const char *name)
{
  for (gsize i = 0; i < G_N_ELEMENTS (shipped); i++)
    if (strcmp (shipped[i].name, name) == 0)
      return TRUE;
  return FALSE;
}

gboolean
lodge_image_store_remove_remote (LodgeImageStore *self, const char *name, GError **error)
{
  const LodgeRemote *remote = lodge_image_store_get_remote (self, name, error);
  g_autofree char *copy = g_strdup (name);
  g_autofree char *key = key_of (REMOTE_PREFIX, copy);
  LodgeStoreOp op = { .kind = is_shipped (name) ? LODGE_STORE_OP_PUT : LODGE_STORE_OP_DELETE,
                      .key = key,
                      .value = is_shipped (name) ? "{\"removed\":true}" : NULL };
  gboolean is_default = strcmp (name, self->default_remote) == 0;

  if (remote == NULL)
    return FALSE;
  if (remote->protocol == LODGE_REMOTE_BUILD || is_default)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                   is_default ? "“%s” is the default remote and cannot be removed\nMake another "
                                "one the default first: lodge remote set-default NAME"
                              : "The remote “%s” is built in and cannot be removed",
                   name);
      return FALSE;
    }
  if (!lodge_store_txn (self->store, NULL, 0, &op, 1, NULL, error))
    return FALSE;
  g_hash_table_remove (self->remotes, copy);
  return forget_state (self, copy, error) && write_file (self, copy, CA_SUFFIX, NULL, error)
         && write_file (self, copy, KEYRING_SUFFIX, NULL, error);
}

gboolean
lodge_image_store_set_default_remote (LodgeImageStore *self, const char *name, GError **error)
{
  const LodgeRemote *remote = lodge_image_store_get_remote (self, name, error);
  g_autoptr (JsonObject) object = json_object_new ();

  if (remote == NULL)
    return FALSE;
  json_object_set_string_member (object, "name", remote->name);
  g_autofree char *value = lodge_json_to_text (object);
  if (!put (self, DEFAULT_KEY, value, error))
    return FALSE;
  lodge_image_set_string (&self->default_remote, remote->name);
  return TRUE;
}
