/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-bus-introspection.h"
#include "lodge-bus-private.h"

static const LodgeBusInterface *const interfaces[]
    = { &lodge_bus_manager, &lodge_bus_images, &lodge_bus_objects, &lodge_bus_instance,
        &lodge_bus_image,   &lodge_bus_job,    &lodge_bus_process, &lodge_bus_remotes };

static gboolean
has_method (const LodgeBusInterface *interface, const char *name)
{
  for (gsize i = 0; interface->methods != NULL && interface->methods[i].name != NULL; i++)
    if (g_str_equal (interface->methods[i].name, name))
      return TRUE;
  return FALSE;
}

static gboolean
has_property (const LodgeBusInterface *interface, const char *name)
{
  for (gsize i = 0; interface->properties != NULL && interface->properties[i].name != NULL; i++)
    if (g_str_equal (interface->properties[i].name, name))
      return TRUE;
  return FALSE;
}

/* What is on the bus has a row of the policy and code behind it. */
static void
test_every_method_has_a_row (void)
{
  guint count = 0;

  for (gsize i = 0; i < G_N_ELEMENTS (interfaces); i++)
    for (gsize j = 0; interfaces[i]->info->methods[j] != NULL; j++, count++)
      {
        const char *name = interfaces[i]->info->methods[j]->name;

        g_test_message ("%s.%s", interfaces[i]->info->name, name);
        g_assert_nonnull (lodge_bus_policy_find (interfaces[i]->info->name, name));
        g_assert_true (has_method (interfaces[i], name));
      }
  g_assert_cmpuint (count, >=, 30);
}

/* And nothing else has. */
static void
test_every_row_has_a_method (void)
{
  gsize n_rows;
  const LodgeBusPolicy *rows = lodge_bus_policy_table (&n_rows);

  for (gsize i = 0; i < n_rows; i++)
    {
      gboolean found = FALSE;

      for (gsize j = 0; j < G_N_ELEMENTS (interfaces); j++)
        found |= g_str_equal (interfaces[j]->info->name, rows[i].interface)
                 && g_dbus_interface_info_lookup_method ((GDBusInterfaceInfo *) interfaces[j]->info,
                                                         rows[i].method)
                        != NULL;
      g_test_message ("%s.%s", rows[i].interface, rows[i].method);
      g_assert_true (found);
      for (gsize j = i + 1; j < n_rows; j++)
        g_assert_false (g_str_equal (rows[i].interface, rows[j].interface)
                        && g_str_equal (rows[i].method, rows[j].method));
    }
  g_assert_null (lodge_bus_policy_find ("org.lodge1.Manager", "Start"));
}

static void
test_every_property_is_read (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (interfaces); i++)
    {
      guint count = 0;

      for (gsize j = 0;
           interfaces[i]->info->properties != NULL && interfaces[i]->info->properties[j] != NULL;
           j++, count++)
        {
          const GDBusPropertyInfo *info = interfaces[i]->info->properties[j];

          g_test_message ("%s.%s", interfaces[i]->info->name, info->name);
          g_assert_true (has_property (interfaces[i], info->name));
          g_assert_cmpuint (info->flags, ==, G_DBUS_PROPERTY_INFO_FLAGS_READABLE);
        }
      for (gsize j = 0;
           interfaces[i]->properties != NULL && interfaces[i]->properties[j].name != NULL; j++)
        count--;
      g_assert_cmpuint (count, ==, 0);
    }
}

/* A method that changes or reveals something has an action, or belongs to its owner. */
static void
test_what_is_free (void)
{
  static const char *const free_methods[]
      = { "GetManagedObjects", "GetInstance", "ListInstances", "ListJobs", "GetSchema", "GetImage",
          "ListImages",        "GetUsage",    "Wait",          "List",     NULL };
  gsize n_rows;
  const LodgeBusPolicy *rows = lodge_bus_policy_table (&n_rows);

  for (gsize i = 0; i < n_rows; i++)
    if (rows[i].action != NULL)
      g_assert_true (g_str_has_prefix (rows[i].action, "org.lodge1."));
    else if ((rows[i].flags & LODGE_POLICY_OWNER) == 0)
      g_assert_true (g_strv_contains (free_methods, rows[i].method));
}

/* polkit knows each action from the file that is installed. */
static void
test_actions_are_declared (void)
{
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, "org.lodge1.policy", NULL);
  g_autofree char *text = NULL;
  gsize n_rows;
  const LodgeBusPolicy *rows = lodge_bus_policy_table (&n_rows);

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  for (gsize i = 0; i < n_rows; i++)
    {
      g_autofree char *declaration = g_strdup_printf ("<action id=\"%s\">", rows[i].action);

      g_assert_true (rows[i].action == NULL || strstr (text, declaration) != NULL);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/daemon/policy/every-method-has-a-row", test_every_method_has_a_row);
  g_test_add_func ("/daemon/policy/every-row-has-a-method", test_every_row_has_a_method);
  g_test_add_func ("/daemon/policy/every-property-is-read", test_every_property_is_read);
  g_test_add_func ("/daemon/policy/what-is-free", test_what_is_free);
  g_test_add_func ("/daemon/policy/actions-are-declared", test_actions_are_declared);
  return g_test_run ();
}
