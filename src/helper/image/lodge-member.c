/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-member.h"

#include <archive.h>
#include <archive_entry.h>
#include <endian.h>
#include <glib.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define METADATA_FILE    "metadata.yaml"
#define METADATA_MAX     (1024 * 1024)
#define TEMPLATES_DIR    "templates"
#define TEMPLATE_MAX     (64 * 1024)
#define ROOTFS_DIR       "rootfs"
#define DISK_FILE        "rootfs.img"
#define XATTR_SIZE_MAX   65536
#define CAPABILITY_XATTR "security.capability"

bool
lodge_member_clean_path (const char *raw, char *out_path, size_t size, LodgeFail *fail)
{
  size_t used = 0;

  if (raw == NULL || *raw == '\0')
    return lodge_fail (fail, "ImageInvalid", "The archive has a member without a name");
  if (*raw == '/')
    return lodge_fail (fail, "ImageInvalid", "The archive has an absolute path: %.200s", raw);
  while (*raw != '\0')
    {
      size_t length = strcspn (raw, "/");
      if (length == 2 && memcmp (raw, "..", 2) == 0)
        return lodge_fail (fail, "ImageInvalid", "The archive has a path with “..” in it");
      if (length > 0 && !(length == 1 && *raw == '.'))
        {
          if (used + length + 2 > size || length > 255)
            return lodge_fail (fail, "ImageInvalid", "The archive has a path that is too long");
          if (used > 0)
            out_path[used++] = '/';
          memcpy (out_path + used, raw, length);
          used += length;
        }
      raw += length + (raw[length] == '/');
    }
  out_path[used] = '\0';
  return true;
}

/** The part of @path below @directory, "" for @directory itself, NULL when it is not there. */
static const char *
below (const char *path, const char *directory)
{
  size_t length = strlen (directory);
  if (strncmp (path, directory, length) != 0)
    return NULL;
  if (path[length] == '\0')
    return path + length;
  return path[length] == '/' ? path + length + 1 : NULL;
}

static bool
is_oci_name (const char *path)
{
  static const char *const NAMES[]
      = { "oci-layout", "index.json", "manifest.json", "repositories" };
  size_t digits = strspn (path, "0123456789abcdef");

  for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
    if (strcmp (path, NAMES[i]) == 0)
      return true;
  return below (path, "blobs") != NULL
         || (digits == 64
             && (path[64] == '\0' || path[64] == '/' || strcmp (path + 64, ".json") == 0));
}

static bool
has_suffix (const char *path, const char *suffix)
{
  size_t length = strlen (path), suffix_length = strlen (suffix);
  return length > suffix_length && strcasecmp (path + length - suffix_length, suffix) == 0;
}

/** What a first member of that name begins.  An OVA has its description first. */
static LodgeLayout
guess_layout (const char *path, bool metadata_only)
{
  if (metadata_only || strcmp (path, METADATA_FILE) == 0 || strcmp (path, DISK_FILE) == 0
      || below (path, TEMPLATES_DIR) != NULL || below (path, ROOTFS_DIR) != NULL)
    return LODGE_LAYOUT_UNIFIED;
  if (is_oci_name (path))
    return LODGE_LAYOUT_OCI;
  return has_suffix (path, ".ovf") && strchr (path, '/') == NULL ? LODGE_LAYOUT_OVA
                                                                 : LODGE_LAYOUT_PLAIN;
}

static bool
check_metadata (struct archive_entry *entry, const char *name, LodgeFail *fail)
{
  if (archive_entry_filetype (entry) != AE_IFREG || archive_entry_hardlink (entry) != NULL)
    return lodge_fail (fail, "ImageInvalid", "%.200s of the archive is not a plain file", name);
  if (!archive_entry_size_is_set (entry) || archive_entry_size (entry) < 0
      || archive_entry_size (entry) > METADATA_MAX)
    return lodge_fail (fail, "ImageInvalid", "%.200s of the archive is larger than 1 MiB", name);
  return true;
}

bool
lodge_member_is_template_name (const char *name)
{
  size_t length = strspn (name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "._-+@");
  return length > 0 && length < 128 && name[length] == '\0' && *name != '.';
}

