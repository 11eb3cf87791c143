/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-build.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lodge-bootstrap.h"
#include "lodge-command.h"
#include "lodge-customise.h"
#include "lodge-disk.h"
#include "lodge-fingerprint.h"
#include "lodge-io.h"
#include "lodge-mirror.h"
#include "lodge-sandbox.h"
#include "lodge-status.h"

#define ROOTFS    LODGE_SANDBOX_STAGING "/rootfs"
#define DISK      LODGE_SANDBOX_STAGING "/disk.qcow2"
#define WORK_DIR  LODGE_SANDBOX_STAGING "/work"
#define EARLY_DIR "/tmp/early"

#define DEFAULT_DISK_SIZE (10ull << 30)
#define MAX_DISK_SIZE     (1ull << 40)

/* What part of the time the packages take; the rest is the disk and the checksum. */
#define CONTAINER_BOOTSTRAP_END 0.90
#define VM_BOOTSTRAP_END        0.80
#define VM_DISK_END             0.92

typedef struct
{
  const LodgeRecipe *recipe;
  bool is_vm;
  const char *variant; /* NULL: the ordinary one */
  const char *machine;
  const char *mirror;
  uint64_t disk_size;
  double checksum_start;
} Build;

static void
show_checksum_progress (double fraction, gpointer user_data)
{
  const Build *build = user_data;
  lodge_status_progress (build->checksum_start + (1 - build->checksum_start) * fraction, 0, 0,
                         "checksum");
}

static bool
bootstrap (const Build *build, LodgeFail *fail)
{
  const LodgeBootstrap spec = {
    .recipe = build->recipe,
    .is_vm = build->is_vm,
    .variant = build->variant,
    .machine = build->machine,
    .mirror = build->mirror,
    .early_dir = build->is_vm ? EARLY_DIR : NULL,
    .target = ROOTFS,
    .progress_end = build->is_vm ? VM_BOOTSTRAP_END : CONTAINER_BOOTSTRAP_END,
  };
  if (build->is_vm && !lodge_customise_write (LODGE_OVERLAY_VM_EARLY, EARLY_DIR, fail))
    return false;
  return lodge_bootstrap_run (&spec, fail);
}

/** The options that the image needs to use the same mirror. */
static bool
customise (const Build *build, LodgeFail *fail)
{
  g_auto (GStrv) options = lodge_mirror_options ();
  g_autoptr (GPtrArray) kept = g_ptr_array_new ();
  for (char **option = options; *option != NULL; option++)
    if (lodge_mirror_option_is_of_archive (*option))
      g_ptr_array_add (kept, *option);
  g_ptr_array_add (kept, NULL);
  lodge_status_progress (-1, 0, 0, "configure");
  return lodge_customise_run (build->is_vm, ROOTFS, (char **) kept->pdata, fail);
}

static void
report_results (const Build *build, const char *fingerprint, uint64_t bytes)
{
  lodge_status_result ("fingerprint", "%s", fingerprint);
  lodge_status_result ("size", "%" G_GUINT64_FORMAT, bytes);
  lodge_status_result ("virtual-size", "%" G_GUINT64_FORMAT, build->is_vm ? build->disk_size : 0);
  lodge_status_result ("description", "%s%s%s", build->recipe->title,
                       build->variant != NULL ? " " : "",
                       build->variant != NULL ? build->variant : "");
  lodge_status_result ("property.os", "%s", build->recipe->distribution);
  lodge_status_result ("property.release", "%s", build->recipe->release);
  lodge_status_result ("property.suite", "%s", build->recipe->suite);
  lodge_status_result ("property.os-id", "%s", build->recipe->os_id);
  lodge_status_result ("property.init", "systemd");
  if (build->variant != NULL)
    lodge_status_result ("property.variant", "%s", build->variant);
  if (g_strcmp0 (build->variant, "cloud") == 0)
    lodge_status_result ("property.cloud-init", "yes");
}

static bool
finish_container (Build *build, LodgeFail *fail)
{
  g_autofree char *metadata = g_strdup_printf (
      "architecture: %s\nproperties:\n  description: %s\n  os: %s\n  release: %s\n", build->machine,
      build->recipe->title, build->recipe->distribution, build->recipe->suite);
  char fingerprint[LODGE_FINGERPRINT_SIZE];
  uint64_t bytes;

  build->checksum_start = CONTAINER_BOOTSTRAP_END;
  if (!lodge_fingerprint_tree (ROOTFS, metadata, 160 << 20, show_checksum_progress, build,
                               fingerprint, &bytes, fail))
    return false;
  report_results (build, fingerprint, bytes);
  return true;
}

