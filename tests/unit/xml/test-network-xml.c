/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-network-xml.h"

#include <string.h>

static void
test_round_trip (void)
{
  g_autoptr (LodgeNetworkXml) network = lodge_network_xml_new ();
  network->name = g_strdup ("lodgebr0");
  network->forward = g_strdup ("nat");
  network->bridge = g_strdup ("lodgebr0");
  network->domain = g_strdup ("lodge");
  network->managed = TRUE;
  g_ptr_array_add (network->subnets,
                   lodge_subnet_new ("10.77.0.1", 24, "10.77.0.2", "10.77.0.254"));
  g_ptr_array_add (network->subnets, lodge_subnet_new ("fd42::1", 64, NULL, NULL));
  g_ptr_array_add (network->hosts,
                   lodge_network_host_new ("52:54:00:12:34:56", "web", "10.77.0.12"));

  g_autoptr (GError) error = NULL;
  g_autofree char *xml = lodge_network_xml_write (network, &error);
  g_assert_no_error (error);
  g_autofree char *path = g_build_filename (TEST_DATA_DIR, "network.xml", NULL);
  if (g_getenv ("LODGE_TEST_UPDATE") != NULL)
    g_file_set_contents (path, xml, -1, NULL);
  g_autofree char *expected = NULL;
  g_assert_true (g_file_get_contents (path, &expected, NULL, NULL));
  g_assert_cmpstr (xml, ==, expected);

  g_autoptr (LodgeNetworkXml) read = NULL;
  g_assert_true (lodge_network_xml_read (xml, &read, &error));
  g_assert_no_error (error);
  g_assert_cmpstr (read->name, ==, "lodgebr0");
  g_assert_cmpstr (read->forward, ==, "nat");
  g_assert_cmpstr (read->bridge, ==, "lodgebr0");
  g_assert_cmpstr (read->domain, ==, "lodge");
  g_assert_true (read->managed);
  g_assert_cmpuint (read->subnets->len, ==, 2);
  LodgeSubnet *subnet = g_ptr_array_index (read->subnets, 0);
  g_assert_cmpstr (subnet->address, ==, "10.77.0.1");
  g_assert_cmpuint (subnet->prefix, ==, 24);
  g_assert_false (subnet->ipv6);
  g_assert_cmpstr (subnet->dhcp_end, ==, "10.77.0.254");
  g_assert_true (((LodgeSubnet *) g_ptr_array_index (read->subnets, 1))->ipv6);
  g_assert_cmpuint (read->hosts->len, ==, 1);
  g_assert_cmpstr (((LodgeNetworkHost *) g_ptr_array_index (read->hosts, 0))->name, ==, "web");
}

static void
test_foreign (void)
{
  const char *xml = "<network><name>default</name><uuid>u</uuid><forward/>"
                    "<bridge name='virbr0' stp='on'/>"
                    "<ip address='192.168.122.1' netmask='255.255.254.0'><dhcp>"
                    "<range start='192.168.122.2' end='192.168.122.254'/></dhcp></ip>"
                    "<ip prefix='24'/></network>";
  g_autoptr (GError) error = NULL;
  g_autoptr (LodgeNetworkXml) network = NULL;
  g_assert_true (lodge_network_xml_read (xml, &network, &error));
  g_assert_no_error (error);
  g_assert_false (network->managed);
  g_assert_cmpstr (network->forward, ==, "nat");
  g_assert_cmpuint (network->subnets->len, ==, 1);
  g_assert_cmpuint (((LodgeSubnet *) g_ptr_array_index (network->subnets, 0))->prefix, ==, 23);
}

static void
test_pool (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *xml = lodge_pool_xml_dir ("lodge-default", "/var/lib/a & b", &error);
  g_assert_no_error (error);
  g_assert_nonnull (strstr (xml, "<path>/var/lib/a &amp; b</path>"));
  g_autofree char *bad = lodge_pool_xml_dir ("a\x01", "/x", &error);
  g_assert_null (bad);
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/network-xml/round-trip", test_round_trip);
  g_test_add_func ("/network-xml/foreign", test_foreign);
  g_test_add_func ("/pool-xml/dir", test_pool);
  return g_test_run ();
}
