/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-i18n.h"

#include <glib.h>
#include <locale.h>

/* The value that is not empty of the first that has one, or NULL. */
static const char *
first_of (const char *const *names, gsize n_names)
{
  for (gsize i = 0; i < n_names; i++)
    {
      const char *value = g_getenv (names[i]);

      if (value != NULL && value[0] != '\0')
        return value;
    }
  return NULL;
}

/* gettext asks LANGUAGE before the locale, but not in the locale "C". */
static gboolean
is_translated (void)
{
  static const char *const locales[] = { "LC_ALL", "LC_MESSAGES", "LANG" };
  static const char *const languages[] = { "LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG" };
  const char *locale = first_of (locales, G_N_ELEMENTS (locales));
  const char *language = first_of (languages, G_N_ELEMENTS (languages));

  if (locale == NULL || g_str_equal (locale, "C") || g_str_equal (locale, "POSIX"))
    return FALSE;
  return !g_str_has_prefix (language, "C.") && !g_str_has_prefix (language, "en")
         && !g_str_equal (language, "C") && !g_str_equal (language, "POSIX");
}

/* Beside the program when it was installed below another directory than it was built for. */
static char *
find_translations (void)
{
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *bin = self != NULL ? g_path_get_dirname (self) : g_strdup ("/usr/bin");
  g_autofree char *prefix = g_path_get_dirname (bin);
  g_autofree char *beside = g_build_filename (prefix, "share", "locale", NULL);

  return g_strdup (g_file_test (beside, G_FILE_TEST_IS_DIR) ? beside : LODGE_LOCALEDIR);
}

void
lodge_i18n_init (void)
{
  g_autofree char *folder = NULL;

  if (!is_translated ())
    return;
  setlocale (LC_MESSAGES, "");
  setlocale (LC_CTYPE, "");
  folder = find_translations ();
  bindtextdomain (GETTEXT_PACKAGE, folder);
  bind_textdomain_codeset (GETTEXT_PACKAGE, "UTF-8");
}
