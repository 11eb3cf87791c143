/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lodge-fd.h"
#include "lodge-remote.h"
#include "lodge-sqlite-store.h"

#define CONTAINER LODGE_KIND_CONTAINER
#define VM        LODGE_KIND_VM

typedef struct
{
  char *dir;
  char *helper_dir;
  LodgeSqliteStore *db;
  LodgeImageStore *images;
  GString *events;
  guint progress;
  GString *notices;
} Fixture;

/* One call of obtain or import. */
typedef struct
{
  Fixture *fixture;
  gboolean is_import;
  gboolean done;
  char *fingerprint;
  GError *error;
} Call;

static void
call_clear (Call *call)
{
  g_clear_pointer (&call->fingerprint, g_free);
  g_clear_error (&call->error);
  call->done = FALSE;
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Call, call_clear)

/* ---- the fixture ---- */

static void
write_text (const char *dir, const char *name, const char *text)
{
  g_autofree char *path = g_build_filename (dir, name, NULL);

  g_assert_true (g_file_set_contents (path, text, -1, NULL));
}

static void
behave (Fixture *f, const char *behaviour)
{
  write_text (f->helper_dir, "behaviour", behaviour);
}

static guint
count_runs (Fixture *f)
{
  g_autofree char *path = g_build_filename (f->helper_dir, "runs", NULL);
  g_autofree char *text = NULL;
  guint n = 0;

  if (g_file_get_contents (path, &text, NULL, NULL))
    for (const char *c = text; *c != '\0'; c++)
      n += *c == '\n';
  return n;
}

