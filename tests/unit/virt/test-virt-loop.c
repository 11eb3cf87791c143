/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <glib-unix.h>
#include <libvirt/libvirt.h>

#include "lodge-fd.h"
#include "lodge-virt-loop.h"

typedef struct
{
  int calls;
  int last_events;
  int freed;
  int id;
  gboolean remove_in_callback;
} Probe;

static void
on_handle (int id, int fd, int events, void *opaque)
{
  Probe *probe = opaque;
  char byte;

  g_assert_cmpint (id, ==, probe->id);
  probe->calls++;
  probe->last_events = events;
  if (events & VIR_EVENT_HANDLE_READABLE)
    (void) !read (fd, &byte, 1);
  if (probe->remove_in_callback)
    {
      g_assert_cmpint (virEventRemoveHandle (id), ==, 0);
      /* The data must live until the callback has returned. */
      g_assert_cmpint (probe->freed, ==, 0);
    }
}

static void
on_timeout (int id, void *opaque)
{
  Probe *probe = opaque;

  probe->calls++;
  if (probe->calls == 3)
    virEventUpdateTimeout (id, -1);
}

static void
on_free (void *opaque)
{
  ((Probe *) opaque)->freed++;
}

static void
drain (void)
{
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

static void
test_handle (void)
{
  g_auto (LodgeFd) reader = -1;
  g_auto (LodgeFd) writer = -1;
  int fds[2];
  Probe probe = { 0 };

  g_assert_true (g_unix_open_pipe (fds, FD_CLOEXEC, NULL));
  reader = fds[0];
  writer = fds[1];
  probe.id = virEventAddHandle (reader, VIR_EVENT_HANDLE_READABLE, on_handle, &probe, on_free);
  g_assert_cmpint (probe.id, >, 0);
  drain ();
  g_assert_cmpint (probe.calls, ==, 0);

  g_assert_cmpint (write (writer, "ab", 2), ==, 2);
  drain ();
  g_assert_cmpint (probe.calls, ==, 2);
  g_assert_cmpint (probe.last_events, ==, VIR_EVENT_HANDLE_READABLE);

  virEventUpdateHandle (probe.id, 0);
  g_assert_cmpint (write (writer, "c", 1), ==, 1);
  drain ();
  g_assert_cmpint (probe.calls, ==, 2);
  virEventUpdateHandle (probe.id, VIR_EVENT_HANDLE_READABLE);
  drain ();
  g_assert_cmpint (probe.calls, ==, 3);

  lodge_fd_clear (&writer);
  probe.remove_in_callback = TRUE;
  drain ();
  g_assert_cmpint (probe.last_events & VIR_EVENT_HANDLE_HANGUP, !=, 0);
  g_assert_cmpint (probe.freed, ==, 1);
  g_assert_cmpint (virEventRemoveHandle (probe.id), ==, -1);
}

static void
test_timeout (void)
{
  Probe probe = { 0 };
  gint64 deadline = g_get_monotonic_time () + 5 * G_USEC_PER_SEC;

  int id = virEventAddTimeout (1, on_timeout, &probe, on_free);
  while (probe.calls < 3 && g_get_monotonic_time () < deadline)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpint (probe.calls, ==, 3);
  g_usleep (5000);
  drain ();
  g_assert_cmpint (probe.calls, ==, 3);
  g_assert_cmpint (virEventRemoveTimeout (id), ==, 0);
  g_assert_cmpint (probe.freed, ==, 0);
  drain ();
  g_assert_cmpint (probe.freed, ==, 1);
}

static gpointer
add_and_remove (gpointer data)
{
  Probe *probe = data;

  for (int i = 0; i < 200; i++)
    {
      int id = virEventAddTimeout (0, on_timeout, probe, on_free);
      virEventUpdateTimeout (id, i % 2 == 0 ? 1000 : 0);
      virEventRemoveTimeout (id);
    }
  return NULL;
}

static void
test_threads (void)
{
  Probe probe = { 0 };
  GThread *threads[4];

  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("adder", add_and_remove, &probe);
  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  drain ();
  g_assert_cmpint (probe.freed, ==, 200 * (int) G_N_ELEMENTS (threads));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  lodge_virt_loop_init (NULL);
  lodge_virt_loop_init (NULL);
  g_test_add_func ("/virt/loop/handle", test_handle);
  g_test_add_func ("/virt/loop/timeout", test_timeout);
  g_test_add_func ("/virt/loop/threads", test_threads);
  return g_test_run ();
}
