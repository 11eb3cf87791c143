/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-hosts.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lodge-fd.h"
#include "lodge-units.h"
#include "lodge/lodge-error.h"

/* Short, so that the address and name of a deleted instance are soon free again. */
#define LEASE_TIME "10m"

#define DHCP_DIR    "dhcp"
#define NAMES_DIR   "names"
#define RETIRED_DIR "retired"
/* Where libvirt's network driver keeps the pids of its dnsmasqs. */
#define PID_DIR "/run/libvirt/network"

static char *
file_of (const char *dir, const char *sub_dir, const char *mac)
{
  g_autofree char *name = g_strdelimit (g_strdup (mac), ":", '-');

  return g_build_filename (dir, sub_dir, name, NULL);
}

gboolean
lodge_hosts_prepare (const char *dir, GError **error)
{
  g_autofree char *dhcp = g_build_filename (dir, DHCP_DIR, NULL);
  g_autofree char *names = g_build_filename (dir, NAMES_DIR, NULL);
  g_autofree char *retired = g_build_filename (dir, RETIRED_DIR, NULL);

  return lodge_dir_make (dir, 0755, error) && lodge_dir_make (dhcp, 0755, error)
         && lodge_dir_make (names, 0755, error) && lodge_dir_make (retired, 0755, error);
}

void
lodge_hosts_add_options (const char *dir, GPtrArray *options)
{
  g_ptr_array_add (options, g_strdup_printf ("dhcp-hostsdir=%s/" DHCP_DIR, dir));
  g_ptr_array_add (options, g_strdup_printf ("hostsdir=%s/" NAMES_DIR, dir));
}

gboolean
lodge_hosts_add (const char *dir, const char *mac, const char *name, const char *address,
                 GError **error)
{
  g_autofree char *dhcp_file = file_of (dir, DHCP_DIR, mac);
  g_autofree char *names_file = file_of (dir, NAMES_DIR, mac);
  g_autofree char *dhcp_line = g_strdup_printf ("%s,%s,%s," LEASE_TIME "\n", mac, address, name);
  g_autofree char *names_line = g_strdup_printf ("%s %s\n", address, name);

  return lodge_file_replace (dhcp_file, dhcp_line, -1, 0644, error)
         && lodge_file_replace (names_file, names_line, -1, 0644, error);
}

/* The second field of the file that lodge_hosts_add() wrote; NULL when there is none. */
static char *
reserved_address (const char *dhcp_file)
{
  g_autofree char *line = NULL;

  if (!g_file_get_contents (dhcp_file, &line, NULL, NULL))
    return NULL;
  g_auto (GStrv) fields = g_strsplit (line, ",", 3);
  return g_strv_length (fields) == 3 && g_hostname_is_ip_address (fields[1]) ? g_strdup (fields[1])
                                                                             : NULL;
}

static gboolean
remove_file (const char *file, GError **error)
{
  if (unlink (file) < 0 && errno != ENOENT)
    {
      lodge_error_set_errno (error, errno, "cannot remove %s", file);
      return FALSE;
    }
  return TRUE;
}

gboolean
lodge_hosts_remove (const char *dir, const char *mac, char **out_address, GError **error)
{
  g_autofree char *dhcp_file = file_of (dir, DHCP_DIR, mac);
  g_autofree char *names_file = file_of (dir, NAMES_DIR, mac);
  g_autofree char *address = reserved_address (dhcp_file);

  if (address != NULL)
    {
      g_autofree char *mark = g_build_filename (dir, RETIRED_DIR, address, NULL);

      /* The network may be older than these marks, and nothing may have been started since. */
      if (!lodge_hosts_prepare (dir, error) || !lodge_file_replace (mark, "", 0, 0644, error))
        return FALSE;
    }
  if (!remove_file (names_file, error) || !remove_file (dhcp_file, error))
    return FALSE;
  *out_address = g_steal_pointer (&address);
  return TRUE;
}

gboolean
lodge_hosts_is_retired (const char *dir, const char *address)
{
  g_autofree char *mark = g_build_filename (dir, RETIRED_DIR, address, NULL);

  return access (mark, F_OK) == 0;
}

/* Before dnsmasq reads anew: what is retired meanwhile costs one reading too many, not too few. */
static void
forget_retired (const char *dir)
{
  g_autofree char *path = g_build_filename (dir, RETIRED_DIR, NULL);
  g_autoptr (GDir) marks = g_dir_open (path, 0, NULL);
  const char *name;

  while (marks != NULL && (name = g_dir_read_name (marks)) != NULL)
    {
      g_autofree char *mark = g_build_filename (path, name, NULL);

      unlink (mark);
    }
}

/* A pid file may be older than its process: the command line must name the network's file. */
static gboolean
is_dnsmasq_of (int pidfd, guint64 pid, const char *network)
{
  g_autofree char *path = g_strdup_printf ("/proc/%" G_GUINT64_FORMAT "/cmdline", pid);
  g_autofree char *config = g_strdup_printf ("/%s.conf", network);
  g_autofree char *text = NULL;
  gsize size;

  if (pidfd < 0 || !g_file_get_contents (path, &text, &size, NULL))
    return FALSE;
  for (gsize i = 0; i + 1 < size; i++)
    if (text[i] == '\0')
      text[i] = ' ';
  return strstr (text, "dnsmasq") != NULL && strstr (text, config) != NULL;
}

void
lodge_hosts_reload (const char *dir, const char *network)
{
  g_autofree char *file = g_strdup_printf (PID_DIR "/%s.pid", network);
  g_autofree char *text = NULL;
  guint64 pid;

  forget_retired (dir);
  if (!g_file_get_contents (file, &text, NULL, NULL)
      || !lodge_parse_uint (g_strchomp (text), 2, G_MAXINT32, &pid, NULL))
    return;

  g_auto (LodgeFd) pidfd = (int) syscall (SYS_pidfd_open, (pid_t) pid, 0);
  if (is_dnsmasq_of (pidfd, pid, network))
    syscall (SYS_pidfd_send_signal, pidfd, SIGHUP, NULL, 0);
}
