/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lodge-act.h"
#include "lodge-i18n.h"
#include "lodge-image-path.h"
#include "lodge-job-wait.h"
#include "lodge-name.h"
#include "lodge-output.h"
#include "lodge-rows.h"

static const LodgeColumn columns[] = {
  { "aliases", N_ ("ALIASES"), NULL, FALSE, FALSE },
  { "fingerprint", N_ ("FINGERPRINT"), lodge_format_row_fingerprint, FALSE, FALSE },
  { "kind", N_ ("KIND"), NULL, FALSE, FALSE },
  { "architecture", N_ ("ARCH"), NULL, FALSE, FALSE },
  { "size", N_ ("SIZE"), lodge_format_row_size, TRUE, FALSE },
  { "created", N_ ("CREATED"), lodge_format_row_time, FALSE, FALSE },
  { "description", N_ ("DESCRIPTION"), NULL, FALSE, FALSE },
  { "last-used", N_ ("LAST USED"), lodge_format_row_time, FALSE, TRUE },
  { "expires", N_ ("EXPIRES"), lodge_format_row_time, FALSE, TRUE },
  { "cached", N_ ("CACHED"), lodge_format_row_flag, FALSE, TRUE },
  { "pinned", N_ ("PINNED"), lodge_format_row_flag, FALSE, TRUE },
  { "auto-update", N_ ("AUTO-UPDATE"), lodge_format_row_flag, FALSE, TRUE },
  { "source", N_ ("SOURCE"), NULL, FALSE, TRUE },
  { "used-by", N_ ("USED BY"), NULL, FALSE, TRUE },
  { NULL },
};

/* -f name and -q print what the other commands take. */
static const LodgeColumn name_columns[] = {
  { "fingerprint", N_ ("FINGERPRINT"), NULL, FALSE, FALSE },
  { NULL },
};

static gboolean
wants_names (LodgeCli *cli, const LodgeArgs *args)
{
  const char *format = lodge_args_string (args, "format");

  return format != NULL ? strcmp (format, "name") == 0 : cli->quiet;
}

/* "images:debian" rather than "debian/x:y". */
static gboolean
names_remote (const char *word)
{
  const char *colon = word != NULL ? strchr (word, ':') : NULL;

  return colon != NULL && memchr (word, '/', (gsize) (colon - word)) == NULL;
}

/* Whether a word of the filter is a part of an alias, of the description or the fingerprint. */
static gboolean
matches (GVariant *row, const char *word)
{
  g_autofree char *description = lodge_row_string (row, "description");
  g_autofree char *fingerprint = lodge_row_string (row, "fingerprint");
  g_autofree const char **aliases = NULL;

  g_variant_lookup (row, "aliases", "^a&s", &aliases);
  for (const char **alias = aliases; alias != NULL && *alias != NULL; alias++)
    if (strstr (*alias, word) != NULL)
      return TRUE;
  return (description != NULL && strstr (description, word) != NULL)
         || (fingerprint != NULL && g_str_has_prefix (fingerprint, word));
}

static gboolean
is_wanted (GVariant *row, const LodgeArgs *args)
{
  static const char *const options[][2] = { { "kind", "kind" }, { "arch", "architecture" } };

  for (gsize i = 0; i < G_N_ELEMENTS (options); i++)
    {
      const char *wanted = lodge_args_string (args, options[i][0]);
      g_autofree char *value = lodge_row_string (row, options[i][1]);
      if (wanted != NULL && strcmp (wanted, "all") != 0 && g_strcmp0 (wanted, value) != 0)
        return FALSE;
    }
  for (const char *const *word = lodge_args_words (args); *word != NULL; word++)
    if (!matches (row, *word))
      return FALSE;
  return TRUE;
}

gboolean
lodge_cmd_image_list (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  if (names_remote (lodge_args_word (args, 0)))
    return lodge_cmd_remote_images (cli, args, error);

  g_autoptr (GPtrArray) rows
      = lodge_rows_fetch (cli, "Images", "ListImages", g_variant_new ("(a{sv})", NULL), error);

  for (guint i = rows != NULL ? rows->len : 0; i > 0; i--)
    if (!is_wanted (g_ptr_array_index (rows, i - 1), args))
      g_ptr_array_remove_index (rows, i - 1);
  return rows != NULL
         && lodge_output_list (cli, args, rows, wants_names (cli, args) ? name_columns : columns,
                               error);
}

char *
lodge_image_path (LodgeClient *client, const LodgeArgs *args, const char *ref, GError **error)
{
  return lodge_image_path_of_kind (client, lodge_args_string (args, "kind"), ref, error);
}

