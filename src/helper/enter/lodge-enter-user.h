/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-fail.h"

#include <limits.h>
#include <stddef.h>
#include <sys/types.h>

#define LODGE_ENTER_GROUPS 256

/** A user of the container. */
typedef struct
{
  uid_t uid;
  gid_t gid;
  gid_t groups[LODGE_ENTER_GROUPS]; /* @gid is among them */
  size_t n_groups;
  char name[256];
  char home[PATH_MAX];
  char shell[PATH_MAX];
} LodgeEnterUser;

/**
 * lodge_enter_find_user:
 * @wanted: "name", "uid", "name:group" or "uid:gid"; NULL or "": root
 *
 * Looks @wanted up in /etc/passwd and /etc/group of the root that the caller is in, without libc's
 * name services: they would load the guest's code.  A number needs no entry.
 */
bool lodge_enter_find_user (const char *wanted, LodgeEnterUser *out_user, LodgeFail *fail);

/**
 * lodge_enter_pick_user:
 * @passwd: the text of /etc/passwd, of whatever sort; is cut into pieces
 * @groups: that of /etc/group, the same
 *
 * What lodge_enter_find_user() does with the files that it has read.
 */
bool lodge_enter_pick_user (char *passwd, char *groups, const char *wanted,
                            LodgeEnterUser *out_user, LodgeFail *fail);
