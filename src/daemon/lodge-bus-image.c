/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-bus-convert.h"
#include "lodge-bus-introspection.h"
#include "lodge-bus-options.h"
#include "lodge-bus-paths.h"
#include "lodge-bus-private.h"

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
  return g_variant_new_string (lodge_kind_nick (((const LodgeImage *) object)->kind));
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

static const LodgeBusMethod methods[] = {
  { "SetAliases", set_aliases },
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
