/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-job-private.h"

#include "lodge-fd.h"
#include "lodge-network.h"

/* Four announcements a second are what a person can read. */
#define PROGRESS_INTERVAL (G_USEC_PER_SEC / 4)

G_DEFINE_FINAL_TYPE (LodgeJob, lodge_job, G_TYPE_OBJECT)

enum
{
  SIGNAL_CHANGED,
  SIGNAL_ENDED,
  N_SIGNALS
};

static guint signals[N_SIGNALS];

static const char *const state_nicks[]
    = { "queued", "running", "cancelling", "succeeded", "failed", "cancelled" };

const char *
lodge_job_state_nick (LodgeJobState state)
{
  g_return_val_if_fail (state < G_N_ELEMENTS (state_nicks), "failed");
  return state_nicks[state];
}

gboolean
lodge_job_state_is_final (LodgeJobState state)
{
  return state >= LODGE_JOB_SUCCEEDED;
}

static void
lodge_job_finalize (GObject *object)
{
  LodgeJob *self = LODGE_JOB (object);

  g_clear_handle_id (&self->changed_source, g_source_remove);
  g_clear_handle_id (&self->wait_source, g_source_remove);
  if (self->wait_handler != 0)
    g_signal_handler_disconnect (self->instance, self->wait_handler);
  lodge_journal_row_free (self->row);
  g_object_unref (self->cancellable);
  g_clear_pointer (&self->data, json_object_unref);
  g_clear_object (&self->instance);
  lodge_domain_spec_free (self->spec);
  lodge_network_info_free (self->network);
  lodge_fd_clear (&self->fd);
  lodge_fd_clear (&self->root_fd);
  g_clear_object (&self->files);
  g_ptr_array_unref (self->output);
  g_ptr_array_unref (self->notices);
  g_free (self->instance_name);
  g_free (self->image_fingerprint);
  g_clear_error (&self->error);
  g_free (self->stage);
  G_OBJECT_CLASS (lodge_job_parent_class)->finalize (object);
}

static void
lodge_job_class_init (LodgeJobClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = lodge_job_finalize;
  signals[SIGNAL_CHANGED] = g_signal_new ("changed", G_TYPE_FROM_CLASS (klass), G_SIGNAL_RUN_LAST,
                                          0, NULL, NULL, NULL, G_TYPE_NONE, 1, G_TYPE_UINT);
  signals[SIGNAL_ENDED] = g_signal_new ("ended", G_TYPE_FROM_CLASS (klass), G_SIGNAL_RUN_LAST, 0,
                                        NULL, NULL, NULL, G_TYPE_NONE, 0);
}

static void
lodge_job_init (LodgeJob *self)
{
  self->row = g_new0 (LodgeJournalRow, 1);
  self->cancellable = g_cancellable_new ();
  self->output = g_ptr_array_new_with_free_func (g_free);
  self->notices = g_ptr_array_new_with_free_func (g_free);
  g_ptr_array_add (self->notices, NULL);
  self->stage = g_strdup ("");
  self->progress = -1;
  self->step = -1;
  self->not_undone = -1;
  self->fd = -1;
  self->root_fd = -1;
}

LodgeJob *
lodge_job_new (LodgeManager *manager, const LodgeJobKind *kind)
{
  LodgeJob *self = g_object_new (LODGE_TYPE_JOB, NULL);

  self->manager = manager;
  self->kind = kind;
  self->data = json_object_new ();
  self->row->operation = g_strdup (kind->operation);
  return self;
}

static gboolean
emit_changed (gpointer user_data)
{
  LodgeJob *self = user_data;
  guint fields = self->pending_fields;

  self->changed_source = 0;
  self->pending_fields = 0;
  g_signal_emit (self, signals[SIGNAL_CHANGED], 0, fields);
  return G_SOURCE_REMOVE;
}

void
lodge_job_touch (LodgeJob *self, LodgeJobField fields)
{
  self->pending_fields |= fields;
  if (self->changed_source == 0)
    self->changed_source = g_idle_add_full (G_PRIORITY_DEFAULT, emit_changed, self, NULL);
}

void
lodge_job_set_state (LodgeJob *self, LodgeJobState state)
{
  self->state = state;
  lodge_job_touch (self, LODGE_JOB_FIELD_STATE);
}

void
lodge_job_set_stage (LodgeJob *self, const char *stage)
{
  if (g_strcmp0 (self->stage, stage) == 0)
    return;
  g_free (self->stage);
  self->stage = g_strdup (stage);
  self->progress = -1;
  self->bytes_done = self->bytes_total = self->rate = 0;
  lodge_job_touch (self, LODGE_JOB_FIELD_STAGE | LODGE_JOB_FIELD_PROGRESS);
}

