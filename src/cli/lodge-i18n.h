/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <libintl.h>

#include "lodge-config.h"

/* glib/gi18n-lib.h would do, but g_dgettext() asks for the whole locale at the first message. */
#define _(text)                  dgettext (GETTEXT_PACKAGE, text)
#define N_(text)                 text
#define C_ngettext(one, many, n) dngettext (GETTEXT_PACKAGE, one, many, n)

/**
 * lodge_i18n_init:
 *
 * Sets the locale for messages and characters, unless it is one without translations: loading it
 * costs more than a short command may take.  Numbers stay as in the C locale always, because
 * output is parsed by programs.
 */
void lodge_i18n_init (void);
