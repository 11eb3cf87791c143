/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What libvirt says of containers.  Of each domain only its XML is asked for; states and flags
 * come as sets, one call for all domains.
 */
#include "lodge-lxc-private.h"

#include <libvirt/virterror.h>

#include "lodge-virt-error.h"

/* UUIDs (as in the handles) of the domains of one filter of libvirt's list. */
typedef struct
{
  GHashTable *paused;
  GHashTable *transient;
  GHashTable *autostart;
} DomainSets;

static void
domain_sets_clear (DomainSets *sets)
{
  g_clear_pointer (&sets->paused, g_hash_table_unref);
  g_clear_pointer (&sets->transient, g_hash_table_unref);
  g_clear_pointer (&sets->autostart, g_hash_table_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (DomainSets, domain_sets_clear)

static void
free_domains (virDomainPtr *domains)
{
  for (virDomainPtr *domain = domains; domain != NULL && *domain != NULL; domain++)
    virDomainFree (*domain);
  free (domains);
}

static GHashTable *
list_set (virConnectPtr connection, unsigned int flags, GError **error)
{
  virDomainPtr *domains = NULL;
  if (virConnectListAllDomains (connection, &domains, flags) < 0)
    {
      lodge_virt_set_error (error, "Cannot list the containers");
      return NULL;
    }
  GHashTable *set = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  for (virDomainPtr *domain = domains; *domain != NULL; domain++)
    {
      char uuid[VIR_UUID_STRING_BUFLEN];
      if (virDomainGetUUIDString (*domain, uuid) == 0)
        g_hash_table_add (set, g_strdup (uuid));
    }
  free_domains (domains);
  return set;
}

static gboolean
list_sets (virConnectPtr connection, DomainSets *sets, GError **error)
{
  sets->paused = list_set (connection, VIR_CONNECT_LIST_DOMAINS_PAUSED, error);
  if (sets->paused == NULL)
    return FALSE;
  sets->transient = list_set (connection, VIR_CONNECT_LIST_DOMAINS_TRANSIENT, error);
  if (sets->transient == NULL)
    return FALSE;
  sets->autostart = list_set (connection, VIR_CONNECT_LIST_DOMAINS_AUTOSTART, error);
  return sets->autostart != NULL;
}

static gboolean
is_paused (LodgeLxcDriver *self, const DomainSets *sets, const char *uuid)
{
  if (g_hash_table_contains (sets->paused, uuid))
    return TRUE;
  /* libvirt 9 cannot freeze on pure cgroup2, so Lodge does, and libvirt does not know.  On the
   * others it takes all containers for running ones when it comes back after its own death. */
  g_autoptr (LodgeLxcPaths) paths = lodge_lxc_driver_paths (self, uuid);
  g_autoptr (LodgeLxcInit) init = lodge_lxc_init_read (paths->runtime, self->cgroup_root);
  return init != NULL && lodge_lxc_init_is_frozen (init);
}

static gboolean
add_live_facts (virDomainPtr domain, LodgeDomainInfo *info)
{
  char *xml = virDomainGetXMLDesc (domain, 0);
  if (xml == NULL)
    return FALSE;
  LodgeDomainInfo *live = NULL;
  gboolean is_read = lodge_domain_xml_read (xml, &live, NULL);
  free (xml);
  if (!is_read)
    return FALSE;
  g_autoptr (LodgeDomainInfo) owner = live;
  info->id = live->id;
  info->state = live->state;
  g_free (info->host_device);
  info->host_device = g_steal_pointer (&live->host_device);
  return TRUE;
}

/* NULL without an error: the domain has gone meanwhile. */
static LodgeDomainInfo *
read_domain (LodgeLxcDriver *self, virDomainPtr domain, const DomainSets *sets, GError **error)
{
  char *xml = virDomainGetXMLDesc (domain, VIR_DOMAIN_XML_INACTIVE);
  if (xml == NULL)
    {
      if (!lodge_virt_error_is (VIR_ERR_NO_DOMAIN))
        lodge_virt_set_error (error, "Cannot read a container's definition");
      return NULL;
    }
  LodgeDomainInfo *info = NULL;
  gboolean is_read = lodge_domain_xml_read (xml, &info, error);
  free (xml);
  if (!is_read)
    return NULL;
  /* The handle's id is as old as the list: what the live XML says counts. */
  if (virDomainGetID (domain) != (unsigned int) -1)
    add_live_facts (domain, info);
  info->persistent = !g_hash_table_contains (sets->transient, info->uuid);
  info->autostart = g_hash_table_contains (sets->autostart, info->uuid);
  if (info->state == LODGE_STATE_RUNNING && is_paused (self, sets, info->uuid))
    info->state = LODGE_STATE_PAUSED;
  lodge_lxc_driver_set_name (self, info->uuid, info->name);
  return info;
}

/* Once, before there are jobs: what libvirt starts by itself is to have it too.  A job that starts
 * one tries again, and it is nothing that would keep a container from being listed. */
static void
renew_definitions (LodgeLxcDriver *self, virDomainPtr *domains)
{
  if (!g_atomic_int_compare_and_exchange (&self->is_renewed, FALSE, TRUE))
    return;
  for (virDomainPtr *domain = domains; *domain != NULL; domain++)
    {
      g_autoptr (GError) error = NULL;
      if (!lodge_lxc_renew (*domain, &error))
        g_debug ("%s", error->message);
    }
}

static GPtrArray *
read_domains (LodgeLxcDriver *self, virDomainPtr *domains, const DomainSets *sets,
              GCancellable *cancellable, GError **error)
{
  g_autoptr (GPtrArray) infos
      = g_ptr_array_new_with_free_func ((GDestroyNotify) lodge_domain_info_free);
  for (virDomainPtr *domain = domains; *domain != NULL; domain++)
    {
      if (g_cancellable_is_cancelled (cancellable))
        {
          g_set_error (error, LODGE_ERROR, LODGE_ERROR_CANCELLED, "Cancelled");
          return NULL;
        }
      g_autoptr (GError) local_error = NULL;
      LodgeDomainInfo *info = read_domain (self, *domain, sets, &local_error);
      if (info != NULL)
        g_ptr_array_add (infos, info);
      else if (g_error_matches (local_error, LODGE_ERROR, LODGE_ERROR_BACKEND_UNAVAILABLE))
        {
          g_propagate_error (error, g_steal_pointer (&local_error));
          return NULL;
        }
      else if (local_error != NULL)
        /* One domain with odd XML must not hide the others. */
        g_debug ("%s", local_error->message);
    }
  return g_steal_pointer (&infos);
}

GPtrArray *
lodge_lxc_list (LodgeDriver *driver, GCancellable *cancellable, GError **error)
{
  LodgeLxcDriver *self = LODGE_LXC_DRIVER (driver);
  g_autoptr (virConnect) connection = lodge_virt_connection_acquire (self->connection, error);
  if (connection == NULL)
    return NULL;
  g_auto (DomainSets) sets = { 0 };
  if (!list_sets (connection, &sets, error))
    return NULL;
  virDomainPtr *domains = NULL;
  if (virConnectListAllDomains (connection, &domains, 0) < 0)
    {
      lodge_virt_set_error (error, "Cannot list the containers");
      return NULL;
    }
  renew_definitions (self, domains);
  GPtrArray *infos = read_domains (self, domains, &sets, cancellable, error);
  lodge_lxc_driver_check_later (self);
  free_domains (domains);
  return infos;
}

/* For one domain its own flags are cheaper than the sets of all. */
static LodgeDomainInfo *
read_one (LodgeLxcDriver *self, virDomainPtr domain, GError **error)
{
  char uuid[VIR_UUID_STRING_BUFLEN] = "";
  int state = VIR_DOMAIN_NOSTATE;
  int autostart = 0;
  g_auto (DomainSets) sets = {
    .paused = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL),
    .transient = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL),
    .autostart = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL),
  };
  virDomainGetUUIDString (domain, uuid);
  if (virDomainGetState (domain, &state, NULL, 0) == 0 && state == VIR_DOMAIN_PAUSED)
    g_hash_table_add (sets.paused, g_strdup (uuid));
  if (virDomainIsPersistent (domain) == 0)
    g_hash_table_add (sets.transient, g_strdup (uuid));
  if (virDomainGetAutostart (domain, &autostart) == 0 && autostart != 0)
    g_hash_table_add (sets.autostart, g_strdup (uuid));

  g_autoptr (GError) local_error = NULL;
  LodgeDomainInfo *info = read_domain (self, domain, &sets, &local_error);
  if (info == NULL && local_error == NULL)
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND, "There is no container %s", uuid);
  else if (info == NULL)
    g_propagate_error (error, g_steal_pointer (&local_error));
  return info;
}

LodgeDomainInfo *
lodge_lxc_lookup (LodgeDriver *driver, const char *uuid, GError **error)
{
  LodgeLxcDriver *self = LODGE_LXC_DRIVER (driver);
  g_autoptr (virDomain) domain = lodge_virt_connection_lookup (self->connection, uuid, error);
  return domain != NULL ? read_one (self, domain, error) : NULL;
}

LodgeDomainInfo *
lodge_lxc_lookup_name (LodgeDriver *driver, const char *name, GError **error)
{
  LodgeLxcDriver *self = LODGE_LXC_DRIVER (driver);
  g_autoptr (virConnect) connection = lodge_virt_connection_acquire (self->connection, error);
  if (connection == NULL)
    return NULL;
  g_autoptr (virDomain) domain = virDomainLookupByName (connection, name);
  if (domain != NULL)
    return read_one (self, domain, error);
  if (!lodge_virt_error_is (VIR_ERR_NO_DOMAIN))
    lodge_virt_set_error (error, "Cannot look for a container “%s”", name);
  return NULL;
}
