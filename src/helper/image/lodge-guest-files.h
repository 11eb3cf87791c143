/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <guestfs.h>
#include <stdbool.h>

#include "lodge-fail.h"

/**
 * lodge_guest_files_serve:
 * @handle: with the guest's file systems mounted
 * @session: a SOCK_SEQPACKET socket that speaks lodge-files.h
 *
 * Serves requests until the peer closes the session, which is a success.  Links are followed by
 * the appliance, whose root is the guest's.
 */
bool lodge_guest_files_serve (guestfs_h *handle, int session, LodgeFail *fail);

/** Tells a peer that waits for the session's end that @text went wrong.  One that has gone is no
 * error. */
void lodge_guest_files_send_failure (int session, const char *text);
