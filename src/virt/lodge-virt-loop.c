/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-virt-loop.h"

#include <glib-unix.h>
#include <libvirt/libvirt.h>

/*
 * libvirt's event loop on an explicit GMainContext.
 *
 * libvirt adds, changes and removes watches from any thread, expects callbacks to be able to
 * do so too, and frees the data of a watch through a callback of its own.  So: a table from
 * number to watch under one lock, no callback is ever made with the lock held, and a removed
 * watch is freed from an idle source of the loop's own thread, where its callback cannot be
 * running.
 */

typedef struct
{
  int id;
  int fd;        /* -1: a timer */
  int events;    /* VIR_EVENT_HANDLE_* */
  int frequency; /* ms; -1: off */
  union
  {
    virEventHandleCallback handle;
    virEventTimeoutCallback timeout;
  } callback;
  void *opaque;
  virFreeCallback free_func;
  GSource *source; /* owned; NULL while there is nothing to wait for */
} Watch;

typedef struct
{
  GMutex lock;
  GMainContext *context;
  GHashTable *watches; /* id → Watch */
  int last_id;
} Loop;

/* libvirt's registration has no user data: the one loop of the process has to be found so. */
static Loop *
get_loop (void)
{
  static Loop loop;

  return &loop;
}

static int
events_from_condition (GIOCondition condition)
{
  return (condition & G_IO_IN ? VIR_EVENT_HANDLE_READABLE : 0)
         | (condition & G_IO_OUT ? VIR_EVENT_HANDLE_WRITABLE : 0)
         | (condition & (G_IO_ERR | G_IO_NVAL) ? VIR_EVENT_HANDLE_ERROR : 0)
         | (condition & G_IO_HUP ? VIR_EVENT_HANDLE_HANGUP : 0);
}

static GIOCondition
condition_from_events (int events)
{
  return (events & VIR_EVENT_HANDLE_READABLE ? G_IO_IN : 0)
         | (events & VIR_EVENT_HANDLE_WRITABLE ? G_IO_OUT : 0)
         | (events & VIR_EVENT_HANDLE_ERROR ? G_IO_ERR : 0)
         | (events & VIR_EVENT_HANDLE_HANGUP ? G_IO_HUP : 0);
}

static gboolean
on_handle (int fd, GIOCondition condition, gpointer user_data)
{
  Loop *loop = get_loop ();
  int id = GPOINTER_TO_INT (user_data);
  virEventHandleCallback callback = NULL;
  void *opaque = NULL;
  int events = 0;

  g_mutex_lock (&loop->lock);
  Watch *watch = g_hash_table_lookup (loop->watches, user_data);
  if (watch != NULL && watch->source == g_main_current_source ())
    {
      callback = watch->callback.handle;
      opaque = watch->opaque;
      /* Errors and hang-ups are reported whether asked for or not, as poll(2) does. */
      events = events_from_condition (condition)
               & (watch->events | VIR_EVENT_HANDLE_ERROR | VIR_EVENT_HANDLE_HANGUP);
    }
  g_mutex_unlock (&loop->lock);

  if (callback == NULL)
    return G_SOURCE_REMOVE;
  if (events != 0)
    callback (id, fd, events, opaque);
  return G_SOURCE_CONTINUE;
}

static gboolean
on_timeout (gpointer user_data)
{
  Loop *loop = get_loop ();
  virEventTimeoutCallback callback = NULL;
  void *opaque = NULL;

  g_mutex_lock (&loop->lock);
  Watch *watch = g_hash_table_lookup (loop->watches, user_data);
  if (watch != NULL && watch->source == g_main_current_source ())
    {
      callback = watch->callback.timeout;
      opaque = watch->opaque;
    }
  g_mutex_unlock (&loop->lock);

  if (callback == NULL)
    return G_SOURCE_REMOVE;
  callback (GPOINTER_TO_INT (user_data), opaque);
  return G_SOURCE_CONTINUE;
}

/* With the lock held. */
static void
disarm (Watch *watch)
{
  if (watch->source == NULL)
    return;
  g_source_destroy (watch->source);
  g_clear_pointer (&watch->source, g_source_unref);
}

