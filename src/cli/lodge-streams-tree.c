/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-streams-tree.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lodge-fd.h"
#include "lodge-i18n.h"
#include "lodge-name.h"
#include "lodge-streams-list.h"
#include "lodge/lodge-error.h"

#define IMAGES    "images"
#define STREAMS   "streams/v1"
#define LIST      STREAMS "/images.json"
#define INDEX     STREAMS "/index.json"
#define UNDER_WAY ".new"
#define NOTES     "files.ini"

#define LIST_MAX   (64u << 20)
#define READ_BLOCK (256u << 10)

struct _LodgeStreamsTree
{
  char *path;
  char *images;
  char *under_way; /* the folder of the image that is being written */
  int lock;
};

void
lodge_streams_image_free (LodgeStreamsImage *image)
{
  if (image == NULL)
    return;
  g_free (image->folder);
  g_free (image->kind);
  g_free (image->architecture);
  g_strfreev (image->aliases);
  g_free (image->serial);
  g_free (image->os);
  g_free (image->release);
  g_free (image->variant);
  g_free (image->fingerprint);
  g_clear_pointer (&image->requirements, g_variant_unref);
  g_free (image);
}

/* ---- the folder ---- */

/* (transfer full): NULL when it is not there, or cannot be read. */
static char *
read_text (const LodgeStreamsTree *self, const char *name)
{
  g_autofree char *path = g_build_filename (self->path, name, NULL);
  g_auto (LodgeFd) fd = open (path, O_RDONLY | O_CLOEXEC);
  gsize size;

  return fd >= 0 ? lodge_fd_read_all (fd, LIST_MAX, &size, NULL) : NULL;
}

static gboolean
make_folder (const LodgeStreamsTree *self, const char *name, GError **error)
{
  g_autofree char *path = g_build_filename (self->path, name, NULL);

  if (g_mkdir_with_parents (path, 0777) == 0)
    return TRUE;
  lodge_error_set_errno (error, errno, "The directory %s cannot be made", path);
  return FALSE;
}

