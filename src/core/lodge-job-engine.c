/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs jobs step by step; see lodge-job-private.h for the rules.  The order for each step is:
 * journal it, do it, and only then look at the next.  A crash between two lines below is what
 * tests/fault tries, one failpoint at a time:
 *
 *   job:<operation>:<step>            the step is in the journal, nothing of it is done
 *   job:<operation>:<step>:done       it is done, the journal does not know yet
 *   job:<operation>:<step>:undo       as above, while undoing
 *   job:<operation>:ended             all is done, the end is not in the journal
 */
#include "lodge-failpoint.h"
#include "lodge-manager-private.h"

static void advance (LodgeJob *self);
static void begin_undo (LodgeJob *self);
static void undo_next (LodgeJob *self);

static const LodgeJobKind *const kinds[] = {
  &lodge_job_kind_create,        &lodge_job_kind_delete,       &lodge_job_kind_start,
  &lodge_job_kind_stop,          &lodge_job_kind_restart,      &lodge_job_kind_pause,
  &lodge_job_kind_resume,        &lodge_job_kind_rename,       &lodge_job_kind_image_pull,
  &lodge_job_kind_image_import,  &lodge_job_kind_image_delete, &lodge_job_kind_image_export,
  &lodge_job_kind_publish,       &lodge_job_kind_image_update, &lodge_job_kind_image_prune,
  &lodge_job_kind_image_convert, &lodge_job_kind_convert,      &lodge_job_kind_eject,
  &lodge_job_kind_image_customize,
};

const LodgeJobKind *
lodge_job_kind_find (const char *operation)
{
  for (gsize i = 0; i < G_N_ELEMENTS (kinds); i++)
    if (g_strcmp0 (kinds[i]->operation, operation) == 0)
      return kinds[i];
  return NULL;
}

static const LodgeJobStep *
current_step (LodgeJob *self)
{
  return &self->kind->steps[self->step];
}

static gboolean
is_committed (LodgeJob *self)
{
  return self->step > self->kind->commit_step;
}

/* Who has changed their mind does not want the rest either. */
static gboolean
is_given_up (LodgeJob *self)
{
  return g_cancellable_is_cancelled (self->cancellable)
         && (self->kind->cancel_undoes || self->step < self->kind->commit_step);
}

static gboolean
is_wanted (LodgeJob *self, guint step)
{
  const LodgeJobStep *row = &self->kind->steps[step];

  return row->wanted == NULL || row->wanted (self);
}

static gboolean
fail_at (LodgeJob *self, const char *suffix, GError **error)
{
#ifdef LODGE_FAILPOINTS
  g_autofree char *name
      = self->step >= 0 && (guint) self->step < self->kind->n_steps && suffix[0] != '!'
            ? g_strdup_printf ("job:%s:%s%s", self->kind->operation, current_step (self)->nick,
                               suffix)
            : g_strdup_printf ("job:%s:%s", self->kind->operation, suffix + 1);

  return lodge_failpoint (name, error);
#else
  return TRUE;
#endif
}

static void
replace_string (char **where, const char *value)
{
  /* The new value may be the old one. */
  char *copy = g_strdup (value);

  g_free (*where);
  *where = copy;
}

/* Brings the row up to what the job is, without writing it. */
static void
fill_row (LodgeJob *self)
{
  LodgeJournalRow *row = self->row;

  replace_string (&row->state, lodge_job_state_nick (self->state));
  if (self->instance != NULL)
    replace_string (&row->object, self->instance->uuid);
  replace_string (&row->direction, self->undoing ? "undo" : "do");
  if (self->step >= 0 && (guint) self->step < self->kind->n_steps)
    replace_string (&row->step, current_step (self)->nick);
  g_free (row->data);
  row->data = lodge_json_to_text (self->data);
  replace_string (&row->error_nick,
                  self->error != NULL ? lodge_error_nick ((LodgeErrorCode) self->error->code) : "");
  replace_string (&row->error_message, self->error != NULL ? self->error->message : "");
  if (row->description == NULL)
    row->description = g_strdup (self->kind->operation);
  if (row->result == NULL)
    row->result = g_strdup ("{}");
  if (row->step == NULL)
    row->step = g_strdup ("");
  if (row->object == NULL)
    row->object = g_strdup ("");
}

static gboolean
write_row (LodgeJob *self, GError **error)
{
  fill_row (self);
  return lodge_journal_update (self->manager->store, self->row, NULL, 0, NULL, 0, error);
}

/* ---- the end ---- */

