/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "lodge/lodge-error.h"

G_BEGIN_DECLS

/*
 * Work that takes a while, as others see it.  Main thread only.
 *
 * Signals: `changed` (guint: a mask of LodgeJobField; progress at most four times a second), and
 * `ended` once.  A job stays in the manager for at least 60 seconds after its end.
 */
#define LODGE_TYPE_JOB (lodge_job_get_type ())
G_DECLARE_FINAL_TYPE (LodgeJob, lodge_job, LODGE, JOB, GObject)

typedef enum
{
  LODGE_JOB_QUEUED,
  LODGE_JOB_RUNNING,
  LODGE_JOB_CANCELLING,
  LODGE_JOB_SUCCEEDED,
  LODGE_JOB_FAILED,
  LODGE_JOB_CANCELLED,
} LodgeJobState;

typedef enum
{
  LODGE_JOB_FIELD_STATE = 1 << 0,
  LODGE_JOB_FIELD_STAGE = 1 << 1,
  LODGE_JOB_FIELD_PROGRESS = 1 << 2,
  LODGE_JOB_FIELD_NOTICES = 1 << 3,
  LODGE_JOB_FIELD_OBJECT = 1 << 4,
} LodgeJobField;

const char *lodge_job_state_nick (LodgeJobState state);
gboolean lodge_job_state_is_final (LodgeJobState state);

gint64 lodge_job_get_id (LodgeJob *self);
const char *lodge_job_get_operation (LodgeJob *self);
const char *lodge_job_get_description (LodgeJob *self);
LodgeJobState lodge_job_get_state (LodgeJob *self);
const char *lodge_job_get_stage (LodgeJob *self);
/** 0.0 … 1.0, or -1 when it is not known. */
double lodge_job_get_progress (LodgeJob *self);
void lodge_job_get_bytes (LodgeJob *self, guint64 *out_done, guint64 *out_total, guint64 *out_rate);
gint64 lodge_job_get_started_at (LodgeJob *self);
gint64 lodge_job_get_ended_at (LodgeJob *self);
gboolean lodge_job_get_cancellable (LodgeJob *self);
guint32 lodge_job_get_uid (LodgeJob *self);
/** UUID of the instance that it works on; "" when it works on none. */
const char *lodge_job_get_instance_uuid (LodgeJob *self);
/** Fingerprint of the image that came out of it, or "". */
const char *lodge_job_get_image_fingerprint (LodgeJob *self);
/** Name of the instance that it is about, also when that is gone; or "". */
const char *lodge_job_get_instance_name (LodgeJob *self);
/** NULL unless it failed or was cancelled.  Borrowed. */
const GError *lodge_job_get_error (LodgeJob *self);
/** Sentences for the user.  Borrowed, NULL-ended. */
const char *const *lodge_job_get_notices (LodgeJob *self);

/** Asks it to stop; it undoes what it did, and ends as cancelled.  INVALID_STATE when it cannot. */
gboolean lodge_job_cancel (LodgeJob *self, GError **error);

G_END_DECLS
