/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-proc.h"
#include "lodge-request.h"

/** The container that a request names. */
typedef struct
{
  pid_t pid; /* of its first process, in the host's namespace */
  int pidfd;
  LodgeProcInfo info;
} LodgeTarget;

/** Opens the container of @request.  It is that one for as long as its pidfd says so. */
bool lodge_enter_open_target (const LodgeRequest *request, LodgeTarget *out_target,
                              LodgeFail *fail);

/** Enters @namespaces (CLONE_NEW*) of the container, and becomes its root when the user
 * namespace is among them.  Single-threaded callers only. */
bool lodge_enter_namespaces (const LodgeTarget *target, int namespaces, LodgeFail *fail);

/** Drops from the bounding set what is not in @keep.  Returns 0 or a negative errno value. */
int lodge_enter_bound (uint64_t keep);

/** The operations; each writes its own lines but "error" and "done". */
bool lodge_enter_exec (const LodgeRequest *request, LodgeFail *fail);
bool lodge_enter_files (const LodgeRequest *request, LodgeFail *fail);
bool lodge_enter_files_offline (const LodgeRequest *request, LodgeFail *fail);
