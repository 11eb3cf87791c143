/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* image export and publish: what makes an image leave the store, and an instance enter it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lodge-cmd.h"
#include "lodge-fd.h"
#include "lodge-i18n.h"
#include "lodge-image-export.h"
#include "lodge-image-path.h"
#include "lodge-job-wait.h"
#include "lodge-name.h"
#include "lodge-output.h"

/* ---- image export ---- */

typedef struct
{
  const char *format;
  const char *suffix; /* before that of the compression */
  gboolean packed;
} Format;

static const Format formats[] = {
  { "unified", ".tar", TRUE },  { "split", ".meta.tar", TRUE }, { "tar", ".tar", TRUE },
  { "qcow2", ".qcow2", FALSE }, { "raw", ".img", FALSE },       { "iso", ".iso", FALSE },
};

static const struct
{
  const char *name;
  const char *suffix;
} compressions[] = { { "none", "" }, { "gzip", ".gz" }, { "xz", ".xz" }, { "zstd", ".zst" } };

/* What the image is called, as a file name.  (transfer full) */
static char *
name_file (const char *ref, const char *format, const char *compression)
{
  g_autofree char *base = g_strdelimit (g_strdup (ref), "/:", '-');
  const char *suffix = ".tar", *packed = "";

  for (gsize i = 0; i < G_N_ELEMENTS (compressions); i++)
    if (strcmp (compressions[i].name, compression) == 0)
      packed = compressions[i].suffix;
  for (gsize i = 0; i < G_N_ELEMENTS (formats); i++)
    if (strcmp (formats[i].format, format) == 0)
      {
        suffix = formats[i].suffix;
        packed = formats[i].packed ? packed : "";
      }
  return g_strconcat (base, suffix, packed, NULL);
}

/* With the caller's rights.  What is there already is not replaced unasked. */
static int
create_file (const LodgeArgs *args, const char *path, GError **error)
{
  int flags = lodge_args_flag (args, "force") ? O_TRUNC : O_EXCL;
  int fd = strcmp (path, "-") == 0
               ? fcntl (STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)
               : open (path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | flags, 0666);
  g_autofree char *shown = lodge_text_escape (path);

  if (fd < 0 && errno == EEXIST)
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_ALREADY_EXISTS,
                 _ ("%s is there already; --force replaces it."), shown);
  else if (fd < 0)
    lodge_error_set_errno (error, errno, "%s cannot be written", shown);
  return fd;
}

static char *
begin_export (LodgeClient *client, const char *image, const char *format, const char *compression,
              const int *fds, guint n_fds, GError **error)
{
  g_auto (GVariantDict) options = G_VARIANT_DICT_INIT (NULL);
  g_autoptr (LodgeMessage) reply = NULL;
  char *job = NULL;

  g_variant_dict_insert (&options, "format", "s", format);
  g_variant_dict_insert (&options, "compression", "s", compression);
  g_variant_dict_insert_value (&options, "file", g_variant_new_handle (0));
  if (n_fds > 1)
    g_variant_dict_insert_value (&options, "root", g_variant_new_handle (1));
  guint32 serial = lodge_client_send (client, image, "Image", "Export",
                                      g_variant_new ("(@a{sv})", g_variant_dict_end (&options)),
                                      fds, n_fds, error);
  reply = serial != 0 ? lodge_client_finish (client, serial, "(o)", error) : NULL;
  if (reply != NULL)
    g_variant_get (reply->body, "(o)", &job);
  return job;
}

gboolean
lodge_image_export (LodgeCli *cli, const char *image, const char *format, const char *compression,
                    const int *fds, guint n_fds, GError **error)
{
  LodgeClient *client = lodge_cli_get_client (cli, error);
  g_autofree char *job = client != NULL
                             ? begin_export (client, image, format, compression, fds, n_fds, error)
                             : NULL;
  g_autoptr (GVariant) result = job != NULL ? lodge_job_wait (cli, job, error) : NULL;

  return result != NULL;
}

/* What can be imported again, here and elsewhere. */
static const char *
default_format (LodgeClient *client, const char *image)
{
  g_autoptr (GVariant) all = lodge_client_get_properties (client, image, "Image", NULL);
  g_autofree char *kind = all != NULL ? lodge_row_string (all, "Kind") : NULL;

  return g_strcmp0 (kind, "iso") == 0 ? "iso" : "unified";
}

/* The name of a split image's second file beside that of the first.  (transfer full) */
static char *
name_root (const char *path)
{
  return g_strconcat (path, ".root", NULL);
}

