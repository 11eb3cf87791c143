/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-executor.h"
#include "lodge-lxc-cgroup.h"
#include "lodge-lxc-console.h"
#include "lodge-lxc-driver.h"
#include "lodge-lxc-plan.h"
#include "lodge-virt-connection.h"

G_BEGIN_DECLS

/* What the files of this driver share; one file a capability. */

/** What lodged holds for a container that runs.  Main thread only. */
typedef struct
{
  LodgeLxcDriver *driver; /* not a reference */
  char *uuid;
  int init_pid; /* of the run that has been taken up; 0: none */
  LodgeLxcConsole *console;
  int notify_fd; /* -1: not bound */
  guint notify_source;
  guint boot_source; /* looks whether its init is one that reports readiness */
  guint32 idmap_base, idmap_count;
  int deaf_controller; /* the rest: see lodge-lxc-deaf.c */
  int deaf_fd;         /* -1: none */
  guint deaf_source;
} LodgeLxcGuest;

/** How often something happened to a container; see lodge_lxc_driver_wait(). */
typedef struct
{
  guint n_init;    /* its init has begun */
  guint n_stopped; /* libvirt said that it stopped */
} LodgeLxcMarks;

struct _LodgeLxcDriver
{
  GObject parent;

  /* constant after construction */
  char *state_dir;
  char *run_dir;
  char *guest_dir;
  int enter_fd;        /* sealed copy of lodge-enter */
  char *enter_program; /* its path in /proc */
  guint64 host_memory;
  int cgroup_root; /* -1: the host's mount of cgroup2 is used */
  int is_renewed;  /* atomic; old definitions have been looked for */
  LodgeVirtConnection *connection;
  LodgeExecutor *executor; /* for what the main thread starts and must not do */

  /* main thread */
  LodgeDomainEventFunc event_func;
  gpointer event_data;
  GHashTable *guests; /* char* → LodgeLxcGuest* */
  int events_fd;
  guint events_source;

  /* any thread, under the lock */
  GMutex lock;
  GCond changed;
  GHashTable *marks; /* char* → LodgeLxcMarks* */
  GHashTable *names; /* char* → char*: for messages */
};

/* ---- lodge-lxc-driver.c ---- */

/** The container's name, or its UUID when it is not known.  (transfer full) Any thread. */
char *lodge_lxc_driver_dup_name (LodgeLxcDriver *self, const char *uuid);
void lodge_lxc_driver_set_name (LodgeLxcDriver *self, const char *uuid, const char *name);

/** Tells core.  Main thread. */
void lodge_lxc_driver_emit (LodgeLxcDriver *self, LodgeDomainEvent event, const char *uuid);
/** As above, from any thread. */
void lodge_lxc_driver_emit_later (LodgeLxcDriver *self, LodgeDomainEvent event, const char *uuid);

/** Takes up what runs and has not been taken up, soon, on the main thread.  Any thread. */
void lodge_lxc_driver_check_later (LodgeLxcDriver *self);

/** The places of the container.  (transfer full) Any thread. */
LodgeLxcPaths *lodge_lxc_driver_paths (LodgeLxcDriver *self, const char *uuid);

/** The running container; not for longer than the driver.  NULL with INVALID_STATE when it does
 * not run, NOT_SUPPORTED when it is not Lodge's.  Any thread. */
LodgeLxcInit *lodge_lxc_driver_get_init (LodgeLxcDriver *self, const char *uuid, GError **error);

/** What has happened so far.  Any thread. */
LodgeLxcMarks lodge_lxc_driver_get_marks (LodgeLxcDriver *self, const char *uuid);

/** Waits until the marks differ from @seen, until @deadline (monotonic) at most. */
gboolean lodge_lxc_driver_wait (LodgeLxcDriver *self, const char *uuid, LodgeLxcMarks seen,
                                gint64 deadline);

/** Counts an event and wakes who waits.  Any thread. */
void lodge_lxc_driver_mark (LodgeLxcDriver *self, const char *uuid, gboolean stopped);

/** Runs @func on the main thread and waits for it.  Not on the main thread. */
typedef void (*LodgeLxcMainFunc) (gpointer data);
void lodge_lxc_invoke (LodgeLxcMainFunc func, gpointer data);

/* ---- lodge-lxc-notify.c: main thread ---- */

/** Binds <run>/events. */
gboolean lodge_lxc_events_bind (LodgeLxcDriver *self, GError **error);
void lodge_lxc_events_close (LodgeLxcDriver *self);

