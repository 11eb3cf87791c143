/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-qcow2.h"

#include <endian.h>
#include <string.h>

#define MAGIC             0x514649fbu
#define CLUSTER_BITS_MIN  9
#define CLUSTER_BITS_MAX  21
#define HEADER_SIZE_2     72
#define HEADER_SIZE_3     104
#define REFCOUNT_BITS_MAX 6 /* as a power of two */
#define SNAPSHOTS_MAX     1024
#define TABLE_MAX         (32u << 20) /* bytes; QEMU's own limit for the first-level table */

#define INCOMPATIBLE_DATA_FILE (1u << 2)
#define INCOMPATIBLE_KNOWN     0x1fu

#define EXTENSION_END        0u
#define EXTENSION_DATA_FILE  0x44415441u
#define EXTENSION_ENCRYPTION 0x0537be77u

/* All of it big-endian, in the file. */
typedef struct __attribute__ ((packed))
{
  uint32_t magic;
  uint32_t version;
  uint64_t backing_file_offset;
  uint32_t backing_file_size;
  uint32_t cluster_bits;
  uint64_t size;
  uint32_t crypt_method;
  uint32_t l1_size; /* entries of 8 bytes */
  uint64_t l1_table_offset;
  uint64_t refcount_table_offset;
  uint32_t refcount_table_clusters;
  uint32_t nb_snapshots;
  uint64_t snapshots_offset;
  /* version 3 */
  uint64_t incompatible_features;
  uint64_t compatible_features;
  uint64_t autoclear_features;
  uint32_t refcount_order;
  uint32_t header_length;
} Header;

_Static_assert(sizeof (Header) == HEADER_SIZE_3, "the header of version 3");

static bool
refuse (LodgeFail *fail, const char *why)
{
  return lodge_fail (fail, "ImageInvalid", "The qcow2 disk is refused: %s", why);
}

static bool
check_table (uint64_t offset, uint64_t size, uint64_t cluster_size, uint64_t file_size)
{
  return offset % cluster_size == 0 && offset >= cluster_size && offset <= file_size
         && size <= TABLE_MAX && size <= file_size - offset;
}

static bool
check_tables (const Header *header, uint64_t cluster_size, uint64_t file_size, LodgeFail *fail)
{
  uint64_t l1_bytes = (uint64_t) be32toh (header->l1_size) * 8;
  uint64_t refcount_bytes = (uint64_t) be32toh (header->refcount_table_clusters) * cluster_size;
  uint64_t per_entry = cluster_size * (cluster_size / 8);
  uint64_t needed = (be64toh (header->size) + per_entry - 1) / per_entry;

  if (l1_bytes / 8 < needed
      || !check_table (be64toh (header->l1_table_offset), l1_bytes, cluster_size, file_size))
    return refuse (fail, "its cluster table is not within the file");
  if (refcount_bytes == 0
      || !check_table (be64toh (header->refcount_table_offset), refcount_bytes, cluster_size,
                       file_size))
    return refuse (fail, "its reference counts are not within the file");
  if (be32toh (header->nb_snapshots) > SNAPSHOTS_MAX
      || be64toh (header->snapshots_offset) > file_size)
    return refuse (fail, "its snapshots are not within the file");
  return true;
}

static uint32_t
read_32 (const unsigned char *data)
{
  uint32_t value;
  memcpy (&value, data, sizeof value);
  return be32toh (value);
}

/** Each extension is a type, a length, and so many bytes, filled up to a multiple of eight. */
static bool
check_extensions (const unsigned char *head, size_t head_size, size_t start, size_t end,
                  LodgeFail *fail)
{
  size_t at = start;

  while (at + 8 <= end && at + 8 <= head_size)
    {
      uint32_t type = read_32 (head + at), length = read_32 (head + at + 4);
      if (type == EXTENSION_END)
        return true;
      if (type == EXTENSION_DATA_FILE)
        return refuse (fail, "it keeps its data in another file");
      if (type == EXTENSION_ENCRYPTION)
        return refuse (fail, "it is encrypted");
      if (length > end - at - 8)
        return refuse (fail, "its header is malformed");
      at += 8 + ((size_t) length + 7) / 8 * 8;
    }
  return at + 8 > end || refuse (fail, "its header is too long");
}

static bool
check_version_3 (const Header *header, uint64_t cluster_size, LodgeFail *fail)
{
  uint64_t incompatible = be64toh (header->incompatible_features);
  uint32_t length = be32toh (header->header_length);

  if ((incompatible & INCOMPATIBLE_DATA_FILE) != 0)
    return refuse (fail, "it keeps its data in another file");
  if ((incompatible & ~(uint64_t) INCOMPATIBLE_KNOWN) != 0)
    return refuse (fail, "it uses features that are not known");
  if (be32toh (header->refcount_order) > REFCOUNT_BITS_MAX || length < HEADER_SIZE_3
      || length > cluster_size || length % 8 != 0)
    return refuse (fail, "its header is malformed");
  return true;
}

static bool
check_numbers (const Header *header, uint64_t max_virtual_size, LodgeFail *fail)
{
  uint32_t cluster_bits = be32toh (header->cluster_bits);
  uint64_t size = be64toh (header->size);

  if (header->backing_file_offset != 0 || header->backing_file_size != 0)
    return refuse (fail, "it is built on another file (a backing file)");
  if (header->crypt_method != 0)
    return refuse (fail, "it is encrypted");
  if (cluster_bits < CLUSTER_BITS_MIN || cluster_bits > CLUSTER_BITS_MAX)
    return refuse (fail, "its cluster size is out of range");
  if (size == 0 || size > max_virtual_size)
    return lodge_fail (fail, "ImageInvalid",
                       "The qcow2 disk is refused: its virtual size is not between 1 byte and"
                       " %llu GiB",
                       (unsigned long long) (max_virtual_size >> 30));
  return true;
}

bool
lodge_qcow2_check (const void *head, size_t head_size, uint64_t file_size,
                   uint64_t max_virtual_size, LodgeQcow2 *out_header, LodgeFail *fail)
{
  Header header = { 0 };

  if (head_size < HEADER_SIZE_2)
    return refuse (fail, "it ends before its header does");
  memcpy (&header, head, head_size < sizeof header ? head_size : sizeof header);
  uint32_t version = be32toh (header.version);
  if (be32toh (header.magic) != MAGIC)
    return lodge_fail (fail, "ImageInvalid", "The file is not a qcow2 disk");
  if (version != 2 && version != 3)
    return refuse (fail, "its version is neither 2 nor 3");
  if (version == 3 && head_size < HEADER_SIZE_3)
    return refuse (fail, "it ends before its header does");
  if (!check_numbers (&header, max_virtual_size, fail))
    return false;
  uint64_t cluster_size = 1ull << be32toh (header.cluster_bits);
  if (version == 3 && !check_version_3 (&header, cluster_size, fail))
    return false;
  size_t start = version == 3 ? be32toh (header.header_length) : HEADER_SIZE_2;
  if (!check_extensions (head, head_size, start, (size_t) cluster_size, fail)
      || !check_tables (&header, cluster_size, file_size, fail))
    return false;
  out_header->version = version;
  out_header->cluster_bits = be32toh (header.cluster_bits);
  out_header->snapshots = be32toh (header.nb_snapshots);
  out_header->virtual_size = be64toh (header.size);
  return true;
}
