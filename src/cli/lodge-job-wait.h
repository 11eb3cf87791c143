/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-cli.h"

G_BEGIN_DECLS

/* Waiting for jobs, with a progress line, notices, and Ctrl-C. */
typedef struct
{
  const char *label; /* (nullable): goes before the error when there are several; borrowed */
  char *path;        /* of the job; owned */
  gboolean done;
  GVariant *result; /* a{sv} when it succeeded; owned */
  GError *error;    /* when it failed; owned */
  guint32 serial;   /* of the call that waits */
  GVariant *status; /* (nullable): its last known properties */
} LodgeJobWait;

/** Frees what is in it. */
void lodge_job_wait_clear (LodgeJobWait *wait);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (LodgeJobWait, lodge_job_wait_clear)

/**
 * lodge_jobs_wait:
 *
 * Waits until all of @waits are done; those that have an error already are left alone.  Notices
 * are printed.  The first Ctrl-C cancels the jobs, and a second one leaves them alone (CANCELLED).
 *
 * Returns: FALSE with @error when the waiting itself failed; how each job ended is in @waits.
 */
gboolean lodge_jobs_wait (LodgeCli *cli, LodgeJobWait *waits, guint n_waits, GError **error);

/** One job.  Returns: (transfer full): its result, or NULL with its error. */
GVariant *lodge_job_wait (LodgeCli *cli, const char *path, GError **error);

/**
 * lodge_job_begin:
 * @parameters: (transfer floating): of a method that returns the path of a job
 *
 * Calls the method.  Signals are watched from before the call on, so that a Ctrl-C that comes
 * before the job is known still cancels it: by lodge_job_wait().  One that finds the service asking
 * for authorisation ends the call (CANCELLED).
 *
 * Returns: (transfer full): the path of the job.
 */
char *lodge_job_begin (LodgeCli *cli, const char *path, const char *interface, const char *method,
                       GVariant *parameters, GError **error);

/** "17" of "/org/lodge1/job/17"; borrowed. */
const char *lodge_job_id (const char *path);

/** "--no-wait": prints the id of the job. */
void lodge_job_print_id (const char *path);

G_END_DECLS
