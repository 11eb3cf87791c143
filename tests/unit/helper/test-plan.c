/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-plan.h"

#include <glib.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define GOOD                                                                                       \
  "version=1\n"                                                                                    \
  "uuid=11111111-2222-4333-8444-555555555501\n"                                                    \
  "name=web\n"                                                                                     \
  "idmap=1000000 65536\n"                                                                          \
  "lower=/img/a\n"                                                                                 \
  "lower=/img/b\n"                                                                                 \
  "upper=/pool/web/upper\n"                                                                        \
  "work=/pool/web/work\n"                                                                          \
  "root=/run/lodge/mnt/web\n"                                                                      \
  "control=/run/lodge/ctl/web\n"                                                                   \
  "runtime=/run/lodge/instances/web\n"                                                             \
  "pids-max=500\n"                                                                                 \
  "setup.hostname=web\n"                                                                           \
  "setup.note=a=b c\n"

typedef struct
{
  char *path;
  LodgePlan plan;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  fixture->path = g_build_filename (g_get_tmp_dir (), "lodge-plan-XXXXXX", NULL);
  close (g_mkstemp (fixture->path));
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_unlink (fixture->path);
  g_free (fixture->path);
}

static gboolean
read_text (Fixture *fixture, const char *text, LodgeFail *fail)
{
  g_assert_true (g_file_set_contents (fixture->path, text, -1, NULL));
  g_assert_cmpint (chmod (fixture->path, 0600), ==, 0);
  return lodge_plan_read (&fixture->plan, fixture->path, fail);
}

static gboolean
skip_unless_root (void)
{
  if (geteuid () == 0)
    return FALSE;
  g_test_skip ("a plan must be root's, so this test must be");
  return TRUE;
}

static void
test_good (Fixture *fixture, gconstpointer data)
{
  LodgeFail fail = { 0 };

  if (skip_unless_root ())
    return;
  g_assert_true (read_text (fixture, GOOD, &fail));
  g_assert_cmpstr (fixture->plan.name, ==, "web");
  g_assert_cmpuint (fixture->plan.base, ==, 1000000);
  g_assert_cmpuint (fixture->plan.count, ==, 65536);
  g_assert_cmpuint (fixture->plan.n_lower, ==, 2);
  g_assert_cmpstr (fixture->plan.lower[1], ==, "/img/b");
  g_assert_cmpstr (fixture->plan.pids_max, ==, "500");
  g_assert_cmpstr (fixture->plan.setup, ==, "hostname=web\nnote=a=b c\n");
  g_assert_null (fixture->plan.events);
}

/* Each: a line of GOOD to replace, by what, and a word that the error has. */
static const struct
{
  const char *from;
  const char *to;
  const char *word;
} bad[] = {
  { "version=1", "version=2", "version" },
  { "version=1\n", "", "version" },
  { "name=web", "name=web\nname=b", "twice" },
  { "name=web", "name=", "name" },
  { "name=web", "nom=web", "unknown" },
  { "name=web", "nothing", "=" },
  { "=11111111-", "=../../../x-", "uuid" },
  { "=11111111-", "=1111111A-", "uuid" },
  { "idmap=1000000", "idmap=0", "idmap" },
  { "idmap=1000000", "idmap=-1", "idmap" },
  { "idmap=1000000", "idmap=4294967295", "idmap" },
  { "65536", "4294967296", "idmap" },
  { " 65536", "", "idmap" },
  { "/img/a", "img/a", "lower" },
  { "/img/a", "/img/../a", "lower" },
  { "/img/a", "/img/a:b", "lower" },
  { "/img/a", "/img/a,upperdir=x", "lower" },
  { "/img/a", "/", "lower" },
  { "/pool/web/work", "/pool/db/work", "upper" },
  { "/pool/web/work", "/pool/web/upper", "upper" },
  { "work=/pool/web/work\n", "", "root" },
  { "pids-max=500", "pids-max=0", "pids-max" },
  { "pids-max=500", "pids-max=all", "pids-max" },
  { "pids-max=500", "source=/x", "source" },
  { "setup.note", "setup.", "setup" },
};

static void
test_bad (Fixture *fixture, gconstpointer data)
{
  if (skip_unless_root ())
    return;
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GString) text = g_string_new (GOOD);
      LodgeFail fail = { 0 };

      g_assert_cmpuint (g_string_replace (text, bad[i].from, bad[i].to, 1), ==, 1);
      g_assert_false (read_text (fixture, text->str, &fail));
      g_assert_cmpstr (fail.nick, ==, "InvalidConfig");
      if (!strstr (fail.text, bad[i].word))
        g_error ("“%s” does not mention “%s”", fail.text, bad[i].word);
    }
}

static void
test_file (Fixture *fixture, gconstpointer data)
{
  g_autofree char *link = g_strconcat (fixture->path, "-link", NULL);
  LodgeFail fail = { 0 };

  if (skip_unless_root ())
    return;
  g_assert_true (read_text (fixture, GOOD, &fail));
  g_assert_cmpint (chmod (fixture->path, 0640), ==, 0);
  g_assert_false (lodge_plan_read (&fixture->plan, fixture->path, &fail));
  g_assert_cmpint (chmod (fixture->path, 0600), ==, 0);
  g_assert_cmpint (symlink (fixture->path, link), ==, 0);
  g_assert_false (lodge_plan_read (&fixture->plan, link, &fail));
  g_unlink (link);
  g_assert_cmpint (mkfifo (link, 0600), ==, 0);
  g_assert_false (lodge_plan_read (&fixture->plan, link, &fail));
  g_unlink (link);
  g_assert_cmpint (chown (fixture->path, 1, 0), ==, 0);
  g_assert_false (lodge_plan_read (&fixture->plan, fixture->path, &fail));
  g_assert_cmpint (truncate (fixture->path, LODGE_PLAN_MAX), ==, 0);
  g_assert_false (lodge_plan_read (&fixture->plan, fixture->path, &fail));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/helper/plan/good", Fixture, NULL, set_up, test_good, tear_down);
  g_test_add ("/helper/plan/bad", Fixture, NULL, set_up, test_bad, tear_down);
  g_test_add ("/helper/plan/file", Fixture, NULL, set_up, test_file, tear_down);
  return g_test_run ();
}
