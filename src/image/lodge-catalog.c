/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The lines that lodge-fetch wrote about a server.  It has checked each field; so does this, since
 * the helper was fed with what a stranger sent.  There is nothing to parse but tabs.
 */
#include "lodge-remote-private.h"

#include <string.h>
#include <sys/stat.h>

#include "lodge-name.h"

#define CATALOG_MAX  (16u << 20)
#define N_FIELDS     16
#define PATH_MAX_LEN 512
#define SIZE_LIMIT   (G_GUINT64_CONSTANT (1) << 42)

enum
{
  FIELD_KIND,
  FIELD_MACHINE,
  FIELD_ALIASES,
  FIELD_SERIAL,
  FIELD_FINGERPRINT,
  FIELD_FORMAT,
  FIELD_META_PATH,
  FIELD_META_SHA256,
  FIELD_META_SIZE,
  FIELD_ROOT_PATH,
  FIELD_ROOT_SHA256,
  FIELD_ROOT_SIZE,
  FIELD_OS,
  FIELD_RELEASE,
  FIELD_TITLE,
  FIELD_VARIANT,
};

void
lodge_catalog_entry_free (LodgeCatalogEntry *entry)
{
  g_free (entry->machine);
  g_strfreev (entry->aliases);
  g_free (entry->serial);
  g_free (entry->fingerprint);
  g_free (entry->format);
  g_free (entry->meta_path);
  g_free (entry->meta_sha256);
  g_free (entry->root_path);
  g_free (entry->root_sha256);
  g_free (entry->os);
  g_free (entry->release);
  g_free (entry->title);
  g_free (entry->variant);
  g_free (entry);
}

static gboolean
is_made_of (const char *text, const char *more, gsize max)
{
  gsize length = strlen (text);

  if (length == 0 || length > max)
    return FALSE;
  for (const char *p = text; *p != '\0'; p++)
    if (!g_ascii_isalnum (*p) && strchr (more, *p) == NULL)
      return FALSE;
  return TRUE;
}

static gboolean
is_path (const char *path)
{
  return is_made_of (path, "._~+:@=,/-", PATH_MAX_LEN) && g_ascii_isalnum (*path)
         && strstr (path, "..") == NULL && strstr (path, "//") == NULL;
}

static gboolean
read_size (const char *text, guint64 *out_size)
{
  return g_ascii_string_to_unsigned (text, 10, 1, SIZE_LIMIT, out_size, NULL);
}

static char **
read_aliases (const char *text)
{
  g_auto (GStrv) words = g_strsplit (text, ",", 64);
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();

  for (char **word = words; *word != NULL; word++)
    if (lodge_alias_validate (*word, NULL))
      g_strv_builder_add (builder, *word);
  return g_strv_builder_end (builder);
}

static gboolean
check_fields (char **fields)
{
  static const char *const formats[]
      = { "squashfs", "root.tar.xz", "disk-kvm.img", "uefi1.img", "disk1.img", "unified", NULL };
  gboolean has_meta = strcmp (fields[FIELD_META_PATH], "-") != 0;

  if (!is_made_of (fields[FIELD_MACHINE], "-", 20) || !is_made_of (fields[FIELD_SERIAL], "._:", 40)
      || !lodge_fingerprint_is_valid (fields[FIELD_FINGERPRINT])
      || !g_strv_contains (formats, fields[FIELD_FORMAT]) || !is_path (fields[FIELD_ROOT_PATH])
      || !lodge_fingerprint_is_valid (fields[FIELD_ROOT_SHA256]))
    return FALSE;
  if (has_meta
      && (!is_path (fields[FIELD_META_PATH])
          || !lodge_fingerprint_is_valid (fields[FIELD_META_SHA256])))
    return FALSE;
  return has_meta != (strcmp (fields[FIELD_FORMAT], "unified") == 0);
}

static char *
copy_text (const char *field)
{
  return strcmp (field, "-") == 0 ? g_strdup ("") : g_utf8_make_valid (field, -1);
}

/* Returns: (transfer full) (nullable). */
static LodgeCatalogEntry *
read_line (const char *line)
{
  g_auto (GStrv) fields = g_strsplit (line, "\t", N_FIELDS + 1);
  g_auto (GStrv) aliases = NULL;
  guint64 meta_size = 0, root_size;
  LodgeKind kind;

  if (g_strv_length (fields) != N_FIELDS || !lodge_kind_from_nick (fields[FIELD_KIND], &kind)
      || !check_fields (fields) || !read_size (fields[FIELD_ROOT_SIZE], &root_size))
    return NULL;
  gboolean has_meta = strcmp (fields[FIELD_META_PATH], "-") != 0;
  aliases = read_aliases (fields[FIELD_ALIASES]);
  if ((has_meta && !read_size (fields[FIELD_META_SIZE], &meta_size)) || aliases[0] == NULL)
    return NULL;

  LodgeCatalogEntry *entry = g_new0 (LodgeCatalogEntry, 1);
  entry->kind = kind;
  entry->machine = g_strdup (fields[FIELD_MACHINE]);
  entry->aliases = g_steal_pointer (&aliases);
  entry->serial = g_strdup (fields[FIELD_SERIAL]);
  entry->fingerprint = g_strdup (fields[FIELD_FINGERPRINT]);
  entry->format = g_strdup (fields[FIELD_FORMAT]);
  entry->meta_path = has_meta ? g_strdup (fields[FIELD_META_PATH]) : NULL;
  entry->meta_sha256 = has_meta ? g_strdup (fields[FIELD_META_SHA256]) : NULL;
  entry->meta_size = meta_size;
  entry->root_path = g_strdup (fields[FIELD_ROOT_PATH]);
  entry->root_sha256 = g_strdup (fields[FIELD_ROOT_SHA256]);
  entry->root_size = root_size;
  entry->os = copy_text (fields[FIELD_OS]);
  entry->release = copy_text (fields[FIELD_RELEASE]);
  entry->title = copy_text (fields[FIELD_TITLE]);
  entry->variant = copy_text (fields[FIELD_VARIANT]);
  return entry;
}

