/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-fail.h"

#include <limits.h>
#include <stddef.h>
#include <sys/types.h>

#define LODGE_PLAN_MAX      65536
#define LODGE_PLAN_LAYERS   60
#define LODGE_PLAN_UUID_LEN 36

/**
 * LodgePlan:
 *
 * The plan of a container, as lodge-helper-protocol.h describes it.  The strings lie in @text.
 */
typedef struct
{
  const char *uuid;
  const char *name;
  uid_t base;                           /* host id of the container's root */
  unsigned count;                       /* how many ids from it on are the container's */
  const char *lower[LODGE_PLAN_LAYERS]; /* the topmost first; none: @source is the root */
  size_t n_lower;
  const char *upper;
  const char *work;
  const char *source;
  const char *root;
  const char *control;
  const char *runtime;
  const char *events;
  const char *init; /* program that becomes <control>/init; NULL: lodge-init beside lodge-mount */
  const char *pids_max;
  char setup[LODGE_PLAN_MAX]; /* what belongs into <control>/setup */
  char text[LODGE_PLAN_MAX];
} LodgePlan;

/**
 * lodge_plan_read:
 * @path: a regular file that root owns and nobody else may read or write
 *
 * Reads and checks all of a plan: an unknown or repeated key, a missing one, a path that is not
 * absolute and plain, is refused.  @out_plan is large: it fits on a stack, but on no smaller one
 * than a main thread's.
 */
bool lodge_plan_read (LodgePlan *out_plan, const char *path, LodgeFail *fail);

/** Whether @text is a UUID in lower case with hyphens. */
bool lodge_plan_uuid_is_valid (const char *text);