static void
finish (LodgeJob *self)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (LodgeJob) hold = g_object_ref (self);

  if (self->error == NULL)
    lodge_job_set_state (self, LODGE_JOB_SUCCEEDED);
  else if (g_error_matches (self->error, LODGE_ERROR, LODGE_ERROR_CANCELLED))
    lodge_job_set_state (self, LODGE_JOB_CANCELLED);
  else
    lodge_job_set_state (self, LODGE_JOB_FAILED);
  if (self->not_undone >= 0)
    self->step = self->not_undone;
  else
    self->row->ended_at = g_get_real_time () / G_USEC_PER_SEC;
  if (fail_at (self, "!ended", NULL) && !write_row (self, &error))
    /* Nothing is lost: at the next start the last step is found to be done and the job ends. */
    g_warning ("job %" G_GINT64_FORMAT ": its end was not recorded: %s", self->row->id,
               error->message);
  /* For those who look at the job; the journal's row has no end when something is left to undo. */
  self->row->ended_at = g_get_real_time () / G_USEC_PER_SEC;

  if (self->instance != NULL && self->instance->job_id == self->row->id)
    {
      self->instance->job_id = 0;
      /* What was read before this moment may be older than what the job did. */
      self->instance->settled = ++self->manager->reading;
      lodge_instance_touch (self->instance, LODGE_INSTANCE_FIELD_JOB);
    }
  if (self->kind->ended != NULL)
    self->kind->ended (self);
  lodge_manager_job_ended (self->manager, self);
  lodge_job_emit_ended (self);
}

/* ---- one step ---- */

static void
take_output (LodgeJob *self)
{
  for (guint i = 0; i < self->output->len; i++)
    lodge_job_add_notice (self, g_ptr_array_index (self->output, i));
  g_ptr_array_set_size (self->output, 0);
}

/* The same words whatever step it was: a helper only knows that it was told to end. */
static void
set_cancelled (LodgeJob *self)
{
  g_clear_error (&self->error);
  g_set_error (&self->error, LODGE_ERROR, LODGE_ERROR_CANCELLED, "%s was cancelled",
               lodge_job_get_description (self));
}

static void
after_step (LodgeJob *self, GError *error)
{
  take_output (self);
  g_debug ("job %" G_GINT64_FORMAT ": %s took %.1f ms", self->row->id, current_step (self)->nick,
           (double) (g_get_monotonic_time () - self->step_began) / 1000);
  if (error == NULL)
    fail_at (self, ":done", &error);
  if (error != NULL)
    {
      g_clear_error (&self->error);
      self->error = lodge_error_normalize (error);
      if (g_cancellable_is_cancelled (self->cancellable)
          && g_error_matches (self->error, LODGE_ERROR, LODGE_ERROR_CANCELLED))
        set_cancelled (self);
      if (is_committed (self) && !is_given_up (self))
        finish (self);
      else
        begin_undo (self);
      return;
    }
  advance (self);
}

static void
after_undo (LodgeJob *self, GError *error)
{
  g_autoptr (GError) owned = error;

  /* The rest is undone all the same; the row stays open, so that the next start tries again. */
  if (owned != NULL)
    {
      g_warning ("job %" G_GINT64_FORMAT ": undoing “%s” failed, the next start of lodged tries "
                 "again: %s",
                 self->row->id, current_step (self)->nick, owned->message);
      self->not_undone = MAX (self->not_undone, self->step);
    }
  undo_next (self);
}

static void
on_work_done (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (LodgeJob) self = user_data;
  GError *error = NULL;

  g_task_propagate_boolean (G_TASK (result), &error);
  if (self->undoing)
    after_undo (self, error);
  else
    after_step (self, error);
}

typedef struct
{
  gboolean (*func) (LodgeJob *job, GError **error);
  LodgeJob *job;
} Work;

