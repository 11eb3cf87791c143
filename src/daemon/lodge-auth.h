/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-bus-peers.h"

G_BEGIN_DECLS

/*
 * Asks polkit.  Everything but a clear "yes" is a "no": no polkitd, no answer in time, an answer
 * that cannot be read.  The subject is the caller's unique bus name, which cannot come to mean
 * another process while the question is open.  Main thread only.
 */
#define LODGE_TYPE_AUTH (lodge_auth_get_type ())
G_DECLARE_FINAL_TYPE (LodgeAuth, lodge_auth, LODGE, AUTH, GObject)

/** @use_polkit: FALSE on a session bus, where nobody but root and our own user may do anything. */
LodgeAuth *lodge_auth_new (GDBusConnection *connection, LodgeBusPeers *peers, gboolean use_polkit);

/** Root, and whom lodged itself runs as: those need no polkitd. */
gboolean lodge_auth_is_trusted (guint32 uid);

/** How long polkit may take, in milliseconds: without and with a dialog.  For tests. */
void lodge_auth_set_timeouts (LodgeAuth *self, guint plain_ms, guint interactive_ms);

/** A question; all borrowed. */
typedef struct
{
  const char *sender;
  guint32 uid;
  const char *action;
  GVariant *details; /* a{ss}, floating or not; shown in the dialog and given to rules */
  gboolean interactive;
} LodgeAuthRequest;

/**
 * lodge_auth_check_async:
 *
 * Ends with NOT_AUTHORIZED, LIMIT_EXCEEDED (too many open questions of that user), CANCELLED (the
 * dialog was dismissed, or the caller left the bus; polkit is then told), or success.
 */
void lodge_auth_check_async (LodgeAuth *self, const LodgeAuthRequest *request,
                             GAsyncReadyCallback callback, gpointer user_data);

/** @out_interaction_required: (optional): it could have been granted if polkit might have asked */
gboolean lodge_auth_check_finish (LodgeAuth *self, GAsyncResult *result,
                                  gboolean *out_interaction_required, GError **error);

/** Number of questions without an answer. */
guint lodge_auth_count_pending (LodgeAuth *self);

G_END_DECLS
