/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lodge-fd.h"
#include "lodge-storage.h"
#include "lodge/lodge-error.h"

#define UUID "0b4c2f64-6f1d-4c6c-9d2c-9b4b8d1f3a10"

static int
mode_of (const char *path)
{
  struct stat st;

  g_assert_cmpint (g_stat (path, &st), ==, 0);
  return (int) (st.st_mode & 0777);
}

static void
test_container (void)
{
  g_autofree char *state = g_dir_make_tmp ("lodge-storage-XXXXXX", NULL);
  g_autofree char *root = lodge_storage_container_dir (state, UUID);
  g_autofree char *upper = g_build_filename (root, "upper", NULL);
  g_autofree char *instance = lodge_storage_instance_dir (state, UUID);
  g_autofree char *trash = g_build_filename (state, "trash", "7", "root", "upper", NULL);
  g_autoptr (GError) error = NULL;

  g_assert_true (lodge_storage_prepare (state, &error));
  for (guint i = 0; i < 2; i++)
    g_assert_true (lodge_storage_create (state, UUID, LODGE_KIND_CONTAINER, NULL, 0, &error));
  g_assert_no_error (error);
  /* Nobody but root gets at another instance's files; the root itself is the guest's. */
  g_assert_cmpint (mode_of (root), ==, 0700);
  g_assert_cmpint (mode_of (upper), ==, 0755);

  for (guint i = 0; i < 2; i++)
    g_assert_true (lodge_storage_discard (state, UUID, "7", &error));
  g_assert_false (g_file_test (root, G_FILE_TEST_EXISTS));
  g_assert_false (g_file_test (instance, G_FILE_TEST_EXISTS));
  g_assert_true (g_file_test (trash, G_FILE_TEST_IS_DIR));
  g_assert_true (lodge_storage_empty_trash (state, "7", &error));
  g_assert_false (g_file_test (trash, G_FILE_TEST_EXISTS));
  g_assert_true (lodge_tree_remove (state, NULL));
}

static guint64
measure (const char *state)
{
  guint64 bytes = 0;

  g_assert_true (lodge_storage_measure_container (state, UUID, &bytes));
  return bytes;
}

/* Of one's own only, and neither through links nor for as long as a guest likes. */
static void
test_measure (void)
{
  g_autofree char *state = g_dir_make_tmp ("lodge-storage-XXXXXX", NULL);
  g_autofree char *base = lodge_storage_container_dir (state, UUID);
  g_autofree char *upper = g_build_filename (base, "upper", NULL);
  g_autofree char *file = g_build_filename (upper, "file", NULL);
  g_autofree char *other = g_build_filename (upper, "other", NULL);
  g_autofree char *away = g_build_filename (upper, "link", NULL);
  g_autofree char *fifo = g_build_filename (upper, "fifo", NULL);
  g_autofree char *data = g_strnfill (1 << 20, 'x');
  guint64 bytes = 7;

  g_assert_false (lodge_storage_measure_container (state, UUID, &bytes));
  g_assert_cmpuint (bytes, ==, 7);
  g_assert_true (lodge_storage_prepare (state, NULL));
  g_assert_true (lodge_storage_create (state, UUID, LODGE_KIND_CONTAINER, NULL, 0, NULL));
  guint64 empty = measure (state);
  g_assert_true (g_file_set_contents (file, data, 1 << 20, NULL));
  g_assert_cmpint (link (file, other), ==, 0);
  g_assert_cmpint (symlink ("/usr", away), ==, 0);
  g_assert_cmpint (mkfifo (fifo, 0666), ==, 0);
  g_assert_cmpuint (measure (state), >=, empty + (1 << 20));
  g_assert_cmpuint (measure (state), <, empty + (2 << 20));

  g_autoptr (GString) deep = g_string_new (upper);
  for (guint i = 0; i < 100; i++)
    g_string_append (deep, "/d");
  g_assert_cmpint (g_mkdir_with_parents (deep->str, 0755), ==, 0);
  g_assert_false (lodge_storage_measure_container (state, UUID, &bytes));
  g_assert_true (lodge_tree_remove (state, NULL));
}

static void
test_disk (void)
{
  g_autofree char *state = g_dir_make_tmp ("lodge-storage-XXXXXX", NULL);
  g_autofree char *disk = lodge_storage_disk_path (state, UUID);
  g_autofree char *backing = g_build_filename (state, "base.qcow2", NULL);
  g_autofree char *command = g_strdup_printf ("qemu-img create -q -f qcow2 %s 10M", backing);
  g_autoptr (GError) error = NULL;

  g_autofree char *program = g_find_program_in_path ("qemu-img");
  if (program == NULL)
    {
      g_test_skip ("qemu-img is not installed");
      return;
    }
  g_assert_true (lodge_storage_prepare (state, NULL));
  g_assert_false (lodge_storage_create (state, UUID, LODGE_KIND_VM, backing, 0, &error));
  g_assert_nonnull (error);
  g_clear_error (&error);
  g_assert_false (g_file_test (disk, G_FILE_TEST_EXISTS));

  g_assert_true (g_spawn_command_line_sync (command, NULL, NULL, NULL, NULL));
  g_assert_true (lodge_storage_create (state, UUID, LODGE_KIND_VM, backing, 0, &error));
  g_assert_no_error (error);
  g_assert_cmpint (mode_of (disk), ==, 0600);
  g_assert_true (lodge_storage_create (state, UUID, LODGE_KIND_VM, backing, 0, &error));

  g_assert_cmpint (unlink (disk), ==, 0);
  g_assert_true (lodge_storage_create (state, UUID, LODGE_KIND_VM, NULL, 20 << 20, &error));
  g_assert_no_error (error);
  g_autofree char *question = g_strdup_printf ("qemu-img info %s", disk);
  g_autofree char *answer = NULL;
  g_assert_true (g_spawn_command_line_sync (question, &answer, NULL, NULL, NULL));
  g_assert_nonnull (strstr (answer, "virtual size: 20 MiB"));
  g_assert_null (strstr (answer, "backing file"));
  g_assert_true (lodge_tree_remove (state, NULL));
}

