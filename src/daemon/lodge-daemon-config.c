/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-daemon-config.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lodge-fd.h"
#include "lodge-image-cache.h"
#include "lodge-name.h"
#include "lodge-units.h"

#define SIZE_MAX_BYTES (64 * 1024)
#define YEARS_MAX      100

/* ---- values ---- */

typedef gboolean (*ParseFunc) (const char *text, guint64 unit, gpointer field, GError **error);

/* A number of @unit seconds, or one with a unit of its own: "10", "10d", "90m". */
static gboolean
parse_time (const char *text, guint64 unit, gpointer field, GError **error)
{
  const guint64 max = YEARS_MAX * G_GUINT64_CONSTANT (365) * LODGE_IMAGE_DAY;
  gboolean bare = *text != '\0' && strspn (text, "0123456789") == strlen (text);
  guint64 value;

  if (bare ? !lodge_parse_uint (text, 0, max / unit, &value, error)
           : !lodge_parse_duration (text, &value, error))
    return FALSE;
  *(guint64 *) field = MIN (bare ? value * unit : value, max);
  return TRUE;
}

/* The store of images checks it. */
static gboolean
parse_text (const char *text, guint64 unit, gpointer field, GError **error)
{
  char **string = field;

  g_free (*string);
  *string = *text != '\0' ? g_strdup (text) : NULL;
  return TRUE;
}

static const struct
{
  const char *group;
  const char *key;
  ParseFunc parse;
  guint64 unit; /* seconds, of a time */
  gsize offset;
} keys[] = {
  { "images", "remote_cache_expiry", parse_time, LODGE_IMAGE_DAY,
    offsetof (LodgeDaemonConfig, remote_cache_expiry) },
  { "images", "auto_update_interval", parse_time, 3600,
    offsetof (LodgeDaemonConfig, auto_update_interval) },
  { "images", "proxy", parse_text, 0, offsetof (LodgeDaemonConfig, proxy) },
};

/* ---- the file ---- */

/* Returns: the descriptor, or -1 with @error, or -1 without when there is none. */
static int
open_file (const char *path, gboolean may_lack, GError **error)
{
  g_auto (LodgeFd) fd = open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  const char *why = NULL;
  struct stat st;

  if (fd < 0 && errno == ENOENT && may_lack)
    return -1;
  if (fd < 0 && errno != ELOOP)
    {
      lodge_error_set_errno (error, errno, "The configuration %s cannot be read", path);
      return -1;
    }
  if (fd < 0)
    why = "is a symbolic link";
  else if (fstat (fd, &st) < 0 || !S_ISREG (st.st_mode))
    why = "is not a regular file";
  else if (st.st_uid != 0 && st.st_uid != geteuid ())
    why = "belongs to another user";
  else if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
    why = "can be written by others";
  if (why == NULL)
    return lodge_fd_steal (&fd);
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_CONFIG,
               "The configuration %s %s\nMake it a file of root's with mode 0644.", path, why);
  return -1;
}

static gboolean
take_value (const char *path, GKeyFile *file, const char *group, const char *key,
            LodgeDaemonConfig *config, GError **error)
{
  g_autofree char *value = g_key_file_get_string (file, group, key, NULL);
  const char *names[G_N_ELEMENTS (keys) + 1] = { NULL };
  g_autofree char *shown = lodge_text_escape (key);
  g_autoptr (GError) local_error = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (keys); i++)
    {
      names[i] = keys[i].key;
      if (strcmp (keys[i].group, group) != 0 || strcmp (keys[i].key, key) != 0)
        continue;
      if (value != NULL
          && keys[i].parse (value, keys[i].unit, (char *) config + keys[i].offset, &local_error))
        return TRUE;
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_CONFIG, "%s: %s: %s", path, keys[i].key,
                   local_error != NULL ? local_error->message : "not a text");
      return FALSE;
    }
  const char *nearest = lodge_nearest (key, names);
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_CONFIG,
               nearest != NULL ? "%s: there is no key “%.70s” in [%.70s]\nDid you mean “%s”?"
                               : "%s: there is no key “%.70s” in [%.70s]",
               path, shown, group, nearest);
  return FALSE;
}

static gboolean
take_file (const char *path, const char *text, gsize size, LodgeDaemonConfig *config,
           GError **error)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_autoptr (GError) local_error = NULL;

  if (strlen (text) != size)
    g_set_error (&local_error, LODGE_ERROR, LODGE_ERROR_INVALID_CONFIG, "it is not text");
  if (local_error != NULL
      || !g_key_file_load_from_data (file, text, size, G_KEY_FILE_NONE, &local_error))
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_CONFIG, "%s: %s", path,
                   local_error->message);
      return FALSE;
    }
  g_auto (GStrv) groups = g_key_file_get_groups (file, NULL);
  for (char **group = groups; *group != NULL; group++)
    {
      g_auto (GStrv) names = g_key_file_get_keys (file, *group, NULL, NULL);

      for (char **name = names; name != NULL && *name != NULL; name++)
        if (!take_value (path, file, *group, *name, config, error))
          return FALSE;
    }
  return TRUE;
}

void
lodge_daemon_config_clear (LodgeDaemonConfig *config)
{
  g_clear_pointer (&config->proxy, g_free);
}

gboolean
lodge_daemon_config_read (const char *path, gboolean may_lack, LodgeDaemonConfig *config,
                          GError **error)
{
  g_autofree char *text = NULL;
  gsize size;

  *config = (LodgeDaemonConfig){ .remote_cache_expiry = LODGE_IMAGE_EXPIRY_DEFAULT,
                                 .auto_update_interval = LODGE_IMAGE_UPDATE_DEFAULT };
  g_autoptr (GError) local_error = NULL;
  g_auto (LodgeFd) fd = open_file (path, may_lack, &local_error);
  if (fd < 0)
    {
      gboolean good = local_error == NULL;
      if (!good)
        g_propagate_error (error, g_steal_pointer (&local_error));
      return good;
    }
  text = lodge_fd_read_all (fd, SIZE_MAX_BYTES, &size, error);
  return text != NULL && take_file (path, text, size, config, error);
}
