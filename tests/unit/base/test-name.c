/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "lodge-name.h"
#include "lodge/lodge-error.h"

/* Row S01 of the hostile cases; libvirt itself takes all of these. */
static void
test_bad_names (void)
{
  static const char *const bad[]
      = { "",  ".",    "..",   "-c",  "--help", "a b", "a,b", "a'b",     "a<b", "a\nb",
          "A", "web-", "1web", "wëb", "a/b",    "a.b", "a_b", "web\x1b", "%s%n" };
  g_autofree char *long_name = g_strnfill (64, 'a');

  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_false (lodge_name_validate (bad[i], &error));
      g_assert_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_NAME);
      /* What is shown cannot move a terminal's cursor. */
      g_assert_null (strchr (error->message, '\n'));
      g_assert_null (strchr (error->message, '\x1b'));
    }
  g_assert_false (lodge_name_validate (long_name, NULL));
  g_assert_false (lodge_name_validate (NULL, NULL));
}

static void
test_good_names (void)
{
  g_autofree char *longest = g_strnfill (63, 'a');

  g_assert_true (lodge_name_validate ("a", NULL));
  g_assert_true (lodge_name_validate ("web-1", NULL));
  g_assert_true (lodge_name_validate (longest, NULL));
  for (guint i = 0; i < 100; i++)
    {
      g_autofree char *made_up = lodge_name_generate ();

      g_assert_true (lodge_name_validate (made_up, NULL));
    }
}

static void
test_aliases (void)
{
  g_assert_true (lodge_alias_validate ("debian/12", NULL));
  g_assert_true (lodge_alias_validate ("build:debian/12", NULL));
  g_assert_false (lodge_alias_validate ("../../etc", NULL));
  g_assert_false (lodge_alias_validate ("/etc", NULL));
  g_assert_false (lodge_alias_validate ("a//b", NULL));
  g_assert_false (lodge_alias_validate ("a b", NULL));
  g_assert_false (lodge_alias_validate ("-a", NULL));
}

/* Row N11. */
static void
test_fingerprints (void)
{
  g_autofree char *good = g_strnfill (64, 'f');
  g_autofree char *upper = g_strnfill (64, 'F');
  g_autofree char *shorter = g_strnfill (63, 'f');

  g_assert_true (lodge_fingerprint_is_valid (good));
  g_assert_false (lodge_fingerprint_is_valid (upper));
  g_assert_false (lodge_fingerprint_is_valid (shorter));
  g_assert_false (lodge_fingerprint_is_valid ("../x"));
  g_assert_false (lodge_fingerprint_is_valid (NULL));
}

static void
test_uuids (void)
{
  g_assert_true (lodge_uuid_is_valid ("0b4c2f64-6f1d-4c6c-9d2c-9b4b8d1f3a10"));
  g_assert_false (lodge_uuid_is_valid ("0B4C2F64-6F1D-4C6C-9D2C-9B4B8D1F3A10"));
  g_assert_false (lodge_uuid_is_valid ("../../../etc"));
  g_assert_false (lodge_uuid_is_valid (""));
}

/* Row S06. */
static void
test_escape (void)
{
  g_autofree char *escaped = lodge_text_escape ("a\x1b]52;c;\a\n\xe2\x80\xae\xff é");

  g_assert_cmpstr (escaped, ==, "a\\x1b]52;c;\\x07\\x0a\\u202e\\xff é");
}

static void
test_nearest (void)
{
  static const char *const words[] = { "limits.memory", "limits.cpu", "limits.processes", NULL };

  g_assert_cmpstr (lodge_nearest ("limits.memroy", words), ==, "limits.memory");
  g_assert_cmpstr (lodge_nearest ("limit.cpu", words), ==, "limits.cpu");
  g_assert_null (lodge_nearest ("boot.autostart", words));
  g_assert_null (lodge_nearest (NULL, words));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/name/bad", test_bad_names);
  g_test_add_func ("/name/good", test_good_names);
  g_test_add_func ("/name/aliases", test_aliases);
  g_test_add_func ("/name/fingerprints", test_fingerprints);
  g_test_add_func ("/name/uuids", test_uuids);
  g_test_add_func ("/name/escape", test_escape);
  g_test_add_func ("/name/nearest", test_nearest);
  return g_test_run ();
}
