/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-fake-image.h"

#include "lodge-fd.h"

#define DISK_SIZE (G_GUINT64_CONSTANT (64) << 20)

/* An empty qcow2 of version 2: header, L1 table, and refcounts for the first clusters. */
static char *
make_disk (gsize *out_size)
{
  const gsize cluster = 65536;
  char *disk = g_malloc0 (4 * cluster);
  guint32 head[] = { GUINT32_TO_BE (0x514649fb), GUINT32_TO_BE (2), 0, 0, 0, GUINT32_TO_BE (16) };
  guint64 virtual_size = GUINT64_TO_BE (DISK_SIZE);
  guint32 n_l1 = GUINT32_TO_BE (1);
  guint64 l1 = GUINT64_TO_BE (3 * cluster);
  guint64 refcount_table = GUINT64_TO_BE (cluster);
  guint32 n_refcount_clusters = GUINT32_TO_BE (1);
  guint64 refcount_block = GUINT64_TO_BE (2 * cluster);
  guint16 one = GUINT16_TO_BE (1);

  memcpy (disk, head, sizeof head);
  memcpy (disk + 24, &virtual_size, 8);
  memcpy (disk + 36, &n_l1, 4);
  memcpy (disk + 40, &l1, 8);
  memcpy (disk + 48, &refcount_table, 8);
  memcpy (disk + 56, &n_refcount_clusters, 4);
  memcpy (disk + cluster, &refcount_block, 8);
  for (gsize i = 0; i < 4; i++)
    memcpy (disk + 2 * cluster + 2 * i, &one, 2);
  *out_size = 4 * cluster;
  return disk;
}

static gboolean
make_files (const char *dir, LodgeKind kind, GError **error)
{
  if (kind == LODGE_KIND_CONTAINER)
    {
      g_autofree char *etc = g_build_filename (dir, "rootfs", "etc", NULL);
      g_autofree char *release = g_build_filename (etc, "os-release", NULL);

      return lodge_dir_make (etc, 0755, error)
             && lodge_file_replace (release, "ID=debian\n", -1, 0644, error);
    }

  gsize size;
  g_autofree char *disk = make_disk (&size);
  g_autofree char *path = g_build_filename (dir, "disk.qcow2", NULL);
  return lodge_dir_make (dir, 0755, error)
         && lodge_file_replace (path, disk, (gssize) size, 0444, error);
}

gboolean
lodge_fake_image_add (LodgeStore *store, const char *state_dir, LodgeKind kind, GError **error)
{
  char digit = kind == LODGE_KIND_VM ? 'b' : 'a';
  g_autofree char *fingerprint = g_strnfill (64, digit);
  g_autofree char *dir = g_build_filename (state_dir, "images", fingerprint, NULL);
  g_autofree char *image_key = g_strconcat ("/images/", fingerprint, NULL);
  g_autofree char *alias_key
      = g_strconcat ("/aliases/", lodge_kind_nick (kind), "/", LODGE_FAKE_IMAGE_ALIAS, NULL);
  g_autofree char *document = g_strdup_printf (
      "{\"kind\":\"%s\",\"architecture\":\"x86_64\",\"description\":\"Debian 12 (fake)\","
      "\"source\":\"build:debian/12\",\"size\":4096,\"virtual-size\":%" G_GUINT64_FORMAT
      ",\"created-at\":1700000000,\"last-used-at\":0,\"properties\":{\"os\":\"debian\"}}",
      lodge_kind_nick (kind), kind == LODGE_KIND_VM ? DISK_SIZE : 0);
  g_autofree char *alias = g_strdup_printf ("{\"fingerprint\":\"%s\"}", fingerprint);
  LodgeStoreOp ops[] = { { LODGE_STORE_OP_PUT, image_key, document, 0 },
                         { LODGE_STORE_OP_PUT, alias_key, alias, 0 } };
  LodgeStoreEntry *known = NULL;

  if (!lodge_store_get (store, image_key, &known, error))
    return FALSE;
  if (known != NULL)
    {
      lodge_store_entry_free (known);
      return TRUE;
    }
  return make_files (dir, kind, error)
         && lodge_store_txn (store, NULL, 0, ops, G_N_ELEMENTS (ops), NULL, error);
}
