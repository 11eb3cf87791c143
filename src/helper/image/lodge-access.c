/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-access.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lodge-command.h"
#include "lodge-io.h"
#include "lodge-root-file.h"

#define SHADOW   "/etc/shadow"
#define SSH_DIR  "/root/.ssh"
#define KEYS     SSH_DIR "/authorized_keys"
#define SCRIPT   "/.lodge-script"
#define ROOT     "root:"
#define FILE_MAX (1024 * 1024)
#define BOUNDARY "=-lodge-part-="

void
lodge_access_read (LodgeAccess *access, const LodgeRequest *request)
{
  g_autoptr (GPtrArray) keys = g_ptr_array_new ();

  for (const char *key = lodge_request_next (request, "ssh-key", NULL); key != NULL;
       key = lodge_request_next (request, "ssh-key", key))
    g_ptr_array_add (keys, g_strdup (key));
  g_ptr_array_add (keys, NULL);
  access->ssh_keys = (char **) g_ptr_array_steal (keys, NULL);
  access->password_hash = lodge_request_get (request, "password-hash");
  access->script = lodge_request_get (request, "script");
}

void
lodge_access_clear (LodgeAccess *access)
{
  g_clear_pointer (&access->ssh_keys, g_strfreev);
}

bool
lodge_access_is_empty (const LodgeAccess *access)
{
  return access->ssh_keys[0] == NULL && access->password_hash == NULL && access->script == NULL;
}

/* ---- for cloud-init ---- */

static void
append_quoted (GString *text, const char *value)
{
  g_string_append_c (text, '"');
  for (const char *p = value; *p != '\0'; p++)
    {
      if (*p == '"' || *p == '\\')
        g_string_append_c (text, '\\');
      g_string_append_c (text, *p);
    }
  g_string_append_c (text, '"');
}

/* By itself cloud-init turns away who logs in as root with a key. */
static void
append_config (GString *text, const LodgeAccess *access)
{
  g_string_append (text, "#cloud-config\ndisable_root: false\n");
  if (access->ssh_keys[0] != NULL)
    g_string_append (text, "ssh_authorized_keys:\n");
  for (char **key = access->ssh_keys; *key != NULL; key++)
    {
      g_string_append (text, "  - ");
      append_quoted (text, *key);
      g_string_append_c (text, '\n');
    }
  if (access->password_hash != NULL)
    g_string_append_printf (text, "chpasswd:\n  expire: false\n  list:\n    - 'root:%s'\n",
                            access->password_hash);
}

/* Of plain text cloud-init finds out itself what it is. */
static void
begin_part (GString *text)
{
  g_string_append (text, "\n--" BOUNDARY "\nContent-Type: text/plain; charset=\"utf-8\"\n"
                         "MIME-Version: 1.0\nContent-Transfer-Encoding: 8bit\n\n");
}

char *
lodge_access_to_vendor_data (const LodgeAccess *access, const char *more)
{
  GString *text = g_string_new ("Content-Type: multipart/mixed; boundary=\"" BOUNDARY "\"\n"
                                "MIME-Version: 1.0\n");

  begin_part (text);
  append_config (text, access);
  if (access->script != NULL)
    {
      begin_part (text);
      g_string_append (text, access->script);
    }
  if (more != NULL)
    {
      begin_part (text);
      g_string_append (text, more);
    }
  g_string_append (text, "\n--" BOUNDARY "--\n");
  return g_string_free (text, FALSE);
}

/* ---- files ---- */

char *
lodge_access_edit_shadow (const LodgeAccess *access, const char *shadow)
{
  g_auto (GStrv) lines = g_strsplit (shadow, "\n", -1);
  bool found = false;

  for (char **line = lines; *line != NULL && !found; line++)
    {
      char *rest = g_str_has_prefix (*line, ROOT) ? strchr (*line + strlen (ROOT), ':') : NULL;
      if (rest == NULL)
        continue;
      char *changed = g_strconcat (ROOT, access->password_hash, rest, NULL);
      g_free (*line);
      *line = changed;
      found = true;
    }
  return found ? g_strjoinv ("\n", lines) : NULL;
}

