/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-fail.h"
#include "lodge-plan.h"

/**
 * lodge_plan_root_mount:
 * @plan: (out caller-allocates): what is at @path
 * @staging: the directory to work in; another descriptor of it afterwards, for the lifetime of the
 *   process
 *
 * Puts the root of a stopped container together, mapped as for its start, in a mount namespace that
 * this process has for itself from now on.
 */
bool lodge_plan_root_mount (LodgePlan *plan, const char *path, int *staging, LodgeFail *fail);
