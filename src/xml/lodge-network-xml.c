/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-network-xml.h"
#include "lodge-xml-reader.h"
#include "lodge-xml-writer.h"

#include <arpa/inet.h>
#include <string.h>

#define NETWORK_METADATA_NAME "lodge:network"

LodgeSubnet *
lodge_subnet_new (const char *address, guint prefix, const char *dhcp_start, const char *dhcp_end)
{
  LodgeSubnet *subnet = g_new0 (LodgeSubnet, 1);
  subnet->address = g_strdup (address);
  subnet->prefix = prefix;
  subnet->ipv6 = strchr (address, ':') != NULL;
  subnet->dhcp_start = g_strdup (dhcp_start);
  subnet->dhcp_end = g_strdup (dhcp_end);
  return subnet;
}

void
lodge_subnet_free (LodgeSubnet *subnet)
{
  if (subnet == NULL)
    return;
  g_free (subnet->address);
  g_free (subnet->dhcp_start);
  g_free (subnet->dhcp_end);
  g_free (subnet);
}

LodgeNetworkHost *
lodge_network_host_new (const char *mac, const char *name, const char *address)
{
  LodgeNetworkHost *host = g_new0 (LodgeNetworkHost, 1);
  host->mac = g_strdup (mac);
  host->name = g_strdup (name);
  host->address = g_strdup (address);
  return host;
}

void
lodge_network_host_free (LodgeNetworkHost *host)
{
  if (host == NULL)
    return;
  g_free (host->mac);
  g_free (host->name);
  g_free (host->address);
  g_free (host);
}

LodgeNetworkXml *
lodge_network_xml_new (void)
{
  LodgeNetworkXml *network = g_new0 (LodgeNetworkXml, 1);
  network->subnets = g_ptr_array_new_with_free_func ((GDestroyNotify) lodge_subnet_free);
  network->hosts = g_ptr_array_new_with_free_func ((GDestroyNotify) lodge_network_host_free);
  network->dnsmasq = g_ptr_array_new_with_free_func (g_free);
  return network;
}

void
lodge_network_xml_free (LodgeNetworkXml *network)
{
  if (network == NULL)
    return;
  g_free (network->name);
  g_free (network->uuid);
  g_free (network->forward);
  g_free (network->bridge);
  g_free (network->domain);
  g_clear_pointer (&network->subnets, g_ptr_array_unref);
  g_clear_pointer (&network->hosts, g_ptr_array_unref);
  g_clear_pointer (&network->dnsmasq, g_ptr_array_unref);
  g_free (network);
}

static void
write_host (LodgeXmlWriter *writer, const LodgeNetworkHost *host)
{
  lodge_xml_open (writer, "host");
  lodge_xml_attr (writer, "mac", host->mac);
  lodge_xml_attr (writer, "name", host->name);
  lodge_xml_attr (writer, "ip", host->address);
  lodge_xml_close (writer);
}

/* libvirt keeps static leases in the <dhcp> of their family; a DHCPv6 one has no MAC. */
static void
write_dhcp (LodgeXmlWriter *writer, const LodgeNetworkXml *network, const LodgeSubnet *subnet)
{
  lodge_xml_open (writer, "dhcp");
  if (subnet->dhcp_start != NULL)
    lodge_xml_element (writer, "range", "start", subnet->dhcp_start, "end", subnet->dhcp_end, NULL);
  for (guint i = 0; i < network->hosts->len; i++)
    {
      const LodgeNetworkHost *host = g_ptr_array_index (network->hosts, i);
      if ((strchr (host->address, ':') != NULL) == subnet->ipv6)
        write_host (writer, host);
    }
  lodge_xml_close (writer);
}

static void
write_subnet (LodgeXmlWriter *writer, const LodgeNetworkXml *network, const LodgeSubnet *subnet)
{
  lodge_xml_open (writer, "ip");
  lodge_xml_attr (writer, "family", subnet->ipv6 ? "ipv6" : "ipv4");
  lodge_xml_attr (writer, "address", subnet->address);
  lodge_xml_attr_uint (writer, "prefix", subnet->prefix);
  if (subnet->dhcp_start != NULL)
    write_dhcp (writer, network, subnet);
  lodge_xml_close (writer);
}

static void
write_network_metadata (LodgeXmlWriter *writer, const LodgeNetworkXml *network)
{
  if (!network->managed)
    return;
  lodge_xml_open (writer, "metadata");
  lodge_xml_open (writer, NETWORK_METADATA_NAME);
  lodge_xml_attr (writer, "xmlns:lodge", LODGE_METADATA_URI);
  lodge_xml_attr (writer, "name", network->name);
  lodge_xml_close (writer);
  lodge_xml_close (writer);
}

/* libvirt's own way to say what its elements cannot: formatnetwork, "Network namespaces". */
static void
write_dnsmasq (LodgeXmlWriter *writer, const LodgeNetworkXml *network)
{
  if (network->dnsmasq->len == 0)
    return;
  lodge_xml_open (writer, "dnsmasq:options");
  lodge_xml_attr (writer, "xmlns:dnsmasq", "http://libvirt.org/schemas/network/dnsmasq/1.0");
  for (guint i = 0; i < network->dnsmasq->len; i++)
    lodge_xml_element (writer, "dnsmasq:option", "value", g_ptr_array_index (network->dnsmasq, i),
                       NULL);
  lodge_xml_close (writer);
}