static bool
finish_vm (Build *build, LodgeFail *fail)
{
  const LodgeDisk disk = { .machine = build->machine,
                           .rootfs = ROOTFS,
                           .work_dir = WORK_DIR,
                           .output = DISK,
                           .size = build->disk_size };
  char fingerprint[LODGE_FINGERPRINT_SIZE];
  uint64_t bytes;

  lodge_status_progress (VM_BOOTSTRAP_END, 0, 0, "disk");
  if (mkdir (WORK_DIR, 0700) < 0)
    return lodge_fail_errno (fail, errno, "The disk cannot be made");
  if (!lodge_disk_make (&disk, fail)
      || !lodge_command_call (fail, "rm", "-rf", "--one-file-system", ROOTFS, WORK_DIR, NULL))
    return false;
  LODGE_AUTOFD fd = open (DISK, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0 || fchmod (fd, 0444) < 0)
    return lodge_fail_errno (fail, errno, "The disk cannot be opened");
  build->checksum_start = VM_DISK_END;
  if (!lodge_fingerprint_file (fd, show_checksum_progress, build, fingerprint, &bytes, fail))
    return false;
  report_results (build, fingerprint, bytes);
  return true;
}

static int
build_in_sandbox (gpointer data)
{
  Build *build = data;
  LodgeFail fail = { 0 };

  if (!bootstrap (build, &fail) || !customise (build, &fail)
      || !(build->is_vm ? finish_vm (build, &fail) : finish_container (build, &fail)))
    return lodge_status_fail (&fail);
  return 0;
}

static bool
is_word (const char *text, const char *more)
{
  return text != NULL && *text != '\0' && strlen (text) < 256
         && strspn (text, "abcdefghijklmnopqrstuvwxyz0123456789") + strspn (text, more) > 0
         && text[strspn (text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                               "-._~:/@%+")]
                == '\0';
}

static bool
read_request (const LodgeRequest *request, Build *build, LodgeFail *fail)
{
  const char *distribution = lodge_request_get (request, "distribution");
  const char *suite = lodge_request_get (request, "suite");
  const char *kind = lodge_request_get (request, "kind");
  long long size = DEFAULT_DISK_SIZE;

  build->recipe
      = distribution != NULL && suite != NULL ? lodge_recipe_find (distribution, suite) : NULL;
  if (build->recipe == NULL)
    return lodge_fail (fail, "NotFound", "There is no recipe for %s %s",
                       distribution != NULL ? distribution : "?", suite != NULL ? suite : "?");
  build->is_vm = kind != NULL && strcmp (kind, "vm") == 0;
  build->variant = lodge_request_get (request, "variant");
  if (!lodge_recipe_has_variant (build->variant))
    return lodge_fail (fail, "NotFound", "There is no variant “%s” of %s %s", build->variant,
                       distribution, suite);
  build->machine = lodge_request_get (request, "arch");
  build->mirror = lodge_request_get (request, "mirror");
  if (build->machine == NULL || !is_word (build->machine, "")
      || (build->mirror != NULL && !is_word (build->mirror, ":/")))
    return lodge_fail (fail, "InvalidArgument", "The architecture or the mirror is malformed");
  if (lodge_request_get (request, "disk-size") != NULL
      && !lodge_request_get_number (request, "disk-size", 1ll << 30, MAX_DISK_SIZE, &size, fail))
    return false;
  build->disk_size = (uint64_t) size & ~((1ull << 20) - 1);
  return true;
}

int
lodge_build_run (const LodgeRequest *request)
{
  LodgeFail fail = { 0 };
  Build build = { 0 };
  LodgeSandbox sandbox = { .idmap_base = LODGE_SANDBOX_IDMAP_BASE,
                           .idmap_count = LODGE_SANDBOX_IDMAP_COUNT,
                           .staging_fd = lodge_request_get_fd (request, "staging"),
                           .network = true,
                           .host_tools = true };
  int status;

  if (!read_request (request, &build, &fail))
    return lodge_status_fail (&fail);
  if (sandbox.staging_fd < 0)
    return lodge_fail (&fail, "InvalidArgument", "The build has no directory to work in"),
           lodge_status_fail (&fail);
  if (!lodge_sandbox_run (&sandbox, build_in_sandbox, &build, &status, &fail))
    return lodge_status_fail (&fail);
  if (status > 1)
    return lodge_fail (&fail, "HelperFailed", "The build was ended by signal %d", status - 128),
           lodge_status_fail (&fail);
  if (status == 0)
    lodge_status_done ();
  return status;
}
