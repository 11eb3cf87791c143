/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-network.h"

#include <string.h>

#include "lodge-dhcp-release.h"
#include "lodge-executor.h"
#include "lodge-hosts.h"
#include "lodge-network-xml.h"
#include "lodge-ruleset.h"
#include "lodge-subnet-pick.h"
#include "lodge-virt-network.h"

/* The first 254 addresses are for guests that Lodge does not know; the rest is reserved by it. */
#define DYNAMIC_ADDRESSES 254

struct _LodgeNetwork
{
  GObject parent;
  LodgeVirtConnection *connection;
  char *hosts_dir;
  /* Round and round: dnsmasq gives an address to nobody else while the lease of a deleted instance
   * lasts.  Main thread. */
  guint32 next_address;
  LodgeExecutor *executor;
  int changes; /* atomic; how often what is known of the network may have become wrong */
  GMutex lock; /* guards what follows; held while the network is made, so that it is made once */
  LodgeNetworkInfo *info;
  int info_changes;       /* changes when info was read */
  GMutex seen_lock;       /* guards what follows; never held for long */
  LodgeNetworkInfo *seen; /* as it ran when last looked at */
  LodgeRuleset *ruleset;  /* main thread */
};

enum
{
  SIGNAL_ACTIVE,
  SIGNAL_RULES_LOST,
  N_SIGNALS
};

static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (LodgeNetwork, lodge_network, G_TYPE_OBJECT)

void
lodge_network_info_free (LodgeNetworkInfo *info)
{
  if (info == NULL)
    return;
  g_free (info->name);
  g_free (info->bridge);
  g_free (info->gateway);
  g_free (info->dns_domain);
  g_free (info);
}

static LodgeNetworkInfo *
info_copy (const LodgeNetworkInfo *info)
{
  LodgeNetworkInfo *copy = g_new0 (LodgeNetworkInfo, 1);

  copy->name = g_strdup (info->name);
  copy->bridge = g_strdup (info->bridge);
  copy->gateway = g_strdup (info->gateway);
  copy->prefix = info->prefix;
  copy->dns_domain = g_strdup (info->dns_domain);
  return copy;
}

static void
lodge_network_dispose (GObject *object)
{
  LodgeNetwork *self = LODGE_NETWORK (object);

  if (self->connection != NULL)
    {
      g_signal_handlers_disconnect_by_data (self->connection, self);
      lodge_virt_connection_stop (self->connection);
    }
  g_clear_object (&self->connection);
  g_clear_object (&self->executor);
  g_clear_pointer (&self->ruleset, lodge_ruleset_free);
  G_OBJECT_CLASS (lodge_network_parent_class)->dispose (object);
}

static void
lodge_network_finalize (GObject *object)
{
  LodgeNetwork *self = LODGE_NETWORK (object);

  lodge_network_info_free (self->info);
  lodge_network_info_free (self->seen);
  g_free (self->hosts_dir);
  g_mutex_clear (&self->lock);
  g_mutex_clear (&self->seen_lock);
  G_OBJECT_CLASS (lodge_network_parent_class)->finalize (object);
}

static void
lodge_network_class_init (LodgeNetworkClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = lodge_network_dispose;
  G_OBJECT_CLASS (klass)->finalize = lodge_network_finalize;
  signals[SIGNAL_ACTIVE]
      = g_signal_new ("active", G_TYPE_FROM_CLASS (klass), G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                      G_TYPE_NONE, 3, G_TYPE_STRING, G_TYPE_STRING, G_TYPE_STRING);
  signals[SIGNAL_RULES_LOST]
      = g_signal_new ("rules-lost", G_TYPE_FROM_CLASS (klass), G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                      NULL, G_TYPE_NONE, 2, G_TYPE_STRING, G_TYPE_UINT);
}

static void
on_rules_lost (const char *bridge, guint attempt, gpointer user_data)
{
  g_signal_emit (user_data, signals[SIGNAL_RULES_LOST], 0, bridge, attempt);
}

static void
lodge_network_init (LodgeNetwork *self)
{
  g_mutex_init (&self->lock);
  g_mutex_init (&self->seen_lock);
  self->ruleset = lodge_ruleset_new (on_rules_lost, self);
}

static LodgeSubnet *
ipv4_subnet (LodgeNetworkXml *network)
{
  for (guint i = 0; i < network->subnets->len; i++)
    {
      LodgeSubnet *subnet = g_ptr_array_index (network->subnets, i);

      if (!subnet->ipv6)
        return subnet;
    }
  return NULL;
}

