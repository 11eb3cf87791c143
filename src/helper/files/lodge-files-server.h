/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-fail.h"

#include <stdint.h>

/** A tree, and who may ask for what in it. */
typedef struct
{
  int session;  /* the SOCK_SEQPACKET socket of lodge-files.h */
  int root;     /* the directory that "/" is; nothing leads out of it */
  int self;     /* /proc/self/fd of the host, opened before any namespace was entered */
  uint32_t ids; /* uids and gids from here on are refused; UINT32_MAX: the kernel decides */
  int refusal;  /* an errno value that is the answer to each request; 0: they are served */
} LodgeFilesServer;

/**
 * lodge_files_serve:
 *
 * Serves requests until the peer closes the session, which is a success.  Blocking.  Failed
 * requests are answered; the result is false only when the session itself fails.
 */
bool lodge_files_serve (const LodgeFilesServer *server, LodgeFail *fail);
