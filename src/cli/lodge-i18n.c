/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-i18n.h"

#include <glib.h>
#include <locale.h>

void
lodge_i18n_init (void)
{
  static const char *const names[] = { "LC_ALL", "LC_MESSAGES", "LANG" };
  const char *wanted = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (names) && wanted == NULL; i++)
    {
      wanted = g_getenv (names[i]);
      if (wanted != NULL && wanted[0] == '\0')
        wanted = NULL;
    }
  if (wanted == NULL || g_str_has_prefix (wanted, "C.") || g_str_has_prefix (wanted, "en")
      || g_strcmp0 (wanted, "C") == 0 || g_strcmp0 (wanted, "POSIX") == 0)
    return;
  setlocale (LC_MESSAGES, "");
  setlocale (LC_CTYPE, "");
  bindtextdomain (GETTEXT_PACKAGE, LODGE_LOCALEDIR);
  bind_textdomain_codeset (GETTEXT_PACKAGE, "UTF-8");
}
