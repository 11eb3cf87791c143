/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lodge-fail.h"

struct archive;

/** A root file system that becomes members of a tar archive: always the same of the same tree. */
typedef struct
{
  const char *rootfs;
  const char *prefix;    /* of the members' names; "": the tree is all of the archive */
  bool keep_times;       /* of modification, in seconds; else all are 0 */
  const char *leave_out; /* NULL, or the name of an empty directory in the root */
  void (*progress) (uint64_t bytes, void *user_data); /* NULL: none */
  void *user_data;
} LodgeTarball;

/** Writes the members in the order of names.  @out_bytes: on disk. */
bool lodge_tarball_add_tree (struct archive *archive, const LodgeTarball *tarball,
                             uint64_t *out_bytes, LodgeFail *fail);

/** Writes a plain file of root's, with a time of 0. */
bool lodge_tarball_add_text (struct archive *archive, const char *name, const char *text,
                             size_t size, LodgeFail *fail);

/** The same of an open file with its contents, sparse places too. */
bool lodge_tarball_add_file (struct archive *archive, const char *name, int fd, LodgeFail *fail);
