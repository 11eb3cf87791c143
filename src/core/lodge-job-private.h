/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-instance-private.h"
#include "lodge-job.h"
#include "lodge-json.h"
#include "lodge-journal.h"
#include "lodge-manager.h"

G_BEGIN_DECLS

/*
 * A job is a row of steps.  Before a step is begun its nick goes into the journal, together with
 * `data`, which names everything that the step may create; so after a crash the row alone tells
 * what to finish or to undo.  Every step can be done twice without harm, and so can every undo.
 *
 * Up to a kind's commit point a failure, a cancellation or a crash undoes what was done, in
 * reverse; after it a job only goes forward, unless its kind has it undone by a cancellation.
 *
 * A job's steps run one after the other, so the job's fields belong to whoever runs the current
 * step: worker threads use `instance`'s identity, `spec`, `data` for reading and `output` for
 * writing.
 */

typedef enum
{
  LODGE_STEP_MAIN,   /* on the main thread; must not block */
  LODGE_STEP_IO,     /* on a thread for files */
  LODGE_STEP_DRIVER, /* on a thread of the driver of the job's kind of instance */
  LODGE_STEP_ASYNC,  /* on the main thread; ends with lodge_job_step_done() */
} LodgeStepWhere;

typedef struct
{
  const char *nick;  /* in the journal and in failpoints */
  const char *stage; /* what the user sees */
  LodgeStepWhere where;
  gboolean (*run) (LodgeJob *job, GError **error);
  void (*run_async) (LodgeJob *job); /* ASYNC */
  LodgeStepWhere undo_where;
  gboolean (*undo) (LodgeJob *job, GError **error); /* NULL: nothing to undo */
  gboolean (*wanted) (LodgeJob *job);               /* NULL: always */
} LodgeJobStep;

typedef struct
{
  const char *operation;
  const LodgeJobStep *steps;
  guint n_steps;
  /* Index of the step after which it only goes forward; -1: forward from the beginning. */
  int commit_step;
  gboolean cancellable;
  /* A cancellation undoes it even after the commit, until its end. */
  gboolean cancel_undoes;
  /* Main thread, just before the end is announced: settles what the instance shows. */
  void (*ended) (LodgeJob *job);
} LodgeJobKind;

struct _LodgeJob
{
  GObject parent;

  LodgeManager *manager; /* borrowed: the manager owns its jobs */
  const LodgeJobKind *kind;
  LodgeJournalRow *row;
  LodgeJobState state;
  int step;          /* index, or -1 before the first */
  gint64 step_began; /* monotonic µs */
  gboolean undoing;
  int not_undone; /* the last step whose undoing failed, or -1 */
  GCancellable *cancellable;
  JsonObject *data; /* persisted with each step; NULL when the job has ended */

  LodgeInstance *instance; /* nullable; a reference; NULL when the job has ended */
  LodgeKind target;        /* which driver DRIVER steps use */
  LodgeDomainSpec *spec;   /* nullable */
  gpointer network;        /* LodgeNetworkInfo, nullable */
  int fd;                  /* import: the file; else -1 */
  int root_fd;             /* import of a split image: its second file; else -1 */
  gpointer files;          /* customizing: GUnixFDList of the files to copy in, nullable */
  GPtrArray *output;       /* notices from a worker, moved to `notices` afterwards */

  char *instance_name;
  char *image_fingerprint;
  GError *error;
  GPtrArray *notices; /* NULL-ended for readers */
  double progress;
  guint64 bytes_done, bytes_total, rate;
  gint64 rate_since; /* monotonic µs of the last announced progress */
  char *stage;
  guint wait_source; /* of an ASYNC step that waits for a state */
  gulong wait_handler;

  guint pending_fields;
  guint changed_source;
  gint64 keep_until; /* monotonic µs; of one that has ended */
};

LodgeJob *lodge_job_new (LodgeManager *manager, const LodgeJobKind *kind);
void lodge_job_touch (LodgeJob *self, LodgeJobField fields);
void lodge_job_set_state (LodgeJob *self, LodgeJobState state);
void lodge_job_set_stage (LodgeJob *self, const char *stage);
void lodge_job_add_notice (LodgeJob *self, const char *notice);
/** Announces at most four times a second. */
void lodge_job_set_progress (LodgeJob *self, double fraction, guint64 done, guint64 total,
                             const char *stage);
/** Announces the end, and drops what only running takes: ended jobs are remembered for a while. */
void lodge_job_emit_ended (LodgeJob *self);

/* ---- the engine ---- */

/**
 * lodge_job_begin: writes the journal row and begins with the first step.
 *
 * The job must be complete.  On success the manager owns it.
 */
gboolean lodge_job_begin (LodgeJob *self, GError **error);

/** Ends the current ASYNC step.  @error: (transfer full) (nullable) */
void lodge_job_step_done (LodgeJob *self, GError *error);

