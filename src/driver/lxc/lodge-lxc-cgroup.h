/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge/lodge-error.h"

G_BEGIN_DECLS

/*
 * A running container as the kernel sees it: its PID 1 and its cgroups.  None of this needs
 * libvirt.  Any thread.
 */

/** The facts of <runtime>/init (lodge-helper-protocol.h) of a container that runs. */
typedef struct
{
  int pid;
  guint64 start_time; /* clock ticks after boot */
  char *cgroup;       /* below the cgroup2 root */
  char *cgroup_mount; /* "" : there is none to see, @cgroup_root is to be used */
  int cgroup_root;    /* borrowed from who reads: lodge_lxc_cgroup_open_root(), or -1 */
} LodgeLxcInit;

/**
 * lodge_lxc_init_read:
 * @runtime_dir: <run>/instances/<uuid>
 * @cgroup_root: for `cgroup_root`; -1: only processes matter
 *
 * Returns: (transfer full) (nullable): NULL when the container does not run: there is no file, or
 * the process that it names is no more.
 */
LodgeLxcInit *lodge_lxc_init_read (const char *runtime_dir, int cgroup_root);

/**
 * lodge_lxc_init_find:
 * @controller: libvirt's process of the container
 *
 * The first process of a container that has not told Lodge of it: one that has hardly begun, or a
 * foreign one.  Only the process is known, nothing of its cgroups.
 *
 * Returns: (transfer full) (nullable): NULL when there is none.
 */
LodgeLxcInit *lodge_lxc_init_find (int controller);
void lodge_lxc_init_free (LodgeLxcInit *init);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LodgeLxcInit, lodge_lxc_init_free)

/** Start time of @pid in clock ticks after boot; 0 when there is no such process. */
guint64 lodge_lxc_process_start_time (int pid);

/** The parent of @pid; 0 when there is no such process. */
int lodge_lxc_process_parent (int pid);

/** Whether the init's program has this name, by the path of its executable. */
gboolean lodge_lxc_init_is (const LodgeLxcInit *init, const char *program);

/** Whether the init does something when it gets @signum: what a first process does not ask for, the
 * kernel does not give it. */
gboolean lodge_lxc_init_heeds (const LodgeLxcInit *init, int signum);

/** Whether the init reads SysV's pipe for requests. */
gboolean lodge_lxc_init_has_pipe (const LodgeLxcInit *init);

/** Sends @signum to the very process that @init names.  FALSE: it is no more. */
gboolean lodge_lxc_init_signal (const LodgeLxcInit *init, int signum);

/** Whether somebody has stopped the container's processes, by cgroup v1 or v2. */
gboolean lodge_lxc_init_is_frozen (const LodgeLxcInit *init);

/** Whether the host has the controllers on cgroup2 ("pure v2"). */
gboolean lodge_lxc_cgroup_is_unified (void);

/** Whether memory and swap together can be limited. */
gboolean lodge_lxc_cgroup_limits_swap (void);

/**
 * lodge_lxc_cgroup_open_root:
 *
 * The root of cgroup2 where there is no mount of it to be seen.  Making it takes milliseconds:
 * keep it.  Close-on-exec; -1 on failure.
 */
int lodge_lxc_cgroup_open_root (GError **error);

/** The container's cgroup2 directory, close-on-exec, or -1. */
int lodge_lxc_cgroup_open (const LodgeLxcInit *init, GError **error);

/** Writes @text into @file of the directory @cgroup. */
gboolean lodge_lxc_cgroup_write (int cgroup, const char *file, const char *text, GError **error);

/** (transfer full) (nullable): all of @file (at most 64 KiB) of the directory @cgroup. */
char *lodge_lxc_cgroup_read (int cgroup, const char *file);

/**
 * lodge_lxc_cgroup_freeze:
 *
 * Freezes or thaws by cgroup2 and waits, 5 seconds at most, until the kernel has done it.
 * Blocking.
 */
gboolean lodge_lxc_cgroup_freeze (const LodgeLxcInit *init, gboolean frozen, GError **error);

/** (transfer full) (nullable): the directory of @pid's cgroup of a v1 controller. */
char *lodge_lxc_cgroup_v1_dir (int pid, const char *controller);

G_END_DECLS
