/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "lodge-request.h"

G_BEGIN_DECLS

/*
 * How the owner of a new instance gets into it: keys, a password of root, and a script of his own.
 * lodged has checked them: keys and hash have no control characters, and the hash no colon.
 */
typedef struct
{
  char **ssh_keys;           /* NULL-ended, maybe empty; one line each */
  const char *password_hash; /* nullable: as crypt(5) has it */
  const char *script;        /* nullable: begins with "#!" */
} LodgeAccess;

/** Reads ssh-key=… (any number), password-hash= and script= of a request. */
void lodge_access_read (LodgeAccess *access, const LodgeRequest *request);
void lodge_access_clear (LodgeAccess *access);
bool lodge_access_is_empty (const LodgeAccess *access);

/** What cloud-init is to do for it, with @more (nullable), other vendor data.  (transfer full) */
char *lodge_access_to_vendor_data (const LodgeAccess *access, const char *more);

/** @shadow, with root's password replaced; (transfer full); NULL when root is not in it. */
char *lodge_access_edit_shadow (const LodgeAccess *access, const char *shadow);

/** The contents of an authorized_keys, with the keys that it does not have.  (transfer full)
 * @old: nullable */
char *lodge_access_add_keys (const LodgeAccess *access, const char *old);

/** Sets keys and password in the system whose root directory is @root. */
bool lodge_access_write (const LodgeAccess *access, int root, LodgeFail *fail);

/**
 * lodge_access_run_script:
 * @root: path of the system's root directory
 *
 * Runs the script in it, within the sandbox, which must have the host's tools and no network.
 */
bool lodge_access_run_script (const LodgeAccess *access, const char *root, LodgeFail *fail);

G_END_DECLS
