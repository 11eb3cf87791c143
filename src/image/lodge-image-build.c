/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Images of the remote build:, made by lodge-image-worker. */
#include "lodge-remote-private.h"

#include <string.h>

typedef struct
{
  const LodgeImageRecipe *recipe;
  LodgeKind kind;
  LodgeHelper *helper;
  char *fingerprint;
} Build;

static void
build_free (gpointer data)
{
  Build *build = data;

  g_clear_object (&build->helper);
  g_free (build->fingerprint);
  g_free (build);
}

static void
fail (LodgeImageWork *work, GError *error)
{
  if (g_error_matches (error, LODGE_ERROR, LODGE_ERROR_DOWNLOAD) && !strchr (error->message, '\n'))
    {
      g_autofree char *message
          = g_strconcat (error->message,
                         "\nCheck the network and the mirrors in /etc/apt; an image that was "
                         "fetched elsewhere can be imported.",
                         NULL);
      lodge_image_set_string (&error->message, message);
    }
  lodge_image_work_fail (work, error);
}

static void
on_published (GObject *source, GAsyncResult *result, gpointer user_data)
{
  LodgeImageWork *work = user_data;
  Build *build = work->data;
  GError *error = NULL;

  if (lodge_image_publish_finish (work->store, result, &error))
    lodge_image_work_succeed (work, build->fingerprint);
  else
    fail (work, error);
}

static LodgeImage *
describe (const Build *build, GError **error)
{
  LodgeImage *image = lodge_image_from_results (build->helper, build->kind, error);
  g_autofree char *source = g_strconcat ("build:", build->recipe->aliases[0], NULL);

  if (image == NULL)
    return NULL;
  lodge_image_set_string (&image->source, source);
  lodge_image_set_string (&image->architecture, lodge_image_recipe_architecture (build->recipe));
  image->cached = TRUE;
  g_strfreev (image->aliases);
  image->aliases = g_strdupv ((char **) build->recipe->aliases);
  return image;
}

static void
on_built (GObject *source, GAsyncResult *result, gpointer user_data)
{
  LodgeImageWork *work = user_data;
  Build *build = work->data;
  g_autoptr (LodgeImage) image = NULL;
  GError *error = NULL;

  if (!lodge_helper_run_finish (build->helper, result, &error)
      || (image = describe (build, &error)) == NULL)
    {
      fail (work, error);
      return;
    }
  build->fingerprint = g_strdup (image->fingerprint);
  lodge_image_publish_async (work->store, image, work->dir, on_published, work);
}

static LodgeImageWork *
start (LodgeImageStore *self, const LodgeImageRecipe *recipe, LodgeKind kind, const char *key,
       GError **error)
{
  Build *build = g_new0 (Build, 1);
  LodgeImageWork *work = lodge_image_work_new (self, key, build, build_free, error);

  if (work == NULL)
    return NULL;
  build->recipe = recipe;
  build->kind = kind;
  return work;
}

static gboolean
make_helper (LodgeImageWork *work, GError **error)
{
  Build *build = work->data;

  build->helper
      = lodge_image_store_make_helper (work->store, LODGE_IMAGE_WORKER, "build", work->dir, error);
  if (build->helper == NULL)
    return FALSE;
  lodge_helper_add (build->helper, "distribution", build->recipe->distribution);
  lodge_helper_add (build->helper, "suite", build->recipe->suite);
  if (build->recipe->variant != NULL)
    lodge_helper_add (build->helper, "variant", build->recipe->variant);
  lodge_helper_add (build->helper, "kind", lodge_kind_nick (build->kind));
  lodge_helper_add (build->helper, "arch",
                    build->recipe->machine != NULL ? build->recipe->machine
                                                   : lodge_image_host_machine ());
  lodge_image_work_watch (work, build->helper);
  return TRUE;
}

void
lodge_image_build_join (LodgeImageStore *self, const LodgeImageRecipe *recipe, LodgeKind kind,
                        LodgeImageProgressFunc progress, LodgeImageNoticeFunc notice,
                        gpointer func_data, GTask *task)
{
  g_autofree char *key = lodge_image_alias_key (kind, recipe->aliases[0]);
  LodgeImageWork *work = lodge_image_work_find (self, key);
  GError *error = NULL;

  if (work != NULL)
    {
      lodge_image_work_join (work, task, progress, notice, func_data);
      return;
    }
  work = start (self, recipe, kind, key, &error);
  if (work == NULL)
    {
      g_task_return_error (task, error);
      g_object_unref (task);
      return;
    }
  lodge_image_work_join (work, task, progress, notice, func_data);
  if (kind == LODGE_KIND_VM && lodge_image_recipe_is_foreign (recipe))
    {
      g_set_error (&error, LODGE_ERROR, LODGE_ERROR_NOT_SUPPORTED,
                   "An image of a virtual machine can be built for %s only, not for %s",
                   lodge_image_host_machine (), recipe->machine);
      fail (work, error);
    }
  else if (make_helper (work, &error))
    lodge_helper_run_async (((Build *) work->data)->helper, work->cancellable, on_built, work);
  else
    fail (work, error);
}
