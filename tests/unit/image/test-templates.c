/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Templates as public images have them, and as nobody should. */
#include <glib/gstdio.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lodge-access.h"
#include "lodge-root-file.h"
#include "lodge-template.h"
#include "lodge-templates.h"

typedef struct
{
  LodgeTemplateScope scope;
} Fixture;

static GHashTable *
make_table (const char *first, ...)
{
  GHashTable *table = g_hash_table_new (g_str_hash, g_str_equal);
  va_list args;

  va_start (args, first);
  for (const char *key = first; key != NULL; key = va_arg (args, const char *))
    g_hash_table_insert (table, (gpointer) key, va_arg (args, char *));
  va_end (args);
  return table;
}

static void
set_up (Fixture *self, gconstpointer data)
{
  self->scope.values = make_table ("instance.name", "web", "instance.type", "container", "trigger",
                                   "create", "path", "/etc/x", NULL);
  self->scope.config = make_table ("user.user-data", "#!/bin/sh\n", "user.x", "<&>", NULL);
  self->scope.properties = make_table ("default", "#cloud-config\n{}", NULL);
}

static void
tear_down (Fixture *self, gconstpointer data)
{
  g_hash_table_unref (self->scope.values);
  g_hash_table_unref (self->scope.config);
  g_hash_table_unref (self->scope.properties);
}

static void
check (Fixture *self, const char *text, const char *expected)
{
  g_autoptr (GString) output = g_string_new (NULL);
  LodgeFail fail = { 0 };

  if (!lodge_template_render (text, &self->scope, output, &fail))
    g_error ("%s: %s", text, fail.text);
  g_assert_cmpstr (output->str, ==, expected);
}

/* What distrobuilder and the Ubuntu images ship. */
static void
test_public (Fixture *self, gconstpointer data)
{
  check (self, "{{ container.name }}\n", "web\n");
  check (self, "127.0.1.1\t{{ instance.name }}\n{# no #}\n", "127.0.1.1\tweb\n\n");
  check (self, "instance-id: {{ container.name }}\n{{ config_get(\"user.meta-data\", \"\") }}\n",
         "instance-id: web\n\n");
  check (self, "{{ config_get(\"user.user-data\", properties.default) }}\n", "#!/bin/sh\n\n");
  check (self, "{{ config_get('user.vendor-data', properties.default) }}", "#cloud-config\n{}");
  check (self,
         "{%- if config_get(\"cloud-init.user-data\", properties.default) == properties.default -%}"
         "\n{{ config_get(\"user.user-data\", properties.default) }}\n{%- else -%}\n"
         "{{- config_get(\"cloud-init.user-data\", properties.default) }}\n{%- endif %}\n",
         "#!/bin/sh\n\n");
  check (self,
         "{% if config_get(\"user.network-config\", \"\") == \"\" %}version: 1\n"
         "name: {% if instance.type == \"virtual-machine\" %}enp5s0{% else %}eth0{% endif %}\n"
         "type: {% if config_get(\"user.network_mode\", \"\") == \"link-local\" %}manual"
         "{% elif trigger == 'create' %}dhcp{% else %}odd{% endif %}{% else %}own{% endif %}\n",
         "version: 1\nname: eth0\ntype: dhcp\n");
  check (self, "{% autoescape off %}{{ config_get(\"user.x\") }}{% endautoescape %}", "<&>");
}

static void
test_expressions (Fixture *self, gconstpointer data)
{
  check (self, "{% if not config_get('no') and (trigger != 'copy' or false) %}a{% endif %}", "a");
  check (self, "{% if !trigger || nothing.here %}a{% else %}b{% endif %}", "b");
  check (self, "{{ nothing|default:'x' }}{{ instance.name | upper }}{{ ' y '|trim|safe }}",
         "xWEBy");
  check (self, "{{ \"%}\" }}{{ \"a\\\"b\" }}{{ '}}' }} { } {x", "%}a\"b}} { } {x");
  check (self, "{% if false %}{{ !!! }}{% if )) %}{% endif %}{% else %}b{% endif %}", "b");
}

