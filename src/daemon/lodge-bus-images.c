/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "lodge-bus-convert.h"
#include "lodge-bus-introspection.h"
#include "lodge-bus-options.h"
#include "lodge-bus-paths.h"
#include "lodge-bus-private.h"
#include "lodge-fd.h"
#include "lodge-name.h"

static gpointer
find (LodgeBus *bus, const char *node, GError **error)
{
  return lodge_manager_get_images (bus->manager);
}

/* Whoever does not say which kind takes either. */
static const LodgeImage *
find_image (LodgeBusCall *call, const char *ref, GVariant *options, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  const LodgeImage *image;
  LodgeKind kind;

  if (!lodge_bus_kind_from_options (options, &kind, error))
    return NULL;
  image = lodge_image_store_resolve (call->object, ref, kind, &local_error);
  if (image == NULL && lodge_bus_options_get_string (options, "kind") == NULL
      && g_error_matches (local_error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND))
    image = lodge_image_store_resolve (call->object, ref, LODGE_KIND_VM, NULL);
  if (image == NULL)
    g_propagate_error (error, g_steal_pointer (&local_error));
  return image;
}

static const LodgeBusOption kind_option[] = { { "kind", "s" }, { NULL } };

static void
get_image (LodgeBusCall *call)
{
  g_autoptr (GVariant) options = NULL;
  g_autofree char *path = NULL;
  const LodgeImage *image = NULL;
  GError *error = NULL;
  const char *ref;

  g_variant_get (call->parameters, "(&s@a{sv})", &ref, &options);
  if (lodge_bus_options_check (options, kind_option, "option", &error))
    image = find_image (call, ref, options, &error);
  if (image == NULL)
    {
      lodge_bus_call_fail (call, error);
      return;
    }
  path = lodge_bus_path_of_image (image->fingerprint);
  lodge_bus_call_return (call, g_variant_new ("(o)", path));
}

static void
list_images (LodgeBusCall *call)
{
  g_autoptr (GVariant) options = g_variant_get_child_value (call->parameters, 0);
  g_autoptr (GPtrArray) images = NULL;
  GVariantBuilder builder;
  GError *error = NULL;

  if (!lodge_bus_options_check (options, NULL, "option", &error))
    {
      lodge_bus_call_fail (call, error);
      return;
    }
  images = lodge_image_store_list (call->object);
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < images->len; i++)
    g_variant_builder_add_value (&builder,
                                 lodge_bus_image_to_row (call->bus->manager, images->pdata[i]));
  lodge_bus_call_return (call, g_variant_new ("(aa{sv})", &builder));
}

/* What goes for the file behind an address only, and what only root may leave out. */
static gboolean
check_pull (const LodgeManagerPull *what, guint32 uid, GError **error)
{
  if (what->sha256 != NULL && !lodge_fingerprint_is_valid (what->sha256))
    g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                         "the SHA-256 checksum is not of 64 digits 0-9 and a-f");
  else if ((what->sha256 != NULL || what->description != NULL || what->allow_http)
           && strstr (what->ref, "://") == NULL)
    g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                         "a checksum, a description and http are for addresses of files only");
  else if (what->allow_http && uid != 0)
    g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_NOT_AUTHORIZED,
                         "only root may take an image from an address without TLS\n"
                         "A remote that was added with --allow-http can be used by all.");
  else
    {
      for (const char *const *alias = what->aliases; alias != NULL && *alias != NULL; alias++)
        if (!lodge_alias_validate (*alias, error))
          return FALSE;
      return TRUE;
    }
  return FALSE;
}

static void
pull (LodgeBusCall *call)
{
  static const LodgeBusOption known[]
      = { { "kind", "s" },   { "rebuild", "b" },     { "allow-http", "b" },
          { "sha256", "s" }, { "description", "s" }, { "aliases", "as" },
          { NULL } };
  g_autoptr (GVariant) options = NULL;
  g_autofree const char **aliases = NULL;
  LodgeManagerPull what = { 0 };
  GError *error = NULL;
  LodgeJob *job = NULL;

  g_variant_get (call->parameters, "(&s@a{sv})", &what.ref, &options);
  if (lodge_bus_check_job_limit (call->bus, call->uid, &error)
      && lodge_bus_options_check (options, known, "option", &error)
      && lodge_bus_kind_from_options (options, &what.kind, &error))
    {
      aliases = lodge_bus_options_get_strings (options, "aliases");
      what.aliases = aliases;
      what.rebuild = lodge_bus_options_get_bool (options, "rebuild");
      what.allow_http = lodge_bus_options_get_bool (options, "allow-http");
      what.sha256 = lodge_bus_options_get_string (options, "sha256");
      what.description = lodge_bus_options_get_string (options, "description");
      if (check_pull (&what, call->uid, &error))
        job = lodge_manager_pull_image (call->bus->manager, &what, call->uid, &error);
    }
  lodge_bus_call_return_job (call, job, error);
}

