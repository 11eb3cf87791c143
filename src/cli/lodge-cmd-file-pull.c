/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Everything that comes from the guest is written by descriptors of directories that this program
 * opened without following links, under names without a slash: whatever the guest answers, nothing
 * is written outside of the target.  Files get their names when they are complete.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lodge-cmd.h"
#include "lodge-fd.h"
#include "lodge-file-remote.h"
#include "lodge-i18n.h"
#include "lodge-name.h"

#define MAX_DEPTH 256

/* Set-id bits of a guest's file would be rights on this host. */
#define KEPT_MODE 01777

static gboolean
set_attributes (int fd, const LodgeFilesAnswer *answer, const char *name, GError **error)
{
  struct timespec times[2] = { { .tv_nsec = UTIME_NOW }, { .tv_sec = answer->mtime } };

  if (geteuid () == 0 && fchown (fd, answer->uid, answer->gid) < 0 && errno != EPERM)
    {
      lodge_error_set_errno (error, errno, "The owner of %s cannot be set", name);
      return FALSE;
    }
  if (fchmod (fd, answer->mode & KEPT_MODE) < 0 || futimens (fd, times) < 0)
    {
      lodge_error_set_errno (error, errno, "Mode and time of %s cannot be set", name);
      return FALSE;
    }
  return TRUE;
}

/* A file on its way: written under a temporary name in the directory where it will be. */
typedef struct
{
  int folder; /* borrowed */
  int fd;
  char *name;
  char *temporary;
} Incoming;

static void
incoming_free (Incoming *incoming)
{
  if (incoming->temporary != NULL)
    unlinkat (incoming->folder, incoming->temporary, 0);
  if (incoming->fd >= 0)
    close (incoming->fd);
  g_free (incoming->name);
  g_free (incoming->temporary);
  g_free (incoming);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Incoming, incoming_free)