static guint
count_children (Fixture *f, const char *folder)
{
  g_autofree char *path = g_build_filename (f->dir, folder, NULL);
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  guint n = 0;

  while (dir != NULL && g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

static void
on_added (LodgeImageStore *images, const char *fingerprint, Fixture *f)
{
  g_string_append (f->events, "+");
}

static void
on_changed (LodgeImageStore *images, const char *fingerprint, Fixture *f)
{
  g_string_append (f->events, "*");
}

static void
on_removed (LodgeImageStore *images, const char *fingerprint, Fixture *f)
{
  g_string_append (f->events, "-");
}

static void
open_images (Fixture *f)
{
  g_autoptr (GError) error = NULL;

  f->db = lodge_sqlite_store_open (f->dir, &error);
  g_assert_no_error (error);
  f->images = lodge_image_store_new (LODGE_STORE (f->db), f->dir, &error);
  g_assert_no_error (error);
  lodge_image_store_set_helper_dir (f->images, f->helper_dir);
  /* What servers offer is another test's. */
  lodge_image_store_set_default_remote (f->images, "build", &error);
  g_assert_no_error (error);
  g_signal_connect (f->images, "image-added", G_CALLBACK (on_added), f);
  g_signal_connect (f->images, "image-changed", G_CALLBACK (on_changed), f);
  g_signal_connect (f->images, "image-removed", G_CALLBACK (on_removed), f);
}

/* What a worker held is let go of on the main loop, a moment after its result came there. */
static void
wait_for_workers (Fixture *f)
{
  for (guint i = 0; i < 2000 && g_atomic_int_get (&G_OBJECT (f->images)->ref_count) > 1; i++)
    if (!g_main_context_iteration (NULL, FALSE))
      g_usleep (1000);
}

static void
close_images (Fixture *f)
{
  wait_for_workers (f);
  g_assert_finalize_object (g_steal_pointer (&f->images));
  lodge_sqlite_store_close (f->db);
  g_clear_object (&f->db);
}

static void
set_up (Fixture *f, gconstpointer data)
{
  static const char *const helpers[] = { "lodge-image-worker" };
  g_autofree char *fake = g_test_build_filename (G_TEST_DIST, "fake-image-helper.py", NULL);
  g_autofree char *script = NULL;
  gsize size;

  f->dir = g_dir_make_tmp ("lodge-image-XXXXXX", NULL);
  f->helper_dir = g_dir_make_tmp ("lodge-image-helper-XXXXXX", NULL);
  f->events = g_string_new (NULL);
  f->notices = g_string_new (NULL);
  g_assert_true (g_file_get_contents (fake, &script, &size, NULL));
  for (gsize i = 0; i < G_N_ELEMENTS (helpers); i++)
    {
      g_autofree char *path = g_build_filename (f->helper_dir, helpers[i], NULL);

      g_assert_true (g_file_set_contents_full (path, script, (gssize) size,
                                               G_FILE_SET_CONTENTS_NONE, 0755, NULL));
    }
  behave (f, "make");
  open_images (f);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  close_images (f);
  g_assert_true (lodge_tree_remove (f->dir, NULL));
  g_assert_true (lodge_tree_remove (f->helper_dir, NULL));
  g_free (f->dir);
  g_free (f->helper_dir);
  g_string_free (f->events, TRUE);
  g_string_free (f->notices, TRUE);
}

/* ---- calls ---- */

static void
on_progress (double fraction, guint64 done, guint64 total, const char *stage, gpointer user_data)
{
  ((Fixture *) user_data)->progress++;
}

static void
on_notice (const char *notice, gpointer user_data)
{
  g_string_append_printf (((Fixture *) user_data)->notices, "%s;", notice);
}

static void
on_done (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Call *call = user_data;
  LodgeImageStore *images = LODGE_IMAGE_STORE (source);

  call->fingerprint = call->is_import
                          ? lodge_image_store_import_finish (images, result, &call->error)
                          : lodge_image_store_obtain_finish (images, result, &call->error);
  call->done = TRUE;
}

static void
obtain (Fixture *f, Call *call, const char *ref, LodgeKind kind, gboolean rebuild,
        GCancellable *cancellable)
{
  call->fixture = f;
  lodge_image_store_obtain_async (f->images, ref, kind, rebuild, NULL, f->dir, on_progress,
                                  on_notice, f, cancellable, on_done, call);
}

static void
wait_for (Call *call)
{
  while (!call->done)
    g_main_context_iteration (NULL, TRUE);
  /* The store is referenced by its tasks until their callbacks have returned. */
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

static void
wait_for_runs (Fixture *f, guint n)
{
  while (count_runs (f) < n)
    {
      g_main_context_iteration (NULL, FALSE);
      g_usleep (5000);
    }
}

static char *
obtain_now (Fixture *f, const char *ref, LodgeKind kind)
{
  g_auto (Call) call = { 0 };

  obtain (f, &call, ref, kind, FALSE, NULL);
  wait_for (&call);
  g_assert_no_error (call.error);
  return g_steal_pointer (&call.fingerprint);
}

static void
import_text (Fixture *f, Call *call, const char *text, const char *const *aliases,
             const char *description)
{
  g_autofree char *path = g_build_filename (f->dir, "input", NULL);
  g_autofree char *uuid = g_uuid_string_random ();
  g_autofree char *staging = g_build_filename (f->dir, "staging", uuid, NULL);

  g_assert_true (g_file_set_contents (path, text, -1, NULL));
  g_assert_cmpint (g_mkdir (staging, 0700), ==, 0);
  g_auto (LodgeFd) fd = open (path, O_RDONLY | O_CLOEXEC);
  call->fixture = f;
  call->is_import = TRUE;
  const LodgeImageImport what
      = { .fds = &fd, .n_fds = 1, .aliases = aliases, .description = description };
  lodge_image_store_import_async (f->images, &what, staging, on_progress, on_notice, f, NULL,
                                  on_done, call);
  wait_for (call);
  g_assert_cmpint (g_rmdir (staging), ==, 0); /* nothing is left in it */
}

/* ---- tests ---- */

static void
test_empty (Fixture *f, gconstpointer data)
{
  g_autoptr (GPtrArray) list = lodge_image_store_list (f->images);
  g_autoptr (GError) error = NULL;

  g_assert_cmpuint (list->len, ==, 0);
  g_assert_null (lodge_image_store_resolve (f->images, "debain/12", CONTAINER, &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND);
  g_assert_nonnull (strstr (error->message, "debain/12"));
  g_assert_nonnull (strstr (error->message, "“debian/12”"));
  g_assert_true (lodge_image_store_check_ref (f->images, "debian/12", CONTAINER, NULL));
  g_assert_true (lodge_image_store_check_ref (f->images, "build:debian/bookworm", VM, NULL));
  g_assert_false (lodge_image_store_check_ref (f->images, "debian/1", CONTAINER, NULL));
  g_assert_null (lodge_image_store_get (f->images, "nothing"));
}

static void
test_build (Fixture *f, gconstpointer data)
{
  behave (f, "say progress 0.5 1 2 download\nsay notice it goes on\nmake");
  g_autofree char *container = obtain_now (f, "debian/12", CONTAINER);
  g_autofree char *vm = obtain_now (f, "build:debian/bookworm", VM);
  g_autofree char *rootfs = lodge_image_store_get_rootfs_dir (f->images, container);
  g_autofree char *disk = lodge_image_store_get_disk_path (f->images, vm);
  g_autofree char *prefix = g_strndup (vm, 8);
  g_autoptr (GPtrArray) list = lodge_image_store_list (f->images);
  const LodgeImage *image;

  g_assert_true (g_file_test (rootfs, G_FILE_TEST_IS_DIR));
  g_assert_true (g_file_test (disk, G_FILE_TEST_IS_REGULAR));
  g_assert_cmpuint (list->len, ==, 2);
  g_assert_cmpstr (f->events->str, ==, "++");
  g_assert_cmpuint (f->progress, ==, 2);
  g_assert_cmpstr (f->notices->str, ==, "it goes on;it goes on;");

  image = lodge_image_store_resolve (f->images, "debian/bookworm", CONTAINER, NULL);
  g_assert_cmpstr (image->fingerprint, ==, container);
  g_assert_cmpstr (image->source, ==, "build:debian/12");
  g_assert_cmpstr (image->aliases[0], ==, "debian/12");
  g_assert_cmpstr (image->aliases[1], ==, "debian/bookworm");
  g_assert_cmpuint (image->size, ==, 1234);
  g_assert_cmpstr (g_hash_table_lookup (image->properties, "os"), ==, "debian");
  /* What an image says of hooks stays in it. */
  g_assert_null (g_hash_table_lookup (image->properties, "hook"));
  image = lodge_image_store_resolve (f->images, prefix, VM, NULL);
  g_assert_cmpstr (image->fingerprint, ==, vm);
  g_assert_cmpuint (image->virtual_size, ==, 5678);
  g_assert_null (lodge_image_store_resolve (f->images, prefix, CONTAINER, NULL));

  /* It is there now. */
  behave (f, "exit 1");
  g_autofree char *again = obtain_now (f, "debian/12", CONTAINER);
  g_assert_cmpstr (again, ==, container);
  g_assert_cmpuint (count_runs (f), ==, 2);
  g_assert_cmpuint (count_children (f, "staging"), ==, 0);
}

static void
test_directory_modes (Fixture *f, gconstpointer data)
{
  g_autofree char *container = obtain_now (f, "debian/12", CONTAINER);
  g_autofree char *vm = obtain_now (f, "debian/12", VM);
  g_autofree char *container_dir = g_build_filename (f->dir, "images", container, NULL);
  g_autofree char *vm_dir = g_build_filename (f->dir, "images", vm, NULL);
  struct stat st;

  g_assert_cmpint (stat (container_dir, &st), ==, 0);
  g_assert_cmpint (st.st_mode & 07777, ==, 0700);
  g_assert_cmpint (stat (vm_dir, &st), ==, 0);
  g_assert_cmpint (st.st_mode & 07777, ==, 0711);
}

static void
test_shared (Fixture *f, gconstpointer data)
{
  g_auto (Call) first = { 0 }, second = { 0 };

  behave (f, "say notice early\nwait go\nmake");
  obtain (f, &first, "debian/12", CONTAINER, FALSE, NULL);
  wait_for_runs (f, 1);
  while (f->notices->len == 0)
    g_main_context_iteration (NULL, TRUE);
  obtain (f, &second, "debian/bookworm", CONTAINER, FALSE, NULL);
  write_text (f->helper_dir, "go", "");
  wait_for (&first);
  wait_for (&second);
  g_assert_no_error (first.error);
  g_assert_no_error (second.error);
  g_assert_cmpstr (first.fingerprint, ==, second.fingerprint);
  g_assert_cmpuint (count_runs (f), ==, 1);
  g_assert_cmpstr (f->events->str, ==, "+");
  /* Who comes later hears what has been said. */
  g_assert_cmpstr (f->notices->str, ==, "early;early;");
}

static void
test_cancel_one (Fixture *f, gconstpointer data)
{
  g_auto (Call) first = { 0 }, second = { 0 };
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();

  behave (f, "wait go\nmake");
  obtain (f, &first, "debian/12", CONTAINER, FALSE, cancellable);
  obtain (f, &second, "debian/12", CONTAINER, FALSE, NULL);
  wait_for_runs (f, 1);
  g_cancellable_cancel (cancellable);
  wait_for (&first);
  g_assert_error (first.error, LODGE_ERROR, LODGE_ERROR_CANCELLED);
  g_assert_false (second.done);
  write_text (f->helper_dir, "go", "");
  wait_for (&second);
  g_assert_no_error (second.error);
  g_assert_cmpuint (count_runs (f), ==, 1);
}

static void
test_cancel_all (Fixture *f, gconstpointer data)
{
  g_auto (Call) call = { 0 }, other = { 0 };
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();

  behave (f, "litter\nstubborn\nwait never");
  obtain (f, &call, "debian/12", VM, FALSE, cancellable);
  wait_for_runs (f, 1);
  g_cancellable_cancel (cancellable);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  /* The one that is being stopped is not joined. */
  behave (f, "make");
  obtain (f, &other, "debian/12", VM, FALSE, NULL);
  wait_for (&call);
  wait_for (&other);
  g_assert_error (call.error, LODGE_ERROR, LODGE_ERROR_CANCELLED);
  g_assert_no_error (other.error);
  g_assert_cmpuint (count_children (f, "staging"), ==, 0);
  g_assert_cmpuint (count_children (f, "images"), ==, 1);
}

static void
test_failures (Fixture *f, gconstpointer data)
{
  static const struct
  {
    const char *behaviour;
    LodgeErrorCode code;
    const char *text;
  } cases[] = {
    { "litter\nsay error Download The mirror example.org cannot be reached\nexit 1",
      LODGE_ERROR_DOWNLOAD, "\nCheck the network" },
    { "litter\nsay error NoSpace There is no space left to build the image\nexit 1",
      LODGE_ERROR_NO_SPACE, "no space left" },
    { "litter\nexit 3", LODGE_ERROR_HELPER_FAILED, "status 3" },
    { "litter\nsay result fingerprint ../../etc\nsay done", LODGE_ERROR_HELPER_FAILED,
      "fingerprint" },
    { "say done", LODGE_ERROR_HELPER_FAILED, "fingerprint" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_auto (Call) call = { 0 };

      behave (f, cases[i].behaviour);
      obtain (f, &call, "debian/12", CONTAINER, FALSE, NULL);
      wait_for (&call);
      g_assert_error (call.error, LODGE_ERROR, (int) cases[i].code);
      g_assert_nonnull (strstr (call.error->message, cases[i].text));
      g_assert_cmpuint (count_children (f, "staging"), ==, 0);
      g_assert_cmpuint (count_children (f, "images"), ==, 0);
    }
  g_assert_cmpstr (f->events->str, ==, "");
  behave (f, "make");
  g_autofree char *fingerprint = obtain_now (f, "debian/12", CONTAINER);
  g_assert_nonnull (fingerprint);
}

static void
test_rebuild (Fixture *f, gconstpointer data)
{
  g_autofree char *first = obtain_now (f, "debian/12", CONTAINER);
  g_auto (Call) call = { 0 };

  obtain (f, &call, "debian/12", CONTAINER, TRUE, NULL);
  wait_for (&call);
  g_assert_no_error (call.error);
  g_assert_cmpstr (call.fingerprint, ==, first); /* the same contents are the same image */
  g_assert_cmpuint (count_runs (f), ==, 2);
  g_assert_cmpuint (count_children (f, "images"), ==, 1);
  g_assert_cmpuint (count_children (f, "staging"), ==, 0);
  g_assert_cmpstr (f->events->str, ==, "+*");
}

static void
test_import (Fixture *f, gconstpointer data)
{
  static const char *const aliases[] = { "mine", "debian/12", NULL };
  g_autofree char *built = obtain_now (f, "debian/12", CONTAINER);
  g_auto (Call) call = { 0 }, disk = { 0 };
  const LodgeImage *image;

  import_text (f, &call, "a tarball", aliases, "My own");
  g_assert_no_error (call.error);
  image = lodge_image_store_resolve (f->images, "mine", CONTAINER, NULL);
  g_assert_cmpstr (image->fingerprint, ==, call.fingerprint);
  g_assert_cmpstr (image->description, ==, "My own");
  g_assert_cmpstr (image->source, ==, "import");
  /* The alias has moved. */
  image = lodge_image_store_resolve (f->images, "debian/12", CONTAINER, NULL);
  g_assert_cmpstr (image->fingerprint, ==, call.fingerprint);
  image = lodge_image_store_get (f->images, built);
  g_assert_cmpuint (g_strv_length (image->aliases), ==, 1);
  g_assert_cmpstr (f->events->str, ==, "+*+");

  import_text (f, &disk, "QFI\xfb...", NULL, NULL);
  g_assert_no_error (disk.error);
  image = lodge_image_store_get (f->images, disk.fingerprint);
  g_assert_cmpint (image->kind, ==, VM);
  g_assert_cmpstr (image->description, ==, "Made of QFI\xef\xbf\xbd...");
}

static void
test_import_split (Fixture *f, gconstpointer data)
{
  static const char other[] = "00000000000000000000000000000000"
                              "00000000000000000000000000000000";
  g_autofree char *metadata = g_build_filename (f->dir, "metadata", NULL);
  g_autofree char *root = g_build_filename (f->dir, "root", NULL);
  g_autofree char *staging = g_build_filename (f->dir, "staging", "split", NULL);
  g_auto (Call) call = { .fixture = f, .is_import = TRUE };
  g_auto (Call) wrong = { .fixture = f, .is_import = TRUE };

  g_assert_true (g_file_set_contents (metadata, "meta", -1, NULL));
  g_assert_true (g_file_set_contents (root, "root", -1, NULL));
  g_assert_cmpint (g_mkdir_with_parents (staging, 0700), ==, 0);
  const int fds[] = { open (metadata, O_RDONLY | O_CLOEXEC), open (root, O_RDONLY | O_CLOEXEC) };
  LodgeImageImport what = { .fds = fds, .n_fds = 2, .source = "images:x" };
  lodge_image_store_import_async (f->images, &what, staging, NULL, NULL, NULL, NULL, on_done,
                                  &call);
  wait_for (&call);
  g_assert_no_error (call.error);
  const LodgeImage *image = lodge_image_store_get (f->images, call.fingerprint);
  g_assert_cmpstr (image->description, ==, "Made of meta and root");
  g_assert_cmpstr (image->source, ==, "images:x");

  /* Not what the caller was promised: nothing of it stays. */
  what.fingerprint = other;
  lseek (fds[0], 0, SEEK_SET);
  lseek (fds[1], 0, SEEK_SET);
  lodge_image_store_import_async (f->images, &what, staging, NULL, NULL, NULL, NULL, on_done,
                                  &wrong);
  wait_for (&wrong);
  g_assert_error (wrong.error, LODGE_ERROR, LODGE_ERROR_IMAGE_INVALID);
  g_assert_cmpint (g_rmdir (staging), ==, 0);
  close (fds[0]);
  close (fds[1]);
}

static void
test_import_refused (Fixture *f, gconstpointer data)
{
  static const char *const bad[] = { "../up", NULL };
  g_auto (Call) alias = { 0 }, fifo = { 0 }, broken = { 0 };
  g_autofree char *staging = g_build_filename (f->dir, "staging", NULL);
  int pipe_fds[2];

  import_text (f, &alias, "x", bad, NULL);
  g_assert_nonnull (alias.error);
  g_assert_cmpint (pipe (pipe_fds), ==, 0);
  fifo.is_import = TRUE;
  /* Nothing can be read from that end. */
  const LodgeImageImport what = { .fds = &pipe_fds[1], .n_fds = 1 };
  lodge_image_store_import_async (f->images, &what, staging, NULL, NULL, NULL, NULL, on_done,
                                  &fifo);
  wait_for (&fifo);
  g_assert_error (fifo.error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT);
  close (pipe_fds[0]);
  close (pipe_fds[1]);
  behave (f, "litter\nsay error ImageInvalid The archive has an absolute path\nexit 1");
  import_text (f, &broken, "x", NULL, NULL);
  g_assert_error (broken.error, LODGE_ERROR, LODGE_ERROR_IMAGE_INVALID);
  g_assert_cmpuint (count_children (f, "images"), ==, 0);
}

static void
test_aliases (Fixture *f, gconstpointer data)
{
  static const char *const two[] = { "one", "two", NULL };
  static const char *const bad[] = { "ok", "not ok", NULL };
  static const char *const none[] = { NULL };
  g_autofree char *fingerprint = obtain_now (f, "debian/12", CONTAINER);
  g_autoptr (GError) error = NULL;

  g_assert_true (lodge_image_store_set_aliases (f->images, fingerprint, two, NULL));
  g_assert_nonnull (lodge_image_store_resolve (f->images, "two", CONTAINER, NULL));
  g_assert_null (lodge_image_store_resolve (f->images, "debian/12", CONTAINER, NULL));
  g_assert_null (lodge_image_store_resolve (f->images, "two", VM, &error));
  g_assert_nonnull (strstr (error->message, "containers only"));
  g_assert_false (lodge_image_store_set_aliases (f->images, fingerprint, bad, NULL));
  g_assert_nonnull (lodge_image_store_resolve (f->images, "one", CONTAINER, NULL));
  g_assert_true (lodge_image_store_set_aliases (f->images, fingerprint, none, NULL));
  g_assert_null (lodge_image_store_resolve (f->images, "one", CONTAINER, NULL));
  g_assert_false (lodge_image_store_set_aliases (f->images, "gone", none, NULL));
}

static void
test_delete (Fixture *f, gconstpointer data)
{
  g_autofree char *fingerprint = obtain_now (f, "debian/12", CONTAINER);
  g_autofree char *trash = lodge_image_store_delete (f->images, fingerprint, NULL);
  g_autofree char *rootfs = g_build_filename (trash, "rootfs", NULL);
  g_autoptr (GError) error = NULL;

  g_assert_true (g_file_test (rootfs, G_FILE_TEST_IS_DIR));
  g_assert_cmpuint (count_children (f, "images"), ==, 0);
  g_assert_null (lodge_image_store_resolve (f->images, "debian/12", CONTAINER, NULL));
  g_assert_null (lodge_image_store_delete (f->images, fingerprint, &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND);
  g_assert_cmpstr (f->events->str, ==, "+-");
  g_autofree char *again = obtain_now (f, "debian/12", CONTAINER);
  g_assert_cmpstr (again, ==, fingerprint);
}

static void
test_restart (Fixture *f, gconstpointer data)
{
  g_autofree char *fingerprint = obtain_now (f, "debian/12", CONTAINER);
  g_autofree char *orphan = g_build_filename (f->dir, "images", "orphan", "rootfs", NULL);
  g_autofree char *build = g_build_filename (f->dir, "staging", "image-old", NULL);
  g_autofree char *job = g_build_filename (f->dir, "staging", "7", NULL);
  const LodgeImage *image;

  lodge_image_store_touch (f->images, fingerprint);
  g_assert_cmpint (g_mkdir_with_parents (orphan, 0700), ==, 0);
  g_assert_cmpint (g_mkdir (build, 0700), ==, 0);
  g_assert_cmpint (g_mkdir (job, 0700), ==, 0);
  close_images (f);
  open_images (f);
  g_assert_cmpuint (count_children (f, "images"), ==, 1);
  g_assert_cmpuint (count_children (f, "staging"), ==, 1); /* the job's is not ours */
  g_assert_cmpuint (count_children (f, "trash"), ==, 2);
  image = lodge_image_store_resolve (f->images, "debian/bookworm", CONTAINER, NULL);
  g_assert_cmpstr (image->fingerprint, ==, fingerprint);
  g_assert_cmpstr (image->description, ==, "Made of bookworm");
  g_assert_cmpuint (g_strv_length (image->aliases), ==, 2);
  g_assert_cmpint (image->last_used_at, >=, image->created_at);
}

/* Files that are gone make an image that is not shown, and no crash. */
static void
test_lost_files (Fixture *f, gconstpointer data)
{
  g_autofree char *fingerprint = obtain_now (f, "debian/12", CONTAINER);
  g_autofree char *rootfs = lodge_image_store_get_rootfs_dir (f->images, fingerprint);

  g_assert_true (lodge_tree_remove (rootfs, NULL));
  close_images (f);
  GLogLevelFlags fatal = g_log_set_always_fatal (G_LOG_FATAL_MASK); /* it warns */
  open_images (f);
  g_log_set_always_fatal (fatal);
  g_assert_null (lodge_image_store_get (f->images, fingerprint));
  g_autofree char *again = obtain_now (f, "debian/12", CONTAINER);
  g_assert_cmpstr (again, ==, fingerprint);
}

static void
test_hostile_refs (Fixture *f, gconstpointer data)
{
  static const char *const refs[] = {
    "../x",
    "%",
    "",
    "/",
    "debian/12/../../x",
    "A",
    "build:",
    "build:build:debian/12",
    "\x1b[31m",
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde",
    "0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF",
  };
  g_autofree char *fingerprint = obtain_now (f, "debian/12", CONTAINER);
  g_autofree char *upper = g_ascii_strup (fingerprint, -1);
  g_autofree char *huge = g_strnfill (10240, 'a');
  g_autofree char *five = g_strndup (fingerprint, 5);
  const char *const made[] = { upper, huge, five };

  for (gsize i = 0; i < G_N_ELEMENTS (refs) + G_N_ELEMENTS (made); i++)
    {
      const char *ref = i < G_N_ELEMENTS (refs) ? refs[i] : made[i - G_N_ELEMENTS (refs)];
      g_autoptr (GError) error = NULL;

      g_assert_null (lodge_image_store_resolve (f->images, ref, CONTAINER, &error));
      g_assert_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND);
      g_assert_cmpuint (strlen (error->message), <, 400);
      g_assert_null (strchr (error->message, '\x1b'));
      g_assert_false (lodge_image_store_check_ref (f->images, ref, CONTAINER, NULL));
    }
}

#define TEST(name) g_test_add ("/image-store/" #name, Fixture, NULL, set_up, test_##name, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  TEST (empty);
  TEST (build);
  TEST (directory_modes);
  TEST (shared);
  TEST (cancel_one);
  TEST (cancel_all);
  TEST (failures);
  TEST (rebuild);
  TEST (import);
  TEST (import_split);
  TEST (import_refused);
  TEST (aliases);
  TEST (delete);
  TEST (restart);
  TEST (lost_files);
  TEST (hostile_refs);
  return g_test_run ();
}
