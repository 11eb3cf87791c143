/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-inflate.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <glib.h>
#include <malloc.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_SIZE (256 * 1024)
#define N_BLOCKS   8

typedef struct
{
  size_t size;     /* 0: the end, or a failure */
  uint64_t offset; /* of the file, after what this came from */
  char data[BLOCK_SIZE];
} Block;

struct LodgeInflate
{
  int fd;
  GThread *thread;
  GAsyncQueue *empty; /* Block */
  GAsyncQueue *full;
  Block *taken; /* by the caller */
  uint64_t offset;
  gint stop; /* atomic */

  /* The thread's, until it has given its last block. */
  struct archive *archive;
  char input[BLOCK_SIZE];
  uint64_t input_offset;
  const char *piece; /* that did not fit */
  size_t piece_size;
  bool failed;
  int read_error;
  char *error;
};

/* ---- in the thread ---- */

static la_ssize_t
on_read (struct archive *archive, void *user_data, const void **out_data)
{
  LodgeInflate *self = user_data;
  ssize_t n = pread (self->fd, self->input, BLOCK_SIZE, (off_t) self->input_offset);

  if (n < 0)
    {
      self->read_error = errno;
      archive_set_error (archive, errno, "The file cannot be read");
      return ARCHIVE_FATAL;
    }
  self->input_offset += (uint64_t) n;
  *out_data = self->input;
  return n;
}

typedef int (*SupportFunc) (struct archive *archive);

/** Whether the file is open; it may be one that is not compressed. */
static bool
open_archive (LodgeInflate *self)
{
  /* None of these may fall back to a program: WARN says that one would. */
  static const SupportFunc SUPPORT[] = {
    archive_read_support_format_raw,  archive_read_support_format_empty,
    archive_read_support_filter_gzip, archive_read_support_filter_bzip2,
    archive_read_support_filter_xz,   archive_read_support_filter_zstd,
    archive_read_support_filter_lz4,
  };
  struct archive_entry *entry;

  for (gsize i = 0; i < G_N_ELEMENTS (SUPPORT); i++)
    if (SUPPORT[i](self->archive) != ARCHIVE_OK)
      return false;
  return archive_read_open2 (self->archive, self, NULL, on_read, NULL, NULL) == ARCHIVE_OK
         && archive_read_next_header (self->archive, &entry) >= ARCHIVE_WARN;
}

/** Moves on to the next piece; false at the end. */
static bool
next_piece (LodgeInflate *self)
{
  const void *data = NULL;
  size_t size = 0;
  la_int64_t offset;
  int status = archive_read_data_block (self->archive, &data, &size, &offset);

  if (status != ARCHIVE_OK && status != ARCHIVE_EOF)
    self->failed = true;
  self->piece = data;
  self->piece_size = status == ARCHIVE_OK ? size : 0;
  return status == ARCHIVE_OK;
}

static void
fill_unpacked (LodgeInflate *self, Block *block)
{
  while (block->size < BLOCK_SIZE && (self->piece_size > 0 || next_piece (self)))
    {
      size_t n = MIN (self->piece_size, BLOCK_SIZE - block->size);
      memcpy (block->data + block->size, self->piece, n);
      block->size += n;
      self->piece += n;
      self->piece_size -= n;
    }
}

/** Without libarchive, which would have it copied once more. */
static void
fill_plain (LodgeInflate *self, Block *block)
{
  ssize_t n = pread (self->fd, block->data, BLOCK_SIZE, (off_t) self->input_offset);

  if (n < 0)
    {
      self->read_error = errno;
      self->failed = true;
      return;
    }
  block->size = (size_t) n;
  self->input_offset += (uint64_t) n;
}

static gpointer
inflate (gpointer user_data)
{
  LodgeInflate *self = user_data;
  bool plain = false, more = true;

  self->archive = archive_read_new ();
  self->failed = !open_archive (self);
  /* There is always one filter: the one that does nothing. */
  if (!self->failed && archive_filter_count (self->archive) == 1)
    {
      plain = true;
      self->input_offset = 0;
    }
  while (more)
    {
      Block *block = g_async_queue_pop (self->empty);
      if (g_atomic_int_get (&self->stop))
        {
          g_free (block);
          break;
        }
      block->size = 0;
      if (!self->failed && plain)
        fill_plain (self, block);
      else if (!self->failed)
        fill_unpacked (self, block);
      more = block->size > 0;
      block->offset = self->input_offset;
      if (!more && self->failed && self->read_error == 0)
        self->error = g_strdup (archive_error_string (self->archive));
      g_async_queue_push (self->full, block);
    }
  archive_read_free (self->archive);
  return NULL;
}

/* ---- the caller's ---- */

LodgeInflate *
lodge_inflate_start (int fd)
{
  LodgeInflate *self = g_new0 (LodgeInflate, 1);

  /* An arena of the thread's own would take most of the address space that an import may have. */
  mallopt (M_ARENA_MAX, 1);
  self->fd = fd;
  self->empty = g_async_queue_new_full (g_free);
  self->full = g_async_queue_new_full (g_free);
  for (int i = 0; i < N_BLOCKS; i++)
    g_async_queue_push (self->empty, g_new (Block, 1));
  self->thread = g_thread_new ("inflate", inflate, self);
  return self;
}

void
lodge_inflate_free (LodgeInflate *self)
{
  if (self == NULL)
    return;
  g_atomic_int_set (&self->stop, 1);
  /* It may wait for one. */
  g_async_queue_push (self->empty, g_new (Block, 1));
  g_thread_join (self->thread);
  g_async_queue_unref (self->empty);
  g_async_queue_unref (self->full);
  g_free (self->taken);
  g_free (self->error);
  g_free (self);
}

ssize_t
lodge_inflate_next (LodgeInflate *self, const void **out_data)
{
  /* The last block is kept: whoever asks again gets the same answer. */
  if (self->taken == NULL || self->taken->size > 0)
    {
      if (self->taken != NULL)
        g_async_queue_push (self->empty, g_steal_pointer (&self->taken));
      self->taken = g_async_queue_pop (self->full);
      self->offset = self->taken->offset;
    }
  *out_data = self->taken->data;
  if (self->taken->size > 0)
    return (ssize_t) self->taken->size;
  return self->failed ? -1 : 0;
}

uint64_t
lodge_inflate_get_offset (const LodgeInflate *self)
{
  return self->offset;
}

int
lodge_inflate_get_errno (const LodgeInflate *self)
{
  return self->read_error;
}

const char *
lodge_inflate_get_error (const LodgeInflate *self)
{
  return self->error;
}
