/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-virt-network.h"

#include <libvirt/virterror.h>
#include <string.h>

#include "lodge-virt-error.h"

void
lodge_virt_lease_free (LodgeVirtLease *lease)
{
  if (lease == NULL)
    return;
  g_free (lease->mac);
  g_free (lease->address);
  g_free (lease->hostname);
  g_free (lease);
}

static virNetworkPtr
find_network (virConnectPtr connection, const char *name, GError **error)
{
  virNetworkPtr network = virNetworkLookupByName (connection, name);

  if (network == NULL && lodge_virt_error_is (VIR_ERR_NO_NETWORK))
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND, "there is no network '%s'", name);
  else if (network == NULL)
    lodge_virt_set_error (error, "cannot look up network '%s'", name);
  return network;
}

static virNetworkPtr
acquire_network (LodgeVirtConnection *connection, const char *name, GError **error)
{
  g_autoptr (virConnect) handle = lodge_virt_connection_acquire (connection, error);

  return handle != NULL ? find_network (handle, name, error) : NULL;
}

static void
free_networks (virNetworkPtr *networks, int n)
{
  for (int i = 0; i < n; i++)
    virNetworkFree (networks[i]);
  free (networks);
}

GPtrArray *
lodge_virt_network_list_xml (LodgeVirtConnection *connection, GError **error)
{
  g_autoptr (virConnect) handle = lodge_virt_connection_acquire (connection, error);
  virNetworkPtr *networks = NULL;

  if (handle == NULL)
    return NULL;
  int n = virConnectListAllNetworks (handle, &networks, 0);
  if (n < 0)
    {
      lodge_virt_set_error (error, "cannot list the networks");
      return NULL;
    }

  g_autoptr (GPtrArray) list = g_ptr_array_new_with_free_func (g_free);
  for (int i = 0; i < n; i++)
    {
      char *xml = virNetworkGetXMLDesc (networks[i], 0);
      /* One that vanished since it was listed has no XML: not an error. */
      if (xml != NULL)
        g_ptr_array_add (list, g_strdup (xml));
      free (xml);
    }
  free_networks (networks, n);
  return g_steal_pointer (&list);
}

char *
lodge_virt_network_get_xml (LodgeVirtConnection *connection, const char *name, gboolean *out_active,
                            GError **error)
{
  g_autoptr (virNetwork) network = acquire_network (connection, name, error);

  if (network == NULL)
    return NULL;
  char *xml = virNetworkGetXMLDesc (network, 0);
  if (xml == NULL)
    {
      lodge_virt_set_error (error, "cannot read network '%s'", name);
      return NULL;
    }
  if (out_active != NULL)
    *out_active = virNetworkIsActive (network) == 1;
  char *copy = g_strdup (xml);
  free (xml);
  return copy;
}

gboolean
lodge_virt_network_define (LodgeVirtConnection *connection, const char *xml, GError **error)
{
  g_autoptr (virConnect) handle = lodge_virt_connection_acquire (connection, error);

  if (handle == NULL)
    return FALSE;
  g_autoptr (virNetwork) network = virNetworkDefineXML (handle, xml);
  if (network == NULL)
    lodge_virt_set_error (error, "cannot define the network");
  return network != NULL;
}

gboolean
lodge_virt_network_start (LodgeVirtConnection *connection, const char *name, gboolean autostart,
                          GError **error)
{
  g_autoptr (virNetwork) network = acquire_network (connection, name, error);

  if (network == NULL)
    return FALSE;
  /* OPERATION_INVALID: somebody else started it meanwhile. */
  if (virNetworkIsActive (network) != 1 && virNetworkCreate (network) < 0
      && !lodge_virt_error_is (VIR_ERR_OPERATION_INVALID))
    {
      lodge_virt_set_error (error, "cannot start network '%s'", name);
      return FALSE;
    }
  if (autostart && virNetworkSetAutostart (network, 1) < 0)
    {
      lodge_virt_set_error (error, "cannot let network '%s' start by itself", name);
      return FALSE;
    }
  return TRUE;
}

gboolean
lodge_virt_network_stop (LodgeVirtConnection *connection, const char *name, GError **error)
{
  g_autoptr (virNetwork) network = acquire_network (connection, name, error);

  if (network == NULL)
    return FALSE;
  if (virNetworkIsActive (network) == 1 && virNetworkDestroy (network) < 0)
    {
      lodge_virt_set_error (error, "cannot stop network '%s'", name);
      return FALSE;
    }
  return TRUE;
}

