/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-turn-disk.h"

#include <glib.h>
#include <string.h>

#include "lodge-guest-disk.h"
#include "lodge-guest-session.h"
#include "lodge-status.h"

/* Modules and kernels are a container's host's; the rest comes to life with the system. */
static const char *const EXCLUDES[] = {
  "./boot/*",   "./lib/modules/*", "./usr/lib/modules/*", "./proc/*",         "./sys/*",
  "./dev/*",    "./run/*",         "./lost+found",        "./boot/.vmlinuz*", "./swapfile",
  "./swap.img", "./vmlinuz",       "./vmlinuz.old",       "./initrd.img",     "./initrd.img.old",
  NULL
};

static void
show_progress (guestfs_h *handle, void *user_data, uint64_t event, int event_handle, int flags,
               const char *text, size_t text_size, const uint64_t *numbers, size_t n_numbers)
{
  if (n_numbers >= 4)
    lodge_status_progress (-1, numbers[2], 0, "read the disk");
}

static bool
explain (guestfs_h *handle, LodgeFail *fail)
{
  const char *why = guestfs_last_error (handle);
  bool space = why != NULL && strstr (why, "No space left") != NULL;

  return lodge_fail (fail, space ? "NoSpace" : "HelperFailed", "The disk cannot be read: %.300s",
                     why != NULL ? why : "no reason");
}

bool
lodge_turn_disk_read (const char *disk, const char *output, LodgeFail *fail)
{
  lodge_guest_session_set_environment ();
  lodge_status_progress (-1, 0, 0, "open the disk");
  guestfs_h *handle
      = lodge_guest_disk_open (disk, true, LODGE_GUEST_APPLIANCE, LODGE_GUEST_CACHE, fail);
  if (handle == NULL)
    return false;
  lodge_status_progress (-1, 0, 0, "read the disk");
  guestfs_set_event_callback (handle, show_progress, GUESTFS_EVENT_PROGRESS, 0, NULL);
  bool ok = guestfs_tar_out_opts (handle, "/", output, GUESTFS_TAR_OUT_OPTS_NUMERICOWNER, 1,
                                  GUESTFS_TAR_OUT_OPTS_XATTRS, 1, GUESTFS_TAR_OUT_OPTS_ACLS, 1,
                                  GUESTFS_TAR_OUT_OPTS_EXCLUDES, (char *const *) EXCLUDES, -1)
                == 0
            || explain (handle, fail);
  guestfs_close (handle);
  return ok;
}