static Incoming *
incoming_new (int folder, const char *name, GError **error)
{
  g_autoptr (Incoming) incoming = g_new0 (Incoming, 1);
  g_autofree char *temporary = NULL;

  incoming->folder = folder;
  incoming->name = g_strdup (name);
  temporary = g_strdup_printf (".lodge-%08x%08x", g_random_int (), g_random_int ());
  incoming->fd
      = openat (folder, temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (incoming->fd < 0)
    {
      lodge_error_set_errno (error, errno, "%s cannot be created", name);
      return NULL;
    }
  incoming->temporary = g_steal_pointer (&temporary);
  return g_steal_pointer (&incoming);
}

static gboolean
incoming_publish (Incoming *incoming, const LodgeFilesAnswer *answer, GError **error)
{
  if (!set_attributes (incoming->fd, answer, incoming->name, error))
    return FALSE;
  if (renameat (incoming->folder, incoming->temporary, incoming->folder, incoming->name) < 0)
    {
      lodge_error_set_errno (error, errno, "%s cannot be written", incoming->name);
      return FALSE;
    }
  g_clear_pointer (&incoming->temporary, g_free);
  return TRUE;
}

typedef struct
{
  LodgeFileRemote *remote;
  GQueue incoming; /* of Incoming, in the order of the requests */
} Pull;

static void
pull_clear (Pull *pull)
{
  g_queue_clear_full (&pull->incoming, (GDestroyNotify) incoming_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Pull, pull_clear)

static gboolean
settle (Pull *pull, gboolean all, GError **error)
{
  LodgeFilesSession *session = pull->remote->session;

  while (lodge_files_session_n_pending (session) > 0
         && (all || !lodge_files_session_has_room (session)))
    {
      Incoming *head = g_queue_peek_head (&pull->incoming);
      g_auto (LodgeFilesAnswer) answer = { 0 };
      struct stat info;

      if (!lodge_file_remote_receive (pull->remote, head->fd, TRUE, &answer, error)
          || !lodge_files_answer_check (&answer, error))
        return FALSE;
      g_autoptr (Incoming) incoming = g_queue_pop_head (&pull->incoming);
      if (!incoming_publish (incoming, &answer, error))
        return FALSE;
      pull->remote->n_files++;
      if (fstat (incoming->fd, &info) == 0)
        pull->remote->n_bytes += (guint64) info.st_size;
    }
  return TRUE;
}

static gboolean
pull_file (Pull *pull, const char *source, int folder, const char *name, guint32 flags,
           GError **error)
{
  LodgeFilesAttributes attributes = { .flags = flags };
  Incoming *incoming;

  if (!settle (pull, FALSE, error))
    return FALSE;
  incoming = incoming_new (folder, name, error);
  if (incoming == NULL)
    return FALSE;
  g_queue_push_tail (&pull->incoming, incoming);
  return lodge_files_session_send (pull->remote->session, LODGE_FILES_GET, &attributes, source,
                                   NULL, incoming->fd, error);
}

static gboolean
pull_link (const LodgeFilesAnswer *entry, int folder, const char *name, GError **error)
{
  if (unlinkat (folder, name, 0) < 0 && errno != ENOENT)
    {
      lodge_error_set_errno (error, errno, "%s cannot be replaced", name);
      return FALSE;
    }
  if (symlinkat (entry->link, folder, name) == 0)
    return TRUE;
  lodge_error_set_errno (error, errno, "The link %s cannot be made", name);
  return FALSE;
}

static gboolean pull_tree (Pull *pull, const char *source, int folder, guint depth, GError **error);

/* Makes the directory, or uses one that is there; a link to one is refused. */
static int
make_folder (int folder, const char *name, GError **error)
{
  int fd;

  if (mkdirat (folder, name, 0700) < 0 && errno != EEXIST)
    {
      lodge_error_set_errno (error, errno, "The directory %s cannot be made", name);
      return -1;
    }
  fd = openat (folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0)
    lodge_error_set_errno (error, errno, "The directory %s cannot be used", name);
  return fd;
}

static gboolean
pull_folder (Pull *pull, const char *source, const LodgeFilesAnswer *entry, int folder,
             const char *name, guint depth, GError **error)
{
  g_auto (LodgeFd) fd = make_folder (folder, name, error);

  if (fd < 0)
    return FALSE;
  if (!pull_tree (pull, source, fd, depth + 1, error))
    {
      /* What is on its way is removed through this descriptor. */
      pull_clear (pull);
      return FALSE;
    }
  /* Attributes last: entries that are made in it change its time. */
  return set_attributes (fd, entry, name, error);
}

static gboolean
pull_entry (Pull *pull, const LodgeFilesAnswer *entry, const char *source, int folder, guint depth,
            GError **error)
{
  const char *name = entry->text;

  switch (entry->type)
    {
    case LODGE_FILES_TYPE_FILE:
      return pull_file (pull, source, folder, name, 0, error);
    case LODGE_FILES_TYPE_DIR:
      return settle (pull, TRUE, error)
             && pull_folder (pull, source, entry, folder, name, depth, error);
    case LODGE_FILES_TYPE_SYMLINK:
      return pull_link (entry, folder, name, error);
    case LODGE_FILES_TYPE_OTHER:
    default:
      {
        g_autofree char *shown = lodge_text_escape (source);
        g_autofree char *text = g_strdup_printf (_ ("%s is no file and is left out"), shown);
        lodge_cli_note (pull->remote->cli, text);
        return TRUE;
      }
    }
}

static gboolean
pull_tree (Pull *pull, const char *source, int folder, guint depth, GError **error)
{
  g_autoptr (GPtrArray) entries = NULL;

  if (depth > MAX_DEPTH)
    {
      g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_LIMIT_EXCEEDED,
                           _ ("The guest has more than 256 directories in one another."));
      return FALSE;
    }
  entries = lodge_file_remote_list (pull->remote, source, error);
  for (guint i = 0; entries != NULL && i < entries->len; i++)
    {
      const LodgeFilesAnswer *entry = entries->pdata[i];
      g_autofree char *path = lodge_file_join (source, entry->text);

      if (!pull_entry (pull, entry, path, folder, depth, error))
        return FALSE;
    }
  return entries != NULL && settle (pull, TRUE, error);
}

/* To standard output; that file itself, which may be a terminal, is not given away. */
static gboolean
pull_to_stdout (LodgeFileRemote *remote, GError **error)
{
  static const LodgeFilesAttributes follow = { .flags = LODGE_FILES_FOLLOW };
  g_auto (LodgeFilesAnswer) answer = { 0 };
  g_auto (LodgeFd) spool = lodge_file_spool (error);

  if (spool < 0
      || !lodge_files_session_send (remote->session, LODGE_FILES_GET, &follow, remote->path, NULL,
                                    spool, error)
      || !lodge_file_remote_receive (remote, spool, TRUE, &answer, error)
      || !lodge_files_answer_check (&answer, error))
    return FALSE;
  lodge_progress_clear (&remote->progress);
  lodge_cli_unwatch_signals (remote->cli);
  lseek (spool, 0, SEEK_SET);
  return lodge_file_copy (spool, STDOUT_FILENO, error);
}

/* Where the files go: a directory, and the name in it when there is one source only. */
static int
open_target (const char *target, gboolean several, char **out_name, GError **error)
{
  int fd = open (target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  if (fd >= 0)
    return fd;
  g_autofree char *folder = g_path_get_dirname (target);
  g_autofree char *shown = lodge_text_escape (target);
  if (several || g_str_has_suffix (target, "/"))
    {
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND, _ ("%s is no directory."), shown);
      return -1;
    }
  fd = open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    {
      lodge_error_set_errno (error, errno, "The directory of %s cannot be opened", shown);
      return -1;
    }
  *out_name = g_path_get_basename (target);
  return fd;
}

static gboolean
pull_source (LodgeCli *cli, const char *address, int folder, const char *given_name, GError **error)
{
  static const LodgeFilesAttributes follow = { .flags = LODGE_FILES_FOLLOW };
  g_auto (LodgeFileRemote) remote = { 0 };
  g_auto (LodgeFilesAnswer) answer = { 0 };
  g_auto (Pull) pull = { .remote = &remote, .incoming = G_QUEUE_INIT };
  g_autofree char *name = NULL;

  if (!lodge_file_remote_parse (&remote, address, error)
      || !lodge_file_remote_open (&remote, cli, error)
      || !lodge_file_remote_ask (&remote, LODGE_FILES_STAT, &follow, remote.path, &answer, error))
    return FALSE;
  name = given_name != NULL ? g_strdup (given_name) : lodge_file_last_part (remote.path);
  if (name[0] == '\0')
    {
      g_free (name);
      name = g_strdup (remote.instance);
    }
  if (!lodge_file_name_check (name, error))
    return FALSE;
  if (answer.type == LODGE_FILES_TYPE_DIR)
    return pull_folder (&pull, remote.path, &answer, folder, name, 0, error);
  if (answer.type != LODGE_FILES_TYPE_FILE)
    {
      g_autofree char *shown = lodge_text_escape (remote.path);
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_NOT_SUPPORTED,
                   _ ("%s is neither a file nor a directory."), shown);
      return FALSE;
    }
  return pull_file (&pull, remote.path, folder, name, LODGE_FILES_FOLLOW, error)
         && settle (&pull, TRUE, error);
}

gboolean
lodge_cmd_file_pull (LodgeCli *cli, const LodgeArgs *args, GError **error)
{
  guint n_sources = lodge_args_n_words (args) - 1;
  const char *target = lodge_args_word (args, n_sources);
  g_autofree char *name = NULL;
  g_auto (LodgeFd) folder = -1;

  if (strcmp (target, "-") != 0)
    {
      folder = open_target (target, n_sources > 1, &name, error);
      if (folder < 0)
        return FALSE;
    }
  for (guint i = 0; i < n_sources; i++)
    {
      if (folder < 0)
        {
          g_auto (LodgeFileRemote) remote = { 0 };
          if (!lodge_file_remote_parse (&remote, lodge_args_word (args, i), error)
              || !lodge_file_remote_open (&remote, cli, error) || !pull_to_stdout (&remote, error))
            return FALSE;
        }
      else if (!pull_source (cli, lodge_args_word (args, i), folder, name, error))
        return FALSE;
    }
  return TRUE;
}
