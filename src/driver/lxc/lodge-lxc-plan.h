/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-domain-xml.h"
#include "lodge/lodge-driver.h"

G_BEGIN_DECLS

/* The plan file of lodge-helper-protocol.h, and what else of the specification is not for libvirt.
 * Any thread. */

/** The places of one container.  Strings are owned. */
typedef struct
{
  char *instance; /* <state>/instances/<uuid> */
  char *plan;     /* in it */
  char *root;     /* <run>/mnt/<uuid> */
  char *control;  /* <run>/ctl/<uuid> */
  char *runtime;  /* <run>/instances/<uuid> */
  char *events;   /* <run>/events */
} LodgeLxcPaths;

LodgeLxcPaths *lodge_lxc_paths_new (const char *state_dir, const char *run_dir, const char *uuid);
void lodge_lxc_paths_free (LodgeLxcPaths *paths);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LodgeLxcPaths, lodge_lxc_paths_free)

/** Writes the plan for @spec durably, and makes the directories that it names but the root's. */
gboolean lodge_lxc_plan_write (const LodgeDomainSpec *spec, const LodgeLxcPaths *paths,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

/** Puts another name into an existing plan. */
gboolean lodge_lxc_plan_rename (const LodgeLxcPaths *paths, const char *name,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;

/** Notes that the first boot is over: what lodge-init does once is not to be done again. */
gboolean lodge_lxc_plan_set_booted (const LodgeLxcPaths *paths,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;

/** The user ids of the container whose plan this is; FALSE: it has no plan. */
gboolean lodge_lxc_plan_read_idmap (const char *plan, guint32 *out_base, guint32 *out_count);

/**
 * lodge_lxc_plan_cpu:
 * @out_cpuset: (transfer full): keeps the string that @options points to
 *
 * Sets the CPU part of @options from limits.cpu.  A plain number of CPUs becomes that many of the
 * host's, chosen by the UUID, so that programs inside count them right.
 */
gboolean lodge_lxc_plan_cpu (const LodgeDomainSpec *spec, LodgeLxcXmlOptions *options,
                             char **out_cpuset, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
