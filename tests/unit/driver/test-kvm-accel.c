/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib/gstdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lodge-kvm-accel.h"

/* The probe with emulators that are shell scripts, and its payload in a real, emulated PC. */

typedef struct
{
  char *directory;
  char *cache;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer data)
{
  fixture->directory = g_dir_make_tmp ("lodge-accel-XXXXXX", NULL);
  fixture->cache = g_build_filename (fixture->directory, "kvm-probe", NULL);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_autofree char *emulator = g_build_filename (fixture->directory, "emulator", NULL);

  g_unlink (emulator);
  g_unlink (fixture->cache);
  g_rmdir (fixture->directory);
  g_free (fixture->cache);
  g_free (fixture->directory);
}

static LodgeKvmAccel *
make_accel (Fixture *fixture, const char *script)
{
  g_autofree char *emulator = g_build_filename (fixture->directory, "emulator", NULL);
  g_autofree char *text = g_strconcat ("#!/bin/sh\n", script, "\n", NULL);

  g_assert_true (g_file_set_contents (emulator, text, -1, NULL));
  g_assert_cmpint (g_chmod (emulator, 0755), ==, 0);
  return lodge_kvm_accel_new (fixture->cache, emulator);
}

static gboolean
skip_without_kvm (void)
{
  if (g_access ("/dev/kvm", R_OK | W_OK) == 0)
    return FALSE;
  g_test_skip ("/dev/kvm cannot be opened");
  return TRUE;
}

static LodgeKvmProbeState
wait_for (LodgeKvmAccel *accel, char **out_reason)
{
  LodgeKvmProbeState state;

  lodge_kvm_accel_start (accel);
  while ((state = lodge_kvm_accel_peek (accel, NULL)) == LODGE_KVM_PROBE_RUNNING)
    g_main_context_iteration (NULL, TRUE);
  return lodge_kvm_accel_peek (accel, out_reason);
}

static void
check_decision (LodgeKvmAccel *accel, const char *wish, const char *architecture,
                const char *expected, gboolean notice_expected)
{
  g_autofree char *notice = NULL;
  g_autoptr (GError) error = NULL;
  const char *type = NULL;

  g_assert_true (lodge_kvm_accel_decide (accel, wish, architecture, &type, &notice, &error));
  g_assert_no_error (error);
  g_assert_cmpstr (type, ==, expected);
  g_assert_cmpint (notice != NULL, ==, notice_expected);
}

static void
test_usable (Fixture *fixture, gconstpointer data)
{
  if (skip_without_kvm ())
    return;
  g_autoptr (LodgeKvmAccel) accel = make_accel (fixture, "exit 85");
  g_autofree char *reason = NULL;

  g_assert_cmpint (wait_for (accel, &reason), ==, LODGE_KVM_PROBE_USABLE);
  g_assert_null (reason);
  check_decision (accel, "auto", "x86_64", "kvm", FALSE);
  check_decision (accel, "tcg", "x86_64", "qemu", FALSE);
  check_decision (accel, "auto", "riscv64", "qemu", TRUE);
}

static void
test_unusable (Fixture *fixture, gconstpointer data)
{
  static const char *const scripts[] = { "exit 0", "exit 1", "kill -ABRT $$" };

  if (skip_without_kvm ())
    return;
  for (gsize i = 0; i < G_N_ELEMENTS (scripts); i++)
    {
      g_autofree char *reason = NULL;
      g_unlink (fixture->cache);
      g_autoptr (LodgeKvmAccel) accel = make_accel (fixture, scripts[i]);
      g_assert_cmpint (wait_for (accel, &reason), ==, LODGE_KVM_PROBE_UNUSABLE);
      g_assert_nonnull (reason);
      check_decision (accel, "auto", "x86_64", "qemu", TRUE);
    }
}

static void
test_hangs (Fixture *fixture, gconstpointer data)
{
  if (skip_without_kvm ())
    return;
  g_autoptr (LodgeKvmAccel) accel = make_accel (fixture, "exec sleep 60");
  g_autofree char *reason = NULL;
  gint64 start = g_get_monotonic_time ();

  g_assert_cmpint (wait_for (accel, &reason), ==, LODGE_KVM_PROBE_UNUSABLE);
  g_assert_nonnull (strstr (reason, "5 seconds"));
  g_assert_cmpint (g_get_monotonic_time () - start, <, 15 * G_USEC_PER_SEC);
}

