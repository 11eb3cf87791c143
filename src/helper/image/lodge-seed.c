/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A container's root is shown to a sandbox whose ids are the container's: what its image put in the
 * way can lead no further than to its own files.  A VM gets a disk that is made of an empty tree.
 */
#include "lodge-seed.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "lodge-access.h"
#include "lodge-cidata.h"
#include "lodge-io.h"
#include "lodge-plan.h"
#include "lodge-root-file.h"
#include "lodge-rootfs.h"
#include "lodge-sandbox.h"
#include "lodge-status.h"
#include "lodge-templates.h"

#define ROOTFS    "/rootfs"
#define METADATA  "/image"
#define SEED_ROOT "/tmp/seed"

typedef struct
{
  const LodgeRequest *request;
  const char *plan; /* NULL: a VM */
  const char *metadata;
  const char *triggers;
  const char *uuid;
  const char *name;
  bool cloud_init;
  int output;
  GHashTable *config;
  LodgeAccess access;
} Seed;

/* ---- in the sandbox ---- */

static void
set_value (GHashTable *values, const char *key, const char *value)
{
  if (value != NULL)
    g_hash_table_replace (values, g_strdup (key), g_strdup (value));
}

static bool
apply_templates (const Seed *self, int root, LodgeFail *fail)
{
  bool is_vm = self->plan == NULL;
  g_autoptr (GHashTable) values = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  LodgeTemplateScope scope = { .values = values, .config = self->config };
  /* The disk of a VM is made anew each time, as if the VM were. */
  g_auto (GStrv) triggers = g_strsplit (is_vm ? "create" : self->triggers, ",", -1);
  LODGE_AUTOFD image = open (METADATA, O_PATH | O_DIRECTORY | O_CLOEXEC);
  bool ok = true;

  if (self->metadata == NULL)
    return true;
  if (image < 0)
    return lodge_fail_errno (fail, errno, "The image's templates cannot be read");
  set_value (values, "instance.name", self->name);
  set_value (values, "instance.type", is_vm ? "virtual-machine" : "container");
  set_value (values, "instance.architecture", lodge_request_get (self->request, "architecture"));
  set_value (values, "instance.ephemeral", "false");
  set_value (values, "instance.privileged", "false");
  for (char **trigger = triggers; ok && *trigger != NULL; trigger++)
    {
      set_value (values, "trigger", *trigger);
      ok = lodge_templates_apply (image, root, is_vm ? LODGE_CIDATA_DIR : NULL,
                                  lodge_template_trigger_find (*trigger), &scope, fail);
    }
  return ok;
}

/* An image's own idea of a network card's name fits LXD's VMs, not these. */
static void
drop_network_template (int root)
{
  LODGE_AUTOFD dir = lodge_root_file_open (root, LODGE_CIDATA_DIR, O_PATH | O_DIRECTORY);

  if (dir >= 0)
    unlinkat (dir, "network-config", 0);
}

/* A container's files are at hand; a VM has cloud-init do the same. */
static bool
write_access (const Seed *self, int root, LodgeFail *fail)
{
  return lodge_access_write (&self->access, root, fail)
         && (self->access.script == NULL || lodge_access_run_script (&self->access, ROOTFS, fail));
}

