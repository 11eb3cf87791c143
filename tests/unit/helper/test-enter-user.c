/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-enter-user.h"

#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PASSWD                                                                                     \
  "root:x:0:0:root:/root:/bin/bash\n"                                                              \
  "broken\n"                                                                                       \
  "web:x:33:33::/var/www:\n"                                                                       \
  "huge:x:99999999999:1:::\n"                                                                      \
  "long:x:40:40:no shell field\n"
#define GROUP "root:x:0:\nadm:x:4:syslog,web\nweb:x:33:\nstaff:x:50:webber,web\n"

/* The look-up is of "/", so each test has its own; it runs in a process of its own. */
static void
enter_root (const char *passwd, const char *group)
{
  g_assert_cmpint (chroot (g_getenv ("LODGE_TEST_ROOT")), ==, 0);
  g_assert_cmpint (chdir ("/"), ==, 0);
  if (passwd)
    g_assert_true (g_file_set_contents ("/etc/passwd", passwd, -1, NULL));
  if (group)
    g_assert_true (g_file_set_contents ("/etc/group", group, -1, NULL));
}

static gboolean
run_here (void)
{
  g_autofree char *root = NULL;
  g_autofree char *etc = NULL;
  g_autofree char *command = NULL;

  if (geteuid () != 0)
    {
      g_test_skip ("needs chroot(2)");
      return FALSE;
    }
  if (g_test_subprocess ())
    return TRUE;
  root = g_dir_make_tmp ("lodge-user-XXXXXX", NULL);
  etc = g_build_filename (root, "etc", NULL);
  command = g_strdup_printf ("rm -rf '%s'", root);
  g_assert_cmpint (g_mkdir (etc, 0755), ==, 0);
  g_setenv ("LODGE_TEST_ROOT", root, TRUE);
  g_test_trap_subprocess (NULL, 10 * G_USEC_PER_SEC, G_TEST_SUBPROCESS_INHERIT_STDERR);
  g_assert_cmpint (system (command), ==, 0);
  g_test_trap_assert_passed ();
  return FALSE;
}

static void
test_names (void)
{
  LodgeEnterUser user;
  LodgeFail fail = { 0 };

  if (!run_here ())
    return;
  enter_root (PASSWD, GROUP);
  g_assert_true (lodge_enter_find_user (NULL, &user, &fail));
  g_assert_cmpstr (user.shell, ==, "/bin/bash");
  g_assert_cmpstr (user.home, ==, "/root");
  g_assert_cmpuint (user.n_groups, ==, 1);

  g_assert_true (lodge_enter_find_user ("web", &user, &fail));
  g_assert_cmpuint (user.uid, ==, 33);
  g_assert_cmpstr (user.home, ==, "/var/www");
  g_assert_cmpstr (user.shell, ==, "/bin/sh");
  g_assert_cmpuint (user.n_groups, ==, 3);

  g_assert_true (lodge_enter_find_user ("web:adm", &user, &fail));
  g_assert_cmpuint (user.gid, ==, 4);
  g_assert_true (lodge_enter_find_user ("33:77", &user, &fail));
  g_assert_cmpstr (user.name, ==, "web");
  g_assert_cmpuint (user.gid, ==, 77);
  g_assert_true (lodge_enter_find_user ("4000", &user, &fail));
  g_assert_cmpuint (user.uid, ==, 4000);
  g_assert_cmpstr (user.home, ==, "/");

  for (const char *const *name
       = (const char *const[]){ "nobody", "broken", "huge", "long", "-1", "4294967295", NULL };
       *name; name++)
    {
      g_assert_false (lodge_enter_find_user (*name, &user, &fail));
      g_assert_cmpstr (fail.nick, ==, "NotFound");
    }
  g_assert_false (lodge_enter_find_user ("web:nogroup", &user, &fail));
}

static void
test_hostile_files (void)
{
  LodgeEnterUser user;
  LodgeFail fail = { 0 };

  if (!run_here ())
    return;
  enter_root (NULL, NULL);
  g_assert_true (lodge_enter_find_user ("root", &user, &fail));
  g_assert_cmpint (mkfifo ("/etc/passwd", 0644), ==, 0);
  g_assert_true (lodge_enter_find_user ("root", &user, &fail));
  g_assert_false (lodge_enter_find_user ("web", &user, &fail));

  g_unlink ("/etc/passwd");
  g_assert_true (g_file_set_contents ("/etc/elsewhere", PASSWD, -1, NULL));
  g_assert_cmpint (symlink ("elsewhere", "/etc/passwd"), ==, 0);
  g_assert_false (lodge_enter_find_user ("web", &user, &fail));

  g_unlink ("/etc/passwd");
  g_assert_true (g_file_set_contents ("/etc/passwd", PASSWD, -1, NULL));
  g_assert_cmpint (truncate ("/etc/passwd", 1024 * 1024 * 1024), ==, 0);
  g_assert_false (lodge_enter_find_user ("web", &user, &fail));
  g_assert_true (lodge_enter_find_user ("0", &user, &fail));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/helper/enter-user/names", test_names);
  g_test_add_func ("/helper/enter-user/hostile-files", test_hostile_files);
  int status = g_test_run ();
  /* Without the checks at exit: they want /proc, and a test is in a root that has none. */
  fflush (NULL);
  if (g_test_subprocess ())
    _exit (status);
  return status;
}
