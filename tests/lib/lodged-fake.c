/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * lodged with fake drivers, for tests of the service without libvirt, root or guests.  All of it is
 * the real thing but for the drivers and the network.  From the environment:
 *
 *   LODGE_FAKE_STATE    a file that the fake host is kept in, so that it outlives lodged
 *   LODGE_FAKE_CONTROL  a socket that takes the commands of lodge_fake_control_run(), a line each
 *   LODGE_FAKE_COMMANDS such commands, to be run at the start, with ';' between them
 *   LODGE_FAKE_BOOT_MS  how long guests take to boot
 *   LODGE_FAKE_IMAGES   1: the store begins with an image of each kind, "debian/12"
 */
#include "lodge-daemon.h"
#include "lodge-fake-driver.h"
#include "lodge-fake-image.h"
#include "lodge-units.h"

/* The drivers' array lives as long as lodged does, and what belongs to them with it. */
static void
keep_with (GPtrArray *drivers, const char *key, gpointer object)
{
  g_object_set_data_full (drivers->pdata[0], key, object, g_object_unref);
}

static gboolean
run_commands (LodgeFakeWorld *world, GPtrArray *drivers, GError **error)
{
  const char *text = g_getenv ("LODGE_FAKE_COMMANDS");
  g_auto (GStrv) lines = g_strsplit (text != NULL ? text : "", ";", -1);

  for (gsize i = 0; lines[i] != NULL; i++)
    {
      g_autofree char *answer = NULL;

      if (g_strstrip (lines[i])[0] == '\0')
        continue;
      answer = lodge_fake_control_run (world, drivers, lines[i], error);
      if (answer == NULL)
        return FALSE;
    }
  return TRUE;
}

static GPtrArray *
make_drivers (const LodgeDaemonOptions *options, GError **error)
{
  g_autoptr (GPtrArray) drivers = g_ptr_array_new_with_free_func (g_object_unref);
  g_autofree char *scratch = g_build_filename (options->run_dir, "fake-files", NULL);
  const char *control = g_getenv ("LODGE_FAKE_CONTROL");
  const char *boot = g_getenv ("LODGE_FAKE_BOOT_MS");
  g_autoptr (LodgeFakeWorld) world = lodge_fake_world_new (g_getenv ("LODGE_FAKE_STATE"), error);
  guint64 boot_ms;

  if (world == NULL)
    return NULL;
  if (!options->no_lxc)
    g_ptr_array_add (drivers, lodge_fake_driver_new (world, LODGE_KIND_CONTAINER, scratch));
  if (!options->no_kvm)
    g_ptr_array_add (drivers, lodge_fake_driver_new (world, LODGE_KIND_VM, scratch));
  if (boot != NULL && lodge_parse_uint (boot, 0, 3600000, &boot_ms, NULL))
    for (guint i = 0; i < drivers->len; i++)
      lodge_fake_driver_set_boot_delay (drivers->pdata[i], (guint) boot_ms);
  if (!run_commands (world, drivers, error))
    return NULL;
  if (control != NULL)
    {
      /* Without its own reference on the array: the array is what keeps it. */
      g_autoptr (GPtrArray) borrowed = g_ptr_array_new ();
      GObject *listener;

      g_ptr_array_extend (borrowed, drivers, NULL, NULL);
      listener = lodge_fake_control_listen (world, borrowed, control, error);
      if (listener == NULL)
        return NULL;
      keep_with (drivers, "control", listener);
    }
  return g_steal_pointer (&drivers);
}

static gboolean
prepare (const LodgeDaemonOptions *options, LodgeSqliteStore *store, GError **error)
{
  if (g_strcmp0 (g_getenv ("LODGE_FAKE_IMAGES"), "1") != 0)
    return TRUE;
  return lodge_fake_image_add (LODGE_STORE (store), options->state_dir, LODGE_KIND_CONTAINER, error)
         && lodge_fake_image_add (LODGE_STORE (store), options->state_dir, LODGE_KIND_VM, error);
}

int
main (int argc, char **argv)
{
  static const LodgeDaemonParts parts = { .make_drivers = make_drivers, .prepare = prepare };

  return lodge_daemon_main (argc, argv, &parts);
}
