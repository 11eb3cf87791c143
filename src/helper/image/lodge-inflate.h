/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Reads a file, and decompresses it when it is compressed, in a thread of its own: so one processor
 * unpacks while the other writes.  What it holds is bounded; it waits when nobody takes it.
 */
typedef struct LodgeInflate LodgeInflate;

/**
 * lodge_inflate_start:
 * @fd: a regular file, read from its beginning; its position does not matter.  Must stay open
 *
 * (transfer full): ends with lodge_inflate_free().  Failures show in lodge_inflate_next().
 */
LodgeInflate *lodge_inflate_start (int fd);

/** Stops the thread, wherever it is.  NULL is nothing. */
void lodge_inflate_free (LodgeInflate *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (LodgeInflate, lodge_inflate_free)

/**
 * lodge_inflate_next:
 * @out_data: what comes next; valid until the next call
 *
 * Blocks.  Returns: the number of bytes, 0 at the end, -1 on failure.
 */
ssize_t lodge_inflate_next (LodgeInflate *self, const void **out_data);

/** Bytes of the file from which all came that has been taken so far. */
uint64_t lodge_inflate_get_offset (const LodgeInflate *self);

/** After a failure: the errno value of a file that cannot be read, 0: its contents are bad. */
int lodge_inflate_get_errno (const LodgeInflate *self);
/** After a failure: what is wrong with the contents, or NULL. */
const char *lodge_inflate_get_error (const LodgeInflate *self);