/* ---- the cache ---- */

static void
refresh (LodgeBusCall *call)
{
  g_autofree const char **refs = NULL;
  g_autoptr (GVariant) options = NULL;
  g_autoptr (GPtrArray) images = g_ptr_array_new ();
  g_autofree char *path = NULL;
  LodgeJob *job = NULL;
  GError *error = NULL;
  gboolean good;

  g_variant_get (call->parameters, "(^a&s@a{sv})", &refs, &options);
  good = lodge_bus_check_job_limit (call->bus, call->uid, &error)
         && lodge_bus_options_check (options, kind_option, "option", &error);
  for (const char **ref = refs; good && *ref != NULL; ref++)
    {
      const LodgeImage *image = find_image (call, *ref, options, &error);
      good = image != NULL;
      g_ptr_array_add (images, (gpointer) image);
    }
  if (!good
      || !lodge_manager_refresh_images (call->bus->manager, images->len > 0 ? images : NULL,
                                        call->uid, &job, &error))
    {
      lodge_bus_call_fail (call, error);
      return;
    }
  path = job != NULL ? lodge_bus_path_of_job (lodge_job_get_id (job)) : g_strdup ("/");
  lodge_bus_call_return (call, g_variant_new ("(o)", path));
}

/* The row of an image that goes, with why it may.  (transfer floating) */
static GVariant *
make_prune_row (LodgeBusCall *call, const LodgeImage *image)
{
  g_autoptr (GVariant) row
      = g_variant_ref_sink (lodge_bus_image_to_row (call->bus->manager, image));
  g_auto (GVariantDict) dict = G_VARIANT_DICT_INIT (row);

  g_variant_dict_insert (&dict, "why", "s",
                         lodge_image_fate_nick (lodge_image_store_judge (call->object, image)));
  return g_variant_dict_end (&dict);
}

/* Takes the sizes of @partials; the names of them, for the job.  (transfer container) */
static GPtrArray *
sum_partials (GPtrArray *partials, guint64 *out_bytes)
{
  GPtrArray *names = g_ptr_array_new ();

  *out_bytes = 0;
  for (guint i = 0; i < partials->len; i++)
    {
      const LodgeImagePartial *partial = g_ptr_array_index (partials, i);

      *out_bytes += partial->size;
      g_ptr_array_add (names, partial->name);
    }
  g_ptr_array_add (names, NULL);
  return names;
}

static void
prune (LodgeBusCall *call)
{
  static const LodgeBusOption known[] = { { "dry-run", "b" }, { NULL } };
  g_autoptr (GVariant) options = g_variant_get_child_value (call->parameters, 0);
  g_autoptr (GPtrArray) images = lodge_manager_list_prunable (call->bus->manager);
  g_autoptr (GPtrArray) partials = lodge_image_store_list_partials (call->object);
  guint64 bytes = 0, download_bytes = 0;
  g_autoptr (GPtrArray) names = sum_partials (partials, &download_bytes);
  g_auto (GVariantDict) summary = G_VARIANT_DICT_INIT (NULL);
  g_autofree char *path = g_strdup ("/");
  GVariantBuilder rows;
  GError *error = NULL;

  if (!lodge_bus_check_job_limit (call->bus, call->uid, &error)
      || !lodge_bus_options_check (options, known, "option", &error))
    {
      lodge_bus_call_fail (call, error);
      return;
    }
  g_variant_builder_init (&rows, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < images->len; i++)
    {
      const LodgeImage *image = lodge_image_store_get (call->object, g_ptr_array_index (images, i));

      bytes += image->size;
      g_variant_builder_add_value (&rows, make_prune_row (call, image));
    }
  g_variant_dict_insert (&summary, "bytes", "t", bytes);
  g_variant_dict_insert (&summary, "downloads", "u", (guint32) partials->len);
  g_variant_dict_insert (&summary, "download-bytes", "t", download_bytes);
  if (!lodge_bus_options_get_bool (options, "dry-run") && images->len + partials->len > 0)
    {
      LodgeJob *job = lodge_manager_drop_images (
          call->bus->manager, images, (const char *const *) names->pdata, call->uid, &error);
      if (job == NULL)
        {
          g_variant_builder_clear (&rows);
          lodge_bus_call_fail (call, error);
          return;
        }
      g_free (path);
      path = lodge_bus_path_of_job (lodge_job_get_id (job));
    }
  lodge_bus_call_return (
      call, g_variant_new ("(aa{sv}@a{sv}o)", &rows, g_variant_dict_end (&summary), path));
}

