/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lodge/lodge-driver.h"

/* A driver with one slot, and a program that writes down what it is told. */

typedef struct
{
  GObject parent_instance;
} BareDriver;

typedef struct
{
  GObjectClass parent_class;
} BareDriverClass;

static void bare_driver_shutdown_init (LodgeDriverInterface *iface);

GType bare_driver_get_type (void);
G_DEFINE_TYPE_WITH_CODE (BareDriver, bare_driver, G_TYPE_OBJECT,
                         G_IMPLEMENT_INTERFACE (LODGE_TYPE_DRIVER, bare_driver_shutdown_init))

static gboolean
bare_shutdown (LodgeDriver *self, const char *uuid, GError **error)
{
  return TRUE;
}

static void
bare_driver_shutdown_init (LodgeDriverInterface *iface)
{
  iface->name = "bare";
  iface->kind = LODGE_KIND_VM;
  iface->caps = LODGE_CAP_PAUSE;
  iface->shutdown = bare_shutdown;
}

static void
bare_driver_class_init (BareDriverClass *klass)
{
}

static void
bare_driver_init (BareDriver *self)
{
}

typedef struct
{
  LodgeProcess parent_instance;
  int *last_signal;
} Program;

typedef struct
{
  LodgeProcessClass parent_class;
} ProgramClass;

GType program_get_type (void);
G_DEFINE_TYPE (Program, program, LODGE_TYPE_PROCESS)

static gboolean
program_signal (LodgeProcess *self, int signum, GError **error)
{
  *((Program *) self)->last_signal = signum;
  return TRUE;
}

static void
program_class_init (ProgramClass *klass)
{
  LODGE_PROCESS_CLASS (klass)->signal = program_signal;
}

static void
program_init (Program *self)
{
}

static void
on_done (GObject *source, GAsyncResult *result, gpointer user_data)
{
  *(GAsyncResult **) user_data = g_object_ref (result);
}