static bool
seed (const Seed *self, LodgeFail *fail)
{
  bool is_vm = self->plan == NULL;
  g_autofree char *vendor_data
      = is_vm && !lodge_access_is_empty (&self->access) ? lodge_access_to_vendor_data (
            &self->access, lodge_cidata_get (self->config, "vendor-data"))
                                                        : NULL;
  const LodgeCidata data = {
    .uuid = self->uuid, .name = self->name, .config = self->config, .vendor_data = vendor_data
  };
  const char *path = is_vm ? SEED_ROOT : ROOTFS;

  if (is_vm && mkdir (SEED_ROOT, 0700) < 0)
    return lodge_fail_errno (fail, errno, "The disk for cloud-init cannot be made");
  LODGE_AUTOFD root = open (path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (root < 0)
    return lodge_fail_errno (fail, errno, "The root of “%s” cannot be opened", self->name);
  if (!apply_templates (self, root, fail))
    return false;
  if (is_vm)
    drop_network_template (root);
  if (self->cloud_init && !lodge_cidata_write (root, &data, fail))
    return false;
  return is_vm ? lodge_cidata_pack (root, self->output, fail) : write_access (self, root, fail);
}

static int
seed_in_sandbox (gpointer data)
{
  LodgeFail fail = { 0 };

  umask (022);
  return seed (data, &fail) ? 0 : lodge_status_fail (&fail);
}

/* ---- outside ---- */

/* As for its start, in a mount namespace of this process alone. */
static bool
mount_root (const LodgePlan *plan, const char *place, LodgeFail *fail)
{
  LODGE_AUTOFD root = lodge_rootfs_make (plan, LODGE_ROOTFS_MAPPED, fail);

  if (root < 0)
    return false;
  if (unshare (CLONE_NEWNS) < 0 || mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
    return lodge_fail_errno (fail, errno, "The container's root cannot be mounted");
  return lodge_rootfs_attach (root, place, fail);
}

static bool
run_sandbox (Seed *self, LodgeFail *fail)
{
  g_autofree LodgePlan *plan = g_new0 (LodgePlan, 1);
  LodgeSandboxBind binds[2];
  LodgeSandbox sandbox = { .idmap_base = LODGE_SANDBOX_IDMAP_BASE,
                           .idmap_count = LODGE_SANDBOX_IDMAP_COUNT,
                           .staging_fd = -1,
                           .host_tools = self->plan != NULL && self->access.script != NULL,
                           .binds = binds };
  int status = 1;

  if (self->plan != NULL)
    {
      if (!lodge_plan_read (plan, self->plan, fail))
        return false;
      const char *place = plan->source != NULL ? plan->source : plan->upper;
      if (!mount_root (plan, place, fail))
        return false;
      sandbox.idmap_base = plan->base;
      sandbox.idmap_count = plan->count;
      binds[sandbox.n_binds++]
          = (LodgeSandboxBind){ .path = place, .target = ROOTFS, .mapped = true, .writable = true };
    }
  if (self->metadata != NULL)
    binds[sandbox.n_binds++] = (LodgeSandboxBind){ .path = self->metadata, .target = METADATA };
  if (!lodge_sandbox_run (&sandbox, seed_in_sandbox, self, &status, fail))
    return false;
  if (status > 1)
    return lodge_fail (fail, "HelperFailed", "Making “%s” ready was ended by signal %d", self->name,
                       status - 128);
  return status == 0;
}

static void
read_config (const LodgeRequest *request, GHashTable *config)
{
  for (const char *item = lodge_request_next (request, "config", NULL); item != NULL;
       item = lodge_request_next (request, "config", item))
    {
      const char *equals = strchr (item, '=');
      if (equals != NULL)
        g_hash_table_replace (config, g_strndup (item, (gsize) (equals - item)),
                              g_strdup (equals + 1));
    }
}

static bool
read_request (const LodgeRequest *request, Seed *self, LodgeFail *fail)
{
  self->request = request;
  self->plan = lodge_request_get (request, "plan");
  self->metadata = lodge_request_get (request, "metadata");
  self->triggers = lodge_request_get (request, "triggers");
  self->uuid = lodge_request_get (request, "uuid");
  self->name = lodge_request_get (request, "name");
  self->cloud_init = lodge_request_get (request, "cloud-init") != NULL;
  self->output = lodge_request_get_fd (request, "output");
  read_config (request, self->config);
  return (self->uuid != NULL && self->name != NULL && self->triggers != NULL
          && (self->plan == NULL) == (self->output >= 0))
         || lodge_fail (fail, "InvalidArgument", "There is no instance to make ready");
}

int
lodge_seed_run (const LodgeRequest *request)
{
  g_autoptr (GHashTable) config = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  Seed self = { .config = config };
  LodgeFail fail = { 0 };

  lodge_access_read (&self.access, request);
  bool ok = read_request (request, &self, &fail) && run_sandbox (&self, &fail);
  lodge_access_clear (&self.access);
  if (!ok)
    return fail.nick != NULL ? lodge_status_fail (&fail) : 1;
  lodge_status_done ();
  return 0;
}
