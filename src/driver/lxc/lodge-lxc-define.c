/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-lxc-private.h"

#include <libvirt/virterror.h>

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

#include "lodge-fd.h"
#include "lodge-virt-durable.h"
#include "lodge-virt-error.h"

#define DOMAIN_TYPE "lxc"

/* ---- define ---- */

static char *
make_xml (LodgeLxcDriver *self, const LodgeDomainSpec *spec, const LodgeLxcPaths *paths,
          GError **error)
{
  g_autofree char *cpuset = NULL;
  LodgeLxcXmlOptions options = {
    .root_dir = paths->root,
    .control_dir = paths->control,
    .guest_dir = g_file_test (self->guest_dir, G_FILE_TEST_IS_DIR) ? self->guest_dir : NULL,
    .host_memory = self->host_memory,
    .limit_swap = lodge_lxc_cgroup_limits_swap (),
  };
  if (!lodge_lxc_plan_cpu (spec, &options, &cpuset, error))
    return NULL;
  return lodge_domain_xml_lxc (spec, &options, error);
}

/* A name that another domain has would make libvirt refuse with a sentence about UUIDs. */
static gboolean
check_name (virConnectPtr connection, const char *name, const char *uuid, GError **error)
{
  g_autoptr (virDomain) domain = virDomainLookupByName (connection, name);
  char other[VIR_UUID_STRING_BUFLEN];
  if (domain == NULL)
    {
      if (lodge_virt_error_is (VIR_ERR_NO_DOMAIN))
        return TRUE;
      lodge_virt_set_error (error, "Cannot look for a container “%s”", name);
      return FALSE;
    }
  if (virDomainGetUUIDString (domain, other) == 0 && strcmp (other, uuid) == 0)
    return TRUE;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_ALREADY_EXISTS,
               "There is already a container “%s” in libvirt", name);
  return FALSE;
}

static gboolean
is_managed (virDomainPtr domain)
{
  char *xml = virDomainGetXMLDesc (domain, VIR_DOMAIN_XML_INACTIVE);
  LodgeDomainInfo *info = NULL;
  gboolean is_read = xml != NULL && lodge_domain_xml_read (xml, &info, NULL);
  free (xml);
  if (!is_read)
    return FALSE;
  g_autoptr (LodgeDomainInfo) owner = info;
  return info->managed;
}

/* A domain of somebody else is never replaced, whatever its UUID. */
static gboolean
check_owner (virConnectPtr connection, const LodgeDomainSpec *spec, GError **error)
{
  g_autoptr (virDomain) domain = virDomainLookupByUUIDString (connection, spec->uuid);
  if (domain == NULL || is_managed (domain))
    return TRUE;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_ALREADY_EXISTS,
               "There is already a container with the UUID %s in libvirt, which is not Lodge's",
               spec->uuid);
  return FALSE;
}

/* Without VIR_DOMAIN_DEFINE_VALIDATE: libvirt would read its whole schema for each domain, which
 * costs more than all the rest; the tests hold what we write against the schema. */
static gboolean
define_xml (virConnectPtr connection, const char *name, const char *xml, GError **error)
{
  g_autoptr (virDomain) domain = virDomainDefineXML (connection, xml);
  if (domain == NULL)
    lodge_virt_set_error (error, "Cannot define container “%s”", name);
  return domain != NULL;
}

gboolean
lodge_lxc_define (LodgeDriver *driver, const LodgeDomainSpec *spec, GPtrArray *out_notices,
                  GCancellable *cancellable, GError **error)
{
  LodgeLxcDriver *self = LODGE_LXC_DRIVER (driver);
  g_autoptr (LodgeLxcPaths) paths = lodge_lxc_driver_paths (self, spec->uuid);
  g_autofree char *xml = make_xml (self, spec, paths, error);
  if (xml == NULL)
    return FALSE;
  g_autoptr (virConnect) connection = lodge_virt_connection_acquire (self->connection, error);
  if (connection == NULL || !check_name (connection, spec->name, spec->uuid, error)
      || !check_owner (connection, spec, error) || !lodge_lxc_plan_write (spec, paths, error)
      || !define_xml (connection, spec->name, xml, error)
      || !lodge_virt_sync_definitions (DOMAIN_TYPE, error))
    return FALSE;
  lodge_lxc_driver_set_name (self, spec->uuid, spec->name);
  return TRUE;
}