static void
test_empty_slots (void)
{
  g_autoptr (LodgeDriver) driver = g_object_new (bare_driver_get_type (), NULL);
  g_autoptr (GError) error = NULL;

  g_assert_cmpstr (lodge_driver_get_name (driver), ==, "bare");
  g_assert_cmpint (lodge_driver_get_caps (driver), ==, LODGE_CAP_PAUSE);
  g_assert_true (lodge_driver_shutdown (driver, "u", &error));
  g_assert_no_error (error);

  g_assert_false (lodge_driver_pause (driver, "u-u-i-d", &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_NOT_SUPPORTED);
  g_assert_nonnull (strstr (error->message, "u-u-i-d"));
  g_clear_error (&error);
  g_assert_null (lodge_driver_list (driver, NULL, &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_NOT_SUPPORTED);
  g_clear_error (&error);
  g_assert_cmpint (lodge_driver_open_console (driver, "u", &error), ==, -1);
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_NOT_SUPPORTED);

  lodge_driver_start (driver);
  lodge_driver_set_event_func (driver, NULL, NULL);
  g_autoptr (GVariant) facts = g_variant_ref_sink (lodge_driver_describe (driver));
  g_assert_cmpuint (g_variant_n_children (facts), ==, 0);
}

static void
test_empty_async_slots (void)
{
  g_autoptr (LodgeDriver) driver = g_object_new (bare_driver_get_type (), NULL);
  g_autoptr (GAsyncResult) exec = NULL;
  g_autoptr (GAsyncResult) files = NULL;
  g_autoptr (GError) error = NULL;
  LodgeExecRequest request = { .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1 };
  LodgeProcess *server = NULL;

  lodge_driver_exec (driver, "u", &request, NULL, on_done, &exec);
  lodge_driver_open_files (driver, "u", TRUE, NULL, on_done, &files);
  while (exec == NULL || files == NULL)
    g_main_context_iteration (NULL, TRUE);
  g_assert_null (lodge_driver_exec_finish (driver, exec, &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_NOT_SUPPORTED);
  g_clear_error (&error);
  g_assert_cmpint (lodge_driver_open_files_finish (driver, files, &server, &error), ==, -1);
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_NOT_SUPPORTED);
  g_assert_null (server);
}

static void
count_exits (LodgeProcess *process, int status, int signum, gpointer user_data)
{
  g_assert_cmpint (status, ==, 3);
  (*(int *) user_data)++;
}

static void
test_process (void)
{
  int last_signal = 0;
  int exits = 0;
  int status = -1;
  int signum = -1;
  g_autoptr (GError) error = NULL;
  Program *program = g_object_new (program_get_type (), NULL);
  LodgeProcess *process = LODGE_PROCESS (program);

  program->last_signal = &last_signal;
  g_signal_connect (process, "exited", G_CALLBACK (count_exits), &exits);
  g_assert_false (lodge_process_get_exited (process, &status, &signum));
  g_assert_cmpint (status, ==, -1);
  g_assert_true (lodge_process_signal (process, SIGTERM, &error));
  g_assert_cmpint (last_signal, ==, SIGTERM);
  g_assert_false (lodge_process_signal (process, 0, &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);
  g_assert_false (lodge_process_resize (process, 24, 80, &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_NOT_SUPPORTED);
  g_clear_error (&error);

  lodge_process_set_exited (process, 3, 0);
  lodge_process_set_exited (process, 4, 9);
  g_assert_cmpint (exits, ==, 1);
  g_assert_true (lodge_process_get_exited (process, &status, &signum));
  g_assert_cmpint (status, ==, 3);
  g_assert_cmpint (signum, ==, 0);
  g_assert_false (lodge_process_signal (process, SIGTERM, &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_STATE);
  last_signal = 0;
  g_object_unref (process);
  g_assert_cmpint (last_signal, ==, 0);
}

static void
test_process_hang_up (void)
{
  int last_signal = 0;
  Program *program = g_object_new (program_get_type (), NULL);

  program->last_signal = &last_signal;
  g_object_unref (program);
  g_assert_cmpint (last_signal, ==, SIGHUP);
}

static void
test_values (void)
{
  g_autoptr (LodgeUsage) usage = lodge_usage_new ();
  g_autoptr (LodgeDomainSpec) spec = lodge_domain_spec_new ();
  LodgeDomainInfo info = { .uuid = (char *) "u", .name = (char *) "n", .id = 7, .vcpus = 2 };
  g_autoptr (LodgeDomainInfo) copy = lodge_domain_info_copy (&info);
  LodgeAddress *address = lodge_address_new (NULL, "fe80::1", 64, "guest");

  g_assert_cmpint (usage->cpu_ns, ==, -1);
  g_assert_cmpint (usage->tx_packets, ==, -1);
  g_hash_table_insert (spec->config, g_strdup ("limits.cpu"), g_strdup ("2"));
  g_assert_cmpstr (lodge_domain_spec_get (spec, "limits.cpu", "1"), ==, "2");
  g_assert_cmpstr (lodge_domain_spec_get (spec, "limits.memory", "1GiB"), ==, "1GiB");
  g_assert_true (copy->name != info.name);
  g_assert_cmpstr (copy->name, ==, "n");
  g_assert_null (copy->image);
  g_assert_cmpint (copy->id, ==, 7);
  g_assert_true (address->ipv6);
  g_assert_cmpstr (address->device, ==, "");
  lodge_address_free (address);
  lodge_domain_spec_free (NULL);
  lodge_usage_free (NULL);
  lodge_domain_info_free (NULL);
  lodge_exec_result_free (NULL);
}

/* Who is told of the end must have heard of it before the other end of the socket sees it. */
static void
on_exited_with_held (LodgeProcess *process, int status, int signum, gpointer user_data)
{
  int *other = user_data;
  char byte;

  g_assert_cmpint (recv (*other, &byte, 1, MSG_DONTWAIT), ==, -1);
  g_assert_cmpint (errno, ==, EAGAIN);
}

static void
test_held_fd (void)
{
  int fds[2];
  char byte;
  LodgeProcess *process = g_object_new (program_get_type (), NULL);

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), ==, 0);
  lodge_process_hold_fd (process, fds[1]);
  g_signal_connect (process, "exited", G_CALLBACK (on_exited_with_held), &fds[0]);
  lodge_process_set_exited (process, 0, 0);
  g_assert_cmpint (recv (fds[0], &byte, 1, MSG_DONTWAIT), ==, 0);
  close (fds[0]);
  g_object_unref (process);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/driver/empty-slots", test_empty_slots);
  g_test_add_func ("/driver/empty-async-slots", test_empty_async_slots);
  g_test_add_func ("/driver/process", test_process);
  g_test_add_func ("/driver/process-hang-up", test_process_hang_up);
  g_test_add_func ("/driver/values", test_values);
  g_test_add_func ("/driver/process/held-fd", test_held_fd);
  return g_test_run ();
}
