/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * image-update: newer versions of images that are here.
 *   data: refs ("<kind>/<ref>" lines), quietly
 * image-prune: what nothing uses goes.
 *   data: images (fingerprints), partials (names of downloads); from "forget" on: trash (paths)
 */
#include "lodge-manager-private.h"

#include <string.h>

#include "lodge-fd.h"
#include "lodge-storage.h"

/* ---- image-update ---- */

/* The names that one job goes through. */
typedef struct
{
  LodgeJob *job;
  char **refs;
  guint next;
  char *before;  /* fingerprint of what the current one names */
  GError *error; /* the first one */
} Update;

static void update_next (Update *update);

static void
update_free (Update *update)
{
  g_object_unref (update->job);
  g_strfreev (update->refs);
  g_free (update->before);
  g_clear_error (&update->error);
  g_free (update);
}

static gboolean
is_quiet (LodgeJob *job)
{
  return lodge_json_get_bool (job->data, "quietly", FALSE);
}

/* @out_ref: borrowed from @line */
static LodgeKind
split_line (const char *line, const char **out_ref)
{
  const char *slash = strchr (line, '/');
  g_autofree char *nick = g_strndup (line, (gsize) (slash - line));
  LodgeKind kind = LODGE_KIND_CONTAINER;

  (void) lodge_kind_from_nick (nick, &kind);
  *out_ref = slash + 1;
  return kind;
}

static void
note_success (Update *update, const char *ref, const char *fingerprint)
{
  g_autofree char *notice = g_strcmp0 (update->before, fingerprint) == 0
                                ? g_strdup_printf ("%s is up to date", ref)
                                : g_strdup_printf ("%s is %.12s now", ref, fingerprint);

  lodge_job_add_notice (update->job, notice);
  lodge_image_store_note_update (update->job->manager->images, ref, TRUE);
  json_object_set_string_member (update->job->data, "fingerprint", fingerprint);
  g_free (update->job->image_fingerprint);
  update->job->image_fingerprint = g_strdup (fingerprint);
  lodge_job_touch (update->job, LODGE_JOB_FIELD_OBJECT);
}

/* @error: (transfer full) */
static void
note_failure (Update *update, const char *ref, GError *error)
{
  g_autofree char *notice = g_strdup_printf ("%s: %s", ref, error->message);
  gboolean first = lodge_image_store_note_update (update->job->manager->images, ref, FALSE);

  if (is_quiet (update->job) && first)
    g_message ("The image %s is not updated: %s", ref, error->message);
  notice[strcspn (notice, "\n")] = '\0';
  if (update->error != NULL)
    {
      lodge_job_add_notice (update->job, notice);
      g_error_free (error);
    }
  else
    update->error = error;
}

static void
on_updated (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Update *update = user_data;
  GError *error = NULL;
  g_autofree char *fingerprint
      = lodge_image_store_obtain_finish (LODGE_IMAGE_STORE (source), result, &error);
  const char *ref;

  (void) split_line (update->refs[update->next++], &ref);
  if (fingerprint != NULL)
    note_success (update, ref, fingerprint);
  else if (g_cancellable_is_cancelled (update->job->cancellable))
    {
      g_clear_error (&update->error);
      update->error = error;
    }
  else
    note_failure (update, ref, error);
  update_next (update);
}

static void
update_next (Update *update)
{
  LodgeJob *job = update->job;
  LodgeImageStore *images = job->manager->images;
  gboolean cancelled = g_cancellable_is_cancelled (job->cancellable);
  const char *ref;

  if (update->refs[update->next] == NULL || (cancelled && update->error != NULL))
    {
      lodge_job_step_done (job, g_steal_pointer (&update->error));
      update_free (update);
      return;
    }
  g_autofree char *staging = lodge_storage_staging_dir (job->manager->state_dir, job->row->id);
  LodgeKind kind = split_line (update->refs[update->next], &ref);
  const LodgeImage *image = lodge_image_store_resolve (images, ref, kind, NULL);
  LodgeObtainFlags flags = LODGE_OBTAIN_UPDATE | (is_quiet (job) ? LODGE_OBTAIN_QUIETLY : 0)
                           | (job->row->uid == 0 ? LODGE_OBTAIN_PRIVATE : 0);
  g_free (update->before);
  update->before = image != NULL ? g_strdup (image->fingerprint) : NULL;
  lodge_image_store_obtain_async (images, ref, kind, flags, NULL, staging, lodge_job_image_progress,
                                  lodge_job_image_notice, job, job->cancellable, on_updated,
                                  update);
}

static void
update (LodgeJob *job)
{
  Update *update = g_new0 (Update, 1);

  update->job = g_object_ref (job);
  update->refs = g_strsplit (lodge_json_get_string (job->data, "refs", ""), "\n", -1);
  update_next (update);
}

static void
update_ended (LodgeJob *job)
{
  lodge_cache_sweep (job->manager);
}

static const LodgeJobStep update_steps[] = {
  LODGE_STEP_STAGING,
  { .nick = "update",
    .stage = "looking for newer images",
    .where = LODGE_STEP_ASYNC,
    .run_async = update },
  LODGE_STEP_CLEAN,
};

const LodgeJobKind lodge_job_kind_image_update = { .operation = "image-update",
                                                   .steps = update_steps,
                                                   .n_steps = G_N_ELEMENTS (update_steps),
                                                   .commit_step = 1,
                                                   .cancellable = TRUE,
                                                   .ended = update_ended };

