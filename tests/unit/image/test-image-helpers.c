/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parts of the image helpers that only look at what they are given; test-hostile.py runs the
 * programs. */
#include <endian.h>
#include <glib.h>
#include <string.h>

#include "lodge-command.h"
#include "lodge-facts.h"
#include "lodge-member.h"
#include "lodge-qcow2.h"
#include "lodge-recipe.h"

/* ---- paths of members ---- */

static void
test_clean_path (void)
{
  static const struct
  {
    const char *raw;
    const char *clean; /* NULL: refused */
  } cases[] = {
    { "a", "a" },       { "./a/b", "a/b" }, { "a//b/./c/", "a/b/c" },
    { ".", "" },        { "./", "" },       { "a..b", "a..b" },
    { "...", "..." },   { " ", " " },       { "--x=y", "--x=y" },
    { "", NULL },       { "/", NULL },      { "/etc", NULL },
    { "..", NULL },     { "a/..", NULL },   { "a/../b", NULL },
    { "./../x", NULL }, { NULL, NULL },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      char path[64];
      LodgeFail fail = { 0 };
      bool ok = lodge_member_clean_path (cases[i].raw, path, sizeof path, &fail);

      g_assert_cmpint (ok, ==, cases[i].clean != NULL);
      if (ok)
        g_assert_cmpstr (path, ==, cases[i].clean);
      else
        g_assert_cmpstr (fail.nick, ==, "ImageInvalid");
    }
}

static void
test_long_path (void)
{
  char path[16];
  LodgeFail fail = { 0 };

  g_assert_true (lodge_member_clean_path ("0123456789/1234", path, sizeof path, &fail));
  g_assert_false (lodge_member_clean_path ("0123456789/12345", path, sizeof path, &fail));
}

/* ---- facts ---- */

static void
test_metadata (void)
{
  static const char text[] = "architecture: \"arm64\"\r\n"
                             "creation_date: 1\n"
                             "properties: {os: Testix, description: \"A \\e[31mred one\"}\n"
                             "templates:\n"
                             "  /etc/hostname:\n"
                             "    when: [create, copy]\n"
                             "    os: not this\n"
                             "release: nor this\n";
  LodgeFacts facts = { 0 };
  LodgeFail fail = { 0 };

  g_assert_true (lodge_facts_take_metadata (&facts, text, sizeof text - 1, &fail));
  g_assert_cmpstr (facts.architecture, ==, "aarch64");
  g_assert_cmpstr (facts.os, ==, "Testix");
  g_assert_cmpstr (facts.description, ==, "A ?[31mred one");
  g_assert_cmpstr (facts.release, ==, "");
}

/* What is no sound document is refused; fields that are not there or of another type are not. */
static void
test_metadata_odd (void)
{
  g_autofree char *huge = g_strnfill (100000, 'x');
  g_autofree char *line = g_strconcat ("architecture: ", huge, NULL);
  g_autofree char *deep = g_strnfill (100000, '[');
  const char *const refused[] = { "a: [",       "a: b: c", "&a [*a]",           "a: &b c\nd: *b\n",
                                  "- {[x]: y}", deep,      "a: b\n---\nc: d\n", "just text",
                                  "\tx",        "a: \x01" };
  static const char *const accepted[] = { "",
                                          "\n\n\n",
                                          "properties:",
                                          "architecture: [x, y]",
                                          "architecture: {a: b}",
                                          "properties: text",
                                          "- architecture",
                                          "properties: {os: [x]}" };
  LodgeFail fail = { 0 };

  for (gsize i = 0; i < G_N_ELEMENTS (refused); i++)
    {
      LodgeFacts facts = { 0 };
      g_assert_false (lodge_facts_take_metadata (&facts, refused[i], strlen (refused[i]), &fail));
      g_assert_cmpstr (fail.nick, ==, "ImageInvalid");
    }
  for (gsize i = 0; i < G_N_ELEMENTS (accepted); i++)
    {
      LodgeFacts facts = { 0 };
      g_assert_true (lodge_facts_take_metadata (&facts, accepted[i], strlen (accepted[i]), &fail));
      g_assert_cmpstr (facts.architecture, ==, "");
    }
  LodgeFacts facts = { 0 };
  g_assert_true (lodge_facts_take_metadata (&facts, line, strlen (line), &fail));
  g_assert_cmpuint (strlen (facts.architecture), ==, sizeof facts.architecture - 1);
}

