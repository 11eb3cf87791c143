/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `lodge complete -- WORD…`: what the last word may become, one candidate a line, with a tab and a
 * description where there is one.  A line ":files" asks the shell to complete file names, and
 * ":nospace" not to put a space behind the word.  Says nothing when something fails.
 */
#include <stdio.h>
#include <string.h>

#include "lodge-cmd.h"
#include "lodge-file-remote.h"
#include "lodge-i18n.h"
#include "lodge-keys.h"
#include "lodge-name.h"
#include "lodge-output.h"
#include "lodge-rows.h"

typedef struct
{
  LodgeCli *cli;
  const char *word;   /* that is completed */
  const char *prefix; /* goes before each candidate: "--kind=" */
} Completion;

/* A foreign domain or a guest may have chosen the name, and the shell is going to put it into a
 * command line: nothing but what needs no quotes. */
static gboolean
is_plain_word (const char *word)
{
  for (; *word != '\0'; word++)
    if (!g_ascii_isalnum (*word) && strchr ("-_./:+=@,%", *word) == NULL)
      return FALSE;
  return TRUE;
}

static void
offer (const Completion *completion, const char *candidate, const char *description)
{
  g_autofree char *safe = lodge_text_escape (description != NULL ? description : "");

  if (!g_str_has_prefix (candidate, completion->word) || !is_plain_word (candidate))
    return;
  printf ("%s%s", completion->prefix, candidate);
  if (safe[0] != '\0')
    printf ("\t%s", safe);
  putchar ('\n');
}

static void
offer_words (const Completion *completion, const char *const *words)
{
  for (; *words != NULL; words++)
    offer (completion, *words, NULL);
}

/* Names of instances; @state: only those, or NULL; @suffix: "/" for file addresses. */
static void
offer_instances (const Completion *completion, const char *state, const char *suffix)
{
  g_autoptr (GPtrArray) rows = lodge_rows_fetch (completion->cli, "Manager", "ListInstances",
                                                 g_variant_new ("(a{sv})", NULL), NULL);

  for (guint i = 0; rows != NULL && i < rows->len; i++)
    {
      const char *name = "", *its_state = "";

      g_variant_lookup (rows->pdata[i], "name", "&s", &name);
      g_variant_lookup (rows->pdata[i], "state", "&s", &its_state);
      if (state != NULL && strcmp (state, its_state) != 0)
        continue;
      g_autofree char *candidate = g_strconcat (name, suffix, NULL);
      offer (completion, candidate, its_state);
    }
}

/* An alias may be there for both kinds. */
static void
offer_images (const Completion *completion)
{
  g_autoptr (GHashTable) offered = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (GPtrArray) rows = lodge_rows_fetch (completion->cli, "Images", "ListImages",
                                                 g_variant_new ("(a{sv})", NULL), NULL);

  for (guint i = 0; rows != NULL && i < rows->len; i++)
    {
      g_autofree char *kind = lodge_row_string (rows->pdata[i], "kind");
      g_autofree char *fingerprint = lodge_format_row_fingerprint (rows->pdata[i], "fingerprint");
      g_autofree const char **aliases = NULL;

      g_variant_lookup (rows->pdata[i], "aliases", "^a&s", &aliases);
      for (const char **alias = aliases; alias != NULL && *alias != NULL; alias++)
        if (g_hash_table_add (offered, g_strdup (*alias)))
          offer (completion, *alias, kind);
      if (fingerprint != NULL && completion->word[0] != '\0')
        offer (completion, fingerprint, kind);
    }
}

static void
offer_remotes (const Completion *completion)
{
  g_autoptr (GPtrArray) rows = lodge_rows_fetch (completion->cli, "Remotes", "List",
                                                 g_variant_new ("(a{sv})", NULL), NULL);

  for (guint i = 0; rows != NULL && i < rows->len; i++)
    {
      g_autofree char *name = lodge_row_string (rows->pdata[i], "name");
      g_autofree char *url = lodge_row_string (rows->pdata[i], "url");

      if (name != NULL)
        offer (completion, name, url);
    }
}

static void
offer_jobs (const Completion *completion)
{
  g_autoptr (GPtrArray) rows = lodge_rows_fetch (completion->cli, "Manager", "ListJobs",
                                                 g_variant_new ("(a{sv})", NULL), NULL);

  for (guint i = 0; rows != NULL && i < rows->len; i++)
    {
      g_autofree char *operation = lodge_row_string (rows->pdata[i], "operation");
      g_autofree char *id
          = g_strdup_printf ("%" G_GUINT64_FORMAT, lodge_row_uint (rows->pdata[i], "id", 0));
      offer (completion, id, operation);
    }
}

