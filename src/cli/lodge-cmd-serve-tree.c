/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* image serve-tree: images of the store as a folder that a web server can serve.  The service
 * writes to files that are opened here, with the caller's rights. */
#include <string.h>
#include <unistd.h>

#include "lodge-cmd.h"
#include "lodge-fd.h"
#include "lodge-i18n.h"
#include "lodge-image-export.h"
#include "lodge-name.h"
#include "lodge-output.h"
#include "lodge-rows.h"
#include "lodge-streams-tree.h"

#define DEFAULT_COMPRESSION "xz"

static const LodgeColumn columns[] = {
  { "aliases", N_ ("ALIASES"), NULL, FALSE, FALSE },
  { "fingerprint", N_ ("FINGERPRINT"), lodge_format_row_fingerprint, FALSE, FALSE },
  { "kind", N_ ("KIND"), NULL, FALSE, FALSE },
  { "architecture", N_ ("ARCH"), NULL, FALSE, FALSE },
  { "size", N_ ("SIZE"), lodge_format_row_size, TRUE, FALSE },
  { "path", N_ ("PATH"), NULL, FALSE, TRUE },
  { NULL },
};

static const struct
{
  const char *name;
  const char *suffix;
} compressions[] = { { "none", "" }, { "gzip", ".gz" }, { "xz", ".xz" }, { "zstd", ".zst" } };

/* ---- which ones ---- */

static GVariant *
find_row (GPtrArray *rows, const char *path)
{
  for (guint i = 0; i < rows->len; i++)
    {
      g_autofree char *other = lodge_row_string (rows->pdata[i], "path");
      if (g_strcmp0 (other, path) == 0)
        return rows->pdata[i];
    }
  return NULL;
}

/* The path of the image @ref of that kind; NULL without an error: there is none. (transfer full) */
static char *
get_path (LodgeClient *client, const char *ref, const char *kind, GError **error)
{
  g_auto (GVariantDict) options = G_VARIANT_DICT_INIT (NULL);
  g_autoptr (GVariant) body = NULL;
  GError *local = NULL;
  char *path = NULL;

  g_variant_dict_insert (&options, "kind", "s", kind);
  body = lodge_client_call (client, LODGE_OBJECT_PATH, "Images", "GetImage",
                            g_variant_new ("(s@a{sv})", ref, g_variant_dict_end (&options)), "(o)",
                            &local);
  if (body != NULL)
    g_variant_get (body, "(o)", &path);
  else if (g_error_matches (local, LODGE_ERROR, LODGE_ERROR_NOT_FOUND))
    g_clear_error (&local);
  else
    g_propagate_error (error, local);
  return path;
}

/* Adds to @chosen the image of each kind that is called @ref. */
static gboolean
choose (LodgeClient *client, const char *ref, const char *only, GPtrArray *rows, GPtrArray *chosen,
        GError **error)
{
  static const char *const kinds[] = { "container", "vm" };
  g_autofree char *shown = lodge_text_escape (ref);
  guint n = 0;

  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      GError *local = NULL;
      gboolean wanted = only == NULL || strcmp (only, kinds[i]) == 0;
      g_autofree char *path = wanted && g_utf8_validate (ref, -1, NULL)
                                  ? get_path (client, ref, kinds[i], &local)
                                  : NULL;
      GVariant *row = path != NULL ? find_row (rows, path) : NULL;

      if (local != NULL)
        {
          g_propagate_error (error, local);
          return FALSE;
        }
      n += row != NULL ? 1 : 0;
      if (row != NULL && !g_ptr_array_find (chosen, row, NULL))
        g_ptr_array_add (chosen, row);
    }
  if (n == 0)
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND,
                 _ ("There is no image “%s” in the store.\n“lodge image list” shows what there is"),
                 shown);
  return n > 0;
}

static gboolean
is_kind (GVariant *row, const char *kind)
{
  g_autofree char *value = lodge_row_string (row, "kind");

  return kind == NULL || g_strcmp0 (value, kind) == 0;
}

