/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The files of a machine that does not run: lodge-image-worker opens its disk by libguestfs and
 * serves lodge-files.h.  lodged itself never looks into a guest's disk.
 */
#include "lodge-kvm-private.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>

#include "lodge-fd.h"
#include "lodge-helper.h"

#define WORKER "lodge-image-worker"

/* ---- the worker as a process ---- */

#define LODGE_TYPE_KVM_OFFLINE (lodge_kvm_offline_get_type ())
G_DECLARE_FINAL_TYPE (LodgeKvmOffline, lodge_kvm_offline, LODGE, KVM_OFFLINE, LodgeProcess)

struct _LodgeKvmOffline
{
  LodgeProcess parent;
  LodgeHelper *helper;
};

G_DEFINE_FINAL_TYPE (LodgeKvmOffline, lodge_kvm_offline, LODGE_TYPE_PROCESS)

static gboolean
offline_signal (LodgeProcess *process, int signum, GError **error)
{
  lodge_helper_kill (LODGE_KVM_OFFLINE (process)->helper, signum);
  return TRUE;
}

static void
offline_finalize (GObject *object)
{
  g_clear_object (&LODGE_KVM_OFFLINE (object)->helper);
  G_OBJECT_CLASS (lodge_kvm_offline_parent_class)->finalize (object);
}

static void
lodge_kvm_offline_class_init (LodgeKvmOfflineClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = offline_finalize;
  LODGE_PROCESS_CLASS (klass)->signal = offline_signal;
}

static void
lodge_kvm_offline_init (LodgeKvmOffline *self)
{
}

static void
on_ended (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (LodgeKvmOffline) self = user_data;
  g_autoptr (GError) error = NULL;
  gboolean is_done = lodge_helper_run_finish (LODGE_HELPER (source), result, &error);

  /* The client has been told on the session itself, or sees it closed. */
  if (!is_done)
    g_debug ("files of a stopped machine: %s", error->message);
  lodge_process_set_exited (LODGE_PROCESS (self), is_done ? 0 : 1, 0);
}

/* ---- finding the disk ---- */

typedef struct
{
  char *uuid;
  char *disk;
  char *backing; /* nullable */
  GTask *caller;
} Search;

static void
search_free (Search *search)
{
  g_free (search->uuid);
  g_free (search->disk);
  g_free (search->backing);
  g_clear_object (&search->caller);
  g_free (search);
}

/* The chain of a disk that Lodge made is two files: its own and its image's. */
static void
find_disk (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  LodgeKvmDriver *self = LODGE_KVM_DRIVER (source);
  Search *search = task_data;
  GError *error = NULL;
  g_autofree char *xml = lodge_kvm_get_xml (LODGE_DRIVER (self), search->uuid, &error);
  g_autoptr (LodgeDomainInfo) info = NULL;

  if (xml == NULL || !lodge_domain_xml_read (xml, &info, &error))
    {
      g_task_return_error (task, error);
      return;
    }
  search->disk = lodge_domain_xml_disk_path (xml, &error);
  if (search->disk == NULL || !info->managed)
    {
      if (error == NULL)
        g_set_error (&error, LODGE_ERROR, LODGE_ERROR_NOT_SUPPORTED,
                     "“%s” has no disk that Lodge made", info->name);
      g_task_return_error (task, error);
      return;
    }
  if (info->image != NULL)
    search->backing = g_build_filename (self->state_dir, "images", info->image, "disk.qcow2", NULL);
  g_task_return_boolean (task, TRUE);
}

static LodgeHelper *
make_worker (LodgeKvmDriver *self, const Search *search, int session_fd)
{
  g_autofree char *program = g_build_filename (self->libexec_dir, WORKER, NULL);
  LodgeHelper *helper = lodge_helper_new (program, "files-guestfs");

  lodge_helper_add (helper, "disk", search->disk);
  if (search->backing != NULL)
    lodge_helper_add (helper, "backing", search->backing);
  lodge_helper_add_fd (helper, "session", session_fd);
  return helper;
}

static void
on_disk_found (GObject *source, GAsyncResult *result, gpointer user_data)
{
  LodgeKvmDriver *self = LODGE_KVM_DRIVER (source);
  Search *search = g_task_get_task_data (G_TASK (result));
  g_autoptr (GTask) caller = g_steal_pointer (&search->caller);
  GError *error = NULL;
  int pair[2];

  if (!g_task_propagate_boolean (G_TASK (result), &error))
    {
      g_task_return_error (caller, error);
      return;
    }
  if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
    {
      lodge_error_set_errno (&error, errno, "cannot open a file session");
      g_task_return_error (caller, error);
      return;
    }

  g_auto (LodgeFd) server_fd = pair[1];
  LodgeKvmOffline *process = g_object_new (LODGE_TYPE_KVM_OFFLINE, NULL);
  LodgeExecResult *session = g_new0 (LodgeExecResult, 1);
  process->helper = make_worker (self, search, server_fd);
  lodge_helper_run_async (process->helper, NULL, on_ended, g_object_ref (process));
  lodge_process_hold_fd (LODGE_PROCESS (process), lodge_fd_steal (&server_fd));
  session->process = LODGE_PROCESS (process);
  session->pty_fd = pair[0];
  g_task_return_pointer (caller, session, (GDestroyNotify) lodge_exec_result_free);
}

void
lodge_kvm_open_files_offline (LodgeKvmDriver *self, const char *uuid, GTask *caller)
{
  g_autoptr (GTask) task = g_task_new (self, NULL, on_disk_found, NULL);
  Search *search = g_new0 (Search, 1);

  search->uuid = g_strdup (uuid);
  search->caller = caller;
  g_task_set_task_data (task, search, (GDestroyNotify) search_free);
  if (self->offline_pool == NULL)
    self->offline_pool = lodge_executor_new ("kvm-offline", 1);
  lodge_executor_run (self->offline_pool, task, find_disk);
}
