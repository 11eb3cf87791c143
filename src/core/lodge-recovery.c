/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an earlier run left: each open row of the journal becomes a job that is finished or undone
 * as soon as the driver that it needs is connected. */
#include "lodge-manager-private.h"

#include "lodge-name.h"

/* A journal that grows forever slows each start; a day is enough to look back. */
#define JOURNAL_KEEP_SECONDS (24 * 3600)

static void
free_row_shell (LodgeJournalRow **rows, guint index)
{
  rows[index] = NULL;
}

/* The instance of @job: the registry's, or, when the job had not come to writing a record, what
 * is known from the row, so that undoing has something to work on. */
static LodgeInstance *
find_instance (LodgeManager *self, LodgeJob *job)
{
  const char *uuid = job->row->object;
  LodgeInstance *known = lodge_registry_get (self->registry, uuid);

  if (known != NULL)
    return g_object_ref (known);
  if (!lodge_uuid_is_valid (uuid))
    return NULL;

  LodgeInstance *instance
      = lodge_instance_new (uuid, lodge_json_get_string (job->data, "name", ""), job->target);
  instance->record = LODGE_RECORD_CREATING;
  return instance;
}

static LodgeJob *
job_from_row (LodgeManager *self, LodgeJournalRow *row)
{
  const LodgeJobKind *kind = lodge_job_kind_find (row->operation);

  if (kind == NULL)
    return NULL;

  LodgeJob *job = lodge_job_new (self, kind);
  lodge_journal_row_free (job->row);
  job->row = row;

  g_autoptr (JsonObject) data = lodge_json_parse_object (row->data, -1, 1024 * 1024, NULL);
  if (data != NULL)
    {
      json_object_unref (job->data);
      job->data = g_steal_pointer (&data);
    }
  if (!lodge_kind_from_nick (lodge_json_get_string (job->data, "kind", NULL), &job->target))
    job->target = LODGE_KIND_CONTAINER;
  job->instance_name = g_strdup (lodge_json_get_string (job->data, "name", NULL));
  job->image_fingerprint = g_strdup (lodge_json_get_string (job->data, "fingerprint", NULL));
  job->instance = find_instance (self, job);
  if (row->error_nick[0] != '\0')
    job->error = g_error_new_literal (LODGE_ERROR, (int) lodge_error_from_nick (row->error_nick),
                                      row->error_message);
  LodgeInstance *old
      = lodge_registry_get (self->registry, lodge_json_get_string (job->data, "old", NULL));
  if (old != NULL)
    old->job_id = row->id;
  if (job->instance != NULL)
    {
      job->instance->job_id = row->id;
      job->instance->claimed_name = g_strdup (lodge_json_get_string (job->data, "new-name", NULL));
    }
  return job;
}

gboolean
lodge_recovery_load (LodgeManager *self, GError **error)
{
  gint64 now = g_get_real_time () / G_USEC_PER_SEC;
  g_autoptr (GPtrArray) rows = NULL;

  if (!lodge_journal_prune (self->store, now - JOURNAL_KEEP_SECONDS, error))
    return FALSE;
  rows = lodge_journal_list (self->store, TRUE, error);
  if (rows == NULL)
    return FALSE;
  for (guint i = 0; i < rows->len; i++)
    {
      LodgeJournalRow *row = g_ptr_array_index (rows, i);
      LodgeJob *job = job_from_row (self, row);

      if (job == NULL)
        {
          g_warning ("job %" G_GINT64_FORMAT ": “%s” is not an operation that this version knows",
                     row->id, row->operation);
          continue;
        }
      free_row_shell ((LodgeJournalRow **) rows->pdata, i); /* the job has it now */
      g_ptr_array_add (self->left_over, job);
    }
  return TRUE;
}

/* A conversion works on two instances, one of each kind. */
static gboolean
lacks_other_driver (LodgeManager *self, LodgeJob *job)
{
  if (!json_object_has_member (job->data, "old"))
    return FALSE;
  for (int kind = 0; kind < LODGE_N_KINDS; kind++)
    if (self->by_kind[kind] != NULL && !self->listed[kind])
      return TRUE;
  return FALSE;
}

static gboolean
needs_driver (LodgeJob *job)
{
  return job->row->object != NULL && job->row->object[0] != '\0';
}

void
lodge_recovery_resume (LodgeManager *self, LodgeKind kind)
{
  g_autoptr (GPtrArray) ready = g_ptr_array_new_with_free_func (g_object_unref);

  for (guint i = 0; i < self->left_over->len;)
    {
      LodgeJob *job = g_ptr_array_index (self->left_over, i);

      gboolean is_pair = json_object_has_member (job->data, "old");

      if (needs_driver (job) && (is_pair ? lacks_other_driver (self, job) : job->target != kind))
        {
          i++;
          continue;
        }
      g_ptr_array_add (ready, g_object_ref (job));
      g_ptr_array_remove_index (self->left_over, i);
    }
  for (guint i = 0; i < ready->len; i++)
    lodge_job_resume (g_ptr_array_index (ready, i));
}
