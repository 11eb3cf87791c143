/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/*
 * A private pool of threads with the GTask interface.  Not g_task_run_in_thread(): its shared
 * pool ramps up slowly and has no bound of its own.  Tasks of one owner start in order; owners
 * take turns, so that nobody's thousand tasks keep another's one from being done.
 *
 * The last reference may be dropped anywhere, also by a task on a thread of the pool itself: what
 * has been accepted is done all the same.  Elsewhere dropping it waits for that.
 */
#define LODGE_TYPE_EXECUTOR (lodge_executor_get_type ())
G_DECLARE_FINAL_TYPE (LodgeExecutor, lodge_executor, LODGE, EXECUTOR, GObject)

LodgeExecutor *lodge_executor_new (const char *name, guint n_threads);

/**
 * lodge_executor_run:
 * @task: (transfer none): its callback runs in the context in which it was created
 * @func: runs on a thread of the pool and must return from @task
 *
 * The executor's own reference to @task is dropped in @task's context, never on the pool's thread.
 *
 * g_task_set_return_on_cancel() is FALSE: a cancelled task ends when its work has stopped.
 */
void lodge_executor_run (LodgeExecutor *self, GTask *task, GTaskThreadFunc func);

/** The owner of what lodge_executor_run() gets: the service itself. */
#define LODGE_EXECUTOR_NOBODY G_MAXUINT32

/**
 * lodge_executor_run_for:
 * @owner: on whose behalf, for example a uid
 *
 * As above, when it is @owner's turn.  Any thread.
 */
void lodge_executor_run_for (LodgeExecutor *self, guint32 owner, GTask *task, GTaskThreadFunc func);

G_END_DECLS
