/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-mirror.h"

#include <string.h>

#include "lodge-command.h"

static const char *const FROZEN_OPTIONS[] = {
  "Acquire::Check-Valid-Until ",
  "Acquire::Check-Date ",
};

static const char *const WAY_OPTIONS[] = {
  "Acquire::http::Proxy", "Acquire::https::Proxy", "Acquire::Retries ",
  "Acquire::ForceIPv4 ",  "Acquire::ForceIPv6 ",   "Acquire::http::User-Agent ",
};

static bool
has_prefix_of (const char *text, const char *const *prefixes, gsize n)
{
  for (gsize i = 0; i < n; i++)
    if (g_ascii_strncasecmp (text, prefixes[i], strlen (prefixes[i])) == 0)
      return true;
  return false;
}

bool
lodge_mirror_option_is_of_archive (const char *option)
{
  return has_prefix_of (option, FROZEN_OPTIONS, G_N_ELEMENTS (FROZEN_OPTIONS));
}

char **
lodge_mirror_options (void)
{
  LodgeFail fail = { 0 };
  static const char *const ARGV[] = { "apt-config", "dump", "Acquire", NULL };
  g_autofree char *text = lodge_command_capture (ARGV, &fail);
  g_auto (GStrv) lines = g_strsplit (text != NULL ? text : "", "\n", -1);
  g_autoptr (GPtrArray) options = g_ptr_array_new ();

  for (char **line = lines; *line != NULL; line++)
    if (g_str_has_suffix (*line, "\";") && !g_str_has_suffix (*line, " \"\";")
        && (lodge_mirror_option_is_of_archive (*line)
            || has_prefix_of (*line, WAY_OPTIONS, G_N_ELEMENTS (WAY_OPTIONS))))
      g_ptr_array_add (options, g_strdup (*line));
  g_ptr_array_add (options, NULL);
  return (char **) g_ptr_array_free (g_steal_pointer (&options), FALSE);
}

/** "a b|Debian|bookworm|main|http://host/debian/" → its fields. */
static bool
target_is_of (char **fields, const LodgeArchive *archive)
{
  if (g_strv_length (fields) != 4 || strcmp (fields[2], "main") != 0)
    return false;
  /* Without lists apt has no label and leaves the field as it is. */
  if (fields[0][0] != '\0' && fields[0][0] != '$')
    return strcmp (fields[0], archive->label) == 0;
  g_autofree char *last = g_path_get_basename (fields[3]);
  return strcmp (last, archive->path) == 0;
}

/** The host's mirror of @archive: that of its very suite, else of any. */
static char *
find_mirror (char **targets, const LodgeRecipe *recipe, const LodgeArchive *archive)
{
  g_autofree char *suite = g_strconcat (recipe->suite, archive->suffix, NULL);
  g_autofree char *found = NULL;

  for (char **target = targets; *target != NULL; target++)
    {
      g_auto (GStrv) fields = g_strsplit (*target, "|", 4);
      if (!target_is_of (fields, archive))
        continue;
      if (strcmp (fields[1], suite) == 0)
        return g_strdup (fields[3]);
      if (found == NULL)
        found = g_strdup (fields[3]);
    }
  return g_steal_pointer (&found);
}

char **
lodge_mirror_sources (const LodgeRecipe *recipe, const char *override)
{
  LodgeFail fail = { 0 };
  static const char *const ARGV[] = { "apt-get",
                                      "indextargets",
                                      "--format",
                                      "$(LABEL)|$(RELEASE)|$(COMPONENT)|$(REPO_URI)",
                                      "Created-By: Packages",
                                      NULL };
  g_autofree char *text = lodge_command_capture (ARGV, &fail);
  g_auto (GStrv) targets = g_strsplit (text != NULL ? text : "", "\n", -1);
  g_autoptr (GPtrArray) sources = g_ptr_array_new ();

  for (const LodgeArchive *archive = lodge_recipe_archives (recipe); archive->label != NULL;
       archive++)
    {
      g_autofree char *mirror = find_mirror (targets, recipe, archive);
      const char *uri = mirror != NULL ? mirror : archive->fallback;
      if (override != NULL && strcmp (archive->path, "debian") == 0)
        uri = override;
      gsize length = strlen (uri);
      while (length > 0 && uri[length - 1] == '/')
        length--;
      g_ptr_array_add (sources, g_strdup_printf ("deb %.*s %s%s main", (int) length, uri,
                                                 recipe->suite, archive->suffix));
    }
  g_ptr_array_add (sources, NULL);
  return (char **) g_ptr_array_free (g_steal_pointer (&sources), FALSE);
}
