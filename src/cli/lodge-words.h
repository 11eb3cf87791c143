/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * lodge_words_command_first:
 * @words: NULL-ended; begins with global options
 *
 * Returns: (transfer container): the same words with the options after the command, NULL-ended.
 */
GPtrArray *lodge_words_command_first (char **words);

/**
 * lodge_words_split:
 * @line: of the interactive shell
 *
 * Splits as a shell does, but for expansions: quotes, backslashes, "#" comments, and ";" between
 * commands.  Errors: INVALID_ARGUMENT for a quote that is not closed.
 *
 * Returns: (transfer full): one char ** (NULL-ended) for each command.
 */
GPtrArray *lodge_words_split (const char *line, GError **error);

G_END_DECLS
