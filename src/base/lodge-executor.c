/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-executor.h"

struct _LodgeExecutor
{
  GObject parent;
  GThreadPool *pool;
  char *name;
};

G_DEFINE_FINAL_TYPE (LodgeExecutor, lodge_executor, G_TYPE_OBJECT)

typedef struct
{
  GTask *task;
  GTaskThreadFunc func;
} Work;

static void
run_work (gpointer data, gpointer user_data)
{
  Work *work = data;

  work->func (work->task, g_task_get_source_object (work->task), g_task_get_task_data (work->task),
              g_task_get_cancellable (work->task));
  g_object_unref (work->task);
  g_free (work);
}

static void
lodge_executor_finalize (GObject *object)
{
  LodgeExecutor *self = LODGE_EXECUTOR (object);

  /* Each queued task holds what it works on, so what was accepted is also done. */
  g_thread_pool_free (self->pool, FALSE, TRUE);
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
  self->pool = g_thread_pool_new (run_work, self, (int) n_threads, FALSE, NULL);
  return self;
}

void
lodge_executor_run (LodgeExecutor *self, GTask *task, GTaskThreadFunc func)
{
  Work *work = g_new0 (Work, 1);

  g_task_set_return_on_cancel (task, FALSE);
  work->task = g_object_ref (task);
  work->func = func;
  g_thread_pool_push (self->pool, work, NULL);
}
