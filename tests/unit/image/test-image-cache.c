/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the cache decides, with clocks that do as they are told. */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "lodge-fd.h"
#include "lodge-image-cache.h"
#include "lodge-remote.h"
#include "lodge-sqlite-store.h"

#define DAY  LODGE_IMAGE_DAY
#define YEAR (365ll * DAY)

typedef struct
{
  char *dir;
  LodgeSqliteStore *db;
  LodgeImageStore *images;
  gint64 wall;
  gint64 running;
} Fixture;

static gint64
read_wall (gpointer data)
{
  return ((Fixture *) data)->wall;
}

static gint64
read_running (gpointer data)
{
  return ((Fixture *) data)->running;
}

static void
open_images (Fixture *f)
{
  const LodgeImageClock clock = { read_wall, read_running, f };
  g_autoptr (GError) error = NULL;

  f->db = lodge_sqlite_store_open (f->dir, &error);
  g_assert_no_error (error);
  f->images = lodge_image_store_new (LODGE_STORE (f->db), f->dir, &error);
  g_assert_no_error (error);
  lodge_image_store_set_helper_dir (f->images, f->dir);
  lodge_image_store_set_clock (f->images, &clock);
}

static void
close_images (Fixture *f)
{
  g_clear_object (&f->images);
  lodge_sqlite_store_close (f->db);
  g_clear_object (&f->db);
}

static void
set_up (Fixture *f, gconstpointer data)
{
  f->dir = g_dir_make_tmp ("lodge-cache-XXXXXX", NULL);
  f->wall = 1700000000;
  f->running = 5000;
  open_images (f);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  close_images (f);
  g_assert_true (lodge_tree_remove (f->dir, NULL));
  g_free (f->dir);
}

static void
pass (Fixture *f, gint64 seconds)
{
  f->wall += seconds;
  f->running += seconds;
}

/* Another boot: the clock that counts begins anew. */
static void
restart (Fixture *f, gint64 wall_passed)
{
  close_images (f);
  f->wall += wall_passed;
  f->running = 10;
  open_images (f);
}

static void
tick (Fixture *f)
{
  g_auto (GStrv) old = lodge_image_store_tick (f->images);

  g_assert_null (old[0]);
}

/* An image of @digit with a record of @source and more members, and with these aliases. */
static void
add_image (Fixture *f, char digit, const char *source, const char *members, const char *alias)
{
  g_autofree char *fingerprint = g_strnfill (64, digit);
  g_autofree char *rootfs = g_build_filename (f->dir, "images", fingerprint, "rootfs", NULL);
  g_autofree char *key = g_strconcat ("/images/", fingerprint, NULL);
  g_autofree char *document
      = g_strdup_printf ("{\"kind\":\"container\",\"architecture\":\"x86_64\",\"description\":\"\","
                         "\"source\":\"%s\",\"size\":1,\"created-at\":%d%s,\"properties\":{}}",
                         source, 1600000000 + digit, members);
  g_autofree char *alias_key = g_strconcat ("/aliases/container/", alias, NULL);
  g_autofree char *value = g_strdup_printf ("{\"fingerprint\":\"%s\"}", fingerprint);
  LodgeStoreOp ops[]
      = { { LODGE_STORE_OP_PUT, key, document, 0 }, { LODGE_STORE_OP_PUT, alias_key, value, 0 } };

  g_assert_cmpint (g_mkdir_with_parents (rootfs, 0700), ==, 0);
  g_assert_true (
      lodge_store_txn (LODGE_STORE (f->db), NULL, 0, ops, alias != NULL ? 2 : 1, NULL, NULL));
  close_images (f);
  open_images (f);
}

static const LodgeImage *
get (Fixture *f, char digit)
{
  g_autofree char *fingerprint = g_strnfill (64, digit);
  const LodgeImage *image = lodge_image_store_get (f->images, fingerprint);

  g_assert_nonnull (image);
  return image;
}

