/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * exec and shell.
 *
 * Files that are no terminals are passed to the guest's program as they are, so that no byte goes
 * through this process.  Terminals never are: whoever holds a terminal of the host could read what
 * is typed there after the command has ended.  They are copied from and to a pseudo-terminal or to
 * pipes that the service made.  Nor are directories: openat() on one leads to all of the host.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lodge-cmd.h"
#include "lodge-exec-session.h"
#include "lodge-fd.h"
#include "lodge-i18n.h"
#include "lodge-name.h"
#include "lodge-terminal.h"

static const char *const stdio_names[3] = { "stdin", "stdout", "stderr" };

/* The environment of the guest's program: what is asked for, and the kind of the terminal. */
static GVariant *
build_environment (const LodgeArgs *args, gboolean tty, GError **error)
{
  g_autofree const char **pairs = lodge_args_strings (args, "env");
  g_auto (GVariantBuilder) builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("a{ss}"));
  const char *term = g_getenv ("TERM");
  gboolean has_term = FALSE;

  for (const char **pair = pairs; *pair != NULL; pair++)
    {
      const char *equals = strchr (*pair, '=');
      g_autofree char *name = NULL;

      if (equals == NULL || equals == *pair)
        {
          g_autofree char *shown = lodge_text_escape (*pair);
          g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                       _ ("“%s” is not of the form NAME=VALUE."), shown);
          return NULL;
        }
      name = g_strndup (*pair, (gsize) (equals - *pair));
      has_term = has_term || strcmp (name, "TERM") == 0;
      g_variant_builder_add (&builder, "{ss}", name, equals + 1);
    }
  if (tty && !has_term && term != NULL && g_utf8_validate (term, -1, NULL))
    g_variant_builder_add (&builder, "{ss}", "TERM", term);
  return g_variant_builder_end (&builder);
}

/* FALSE with @error for what must not reach a guest. */
static gboolean
check_file (int fd, const char *name, GError **error)
{
  struct stat info;
  int flags = fcntl (fd, F_GETFL);

  if (flags >= 0 && !(flags & O_PATH) && fstat (fd, &info) == 0 && !S_ISDIR (info.st_mode))
    return TRUE;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
               _ ("The %s of this command cannot be given to a guest: it is a directory."), name);
  return FALSE;
}

/* Adds those of 0, 1, 2 that can be passed as they are. */
static gboolean
add_files (GVariantDict *options, int fds[3], guint *out_n_fds, GError **error)
{
  guint n = 0;

  for (int fd = 0; fd < 3; fd++)
    {
      if (isatty (fd))
        continue;
      if (!check_file (fd, stdio_names[fd], error))
        return FALSE;
      g_variant_dict_insert_value (options, stdio_names[fd], g_variant_new_handle ((gint32) n));
      fds[n++] = fd;
    }
  *out_n_fds = n;
  return TRUE;
}

static GVariant *
build_argv (const LodgeArgs *args, GError **error)
{
  g_auto (GVariantBuilder) builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE_STRING_ARRAY);

  for (const char *const *word = lodge_args_words (args) + 1; *word != NULL; word++)
    {
      if (!g_utf8_validate (*word, -1, NULL))
        {
          g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                               _ ("The command is not UTF-8 text."));
          return NULL;
        }
      g_variant_builder_add (&builder, "s", *word);
    }
  return g_variant_builder_end (&builder);
}