/* ---- import ---- */

/* What an import may read: a file or a pipe that its caller opened for reading; only a helper
 * waits for what comes out of a pipe.  Not a directory or a device, and nothing of /proc, which is
 * the memory and the secrets of processes. */
static gboolean
check_file (int fd, GError **error)
{
  int flags = fcntl (fd, F_GETFL);
  const char *why = NULL;
  struct statfs fs;
  struct stat st;

  if (flags < 0 || fstat (fd, &st) != 0 || fstatfs (fd, &fs) != 0)
    {
      lodge_error_set_errno (error, errno, "the file to import cannot be examined");
      return FALSE;
    }
  if (!S_ISREG (st.st_mode) && !S_ISFIFO (st.st_mode))
    why = "is neither a regular file nor a pipe";
  else if ((flags & O_PATH) != 0 || (flags & O_ACCMODE) == O_WRONLY)
    why = "is not open for reading";
  else if (S_ISFIFO (st.st_mode) && (flags & O_ACCMODE) != O_RDONLY)
    why = "is a pipe that is open for writing too";
  else if (fs.f_type == PROC_SUPER_MAGIC)
    why = "is a file of /proc";
  if (why == NULL)
    return TRUE;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT, "the file to import %s", why);
  return FALSE;
}

static const LodgeBusOption import_options[]
    = { { "file", "h" }, { "root", "h" },        { "aliases", "as" },
        { "kind", "s" }, { "description", "s" }, { NULL } };

/* Answers with the job and, unless the caller brought a file, the end of a pipe to write to. */
static void
return_import (LodgeBusCall *call, LodgeJob *job, int stream)
{
  g_autofree char *path = lodge_bus_path_of_job (lodge_job_get_id (job));
  GVariantBuilder streams;

  g_variant_builder_init (&streams, G_VARIANT_TYPE ("a{sh}"));
  if (stream >= 0)
    g_variant_builder_add (&streams, "{sh}", "file", 0);
  lodge_bus_call_return_fds (call, g_variant_new ("(a{sh}o)", &streams, path), &stream,
                             stream >= 0 ? 1 : 0);
}

static LodgeJob *
begin_import (LodgeBusCall *call, GVariant *options, int fd, int root, GError **error)
{
  g_autofree const char **aliases = lodge_bus_options_get_strings (options, "aliases");
  LodgeKind kind;

  /* The kind shows in the file itself; saying it is allowed, and checked as a word. */
  if (!lodge_bus_kind_from_options (options, &kind, error))
    return NULL;
  return lodge_manager_import_image (call->bus->manager, fd, root, aliases,
                                     lodge_bus_options_get_string (options, "description"),
                                     call->uid, error);
}

static void
import (LodgeBusCall *call)
{
  g_autoptr (GVariant) options = g_variant_get_child_value (call->parameters, 0);
  g_auto (LodgeFd) reading = -1;
  g_auto (LodgeFd) writing = -1;
  GError *error = NULL;
  LodgeJob *job = NULL;
  int file = -1, root = -1;
  int ends[2];

  if (!lodge_bus_check_job_limit (call->bus, call->uid, &error)
      || !lodge_bus_options_check (options, import_options, "option", &error)
      || !lodge_bus_options_get_fd (options, "file", lodge_bus_call_get_fds (call), &file, &error)
      || !lodge_bus_options_get_fd (options, "root", lodge_bus_call_get_fds (call), &root, &error)
      || (file >= 0 && !check_file (file, &error)) || (root >= 0 && !check_file (root, &error)))
    {
      lodge_bus_call_fail (call, error);
      return;
    }
  if (file < 0)
    {
      if (pipe2 (ends, O_CLOEXEC) != 0)
        lodge_error_set_errno (&error, errno, "no pipe for the image");
      else
        {
          reading = ends[0];
          writing = ends[1];
        }
    }
  if (error == NULL)
    job = begin_import (call, options, file >= 0 ? file : reading, root, &error);
  if (job == NULL)
    lodge_bus_call_fail (call, error);
  else
    return_import (call, job, lodge_fd_steal (&writing));
}

static const LodgeBusMethod methods[] = {
  { "GetImage", get_image },
  { "ListImages", list_images },
  { "Pull", pull },
  { "Import", import },
  { "Refresh", refresh },
  { "Prune", prune },
  { NULL },
};

const LodgeBusInterface lodge_bus_images = {
  .info = &lodge_bus_info_images,
  .methods = methods,
  .find = find,
};
