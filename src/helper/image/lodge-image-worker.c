/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lodge-image-worker: makes, converts and opens images; see lodge-helper-protocol.h. */
#include <string.h>

#include "lodge-build.h"
#include "lodge-export.h"
#include "lodge-guest-access.h"
#include "lodge-guest-session.h"
#include "lodge-import.h"
#include "lodge-seed.h"
#include "lodge-status.h"
#include "lodge-tailor.h"
#include "lodge-turn.h"
#include "lodge/lodge-helper-protocol.h"

static const struct
{
  const char *name;
  int (*run) (const LodgeRequest *request);
} OPERATIONS[] = {
  { "build", lodge_build_run },
  { "import", lodge_import_run },
  { "export", lodge_export_run },
  { "seed", lodge_seed_run },
  { "access-guestfs", lodge_guest_access_run },
  { "turn", lodge_turn_run },
  { "customise", lodge_tailor_run },
  { "files-guestfs", lodge_guest_session_run },
};

int
main (void)
{
  LodgeRequest request;
  LodgeFail fail = { 0 };

  if (!lodge_request_read (&request, LODGE_HELPER_REQUEST_FD, &fail)
      || !lodge_request_apply_limits (&request, &fail))
    return lodge_status_fail (&fail);
  const char *op = lodge_request_get (&request, "op");
  for (size_t i = 0; op != NULL && i < sizeof OPERATIONS / sizeof *OPERATIONS; i++)
    if (strcmp (OPERATIONS[i].name, op) == 0)
      return OPERATIONS[i].run (&request);
  lodge_fail (&fail, "InvalidArgument", "The image worker has no such operation");
  return lodge_status_fail (&fail);
}
