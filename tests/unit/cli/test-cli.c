/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command table, words, options, output: what needs no service. */
#include <locale.h>
#include <string.h>

#include "lodge-cmd.h"
#include "lodge-file-remote.h"
#include "lodge-keys.h"
#include "lodge-output.h"
#include "lodge-progress.h"
#include "lodge-words.h"

/* The table is data: what would be a typing error in code is found here. */
static void
test_table (void)
{
  g_autoptr (GHashTable) names = g_hash_table_new (g_str_hash, g_str_equal);

  for (gsize i = 0; i < lodge_cmd_table_size; i++)
    {
      const LodgeCmd *cmd = &lodge_cmd_table[i];
      const LodgeOptionSpec *tables[4];
      g_autoptr (GHashTable) options = g_hash_table_new (g_str_hash, g_str_equal);
      char shorts[64] = "";

      g_assert_nonnull (cmd->run);
      g_assert_nonnull (cmd->summary);
      g_assert_false (g_str_has_suffix (cmd->summary, "."));
      g_assert_true (g_hash_table_add (names, (gpointer) cmd->name));
      for (const char *const *name = cmd->also; name != NULL && *name != NULL; name++)
        g_assert_true (g_hash_table_add (names, (gpointer) *name));
      lodge_cmd_option_tables (cmd, tables);
      for (guint t = 0; tables[t] != NULL; t++)
        for (const LodgeOptionSpec *spec = tables[t]; spec->name != NULL; spec++)
          {
            g_assert_true (g_hash_table_add (options, (gpointer) spec->name));
            g_assert_nonnull (spec->help);
            g_assert_true ((spec->type == LODGE_OPTION_FLAG) == (spec->metavar == NULL));
            if (spec->short_name == '\0')
              continue;
            g_assert_null (strchr (shorts, spec->short_name));
            shorts[strlen (shorts)] = spec->short_name;
          }
    }
  for (gsize i = 0; i < lodge_cmd_aliases_size; i++)
    {
      g_assert_true (g_hash_table_add (names, (gpointer) lodge_cmd_aliases[i].name));
      g_assert_nonnull (lodge_cmd_by_name (lodge_cmd_aliases[i].command));
    }
}

static void
test_find (void)
{
  static const struct
  {
    const char *words[4];
    const char *command;
    guint n_used;
  } rows[] = {
    { { "list" }, "list", 1 },
    { { "image", "list" }, "image-list", 2 },
    { { "image-list" }, "image-list", 1 },
    { { "images" }, "image-list", 1 },
    { { "destroy", "web" }, "stop", 1 },
    { { "file", "rm", "web/x" }, "file-remove", 2 },
    { { "pull", "web/x" }, "file-pull", 1 },
    { { "rm", "list" }, "delete", 1 },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autoptr (GError) error = NULL;
      guint n_used = 0;
      const LodgeCmd *cmd = lodge_cmd_find (rows[i].words, &n_used, NULL, &error);

      g_assert_no_error (error);
      g_assert_cmpstr (cmd->name, ==, rows[i].command);
      g_assert_cmpuint (n_used, ==, rows[i].n_used);
    }
}

static char *
join_words (const char *line)
{
  g_autoptr (GPtrArray) commands = lodge_words_split (line, NULL);
  g_autoptr (GString) out = g_string_new (NULL);

  if (commands == NULL)
    return g_strdup ("error");
  for (guint i = 0; i < commands->len; i++)
    {
      g_autofree char *words = g_strjoinv ("|", commands->pdata[i]);
      g_string_append_printf (out, "%s%s", i > 0 ? ";" : "", words);
    }
  return g_string_free (g_steal_pointer (&out), FALSE);
}

