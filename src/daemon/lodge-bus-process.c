/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-bus-process.h"

#include "lodge-bus-introspection.h"
#include "lodge-bus-paths.h"
#include "lodge-bus-private.h"

#define FORGET_AFTER      10 /* s */
#define PROCESSES_OF_USER 256
#define PROCESSES_OF_ROOT 4096

typedef struct
{
  LodgeBusProcesses *owner; /* borrowed */
  guint64 id;
  char *sender;
  guint32 uid;
  char *instance_path;
  GVariant *argv;
  LodgeProcess *process;
  gulong exited_handler;
  GPtrArray *waiting; /* LodgeBusCall; nullable */
  gboolean counted;   /* still among the programs of its user */
  guint forget_source;
} Process;

struct _LodgeBusProcesses
{
  LodgeBus *bus;         /* borrowed: it owns this */
  GHashTable *processes; /* guint64 id → Process */
  GHashTable *counts;    /* uid → number */
  guint64 last_id;
};

/* ---- limits ---- */

gboolean
lodge_bus_processes_reserve (LodgeBusProcesses *self, guint32 uid, GError **error)
{
  gpointer key = GUINT_TO_POINTER (uid);
  guint count = GPOINTER_TO_UINT (g_hash_table_lookup (self->counts, key));
  guint limit = uid == 0 ? PROCESSES_OF_ROOT : PROCESSES_OF_USER;

  if (count >= limit)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_LIMIT_EXCEEDED,
                   "user %u runs %u programs already", uid, count);
      return FALSE;
    }
  g_hash_table_insert (self->counts, key, GUINT_TO_POINTER (count + 1));
  return TRUE;
}

void
lodge_bus_processes_release (LodgeBusProcesses *self, guint32 uid)
{
  gpointer key = GUINT_TO_POINTER (uid);
  guint count = GPOINTER_TO_UINT (g_hash_table_lookup (self->counts, key));

  if (count > 1)
    g_hash_table_insert (self->counts, key, GUINT_TO_POINTER (count - 1));
  else
    g_hash_table_remove (self->counts, key);
}

static void
stop_counting (Process *process)
{
  if (process->counted)
    lodge_bus_processes_release (process->owner, process->uid);
  process->counted = FALSE;
}

/* ---- life ---- */

static void
process_free (Process *process)
{
  stop_counting (process);
  g_clear_handle_id (&process->forget_source, g_source_remove);
  g_signal_handler_disconnect (process->process, process->exited_handler);
  for (guint i = 0; process->waiting != NULL && i < process->waiting->len; i++)
    lodge_bus_call_drop (process->waiting->pdata[i]);
  g_clear_pointer (&process->waiting, g_ptr_array_unref);
  /* One that still runs gets SIGHUP by this. */
  g_object_unref (process->process);
  g_variant_unref (process->argv);
  g_free (process->instance_path);
  g_free (process->sender);
  g_free (process);
}

static gboolean
forget (gpointer user_data)
{
  Process *process = user_data;

  process->forget_source = 0;
  g_hash_table_remove (process->owner->processes, &process->id);
  return G_SOURCE_REMOVE;
}

/* Its caller knows the end now. */
static void
retire (Process *process)
{
  stop_counting (process);
  if (process->forget_source == 0)
    process->forget_source = g_timeout_add_seconds (FORGET_AFTER, forget, process);
}

static void
on_exited (LodgeProcess *source, int exit_status, int term_signal, Process *process)
{
  LodgeBus *bus = process->owner->bus;
  g_autofree char *path = lodge_bus_path_of_process (process->id);
  g_autoptr (GPtrArray) waiting = g_steal_pointer (&process->waiting);

  /* The answers first: somebody's command line hangs on them. */
  for (guint i = 0; waiting != NULL && i < waiting->len; i++)
    lodge_bus_call_return (waiting->pdata[i], g_variant_new ("(ii)", exit_status, term_signal));
  lodge_bus_emit (bus, process->sender, path, lodge_bus_process.info->name, "Exited",
                  g_variant_new ("(ii)", exit_status, term_signal));
  if (waiting != NULL)
    retire (process);
}

guint64
lodge_bus_processes_add (LodgeBusProcesses *self, const LodgeBusProcessOrigin *origin,
                         LodgeProcess *process)
{
  Process *entry = g_new0 (Process, 1);

  entry->owner = self;
  entry->id = ++self->last_id;
  entry->sender = g_strdup (origin->sender);
  entry->uid = origin->uid;
  entry->instance_path = lodge_bus_path_of_instance (origin->instance_uuid);
  entry->argv = g_variant_ref_sink (origin->argv);
  entry->process = process;
  entry->counted = TRUE;
  entry->exited_handler = g_signal_connect (process, "exited", G_CALLBACK (on_exited), entry);
  g_hash_table_insert (self->processes, &entry->id, entry);
  return entry->id;
}

