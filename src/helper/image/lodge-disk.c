/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The boot loader is GRUB, in two images that hold all modules they need.  Both look for the file
 * system with the label "root" and read /boot/grub/grub.cfg there, which names the links that
 * Debian's kernel packages keep.  So the guest needs no boot loader package, and its kernel
 * updates work.
 */
#include "lodge-disk.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lodge-command.h"
#include "lodge-io.h"

#define SECTOR       512
#define BIOS_START   2048 /* sectors */
#define BIOS_SECTORS 2048
#define ESP_START    (BIOS_START + BIOS_SECTORS)
#define ESP_SECTORS  28672
#define ROOT_START   (ESP_START + ESP_SECTORS)
/* The copy of the table at the end of the disk, and alignment. */
#define TAIL_SECTORS 2048

#define TYPE_BIOS_BOOT "21686148-6449-6E6F-744E-656564454649"
#define TYPE_ESP       "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"

/* Where GRUB's boot sector and the first sector of its core say what to load next. */
#define BOOT_CODE_SIZE     440
#define BOOT_CORE_LBA      0x5c
#define CORE_BLOCK_LBA     0x1f4
#define CORE_BLOCK_COUNT   0x1fc
#define CORE_BLOCK_SEGMENT 0x1fe
#define CORE_SEGMENT       0x820

typedef struct
{
  const char *machine;
  const char *efi_format;
  const char *efi_name;
  const char *root_type;
  bool bios;
} Platform;

static const Platform PLATFORMS[] = {
  { "amd64", "x86_64-efi", "BOOTX64.EFI", "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709", true },
  { "arm64", "arm64-efi", "BOOTAA64.EFI", "B921B045-1DF0-41C3-AF44-4C6F280D3FAE", false },
};

static const char EARLY_CONFIG[] = "search --no-floppy --label root --set=root\n"
                                   "set prefix=($root)/boot/grub\n";

static char *
work_path (const LodgeDisk *disk, const char *name)
{
  return g_build_filename (disk->work_dir, name, NULL);
}

static bool
make_loader (const LodgeDisk *disk, const char *format, const char *output, bool bios,
             LodgeFail *fail)
{
  g_autofree char *config = work_path (disk, "early.cfg");
  if (!g_file_set_contents (config, EARLY_CONFIG, -1, NULL))
    return lodge_fail (fail, "NoSpace", "The boot loader's configuration cannot be written");
  return lodge_command_call (fail, "grub-mkimage", "-O", format, "-o", output, "-p", "/boot/grub",
                             "-c", config, "part_gpt", "ext2", "normal", "linux", "search",
                             "search_label", "configfile", "echo", "test", "halt", "reboot",
                             "serial", "terminal", bios ? "biosdisk" : "fat", NULL);
}

static bool
write_at (int fd, const void *data, gsize size, off_t offset, LodgeFail *fail)
{
  const char *bytes = data;
  while (size > 0)
    {
      ssize_t n = pwrite (fd, bytes, size, offset);
      if (n < 0)
        return lodge_fail_errno (fail, errno, "The disk cannot be written");
      bytes += n;
      offset += n;
      size -= (gsize) n;
    }
  return true;
}

/** What grub-bios-setup does, for a file. */
static bool
install_bios (const LodgeDisk *disk, int fd, LodgeFail *fail)
{
  g_autofree char *core_path = work_path (disk, "core.img");
  g_autofree char *core = NULL, *boot = NULL;
  gsize core_size = 0, boot_size = 0;

  if (!make_loader (disk, "i386-pc", core_path, true, fail))
    return false;
  if (!g_file_get_contents (core_path, &core, &core_size, NULL)
      || !g_file_get_contents ("/usr/lib/grub/i386-pc/boot.img", &boot, &boot_size, NULL)
      || boot_size < SECTOR || core_size <= SECTOR || core_size > BIOS_SECTORS * SECTOR)
    return lodge_fail (fail, "HelperFailed", "GRUB's BIOS images are missing or odd");
  guint64 core_lba = htole64 (BIOS_START);
  guint64 next_lba = htole64 (BIOS_START + 1);
  guint16 count = htole16 ((guint16) ((core_size - 1) / SECTOR));
  guint16 segment = htole16 (CORE_SEGMENT);
  memcpy (boot + BOOT_CORE_LBA, &core_lba, sizeof core_lba);
  memcpy (core + CORE_BLOCK_LBA, &next_lba, sizeof next_lba);
  memcpy (core + CORE_BLOCK_COUNT, &count, sizeof count);
  memcpy (core + CORE_BLOCK_SEGMENT, &segment, sizeof segment);
  return write_at (fd, boot, BOOT_CODE_SIZE, 0, fail)
         && write_at (fd, core, core_size, (off_t) BIOS_START * SECTOR, fail);
}