static void
offer_keys (const Completion *completion)
{
  g_autoptr (GPtrArray) rows = lodge_keys_fetch (completion->cli, NULL);

  puts (":nospace");
  for (guint i = 0; rows != NULL && i < rows->len; i++)
    {
      g_autofree char *key = lodge_row_string (rows->pdata[i], "key");
      g_autofree char *help = lodge_row_string (rows->pdata[i], "help");
      g_autofree char *candidate = g_strconcat (key != NULL ? key : "", "=", NULL);

      offer (completion, candidate, help);
    }
}

/* "web/et" from the files of web. */
static void
offer_remote_files (const Completion *completion)
{
  g_auto (LodgeFileRemote) remote = { 0 };
  g_autofree char *folder = NULL;
  const char *slash = strrchr (completion->word, '/');
  g_autoptr (GPtrArray) entries = NULL;

  puts (":nospace");
  if (slash == NULL)
    {
      offer_instances (completion, NULL, "/");
      return;
    }
  folder = g_strndup (completion->word, (gsize) (slash - completion->word) + 1);
  if (!lodge_file_remote_parse (&remote, folder, NULL)
      || !lodge_file_remote_open (&remote, completion->cli, NULL))
    return;
  entries = lodge_file_remote_list (&remote, remote.path, NULL);
  for (guint i = 0; entries != NULL && i < entries->len; i++)
    {
      const LodgeFilesAnswer *entry = entries->pdata[i];
      g_autofree char *candidate = NULL;

      candidate
          = g_strconcat (folder, entry->text, entry->type == LODGE_FILES_TYPE_DIR ? "/" : "", NULL);
      offer (completion, candidate, NULL);
    }
}

/* Names as they are typed: "list", and "image" for all that begin with "image-". */
static void
offer_commands (const Completion *completion)
{
  const char *last_noun = "";

  for (gsize i = 0; i < lodge_cmd_table_size; i++)
    {
      const LodgeCmd *cmd = &lodge_cmd_table[i];
      const char *dash = strchr (cmd->name, '-');

      if (cmd->flags & LODGE_CMD_HIDDEN)
        continue;
      if (dash == NULL)
        {
          offer (completion, cmd->name, _ (cmd->summary));
          continue;
        }
      gsize length = (gsize) (dash - cmd->name);
      if (strncmp (last_noun, cmd->name, length + 1) != 0)
        {
          g_autofree char *noun = g_strndup (cmd->name, length);
          offer (completion, noun, lodge_cmd_group_title (cmd->group));
        }
      last_noun = cmd->name;
    }
}

static gboolean
offer_verbs (const Completion *completion, const char *noun)
{
  gsize length = strlen (noun);
  gboolean found = FALSE;

  for (gsize i = 0; i < lodge_cmd_table_size; i++)
    {
      const LodgeCmd *cmd = &lodge_cmd_table[i];
      if (strncmp (cmd->name, noun, length) != 0 || cmd->name[length] != '-')
        continue;
      found = TRUE;
      offer (completion, cmd->name + length + 1, _ (cmd->summary));
    }
  return found;
}

static void
offer_values (const Completion *completion, LodgeCompleter completer)
{
  static const char *const formats[] = { "table", "json", "yaml", "csv", "name", NULL };
  static const char *const colors[] = { "auto", "always", "never", NULL };
  static const char *const kinds[] = { "container", "vm", NULL };
  static const char *const flags[]
      = { "auto-update=false", "auto-update=true", "pinned=false", "pinned=true", NULL };

  switch (completer)
    {
    case LODGE_COMPLETE_INSTANCES:
      offer_instances (completion, NULL, "");
      break;
    case LODGE_COMPLETE_RUNNING:
      offer_instances (completion, "running", "");
      break;
    case LODGE_COMPLETE_STOPPED:
      offer_instances (completion, "stopped", "");
      break;
    case LODGE_COMPLETE_PAUSED:
      offer_instances (completion, "paused", "");
      break;
    case LODGE_COMPLETE_IMAGES:
      offer_images (completion);
      break;
    case LODGE_COMPLETE_REMOTES:
      offer_remotes (completion);
      break;
    case LODGE_COMPLETE_JOBS:
      offer_jobs (completion);
      break;
    case LODGE_COMPLETE_KEYS:
      offer_keys (completion);
      break;
    case LODGE_COMPLETE_FORMATS:
      offer_words (completion, formats);
      break;
    case LODGE_COMPLETE_COLORS:
      offer_words (completion, colors);
      break;
    case LODGE_COMPLETE_KINDS:
      offer_words (completion, kinds);
      break;
    case LODGE_COMPLETE_IMAGE_FLAGS:
      offer_words (completion, flags);
      break;
    case LODGE_COMPLETE_FILES:
      puts (":files");
      break;
    case LODGE_COMPLETE_REMOTE_FILES:
      offer_remote_files (completion);
      break;
    case LODGE_COMPLETE_COMMANDS:
      offer_commands (completion);
      break;
    case LODGE_COMPLETE_COLUMNS:
    case LODGE_COMPLETE_NOTHING:
    default:
      break;
    }
}