/* Ranges of libvirt's networks, also of those that do not run now. */
static gboolean
add_libvirt_ranges (LodgeNetwork *self, GArray *used, GError **error)
{
  g_autoptr (GPtrArray) all = lodge_virt_network_list_xml (self->connection, error);

  if (all == NULL)
    return FALSE;
  for (guint i = 0; i < all->len; i++)
    {
      g_autoptr (LodgeNetworkXml) network = NULL;

      /* One that we cannot read is not a reason to have no network. */
      if (!lodge_network_xml_read (g_ptr_array_index (all, i), &network, NULL))
        continue;
      for (guint j = 0; j < network->subnets->len; j++)
        {
          LodgeSubnet *subnet = g_ptr_array_index (network->subnets, j);
          LodgeRange range;

          if (!subnet->ipv6 && lodge_range_parse (subnet->address, subnet->prefix, &range))
            g_array_append_val (used, range);
        }
    }
  return TRUE;
}

static gboolean
create_network (LodgeNetwork *self, GError **error)
{
  g_autoptr (GArray) used = g_array_new (FALSE, FALSE, sizeof (LodgeRange));
  g_autoptr (LodgeNetworkXml) network = lodge_network_xml_new ();
  LodgeRange range;

  if (!add_libvirt_ranges (self, used, error))
    return FALSE;
  lodge_range_add_host_ranges (used);
  if (!lodge_range_pick_free (used, &range))
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_LIMIT_EXCEEDED,
                   "there is no free subnet for the network %s", LODGE_NETWORK_NAME);
      return FALSE;
    }

  g_autofree char *gateway = lodge_range_address_text (range.address + 1);
  g_autofree char *first = lodge_range_address_text (range.address + 2);
  g_autofree char *last = lodge_range_address_text (range.address + DYNAMIC_ADDRESSES);
  network->name = g_strdup (LODGE_NETWORK_NAME);
  network->bridge = g_strdup (LODGE_NETWORK_NAME);
  network->forward = g_strdup ("nat");
  network->domain = g_strdup (LODGE_NETWORK_DOMAIN);
  network->managed = TRUE;
  g_ptr_array_add (network->subnets, lodge_subnet_new (gateway, range.prefix, first, last));
  lodge_hosts_add_options (self->hosts_dir, network->dnsmasq);

  g_autofree char *xml = lodge_network_xml_write (network, error);
  return xml != NULL && lodge_virt_network_define (self->connection, xml, error);
}

static LodgeNetworkInfo *
read_info (const char *xml, GError **error)
{
  g_autoptr (LodgeNetworkXml) network = NULL;
  g_autoptr (LodgeNetworkInfo) info = g_new0 (LodgeNetworkInfo, 1);
  LodgeSubnet *subnet;

  if (!lodge_network_xml_read (xml, &network, error))
    return NULL;
  subnet = ipv4_subnet (network);
  if (subnet == NULL || network->bridge == NULL)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_STATE,
                   "the libvirt network %s has no bridge or no IPv4 addresses\nlook at it with "
                   "`virsh net-dumpxml %s`",
                   LODGE_NETWORK_NAME, LODGE_NETWORK_NAME);
      return NULL;
    }
  info->name = g_strdup (LODGE_NETWORK_NAME);
  info->bridge = g_strdup (network->bridge);
  info->gateway = g_strdup (subnet->address);
  info->prefix = subnet->prefix;
  info->dns_domain = g_strdup (network->domain != NULL ? network->domain : LODGE_NETWORK_DOMAIN);
  return g_steal_pointer (&info);
}

static void
look_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  LodgeVirtConnection *connection = task_data;
  gboolean active = FALSE;
  g_autofree char *xml = lodge_virt_network_get_xml (connection, LODGE_NETWORK_NAME, &active, NULL);

  g_task_return_pointer (task, xml != NULL && active ? read_info (xml, NULL) : NULL,
                         (GDestroyNotify) lodge_network_info_free);
}

static void
on_looked (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (LodgeNetwork) self = user_data;
  g_autoptr (LodgeNetworkInfo) info = g_task_propagate_pointer (G_TASK (result), NULL);

  if (info == NULL)
    return;
  g_mutex_lock (&self->seen_lock);
  lodge_network_info_free (self->seen);
  self->seen = info_copy (info);
  g_mutex_unlock (&self->seen_lock);
  if (self->ruleset != NULL)
    lodge_ruleset_watch (self->ruleset, info->bridge, info->gateway, info->prefix);
  g_signal_emit (self, signals[SIGNAL_ACTIVE], 0, info->bridge, info->gateway, info->dns_domain);
}

/* libvirt is there (again), or somebody has started, stopped or changed a network. */
static void
look_again (LodgeNetwork *self)
{
  g_autoptr (GTask) task = g_task_new (NULL, NULL, on_looked, g_object_ref (self));

  g_atomic_int_inc (&self->changes);
  g_task_set_task_data (task, g_object_ref (self->connection), g_object_unref);
  lodge_executor_run (self->executor, task, look_thread);
}