/* Row C01: each is refused, nothing is read, and it ends at once. */
static void
test_hostile (Fixture *self, gconstpointer data)
{
  g_autofree char *deep = g_strnfill (5000, '(');
  g_autofree char *deep_tag = g_strdup_printf ("{{ %s", deep);
  g_autofree char *closed = g_strdup_printf ("{{ %s }}", deep);
  g_autoptr (GString) ifs = g_string_new (NULL);
  g_autoptr (GString) many = g_string_new ("{{ ''");
  g_autofree char *big = g_strnfill (16384, 'x');
  g_autoptr (GString) wide = g_string_new (NULL);
  const char *const cases[] = { "{% include \"/etc/shadow\" %}",
                                "{% ssi \"/etc/shadow\" %}",
                                "{% extends \"/etc/shadow\" %}",
                                "{% import \"/etc/shadow\" x %}",
                                "{% exec 'id' %}",
                                "{% for x in config %}{{ x }}{% endfor %}",
                                "{{ instance.name",
                                "{{ instance.name %}",
                                "{% if true %}",
                                "{% endif %}",
                                "{% else %}",
                                "{% elif true %}",
                                "{% if true %}{% else %}{% else %}{% endif %}",
                                "{{ }}",
                                "{{ 'a }}",
                                "{{ a b }}",
                                "{{ a == }}",
                                "{{ open('/etc/shadow') }}",
                                "{{ a|readfile }}",
                                "{% %}",
                                "{% endif x %}",
                                "{{ config_get }}",
                                "{{ config_get(,",
                                "{{ config_get(, }}",
                                "{{ config_get('a','b','c') }}",
                                deep_tag,
                                closed,
                                ifs->str,
                                many->str,
                                wide->str };

  for (guint i = 0; i < 100; i++)
    g_string_append (ifs, "{% if true %}");
  for (guint i = 0; i < 20000; i++)
    g_string_append (many, " or ''");
  g_string_append (many, " }}");
  g_hash_table_insert (self->scope.config, (gpointer) "user.big", big);
  for (guint i = 0; i < 100; i++)
    g_string_append (wide, "{{ config_get('user.big') }}");
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GString) output = g_string_new (NULL);
      LodgeFail fail = { 0 };
      const char *text = i + 3 == G_N_ELEMENTS (cases)   ? ifs->str
                         : i + 2 == G_N_ELEMENTS (cases) ? many->str
                         : i + 1 == G_N_ELEMENTS (cases) ? wide->str
                                                         : cases[i];

      if (lodge_template_render (text, &self->scope, output, &fail))
        g_error ("it was taken: %.80s", text);
      g_assert_cmpstr (fail.nick, ==, "ImageInvalid");
      g_assert_true (g_str_has_prefix (fail.text, "line "));
      g_assert_cmpuint (output->len, <=, LODGE_TEMPLATE_OUTPUT_MAX);
    }
}

/* Any bytes at all end, and nothing else is promised. */
static void
test_random (Fixture *self, gconstpointer data)
{
  static const char *const parts[]
      = { "{{",    "}}", "{%", "%}", "{#",  "#}",       "-",          "if ", "else",
          "endif", "'",  "\"", "\\", "(",   ")",        "config_get", ",",   "|",
          "==",    "!",  " ",  "x",  "or ", "default:", "\n" };

  for (guint round = 0; round < 20000; round++)
    {
      g_autoptr (GString) text = g_string_new (NULL);
      g_autoptr (GString) output = g_string_new (NULL);
      LodgeFail fail = { 0 };
      gint n = g_test_rand_int_range (1, 24);

      for (gint i = 0; i < n; i++)
        g_string_append (text, parts[g_test_rand_int_range (0, G_N_ELEMENTS (parts))]);
      lodge_template_render (text->str, &self->scope, output, &fail);
    }
}

