/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-virt-durable.h"

#include "lodge-fd.h"

#define CONFIG_DIR "/etc/libvirt"

gboolean
lodge_virt_sync_definitions (const char *type, GError **error)
{
  g_autofree char *dir = g_build_filename (CONFIG_DIR, type, NULL);

  return !g_file_test (dir, G_FILE_TEST_IS_DIR) || lodge_dir_sync (dir, error);
}
