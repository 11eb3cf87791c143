/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-manager.h"

G_BEGIN_DECLS

/*
 * The program around the service: command line, store, drivers, bus, signals.  What it is made of
 * comes from main(), so that the tests' lodged differs in its drivers only.
 */
typedef struct
{
  char *state_dir;
  char *run_dir;
  char *libexec_dir;
  char *bus_address; /* nullable */
  gboolean session;
  char *lxc_uri;
  char *kvm_uri;
  char *proxy;       /* NULL: none */
  char *config_file; /* NULL: the ordinary one, if it is there */
  gboolean no_lxc;
  gboolean no_kvm;
  gboolean debug;
  gboolean version;
} LodgeDaemonOptions;

typedef struct
{
  /* (transfer full) element-type LodgeDriver: none started */
  GPtrArray *(*make_drivers) (const LodgeDaemonOptions *options, GError **error);
  /* (transfer full) (nullable) LodgeNetwork; the slot may be NULL: no network */
  GObject *(*make_network) (const LodgeDaemonOptions *options);
  /* Before the service is seen; nullable. */
  gboolean (*prepare) (const LodgeDaemonOptions *options, LodgeSqliteStore *store, GError **error);
} LodgeDaemonParts;

/** Runs until a signal or a failure.  Returns: the exit status; 2 is for a bad command line. */
int lodge_daemon_main (int argc, char **argv, const LodgeDaemonParts *parts);

G_END_DECLS
