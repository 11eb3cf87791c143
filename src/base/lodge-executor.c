/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-executor.h"

struct _LodgeExecutor
{
  GObject parent;
  GThreadPool *pool;
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
  GTask *task;
  GTaskThreadFunc func;
} Work;

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
  return self;
}

void
lodge_executor_run (LodgeExecutor *self, GTask *task, GTaskThreadFunc func)
{
  Work *work = g_new0 (Work, 1);

  g_task_set_return_on_cancel (task, FALSE);
  work->pool = self->pool;
  work->task = g_object_ref (task);
  work->func = func;
  g_thread_pool_push (self->pool, work, NULL);
}
