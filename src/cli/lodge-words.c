/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-words.h"

#include <string.h>

#include "lodge-cmd.h"
#include "lodge-i18n.h"

static gboolean
takes_value (const char *word)
{
  const LodgeOptionSpec *const tables[] = { lodge_global_options, NULL };
  const LodgeOptionSpec *spec;

  if (strchr (word, '=') != NULL)
    return FALSE;
  spec = word[1] == '-' ? lodge_option_find (tables, word + 2, strlen (word + 2))
                        : lodge_option_find_short (tables, word[1]);
  return spec != NULL && spec->type != LODGE_OPTION_FLAG;
}

GPtrArray *
lodge_words_command_first (char **words)
{
  GPtrArray *turned = g_ptr_array_new ();
  char **first = words;

  while (*first != NULL && (*first)[0] == '-' && strcmp (*first, "--") != 0)
    first += takes_value (*first) && first[1] != NULL ? 2 : 1;
  char **command = first;
  if (*command != NULL && strcmp (*command, "--") == 0)
    command++;
  if (*command == NULL)
    {
      g_ptr_array_add (turned, (gpointer) "help");
    }
  else
    {
      /* Both words of "image list" belong before the options. */
      g_autoptr (GError) unused = NULL;
      guint n_used = 1;
      (void) lodge_cmd_find ((const char *const *) command, &n_used, NULL, &unused);
      for (guint i = 0; i < n_used; i++)
        g_ptr_array_add (turned, *command++);
    }
  for (char **word = words; word < first; word++)
    g_ptr_array_add (turned, *word);
  for (; *command != NULL; command++)
    g_ptr_array_add (turned, *command);
  g_ptr_array_add (turned, NULL);
  return turned;
}

typedef struct
{
  GPtrArray *commands;
  GPtrArray *words;
  GString *word;
  gboolean in_word;
} Splitter;

static void
end_word (Splitter *splitter)
{
  if (splitter->in_word)
    g_ptr_array_add (splitter->words, g_strdup (splitter->word->str));
  g_string_truncate (splitter->word, 0);
  splitter->in_word = FALSE;
}

static void
end_command (Splitter *splitter)
{
  end_word (splitter);
  if (splitter->words->len == 0)
    return;
  g_ptr_array_add (splitter->words, NULL);
  g_ptr_array_add (splitter->commands, g_ptr_array_free (splitter->words, FALSE));
  splitter->words = g_ptr_array_new_with_free_func (g_free);
}

/* @p: at the opening quote.  Returns: the closing one, or NULL. */
static const char *
quoted (Splitter *splitter, const char *p)
{
  char quote = *p++;

  splitter->in_word = TRUE;
  for (; *p != '\0' && *p != quote; p++)
    {
      if (quote == '"' && *p == '\\' && (p[1] == '"' || p[1] == '\\'))
        p++;
      g_string_append_c (splitter->word, *p);
    }
  return *p == quote ? p : NULL;
}

static void
splitter_clear (Splitter *splitter)
{
  g_ptr_array_unref (splitter->words);
  g_string_free (splitter->word, TRUE);
  g_clear_pointer (&splitter->commands, g_ptr_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Splitter, splitter_clear)

GPtrArray *
lodge_words_split (const char *line, GError **error)
{
  g_auto (Splitter) splitter
      = { .commands = g_ptr_array_new_with_free_func ((GDestroyNotify) g_strfreev),
          .words = g_ptr_array_new_with_free_func (g_free),
          .word = g_string_new (NULL) };

  for (const char *p = line; *p != '\0'; p++)
    {
      if (*p == '\'' || *p == '"')
        {
          p = quoted (&splitter, p);
          if (p == NULL)
            {
              g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                                   _ ("A quote is not closed."));
              return NULL;
            }
        }
      else if (*p == '#' && !splitter.in_word)
        p += strcspn (p, "\n") - 1;
      else if (*p == ';' || *p == '\n')
        end_command (&splitter);
      else if (g_ascii_isspace (*p))
        end_word (&splitter);
      else
        {
          if (*p == '\\' && p[1] != '\0')
            p++;
          splitter.in_word = TRUE;
          g_string_append_c (splitter.word, *p);
        }
    }
  end_command (&splitter);
  return g_steal_pointer (&splitter.commands);
}
