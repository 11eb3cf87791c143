/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-failpoint.h"

#ifdef LODGE_FAILPOINTS

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lodge-fd.h"
#include "lodge/lodge-error.h"

static void
log_passed (const char *name)
{
  const char *path = g_getenv ("LODGE_FAILPOINT_LOG");
  if (path == NULL)
    return;

  g_auto (LodgeFd) fd = open (path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  g_autofree char *line = g_strdup_printf ("%s\n", name);
  if (fd < 0 || write (fd, line, strlen (line)) < 0)
    g_warning ("failpoint log %s: %s", path, g_strerror (errno));
}

/* How often @rule ("name:action[:nth]" of the environment) has been passed; counted by rule, so
 * that "the third time" works for each. */
static guint
count_passage (const char *rule)
{
  static GMutex lock;
  static GHashTable *counts = NULL;
  guint count;

  g_mutex_lock (&lock);
  if (counts == NULL)
    counts = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  count = GPOINTER_TO_UINT (g_hash_table_lookup (counts, rule)) + 1;
  g_hash_table_insert (counts, g_strdup (rule), GUINT_TO_POINTER (count));
  g_mutex_unlock (&lock);
  return count;
}

static gboolean
act (const char *name, const char *action, GError **error)
{
  if (strcmp (action, "kill") == 0)
    kill (getpid (), SIGKILL);
  else if (g_str_has_prefix (action, "sleep="))
    g_usleep ((gulong) atoi (action + strlen ("sleep=")) * 1000);
  else if (g_str_has_prefix (action, "error="))
    {
      lodge_error_set_errno (error, atoi (action + strlen ("error=")), "failpoint %s", name);
      return FALSE;
    }
  return TRUE;
}

gboolean
lodge_failpoint (const char *name, GError **error)
{
  const char *config = g_getenv ("LODGE_FAILPOINT");

  log_passed (name);
  if (config == NULL)
    return TRUE;

  g_auto (GStrv) rules = g_strsplit (config, ",", -1);
  for (gsize i = 0; rules[i] != NULL; i++)
    {
      /* Names have ':' in them ("job:create:define"), so the rule is read from its end. */
      g_autofree char *rule = g_strdup (rules[i]);
      char *last = strrchr (rule, ':');
      guint nth = 0;

      if (last != NULL && g_ascii_isdigit (last[1]))
        {
          nth = (guint) atoi (last + 1);
          *last = '\0';
          last = strrchr (rule, ':');
        }
      if (last == NULL)
        continue;
      *last = '\0';
      if (strcmp (rule, name) != 0)
        continue;
      if (nth != 0 && count_passage (rules[i]) != nth)
        continue;
      if (!act (name, last + 1, error))
        return FALSE;
    }
  return TRUE;
}

#else

/* ISO C wants something in every translation unit. */
typedef int lodge_failpoints_are_off;

#endif
