/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* image pull and image import: what puts an image into the store. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lodge-cmd.h"
#include "lodge-fd.h"
#include "lodge-i18n.h"
#include "lodge-job-wait.h"
#include "lodge-name.h"
#include "lodge-output.h"

/* Waits for @job and prints the fingerprint. */
static gboolean
wait_for_image (LodgeCli *cli, const LodgeArgs *args, const char *job, GError **error)
{
  g_autoptr (GVariant) result = NULL;

  if (lodge_args_flag (args, "no-wait"))
    {
      lodge_cli_unwatch_signals (cli);
      lodge_job_print_id (job);
      return TRUE;
    }
  result = lodge_job_wait (cli, job, error);
  if (result == NULL)
    return FALSE;
  g_autofree char *fingerprint = lodge_row_string (result, "fingerprint");
  g_autofree char *shown = lodge_text_escape (fingerprint != NULL ? fingerprint : "");
  puts (shown);
  return TRUE;
}

gboolean
lodge_cmd_image_pull (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  g_auto (GVariantDict) options = G_VARIANT_DICT_INIT (NULL);
  g_autofree char *job = NULL;
  const char *ref = lodge_args_word (args, 0);

  if (!g_utf8_validate (ref, -1, NULL))
    {
      g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                           _ ("The name of an image must be text."));
      return FALSE;
    }
  if (lodge_args_string (args, "kind") != NULL)
    g_variant_dict_insert (&options, "kind", "s", lodge_args_string (args, "kind"));
  if (lodge_args_flag (args, "rebuild"))
    g_variant_dict_insert (&options, "rebuild", "b", TRUE);
  job = lodge_job_begin (cli, LODGE_OBJECT_PATH, "Images", "Pull",
                         g_variant_new ("(s@a{sv})", ref, g_variant_dict_end (&options)), error);
  return job != NULL && wait_for_image (cli, args, job, error);
}

/* ---- what is imported ---- */

/* With the caller's rights, not with the service's. */
static int
open_file (const char *path, GError **error)
{
  int fd = strcmp (path, "-") == 0 ? fcntl (STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                                   : open (path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

  if (fd < 0)
    {
      g_autofree char *shown = lodge_text_escape (path);
      lodge_error_set_errno (error, errno, "%s cannot be opened", shown);
    }
  return fd;
}

typedef struct
{
  int fd;
  GSubprocess *packer; /* of a directory; NULL: a file */
} Source;

/* A directory becomes an archive on its way, always the same of the same files. */
static gboolean
pack_directory (Source *source, const char *path, GError **error)
{
  g_autoptr (GSubprocessLauncher) launcher = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_NONE);
  int ends[2];

  if (pipe2 (ends, O_CLOEXEC) < 0)
    {
      lodge_error_set_errno (error, errno, "There is no pipe for the image");
      return FALSE;
    }
  g_subprocess_launcher_take_stdout_fd (launcher, ends[1]);
  source->packer
      = g_subprocess_launcher_spawn (launcher, error, "tar", "--create", "--file=-",
                                     "--numeric-owner", "--sort=name", "--xattrs", "--format=posix",
                                     "--pax-option=exthdr.name=%d/PaxHeaders/%f,"
                                     "delete=atime,delete=ctime",
                                     "-C", path, ".", NULL);
  if (source->packer != NULL)
    source->fd = ends[0];
  else
    close (ends[0]);
  return source->packer != NULL;
}

static gboolean
open_source (Source *source, const char *path, GError **error)
{
  if (g_file_test (path, G_FILE_TEST_IS_DIR))
    return pack_directory (source, path, error);
  source->fd = open_file (path, error);
  return source->fd >= 0;
}

/* Whether all of the directory could be read. */
static gboolean
finish_source (Source *source, GError **error)
{
  g_autoptr (GSubprocess) packer = g_steal_pointer (&source->packer);

  if (packer == NULL)
    return TRUE;
  if (g_subprocess_wait_check (packer, NULL, NULL))
    return TRUE;
  g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_FAILED,
                       _ ("Not all files of the directory could be read; the image lacks them."));
  return FALSE;
}

/* The words after FILE: the second file of a split image, as LXD has it, and an alias. */
typedef struct
{
  const char *root;
  const char *alias;
} ImportWords;

