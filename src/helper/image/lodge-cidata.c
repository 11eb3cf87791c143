/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-cidata.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <string.h>

#include "lodge-io.h"
#include "lodge-root-file.h"
#include "lodge-tarball.h"

#define FILE_MAX     (1024 * 1024)
#define DIGEST_CHARS 8
#define NO_CONFIG    "#cloud-config\n{}\n"

/* The documents; the first is Lodge's own. */
static const struct
{
  const char *name;
  const char *fallback; /* NULL: no file */
} FILES[] = {
  { "meta-data", NULL },
  { "user-data", NO_CONFIG },
  { "vendor-data", NO_CONFIG },
  { "network-config", NULL },
};

const char *
lodge_cidata_get (GHashTable *config, const char *name)
{
  static const char *const PREFIXES[] = { "cloud-init.", "user." };

  for (gsize i = 0; i < G_N_ELEMENTS (PREFIXES); i++)
    {
      g_autofree char *key = g_strconcat (PREFIXES[i], name, NULL);
      const char *value = g_hash_table_lookup (config, key);
      if (value != NULL && *value != '\0')
        return value;
    }
  return NULL;
}

static const char *
get (const LodgeCidata *data, const char *name)
{
  if (data->vendor_data != NULL && strcmp (name, "vendor-data") == 0)
    return data->vendor_data;
  return lodge_cidata_get (data->config, name);
}

/* cloud-init does what it does once for each id. */
static char *
make_meta_data (const LodgeCidata *data)
{
  g_autoptr (GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  const char *more = g_hash_table_lookup (data->config, "user.meta-data");

  for (gsize i = 1; i < G_N_ELEMENTS (FILES); i++)
    {
      const char *text = get (data, FILES[i].name);
      g_checksum_update (checksum, (const guchar *) FILES[i].name, -1);
      if (text != NULL)
        g_checksum_update (checksum, (const guchar *) text, -1);
    }
  return g_strdup_printf ("instance-id: %s-%.*s\nlocal-hostname: %s\n%s%s", data->uuid,
                          DIGEST_CHARS, g_checksum_get_string (checksum), data->name,
                          more != NULL ? more : "", more != NULL ? "\n" : "");
}

/* User data may hold passwords. */
static bool
write_one (int root, const char *name, const char *text, bool keep_existing, LodgeFail *fail)
{
  static const LodgeRootFileOwner SECRET = { .mode = 0600 };
  g_autofree char *path = g_strconcat (LODGE_CIDATA_DIR, name, NULL);

  return lodge_root_file_write (root, path, text, strlen (text), &SECRET, keep_existing, fail);
}

bool
lodge_cidata_write (int root, const LodgeCidata *data, LodgeFail *fail)
{
  g_autofree char *meta_data = make_meta_data (data);

  if (!write_one (root, FILES[0].name, meta_data, false, fail))
    return false;
  for (gsize i = 1; i < G_N_ELEMENTS (FILES); i++)
    {
      const char *text = get (data, FILES[i].name);
      const char *used = text != NULL ? text : FILES[i].fallback;

      if (used != NULL && !write_one (root, FILES[i].name, used, text == NULL, fail))
        return false;
    }
  return true;
}

/* ---- the disk ---- */

static bool
add_file (int root, struct archive *archive, const char *name, LodgeFail *fail)
{
  g_autofree char *path = g_strconcat (LODGE_CIDATA_DIR, name, NULL);
  g_autofree char *text = g_malloc (FILE_MAX + 1);
  LODGE_AUTOFD fd = lodge_root_file_open (root, path, O_RDONLY | O_NOFOLLOW);
  ssize_t n = fd >= 0 ? lodge_io_read_fd (fd, text, FILE_MAX + 1) : -1;

  return n < 0 || lodge_tarball_add_text (archive, name, text, (gsize) n, fail);
}

bool
lodge_cidata_pack (int root, int fd, LodgeFail *fail)
{
  struct archive *archive = archive_write_new ();
  bool ok = archive_write_set_format_iso9660 (archive) == ARCHIVE_OK
            && archive_write_set_options (archive, "volume-id=cidata,!pad") == ARCHIVE_OK
            && archive_write_open_fd (archive, fd) == ARCHIVE_OK;

  for (gsize i = 0; ok && i < G_N_ELEMENTS (FILES); i++)
    ok = add_file (root, archive, FILES[i].name, fail);
  ok = ok && archive_write_close (archive) == ARCHIVE_OK;
  if (!ok && fail->nick == NULL)
    lodge_fail (fail, "HelperFailed", "The disk for cloud-init cannot be made: %s",
                archive_error_string (archive));
  archive_write_free (archive);
  return ok;
}
