/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-init.h"

#include "lodge-io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SETUP_FILE "/dev/lodge/setup"

typedef struct
{
  const char *hostname;
  const char *domain;
  const char *nameserver;
  const char *first_boot;
} Setup;

/* Finds the values in @text, which is changed.  Keys that are not known here are for others. */
static void
parse_setup (char *text, Setup *setup)
{
  const struct
  {
    const char *key;
    const char **value;
  } keys[] = {
    { "hostname", &setup->hostname },
    { "domain", &setup->domain },
    { "nameserver", &setup->nameserver },
    { "first-boot", &setup->first_boot },
  };
  char *state = NULL;

  for (char *line = strtok_r (text, "\n", &state); line; line = strtok_r (NULL, "\n", &state))
    {
      char *value = strchr (line, '=');

      if (!value)
        continue;
      *value++ = '\0';
      for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strcmp (line, keys[i].key) == 0 && *value)
          *keys[i].value = value;
    }
}

/* Writes one of the root's files; an image may hold anything there, so never block or follow. */
static void
write_file (const char *path, int flags, const char *text)
{
  const int all = flags | O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
  LODGE_AUTOFD fd = open (path, all, 0644);
  int r = fd < 0 ? -errno : lodge_io_write_all (fd, text, strlen (text));

  if (r < 0)
    lodge_init_say ("cannot write “%s”: %s", path, strerror (-r));
}

/* Whether a line of @hosts begins with @address and a blank. */
static bool
has_address (const char *hosts, const char *address)
{
  size_t length = strlen (address);

  for (const char *line = hosts; line; line = strchr (line, '\n'))
    {
      line += strspn (line, "\n");
      if (strncmp (line, address, length) == 0 && strchr (" \t", line[length]) && line[length])
        return true;
      if (!*line)
        break;
    }
  return false;
}

static void
write_hosts (const Setup *setup)
{
  char hosts[65536];
  char line[512];
  size_t size = 0;
  LODGE_AUTOFD fd = lodge_io_open_regular (AT_FDCWD, "/etc/hosts", sizeof hosts - 1, &size);
  bool absent = fd == -ENOENT;
  int n;

  hosts[0] = '\0';
  if (fd >= 0)
    lodge_io_read_fd (fd, hosts, sizeof hosts);
  else if (!absent)
    return;
  if (has_address (hosts, "127.0.1.1"))
    return;
  n = snprintf (line, sizeof line, "%s%s127.0.1.1\t",
                absent ? "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n" : "",
                size > 0 && hosts[size - 1] != '\n' ? "\n" : "");
  if (setup->domain)
    n += snprintf (line + n, sizeof line - (size_t) n, "%s.%s ", setup->hostname, setup->domain);
  if (n < (int) sizeof line)
    snprintf (line + n, sizeof line - (size_t) n, "%s\n", setup->hostname);
  write_file ("/etc/hosts", O_APPEND, line);
}

static void
write_resolver (const Setup *setup)
{
  char text[512];
  struct stat st;
  int n = 0;

  if (stat ("/etc/resolv.conf", &st) == 0 && (st.st_size > 0 || !S_ISREG (st.st_mode)))
    return;
  unlink ("/etc/resolv.conf");
  if (setup->domain)
    n = snprintf (text, sizeof text, "search %s\n", setup->domain);
  if (n < (int) sizeof text)
    snprintf (text + n, sizeof text - (size_t) n, "nameserver %s\n", setup->nameserver);
  write_file ("/etc/resolv.conf", O_TRUNC, text);
}

static void
apply_first_boot (const Setup *setup)
{
  char text[HOST_NAME_MAX + 2];

  if (setup->hostname)
    {
      snprintf (text, sizeof text, "%s\n", setup->hostname);
      write_file ("/etc/hostname", O_TRUNC, text);
      write_hosts (setup);
    }
  if (setup->nameserver)
    write_resolver (setup);
}

void
lodge_init_apply_setup (void)
{
  char text[65536];
  Setup setup = { 0 };
  ssize_t n = lodge_io_read_file (AT_FDCWD, SETUP_FILE, text, sizeof text);

  if (n < 0)
    {
      lodge_init_say ("cannot read " SETUP_FILE ": %s", strerror ((int) -n));
      return;
    }
  parse_setup (text, &setup);
  if (setup.hostname && sethostname (setup.hostname, strlen (setup.hostname)) < 0)
    lodge_init_say ("cannot set the host name: %s", strerror (errno));
  if (setup.first_boot && strcmp (setup.first_boot, "1") == 0)
    apply_first_boot (&setup);
}
