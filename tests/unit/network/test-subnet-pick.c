/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-subnet-pick.h"

static LodgeRange
range (const char *text, guint prefix)
{
  LodgeRange r;

  g_assert_true (lodge_range_parse (text, prefix, &r));
  return r;
}

static void
test_overlap (void)
{
  g_assert_true (lodge_range_overlaps (range ("10.87.0.0", 16), range ("10.87.3.7", 24)));
  g_assert_true (lodge_range_overlaps (range ("10.87.3.7", 24), range ("10.0.0.0", 8)));
  g_assert_false (lodge_range_overlaps (range ("10.87.0.0", 22), range ("10.87.4.0", 22)));
  g_assert_true (lodge_range_overlaps (range ("0.0.0.0", 0), range ("10.87.4.0", 22)));
}

static void
test_parse (void)
{
  LodgeRange r;

  g_assert_false (lodge_range_parse ("10.87.0", 22, &r));
  g_assert_false (lodge_range_parse ("10.87.0.256", 22, &r));
  g_assert_false (lodge_range_parse ("::1", 22, &r));
  g_assert_false (lodge_range_parse (NULL, 22, &r));
  g_assert_false (lodge_range_parse ("10.87.0.1", 33, &r));
}

/* Row W02: never one that is in use. */
static void
test_pick (void)
{
  g_autoptr (GArray) used = g_array_new (FALSE, FALSE, sizeof (LodgeRange));
  LodgeRange taken, picked;
  g_autofree char *text = NULL;

  g_assert_true (lodge_range_pick_free (used, &picked));
  text = lodge_range_address_text (picked.address);
  g_assert_cmpstr (text, ==, "10.87.0.0");

  taken = range ("10.87.1.1", 32);
  g_array_append_val (used, taken);
  g_assert_true (lodge_range_pick_free (used, &picked));
  g_assert_cmpuint (picked.address, ==, range ("10.87.4.0", 22).address);

  taken = range ("10.0.0.0", 8);
  g_array_append_val (used, taken);
  g_assert_false (lodge_range_pick_free (used, &picked));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/subnet-pick/overlap", test_overlap);
  g_test_add_func ("/subnet-pick/parse", test_parse);
  g_test_add_func ("/subnet-pick/pick", test_pick);
  return g_test_run ();
}
