/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/** The two kinds of instance; nick is what the user types and sees. */
typedef enum
{
  LODGE_KIND_CONTAINER, /* "container" */
  LODGE_KIND_VM,        /* "vm" */
} LodgeKind;

/** States of an instance, the same for both kinds; nicks go over the bus. */
typedef enum
{
  LODGE_STATE_STOPPED,
  LODGE_STATE_STARTING,
  LODGE_STATE_RUNNING,
  LODGE_STATE_PAUSED,
  LODGE_STATE_STOPPING,
  LODGE_STATE_SAVED,
  LODGE_STATE_CRASHED,
  LODGE_STATE_ERROR,
} LodgeState;

/** Who made the domain behind an instance. */
typedef enum
{
  LODGE_ORIGIN_LODGE,   /* Lodge created it and owns its storage */
  LODGE_ORIGIN_FOREIGN, /* somebody else's libvirt domain: shown, never changed */
} LodgeOrigin;

const char *lodge_kind_nick (LodgeKind kind);
gboolean lodge_kind_from_nick (const char *nick, LodgeKind *out_kind);
const char *lodge_state_nick (LodgeState state);
gboolean lodge_state_from_nick (const char *nick, LodgeState *out_state);
const char *lodge_origin_nick (LodgeOrigin origin);

/** Names that more than one program must agree on. */
#define LODGE_BUS_NAME        "org.lodge1"
#define LODGE_OBJECT_PATH     "/org/lodge1"
#define LODGE_METADATA_URI    "https://lodge.dev/xmlns/libvirt/domain/1.0"
#define LODGE_METADATA_PREFIX "lodge"
#define LODGE_POOL_NAME       "lodge" /* libvirt's storage pool with the disks of VMs */

/* Where things are; each may be moved by lodged's options for tests and testbeds. */
#define LODGE_DEFAULT_STATE_DIR "/var/lib/lodge"
#define LODGE_DEFAULT_RUN_DIR   "/run/lodge"

G_END_DECLS