/* ---- undefine ---- */

/* Removes what is not there any more without a word; what cannot be removed is an error. */
static gboolean
remove_file (const char *dir, const char *name, GError **error)
{
  g_autofree char *path = g_build_filename (dir, name, NULL);
  if (g_unlink (path) == 0 || errno == ENOENT)
    return TRUE;
  lodge_error_set_errno (error, errno, "Cannot remove %s", path);
  return FALSE;
}

static gboolean
remove_files (const LodgeLxcPaths *paths, GError **error)
{
  static const char *const names[] = { "plan", "rename.xml", "console.log", "console.log.1" };
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    if (!remove_file (paths->instance, names[i], error))
      return FALSE;
  if (!lodge_tree_remove (paths->control, error) || !lodge_tree_remove (paths->runtime, error))
    return FALSE;
  /* Both may be in use by others: core keeps files there, and a mount may not have gone yet. */
  g_rmdir (paths->root);
  g_rmdir (paths->instance);
  return TRUE;
}

typedef struct
{
  LodgeLxcDriver *driver;
  const char *uuid;
} ForgetRequest;

static void
forget_guest (gpointer data)
{
  ForgetRequest *request = data;
  g_hash_table_remove (request->driver->guests, request->uuid);
}

static void
forget (LodgeLxcDriver *self, const char *uuid)
{
  ForgetRequest request = { self, uuid };
  lodge_lxc_invoke (forget_guest, &request);
  g_autoptr (GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  g_hash_table_remove (self->marks, uuid);
  g_hash_table_remove (self->names, uuid);
}

static gboolean
undefine_domain (LodgeLxcDriver *self, const char *uuid, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  g_autoptr (virDomain) domain
      = lodge_virt_connection_lookup (self->connection, uuid, &local_error);
  if (domain == NULL)
    {
      if (g_error_matches (local_error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND))
        return TRUE;
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  const char *name = virDomainGetName (domain);
  if (virDomainIsActive (domain) == 1)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_STATE, "Container “%s” runs", name);
      return FALSE;
    }
  g_autoptr (LodgeLxcPaths) paths = lodge_lxc_driver_paths (self, uuid);
  if (!g_file_test (paths->plan, G_FILE_TEST_EXISTS) && !is_managed (domain))
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_SUPPORTED,
                   "Container “%s” was not made by Lodge and is left alone", name);
      return FALSE;
    }
  if (virDomainUndefine (domain) == 0 || lodge_virt_error_is (VIR_ERR_NO_DOMAIN))
    return TRUE;
  lodge_virt_set_error (error, "Cannot undefine container “%s”", name);
  return FALSE;
}

gboolean
lodge_lxc_undefine (LodgeDriver *driver, const char *uuid, GError **error)
{
  LodgeLxcDriver *self = LODGE_LXC_DRIVER (driver);
  g_autoptr (LodgeLxcPaths) paths = lodge_lxc_driver_paths (self, uuid);
  if (!undefine_domain (self, uuid, error) || !lodge_virt_sync_definitions (DOMAIN_TYPE, error))
    return FALSE;
  forget (self, uuid);
  return remove_files (paths, error);
}

/* ---- rename ---- */

static char *
get_inactive_xml (virDomainPtr domain, GError **error)
{
  const char *name = virDomainGetName (domain);
  char *xml = virDomainGetXMLDesc (domain, VIR_DOMAIN_XML_INACTIVE);
  if (xml == NULL)
    {
      lodge_virt_set_error (error, "Cannot read the definition of container “%s”", name);
      return NULL;
    }
  char *copy = g_strdup (xml);
  free (xml);
  return copy;
}

/* libvirt's lxc driver cannot rename.  Between the two calls there is no domain; the file keeps
 * the definition over a crash, see finish_rename(). */
