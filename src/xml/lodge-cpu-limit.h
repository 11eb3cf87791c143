/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge/lodge-error.h"

G_BEGIN_DECLS

/** The most CPUs, and the highest number, that a limit may name. */
#define LODGE_CPU_LIMIT_MAX 8192

/**
 * lodge_cpu_limit_parse:
 * @text: a value of limits.cpu: "2" is a number of CPUs, "0-1,3" and "3-3" name them
 * @out_count: how many CPUs that is
 * @out_cpuset: (transfer full) (nullable): the names, or NULL for a number
 *
 * Any thread.  Errors: INVALID_CONFIG.
 */
gboolean lodge_cpu_limit_parse (const char *text, guint *out_count, char **out_cpuset,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
