/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-executor.h"

/* What is queued is done in rounds, of which each owner has one place: who comes late with one task
 * waits for one of each other owner, not for all that somebody else has queued.  Shared by the
 * works, which may outlive the executor. */
typedef struct
{
  GMutex lock;
  GHashTable *rounds; /* guint32 owner → guint64 *, the round of its last work */
  guint64 round;      /* that is being done */
  guint64 n_works;    /* so far: the order within a round */
  guint n_queued;
} Turns;

struct _LodgeExecutor
{
  GObject parent;
  GThreadPool *pool;
  Turns *turns;
  char *name;
};

G_DEFINE_FINAL_TYPE (LodgeExecutor, lodge_executor, G_TYPE_OBJECT)

/* The pool whose thread this is, if any. */
static GPrivate *
current_pool (void)
{
  static GPrivate current = G_PRIVATE_INIT (NULL);

  return &current;
}

typedef struct
{
  GThreadPool *pool;
  Turns *turns;
  guint64 round;
  guint64 number;
  GTask *task;
  GTaskThreadFunc func;
} Work;

static Turns *
turns_new (void)
{
  Turns *turns = g_atomic_rc_box_new0 (Turns);

  g_mutex_init (&turns->lock);
  turns->rounds = g_hash_table_new_full (NULL, NULL, NULL, g_free);
  return turns;
}

static void
turns_clear (gpointer data)
{
  Turns *turns = data;

  g_hash_table_unref (turns->rounds);
  g_mutex_clear (&turns->lock);
}

static void
take_place (Turns *turns, guint32 owner, Work *work)
{
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&turns->lock);
  guint64 *last = g_hash_table_lookup (turns->rounds, GUINT_TO_POINTER (owner));

  if (last == NULL)
    {
      last = g_new0 (guint64, 1);
      g_hash_table_insert (turns->rounds, GUINT_TO_POINTER (owner), last);
    }
  *last = MAX (*last + 1, turns->round);
  work->round = *last;
  work->number = turns->n_works++;
  turns->n_queued++;
}

static void
leave_place (Work *work)
{
  Turns *turns = work->turns;
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&turns->lock);

  turns->round = MAX (turns->round, work->round);
  /* Owners are remembered only as long as anybody waits. */
  if (--turns->n_queued == 0)
    g_hash_table_remove_all (turns->rounds);
}

static int
compare_places (gconstpointer a, gconstpointer b, gpointer user_data)
{
  const Work *x = a, *y = b;

  if (x->round != y->round)
    return x->round < y->round ? -1 : 1;
  return x->number < y->number ? -1 : x->number > y->number;
}

static gboolean
end_work (gpointer user_data)
{
  return G_SOURCE_REMOVE;
}

static void
work_free (gpointer data)
{
  Work *work = data;

  g_object_unref (work->task);
  g_atomic_rc_box_release_full (work->turns, turns_clear);
  g_free (work);
}

/* The task, and with it what it works on, is let go of where it was made: nothing that belongs to
 * a main context is ever finalized on a thread of a pool because the callback was quicker. */
static void
let_go (Work *work)
{
  g_autoptr (GSource) source = g_idle_source_new ();

  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_callback (source, end_work, work, work_free);
  g_source_attach (source, g_task_get_context (work->task));
}

static void
run_work (gpointer data, gpointer user_data)
{
  Work *work = data;

  leave_place (work);
  g_private_set (current_pool (), work->pool);
  work->func (work->task, g_task_get_source_object (work->task), g_task_get_task_data (work->task),
              g_task_get_cancellable (work->task));
  g_private_set (current_pool (), NULL);
  let_go (work);
}

static void
lodge_executor_finalize (GObject *object)
{
  LodgeExecutor *self = LODGE_EXECUTOR (object);

  /* Each queued task holds what it works on, so what was accepted is also done.  A thread of the
   * pool itself cannot wait for that: then the last one to end frees the pool. */
  g_thread_pool_free (self->pool, FALSE, g_private_get (current_pool ()) != self->pool);
  g_atomic_rc_box_release_full (self->turns, turns_clear);
  g_free (self->name);
  G_OBJECT_CLASS (lodge_executor_parent_class)->finalize (object);
}

static void
lodge_executor_class_init (LodgeExecutorClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = lodge_executor_finalize;
}

static void
lodge_executor_init (LodgeExecutor *self)
{
}

LodgeExecutor *
lodge_executor_new (const char *name, guint n_threads)
{
  LodgeExecutor *self = g_object_new (LODGE_TYPE_EXECUTOR, NULL);

  self->name = g_strdup (name);
  /* Not exclusive: threads are made when there is work, which keeps an idle daemon small. */
  self->pool = g_thread_pool_new (run_work, NULL, (int) n_threads, FALSE, NULL);
  self->turns = turns_new ();
  g_thread_pool_set_sort_function (self->pool, compare_places, NULL);
  return self;
}

void
lodge_executor_run (LodgeExecutor *self, GTask *task, GTaskThreadFunc func)
{
  lodge_executor_run_for (self, LODGE_EXECUTOR_NOBODY, task, func);
}

void
lodge_executor_run_for (LodgeExecutor *self, guint32 owner, GTask *task, GTaskThreadFunc func)
{
  Work *work = g_new0 (Work, 1);

  g_task_set_return_on_cancel (task, FALSE);
  work->pool = self->pool;
  work->task = g_object_ref (task);
  work->func = func;
  work->turns = g_atomic_rc_box_acquire (self->turns);
  take_place (work->turns, owner, work);
  g_thread_pool_push (self->pool, work, NULL);
}
