/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-instance.h"

G_BEGIN_DECLS

/** How far Lodge's own record of an instance has come. */
typedef enum
{
  LODGE_RECORD_NONE,     /* a foreign domain */
  LODGE_RECORD_CREATING, /* reserved by a job; nobody else sees it yet */
  LODGE_RECORD_READY,
  LODGE_RECORD_DELETING, /* a delete has been accepted; only forward from here */
} LodgeRecordState;

/*
 * Core's view of an instance.  The fields are written by the registry, the reconciler and the job
 * engine only, each of which calls lodge_instance_touch() afterwards.
 */
struct _LodgeInstance
{
  GObject parent;

  /* identity and record */
  char *uuid;
  char *name;
  LodgeKind kind;
  LodgeRecordState record;
  char *uri;
  char *image_alias;       /* nullable */
  char *image_fingerprint; /* nullable: of what its disk or root is built on */
  char *medium;            /* nullable: fingerprint of the ISO in its CD-ROM drive */
  char *architecture;
  GHashTable *config;
  guint32 idmap_base; /* 0: none */
  char *network;      /* nullable */
  char *mac;          /* nullable */
  char *address;      /* nullable: reserved */
  guint prefix;
  gint64 created_at;

  /* what libvirt says */
  gboolean announced; /* instance-added was emitted */
  gboolean present;   /* libvirt has a domain */
  LodgeState observed;
  gint64 domain_id;
  guint64 memory_limit;
  guint vcpus;
  gboolean booted;
  gint64 started_at;
  LodgeCaps caps;
  GPtrArray *addresses;
  GStrv drift;
  guint grace_source; /* an "undefined" event may be half of a rename */

  /* what is going on */
  gint64 job_id;
  char *claimed_name; /* nullable: what a rename that goes on will call it */
  guint64 settled; /* when the last job on it ended, by the manager's clock of readings */
  int transient; /* LodgeState shown while a job runs, or -1 */
  guint file_sessions;

  guint pending_fields;
  guint changed_source;
};

LodgeInstance *lodge_instance_new (const char *uuid, const char *name, LodgeKind kind);

/** Notes that @fields changed; `changed` follows before the main loop sleeps. */
void lodge_instance_touch (LodgeInstance *self, LodgeInstanceField fields);

/** Sets the state that is shown while a job runs; -1: what libvirt says. */
void lodge_instance_set_transient (LodgeInstance *self, int state);

/** The instance's record as the JSON text that the store keeps.  (transfer full) */
char *lodge_instance_to_json (LodgeInstance *self);

/** The reverse; a broken document is %LODGE_ERROR_STORE.  (transfer full) */
LodgeInstance *lodge_instance_from_json (const char *text, GError **error);

G_END_DECLS
