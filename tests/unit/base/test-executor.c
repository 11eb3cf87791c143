/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <unistd.h>

#include "lodge-executor.h"

/* What would hang ends the program instead. */
#define HANG_SECONDS 20

/* Something that has an executor of its own, and lets go of it with its last reference. */
typedef struct
{
  LodgeExecutor *executor;
  int n_done;
} Owner;

static void
owner_clear (gpointer data)
{
  g_clear_object (&((Owner *) data)->executor);
}

static void
on_done (GObject *source, GAsyncResult *result, gpointer user_data)
{
  int *left = user_data;

  g_assert_true (g_task_propagate_boolean (G_TASK (result), NULL));
  (*left)--;
}

static void
run_until_zero (int *left)
{
  while (*left > 0)
    g_main_context_iteration (NULL, TRUE);
}

/* ---- order ---- */

static void
append_number (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  GString *text = g_object_get_data (G_OBJECT (g_task_get_cancellable (task)), "text");

  g_string_append_printf (text, "%d ", GPOINTER_TO_INT (task_data));
  g_task_return_boolean (task, TRUE);
}

static void
test_order (void)
{
  g_autoptr (LodgeExecutor) executor = lodge_executor_new ("test", 1);
  g_autoptr (GCancellable) carrier = g_cancellable_new ();
  g_autoptr (GString) text = g_string_new (NULL);
  int left = 5;

  g_object_set_data (G_OBJECT (carrier), "text", text);
  for (int i = 0; i < 5; i++)
    {
      g_autoptr (GTask) task = g_task_new (NULL, carrier, on_done, &left);

      g_task_set_task_data (task, GINT_TO_POINTER (i), NULL);
      lodge_executor_run (executor, task, append_number);
    }
  run_until_zero (&left);
  g_assert_cmpstr (text->str, ==, "0 1 2 3 4 ");
}

/* ---- the owner goes ---- */

static void
count_on_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  g_usleep (10 * 1000);
  g_atomic_int_inc (&((Owner *) task_data)->n_done);
  g_task_return_boolean (task, TRUE);
}

static void
drop_on_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Owner *owner = task_data;

  /* Until the main thread has let go of it. */
  while (G_OBJECT (owner->executor)->ref_count > 1)
    g_usleep (1000);
  owner_clear (owner);
  g_atomic_int_inc (&owner->n_done);
  g_task_return_boolean (task, TRUE);
}

static void
queue (Owner *owner, GTaskThreadFunc func, int *left)
{
  g_autoptr (GTask) task = g_task_new (NULL, NULL, on_done, left);

  g_task_set_task_data (task, owner, NULL);
  lodge_executor_run (owner->executor, task, func);
}

/* A task drops the last reference to the pool on which it runs, with others queued behind it. */
static void
test_dropped_on_own_pool (void)
{
  g_autoptr (LodgeExecutor) executor = lodge_executor_new ("test", 2);
  Owner owner = { g_object_ref (executor), 0 };
  int left = 5;

  queue (&owner, drop_on_thread, &left);
  for (int i = 0; i < 4; i++)
    queue (&owner, count_on_thread, &left);
  g_clear_object (&executor);
  run_until_zero (&left);
  g_assert_null (owner.executor);
  g_assert_cmpint (owner.n_done, ==, 5);
}

/* Anybody else waits until what was accepted is done. */
static void
test_dropped_elsewhere (void)
{
  Owner owner = { lodge_executor_new ("test", 2), 0 };
  int left = 5;

  for (int i = 0; i < 5; i++)
    queue (&owner, count_on_thread, &left);
  owner_clear (&owner);
  g_assert_cmpint (owner.n_done, ==, 5);
  run_until_zero (&left);
}

/* ---- the task goes ---- */

typedef struct
{
  GThread *freed_on;
  int called; /* the callback has run */
} Trace;

static void
note_thread (gpointer data)
{
  ((Trace *) data)->freed_on = g_thread_self ();
}

static void
on_traced (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_atomic_int_set (&((Trace *) user_data)->called, 1);
}

static void
return_early (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Trace *trace = task_data;

  g_task_return_boolean (task, TRUE);
  while (!g_atomic_int_get (&trace->called))
    g_usleep (1000);
  g_usleep (10 * 1000);
}

/* The callback may have run, and all others have let go, before the thread is done with a task. */
static void
test_task_freed_in_its_context (void)
{
  g_autoptr (LodgeExecutor) executor = lodge_executor_new ("test", 1);
  GTask *task;
  Trace trace = { 0 };

  task = g_task_new (NULL, NULL, on_traced, &trace);
  g_task_set_task_data (task, &trace, note_thread);
  lodge_executor_run (executor, task, return_early);
  g_object_unref (task);
  while (g_atomic_pointer_get (&trace.freed_on) == NULL)
    g_main_context_iteration (NULL, TRUE);
  g_assert_true (trace.freed_on == g_thread_self ());
}

/* Row R06: a second user's task waits for one of the first user's, not for all of them. */
static void
wait_for_word (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  char word;

  g_assert_cmpint (read (GPOINTER_TO_INT (task_data), &word, 1), ==, 1);
  g_task_return_boolean (task, TRUE);
}

static void
test_fair (void)
{
  g_autoptr (LodgeExecutor) executor = lodge_executor_new ("test", 1);
  g_autoptr (GCancellable) carrier = g_cancellable_new ();
  g_autoptr (GString) text = g_string_new (NULL);
  static const int owners[] = { 7, 7, 7, 7, 8, 8, 9 };
  int left = G_N_ELEMENTS (owners) + 1;
  int words[2];

  g_assert_cmpint (pipe (words), ==, 0);
  g_object_set_data (G_OBJECT (carrier), "text", text);
  g_autoptr (GTask) first = g_task_new (NULL, NULL, on_done, &left);
  g_task_set_task_data (first, GINT_TO_POINTER (words[0]), NULL);
  lodge_executor_run_for (executor, 7, first, wait_for_word);
  for (int i = 0; i < (int) G_N_ELEMENTS (owners); i++)
    {
      g_autoptr (GTask) task = g_task_new (NULL, carrier, on_done, &left);

      g_task_set_check_cancellable (task, FALSE);
      g_task_set_task_data (task, GINT_TO_POINTER (owners[i] * 10 + i), NULL);
      lodge_executor_run_for (executor, (guint32) owners[i], task, append_number);
    }
  g_assert_cmpint (write (words[1], "x", 1), ==, 1);
  run_until_zero (&left);
  close (words[0]);
  close (words[1]);
  /* User 7 has had a turn already, or that was before anybody waited. */
  if (strcmp (text->str, "70 84 96 71 85 72 73 ") != 0)
    g_assert_cmpstr (text->str, ==, "84 96 70 85 71 72 73 ");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  alarm (HANG_SECONDS);
  g_test_add_func ("/executor/order", test_order);
  g_test_add_func ("/executor/fair", test_fair);
  g_test_add_func ("/executor/dropped-on-own-pool", test_dropped_on_own_pool);
  g_test_add_func ("/executor/dropped-elsewhere", test_dropped_elsewhere);
  g_test_add_func ("/executor/task-freed-in-its-context", test_task_freed_in_its_context);
  return g_test_run ();
}
