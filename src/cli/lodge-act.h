/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-cmd.h"

G_BEGIN_DECLS

/*
 * Verbs that make a job of an instance: start, stop, delete, …  Several instances are worked on at
 * once; how each ended is told, and the exit status is that of the first that failed.
 */

/**
 * lodge_act:
 * @names: NULL-ended
 * @options: (transfer floating): the a{sv} of the method
 *
 * With --no-wait the ids of the jobs are printed instead of waiting.
 */
gboolean lodge_act (LodgeCli *cli, const LodgeArgs *args, const char *const *names,
                    const char *method, GVariant *options, GError **error);

/**
 * lodge_report_errors:
 * @names: n of them
 * @errors: (transfer none): NULL where it went well
 *
 * Returns: FALSE with @error when there is one object only and it failed; else prints each error.
 */
gboolean lodge_report_errors (LodgeCli *cli, const char *const *names, GError *const *errors,
                              guint n, GError **error);

G_END_DECLS
