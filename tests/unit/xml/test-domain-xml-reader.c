/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-domain-xml.h"

#include <string.h>

#define UUID "7d3c1c2e-94a5-4a63-9f0c-5f6f1c8f3a11"
#define META                                                                                       \
  "<lodge:instance xmlns:lodge='" LODGE_METADATA_URI "' uuid='%s'>"                                \
  "<lodge:image fingerprint='abc' alias='debian/12'/>"                                             \
  "<lodge:config key='limits.cpu'>1</lodge:config></lodge:instance>"

static void
clear_info (LodgeDomainInfo *info)
{
  g_free (info->uuid);
  g_free (info->name);
  g_free (info->image);
  g_free (info->network);
  g_free (info->mac);
  g_free (info->host_device);
  g_free (info->fingerprint);
  g_free (info);
}

static LodgeDomainInfo *
read_ok (const char *xml)
{
  LodgeDomainInfo *info = NULL;
  g_autoptr (GError) error = NULL;
  g_assert_true (lodge_domain_xml_read (xml, &info, &error));
  g_assert_no_error (error);
  return info;
}

static void
test_running_container (void)
{
  g_autofree char *xml = g_strdup_printf (
      "<domain type='lxc' id='4711'><name>web</name><uuid>" UUID "</uuid><metadata>" META
      "</metadata><memory unit='KiB'>8388608</memory><memtune><hard_limit unit='KiB'>204800"
      "</hard_limit></memtune><vcpu placement='static'>2</vcpu><os><type>exe</type></os>"
      "<devices><interface type='network'><mac address='52:54:00:12:34:56'/>"
      "<source network='lodgebr0' bridge='lodgebr0'/><target dev='vnet3'/></interface>"
      "<console type='pty' tty='/dev/pts/7'><source path='/dev/pts/7'/></console>"
      "</devices></domain>",
      UUID);
  LodgeDomainInfo *info = read_ok (xml);
  g_assert_cmpstr (info->name, ==, "web");
  g_assert_cmpstr (info->uuid, ==, UUID);
  g_assert_cmpint (info->kind, ==, LODGE_KIND_CONTAINER);
  g_assert_cmpint (info->state, ==, LODGE_STATE_RUNNING);
  g_assert_cmpint (info->id, ==, 4711);
  g_assert_true (info->managed);
  g_assert_cmpstr (info->image, ==, "abc");
  g_assert_cmpuint (info->memory_limit, ==, 200 << 20);
  g_assert_cmpuint (info->vcpus, ==, 2);
  g_assert_cmpstr (info->network, ==, "lodgebr0");
  g_assert_cmpstr (info->mac, ==, "52:54:00:12:34:56");
  g_assert_cmpstr (info->host_device, ==, "vnet3");
  g_autofree char *tty = lodge_domain_xml_console_tty (xml, NULL);
  g_assert_cmpstr (tty, ==, "/dev/pts/7");
  clear_info (info);
}

/* virt-clone copies metadata: the copy is nobody's. */
static void
test_clone_is_foreign (void)
{
  g_autofree char *xml = g_strdup_printf (
      "<domain type='lxc'><name>web-clone</name><uuid>00000000-94a5-4a63-9f0c-5f6f1c8f3a11</uuid>"
      "<metadata>" META "</metadata><memory>1024</memory></domain>",
      UUID);
  LodgeDomainInfo *info = read_ok (xml);
  g_assert_false (info->managed);
  g_assert_null (info->image);
  g_assert_cmpint (info->id, ==, -1);
  g_assert_cmpint (info->state, ==, LODGE_STATE_STOPPED);
  g_assert_cmpuint (info->memory_limit, ==, 1 << 20);
  clear_info (info);
}

