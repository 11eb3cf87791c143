/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Nothing here trusts a field: a string is copied only when a validator of its kind has passed it,
 * so that no line can be broken and no path can leave the server's root.
 */
#include "lodge-streams.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_LENGTH_MAX 512
#define ALIASES_MAX     24
#define TEXT_MAX        120
#define SIZE_MAX_BYTES  (G_GINT64_CONSTANT (1) << 42)
#define HASH_LENGTH     64

/* ---- fields ---- */

static const char *
get_string (const json_t *object, const char *member)
{
  return json_string_value (json_object_get (object, member));
}

/* A path below the server's root: nothing that climbs, is escaped, or has a query. */
static bool
is_path (const char *path)
{
  gsize length = path != NULL ? strlen (path) : 0;

  if (length == 0 || length > PATH_LENGTH_MAX || *path == '/' || *path == '.')
    return false;
  for (const char *p = path; *p != '\0'; p++)
    if (!g_ascii_isalnum (*p) && strchr ("._~+:@=,/-", *p) == NULL)
      return false;
  return strstr (path, "..") == NULL && strstr (path, "//") == NULL;
}

static bool
is_hash (const char *hash)
{
  return hash != NULL && strlen (hash) == HASH_LENGTH
         && strspn (hash, "0123456789abcdef") == HASH_LENGTH;
}

/* What can be typed as a part of an image's name. */
static bool
is_word (const char *word, gsize max)
{
  gsize length = word != NULL ? strlen (word) : 0;

  if (length == 0 || length > max || !g_ascii_isalnum (*word))
    return false;
  for (const char *p = word; *p != '\0'; p++)
    if (!g_ascii_isalnum (*p) && strchr ("._/:+-", *p) == NULL)
      return false;
  return strstr (word, "..") == NULL && strstr (word, "//") == NULL;
}

/* Appends @text for people: one line, no tabs, nothing that a terminal acts on; "-" for none. */
static void
append_text (GString *line, const char *text)
{
  gsize start = line->len;

  for (const char *p = text; p != NULL && *p != '\0' && line->len - start < TEXT_MAX;
       p = g_utf8_next_char (p))
    {
      gunichar c = g_utf8_get_char (p);
      if (g_unichar_isgraph (c) && g_unichar_type (c) != G_UNICODE_FORMAT)
        g_string_append_unichar (line, c);
      else if (line->len > start && line->str[line->len - 1] != ' ')
        g_string_append_c (line, ' ');
    }
  if (line->len == start)
    g_string_append_c (line, '-');
  g_string_append_c (line, '\t');
}

static void
append_field (GString *line, const char *field)
{
  g_string_append (line, field != NULL ? field : "-");
  g_string_append_c (line, '\t');
}

/* ---- dates ---- */

/* "Thu, 09 Jan 2025 07:50:31 +0000" of Ubuntu, or ISO 8601.  0: neither. */
static gint64
read_date (const char *text)
{
  static const char *const months[]
      = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
  int day, year, hour, minute, second;
  char month[4], zone[6];
  g_autoptr (GTimeZone) utc = g_time_zone_new_utc ();
  g_autoptr (GDateTime) date = NULL;

  if (text == NULL || strlen (text) > 40)
    return 0;
  if (sscanf (text, "%*3[A-Za-z], %2d %3s %4d %2d:%2d:%2d %5s", &day, month, &year, &hour, &minute,
              &second, zone)
      == 7)
    {
      g_autoptr (GTimeZone) offset = g_time_zone_new_identifier (zone);
      for (int i = 0; i < 12 && date == NULL; i++)
        if (strcmp (months[i], month) == 0)
          date = g_date_time_new (offset != NULL ? offset : utc, year, i + 1, day, hour, minute,
                                  second);
    }
  else
    date = g_date_time_new_from_iso8601 (text, utc);
  return date != NULL ? MAX (0, g_date_time_to_unix (date)) : 0;
}

static bool
read_digits (const char *text, int n, int *out_value)
{
  *out_value = 0;
  for (int i = 0; i < n; i++)
    {
      if (!g_ascii_isdigit (text[i]))
        return false;
      *out_value = *out_value * 10 + (text[i] - '0');
    }
  return true;
}

/* Of the name of a version: "20260608", "20260608.1", "20260608_05:24".  0: it is no date. */
static gint64
read_serial (const char *name)
{
  gsize length = name != NULL ? strlen (name) : 0;
  int year, month, day, hour = 0, minute = 0, again = 0;

  if (length < 8 || length > 20 || strspn (name, "0123456789._:") != length
      || !read_digits (name, 4, &year) || !read_digits (name + 4, 2, &month)
      || !read_digits (name + 6, 2, &day))
    return 0;
  if (name[8] == '_' && length == strlen ("20260608_05:24")
      && (!read_digits (name + 9, 2, &hour) || !read_digits (name + 12, 2, &minute)))
    return 0;
  if (name[8] == '.')
    again = CLAMP (atoi (name + 9), 0, 59);
  g_autoptr (GDateTime) date = g_date_time_new_utc (year, month, day, hour, minute, again);
  return date != NULL ? g_date_time_to_unix (date) : 0;
}

