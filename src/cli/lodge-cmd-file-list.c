/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* file list and file remove. */
#include <string.h>

#include "lodge-cmd.h"
#include "lodge-file-remote.h"
#include "lodge-i18n.h"
#include "lodge-name.h"
#include "lodge-output.h"

#define MAX_DEPTH 256

static char *
format_mode (GVariant *row, const char *key)
{
  guint64 mode = lodge_row_uint (row, key, 0);
  static const char letters[] = "rwxrwxrwx";
  g_autofree char *type = lodge_row_string (row, "type");
  char *text = g_strdup ("----------");

  text[0] = g_strcmp0 (type, "directory") == 0 ? 'd' : g_strcmp0 (type, "link") == 0 ? 'l' : '-';
  for (guint i = 0; i < 9; i++)
    if (mode & (0400u >> i))
      text[1 + i] = letters[i];
  if (mode & 04000)
    text[3] = text[3] == 'x' ? 's' : 'S';
  if (mode & 02000)
    text[6] = text[6] == 'x' ? 's' : 'S';
  if (mode & 01000)
    text[9] = text[9] == 'x' ? 't' : 'T';
  return text;
}

static char *
format_name (GVariant *row, const char *key)
{
  g_autofree char *name = lodge_row_string (row, "name");
  g_autofree char *link = lodge_row_string (row, "link");
  g_autofree char *both
      = link != NULL && link[0] != '\0' ? g_strdup_printf ("%s -> %s", name, link) : NULL;

  return lodge_text_escape (both != NULL ? both : name);
}

static const LodgeColumn columns[] = {
  { "mode", N_ ("MODE"), format_mode, FALSE, FALSE },
  { "uid", N_ ("UID"), NULL, TRUE, FALSE },
  { "gid", N_ ("GID"), NULL, TRUE, FALSE },
  { "size", N_ ("SIZE"), NULL, TRUE, FALSE },
  { "mtime", N_ ("CHANGED"), lodge_format_row_time, FALSE, FALSE },
  { "name", N_ ("NAME"), format_name, FALSE, FALSE },
  { "type", N_ ("TYPE"), NULL, FALSE, TRUE },
  { NULL },
};

static const LodgeColumn name_columns[] = { { "name", N_ ("NAME"), NULL, FALSE, FALSE }, { NULL } };

static const char *
type_word (LodgeFilesType type)
{
  static const char *const words[] = {
    [LODGE_FILES_TYPE_OTHER] = "other",
    [LODGE_FILES_TYPE_FILE] = "file",
    [LODGE_FILES_TYPE_DIR] = "directory",
    [LODGE_FILES_TYPE_SYMLINK] = "link",
  };

  return (gsize) type < G_N_ELEMENTS (words) ? words[type] : words[0];
}

/* File names are bytes; what is no UTF-8 is shown as \xNN in every format. */
static GVariant *
text_variant (const char *text)
{
  g_autofree char *escaped
      = g_utf8_validate (text, -1, NULL) ? g_strdup (text) : lodge_text_escape (text);

  return g_variant_new_string (escaped);
}

static GVariant *
row_of (const LodgeFilesAnswer *entry, const char *name)
{
  GVariantDict dict;

  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert_value (&dict, "name", text_variant (name));
  g_variant_dict_insert (&dict, "type", "s", type_word (entry->type));
  g_variant_dict_insert (&dict, "mode", "u", entry->mode & 07777);
  g_variant_dict_insert (&dict, "uid", "u", entry->uid);
  g_variant_dict_insert (&dict, "gid", "u", entry->gid);
  g_variant_dict_insert (&dict, "size", "t", entry->size);
  g_variant_dict_insert (&dict, "mtime", "t", (guint64) MAX (entry->mtime, 0));
  if (entry->type == LODGE_FILES_TYPE_SYMLINK)
    g_variant_dict_insert_value (&dict, "link",
                                 text_variant (entry->link != NULL ? entry->link : ""));
  return g_variant_ref_sink (g_variant_dict_end (&dict));
}

