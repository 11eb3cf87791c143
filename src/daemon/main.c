/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-daemon.h"
#include "lodge-kvm-driver.h"
#include "lodge-lxc-driver.h"
#include "lodge-network.h"

typedef LodgeDriver *(*DriverFunc) (const char *uri, const char *state_dir, const char *run_dir,
                                    const char *libexec_dir, GError **error);

static gboolean
add_driver (GPtrArray *drivers, DriverFunc func, const char *uri, const LodgeDaemonOptions *options,
            GError **error)
{
  LodgeDriver *driver
      = func (uri, options->state_dir, options->run_dir, options->libexec_dir, error);

  if (driver == NULL)
    return FALSE;
  g_ptr_array_add (drivers, driver);
  return TRUE;
}

static GPtrArray *
make_drivers (const LodgeDaemonOptions *options, GError **error)
{
  g_autoptr (GPtrArray) drivers = g_ptr_array_new_with_free_func (g_object_unref);

  if (!options->no_lxc
      && !add_driver (drivers, lodge_lxc_driver_new, options->lxc_uri, options, error))
    return NULL;
  if (!options->no_kvm
      && !add_driver (drivers, lodge_kvm_driver_new, options->kvm_uri, options, error))
    return NULL;
  return g_steal_pointer (&drivers);
}

/* Any connection to a libvirtd can be asked for its networks. */
static GObject *
make_network (const LodgeDaemonOptions *options)
{
  return G_OBJECT (lodge_network_new (options->no_lxc ? options->kvm_uri : options->lxc_uri,
                                      options->state_dir));
}

int
main (int argc, char **argv)
{
  static const LodgeDaemonParts parts
      = { .make_drivers = make_drivers, .make_network = make_network };

  return lodge_daemon_main (argc, argv, &parts);
}