gboolean
lodge_virt_network_undefine (LodgeVirtConnection *connection, const char *name, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  g_autoptr (virNetwork) network = acquire_network (connection, name, &local_error);

  if (network == NULL)
    {
      if (g_error_matches (local_error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND))
        return TRUE;
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  if (virNetworkUndefine (network) < 0)
    {
      lodge_virt_set_error (error, "cannot undefine network '%s'", name);
      return FALSE;
    }
  return TRUE;
}

static LodgeVirtLease *
copy_lease (const virNetworkDHCPLease *lease)
{
  LodgeVirtLease *copy = g_new0 (LodgeVirtLease, 1);

  copy->mac = lease->mac != NULL ? g_ascii_strdown (lease->mac, -1) : g_strdup ("");
  copy->address = g_strdup (lease->ipaddr);
  copy->prefix = lease->prefix;
  copy->ipv6 = lease->type == VIR_IP_ADDR_TYPE_IPV6;
  copy->hostname = g_strdup (lease->hostname);
  copy->expires = lease->expirytime;
  return copy;
}

GPtrArray *
lodge_virt_network_get_leases (LodgeVirtConnection *connection, const char *name, const char *mac,
                               GError **error)
{
  g_autoptr (virNetwork) network = acquire_network (connection, name, error);
  virNetworkDHCPLeasePtr *leases = NULL;

  if (network == NULL)
    return NULL;
  int n = virNetworkGetDHCPLeases (network, mac, &leases, 0);
  if (n < 0)
    {
      lodge_virt_set_error (error, "cannot read the leases of network '%s'", name);
      return NULL;
    }
  GPtrArray *list = g_ptr_array_new_with_free_func ((GDestroyNotify) lodge_virt_lease_free);
  for (int i = 0; i < n; i++)
    {
      g_ptr_array_add (list, copy_lease (leases[i]));
      virNetworkDHCPLeaseFree (leases[i]);
    }
  free (leases);
  return list;
}

gboolean
lodge_virt_pool_ensure (LodgeVirtConnection *connection, const char *name, const char *xml,
                        GError **error)
{
  g_autoptr (virConnect) handle = lodge_virt_connection_acquire (connection, error);

  if (handle == NULL)
    return FALSE;
  g_autoptr (virStoragePool) pool = virStoragePoolLookupByName (handle, name);
  if (pool == NULL)
    pool = virStoragePoolDefineXML (handle, xml, 0);
  if (pool == NULL)
    {
      lodge_virt_set_error (error, "cannot define storage pool '%s'", name);
      return FALSE;
    }
  if (virStoragePoolIsActive (pool) != 1 && virStoragePoolCreate (pool, 0) < 0)
    {
      lodge_virt_set_error (error, "cannot start storage pool '%s'", name);
      return FALSE;
    }
  if (virStoragePoolSetAutostart (pool, 1) < 0)
    {
      lodge_virt_set_error (error, "cannot let storage pool '%s' start by itself", name);
      return FALSE;
    }
  return TRUE;
}

static virStoragePoolPtr
acquire_pool (LodgeVirtConnection *connection, const char *name, GError **error)
{
  g_autoptr (virConnect) handle = lodge_virt_connection_acquire (connection, error);

  if (handle == NULL)
    return NULL;
  virStoragePoolPtr pool = virStoragePoolLookupByName (handle, name);
  if (pool == NULL && lodge_virt_error_is (VIR_ERR_NO_STORAGE_POOL))
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND, "there is no storage pool '%s'", name);
  else if (pool == NULL)
    lodge_virt_set_error (error, "cannot look up storage pool '%s'", name);
  return pool;
}

gboolean
lodge_virt_pool_refresh (LodgeVirtConnection *connection, const char *name, GError **error)
{
  g_autoptr (virStoragePool) pool = acquire_pool (connection, name, error);

  if (pool == NULL)
    return FALSE;
  if (virStoragePoolRefresh (pool, 0) < 0)
    {
      lodge_virt_set_error (error, "cannot refresh storage pool '%s'", name);
      return FALSE;
    }
  return TRUE;
}

gboolean
lodge_virt_pool_undefine (LodgeVirtConnection *connection, const char *name, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  g_autoptr (virStoragePool) pool = acquire_pool (connection, name, &local_error);

  if (pool == NULL)
    {
      if (g_error_matches (local_error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND))
        return TRUE;
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  if (virStoragePoolIsActive (pool) == 1 && virStoragePoolDestroy (pool) < 0)
    {
      lodge_virt_set_error (error, "cannot stop storage pool '%s'", name);
      return FALSE;
    }
  if (virStoragePoolUndefine (pool) < 0)
    {
      lodge_virt_set_error (error, "cannot undefine storage pool '%s'", name);
      return FALSE;
    }
  return TRUE;
}
