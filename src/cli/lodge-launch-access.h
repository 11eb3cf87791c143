/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lodge-cmd.h"

G_BEGIN_DECLS

/* The options that lodge_access_add() reads, for a command's table. */
#define LODGE_ACCESS_OPTIONS                                                                       \
  { "ssh-key",                                                                                     \
    '\0',                                                                                          \
    LODGE_OPTION_STRINGS,                                                                          \
    "FILE",                                                                                        \
    N_ ("let root in with the public keys in FILE, or standard input (-) (repeatable)"),           \
    LODGE_COMPLETE_FILES },                                                                        \
      { "password",                                                                                \
        '\0',                                                                                      \
        LODGE_OPTION_FLAG,                                                                         \
        NULL,                                                                                      \
        N_ ("ask for root's password, or read it from standard input"),                            \
        0 },                                                                                       \
  {                                                                                                \
    "run", '\0', LODGE_OPTION_STRING, "FILE",                                                      \
        N_ ("run this script as root in it, before its first start"), LODGE_COMPLETE_FILES         \
  }

/**
 * lodge_access_add:
 * @options: of CreateInstance; gets ssh-keys, password-hash and script
 *
 * Reads what --ssh-key, --password and --run speak of.  A password is hashed here: nobody else
 * sees it.
 */
gboolean lodge_access_add (const LodgeArgs *args, GVariantDict *options, GError **error);

G_END_DECLS
