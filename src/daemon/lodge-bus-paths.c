/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-bus-paths.h"

#include "lodge-name.h"
#include "lodge-units.h"

char *
lodge_bus_node_of_uuid (const char *uuid)
{
  return g_strdelimit (g_strconcat ("_", uuid, NULL), "-", '_');
}

char *
lodge_bus_path_of_instance (const char *uuid)
{
  g_autofree char *node = lodge_bus_node_of_uuid (uuid);

  return g_strconcat (LODGE_BUS_PATH_INSTANCES "/", node, NULL);
}

char *
lodge_bus_path_of_image (const char *fingerprint)
{
  return g_strconcat (LODGE_BUS_PATH_IMAGES "/_", fingerprint, NULL);
}

char *
lodge_bus_path_of_job (gint64 id)
{
  return g_strdup_printf (LODGE_BUS_PATH_JOBS "/%" G_GINT64_FORMAT, id);
}

char *
lodge_bus_path_of_process (guint64 id)
{
  return g_strdup_printf (LODGE_BUS_PATH_PROCESSES "/%" G_GUINT64_FORMAT, id);
}

char *
lodge_bus_uuid_of_node (const char *node)
{
  g_autofree char *uuid = NULL;

  if (node == NULL || node[0] != '_' || strchr (node, '-') != NULL)
    return NULL;
  uuid = g_strdelimit (g_strdup (node + 1), "_", '-');
  return lodge_uuid_is_valid (uuid) ? g_steal_pointer (&uuid) : NULL;
}

char *
lodge_bus_name_of_node (const char *node)
{
  g_autofree char *name = NULL;

  if (node == NULL || strchr (node, '-') != NULL)
    return NULL;
  name = g_strdelimit (g_strdup (node), "_", '-');
  return lodge_name_validate (name, NULL) ? g_steal_pointer (&name) : NULL;
}

const char *
lodge_bus_fingerprint_of_node (const char *node)
{
  if (node == NULL || node[0] != '_' || !lodge_fingerprint_is_valid (node + 1))
    return NULL;
  return node + 1;
}

guint64
lodge_bus_number_of_node (const char *node)
{
  guint64 number;

  if (node == NULL || node[0] == '0' || !lodge_parse_uint (node, 1, G_MAXINT64, &number, NULL))
    return 0;
  return number;
}