LodgeJob *
lodge_manager_update_refs (LodgeManager *self, const char *const *refs, gboolean quietly,
                           guint32 uid, GError **error)
{
  g_autoptr (LodgeJob) job = lodge_job_new (self, &lodge_job_kind_image_update);
  g_autofree char *joined = g_strjoinv ("\n", (char **) refs);
  guint n = g_strv_length ((char **) refs);

  job->row->uid = uid;
  job->row->description = n == 1 ? g_strdup_printf ("update of image %s", strchr (refs[0], '/') + 1)
                                 : g_strdup_printf ("update of %u images", n);
  json_object_set_string_member (job->data, "refs", joined);
  json_object_set_boolean_member (job->data, "quietly", quietly);
  return lodge_job_begin (job, error) ? job : NULL;
}

/* Adds what can be asked for newer versions of @image. */
static guint
add_refs (LodgeManager *self, const LodgeImage *image, gboolean by_itself, GStrvBuilder *builder)
{
  g_auto (GStrv) refs = lodge_image_store_list_refs (self->images, image, by_itself);

  for (char **ref = refs; *ref != NULL; ref++)
    {
      g_autofree char *line = g_strconcat (lodge_kind_nick (image->kind), "/", *ref, NULL);
      g_strv_builder_add (builder, line);
    }
  return g_strv_length (refs);
}

gboolean
lodge_manager_refresh_images (LodgeManager *self, GPtrArray *images, guint32 uid,
                              LodgeJob **out_job, GError **error)
{
  g_autoptr (GPtrArray) all = images == NULL ? lodge_image_store_list (self->images) : NULL;
  GPtrArray *asked = images != NULL ? images : all;
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  LodgeJob *job = NULL;

  for (guint i = 0; i < asked->len; i++)
    {
      const LodgeImage *image = g_ptr_array_index (asked, i);

      if (images == NULL && (!image->auto_update || image->pinned))
        continue;
      if (add_refs (self, image, images == NULL, builder) == 0 && images != NULL)
        {
          g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_STATE,
                       "image %.12s has no name under which a remote could have a newer version",
                       image->fingerprint);
          return FALSE;
        }
    }
  g_auto (GStrv) refs = g_strv_builder_end (builder);
  if (refs[0] != NULL)
    {
      job = lodge_manager_update_refs (self, (const char *const *) refs, FALSE, uid, error);
      if (job == NULL)
        return FALSE;
    }
  *out_job = job;
  return TRUE;
}

/* ---- image-prune ---- */

static GStrv
read_list (LodgeJob *job, const char *member)
{
  const char *text = lodge_json_get_string (job->data, member, "");

  return *text != '\0' ? g_strsplit (text, "\n", -1) : g_new0 (char *, 1);
}

/* What has come into use since the job was made stays. */
static gboolean
forget_images (LodgeJob *job, GError **error)
{
  LodgeManager *manager = job->manager;
  g_auto (GStrv) fingerprints = read_list (job, "images");
  g_autoptr (GStrvBuilder) trash = g_strv_builder_new ();
  gboolean good = TRUE;

  for (char **fingerprint = fingerprints; good && *fingerprint != NULL; fingerprint++)
    {
      const LodgeImage *image = lodge_image_store_get (manager->images, *fingerprint);
      g_autofree char *path = NULL;

      if (image == NULL || !lodge_cache_may_drop (manager, image))
        continue;
      path = lodge_image_store_delete (manager->images, *fingerprint, error);
      good = path != NULL;
      if (good)
        g_strv_builder_add (trash, path);
    }
  g_auto (GStrv) paths = g_strv_builder_end (trash);
  g_autofree char *joined = g_strjoinv ("\n", paths);
  json_object_set_string_member (job->data, "trash", joined);
  return good;
}

static gboolean
remove_images (LodgeJob *job, GError **error)
{
  g_auto (GStrv) trash = read_list (job, "trash");
  g_auto (GStrv) partials = read_list (job, "partials");
  gboolean good = TRUE;

  for (char **partial = partials; *partial != NULL; partial++)
    lodge_image_partial_remove (job->manager->state_dir, *partial);
  for (char **path = trash; *path != NULL; path++)
    good = lodge_tree_remove (*path, good ? error : NULL) && good;
  return good;
}

static const LodgeJobStep prune_steps[] = {
  { .nick = "forget", .stage = "deleting", .where = LODGE_STEP_MAIN, .run = forget_images },
  { .nick = "remove", .stage = "deleting", .where = LODGE_STEP_IO, .run = remove_images },
};

const LodgeJobKind lodge_job_kind_image_prune = { .operation = "image-prune",
                                                  .steps = prune_steps,
                                                  .n_steps = G_N_ELEMENTS (prune_steps),
                                                  .commit_step = -1,
                                                  .cancellable = FALSE };

LodgeJob *
lodge_manager_drop_images (LodgeManager *self, GPtrArray *fingerprints, const char *const *partials,
                           guint32 uid, GError **error)
{
  g_autoptr (LodgeJob) job = lodge_job_new (self, &lodge_job_kind_image_prune);
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  g_autofree char *names = g_strjoinv ("\n", (char **) partials);

  for (guint i = 0; i < fingerprints->len; i++)
    g_strv_builder_add (builder, g_ptr_array_index (fingerprints, i));
  g_auto (GStrv) strv = g_strv_builder_end (builder);
  g_autofree char *joined = g_strjoinv ("\n", strv);
  job->row->uid = uid;
  job->row->description = g_strdup_printf ("removal of %u unused image%s", fingerprints->len,
                                           fingerprints->len == 1 ? "" : "s");
  json_object_set_string_member (job->data, "images", joined);
  json_object_set_string_member (job->data, "partials", names);
  return lodge_job_begin (job, error) ? job : NULL;
}