char *
lodge_image_path_of_kind (LodgeClient *client, const char *kind, const char *ref, GError **error)
{
  g_auto (GVariantDict) options = G_VARIANT_DICT_INIT (NULL);
  g_autoptr (GVariant) body = NULL;
  char *path = NULL;

  if (!g_utf8_validate (ref, -1, NULL))
    {
      g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                           _ ("The name of an image must be text."));
      return NULL;
    }
  if (kind != NULL)
    g_variant_dict_insert (&options, "kind", "s", kind);
  body = lodge_client_call (client, LODGE_OBJECT_PATH, "Images", "GetImage",
                            g_variant_new ("(s@a{sv})", ref, g_variant_dict_end (&options)), "(o)",
                            error);
  if (body != NULL)
    g_variant_get (body, "(o)", &path);
  return path;
}

static void
print_image (GVariant *object)
{
  for (gsize i = 0; i < g_variant_n_children (object); i++)
    {
      g_autoptr (GVariant) value = NULL;
      g_autofree char *text = NULL;
      const char *key;

      g_variant_get_child (object, i, "{&sv}", &key, &value);
      if (strcmp (key, "size") == 0)
        text = lodge_format_row_size (object, key);
      else if (g_str_has_suffix (key, "-at"))
        text = lodge_format_row_time (object, key);
      else
        text = lodge_output_plain (value);
      printf ("%s:%*s %s\n", key, (int) MAX (0, 14 - (int) strlen (key)), "",
              text != NULL && text[0] != '\0' ? text : "-");
    }
}

gboolean
lodge_cmd_image_show (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  LodgeClient *client = lodge_cli_get_client (cli, error);
  g_autofree char *path
      = client != NULL ? lodge_image_path (client, args, lodge_args_word (args, 0), error) : NULL;
  g_autoptr (GVariant) properties
      = path != NULL ? lodge_client_get_properties (client, path, "Image", error) : NULL;
  g_autoptr (GVariant) object = properties != NULL ? lodge_rows_from_properties (properties) : NULL;

  if (object == NULL)
    return FALSE;
  if (lodge_output_is_for_programs (args))
    return lodge_output_object (cli, args, object, error);
  print_image (object);
  return TRUE;
}

gboolean
lodge_cmd_image_alias (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  LodgeClient *client = lodge_cli_get_client (cli, error);
  g_autofree char *path
      = client != NULL ? lodge_image_path (client, args, lodge_args_word (args, 0), error) : NULL;
  g_autoptr (GVariant) body = NULL;

  if (path == NULL)
    return FALSE;
  for (const char *const *alias = lodge_args_words (args) + 1; *alias != NULL; alias++)
    if (!lodge_alias_validate (*alias, error))
      return FALSE;
  body = lodge_client_call (client, path, "Image", "SetAliases",
                            g_variant_new ("(^asa{sv})", lodge_args_words (args) + 1, NULL), "()",
                            error);
  return body != NULL;
}

/* Sends Image.Delete and keeps the job or the error in @wait. */
static void
delete_one (LodgeClient *client, const LodgeArgs *args, const char *ref, LodgeJobWait *wait)
{
  g_autofree char *path = lodge_image_path (client, args, ref, &wait->error);
  g_autoptr (GVariant) body = NULL;

  if (path == NULL)
    return;
  body = lodge_client_call (client, path, "Image", "Delete", g_variant_new ("(a{sv})", NULL), "(o)",
                            &wait->error);
  if (body != NULL)
    g_variant_get (body, "(o)", &wait->path);
}

static gboolean
wait_all (LodgeCli *cli, const LodgeArgs *args, LodgeJobWait *waits, guint n, GError **error)
{
  g_autofree GError **errors = g_new0 (GError *, n);

  if (lodge_args_flag (args, "no-wait"))
    {
      for (guint i = 0; i < n; i++)
        if (waits[i].path != NULL)
          lodge_job_print_id (waits[i].path);
    }
  else if (!lodge_jobs_wait (cli, waits, n, error))
    return FALSE;
  for (guint i = 0; i < n; i++)
    errors[i] = waits[i].error;
  return lodge_report_errors (cli, lodge_args_words (args), errors, n, error);
}

gboolean
lodge_cmd_image_delete (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  LodgeClient *client = lodge_cli_get_client (cli, error);
  guint n = lodge_args_n_words (args);
  g_autofree LodgeJobWait *waits = g_new0 (LodgeJobWait, n);

  if (client == NULL)
    return FALSE;
  if (!lodge_args_flag (args, "yes") && isatty (STDIN_FILENO) && cli->stderr_tty)
    {
      g_autofree char *list = g_strjoinv (", ", (char **) lodge_args_words (args));
      g_autofree char *shown = lodge_text_escape (list);
      g_autofree char *question = g_strdup_printf (_ ("Delete %s?"), shown);
      if (!lodge_cli_ask (cli, question))
        {
          g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_CANCELLED,
                               _ ("Nothing was deleted."));
          return FALSE;
        }
    }
  for (guint i = 0; i < n; i++)
    delete_one (client, args, lodge_args_word (args, i), &waits[i]);
  gboolean good = wait_all (cli, args, waits, n, error);
  for (guint i = 0; i < n; i++)
    lodge_job_wait_clear (&waits[i]);
  return good;
}
