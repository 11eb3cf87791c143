/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-enter.h"

#include <sys/ioctl.h>

/** The program of an exec request, as far as the host can know it. */
typedef struct
{
  const char **args; /* NULL-terminated; empty: a login shell */
  const char **env;  /* NULL-terminated, "K=V" */
  size_t n_env;
  const char *user;
  const char *cwd; /* NULL: the user's home */
  bool tty;
  struct winsize size;
} LodgeProgram;

/** Reads @out_program.  Its arrays are never freed: the process is for it alone. */
bool lodge_program_read (const LodgeRequest *request, LodgeProgram *out_program, LodgeFail *fail);

/**
 * lodge_program_run:
 * @terminal: the terminal's end for the program, or -1
 * @started: a descriptor that is closed when the program is executed
 * @bounding: the capabilities that the container's first process is bounded by
 *
 * In a process that has all the container's namespaces: becomes the user and executes the
 * program.  Returns only on failure: with @fail filled when it was ours, else with the exit
 * status (126 or 127), after telling the program's stderr.
 */
int lodge_program_run (const LodgeProgram *program, int terminal, int started, uint64_t bounding,
                       LodgeFail *fail);