/* The answer is kept: the second emulator is never run. */
static void
test_cache (Fixture *fixture, gconstpointer data)
{
  if (skip_without_kvm ())
    return;
  g_autoptr (LodgeKvmAccel) first = make_accel (fixture, "exit 85");
  g_assert_cmpint (wait_for (first, NULL), ==, LODGE_KVM_PROBE_USABLE);
  g_autoptr (LodgeKvmAccel) second = make_accel (fixture, "exit 1");
  g_assert_cmpint (wait_for (second, NULL), ==, LODGE_KVM_PROBE_USABLE);

  /* Of another boot: not believed. */
  g_assert_true (g_file_set_contents (fixture->cache, "other-boot\nusable\n\n", -1, NULL));
  g_autoptr (LodgeKvmAccel) third = make_accel (fixture, "exit 1");
  g_assert_cmpint (wait_for (third, NULL), ==, LODGE_KVM_PROBE_UNUSABLE);
  g_assert_true (g_file_set_contents (fixture->cache, "damaged", -1, NULL));
  g_autoptr (LodgeKvmAccel) fourth = make_accel (fixture, "exit 85");
  g_assert_cmpint (wait_for (fourth, NULL), ==, LODGE_KVM_PROBE_USABLE);
}

static void
test_foreign_kvm (Fixture *fixture, gconstpointer data)
{
  g_autoptr (LodgeKvmAccel) accel = make_accel (fixture, "exit 85");
  g_autofree char *notice = NULL;
  g_autoptr (GError) error = NULL;
  const char *type = NULL;

  g_assert_false (lodge_kvm_accel_decide (accel, "kvm", "riscv64", &type, &notice, &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_NOT_SUPPORTED);
}

#ifdef LODGE_HAVE_KVM_PROBE
extern const guint8 lodge_kvm_probe_image[];
extern const guint8 lodge_kvm_probe_image_end[];

/* TCG does what the architecture says, so the payload has to succeed there. */
static void
test_payload (Fixture *fixture, gconstpointer data)
{
  g_autofree char *program = g_find_program_in_path ("qemu-system-x86_64");
  g_autofree char *image = g_build_filename (fixture->directory, "emulator", NULL);
  int status = 0;

  if (program == NULL)
    {
      g_test_skip ("there is no qemu-system-x86_64");
      return;
    }
  g_assert_true (g_file_set_contents (image, (const char *) lodge_kvm_probe_image,
                                      lodge_kvm_probe_image_end - lodge_kvm_probe_image, NULL));
  const char *argv[] = { program,
                         "-nodefaults",
                         "-no-user-config",
                         "-display",
                         "none",
                         "-M",
                         "q35,accel=tcg",
                         "-cpu",
                         "max",
                         "-m",
                         "32",
                         "-no-reboot",
                         "-bios",
                         image,
                         "-device",
                         "isa-debug-exit,iobase=0xf4,iosize=1",
                         NULL };
  g_assert_true (g_spawn_sync (NULL, (char **) argv, NULL,
                               G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL,
                               NULL, NULL, &status, NULL));
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, 85);
}
#endif

int
main (int argc, char **argv)
{
  static const struct
  {
    const char *path;
    void (*func) (Fixture *fixture, gconstpointer data);
  } tests[] = {
    { "/kvm/accel/usable", test_usable },       { "/kvm/accel/unusable", test_unusable },
    { "/kvm/accel/hangs", test_hangs },         { "/kvm/accel/cache", test_cache },
    { "/kvm/accel/foreign", test_foreign_kvm },
#ifdef LODGE_HAVE_KVM_PROBE
    { "/kvm/accel/payload", test_payload },
#endif
  };

  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (tests); i++)
    g_test_add (tests[i].path, Fixture, NULL, set_up, tests[i].func, tear_down);
  return g_test_run ();
}