static gboolean
redefine (virConnectPtr connection, virDomainPtr domain, const char *old_xml, const char *new_xml,
          GError **error)
{
  const char *name = virDomainGetName (domain);
  int autostart = 0;
  virDomainGetAutostart (domain, &autostart);
  if (virDomainUndefine (domain) < 0)
    {
      lodge_virt_set_error (error, "Cannot rename container “%s”", name);
      return FALSE;
    }
  g_autoptr (virDomain) renamed = virDomainDefineXML (connection, new_xml);
  if (renamed == NULL)
    {
      lodge_virt_set_error (error, "Cannot rename container “%s”", name);
      g_autoptr (virDomain) restored = virDomainDefineXML (connection, old_xml);
      if (restored != NULL && autostart != 0)
        virDomainSetAutostart (restored, 1);
      return FALSE;
    }
  if (autostart != 0)
    virDomainSetAutostart (renamed, 1);
  return TRUE;
}

/* Ends a rename that a crash has cut short between undefine and define. */
static gboolean
finish_rename (virConnectPtr connection, const char *uuid, const char *saved, GError **error)
{
  g_autofree char *xml = NULL;
  g_autoptr (virDomain) domain = virDomainLookupByUUIDString (connection, uuid);
  if (domain != NULL || !g_file_get_contents (saved, &xml, NULL, NULL))
    return TRUE;
  return define_xml (connection, uuid, xml, error);
}

static gboolean
rename_domain (LodgeLxcDriver *self, virConnectPtr connection, virDomainPtr domain,
               const char *new_name, const char *saved, GError **error)
{
  const char *name = virDomainGetName (domain);
  if (virDomainIsActive (domain) == 1)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_STATE,
                   "Container “%s” runs; stop it to rename it", name);
      return FALSE;
    }
  g_autofree char *old_xml = get_inactive_xml (domain, error);
  g_autofree char *new_xml
      = old_xml != NULL ? lodge_domain_xml_rename (old_xml, new_name, error) : NULL;
  return new_xml != NULL && lodge_file_replace (saved, new_xml, -1, 0600, error)
         && redefine (connection, domain, old_xml, new_xml, error);
}

gboolean
lodge_lxc_rename (LodgeDriver *driver, const char *uuid, const char *new_name, GError **error)
{
  LodgeLxcDriver *self = LODGE_LXC_DRIVER (driver);
  g_autoptr (LodgeLxcPaths) paths = lodge_lxc_driver_paths (self, uuid);
  g_autofree char *saved = g_build_filename (paths->instance, "rename.xml", NULL);
  g_autoptr (virConnect) connection = lodge_virt_connection_acquire (self->connection, error);
  if (connection == NULL || !check_name (connection, new_name, uuid, error)
      || !finish_rename (connection, uuid, saved, error))
    return FALSE;
  g_autoptr (virDomain) domain = lodge_virt_connection_lookup (self->connection, uuid, error);
  if (domain == NULL)
    return FALSE;
  const char *name = virDomainGetName (domain);
  gboolean is_renamed = strcmp (name, new_name) == 0
                        || (rename_domain (self, connection, domain, new_name, saved, error)
                            && lodge_virt_sync_definitions (DOMAIN_TYPE, error));
  g_unlink (saved);
  if (!is_renamed || !lodge_lxc_plan_rename (paths, new_name, error))
    return FALSE;
  lodge_lxc_driver_set_name (self, uuid, new_name);
  return TRUE;
}

gboolean
lodge_lxc_renew (virDomainPtr domain, GError **error)
{
  g_autofree char *xml = get_inactive_xml (domain, error);
  g_autofree char *renewed = NULL;
  if (xml == NULL || !lodge_domain_xml_lxc_renew (xml, &renewed, error))
    return FALSE;
  g_autoptr (virConnect) connection = NULL;
  if (renewed == NULL)
    return TRUE;
  connection = virDomainGetConnect (domain);
  virConnectRef (connection);
  return define_xml (connection, virDomainGetName (domain), renewed, error)
         && lodge_virt_sync_definitions (DOMAIN_TYPE, error);
}

char *
lodge_lxc_get_xml (LodgeDriver *driver, const char *uuid, GError **error)
{
  LodgeLxcDriver *self = LODGE_LXC_DRIVER (driver);
  g_autoptr (virDomain) domain = lodge_virt_connection_lookup (self->connection, uuid, error);
  return domain != NULL ? get_inactive_xml (domain, error) : NULL;
}
