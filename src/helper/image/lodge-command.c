/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-command.h"
#include "lodge-status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Nothing of the caller's environment reaches a build: the daemon's proxies and locale are not
 * the image's business. */
static char *const ENVIRONMENT[] = {
  "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  "HOME=/tmp",
  "TMPDIR=/tmp",
  "LC_ALL=C.UTF-8",
  /* Arenas take address space, which is limited, and these programs have no need of many. */
  "MALLOC_ARENA_MAX=2",
  "DEBIAN_FRONTEND=noninteractive",
  "DEBCONF_NOWARNINGS=yes",
  NULL,
};

G_NORETURN static void
run_child (const char *const *argv, const char *directory, int output_fd)
{
  int null_fd = open ("/dev/null", O_RDONLY);
  if (null_fd < 0 || dup2 (null_fd, 0) < 0 || dup2 (output_fd, 1) < 0 || dup2 (output_fd, 2) < 0)
    _exit (127);
  /* The status socket and the request are nobody else's. */
  close_range (3, ~0u, 0);
  if (directory != NULL && chdir (directory) < 0)
    _exit (127);
  execvpe (argv[0], (char *const *) argv, ENVIRONMENT);
  dprintf (2, "%s: %s\n", argv[0], strerror (errno));
  _exit (127);
}

/* Calls @func for each line; a carriage return ends one too. */
static void
read_lines (int fd, LodgeCommandLineFunc func, gpointer user_data)
{
  g_autoptr (GString) line = g_string_new (NULL);
  char buffer[4096];
  ssize_t n;

  while ((n = read (fd, buffer, sizeof buffer)) > 0 || (n < 0 && errno == EINTR))
    for (ssize_t i = 0; i < n; i++)
      {
        if (buffer[i] != '\n' && buffer[i] != '\r')
          {
            if (line->len < 4096)
              g_string_append_c (line, buffer[i]);
            continue;
          }
        if (line->len > 0)
          func (line->str, user_data);
        g_string_truncate (line, 0);
      }
  if (line->len > 0)
    func (line->str, user_data);
}

static void
keep_last (char *line, gpointer user_data)
{
  g_string_assign (user_data, line);
}

static bool
explain (const char *program, int status, const char *last, LodgeFail *fail)
{
  if (status == 0)
    return true;
  if (strstr (last, "No space left on device") != NULL)
    return lodge_fail (fail, "NoSpace", "There is no space left to make the image");
  return lodge_fail (fail, "HelperFailed", "%s failed%s%s", program, *last ? ": " : "", last);
}

int
lodge_command_run_status (const char *const *argv, const char *directory, LodgeCommandLineFunc func,
                          gpointer user_data, LodgeFail *fail)
{
  int output[2];
  if (pipe2 (output, O_CLOEXEC) < 0)
    return lodge_fail_errno (fail, errno, "%s cannot be started", argv[0]), -1;
  pid_t pid = fork ();
  if (pid == 0)
    run_child (argv, directory, output[1]);
  close (output[1]);
  if (pid < 0)
    {
      close (output[0]);
      return lodge_fail_errno (fail, errno, "%s cannot be started", argv[0]), -1;
    }
  read_lines (output[0], func, user_data);
  close (output[0]);
  int status = -1;
  while (waitpid (pid, &status, 0) < 0 && errno == EINTR)
    ;
  return WIFSIGNALED (status) ? 128 + WTERMSIG (status) : WEXITSTATUS (status);
}

bool
lodge_command_run (const char *const *argv, const char *directory, LodgeCommandLineFunc func,
                   gpointer user_data, LodgeFail *fail)
{
  g_autoptr (GString) last = g_string_new (NULL);
  int status = lodge_command_run_status (argv, directory, func != NULL ? func : keep_last,
                                         func != NULL ? user_data : last, fail);
  return status >= 0 && explain (argv[0], status, last->str, fail);
}

void
lodge_command_show_qemu_img (char *line, gpointer last)
{
  const char *number = strchr (line, '(');

  if (number != NULL && strstr (number, "/100%") != NULL)
    lodge_status_progress (g_ascii_strtod (number + 1, NULL) / 100, 0, 0, "convert");
  else
    g_string_assign (last, line);
}

bool
lodge_command_call (LodgeFail *fail, const char *program, ...)
{
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();
  va_list args;
  va_start (args, program);
  for (const char *arg = program; arg != NULL; arg = va_arg (args, const char *))
    g_ptr_array_add (argv, (gpointer) arg);
  va_end (args);
  g_ptr_array_add (argv, NULL);
  return lodge_command_run ((const char *const *) argv->pdata, NULL, NULL, NULL, fail);
}

static void
append_line (char *line, gpointer user_data)
{
  GString *text = user_data;
  if (text->len < 1024 * 1024)
    g_string_append_printf (text, "%s\n", line);
}

char *
lodge_command_capture (const char *const *argv, LodgeFail *fail)
{
  g_autoptr (GString) text = g_string_new (NULL);
  if (!lodge_command_run (argv, NULL, append_line, text, fail))
    return NULL;
  return g_string_free (g_steal_pointer (&text), FALSE);
}