static LodgeImageFate
judge (Fixture *f, char digit)
{
  return lodge_image_store_judge (f->images, get (f, digit));
}

/* ---- expiry ---- */

static void
test_expiry (Fixture *f, gconstpointer data)
{
  add_image (f, 'a', "images:debian/12", "", "images:debian/12");
  g_assert_cmpint (judge (f, 'a'), ==, LODGE_IMAGE_CACHED);
  g_assert_cmpint (lodge_image_store_get_expiry (f->images, get (f, 'a')), ==, f->wall + 10 * DAY);
  pass (f, 10 * DAY - 1);
  g_assert_cmpint (judge (f, 'a'), ==, LODGE_IMAGE_CACHED);
  pass (f, 1);
  g_assert_cmpint (judge (f, 'a'), ==, LODGE_IMAGE_EXPIRED);
  lodge_image_store_touch (f->images, get (f, 'a')->fingerprint);
  g_assert_cmpint (judge (f, 'a'), ==, LODGE_IMAGE_CACHED);
  pass (f, 9 * DAY);
  lodge_image_store_renew (f->images, get (f, 'a')->fingerprint);
  pass (f, 9 * DAY);
  g_assert_cmpint (judge (f, 'a'), ==, LODGE_IMAGE_CACHED);
  lodge_image_store_set_expiry (f->images, DAY);
  g_assert_cmpint (judge (f, 'a'), ==, LODGE_IMAGE_EXPIRED);
  lodge_image_store_set_expiry (f->images, 0);
  g_assert_cmpint (judge (f, 'a'), ==, LODGE_IMAGE_CACHED);
  g_assert_cmpint (lodge_image_store_get_expiry (f->images, get (f, 'a')), ==, 0);
}

/* What was counted is recorded, and what passed without lodged is seen by the wall clock. */
static void
test_restarts (Fixture *f, gconstpointer data)
{
  add_image (f, 'a', "images:debian/12", "", "images:debian/12");
  for (int i = 0; i < 9; i++)
    {
      pass (f, DAY / 2);
      tick (f);
      restart (f, DAY / 2);
    }
  g_assert_cmpint (judge (f, 'a'), ==, LODGE_IMAGE_CACHED);
  pass (f, DAY / 2);
  tick (f);
  restart (f, DAY / 2);
  g_assert_cmpint (judge (f, 'a'), ==, LODGE_IMAGE_EXPIRED);
}

/* L05: a clock that is wrong makes nothing old, neither while lodged runs nor from one run to the
 * next. */
static void
test_clock_jumps (Fixture *f, gconstpointer data)
{
  add_image (f, 'a', "images:debian/12", "", "images:debian/12");
  tick (f);
  f->wall += 10 * YEAR;
  g_assert_cmpint (judge (f, 'a'), ==, LODGE_IMAGE_CACHED);
  g_assert_cmpint (lodge_image_store_get_expiry (f->images, get (f, 'a')), ==, f->wall + 10 * DAY);
  f->wall -= 20 * YEAR;
  g_assert_cmpint (judge (f, 'a'), ==, LODGE_IMAGE_CACHED);
  tick (f);
  restart (f, 10 * YEAR); /* a day of it counts */
  g_assert_cmpint (judge (f, 'a'), ==, LODGE_IMAGE_CACHED);
  tick (f);
  restart (f, -10 * YEAR);
  pass (f, 9 * DAY - 1);
  g_assert_cmpint (judge (f, 'a'), ==, LODGE_IMAGE_CACHED);
  pass (f, 1);
  g_assert_cmpint (judge (f, 'a'), ==, LODGE_IMAGE_EXPIRED);
}

/* ---- what may go ---- */