static int
by_name (gconstpointer a, gconstpointer b)
{
  const LodgeFilesAnswer *left = *(LodgeFilesAnswer *const *) a;
  const LodgeFilesAnswer *right = *(LodgeFilesAnswer *const *) b;

  return strcmp (left->text, right->text);
}

static gboolean
fetch_rows (LodgeFileRemote *remote, GPtrArray *rows, GError **error)
{
  static const LodgeFilesAttributes follow = { .flags = LODGE_FILES_FOLLOW };
  g_auto (LodgeFilesAnswer) answer = { 0 };
  g_autoptr (GPtrArray) entries = NULL;

  if (!lodge_file_remote_ask (remote, LODGE_FILES_STAT, &follow, remote->path, &answer, error))
    return FALSE;
  if (answer.type != LODGE_FILES_TYPE_DIR)
    {
      g_autofree char *name = lodge_file_last_part (remote->path);
      g_ptr_array_add (rows, row_of (&answer, name));
      return TRUE;
    }
  entries = lodge_file_remote_list (remote, remote->path, error);
  if (entries == NULL)
    return FALSE;
  g_ptr_array_sort (entries, by_name);
  for (guint i = 0; i < entries->len; i++)
    {
      const LodgeFilesAnswer *entry = entries->pdata[i];
      g_ptr_array_add (rows, row_of (entry, entry->text));
    }
  return TRUE;
}

gboolean
lodge_cmd_file_list (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  g_auto (LodgeFileRemote) remote = { 0 };
  g_autoptr (GPtrArray) rows = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);
  gboolean names = cli->quiet || g_strcmp0 (lodge_args_string (args, "format"), "name") == 0;

  if (!lodge_file_remote_parse (&remote, lodge_args_word (args, 0), error)
      || !lodge_file_remote_open (&remote, cli, error) || !fetch_rows (&remote, rows, error))
    return FALSE;
  lodge_progress_clear (&remote.progress);
  return lodge_output_list (cli, args, rows, names ? name_columns : columns, error);
}

static gboolean
remove_tree (LodgeFileRemote *remote, const char *path, gboolean recursive, guint depth,
             GError **error)
{
  g_auto (LodgeFilesAnswer) answer = { 0 };
  g_auto (LodgeFilesAnswer) removed = { 0 };

  if (!lodge_file_remote_ask (remote, LODGE_FILES_STAT, NULL, path, &answer, error))
    return FALSE;
  if (answer.type == LODGE_FILES_TYPE_DIR && depth <= MAX_DEPTH)
    {
      g_autoptr (GPtrArray) entries = lodge_file_remote_list (remote, path, error);

      if (entries != NULL && entries->len > 0 && !recursive)
        {
          g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                       _ ("The directory %s%s is not empty.\n--recursive removes it with what is "
                          "in it"),
                       remote->instance, path);
          return FALSE;
        }
      for (guint i = 0; entries != NULL && i < entries->len; i++)
        {
          const LodgeFilesAnswer *entry = entries->pdata[i];
          g_autofree char *inner = lodge_file_join (path, entry->text);
          if (!remove_tree (remote, inner, TRUE, depth + 1, error))
            return FALSE;
        }
      if (entries == NULL)
        return FALSE;
    }
  return lodge_file_remote_ask (remote, LODGE_FILES_REMOVE, NULL, path, &removed, error);
}

gboolean
lodge_cmd_file_remove (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  gboolean recursive = lodge_args_flag (args, "recursive");

  for (const char *const *address = lodge_args_words (args); *address != NULL; address++)
    {
      g_auto (LodgeFileRemote) remote = { 0 };
      g_autofree char *last = NULL;

      if (!lodge_file_remote_parse (&remote, *address, error))
        return FALSE;
      last = lodge_file_last_part (remote.path);
      if (last[0] == '\0')
        {
          g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                       _ ("The root of %s is not removed.\n“lodge delete %s” removes it all"),
                       remote.instance, remote.instance);
          return FALSE;
        }
      if (!lodge_file_remote_open (&remote, cli, error)
          || !remove_tree (&remote, remote.path, recursive, 0, error)
          || !lodge_file_remote_close (&remote, error))
        return FALSE;
    }
  return TRUE;
}