static void
test_words (void)
{
  static const char *const rows[][2] = {
    { "", "" },
    { "  list  web ", "list|web" },
    { "a 'b c' \"d 'e\" f\\ g", "a|b c|d 'e|f g" },
    { "a;b ; c;;", "a;b;c" },
    { "a '' \"\"", "a||" },
    { "a # b", "a" },
    { "a#b", "a#b" },
    { "# only\nb", "b" },
    { "a 'b", "error" },
    { "a \"b\\\"c\"", "a|b\"c" },
    { "x\\", "x\\" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autofree char *got = join_words (rows[i][0]);
      g_assert_cmpstr (got, ==, rows[i][1]);
    }
}

static const LodgeOptionSpec options[] = {
  { "force", 'F', LODGE_OPTION_FLAG, NULL, "", 0 },
  { "config", 'c', LODGE_OPTION_STRINGS, "X", "", 0 },
  { "timeout", 't', LODGE_OPTION_SECONDS, "X", "", 0 },
  { NULL },
};

static LodgeArgs *
parse (gboolean verbatim, const char *line, GError **error)
{
  static const LodgeArgSpec plain[] = { { "A", 0, 0 }, { "B", LODGE_ARG_MANY, 0 }, { NULL } };
  static const LodgeArgSpec strict[]
      = { { "A", 0, 0 }, { "B", LODGE_ARG_MANY | LODGE_ARG_VERBATIM, 0 }, { NULL } };
  const LodgeOptionSpec *tables[] = { options, NULL };
  g_auto (GStrv) words = g_strsplit (line, " ", -1);

  return lodge_args_parse ("usage: x", verbatim ? strict : plain, tables,
                           (const char *const *) words, error);
}

static void
test_args (void)
{
  g_autoptr (LodgeArgs) args = parse (FALSE, "a -Fc1 b --config=2 -c=3 -t5m -- -x", NULL);
  g_assert_nonnull (args);
  g_autofree const char **configs = lodge_args_strings (args, "config");

  g_assert_true (lodge_args_flag (args, "force"));
  g_assert_cmpstr (configs[0], ==, "1");
  g_assert_cmpstr (configs[1], ==, "2");
  g_assert_cmpstr (configs[2], ==, "3");
  g_assert_cmpuint (lodge_args_seconds (args, "timeout", 0), ==, 300);
  g_assert_cmpuint (lodge_args_n_words (args), ==, 3);
  g_assert_cmpstr (lodge_args_word (args, 2), ==, "-x");

  g_autoptr (LodgeArgs) exec = parse (TRUE, "a -F ls -l --force", NULL);
  g_assert_nonnull (exec);
  g_assert_cmpuint (lodge_args_n_words (exec), ==, 4);
  g_assert_cmpstr (lodge_args_word (exec, 2), ==, "-l");
}

static void
test_bad_args (void)
{
  static const char *const rows[]
      = { "a", "a b --frob", "a b -x", "a b -c", "a b --force=1", "a b -t x", "a b -t -5" };

  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autoptr (GError) error = NULL;
      g_assert_null (parse (FALSE, rows[i], &error));
      g_assert_cmpint (lodge_error_exit_code (error), ==, 2);
    }
}

static void
test_data (void)
{
  g_autoptr (GVariant) value = g_variant_ref_sink (g_variant_new_parsed (
      "[{'s': <'a\"\\\\\\n\\u001b\\u202e'>, 'n': <uint64 18446744073709551615>, 'd': <0.5>},"
      " {'e': <@as []>, 'l': <['x', 'y']>}]"));
  g_autoptr (GString) json = g_string_new (NULL);
  g_autoptr (GString) yaml = g_string_new (NULL);

  lodge_output_append_json (json, value, 0);
  g_assert_cmpstr (json->str, ==,
                   "[\n  {\n    \"s\": \"a\\\"\\\\\\n\\u001b\\u202e\",\n"
                   "    \"n\": 18446744073709551615,\n    \"d\": 0.5\n  },\n"
                   "  {\n    \"e\": [],\n    \"l\": [\n      \"x\",\n      \"y\"\n    ]\n  }\n]");
  lodge_output_append_yaml (yaml, value, 0);
  g_assert_cmpstr (yaml->str, ==,
                   "- \"s\": \"a\\\"\\\\\\n\\u001b\\u202e\"\n  \"n\": 18446744073709551615\n"
                   "  \"d\": 0.5\n- \"e\": []\n  \"l\":\n    - \"x\"\n    - \"y\"");
}

