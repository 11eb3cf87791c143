/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lodge-fetch with what a remote says about how to reach it. */
#include "lodge-remote-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "lodge-fd.h"

#define FETCH_PROGRAM "lodge-fetch"
#define FETCH_MEMORY  (512ll << 20)
#define READ_MEMORY   (1ll << 30)
#define READ_CPU      60
#define READ_SECONDS  120
#define FETCH_FILES   256

static gboolean
add_file (LodgeImageStore *self, LodgeHelper *helper, const LodgeRemote *remote, const char *name,
          GError **error)
{
  g_autofree char *suffix = g_strconcat (".", name, NULL);
  g_autofree char *path = lodge_remotes_path (self, remote->name, suffix);
  g_auto (LodgeFd) fd = open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

  if (fd < 0)
    {
      lodge_error_set_errno (error, errno, "The remote “%s” has lost a file, %s", remote->name,
                             path);
      return FALSE;
    }
  lodge_helper_add_fd (helper, name, fd);
  return TRUE;
}

static LodgeHelper *
make_helper (LodgeImageStore *self, const char *op)
{
  g_autofree char *path = g_build_filename (self->helper_dir, FETCH_PROGRAM, NULL);
  LodgeHelper *helper = lodge_helper_new (path, op);

  lodge_helper_add_int (helper, "limit.nofile", FETCH_FILES);
  return helper;
}

static void
add_url (LodgeHelper *helper, const char *base, const char *path)
{
  g_autofree char *url = path != NULL ? g_strconcat (base, "/", path, NULL) : g_strdup (base);

  lodge_helper_add (helper, "url", url);
}

LodgeHelper *
lodge_fetch_get (LodgeImageStore *self, const LodgeRemote *remote, const char *path, int fd,
                 GError **error)
{
  g_autoptr (LodgeHelper) helper = make_helper (self, "get");

  add_url (helper, remote->url, path);
  for (char **mirror = remote->mirrors; *mirror != NULL; mirror++)
    add_url (helper, *mirror, path);
  lodge_helper_add_fd (helper, "output", fd);
  lodge_helper_add_int (helper, "limit.as", FETCH_MEMORY);
  if (*remote->proxy != '\0')
    lodge_helper_add (helper, "proxy", remote->proxy);
  else if (self->proxy != NULL)
    lodge_helper_add (helper, "proxy", self->proxy);
  if (remote->allow_http)
    lodge_helper_add (helper, "allow-http", "1");
  if (remote->allow_private)
    lodge_helper_add (helper, "allow-private", "1");
  if (remote->has_ca && !add_file (self, helper, remote, "ca", error))
    return NULL;
  lodge_helper_set_timeout (helper, LODGE_IMAGE_TIMEOUT_SECONDS);
  return g_steal_pointer (&helper);
}

LodgeHelper *
lodge_fetch_read (LodgeImageStore *self, const LodgeRemote *remote, const char *op, int input,
                  GError **error)
{
  g_autoptr (LodgeHelper) helper = make_helper (self, op);

  lodge_helper_add_fd (helper, "input", input);
  lodge_helper_add_int (helper, "limit.as", READ_MEMORY);
  lodge_helper_add_int (helper, "limit.cpu", READ_CPU);
  lodge_helper_set_timeout (helper, READ_SECONDS);
  if (remote->has_keyring && !add_file (self, helper, remote, "keyring", error))
    return NULL;
  return g_steal_pointer (&helper);
}

/* By the word that the helper said. */
static const struct
{
  const char *why;
  const char *hint;
} hints[] = {
  { "connect", "Check the network; `lodge remote list` shows the address." },
  { "proxy", "Check the proxy of the remote." },
  { "tls", "If the server has an authority of its own, add the remote with --ca FILE." },
  { "ca", "Remove the remote and add it again with a PEM file for --ca." },
  { "private", "A remote on a private network is to be added with --private." },
  { "scheme", "A remote without TLS is to be added with --allow-http." },
  { "stall", "What has come is kept; try again and it goes on from there." },
  { "broken", "What has come is kept; try again and it goes on from there." },
  { "missing", "`lodge remote refresh` reads anew what the server has." },
  { "hash", "Nothing was kept; try again, and if it happens again tell the server's owner." },
  { "disk", "Make room; what has come is kept." },
};

void
lodge_fetch_explain (LodgeHelper *helper, const LodgeRemote *remote, GError **error)
{
  const char *why = lodge_helper_get_result (helper, "why");

  if (why == NULL || error == NULL || *error == NULL || strchr ((*error)->message, '\n') != NULL)
    return;
  for (gsize i = 0; i < G_N_ELEMENTS (hints); i++)
    if (strcmp (hints[i].why, why) == 0)
      {
        g_autofree char *message = g_strconcat ((*error)->message, "\n", hints[i].hint, NULL);
        lodge_image_set_string (&(*error)->message, message);
        return;
      }
}
