/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An image of the other kind, made by lodge-image-worker. */
#include "lodge-image-turn.h"

#include "lodge-image-seed.h"
#include "lodge-remote-private.h"

#define SOURCE_WORD "convert:"

typedef struct
{
  LodgeImageTurn what; /* its strings are owned by the following */
  char *texts[4];
  LodgeHelper *helper;
  char *fingerprint;
} Turn;

static void
turn_free (gpointer data)
{
  Turn *turn = data;

  for (gsize i = 0; i < G_N_ELEMENTS (turn->texts); i++)
    g_free (turn->texts[i]);
  g_clear_object (&turn->helper);
  g_free (turn->fingerprint);
  g_free (turn);
}

static Turn *
turn_new (const LodgeImageTurn *what)
{
  Turn *turn = g_new0 (Turn, 1);

  turn->what = *what;
  turn->what.fingerprint = turn->texts[0] = g_strdup (what->fingerprint);
  turn->what.plan = turn->texts[1] = g_strdup (what->plan);
  turn->what.disk = turn->texts[2] = g_strdup (what->disk);
  turn->what.name = turn->texts[3] = g_strdup (what->name);
  return turn;
}

/* ---- its end ---- */

static void
on_published (GObject *source, GAsyncResult *result, gpointer user_data)
{
  LodgeImageWork *work = user_data;
  Turn *turn = work->data;
  GError *error = NULL;

  if (lodge_image_publish_finish (work->store, result, &error))
    lodge_image_work_succeed (work, turn->fingerprint);
  else
    lodge_image_work_fail (work, error);
}

/* What the image says of itself wins over what it was made from: that may have been updated.  The
 * files of templates do not come along. */
static void
inherit (LodgeImage *image, const LodgeImage *parent)
{
  static const char *const of_the_kind[]
      = { "agent", "firmware", "init", LODGE_IMAGE_TEMPLATES, "type" };
  GHashTableIter iter;
  gpointer key, value;

  g_hash_table_iter_init (&iter, parent->properties);
  while (g_hash_table_iter_next (&iter, &key, &value))
    {
      gboolean own = g_hash_table_contains (image->properties, key);
      for (gsize i = 0; i < G_N_ELEMENTS (of_the_kind); i++)
        own = own || g_str_equal (key, of_the_kind[i]);
      if (!own)
        g_hash_table_insert (image->properties, g_strdup (key), g_strdup (value));
    }
}

/* NULL: of an instance that was not made from an image with a system in it. */
static const LodgeImage *
find_parent (LodgeImageStore *self, const LodgeImageTurn *what)
{
  return what->fingerprint != NULL ? lodge_image_store_get (self, what->fingerprint) : NULL;
}

static LodgeImage *
describe (LodgeImageWork *work, GError **error)
{
  const Turn *turn = work->data;
  const LodgeImage *parent = find_parent (work->store, &turn->what);
  LodgeImage *image = lodge_image_from_results (turn->helper, turn->what.kind, error);

  if (image == NULL)
    return NULL;
  g_autofree char *source = turn->what.name != NULL
                                ? g_strconcat (SOURCE_WORD "instance:", turn->what.name, NULL)
                                : g_strdup_printf (SOURCE_WORD "%.12s", turn->what.fingerprint);
  lodge_image_set_string (&image->source, source);
  if (parent == NULL)
    return image;
  inherit (image, parent);
  lodge_image_set_string (&image->architecture, parent->architecture);
  if (turn->what.name == NULL)
    {
      lodge_image_set_string (&image->description, parent->description);
      g_strfreev (image->aliases);
      image->aliases = g_strdupv (parent->aliases);
    }
  return image;
}

static void
on_turned (GObject *source, GAsyncResult *result, gpointer user_data)
{
  LodgeImageWork *work = user_data;
  Turn *turn = work->data;
  g_autoptr (LodgeImage) image = NULL;
  GError *error = NULL;

  if (!lodge_helper_run_finish (turn->helper, result, &error)
      || (image = describe (work, &error)) == NULL)
    {
      lodge_image_work_fail (work, error);
      return;
    }
  turn->fingerprint = g_strdup (image->fingerprint);
  lodge_image_publish_async (work->store, image, work->dir, on_published, work);
}