void
lodge_bus_processes_announced (LodgeBusProcesses *self, guint64 id)
{
  Process *process = g_hash_table_lookup (self->processes, &id);
  int exit_status, term_signal;

  if (process != NULL && lodge_process_get_exited (process->process, &exit_status, &term_signal))
    on_exited (process->process, exit_status, term_signal, process);
}

void
lodge_bus_processes_drop_caller (LodgeBusProcesses *self, const char *sender)
{
  GHashTableIter iter;
  Process *process;

  g_hash_table_iter_init (&iter, self->processes);
  while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &process))
    if (sender == NULL || g_str_equal (process->sender, sender))
      g_hash_table_iter_remove (&iter);
}

LodgeBusProcesses *
lodge_bus_processes_new (LodgeBus *bus)
{
  LodgeBusProcesses *self = g_new0 (LodgeBusProcesses, 1);

  self->bus = bus;
  self->processes
      = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, (GDestroyNotify) process_free);
  self->counts = g_hash_table_new (NULL, NULL);
  return self;
}

void
lodge_bus_processes_free (LodgeBusProcesses *self)
{
  g_hash_table_unref (self->processes);
  g_hash_table_unref (self->counts);
  g_free (self);
}

/* ---- the interface ---- */

static gpointer
find (LodgeBus *bus, const char *node, GError **error)
{
  guint64 id = lodge_bus_number_of_node (node);
  Process *process = g_hash_table_lookup (bus->processes->processes, &id);

  if (process == NULL)
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND,
                 "there is no process %.20s, or it has ended", node);
  return process;
}

static guint32
owner (gpointer object)
{
  return ((Process *) object)->uid;
}

static GVariant *
get_instance (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return g_variant_new_object_path (((Process *) object)->instance_path);
}

/* Arguments carry passwords more often than they should. */
static GVariant *
get_argv (LodgeBus *bus, gpointer object, gboolean trusted)
{
  if (trusted)
    return ((Process *) object)->argv;
  return g_variant_new_strv (NULL, 0);
}

static GVariant *
get_running (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return g_variant_new_boolean (
      !lodge_process_get_exited (((Process *) object)->process, NULL, NULL));
}

static GVariant *
get_uid (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return g_variant_new_uint32 (((Process *) object)->uid);
}

static const LodgeBusProperty properties[] = {
  { "Instance", get_instance, 0, 0 },
  { "Argv", get_argv, 0, LODGE_PROPERTY_SECRET },
  { "Running", get_running, 0, 0 },
  { "Uid", get_uid, 0, 0 },
  { NULL },
};

static void
return_done (LodgeBusCall *call, gboolean done, GError *error)
{
  if (done)
    lodge_bus_call_return (call, NULL);
  else
    lodge_bus_call_fail (call, error);
}

static void
resize (LodgeBusCall *call)
{
  Process *process = call->object;
  guint16 rows, columns;
  GError *error = NULL;

  g_variant_get (call->parameters, "(qq)", &rows, &columns);
  gboolean done = lodge_process_resize (process->process, rows, columns, &error);
  return_done (call, done, error);
}

static void
send_signal (LodgeBusCall *call)
{
  Process *process = call->object;
  int signum;
  GError *error = NULL;

  g_variant_get (call->parameters, "(i)", &signum);
  gboolean done = lodge_process_signal (process->process, signum, &error);
  return_done (call, done, error);
}

static void
wait (LodgeBusCall *call)
{
  Process *process = call->object;
  int exit_status, term_signal;

  if (lodge_process_get_exited (process->process, &exit_status, &term_signal))
    {
      retire (process);
      lodge_bus_call_return (call, g_variant_new ("(ii)", exit_status, term_signal));
      return;
    }
  if (process->waiting == NULL)
    process->waiting = g_ptr_array_new ();
  g_ptr_array_add (process->waiting, call);
}

static const LodgeBusMethod methods[] = {
  { "Resize", resize },
  { "Signal", send_signal },
  { "Wait", wait },
  { NULL },
};

const LodgeBusInterface lodge_bus_process = {
  .info = &lodge_bus_info_process,
  .properties = properties,
  .methods = methods,
  .find = find,
  .owner = owner,
};
