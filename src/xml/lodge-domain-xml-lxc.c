/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The definition of a container for libvirt's lxc driver.  What it leaves out (process limit,
 * freezing, readiness) Lodge does itself through cgroups and lodge-init.
 */
#include "lodge-domain-xml-private.h"

#define IDMAP_MIN_COUNT  65536
#define LODGE_GUEST_INIT "/dev/lodge/init"

static const char *const capabilities_off[] = {
  "sys_rawio",    /* with it systemd tries to mount debugfs, fails, and calls itself degraded */
  "sys_resource", /* could undo the limits of the user namespace; see lodge-mount-server.c */
};

static void
check_idmap (LodgeXmlWriter *writer, const LodgeDomainSpec *spec)
{
  guint64 end = (guint64) spec->idmap_base + spec->idmap_count;
  if (spec->idmap_base == 0 || spec->idmap_count < IDMAP_MIN_COUNT || end > G_MAXUINT32)
    lodge_xml_fail (writer, LODGE_ERROR_INVALID_ARGUMENT,
                    "Container “%s” has no usable range of user ids: %u ids from %u", spec->name,
                    spec->idmap_count, spec->idmap_base);
}

static void
write_limits (LodgeXmlWriter *writer, const LodgeDomainSpec *spec,
              const LodgeLxcXmlOptions *options)
{
  guint64 limit = lodge_domain_spec_memory (writer, spec) / 1024;
  lodge_xml_uint_element (writer, "memory", "KiB",
                          limit != 0 ? limit : options->host_memory / 1024);
  if (limit != 0)
    {
      lodge_xml_open (writer, "memtune");
      lodge_xml_uint_element (writer, "hard_limit", "KiB", limit);
      if (options->limit_swap)
        lodge_xml_uint_element (writer, "swap_hard_limit", "KiB", limit);
      lodge_xml_close (writer);
    }

  lodge_xml_open (writer, "vcpu");
  lodge_xml_attr (writer, "placement", "static");
  lodge_xml_attr (writer, "cpuset", options->cpuset);
  g_autofree char *vcpus = g_strdup_printf ("%u", options->vcpus);
  lodge_xml_text (writer, vcpus);
  lodge_xml_close (writer);
}

static void
write_os (LodgeXmlWriter *writer, const LodgeDomainSpec *spec)
{
  lodge_xml_open (writer, "os");
  lodge_xml_open (writer, "type");
  lodge_xml_attr (writer, "arch", spec->architecture);
  lodge_xml_text (writer, "exe");
  lodge_xml_close (writer);
  lodge_xml_text_element (writer, "init", LODGE_GUEST_INIT);
  lodge_xml_text_element (writer, "initarg", "/sbin/init");
  lodge_xml_close (writer);

  lodge_xml_open (writer, "features");
  lodge_xml_element (writer, "privnet", NULL);
  lodge_xml_open (writer, "capabilities");
  lodge_xml_attr (writer, "policy", "default");
  for (gsize i = 0; i < G_N_ELEMENTS (capabilities_off); i++)
    lodge_xml_element (writer, capabilities_off[i], "state", "off", NULL);
  lodge_xml_close (writer);
  lodge_xml_close (writer);
}

static void
write_idmap (LodgeXmlWriter *writer, const LodgeDomainSpec *spec)
{
  g_autofree char *base = g_strdup_printf ("%u", spec->idmap_base);
  g_autofree char *count = g_strdup_printf ("%u", spec->idmap_count);
  lodge_xml_open (writer, "idmap");
  lodge_xml_element (writer, "uid", "start", "0", "target", base, "count", count, NULL);
  lodge_xml_element (writer, "gid", "start", "0", "target", base, "count", count, NULL);
  lodge_xml_close (writer);
}

static void
write_filesystem (LodgeXmlWriter *writer, const char *source, const char *target,
                  gboolean read_only)
{
  lodge_xml_open (writer, "filesystem");
  lodge_xml_attr (writer, "type", "mount");
  lodge_xml_attr (writer, "accessmode", "passthrough");
  lodge_xml_element (writer, "source", "dir", source, NULL);
  lodge_xml_element (writer, "target", "dir", target, NULL);
  if (read_only)
    lodge_xml_element (writer, "readonly", NULL);
  lodge_xml_close (writer);
}

/* libvirt sets the address before init runs, so that the container is reachable at once; a DHCP
 * client inside gets the same one, for it is reserved. */
