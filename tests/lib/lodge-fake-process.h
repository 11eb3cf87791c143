/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge/lodge-driver.h"

G_BEGIN_DECLS

/** A program that the fake driver runs on the host itself, as the user of the test.  Main thread.
 */
#define LODGE_TYPE_FAKE_PROCESS (lodge_fake_process_get_type ())
G_DECLARE_FINAL_TYPE (LodgeFakeProcess, lodge_fake_process, LODGE, FAKE_PROCESS, LodgeProcess)

/** Starts it; what cannot be executed ends with 126 or 127, as in a guest. */
LodgeExecResult *lodge_fake_process_spawn (const LodgeExecRequest *request, GError **error);

/** Serves lodge-files.h on @root from a thread.  Returns the client's socket; -1 on failure. */
int lodge_fake_files_open (const char *root, LodgeProcess **out_server, GError **error);

/** A socket that answers each byte with itself. */
int lodge_fake_console_open (GError **error);

/** A file with @text, at its beginning. */
int lodge_fake_log_open (const char *text, GError **error);

G_END_DECLS
