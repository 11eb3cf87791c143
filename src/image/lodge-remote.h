/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-image-store.h"

G_BEGIN_DECLS

/*
 * Where images come from.  A remote is a name before a colon: `images:debian/12`.  Some are
 * shipped; what the administrator adds, changes or removes is in the store as `/remotes/<name>`,
 * the default as `/settings/default-remote`, and what was seen last as `/remote-state/<name>`.
 * Main thread only.
 */
typedef enum
{
  LODGE_REMOTE_SIMPLESTREAMS, /* an image server of LXD, Incus or Ubuntu */
  LODGE_REMOTE_URL,           /* files below an address; the name of the image is the path */
  LODGE_REMOTE_BUILD,         /* made from the distribution's packages */
} LodgeRemoteProtocol;

typedef struct
{
  char *name; /* NULL: of no remote, an address that somebody typed */
  LodgeRemoteProtocol protocol;
  char *url;      /* without a slash at its end; "" with BUILD */
  char **mirrors; /* more addresses that serve the same */
  char *proxy;    /* or "" */
  gboolean allow_http;
  gboolean allow_private; /* loopback and private networks */
  gboolean has_ca;        /* `<state>/remotes/<name>.ca`: whom to trust instead of the system's */
  gboolean has_keyring;   /* `<state>/remotes/<name>.keyring`: the index must be signed by one */
} LodgeRemote;

LodgeRemote *lodge_remote_new (const char *name, LodgeRemoteProtocol protocol, const char *url);
LodgeRemote *lodge_remote_copy (const LodgeRemote *remote);
void lodge_remote_free (LodgeRemote *remote);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LodgeRemote, lodge_remote_free)

/** "simplestreams", "url", "build". */
const char *lodge_remote_protocol_nick (LodgeRemoteProtocol protocol);
gboolean lodge_remote_protocol_from_nick (const char *nick, LodgeRemoteProtocol *out_protocol);

/** `[a-z0-9][a-z0-9-]{0,31}`; INVALID_NAME. */
gboolean lodge_remote_name_validate (const char *name, GError **error);

/**
 * lodge_remote_url_validate:
 * @what: what it is called in messages, "the address"
 *
 * An absolute https address (http when @allow_http) with a host, without user, password or
 * fragment, of printable ASCII, 1024 bytes at most.  INVALID_ARGUMENT.
 */
gboolean lodge_remote_url_validate (const char *url, gboolean allow_http, const char *what,
                                    GError **error);

/** The architecture of this host as dpkg has it, and remotes as well.  Static. */
const char *lodge_image_store_get_machine (void);

/** In the order of names; (transfer container), borrowed LodgeRemote. */
GPtrArray *lodge_image_store_list_remotes (LodgeImageStore *self);
/** Borrowed; NULL with NOT_FOUND, which names the nearest. */
const LodgeRemote *lodge_image_store_get_remote (LodgeImageStore *self, const char *name,
                                                 GError **error);
/** Borrowed: the remote of a name without a colon. */
const char *lodge_image_store_get_default_remote (LodgeImageStore *self);

/**
 * lodge_image_store_add_remote:
 * @ca: (nullable): PEM
 * @keyring: (nullable): OpenPGP keys
 *
 * ALREADY_EXISTS; INVALID_NAME, INVALID_ARGUMENT for what it is made of.
 */
gboolean lodge_image_store_add_remote (LodgeImageStore *self, const LodgeRemote *remote, GBytes *ca,
                                       GBytes *keyring, GError **error);
/** Its images stay.  INVALID_ARGUMENT for build: and for the default. */
gboolean lodge_image_store_remove_remote (LodgeImageStore *self, const char *name, GError **error);
gboolean lodge_image_store_set_default_remote (LodgeImageStore *self, const char *name,
                                               GError **error);

/** An image that a remote offers.  Every field has been checked for its characters. */
typedef struct
{
  LodgeKind kind;
  char *machine;     /* "amd64": as dpkg has it */
  char **aliases;    /* the best name first */
  char *serial;      /* "20260608_05:24" */
  char *fingerprint; /* that the image will have */
  char *format;      /* of the root: "squashfs", "disk-kvm.img", "unified"; "recipe" for build: */
  char *meta_path;   /* NULL: none */
  char *meta_sha256;
  guint64 meta_size;
  char *root_path;
  char *root_sha256;
  guint64 root_size;
  char *os;
  char *release;
  char *title;
  char *variant;
} LodgeCatalogEntry;

void lodge_catalog_entry_free (LodgeCatalogEntry *entry);

typedef enum
{
  LODGE_BROWSE_NONE = 0,
  LODGE_BROWSE_REFRESH = 1 << 0,      /* ask the server even when what is known is fresh */
  LODGE_BROWSE_ACCEPT_OLDER = 1 << 1, /* take an index that is older than one seen before */
  LODGE_BROWSE_SILENT = 1 << 2,       /* log no failure */
} LodgeBrowseFlags;

/**
 * lodge_image_store_browse_async:
 *
 * What a remote offers.  The server is asked when the copy is older than ten minutes; when it
 * cannot be reached the copy is what there is, and without one the error is DOWNLOAD.  A server
 * that could not be reached is not asked again for five minutes, unless with REFRESH.
 */
void lodge_image_store_browse_async (LodgeImageStore *self, const char *remote,
                                     LodgeBrowseFlags flags, GAsyncReadyCallback callback,
                                     gpointer user_data);
/** Returns: (transfer full): LodgeCatalogEntry, in the order of the first alias. */
GPtrArray *lodge_image_store_browse_finish (LodgeImageStore *self, GAsyncResult *result,
                                            GError **error);

G_END_DECLS