static void
test_os_release (void)
{
  static const char text[] = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\n"
                             "VERSION_ID=\"12\"";
  LodgeFacts facts = { .os = "from metadata" };

  lodge_facts_take_os_release (&facts, text, sizeof text - 1);
  g_assert_cmpstr (facts.description, ==, "Debian GNU/Linux 12 (bookworm)");
  g_assert_cmpstr (facts.release, ==, "12");
  g_assert_cmpstr (facts.os, ==, "from metadata");
}

static void
test_program (void)
{
  unsigned char elf[64] = { 0x7f, 'E', 'L', 'F', 2, 1, 1 };
  LodgeFacts facts = { 0 };

  lodge_facts_take_program (&facts, elf, 10);
  g_assert_cmpstr (facts.architecture, ==, "");
  elf[18] = 62;
  lodge_facts_take_program (&facts, elf, sizeof elf);
  g_assert_cmpstr (facts.architecture, ==, "x86_64");
}

/* ---- qcow2 ---- */

static void
put_32 (unsigned char *head, gsize offset, guint32 value)
{
  value = htobe32 (value);
  memcpy (head + offset, &value, sizeof value);
}

static void
put_64 (unsigned char *head, gsize offset, guint64 value)
{
  value = htobe64 (value);
  memcpy (head + offset, &value, sizeof value);
}

/* A disk of 16 MiB as qemu-img makes it. */
static void
make_header (unsigned char *head)
{
  memset (head, 0, 512);
  put_32 (head, 0, 0x514649fb);
  put_32 (head, 4, 3);
  put_32 (head, 20, 16);
  put_64 (head, 24, 16 << 20);
  put_32 (head, 36, 1);
  put_64 (head, 40, 3 << 16);
  put_64 (head, 48, 1 << 16);
  put_32 (head, 56, 1);
  put_32 (head, 96, 4);
  put_32 (head, 100, 112);
}

static bool
check (const unsigned char *head, gsize size, char *out_text)
{
  LodgeQcow2 header;
  LodgeFail fail = { 0 };
  bool ok = lodge_qcow2_check (head, size, 4 << 16, 1ull << 40, &header, &fail);

  g_strlcpy (out_text, fail.text, sizeof fail.text);
  g_assert_true (ok || strcmp (fail.nick, "ImageInvalid") == 0);
  return ok;
}

static void
test_qcow2 (void)
{
  static const struct
  {
    gsize offset;
    guint bits;
    guint64 value;
    const char *text; /* NULL: good */
  } cases[] = {
    { 0, 32, 0x514649fc, "not a qcow2" },
    { 4, 32, 2, NULL },
    { 4, 32, 1, "version" },
    { 8, 64, 512, "backing" },
    { 16, 32, 11, "backing" },
    { 20, 32, 8, "cluster size" },
    { 20, 32, 22, "cluster size" },
    { 24, 64, 1ull << 41, "virtual size" },
    { 24, 64, 8ull << 30, "cluster table" },
    { 32, 32, 2, "encrypted" },
    { 36, 32, 8192, NULL },
    { 36, 32, 8193, "cluster table" },
    { 40, 64, (3 << 16) + 512, "cluster table" },
    { 40, 64, 0xffffffffffff0000, "cluster table" },
    { 48, 64, 5 << 16, "reference counts" },
    { 56, 32, 4, "reference counts" },
    { 60, 32, 5000, "snapshots" },
    { 72, 64, 1, NULL },
    { 72, 64, 4, "another file" },
    { 72, 64, 8 | 16, NULL },
    { 72, 64, 32, "not known" },
    { 96, 32, 7, "malformed" },
    { 100, 32, 103, "malformed" },
    { 112, 32, 0x44415441, "another file" },
    { 112, 32, 0x0537be77, "encrypted" },
    { 112, 32, 0x6803f857, NULL },
  };
  char text[512];

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      unsigned char head[512];
      make_header (head);
      if (cases[i].bits == 32)
        put_32 (head, cases[i].offset, (guint32) cases[i].value);
      else
        put_64 (head, cases[i].offset, cases[i].value);
      bool ok = check (head, sizeof head, text);
      g_test_message ("%" G_GSIZE_FORMAT ": %s", i, text);
      g_assert_cmpint (ok, ==, cases[i].text == NULL);
      if (!ok)
        g_assert_nonnull (strstr (text, cases[i].text));
    }
}