static void
test_json_reader (void)
{
  static const char *const bad[] = { "",
                                     "{",
                                     "[1,]",
                                     "{\"a\"}",
                                     "\"\\u12\"",
                                     "\"\\ud800\"",
                                     "nul",
                                     "[1] 2",
                                     "\"\x01\"",
                                     "+1",
                                     "[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]" };
  g_autoptr (GVariant) good
      = lodge_data_from_json (" [ {\"a\": \"\\ud83e\\udda6\", \"b\": [true, null, -1.5e1]} ] ");

  g_assert_nonnull (good);
  g_autofree char *text = g_variant_print (good, FALSE);
  g_assert_cmpstr (text, ==, "[<{'a': <'🦦'>, 'b': <[<true>, <''>, <-15.0>]>}>]");
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    g_assert_null (lodge_data_from_json (bad[i]));
}

static void
test_addresses (void)
{
  static const char *const bad[] = { "web", "/etc", ":/etc", "web:etc", "", "web:" };
  g_auto (LodgeFileRemote) one = { 0 };
  g_auto (LodgeFileRemote) two = { 0 };

  g_assert_true (lodge_file_remote_parse (&one, "web/etc/motd", NULL));
  g_assert_cmpstr (one.instance, ==, "web");
  g_assert_cmpstr (one.path, ==, "/etc/motd");
  g_assert_true (lodge_file_remote_parse (&two, "web:/srv//", NULL));
  g_assert_cmpstr (two.path, ==, "/srv");
  g_assert_true (two.ends_in_slash);
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_auto (LodgeFileRemote) remote = { 0 };
      g_assert_false (lodge_file_remote_parse (&remote, bad[i], NULL));
    }
  g_assert_false (lodge_file_name_check ("..", NULL));
  g_assert_false (lodge_file_name_check ("a/b", NULL));
  g_assert_true (lodge_file_name_check ("..a", NULL));
}

/* What is not known is left out, and what is not over yet has a second left. */
static void
test_progress_amount (void)
{
  static const struct
  {
    double fraction;
    guint64 done, total, rate;
    const char *text;
  } rows[] = {
    { -1, 0, 0, 0, "" },
    { 0.5, 0, 0, 0, "50 %" },
    { -1, 1 << 20, 0, 1 << 20, "1MiB, 1MiB/s" },
    { 0.25, 1 << 20, 4 << 20, 1 << 20, "25 %, 1MiB of 4MiB, 1MiB/s, 3s left" },
    { -1, 1, 2, 1 << 20, "1B of 2B, 1MiB/s, 1s left" },
    { 1, 1 << 20, 1 << 20, 1 << 20, "100 %, 1MiB of 1MiB, 1MiB/s" },
    { -1, 1 << 20, 1 << 30, 1 << 20, "1MiB of 1GiB, 1MiB/s, 17m 3s left" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autofree char *text
          = lodge_progress_amount (rows[i].fraction, rows[i].done, rows[i].total, rows[i].rate);
      g_assert_cmpstr (text, ==, rows[i].text);
    }
}

int
main (int argc, char **argv)
{
  setlocale (LC_ALL, "");
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cli/table", test_table);
  g_test_add_func ("/cli/find", test_find);
  g_test_add_func ("/cli/words", test_words);
  g_test_add_func ("/cli/args", test_args);
  g_test_add_func ("/cli/bad-args", test_bad_args);
  g_test_add_func ("/cli/data", test_data);
  g_test_add_func ("/cli/json-reader", test_json_reader);
  g_test_add_func ("/cli/addresses", test_addresses);
  g_test_add_func ("/cli/progress-amount", test_progress_amount);
  return g_test_run ();
}