/* ---- documents ---- */

static json_t *
parse (const char *data, gsize size, gsize max, const char *what, LodgeFail *fail)
{
  json_error_t error;
  json_t *root = NULL;

  if (size > max)
    {
      lodge_fail (fail, "Download", "%s is larger than %" G_GSIZE_FORMAT " MiB", what, max >> 20);
      return NULL;
    }
  /* jansson refuses what is not UTF-8, NaN, numbers out of range, NUL characters and more than
   * 2048 levels by itself. */
  root = json_loadb (data, size, JSON_REJECT_DUPLICATES, &error);
  if (root == NULL || !json_is_object (root))
    {
      lodge_fail (fail, "Download", "%s is not well-formed (line %d)", what,
                  root == NULL ? error.line : 1);
      json_decref (root);
      return NULL;
    }
  return root;
}

void
lodge_streams_index_clear (LodgeStreamsIndex *index)
{
  for (gsize i = 0; i < G_N_ELEMENTS (index->paths); i++)
    g_clear_pointer (&index->paths[i], g_free);
}

bool
lodge_streams_read_index (const char *data, gsize size, LodgeStreamsIndex *out_index,
                          LodgeFail *fail)
{
  json_t *root = parse (data, size, LODGE_STREAMS_INDEX_MAX, "The server's index", fail);
  json_t *entry;
  const char *key;
  guint n = 0;

  if (root == NULL)
    return false;
  out_index->updated = read_date (get_string (root, "updated"));
  json_object_foreach (json_object_get (root, "index"), key, entry)
  {
    const char *type = get_string (entry, "datatype"), *path = get_string (entry, "path");

    if (type == NULL || strcmp (type, "image-downloads") != 0 || !is_path (path)
        || n == LODGE_STREAMS_PATHS)
      continue;
    out_index->updated = MAX (out_index->updated, read_date (get_string (entry, "updated")));
    out_index->paths[n++] = g_strdup (path);
  }
  json_decref (root);
  return n > 0 || lodge_fail (fail, "Download", "The server's index names no images");
}

/* ---- products ---- */

/* Files that make an image, best first; each with the member of the metadata's item that has the
 * fingerprint of both together. */
static const struct
{
  const char *kind;
  const char *ftype;
  const char *combined;
} roots[] = {
  { "container", "squashfs", "combined_squashfs_sha256" },
  { "container", "root.tar.xz", "combined_rootxz_sha256" },
  { "vm", "disk-kvm.img", "combined_disk-kvm-img_sha256" },
  { "vm", "uefi1.img", "combined_uefi1-img_sha256" },
  { "vm", "disk1.img", "combined_disk1-img_sha256" },
};

static const char *const metadata_types[] = { "incus.tar.xz", "lxd.tar.xz" };
static const char *const unified_types[] = { "incus_combined.tar.gz", "lxd_combined.tar.gz" };

typedef struct
{
  const char *path;
  const char *hash;
  gint64 size;
} File;

static bool
read_file (const json_t *item, File *out)
{
  const json_t *size = json_object_get (item, "size");

  out->path = get_string (item, "path");
  out->hash = get_string (item, "sha256");
  out->size = json_is_integer (size) ? json_integer_value (size) : -1;
  return is_path (out->path) && is_hash (out->hash) && out->size > 0 && out->size <= SIZE_MAX_BYTES;
}

static json_t *
find_item (json_t *items, const char *ftype)
{
  json_t *item;
  const char *key;

  json_object_foreach (items, key, item)
  {
    const char *type = get_string (item, "ftype");
    if (type != NULL && strcmp (type, ftype) == 0)
      return item;
  }
  return NULL;
}

static json_t *
find_first (json_t *items, const char *const *ftypes, gsize n)
{
  json_t *item = NULL;

  for (gsize i = 0; i < n && item == NULL; i++)
    item = find_item (items, ftypes[i]);
  return item;
}

/* A list such as "debian/12,debian/bookworm": what is no alias is left out. */
static gchar *
read_aliases (const char *text)
{
  g_auto (GStrv) words = g_strsplit (text != NULL ? text : "", ",", ALIASES_MAX + 1);
  g_autoptr (GString) aliases = g_string_new (NULL);

  for (guint i = 0; words[i] != NULL && i < ALIASES_MAX; i++)
    {
      const char *word = g_strstrip (words[i]);
      if (is_word (word, 100))
        g_string_append_printf (aliases, "%s%s", aliases->len > 0 ? "," : "", word);
    }
  return g_string_free (g_steal_pointer (&aliases), FALSE);
}

typedef struct
{
  json_t *product;
  const char *serial;
  const char *arch;
  char *aliases;
  GString *out;
} Product;

