/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-fail.h"

#include <stdint.h>
#include <sys/types.h>

/** What /proc tells about a process. */
typedef struct
{
  pid_t parent;
  unsigned long long start_time; /* clock ticks after boot: with the pid, names one process */
  uint64_t bounding;             /* its capability bounding set */
} LodgeProcInfo;

/** pidfd_open(2).  Returns a close-on-exec descriptor or a negative errno value. */
int lodge_proc_pidfd (pid_t pid);

/** pidfd_send_signal(2).  Returns 0 or a negative errno value. */
int lodge_proc_signal (int pidfd, int signum);

/** Reads parent and start time (and only these) of @pid.  Returns 0 or a negative errno value. */
int lodge_proc_read_stat (pid_t pid, LodgeProcInfo *out_info);

/**
 * lodge_proc_open:
 * @start_time: what is known of the process; a later one with the same number is refused
 * @out_info: all fields; they belong to the process that the result names
 *
 * Returns: a pidfd, or -1 with @fail (InvalidState: it runs no more).
 */
int lodge_proc_open (pid_t pid, unsigned long long start_time, LodgeProcInfo *out_info,
                     LodgeFail *fail);
