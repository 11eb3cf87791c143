/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lodge-fail.h"

/* Files of a system that somebody else has made, below a directory that is its root.  Links lead
 * nowhere but to where they would lead in that system itself. */

/** What a new file is to have; an existing regular file keeps its own. */
typedef struct
{
  mode_t mode;
  uid_t uid;
  gid_t gid;
} LodgeRootFileOwner;

/**
 * lodge_root_file_write:
 * @root: a directory
 * @path: absolute, as the system sees it; missing directories are made
 * @owner: (nullable): 0644, root
 * @keep_existing: whether to leave alone what is there
 *
 * Replaces the file in one go; a link at its end is replaced, not followed.
 */
bool lodge_root_file_write (int root, const char *path, const char *data, size_t size,
                            const LodgeRootFileOwner *owner, bool keep_existing, LodgeFail *fail);

/** Opens what @path leads to below @root, with @flags of open(2) but O_CREAT.  Returns a
 * descriptor or a negative errno value. */
int lodge_root_file_open (int root, const char *path, int flags);
