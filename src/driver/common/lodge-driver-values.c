/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge/lodge-driver.h"

#include <string.h>

LodgeDomainSpec *
lodge_domain_spec_new (void)
{
  LodgeDomainSpec *spec = g_new0 (LodgeDomainSpec, 1);

  spec->config = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  return spec;
}

void
lodge_domain_spec_free (LodgeDomainSpec *spec)
{
  if (spec == NULL)
    return;

  char *strings[]
      = { spec->uuid,         spec->name,      spec->image_fingerprint, spec->image_alias,
          spec->architecture, spec->os_id,     spec->lower_dir,         spec->upper_dir,
          spec->work_dir,     spec->disk_path, spec->network,           spec->bridge,
          spec->mac,          spec->address,   spec->gateway,           spec->dns_domain,
          spec->instance_dir, spec->run_dir,   spec->seed_path,         spec->medium_path };
  for (gsize i = 0; i < G_N_ELEMENTS (strings); i++)
    g_free (strings[i]);
  g_clear_pointer (&spec->config, g_hash_table_unref);
  g_free (spec);
}

const char *
lodge_domain_spec_get (const LodgeDomainSpec *spec, const char *key, const char *fallback)
{
  const char *value = spec->config != NULL ? g_hash_table_lookup (spec->config, key) : NULL;

  return value != NULL ? value : fallback;
}

LodgeDomainInfo *
lodge_domain_info_copy (const LodgeDomainInfo *info)
{
  LodgeDomainInfo *copy = g_memdup2 (info, sizeof *info);

  copy->uuid = g_strdup (info->uuid);
  copy->name = g_strdup (info->name);
  copy->image = g_strdup (info->image);
  copy->network = g_strdup (info->network);
  copy->mac = g_strdup (info->mac);
  copy->host_device = g_strdup (info->host_device);
  copy->fingerprint = g_strdup (info->fingerprint);
  return copy;
}

void
lodge_domain_info_free (LodgeDomainInfo *info)
{
  if (info == NULL)
    return;
  g_free (info->uuid);
  g_free (info->name);
  g_free (info->image);
  g_free (info->network);
  g_free (info->mac);
  g_free (info->host_device);
  g_free (info->fingerprint);
  g_free (info);
}

LodgeUsage *
lodge_usage_new (void)
{
  LodgeUsage *usage = g_new (LodgeUsage, 1);

  *usage = (LodgeUsage){ .cpu_ns = -1,
                         .memory = -1,
                         .memory_peak = -1,
                         .memory_limit = -1,
                         .swap = -1,
                         .processes = -1,
                         .processes_limit = -1,
                         .disk = -1,
                         .uptime = -1,
                         .rx_bytes = -1,
                         .tx_bytes = -1,
                         .rx_packets = -1,
                         .tx_packets = -1 };
  return usage;
}

LodgeUsage *
lodge_usage_copy (const LodgeUsage *usage)
{
  LodgeUsage *copy = g_new (LodgeUsage, 1);

  *copy = *usage;
  copy->host_device = g_strdup (usage->host_device);
  return copy;
}

void
lodge_usage_free (LodgeUsage *usage)
{
  if (usage == NULL)
    return;
  g_free (usage->host_device);
  g_free (usage);
}

LodgeAddress *
lodge_address_new (const char *device, const char *address, guint prefix, const char *source)
{
  LodgeAddress *self = g_new0 (LodgeAddress, 1);

  self->device = g_strdup (device != NULL ? device : "");
  self->address = g_strdup (address);
  self->prefix = prefix;
  self->ipv6 = strchr (address, ':') != NULL;
  self->source = g_strdup (source);
  return self;
}

void
lodge_address_free (LodgeAddress *address)
{
  if (address == NULL)
    return;
  g_free (address->device);
  g_free (address->address);
  g_free (address->source);
  g_free (address);
}
