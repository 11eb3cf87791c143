/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the steps of an import share.  Each runs in a sandbox of its own that sees no more than it
 * needs; what it found out it leaves in memory that it shares with the worker. */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "lodge-extract.h"
#include "lodge-facts.h"
#include "lodge-fail.h"
#include "lodge-sniff.h"

G_BEGIN_DECLS

#define LODGE_IMPORT_ROOTFS "rootfs"
#define LODGE_IMPORT_OCI    "oci" /* an unpacked OCI image, until its layers are */
#define LODGE_IMPORT_DISK   "disk.qcow2"
#define LODGE_IMPORT_MEDIUM "disk.iso"
#define LODGE_IMPORT_INPUT  "/input" /* in sandboxes with the host's tools */

#define LODGE_IMPORT_MEMBERS_MAX (4u << 20)

/** Written by the steps, in shared memory: what is in it is only shown, or checked. */
typedef struct
{
  LodgeFacts facts;
  LodgeLayout layout;
  bool has_root;
  bool has_disk;
  bool has_medium;
  uint64_t size;
  uint64_t virtual_size;
} LodgeImportFound;

typedef struct
{
  int input; /* the file of this step */
  LodgeFormat format;
  uint64_t max_bytes;
  uint64_t max_virtual;
  uint64_t memory; /* bytes of address space; 0: no limit of its own */
  bool metadata_only;
  bool keep_acls; /* see LodgeMemberLimits */
  bool inspect;
  const char *appliance; /* NULL: disks cannot be looked into */
  LodgeImportFound *found;
} LodgeImportStep;

/* Each is a LodgeSandboxFunc of a LodgeImportStep. */

/** A tar archive: a root file system, or metadata, or with a disk in it.  Needs no tools. */
int lodge_import_unpack (gpointer step);
/** What lodge_import_unpack() left of an OCI image.  Needs no tools. */
int lodge_import_oci (gpointer step);
/** A squashfs, with unsquashfs. */
int lodge_import_squashfs (gpointer step);
/** An install medium, which stays what it is.  Its file may be in its place already.  Needs no
 * tools. */
int lodge_import_iso (gpointer step);
/** A disk, with qemu-img. */
int lodge_import_disk (gpointer step);

/** Limits the address space of this process and of what it starts; for a step's beginning. */
void lodge_import_limit_memory (const LodgeImportStep *step);

/**
 * lodge_import_find_input:
 *
 * The name under which a program in a sandbox with tools can open the step's file: an id-mapped
 * mount of that one file; where its file system has no id maps, a copy, to be removed by
 * lodge_import_drop_copy().  Static; NULL on failure.
 */
const char *lodge_import_find_input (const LodgeImportStep *step, LodgeFail *fail);
void lodge_import_drop_copy (void);

/** Copies the step's file to the new file @path. */
bool lodge_import_copy_input (const LodgeImportStep *step, const char *path, LodgeFail *fail);

G_END_DECLS
