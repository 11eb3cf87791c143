/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-executor.h"
#include "lodge-job-private.h"
#include "lodge-manager.h"
#include "lodge-network.h"
#include "lodge-registry.h"

G_BEGIN_DECLS

#define LODGE_N_KINDS 2

struct _LodgeManager
{
  GObject parent;

  char *state_dir;
  char *run_dir;
  LodgeSqliteStore *store;
  LodgeImageStore *images;
  GPtrArray *drivers;
  LodgeDriver *by_kind[LODGE_N_KINDS]; /* borrowed from drivers; NULL: none */
  gboolean connected[LODGE_N_KINDS];
  gboolean listed[LODGE_N_KINDS]; /* the first list after a connect has arrived */
  LodgeNetwork *network;          /* nullable */

  LodgeRegistry *registry;
  GHashTable *jobs; /* gint64 id → LodgeJob, owned */
  GQueue ended;     /* LodgeJob, borrowed from jobs: in the order of their ends */
  guint forget_source;
  GPtrArray *left_over; /* LodgeJob: of an earlier run, waiting for their driver */

  LodgeExecutor *change_pool[LODGE_N_KINDS]; /* libvirtd admits five calls at once per client */
  LodgeExecutor *query_pool;                 /* reads, so that they never queue behind starts */
  LodgeExecutor *io_pool;

  GHashTable *readings;   /* what is being read for callers; see lodge-manager-read.c */
  GHashTable *forgotten;  /* char* UUID → guint64: `reading` when an instance was forgotten */
  guint64 last_list;      /* `reading` of the list before */
  guint64 reading;        /* grows with each reading of libvirt's state and each end of a job */
  GHashTable *to_look_up; /* set of UUIDs that an event was about */
  guint look_up_source;
  guint resync_source;
  guint housekeeping_source;
  gint64 backed_up_at;    /* monotonic µs */
  gboolean checks_images; /* remotes are being asked for newer ones */
};

/* lodge-manager.c */
void lodge_manager_emit_event (LodgeManager *self, const char *type, gpointer about,
                               const char *fingerprint);
LodgeDriver *lodge_manager_driver_for (LodgeManager *self, LodgeKind kind, GError **error);
/** Makes an instance known to the outside. */
void lodge_manager_announce (LodgeManager *self, LodgeInstance *instance);
/** Takes it out of the registry and tells. */
void lodge_manager_forget (LodgeManager *self, LodgeInstance *instance);
void lodge_manager_own_job (LodgeManager *self, LodgeJob *job);
void lodge_manager_job_ended (LodgeManager *self, LodgeJob *job);
/** Removes trash in the background; what is left after a crash goes at the next start. */
void lodge_manager_empty_trash (LodgeManager *self, const char *tag);

/* lodge-reconcile.c */
void lodge_reconcile_start (LodgeManager *self);
void lodge_reconcile_stop (LodgeManager *self);
/** Applies what libvirt says of one domain; (nullable) @info: it has none. */
void lodge_reconcile_apply (LodgeManager *self, const char *uuid, LodgeKind kind,
                            const LodgeDomainInfo *info);
/** Notes a state that a driver has just brought about; the domain is read again soon. */
void lodge_reconcile_set_state (LodgeManager *self, LodgeInstance *instance, LodgeState state);
/** Reads one domain again, soon. */
void lodge_reconcile_look_up (LodgeManager *self, const char *uuid);

/* lodge-cache.c */
/** Begins to keep house: see there. */
void lodge_cache_start (LodgeManager *self);
/** Drops cached images that have expired, or that no name leads to, and that nothing uses. */
void lodge_cache_sweep (LodgeManager *self);
/** An instance made from it is gone; (nullable) @fingerprint. */
void lodge_cache_let_go (LodgeManager *self, const char *fingerprint);
/** Whether the image can be had again and nothing uses it. */
gboolean lodge_cache_may_drop (LodgeManager *self, const LodgeImage *image);

/* lodge-job-cache.c */
/** @refs: "<kind>/<ref>" */
LodgeJob *lodge_manager_update_refs (LodgeManager *self, const char *const *refs, gboolean quietly,
                                     guint32 uid, GError **error);

/* lodge-recovery.c */
gboolean lodge_recovery_load (LodgeManager *self, GError **error);
/** Takes up left-over jobs whose driver is there. */
void lodge_recovery_resume (LodgeManager *self, LodgeKind kind);

G_END_DECLS
