/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "lodge-fail.h"

/*
 * How a layer of an OCI image takes away what is below it.  Paths are below the working directory
 * and clean (lodge_member_clean_path()); no link in them is followed.
 */

/** Whether the member of a layer stands for the absence of something. */
bool lodge_whiteout_is_one (const char *path);

/** Removes what the member @path takes away: a name, or all that is in its directory. */
bool lodge_whiteout_apply (const char *path, LodgeFail *fail);

/**
 * lodge_whiteout_clear:
 * @dirs_only: leaves what is not a directory
 *
 * Removes @path with all that is below it.  What is not there is no error.
 */
bool lodge_whiteout_clear (const char *path, bool dirs_only, LodgeFail *fail);
