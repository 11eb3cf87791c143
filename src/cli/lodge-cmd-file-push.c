/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lodge-cmd.h"
#include "lodge-fd.h"
#include "lodge-file-remote.h"
#include "lodge-i18n.h"
#include "lodge-name.h"
#include "lodge-units.h"

#define MAX_DEPTH 256

/* The owner and the mode that the user asked for. */
typedef struct
{
  LodgeFileRemote *remote;
  gboolean has_uid, has_gid, has_mode, parents;
  guint64 uid, gid, mode;
} Push;

static gboolean
parse_number (const LodgeArgs *args, const char *option, gboolean *out_given, guint64 *out_value,
              GError **error)
{
  const char *text = lodge_args_string (args, option);

  if (text == NULL)
    return TRUE;
  *out_given = TRUE;
  return lodge_parse_uint (text, 0, G_MAXUINT32 - 1, out_value, error);
}

static gboolean
parse_mode (const LodgeArgs *args, Push *push, GError **error)
{
  const char *text = lodge_args_string (args, "mode");
  char *end;

  if (text == NULL)
    return TRUE;
  push->has_mode = TRUE;
  push->mode = g_ascii_strtoull (text, &end, 8);
  if (g_ascii_isdigit (text[0]) && *end == '\0' && push->mode <= 07777)
    return TRUE;
  g_autofree char *shown = lodge_text_escape (text);
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
               _ ("“%s” is no mode.\nwrite it in octal, like 0644"), shown);
  return FALSE;
}

static LodgeFilesAttributes
attributes_of (const Push *push, const struct stat *info, gboolean is_file)
{
  LodgeFilesAttributes attributes = {
    .flags = LODGE_FILES_SET_MODE | LODGE_FILES_SET_MTIME,
    .mode = push->has_mode && is_file ? (guint32) push->mode : info->st_mode & 07777,
    .mtime = info->st_mtime,
  };

  if (push->parents)
    attributes.flags |= LODGE_FILES_MAKE_PARENTS;
  /* Numbers of this host mean something in the guest only to whoever may give files away. */
  if (geteuid () == 0 || push->has_uid || push->has_gid)
    {
      attributes.flags |= LODGE_FILES_SET_OWNER;
      attributes.uid = push->has_uid ? (guint32) push->uid : geteuid () == 0 ? info->st_uid : 0;
      attributes.gid = push->has_gid ? (guint32) push->gid : geteuid () == 0 ? info->st_gid : 0;
    }
  return attributes;
}