/** Takes up a job that an earlier run has left; its row says how far it had come. */
void lodge_job_resume (LodgeJob *self);

/** The kind with this operation, or NULL. */
const LodgeJobKind *lodge_job_kind_find (const char *operation);

extern const LodgeJobKind lodge_job_kind_create;
extern const LodgeJobKind lodge_job_kind_delete;
extern const LodgeJobKind lodge_job_kind_start;
extern const LodgeJobKind lodge_job_kind_stop;
extern const LodgeJobKind lodge_job_kind_restart;
extern const LodgeJobKind lodge_job_kind_pause;
extern const LodgeJobKind lodge_job_kind_resume;
extern const LodgeJobKind lodge_job_kind_rename;
extern const LodgeJobKind lodge_job_kind_image_pull;
extern const LodgeJobKind lodge_job_kind_image_import;
extern const LodgeJobKind lodge_job_kind_image_delete;
extern const LodgeJobKind lodge_job_kind_image_export;
extern const LodgeJobKind lodge_job_kind_image_update;
extern const LodgeJobKind lodge_job_kind_image_prune;
extern const LodgeJobKind lodge_job_kind_image_convert;
extern const LodgeJobKind lodge_job_kind_convert;
extern const LodgeJobKind lodge_job_kind_publish;
extern const LodgeJobKind lodge_job_kind_eject;
extern const LodgeJobKind lodge_job_kind_image_customize;

/* ---- steps that several kinds share ---- */

gboolean lodge_step_kill (LodgeJob *job, GError **error);
/** As above, but a domain that is not there any more is a success. */
gboolean lodge_step_end_domain (LodgeJob *job, GError **error);
gboolean lodge_step_power_on (LodgeJob *job, GError **error);
void lodge_step_wait_booted (LodgeJob *job);
gboolean lodge_step_ask_to_stop (LodgeJob *job, GError **error);
/** As long as `timeout` in the job's data says, seconds. */
void lodge_step_wait_stopped (LodgeJob *job);
/* Of a new instance: the job's, whose image is `image` in its data. */
gboolean lodge_step_wants_network (LodgeJob *job);
gboolean lodge_step_ensure_network (LodgeJob *job, GError **error);
gboolean lodge_step_reserve (LodgeJob *job, GError **error);
gboolean lodge_step_unreserve (LodgeJob *job, GError **error);
gboolean lodge_step_create_storage (LodgeJob *job, GError **error);
gboolean lodge_step_discard_storage (LodgeJob *job, GError **error);
gboolean lodge_step_add_host (LodgeJob *job, GError **error);
gboolean lodge_step_remove_host (LodgeJob *job, GError **error);
gboolean lodge_step_define (LodgeJob *job, GError **error);
gboolean lodge_step_undefine (LodgeJob *job, GError **error);
gboolean lodge_step_commit_new (LodgeJob *job, GError **error);
gboolean lodge_step_uncommit (LodgeJob *job, GError **error);
gboolean lodge_step_make_staging (LodgeJob *job, GError **error);
gboolean lodge_step_remove_staging (LodgeJob *job, GError **error);
/** Puts into the instance what makes it itself: templates of its image, data for cloud-init. */
void lodge_step_seed (LodgeJob *job);
gboolean lodge_step_wants_seed (LodgeJob *job);
/** Whether it gets data for cloud-init.  @image: nullable. */
gboolean lodge_job_wants_cloud_init (LodgeInstance *instance, const LodgeImage *image);
/** Notes how the owner gets into it; INVALID_ARGUMENT when that is malformed. */
gboolean lodge_job_set_access (LodgeJob *job, const LodgeCreateRequest *request, GError **error);
/** Where a VM's disk with that data is; (transfer full) */
char *lodge_job_seed_disk (LodgeManager *manager, LodgeInstance *instance);
/** Makes an image of the job's `fd` (and `root_fd`). */
void lodge_step_import_image (LodgeJob *job);

/* The directory that a job with an image works in: made first, emptied last. */
#define LODGE_STEP_STAGING                                                                         \
  {                                                                                                \
    .nick = "staging", .stage = "preparing", .where = LODGE_STEP_IO,                               \
    .run = lodge_step_make_staging, .undo_where = LODGE_STEP_IO, .undo = lodge_step_remove_staging \
  }
#define LODGE_STEP_CLEAN                                                                           \
  {                                                                                                \
    .nick = "clean", .stage = "cleaning up", .where = LODGE_STEP_IO,                               \
    .run = lodge_step_remove_staging                                                               \
  }

/** What the image store reports becomes the job's: LodgeImageProgressFunc, LodgeImageNoticeFunc. */
void lodge_job_image_progress (double fraction, guint64 done, guint64 total, const char *stage,
                               gpointer job);
void lodge_job_image_notice (const char *notice, gpointer job);

/** Deletes images that were made of an instance and that nothing is built on any more. */
void lodge_job_drop_private_images (LodgeManager *manager);

G_END_DECLS