static void
run_on_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Work *work = task_data;
  GError *error = NULL;

  if (work->func (work->job, &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

static LodgeExecutor *
pool_for (LodgeJob *self, LodgeStepWhere where)
{
  return where == LODGE_STEP_IO ? self->manager->io_pool : self->manager->change_pool[self->target];
}

static void
dispatch (LodgeJob *self, LodgeStepWhere where, gboolean (*func) (LodgeJob *job, GError **error))
{
  GError *error = NULL;

  if (where == LODGE_STEP_MAIN)
    {
      func (self, &error);
      if (self->undoing)
        after_undo (self, error);
      else
        after_step (self, error);
      return;
    }

  g_autoptr (GTask) task = g_task_new (NULL, NULL, on_work_done, g_object_ref (self));
  Work *work = g_new0 (Work, 1);
  work->func = func;
  work->job = self; /* held by the callback's reference */
  g_task_set_task_data (task, work, g_free);
  lodge_executor_run_for (pool_for (self, where), self->row->uid, task, run_on_thread);
}

/* A step that leaves nothing to undo need not be found again: each write is an fsync. */
static gboolean
must_journal (LodgeJob *self)
{
  return current_step (self)->undo != NULL || self->step >= self->kind->commit_step;
}

static void
run_step (LodgeJob *self)
{
  const LodgeJobStep *step = current_step (self);
  GError *error = NULL;

  self->step_began = g_get_monotonic_time ();
  lodge_job_set_stage (self, step->stage);
  if ((must_journal (self) && !write_row (self, &error)) || !fail_at (self, "", &error))
    {
      after_step (self, error);
      return;
    }
  if (step->where == LODGE_STEP_ASYNC)
    step->run_async (self);
  else
    dispatch (self, step->where, step->run);
}

static void
advance (LodgeJob *self)
{
  guint next = (guint) (self->step + 1);

  while (next < self->kind->n_steps && !is_wanted (self, next))
    next++;
  if (is_given_up (self))
    {
      set_cancelled (self);
      begin_undo (self);
      return;
    }
  self->step = (int) MIN (next, self->kind->n_steps - 1);
  if (next < self->kind->n_steps)
    run_step (self);
  else
    finish (self);
}

void
lodge_job_step_done (LodgeJob *self, GError *error)
{
  after_step (self, error);
}

/* ---- undoing ---- */

static void
undo_current (LodgeJob *self)
{
  const LodgeJobStep *step = current_step (self);
  g_autoptr (GError) error = NULL;

  if (!write_row (self, &error))
    g_warning ("job %" G_GINT64_FORMAT ": %s", self->row->id, error->message);
  fail_at (self, ":undo", NULL);
  dispatch (self, step->undo_where, step->undo);
}

static void
undo_next (LodgeJob *self)
{
  do
    self->step--;
  while (self->step >= 0
         && (current_step (self)->undo == NULL || !is_wanted (self, (guint) self->step)));
  if (self->step < 0)
    finish (self);
  else
    undo_current (self);
}

/* The step that failed is undone too: it may have come half-way. */
static void
begin_undo (LodgeJob *self)
{
  self->undoing = TRUE;
  self->step++;
  undo_next (self);
}

/* ---- beginnings ---- */

gboolean
lodge_job_begin (LodgeJob *self, GError **error)
{
  lodge_job_set_state (self, LODGE_JOB_RUNNING);
  self->row->started_at = g_get_real_time () / G_USEC_PER_SEC;
  fill_row (self);
  if (!lodge_journal_add (self->manager->store, self->row, error))
    return FALSE;
  if (self->instance != NULL)
    {
      self->instance->job_id = self->row->id;
      lodge_instance_touch (self->instance, LODGE_INSTANCE_FIELD_JOB);
    }
  lodge_manager_own_job (self->manager, self);
  advance (self);
  return TRUE;
}

static int
find_step (const LodgeJobKind *kind, const char *nick)
{
  for (guint i = 0; i < kind->n_steps; i++)
    if (g_strcmp0 (kind->steps[i].nick, nick) == 0)
      return (int) i;
  return -1;
}

/* lodged may have ended between the transaction of the commit step and the journal's next line:
 * then the record tells. */
static gboolean
was_committed (LodgeJob *self)
{
  return is_committed (self)
         || (self->step == self->kind->commit_step && self->instance != NULL
             && self->instance->record == LODGE_RECORD_READY);
}

void
lodge_job_resume (LodgeJob *self)
{
  self->step = find_step (self->kind, self->row->step);
  self->undoing = g_strcmp0 (self->row->direction, "undo") == 0;
  lodge_job_set_state (self, LODGE_JOB_RUNNING);
  lodge_manager_own_job (self->manager, self);
  g_message ("job %" G_GINT64_FORMAT " (%s) was interrupted at “%s”: %s", self->row->id,
             lodge_job_get_description (self), self->row->step,
             was_committed (self) && !self->undoing ? "finishing it" : "undoing it");

  if (self->undoing || !was_committed (self))
    {
      if (self->error == NULL)
        g_set_error (&self->error, LODGE_ERROR, LODGE_ERROR_FAILED,
                     "%s was interrupted and has been undone: lodged ended while it ran",
                     lodge_job_get_description (self));
      begin_undo (self);
      return;
    }
  /* The step itself may or may not have been done: it is done again. */
  self->step--;
  advance (self);
}