/* With the lock held. */
static void
arm (Loop *loop, Watch *watch)
{
  disarm (watch);
  if (watch->fd >= 0 && watch->events != 0)
    {
      watch->source = g_unix_fd_source_new (watch->fd, condition_from_events (watch->events));
      g_source_set_callback (watch->source, G_SOURCE_FUNC (on_handle), GINT_TO_POINTER (watch->id),
                             NULL);
    }
  else if (watch->fd < 0 && watch->frequency >= 0)
    {
      watch->source = g_timeout_source_new ((guint) watch->frequency);
      g_source_set_callback (watch->source, on_timeout, GINT_TO_POINTER (watch->id), NULL);
    }
  if (watch->source != NULL)
    g_source_attach (watch->source, loop->context);
}

static gboolean
free_watch (gpointer user_data)
{
  Watch *watch = user_data;

  if (watch->free_func != NULL)
    watch->free_func (watch->opaque);
  g_free (watch);
  return G_SOURCE_REMOVE;
}

static int
add_watch (Watch *watch)
{
  Loop *loop = get_loop ();

  g_mutex_lock (&loop->lock);
  int id = watch->id = ++loop->last_id;
  g_hash_table_insert (loop->watches, GINT_TO_POINTER (id), watch);
  arm (loop, watch);
  g_mutex_unlock (&loop->lock);
  return id;
}

static int
add_handle (int fd, int events, virEventHandleCallback callback, void *opaque,
            virFreeCallback free_func)
{
  Watch *watch = g_new0 (Watch, 1);

  watch->fd = fd;
  watch->events = events;
  watch->callback.handle = callback;
  watch->opaque = opaque;
  watch->free_func = free_func;
  return add_watch (watch);
}

static int
add_timeout (int frequency, virEventTimeoutCallback callback, void *opaque,
             virFreeCallback free_func)
{
  Watch *watch = g_new0 (Watch, 1);

  watch->fd = -1;
  watch->frequency = frequency;
  watch->callback.timeout = callback;
  watch->opaque = opaque;
  watch->free_func = free_func;
  return add_watch (watch);
}

static void
update_handle (int id, int events)
{
  Loop *loop = get_loop ();

  g_mutex_lock (&loop->lock);
  Watch *watch = g_hash_table_lookup (loop->watches, GINT_TO_POINTER (id));
  if (watch != NULL && watch->events != events)
    {
      watch->events = events;
      arm (loop, watch);
    }
  g_mutex_unlock (&loop->lock);
}

static void
update_timeout (int id, int frequency)
{
  Loop *loop = get_loop ();

  g_mutex_lock (&loop->lock);
  Watch *watch = g_hash_table_lookup (loop->watches, GINT_TO_POINTER (id));
  if (watch != NULL)
    {
      watch->frequency = frequency;
      arm (loop, watch);
    }
  g_mutex_unlock (&loop->lock);
}

static int
remove_watch (int id)
{
  Loop *loop = get_loop ();
  gpointer stolen = NULL;

  g_mutex_lock (&loop->lock);
  if (g_hash_table_steal_extended (loop->watches, GINT_TO_POINTER (id), NULL, &stolen))
    disarm (stolen);
  g_mutex_unlock (&loop->lock);
  if (stolen == NULL)
    return -1;

  g_autoptr (GSource) idle = g_idle_source_new ();
  g_source_set_priority (idle, G_PRIORITY_DEFAULT);
  g_source_set_callback (idle, free_watch, stolen, NULL);
  g_source_attach (idle, loop->context);
  return 0;
}

void
lodge_virt_loop_init (GMainContext *context)
{
  static gsize once;

  if (!g_once_init_enter (&once))
    return;

  Loop *loop = get_loop ();
  g_mutex_init (&loop->lock);
  loop->context = g_main_context_ref (context != NULL ? context : g_main_context_default ());
  loop->watches = g_hash_table_new (NULL, NULL);
  virEventRegisterImpl (add_handle, update_handle, remove_watch, add_timeout, update_timeout,
                        remove_watch);
  g_once_init_leave (&once, 1);
}
