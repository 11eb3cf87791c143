/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "lodge-bus-convert.h"
#include "lodge-bus-introspection.h"
#include "lodge-bus-options.h"
#include "lodge-bus-paths.h"
#include "lodge-bus-private.h"
#include "lodge-name.h"

static gpointer
find (LodgeBus *bus, const char *node, GError **error)
{
  const char *fingerprint = lodge_bus_fingerprint_of_node (node);
  const LodgeImage *image = NULL;

  if (fingerprint != NULL)
    image = lodge_image_store_get (lodge_manager_get_images (bus->manager), fingerprint);
  if (image == NULL)
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND, "there is no image %.64s",
                 node[0] == '_' ? node + 1 : node);
  return (gpointer) image;
}

static GPtrArray *
list (LodgeBus *bus)
{
  g_autoptr (GPtrArray) images = lodge_image_store_list (lodge_manager_get_images (bus->manager));
  GPtrArray *nodes = g_ptr_array_new ();

  for (guint i = 0; i < images->len; i++)
    g_ptr_array_add (nodes,
                     g_strconcat ("_", ((LodgeImage *) images->pdata[i])->fingerprint, NULL));
  return nodes;
}

/* ---- properties ---- */

static GVariant *
get_fingerprint (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return g_variant_new_string (((const LodgeImage *) object)->fingerprint);
}

static GVariant *
get_aliases (LodgeBus *bus, gpointer object, gboolean trusted)
{
  const LodgeImage *image = object;

  return lodge_bus_strv_to_variant ((const char *const *) image->aliases);
}

static GVariant *
get_kind (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return g_variant_new_string (lodge_image_kind_nick (object));
}

static GVariant *
get_architecture (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return lodge_bus_string_to_variant (((const LodgeImage *) object)->architecture);
}

static GVariant *
get_description (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return lodge_bus_string_to_variant (((const LodgeImage *) object)->description);
}

static GVariant *
get_properties (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return lodge_bus_map_to_variant (((const LodgeImage *) object)->properties);
}

static GVariant *
get_size (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return g_variant_new_uint64 (((const LodgeImage *) object)->size);
}

static GVariant *
get_source (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return lodge_bus_string_to_variant (((const LodgeImage *) object)->source);
}

static GVariant *
get_created_at (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return g_variant_new_uint64 ((guint64) ((const LodgeImage *) object)->created_at);
}

static GVariant *
get_last_used_at (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return g_variant_new_uint64 ((guint64) ((const LodgeImage *) object)->last_used_at);
}

static GVariant *
get_used_by (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return lodge_bus_image_users (bus->manager, ((const LodgeImage *) object)->fingerprint);
}

static GVariant *
get_cached (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return g_variant_new_boolean (((const LodgeImage *) object)->cached);
}

static GVariant *
get_pinned (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return g_variant_new_boolean (((const LodgeImage *) object)->pinned);
}

static GVariant *
get_auto_update (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return g_variant_new_boolean (((const LodgeImage *) object)->auto_update);
}

static GVariant *
get_expires_at (LodgeBus *bus, gpointer object, gboolean trusted)
{
  return g_variant_new_uint64 ((guint64) lodge_manager_get_image_expiry (bus->manager, object));
}

/* An image's changes carry no mask: there is one bit for whatever can change. */
static const LodgeBusProperty properties[] = {
  { "Fingerprint", get_fingerprint, 0, 0 },
  { "Aliases", get_aliases, 1, 0 },
  { "Kind", get_kind, 0, 0 },
  { "Architecture", get_architecture, 0, 0 },
  { "Description", get_description, 0, 0 },
  { "Properties", get_properties, 0, 0 },
  { "Size", get_size, 1, 0 },
  { "Source", get_source, 0, 0 },
  { "CreatedAt", get_created_at, 0, 0 },
  { "LastUsedAt", get_last_used_at, 1, 0 },
  { "UsedBy", get_used_by, 0, 0 },
  { "Cached", get_cached, 1, 0 },
  { "Pinned", get_pinned, 1, 0 },
  { "AutoUpdate", get_auto_update, 1, 0 },
  { "ExpiresAt", get_expires_at, 0, 0 },
  { NULL },
};

/* ---- methods ---- */

static void
set_aliases (LodgeBusCall *call)
{
  const LodgeImage *image = call->object;
  g_autofree const char **aliases = NULL;
  g_autoptr (GVariant) options = NULL;
  GError *error = NULL;

  g_variant_get (call->parameters, "(^a&s@a{sv})", &aliases, &options);
  if (lodge_bus_options_check (options, NULL, "option", &error)
      && lodge_image_store_set_aliases (lodge_manager_get_images (call->bus->manager),
                                        image->fingerprint, aliases, &error))
    lodge_bus_call_return (call, NULL);
  else
    lodge_bus_call_fail (call, error);
}

