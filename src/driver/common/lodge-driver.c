/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge/lodge-driver.h"

G_DEFINE_INTERFACE (LodgeDriver, lodge_driver, G_TYPE_OBJECT)

static void
lodge_driver_default_init (LodgeDriverInterface *iface)
{
}

/* @what completes "the kvm driver cannot …". */
static void
refuse (LodgeDriver *self, const char *uuid, const char *what, GError **error)
{
  const char *name = LODGE_DRIVER_GET_IFACE (self)->name;

  if (uuid != NULL)
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_SUPPORTED,
                 "the %s driver cannot %s instance %s", name, what, uuid);
  else
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_SUPPORTED, "the %s driver cannot %s", name,
                 what);
}

/* Returns from the calling function when the slot is empty. */
#define NEED_SLOT(self, slot, uuid, what, result)                                                  \
  G_STMT_START                                                                                     \
  {                                                                                                \
    if (LODGE_DRIVER_GET_IFACE (self)->slot == NULL)                                               \
      {                                                                                            \
        refuse (self, uuid, what, error);                                                          \
        return result;                                                                             \
      }                                                                                            \
  }                                                                                                \
  G_STMT_END

const char *
lodge_driver_get_name (LodgeDriver *self)
{
  return LODGE_DRIVER_GET_IFACE (self)->name;
}

LodgeKind
lodge_driver_get_kind (LodgeDriver *self)
{
  return LODGE_DRIVER_GET_IFACE (self)->kind;
}

LodgeCaps
lodge_driver_get_caps (LodgeDriver *self)
{
  return LODGE_DRIVER_GET_IFACE (self)->caps;
}

void
lodge_driver_start (LodgeDriver *self)
{
  LodgeDriverInterface *iface = LODGE_DRIVER_GET_IFACE (self);

  if (iface->start != NULL)
    iface->start (self);
}

GVariant *
lodge_driver_describe (LodgeDriver *self)
{
  LodgeDriverInterface *iface = LODGE_DRIVER_GET_IFACE (self);

  if (iface->describe != NULL)
    return iface->describe (self);
  return g_variant_new_array (G_VARIANT_TYPE ("{sv}"), NULL, 0);
}

GPtrArray *
lodge_driver_list (LodgeDriver *self, GCancellable *cancellable, GError **error)
{
  NEED_SLOT (self, list, NULL, "list instances", NULL);
  return LODGE_DRIVER_GET_IFACE (self)->list (self, cancellable, error);
}

LodgeDomainInfo *
lodge_driver_lookup (LodgeDriver *self, const char *uuid, GError **error)
{
  NEED_SLOT (self, lookup, uuid, "look up", NULL);
  return LODGE_DRIVER_GET_IFACE (self)->lookup (self, uuid, error);
}

LodgeDomainInfo *
lodge_driver_lookup_name (LodgeDriver *self, const char *name, GError **error)
{
  NEED_SLOT (self, lookup_name, NULL, "look up names", NULL);
  return LODGE_DRIVER_GET_IFACE (self)->lookup_name (self, name, error);
}

gboolean
lodge_driver_define (LodgeDriver *self, const LodgeDomainSpec *spec, GPtrArray *out_notices,
                     GCancellable *cancellable, GError **error)
{
  NEED_SLOT (self, define, spec->uuid, "define", FALSE);
  return LODGE_DRIVER_GET_IFACE (self)->define (self, spec, out_notices, cancellable, error);
}

gboolean
lodge_driver_undefine (LodgeDriver *self, const char *uuid, GError **error)
{
  NEED_SLOT (self, undefine, uuid, "remove", FALSE);
  return LODGE_DRIVER_GET_IFACE (self)->undefine (self, uuid, error);
}

gboolean
lodge_driver_power_on (LodgeDriver *self, const char *uuid, GCancellable *cancellable,
                       GError **error)
{
  NEED_SLOT (self, power_on, uuid, "start", FALSE);
  return LODGE_DRIVER_GET_IFACE (self)->power_on (self, uuid, cancellable, error);
}

gboolean
lodge_driver_shutdown (LodgeDriver *self, const char *uuid, GError **error)
{
  NEED_SLOT (self, shutdown, uuid, "shut down", FALSE);
  return LODGE_DRIVER_GET_IFACE (self)->shutdown (self, uuid, error);
}

gboolean
lodge_driver_kill (LodgeDriver *self, const char *uuid, GError **error)
{
  NEED_SLOT (self, kill, uuid, "kill", FALSE);
  return LODGE_DRIVER_GET_IFACE (self)->kill (self, uuid, error);
}

