/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-name.h"

#include <string.h>

#include "lodge/lodge-error.h"

#define NAME_MAX_LENGTH  63
#define ALIAS_MAX_LENGTH 128

/* Names from outside may be anything, and any length. */
static char *
show (const char *text)
{
  g_autofree char *head = g_strndup (text, 70);
  g_autofree char *escaped = lodge_text_escape (head);

  return g_strconcat (escaped, strlen (text) > 70 ? "…" : "", NULL);
}

static gboolean
is_lower_or_digit (char c)
{
  return g_ascii_islower (c) || g_ascii_isdigit (c);
}

gboolean
lodge_name_validate (const char *name, GError **error)
{
  const char *why = NULL;
  gsize length = name != NULL ? strlen (name) : 0;

  if (length == 0)
    why = "it is empty";
  else if (length > NAME_MAX_LENGTH)
    why = "it is longer than 63 characters";
  else if (!g_ascii_islower (name[0]))
    why = "it must begin with a letter from a to z";
  else if (!is_lower_or_digit (name[length - 1]))
    why = "it must end with a letter or a digit";
  else
    for (gsize i = 0; i < length && why == NULL; i++)
      if (!is_lower_or_digit (name[i]) && name[i] != '-')
        why = "only the letters a to z, digits and '-' may be in it";
  if (why == NULL)
    return TRUE;

  g_autofree char *shown = show (name != NULL ? name : "");
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_NAME,
               "“%s” cannot be the name of an instance: %s", shown, why);
  return FALSE;
}

gboolean
lodge_alias_validate (const char *alias, GError **error)
{
  gsize length = alias != NULL ? strlen (alias) : 0;
  gboolean good = length > 0 && length <= ALIAS_MAX_LENGTH && is_lower_or_digit (alias[0])
                  && strstr (alias, "..") == NULL && strstr (alias, "//") == NULL
                  && alias[length - 1] != '/';

  for (gsize i = 0; good && i < length; i++)
    good = g_ascii_isalnum (alias[i]) || strchr ("._/:+-", alias[i]) != NULL;
  if (good)
    return TRUE;

  g_autofree char *shown = show (alias != NULL ? alias : "");
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_NAME,
               "“%s” cannot be an image alias\nwrite it like debian/12: letters, digits and any of "
               "./+-_:, 128 characters at most",
               shown);
  return FALSE;
}

gboolean
lodge_fingerprint_is_valid (const char *fingerprint)
{
  if (fingerprint == NULL || strlen (fingerprint) != 64)
    return FALSE;
  return strspn (fingerprint, "0123456789abcdef") == 64;
}

gboolean
lodge_uuid_is_valid (const char *uuid)
{
  if (uuid == NULL || !g_uuid_string_is_valid (uuid))
    return FALSE;
  return strspn (uuid, "0123456789abcdef-") == strlen (uuid);
}

char *
lodge_name_generate (void)
{
  static const char *const adjectives[]
      = { "able",  "brave",  "bright", "calm",  "clear", "eager", "early", "fair",
          "fleet", "gentle", "glad",   "grand", "keen",  "kind",  "late",  "light",
          "mild",  "neat",   "noble",  "plain", "prime", "proud", "quick", "quiet",
          "rapid", "solid",  "still",  "sunny", "sure",  "swift", "warm",  "wise" };
  static const char *const animals[]
      = { "badger", "bear",  "bison", "crane", "crow",   "deer", "dove",  "eagle",
          "falcon", "finch", "fox",   "goose", "hare",   "hawk", "heron", "horse",
          "ibex",   "jay",   "lark",  "lynx",  "marten", "mole", "moose", "newt",
          "otter",  "owl",   "rook",  "seal",  "stork",  "swan", "tern",  "wren" };

  return g_strdup_printf (
      "%s-%s-%03d", adjectives[g_random_int_range (0, G_N_ELEMENTS (adjectives))],
      animals[g_random_int_range (0, G_N_ELEMENTS (animals))], g_random_int_range (0, 1000));
}

/* Marks that reorder text on a terminal can make one thing look like another (CVE-2021-42574). */
static gboolean
is_deceptive (gunichar c)
{
  return (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0x200e || c == 0x200f
         || c == 0xfeff;
}

char *
lodge_text_escape (const char *text)
{
  GString *out = g_string_new (NULL);
  const char *p = text;

  while (p != NULL && *p != '\0')
    {
      gunichar c = g_utf8_get_char_validated (p, -1);

      if (c == (gunichar) -1 || c == (gunichar) -2)
        {
          g_string_append_printf (out, "\\x%02x", (guchar) *p);
          p++;
          continue;
        }
      if (c < 0x20 || c == 0x7f || (c >= 0x80 && c < 0xa0))
        g_string_append_printf (out, "\\x%02x", c);
      else if (is_deceptive (c))
        g_string_append_printf (out, "\\u%04x", c);
      else
        g_string_append_unichar (out, c);
      p = g_utf8_next_char (p);
    }
  return g_string_free (out, FALSE);
}

/* Levenshtein distance with a swap of neighbours as one step; words are short. */
static guint
distance (const char *a, const char *b)
{
  gsize n = strlen (a), m = strlen (b);
  g_autofree guint *rows = g_new0 (guint, 3 * (m + 1));
  guint *before = rows, *previous = rows + m + 1, *current = rows + 2 * (m + 1);

  for (gsize j = 0; j <= m; j++)
    previous[j] = (guint) j;
  for (gsize i = 1; i <= n; i++)
    {
      current[0] = (guint) i;
      for (gsize j = 1; j <= m; j++)
        {
          guint cost = a[i - 1] == b[j - 1] ? 0 : 1;
          guint best = MIN (MIN (previous[j] + 1, current[j - 1] + 1), previous[j - 1] + cost);

          if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
            best = MIN (best, before[j - 2] + 1);
          current[j] = best;
        }
      guint *oldest = before;
      before = previous;
      previous = current;
      current = oldest;
    }
  return previous[m];
}

const char *
lodge_nearest (const char *word, const char *const *candidates)
{
  const char *best = NULL;
  guint best_distance = G_MAXUINT;

  if (word == NULL || strlen (word) > 128)
    return NULL;
  for (gsize i = 0; candidates != NULL && candidates[i] != NULL; i++)
    {
      if (strlen (candidates[i]) > 128)
        continue;
      guint d = distance (word, candidates[i]);
      if (d < best_distance)
        {
          best_distance = d;
          best = candidates[i];
        }
    }
  /* A third of the word may be wrong; more is a guess. */
  return best_distance <= MAX (1, strlen (word) / 3) ? best : NULL;
}
