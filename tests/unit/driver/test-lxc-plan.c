/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-lxc-plan.h"

#include <glib/gstdio.h>
#include <string.h>

#include "lodge-fd.h"

#define UUID "7d3c1c2e-94a5-4a63-9f0c-5f6f1c8f3a11"

typedef struct
{
  char *dir;
  LodgeLxcPaths *paths;
  LodgeDomainSpec *spec;
} Fixture;

static void
set_up (Fixture *self, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  self->dir = g_dir_make_tmp ("lodge-plan-XXXXXX", &error);
  g_assert_no_error (error);
  g_autofree char *state = g_build_filename (self->dir, "state", NULL);
  g_autofree char *run = g_build_filename (self->dir, "run", NULL);
  self->paths = lodge_lxc_paths_new (state, run, UUID);
  self->spec = lodge_domain_spec_new ();
  self->spec->uuid = g_strdup (UUID);
  self->spec->name = g_strdup ("web");
  self->spec->lower_dir = g_strdup ("/images/x/rootfs");
  self->spec->upper_dir = g_strdup ("/pool/web/upper");
  self->spec->work_dir = g_strdup ("/pool/web/work");
  self->spec->idmap_base = 1065536;
  self->spec->idmap_count = 65536;
  self->spec->dns_domain = g_strdup ("lodge");
  self->spec->gateway = g_strdup ("10.77.0.1");
}

static void
tear_down (Fixture *self, gconstpointer data)
{
  g_assert_true (lodge_tree_remove (self->dir, NULL));
  g_free (self->dir);
  lodge_lxc_paths_free (self->paths);
  lodge_domain_spec_free (self->spec);
}

static void
set_config (Fixture *self, const char *key, const char *value)
{
  g_hash_table_replace (self->spec->config, g_strdup (key), g_strdup (value));
}

static char *
read_plan (Fixture *self)
{
  char *text = NULL;
  g_autoptr (GError) error = NULL;
  g_file_get_contents (self->paths->plan, &text, NULL, &error);
  g_assert_no_error (error);
  return text;
}

static void
test_write (Fixture *self, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  set_config (self, "limits.processes", "500");
  g_assert_true (lodge_lxc_plan_write (self->spec, self->paths, &error));
  g_assert_no_error (error);
  g_autofree char *text = read_plan (self);
  g_autofree char *expected = g_strdup_printf (
      "version=1\nuuid=" UUID "\nname=web\nidmap=1065536 65536\n"
      "lower=/images/x/rootfs\nupper=/pool/web/upper\nwork=/pool/web/work\n"
      "root=%s\ncontrol=%s\nruntime=%s\nevents=%s\npids-max=500\n"
      "setup.hostname=web\nsetup.domain=lodge\nsetup.nameserver=10.77.0.1\n"
      "setup.first-boot=1\n",
      self->paths->root, self->paths->control, self->paths->runtime, self->paths->events);
  g_assert_cmpstr (text, ==, expected);
  GStatBuf info;
  g_assert_cmpint (g_stat (self->paths->plan, &info), ==, 0);
  g_assert_cmpint (info.st_mode & 07777, ==, 0600);
  g_assert_cmpint (g_stat (self->paths->control, &info), ==, 0);
  g_assert_cmpint (info.st_mode & 07777, ==, 0755);

  guint32 base = 0, count = 0;
  g_assert_true (lodge_lxc_plan_read_idmap (self->paths->plan, &base, &count));
  g_assert_cmpuint (base, ==, 1065536);
  g_assert_cmpuint (count, ==, 65536);
}

static void
test_edit (Fixture *self, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_assert_true (lodge_lxc_plan_write (self->spec, self->paths, &error));
  g_assert_true (lodge_lxc_plan_set_booted (self->paths, &error));
  g_autofree char *booted = read_plan (self);
  g_assert_null (strstr (booted, "first-boot"));
  g_assert_true (lodge_lxc_plan_rename (self->paths, "db", &error));
  g_assert_no_error (error);
  g_autofree char *renamed = read_plan (self);
  g_assert_nonnull (strstr (renamed, "\nname=db\n"));
  g_assert_nonnull (strstr (renamed, "\nsetup.hostname=db\n"));
  g_assert_nonnull (strstr (renamed, "\nsetup.first-boot=1\n"));
  g_assert_null (strstr (renamed, "web\n"));
  g_assert_nonnull (strstr (renamed, "\npids-max=max\n"));
}

/* A newline in a value would be another key to a program that runs as root. */
static void
test_injection (Fixture *self, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_free (self->spec->upper_dir);
  self->spec->upper_dir = g_strdup ("/pool/web\nidmap=0 4294967295");
  g_assert_false (lodge_lxc_plan_write (self->spec, self->paths, &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT);
  g_assert_false (g_file_test (self->paths->plan, G_FILE_TEST_EXISTS));
}

static void
test_bad_limits (Fixture *self, gconstpointer data)
{
  static const struct
  {
    const char *key;
    const char *value;
  } rows[] = {
    { "limits.processes", "0" },
    { "limits.processes", "-1" },
    { "limits.processes", "1e3" },
  };
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autoptr (GError) error = NULL;
      set_config (self, rows[i].key, rows[i].value);
      g_assert_false (lodge_lxc_plan_write (self->spec, self->paths, &error));
      g_assert_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_CONFIG);
      g_assert_nonnull (strstr (error->message, rows[i].key));
    }
}

static void
test_cpu (Fixture *self, gconstpointer data)
{
  static const struct
  {
    const char *limit;
    guint count; /* 0: refused */
  } rows[] = { { "0-0", 1 }, { "1", 1 }, { "0,1", 2 }, { "0", 0 }, { "1-", 0 }, { "x", 0 } };
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *cpuset = NULL;
      LodgeLxcXmlOptions options = { 0 };
      set_config (self, "limits.cpu", rows[i].limit);
      g_assert_true (lodge_lxc_plan_cpu (self->spec, &options, &cpuset, &error)
                     == (rows[i].count > 0));
      if (rows[i].count == 0)
        {
          g_assert_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_CONFIG);
          continue;
        }
      g_assert_cmpuint (options.vcpus, ==, rows[i].count);
      g_assert_cmpstr (options.cpuset, ==, cpuset);
      if (g_get_num_processors () > 1)
        g_assert_nonnull (cpuset);
    }
}

/* More than there are is all of them: no pinning. */
static void
test_many_cpus (Fixture *self, gconstpointer data)
{
  g_autofree char *cpuset = NULL;
  LodgeLxcXmlOptions options = { 0 };
  set_config (self, "limits.cpu", "4096");
  g_assert_true (lodge_lxc_plan_cpu (self->spec, &options, &cpuset, NULL));
  g_assert_null (cpuset);
  g_assert_cmpuint (options.vcpus, ==, 4096);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(path, func) g_test_add (path, Fixture, NULL, set_up, func, tear_down)
  ADD ("/lxc-plan/write", test_write);
  ADD ("/lxc-plan/edit", test_edit);
  ADD ("/lxc-plan/injection", test_injection);
  ADD ("/lxc-plan/bad-limits", test_bad_limits);
  ADD ("/lxc-plan/cpu", test_cpu);
  ADD ("/lxc-plan/many-cpus", test_many_cpus);
#undef ADD
  return g_test_run ();
}
