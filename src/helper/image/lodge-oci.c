/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-oci.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lodge-extract.h"
#include "lodge-fingerprint.h"
#include "lodge-io.h"
#include "lodge-oci-document.h"
#include "lodge-status.h"

#define INDEXES_MAX 4 /* an index may name an index */

typedef struct
{
  const LodgeOci *oci;
  LodgeFacts *facts;
  int dir_fd;
  GPtrArray *layers; /* paths below the directory, owned */
  uint64_t members;
  uint64_t devices;
  LodgeFail *fail;
} Unpacking;

static int
open_inside (const Unpacking *self, const char *path)
{
  struct open_how how = { .flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC,
                          .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
  return (int) syscall (SYS_openat2, self->dir_fd, path, &how, sizeof how);
}

/** (transfer full): the text of a document; NULL with or without an error: see @wanted. */
static char *
read_text (Unpacking *self, const char *path, bool wanted, size_t *out_size)
{
  LODGE_AUTOFD fd = open_inside (self, path);
  struct stat st;
  if (fd < 0 && !wanted)
    return NULL;
  if (fd < 0 || fstat (fd, &st) < 0 || !S_ISREG (st.st_mode) || st.st_size > LODGE_OCI_JSON_MAX)
    {
      lodge_fail (self->fail, "ImageInvalid", "The OCI image has no sound %.100s", path);
      return NULL;
    }
  g_autofree char *text = g_malloc (LODGE_OCI_JSON_MAX + 1);
  ssize_t n = lodge_io_read_fd (fd, text, LODGE_OCI_JSON_MAX + 1);
  if (n < 0)
    {
      lodge_fail_errno (self->fail, errno, "%.100s of the OCI image cannot be read", path);
      return NULL;
    }
  *out_size = (size_t) n;
  return g_steal_pointer (&text);
}

/** The path of a blob, after its contents were checked.  (transfer full) */
static char *
find_blob (Unpacking *self, const char *digest)
{
  char fingerprint[LODGE_FINGERPRINT_SIZE];
  uint64_t bytes;
  g_autofree char *path = g_strconcat ("blobs/sha256/", digest, NULL);
  LODGE_AUTOFD fd = open_inside (self, path);

  if (fd < 0)
    {
      lodge_fail (self->fail, "ImageInvalid", "The OCI image lacks the blob %.12s", digest);
      return NULL;
    }
  if (!lodge_fingerprint_file (fd, NULL, NULL, fingerprint, &bytes, self->fail))
    return NULL;
  if (strcmp (fingerprint, digest) != 0)
    {
      lodge_fail (self->fail, "ImageInvalid", "The blob %.12s of the OCI image is damaged", digest);
      return NULL;
    }
  return g_steal_pointer (&path);
}

/* ---- finding the layers ---- */

static bool
take_config (Unpacking *self, const char *path)
{
  size_t size;
  g_autofree char *text = path != NULL ? read_text (self, path, true, &size) : NULL;

  return text != NULL && lodge_oci_read_config (text, size, self->facts, self->fail);
}

/** Goes from an @index (transfer full) to a manifest, and takes what it names. */
static bool
list_oci_layers (Unpacking *self, char *index, size_t size)
{
  g_autofree char *text = index;

  for (int i = 0; i < INDEXES_MAX; i++)
    {
      g_auto (LodgeOciDocument) document = { 0 };
      if (!lodge_oci_read_document (text, size, &document, self->fail))
        return false;
      if (document.manifest != NULL)
        {
          g_autofree char *path = find_blob (self, document.manifest);
          g_free (text);
          text = path != NULL ? read_text (self, path, true, &size) : NULL;
          if (text == NULL)
            return false;
          continue;
        }
      g_autofree char *config = find_blob (self, document.config);
      if (!take_config (self, config))
        return false;
      for (guint l = 0; l < document.layers->len; l++)
        {
          char *path = find_blob (self, g_ptr_array_index (document.layers, l));
          if (path == NULL)
            return false;
          g_ptr_array_add (self->layers, path);
        }
      return true;
    }
  return lodge_fail (self->fail, "ImageInvalid", "The OCI image has too many indexes");
}

/** What `docker save` writes: a list of images; the first is taken. */
static bool
list_docker_layers (Unpacking *self, const char *text, size_t size)
{
  g_auto (LodgeOciDocument) document = { 0 };

  if (!lodge_oci_read_docker (text, size, &document, self->fail))
    return false;
  if (document.images > 1)
    lodge_status_notice ("The archive has more than one image; only the first was imported.");
  if (!take_config (self, document.config))
    return false;
  g_ptr_array_extend_and_steal (self->layers, g_steal_pointer (&document.layers));
  return true;
}

/* ---- applying them ---- */

static bool
apply_layer (Unpacking *self, const char *path)
{
  LODGE_AUTOFD fd = open_inside (self, path);
  const LodgeExtract extract
      = { .fd = fd,
          .limits = { .ids = self->oci->ids, .max_bytes = self->oci->max_bytes },
          .max_total = self->oci->max_bytes,
          .max_members = self->oci->max_members,
          .target = self->oci->target,
          .side_fd = -1,
          .is_layer = true };
  LodgeExtractResult result = { 0 };

  if (fd < 0)
    return lodge_fail (self->fail, "ImageInvalid", "The OCI image lacks the layer %.100s", path);
  if (!lodge_extract_run (&extract, &result, self->fail))
    return false;
  self->devices += result.devices;
  return true;
}

static bool
unpack (Unpacking *self)
{
  size_t size = 0;
  g_autofree char *index = read_text (self, "index.json", false, &size);
  g_autofree char *manifest = index == NULL && self->fail->nick == NULL
                                  ? read_text (self, "manifest.json", true, &size)
                                  : NULL;

  if (index == NULL && manifest == NULL)
    return false;
  if (!(index != NULL ? list_oci_layers (self, g_steal_pointer (&index), size)
                      : list_docker_layers (self, manifest, size)))
    return false;
  for (guint i = 0; i < self->layers->len; i++)
    if (!apply_layer (self, g_ptr_array_index (self->layers, i)))
      return false;
  if (self->devices > 0)
    lodge_status_notice ("%" G_GUINT64_FORMAT " device nodes of the image were left out.",
                         self->devices);
  return true;
}

bool
lodge_oci_unpack (const LodgeOci *oci, LodgeFacts *facts, LodgeFail *fail)
{
  g_autoptr (GPtrArray) layers = g_ptr_array_new_with_free_func (g_free);
  LODGE_AUTOFD dir_fd = open (oci->dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  Unpacking self = { .oci = oci, .facts = facts, .dir_fd = dir_fd, .layers = layers, .fail = fail };

  if (dir_fd < 0 || (mkdir (oci->target, 0755) < 0 && errno != EEXIST))
    return lodge_fail_errno (fail, errno, "The OCI image cannot be unpacked");
  return unpack (&self);
}
