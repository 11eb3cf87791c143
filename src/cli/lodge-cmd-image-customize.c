/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* image customize: a changed copy of an image. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lodge-cmd.h"
#include "lodge-i18n.h"
#include "lodge-image-path.h"
#include "lodge-job-wait.h"
#include "lodge-launch-access.h"
#include "lodge-name.h"
#include "lodge-output.h"

#define FILES_MAX 16 /* as many as a message of the system bus can bring */

typedef struct
{
  GVariantBuilder paths; /* a{sh} */
  int fds[FILES_MAX];
  guint n;
} Files;

static void
files_clear (Files *files)
{
  g_variant_builder_clear (&files->paths);
  for (guint i = 0; i < files->n; i++)
    close (files->fds[i]);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Files, files_clear)

/* "FILE:PATH"; a PATH that ends in a slash is the directory for it. */
static gboolean
add_file (Files *files, const char *word, GError **error)
{
  const char *colon = strrchr (word, ':');
  g_autofree char *shown = lodge_text_escape (word);
  struct stat st;

  if (colon == NULL || colon == word || colon[1] != '/' || files->n == FILES_MAX
      || !g_utf8_validate (colon, -1, NULL))
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                   _ ("“%s” is not of the form FILE:/PATH, or one of too many.\n"
                      "write it like --copy motd:/etc/motd; 16 files can be copied"),
                   shown);
      return FALSE;
    }
  g_autofree char *file = g_strndup (word, (gsize) (colon - word));
  g_autofree char *base = g_path_get_basename (file);
  g_autofree char *path = g_strconcat (colon + 1, g_str_has_suffix (colon, "/") ? base : "", NULL);
  int fd = open (file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (fd < 0)
    {
      lodge_error_set_errno (error, errno, _ ("“%s” cannot be read"), shown);
      return FALSE;
    }
  files->fds[files->n] = fd;
  g_variant_builder_add (&files->paths, "{sh}", path, (gint32) files->n);
  files->n++;
  if (fstat (fd, &st) == 0 && S_ISREG (st.st_mode))
    return TRUE;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
               _ ("“%s” is not a regular file.\nlet --run unpack an archive that --copy brings"),
               shown);
  return FALSE;
}

static gboolean
add_aliases (const LodgeArgs *args, GVariantDict *options, GError **error)
{
  g_autofree const char **values = lodge_args_strings (args, "alias");
  g_autoptr (GPtrArray) aliases = g_ptr_array_new ();

  if (lodge_args_word (args, 1) != NULL)
    g_ptr_array_add (aliases, (gpointer) lodge_args_word (args, 1));
  for (const char **value = values; *value != NULL; value++)
    g_ptr_array_add (aliases, (gpointer) *value);
  for (guint i = 0; i < aliases->len; i++)
    if (!lodge_alias_validate (aliases->pdata[i], error))
      return FALSE;
  if (aliases->len > 0)
    g_variant_dict_insert_value (
        options, "aliases",
        g_variant_new_strv ((const char *const *) aliases->pdata, aliases->len));
  return TRUE;
}

/* The options of Customize; NULL with @error.  (transfer full) */
static GVariant *
build_request (const LodgeArgs *args, Files *files, GError **error)
{
  static const char *const strings[] = { "description", "hostname" };
  static const char *const flags[] = { "reset-machine-id", "serial" };
  g_autofree const char **copies = lodge_args_strings (args, "copy");
  g_auto (GVariantDict) options = G_VARIANT_DICT_INIT (NULL);

  for (gsize i = 0; i < G_N_ELEMENTS (strings); i++)
    if (lodge_args_string (args, strings[i]) != NULL)
      g_variant_dict_insert (&options, strings[i], "s", lodge_args_string (args, strings[i]));
  for (gsize i = 0; i < G_N_ELEMENTS (flags); i++)
    if (lodge_args_flag (args, flags[i]))
      g_variant_dict_insert (&options, flags[i], "b", TRUE);
  for (const char **copy = copies; *copy != NULL; copy++)
    if (!add_file (files, *copy, error))
      return NULL;
  if (!add_aliases (args, &options, error) || !lodge_args_add_size (args, &options, error)
      || !lodge_access_add (args, &options, error))
    return NULL;
  if (files->n > 0)
    g_variant_dict_insert_value (&options, "files", g_variant_builder_end (&files->paths));
  return g_variant_ref_sink (g_variant_new ("(@a{sv})", g_variant_dict_end (&options)));
}

gboolean
lodge_cmd_image_customize (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  g_auto (Files) files = { .paths = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("a{sh}")) };
  g_autoptr (GVariant) request = build_request (args, &files, error);
  LodgeClient *client = request != NULL ? lodge_cli_get_client (cli, error) : NULL;
  g_autofree char *image
      = client != NULL ? lodge_image_path (client, args, lodge_args_word (args, 0), error) : NULL;
  g_autoptr (LodgeMessage) reply = NULL;
  const char *job;

  if (image == NULL)
    return FALSE;
  guint32 serial
      = lodge_client_send (client, image, "Image", "Customize", request, files.fds, files.n, error);
  reply = serial != 0 ? lodge_client_finish (client, serial, "(o)", error) : NULL;
  if (reply == NULL)
    return FALSE;
  g_variant_get (reply->body, "(&o)", &job);
  if (lodge_args_flag (args, "no-wait"))
    {
      lodge_cli_unwatch_signals (cli);
      lodge_job_print_id (job);
      return TRUE;
    }
  g_autoptr (GVariant) result = lodge_job_wait (cli, job, error);
  if (result == NULL)
    return FALSE;
  g_autofree char *fingerprint = lodge_row_string (result, "fingerprint");
  g_autofree char *shown = lodge_text_escape (fingerprint != NULL ? fingerprint : "");
  puts (shown);
  return TRUE;
}