static int
compare_entries (gconstpointer a, gconstpointer b)
{
  const LodgeCatalogEntry *left = *(LodgeCatalogEntry *const *) a;
  const LodgeCatalogEntry *right = *(LodgeCatalogEntry *const *) b;
  int order = strcmp (left->aliases[0], right->aliases[0]);

  if (order == 0)
    order = strcmp (left->machine, right->machine);
  return order != 0 ? order : (int) left->kind - (int) right->kind;
}

GPtrArray *
lodge_catalog_parse (char *text)
{
  GPtrArray *catalog = g_ptr_array_new_with_free_func ((GDestroyNotify) lodge_catalog_entry_free);

  for (char *line = text, *end; (end = strchr (line, '\n')) != NULL; line = end + 1)
    {
      *end = '\0';
      LodgeCatalogEntry *entry = read_line (line);
      if (entry != NULL)
        g_ptr_array_add (catalog, entry);
    }
  g_ptr_array_sort (catalog, compare_entries);
  return catalog;
}

GPtrArray *
lodge_catalog_read (const char *path)
{
  g_autofree char *text = NULL;
  struct stat st;

  /* Its writer is not trusted; nobody writes to it any more. */
  if (stat (path, &st) < 0 || st.st_size > CATALOG_MAX
      || !g_file_get_contents (path, &text, NULL, NULL))
    return NULL;
  return lodge_catalog_parse (text);
}

/* ---- finding ---- */

static gboolean
is_named (const LodgeCatalogEntry *entry, const char *name)
{
  return g_strv_contains ((const char *const *) entry->aliases, name)
         || (strlen (name) >= 12 && g_str_has_prefix (entry->fingerprint, name));
}

static const LodgeCatalogEntry *
find_for (GPtrArray *catalog, const char *name, LodgeKind kind, const char *machine)
{
  for (guint i = 0; i < catalog->len; i++)
    {
      const LodgeCatalogEntry *entry = g_ptr_array_index (catalog, i);

      if (entry->kind == kind && strcmp (entry->machine, machine) == 0 && is_named (entry, name))
        return entry;
    }
  return NULL;
}

const LodgeCatalogEntry *
lodge_catalog_find (GPtrArray *catalog, const char *alias, LodgeKind kind)
{
  const LodgeCatalogEntry *entry = find_for (catalog, alias, kind, lodge_image_host_machine ());
  const char *slash = strrchr (alias, '/');

  if (entry != NULL || slash == NULL || slash == alias)
    return entry;
  g_autofree char *name = g_strndup (alias, (gsize) (slash - alias));
  return find_for (catalog, name, kind, slash + 1);
}

char *
lodge_catalog_describe (const LodgeCatalogEntry *entry)
{
  gboolean is_default = *entry->variant == '\0' || strcmp (entry->variant, "default") == 0;

  return g_strdup_printf ("%s %s %s%s%s%s%s", entry->os, entry->title, entry->machine,
                          is_default ? "" : " ", is_default ? "" : entry->variant,
                          *entry->serial != '\0' ? " " : "", entry->serial);
}

GPtrArray *
lodge_catalog_of_recipes (void)
{
  GPtrArray *catalog = g_ptr_array_new_with_free_func ((GDestroyNotify) lodge_catalog_entry_free);
  const LodgeImageRecipe *recipe;

  for (guint i = 0; (recipe = lodge_image_recipe_nth (i)) != NULL; i++)
    for (int kind = LODGE_KIND_CONTAINER; kind <= LODGE_KIND_VM; kind++)
      {
        gboolean is_foreign = lodge_image_recipe_is_foreign (recipe);

        /* Those that name this host's are the same again; and a foreign disk cannot be made. */
        if (is_foreign ? kind == LODGE_KIND_VM : recipe->machine != NULL)
          continue;
        LodgeCatalogEntry *entry = g_new0 (LodgeCatalogEntry, 1);
        entry->kind = (LodgeKind) kind;
        entry->machine = g_strdup (is_foreign ? recipe->machine : lodge_image_host_machine ());
        entry->aliases = g_strdupv ((char **) recipe->aliases);
        entry->serial = g_strdup ("");
        entry->fingerprint = g_strdup ("");
        entry->format = g_strdup ("recipe");
        entry->os = g_strdup (recipe->distribution);
        entry->release = g_strdup (recipe->suite);
        entry->title = g_strdup (recipe->suite);
        entry->variant = g_strdup (recipe->variant != NULL ? recipe->variant : "");
        g_ptr_array_add (catalog, entry);
      }
  g_ptr_array_sort (catalog, compare_entries);
  return catalog;
}