void
lodge_job_add_notice (LodgeJob *self, const char *notice)
{
  g_ptr_array_insert (self->notices, (int) self->notices->len - 1, g_strdup (notice));
  lodge_job_touch (self, LODGE_JOB_FIELD_NOTICES);
}

void
lodge_job_set_progress (LodgeJob *self, double fraction, guint64 done, guint64 total,
                        const char *stage)
{
  gint64 now = g_get_monotonic_time ();
  gint64 elapsed = now - self->rate_since;

  if (stage != NULL && stage[0] != '\0')
    lodge_job_set_stage (self, stage);
  if (elapsed < PROGRESS_INTERVAL && fraction < 1)
    return;
  self->rate = done > self->bytes_done && elapsed > 0
                   ? (guint64) ((double) (done - self->bytes_done) * G_USEC_PER_SEC / elapsed)
                   : 0;
  self->rate_since = now;
  self->progress = fraction;
  self->bytes_done = done;
  self->bytes_total = total;
  lodge_job_touch (self, LODGE_JOB_FIELD_PROGRESS);
}

void
lodge_job_emit_ended (LodgeJob *self)
{
  /* What changed last comes before the end, not after it. */
  if (self->changed_source != 0)
    {
      g_clear_handle_id (&self->changed_source, g_source_remove);
      emit_changed (self);
    }
  g_signal_emit (self, signals[SIGNAL_ENDED], 0);

  g_clear_object (&self->instance);
  g_clear_pointer (&self->data, json_object_unref);
  g_clear_pointer (&self->spec, lodge_domain_spec_free);
  g_clear_pointer (&self->network, lodge_network_info_free);
  g_clear_pointer (&self->row->data, g_free);
  lodge_fd_clear (&self->fd);
  lodge_fd_clear (&self->root_fd);
  g_clear_object (&self->files);
}

gint64
lodge_job_get_id (LodgeJob *self)
{
  return self->row->id;
}

const char *
lodge_job_get_operation (LodgeJob *self)
{
  return self->kind->operation;
}

const char *
lodge_job_get_description (LodgeJob *self)
{
  return self->row->description != NULL ? self->row->description : "";
}

LodgeJobState
lodge_job_get_state (LodgeJob *self)
{
  return self->state;
}

const char *
lodge_job_get_stage (LodgeJob *self)
{
  return self->stage;
}

double
lodge_job_get_progress (LodgeJob *self)
{
  return self->progress;
}

void
lodge_job_get_bytes (LodgeJob *self, guint64 *out_done, guint64 *out_total, guint64 *out_rate)
{
  *out_done = self->bytes_done;
  *out_total = self->bytes_total;
  *out_rate = self->rate;
}

gint64
lodge_job_get_started_at (LodgeJob *self)
{
  return self->row->started_at;
}

gint64
lodge_job_get_ended_at (LodgeJob *self)
{
  return self->row->ended_at;
}

gboolean
lodge_job_get_cancellable (LodgeJob *self)
{
  return self->kind->cancellable && !lodge_job_state_is_final (self->state);
}

guint32
lodge_job_get_uid (LodgeJob *self)
{
  return self->row->uid;
}

const char *
lodge_job_get_instance_uuid (LodgeJob *self)
{
  const char *recorded = self->row->object;

  if (self->instance != NULL)
    return self->instance->uuid;
  return recorded != NULL ? recorded : "";
}

const char *
lodge_job_get_image_fingerprint (LodgeJob *self)
{
  return self->image_fingerprint != NULL ? self->image_fingerprint : "";
}

const char *
lodge_job_get_instance_name (LodgeJob *self)
{
  return self->instance_name != NULL ? self->instance_name : "";
}

const GError *
lodge_job_get_error (LodgeJob *self)
{
  return self->error;
}

const char *const *
lodge_job_get_notices (LodgeJob *self)
{
  return (const char *const *) self->notices->pdata;
}

gboolean
lodge_job_cancel (LodgeJob *self, GError **error)
{
  if (lodge_job_state_is_final (self->state))
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_STATE,
                   "job %" G_GINT64_FORMAT " has ended already", self->row->id);
      return FALSE;
    }
  if (!self->kind->cancellable)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_STATE,
                   "job %" G_GINT64_FORMAT " (%s) cannot be cancelled", self->row->id,
                   lodge_job_get_description (self));
      return FALSE;
    }
  if (self->state != LODGE_JOB_CANCELLING)
    {
      lodge_job_set_state (self, LODGE_JOB_CANCELLING);
      g_cancellable_cancel (self->cancellable);
    }
  return TRUE;
}
