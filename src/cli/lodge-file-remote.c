/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-file-remote.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lodge-fd.h"
#include "lodge-i18n.h"
#include "lodge-name.h"
#include "lodge-units.h"

#define REDRAW_MS 250
#define COPY_SIZE (128 * 1024)

void
lodge_file_remote_clear (LodgeFileRemote *remote)
{
  g_autoptr (GError) error = NULL;

  if (remote->session != NULL && lodge_files_session_n_pending (remote->session) == 0
      && !lodge_file_remote_close (remote, &error))
    g_debug ("ending a file session: %s", error->message);
  if (remote->cli != NULL)
    lodge_progress_clear (&remote->progress);
  g_clear_pointer (&remote->instance, g_free);
  g_clear_pointer (&remote->path, g_free);
  g_clear_pointer (&remote->session, lodge_files_session_free);
}

gboolean
lodge_file_remote_parse (LodgeFileRemote *remote, const char *address, GError **error)
{
  gsize length = strcspn (address, "/:");
  const char *path = address + length;

  if (*path == ':')
    path++;
  if (length == 0 || address[length] == '\0' || *path != '/')
    {
      g_autofree char *shown = lodge_text_escape (address);
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                   _ ("“%s” names no file of an instance.\nwrite it like web/etc/motd or "
                      "web:/etc/motd"),
                   shown);
      return FALSE;
    }
  remote->instance = g_strndup (address, length);
  remote->path = g_strdup (path);
  remote->ends_in_slash = g_str_has_suffix (path, "/");
  for (gsize end = strlen (path); end > 1 && path[end - 1] == '/'; end--)
    remote->path[end - 1] = '\0';
  return TRUE;
}

gboolean
lodge_file_remote_open (LodgeFileRemote *remote, LodgeCli *cli, GError **error)
{
  LodgeClient *client = lodge_cli_get_client (cli, error);
  g_autofree char *path
      = client != NULL ? lodge_client_get_instance (client, remote->instance, error) : NULL;
  g_autoptr (LodgeMessage) reply = NULL;
  guint32 serial = 0;
  gint32 handle;
  int fd;

  if (path != NULL)
    serial = lodge_client_send (client, path, "Instance", "OpenFiles",
                                g_variant_new ("(a{sv})", NULL), NULL, 0, error);
  if (serial == 0)
    return FALSE;
  reply = lodge_client_finish (client, serial, "(h)", error);
  if (reply == NULL || !lodge_cli_watch_signals (cli, error))
    return FALSE;
  g_variant_get (reply->body, "(h)", &handle);
  fd = lodge_message_take_fd (reply, handle, error);
  if (fd < 0)
    return FALSE;
  remote->cli = cli;
  remote->session = lodge_files_session_new (fd);
  lodge_progress_init (&remote->progress, cli);
  return TRUE;
}

static void
draw (LodgeFileRemote *remote, int moving, gboolean writing)
{
  struct stat info;
  guint64 bytes = remote->n_bytes;

  if (moving >= 0 && writing && fstat (moving, &info) == 0)
    bytes += (guint64) info.st_size;
  else if (moving >= 0)
    bytes += (guint64) MAX (lseek (moving, 0, SEEK_CUR), 0);
  g_autofree char *size = lodge_format_size (bytes);
  g_autofree char *line
      = g_strdup_printf (C_ngettext ("%s: %u file, %s", "%s: %u files, %s", remote->n_files),
                         remote->instance, remote->n_files, size);
  lodge_progress_draw (&remote->progress, line);
}

/* Waits until there is something to read. */
static gboolean
wait_readable (LodgeFileRemote *remote, int moving, gboolean writing, GError **error)
{
  for (;;)
    {
      struct pollfd fds[2]
          = { { .fd = lodge_files_session_get_fd (remote->session), .events = POLLIN },
              { .fd = remote->cli->signal_fd, .events = POLLIN } };
      int n = poll (fds, 2, remote->progress.enabled ? REDRAW_MS : -1);
      int signum = lodge_cli_take_signal (remote->cli);

      if (signum != 0 && signum != SIGWINCH)
        {
          remote->cli->exit_status = 128 + signum;
          g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_CANCELLED,
                               _ ("The copying was cancelled."));
          return FALSE;
        }
      if (n > 0 && fds[0].revents != 0)
        return TRUE;
      if (n == 0)
        draw (remote, moving, writing);
    }
}