static void
set_flags (LodgeBusCall *call)
{
  static const char *const names[] = { "pinned", "auto-update", NULL };
  const LodgeImage *image = call->object;
  g_autoptr (GVariantIter) flags = NULL;
  g_autoptr (GVariant) options = NULL;
  int values[] = { -1, -1 };
  GError *error = NULL;
  const char *name;
  gboolean value;

  g_variant_get (call->parameters, "(a{sb}@a{sv})", &flags, &options);
  while (error == NULL && g_variant_iter_next (flags, "{&sb}", &name, &value))
    {
      gsize i = 0;
      while (names[i] != NULL && strcmp (names[i], name) != 0)
        i++;
      if (names[i] != NULL)
        values[i] = value;
      else
        g_set_error (&error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                     "An image has no such flag\nThere are pinned and auto-update.");
    }
  if (error == NULL && lodge_bus_options_check (options, NULL, "option", &error)
      && lodge_image_store_set_flags (lodge_manager_get_images (call->bus->manager),
                                      image->fingerprint, values[0], values[1], &error))
    lodge_bus_call_return (call, NULL);
  else
    lodge_bus_call_fail (call, error);
}

static void delete (LodgeBusCall *call)
{
  const LodgeImage *image = call->object;
  g_autoptr (GVariant) options = g_variant_get_child_value (call->parameters, 0);
  LodgeJob *job = NULL;
  GError *error = NULL;

  if (lodge_bus_check_job_limit (call->bus, call->uid, &error)
      && lodge_bus_options_check (options, NULL, "option", &error))
    job = lodge_manager_delete_image (call->bus->manager, image->fingerprint, call->uid, &error);
  lodge_bus_call_return_job (call, job, error);
}

/* Where an export may write: what its caller opened for writing, and what cannot be /proc. */
static gboolean
check_output (int fd, GError **error)
{
  int flags = fcntl (fd, F_GETFL);
  struct stat st;

  if (flags >= 0 && fstat (fd, &st) == 0 && (S_ISREG (st.st_mode) || S_ISFIFO (st.st_mode))
      && (flags & O_PATH) == 0 && (flags & O_ACCMODE) != O_RDONLY)
    {
      struct statfs fs;
      if (fstatfs (fd, &fs) == 0 && fs.f_type != PROC_SUPER_MAGIC && fs.f_type != SYSFS_MAGIC)
        return TRUE;
    }
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
               "the file for the image is neither a regular file nor a pipe open for writing");
  return FALSE;
}

static gboolean
check_format (const LodgeImage *image, const char *format, const char *compression, int root,
              GError **error)
{
  static const char *const of_containers[] = { "unified", "split", "tar", NULL };
  static const char *const of_vms[] = { "unified", "split", "qcow2", "raw", NULL };
  static const char *const of_media[] = { "iso", NULL };
  static const char *const compressions[] = { "none", "gzip", "xz", "zstd", NULL };
  const char *const *known = image->medium                  ? of_media
                             : image->kind == LODGE_KIND_VM ? of_vms
                                                            : of_containers;
  g_autofree char *list = g_strjoinv (", ", (char **) known);

  if (!g_strv_contains (known, format))
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                 "image %.12s can be exported as: %s", image->fingerprint, list);
  else if (compression != NULL && !g_strv_contains (compressions, compression))
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                 "the compression is one of none, gzip, xz, zstd");
  else if ((strcmp (format, "split") == 0) != (root >= 0))
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                 "the format split, and no other, takes two files");
  else
    return TRUE;
  return FALSE;
}

static void
export_image (LodgeBusCall *call)
{
  static const LodgeBusOption known[]
      = { { "file", "h" }, { "root", "h" }, { "format", "s" }, { "compression", "s" }, { NULL } };
  const LodgeImage *image = call->object;
  g_autoptr (GVariant) options = g_variant_get_child_value (call->parameters, 0);
  GUnixFDList *fds = lodge_bus_call_get_fds (call);
  int file = -1, root = -1;
  LodgeJob *job = NULL;
  GError *error = NULL;

  if (lodge_bus_check_job_limit (call->bus, call->uid, &error)
      && lodge_bus_options_check (options, known, "option", &error)
      && lodge_bus_options_get_fd (options, "file", fds, &file, &error)
      && lodge_bus_options_get_fd (options, "root", fds, &root, &error)
      && check_output (file, &error) && (root < 0 || check_output (root, &error)))
    {
      const char *format = lodge_bus_options_get_string (options, "format");
      const char *compression = lodge_bus_options_get_string (options, "compression");

      if (format == NULL)
        format = image->medium ? "iso" : "unified";
      if (check_format (image, format, compression, root, &error))
        job = lodge_manager_export_image (call->bus->manager, image->fingerprint, file, root,
                                          format, compression, call->uid, &error);
    }
  lodge_bus_call_return_job (call, job, error);
}

static void
convert (LodgeBusCall *call)
{
  static const LodgeBusOption known[] = { { "size", "t" }, { NULL } };
  const LodgeImage *image = call->object;
  g_autoptr (GVariant) options = NULL;
  LodgeKind kind = LODGE_KIND_CONTAINER;
  LodgeJob *job = NULL;
  GError *error = NULL;
  const char *nick;

  g_variant_get (call->parameters, "(&s@a{sv})", &nick, &options);
  if (!lodge_kind_from_nick (nick, &kind))
    g_set_error (&error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                 "an image is converted to one for a container or a vm");
  else if (lodge_bus_check_job_limit (call->bus, call->uid, &error)
           && lodge_bus_options_check (options, known, "option", &error))
    {
      guint64 size = 0;

      g_variant_lookup (options, "size", "t", &size);
      job = lodge_manager_convert_image (call->bus->manager, image->fingerprint, kind, size,
                                         call->uid, &error);
    }
  lodge_bus_call_return_job (call, job, error);
}