char *
lodge_access_add_keys (const LodgeAccess *access, const char *old)
{
  GString *text = g_string_new (old);
  g_auto (GStrv) known = g_strsplit (text->str, "\n", -1);

  if (text->len > 0 && text->str[text->len - 1] != '\n')
    g_string_append_c (text, '\n');
  for (char **key = access->ssh_keys; *key != NULL; key++)
    if (!g_strv_contains ((const char *const *) known, *key))
      g_string_append_printf (text, "%s\n", *key);
  return g_string_free (text, FALSE);
}

/* (transfer full): a small regular file of the system; NULL when it is not there. */
static char *
read_file (int root, const char *path)
{
  LODGE_AUTOFD fd = lodge_root_file_open (root, path, O_RDONLY);
  g_autofree char *text = g_malloc (FILE_MAX + 1);
  struct stat st;

  if (fd < 0 || fstat (fd, &st) < 0 || !S_ISREG (st.st_mode) || st.st_size > FILE_MAX
      || lodge_io_read_fd (fd, text, FILE_MAX + 1) < 0)
    return NULL;
  return g_steal_pointer (&text);
}

static bool
write_password (const LodgeAccess *access, int root, LodgeFail *fail)
{
  g_autofree char *old = read_file (root, SHADOW);
  g_autofree char *text = old != NULL ? lodge_access_edit_shadow (access, old) : NULL;

  if (text == NULL)
    return lodge_fail (fail, "NotSupported", "The image has no " SHADOW " with root in it");
  return lodge_root_file_write (root, SHADOW, text, strlen (text), NULL, false, fail);
}

static bool
write_keys (const LodgeAccess *access, int root, LodgeFail *fail)
{
  static const LodgeRootFileOwner SECRET = { .mode = 0600 };
  g_autofree char *old = read_file (root, KEYS);
  g_autofree char *text = lodge_access_add_keys (access, old);

  if (!lodge_root_file_write (root, KEYS, text, strlen (text), &SECRET, false, fail))
    return false;
  /* sshd looks at the directory as well. */
  LODGE_AUTOFD dir = lodge_root_file_open (root, SSH_DIR, O_RDONLY | O_DIRECTORY);
  return (dir >= 0 && fchmod (dir, 0700) == 0)
         || lodge_fail_errno (fail, errno, SSH_DIR " cannot be closed to others");
}

bool
lodge_access_write (const LodgeAccess *access, int root, LodgeFail *fail)
{
  return (access->password_hash == NULL || write_password (access, root, fail))
         && (access->ssh_keys[0] == NULL || write_keys (access, root, fail));
}

/* ---- script ---- */

/* Found without leaving the system's own root, whatever it has in the place of its /proc. */
static bool
show (int root, const char *path, LodgeFail *fail)
{
  LODGE_AUTOFD place = lodge_root_file_open (root, path, O_PATH | O_DIRECTORY);

  if (place == -ENOENT)
    return true;
  if (place < 0)
    return lodge_fail_errno (fail, place, "The image's %s cannot be used", path);
  g_autofree char *target = g_strdup_printf ("/proc/self/fd/%d", place);
  return mount (path, target, NULL, MS_BIND | MS_REC, NULL) == 0
         || lodge_fail_errno (fail, errno, "%s cannot be shown to the script", path);
}

static void
keep_last (char *line, gpointer last)
{
  if (*line != '\0')
    g_string_assign (last, line);
}

bool
lodge_access_run_script (const LodgeAccess *access, const char *root, LodgeFail *fail)
{
  static const LodgeRootFileOwner PROGRAM = { .mode = 0700 };
  const char *const argv[] = { "chroot", root, SCRIPT, NULL };
  LODGE_AUTOFD fd = open (root, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  g_autoptr (GString) last = g_string_new (NULL);

  if (fd < 0)
    return lodge_fail_errno (fail, errno, "The root cannot be opened");
  if (!show (fd, "/proc", fail) || !show (fd, "/dev", fail)
      || !lodge_root_file_write (fd, SCRIPT, access->script, strlen (access->script), &PROGRAM,
                                 false, fail))
    return false;
  int status = lodge_command_run_status (argv, NULL, keep_last, last, fail);
  unlinkat (fd, SCRIPT + 1, 0);
  if (status <= 0)
    return status == 0;
  return lodge_fail (fail, "InvalidArgument", "The script of --run ended with status %d%s%.300s",
                     status, last->len > 0 ? ": " : "", last->str);
}