LodgeNetwork *
lodge_network_new (const char *uri, const char *state_dir)
{
  LodgeNetwork *self = g_object_new (LODGE_TYPE_NETWORK, NULL);

  self->next_address = g_random_int ();
  self->hosts_dir = g_build_filename (state_dir, "networks", LODGE_NETWORK_NAME, NULL);
  self->connection = lodge_virt_connection_new (uri);
  self->executor = lodge_executor_new ("lodge-network", 1);
  lodge_virt_connection_watch_networks (self->connection);
  g_signal_connect_swapped (self->connection, "connected", G_CALLBACK (look_again), self);
  g_signal_connect_swapped (self->connection, "network-event", G_CALLBACK (look_again), self);
  return self;
}

void
lodge_network_start (LodgeNetwork *self)
{
  lodge_virt_connection_start (self->connection);
}

static LodgeNetworkInfo *
ensure_locked (LodgeNetwork *self, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  gboolean active = FALSE;

  /* dnsmasq does not start when a directory that it is to watch is not there. */
  if (!lodge_hosts_prepare (self->hosts_dir, error))
    return NULL;
  g_autofree char *xml
      = lodge_virt_network_get_xml (self->connection, LODGE_NETWORK_NAME, &active, &local_error);

  if (xml == NULL)
    {
      if (!g_error_matches (local_error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND))
        {
          g_propagate_error (error, g_steal_pointer (&local_error));
          return NULL;
        }
      if (!create_network (self, error))
        return NULL;
      xml = lodge_virt_network_get_xml (self->connection, LODGE_NETWORK_NAME, &active, error);
      if (xml == NULL)
        return NULL;
    }
  if (!active && !lodge_virt_network_start (self->connection, LODGE_NETWORK_NAME, TRUE, error))
    return NULL;
  return read_info (xml, error);
}

LodgeNetworkInfo *
lodge_network_ensure (LodgeNetwork *self, GError **error)
{
  LodgeNetworkInfo *answer = NULL;

  g_mutex_lock (&self->lock);
  int changes = g_atomic_int_get (&self->changes);
  if (self->info == NULL || self->info_changes != changes)
    {
      g_clear_pointer (&self->info, lodge_network_info_free);
      self->info = ensure_locked (self, error);
      self->info_changes = changes;
    }
  if (self->info != NULL)
    answer = info_copy (self->info);
  g_mutex_unlock (&self->lock);
  return answer;
}

char *
lodge_network_pick_address (LodgeNetwork *self, const LodgeNetworkInfo *info, GHashTable *taken,
                            GError **error)
{
  LodgeRange range;

  if (!lodge_range_parse (info->gateway, info->prefix, &range) || range.prefix > 30)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_STATE,
                   "the network %s has no usable address range", info->name);
      return NULL;
    }

  guint32 size = 1u << (32 - range.prefix);
  guint32 first = size > 2 * DYNAMIC_ADDRESSES ? DYNAMIC_ADDRESSES + 2 : 2;
  guint32 count = size - 1 - first;
  for (guint32 tries = 0; tries < count; tries++)
    {
      guint32 i = first + self->next_address++ % count;
      g_autofree char *address = lodge_range_address_text (range.address + i);

      /* Valid in a /22, but some guests take them for a network or a broadcast. */
      if ((i & 255) == 0 || (i & 255) == 255)
        continue;
      if (!g_hash_table_contains (taken, address) && strcmp (address, info->gateway) != 0)
        return g_steal_pointer (&address);
    }
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_LIMIT_EXCEEDED,
               "the network %s has no free address left", info->name);
  return NULL;
}

char *
lodge_network_make_mac (const char *uuid)
{
  g_autofree char *hash = g_compute_checksum_for_string (G_CHECKSUM_SHA256, uuid, -1);

  return g_strdup_printf ("52:54:00:%.2s:%.2s:%.2s", hash, hash + 2, hash + 4);
}

gboolean
lodge_network_add_host (LodgeNetwork *self, const char *mac, const char *name, const char *address,
                        GError **error)
{
  gboolean retired = lodge_hosts_is_retired (self->hosts_dir, address);

  if (!lodge_hosts_add (self->hosts_dir, mac, name, address, error))
    return FALSE;
  if (retired)
    lodge_hosts_reload (self->hosts_dir, LODGE_NETWORK_NAME);
  return TRUE;
}

gboolean
lodge_network_rename_host (LodgeNetwork *self, const char *mac, const char *name,
                           const char *address, GError **error)
{
  if (!lodge_hosts_add (self->hosts_dir, mac, name, address, error))
    return FALSE;
  lodge_hosts_reload (self->hosts_dir, LODGE_NETWORK_NAME);
  return TRUE;
}

gboolean
lodge_network_remove_host (LodgeNetwork *self, const char *mac, GError **error)
{
  g_autofree char *address = NULL;

  if (!lodge_hosts_remove (self->hosts_dir, mac, &address, error))
    return FALSE;
  g_mutex_lock (&self->seen_lock);
  g_autoptr (LodgeNetworkInfo) seen = self->seen != NULL ? info_copy (self->seen) : NULL;
  g_mutex_unlock (&self->seen_lock);
  if (address != NULL && seen != NULL)
    lodge_dhcp_release (seen->bridge, seen->gateway, mac, address);
  return TRUE;
}