/* ---- its beginning ---- */

static void
add_source (const Turn *turn, const LodgeImageWork *work)
{
  const char *fingerprint = turn->what.fingerprint;
  g_autofree char *rootfs
      = fingerprint != NULL ? lodge_image_store_get_rootfs_dir (work->store, fingerprint) : NULL;
  g_autofree char *disk
      = fingerprint != NULL ? lodge_image_store_get_disk_path (work->store, fingerprint) : NULL;

  if (turn->what.plan != NULL)
    lodge_helper_add (turn->helper, "plan", turn->what.plan);
  else if (turn->what.disk != NULL)
    {
      lodge_helper_add (turn->helper, "disk", turn->what.disk);
      if (disk != NULL)
        lodge_helper_add (turn->helper, "backing", disk);
    }
  else if (turn->what.kind == LODGE_KIND_VM)
    lodge_helper_add (turn->helper, "rootfs", rootfs);
  else
    lodge_helper_add (turn->helper, "disk", disk);
}

static gboolean
make_helper (LodgeImageWork *work, GError **error)
{
  Turn *turn = work->data;

  turn->helper
      = lodge_image_store_make_helper (work->store, LODGE_IMAGE_WORKER, "turn", work->dir, error);
  if (turn->helper == NULL)
    return FALSE;
  lodge_helper_add (turn->helper, "to", lodge_kind_nick (turn->what.kind));
  lodge_helper_add (turn->helper, "arch", lodge_image_host_machine ());
  if (turn->what.size > 0)
    lodge_helper_add_int (turn->helper, "size", (gint64) turn->what.size);
  if (turn->what.name != NULL)
    lodge_helper_add (turn->helper, "hostname", turn->what.name);
  add_source (turn, work);
  lodge_image_work_watch (work, turn->helper);
  return TRUE;
}

static gboolean
check (LodgeImageStore *self, const LodgeImageTurn *what, GError **error)
{
  const LodgeImage *image = find_parent (self, what);

  if (what->fingerprint == NULL && what->disk != NULL)
    return TRUE;
  if (image == NULL)
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND, "there is no image %.12s",
                 what->fingerprint);
  else if (image->kind == what->kind)
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                 "the image %.12s is one for %s already", what->fingerprint,
                 what->kind == LODGE_KIND_VM ? "VMs" : "containers");
  else if (image->medium)
    lodge_image_set_medium_error (image, image->aliases[0], LODGE_ERROR_NOT_SUPPORTED, error);
  else if (!g_str_equal (image->architecture, lodge_image_host_architecture ()))
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_SUPPORTED,
                 "what is for %s cannot be converted on a host that is %s", image->architecture,
                 lodge_image_host_architecture ());
  else
    return TRUE;
  return FALSE;
}

void
lodge_image_store_turn_async (LodgeImageStore *self, const LodgeImageTurn *what,
                              LodgeImageProgressFunc progress, LodgeImageNoticeFunc notice,
                              gpointer func_data, GCancellable *cancellable,
                              GAsyncReadyCallback callback, gpointer user_data)
{
  GTask *task = g_task_new (self, cancellable, callback, user_data);
  const char *of = what->plan != NULL ? what->plan : what->disk != NULL ? what->disk : "";
  g_autofree char *key = g_strdup_printf ("turn/%s/%s/%s", lodge_kind_nick (what->kind),
                                          what->fingerprint != NULL ? what->fingerprint : "", of);
  LodgeImageWork *work = lodge_image_work_find (self, key);
  GError *error = NULL;

  if (work != NULL)
    {
      lodge_image_work_join (work, task, progress, notice, func_data);
      return;
    }
  if (check (self, what, &error))
    work = lodge_image_work_new (self, key, turn_new (what), turn_free, &error);
  if (work == NULL)
    {
      g_task_return_error (task, error);
      g_object_unref (task);
      return;
    }
  lodge_image_work_join (work, task, progress, notice, func_data);
  if (make_helper (work, &error))
    lodge_helper_run_async (((Turn *) work->data)->helper, work->cancellable, on_turned, work);
  else
    lodge_image_work_fail (work, error);
}

char *
lodge_image_store_turn_finish (LodgeImageStore *self, GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}