static gboolean
export_to (LodgeCli *cli, const LodgeArgs *args, const char *image, const char *format,
           const char *path, GError **error)
{
  const char *compression = lodge_args_string (args, "compression");
  gboolean is_split = g_strcmp0 (format, "split") == 0;
  g_autofree char *root_path = name_root (path);
  g_auto (LodgeFd) fd = create_file (args, path, error);
  g_auto (LodgeFd) root = fd >= 0 && is_split ? create_file (args, root_path, error) : -1;
  const int fds[] = { fd, root };

  if (fd < 0 || (is_split && root < 0))
    return FALSE;
  if (lodge_image_export (cli, image, format, compression != NULL ? compression : "zstd", fds,
                          is_split ? 2 : 1, error))
    return TRUE;
  /* Half an image is none. */
  if (strcmp (path, "-") != 0)
    unlink (path);
  if (root >= 0)
    unlink (root_path);
  return FALSE;
}

gboolean
lodge_cmd_image_export (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  LodgeClient *client = lodge_cli_get_client (cli, error);
  const char *ref = lodge_args_word (args, 0), *file = lodge_args_word (args, 1);
  const char *format = lodge_args_string (args, "format");
  const char *compression = lodge_args_string (args, "compression");
  g_autofree char *image = client != NULL ? lodge_image_path (client, args, ref, error) : NULL;

  if (image == NULL)
    return FALSE;
  if (g_strcmp0 (format, "split") == 0 && g_strcmp0 (file, "-") == 0)
    {
      g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                           _ ("A split image is two files and cannot go to standard output."));
      return FALSE;
    }
  if (format == NULL)
    format = default_format (client, image);
  g_autofree char *path = file != NULL
                              ? g_strdup (file)
                              : name_file (ref, format, compression != NULL ? compression : "zstd");
  if (!export_to (cli, args, image, format, path, error))
    return FALSE;
  if (strcmp (path, "-") != 0)
    {
      g_autofree char *shown = lodge_text_escape (path);
      puts (shown);
    }
  return TRUE;
}

/* ---- publish ---- */

/* Sends a method of the instance that answers with a job, and waits for that.  (transfer full) */
static GVariant *
run_job (LodgeCli *cli, LodgeClient *client, const char *instance, const char *method,
         GVariant *options, GError **error)
{
  g_autoptr (GVariant) body = lodge_client_call (client, instance, "Instance", method,
                                                 g_variant_new ("(@a{sv})", options), "(o)", error);
  const char *job;

  if (body == NULL)
    return NULL;
  g_variant_get (body, "(&o)", &job);
  return lodge_job_wait (cli, job, error);
}

static GVariant *
publish_options (const LodgeArgs *args, GError **error)
{
  g_auto (GVariantDict) options = G_VARIANT_DICT_INIT (NULL);
  g_autofree const char **aliases = lodge_args_strings (args, "alias");
  const char *second = lodge_args_word (args, 1);
  g_autoptr (GPtrArray) all = g_ptr_array_new ();

  if (second != NULL)
    g_ptr_array_add (all, (gpointer) second);
  for (const char **alias = aliases; *alias != NULL; alias++)
    g_ptr_array_add (all, (gpointer) *alias);
  for (guint i = 0; i < all->len; i++)
    if (!lodge_alias_validate (all->pdata[i], error))
      return NULL;
  if (all->len > 0)
    g_variant_dict_insert_value (&options, "aliases",
                                 g_variant_new_strv ((const char *const *) all->pdata, all->len));
  if (lodge_args_string (args, "description") != NULL)
    g_variant_dict_insert (&options, "description", "s", lodge_args_string (args, "description"));
  return g_variant_dict_end (&options);
}

static gboolean
is_running (LodgeClient *client, const char *instance)
{
  g_autoptr (GVariant) all = lodge_client_get_properties (client, instance, "Instance", NULL);
  g_autofree char *state = all != NULL ? lodge_row_string (all, "State") : NULL;

  return g_strcmp0 (state, "running") == 0;
}

gboolean
lodge_cmd_publish (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  LodgeClient *client = lodge_cli_get_client (cli, error);
  g_autofree char *instance
      = client != NULL ? lodge_client_get_instance (client, lodge_args_word (args, 0), error)
                       : NULL;
  GVariant *options = instance != NULL ? publish_options (args, error) : NULL;
  g_autoptr (GVariant) kept = options != NULL ? g_variant_ref_sink (options) : NULL;

  if (kept == NULL)
    return FALSE;
  gboolean restarts = lodge_args_flag (args, "force") && is_running (client, instance);
  if (restarts)
    {
      g_autoptr (GVariant) stopped
          = run_job (cli, client, instance, "Stop", g_variant_new ("a{sv}", NULL), error);
      if (stopped == NULL)
        return FALSE;
    }
  g_autoptr (GVariant) result = run_job (cli, client, instance, "Publish", kept, error);
  if (restarts)
    {
      g_autoptr (GVariant) started
          = run_job (cli, client, instance, "Start", g_variant_new ("a{sv}", NULL),
                     result != NULL ? error : NULL);
      if (started == NULL)
        return FALSE;
    }
  if (result == NULL)
    return FALSE;
  g_autofree char *fingerprint = lodge_row_string (result, "fingerprint");
  g_autofree char *shown = lodge_text_escape (fingerprint != NULL ? fingerprint : "");
  puts (shown);
  return TRUE;
}
