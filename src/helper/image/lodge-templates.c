/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-templates.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "lodge-extract.h"
#include "lodge-io.h"
#include "lodge-member.h"
#include "lodge-metadata.h"
#include "lodge-root-file.h"
#include "lodge-status.h"

#define ENTRIES_MAX  64
#define TEMPLATE_MAX (64 * 1024)

static const char *const TRIGGERS[] = { "create", "copy", "start", "rename" };

guint
lodge_template_trigger_find (const char *name)
{
  for (guint i = 0; i < G_N_ELEMENTS (TRIGGERS); i++)
    if (g_strcmp0 (TRIGGERS[i], name) == 0)
      return 1u << i;
  return 0;
}

static void
entry_free (gpointer data)
{
  LodgeTemplateEntry *entry = data;

  g_free (entry->path);
  g_free (entry->name);
  g_hash_table_unref (entry->properties);
  g_free (entry);
}

/* ---- metadata.yaml ---- */

static LodgeTemplateEntry *
find_or_add (GPtrArray *entries, const char *path)
{
  for (guint i = 0; i < entries->len; i++)
    if (strcmp (((LodgeTemplateEntry *) entries->pdata[i])->path, path) == 0)
      return entries->pdata[i];
  if (entries->len == ENTRIES_MAX)
    return NULL;

  LodgeTemplateEntry *entry = g_new0 (LodgeTemplateEntry, 1);
  entry->path = g_strdup (path);
  entry->mode = entry->uid = entry->gid = -1;
  entry->properties = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_ptr_array_add (entries, entry);
  return entry;
}

static int
number_of (const char *value, int base, int max)
{
  char *end;
  guint64 number = g_ascii_strtoull (value, &end, base);

  return *value != '\0' && *end == '\0' && number <= (guint64) max ? (int) number : -1;
}

static void
take_field (LodgeTemplateEntry *entry, const char *field, const char *value)
{
  if (strcmp (field, "template") == 0)
    {
      g_free (entry->name);
      entry->name = g_strdup (value);
    }
  else if (strcmp (field, "create_only") == 0)
    entry->create_only = g_ascii_strcasecmp (value, "true") == 0 || strcmp (value, "yes") == 0;
  else if (strcmp (field, "when") == 0)
    entry->when |= lodge_template_trigger_find (value);
  else if (strcmp (field, "mode") == 0)
    entry->mode = number_of (value, 8, 0777);
  else if (strcmp (field, "uid") == 0)
    entry->uid = number_of (value, 10, 65535);
  else if (strcmp (field, "gid") == 0)
    entry->gid = number_of (value, 10, 65535);
}

static void
take_value (const char *const *path, size_t depth, const char *value, void *user_data)
{
  if (depth < 3 || depth > 4 || strcmp (path[0], "templates") != 0)
    return;

  LodgeTemplateEntry *entry = find_or_add (user_data, path[1]);
  if (entry == NULL)
    return;
  if (depth == 4 && strcmp (path[2], "properties") == 0)
    g_hash_table_replace (entry->properties, g_strdup (path[3]), g_strdup (value));
  else if (depth == 3 || strcmp (path[2], "when") == 0)
    take_field (entry, path[2], value);
}

GPtrArray *
lodge_templates_parse (const char *text, gsize size, LodgeFail *fail)
{
  g_autoptr (GPtrArray) entries = g_ptr_array_new_with_free_func (entry_free);

  if (!lodge_metadata_parse (text, size, take_value, entries, fail))
    return NULL;
  return g_steal_pointer (&entries);
}

/* ---- files ---- */

/* (transfer full): NUL-ended text of a small file, or NULL. */
static char *
read_text (int dir, const char *path, gsize max, gsize *out_size)
{
  gsize size;
  LODGE_AUTOFD fd = lodge_io_open_regular (dir, path, max, &size);
  g_autofree char *text = fd >= 0 ? g_malloc (max + 1) : NULL;
  ssize_t n = text != NULL ? lodge_io_read_fd (fd, text, max + 1) : -1;

  if (n < 0)
    return NULL;
  *out_size = (gsize) n;
  return g_steal_pointer (&text);
}

static char *
read_template (int image, const LodgeTemplateEntry *entry, LodgeFail *fail)
{
  g_autofree char *text = NULL;
  gsize size = 0;

  if (entry->name != NULL && lodge_member_is_template_name (entry->name))
    {
      g_autofree char *path = g_build_filename (LODGE_EXTRACT_TEMPLATES, entry->name, NULL);
      text = read_text (image, path, TEMPLATE_MAX, &size);
    }
  if (text == NULL)
    lodge_fail (fail, "ImageInvalid", "it is not there");
  else if (strlen (text) != size || !g_utf8_validate (text, -1, NULL))
    lodge_fail (fail, "ImageInvalid", "it is no text");
  else
    return g_steal_pointer (&text);
  return NULL;
}

static bool
apply_entry (int image, int root, const LodgeTemplateEntry *entry, LodgeTemplateScope *scope,
             LodgeFail *fail)
{
  const LodgeRootFileOwner owner = { .mode = entry->mode >= 0 ? (mode_t) entry->mode : 0644,
                                     .uid = entry->uid > 0 ? (uid_t) entry->uid : 0,
                                     .gid = entry->gid > 0 ? (gid_t) entry->gid : 0 };
  bool says_owner = entry->mode >= 0 || entry->uid >= 0 || entry->gid >= 0;
  g_autofree char *text = read_template (image, entry, fail);
  g_autoptr (GString) output = g_string_new (NULL);

  if (text == NULL)
    return false;
  scope->properties = entry->properties;
  g_hash_table_replace (scope->values, g_strdup ("path"), g_strdup (entry->path));
  return lodge_template_render (text, scope, output, fail)
         && lodge_root_file_write (root, entry->path, output->str, output->len,
                                   says_owner ? &owner : NULL, entry->create_only, fail);
}

bool
lodge_templates_apply (int image, int root, const char *only_below, guint trigger,
                       LodgeTemplateScope *scope, LodgeFail *fail)
{
  gsize size;
  g_autofree char *text = read_text (image, LODGE_EXTRACT_METADATA, LODGE_METADATA_MAX, &size);
  g_autoptr (GPtrArray) entries = NULL;

  if (text == NULL)
    return true;
  entries = lodge_templates_parse (text, size, fail);
  if (entries == NULL)
    return false;
  for (guint i = 0; i < entries->len; i++)
    {
      const LodgeTemplateEntry *entry = entries->pdata[i];
      LodgeFail why = { 0 };

      if ((entry->when & trigger) == 0
          || (only_below != NULL && !g_str_has_prefix (entry->path, only_below)))
        continue;
      if (apply_entry (image, root, entry, scope, &why))
        continue;
      if (g_strcmp0 (why.nick, "NoSpace") == 0)
        return lodge_fail (fail, why.nick, "%s", why.text);
      lodge_status_notice ("The image's template for %.200s is left out: %s", entry->path,
                           why.text);
    }
  return true;
}