gboolean
lodge_file_remote_receive (LodgeFileRemote *remote, int moving, gboolean writing,
                           LodgeFilesAnswer *out_answer, GError **error)
{
  return wait_readable (remote, moving, writing, error)
         && lodge_files_session_receive (remote->session, out_answer, error);
}

gboolean
lodge_file_remote_close (LodgeFileRemote *remote, GError **error)
{
  lodge_files_session_shut (remote->session);
  gboolean ok = wait_readable (remote, -1, FALSE, error)
                && lodge_files_session_finish (remote->session, error);
  g_clear_pointer (&remote->session, lodge_files_session_free);
  return ok;
}

gboolean
lodge_file_remote_ask (LodgeFileRemote *remote, LodgeFilesOp op,
                       const LodgeFilesAttributes *attributes, const char *path,
                       LodgeFilesAnswer *out_answer, GError **error)
{
  return lodge_files_session_send (remote->session, op, attributes, path, NULL, -1, error)
         && lodge_file_remote_receive (remote, -1, FALSE, out_answer, error)
         && lodge_files_answer_check (out_answer, error);
}

static void
free_answer (LodgeFilesAnswer *answer)
{
  lodge_files_answer_clear (answer);
  g_free (answer);
}

GPtrArray *
lodge_file_remote_list (LodgeFileRemote *remote, const char *path, GError **error)
{
  g_autoptr (GPtrArray) entries = g_ptr_array_new_with_free_func ((GDestroyNotify) free_answer);

  if (!lodge_files_session_send (remote->session, LODGE_FILES_LIST, NULL, path, NULL, -1, error))
    return NULL;
  for (;;)
    {
      LodgeFilesAnswer *answer = g_new0 (LodgeFilesAnswer, 1);

      g_ptr_array_add (entries, answer);
      if (!lodge_file_remote_receive (remote, -1, FALSE, answer, error)
          || !lodge_files_answer_check (answer, error))
        return NULL;
      if (answer->end)
        break;
      if (!lodge_file_name_check (answer->text, error))
        return NULL;
    }
  g_ptr_array_set_size (entries, (int) entries->len - 1);
  return g_steal_pointer (&entries);
}

int
lodge_file_spool (GError **error)
{
  int fd = open (g_get_tmp_dir (), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

  if (fd < 0)
    fd = memfd_create ("lodge-file", MFD_CLOEXEC);
  if (fd < 0)
    lodge_error_set_errno (error, errno, "A temporary file cannot be made");
  return fd;
}

gboolean
lodge_file_copy (int from, int to, GError **error)
{
  g_autofree guint8 *buffer = g_malloc (COPY_SIZE);

  for (;;)
    {
      gssize n = read (from, buffer, COPY_SIZE);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        {
          lodge_error_set_errno (error, errno, "The input cannot be read");
          return FALSE;
        }
      if (n == 0)
        return TRUE;
      if (!lodge_fd_write_all (to, buffer, (gsize) n, error))
        return FALSE;
    }
}

gboolean
lodge_file_name_check (const char *name, GError **error)
{
  if (name[0] != '\0' && strcmp (name, ".") != 0 && strcmp (name, "..") != 0
      && strchr (name, '/') == NULL)
    return TRUE;
  g_autofree char *shown = lodge_text_escape (name);
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_NAME,
               _ ("The guest has a file whose name is “%s”, which is refused."), shown);
  return FALSE;
}

char *
lodge_file_join (const char *folder, const char *name)
{
  return g_strconcat (folder, g_str_has_suffix (folder, "/") ? "" : "/", name, NULL);
}

char *
lodge_file_last_part (const char *path)
{
  gsize end = strlen (path);
  gsize start;

  while (end > 0 && path[end - 1] == '/')
    end--;
  for (start = end; start > 0 && path[start - 1] != '/'; start--)
    ;
  return g_strndup (path + start, end - start);
}
