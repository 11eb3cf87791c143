/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-signature.h"

#include <gio/gio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEYRING_MAX (1 << 20)
#define ARMOUR      "-----BEGIN PGP PUBLIC KEY BLOCK-----"

/* gpgv reads binary keyrings only.  Returns false for what is no armour either. */
static bool
take_off_armour (char **keyring, gsize *size)
{
  char *begin = g_strstr_len (*keyring, (gssize) *size, ARMOUR);
  char *body = begin != NULL ? strstr (begin, "\n\n") : NULL;
  char *end = NULL;

  if (begin == NULL)
    return true;
  if (body == NULL)
    body = strstr (begin, "\r\n\r\n");
  /* The checksum line begins with '='; so does nothing else, since padding ends a line. */
  if (body != NULL && (end = strstr (body, "\n=")) == NULL)
    end = strstr (body, "\n-----END");
  if (end == NULL)
    return false;
  *end = '\0';
  guchar *bytes = g_base64_decode (body, size);
  g_free (*keyring);
  *keyring = (char *) bytes;
  return *size > 0;
}

static bool
write_keyring (int fd, const char *path, LodgeFail *fail)
{
  struct stat st;

  if (fstat (fd, &st) < 0 || st.st_size <= 0 || st.st_size > KEYRING_MAX)
    return lodge_fail (fail, "VerificationFailed", "The keyring cannot be used");
  g_autofree char *keyring = g_malloc0 ((gsize) st.st_size + 1);
  gssize n = pread (fd, keyring, (gsize) st.st_size, 0);
  gsize size = (gsize) MAX (n, 0);
  if (!take_off_armour (&keyring, &size)
      || !g_file_set_contents (path, keyring, (gssize) size, NULL))
    return lodge_fail (fail, "VerificationFailed", "The keyring cannot be used");
  return true;
}

bool
lodge_signature_open (int keyring_fd, const char *document, gsize size, char **out_text,
                      gsize *out_size, LodgeFail *fail)
{
  static const char *const argv[]
      = { "/usr/bin/gpgv",    "--quiet",  "--homedir",   "/tmp",          "--keyring",
          "/tmp/keyring.gpg", "--output", "/tmp/signed", "/tmp/document", NULL };
  g_autoptr (GError) error = NULL;
  int status = 1;

  if (!write_keyring (keyring_fd, "/tmp/keyring.gpg", fail))
    return false;
  if (!g_file_set_contents ("/tmp/document", document, (gssize) size, &error)
      || !g_spawn_sync (NULL, (char **) argv, NULL,
                        G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, NULL,
                        NULL, &status, &error))
    return lodge_fail (fail, "HelperFailed", "The signature cannot be checked: %s", error->message);
  if (status != 0)
    return lodge_fail (fail, "VerificationFailed",
                       "The server's index is not signed by a key of the remote's keyring");
  if (!g_file_get_contents ("/tmp/signed", out_text, out_size, &error))
    return lodge_fail (fail, "VerificationFailed", "The signed index cannot be read: %s",
                       error->message);
  return true;
}