static void
test_rows (void)
{
  static const char text[] = "templates:\n"
                             "  /etc/hostname:\n"
                             "    when: [create, rename, party]\n"
                             "    template: hostname.tpl\n"
                             "    properties: {default: a}\n"
                             "  /etc/x:\n"
                             "    when: start\n"
                             "    create_only: true\n"
                             "    mode: '0600'\n"
                             "    uid: -1\n"
                             "    gid: 70000\n";
  LodgeFail fail = { 0 };
  g_autoptr (GPtrArray) rows = lodge_templates_parse (text, sizeof text - 1, &fail);

  g_assert_nonnull (rows);
  g_assert_cmpuint (rows->len, ==, 2);
  const LodgeTemplateEntry *first = rows->pdata[0], *second = rows->pdata[1];
  g_assert_cmpstr (first->path, ==, "/etc/hostname");
  g_assert_cmpuint (first->when, ==, LODGE_TEMPLATE_CREATE | LODGE_TEMPLATE_RENAME);
  g_assert_cmpstr (first->name, ==, "hostname.tpl");
  g_assert_cmpstr (g_hash_table_lookup (first->properties, "default"), ==, "a");
  g_assert_cmpuint (second->when, ==, LODGE_TEMPLATE_START);
  g_assert_true (second->create_only);
  g_assert_cmpint (second->mode, ==, 0600);
  g_assert_cmpint (second->uid, ==, -1);
  g_assert_cmpint (second->gid, ==, -1);
}

/* ---- access ---- */

static void
test_access (void)
{
  const char *keys[] = { "ssh-ed25519 AAAA me@\"x\\\"", "ssh-rsa AAAA b", NULL };
  const LodgeAccess access
      = { .ssh_keys = (char **) keys, .password_hash = "$6$a$b", .script = "#!/bin/sh\ntrue\n" };
  g_autofree char *shadow = lodge_access_edit_shadow (&access, "x:*:1:\nroot:*:2:0:\nroot:y:3:\n");
  g_autofree char *added = lodge_access_add_keys (&access, "old\nssh-rsa AAAA b");
  g_autofree char *data = lodge_access_to_vendor_data (&access, "#cloud-config\nx: y\n");

  g_assert_cmpstr (shadow, ==, "x:*:1:\nroot:$6$a$b:2:0:\nroot:y:3:\n");
  g_assert_null (lodge_access_edit_shadow (&access, "rooty:*:1\nroot\n"));
  g_assert_null (lodge_access_edit_shadow (&access, ""));
  g_assert_cmpstr (added, ==, "old\nssh-rsa AAAA b\nssh-ed25519 AAAA me@\"x\\\"\n");
  g_assert_true (g_str_has_prefix (data, "Content-Type: multipart/mixed;"));
  g_assert_nonnull (strstr (data, "  - \"ssh-ed25519 AAAA me@\\\"x\\\\\\\"\"\n"));
  g_assert_nonnull (strstr (data, "\n    - 'root:$6$a$b'\n"));
  g_assert_nonnull (strstr (data, "\n\n#!/bin/sh\ntrue\n"));
  g_assert_nonnull (strstr (data, "\n\n#cloud-config\nx: y\n"));
}

/* ---- files ---- */

typedef struct
{
  char *dir;
  int root;
} Tree;

static void
tree_set_up (Tree *self, gconstpointer data)
{
  self->dir = g_dir_make_tmp ("lodge-root-XXXXXX", NULL);
  g_autofree char *root = g_build_filename (self->dir, "root", NULL);
  g_autofree char *outside = g_build_filename (self->dir, "outside", NULL);

  g_assert_cmpint (g_mkdir (root, 0755), ==, 0);
  g_assert_cmpint (g_mkdir (outside, 0755), ==, 0);
  self->root = open (root, O_PATH | O_DIRECTORY | O_CLOEXEC);
  g_assert_cmpint (self->root, >=, 0);
}

