/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-audit.h"
#include "lodge-auth.h"
#include "lodge-bus-object.h"
#include "lodge-bus-process.h"
#include "lodge-bus.h"

G_BEGIN_DECLS

struct _LodgeBus
{
  GObject parent;

  GDBusConnection *connection;
  LodgeManager *manager;
  LodgeBusPeers *peers;
  LodgeAuth *auth;
  LodgeAudit *audit; /* borrowed */
  LodgeBusProcesses *processes;
  GArray *objects;    /* guint: ids of registered objects */
  GArray *subtrees;   /* guint: ids of registered subtrees */
  GPtrArray *waiting; /* LodgeBusCall: those of Job.Wait */
  GPtrArray *ending;  /* LodgeJob: ended, but this has not been told yet */
  guint ending_source;
  guint trim_source;
  guint64 sequence; /* of Event */
};

/** Emits a signal to @destination, or to everybody (%NULL). */
void lodge_bus_emit (LodgeBus *self, const char *destination, const char *path,
                     const char *interface, const char *signal, GVariant *parameters);

/** Emits PropertiesChanged for those properties of @object that the mask @fields touches. */
void lodge_bus_emit_changed (LodgeBus *self, const LodgeBusInterface *interface, const char *path,
                             gpointer object, guint fields);

void lodge_bus_emit_added (LodgeBus *self, const LodgeBusInterface *interface, const char *path,
                           gpointer object);
void lodge_bus_emit_removed (LodgeBus *self, const LodgeBusInterface *interface, const char *path);

/** LIMIT_EXCEEDED when the caller has too many jobs that run. */
gboolean lodge_bus_check_job_limit (LodgeBus *self, guint32 uid, GError **error);

/* What each file offers. */
extern const LodgeBusInterface lodge_bus_manager;
extern const LodgeBusInterface lodge_bus_images;
extern const LodgeBusInterface lodge_bus_remotes;
extern const LodgeBusInterface lodge_bus_objects;
extern const LodgeBusInterface lodge_bus_instance;
extern const LodgeBusInterface lodge_bus_image;
extern const LodgeBusInterface lodge_bus_job;
extern const LodgeBusInterface lodge_bus_process;

/* lodge-bus-job.c */
/** The name on the bus of who has started @job; "" after a restart.  Borrowed. */
const char *lodge_bus_job_get_sender (LodgeJob *job);
/** Answers those that wait for @job, which has ended. */
void lodge_bus_job_settle (LodgeBus *self, LodgeJob *job);
/** Forgets the calls of a caller that has left. */
void lodge_bus_job_drop_caller (LodgeBus *self, const char *sender);
/** Answers @call with the path of @job, or with @error (transfer full). */
void lodge_bus_call_return_job (LodgeBusCall *call, LodgeJob *job, GError *error);

/* lodge-bus-exec.c */
void lodge_bus_instance_exec (LodgeBusCall *call);

G_END_DECLS
