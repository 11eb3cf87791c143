/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * PID 1 of a container until it executes the container's own init: `lodge-init INIT [ARG…]`.
 * Prepares what libvirt does not: see lodge-helper-protocol.h.  No memory allocation; nothing here
 * may depend on what the root has in it.
 */

#include "lodge-init.h"

#include "lodge-io.h"
#include "lodge-seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXIT_UNSAFE 111
#define ENV_MAX     256

extern char **environ;

void
lodge_init_say (const char *format, ...)
{
  char line[512];
  int n = snprintf (line, sizeof line, "lodge-init: ");
  va_list args;

  va_start (args, format);
  n += vsnprintf (line + n, sizeof line - (size_t) n - 1, format, args);
  va_end (args);
  if (n > (int) sizeof line - 2)
    n = sizeof line - 2;
  line[n++] = '\n';
  lodge_io_write_all (STDERR_FILENO, line, (size_t) n);
}

static bool
has_prefix (const char *text, const char *prefix)
{
  return strncmp (text, prefix, strlen (prefix)) == 0;
}

/* libvirt's environment without what is libvirt's own business, and with what init looks for. */
static void
make_environment (const char **env)
{
  static const char *const dropped[]
      = { "LIBVIRT_LXC_", "container=", "NOTIFY_SOCKET=", "PATH=", "LISTEN_" };
  static const char *const added[] = {
    "container=lxc",
    "NOTIFY_SOCKET=/dev/lodge/notify",
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  };
  size_t n = 0;

  for (size_t i = 0; i < sizeof added / sizeof *added; i++)
    env[n++] = added[i];
  for (char **e = environ; *e && n < ENV_MAX - 1; e++)
    {
      bool keep = true;

      for (size_t i = 0; keep && i < sizeof dropped / sizeof *dropped; i++)
        keep = !has_prefix (*e, dropped[i]);
      if (keep)
        env[n++] = *e;
    }
  env[n] = NULL;
}

static void
execute (char **argv, const char **env)
{
  static const char *const candidates[] = { "/sbin/init", "/usr/lib/systemd/systemd",
                                            "/lib/systemd/systemd", "/bin/init", "/bin/sh" };
  bool wanted_first = argv[0] && strcmp (argv[0], candidates[0]) == 0;

  if (argv[0])
    {
      execve (argv[0], argv, (char **) env);
      lodge_init_say ("cannot run “%s”: %s", argv[0], strerror (errno));
    }
  for (size_t i = wanted_first; i < sizeof candidates / sizeof *candidates; i++)
    {
      char *arguments[] = { (char *) candidates[i], NULL };

      if (access (candidates[i], X_OK) < 0)
        continue;
      lodge_init_say ("running “%s” instead", candidates[i]);
      execve (candidates[i], arguments, (char **) env);
      lodge_init_say ("cannot run “%s”: %s", candidates[i], strerror (errno));
    }
  lodge_init_say ("this root has no program to start; the container ends");
}

int
main (int argc, char **argv)
{
  const char *env[ENV_MAX];
  int r;

  /* The daemon that started us may be exempt from the out-of-memory killer, and has its keys. */
  lodge_io_write_file (AT_FDCWD, "/proc/self/oom_score_adj", "0");
  syscall (SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
  if (!lodge_init_enter_cgroups ())
    return EXIT_UNSAFE;
  lodge_init_apply_setup ();
  r = lodge_seccomp_install ();
  if (r < 0)
    {
      lodge_init_say ("cannot install the system call filter: %s", strerror (-r));
      return EXIT_UNSAFE;
    }
  make_environment (env);
  execute (argv + (argc > 0), env);
  return 127;
}
