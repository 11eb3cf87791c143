/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How long a server's list takes to be read.  What it may contain is tested with the program. */
#include <time.h>

#include "lodge-streams.h"

#define PRODUCTS 500
#define LIMIT_MS 50.0
#define N_TRIES  7

static void
append_item (GString *out, const char *ftype, const char *name, const char *more)
{
  g_string_append_printf (out,
                          "\"%s\":{\"ftype\":\"%s\",\"path\":\"images/os/1/amd64/default/%s\","
                          "\"sha256\":\"%064d\",\"size\":123456%s}",
                          name, ftype, name, 7, more);
}

/* As images.linuxcontainers.org has it: two versions of each product, about 2 MB. */
static char *
make_list (gsize *out_size)
{
  GString *out = g_string_new ("{\"format\":\"products:1.0\",\"products\":{");
  g_autofree char *combined
      = g_strdup_printf (",\"combined_squashfs_sha256\":\"%064d\",\"combined_disk-kvm-img_sha256\":"
                         "\"%064d\",\"combined_rootxz_sha256\":\"%064d\"",
                         1, 2, 3);

  for (int i = 0; i < PRODUCTS; i++)
    {
      g_string_append_printf (out,
                              "%s\"os:%d:amd64\":{\"aliases\":\"os%d/1,os%d/one/default\",\"arch\":"
                              "\"amd64\",\"os\":\"Os\",\"release\":\"one\",\"release_title\":"
                              "\"1\",\"variant\":\"default\",\"requirements\":{},\"versions\":{",
                              i > 0 ? "," : "", i, i, i);
      for (int day = 10; day < 12; day++)
        {
          g_string_append_printf (out, "%s\"202606%d_05:24\":{\"items\":{", day > 10 ? "," : "",
                                  day);
          append_item (out, "lxd.tar.xz", "lxd.tar.xz", combined);
          g_string_append_c (out, ',');
          append_item (out, "incus.tar.xz", "incus.tar.xz", combined);
          g_string_append_c (out, ',');
          append_item (out, "squashfs", "root.squashfs", "");
          g_string_append_c (out, ',');
          append_item (out, "root.tar.xz", "rootfs.tar.xz", "");
          g_string_append_c (out, ',');
          append_item (out, "disk-kvm.img", "disk.qcow2", "");
          g_string_append (out, "}}");
        }
      g_string_append (out, "}}");
    }
  g_string_append (out, "}}");
  *out_size = out->len;
  return g_string_free (out, FALSE);
}

static void
test_speed (void)
{
  gsize size;
  g_autofree char *list = make_list (&size);
  double best = 1e9;

  for (int i = 0; i < N_TRIES; i++)
    {
      g_autoptr (GString) out = g_string_new (NULL);
      LodgeStreamsSummary summary = { 0 };
      LodgeFail fail = { 0 };
      /* CPU time: how busy the machine is is not the parser's business. */
      clock_t start = clock ();

      g_assert_true (lodge_streams_read_products (list, size, out, &summary, &fail));
      best = MIN (best, (double) (clock () - start) * 1000 / CLOCKS_PER_SEC);
      g_assert_cmpuint (summary.images, ==, 2 * PRODUCTS);
    }
  g_test_minimized_result (best, "%d products, %zu KiB: %.1f ms", PRODUCTS, size >> 10, best);
  if (g_getenv ("LODGE_TEST_SANITIZED") == NULL)
    g_assert_cmpfloat (best, <, LIMIT_MS);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/streams/speed", test_speed);
  return g_test_run ();
}