static void
test_kept (Fixture *f, gconstpointer data)
{
  static const struct
  {
    const char *source;
    const char *members;
    const char *alias;
    LodgeImageFate fate;
  } cases[] = {
    { "import", "", NULL, LODGE_IMAGE_KEPT },
    { "instance:web", "", NULL, LODGE_IMAGE_KEPT },
    { "import", ",\"cached\":false", "images:debian/12", LODGE_IMAGE_KEPT },
    { "images:debian/12", ",\"cached\":false", "images:debian/12", LODGE_IMAGE_KEPT },
    { "images:debian/12", "", "mine", LODGE_IMAGE_KEPT },
    { "images:debian/12", ",\"pinned\":true", "images:debian/12", LODGE_IMAGE_KEPT },
    { "images:debian/12", ",\"pinned\":true", NULL, LODGE_IMAGE_KEPT },
    { "images:debian/12", "", "images:debian/12", LODGE_IMAGE_EXPIRED },
    { "images:debian/12", "", NULL, LODGE_IMAGE_SUPERSEDED },
    { "build:debian/12", "", "debian/12", LODGE_IMAGE_EXPIRED },
    { "build:debian/12", "", "debian/bookworm", LODGE_IMAGE_EXPIRED },
    { "build:debian/12", "", "debian/mine", LODGE_IMAGE_KEPT },
    { "build:debian/12", "", NULL, LODGE_IMAGE_SUPERSEDED },
    { "https://x.example/a", "", NULL, LODGE_IMAGE_EXPIRED },
    { "https://x.example/a", "", "mine", LODGE_IMAGE_KEPT },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      tear_down (f, NULL);
      set_up (f, NULL);
      add_image (f, 'a', cases[i].source, cases[i].members, cases[i].alias);
      pass (f, 11 * DAY);
      g_test_message ("case %zu", i);
      g_assert_cmpint (judge (f, 'a'), ==, cases[i].fate);
    }
}

/* Of one address the newest image is the one that a launch takes. */
static void
test_addresses (Fixture *f, gconstpointer data)
{
  add_image (f, 'a', "https://x.example/a", "", NULL);
  add_image (f, 'b', "https://x.example/a", "", NULL);
  g_assert_cmpint (judge (f, 'a'), ==, LODGE_IMAGE_SUPERSEDED);
  g_assert_cmpint (judge (f, 'b'), ==, LODGE_IMAGE_CACHED);
  g_assert_true (
      lodge_image_store_resolve (f->images, "https://x.example/a", LODGE_KIND_CONTAINER, NULL)
      == get (f, 'b'));
}

/* What was imported from an address stays, unlike what a launch got from there. */
static void
test_keep (Fixture *f, gconstpointer data)
{
  g_autofree char *a = g_strnfill (64, 'a');
  g_auto (GStrv) asked = NULL;
  g_auto (GStrv) by_itself = NULL;

  add_image (f, 'a', "https://x.example/a", "", NULL);
  g_assert_true (lodge_image_store_keep (f->images, a, NULL));
  g_assert_true (lodge_image_store_keep (f->images, a, NULL));
  restart (f, 0);
  pass (f, 11 * DAY);
  g_assert_cmpint (judge (f, 'a'), ==, LODGE_IMAGE_KEPT);
  g_assert_cmpint (lodge_image_store_get_expiry (f->images, get (f, 'a')), ==, 0);
  asked = lodge_image_store_list_refs (f->images, get (f, 'a'), FALSE);
  g_assert_cmpuint (g_strv_length (asked), ==, 1);
  by_itself = lodge_image_store_list_refs (f->images, get (f, 'a'), TRUE);
  g_assert_cmpuint (g_strv_length (by_itself), ==, 0);
}

