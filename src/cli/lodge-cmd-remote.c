/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* remote …, and `image list` of what a remote has. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "lodge-cmd.h"
#include "lodge-fd.h"
#include "lodge-i18n.h"
#include "lodge-name.h"
#include "lodge-output.h"
#include "lodge-rows.h"

#define FILE_MAX (1 << 20)

static const LodgeColumn columns[] = {
  { "name", N_ ("NAME"), NULL, FALSE, FALSE },
  { "protocol", N_ ("PROTOCOL"), NULL, FALSE, FALSE },
  { "url", N_ ("URL"), NULL, FALSE, FALSE },
  { "default", N_ ("DEFAULT"), lodge_format_row_flag, FALSE, FALSE },
  { "signed", N_ ("SIGNED"), lodge_format_row_flag, FALSE, TRUE },
  { "private", N_ ("PRIVATE"), lodge_format_row_flag, FALSE, TRUE },
  { "mirrors", N_ ("MIRRORS"), NULL, FALSE, TRUE },
  { NULL },
};

gboolean
lodge_cmd_remote_list (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  g_autoptr (GPtrArray) rows
      = lodge_rows_fetch (cli, "Remotes", "List", g_variant_new ("(a{sv})", NULL), error);

  return rows != NULL && lodge_output_list (cli, args, rows, columns, error);
}

/* Calls a method that answers with @type.  Returns: (transfer full). */
static GVariant *
call (LodgeCli *cli, const char *method, GVariant *body, const char *type, GError **error)
{
  g_autoptr (GVariant) sunk = g_variant_ref_sink (body);
  LodgeClient *client = lodge_cli_get_client (cli, error);

  if (client == NULL)
    return NULL;
  return lodge_client_call (client, LODGE_OBJECT_PATH, "Remotes", method, sunk, type, error);
}

/* Names and addresses come from a command line, in whatever encoding. */
static gboolean
check_text (const char *text, GError **error)
{
  if (g_utf8_validate (text, -1, NULL))
    return TRUE;
  g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                       _ ("The name or the address of a remote must be text."));
  return FALSE;
}

/* Adds the contents of the file that @option names, read with the caller's rights. */
static gboolean
add_file (GVariantDict *options, const LodgeArgs *args, const char *option, const char *key,
          GError **error)
{
  const char *path = lodge_args_string (args, option);
  g_autofree char *data = NULL;
  gsize size;

  if (path == NULL)
    return TRUE;
  g_auto (LodgeFd) fd = open (path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (fd < 0)
    {
      g_autofree char *shown = lodge_text_escape (path);
      lodge_error_set_errno (error, errno, "%s cannot be opened", shown);
      return FALSE;
    }
  data = lodge_fd_read_all (fd, FILE_MAX, &size, error);
  if (data == NULL)
    return FALSE;
  g_variant_dict_insert_value (options, key,
                               g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, data, size, 1));
  return TRUE;
}

static gboolean
read_options (GVariantDict *options, const LodgeArgs *args, GError **error)
{
  g_autofree const char **mirrors = lodge_args_strings (args, "mirror");
  static const char *const strings[] = { "protocol", "proxy" };
  static const char *const flags[] = { "private", "allow-http" };

  for (gsize i = 0; i < G_N_ELEMENTS (strings); i++)
    {
      const char *value = lodge_args_string (args, strings[i]);
      if (value == NULL)
        continue;
      if (!check_text (value, error))
        return FALSE;
      g_variant_dict_insert (options, strings[i], "s", value);
    }
  for (gsize i = 0; i < G_N_ELEMENTS (flags); i++)
    if (lodge_args_flag (args, flags[i]))
      g_variant_dict_insert (options, flags[i], "b", TRUE);
  for (const char **mirror = mirrors; *mirror != NULL; mirror++)
    if (!check_text (*mirror, error))
      return FALSE;
  if (mirrors[0] != NULL)
    g_variant_dict_insert_value (options, "mirrors", g_variant_new_strv (mirrors, -1));
  return add_file (options, args, "ca", "authority", error)
         && add_file (options, args, "keyring", "keyring", error);
}

gboolean
lodge_cmd_remote_add (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  g_auto (GVariantDict) options = G_VARIANT_DICT_INIT (NULL);
  const char *name = lodge_args_word (args, 0), *url = lodge_args_word (args, 1);
  g_autoptr (GVariant) reply = NULL;

  if (!check_text (name, error) || !check_text (url, error)
      || !read_options (&options, args, error))
    return FALSE;
  reply = call (cli, "Add", g_variant_new ("(ss@a{sv})", name, url, g_variant_dict_end (&options)),
                "()", error);
  return reply != NULL;
}

