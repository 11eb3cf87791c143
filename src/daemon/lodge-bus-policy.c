/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-bus-policy.h"

#define MANAGER  "org.lodge1.Manager"
#define IMAGES   "org.lodge1.Images"
#define REMOTES  "org.lodge1.Remotes"
#define INSTANCE "org.lodge1.Instance"
#define IMAGE    "org.lodge1.Image"
#define JOB      "org.lodge1.Job"
#define PROCESS  "org.lodge1.Process"
#define OBJECTS  "org.freedesktop.DBus.ObjectManager"

#define ACT(name) "org.lodge1." name

static const LodgeBusPolicy policy_table[] = {
  { OBJECTS, "GetManagedObjects", NULL, 0 },

  { MANAGER, "GetInstance", NULL, 0 },
  { MANAGER, "ListInstances", NULL, 0 },
  { MANAGER, "CreateInstance", ACT ("instance-create"), 0 },
  { MANAGER, "ListJobs", NULL, 0 },
  { MANAGER, "GetSchema", NULL, 0 },
  { MANAGER, "Reconcile", ACT ("instance-lifecycle"), 0 },

  { IMAGES, "GetImage", NULL, 0 },
  { IMAGES, "ListImages", NULL, 0 },
  { IMAGES, "Pull", ACT ("image"), 0 },
  { IMAGES, "Import", ACT ("image"), LODGE_POLICY_TAKES_FDS },
  { IMAGES, "Refresh", ACT ("image"), 0 },
  { IMAGES, "Prune", ACT ("image"), 0 },

  { REMOTES, "List", NULL, 0 },
  { REMOTES, "Add", ACT ("remote"), 0 },
  { REMOTES, "Remove", ACT ("remote"), 0 },
  { REMOTES, "SetDefault", ACT ("remote"), 0 },
  { REMOTES, "ListImages", NULL, 0 },
  { REMOTES, "Refresh", ACT ("image"), 0 },

  { INSTANCE, "Start", ACT ("instance-lifecycle"), 0 },
  { INSTANCE, "Stop", ACT ("instance-lifecycle"), 0 },
  { INSTANCE, "Restart", ACT ("instance-lifecycle"), 0 },
  { INSTANCE, "Pause", ACT ("instance-lifecycle"), 0 },
  { INSTANCE, "Resume", ACT ("instance-lifecycle"), 0 },
  { INSTANCE, "Rename", ACT ("instance-modify"), 0 },
  { INSTANCE, "Eject", ACT ("instance-modify"), 0 },
  { INSTANCE, "Delete", ACT ("instance-delete"), 0 },
  { INSTANCE, "Publish", ACT ("image"), 0 },
  /* It makes an instance and deletes the old one. */
  { INSTANCE, "Convert", ACT ("instance-delete"), 0 },
  { INSTANCE, "Exec", ACT ("instance-exec"), LODGE_POLICY_TAKES_FDS },
  { INSTANCE, "OpenConsole", ACT ("instance-exec"), 0 },
  /* What was typed and shown on a console is as private as the console. */
  { INSTANCE, "GetConsoleLog", ACT ("instance-exec"), 0 },
  { INSTANCE, "OpenFiles", ACT ("instance-exec"), 0 },
  /* Read from the host's side, never by asking the guest. */
  { INSTANCE, "GetUsage", NULL, 0 },
  /* Paths of the host, devices, maybe secrets: for those who may change them. */
  { INSTANCE, "GetXml", ACT ("instance-modify"), 0 },

  { IMAGE, "SetAliases", ACT ("image"), 0 },
  { IMAGE, "SetFlags", ACT ("image"), 0 },
  { IMAGE, "Delete", ACT ("image"), 0 },
  { IMAGE, "Convert", ACT ("image"), 0 },
  { IMAGE, "Customize", ACT ("image"), LODGE_POLICY_TAKES_FDS },
  { IMAGE, "Export", ACT ("image"), LODGE_POLICY_TAKES_FDS },

  { JOB, "Cancel", ACT ("cancel-foreign"), LODGE_POLICY_OWN_FREE },
  { JOB, "Wait", NULL, 0 },

  { PROCESS, "Resize", NULL, LODGE_POLICY_OWNER },
  { PROCESS, "Signal", NULL, LODGE_POLICY_OWNER },
  { PROCESS, "Wait", NULL, LODGE_POLICY_OWNER },
};

const LodgeBusPolicy *
lodge_bus_policy_table (gsize *out_n_rows)
{
  *out_n_rows = G_N_ELEMENTS (policy_table);
  return policy_table;
}

const LodgeBusPolicy *
lodge_bus_policy_find (const char *interface, const char *method)
{
  for (gsize i = 0; i < G_N_ELEMENTS (policy_table); i++)
    if (g_str_equal (policy_table[i].method, method)
        && g_str_equal (policy_table[i].interface, interface))
      return &policy_table[i];
  return NULL;
}