static bool
copy_into (int fd, const char *path, off_t offset, LodgeFail *fail)
{
  g_autofree char *data = NULL;
  gsize size = 0;
  if (!g_file_get_contents (path, &data, &size, NULL))
    return lodge_fail (fail, "HelperFailed", "%s cannot be read", path);
  return write_at (fd, data, size, offset, fail);
}

static bool
install_efi (const LodgeDisk *disk, const Platform *platform, int fd, LodgeFail *fail)
{
  g_autofree char *esp = work_path (disk, "esp.img");
  g_autofree char *loader = work_path (disk, platform->efi_name);
  g_autofree char *blocks = g_strdup_printf ("%d", ESP_SECTORS / 2);
  g_autofree char *target = g_strconcat ("::EFI/BOOT/", platform->efi_name, NULL);

  unlink (esp);
  return make_loader (disk, platform->efi_format, loader, false, fail)
         && lodge_command_call (fail, "mkfs.vfat", "-F", "16", "-n", "EFI", "-C", esp, blocks, NULL)
         && lodge_command_call (fail, "mmd", "-i", esp, "::EFI", "::EFI/BOOT", NULL)
         && lodge_command_call (fail, "mcopy", "-i", esp, loader, target, NULL)
         && copy_into (fd, esp, (off_t) ESP_START * SECTOR, fail);
}

static bool
make_table (const LodgeDisk *disk, const Platform *platform, const char *image, LodgeFail *fail)
{
  g_autofree char *script
      = g_strdup_printf ("printf 'label: gpt\\n"
                         "1 : start=%d, size=%" G_GUINT64_FORMAT ", type=%s, name=root\\n"
                         "14 : start=%d, size=%d, type=" TYPE_BIOS_BOOT "\\n"
                         "15 : start=%d, size=%d, type=" TYPE_ESP "\\n' | sfdisk --quiet \"$1\"",
                         ROOT_START, disk->size / SECTOR - ROOT_START - TAIL_SECTORS,
                         platform->root_type, BIOS_START, BIOS_SECTORS, ESP_START, ESP_SECTORS);
  return lodge_command_call (fail, "sh", "-c", script, "sh", image, NULL);
}

/* The file is sparse, so everything is zero already: mke2fs need not write inode tables, and, what
 * matters more, the guest's kernel need not either, in each instance. */
static bool
make_root (const LodgeDisk *disk, const char *image, LodgeFail *fail)
{
  guint64 sectors = disk->size / SECTOR - ROOT_START - TAIL_SECTORS;
  g_autofree char *blocks = g_strdup_printf ("%" G_GUINT64_FORMAT "k", sectors / 2);
  g_autofree char *options
      = g_strdup_printf ("offset=%" G_GUINT64_FORMAT ",lazy_itable_init=0,lazy_journal_init=0,"
                         "assume_storage_prezeroed=1,nodiscard",
                         (guint64) ROOT_START * SECTOR);
  return lodge_command_call (fail, "mke2fs", "-q", "-F", "-t", "ext4", "-L", "root", "-m", "1",
                             "-O", "^metadata_csum_seed,^orphan_file", "-E", options, "-d",
                             disk->rootfs, image, blocks, NULL);
}

static const Platform *
find_platform (const char *machine)
{
  for (gsize i = 0; i < G_N_ELEMENTS (PLATFORMS); i++)
    if (strcmp (PLATFORMS[i].machine, machine) == 0)
      return &PLATFORMS[i];
  return NULL;
}

bool
lodge_disk_make (const LodgeDisk *disk, LodgeFail *fail)
{
  const Platform *platform = find_platform (disk->machine);
  if (platform == NULL)
    return lodge_fail (fail, "NotSupported", "No VM image can be built for %s", disk->machine);
  g_autofree char *image = work_path (disk, "disk.raw");
  unlink (image);
  LODGE_AUTOFD fd = open (image, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0 || ftruncate (fd, (off_t) disk->size) < 0)
    return lodge_fail_errno (fail, errno, "The disk cannot be made");
  if (!make_table (disk, platform, image, fail) || !make_root (disk, image, fail)
      || (platform->bios && !install_bios (disk, fd, fail))
      || !install_efi (disk, platform, fd, fail))
    return false;
  if (!lodge_command_call (fail, "qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-W", image,
                           disk->output, NULL))
    return false;
  unlink (image);
  return true;
}
