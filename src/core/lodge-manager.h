/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-image-cache.h"
#include "lodge-image-tailor.h"
#include "lodge-instance.h"
#include "lodge-job.h"
#include "lodge-sqlite-store.h"

G_BEGIN_DECLS

/*
 * The service without its bus: registry of instances, jobs, reconciliation.  Main thread only,
 * never blocks: what takes time is a job or has a callback.
 *
 * Signals:
 *   `instance-added`, `instance-removed` (LodgeInstance *)
 *   `job-added`, `job-removed` (LodgeJob *)
 *   `event` (const char *type, GObject *about, const char *fingerprint): for Manager.Event; types
 *      are those of the D-Bus documentation; about is a LodgeInstance, a LodgeJob, or NULL (then
 *      it is an image, or with type "driver" nothing)
 *   `drivers-changed` ()
 */
#define LODGE_TYPE_MANAGER (lodge_manager_get_type ())
G_DECLARE_FINAL_TYPE (LodgeManager, lodge_manager, LODGE, MANAGER, GObject)

/** What lodge_manager_new() needs; all borrowed. */
typedef struct
{
  const char *state_dir;
  const char *run_dir;
  LodgeSqliteStore *store;
  LodgeImageStore *images;
  GPtrArray *drivers; /* LodgeDriver: one of each kind, not started */
  gpointer network;   /* LodgeNetwork, or NULL: instances get no NIC */
} LodgeManagerConfig;

/** Loads the registry; an unreadable document is an error, nothing is lost. */
LodgeManager *lodge_manager_new (const LodgeManagerConfig *config, GError **error);

/** Starts the drivers, then finishes or undoes what an earlier run left. */
void lodge_manager_start (LodgeManager *self);

/** Whether every driver has told what there is, so that shown states are more than a record. */
gboolean lodge_manager_is_settled (LodgeManager *self);

LodgeImageStore *lodge_manager_get_images (LodgeManager *self);
GPtrArray *lodge_manager_get_drivers (LodgeManager *self);

/** By name, UUID, or the beginning of a UUID (8 digits or more).  Borrowed; NOT_FOUND. */
LodgeInstance *lodge_manager_find_instance (LodgeManager *self, const char *name_or_uuid,
                                            GError **error);
/** In the order of names.  (transfer container) */
GPtrArray *lodge_manager_list_instances (LodgeManager *self);
/** Names of the instances that are built on the image.  (transfer container) element utf8 borrowed
 */
GPtrArray *lodge_manager_list_users_of_image (LodgeManager *self, const char *fingerprint);

LodgeJob *lodge_manager_find_job (LodgeManager *self, gint64 id);
/** Running and remembered ones, oldest first.  (transfer container) */
GPtrArray *lodge_manager_list_jobs (LodgeManager *self);

typedef struct
{
  const char *name; /* NULL or "": made up */
  const char *image;
  LodgeKind kind;
  GHashTable *config; /* char* → char*, nullable */
  guint64 size;       /* VMs: of the disk, bytes; 0: the image's, or as is good */
  gboolean start;
  gboolean wait_booted;
  /* What is put into it before its first start; each nullable. */
  const char *const *ssh_keys; /* root's; lines of authorized_keys */
  const char *password_hash;   /* root's; crypt(5) */
  const char *script;          /* runs as root */
} LodgeCreateRequest;

/*
 * Each of these checks what can be checked at once (names, keys, state, Busy) and then returns a
 * borrowed job that runs; what follows is the job's outcome.  @uid: of the caller.
 */
LodgeJob *lodge_manager_create (LodgeManager *self, const LodgeCreateRequest *request, guint32 uid,
                                GError **error);
LodgeJob *lodge_manager_start_instance (LodgeManager *self, LodgeInstance *instance,
                                        gboolean wait_booted, guint32 uid, GError **error);
/** @timeout: seconds for the guest; ignored with @force. */
LodgeJob *lodge_manager_stop_instance (LodgeManager *self, LodgeInstance *instance, gboolean force,
                                       guint timeout, guint32 uid, GError **error);
LodgeJob *lodge_manager_restart_instance (LodgeManager *self, LodgeInstance *instance,
                                          gboolean force, guint timeout, guint32 uid,
                                          GError **error);
LodgeJob *lodge_manager_pause_instance (LodgeManager *self, LodgeInstance *instance, guint32 uid,
                                        GError **error);
LodgeJob *lodge_manager_resume_instance (LodgeManager *self, LodgeInstance *instance, guint32 uid,
                                         GError **error);
LodgeJob *lodge_manager_rename_instance (LodgeManager *self, LodgeInstance *instance,
                                         const char *new_name, guint32 uid, GError **error);
/** Takes the install medium out of a VM's drive.  @force: also when the guest has locked that. */
LodgeJob *lodge_manager_eject_medium (LodgeManager *self, LodgeInstance *instance, gboolean force,
                                      guint32 uid, GError **error);
LodgeJob *lodge_manager_delete_instance (LodgeManager *self, LodgeInstance *instance,
                                         gboolean force, guint32 uid, GError **error);

/** What is to be fetched or built; strings are borrowed. */
typedef struct
{
  const char *ref;
  LodgeKind kind;
  gboolean rebuild;           /* even when it is cached */
  gboolean allow_http;        /* an address may begin with http:// */
  const char *sha256;         /* (nullable): of the file behind an address */
  const char *description;    /* (nullable): the same */
  const char *const *aliases; /* (nullable): for the image, beside its own */
} LodgeManagerPull;