static bool
place_template (struct archive_entry *entry, const char *name, LodgeMember *member, LodgeFail *fail)
{
  mode_t type = archive_entry_filetype (entry);
  bool is_file = *name != '\0' && type == AE_IFREG && archive_entry_hardlink (entry) == NULL;

  if (!is_file && (type != AE_IFDIR || archive_entry_hardlink (entry) != NULL))
    return lodge_fail (fail, "ImageInvalid", "templates of the archive has more than plain files");
  member->use = LODGE_MEMBER_SKIP;
  if (!is_file)
    return true;
  if (!lodge_member_is_template_name (name) || !archive_entry_size_is_set (entry)
      || archive_entry_size (entry) < 0 || archive_entry_size (entry) > TEMPLATE_MAX)
    return lodge_fail (fail, "ImageInvalid",
                       "A template of the archive has an odd name or is larger than 64 KiB");
  member->use = LODGE_MEMBER_TEMPLATE;
  memmove (member->path, name, strlen (name) + 1);
  return true;
}

static bool
place_disk (struct archive_entry *entry, const LodgeMemberLimits *limits, LodgeMember *member,
            LodgeFail *fail)
{
  member->use = LODGE_MEMBER_DISK;
  if (archive_entry_filetype (entry) != AE_IFREG || archive_entry_hardlink (entry) != NULL)
    return lodge_fail (fail, "ImageInvalid", "%.200s of the archive is not a plain file",
                       member->path);
  la_int64_t size = archive_entry_size_is_set (entry) ? archive_entry_size (entry) : 0;
  if (size < 0 || (uint64_t) size > limits->max_bytes)
    return lodge_fail (fail, "ImageInvalid", "%.200s claims to be larger than the limit",
                       member->path);
  return true;
}

/** Decides by the place of a member in a unified archive; moves @path below rootfs/. */
static bool
place_unified (struct archive_entry *entry, const LodgeMemberLimits *limits, LodgeMember *member,
               LodgeFail *fail)
{
  const char *inner = below (member->path, ROOTFS_DIR);
  const char *template = below (member->path, TEMPLATES_DIR);

  if (strcmp (member->path, METADATA_FILE) == 0)
    {
      member->use = LODGE_MEMBER_METADATA;
      return check_metadata (entry, METADATA_FILE, fail);
    }
  if (template != NULL)
    return place_template (entry, template, member, fail);
  bool is_disk = strcmp (member->path, DISK_FILE) == 0;
  if (limits->metadata_only && (inner != NULL || is_disk))
    return lodge_fail (fail, "ImageInvalid",
                       "The first of the two files is an image by itself\n"
                       "A split image has its metadata in the first file, its root in the second.");
  if (is_disk)
    return place_disk (entry, limits, member, fail);
  if (inner == NULL)
    {
      member->use = LODGE_MEMBER_SKIP;
      return *member->path == '\0'
             || lodge_fail (fail, "ImageInvalid",
                            "The archive has a member that no image has: %.200s", member->path);
    }
  memmove (member->path, inner, strlen (inner) + 1);
  return true;
}

/** A description, disks, and what signs them; all in the archive's own directory. */
static bool
place_ova (struct archive_entry *entry, const LodgeMemberLimits *limits, LodgeMember *member,
           LodgeFail *fail)
{
  if (has_suffix (member->path, ".ovf"))
    {
      member->use = LODGE_MEMBER_METADATA;
      return check_metadata (entry, member->path, fail);
    }
  if (archive_entry_filetype (entry) == AE_IFREG && strchr (member->path, '/') == NULL)
    return place_disk (entry, limits, member, fail);
  member->use = LODGE_MEMBER_SKIP;
  return true;
}

/** Plain files and directories; the blobs are looked at later. */
static bool
place_oci (struct archive_entry *entry, LodgeMember *member, LodgeFail *fail)
{
  mode_t type = archive_entry_filetype (entry);

  if (type == AE_IFREG || type == AE_IFDIR || *member->path == '\0')
    return true;
  /* docker save links layers that are the same. */
  if (type == AE_IFLNK && has_suffix (member->path, "/layer.tar"))
    return true;
  return lodge_fail (fail, "ImageInvalid", "%.200s of the archive is not a plain file",
                     member->path);
}

static bool
place (struct archive_entry *entry, LodgeLayout layout, const LodgeMemberLimits *limits,
       LodgeMember *member, LodgeFail *fail)
{
  switch (layout)
    {
    case LODGE_LAYOUT_UNIFIED:
      return place_unified (entry, limits, member, fail);
    case LODGE_LAYOUT_OVA:
      return place_ova (entry, limits, member, fail);
    case LODGE_LAYOUT_OCI:
      return place_oci (entry, member, fail);
    default:
      return true;
    }
}