static gboolean
lock (LodgeStreamsTree *self, GError **error)
{
  g_autofree char *shown = lodge_text_escape (self->path);

  self->lock = open (self->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (self->lock >= 0 && flock (self->lock, LOCK_EX | LOCK_NB) == 0)
    return TRUE;
  if (self->lock >= 0 && errno == EWOULDBLOCK)
    g_set_error (error, LODGE_ERROR, LODGE_ERROR_BUSY,
                 _ ("Another “lodge image serve-tree” is writing to %s."), shown);
  else
    lodge_error_set_errno (error, errno, "%s cannot be locked", shown);
  return FALSE;
}

/* A mirror of somebody else's images would be lost. */
static gboolean
check_list (const LodgeStreamsTree *self, GError **error)
{
  g_autofree char *list = read_text (self, LIST);
  g_autofree char *path = g_build_filename (self->path, LIST, NULL);
  g_autofree char *shown = lodge_text_escape (path);

  if (!g_file_test (path, G_FILE_TEST_EXISTS)
      || (list != NULL && lodge_streams_list_is_ours (list)))
    return TRUE;
  g_set_error (error, LODGE_ERROR, LODGE_ERROR_ALREADY_EXISTS,
               _ ("%s is not of Lodge and is not replaced.\nchoose another directory"), shown);
  return FALSE;
}

LodgeStreamsTree *
lodge_streams_tree_open (const char *path, GError **error)
{
  g_autoptr (LodgeStreamsTree) self = g_new0 (LodgeStreamsTree, 1);

  self->path = g_canonicalize_filename (path, NULL);
  self->images = g_build_filename (self->path, IMAGES, NULL);
  self->under_way = g_build_filename (self->images, UNDER_WAY, NULL);
  self->lock = -1;
  if (!make_folder (self, "", error) || !lock (self, error) || !check_list (self, error)
      || !make_folder (self, IMAGES, error) || !make_folder (self, STREAMS, error)
      || !lodge_tree_remove (self->under_way, error))
    return NULL;
  return g_steal_pointer (&self);
}

void
lodge_streams_tree_free (LodgeStreamsTree *self)
{
  if (self == NULL)
    return;
  if (self->lock >= 0)
    close (self->lock);
  g_free (self->path);
  g_free (self->images);
  g_free (self->under_way);
  g_free (self);
}

/* ---- the files of an image ---- */

/* Hashes a file by itself and, in their order, both together. */
static gboolean
read_file (const char *folder, LodgeStreamsFile *file, GChecksum *both, GError **error)
{
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autofree char *path = g_build_filename (folder, file->name, NULL);
  g_autofree guchar *block = g_malloc (READ_BLOCK);
  g_auto (LodgeFd) fd = open (path, O_RDONLY | O_CLOEXEC);
  ssize_t n = -1;

  file->size = 0;
  while (fd >= 0 && (n = read (fd, block, READ_BLOCK)) > 0)
    {
      g_checksum_update (checksum, block, n);
      g_checksum_update (both, block, n);
      file->size += (guint64) n;
    }
  if (n < 0 || fsync (fd) < 0)
    {
      lodge_error_set_errno (error, errno, "%s cannot be read", path);
      return FALSE;
    }
  g_strlcpy (file->sha256, g_checksum_get_string (checksum), sizeof file->sha256);
  return TRUE;
}

static gboolean
is_as_noted (GKeyFile *notes, const char *folder, const char *group, LodgeStreamsFile *file)
{
  g_autofree char *path = g_build_filename (folder, file->name, NULL);
  g_autofree char *name = g_key_file_get_string (notes, group, "name", NULL);
  g_autofree char *sha256 = g_key_file_get_string (notes, group, "sha256", NULL);
  guint64 size = g_key_file_get_uint64 (notes, group, "size", NULL);
  struct stat st;

  if (g_strcmp0 (name, file->name) != 0 || sha256 == NULL || !lodge_fingerprint_is_valid (sha256)
      || lstat (path, &st) < 0 || !S_ISREG (st.st_mode) || (guint64) st.st_size != size)
    return FALSE;
  file->size = size;
  g_strlcpy (file->sha256, sha256, sizeof file->sha256);
  return TRUE;
}

gboolean
lodge_streams_tree_has (LodgeStreamsTree *self, LodgeStreamsImage *image)
{
  g_autofree char *folder = g_build_filename (self->images, image->folder, NULL);
  g_autofree char *path = g_build_filename (folder, NOTES, NULL);
  g_autoptr (GKeyFile) notes = g_key_file_new ();

  if (!g_key_file_load_from_file (notes, path, G_KEY_FILE_NONE, NULL))
    return FALSE;
  g_autofree char *both = g_key_file_get_string (notes, "image", "fingerprint", NULL);
  if (both == NULL || !lodge_fingerprint_is_valid (both)
      || !is_as_noted (notes, folder, "meta", &image->meta)
      || !is_as_noted (notes, folder, "root", &image->root))
    return FALSE;
  image->fingerprint = g_steal_pointer (&both);
  return TRUE;
}

gboolean
lodge_streams_tree_begin (LodgeStreamsTree *self, const LodgeStreamsImage *image, int out_fds[2],
                          GError **error)
{
  const char *const names[] = { image->meta.name, image->root.name };
  LodgeFd fds[] = { -1, -1 };

  if (!lodge_tree_remove (self->under_way, error))
    return FALSE;
  if (mkdir (self->under_way, 0777) < 0)
    {
      lodge_error_set_errno (error, errno, "The directory %s cannot be made", self->under_way);
      return FALSE;
    }
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *path = g_build_filename (self->under_way, names[i], NULL);

      fds[i] = open (path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
      if (fds[i] < 0)
        {
          lodge_error_set_errno (error, errno, "%s cannot be written", path);
          lodge_fd_clear (&fds[0]);
          return FALSE;
        }
    }
  out_fds[0] = fds[0];
  out_fds[1] = fds[1];
  return TRUE;
}

static void
note_file (GKeyFile *notes, const char *group, const LodgeStreamsFile *file)
{
  g_key_file_set_string (notes, group, "name", file->name);
  g_key_file_set_uint64 (notes, group, "size", file->size);
  g_key_file_set_string (notes, group, "sha256", file->sha256);
}

static gboolean
write_notes (LodgeStreamsTree *self, const LodgeStreamsImage *image, GError **error)
{
  g_autoptr (GKeyFile) notes = g_key_file_new ();
  g_autofree char *path = g_build_filename (self->under_way, NOTES, NULL);

  g_key_file_set_string (notes, "image", "fingerprint", image->fingerprint);
  note_file (notes, "meta", &image->meta);
  note_file (notes, "root", &image->root);
  g_autofree char *text = g_key_file_to_data (notes, NULL, NULL);
  return lodge_file_replace (path, text, -1, 0644, error);
}

gboolean
lodge_streams_tree_commit (LodgeStreamsTree *self, LodgeStreamsImage *image, GError **error)
{
  g_autoptr (GChecksum) both = g_checksum_new (G_CHECKSUM_SHA256);
  g_autofree char *folder = g_build_filename (self->images, image->folder, NULL);

  if (!read_file (self->under_way, &image->meta, both, error)
      || !read_file (self->under_way, &image->root, both, error))
    return FALSE;
  g_free (image->fingerprint);
  image->fingerprint = g_strdup (g_checksum_get_string (both));
  /* What is there under that name is not as its notes say. */
  if (!write_notes (self, image, error) || !lodge_tree_remove (folder, error))
    return FALSE;
  if (rename (self->under_way, folder) < 0)
    {
      lodge_error_set_errno (error, errno, "%s cannot be moved to its place", folder);
      return FALSE;
    }
  return lodge_dir_sync (self->images, error);
}

void
lodge_streams_tree_abort (LodgeStreamsTree *self)
{
  g_autoptr (GError) error = NULL;

  /* The next run tries it again. */
  (void) !lodge_tree_remove (self->under_way, &error);
}

/* ---- the list ---- */

static char *
signed_name (const char *name)
{
  return g_strdup_printf ("%.*s.sjson", (int) (strlen (name) - strlen (".json")), name);
}

static gboolean
sign (LodgeStreamsTree *self, const char *name, const char *key, GError **error)
{
  g_autofree char *input = g_build_filename (self->path, name, NULL);
  g_autofree char *relative = signed_name (name);
  g_autofree char *output = g_build_filename (self->path, relative, NULL);
  g_autofree char *fresh = g_strconcat (output, ".new", NULL);
  /* A passphrase may be asked for. */
  g_autoptr (GSubprocess) gpg
      = g_subprocess_new (G_SUBPROCESS_FLAGS_STDIN_INHERIT, error, "gpg", "--quiet", "--yes",
                          "--local-user", key, "--output", fresh, "--clearsign", input, NULL);

  if (gpg == NULL)
    return FALSE;
  if (!g_subprocess_wait_check (gpg, NULL, NULL))
    {
      g_autofree char *shown = lodge_text_escape (key);
      unlink (fresh);
      g_set_error (error, LODGE_ERROR, LODGE_ERROR_FAILED,
                   _ ("gpg could not sign the list with the key “%s”."), shown);
      return FALSE;
    }
  if (rename (fresh, output) == 0)
    return TRUE;
  lodge_error_set_errno (error, errno, "%s cannot be replaced", output);
  return FALSE;
}

static gboolean
is_signed (const LodgeStreamsTree *self, const char *name)
{
  g_autofree char *relative = signed_name (name);
  g_autofree char *path = g_build_filename (self->path, relative, NULL);

  return g_file_test (path, G_FILE_TEST_EXISTS);
}

/* @body: (transfer full): of a list or of the index, without its date */
static gboolean
write_document (LodgeStreamsTree *self, const char *name, char *body, const char *key,
                GError **error)
{
  g_autofree char *owned = body;
  g_autofree char *path = g_build_filename (self->path, name, NULL);
  g_autofree char *before = read_text (self, name);
  gboolean same = before != NULL && lodge_streams_list_says (before, body);

  if (!same)
    {
      g_autofree char *text = lodge_streams_list_date (body);
      if (!lodge_file_replace (path, text, -1, 0644, error))
        return FALSE;
    }
  /* Always: the signature that is there may be that of another key. */
  return key == NULL || sign (self, name, key, error);
}

/* Ours is what has the form of our names. */
static gboolean
is_folder_name (const char *name)
{
  g_autofree char *hash = g_strndup (name, 64);

  return lodge_fingerprint_is_valid (hash) && name[64] == '.';
}

static gboolean
remove_unnamed (LodgeStreamsTree *self, const char *list, const char *before, GError **error)
{
  g_autoptr (GDir) dir = g_dir_open (self->images, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (self->images, name, NULL);
      g_autofree char *named = g_strconcat ("\"" IMAGES "/", name, "/", NULL);

      if (is_folder_name (name) && strstr (list, named) == NULL
          && (before == NULL || strstr (before, named) == NULL) && !lodge_tree_remove (path, error))
        return FALSE;
    }
  return TRUE;
}

gboolean
lodge_streams_tree_publish (LodgeStreamsTree *self, GPtrArray *images, const char *key,
                            GError **error)
{
  g_autofree char *list = lodge_streams_list_make (images);
  g_autofree char *before = read_text (self, LIST);

  if (key == NULL && (is_signed (self, INDEX) || is_signed (self, LIST)))
    {
      g_set_error_literal (error, LODGE_ERROR, LODGE_ERROR_INVALID_ARGUMENT,
                           _ ("The list has been signed so far, and those who check that would "
                              "keep the old one.\ngive --sign, or remove streams/v1/*.sjson"));
      return FALSE;
    }
  return write_document (self, LIST, g_strdup (list), key, error)
         && write_document (self, INDEX, lodge_streams_list_make_index (images, LIST), key, error)
         && remove_unnamed (self, list, before, error);
}
