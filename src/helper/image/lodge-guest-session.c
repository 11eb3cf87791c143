/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libguestfs and its QEMU, which reads what a guest wrote, run in the sandbox: they see the host's
 * programs, the appliance's cache, and the files of this one disk.
 */
#include "lodge-guest-session.h"

#include <errno.h>
#include <glib.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "lodge-guest-disk.h"
#include "lodge-guest-files.h"
#include "lodge-io.h"
#include "lodge-sandbox.h"
#include "lodge-status.h"

#define DEFAULT_CACHE "/var/cache/lodge/guestfs"
#define CACHE         LODGE_GUEST_CACHE
#define APPLIANCE     LODGE_GUEST_APPLIANCE
#define BINDS_MAX     16

typedef struct
{
  const char *disk;
  int session;
  char *cache;
  char *appliance;
} Session;

void
lodge_guest_session_set_environment (void)
{
  g_setenv ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", TRUE);
  g_setenv ("TMPDIR", "/tmp", TRUE);
  g_setenv ("HOME", "/tmp", TRUE);
}

static int
serve_in_sandbox (gpointer data)
{
  const Session *self = data;
  LodgeFail fail = { 0 };

  lodge_guest_session_set_environment ();
  guestfs_h *handle = lodge_guest_disk_open (self->disk, false, APPLIANCE, CACHE, &fail);
  if (handle == NULL)
    return lodge_status_fail (&fail);
  lodge_status_progress (1, 0, 0, "ready");
  bool served = lodge_guest_files_serve (handle, self->session, &fail);
  LodgeFail close_fail = { 0 };
  bool closed = lodge_guest_disk_close (handle, served ? &fail : &close_fail);
  if (!closed)
    lodge_guest_files_send_failure (self->session, served ? fail.text : close_fail.text);
  return closed && served ? 0 : lodge_status_fail (&fail);
}

bool
lodge_guest_session_prepare_cache (const LodgeRequest *request, char **out_cache,
                                   char **out_appliance, LodgeFail *fail)
{
  const char *dir = lodge_request_get (request, "cache");
  g_autofree char *cache = g_build_filename (dir != NULL ? dir : DEFAULT_CACHE, "qemu", NULL);
  g_autofree char *appliance
      = g_build_filename (dir != NULL ? dir : DEFAULT_CACHE, "appliance", NULL);

  int status = lodge_io_make_dirs (cache, 0700);
  if (status < 0)
    return lodge_fail_errno (fail, status, "%s cannot be made", cache);
  if (!lodge_guest_disk_make_appliance (appliance, fail))
    return false;
  *out_cache = g_steal_pointer (&cache);
  *out_appliance = g_steal_pointer (&appliance);
  return true;
}

/** Fills @binds with what the sandbox is to show; their number, or 0. */
static gsize
list_binds (const LodgeRequest *request, const Session *self, LodgeSandboxBind *binds,
            LodgeFail *fail)
{
  gsize n = 0;

  binds[n++] = (LodgeSandboxBind){ .path = self->disk, .target = self->disk, .writable = true };
  binds[n++] = (LodgeSandboxBind){ .path = self->cache, .target = CACHE, .writable = true };
  binds[n++] = (LodgeSandboxBind){ .path = self->appliance, .target = APPLIANCE };
  for (const char *path = lodge_request_next (request, "backing", NULL); path != NULL;
       path = lodge_request_next (request, "backing", path))
    {
      if (*path != '/' || n == BINDS_MAX)
        {
          lodge_fail (fail, "InvalidArgument", "The disk's backing files are malformed");
          return 0;
        }
      binds[n++] = (LodgeSandboxBind){ .path = path, .target = path };
    }
  return n;
}

static bool
check_session (int fd)
{
  int type = 0;
  socklen_t size = sizeof type;

  return fd >= 0 && getsockopt (fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0
         && type == SOCK_SEQPACKET;
}

int
lodge_guest_session_run (const LodgeRequest *request)
{
  LodgeFail fail = { 0 };
  Session session = { .disk = lodge_request_get (request, "disk"),
                      .session = lodge_request_get_fd (request, "session") };
  LodgeSandboxBind binds[BINDS_MAX];
  LodgeSandbox sandbox = { .idmap_base = LODGE_SANDBOX_IDMAP_BASE,
                           .idmap_count = LODGE_SANDBOX_IDMAP_COUNT,
                           .staging_fd = -1,
                           .host_tools = true,
                           .binds = binds };
  int status = 1;

  if (session.disk == NULL || *session.disk != '/' || !check_session (session.session))
    lodge_fail (&fail, "InvalidArgument", "The file session has no disk or no socket");
  else
    {
      lodge_status_notice ("Opening the disk of a stopped VM takes some seconds.");
      if (lodge_guest_session_prepare_cache (request, &session.cache, &session.appliance, &fail))
        sandbox.n_binds = list_binds (request, &session, binds, &fail);
    }
  if (sandbox.n_binds > 0)
    {
      if (lodge_sandbox_run (&sandbox, serve_in_sandbox, &session, &status, &fail) && status > 1)
        lodge_fail (&fail, "HelperFailed", "The file session was ended by signal %d", status - 128);
    }
  g_free (session.cache);
  g_free (session.appliance);
  if (fail.nick != NULL)
    return lodge_status_fail (&fail);
  if (status == 0)
    lodge_status_done ();
  return status;
}