/* Servers of images have no media that are to be installed from first. */
static gboolean
check_chosen (GPtrArray *chosen, GError **error)
{
  for (guint i = 0; i < chosen->len; i++)
    if (is_kind (chosen->pdata[i], "iso"))
      {
        g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                             _ ("An install medium (iso) cannot be served as an image."));
        return FALSE;
      }
  return TRUE;
}

/* (transfer container): rows of @rows */
static GPtrArray *
choose_all (LodgeClient *client, const LodgeArgs *args, GPtrArray *rows, GError **error)
{
  g_autoptr (GPtrArray) chosen = g_ptr_array_new ();
  const char *kind = lodge_args_string (args, "kind");

  for (const char *const *ref = lodge_args_words (args) + 1; *ref != NULL; ref++)
    if (!choose (client, *ref, kind, rows, chosen, error))
      return NULL;
  for (guint i = 0; lodge_args_n_words (args) == 1 && i < rows->len; i++)
    if (is_kind (rows->pdata[i], kind) && !is_kind (rows->pdata[i], "iso"))
      g_ptr_array_add (chosen, rows->pdata[i]);
  return check_chosen (chosen, error) ? g_steal_pointer (&chosen) : NULL;
}

/* ---- how they are called ---- */

static const char *
debian_architecture (const char *name)
{
  static const char *const names[][2]
      = { { "x86_64", "amd64" }, { "aarch64", "arm64" },  { "armv7l", "armhf" },
          { "i686", "i386" },    { "ppc64", "ppc64" },    { "ppc64le", "ppc64el" },
          { "s390x", "s390x" },  { "riscv64", "riscv64" } };

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    if (g_strcmp0 (names[i][0], name) == 0)
      return names[i][1];
  return name;
}

/* What an image of the remote “images” is called there is what it is called here as well; a name
 * that another image of its kind and architecture has had before is left out.  (transfer full) */
static char **
take_aliases (GVariant *row, const char *kind, const char *architecture, GHashTable *taken)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autofree const char **aliases = NULL;

  g_variant_lookup (row, "aliases", "^a&s", &aliases);
  for (const char **alias = aliases; alias != NULL && *alias != NULL; alias++)
    {
      const char *colon = strchr (*alias, ':'), *slash = strchr (*alias, '/');
      const char *name = colon != NULL && (slash == NULL || colon < slash) ? colon + 1 : *alias;
      char *key = g_strjoin ("/", kind, architecture, name, NULL);

      if (*name != '\0' && strchr (name, ',') == NULL && g_hash_table_add (taken, key))
        g_ptr_array_add (names, g_strdup (name));
    }
  g_ptr_array_add (names, NULL);
  return (char **) g_ptr_array_free (g_steal_pointer (&names), FALSE);
}

static char *
make_serial (GVariant *row)
{
  guint64 created = lodge_row_uint (row, "created", 0);
  g_autoptr (GDateTime) time = g_date_time_new_from_unix_utc ((gint64) MIN (created, G_MAXINT32));

  return g_date_time_format (time, "%Y%m%d_%H:%M");
}

static char *
take_property (GVariant *properties, const char *key, const char *fallback)
{
  const char *value = NULL;

  if (properties == NULL || !g_variant_lookup (properties, key, "&s", &value) || *value == '\0')
    value = fallback;
  return g_strdup (value);
}

static GVariant *
take_requirements (GVariant *properties)
{
  GVariantBuilder builder;
  GVariantIter iter;
  const char *key, *value;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a{ss}"));
  g_variant_iter_init (&iter, properties);
  while (g_variant_iter_next (&iter, "{&s&s}", &key, &value))
    if (g_str_has_prefix (key, "requirements."))
      g_variant_builder_add (&builder, "{ss}", key + strlen ("requirements."), value);
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}