/* Whatever the bytes are, the check ends and reads nothing beyond them. */
static void
test_qcow2_random (void)
{
  char text[512];

  for (guint i = 0; i < 20000; i++)
    {
      gsize size = (gsize) g_test_rand_int_range (0, 513);
      g_autofree unsigned char *head = g_malloc (MAX (size, 1));
      unsigned char good[512];

      make_header (good);
      memcpy (head, good, size);
      for (guint k = 0; k < 6 && size > 4; k++)
        head[g_test_rand_int_range (4, (gint32) size)] = (unsigned char) g_test_rand_int ();
      check (head, size, text);
    }
}

/* ---- recipes and commands ---- */

static void
test_recipes (void)
{
  const LodgeRecipe *recipe = lodge_recipe_find ("debian", "bookworm");
  g_autofree char *container = lodge_recipe_packages (recipe, false, NULL, "amd64");
  g_autofree char *vm = lodge_recipe_packages (recipe, true, NULL, "amd64");

  g_assert_cmpstr (recipe->release, ==, "12");
  g_assert_null (lodge_recipe_find ("debian", "../bookworm"));
  g_assert_null (strstr (container, "linux-image"));
  g_assert_nonnull (strstr (vm, "linux-image-cloud-amd64"));
  g_assert_nonnull (strstr (vm, "qemu-guest-agent"));

  g_autofree char *cloud = lodge_recipe_packages (recipe, false, "cloud", "amd64");
  g_autofree char *minimal = lodge_recipe_packages (recipe, false, "minimal", "amd64");
  g_assert_true (g_str_has_prefix (cloud, container));
  g_assert_nonnull (strstr (cloud, "cloud-init"));
  g_assert_nonnull (strstr (minimal, "systemd"));
  g_assert_cmpuint (strlen (minimal), <, strlen (container));
  g_assert_true (lodge_recipe_has_variant (NULL));
  g_assert_true (lodge_recipe_has_variant ("minimal"));
  g_assert_false (lodge_recipe_has_variant ("huge"));
}

static void
test_commands (void)
{
  LodgeFail fail = { 0 };
  static const char *const environment[] = { "sh", "-c", "echo $LC_ALL; echo $SECRET >&2", NULL };

  g_setenv ("SECRET", "secret", TRUE);
  g_autofree char *text = lodge_command_capture (environment, &fail);
  g_assert_cmpstr (text, ==, "C.UTF-8\n");
  g_assert_true (lodge_command_call (&fail, "true", NULL));
  g_assert_false (lodge_command_call (&fail, "sh", "-c", "echo why; exit 1", NULL));
  g_assert_cmpstr (fail.nick, ==, "HelperFailed");
  g_assert_nonnull (strstr (fail.text, "why"));
  g_assert_false (
      lodge_command_call (&fail, "sh", "-c", "echo write: No space left on device; exit 1", NULL));
  g_assert_cmpstr (fail.nick, ==, "NoSpace");
  g_assert_false (lodge_command_call (&fail, "no-such-program-anywhere", NULL));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/member/clean-path", test_clean_path);
  g_test_add_func ("/member/long-path", test_long_path);
  g_test_add_func ("/facts/metadata", test_metadata);
  g_test_add_func ("/facts/metadata-odd", test_metadata_odd);
  g_test_add_func ("/facts/os-release", test_os_release);
  g_test_add_func ("/facts/program", test_program);
  g_test_add_func ("/qcow2/header", test_qcow2);
  g_test_add_func ("/qcow2/random", test_qcow2_random);
  g_test_add_func ("/recipe/packages", test_recipes);
  g_test_add_func ("/command/run", test_commands);
  return g_test_run ();
}
