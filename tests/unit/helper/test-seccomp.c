/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-seccomp.h"

#include <errno.h>
#include <glib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static void
test_denied (void)
{
  static const long denied[] = { SYS_kexec_load,  SYS_kexec_file_load, SYS_open_by_handle_at,
                                 SYS_init_module, SYS_finit_module,    SYS_delete_module };

  if (!g_test_subprocess ())
    {
      g_test_trap_subprocess (NULL, 10 * G_USEC_PER_SEC, G_TEST_SUBPROCESS_INHERIT_STDERR);
      g_test_trap_assert_passed ();
      return;
    }
  g_assert_cmpint (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), ==, 0);
  g_assert_cmpint (lodge_seccomp_install (), ==, 0);
  for (gsize i = 0; i < G_N_ELEMENTS (denied); i++)
    {
      errno = 0;
      /* Without the filter these bad arguments would give another error, even to root. */
      g_assert_cmpint (syscall (denied[i], -1, NULL, -1, NULL, -1), ==, -1);
      g_assert_cmpint (errno, ==, EPERM);
    }
  g_assert_cmpint (getppid (), >, 0);

#ifdef __x86_64__
  long result;
  /* delete_module by the numbers of i386 and of x32. */
  __asm__ volatile("int $0x80"
                   : "=a"(result)
                   : "a"(129), "b"(0), "c"(0)
                   : "memory", "r8", "r9", "r10", "r11");
  g_assert_cmpint ((int) result, ==, -EPERM);
  g_assert_cmpint (syscall (0x40000000 | SYS_delete_module, NULL, 0), ==, -1);
  g_assert_cmpint (errno, ==, EPERM);
#endif
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/helper/seccomp/denied", test_denied);
  return g_test_run ();
}
