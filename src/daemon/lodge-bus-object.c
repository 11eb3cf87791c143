/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-bus-object.h"

#include "lodge-bus-private.h"

/*
 * GDBus gets vtables without get_property: it then hands Properties.Get and GetAll over like any
 * other method, so that a missing object is a typed error, and who asks can be taken into account.
 */

GVariant *
lodge_bus_object_read (LodgeBus *bus, const LodgeBusInterface *interface, gpointer object,
                       gboolean trusted)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  for (gsize i = 0; interface->properties != NULL && interface->properties[i].name != NULL; i++)
    g_variant_builder_add (&builder, "{sv}", interface->properties[i].name,
                           interface->properties[i].get (bus, object, trusted));
  return g_variant_builder_end (&builder);
}

static void
on_root_call (GDBusConnection *connection, const char *sender, const char *path,
              const char *interface_name, const char *method_name, GVariant *parameters,
              GDBusMethodInvocation *invocation, gpointer user_data)
{
  static const LodgeBusInterface *const interfaces[]
      = { &lodge_bus_manager, &lodge_bus_images, &lodge_bus_remotes, &lodge_bus_objects, NULL };
  const char *wanted = interface_name;

  if (g_str_equal (interface_name, "org.freedesktop.DBus.Properties"))
    g_variant_get_child (parameters, 0, "&s", &wanted);
  for (gsize i = 0; interfaces[i] != NULL; i++)
    if (g_str_equal (interfaces[i]->info->name, wanted))
      {
        lodge_bus_call_begin (user_data, interfaces[i], "", interface_name, method_name,
                              invocation);
        return;
      }
  g_dbus_method_invocation_return_error (invocation, G_DBUS_ERROR, G_DBUS_ERROR_UNKNOWN_INTERFACE,
                                         "there is no interface %s here", wanted);
}

guint
lodge_bus_object_register (LodgeBus *bus, const LodgeBusInterface *interface, const char *path,
                           GError **error)
{
  static const GDBusInterfaceVTable vtable = { .method_call = on_root_call };

  return g_dbus_connection_register_object (
      bus->connection, path, (GDBusInterfaceInfo *) interface->info, &vtable, bus, NULL, error);
}

/* ---- subtrees ---- */

typedef struct
{
  LodgeBus *bus; /* borrowed: it unregisters */
  const LodgeBusInterface *interface;
} Subtree;

static char **
enumerate (GDBusConnection *connection, const char *sender, const char *path, gpointer user_data)
{
  Subtree *subtree = user_data;
  GPtrArray *nodes = NULL;

  if (subtree->interface->list != NULL)
    nodes = subtree->interface->list (subtree->bus);
  if (nodes == NULL)
    nodes = g_ptr_array_new ();
  g_ptr_array_add (nodes, NULL);
  return (char **) g_ptr_array_free (nodes, FALSE);
}

static GDBusInterfaceInfo **
introspect (GDBusConnection *connection, const char *sender, const char *path, const char *node,
            gpointer user_data)
{
  Subtree *subtree = user_data;
  GDBusInterfaceInfo **infos;

  if (node == NULL)
    return NULL;
  infos = g_new0 (GDBusInterfaceInfo *, 2);
  infos[0] = g_dbus_interface_info_ref ((GDBusInterfaceInfo *) subtree->interface->info);
  return infos;
}

static void
on_subtree_call (GDBusConnection *connection, const char *sender, const char *path,
                 const char *interface_name, const char *method_name, GVariant *parameters,
                 GDBusMethodInvocation *invocation, gpointer user_data)
{
  Subtree *subtree = user_data;

  lodge_bus_call_begin (subtree->bus, subtree->interface, strrchr (path, '/') + 1, interface_name,
                        method_name, invocation);
}

static const GDBusInterfaceVTable *
dispatch (GDBusConnection *connection, const char *sender, const char *path,
          const char *interface_name, const char *node, gpointer *out_user_data, gpointer user_data)
{
  static const GDBusInterfaceVTable vtable = { .method_call = on_subtree_call };

  if (node == NULL)
    return NULL;
  *out_user_data = user_data;
  return &vtable;
}

guint
lodge_bus_object_register_subtree (LodgeBus *bus, const LodgeBusInterface *interface,
                                   const char *path, GError **error)
{
  static const GDBusSubtreeVTable vtable = { enumerate, introspect, dispatch };
  Subtree *subtree = g_new0 (Subtree, 1);

  subtree->bus = bus;
  subtree->interface = interface;
  return g_dbus_connection_register_subtree (bus->connection, path, &vtable,
                                             G_DBUS_SUBTREE_FLAGS_DISPATCH_TO_UNENUMERATED_NODES,
                                             subtree, g_free, error);
}
