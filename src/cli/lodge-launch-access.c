/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-launch-access.h"

#include <crypt.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "lodge-fd.h"
#include "lodge-i18n.h"
#include "lodge-name.h"

#define FILE_MAX     (64 * 1024)
#define PASSWORD_MAX 256
/* What every guest of the last fifteen years can check. */
#define HASH_METHOD "$6$"

/* (transfer full): the text of a file, or of standard input for "-". */
static char *
read_text (const char *path, GError **error)
{
  g_auto (LodgeFd) opened = -1;
  g_autofree char *shown = lodge_text_escape (path);
  int fd = STDIN_FILENO;
  gsize size;

  if (strcmp (path, "-") != 0)
    fd = opened = open (path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    {
      lodge_error_set_errno (error, errno, _ ("“%s” cannot be read"), shown);
      return NULL;
    }
  g_autofree char *text = lodge_fd_read_all (fd, FILE_MAX, &size, error);
  if (text == NULL)
    return NULL;
  if (strlen (text) == size && g_utf8_validate (text, -1, NULL))
    return g_steal_pointer (&text);
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT, _ ("“%s” is not a text file"),
               shown);
  return NULL;
}

/* ---- keys ---- */

static gboolean
add_keys (const LodgeArgs *args, GVariantDict *options, GError **error)
{
  g_autofree const char **files = lodge_args_strings (args, "ssh-key");
  g_autoptr (GPtrArray) keys = g_ptr_array_new_with_free_func (g_free);

  for (const char **file = files; *file != NULL; file++)
    {
      g_autofree char *text = read_text (*file, error);
      if (text == NULL)
        return FALSE;
      g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
      for (char **line = lines; *line != NULL; line++)
        if (*g_strstrip (*line) != '\0' && **line != '#')
          g_ptr_array_add (keys, g_strdup (*line));
    }
  if (*files != NULL && keys->len == 0)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                   _ ("There is no key in what --ssh-key names."));
      return FALSE;
    }
  if (keys->len > 0)
    g_variant_dict_insert_value (
        options, "ssh-keys",
        g_variant_new_strv ((const char *const *) keys->pdata, (gssize) keys->len));
  return TRUE;
}

/* ---- password ---- */

/* One line without its end; FALSE when there is none.  Byte by byte: what follows is others'. */
static gboolean
read_line (char *line, gsize size)
{
  gsize length = 0;
  char c;

  while (length + 1 < size)
    {
      ssize_t n = read (STDIN_FILENO, &c, 1);
      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0 || c == '\n')
        {
          line[length] = '\0';
          return n > 0 || length > 0;
        }
      line[length++] = c;
    }
  return FALSE;
}

static gboolean
ask (const char *prompt, char *line, gsize size)
{
  struct termios saved, silent;

  if (tcgetattr (STDIN_FILENO, &saved) < 0)
    return FALSE;
  silent = saved;
  silent.c_lflag &= ~(tcflag_t) (ECHO | ECHOE | ECHOK | ECHONL);
  fputs (prompt, stderr);
  tcsetattr (STDIN_FILENO, TCSAFLUSH, &silent);
  gboolean ok = read_line (line, size);
  tcsetattr (STDIN_FILENO, TCSAFLUSH, &saved);
  fputc ('\n', stderr);
  return ok;
}

static gboolean
read_password (char *password, gsize size, GError **error)
{
  char again[PASSWORD_MAX] = "";
  gboolean is_terminal = isatty (STDIN_FILENO) != 0;
  gboolean ok = is_terminal ? ask (_ ("Password for root: "), password, size)
                                  && ask (_ ("Once more: "), again, sizeof again)
                            : read_line (password, size);

  if (!ok || *password == '\0')
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                 _ ("There is no password to read, or it is too long."));
  else if (is_terminal && strcmp (password, again) != 0)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                   _ ("The two passwords differ."));
      ok = FALSE;
    }
  ok = ok && *password != '\0';
  explicit_bzero (again, sizeof again);
  return ok;
}

/* (transfer full) */
static char *
hash (const char *password)
{
  g_autofree struct crypt_data *data = g_new0 (struct crypt_data, 1);
  char salt[CRYPT_GENSALT_OUTPUT_SIZE];
  const char *made = NULL;

  if (crypt_gensalt_rn (HASH_METHOD, 0, NULL, 0, salt, sizeof salt) != NULL)
    made = crypt_r (password, salt, data);
  char *copy = made != NULL && *made == '$' ? g_strdup (made) : NULL;
  explicit_bzero (data, sizeof *data);
  return copy;
}

static gboolean
add_password (const LodgeArgs *args, GVariantDict *options, GError **error)
{
  char password[PASSWORD_MAX] = "";
  g_autofree char *hashed = NULL;

  if (!lodge_args_flag (args, "password"))
    return TRUE;
  if (!read_password (password, sizeof password, error))
    return FALSE;
  hashed = hash (password);
  explicit_bzero (password, sizeof password);
  if (hashed == NULL)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_FAILED, _ ("The password cannot be hashed."));
      return FALSE;
    }
  g_variant_dict_insert (options, "password-hash", "s", hashed);
  return TRUE;
}

/* ---- the whole ---- */

static gboolean
add_script (const LodgeArgs *args, GVariantDict *options, GError **error)
{
  const char *path = lodge_args_string (args, "run");
  g_autofree char *text = NULL;

  if (path == NULL)
    return TRUE;
  text = read_text (path, error);
  if (text == NULL)
    return FALSE;
  g_variant_dict_insert (options, "script", "s", text);
  return TRUE;
}

/* Standard input can be read once only. */
static gboolean
check_stdin (const LodgeArgs *args, GError **error)
{
  g_autofree const char **files = lodge_args_strings (args, "ssh-key");
  guint readers = g_strcmp0 (lodge_args_string (args, "run"), "-") == 0 ? 1 : 0;

  for (const char **file = files; *file != NULL; file++)
    readers += strcmp (*file, "-") == 0 ? 1 : 0;
  if (lodge_args_flag (args, "password"))
    readers++;
  if (readers <= 1)
    return TRUE;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
               _ ("Only one of --ssh-key, --password and --run can read standard input."));
  return FALSE;
}

gboolean
lodge_access_add (const LodgeArgs *args, GVariantDict *options, GError **error)
{
  return check_stdin (args, error) && add_keys (args, options, error)
         && add_script (args, options, error) && add_password (args, options, error);
}