/* Fills in what a list says about an image beside its files. */
static gboolean
describe (LodgeClient *client, GVariant *row, LodgeStreamsImage *image, GError **error)
{
  g_autofree char *path = lodge_row_string (row, "path");
  g_autoptr (GVariant) all
      = lodge_client_get_properties (client, path != NULL ? path : "/", "Image", error);
  g_auto (GStrv) parts = g_strsplit (image->aliases[0], "/", 3);

  if (all == NULL)
    return FALSE;
  g_autoptr (GVariant) properties
      = g_variant_lookup_value (all, "Properties", G_VARIANT_TYPE ("a{ss}"));
  image->serial = make_serial (row);
  image->os = take_property (properties, "os", parts[0]);
  image->release = take_property (properties, "release", parts[1] != NULL ? parts[1] : parts[0]);
  image->variant = take_property (properties, "variant", "default");
  image->requirements = properties != NULL ? take_requirements (properties) : NULL;
  return TRUE;
}

/* (transfer full): NULL without an error: it has no name that it could be asked for by. */
static LodgeStreamsImage *
make_image (LodgeClient *client, GVariant *row, const char *compression, GHashTable *taken,
            GError **error)
{
  g_autoptr (LodgeStreamsImage) image = g_new0 (LodgeStreamsImage, 1);
  g_autofree char *fingerprint = lodge_row_string (row, "fingerprint");
  g_autofree char *architecture = lodge_row_string (row, "architecture");
  const char *suffix = "";

  for (gsize i = 0; i < G_N_ELEMENTS (compressions); i++)
    if (strcmp (compressions[i].name, compression) == 0)
      suffix = compressions[i].suffix;
  image->kind = lodge_row_string (row, "kind");
  image->architecture = g_strdup (debian_architecture (architecture));
  if (fingerprint == NULL || !lodge_fingerprint_is_valid (fingerprint) || image->kind == NULL
      || image->architecture == NULL)
    return NULL;
  image->folder = g_strconcat (fingerprint, ".", compression, NULL);
  image->aliases = take_aliases (row, image->kind, image->architecture, taken);
  if (image->aliases[0] == NULL || !describe (client, row, image, error))
    return NULL;
  g_snprintf (image->meta.name, sizeof image->meta.name, "meta.tar%s", suffix);
  if (strcmp (image->kind, "vm") == 0)
    g_strlcpy (image->root.name, "disk.qcow2", sizeof image->root.name);
  else
    g_snprintf (image->root.name, sizeof image->root.name, "rootfs.tar%s", suffix);
  return g_steal_pointer (&image);
}

static int
compare_images (gconstpointer a, gconstpointer b)
{
  g_autofree char *first = lodge_streams_image_name (*(LodgeStreamsImage *const *) a);
  g_autofree char *second = lodge_streams_image_name (*(LodgeStreamsImage *const *) b);

  return strcmp (first, second);
}

/* Names without a remote go before those of a remote. */
static int
compare_rows (gconstpointer a, gconstpointer b)
{
  GVariant *const *rows[] = { a, b };
  int marks[2];

  for (guint i = 0; i < 2; i++)
    {
      g_autofree const char **aliases = NULL;
      g_variant_lookup (*rows[i], "aliases", "^a&s", &aliases);
      marks[i] = aliases == NULL || aliases[0] == NULL || strchr (aliases[0], ':') != NULL;
    }
  return marks[0] - marks[1];
}

/* (transfer full) */
static GPtrArray *
make_images (LodgeCli *cli, LodgeClient *client, GPtrArray *chosen, const char *compression,
             GError **error)
{
  g_autoptr (GPtrArray) images
      = g_ptr_array_new_with_free_func ((GDestroyNotify) lodge_streams_image_free);
  g_autoptr (GHashTable) taken = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

  g_ptr_array_sort (chosen, compare_rows);
  for (guint i = 0; i < chosen->len; i++)
    {
      GError *local = NULL;
      LodgeStreamsImage *image = make_image (client, chosen->pdata[i], compression, taken, &local);

      if (image != NULL)
        {
          g_ptr_array_add (images, image);
          continue;
        }
      if (local != NULL)
        {
          g_propagate_error (error, local);
          return NULL;
        }
      g_autofree char *fingerprint = lodge_format_row_fingerprint (chosen->pdata[i], "fingerprint");
      g_autofree char *note = g_strdup_printf (
          _ ("The image %s is left out: no alias is its own, so that nobody could ask for it"),
          fingerprint);
      lodge_cli_note (cli, note);
    }
  g_ptr_array_sort (images, compare_images);
  return g_steal_pointer (&images);
}