static void
test_foreign_vm (void)
{
  const char *xml
      = "<domain type='qemu'><name>A VM &lt;x&gt;</name><uuid>" UUID "</uuid>"
        "<memory unit='GiB'>2</memory><currentMemory unit='MiB'>512</currentMemory>"
        "<vcpu current='1'>4</vcpu><os><type>hvm</type></os><devices>"
        "<disk type='file' device='cdrom'><source file='/x.iso'/></disk>"
        "<disk type='block'><source dev='/dev/sdb'/></disk>"
        "<channel type='unix'><source mode='bind' path='/a'/><target type='virtio' name='x'/>"
        "</channel><channel type='unix'><source mode='bind' path='/b'/>"
        "<target type='virtio' name='" LODGE_CHANNEL_GUEST_AGENT "'/></channel></devices></domain>";
  LodgeDomainInfo *info = read_ok (xml);
  g_assert_cmpstr (info->name, ==, "A VM <x>");
  g_assert_cmpint (info->kind, ==, LODGE_KIND_VM);
  g_assert_false (info->managed);
  g_assert_cmpuint (info->memory_limit, ==, 512 << 20);
  g_assert_cmpuint (info->vcpus, ==, 1);
  g_assert_null (info->mac);
  g_autofree char *disk = lodge_domain_xml_disk_path (xml, NULL);
  g_assert_cmpstr (disk, ==, "/dev/sdb");
  g_autofree char *agent = lodge_domain_xml_channel_path (xml, LODGE_CHANNEL_GUEST_AGENT, NULL);
  g_assert_cmpstr (agent, ==, "/b");
  g_autofree char *none = lodge_domain_xml_channel_path (xml, "other", NULL);
  g_assert_null (none);
  g_autofree char *type = lodge_domain_xml_type (xml, NULL);
  g_assert_cmpstr (type, ==, "qemu");
  clear_info (info);
}

static void
test_fingerprint (void)
{
  const char *equal[] = {
    "<domain type='lxc' x='1'><name>a</name><memory>1</memory></domain>",
    "<domain x='1' type='lxc' id='3'>\n  <name>a</name>\n  <memory> 1 </memory>\n"
    "  <metadata><x/></metadata><resource><partition>/machine</partition></resource></domain>",
  };
  const char *other[] = {
    "<domain type='lxc' x='2'><name>a</name><memory>1</memory></domain>",
    "<domain type='lxc' x='1'><name>a</name><memory>2</memory></domain>",
    "<domain type='lxc' x='1'><name>a</name><memory>1</memory><devices/></domain>",
  };
  g_autofree char *first = lodge_domain_xml_fingerprint (equal[0], NULL);
  g_autofree char *second = lodge_domain_xml_fingerprint (equal[1], NULL);
  g_assert_cmpuint (strlen (first), ==, 64);
  g_assert_cmpstr (first, ==, second);
  for (guint i = 0; i < G_N_ELEMENTS (other); i++)
    {
      g_autofree char *third = lodge_domain_xml_fingerprint (other[i], NULL);
      g_assert_cmpstr (first, !=, third);
    }
}

static void
test_rename (void)
{
  const char *xml = "<domain type='lxc'><name>a</name><uuid>" UUID
                    "</uuid><metadata><x xmlns='urn:x'>kept</x></metadata></domain>";
  g_autoptr (GError) error = NULL;
  g_autofree char *renamed = lodge_domain_xml_rename (xml, "b&<c", &error);
  g_assert_no_error (error);
  LodgeDomainInfo *info = read_ok (renamed);
  g_assert_cmpstr (info->name, ==, "b&<c");
  g_assert_cmpstr (info->uuid, ==, UUID);
  g_assert_nonnull (strstr (renamed, "<x xmlns=\"urn:x\">kept</x>"));
  clear_info (info);
}

/* An older Lodge's definition gets what it lacks; what somebody has decided stays, and so does what
 * is not Lodge's. */
