/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "lodge-json.h"

static char *
nest (guint depth)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < depth; i++)
    g_string_append_c (text, '[');
  for (guint i = 0; i < depth; i++)
    g_string_append_c (text, ']');
  return g_string_free (text, FALSE);
}

/* Row N12: json-glib itself crashes on this. */
static void
test_depth (void)
{
  g_autofree char *deep = nest (200000);
  g_autofree char *flat = nest (32);
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) root = NULL;

  g_assert_null (lodge_json_parse (deep, -1, 1 << 20, &error));
  g_assert_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT);
  root = lodge_json_parse (flat, -1, 1 << 20, NULL);
  g_assert_nonnull (root);

  /* It knows comments, and a quote in one begins no string. */
  g_autofree char *hidden = g_strconcat ("/*\"*/", deep, NULL);
  g_assert_null (lodge_json_parse (hidden, -1, 1 << 20, NULL));
}

static void
test_escapes (void)
{
  g_autoptr (JsonObject) object
      = lodge_json_parse_object ("{\"a\":\"\\ud83d\\ude00\\u00e9\\/\\\"\\\\\"}", -1, 1024, NULL);

  g_assert_cmpstr (lodge_json_get_string (object, "a", NULL), ==, "😀é/\"\\");
}

static void
test_refused (void)
{
  static const char *const bad[] = { "",
                                     "{",
                                     "{\"a\":}",
                                     "\xff",
                                     "nul",
                                     "[1,]x",
                                     "{'a':1}",
                                     "[\"\\ud800\"]",
                                     "[\"\\udc00\\ud800\"]",
                                     "[\"\\ud@3d\"]",
                                     "[\"\\x\"]",
                                     "[\"\\u12\"]",
                                     "[\"\\",
                                     "[1] // \"\n" };

  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (lodge_json_parse (bad[i], -1, 1024, &error));
      g_assert_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT);
    }
  g_assert_null (lodge_json_parse ("[1,2,3]", -1, 3, NULL));
  g_assert_null (lodge_json_parse_object ("[]", -1, 1024, NULL));
}

/* A member of another type is as good as none. */
static void
test_types (void)
{
  g_autoptr (JsonObject) object = lodge_json_parse_object (
      "{\"s\":\"x\",\"i\":7,\"b\":true,\"n\":null,\"o\":{},\"a\":[]}", -1, 1024, NULL);

  g_assert_cmpstr (lodge_json_get_string (object, "s", NULL), ==, "x");
  g_assert_null (lodge_json_get_string (object, "i", NULL));
  g_assert_null (lodge_json_get_string (object, "n", NULL));
  g_assert_cmpint (lodge_json_get_int (object, "i", 0), ==, 7);
  g_assert_cmpint (lodge_json_get_int (object, "s", -1), ==, -1);
  g_assert_true (lodge_json_get_bool (object, "b", FALSE));
  g_assert_nonnull (lodge_json_get_object (object, "o"));
  g_assert_null (lodge_json_get_object (object, "a"));
  g_assert_nonnull (lodge_json_get_array (object, "a"));
  g_assert_null (lodge_json_get_string (NULL, "s", NULL));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/json/depth", test_depth);
  g_test_add_func ("/json/escapes", test_escapes);
  g_test_add_func ("/json/refused", test_refused);
  g_test_add_func ("/json/types", test_types);
  return g_test_run ();
}
