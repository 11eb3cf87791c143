/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-domain-xml-private.h"
#include "lodge-name.h"
#include "lodge-units.h"

#include <string.h>

static gboolean
is_mac (const char *mac)
{
  if (mac == NULL || strlen (mac) != 17)
    return FALSE;
  for (guint i = 0; i < 17; i++)
    if (i % 3 == 2 ? mac[i] != ':' : !g_ascii_isxdigit (mac[i]))
      return FALSE;
  return TRUE;
}

void
lodge_domain_write_check (LodgeXmlWriter *writer, const LodgeDomainSpec *spec)
{
  g_autoptr (GError) local_error = NULL;
  if (!lodge_name_validate (spec->name, &local_error))
    lodge_xml_fail (writer, local_error->code, "%s", local_error->message);
  else if (spec->uuid == NULL || !lodge_uuid_is_valid (spec->uuid))
    lodge_xml_fail (writer, LODGE_ERROR_INVALID_ARGUMENT, "“%s” has no valid UUID", spec->name);
  else if (spec->network != NULL && !is_mac (spec->mac))
    lodge_xml_fail (writer, LODGE_ERROR_INVALID_ARGUMENT, "“%s” has no valid MAC address",
                    spec->name);
}

const char *
lodge_domain_spec_lookup (const LodgeDomainSpec *spec, const char *key)
{
  return spec->config != NULL ? g_hash_table_lookup (spec->config, key) : NULL;
}

guint64
lodge_domain_spec_memory (LodgeXmlWriter *writer, const LodgeDomainSpec *spec)
{
  const char *text = lodge_domain_spec_lookup (spec, "limits.memory");
  if (text == NULL || *text == '\0')
    return 0;
  guint64 bytes = 0;
  g_autoptr (GError) local_error = NULL;
  if (!lodge_parse_size (text, &bytes, &local_error))
    lodge_xml_fail (writer, LODGE_ERROR_INVALID_CONFIG, "limits.memory of “%s”: %s", spec->name,
                    local_error->message);
  else if (bytes < 1024 * 1024)
    lodge_xml_fail (writer, LODGE_ERROR_INVALID_CONFIG, "limits.memory of “%s” is less than 1MiB",
                    spec->name);
  return bytes;
}
