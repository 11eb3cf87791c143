/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "lodge-fail.h"
#include "lodge/lodge-ids.h" /* LODGE_SANDBOX_IDMAP_BASE: where its ids are on the host */

G_BEGIN_DECLS

/*
 * The place in which the image helpers let foreign code and foreign bytes run: user, mount, pid,
 * ipc and uts namespaces of their own, root inside being an unprivileged uid of the host.
 *
 * What is written into the staging directory goes through an id-mapped mount, so that the ids on
 * disk are those of the guest although no process of the host's root wrote them.
 */
#define LODGE_SANDBOX_STAGING "/staging"

/** A file or directory of the host that the sandbox sees, id-mapped: its root owns what the host's
 * root owns. */
typedef struct
{
  const char *path;   /* on the host; NULL: `fd` is it */
  int fd;             /* of an open file; counts when there is no path */
  const char *target; /* in the sandbox */
  bool writable;
  bool optional; /* left out when the file system cannot be id-mapped */
  bool mapped;   /* a mount that has the sandbox's ids already */
} LodgeSandboxBind;

typedef struct
{
  guint32 idmap_base;
  guint32 idmap_count;
  int staging_fd;  /* a directory, writable in the sandbox; -1: none */
  bool network;    /* keeps the host's network; else there is only a dead loopback */
  bool host_tools; /* shows /usr, /etc and the like, read-only; else there is nothing */
  const LodgeSandboxBind *binds;
  gsize n_binds;
} LodgeSandbox;

/** Runs in the sandbox as its root, without new privileges; what it starts ends with it.  Returns
 * the exit status. */
typedef int (*LodgeSandboxFunc) (gpointer data);

/**
 * lodge_sandbox_run:
 *
 * Runs @func in a new sandbox and waits for its end; all that it left running is killed.  When
 * the calling process dies, so does the sandbox.  The caller must be root and single-threaded.
 *
 * Returns: true with @out_status being what @func returned, 128 + n when signal n ended it;
 * false when the sandbox could not be made.
 */
bool lodge_sandbox_run (const LodgeSandbox *sandbox, LodgeSandboxFunc func, gpointer data,
                        int *out_status, LodgeFail *fail);

G_END_DECLS