static void
tree_tear_down (Tree *self, gconstpointer data)
{
  const char *argv[] = { "rm", "-rf", self->dir, NULL };

  g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL,
                NULL);
  close (self->root);
  g_free (self->dir);
}

static bool
put (Tree *self, const char *path, const char *text, bool keep)
{
  const LodgeRootFileOwner owner = { 0640, getuid (), getgid () };
  LodgeFail fail = { 0 };

  return lodge_root_file_write (self->root, path, text, strlen (text), &owner, keep, &fail);
}

static void
assert_contents (Tree *self, const char *path, const char *expected)
{
  g_autofree char *full = g_build_filename (self->dir, "root", path, NULL);
  g_autofree char *text = NULL;

  g_assert_true (g_file_get_contents (full, &text, NULL, NULL));
  g_assert_cmpstr (text, ==, expected);
}

static void
test_files (Tree *self, gconstpointer data)
{
  struct stat st;

  g_assert_true (put (self, "/a/b/c", "one", false));
  assert_contents (self, "a/b/c", "one");
  g_assert_true (put (self, "/a/b/c", "two", true));
  assert_contents (self, "a/b/c", "one");
  g_assert_true (put (self, "/a/b/c", "two", false));
  assert_contents (self, "a/b/c", "two");
  g_assert_cmpint (fstatat (self->root, "a/b/c", &st, 0), ==, 0);
  g_assert_cmpuint (st.st_mode & 07777, ==, 0640);
  g_assert_false (put (self, "/a/b", "x", false));
  g_assert_false (put (self, "/a/b/c/d", "x", false));
  g_assert_false (put (self, "a", "x", false));
  g_assert_false (put (self, "/", "x", false));
  g_assert_false (put (self, "/a//b", "x", false));
  g_assert_false (put (self, "/a/../b", "x", false));
}

/* Links lead to where they would lead in the system itself, or nowhere. */
static void
test_links (Tree *self, gconstpointer data)
{
  g_autofree char *outside = g_build_filename (self->dir, "outside", NULL);
  g_autofree char *victim = g_build_filename (outside, "victim", NULL);
  g_autoptr (GDir) dir = NULL;

  g_assert_true (put (self, "/real/file", "x", false));
  g_assert_cmpint (symlinkat ("/real", self->root, "absolute"), ==, 0);
  g_assert_cmpint (symlinkat (outside, self->root, "out"), ==, 0);
  g_assert_cmpint (symlinkat ("../../outside", self->root, "up"), ==, 0);
  g_assert_cmpint (symlinkat (victim, self->root, "last"), ==, 0);
  g_assert_cmpint (symlinkat ("/proc/self/cwd", self->root, "magic"), ==, 0);
  g_assert_cmpint (symlinkat ("loop", self->root, "loop"), ==, 0);
  g_assert_true (put (self, "/absolute/file", "through", false));
  assert_contents (self, "real/file", "through");
  g_assert_false (put (self, "/out/victim", "x", false));
  g_assert_false (put (self, "/up/victim", "x", false));
  g_assert_false (put (self, "/magic/victim", "x", false));
  g_assert_false (put (self, "/loop/victim", "x", false));
  g_assert_true (put (self, "/last", "replaced", false));
  assert_contents (self, "last", "replaced");
  dir = g_dir_open (outside, 0, NULL);
  g_assert_null (g_dir_read_name (dir));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name) g_test_add ("/templates/" #name, Fixture, NULL, set_up, test_##name, tear_down)
  ADD (public);
  ADD (expressions);
  ADD (hostile);
  ADD (random);
  g_test_add_func ("/templates/rows", test_rows);
  g_test_add_func ("/access/texts", test_access);
  g_test_add ("/root-file/files", Tree, NULL, tree_set_up, test_files, tree_tear_down);
  g_test_add ("/root-file/links", Tree, NULL, tree_set_up, test_links, tree_tear_down);
  return g_test_run ();
}
