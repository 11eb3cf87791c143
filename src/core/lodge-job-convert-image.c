/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * image-convert: an image of the other kind under the same aliases.  What it is made from stays.
 *
 * data: fingerprint (of the source, then of the result), kind, size
 */
#include "lodge-image-turn.h"
#include "lodge-manager-private.h"

static void
on_turned (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (LodgeJob) job = user_data;
  GError *error = NULL;
  char *fingerprint = lodge_image_store_turn_finish (LODGE_IMAGE_STORE (source), result, &error);

  if (fingerprint != NULL)
    {
      job->image_fingerprint = fingerprint;
      json_object_set_string_member (job->data, "fingerprint", fingerprint);
      lodge_job_touch (job, LODGE_JOB_FIELD_OBJECT);
    }
  lodge_job_step_done (job, error);
}

static void
turn (LodgeJob *job)
{
  const LodgeImageTurn what = { .kind = job->target,
                                .fingerprint = lodge_json_get_string (job->data, "fingerprint", ""),
                                .size = (guint64) lodge_json_get_int (job->data, "size", 0) };

  lodge_image_store_turn_async (job->manager->images, &what, lodge_job_image_progress,
                                lodge_job_image_notice, job, job->cancellable, on_turned,
                                g_object_ref (job));
}

static const LodgeJobStep image_steps[] = {
  { .nick = "turn", .stage = "converting", .where = LODGE_STEP_ASYNC, .run_async = turn },
};

const LodgeJobKind lodge_job_kind_image_convert = { .operation = "image-convert",
                                                    .steps = image_steps,
                                                    .n_steps = G_N_ELEMENTS (image_steps),
                                                    .commit_step = 0,
                                                    .cancellable = TRUE };

static gboolean
check_image (LodgeManager *self, const LodgeImage *image, LodgeKind kind, GError **error)
{
  const char *alias = image->aliases != NULL ? image->aliases[0] : NULL;

  if (image->kind == kind)
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                 "the image %.12s is one for %s already", image->fingerprint,
                 kind == LODGE_KIND_VM ? "VMs" : "containers");
  else if (alias != NULL && lodge_image_store_resolve (self->images, alias, kind, NULL) != NULL)
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_ALREADY_EXISTS,
                 "“%s” is there for %s already\n`lodge image delete --kind=%s %s` removes that",
                 alias, kind == LODGE_KIND_VM ? "VMs" : "containers", lodge_kind_nick (kind),
                 alias);
  else
    return TRUE;
  return FALSE;
}

LodgeJob *
lodge_manager_convert_image (LodgeManager *self, const char *fingerprint, LodgeKind kind,
                             guint64 size, guint32 uid, GError **error)
{
  const LodgeImage *image = lodge_image_store_get (self->images, fingerprint);

  if (image == NULL)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND, "there is no image %.12s",
                   fingerprint);
      return NULL;
    }
  if (!check_image (self, image, kind, error))
    return NULL;

  g_autoptr (LodgeJob) job = lodge_job_new (self, &lodge_job_kind_image_convert);
  job->target = kind;
  job->row->uid = uid;
  job->row->description = g_strdup_printf ("conversion of image %.12s to a %s's", fingerprint,
                                           lodge_kind_nick (kind));
  json_object_set_string_member (job->data, "fingerprint", fingerprint);
  json_object_set_string_member (job->data, "kind", lodge_kind_nick (kind));
  json_object_set_int_member (job->data, "size", (gint64) size);
  return lodge_job_begin (job, error) ? job : NULL;
}
