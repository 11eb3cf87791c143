/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/*
 * The cgroup2 hierarchy is reached through a descriptor of its root: on a host with only cgroup2
 * that of its mount; on a hybrid host that of a detached mount, because libvirt 9 fails to
 * start containers where it can see one.
 */

/** Whether /sys/fs/cgroup is a cgroup2 mount (a "pure v2" host). */
bool lodge_cgroup_is_unified (void);

/**
 * lodge_cgroup_open_root:
 * @mount: mount point of cgroup2; empty or NULL: make a detached mount
 *
 * Returns: a close-on-exec directory descriptor or a negative errno value.
 */
int lodge_cgroup_open_root (const char *mount);

/** Opens the cgroup @path (leading slashes are ignored) below @root.  Never leaves the hierarchy,
 * never follows links.  Returns a directory descriptor or a negative errno value. */
int lodge_cgroup_open (int root, const char *path);

/** As lodge_cgroup_open(), and creates those directories of @path that are missing. */
int lodge_cgroup_make (int root, const char *path);

/** Gives the cgroup to @owner: the directory and the files that cgroups(7) says are for
 * delegation.  Limits stay the host's.  Returns 0 or a negative errno value. */
int lodge_cgroup_delegate (int cgroup, uid_t owner);

/** Moves a process into @cgroup.  Returns 0 or a negative errno value. */
int lodge_cgroup_attach (int cgroup, pid_t pid);

/**
 * lodge_cgroup_kill:
 * @timeout_ms: how long to wait until the cgroup is empty
 *
 * Kills all that is in @cgroup and below.  Returns 0, -ETIMEDOUT, or a negative errno value.
 */
int lodge_cgroup_kill (int cgroup, int timeout_ms);

/** Removes the cgroup @name of @parent and those below it; absent is a success.
 * Returns 0 or a negative errno value (-EBUSY: something runs in it). */
int lodge_cgroup_remove (int parent, const char *name);

/**
 * lodge_cgroup_of:
 * @controller: of cgroup v1, for example "pids"; "": the cgroup2 path
 * @out_path: room for @size bytes
 *
 * Reads the cgroup of @pid, as the host sees it, with its leading slash.  Returns 0 or a negative
 * errno value (-ENOENT: it has none of that hierarchy).
 */
int lodge_cgroup_of (pid_t pid, const char *controller, char *out_path, size_t size);

/**
 * lodge_cgroup_join_v1:
 *
 * Puts the calling thread (which must be its process's only one) into the cgroups v1 of @pid.
 * Those of which @pid is in the root are left out: on a hybrid host the named hierarchy.  Does
 * nothing where /sys/fs/cgroup is cgroup2.
 *
 * Returns: 0 or a negative errno value.
 */
int lodge_cgroup_join_v1 (pid_t pid);