/** A hard link's target goes through all that its name goes through. */
static bool
take_hard_link (const char *raw, LodgeLayout layout, LodgeMember *member, LodgeFail *fail)
{
  if (!lodge_member_clean_path (raw, member->link, sizeof member->link, fail))
    return false;
  if (layout == LODGE_LAYOUT_UNIFIED)
    {
      const char *inner = below (member->link, ROOTFS_DIR);
      if (inner == NULL)
        return lodge_fail (fail, "ImageInvalid", "%.200s is a hard link out of the root",
                           member->path);
      memmove (member->link, inner, strlen (inner) + 1);
    }
  return *member->link != '\0'
         || lodge_fail (fail, "ImageInvalid", "%.200s is a hard link to the root", member->path);
}

static bool
check_numbers (struct archive_entry *entry, const LodgeMemberLimits *limits, const char *path,
               LodgeFail *fail)
{
  la_int64_t uid = archive_entry_uid (entry), gid = archive_entry_gid (entry);
  la_int64_t size = archive_entry_size_is_set (entry) ? archive_entry_size (entry) : 0;

  if (uid < 0 || uid >= limits->ids || gid < 0 || gid >= limits->ids)
    return lodge_fail (fail, "ImageInvalid", "%.200s belongs to a user or group above %u", path,
                       limits->ids - 1);
  if (size < 0)
    return lodge_fail (fail, "ImageInvalid", "%.200s claims to be smaller than nothing", path);
  if ((uint64_t) size > limits->max_bytes)
    return lodge_fail (fail, "NoSpace", "%.200s claims to be larger than there is room for", path);
  return true;
}

static bool
check_type (struct archive_entry *entry, LodgeMember *member, LodgeFail *fail)
{
  const char *target = archive_entry_symlink (entry);

  if (archive_entry_hardlink (entry) != NULL)
    return true;
  switch (archive_entry_filetype (entry))
    {
    case AE_IFREG:
    case AE_IFIFO:
      return *member->path != '\0'
             || lodge_fail (fail, "ImageInvalid", "The root of the archive is not a directory");
    case AE_IFDIR:
      return true;
    case AE_IFLNK:
      if (*member->path == '\0')
        return lodge_fail (fail, "ImageInvalid", "The root of the archive is a symbolic link");
      if (target == NULL || *target == '\0' || strlen (target) >= LODGE_MEMBER_PATH_MAX)
        return lodge_fail (fail, "ImageInvalid", "%.200s is a link to nothing", member->path);
      return true;
    case AE_IFCHR:
    case AE_IFBLK:
    case AE_IFSOCK:
      member->use = LODGE_MEMBER_DEVICE;
      return true;
    default:
      return lodge_fail (fail, "ImageInvalid", "%.200s is of an unknown type", member->path);
    }
}

bool
lodge_member_examine (struct archive_entry *entry, LodgeLayout *layout,
                      const LodgeMemberLimits *limits, LodgeMember *out_member, LodgeFail *fail)
{
  const char *hard_link = archive_entry_hardlink (entry);

  out_member->use = LODGE_MEMBER_EXTRACT;
  out_member->link[0] = '\0';
  out_member->keep_acls = limits->keep_acls;
  if (!lodge_member_clean_path (archive_entry_pathname (entry), out_member->path,
                                sizeof out_member->path, fail))
    return false;
  if (*layout == LODGE_LAYOUT_UNKNOWN && *out_member->path != '\0')
    *layout = guess_layout (out_member->path, limits->metadata_only);
  if (!place (entry, *layout, limits, out_member, fail))
    return false;
  if (out_member->use != LODGE_MEMBER_EXTRACT)
    return true;
  if (hard_link != NULL && !take_hard_link (hard_link, *layout, out_member, fail))
    return false;
  if (hard_link != NULL && *out_member->path == '\0')
    return lodge_fail (fail, "ImageInvalid", "The root of the archive is a hard link");
  return check_type (entry, out_member, fail)
         && check_numbers (entry, limits, out_member->path, fail);
}

/*
 * Capabilities are kept in the form without a root id: the kernel adds that of the sandbox, which
 * the id-mapped mount takes away again, so that it ends up on disk as the guest would have it.
 */
