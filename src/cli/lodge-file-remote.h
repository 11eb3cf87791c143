/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-cli.h"
#include "lodge-files-session.h"
#include "lodge-progress.h"

G_BEGIN_DECLS

/* What the file commands share: an address such as "web/etc/motd", and one session. */
typedef struct
{
  LodgeCli *cli;
  char *instance;
  char *path; /* absolute */
  gboolean ends_in_slash;
  LodgeFilesSession *session;
  LodgeProgress progress;
  guint n_files;
  guint64 n_bytes;
} LodgeFileRemote;

/** Ends the session as lodge_file_remote_close() does, unless answers are still to come. */
void lodge_file_remote_clear (LodgeFileRemote *remote);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (LodgeFileRemote, lodge_file_remote_clear)

/** "web/path" or "web:/path"; INVALID_ARGUMENT when @address is neither. */
gboolean lodge_file_remote_parse (LodgeFileRemote *remote, const char *address, GError **error);

/** Opens the session. */
gboolean lodge_file_remote_open (LodgeFileRemote *remote, LodgeCli *cli, GError **error);

/**
 * lodge_file_remote_close:
 *
 * Ends the session and waits until a stopped instance's files are let go of: that it can be started
 * at once, and that what was written is on its disk.
 */
gboolean lodge_file_remote_close (LodgeFileRemote *remote, GError **error);

/**
 * lodge_file_remote_receive:
 * @moving: a file whose growth or offset shows how far it is, or -1
 *
 * Waits for the next answer, draws the progress line, and ends with CANCELLED on Ctrl-C.
 */
gboolean lodge_file_remote_receive (LodgeFileRemote *remote, int moving, gboolean writing,
                                    LodgeFilesAnswer *out_answer, GError **error);

/** One request and its answer; an answer that is an error fails. */
gboolean lodge_file_remote_ask (LodgeFileRemote *remote, LodgeFilesOp op,
                                const LodgeFilesAttributes *attributes, const char *path,
                                LodgeFilesAnswer *out_answer, GError **error);

/** All entries of a directory, each a LodgeFilesAnswer with the name in text. */
GPtrArray *lodge_file_remote_list (LodgeFileRemote *remote, const char *path, GError **error);

/**
 * lodge_file_spool:
 *
 * Returns: an empty file without a name.  The other end of a session copies from and to regular
 * files only, at any offset, so that pipes and terminals need one in between.  -1 with @error set.
 */
int lodge_file_spool (GError **error);

/** Copies all that @from has, from where it stands, to @to.  Blocking. */
gboolean lodge_file_copy (int from, int to, GError **error);

/** FALSE with @error for names that no honest directory has: "..", "a/b". */
gboolean lodge_file_name_check (const char *name, GError **error);

/** "/etc" and "motd" to "/etc/motd". (transfer full) */
char *lodge_file_join (const char *folder, const char *name);

/** The last part of a path without slashes at its end; "" for "/". (transfer full) */
char *lodge_file_last_part (const char *path);

G_END_DECLS
