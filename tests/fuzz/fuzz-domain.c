/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* XML of domains and networks, which others than Lodge write as well. */
#include "fuzz.h"

#include "lodge-domain-xml.h"
#include "lodge-network-xml.h"

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autofree char *xml = g_strndup ((const char *) data, size);
  g_autoptr (LodgeDomainInfo) info = NULL;
  g_autoptr (LodgeDomainMetadata) metadata = NULL;
  g_autoptr (LodgeNetworkXml) network = NULL;

  if (lodge_domain_xml_read (xml, &info, NULL))
    {
      g_autofree char *fingerprint = lodge_domain_xml_fingerprint (xml, NULL);
      g_autofree char *renamed = lodge_domain_xml_rename (xml, "other", NULL);
      g_assert_nonnull (info->uuid);
      g_assert_nonnull (fingerprint);
      g_assert_nonnull (renamed);
    }
  if (lodge_domain_metadata_read (xml, &metadata, NULL) && metadata != NULL)
    g_assert_nonnull (metadata->config);
  g_free (lodge_domain_xml_console_tty (xml, NULL));
  g_free (lodge_domain_xml_channel_path (xml, LODGE_CHANNEL_GUEST_AGENT, NULL));
  g_free (lodge_domain_xml_disk_path (xml, NULL));
  g_free (lodge_domain_xml_type (xml, NULL));
  if (lodge_network_xml_read (xml, &network, NULL))
    g_assert_nonnull (network->name);
  return 0;
}