/** What is held for the container @uuid, made when there is none. */
LodgeLxcGuest *lodge_lxc_guest_get (LodgeLxcDriver *self, const char *uuid);
void lodge_lxc_guest_free (LodgeLxcGuest *guest);

/** Looks for the container's terminal and attaches its console. */
void lodge_lxc_guest_find_console (LodgeLxcDriver *self, const char *uuid);

/**
 * lodge_lxc_guest_check:
 * @missed: what the guest reports may have come already
 *
 * Takes the container up when it runs and nobody has: "init" on the events socket is lost when
 * lodged does not run, and when too many come at once.  Returns: whether it did.
 */
gboolean lodge_lxc_guest_check (LodgeLxcDriver *self, const char *uuid, gboolean missed);

/** The same for all, with their consoles. */
void lodge_lxc_guests_check (LodgeLxcDriver *self);

/** After (re)connecting: takes up all that run, and attaches the consoles that are not. */
void lodge_lxc_guests_adopt (LodgeLxcDriver *self);

/* ---- lodge-lxc-boot.c: main thread ---- */

/** The guest's init has finished booting: tells core, and records it for the next lodged. */
void lodge_lxc_guest_set_booted (LodgeLxcGuest *guest);

/** Has the container been recorded as booted, in this run of its init? */
gboolean lodge_lxc_guest_has_booted (LodgeLxcGuest *guest);

/** Finds out about inits that do not report: @missed, the report may have come before lodged. */
void lodge_lxc_guest_watch_boot (LodgeLxcGuest *guest, gboolean missed);

/* ---- lodge-lxc-deaf.c ---- */

/** If libvirt will not notice when the running container @domain ends: sees to it that it is told.
 * Any thread but the main one. */
void lodge_lxc_driver_check_deaf (LodgeLxcDriver *self, virDomainPtr domain);

/** The container's run is over.  Main thread. */
void lodge_lxc_guest_unwatch_deaf (LodgeLxcGuest *guest);

/* ---- the slots of the driver's table; see lodge-driver.h ---- */

GPtrArray *lodge_lxc_list (LodgeDriver *driver, GCancellable *cancellable, GError **error);
LodgeDomainInfo *lodge_lxc_lookup (LodgeDriver *driver, const char *uuid, GError **error);
LodgeDomainInfo *lodge_lxc_lookup_name (LodgeDriver *driver, const char *name, GError **error);

gboolean lodge_lxc_define (LodgeDriver *driver, const LodgeDomainSpec *spec, GPtrArray *out_notices,
                           GCancellable *cancellable, GError **error);
gboolean lodge_lxc_undefine (LodgeDriver *driver, const char *uuid, GError **error);
/**
 * Brings the definition of a container that an older Lodge made up to date; it counts from the next
 * start on.  Does nothing with others, and not while a job may undefine it.  Worker threads.
 */
gboolean lodge_lxc_renew (virDomainPtr domain, GError **error);
gboolean lodge_lxc_rename (LodgeDriver *driver, const char *uuid, const char *new_name,
                           GError **error);
char *lodge_lxc_get_xml (LodgeDriver *driver, const char *uuid, GError **error);

gboolean lodge_lxc_power_on (LodgeDriver *driver, const char *uuid, GCancellable *cancellable,
                             GError **error);
gboolean lodge_lxc_shutdown (LodgeDriver *driver, const char *uuid, GError **error);
gboolean lodge_lxc_kill (LodgeDriver *driver, const char *uuid, GError **error);
gboolean lodge_lxc_pause (LodgeDriver *driver, const char *uuid, GError **error);
gboolean lodge_lxc_resume (LodgeDriver *driver, const char *uuid, GError **error);

LodgeUsage *lodge_lxc_get_usage (LodgeDriver *driver, const char *uuid, GError **error);

void lodge_lxc_exec (LodgeDriver *driver, const char *uuid, const LodgeExecRequest *request,
                     GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);
LodgeExecResult *lodge_lxc_exec_finish (LodgeDriver *driver, GAsyncResult *result, GError **error);
int lodge_lxc_open_console (LodgeDriver *driver, const char *uuid, GError **error);
int lodge_lxc_open_console_log (LodgeDriver *driver, const char *uuid, GError **error);
void lodge_lxc_open_files (LodgeDriver *driver, const char *uuid, gboolean running,
                           GCancellable *cancellable, GAsyncReadyCallback callback,
                           gpointer user_data);
int lodge_lxc_open_files_finish (LodgeDriver *driver, GAsyncResult *result,
                                 LodgeProcess **out_server, GError **error);

G_END_DECLS