static gboolean
change (LodgeCli *cli, const LodgeArgs *args, const char *method, GError **error)
{
  const char *name = lodge_args_word (args, 0);
  g_autoptr (GVariant) reply = NULL;

  if (!check_text (name, error))
    return FALSE;
  reply = call (cli, method, g_variant_new ("(sa{sv})", name, NULL), "()", error);
  return reply != NULL;
}

gboolean
lodge_cmd_remote_remove (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  return change (cli, args, "Remove", error);
}

gboolean
lodge_cmd_remote_set_default (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  return change (cli, args, "SetDefault", error);
}

gboolean
lodge_cmd_remote_refresh (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  g_auto (GVariantDict) options = G_VARIANT_DICT_INIT (NULL);
  const char *name = lodge_args_word (args, 0);
  g_autoptr (GVariant) reply = NULL;
  guint32 n_images;

  if (!check_text (name, error))
    return FALSE;
  if (lodge_args_flag (args, "accept-older"))
    g_variant_dict_insert (&options, "accept-older", "b", TRUE);
  reply = call (cli, "Refresh", g_variant_new ("(s@a{sv})", name, g_variant_dict_end (&options)),
                "(u)", error);
  if (reply == NULL)
    return FALSE;
  g_variant_get (reply, "(u)", &n_images);
  if (!cli->quiet)
    fprintf (stderr, _ ("“%s” has %u images\n"), name, n_images);
  return TRUE;
}

/* ---- what a remote has ---- */

static const LodgeColumn image_columns[] = {
  { "name", N_ ("NAME"), NULL, FALSE, FALSE },
  { "fingerprint", N_ ("FINGERPRINT"), lodge_format_row_fingerprint, FALSE, FALSE },
  { "kind", N_ ("KIND"), NULL, FALSE, FALSE },
  { "architecture", N_ ("ARCH"), NULL, FALSE, FALSE },
  { "size", N_ ("SIZE"), lodge_format_row_size, TRUE, FALSE },
  { "serial", N_ ("VERSION"), NULL, FALSE, FALSE },
  { "description", N_ ("DESCRIPTION"), NULL, FALSE, FALSE },
  { "aliases", N_ ("ALIASES"), NULL, FALSE, TRUE },
  { "os", N_ ("OS"), NULL, FALSE, TRUE },
  { "release", N_ ("RELEASE"), NULL, FALSE, TRUE },
  { "variant", N_ ("VARIANT"), NULL, FALSE, TRUE },
  { NULL },
};

gboolean
lodge_cmd_remote_images (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  g_auto (GVariantDict) options = G_VARIANT_DICT_INIT (NULL);
  const char *const *words = lodge_args_words (args);
  const char *colon = strchr (words[0], ':');
  g_autofree char *name = g_strndup (words[0], (gsize) (colon - words[0]));
  g_autoptr (GPtrArray) filter = g_ptr_array_new ();
  static const char *const strings[][2] = { { "kind", "kind" }, { "arch", "architecture" } };

  for (const char *const *word = words; *word != NULL; word++)
    if (!check_text (*word, error))
      return FALSE;
  if (colon[1] != '\0')
    g_ptr_array_add (filter, (gpointer) (colon + 1));
  for (const char *const *word = words + 1; *word != NULL; word++)
    g_ptr_array_add (filter, (gpointer) *word);
  if (filter->len > 0)
    g_variant_dict_insert_value (
        &options, "filter",
        g_variant_new_strv ((const char *const *) filter->pdata, (gssize) filter->len));
  for (gsize i = 0; i < G_N_ELEMENTS (strings); i++)
    {
      const char *value = lodge_args_string (args, strings[i][0]);
      if (value != NULL && !check_text (value, error))
        return FALSE;
      if (value != NULL)
        g_variant_dict_insert (&options, strings[i][1], "s", value);
    }
  g_autoptr (GPtrArray) rows
      = lodge_rows_fetch (cli, "Remotes", "ListImages",
                          g_variant_new ("(s@a{sv})", name, g_variant_dict_end (&options)), error);
  return rows != NULL && lodge_output_list (cli, args, rows, image_columns, error);
}