/* ---- the files ---- */

static gboolean
export_image (LodgeCli *cli, LodgeStreamsTree *tree, LodgeStreamsImage *image,
              const char *compression, GError **error)
{
  g_autofree char *hash = g_strndup (image->folder, 64);
  g_autofree char *path = g_strconcat (LODGE_OBJECT_PATH "/image/_", hash, NULL);
  int fds[2];

  if (lodge_streams_tree_has (tree, image))
    return TRUE;
  if (!lodge_streams_tree_begin (tree, image, fds, error))
    return FALSE;
  gboolean good = lodge_image_export (cli, path, "split", compression, fds, 2, error);
  close (fds[0]);
  close (fds[1]);
  if (good && lodge_streams_tree_commit (tree, image, error))
    return TRUE;
  lodge_streams_tree_abort (tree);
  return FALSE;
}

/* A row as `image list` has them.  (transfer full) */
static GVariant *
make_row (const LodgeStreamsImage *image)
{
  g_autofree char *path = g_strconcat ("images/", image->folder, "/", image->root.name, NULL);
  GVariantBuilder row;

  g_variant_builder_init (&row, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&row, "{sv}", "aliases",
                         g_variant_new_strv ((const char *const *) image->aliases, -1));
  g_variant_builder_add (&row, "{sv}", "fingerprint", g_variant_new_string (image->fingerprint));
  g_variant_builder_add (&row, "{sv}", "kind", g_variant_new_string (image->kind));
  g_variant_builder_add (&row, "{sv}", "architecture", g_variant_new_string (image->architecture));
  g_variant_builder_add (&row, "{sv}", "size",
                         g_variant_new_uint64 (image->meta.size + image->root.size));
  g_variant_builder_add (&row, "{sv}", "path", g_variant_new_string (path));
  return g_variant_ref_sink (g_variant_builder_end (&row));
}

static gboolean
check_compression (const char *compression, GError **error)
{
  for (gsize i = 0; i < G_N_ELEMENTS (compressions); i++)
    if (strcmp (compressions[i].name, compression) == 0)
      return TRUE;
  g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                       _ ("The compression is one of none, gzip, xz, zstd."));
  return FALSE;
}

gboolean
lodge_cmd_image_serve_tree (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  const char *chosen_compression = lodge_args_string (args, "compression");
  const char *compression = chosen_compression != NULL ? chosen_compression : DEFAULT_COMPRESSION;
  LodgeClient *client
      = check_compression (compression, error) ? lodge_cli_get_client (cli, error) : NULL;
  g_autoptr (GPtrArray) rows
      = client != NULL
            ? lodge_rows_fetch (cli, "Images", "ListImages", g_variant_new ("(a{sv})", NULL), error)
            : NULL;
  g_autoptr (GPtrArray) chosen = rows != NULL ? choose_all (client, args, rows, error) : NULL;
  g_autoptr (GPtrArray) images
      = chosen != NULL ? make_images (cli, client, chosen, compression, error) : NULL;
  g_autoptr (LodgeStreamsTree) tree
      = images != NULL ? lodge_streams_tree_open (lodge_args_word (args, 0), error) : NULL;
  g_autoptr (GPtrArray) shown = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);

  if (tree == NULL)
    return FALSE;
  for (guint i = 0; i < images->len; i++)
    {
      if (!export_image (cli, tree, images->pdata[i], compression, error))
        return FALSE;
      g_ptr_array_add (shown, make_row (images->pdata[i]));
    }
  return lodge_streams_tree_publish (tree, images, lodge_args_string (args, "sign"), error)
         && lodge_output_list (cli, args, shown, columns, error);
}
