/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-kvm-private.h"

#include <libvirt/virterror.h>
#include <string.h>
#include <unistd.h>

#include "lodge-fd.h"

#define KIB 1024

/* Field 22 of /proc/PID/stat, behind the name in parentheses, which may hold anything. */
static gint64
read_start_ticks (pid_t pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/stat", (int) pid);
  g_autofree char *contents = NULL;

  if (!g_file_get_contents (path, &contents, NULL, NULL))
    return -1;
  const char *rest = strrchr (contents, ')');
  for (int field = 2; rest != NULL && field < 22; field++)
    rest = strchr (rest + 1, ' ');
  return rest != NULL ? g_ascii_strtoll (rest + 1, NULL, 10) : -1;
}

gint64
lodge_kvm_uptime (const char *name, const char *uuid)
{
  pid_t pid = 0;
  g_auto (LodgeFd) pidfd = lodge_kvm_find_qemu (name, uuid, &pid);
  struct timespec now;

  if (pidfd < 0 || clock_gettime (CLOCK_BOOTTIME, &now) < 0)
    return -1;
  gint64 ticks = read_start_ticks (pid);
  return ticks >= 0 ? now.tv_sec - ticks / sysconf (_SC_CLK_TCK) : -1;
}

static gint64
get_number (const virDomainStatsRecord *record, const char *name)
{
  unsigned long long number = 0;

  if (virTypedParamsGetULLong (record->params, record->nparams, name, &number) == 1
      && number <= G_MAXINT64)
    return (gint64) number;
  return -1;
}

static gint64
get_kib (const virDomainStatsRecord *record, const char *name)
{
  gint64 number = get_number (record, name);

  return number >= 0 && number <= G_MAXINT64 / KIB ? number * KIB : -1;
}

/* What the guest uses when its balloon reports that, else what QEMU occupies. */
static void
fill_memory (LodgeUsage *usage, const virDomainStatsRecord *record)
{
  gint64 available = get_kib (record, "balloon.available");
  gint64 usable = get_kib (record, "balloon.usable");
  gint64 swap_in = get_kib (record, "balloon.swap_in");
  gint64 swap_out = get_kib (record, "balloon.swap_out");

  usage->memory_limit = get_kib (record, "balloon.current");
  usage->memory = available >= 0 && usable >= 0 && usable <= available
                      ? available - usable
                      : get_kib (record, "balloon.rss");
  if (swap_in >= 0 && swap_out >= swap_in)
    usage->swap = swap_out - swap_in;
}

static void
fill_network (LodgeUsage *usage, const virDomainStatsRecord *record)
{
  const char *device = NULL;

  if (virTypedParamsGetString (record->params, record->nparams, "net.0.name", &device) == 1)
    usage->host_device = g_strdup (device);
  usage->rx_bytes = get_number (record, "net.0.rx.bytes");
  usage->tx_bytes = get_number (record, "net.0.tx.bytes");
  usage->rx_packets = get_number (record, "net.0.rx.pkts");
  usage->tx_packets = get_number (record, "net.0.tx.pkts");
}

static void
fill_disk (LodgeUsage *usage, const virDomainStatsRecord *record)
{
  unsigned int count = 0;

  if (virTypedParamsGetUInt (record->params, record->nparams, "block.count", &count) != 1)
    return;
  for (unsigned int i = 0; i < count; i++)
    {
      g_autofree char *name = g_strdup_printf ("block.%u.allocation", i);
      gint64 allocation = get_number (record, name);
      if (allocation >= 0)
        usage->disk = MAX (usage->disk, 0) + allocation;
    }
}

LodgeUsage *
lodge_kvm_get_usage (LodgeDriver *driver, const char *uuid, GError **error)
{
  LodgeKvmDriver *self = LODGE_KVM_DRIVER (driver);
  g_autoptr (virDomain) domain = lodge_virt_connection_lookup (self->connection, uuid, error);

  if (domain == NULL)
    return NULL;
  const char *name = virDomainGetName (domain);
  virDomainPtr domains[] = { domain, NULL };
  virDomainStatsRecordPtr *records = NULL;
  /* Never waits for a job on the domain: then there are fewer numbers. */
  int n = virDomainListGetStats (domains,
                                 VIR_DOMAIN_STATS_CPU_TOTAL | VIR_DOMAIN_STATS_BALLOON
                                     | VIR_DOMAIN_STATS_INTERFACE | VIR_DOMAIN_STATS_BLOCK,
                                 &records, VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT);
  if (n < 0)
    {
      lodge_virt_set_error (error, "cannot measure '%s'", name);
      return NULL;
    }
  LodgeUsage *usage = lodge_usage_new ();
  if (n > 0)
    {
      usage->cpu_ns = get_number (records[0], "cpu.time");
      fill_memory (usage, records[0]);
      fill_network (usage, records[0]);
      fill_disk (usage, records[0]);
    }
  virDomainStatsRecordListFree (records);
  usage->uptime = lodge_kvm_uptime (name, uuid);
  return usage;
}
