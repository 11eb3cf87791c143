/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * As an import, a row of steps, each in a sandbox that sees as little as it can do with.  The tree
 * that both kinds have in common lies in the staging directory between them.
 *
 *   to a VM:         copy; fetch a kernel (network, nothing of the guest runs); install it (the
 *                    guest's programs, no network); configure and make the disk
 *   to a container:  read the disk (libguestfs); unpack; take the kernel out (the guest's
 *                    programs, no network); configure
 */
#include "lodge-turn.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glob.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lodge-command.h"
#include "lodge-disk.h"
#include "lodge-fingerprint.h"
#include "lodge-guest-session.h"
#include "lodge-import-private.h"
#include "lodge-io.h"
#include "lodge-plan-root.h"
#include "lodge-sandbox.h"
#include "lodge-status.h"
#include "lodge-tree.h"
#include "lodge-turn-disk.h"
#include "lodge-turn-kernel.h"
#include "lodge-turn-tree.h"

#define SOURCE    "/source"
#define ROOTFS    LODGE_SANDBOX_STAGING "/" LODGE_IMPORT_ROOTFS
#define DISK      LODGE_SANDBOX_STAGING "/" LODGE_IMPORT_DISK
#define APT       LODGE_SANDBOX_STAGING "/" LODGE_TURN_APT
#define WORK_DIR  LODGE_SANDBOX_STAGING "/work"
#define ARCHIVE   "root.tar"
#define BINDS_MAX 16

#define DEFAULT_DISK_SIZE (10ull << 30)
#define MAX_DISK_SIZE     (1ull << 40)
#define MAX_BYTES         (1ull << 40)

/** Written by the steps, in shared memory: what is in it is only shown, or checked. */
typedef struct
{
  LodgeImportFound import;
  char fingerprint[LODGE_FINGERPRINT_SIZE];
  uint64_t disk_size;
  bool fetched;     /* packages with a kernel are there */
  char reason[256]; /* why they are not */
} Found;

typedef struct
{
  const LodgeRequest *request;
  bool to_vm;
  const char *machine;
  const char *rootfs;
  const char *plan_path;
  const char *disk;
  const char *hostname;
  uint64_t size; /* 0: as large as is good */
  int staging;
  int archive;
  Found *found;
} Turn;

typedef struct
{
  LodgeSandboxFunc func;
  const LodgeSandboxBind *binds;
  gsize n_binds;
  bool network;
  bool bare;             /* without the host's tools */
  const LodgePlan *plan; /* whose ids the sandbox has; NULL: its own */
} Step;

static int
end_step (bool ok, const LodgeFail *fail)
{
  return ok ? 0 : lodge_status_fail (fail);
}

/** Returns false with @fail, or without when the step has reported its error itself. */
static bool
run_step (const Turn *self, gpointer data, const Step *step, LodgeFail *fail)
{
  const LodgeSandbox sandbox
      = { .idmap_base = step->plan != NULL ? step->plan->base : LODGE_SANDBOX_IDMAP_BASE,
          .idmap_count = step->plan != NULL ? step->plan->count : LODGE_SANDBOX_IDMAP_COUNT,
          .staging_fd = self->staging,
          .network = step->network,
          .host_tools = !step->bare,
          .binds = step->binds,
          .n_binds = step->n_binds };
  int status = 1;

  if (!lodge_sandbox_run (&sandbox, step->func, data, &status, fail))
    return false;
  if (status > 1)
    return lodge_fail (fail, "HelperFailed", "The conversion was ended by signal %d", status - 128);
  return status == 0;
}

/* ---- to a VM: steps ---- */

static int
copy_tree (gpointer data)
{
  LodgeFail fail = { 0 };

  lodge_status_progress (-1, 0, 0, "copy");
  bool ok = lodge_tree_copy (SOURCE, ROOTFS, &fail) && chdir (ROOTFS) == 0;
  /* libvirt's, in each container. */
  if (ok)
    rmdir (".oldroot");
  return end_step (ok, &fail);
}

static bool
has_init (void)
{
  LodgeFacts facts = { 0 };

  if (chdir (ROOTFS) < 0)
    return false;
  lodge_facts_take_tree (&facts);
  return facts.has_init;
}

static int
fetch_kernel (gpointer data)
{
  const Turn *self = data;
  LodgeFail fail = { 0 };

  if (!has_init ())
    {
      lodge_fail (&fail, "NotSupported",
                  "The container has no init program, which a VM cannot do without\nInstall one "
                  "in it (for example systemd-sysv)");
      return lodge_status_fail (&fail);
    }
  const LodgeRecipe *recipe = lodge_turn_kernel_find_recipe (ROOTFS);
  if (recipe == NULL)
    g_strlcpy (self->found->reason, "no packages are known for this distribution",
               sizeof self->found->reason);
  else if (lodge_turn_kernel_fetch (recipe, ROOTFS, APT, self->machine, &fail))
    self->found->fetched = true;
  else if (strcmp (fail.nick, "NoSpace") == 0)
    return lodge_status_fail (&fail);
  else
    g_snprintf (self->found->reason, sizeof self->found->reason, "%.250s", fail.text);
  return 0;
}

static int
install_kernel (gpointer data)
{
  const Turn *self = data;
  LodgeFail fail = { 0 };
  const LodgeRecipe *recipe = lodge_turn_kernel_find_recipe (ROOTFS);
  bool ok = recipe != NULL && lodge_turn_kernel_install (recipe, ROOTFS, APT, self->machine, &fail);

  if (!ok && recipe != NULL && strcmp (fail.nick, "Download") == 0)
    fail.nick = "HelperFailed";
  return end_step (ok, &fail);
}

typedef struct
{
  char *kernel;
  char *initrd;
} Boot;

static void
boot_clear (Boot *boot)
{
  g_free (boot->kernel);
  g_free (boot->initrd);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Boot, boot_clear)

/** A kernel that the guest has in /boot, with its initial RAM disk by any usual name. */
static bool
find_own_kernel (Boot *boot)
{
  static const char *const INITRDS[]
      = { "initrd.img-%s", "initramfs-%s.img", "initramfs-%s", "initrd-%s" };
  glob_t found = { 0 };
  g_autofree char *best = NULL;

  if (glob (ROOTFS "/boot/vmlinuz-*", 0, NULL, &found) != 0)
    return false;
  for (gsize i = 0; i < found.gl_pathc; i++)
    {
      const char *version = found.gl_pathv[i] + strlen (ROOTFS "/boot/vmlinuz-");
      if (best == NULL || strverscmp (version, best) > 0)
        {
          g_free (best);
          best = g_strdup (version);
        }
    }
  globfree (&found);
  boot->kernel = g_strconcat ("/boot/vmlinuz-", best, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (INITRDS) && boot->initrd == NULL; i++)
    {
      g_auto (GStrv) parts = g_strsplit (INITRDS[i], "%s", 2);
      g_autofree char *path = g_strconcat ("/boot/", parts[0], best, parts[1], NULL);
      g_autofree char *full = g_strconcat (ROOTFS, path, NULL);
      if (access (full, F_OK) == 0)
        boot->initrd = g_steal_pointer (&path);
    }
  return boot->initrd != NULL;
}

static bool
find_boot (const Turn *self, Boot *boot, LodgeFail *fail)
{
  struct stat st;

  /* Links that the distribution's packages keep. */
  if (self->found->fetched && lstat (ROOTFS "/vmlinuz", &st) == 0
      && lstat (ROOTFS "/initrd.img", &st) == 0)
    {
      boot->kernel = g_strdup ("/vmlinuz");
      boot->initrd = g_strdup ("/initrd.img");
      return true;
    }
  if (find_own_kernel (boot))
    return true;
  boot_clear (boot);
  if (!lodge_turn_kernel_copy_host (ROOTFS, fail))
    return false;
  lodge_status_notice ("The VM has this host's kernel, which no update of the guest will replace: "
                       "%.200s.",
                       self->found->reason);
  boot->kernel = g_strdup (LODGE_TURN_KERNEL);
  boot->initrd = g_strdup (LODGE_TURN_INITRD);
  return true;
}

/** What the disk must hold; the journal, inodes and what the guest writes at once come on top. */
static bool
choose_size (const Turn *self, uint64_t bytes, LodgeFail *fail)
{
  uint64_t least = (bytes + bytes / 4 + (512ull << 20)) & ~((1ull << 20) - 1);

  self->found->disk_size = self->size > 0 ? self->size : MAX (least, DEFAULT_DISK_SIZE);
  return self->found->disk_size >= least
         || lodge_fail (fail, "InvalidArgument",
                        "A disk of %llu MiB is too small for the container, which needs %llu MiB",
                        (unsigned long long) (self->found->disk_size >> 20),
                        (unsigned long long) (least >> 20));
}

static void
show_checksum (double fraction, gpointer user_data)
{
  lodge_status_progress (-1, 0, 0, "checksum");
}

static bool
fingerprint_disk (const Turn *self, LodgeFail *fail)
{
  Found *found = self->found;
  LODGE_AUTOFD fd = open (DISK, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

  if (fd < 0 || fchmod (fd, 0444) < 0)
    return lodge_fail_errno (fail, errno, "The disk cannot be opened");
  return lodge_fingerprint_file (fd, show_checksum, NULL, found->fingerprint, &found->import.size,
                                 fail);
}

static bool
make_disk (const Turn *self, LodgeFail *fail)
{
  g_auto (Boot) boot = { 0 };
  LodgeFacts *facts = &self->found->import.facts;
  uint64_t bytes = 0;

  lodge_status_progress (-1, 0, 0, "configure");
  if (!find_boot (self, &boot, fail) || chdir (ROOTFS) < 0)
    return fail->nick != NULL ? false : lodge_fail_errno (fail, errno, "The tree has gone");
  if (!lodge_tree_finish (facts, &bytes, fail) || !choose_size (self, bytes, fail))
    return false;
  const LodgeTurnBoot menu = { .kernel = boot.kernel, .initrd = boot.initrd, .title = "Linux" };
  const LodgeDisk disk = { .machine = self->machine,
                           .rootfs = ROOTFS,
                           .work_dir = WORK_DIR,
                           .output = DISK,
                           .size = self->found->disk_size };
  if (!lodge_turn_tree_to_vm (ROOTFS, &menu, self->hostname, fail))
    return false;
  if (mkdir (WORK_DIR, 0700) < 0)
    return lodge_fail_errno (fail, errno, "The disk cannot be made");
  lodge_status_progress (-1, 0, 0, "disk");
  g_strlcpy (facts->firmware, "bios,uefi", sizeof facts->firmware);
  return lodge_disk_make (&disk, fail) && chdir ("/") == 0
         && lodge_command_call (fail, "rm", "-rf", "--one-file-system", ROOTFS, WORK_DIR, APT, NULL)
         && fingerprint_disk (self, fail);
}

static int
make_vm (gpointer data)
{
  LodgeFail fail = { 0 };

  return end_step (make_disk (data, &fail), &fail);
}

/* ---- to a VM: the whole ---- */

static bool
copy_source (Turn *self, LodgeFail *fail)
{
  g_autofree LodgePlan *plan = self->plan_path != NULL ? g_new0 (LodgePlan, 1) : NULL;

  if (plan != NULL && !lodge_plan_root_mount (plan, self->plan_path, &self->staging, fail))
    return false;
  const char *path = plan == NULL           ? self->rootfs
                     : plan->source != NULL ? plan->source
                                            : plan->upper;
  const LodgeSandboxBind bind = { .path = path, .target = SOURCE, .mapped = plan != NULL };
  const Step step = { .func = copy_tree, .binds = &bind, .n_binds = 1, .plan = plan };
  return run_step (self, self, &step, fail);
}

static bool
turn_to_vm (Turn *self, LodgeFail *fail)
{
  const LodgeSandboxBind boot = { .path = "/boot", .target = "/boot", .optional = true };
  const Step fetch = { .func = fetch_kernel, .network = true };
  const Step install = { .func = install_kernel };
  const Step finish = { .func = make_vm, .binds = &boot, .n_binds = 1 };

  return copy_source (self, fail) && run_step (self, self, &fetch, fail)
         && (!self->found->fetched || run_step (self, self, &install, fail))
         && run_step (self, self, &finish, fail);
}

/* ---- to a container ---- */

static int
read_disk (gpointer data)
{
  const Turn *self = data;
  LodgeFail fail = { 0 };

  return end_step (lodge_turn_disk_read (self->disk, LODGE_SANDBOX_STAGING "/" ARCHIVE, &fail),
                   &fail);
}

static int
remove_kernel (gpointer data)
{
  lodge_status_progress (-1, 0, 0, "kernel");
  lodge_turn_kernel_remove (ROOTFS);
  return 0;
}

static int
make_container (gpointer data)
{
  const Turn *self = data;
  Found *found = self->found;
  LodgeFail fail = { 0 };
  g_autofree char *metadata = g_strdup_printf ("architecture: %s\n", self->machine);

  lodge_status_progress (-1, 0, 0, "configure");
  found->import.facts.agent[0] = found->import.facts.firmware[0] = '\0';
  return end_step (lodge_turn_tree_to_container (ROOTFS, &fail)
                       && lodge_fingerprint_tree (ROOTFS, metadata, found->import.size,
                                                  show_checksum, NULL, found->fingerprint,
                                                  &found->import.size, &fail),
                   &fail);
}

static bool
read_source (Turn *self, LodgeFail *fail)
{
  g_autofree char *cache = NULL;
  g_autofree char *appliance = NULL;
  LodgeSandboxBind binds[BINDS_MAX];
  gsize n = 0;

  if (!lodge_guest_session_prepare_cache (self->request, &cache, &appliance, fail))
    return false;
  binds[n++] = (LodgeSandboxBind){ .path = self->disk, .target = self->disk };
  binds[n++] = (LodgeSandboxBind){ .path = cache, .target = LODGE_GUEST_CACHE, .writable = true };
  binds[n++] = (LodgeSandboxBind){ .path = appliance, .target = LODGE_GUEST_APPLIANCE };
  for (const char *path = lodge_request_next (self->request, "backing", NULL); path != NULL;
       path = lodge_request_next (self->request, "backing", path))
    {
      if (*path != '/' || n == BINDS_MAX)
        return lodge_fail (fail, "InvalidArgument", "The disk's backing files are malformed");
      binds[n++] = (LodgeSandboxBind){ .path = path, .target = path };
    }
  const Step step = { .func = read_disk, .binds = binds, .n_binds = n };
  return run_step (self, self, &step, fail);
}

static bool
unpack_source (Turn *self, LodgeFail *fail)
{
  LODGE_AUTOFD fd = openat (self->staging, ARCHIVE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  LodgeImportStep unpack = { .input = fd,
                             .format = LODGE_FORMAT_TAR,
                             .max_bytes = MAX_BYTES,
                             .keep_acls = true,
                             .found = &self->found->import };
  const Step step = { .func = lodge_import_unpack, .bare = true };

  if (fd < 0)
    return lodge_fail_errno (fail, errno, "What was read from the disk cannot be opened");
  bool ok = run_step (self, &unpack, &step, fail);
  unlinkat (self->staging, ARCHIVE, 0);
  return ok;
}

static bool
turn_to_container (Turn *self, LodgeFail *fail)
{
  const Step remove = { .func = remove_kernel };
  const Step finish = { .func = make_container };

  return read_source (self, fail) && unpack_source (self, fail)
         && run_step (self, self, &remove, fail) && run_step (self, self, &finish, fail);
}

/* ---- the whole ---- */

static bool
read_request (const LodgeRequest *request, Turn *self, LodgeFail *fail)
{
  const char *to = lodge_request_get (request, "to");
  long long size = 0;

  self->request = request;
  self->to_vm = g_strcmp0 (to, "vm") == 0;
  self->machine = lodge_request_get (request, "arch");
  self->rootfs = lodge_request_get (request, "rootfs");
  self->plan_path = lodge_request_get (request, "plan");
  self->disk = lodge_request_get (request, "disk");
  self->hostname = lodge_request_get (request, "hostname");
  self->staging = lodge_request_get_fd (request, "staging");
  bool has_source
      = self->to_vm ? self->rootfs != NULL || self->plan_path != NULL : self->disk != NULL;
  if ((!self->to_vm && g_strcmp0 (to, "container") != 0) || !has_source || self->machine == NULL
      || self->staging < 0)
    return lodge_fail (fail, "InvalidArgument", "There is nothing to convert, or nowhere to do it");
  if (lodge_request_get (request, "size") != NULL
      && !lodge_request_get_number (request, "size", 1ll << 30, MAX_DISK_SIZE, &size, fail))
    return false;
  self->size = (uint64_t) size & ~((1ull << 20) - 1);
  self->found
      = mmap (NULL, sizeof *self->found, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return self->found != MAP_FAILED || lodge_fail_errno (fail, errno, "There is no memory");
}

static void
report (const Turn *self)
{
  Found found = *self->found;

  found.fingerprint[sizeof found.fingerprint - 1] = '\0';
  lodge_status_result ("kind", "%s", self->to_vm ? "vm" : "container");
  lodge_status_result ("fingerprint", "%s", found.fingerprint);
  lodge_status_result ("size", "%" G_GUINT64_FORMAT, found.import.size);
  lodge_status_result ("virtual-size", "%" G_GUINT64_FORMAT, self->to_vm ? found.disk_size : 0);
  lodge_facts_report (&found.import.facts);
}

int
lodge_turn_run (const LodgeRequest *request)
{
  Turn self = { 0 };
  LodgeFail fail = { 0 };

  if (!read_request (request, &self, &fail)
      || !(self.to_vm ? turn_to_vm (&self, &fail) : turn_to_container (&self, &fail)))
    return fail.nick != NULL ? lodge_status_fail (&fail) : 1;
  report (&self);
  lodge_status_done ();
  return 0;
}
