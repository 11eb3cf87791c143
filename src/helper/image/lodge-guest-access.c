/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Paths on the disk are the appliance's: libguestfs resolves them in the guest's own root. */
#include "lodge-guest-access.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "lodge-access.h"
#include "lodge-guest-disk.h"
#include "lodge-guest-session.h"
#include "lodge-sandbox.h"
#include "lodge-status.h"

#define SHADOW    "/etc/shadow"
#define SSH_DIR   "/root/.ssh"
#define KEYS      SSH_DIR "/authorized_keys"
#define SCRIPT    "/.lodge-script"
#define BINDS_MAX 16

typedef struct
{
  const char *disk;
  LodgeAccess access;
  char *cache;
  char *appliance;
} GuestAccess;

static bool
failed (guestfs_h *handle, const char *what, LodgeFail *fail)
{
  const char *why = guestfs_last_error (handle);

  return lodge_fail (fail, "HelperFailed", "%s: %.300s", what, why != NULL ? why : "no reason");
}

/* (transfer full): NULL when it cannot be read. */
static char *
read_text (guestfs_h *handle, const char *path)
{
  size_t size;
  char *data = guestfs_read_file (handle, path, &size);
  char *text = data != NULL ? g_strndup (data, size) : NULL;

  free (data);
  return text;
}

static bool
set_password (const LodgeAccess *access, guestfs_h *handle, LodgeFail *fail)
{
  g_autofree char *old = read_text (handle, SHADOW);
  g_autofree char *text = old != NULL ? lodge_access_edit_shadow (access, old) : NULL;

  if (text == NULL)
    return lodge_fail (fail, "NotSupported", "The image has no " SHADOW " with root in it");
  return guestfs_write (handle, SHADOW, text, strlen (text)) == 0
         || failed (handle, "The password cannot be set", fail);
}

static bool
set_keys (const LodgeAccess *access, guestfs_h *handle, LodgeFail *fail)
{
  g_autofree char *old = guestfs_exists (handle, KEYS) > 0 ? read_text (handle, KEYS) : NULL;
  g_autofree char *text = lodge_access_add_keys (access, old);
  bool ok = guestfs_mkdir_p (handle, SSH_DIR) == 0 && guestfs_chmod (handle, 0700, SSH_DIR) == 0
            && guestfs_write (handle, KEYS, text, strlen (text)) == 0
            && guestfs_chmod (handle, 0600, KEYS) == 0;

  return ok || failed (handle, "The keys cannot be written", fail);
}

static bool
run_script (const LodgeAccess *access, guestfs_h *handle, LodgeFail *fail)
{
  const char *script = access->script;
  const char *const argv[] = { SCRIPT, NULL };
  bool ok = guestfs_write (handle, SCRIPT, script, strlen (script)) == 0
            && guestfs_chmod (handle, 0700, SCRIPT) == 0;
  char *output = ok ? guestfs_command (handle, (char *const *) argv) : NULL;

  ok = output != NULL || failed (handle, "The script of --run failed", fail);
  free (output);
  guestfs_rm_f (handle, SCRIPT);
  return ok;
}

bool
lodge_guest_access_apply (guestfs_h *handle, const LodgeAccess *access, LodgeFail *fail)
{
  return (access->password_hash == NULL || set_password (access, handle, fail))
         && (access->ssh_keys[0] == NULL || set_keys (access, handle, fail))
         && (access->script == NULL || run_script (access, handle, fail));
}

static int
work_in_sandbox (gpointer data)
{
  const GuestAccess *self = data;
  LodgeFail fail = { 0 };
  LodgeFail close_fail = { 0 };

  lodge_guest_session_set_environment ();
  guestfs_h *handle
      = lodge_guest_disk_open (self->disk, false, LODGE_GUEST_APPLIANCE, LODGE_GUEST_CACHE, &fail);
  if (handle == NULL)
    return lodge_status_fail (&fail);
  bool ok = lodge_guest_access_apply (handle, &self->access, &fail);
  ok = lodge_guest_disk_close (handle, ok ? &fail : &close_fail) && ok;
  return ok ? 0 : lodge_status_fail (&fail);
}

static gsize
list_binds (const LodgeRequest *request, const GuestAccess *self, LodgeSandboxBind *binds)
{
  gsize n = 0;

  binds[n++] = (LodgeSandboxBind){ .path = self->disk, .target = self->disk, .writable = true };
  binds[n++]
      = (LodgeSandboxBind){ .path = self->cache, .target = LODGE_GUEST_CACHE, .writable = true };
  binds[n++] = (LodgeSandboxBind){ .path = self->appliance, .target = LODGE_GUEST_APPLIANCE };
  for (const char *path = lodge_request_next (request, "backing", NULL);
       path != NULL && *path == '/' && n < BINDS_MAX;
       path = lodge_request_next (request, "backing", path))
    binds[n++] = (LodgeSandboxBind){ .path = path, .target = path };
  return n;
}

static bool
run (const LodgeRequest *request, GuestAccess *self, LodgeFail *fail)
{
  LodgeSandboxBind binds[BINDS_MAX];
  LodgeSandbox sandbox = { .idmap_base = LODGE_SANDBOX_IDMAP_BASE,
                           .idmap_count = LODGE_SANDBOX_IDMAP_COUNT,
                           .staging_fd = -1,
                           .host_tools = true,
                           .binds = binds };
  int status = 1;

  if (self->disk == NULL || *self->disk != '/')
    return lodge_fail (fail, "InvalidArgument", "There is no disk to open");
  lodge_status_notice ("Opening the disk of a stopped VM takes some seconds.");
  if (!lodge_guest_session_prepare_cache (request, &self->cache, &self->appliance, fail))
    return false;
  sandbox.n_binds = list_binds (request, self, binds);
  if (!lodge_sandbox_run (&sandbox, work_in_sandbox, self, &status, fail))
    return false;
  if (status > 1)
    return lodge_fail (fail, "HelperFailed", "Customising was ended by signal %d", status - 128);
  return status == 0;
}

int
lodge_guest_access_run (const LodgeRequest *request)
{
  GuestAccess self = { .disk = lodge_request_get (request, "disk") };
  LodgeFail fail = { 0 };

  lodge_access_read (&self.access, request);
  bool ok = run (request, &self, &fail);
  lodge_access_clear (&self.access);
  g_free (self.cache);
  g_free (self.appliance);
  if (!ok)
    return fail.nick != NULL ? lodge_status_fail (&fail) : 1;
  lodge_status_done ();
  return 0;
}