/* D11: what QEMU could take for an address or for options is the name of a directory here. */
static void
test_d11_names (void)
{
  static const char *const names[]
      = { "nbd:127.0.0.1:1", "json:{}", "a:b", "a,b", "file.driver=nbd,a=b" };
  g_autofree char *top = g_dir_make_tmp ("lodge-storage-XXXXXX", NULL);
  g_autofree char *program = g_find_program_in_path ("qemu-img");

  for (gsize i = 0; i < G_N_ELEMENTS (names) && program != NULL; i++)
    {
      g_autofree char *state = g_build_filename (top, names[i], NULL);
      g_autofree char *backing = g_build_filename (state, names[i], NULL);
      g_autofree char *disk = lodge_storage_disk_path (state, UUID);
      g_autofree char *chain = NULL;
      const char *make[] = { "qemu-img", "create", "-q", "-f", "qcow2", backing, "10M", NULL };
      const char *ask[] = { "qemu-img", "info", "--backing-chain", disk, NULL };
      int status = -1;
      g_autoptr (GError) error = NULL;

      g_assert_cmpint (g_mkdir (state, 0700), ==, 0);
      g_assert_true (lodge_storage_prepare (state, &error));
      g_assert_true (g_spawn_sync (NULL, (char **) make, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL,
                                   NULL, NULL, &status, &error));
      g_assert_cmpint (status, ==, 0);
      g_assert_true (lodge_storage_create (state, UUID, LODGE_KIND_VM, backing, 0, &error));
      g_assert_no_error (error);
      g_assert_true (g_spawn_sync (NULL, (char **) ask, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL,
                                   &chain, NULL, &status, &error));
      g_assert_cmpint (status, ==, 0);
      g_autofree char *line = g_strdup_printf ("image: %s\n", backing);
      g_assert_nonnull (strstr (chain, line));
    }
  g_assert_true (lodge_tree_remove (top, NULL));
  if (program == NULL)
    g_test_skip ("qemu-img is not installed");
}

/* D14: what lies in the pool under a disk's name, and is none, is neither used nor written to. */
static void
test_d14_no_link (void)
{
  g_autofree char *state = g_dir_make_tmp ("lodge-storage-XXXXXX", NULL);
  g_autofree char *victim = g_build_filename (state, "victim", NULL);
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_true (lodge_storage_prepare (state, &error));
  g_autofree char *disk = lodge_storage_disk_path (state, UUID);
  g_assert_true (g_file_set_contents (victim, "mine", -1, NULL));
  g_assert_cmpint (symlink (victim, disk), ==, 0);
  g_assert_false (lodge_storage_create (state, UUID, LODGE_KIND_VM, NULL, 1 << 20, &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_CONFLICT);
  g_clear_error (&error);
  g_assert_cmpint (unlink (disk), ==, 0);
  g_assert_cmpint (mkfifo (disk, 0600), ==, 0);
  g_assert_false (lodge_storage_create (state, UUID, LODGE_KIND_VM, NULL, 1 << 20, &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_CONFLICT);
  g_assert_true (g_file_get_contents (victim, &text, NULL, NULL));
  g_assert_cmpstr (text, ==, "mine");
  g_assert_true (lodge_tree_remove (state, NULL));
}

static void
test_staging (void)
{
  g_autofree char *state = g_dir_make_tmp ("lodge-storage-XXXXXX", NULL);
  g_autofree char *staging = lodge_storage_staging_dir (state, 12);

  g_assert_true (lodge_storage_prepare (state, NULL));
  g_assert_true (lodge_storage_make_staging (state, 12, NULL));
  g_assert_true (g_file_test (staging, G_FILE_TEST_IS_DIR));
  g_assert_true (lodge_storage_remove_staging (state, 12, NULL));
  g_assert_true (lodge_storage_remove_staging (state, 12, NULL));
  g_assert_true (lodge_tree_remove (state, NULL));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/storage/container", test_container);
  g_test_add_func ("/storage/measure", test_measure);
  g_test_add_func ("/storage/disk", test_disk);
  g_test_add_func ("/storage/d11-names", test_d11_names);
  g_test_add_func ("/storage/d14-no-link", test_d14_no_link);
  g_test_add_func ("/storage/staging", test_staging);
  return g_test_run ();
}
