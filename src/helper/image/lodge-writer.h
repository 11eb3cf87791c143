/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lodge-fail.h"
#include "lodge-member.h"

/*
 * Writes what an archive holds below a directory.  libarchive's own writer looks at each directory
 * of each path anew, file by file, and writes in pieces of a file system block: that takes longer
 * than the writing.  Here a member is made by its name alone in a directory that is held open, and
 * that the kernel found without leaving the root and without a link (RESOLVE_BENEATH,
 * RESOLVE_NO_SYMLINKS).  No name is ever followed.
 */
typedef struct LodgeWriter LodgeWriter;

/**
 * lodge_writer_new:
 * @root_fd: the directory, open for reading; borrowed
 *
 * (transfer full): ends with lodge_writer_free().
 */
LodgeWriter *lodge_writer_new (int root_fd);
void lodge_writer_free (LodgeWriter *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (LodgeWriter, lodge_writer_free)

/**
 * lodge_writer_begin:
 * @entry: sanitized; a regular file, a directory, a link or a FIFO
 * @member: its place.  Directories on the way are made; what has its name is replaced, a link
 *   itself and not what it names; a directory stays one
 *
 * Follow it by lodge_writer_add() for files with contents, and lodge_writer_end().
 *
 * Errors: ImageInvalid, NoSpace.
 */
bool lodge_writer_begin (LodgeWriter *self, struct archive_entry *entry, const LodgeMember *member,
                         LodgeFail *fail);

/** Adds contents of the member; what is between the pieces, or zero, becomes a hole. */
bool lodge_writer_add (LodgeWriter *self, const void *data, size_t size, int64_t offset,
                       LodgeFail *fail);

/** Gives the member its attributes. */
bool lodge_writer_end (LodgeWriter *self, LodgeFail *fail);

/** To be called when others have removed directories below the root. */
void lodge_writer_forget (LodgeWriter *self);

/** Gives directories the times that they would have lost since. */
void lodge_writer_finish (LodgeWriter *self);

/** Members that lack an attribute which the file system did not take. */
uint64_t lodge_writer_get_incomplete (const LodgeWriter *self);