/* What may be copied into an image: what its caller opened for reading, but nothing of /proc. */
static gboolean
is_readable_file (int fd)
{
  int flags = fcntl (fd, F_GETFL);
  struct statfs fs;
  struct stat st;

  return flags >= 0 && (flags & O_PATH) == 0 && (flags & O_ACCMODE) != O_WRONLY
         && fstat (fd, &st) == 0 && S_ISREG (st.st_mode) && fstatfs (fd, &fs) == 0
         && fs.f_type != PROC_SUPER_MAGIC && fs.f_type != SYSFS_MAGIC;
}

/* The files of the option: their paths, and the descriptors that came with the message. */
static gboolean
read_files (LodgeBusCall *call, GVariant *options, GPtrArray *paths, GArray *fds, GError **error)
{
  g_autoptr (GVariant) files = g_variant_lookup_value (options, "files", G_VARIANT_TYPE ("a{sh}"));
  GUnixFDList *list = lodge_bus_call_get_fds (call);
  int n_fds = list != NULL ? g_unix_fd_list_get_length (list) : 0;
  const int *all = list != NULL ? g_unix_fd_list_peek_fds (list, NULL) : NULL;

  for (gsize i = 0; files != NULL && i < g_variant_n_children (files); i++)
    {
      const char *path;
      gint32 handle;

      g_variant_get_child (files, i, "{&sh}", &path, &handle);
      if (handle < 0 || handle >= n_fds || !is_readable_file (all[handle]))
        {
          g_set_error (
              error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
              "file number %" G_GSIZE_FORMAT " is no regular file that is open for reading", i + 1);
          return FALSE;
        }
      g_ptr_array_add (paths, g_strdup (path));
      g_array_append_val (fds, all[handle]);
    }
  g_ptr_array_add (paths, NULL);
  return TRUE;
}

static LodgeJob *
begin_customize (LodgeBusCall *call, GVariant *options, GError **error)
{
  g_autoptr (GPtrArray) paths = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GArray) fds = g_array_new (FALSE, FALSE, sizeof (int));
  g_autofree const char **aliases = lodge_bus_options_get_strings (options, "aliases");
  g_autofree const char **ssh_keys = lodge_bus_options_get_strings (options, "ssh-keys");
  LodgeImageTailor what = { .fingerprint = ((const LodgeImage *) call->object)->fingerprint,
                            .aliases = aliases,
                            .ssh_keys = ssh_keys };

  for (const char **alias = aliases; alias != NULL && *alias != NULL; alias++)
    if (!lodge_alias_validate (*alias, error))
      return NULL;
  if (!read_files (call, options, paths, fds, error))
    return NULL;
  what.description = lodge_bus_options_get_string (options, "description");
  what.password_hash = lodge_bus_options_get_string (options, "password-hash");
  what.script = lodge_bus_options_get_string (options, "script");
  what.hostname = lodge_bus_options_get_string (options, "hostname");
  what.reset_machine_id = lodge_bus_options_get_bool (options, "reset-machine-id");
  what.serial = lodge_bus_options_get_bool (options, "serial");
  g_variant_lookup (options, "size", "t", &what.size);
  what.paths = (const char *const *) paths->pdata;
  what.fds = (const int *) fds->data;
  return lodge_manager_customize_image (call->bus->manager, &what, call->uid, error);
}

static void
customize (LodgeBusCall *call)
{
  static const LodgeBusOption known[] = { { "aliases", "as" },
                                          { "description", "s" },
                                          { "ssh-keys", "as" },
                                          { "password-hash", "s" },
                                          { "script", "s" },
                                          { "hostname", "s" },
                                          { "serial", "b" },
                                          { "reset-machine-id", "b" },
                                          { "size", "t" },
                                          { "files", "a{sh}" },
                                          { NULL } };
  g_autoptr (GVariant) options = g_variant_get_child_value (call->parameters, 0);
  LodgeJob *job = NULL;
  GError *error = NULL;

  if (lodge_bus_check_job_limit (call->bus, call->uid, &error)
      && lodge_bus_options_check (options, known, "option", &error))
    job = begin_customize (call, options, &error);
  lodge_bus_call_return_job (call, job, error);
}

static const LodgeBusMethod methods[] = {
  { "Customize", customize },
  { "Convert", convert },
  { "Export", export_image },
  { "SetAliases", set_aliases },
  { "SetFlags", set_flags },
  { "Delete", delete },
  { NULL },
};

const LodgeBusInterface lodge_bus_image = {
  .info = &lodge_bus_info_image,
  .properties = properties,
  .methods = methods,
  .find = find,
  .list = list,
};