LodgeJob *lodge_manager_pull_image (LodgeManager *self, const LodgeManagerPull *what, guint32 uid,
                                    GError **error);
/** @fd: dup'ed; @root_fd: the same, the second file of a split image, or -1. */
LodgeJob *lodge_manager_import_image (LodgeManager *self, int fd, int root_fd,
                                      const char *const *aliases, const char *description,
                                      guint32 uid, GError **error);
/** @fd, @root_fd: dup'ed: where to write; the second for "split", else -1. */
LodgeJob *lodge_manager_export_image (LodgeManager *self, const char *fingerprint, int fd,
                                      int root_fd, const char *format, const char *compression,
                                      guint32 uid, GError **error);
/** Makes an image of a stopped instance.  @aliases, @description: nullable. */
LodgeJob *lodge_manager_publish_instance (LodgeManager *self, LodgeInstance *instance,
                                          const char *const *aliases, const char *description,
                                          guint32 uid, GError **error);
/**
 * lodge_manager_refresh_images:
 * @images: (nullable): LodgeImage whose remotes to ask; NULL: all that are to be updated
 * @out_job: borrowed; NULL: there is nothing to ask about
 */
gboolean lodge_manager_refresh_images (LodgeManager *self, GPtrArray *images, guint32 uid,
                                       LodgeJob **out_job, GError **error);
/** Fingerprints of cached images that nothing uses; (transfer full). */
GPtrArray *lodge_manager_list_prunable (LodgeManager *self);
/** Removes what is in use by nothing of these; @partials: names of downloads. */
LodgeJob *lodge_manager_drop_images (LodgeManager *self, GPtrArray *fingerprints,
                                     const char *const *partials, guint32 uid, GError **error);
/** When the image expires, by the wall clock; 0: not, as things are. */
gint64 lodge_manager_get_image_expiry (LodgeManager *self, const LodgeImage *image);
/**
 * Makes of a stopped instance one of the other @kind, under its name.  The old one is put aside
 * until the new one has booted, and is back when it does not.  @size: of a VM's disk, bytes; 0: as
 * is good.  @start: let it run afterwards.
 */
LodgeJob *lodge_manager_convert_instance (LodgeManager *self, LodgeInstance *instance,
                                          LodgeKind kind, guint64 size, gboolean start,
                                          guint32 uid, GError **error);
/** Makes of an image one for the other @kind.  @size: of a VM's disk, bytes; 0: as is good. */
LodgeJob *lodge_manager_convert_image (LodgeManager *self, const char *fingerprint, LodgeKind kind,
                                       guint64 size, guint32 uid, GError **error);
/** Makes a changed copy of an image.  @what: copied; INVALID_ARGUMENT when it changes nothing, or
 * what such an image does not have. */
LodgeJob *lodge_manager_customize_image (LodgeManager *self, const LodgeImageTailor *what,
                                         guint32 uid, GError **error);
LodgeJob *lodge_manager_delete_image (LodgeManager *self, const char *fingerprint, guint32 uid,
                                      GError **error);

/* Things done in an instance.  Each refuses a wrong state (INVALID_STATE) before it begins. */

void lodge_manager_exec (LodgeManager *self, LodgeInstance *instance,
                         const LodgeExecRequest *request, GCancellable *cancellable,
                         GAsyncReadyCallback callback, gpointer user_data);
LodgeExecResult *lodge_manager_exec_finish (LodgeManager *self, GAsyncResult *result,
                                            GError **error);
/** A socket; -1 on failure. */
int lodge_manager_open_console (LodgeManager *self, LodgeInstance *instance, GError **error);
int lodge_manager_open_console_log (LodgeManager *self, LodgeInstance *instance, GError **error);
/** While a session on a stopped instance is open, the instance cannot be started (Busy). */
void lodge_manager_open_files (LodgeManager *self, LodgeInstance *instance,
                               GCancellable *cancellable, GAsyncReadyCallback callback,
                               gpointer user_data);
int lodge_manager_open_files_finish (LodgeManager *self, GAsyncResult *result, GError **error);
/** Calls for one instance while it is being read share that reading. */
void lodge_manager_get_usage (LodgeManager *self, LodgeInstance *instance,
                              GAsyncReadyCallback callback, gpointer user_data);
LodgeUsage *lodge_manager_get_usage_finish (LodgeManager *self, GAsyncResult *result,
                                            GError **error);
/**
 * lodge_manager_get_usages:
 *
 * Usage of all running managed instances at once; calls meanwhile share the reading.  The result is
 * a hash table of UUID → LodgeUsage.
 */
void lodge_manager_get_usages (LodgeManager *self, GAsyncReadyCallback callback,
                               gpointer user_data);
GHashTable *lodge_manager_get_usages_finish (LodgeManager *self, GAsyncResult *result,
                                             GError **error);
void lodge_manager_get_xml (LodgeManager *self, LodgeInstance *instance,
                            GAsyncReadyCallback callback, gpointer user_data);
char *lodge_manager_get_xml_finish (LodgeManager *self, GAsyncResult *result, GError **error);

/** Reads all of libvirt's state again; the callback comes when that is done. */
void lodge_manager_reconcile (LodgeManager *self, GAsyncReadyCallback callback, gpointer user_data);
gboolean lodge_manager_reconcile_finish (LodgeManager *self, GAsyncResult *result, GError **error);

G_END_DECLS