static void
write_image (const Product *product, const char *kind, const char *format, const char *fingerprint,
             const File *meta, const File *root)
{
  GString *out = product->out;
  const char *os = get_string (product->product, "os");
  const char *title = get_string (product->product, "release_title");
  const char *release = get_string (product->product, "release");

  append_field (out, kind);
  append_field (out, product->arch);
  append_field (out, product->aliases);
  append_field (out, product->serial);
  append_field (out, fingerprint);
  append_field (out, format);
  g_string_append_printf (out, "%s\t%s\t%" G_GINT64_FORMAT "\t", meta != NULL ? meta->path : "-",
                          meta != NULL ? meta->hash : "-", meta != NULL ? meta->size : 0);
  g_string_append_printf (out, "%s\t%s\t%" G_GINT64_FORMAT "\t", root->path, root->hash,
                          root->size);
  append_text (out, os);
  append_text (out, release);
  append_text (out, title != NULL ? title : release);
  append_text (out, get_string (product->product, "variant"));
  out->str[out->len - 1] = '\n';
}

/* Of each kind the best form that the server has.  Returns: how many there are. */
static guint
write_images (const Product *product, json_t *items)
{
  json_t *meta_item = find_first (items, metadata_types, G_N_ELEMENTS (metadata_types));
  json_t *unified = find_first (items, unified_types, G_N_ELEMENTS (unified_types));
  const char *last_kind = NULL;
  File meta, root;
  guint n = 0;

  if (meta_item != NULL && read_file (meta_item, &meta))
    for (gsize i = 0; i < G_N_ELEMENTS (roots); i++)
      {
        json_t *item = find_item (items, roots[i].ftype);
        const char *fingerprint = get_string (meta_item, roots[i].combined);

        if (g_strcmp0 (last_kind, roots[i].kind) == 0 || item == NULL || !is_hash (fingerprint)
            || !read_file (item, &root))
          continue;
        last_kind = roots[i].kind;
        write_image (product, last_kind, roots[i].ftype, fingerprint, &meta, &root);
        n++;
      }
  if (n == 0 && unified != NULL && read_file (unified, &root))
    {
      write_image (product, "container", "unified", root.hash, NULL, &root);
      n++;
    }
  return n;
}

/* The newest version that makes an image; a server may have begun to upload another. */
static guint
write_newest (Product *product, gint64 *updated)
{
  json_t *versions = json_object_get (product->product, "versions");
  json_t *skipped = json_object ();
  json_t *version, *best = NULL;
  const char *name;
  guint n = 0;

  if (json_object_size (versions) > LODGE_STREAMS_MAX_VERSIONS)
    versions = NULL;
  for (guint tries = 0; versions != NULL && n == 0 && tries < 3; tries++)
    {
      gint64 newest = 0;

      best = NULL;
      json_object_foreach (versions, name, version)
      {
        gint64 serial = read_serial (name);
        if (serial <= newest || json_object_get (skipped, name) != NULL)
          continue;
        newest = serial;
        best = version;
        product->serial = name;
      }
      if (best == NULL)
        break;
      *updated = MAX (*updated, newest);
      json_object_set (skipped, product->serial, json_true ());
      json_t *items = json_object_get (best, "items");
      if (json_object_size (items) <= LODGE_STREAMS_MAX_ITEMS)
        n = write_images (product, items);
    }
  json_decref (skipped);
  return n;
}

static guint
read_product (json_t *json, GString *out, gint64 *updated)
{
  Product product = { .product = json, .out = out, .arch = get_string (json, "arch") };

  if (!json_is_object (json) || !is_word (product.arch, 20))
    return 0;
  product.aliases = read_aliases (get_string (json, "aliases"));
  guint n = product.aliases[0] != '\0' ? write_newest (&product, updated) : 0;
  g_free (product.aliases);
  return n;
}

bool
lodge_streams_read_products (const char *data, gsize size, GString *out,
                             LodgeStreamsSummary *out_summary, LodgeFail *fail)
{
  LodgeStreamsSummary summary = { 0 };
  json_t *root = parse (data, size, LODGE_STREAMS_PRODUCTS_MAX, "The server's list", fail);
  json_t *products = json_object_get (root, "products");
  gint64 newest = 0;
  json_t *product;
  const char *name;
  bool ok = false;

  if (root == NULL)
    return false;
  if (!json_is_object (products))
    lodge_fail (fail, "Download", "The server's list has no products");
  else if (json_object_size (products) > LODGE_STREAMS_MAX_PRODUCTS)
    lodge_fail (fail, "Download", "The server's list has more than %d products",
                LODGE_STREAMS_MAX_PRODUCTS);
  else
    {
      json_object_foreach (products, name, product)
      {
        guint n = read_product (product, out, &newest);
        summary.products++;
        summary.images += n;
        summary.skipped += n == 0 ? 1 : 0;
      }
      summary.updated = read_date (get_string (root, "updated"));
      if (summary.updated == 0)
        summary.updated = newest;
      *out_summary = summary;
      ok = true;
    }
  json_decref (root);
  return ok;
}
