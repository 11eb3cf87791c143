/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

#include "lodge/lodge-files.h"

G_BEGIN_DECLS

/*
 * The client's end of a file session.  Requests may be sent ahead of their answers, which come in
 * order; lodge_files_session_has_room() says for how many the sockets have room, so that neither
 * end blocks on the other.  One thread.
 */
typedef struct _LodgeFilesSession LodgeFilesSession;

#define LODGE_FILES_WINDOW 32

/* What a request says of the file besides its path. */
typedef struct
{
  guint32 flags; /* LODGE_FILES_… */
  guint32 uid, gid, mode;
  gint64 mtime;
} LodgeFilesAttributes;

typedef struct
{
  int error;    /* 0 or errno; then text is a sentence */
  gboolean end; /* of a LIST */
  LodgeFilesType type;
  guint32 uid, gid, mode;
  guint64 size;
  gint64 mtime;
  char *text;
  char *link;
} LodgeFilesAnswer;

void lodge_files_answer_clear (LodgeFilesAnswer *answer);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (LodgeFilesAnswer, lodge_files_answer_clear)

/** @fd: (transfer full): the socket of Instance.OpenFiles. */
LodgeFilesSession *lodge_files_session_new (int fd);
void lodge_files_session_free (LodgeFilesSession *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LodgeFilesSession, lodge_files_session_free)

/** For poll(); readable means that an answer is there. */
int lodge_files_session_get_fd (LodgeFilesSession *self);

/** Requests that have not been answered. */
guint lodge_files_session_n_pending (LodgeFilesSession *self);
gboolean lodge_files_session_has_room (LodgeFilesSession *self);

/**
 * lodge_files_session_send:
 * @attributes: (nullable)
 * @path: absolute, in the guest
 * @extra: (nullable): the target of a link
 * @fd: the file of GET and PUT, borrowed; else -1
 */
gboolean lodge_files_session_send (LodgeFilesSession *self, LodgeFilesOp op,
                                   const LodgeFilesAttributes *attributes, const char *path,
                                   const char *extra, int fd, GError **error);

/** Reads one answer; blocks when there is none.  A LIST stays pending until its last one. */
gboolean lodge_files_session_receive (LodgeFilesSession *self, LodgeFilesAnswer *out_answer,
                                      GError **error);

/** Says that no request follows: get_fd() becomes readable when the other end is done, too. */
void lodge_files_session_shut (LodgeFilesSession *self);

/**
 * lodge_files_session_finish:
 *
 * After lodge_files_session_shut(), with nothing pending: waits until the other end is done.
 * FALSE with what went wrong there at the end.
 */
gboolean lodge_files_session_finish (LodgeFilesSession *self, GError **error);

/** Sets @error to what @answer says when that is an error. */
gboolean lodge_files_answer_check (const LodgeFilesAnswer *answer, GError **error);

G_END_DECLS
