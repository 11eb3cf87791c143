/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Live usage, from the kernel's files: libvirt's lxc driver has none of it in one call. */
#include "lodge-lxc-private.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lodge-fd.h"

/* A limit that is this or more is "none" in the words of cgroup v1. */
#define NO_LIMIT (G_GINT64_CONSTANT (1) << 60)

/* ---- numbers in files ---- */

static gint64
read_number_at (int dir, const char *file)
{
  g_autofree char *text = dir >= 0 ? lodge_lxc_cgroup_read (dir, file) : NULL;
  gint64 value;
  if (text == NULL
      || !g_ascii_string_to_signed (g_strstrip (text), 10, 0, G_MAXINT64, &value, NULL))
    return -1;
  return value < NO_LIMIT ? value : -1;
}

/* The value of a line "<key> <number>". */
static gint64
read_key_at (int dir, const char *file, const char *key)
{
  g_autofree char *text = dir >= 0 ? lodge_lxc_cgroup_read (dir, file) : NULL;
  if (text == NULL)
    return -1;
  gsize length = strlen (key);
  for (const char *line = text; line != NULL; line = strchr (line, '\n'))
    {
      line += *line == '\n';
      if (strncmp (line, key, length) == 0 && line[length] == ' ')
        return g_ascii_strtoll (line + length + 1, NULL, 10);
    }
  return -1;
}

static int
open_v1 (int pid, const char *controller)
{
  g_autofree char *path = lodge_lxc_cgroup_v1_dir (pid, controller);
  return path != NULL ? open (path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
}

/* What is used without the cache that the kernel would give back first. */
static gint64
without_cache (gint64 usage, gint64 inactive)
{
  return usage >= 0 && inactive > 0 ? MAX (0, usage - inactive) : usage;
}

/* ---- cgroups ---- */

static void
read_v1 (const LodgeLxcInit *init, LodgeUsage *usage)
{
  g_auto (LodgeFd) memory = open_v1 (init->pid, "memory");
  g_auto (LodgeFd) cpu = open_v1 (init->pid, "cpuacct");
  g_auto (LodgeFd) pids = open_v1 (init->pid, "pids");
  gint64 in_memory = read_number_at (memory, "memory.usage_in_bytes");
  gint64 with_swap = read_number_at (memory, "memory.memsw.usage_in_bytes");
  usage->cpu_ns = read_number_at (cpu, "cpuacct.usage");
  usage->memory
      = without_cache (in_memory, read_key_at (memory, "memory.stat", "total_inactive_file"));
  usage->memory_peak = read_number_at (memory, "memory.max_usage_in_bytes");
  usage->memory_limit = read_number_at (memory, "memory.limit_in_bytes");
  if (in_memory >= 0 && with_swap >= in_memory)
    usage->swap = with_swap - in_memory;
  usage->processes = read_number_at (pids, "pids.current");
  usage->processes_limit = read_number_at (pids, "pids.max");
}

/* A number of @cgroup, or else of the one above, which is libvirt's and out of the guest's reach:
 * limits are there, and so is the count where the controller goes no deeper. */
static gint64
read_number_or_above (int cgroup, const char *file)
{
  gint64 value = read_number_at (cgroup, file);
  if (value >= 0 || cgroup < 0)
    return value;
  g_auto (LodgeFd) above = openat (cgroup, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
  return read_number_at (above, file);
}

static void
read_v2 (const LodgeLxcInit *init, LodgeUsage *usage)
{
  g_auto (LodgeFd) cgroup = lodge_lxc_cgroup_open (init, NULL);
  gint64 cpu_us = read_key_at (cgroup, "cpu.stat", "usage_usec");
  usage->cpu_ns = cpu_us >= 0 ? cpu_us * 1000 : -1;
  usage->memory = without_cache (read_number_at (cgroup, "memory.current"),
                                 read_key_at (cgroup, "memory.stat", "inactive_file"));
  usage->memory_peak = read_number_at (cgroup, "memory.peak");
  usage->memory_limit = read_number_at (cgroup, "memory.max");
  usage->swap = read_number_at (cgroup, "memory.swap.current");
  usage->processes = read_number_or_above (cgroup, "pids.current");
  usage->processes_limit = read_number_or_above (cgroup, "pids.max");
}

static gint64
uptime_of (const LodgeLxcInit *init)
{
  gint64 ticks = sysconf (_SC_CLK_TCK);
  struct timespec now;
  if (ticks <= 0 || clock_gettime (CLOCK_BOOTTIME, &now) < 0)
    return -1;
  return MAX (0, now.tv_sec - (gint64) init->start_time / ticks);
}

/* ---- network ---- */

static gint64
read_statistic (const char *device, const char *name)
{
  g_autofree char *path = g_build_filename ("/sys/class/net", device, "statistics", name, NULL);
  g_autofree char *text = NULL;
  gint64 value;
  if (!g_file_get_contents (path, &text, NULL, NULL)
      || !g_ascii_string_to_signed (g_strstrip (text), 10, 0, G_MAXINT64, &value, NULL))
    return -1;
  return value;
}

/* What the host's end receives is what the guest has sent. */
static void
read_network (const char *device, LodgeUsage *usage)
{
  if (strchr (device, '/') != NULL)
    return;
  usage->host_device = g_strdup (device);
  usage->rx_bytes = read_statistic (device, "tx_bytes");
  usage->tx_bytes = read_statistic (device, "rx_bytes");
  usage->rx_packets = read_statistic (device, "tx_packets");
  usage->tx_packets = read_statistic (device, "rx_packets");
}

static char *
find_host_device (LodgeLxcDriver *self, const char *uuid)
{
  g_autoptr (virDomain) domain = lodge_virt_connection_lookup (self->connection, uuid, NULL);
  char *xml = domain != NULL ? virDomainGetXMLDesc (domain, 0) : NULL;
  LodgeDomainInfo *info = NULL;
  gboolean is_read = xml != NULL && lodge_domain_xml_read (xml, &info, NULL);
  free (xml);
  if (!is_read)
    return NULL;
  char *device = g_steal_pointer (&info->host_device);
  lodge_domain_info_free (info);
  return device;
}

LodgeUsage *
lodge_lxc_get_usage (LodgeDriver *driver, const char *uuid, GError **error)
{
  LodgeLxcDriver *self = LODGE_LXC_DRIVER (driver);
  g_autoptr (LodgeLxcInit) init = lodge_lxc_driver_get_init (self, uuid, error);
  if (init == NULL)
    return NULL;
  LodgeUsage *usage = lodge_usage_new ();
  if (lodge_lxc_cgroup_is_unified ())
    read_v2 (init, usage);
  else
    read_v1 (init, usage);
  /* libvirt wants a limit for every container; the host's memory is none. */
  if (usage->memory_limit >= 0 && (guint64) usage->memory_limit >= self->host_memory / 4096 * 4096)
    usage->memory_limit = -1;
  usage->uptime = uptime_of (init);
  g_autofree char *device = find_host_device (self, uuid);
  if (device != NULL)
    read_network (device, usage);
  return usage;
}
