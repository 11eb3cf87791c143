/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Lodge's element in a domain's <metadata>:
 *
 *   <lodge:instance xmlns:lodge="…" uuid="…">
 *     <lodge:image fingerprint="…" alias="…"/>
 *     <lodge:config key="limits.memory">200MiB</lodge:config>
 *   </lodge:instance>
 *
 * The UUID is the domain's own: tools that clone domains copy metadata too, and only the UUID
 * tells the copy from the original.
 */
#include "lodge-domain-xml-private.h"

#include <string.h>

#define OSINFO_URI "http://libosinfo.org/xmlns/libvirt/domain/1.0"

static const char *const secret_prefixes[]
    = { "cloud-init.", "environment.", "user.user-data", "user.vendor-data", NULL };

static gboolean
is_secret (const char *key)
{
  for (guint i = 0; secret_prefixes[i] != NULL; i++)
    if (g_str_has_prefix (key, secret_prefixes[i]))
      return TRUE;
  return FALSE;
}

void
lodge_domain_metadata_free (LodgeDomainMetadata *metadata)
{
  if (metadata == NULL)
    return;
  g_free (metadata->uuid);
  g_free (metadata->image);
  g_free (metadata->image_alias);
  g_clear_pointer (&metadata->config, g_hash_table_unref);
  g_free (metadata);
}

static void
write_config (LodgeXmlWriter *writer, GHashTable *config)
{
  g_autoptr (GList) keys = g_list_sort (g_hash_table_get_keys (config), (GCompareFunc) strcmp);
  for (GList *link = keys; link != NULL; link = link->next)
    {
      if (is_secret (link->data))
        continue;
      lodge_xml_open (writer, "lodge:config");
      lodge_xml_attr (writer, "key", link->data);
      lodge_xml_text (writer, g_hash_table_lookup (config, link->data));
      lodge_xml_close (writer);
    }
}

void
lodge_domain_write_metadata (LodgeXmlWriter *writer, const LodgeDomainSpec *spec)
{
  lodge_xml_open (writer, "lodge:instance");
  lodge_xml_attr (writer, "xmlns:lodge", LODGE_METADATA_URI);
  lodge_xml_attr (writer, "uuid", spec->uuid);
  if (spec->image_fingerprint != NULL)
    {
      lodge_xml_open (writer, "lodge:image");
      lodge_xml_attr (writer, "fingerprint", spec->image_fingerprint);
      lodge_xml_attr (writer, "alias", spec->image_alias);
      lodge_xml_close (writer);
    }
  if (spec->config != NULL)
    write_config (writer, spec->config);
  lodge_xml_close (writer);
}

static void
write_osinfo (LodgeXmlWriter *writer, const char *os_id)
{
  lodge_xml_open (writer, "libosinfo:libosinfo");
  lodge_xml_attr (writer, "xmlns:libosinfo", OSINFO_URI);
  lodge_xml_element (writer, "libosinfo:os", "id", os_id, NULL);
  lodge_xml_close (writer);
}

void
lodge_domain_write_identity (LodgeXmlWriter *writer, const LodgeDomainSpec *spec)
{
  lodge_xml_text_element (writer, "name", spec->name);
  lodge_xml_text_element (writer, "uuid", spec->uuid);
  lodge_xml_open (writer, "metadata");
  lodge_domain_write_metadata (writer, spec);
  if (spec->os_id != NULL)
    write_osinfo (writer, spec->os_id);
  lodge_xml_close (writer);
}

char *
lodge_domain_metadata_xml (const LodgeDomainSpec *spec, GError **error)
{
  g_autoptr (LodgeXmlWriter) writer = lodge_xml_writer_new ();
  lodge_domain_write_check (writer, spec);
  lodge_domain_write_metadata (writer, spec);
  return lodge_xml_writer_finish (writer, error);
}

LodgeDomainMetadata *
lodge_domain_metadata_from_node (xmlNode *domain)
{
  xmlNode *instance
      = lodge_xml_child_ns (lodge_xml_child (domain, "metadata"), LODGE_METADATA_URI, "instance");
  if (instance == NULL)
    return NULL;

  LodgeDomainMetadata *metadata = g_new0 (LodgeDomainMetadata, 1);
  metadata->uuid = lodge_xml_get_attr (instance, "uuid");
  xmlNode *image = lodge_xml_child_ns (instance, LODGE_METADATA_URI, "image");
  metadata->image = lodge_xml_get_attr (image, "fingerprint");
  metadata->image_alias = lodge_xml_get_attr (image, "alias");
  metadata->config = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  for (xmlNode *node = instance->children; node != NULL; node = node->next)
    {
      if (node->type != XML_ELEMENT_NODE || strcmp ((const char *) node->name, "config") != 0)
        continue;
      char *key = lodge_xml_get_attr (node, "key");
      if (key != NULL)
        g_hash_table_replace (metadata->config, key, lodge_xml_get_raw_text (node));
    }
  return metadata;
}

gboolean
lodge_domain_metadata_read (const char *xml, LodgeDomainMetadata **out_metadata, GError **error)
{
  g_autoptr (LodgeXmlDoc) doc = lodge_xml_parse (xml, "domain", error);
  if (doc == NULL)
    return FALSE;
  *out_metadata = lodge_domain_metadata_from_node (xmlDocGetRootElement (doc));
  return TRUE;
}
