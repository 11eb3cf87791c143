/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-turn-kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lodge-command.h"
#include "lodge-customise.h"
#include "lodge-io.h"
#include "lodge-mirror.h"
#include "lodge-status.h"

#define BOOT        "/boot"
#define POLICY      "usr/sbin/policy-rc.d"
#define CONFIG      "apt.conf"
#define INITRAMFS   "/tmp/initramfs"
#define MODULES     "/lib/modules"
#define RELEASE_MAX 16384

/* ---- which distribution ---- */

/** (transfer full): a small file of the tree, whatever links lie on the way; NULL: none. */
static char *
read_in_root (const char *root, const char *path)
{
  struct open_how how = { .flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
                          .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
  LODGE_AUTOFD dir = open (root, O_PATH | O_DIRECTORY | O_CLOEXEC);
  LODGE_AUTOFD fd = (int) syscall (SYS_openat2, dir, path, &how, sizeof how);
  g_autofree char *text = g_malloc (RELEASE_MAX);
  struct stat st;

  if (fd < 0 || fstat (fd, &st) < 0 || !S_ISREG (st.st_mode)
      || lodge_io_read_fd (fd, text, RELEASE_MAX) < 0)
    return NULL;
  return g_steal_pointer (&text);
}

/** (transfer full): the value of @key in os-release(5). */
static char *
get_value (char **lines, const char *key)
{
  gsize length = strlen (key);

  for (char **line = lines; *line != NULL; line++)
    if (strncmp (*line, key, length) == 0 && (*line)[length] == '=')
      {
        g_autofree char *value = g_strdup (*line + length + 1);
        g_auto (GStrv) parts = g_strsplit_set (value, "\"'", -1);
        return g_strjoinv ("", parts);
      }
  return g_strdup ("");
}

const LodgeRecipe *
lodge_turn_kernel_find_recipe (const char *root)
{
  g_autofree char *text = read_in_root (root, "etc/os-release");
  g_auto (GStrv) lines = g_strsplit (text != NULL ? text : "", "\n", -1);
  g_autofree char *id = get_value (lines, "ID");
  g_autofree char *suite = get_value (lines, "VERSION_CODENAME");
  g_autofree char *status = g_build_filename (root, "var/lib/dpkg/status", NULL);

  return access (status, R_OK) == 0 ? lodge_recipe_find (id, suite) : NULL;
}

/* ---- packages ---- */

static bool
write_file (const char *dir, const char *name, const char *text, LodgeFail *fail)
{
  g_autofree char *path = g_build_filename (dir, name, NULL);
  return g_file_set_contents (path, text, -1, NULL)
         || lodge_fail (fail, "NoSpace", "%s cannot be written", path);
}

/* Nothing of the host's own configuration but the way to its mirrors. */
static char *
make_config (const char *root, const char *work, const char *machine)
{
  g_auto (GStrv) options = lodge_mirror_options ();
  g_autofree char *mirror = g_strjoinv ("\n", options);

  return g_strdup_printf (
      "Dir::Etc::Main \"/dev/null\";\nDir::Etc::Parts \"/dev/null\";\n"
      "Dir::Etc::Preferences \"/dev/null\";\nDir::Etc::PreferencesParts \"/dev/null\";\n"
      "Dir::Etc::SourceList \"%s/sources.list\";\nDir::Etc::SourceParts \"/dev/null\";\n"
      "Dir::State \"%s/state\";\nDir::State::Lists \"%s/lists\";\n"
      "Dir::State::Status \"%s/var/lib/dpkg/status\";\n"
      "Dir::State::Extended_states \"%s/var/lib/apt/extended_states\";\n"
      "Dir::Cache \"%s/cache\";\nDir::Cache::Archives \"%s/var/cache/apt/archives\";\n"
      "Dir::Log \"%s\";\nAPT::Architecture \"%s\";\nAPT::Architectures { \"%s\"; };\n"
      "APT::Sandbox::User \"root\";\nAPT::Install-Recommends \"false\";\n"
      "APT::Get::Assume-Yes \"true\";\nAcquire::Languages \"none\";\nAcquire::Retries \"1\";\n"
      "Acquire::http::Timeout \"20\";\nDPkg::Chroot-Directory \"%s\";\nDpkg::Use-Pty \"false\";\n"
      "DPkg::Options { \"--force-confold\"; \"--force-unsafe-io\"; };\n%s\n",
      work, work, work, root, root, work, root, work, machine, machine, root, mirror);
}

static bool
prepare (const LodgeRecipe *recipe, const char *root, const char *work, const char *machine,
         LodgeFail *fail)
{
  static const char *const DIRS[] = { "state", "lists/partial", "cache" };
  g_auto (GStrv) sources = lodge_mirror_sources (recipe, NULL);
  g_autofree char *list = g_strjoinv ("\n", sources);
  g_autofree char *lines = g_strconcat (list, "\n", NULL);
  g_autofree char *config = make_config (root, work, machine);
  g_autofree char *archives = g_build_filename (root, "var/cache/apt/archives/partial", NULL);

  for (gsize i = 0; i < G_N_ELEMENTS (DIRS); i++)
    {
      g_autofree char *dir = g_build_filename (work, DIRS[i], NULL);
      if (g_mkdir_with_parents (dir, 0755) < 0)
        return lodge_fail_errno (fail, errno, "%s cannot be made", dir);
    }
  if (g_mkdir_with_parents (archives, 0755) < 0)
    return lodge_fail_errno (fail, errno, "%s cannot be made", archives);
  return write_file (work, "sources.list", lines, fail) && write_file (work, CONFIG, config, fail);
}

typedef struct
{
  GString *last; /* what to say when it fails */
  const char *stage;
} Watch;

/* Errors first: what follows them is what could not be done for them. */
static void
take_line (char *line, gpointer user_data)
{
  Watch *watch = user_data;
  bool is_error = g_str_has_prefix (line, "E: ") || strstr (line, "No space left") != NULL;

  if (is_error && watch->last->len == 0)
    g_string_assign (watch->last, g_str_has_prefix (line, "E: ") ? line + 3 : line);
  else if (g_str_has_prefix (line, "Get:") || g_str_has_prefix (line, "Setting up "))
    lodge_status_progress (-1, 0, 0, watch->stage);
}

static bool
run_apt (const char *work, GPtrArray *words, const char *stage, LodgeFail *fail)
{
  g_autofree char *config = g_strconcat ("APT_CONFIG=", work, "/" CONFIG, NULL);
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();
  g_autoptr (GString) last = g_string_new (NULL);
  Watch watch = { .last = last, .stage = stage };

  g_ptr_array_add (argv, (gpointer) "env");
  g_ptr_array_add (argv, config);
  g_ptr_array_add (argv, (gpointer) "apt-get");
  for (guint i = 0; i < words->len; i++)
    g_ptr_array_add (argv, words->pdata[i]);
  g_ptr_array_add (argv, NULL);
  lodge_status_progress (-1, 0, 0, stage);
  int status
      = lodge_command_run_status ((const char *const *) argv->pdata, NULL, take_line, &watch, fail);
  if (status <= 0)
    return status == 0;
  bool space = strstr (last->str, "No space left") != NULL
               || strstr (last->str, "enough free space") != NULL;
  return lodge_fail (fail, space ? "NoSpace" : "Download", "%s",
                     last->len > 0 ? last->str : "apt-get failed");
}

static bool
install (const LodgeRecipe *recipe, const char *work, const char *machine, const char *how,
         const char *stage, LodgeFail *fail)
{
  g_autofree char *names = lodge_recipe_boot_packages (recipe, machine);
  g_auto (GStrv) packages = g_strsplit (names, ",", -1);
  g_autoptr (GPtrArray) words = g_ptr_array_new ();

  g_ptr_array_add (words, (gpointer) "install");
  g_ptr_array_add (words, (gpointer) how);
  for (char **package = packages; *package != NULL; package++)
    g_ptr_array_add (words, *package);
  return run_apt (work, words, stage, fail);
}

bool
lodge_turn_kernel_fetch (const LodgeRecipe *recipe, const char *root, const char *work_dir,
                         const char *machine, LodgeFail *fail)
{
  g_autoptr (GPtrArray) update = g_ptr_array_new ();

  g_ptr_array_add (update, (gpointer) "update");
  return prepare (recipe, root, work_dir, machine, fail)
         && run_apt (work_dir, update, "package lists", fail)
         && install (recipe, work_dir, machine, "--download-only", "download", fail);
}

/* ---- running programs of the guest ---- */

static bool
mount_in (const char *root, const char *path, LodgeFail *fail)
{
  g_autofree char *target = g_strconcat (root, path, NULL);

  if ((mkdir (target, 0755) < 0 && errno != EEXIST)
      || mount (path, target, NULL, MS_BIND | MS_REC, NULL) < 0)
    return lodge_fail_errno (fail, errno, "%s cannot be shown to the guest's programs", path);
  return true;
}

/** Devices and /proc, until the sandbox ends; and no service is started. */
static bool
prepare_root (const char *root, bool *out_policy, LodgeFail *fail)
{
  g_autofree char *policy = g_build_filename (root, POLICY, NULL);

  if (!mount_in (root, "/proc", fail) || !mount_in (root, "/dev", fail)
      || !mount_in (root, "/sys", fail))
    return false;
  *out_policy = access (policy, F_OK) < 0
                && g_file_set_contents (policy, "#!/bin/sh\nexit 101\n", -1, NULL)
                && chmod (policy, 0755) == 0;
  return true;
}

static void
restore_root (const char *root, bool had_policy)
{
  g_autofree char *policy = g_build_filename (root, POLICY, NULL);

  if (had_policy)
    unlink (policy);
}

bool
lodge_turn_kernel_install (const LodgeRecipe *recipe, const char *root, const char *work_dir,
                           const char *machine, LodgeFail *fail)
{
  g_autofree char *archives = g_build_filename (root, "var/cache/apt/archives", NULL);
  bool policy = false;

  if (!lodge_customise_write (LODGE_OVERLAY_VM_EARLY, root, fail)
      || !prepare_root (root, &policy, fail))
    return false;
  bool ok = install (recipe, work_dir, machine, "--no-download", "kernel", fail);
  restore_root (root, policy);
  return ok
         && lodge_command_call (fail, "find", archives, "-xdev", "-name", "*.deb", "-delete", NULL);
}

void
lodge_turn_kernel_remove (const char *root)
{
  static const char SCRIPT[]
      = "packages=$(dpkg-query -W -f '${Package} ${db:Status-Abbrev}\\n'"
        " 'linux-image-*' 'linux-headers-*' 'grub-efi-*' 'grub-pc*' shim-signed 2>/dev/null"
        " | while read -r name state; do case $state in i*) echo \"$name\";; esac; done)\n"
        "[ -z \"$packages\" ] || DEBIAN_FRONTEND=noninteractive"
        " dpkg --purge --force-depends $packages\n";
  LodgeFail fail = { 0 };
  bool policy = false;

  if (!prepare_root (root, &policy, &fail))
    return;
  /* What fails leaves a package that has no files: not worth the conversion. */
  if (!lodge_command_call (&fail, "chroot", root, "/bin/sh", "-c",
                           "command -v dpkg >/dev/null || exit 0; eval \"$1\"", "sh", SCRIPT, NULL))
    g_message ("packages of the kernel stay: %s", fail.text);
  restore_root (root, policy);
}

/* ---- the host's kernel ---- */

/** (transfer full): the newest that has modules; NULL: none. */
static char *
find_host_kernel (void)
{
  g_autoptr (GDir) dir = g_dir_open (BOOT, 0, NULL);
  g_autofree char *best = NULL;

  for (const char *name = dir != NULL ? g_dir_read_name (dir) : NULL; name != NULL;
       name = g_dir_read_name (dir))
    {
      g_autofree char *modules = g_strconcat (MODULES "/", name + strcspn (name, "-") + 1, NULL);
      if (!g_str_has_prefix (name, "vmlinuz-") || access (modules, R_OK) < 0
          || (best != NULL && strverscmp (name + strlen ("vmlinuz-"), best) < 0))
        continue;
      g_free (best);
      best = g_strdup (name + strlen ("vmlinuz-"));
    }
  return g_steal_pointer (&best);
}

/* The modules are loaded by the initial RAM disk, so that a guest without udev has them too. */
static bool
make_initrd (const char *version, const char *output, LodgeFail *fail)
{
  static const char *const DIRS[] = { "scripts", "hooks", "conf.d" };

  for (gsize i = 0; i < G_N_ELEMENTS (DIRS); i++)
    {
      g_autofree char *dir = g_build_filename (INITRAMFS, DIRS[i], NULL);
      if (g_mkdir_with_parents (dir, 0755) < 0)
        return lodge_fail_errno (fail, errno, "%s cannot be made", dir);
    }
  return write_file (INITRAMFS, "initramfs.conf",
                     "MODULES=list\nBUSYBOX=auto\nKEYMAP=n\nCOMPRESS=gzip\nFSTYPE=ext4\n"
                     "DEVICE=\nNFSROOT=auto\nRUNSIZE=10%\n",
                     fail)
         && write_file (INITRAMFS, "modules",
                        "virtio_pci\nvirtio_blk\nvirtio_scsi\nvirtio_net\nvirtio_console\n"
                        "virtio_rng\next4\nsd_mod\nahci\n",
                        fail)
         && write_file (INITRAMFS, "update-initramfs.conf", "update_initramfs=no\n", fail)
         && lodge_command_call (fail, "mkinitramfs", "-d", INITRAMFS, "-o", output, version, NULL);
}

bool
lodge_turn_kernel_copy_host (const char *root, LodgeFail *fail)
{
  g_autofree char *version = find_host_kernel ();
  g_autofree char *kernel = g_strconcat (BOOT "/vmlinuz-", version, NULL);
  g_autofree char *modules = g_strconcat (MODULES "/", version, NULL);
  g_autofree char *boot = g_strconcat (root, "/boot", NULL);
  g_autofree char *kernel_copy = g_strconcat (root, LODGE_TURN_KERNEL, NULL);
  g_autofree char *initrd = g_strconcat (root, LODGE_TURN_INITRD, NULL);
  g_autofree char *lib = g_strconcat (root, "/lib", NULL);
  struct stat st;
  bool merged = lstat (lib, &st) == 0 && S_ISLNK (st.st_mode);
  g_autofree char *target = g_strconcat (root, merged ? "/usr" MODULES : MODULES, NULL);

  if (version == NULL)
    return lodge_fail (fail, "NotSupported",
                       "No kernel can be had for the VM: its distribution's packages are out of "
                       "reach, and this host has no kernel in /boot to lend\nInstall a kernel in "
                       "the container, or one (linux-image-…) on the host");
  if ((mkdir (boot, 0755) < 0 && errno != EEXIST) || g_mkdir_with_parents (target, 0755) < 0)
    return lodge_fail_errno (fail, errno, "The kernel cannot be copied");
  lodge_status_progress (-1, 0, 0, "kernel");
  return lodge_command_call (fail, "cp", "--remove-destination", kernel, kernel_copy, NULL)
         && lodge_command_call (fail, "cp", "-a", modules, target, NULL)
         && make_initrd (version, initrd, fail);
}
