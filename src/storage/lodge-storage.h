/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge/lodge-types.h"

G_BEGIN_DECLS

/*
 * Where the files of instances are, and what makes and removes them: the "overlay" driver of
 * the pool "default".  A container's root is an overlay over its image's unpacked tree, a VM's disk
 * a qcow2 over its image's disk; both are made in constant time.
 *
 *   <state>/pools/default/containers/<uuid>/{upper,work}
 *   <state>/pools/default/disks/<uuid>.qcow2   a directory pool of libvirt's (LODGE_POOL_NAME)
 *   <state>/instances/<uuid>/                  plan, console log; never in a guest's reach
 *   <state>/staging/<job>/, <state>/trash/<name>/
 *
 * The blocking functions are for worker threads; the paths may be asked for anywhere.
 */

/** Makes the directories that every start needs, with their modes.  Main thread, at start-up. */
gboolean lodge_storage_prepare (const char *state_dir, GError **error);

/* (transfer full) */
char *lodge_storage_instance_dir (const char *state_dir, const char *uuid);
char *lodge_storage_container_dir (const char *state_dir, const char *uuid);
char *lodge_storage_disk_path (const char *state_dir, const char *uuid);
char *lodge_storage_disks_dir (const char *state_dir);
char *lodge_storage_staging_dir (const char *state_dir, gint64 job);

/**
 * lodge_storage_create:
 * @backing_disk: (nullable): VMs: the image's disk; %NULL: the disk is empty
 * @size: VMs: bytes; 0: as large as the backing disk, which there must be then
 *
 * Makes the files of an instance: its own directory and, by @kind, the overlay's directories or the
 * disk.  What exists already is kept, so that a repeated call is a success.  Blocking.
 */
gboolean lodge_storage_create (const char *state_dir, const char *uuid, LodgeKind kind,
                               const char *backing_disk, guint64 size, GError **error);

/**
 * lodge_storage_discard:
 * @tag: names the place in the trash: the job's number
 *
 * Moves all files of an instance to the trash, by renames.  Absent ones are a success.  Blocking.
 */
gboolean lodge_storage_discard (const char *state_dir, const char *uuid, const char *tag,
                                GError **error);

/**
 * lodge_storage_measure_container:
 * @out_bytes: on disk, of what the container has besides its image; untouched on failure
 *
 * Returns: %FALSE when there is too much to look at in a fifth of a second, or nothing.  Never
 * follows a link, opens nothing but directories.  Blocking.
 */
gboolean lodge_storage_measure_container (const char *state_dir, const char *uuid,
                                          guint64 *out_bytes);

/** Removes what is in the trash under @tag, or everything (%NULL).  Blocking, may take long. */
gboolean lodge_storage_empty_trash (const char *state_dir, const char *tag, GError **error);

/** Makes or removes the staging directory of a job.  Blocking. */
gboolean lodge_storage_make_staging (const char *state_dir, gint64 job, GError **error);
gboolean lodge_storage_remove_staging (const char *state_dir, gint64 job, GError **error);

G_END_DECLS