static ImportWords
sort_words (const LodgeArgs *args)
{
  ImportWords words = { .root = lodge_args_string (args, "root") };

  for (guint i = 1; i <= 2; i++)
    {
      const char *word = lodge_args_word (args, i);

      if (word == NULL)
        continue;
      if (words.root == NULL && i == 1 && g_file_test (word, G_FILE_TEST_IS_REGULAR))
        words.root = word;
      else
        words.alias = word;
    }
  return words;
}

static gboolean
take_aliases (const LodgeArgs *args, const ImportWords *words, GVariantDict *options,
              GError **error)
{
  g_autofree const char **values = lodge_args_strings (args, "alias");
  g_autoptr (GPtrArray) aliases = g_ptr_array_new ();

  if (words->alias != NULL)
    g_ptr_array_add (aliases, (gpointer) words->alias);
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

static GVariant *
build_import (const LodgeArgs *args, const ImportWords *words, GError **error)
{
  g_auto (GVariantDict) options = G_VARIANT_DICT_INIT (NULL);

  if (!take_aliases (args, words, &options, error))
    return NULL;
  g_variant_dict_insert_value (&options, "file", g_variant_new_handle (0));
  if (words->root != NULL)
    g_variant_dict_insert_value (&options, "root", g_variant_new_handle (1));
  if (lodge_args_string (args, "kind") != NULL)
    g_variant_dict_insert (&options, "kind", "s", lodge_args_string (args, "kind"));
  if (lodge_args_string (args, "description") != NULL)
    g_variant_dict_insert (&options, "description", "s", lodge_args_string (args, "description"));
  return g_variant_new ("(@a{sv})", g_variant_dict_end (&options));
}

/* A file that is there by https: the service gets it, not we. */
static gboolean
import_address (LodgeCli *cli, LodgeClient *client, const LodgeArgs *args, const ImportWords *words,
                GError **error)
{
  static const char *const names[] = { "sha256", "description", "kind" };
  g_auto (GVariantDict) options = G_VARIANT_DICT_INIT (NULL);
  g_autoptr (GVariant) body = NULL;
  const char *url = lodge_args_word (args, 0);
  const char *job;

  if (words->root != NULL || !g_utf8_validate (url, -1, NULL))
    {
      g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                           _ ("From an address comes an image of one file."));
      return FALSE;
    }
  if (!take_aliases (args, words, &options, error))
    return FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    if (lodge_args_string (args, names[i]) != NULL)
      g_variant_dict_insert (&options, names[i], "s", lodge_args_string (args, names[i]));
  if (lodge_args_flag (args, "allow-http"))
    g_variant_dict_insert (&options, "allow-http", "b", TRUE);
  body = lodge_client_call (client, LODGE_OBJECT_PATH, "Images", "Pull",
                            g_variant_new ("(s@a{sv})", url, g_variant_dict_end (&options)), "(o)",
                            error);
  if (body == NULL)
    return FALSE;
  g_variant_get (body, "(&o)", &job);
  return wait_for_image (cli, args, job, error);
}

gboolean
lodge_cmd_image_import (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  LodgeClient *client = lodge_cli_get_client (cli, error);
  ImportWords words = sort_words (args);
  Source source = { .fd = -1 };
  g_auto (LodgeFd) root = -1;
  g_autoptr (LodgeMessage) reply = NULL;
  const char *job;

  if (client == NULL)
    return FALSE;
  if (strstr (lodge_args_word (args, 0), "://") != NULL)
    return import_address (cli, client, args, &words, error);
  if (lodge_args_string (args, "sha256") != NULL)
    {
      g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                           _ ("--sha256 is for addresses.\nsha256sum(1) checks files"));
      return FALSE;
    }
  if (!open_source (&source, lodge_args_word (args, 0), error))
    return FALSE;
  g_auto (LodgeFd) fd = source.fd;
  if (words.root != NULL && (root = open_file (words.root, error)) < 0)
    return FALSE;
  GVariant *request = build_import (args, &words, error);
  if (request == NULL)
    return FALSE;
  const int fds[] = { fd, root };
  guint32 serial = lodge_client_send (client, LODGE_OBJECT_PATH, "Images", "Import", request, fds,
                                      words.root != NULL ? 2 : 1, error);
  if (serial == 0)
    return FALSE;
  /* The service has it; the end of a pipe must not stay open here. */
  close (lodge_fd_steal (&fd));
  reply = lodge_client_finish (client, serial, "(a{sh}o)", error);
  if (reply == NULL)
    return FALSE;
  g_variant_get (reply->body, "(a{sh}&o)", NULL, &job);
  return wait_for_image (cli, args, job, error) && finish_source (&source, error);
}