char *
lodge_network_xml_write (const LodgeNetworkXml *network, GError **error)
{
  g_autoptr (LodgeXmlWriter) writer = lodge_xml_writer_new ();
  lodge_xml_open (writer, "network");
  lodge_xml_text_element (writer, "name", network->name);
  lodge_xml_text_element (writer, "uuid", network->uuid);
  write_network_metadata (writer, network);
  if (network->forward != NULL)
    lodge_xml_element (writer, "forward", "mode", network->forward, NULL);
  if (network->bridge != NULL)
    lodge_xml_element (writer, "bridge", "name", network->bridge, "stp", "off", "delay", "0", NULL);
  if (network->domain != NULL)
    {
      lodge_xml_element (writer, "domain", "name", network->domain, "localOnly", "yes", NULL);
      lodge_xml_element (writer, "dns", "enable", "yes", NULL);
    }
  for (guint i = 0; i < network->subnets->len; i++)
    write_subnet (writer, network, g_ptr_array_index (network->subnets, i));
  write_dnsmasq (writer, network);
  lodge_xml_close (writer);
  return lodge_xml_writer_finish (writer, error);
}

static guint
prefix_of_netmask (const char *netmask)
{
  struct in_addr mask;
  if (netmask == NULL || inet_pton (AF_INET, netmask, &mask) != 1)
    return 0;
  return (guint) __builtin_popcount (mask.s_addr);
}

static void
read_hosts (xmlNode *dhcp, GPtrArray *hosts)
{
  for (xmlNode *node = lodge_xml_child (dhcp, "host"); node != NULL; node = lodge_xml_next (node))
    {
      g_autofree char *mac = lodge_xml_get_attr (node, "mac");
      g_autofree char *name = lodge_xml_get_attr (node, "name");
      g_autofree char *address = lodge_xml_get_attr (node, "ip");
      if (address != NULL)
        g_ptr_array_add (hosts, lodge_network_host_new (mac, name, address));
    }
}

static void
read_subnet (xmlNode *ip, LodgeNetworkXml *network)
{
  g_autofree char *address = lodge_xml_get_attr (ip, "address");
  if (address == NULL)
    return;
  g_autofree char *prefix = lodge_xml_get_attr (ip, "prefix");
  g_autofree char *netmask = lodge_xml_get_attr (ip, "netmask");
  guint64 bits;
  if (prefix == NULL || !g_ascii_string_to_unsigned (prefix, 10, 0, 128, &bits, NULL))
    bits = prefix_of_netmask (netmask);

  xmlNode *dhcp = lodge_xml_child (ip, "dhcp");
  xmlNode *range = lodge_xml_child (dhcp, "range");
  g_autofree char *start = lodge_xml_get_attr (range, "start");
  g_autofree char *end = lodge_xml_get_attr (range, "end");
  g_ptr_array_add (network->subnets, lodge_subnet_new (address, (guint) bits, start, end));
  read_hosts (dhcp, network->hosts);
}

gboolean
lodge_network_xml_read (const char *xml, LodgeNetworkXml **out_network, GError **error)
{
  g_autoptr (LodgeXmlDoc) doc = lodge_xml_parse (xml, "network", error);
  if (doc == NULL)
    return FALSE;

  xmlNode *top = xmlDocGetRootElement (doc);
  g_autoptr (LodgeNetworkXml) network = lodge_network_xml_new ();
  network->name = lodge_xml_get_text (lodge_xml_child (top, "name"));
  if (network->name == NULL || *network->name == '\0')
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT, "A network has no name");
      return FALSE;
    }
  network->uuid = lodge_xml_get_text (lodge_xml_child (top, "uuid"));
  xmlNode *forward = lodge_xml_child (top, "forward");
  network->forward = lodge_xml_get_attr (forward, "mode");
  if (forward != NULL && network->forward == NULL)
    network->forward = g_strdup ("nat");
  network->bridge = lodge_xml_get_attr (lodge_xml_child (top, "bridge"), "name");
  network->domain = lodge_xml_get_attr (lodge_xml_child (top, "domain"), "name");
  network->managed
      = lodge_xml_child_ns (lodge_xml_child (top, "metadata"), LODGE_METADATA_URI, "network")
        != NULL;
  for (xmlNode *ip = lodge_xml_child (top, "ip"); ip != NULL; ip = lodge_xml_next (ip))
    read_subnet (ip, network);
  *out_network = g_steal_pointer (&network);
  return TRUE;
}

char *
lodge_pool_xml_dir (const char *name, const char *path, GError **error)
{
  g_autoptr (LodgeXmlWriter) writer = lodge_xml_writer_new ();
  lodge_xml_open (writer, "pool");
  lodge_xml_attr (writer, "type", "dir");
  lodge_xml_text_element (writer, "name", name);
  lodge_xml_open (writer, "target");
  lodge_xml_text_element (writer, "path", path);
  lodge_xml_close (writer);
  lodge_xml_close (writer);
  return lodge_xml_writer_finish (writer, error);
}
