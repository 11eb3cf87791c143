/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A product for each image: LXD takes one file of metadata for all that a product's version has,
 * and a container and a VM of the same name need not share theirs.  An alias may be in several
 * products; clients tell them apart by kind and architecture.
 */
#include "lodge-streams-list.h"

#include <string.h>

#include "lodge-output.h"

#define CONTENT_ID "lodge:images"
#define HEAD       "{\n  \"updated\": \""
#define HEAD_END   "\",\n  \"content_id\": \"" CONTENT_ID "\",\n"

/* LXD looks for the one, Incus for the other. */
static const char *const metadata_types[] = { "lxd.tar.xz", "incus.tar.xz" };

static const struct
{
  const char *kind;
  const char *ftype;
  const char *combined;
} roots[] = {
  { "container", "root.tar.xz", "combined_rootxz_sha256" },
  { "vm", "disk-kvm.img", "combined_disk-kvm-img_sha256" },
};

char *
lodge_streams_image_name (const LodgeStreamsImage *image)
{
  return g_strdup_printf ("lodge:%s:%s:%s", image->aliases[0], image->architecture, image->kind);
}

static void
add_string (GVariantBuilder *builder, const char *key, const char *value)
{
  g_variant_builder_add (builder, "{sv}", key, g_variant_new_string (value));
}

static void
begin_item (GVariantBuilder *builder, const LodgeStreamsImage *image, const LodgeStreamsFile *file,
            const char *ftype)
{
  g_autofree char *path = g_strconcat ("images/", image->folder, "/", file->name, NULL);

  g_variant_builder_init (builder, G_VARIANT_TYPE_VARDICT);
  add_string (builder, "ftype", ftype);
  add_string (builder, "path", path);
  add_string (builder, "sha256", file->sha256);
  g_variant_builder_add (builder, "{sv}", "size", g_variant_new_uint64 (file->size));
}

static GVariant *
make_items (const LodgeStreamsImage *image)
{
  GVariantBuilder items, item;

  g_variant_builder_init (&items, G_VARIANT_TYPE_VARDICT);
  for (gsize i = 0; i < G_N_ELEMENTS (roots); i++)
    {
      if (strcmp (roots[i].kind, image->kind) != 0)
        continue;
      for (gsize j = 0; j < G_N_ELEMENTS (metadata_types); j++)
        {
          begin_item (&item, image, &image->meta, metadata_types[j]);
          add_string (&item, "combined_sha256", image->fingerprint);
          add_string (&item, roots[i].combined, image->fingerprint);
          g_variant_builder_add (&items, "{sv}", metadata_types[j], g_variant_builder_end (&item));
        }
      begin_item (&item, image, &image->root, roots[i].ftype);
      g_variant_builder_add (&items, "{sv}", roots[i].ftype, g_variant_builder_end (&item));
    }
  return g_variant_builder_end (&items);
}

static GVariant *
wrap (const char *key, GVariant *value)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&builder, "{sv}", key, value);
  return g_variant_builder_end (&builder);
}

static GVariant *
make_product (const LodgeStreamsImage *image)
{
  g_autofree char *aliases = g_strjoinv (",", image->aliases);
  GVariantBuilder product;

  g_variant_builder_init (&product, G_VARIANT_TYPE_VARDICT);
  add_string (&product, "aliases", aliases);
  add_string (&product, "arch", image->architecture);
  add_string (&product, "os", image->os);
  add_string (&product, "release", image->release);
  add_string (&product, "release_title", image->release);
  add_string (&product, "variant", image->variant);
  if (image->requirements != NULL)
    g_variant_builder_add (&product, "{sv}", "requirements", image->requirements);
  g_variant_builder_add (&product, "{sv}", "versions",
                         wrap (image->serial, wrap ("items", make_items (image))));
  return g_variant_builder_end (&product);
}

/* The object of @builder, without "{" and the date.  (transfer full) */
static char *
render (GVariantBuilder *builder)
{
  g_autoptr (GVariant) object = g_variant_ref_sink (g_variant_builder_end (builder));
  g_autoptr (GString) text = g_string_new (NULL);

  lodge_output_append_json (text, object, 0);
  g_string_append_c (text, '\n');
  g_string_erase (text, 0, strlen ("{\n"));
  return g_string_free (g_steal_pointer (&text), FALSE);
}

char *
lodge_streams_list_make (GPtrArray *images)
{
  GVariantBuilder document, products;

  g_variant_builder_init (&products, G_VARIANT_TYPE_VARDICT);
  for (guint i = 0; i < images->len; i++)
    {
      g_autofree char *name = lodge_streams_image_name (images->pdata[i]);
      g_variant_builder_add (&products, "{sv}", name, make_product (images->pdata[i]));
    }
  g_variant_builder_init (&document, G_VARIANT_TYPE_VARDICT);
  add_string (&document, "datatype", "image-downloads");
  add_string (&document, "format", "products:1.0");
  g_variant_builder_add (&document, "{sv}", "products", g_variant_builder_end (&products));
  return render (&document);
}

char *
lodge_streams_list_make_index (GPtrArray *images, const char *path)
{
  GVariantBuilder document, entry, names;

  g_variant_builder_init (&names, G_VARIANT_TYPE_STRING_ARRAY);
  for (guint i = 0; i < images->len; i++)
    {
      g_autofree char *name = lodge_streams_image_name (images->pdata[i]);
      g_variant_builder_add (&names, "s", name);
    }
  g_variant_builder_init (&entry, G_VARIANT_TYPE_VARDICT);
  add_string (&entry, "datatype", "image-downloads");
  add_string (&entry, "path", path);
  add_string (&entry, "format", "products:1.0");
  g_variant_builder_add (&entry, "{sv}", "products", g_variant_builder_end (&names));
  g_variant_builder_init (&document, G_VARIANT_TYPE_VARDICT);
  add_string (&document, "format", "index:1.0");
  g_variant_builder_add (&document, "{sv}", "index",
                         wrap ("images", g_variant_builder_end (&entry)));
  return render (&document);
}

char *
lodge_streams_list_date (const char *body)
{
  static const char *const days[] = { "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun" };
  static const char *const months[]
      = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  /* As Ubuntu's servers write it, in English whatever the locale is. */
  g_autofree char *date = g_strdup_printf (
      "%s, %02d %s %04d %02d:%02d:%02d +0000", days[g_date_time_get_day_of_week (now) - 1],
      g_date_time_get_day_of_month (now), months[g_date_time_get_month (now) - 1],
      g_date_time_get_year (now), g_date_time_get_hour (now), g_date_time_get_minute (now),
      g_date_time_get_second (now));

  return g_strconcat (HEAD, date, HEAD_END, body, NULL);
}

/* After the date and what follows it; NULL: it is no document of ours. */
static const char *
skip_head (const char *document)
{
  const char *date_end
      = g_str_has_prefix (document, HEAD) ? strchr (document + strlen (HEAD), '"') : NULL;

  return date_end != NULL && g_str_has_prefix (date_end, HEAD_END) ? date_end + strlen (HEAD_END)
                                                                   : NULL;
}

gboolean
lodge_streams_list_is_ours (const char *document)
{
  return skip_head (document) != NULL;
}

gboolean
lodge_streams_list_says (const char *document, const char *body)
{
  const char *rest = skip_head (document);

  return rest != NULL && strcmp (rest, body) == 0;
}
