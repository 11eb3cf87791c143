/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-json.h"
#include "lodge/lodge-driver.h"

G_BEGIN_DECLS

/*
 * What a guest's agent answers.  Whoever is root in the guest writes these texts, and the daemon
 * reads them: pure functions, so that they can be tested with anything.  Any thread.
 */

/**
 * lodge_kvm_reply_parse:
 * @out_return: (out) (optional) (transfer full): the reply's "return"
 *
 * INVALID_ARGUMENT when @reply is no JSON, BACKEND when it is no answer.
 */
gboolean lodge_kvm_reply_parse (const char *reply, JsonNode **out_return,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;

/** The bytes of a member in base64.  (transfer full) (nullable) */
GBytes *lodge_kvm_reply_get_bytes (JsonObject *object, const char *member);

/** How a program in the guest ended; a value. */
typedef struct
{
  gboolean exited;
  int exit_status;   /* 0 … 255 */
  int term_signal;   /* 0 … 64 */
  GBytes *out, *err; /* nullable: nothing was captured */
} LodgeKvmExit;

void lodge_kvm_exit_clear (LodgeKvmExit *end);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (LodgeKvmExit, lodge_kvm_exit_clear)

/** Reads what guest-exec-status returns.  @out_end is to be cleared. */
void lodge_kvm_reply_read_exit (JsonObject *reply, LodgeKvmExit *out_end);

G_END_DECLS