static void
keep_capability (struct archive_entry *entry, const void *value, size_t size)
{
  struct vfs_ns_cap_data data = { 0 };
  if (size != XATTR_CAPS_SZ_2 && size != XATTR_CAPS_SZ_3)
    return;
  memcpy (&data, value, XATTR_CAPS_SZ_2);
  uint32_t flags = le32toh (data.magic_etc) & VFS_CAP_FLAGS_MASK;
  data.magic_etc = htole32 (VFS_CAP_REVISION_2 | flags);
  archive_entry_xattr_add_entry (entry, CAPABILITY_XATTR, &data, XATTR_CAPS_SZ_2);
}

static void
filter_xattrs (struct archive_entry *entry, struct archive_entry *original)
{
  mode_t type = archive_entry_filetype (original);
  const char *name;
  const void *value;
  size_t size;

  archive_entry_xattr_clear (entry);
  archive_entry_xattr_reset (original);
  while (archive_entry_xattr_next (original, &name, &value, &size) == ARCHIVE_OK)
    {
      if (type == AE_IFREG && strcmp (name, CAPABILITY_XATTR) == 0)
        keep_capability (entry, value, size);
      else if ((type == AE_IFREG || type == AE_IFDIR) && strncmp (name, "user.", 5) == 0
               && size <= XATTR_SIZE_MAX)
        archive_entry_xattr_add_entry (entry, name, value, size);
    }
}

/** An ACL is an attribute too: acl(5) in the form of the kernel's <linux/posix_acl_xattr.h>. */
static void
keep_acl (struct archive_entry *entry, int want, const char *attribute)
{
  static const struct
  {
    int tag;
    uint16_t value;
  } TAGS[] = {
    { ARCHIVE_ENTRY_ACL_USER_OBJ, 0x01 },  { ARCHIVE_ENTRY_ACL_USER, 0x02 },
    { ARCHIVE_ENTRY_ACL_GROUP_OBJ, 0x04 }, { ARCHIVE_ENTRY_ACL_GROUP, 0x08 },
    { ARCHIVE_ENTRY_ACL_MASK, 0x10 },      { ARCHIVE_ENTRY_ACL_OTHER, 0x20 },
  };
  mode_t file_type = archive_entry_filetype (entry);
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  uint32_t version = htole32 (2);
  int type, permissions, tag, id;
  const char *name;

  if ((file_type != AE_IFREG && file_type != AE_IFDIR)
      || archive_entry_acl_reset (entry, want) == 0)
    return;
  g_byte_array_append (bytes, (const guint8 *) &version, sizeof version);
  while (archive_entry_acl_next (entry, want, &type, &permissions, &tag, &id, &name) == ARCHIVE_OK)
    for (size_t i = 0; i < G_N_ELEMENTS (TAGS); i++)
      if (TAGS[i].tag == tag)
        {
          bool named = tag == ARCHIVE_ENTRY_ACL_USER || tag == ARCHIVE_ENTRY_ACL_GROUP;
          uint16_t head[] = { htole16 (TAGS[i].value), htole16 ((uint16_t) (permissions & 7)) };
          uint32_t who = htole32 (named ? (uint32_t) id : UINT32_MAX);
          g_byte_array_append (bytes, (const guint8 *) head, sizeof head);
          g_byte_array_append (bytes, (const guint8 *) &who, sizeof who);
        }
  archive_entry_xattr_add_entry (entry, attribute, bytes->data, bytes->len);
}

void
lodge_member_sanitize (struct archive_entry *entry, const LodgeMember *member)
{
  archive_entry_set_fflags (entry, 0, 0);
  /* Few members have any, and a copy of each member would take its time. */
  if (archive_entry_xattr_count (entry) > 0)
    {
      struct archive_entry *original = archive_entry_clone (entry);
      filter_xattrs (entry, original);
      archive_entry_free (original);
    }
  if (member->keep_acls)
    {
      keep_acl (entry, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, "system.posix_acl_access");
      keep_acl (entry, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT, "system.posix_acl_default");
    }
  archive_entry_acl_clear (entry);
  archive_entry_set_pathname (entry, *member->path != '\0' ? member->path : ".");
  if (*member->link != '\0')
    archive_entry_set_hardlink (entry, member->link);
  archive_entry_set_perm (entry, archive_entry_perm (entry) & 07777);
}
