/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-iso.h"

#include <endian.h>
#include <glib.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#define SECTOR          2048
#define FIRST_SECTOR    16
#define DESCRIPTORS_MAX 32 /* there are five or so */

/* A volume descriptor. */
#define STANDARD_ID  "CD001"
#define STANDARD_AT  1
#define TYPE_BOOT    0
#define TYPE_PRIMARY 1
#define TYPE_END     255
#define VOLUME_ID    40
#define VOLUME_SIZE  32
#define EL_TORITO    "EL TORITO SPECIFICATION"
#define EL_TORITO_AT 7
#define CATALOGUE    71 /* its sector, little-endian */

/* The catalogue: entries of 32 bytes. */
#define ENTRY         32
#define PLATFORM      1 /* of a validation entry or of a section's head */
#define PLATFORM_BIOS 0
#define PLATFORM_EFI  0xef
#define VALIDATION    0x01
#define BOOTABLE      0x88
#define SECTION       0x90
#define LAST_SECTION  0x91
#define SECTION_COUNT 2
#define MAGIC_AT      30

typedef struct
{
  bool bios;
  bool efi;
} Boot;

static bool
read_sector (int fd, uint64_t sector, unsigned char *out)
{
  return pread (fd, out, SECTOR, (off_t) (sector * SECTOR)) == SECTOR;
}

static void
note_platform (Boot *boot, unsigned char platform)
{
  boot->bios = boot->bios || platform == PLATFORM_BIOS;
  boot->efi = boot->efi || platform == PLATFORM_EFI;
}

/* The first entry is of the platform that the catalogue itself names; sections name theirs. */
static void
read_catalogue (int fd, uint64_t sector, Boot *boot)
{
  unsigned char text[SECTOR];

  if (!read_sector (fd, sector, text) || text[0] != VALIDATION || text[MAGIC_AT] != 0x55
      || text[MAGIC_AT + 1] != 0xaa)
    return;
  if (text[ENTRY] == BOOTABLE)
    note_platform (boot, text[PLATFORM]);
  for (size_t at = 2 * ENTRY; at + ENTRY <= SECTOR;)
    {
      const unsigned char *head = text + at;
      size_t count = (size_t) head[SECTION_COUNT] | (size_t) head[SECTION_COUNT + 1] << 8;

      if (head[0] != SECTION && head[0] != LAST_SECTION)
        return;
      if (at + 2 * ENTRY <= SECTOR && count > 0 && head[ENTRY] == BOOTABLE)
        note_platform (boot, head[PLATFORM]);
      if (head[0] == LAST_SECTION)
        return;
      at += (1 + count) * ENTRY;
    }
}

static uint32_t
le32_at (const unsigned char *text, size_t offset)
{
  uint32_t value;

  memcpy (&value, text + offset, sizeof value);
  return le32toh (value);
}

bool
lodge_iso_read (int fd, LodgeFacts *facts, LodgeFail *fail)
{
  unsigned char text[SECTOR];
  bool found = false;
  Boot boot = { 0 };

  for (uint64_t i = 0; i < DESCRIPTORS_MAX && read_sector (fd, FIRST_SECTOR + i, text); i++)
    {
      if (memcmp (text + STANDARD_AT, STANDARD_ID, sizeof STANDARD_ID - 1) != 0
          || text[0] == TYPE_END)
        break;
      if (text[0] == TYPE_PRIMARY && !found)
        {
          found = true;
          lodge_facts_set (facts->description, sizeof facts->description,
                           (const char *) text + VOLUME_ID, VOLUME_SIZE);
        }
      else if (text[0] == TYPE_BOOT
               && memcmp (text + EL_TORITO_AT, EL_TORITO, sizeof EL_TORITO - 1) == 0)
        read_catalogue (fd, le32_at (text, CATALOGUE), &boot);
    }
  if (!found)
    return lodge_fail (fail, "ImageInvalid", "The ISO file system is damaged or cut off");
  if (boot.bios || boot.efi)
    g_strlcpy (facts->firmware,
               boot.bios && boot.efi ? "bios,uefi"
               : boot.efi            ? "uefi"
                                     : "bios",
               sizeof facts->firmware);
  return true;
}