gboolean
lodge_driver_pause (LodgeDriver *self, const char *uuid, GError **error)
{
  NEED_SLOT (self, pause, uuid, "pause", FALSE);
  return LODGE_DRIVER_GET_IFACE (self)->pause (self, uuid, error);
}

gboolean
lodge_driver_resume (LodgeDriver *self, const char *uuid, GError **error)
{
  NEED_SLOT (self, resume, uuid, "resume", FALSE);
  return LODGE_DRIVER_GET_IFACE (self)->resume (self, uuid, error);
}

gboolean
lodge_driver_rename (LodgeDriver *self, const char *uuid, const char *new_name, GError **error)
{
  NEED_SLOT (self, rename, uuid, "rename", FALSE);
  return LODGE_DRIVER_GET_IFACE (self)->rename (self, uuid, new_name, error);
}

gboolean
lodge_driver_eject (LodgeDriver *self, const char *uuid, gboolean force, GError **error)
{
  NEED_SLOT (self, eject, uuid, "eject", FALSE);
  return LODGE_DRIVER_GET_IFACE (self)->eject (self, uuid, force, error);
}

char *
lodge_driver_get_xml (LodgeDriver *self, const char *uuid, GError **error)
{
  NEED_SLOT (self, get_xml, uuid, "describe", NULL);
  return LODGE_DRIVER_GET_IFACE (self)->get_xml (self, uuid, error);
}

LodgeUsage *
lodge_driver_get_usage (LodgeDriver *self, const char *uuid, GError **error)
{
  NEED_SLOT (self, get_usage, uuid, "measure", NULL);
  return LODGE_DRIVER_GET_IFACE (self)->get_usage (self, uuid, error);
}

/* For an empty asynchronous slot: a task that the wrapper's own finish function takes apart. */
static void
refuse_async (LodgeDriver *self, const char *uuid, const char *what, gpointer tag,
              GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, NULL, callback, user_data);
  GError *error = NULL;

  g_task_set_source_tag (task, tag);
  refuse (self, uuid, what, &error);
  g_task_return_error (task, error);
}

void
lodge_driver_exec (LodgeDriver *self, const char *uuid, const LodgeExecRequest *request,
                   GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data)
{
  LodgeDriverInterface *iface = LODGE_DRIVER_GET_IFACE (self);

  if (iface->exec == NULL || iface->exec_finish == NULL)
    refuse_async (self, uuid, "run programs in", lodge_driver_exec, callback, user_data);
  else
    iface->exec (self, uuid, request, cancellable, callback, user_data);
}

LodgeExecResult *
lodge_driver_exec_finish (LodgeDriver *self, GAsyncResult *result, GError **error)
{
  if (g_async_result_is_tagged (result, lodge_driver_exec))
    return g_task_propagate_pointer (G_TASK (result), error);
  return LODGE_DRIVER_GET_IFACE (self)->exec_finish (self, result, error);
}

int
lodge_driver_open_console (LodgeDriver *self, const char *uuid, GError **error)
{
  NEED_SLOT (self, open_console, uuid, "open a console of", -1);
  return LODGE_DRIVER_GET_IFACE (self)->open_console (self, uuid, error);
}

int
lodge_driver_open_console_log (LodgeDriver *self, const char *uuid, GError **error)
{
  NEED_SLOT (self, open_console_log, uuid, "show the console log of", -1);
  return LODGE_DRIVER_GET_IFACE (self)->open_console_log (self, uuid, error);
}

void
lodge_driver_open_files (LodgeDriver *self, const char *uuid, gboolean running,
                         GCancellable *cancellable, GAsyncReadyCallback callback,
                         gpointer user_data)
{
  LodgeDriverInterface *iface = LODGE_DRIVER_GET_IFACE (self);

  if (iface->open_files == NULL || iface->open_files_finish == NULL)
    refuse_async (self, uuid, "show the files of", lodge_driver_open_files, callback, user_data);
  else
    iface->open_files (self, uuid, running, cancellable, callback, user_data);
}

int
lodge_driver_open_files_finish (LodgeDriver *self, GAsyncResult *result, LodgeProcess **out_server,
                                GError **error)
{
  if (g_async_result_is_tagged (result, lodge_driver_open_files))
    {
      g_task_propagate_pointer (G_TASK (result), error);
      return -1;
    }
  return LODGE_DRIVER_GET_IFACE (self)->open_files_finish (self, result, out_server, error);
}

void
lodge_driver_set_event_func (LodgeDriver *self, LodgeDomainEventFunc func, gpointer user_data)
{
  LodgeDriverInterface *iface = LODGE_DRIVER_GET_IFACE (self);

  if (iface->set_event_func != NULL)
    iface->set_event_func (self, func, user_data);
}
