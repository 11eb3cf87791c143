/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lodge-fail.h"

struct archive_entry;

#define LODGE_MEMBER_PATH_MAX 4096

/** How the archive is laid out, which its first named member tells. */
typedef enum
{
  LODGE_LAYOUT_UNKNOWN,
  LODGE_LAYOUT_PLAIN,   /* members are below "/" */
  LODGE_LAYOUT_UNIFIED, /* metadata.yaml, templates/, rootfs/ or rootfs.img */
  LODGE_LAYOUT_OVA,     /* a description of a machine, and its disks */
  LODGE_LAYOUT_OCI,     /* an index, and blobs */
} LodgeLayout;

typedef enum
{
  LODGE_MEMBER_EXTRACT,  /* `path` is where, below the root; "" is the root itself */
  LODGE_MEMBER_METADATA, /* metadata.yaml, or the description in an OVA */
  LODGE_MEMBER_TEMPLATE, /* `path` is its name below templates/ */
  LODGE_MEMBER_DISK,     /* `path` is its name */
  LODGE_MEMBER_SKIP,     /* nothing that an instance needs */
  LODGE_MEMBER_DEVICE,   /* a device node or a socket: dropped, and counted */
} LodgeMemberUse;

/** What a member must keep to. */
typedef struct
{
  uint32_t ids;       /* uids and gids from here on are refused */
  uint64_t max_bytes; /* of one file */
  bool metadata_only; /* the first of a split image's two files: no root in it */
  bool keep_acls;     /* of a system of this host's own, not of somebody's image */
} LodgeMemberLimits;

typedef struct
{
  LodgeMemberUse use;
  char path[LODGE_MEMBER_PATH_MAX];
  char link[LODGE_MEMBER_PATH_MAX]; /* target of a hard link, below the root; "": none */
  bool keep_acls;
} LodgeMember;

/**
 * lodge_member_clean_path:
 * @size: of @out_path
 *
 * Removes "." and repeated slashes.  Absolute paths, "..", paths that are empty before or too long
 * are refused.  A path of nothing but "." gives "".
 */
bool lodge_member_clean_path (const char *raw, char *out_path, size_t size, LodgeFail *fail);

/**
 * lodge_member_examine:
 * @layout: (inout): found out by the first member that has a name
 *
 * Decides what becomes of a member, before anything of it is written.  Refusals are ImageInvalid
 * and name the member.
 */
bool lodge_member_examine (struct archive_entry *entry, LodgeLayout *layout,
                           const LodgeMemberLimits *limits, LodgeMember *out_member,
                           LodgeFail *fail);

/** Whether @name may be that of a template: nothing that needs thought as a file name. */
bool lodge_member_is_template_name (const char *name);

/**
 * lodge_member_sanitize:
 *
 * Gives @entry the paths of @member, and takes away what an image must not bring: access control
 * lists, file flags, and extended attributes other than user.* and security.capability.
 */
void lodge_member_sanitize (struct archive_entry *entry, const LodgeMember *member);