static void
test_flags (Fixture *f, gconstpointer data)
{
  g_autofree char *a = g_strnfill (64, 'a');
  g_autofree char *b = g_strnfill (64, 'b');
  g_autoptr (GError) error = NULL;

  add_image (f, 'a', "images:debian/12", "", "images:debian/12");
  add_image (f, 'b', "import", "", "mine");
  g_assert_true (get (f, 'a')->auto_update);
  g_assert_true (lodge_image_store_set_flags (f->images, a, 1, 0, NULL));
  restart (f, 0);
  g_assert_true (get (f, 'a')->pinned);
  g_assert_false (get (f, 'a')->auto_update);
  g_assert_true (lodge_image_store_set_flags (f->images, a, 0, -1, NULL));
  g_assert_false (get (f, 'a')->pinned);
  g_assert_false (lodge_image_store_set_flags (f->images, b, -1, 1, &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_STATE);
  g_assert_false (get (f, 'b')->auto_update);
}

static void
test_refs (Fixture *f, gconstpointer data)
{
  g_auto (GStrv) server = NULL;
  g_auto (GStrv) build = NULL;
  g_auto (GStrv) build_by_itself = NULL;
  g_auto (GStrv) gone = NULL;
  g_auto (GStrv) import = NULL;

  add_image (f, 'a', "images:debian/12", "", "images:debian/12");
  add_image (f, 'b', "build:debian/12", "", "debian/12");
  add_image (f, 'c', "nowhere:debian/12", "", "nowhere:debian/12");
  add_image (f, 'd', "import", "", "images:debian/13");
  server = lodge_image_store_list_refs (f->images, get (f, 'a'), TRUE);
  g_assert_cmpuint (g_strv_length (server), ==, 1);
  g_assert_cmpstr (server[0], ==, "images:debian/12");
  build = lodge_image_store_list_refs (f->images, get (f, 'b'), FALSE);
  g_assert_cmpuint (g_strv_length (build), ==, 1);
  g_assert_cmpstr (build[0], ==, "build:debian/12");
  build_by_itself = lodge_image_store_list_refs (f->images, get (f, 'b'), TRUE);
  gone = lodge_image_store_list_refs (f->images, get (f, 'c'), FALSE);
  import = lodge_image_store_list_refs (f->images, get (f, 'd'), FALSE);
  g_assert_null (build_by_itself[0]);
  g_assert_null (gone[0]);
  g_assert_null (import[0]);
}

/* ---- partial downloads ---- */

static char *
write_partial (Fixture *f, const char *text)
{
  g_autofree char *hash = g_strnfill (64, 'e');
  g_autofree char *folder = g_build_filename (f->dir, "downloads", NULL);
  char *path = g_build_filename (folder, hash, NULL);

  g_assert_cmpint (g_mkdir_with_parents (folder, 0700), ==, 0);
  g_assert_true (g_file_set_contents (path, text, -1, NULL));
  return path;
}

static guint
count_old (Fixture *f)
{
  g_auto (GStrv) old = lodge_image_store_tick (f->images);

  return g_strv_length (old);
}

static void
test_partials (Fixture *f, gconstpointer data)
{
  g_autofree char *path = write_partial (f, "some");
  g_autofree char *name = g_path_get_basename (path);
  g_autofree char *validator = g_strconcat (path, ".validator", NULL);
  g_autofree char *more = NULL;
  g_auto (LodgeFd) fd = -1;

  g_assert_true (g_file_set_contents (validator, "etag", -1, NULL));
  g_assert_cmpuint (count_old (f), ==, 0);
  pass (f, 6 * DAY);
  more = write_partial (f, "some more"); /* somebody came back for it */
  g_assert_cmpuint (count_old (f), ==, 0);
  f->wall += 10 * YEAR;
  pass (f, 6 * DAY);
  g_assert_cmpuint (count_old (f), ==, 0);
  restart (f, 0);
  pass (f, DAY);
  g_assert_cmpuint (count_old (f), ==, 1);

  /* What is worked on is none of them, and is not removed. */
  fd = open (path, O_RDONLY | O_CLOEXEC);
  g_assert_cmpint (flock (fd, LOCK_SH | LOCK_NB), ==, 0);
  g_assert_cmpuint (count_old (f), ==, 0);
  lodge_image_partial_remove (f->dir, name);
  g_assert_cmpint (access (path, F_OK), ==, 0);
  close (lodge_fd_steal (&fd));
  lodge_image_partial_remove (f->dir, "../lodge.db");
  lodge_image_partial_remove (f->dir, name);
  g_assert_cmpint (access (path, F_OK), ==, -1);
  g_assert_cmpint (access (validator, F_OK), ==, -1);
}

/* ---- asking remotes ---- */

static void
on_checked (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GStrv *found = user_data;

  *found = lodge_image_store_check_finish (LODGE_IMAGE_STORE (source), result);
}

static void
check (Fixture *f)
{
  g_auto (GStrv) found = NULL;

  lodge_image_store_check_async (f->images, on_checked, &found);
  while (found == NULL)
    g_main_context_iteration (NULL, TRUE);
  g_assert_null (found[0]);
}

/* Tries that a check made of a server that cannot be reached: each leaves a line in a file. */
static guint
count_tries (Fixture *f)
{
  g_autofree char *path = g_build_filename (f->dir, "tries", NULL);
  g_autofree char *text = NULL;
  guint n = 0;

  if (g_file_get_contents (path, &text, NULL, NULL))
    for (const char *c = text; *c != '\0'; c++)
      n += *c == '\n';
  return n;
}

static void
test_back_off (Fixture *f, gconstpointer data)
{
  static const gint64 waits[] = { 6, 12, 24, 24 };
  g_autofree char *helper = g_build_filename (f->dir, "lodge-fetch", NULL);
  g_autofree char *script = g_strdup_printf (
      "#!/bin/sh\necho >>%s/tries\necho 'error Download no network' >&3\n", f->dir);

  g_assert_true (g_file_set_contents (helper, script, -1, NULL));
  g_assert_cmpint (g_chmod (helper, 0755), ==, 0);
  check (f);
  g_assert_cmpuint (count_tries (f), ==, 0); /* there is nothing to ask about */
  add_image (f, 'a', "images:debian/12", "", "images:debian/12");
  add_image (f, 'b', "build:debian/12", "", "debian/12");
  for (guint i = 0; i < G_N_ELEMENTS (waits); i++)
    {
      check (f);
      g_assert_cmpuint (count_tries (f), ==, i + 1);
      pass (f, waits[i] * 3600 - 1);
      check (f);
      g_assert_cmpuint (count_tries (f), ==, i + 1);
      pass (f, 1);
    }
  /* Who is not to be updated is not asked about. */
  g_assert_true (lodge_image_store_set_flags (f->images, get (f, 'a')->fingerprint, 1, -1, NULL));
  check (f);
  g_assert_true (lodge_image_store_set_flags (f->images, get (f, 'a')->fingerprint, 0, 0, NULL));
  check (f);
  g_assert_cmpuint (count_tries (f), ==, 4);
  g_assert_true (lodge_image_store_set_flags (f->images, get (f, 'a')->fingerprint, -1, 1, NULL));
  lodge_image_store_set_update_interval (f->images, 0);
  check (f);
  g_assert_cmpuint (count_tries (f), ==, 4);
  /* What was planned with a long interval counts no more with a short one, and is recorded. */
  restart (f, 0);
  check (f);
  g_assert_cmpuint (count_tries (f), ==, 5);
  lodge_image_store_set_update_interval (f->images, 60);
  check (f);
  g_assert_cmpuint (count_tries (f), ==, 5);
  pass (f, 60);
  check (f);
  g_assert_cmpuint (count_tries (f), ==, 6);
}

int
main (int argc, char **argv)
{
  static const struct
  {
    const char *path;
    void (*func) (Fixture *f, gconstpointer data);
  } tests[] = {
    { "/cache/expiry", test_expiry },         { "/cache/restarts", test_restarts },
    { "/cache/L05-jumps", test_clock_jumps }, { "/cache/kept", test_kept },
    { "/cache/addresses", test_addresses },   { "/cache/keep", test_keep },
    { "/cache/flags", test_flags },           { "/cache/refs", test_refs },
    { "/cache/partials", test_partials },     { "/cache/back-off", test_back_off },
  };

  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (tests); i++)
    g_test_add (tests[i].path, Fixture, NULL, set_up, tests[i].func, tear_down);
  return g_test_run ();
}
