/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-domain-xml-private.h"

#include <string.h>

/* Not part of the definition: metadata is Lodge's and other tools' own, and libvirt's lxc driver
 * adds <resource> to the inactive definition too when it starts a domain. */
static const char *const fingerprint_skips[] = { "metadata", "resource", NULL };

static char *
fingerprint_of (xmlNode *domain)
{
  xmlUnsetProp (domain, BAD_CAST "id");
  g_autoptr (GString) text = g_string_sized_new (8192);
  lodge_xml_canonical (domain, fingerprint_skips, text);
  return g_compute_checksum_for_data (G_CHECKSUM_SHA256, (const guint8 *) text->str, text->len);
}

/* A container of Lodge has <memory> because libvirt wants one; its limit is the hard one. */
static guint64
read_memory_limit (xmlNode *domain, const LodgeDomainInfo *info)
{
  guint64 memory = lodge_xml_get_size (lodge_xml_child (domain, "memory"), 0);
  if (info->kind == LODGE_KIND_VM)
    return lodge_xml_get_size (lodge_xml_child (domain, "currentMemory"), memory);
  return lodge_xml_get_size (lodge_xml_find (domain, "memtune/hard_limit"),
                             info->managed ? 0 : memory);
}

static guint
read_vcpus (xmlNode *domain)
{
  xmlNode *vcpu = lodge_xml_child (domain, "vcpu");
  g_autofree char *current = lodge_xml_get_attr (vcpu, "current");
  guint64 count;
  if (current == NULL || !g_ascii_string_to_unsigned (current, 10, 1, G_MAXUINT, &count, NULL))
    count = lodge_xml_get_uint (vcpu, 1);
  return (guint) MIN (count, G_MAXUINT);
}

static void
read_interface (xmlNode *domain, LodgeDomainInfo *info)
{
  xmlNode *interface = lodge_xml_find (domain, "devices/interface");
  info->network = lodge_xml_get_attr (lodge_xml_child (interface, "source"), "network");
  info->mac = lodge_xml_get_attr (lodge_xml_child (interface, "mac"), "address");
  info->host_device = lodge_xml_get_attr (lodge_xml_child (interface, "target"), "dev");
}

static void
read_metadata (xmlNode *domain, LodgeDomainInfo *info)
{
  g_autoptr (LodgeDomainMetadata) metadata = lodge_domain_metadata_from_node (domain);
  if (metadata == NULL)
    return;
  info->managed = g_strcmp0 (metadata->uuid, info->uuid) == 0;
  if (info->managed)
    info->image = g_steal_pointer (&metadata->image);
}

static gint64
read_id (xmlNode *domain)
{
  g_autofree char *text = lodge_xml_get_attr (domain, "id");
  gint64 id;
  return text != NULL && g_ascii_string_to_signed (text, 10, 0, G_MAXINT64, &id, NULL) ? id : -1;
}

gboolean
lodge_domain_xml_read (const char *xml, LodgeDomainInfo **out_info, GError **error)
{
  g_autoptr (LodgeXmlDoc) doc = lodge_xml_parse (xml, "domain", error);
  if (doc == NULL)
    return FALSE;

  xmlNode *domain = xmlDocGetRootElement (doc);
  xmlNode *name = lodge_xml_child (domain, "name");
  xmlNode *uuid = lodge_xml_child (domain, "uuid");
  if (name == NULL || uuid == NULL)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                   "The XML of a domain has no name or no UUID");
      return FALSE;
    }

  LodgeDomainInfo *info = g_new0 (LodgeDomainInfo, 1);
  info->name = lodge_xml_get_text (name);
  info->uuid = lodge_xml_get_text (uuid);
  info->kind = lodge_xml_attr_is (domain, "type", "lxc") ? LODGE_KIND_CONTAINER : LODGE_KIND_VM;
  info->id = read_id (domain);
  info->state = info->id >= 0 ? LODGE_STATE_RUNNING : LODGE_STATE_STOPPED;
  info->persistent = TRUE;
  read_metadata (domain, info);
  info->memory_limit = read_memory_limit (domain, info);
  info->vcpus = read_vcpus (domain);
  read_interface (domain, info);
  info->fingerprint = fingerprint_of (domain);
  *out_info = info;
  return TRUE;
}

char *
lodge_domain_xml_fingerprint (const char *inactive_xml, GError **error)
{
  g_autoptr (LodgeXmlDoc) doc = lodge_xml_parse (inactive_xml, "domain", error);
  return doc != NULL ? fingerprint_of (xmlDocGetRootElement (doc)) : NULL;
}