static void
write_interface (LodgeXmlWriter *writer, const LodgeDomainSpec *spec)
{
  if (spec->network == NULL)
    return;
  lodge_xml_open (writer, "interface");
  lodge_xml_attr (writer, "type", "network");
  lodge_xml_element (writer, "mac", "address", spec->mac, NULL);
  lodge_xml_element (writer, "source", "network", spec->network, NULL);
  lodge_xml_element (writer, "guest", "dev", "eth0", NULL);
  if (spec->address != NULL)
    {
      g_autofree char *prefix = g_strdup_printf ("%u", spec->prefix);
      lodge_xml_element (writer, "ip", "address", spec->address, "family", "ipv4", "prefix", prefix,
                         NULL);
    }
  if (spec->address != NULL && spec->gateway != NULL)
    lodge_xml_element (writer, "route", "family", "ipv4", "address", "0.0.0.0", "prefix", "0",
                       "gateway", spec->gateway, NULL);
  lodge_xml_close (writer);
}

static void
write_devices (LodgeXmlWriter *writer, const LodgeDomainSpec *spec,
               const LodgeLxcXmlOptions *options)
{
  lodge_xml_open (writer, "devices");
  lodge_xml_text_element (writer, "emulator", options->emulator);
  write_filesystem (writer, options->root_dir, "/", FALSE);
  write_filesystem (writer, options->control_dir, "/dev/lodge", TRUE);
  if (options->guest_dir != NULL)
    write_filesystem (writer, options->guest_dir, "/dev/lodge/guest", TRUE);
  write_interface (writer, spec);
  lodge_xml_element (writer, "console", "type", "pty", NULL);
  lodge_xml_close (writer);
}

char *
lodge_domain_xml_lxc (const LodgeDomainSpec *spec, const LodgeLxcXmlOptions *options,
                      GError **error)
{
  g_autoptr (LodgeXmlWriter) writer = lodge_xml_writer_new ();
  lodge_domain_write_check (writer, spec);
  check_idmap (writer, spec);
  lodge_xml_open (writer, "domain");
  lodge_xml_attr (writer, "type", "lxc");
  lodge_domain_write_identity (writer, spec);
  write_limits (writer, spec, options);
  write_os (writer, spec);
  write_idmap (writer, spec);
  lodge_xml_element (writer, "clock", "offset", "utc", NULL);
  write_devices (writer, spec, options);
  lodge_xml_close (writer);
  return lodge_xml_writer_finish (writer, error);
}

static xmlNode *
ensure_child (xmlNode *parent, const char *name)
{
  xmlNode *child = lodge_xml_child (parent, name);
  return child != NULL ? child : xmlNewChild (parent, NULL, BAD_CAST name, NULL);
}

/* Whether something was added. */
static gboolean
add_capabilities (xmlNode *domain)
{
  xmlNode *list = lodge_xml_find (domain, "features/capabilities");
  gboolean is_changed = FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS (capabilities_off); i++)
    {
      if (lodge_xml_child (list, capabilities_off[i]) != NULL)
        continue;
      if (list == NULL)
        {
          list = ensure_child (ensure_child (domain, "features"), "capabilities");
          xmlSetProp (list, BAD_CAST "policy", BAD_CAST "default");
        }
      xmlNode *row = xmlNewChild (list, NULL, BAD_CAST capabilities_off[i], NULL);
      xmlSetProp (row, BAD_CAST "state", BAD_CAST "off");
      is_changed = TRUE;
    }
  return is_changed;
}

gboolean
lodge_domain_xml_lxc_renew (const char *xml, char **out_xml, GError **error)
{
  gboolean is_complete = TRUE;
  for (gsize i = 0; i < G_N_ELEMENTS (capabilities_off); i++)
    is_complete = is_complete && strstr (xml, capabilities_off[i]) != NULL;
  if (is_complete)
    {
      *out_xml = NULL;
      return TRUE;
    }
  g_autoptr (LodgeXmlDoc) doc = lodge_xml_parse (xml, "domain", error);
  if (doc == NULL)
    return FALSE;
  xmlNode *domain = xmlDocGetRootElement (doc);
  g_autoptr (LodgeDomainMetadata) metadata = lodge_domain_metadata_from_node (domain);
  g_autofree char *uuid = lodge_xml_get_text (lodge_xml_child (domain, "uuid"));
  xmlChar *text = NULL;
  if (metadata != NULL && g_strcmp0 (metadata->uuid, uuid) == 0 && add_capabilities (domain))
    xmlDocDumpMemoryEnc (doc, &text, NULL, "UTF-8");
  *out_xml = g_strdup ((const char *) text);
  xmlFree (text);
  return TRUE;
}