static void
test_renew (void)
{
  static const struct
  {
    const char *uuid, *features;
    gboolean is_renewed, is_off;
  } rows[] = {
    { UUID,
      "<features><capabilities policy='default'><sys_rawio state='off'/></capabilities>"
      "</features>",
      TRUE, TRUE },
    { UUID, "", TRUE, TRUE },
    { UUID,
      "<features><capabilities policy='default'><sys_rawio state='off'/>"
      "<sys_resource state='on'/></capabilities></features>",
      FALSE, FALSE },
    { "00000000-0000-4000-8000-000000000000", "", FALSE, FALSE },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autofree char *xml = g_strdup_printf (
          "<domain type='lxc'><name>a</name><uuid>" UUID "</uuid><metadata>"
          "<lodge:instance xmlns:lodge='" LODGE_METADATA_URI "' uuid='%s'/></metadata>%s</domain>",
          rows[i].uuid, rows[i].features);
      g_autofree char *renewed = NULL, *again = NULL;
      g_autoptr (GError) error = NULL;
      g_assert_true (lodge_domain_xml_lxc_renew (xml, &renewed, &error));
      g_assert_no_error (error);
      g_assert_cmpint (renewed != NULL, ==, rows[i].is_renewed);
      if (renewed == NULL)
        continue;
      g_assert_cmpint (strstr (renewed, "<sys_resource state=\"off\"/>") != NULL, ==,
                       rows[i].is_off);
      g_assert_true (lodge_domain_xml_lxc_renew (renewed, &again, &error));
      g_assert_null (again);
    }
}

static void
assert_refused (const char *xml)
{
  LodgeDomainInfo *info = (LodgeDomainInfo *) 1;
  g_autoptr (GError) error = NULL;
  g_assert_false (lodge_domain_xml_read (xml, &info, &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT);
  g_assert_null (strstr (error->message, "secret"));
  g_assert_true (info == (LodgeDomainInfo *) 1);
}

/* Row X02, and what else is no domain. */
static void
test_hostile (void)
{
  static const char *const rows[] = {
    "",
    "secret",
    "<domain>",
    "<domain><name>secret</name></domain>",
    "<network><name>a</name></network>",
    "<domain type='lxc'><name>\xff</name><uuid>x</uuid></domain>",
    "<!DOCTYPE domain [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>"
    "<domain type='lxc'><name>&x;</name><uuid>x</uuid></domain>",
    "<!DOCTYPE domain SYSTEM 'http://127.0.0.1:1/x.dtd'>"
    "<domain type='lxc'><name>a</name><uuid>x</uuid></domain>",
    "<!DOCTYPE d [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>"
    "<!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;'>]><domain><name>&c;</name><uuid>x</uuid></domain>",
    "<domain><name>&undefined;</name><uuid>x</uuid></domain>",
  };
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    assert_refused (rows[i]);
}

static void
test_bounds (void)
{
  g_autoptr (GString) deep = g_string_new ("<domain><name>a</name><uuid>x</uuid>");
  for (guint i = 0; i < 100000; i++)
    g_string_append (deep, "<a>");
  for (guint i = 0; i < 100000; i++)
    g_string_append (deep, "</a>");
  g_string_append (deep, "</domain>");
  assert_refused (deep->str);

  g_autoptr (GString) large = g_string_new ("<domain><name>a</name><uuid>x</uuid><a>");
  for (guint i = 0; i < 5 * 1024 * 1024 / 16; i++)
    g_string_append (large, "secretsecretsecr");
  g_string_append (large, "</a></domain>");
  assert_refused (large->str);

  /* Numbers that do not fit are no limits, not small ones. */
  LodgeDomainInfo *info = read_ok ("<domain type='lxc'><name>a</name><uuid>x</uuid>"
                                   "<memtune><hard_limit unit='TiB'>18446744073709551614"
                                   "</hard_limit></memtune><vcpu>99999999999</vcpu></domain>");
  g_assert_cmpuint (info->memory_limit, ==, G_MAXUINT64);
  g_assert_cmpuint (info->vcpus, ==, G_MAXUINT);
  clear_info (info);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/domain-reader/running-container", test_running_container);
  g_test_add_func ("/domain-reader/clone-is-foreign", test_clone_is_foreign);
  g_test_add_func ("/domain-reader/foreign-vm", test_foreign_vm);
  g_test_add_func ("/domain-reader/fingerprint", test_fingerprint);
  g_test_add_func ("/domain-reader/rename", test_rename);
  g_test_add_func ("/domain-reader/renew", test_renew);
  g_test_add_func ("/domain-reader/hostile", test_hostile);
  g_test_add_func ("/domain-reader/bounds", test_bounds);
  return g_test_run ();
}