static void
offer_options (const Completion *completion, const LodgeOptionSpec *const *tables)
{
  for (; *tables != NULL; tables++)
    for (const LodgeOptionSpec *spec = *tables; spec->name != NULL; spec++)
      {
        g_autofree char *candidate = g_strconcat ("--", spec->name, NULL);
        offer (completion, candidate, _ (spec->help));
      }
}

/* The option that wants a value when @word is the last one before the cursor, or NULL. */
static const LodgeOptionSpec *
option_wanting (const LodgeOptionSpec *const *tables, const char *word)
{
  const LodgeOptionSpec *spec = NULL;

  if (g_str_has_prefix (word, "--") && strchr (word, '=') == NULL)
    spec = lodge_option_find (tables, word + 2, strlen (word + 2));
  else if (word[0] == '-' && word[1] != '\0' && word[1] != '-')
    spec = lodge_option_find_short (tables, word[strlen (word) - 1]);
  return spec != NULL && spec->type != LODGE_OPTION_FLAG ? spec : NULL;
}

/* Which argument the word at the cursor is, by what stands before it. */
static guint
count_arguments (const LodgeOptionSpec *const *tables, const char *const *words, guint n,
                 gboolean *out_only_words)
{
  guint count = 0;

  *out_only_words = FALSE;
  for (guint i = 0; i < n; i++)
    {
      if (!*out_only_words && strcmp (words[i], "--") == 0)
        *out_only_words = TRUE;
      else if (!*out_only_words && option_wanting (tables, words[i]) != NULL)
        i++;
      else if (*out_only_words || words[i][0] != '-' || words[i][1] == '\0')
        count++;
    }
  return count;
}

static void
complete_argument (Completion *completion, const LodgeCmd *cmd, guint index)
{
  const LodgeArgSpec *spec = cmd->arguments;

  if (spec == NULL)
    return;
  while (index > 0 && spec->name != NULL && !(spec->flags & LODGE_ARG_MANY))
    {
      spec++;
      index--;
    }
  if (spec->name == NULL)
    return;
  offer_values (completion, spec->completer);
  /* The last of several sources is the target: either may be meant. */
  if (cmd->run == lodge_cmd_file_push && index > 0)
    offer_values (completion, LODGE_COMPLETE_FILES);
}

static void
complete_command (Completion *completion, const LodgeCmd *cmd, const char *const *words, guint n)
{
  const LodgeOptionSpec *tables[4];
  const LodgeOptionSpec *spec;
  const char *word = completion->word;
  const char *equals = strchr (word, '=');
  gboolean only_words;

  lodge_cmd_option_tables (cmd, tables);
  guint index = count_arguments (tables, words, n, &only_words);
  spec = n > 0 && !only_words ? option_wanting (tables, words[n - 1]) : NULL;
  if (spec != NULL)
    {
      offer_values (completion, spec->completer);
      return;
    }
  if (!only_words && g_str_has_prefix (word, "--") && equals != NULL)
    {
      g_autofree char *prefix = g_strndup (word, (gsize) (equals - word) + 1);

      spec = lodge_option_find (tables, word + 2, (gsize) (equals - word) - 2);
      completion->prefix = prefix;
      completion->word = equals + 1;
      if (spec != NULL)
        offer_values (completion, spec->completer);
      return;
    }
  if (!only_words && word[0] == '-')
    offer_options (completion, tables);
  else
    complete_argument (completion, cmd, index);
}

gboolean
lodge_cmd_complete (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  const char *const *words = lodge_args_words (args);
  guint n = lodge_args_n_words (args);
  Completion completion = { .cli = cli, .word = n > 0 ? words[n - 1] : "", .prefix = "" };
  guint n_used = 0;

  if (n <= 1)
    {
      offer_commands (&completion);
      return TRUE;
    }
  if (n == 2 && offer_verbs (&completion, words[0]))
    return TRUE;
  const LodgeCmd *cmd = lodge_cmd_find (words, &n_used, NULL, NULL);
  if (cmd != NULL && n_used < n)
    complete_command (&completion, cmd, words + n_used, n - n_used - 1);
  return TRUE;
}
