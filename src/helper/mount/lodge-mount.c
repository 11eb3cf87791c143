/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * libvirt's hook for containers: makes the mapped root before a start and takes it away after the
 * end, and answers the handshake of lodge-init.  See lodge-helper-protocol.h.
 *
 * libvirt waits for the hook's end and for the end of all that holds its stderr.  What is written
 * there becomes part of the error of the start.
 */

#include "lodge-mount.h"

#include "lodge-config.h"
#include "lodge-io.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define XML_MAX 262144

typedef bool (*Operation) (const LodgePlan *plan, LodgeFail *fail);

static const struct
{
  const char *name;
  Operation run;
} operations[] = {
  { "prepare", lodge_mount_prepare },
  { "release", lodge_mount_release },
};

bool
lodge_mount_path (char *out_path, size_t size, const char *dir, const char *name)
{
  int n = snprintf (out_path, size, "%s/%s", dir, name);

  return n > 0 && (size_t) n < size;
}

void
lodge_mount_cgroup_path (const LodgePlan *plan, char *out_path, size_t size)
{
  snprintf (out_path, size, "lodge/%s", plan->uuid);
}

/* The first <uuid> of the domain's XML on stdin; a name cannot hold one, "<" is quoted there. */
static bool
read_uuid (char *xml, char *out_uuid)
{
  ssize_t n = lodge_io_read_fd (STDIN_FILENO, xml, XML_MAX);
  const char *start = n > 0 ? strstr (xml, "<uuid>") : NULL;

  if (!start)
    return false;
  start += strlen ("<uuid>");
  if (strlen (start) <= LODGE_PLAN_UUID_LEN || start[LODGE_PLAN_UUID_LEN] != '<')
    return false;
  memcpy (out_uuid, start, LODGE_PLAN_UUID_LEN);
  out_uuid[LODGE_PLAN_UUID_LEN] = '\0';
  return lodge_plan_uuid_is_valid (out_uuid);
}

static bool
run (Operation operation, const char *uuid, LodgeFail *fail)
{
  LodgePlan plan;
  const char *state = getenv ("LODGE_STATE_DIR");
  char path[PATH_MAX];
  struct stat st;

  if (!state || state[0] != '/')
    state = LODGE_STATEDIR;
  if (snprintf (path, sizeof path, "%s/instances/%s/plan", state, uuid) >= (int) sizeof path)
    return lodge_fail (fail, "InvalidArgument", "The state directory's path is too long");
  if (lstat (path, &st) < 0)
    return true;
  if (!lodge_plan_read (&plan, path, fail))
    return false;
  if (strcmp (plan.uuid, uuid) != 0)
    return lodge_fail (fail, "InvalidConfig", "The plan “%s” is of another container", path);
  return operation (&plan, fail);
}

int
main (int argc, char **argv)
{
  char xml[XML_MAX];
  char uuid[LODGE_PLAN_UUID_LEN + 1];
  LodgeFail fail = { 0 };

  if (argc < 3)
    {
      fprintf (stderr, "Usage: lodge-mount NAME OPERATION [SUBOPERATION [EXTRA]] <DOMAIN-XML\n"
                       "libvirt runs it as a hook.\n");
      return 2;
    }
  umask (022);
  for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
    {
      if (strcmp (argv[2], operations[i].name) != 0)
        continue;
      if (!read_uuid (xml, uuid))
        {
          fprintf (stderr, "lodge-mount: there is no <uuid> in the domain's XML\n");
          return 1;
        }
      if (run (operations[i].run, uuid, &fail))
        return 0;
      fprintf (stderr, "lodge-mount: %s: %s\n", argv[1], fail.text);
      return 1;
    }
  return 0;
}