char *
lodge_domain_xml_rename (const char *xml, const char *new_name, GError **error)
{
  g_autoptr (LodgeXmlDoc) doc = lodge_xml_parse (xml, "domain", error);
  if (doc == NULL)
    return NULL;
  xmlNode *name = lodge_xml_child (xmlDocGetRootElement (doc), "name");
  if (name == NULL || !lodge_xml_text_is_valid (new_name))
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                   "A domain cannot get another name in its XML");
      return NULL;
    }

  xmlNodeSetContent (name, NULL);
  xmlNodeAddContent (name, BAD_CAST new_name);
  xmlChar *text = NULL;
  xmlDocDumpMemoryEnc (doc, &text, NULL, "UTF-8");
  char *renamed = g_strdup ((const char *) text);
  xmlFree (text);
  return renamed;
}

/* What the extractors share: an attribute of one node, found by a function. */
typedef char *(*ExtractFunc) (xmlNode *domain, const char *argument);

static char *
extract (const char *xml, ExtractFunc func, const char *argument, GError **error)
{
  g_autoptr (LodgeXmlDoc) doc = lodge_xml_parse (xml, "domain", error);
  return doc != NULL ? func (xmlDocGetRootElement (doc), argument) : NULL;
}

static char *
extract_console_tty (xmlNode *domain, const char *argument)
{
  xmlNode *console = lodge_xml_find (domain, "devices/console");
  char *tty = lodge_xml_get_attr (console, "tty");
  return tty != NULL ? tty : lodge_xml_get_attr (lodge_xml_child (console, "source"), "path");
}

static char *
extract_channel (xmlNode *domain, const char *target)
{
  xmlNode *channel = lodge_xml_find (domain, "devices/channel");
  while (channel != NULL
         && !lodge_xml_attr_is (lodge_xml_child (channel, "target"), "name", target))
    channel = lodge_xml_next (channel);
  return lodge_xml_get_attr (lodge_xml_child (channel, "source"), "path");
}

static gboolean
is_hard_disk (xmlNode *disk)
{
  g_autofree char *device = lodge_xml_get_attr (disk, "device");
  return device == NULL || strcmp (device, "disk") == 0;
}

static char *
extract_disk (xmlNode *domain, const char *argument)
{
  xmlNode *disk = lodge_xml_find (domain, "devices/disk");
  while (disk != NULL && !is_hard_disk (disk))
    disk = lodge_xml_next (disk);
  xmlNode *source = lodge_xml_child (disk, "source");
  char *path = lodge_xml_get_attr (source, "file");
  return path != NULL ? path : lodge_xml_get_attr (source, "dev");
}

static void
drop_child (xmlNode *node, const char *name)
{
  xmlNode *child = lodge_xml_child (node, name);

  if (child == NULL)
    return;
  xmlUnlinkNode (child);
  xmlFreeNode (child);
}

static char *
extract_drive (xmlNode *domain, const char *alias)
{
  xmlNode *disk = lodge_xml_find (domain, "devices/disk");

  while (disk != NULL && !lodge_xml_attr_is (lodge_xml_child (disk, "alias"), "name", alias))
    disk = lodge_xml_next (disk);
  /* An empty one of a running guest may have a source that has no more than a number. */
  g_autofree char *file = lodge_xml_get_attr (lodge_xml_child (disk, "source"), "file");
  if (file == NULL)
    return NULL;
  drop_child (disk, "source");
  drop_child (disk, "backingStore");
  xmlBuffer *buffer = xmlBufferCreate ();
  char *text = xmlNodeDump (buffer, disk->doc, disk, 0, 0) > 0
                   ? g_strdup ((const char *) xmlBufferContent (buffer))
                   : NULL;
  xmlBufferFree (buffer);
  return text;
}

static char *
extract_type (xmlNode *domain, const char *argument)
{
  return lodge_xml_get_attr (domain, "type");
}

char *
lodge_domain_xml_console_tty (const char *xml, GError **error)
{
  return extract (xml, extract_console_tty, NULL, error);
}

char *
lodge_domain_xml_channel_path (const char *xml, const char *target, GError **error)
{
  return extract (xml, extract_channel, target, error);
}

char *
lodge_domain_xml_disk_path (const char *xml, GError **error)
{
  return extract (xml, extract_disk, NULL, error);
}

char *
lodge_domain_xml_empty_drive (const char *xml, GError **error)
{
  return extract (xml, extract_drive, LODGE_DEVICE_ALIAS_PREFIX LODGE_DEVICE_MEDIUM, error);
}

char *
lodge_domain_xml_type (const char *xml, GError **error)
{
  return extract (xml, extract_type, NULL, error);
}