/* Reads the answers that have come, or at least one when @all or the window is full. */
static gboolean
settle (Push *push, gboolean all, int moving, GError **error)
{
  LodgeFilesSession *session = push->remote->session;

  while (lodge_files_session_n_pending (session) > 0
         && (all || !lodge_files_session_has_room (session)))
    {
      g_auto (LodgeFilesAnswer) answer = { 0 };

      if (!lodge_file_remote_receive (push->remote, moving, FALSE, &answer, error)
          || !lodge_files_answer_check (&answer, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
send_request (Push *push, LodgeFilesOp op, const LodgeFilesAttributes *attributes,
              const char *target, const char *extra, int fd, GError **error)
{
  return settle (push, FALSE, fd, error)
         && lodge_files_session_send (push->remote->session, op, attributes, target, extra, fd,
                                      error);
}

static gboolean push_tree (Push *push, int folder, const char *target, guint depth, GError **error);

static gboolean
push_link (Push *push, int folder, const char *name, const struct stat *info, const char *target,
           GError **error)
{
  char link[LODGE_FILES_PATH_MAX + 1];
  gssize n = readlinkat (folder, name, link, sizeof link - 1);

  if (n < 0)
    {
      lodge_error_set_errno (error, errno, "The link %s cannot be read", name);
      return FALSE;
    }
  link[n] = '\0';
  LodgeFilesAttributes attributes = attributes_of (push, info, FALSE);
  return send_request (push, LODGE_FILES_SYMLINK, &attributes, target, link, -1, error);
}

/* @fd: opened already. */
static gboolean
push_file (Push *push, int fd, const struct stat *info, const char *target, GError **error)
{
  LodgeFilesAttributes attributes = attributes_of (push, info, TRUE);

  if (!send_request (push, LODGE_FILES_PUT, &attributes, target, NULL, fd, error))
    return FALSE;
  push->remote->n_files++;
  push->remote->n_bytes += (guint64) info->st_size;
  return TRUE;
}

static gboolean
push_folder (Push *push, int fd, const struct stat *info, const char *target, guint depth,
             GError **error)
{
  LodgeFilesAttributes attributes = attributes_of (push, info, FALSE);

  return send_request (push, LODGE_FILES_MKDIR, &attributes, target, NULL, -1, error)
         && push_tree (push, fd, target, depth + 1, error);
}

/* One entry of a directory; what is neither file, directory nor link is left out with a note. */
static gboolean
push_entry (Push *push, int folder, const char *name, const char *target, guint depth,
            GError **error)
{
  g_auto (LodgeFd) fd = -1;
  struct stat info;

  if (fstatat (folder, name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK (info.st_mode))
    return push_link (push, folder, name, &info, target, error);
  if (!S_ISREG (info.st_mode) && !S_ISDIR (info.st_mode))
    {
      g_autofree char *shown = lodge_text_escape (name);
      g_autofree char *text = g_strdup_printf (_ ("%s is no file and is left out"), shown);
      lodge_cli_note (push->remote->cli, text);
      return TRUE;
    }
  fd = openat (folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  if (fd < 0 || fstat (fd, &info) < 0)
    {
      lodge_error_set_errno (error, errno, "%s cannot be opened", name);
      return FALSE;
    }
  if (S_ISDIR (info.st_mode))
    return push_folder (push, fd, &info, target, depth, error);
  return push_file (push, fd, &info, target, error);
}

static gboolean
push_tree (Push *push, int folder, const char *target, guint depth, GError **error)
{
  int copy = depth <= MAX_DEPTH ? fcntl (folder, F_DUPFD_CLOEXEC, 3) : -1;
  DIR *dir = copy >= 0 ? fdopendir (copy) : NULL;
  struct dirent *entry;
  gboolean good = TRUE;

  if (dir == NULL)
    {
      if (copy >= 0)
        close (copy);
      lodge_error_set_errno (error, depth > MAX_DEPTH ? ELOOP : errno,
                             "The directory for %s cannot be read", target);
      return FALSE;
    }
  while (good && (entry = readdir (dir)) != NULL)
    {
      g_autofree char *path = NULL;

      if (strcmp (entry->d_name, ".") == 0 || strcmp (entry->d_name, "..") == 0)
        continue;
      path = lodge_file_join (target, entry->d_name);
      good = push_entry (push, folder, entry->d_name, path, depth, error);
    }
  closedir (dir);
  return good;
}

static int
open_source (const char *source, GError **error)
{
  g_autofree char *shown = lodge_text_escape (source);
  int fd = strcmp (source, "-") == 0 ? fcntl (STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                                     : open (source, O_RDONLY | O_CLOEXEC | O_NOCTTY);

  if (fd < 0)
    lodge_error_set_errno (error, errno, "%s cannot be opened", shown);
  return fd;
}

/* What a pipe or a terminal brings, as a file. */
static gboolean
push_stream (Push *push, int fd, const char *target, GError **error)
{
  g_auto (LodgeFd) spool = lodge_file_spool (error);
  struct stat info;

  if (spool < 0)
    return FALSE;
  /* It may take as long as it likes, and Ctrl-C ends it. */
  lodge_cli_unwatch_signals (push->remote->cli);
  if (!lodge_file_copy (fd, spool, error) || !lodge_cli_watch_signals (push->remote->cli, error))
    return FALSE;
  fstat (spool, &info);
  info.st_mode = S_IFREG | 0644;
  return push_file (push, spool, &info, target, error) && settle (push, TRUE, spool, error);
}

static gboolean
push_source (Push *push, const char *source, const char *target, GError **error)
{
  g_auto (LodgeFd) fd = open_source (source, error);
  struct stat info;

  if (fd < 0)
    return FALSE;
  if (fstat (fd, &info) < 0)
    {
      lodge_error_set_errno (error, errno, "%s cannot be read", source);
      return FALSE;
    }
  if (S_ISDIR (info.st_mode))
    return push_folder (push, fd, &info, target, 0, error) && settle (push, TRUE, -1, error);
  /* The other end reads a file from its beginning. */
  if (!S_ISREG (info.st_mode) || lseek (fd, 0, SEEK_CUR) > 0)
    return push_stream (push, fd, target, error);
  return push_file (push, fd, &info, target, error) && settle (push, TRUE, fd, error);
}

/* TRUE when the target is a directory, so that names are added to it. */
static gboolean
target_is_folder (LodgeFileRemote *remote)
{
  static const LodgeFilesAttributes follow = { .flags = LODGE_FILES_FOLLOW };
  g_auto (LodgeFilesAnswer) answer = { 0 };

  return lodge_file_remote_ask (remote, LODGE_FILES_STAT, &follow, remote->path, &answer, NULL)
         && answer.type == LODGE_FILES_TYPE_DIR;
}

static gboolean
push_all (Push *push, const LodgeArgs *args, guint n_sources, GError **error)
{
  LodgeFileRemote *remote = push->remote;
  gboolean folder = remote->ends_in_slash || target_is_folder (remote);

  if (n_sources > 1 && !folder)
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                   _ ("Several files need a directory to go to, and %s is none.\n"
                      "end it with a slash to make it one"),
                   remote->path);
      return FALSE;
    }
  for (guint i = 0; i < n_sources; i++)
    {
      const char *source = lodge_args_word (args, i);
      g_autofree char *absolute = g_canonicalize_filename (source, NULL);
      g_autofree char *name = lodge_file_last_part (absolute);
      g_autofree char *target
          = folder ? lodge_file_join (remote->path, name) : g_strdup (remote->path);

      if (folder && strcmp (source, "-") == 0)
        {
          g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                               _ ("Standard input needs a file name as its target."));
          return FALSE;
        }
      if (!push_source (push, source, target, error))
        return FALSE;
    }
  return TRUE;
}

gboolean
lodge_cmd_file_push (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  g_auto (LodgeFileRemote) remote = { 0 };
  guint n_sources = lodge_args_n_words (args) - 1;
  Push push = { .remote = &remote, .parents = lodge_args_flag (args, "parents") };

  if (!parse_number (args, "uid", &push.has_uid, &push.uid, error)
      || !parse_number (args, "gid", &push.has_gid, &push.gid, error)
      || !parse_mode (args, &push, error)
      || !lodge_file_remote_parse (&remote, lodge_args_word (args, n_sources), error)
      || !lodge_file_remote_open (&remote, cli, error))
    return FALSE;
  /* "web/srv/new/" makes the directory, as its slash promises. */
  push.parents = push.parents || remote.ends_in_slash;
  return push_all (&push, args, n_sources, error) && lodge_file_remote_close (&remote, error);
}