/* The body of Exec. */
static GVariant *
build_request (const LodgeArgs *args, gboolean tty, int fds[3], guint *out_n_fds, GError **error)
{
  g_auto (GVariantDict) options = G_VARIANT_DICT_INIT (NULL);
  const char *user = lodge_args_string (args, "user");
  const char *cwd = lodge_args_string (args, "cwd");
  g_autoptr (GVariant) environment = build_environment (args, tty, error);
  g_autoptr (GVariant) argv = environment != NULL ? build_argv (args, error) : NULL;
  guint16 rows, columns;

  if (argv == NULL)
    return NULL;
  g_variant_ref_sink (environment);
  g_variant_ref_sink (argv);
  *out_n_fds = 0;
  if (cwd != NULL)
    g_variant_dict_insert (&options, "cwd", "s", cwd);
  if (tty)
    {
      lodge_terminal_size (STDOUT_FILENO, &rows, &columns);
      g_variant_dict_insert (&options, "tty", "b", TRUE);
      g_variant_dict_insert (&options, "rows", "q", rows);
      g_variant_dict_insert (&options, "columns", "q", columns);
    }
  else if (!add_files (&options, fds, out_n_fds, error))
    return NULL;
  return g_variant_new ("(s@as@a{ss}@a{sv})", user != NULL ? user : "", argv, environment,
                        g_variant_dict_end (&options));
}

/* Takes the descriptors that the service made for us out of @reply. */
static gboolean
take_streams (LodgeMessage *reply, LodgeExecSession *session, GError **error)
{
  g_autoptr (GVariant) streams = NULL;

  g_variant_get (reply->body, "(@a{sh}o)", &streams, &session->process);
  for (gsize i = 0; i < g_variant_n_children (streams); i++)
    {
      const char *name;
      gint32 handle;
      int *target = NULL;

      g_variant_get_child (streams, i, "{&sh}", &name, &handle);
      if (strcmp (name, "pty") == 0)
        target = &session->pty;
      for (guint n = 0; n < 3; n++)
        if (strcmp (name, stdio_names[n]) == 0)
          target = &session->pipes[n];
      if (target == NULL || *target >= 0)
        continue;
      *target = lodge_message_take_fd (reply, handle, error);
      if (*target < 0)
        return FALSE;
    }
  return TRUE;
}

static gboolean
run_session (LodgeCli *cli, const LodgeArgs *args, gboolean tty, GError **error)
{
  LodgeClient *client = lodge_cli_get_client (cli, error);
  g_auto (LodgeExecSession) session = LODGE_EXEC_SESSION_INIT;
  g_autofree char *path = NULL;
  g_autoptr (LodgeMessage) reply = NULL;
  int fds[3];
  guint n_fds = 0;

  if (client == NULL)
    return FALSE;
  GVariant *request = build_request (args, tty, fds, &n_fds, error);
  if (request == NULL)
    return FALSE;
  g_autoptr (GVariant) body = g_variant_ref_sink (request);
  path = lodge_client_path_of_name (lodge_args_word (args, 0));
  if (path == NULL)
    path = lodge_client_get_instance (client, lodge_args_word (args, 0), error);
  if (path == NULL)
    return FALSE;
  /* Before the program starts: a signal that comes right after is for it. */
  if (!lodge_cli_watch_signals (cli, error))
    return FALSE;
  guint32 serial = lodge_client_send (client, path, "Instance", "Exec", body, fds, n_fds, error);
  if (serial == 0)
    return FALSE;
  reply = lodge_cli_finish (cli, serial, "(a{sh}o)", error);
  if (reply == NULL || !take_streams (reply, &session, error))
    return FALSE;
  return lodge_exec_session_run (cli, &session, error);
}

gboolean
lodge_cmd_exec (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  gboolean tty = isatty (STDIN_FILENO) && isatty (STDOUT_FILENO);

  if (lodge_args_flag (args, "tty") && lodge_args_flag (args, "no-tty"))
    {
      g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                           _ ("--tty and --no-tty exclude each other."));
      return FALSE;
    }
  if (lodge_args_flag (args, "tty"))
    tty = TRUE;
  if (lodge_args_flag (args, "no-tty"))
    tty = FALSE;
  return run_session (cli, args, tty, error);
}

gboolean
lodge_cmd_shell (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  return run_session (cli, args, isatty (STDIN_FILENO) && isatty (STDOUT_FILENO), error);
}
