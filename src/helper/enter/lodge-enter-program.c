/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-enter-program.h"

#include "lodge-enter-user.h"
#include "lodge-io.h"
#include "lodge-seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/keyctl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define N_DEFAULTS   8

/* What a program has by custom when it starts; the daemon may have raised its own. */
#define SOFT_FILES 1024
#define HARD_FILES 524288

static const char **
read_list (const LodgeRequest *request, const char *key, size_t extra, size_t *out_n)
{
  const char **list = calloc (lodge_request_count (request, key) + extra + 1, sizeof *list);
  size_t n = 0;

  for (const char *value = lodge_request_get (request, key); list && value;
       value = lodge_request_next (request, key, value))
    list[n++] = value;
  *out_n = n;
  return list;
}

bool
lodge_program_read (const LodgeRequest *request, LodgeProgram *out_program, LodgeFail *fail)
{
  LodgeProgram program = { 0 };
  long long tty = 0;
  long long rows = 24;
  long long columns = 80;
  size_t n_args;

  if (lodge_request_get (request, "tty")
      && !lodge_request_get_number (request, "tty", 0, 1, &tty, fail))
    return false;
  if (lodge_request_get (request, "rows")
      && !lodge_request_get_number (request, "rows", 0, 65535, &rows, fail))
    return false;
  if (lodge_request_get (request, "columns")
      && !lodge_request_get_number (request, "columns", 0, 65535, &columns, fail))
    return false;
  program.args = read_list (request, "arg", 0, &n_args);
  program.env = read_list (request, "env", N_DEFAULTS, &program.n_env);
  if (!program.args || !program.env)
    return lodge_fail_errno (fail, ENOMEM, "Cannot read the request");
  for (size_t i = 0; i < program.n_env; i++)
    if (!strchr (program.env[i], '=') || program.env[i][0] == '=')
      return lodge_fail (fail, "InvalidArgument", "An environment variable has no “=”");
  program.user = lodge_request_get (request, "user");
  program.cwd = lodge_request_get (request, "cwd");
  program.tty = tty == 1;
  program.size.ws_row = (unsigned short) rows;
  program.size.ws_col = (unsigned short) columns;
  *out_program = program;
  return true;
}

/* The value of @name (of @length bytes) in the request's environment, or NULL. */
static const char *
find_env (const LodgeProgram *program, const char *name, size_t length)
{
  for (size_t i = 0; program->env[i]; i++)
    if (strncmp (program->env[i], name, length) == 0 && program->env[i][length] == '=')
      return program->env[i] + length + 1;
  return NULL;
}

/* Adds what a login gives and the request does not.  read_list() has left room. */
static void
complete_env (const LodgeProgram *program, const LodgeEnterUser *user)
{
  const struct
  {
    const char *name;
    const char *value;
  } defaults[N_DEFAULTS] = {
    { "PATH", DEFAULT_PATH },  { "HOME", user->home },
    { "SHELL", user->shell },  { "USER", user->name },
    { "LOGNAME", user->name }, { "LANG", "C.UTF-8" },
    { "container", "lxc" },    { "TERM", program->tty ? "xterm-256color" : NULL },
  };
  size_t n = program->n_env;

  for (size_t i = 0; i < N_DEFAULTS; i++)
    {
      size_t size = strlen (defaults[i].name) + 2;
      char *entry;

      if (!defaults[i].value || find_env (program, defaults[i].name, size - 2))
        continue;
      size += strlen (defaults[i].value);
      entry = malloc (size);
      if (!entry)
        return;
      snprintf (entry, size, "%s=%s", defaults[i].name, defaults[i].value);
      program->env[n++] = entry;
    }
}

static bool
take_terminal (int terminal, LodgeFail *fail)
{
  if (ioctl (terminal, TIOCSCTTY, 0) < 0)
    return lodge_fail_errno (fail, errno, "Cannot use the container's terminal");
  for (int fd = 0; fd <= 2; fd++)
    if (dup2 (terminal, fd) < 0)
      return lodge_fail_errno (fail, errno, "Cannot use the container's terminal");
  return true;
}

static void
reset_process (void)
{
  struct rlimit files;
  sigset_t none;

  for (int signum = 1; signum < NSIG; signum++)
    signal (signum, SIG_DFL);
  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
  if (getrlimit (RLIMIT_NOFILE, &files) == 0)
    {
      if (files.rlim_max > HARD_FILES)
        files.rlim_max = HARD_FILES;
      files.rlim_cur = files.rlim_max < SOFT_FILES ? files.rlim_max : SOFT_FILES;
      setrlimit (RLIMIT_NOFILE, &files);
    }
  /* The daemon's keys are not the guest's. */
  syscall (SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
}

/* Takes on what binds the container's own processes, and then the user's identity. */
static bool
confine (const LodgeEnterUser *user, uint64_t bounding, LodgeFail *fail)
{
  int r = lodge_enter_bound (bounding);

  if (r == 0)
    r = lodge_seccomp_install ();
  if (r < 0)
    return lodge_fail_errno (fail, r, "Cannot confine the program");
  if (setgroups (user->n_groups, user->groups) < 0
      || setresgid (user->gid, user->gid, user->gid) < 0
      || setresuid (user->uid, user->uid, user->uid) < 0)
    return lodge_fail (fail, "InvalidArgument", "The container has no such user or group id: %u:%u",
                       (unsigned) user->uid, (unsigned) user->gid);
  /* Should our process be killed, the program hears of it as if the session had been closed. */
  prctl (PR_SET_PDEATHSIG, SIGHUP);
  return true;
}

static bool
enter_directory (const LodgeProgram *program, const LodgeEnterUser *user, LodgeFail *fail)
{
  if (program->cwd && *program->cwd)
    {
      if (program->cwd[0] == '/' && chdir (program->cwd) == 0)
        return true;
      return lodge_fail_errno (fail, program->cwd[0] == '/' ? errno : EINVAL,
                               "Cannot enter the directory “%s”", program->cwd);
    }
  if (chdir (user->home) == 0 || chdir ("/") == 0)
    return true;
  return lodge_fail_errno (fail, errno, "Cannot enter the directory “/”");
}

/* execve(2), and /bin/sh for a script without an interpreter line.  Returns an errno value. */
static int
execute_file (const char *path, const char **args, const char **env)
{
  size_t n = 0;
  const char **script;

  execve (path, (char **) args, (char **) env);
  if (errno != ENOEXEC)
    return errno;
  while (args[n])
    n++;
  script = calloc (n + 2, sizeof *script);
  if (!script)
    return ENOMEM;
  script[0] = "/bin/sh";
  script[1] = path;
  memcpy (script + 2, args + 1, n * sizeof *script);
  execve (script[0], (char **) script, (char **) env);
  return ENOEXEC;
}

/* As execvp(3), but with the PATH that the program gets.  Returns an errno value. */
static int
execute (const LodgeProgram *program, const char **args)
{
  const char *name = args[0];
  const char *dirs = find_env (program, "PATH", 4);
  int result = ENOENT;

  if (strchr (name, '/'))
    return execute_file (name, args, program->env);
  for (const char *dir = *name ? dirs : NULL; dir;)
    {
      const char *end = strchrnul (dir, ':');
      char path[PATH_MAX];
      int error;

      if (snprintf (path, sizeof path, "%.*s%s%s", (int) (end - dir), dir, end > dir ? "/" : "./",
                    name)
          < (int) sizeof path)
        {
          error = execute_file (path, args, program->env);
          if (error == EACCES)
            result = EACCES;
          else if (error != ENOENT && error != ENOTDIR)
            return error;
        }
      dir = *end ? end + 1 : NULL;
    }
  return result;
}

static int
execute_or_tell (const LodgeProgram *program, const LodgeEnterUser *user)
{
  const char *shell[2] = { NULL, NULL };
  char name[PATH_MAX + 1];
  const char *base = strrchr (user->shell, '/');
  int error;

  if (program->args[0])
    error = execute (program, program->args);
  else
    {
      snprintf (name, sizeof name, "-%s", base ? base + 1 : user->shell);
      shell[0] = name;
      execve (user->shell, (char **) shell, (char **) program->env);
      error = errno;
    }
  dprintf (STDERR_FILENO, "lodge: cannot run “%s”: %s\n",
           program->args[0] ? program->args[0] : user->shell, strerror (error));
  return error == ENOENT ? 127 : 126;
}

/* No descriptor of ours may be reachable for the guest but the end of a pipe. */
static bool
close_others (int started, LodgeFail *fail)
{
  const int kept = STDERR_FILENO + 1;

  if ((started != kept && dup3 (started, kept, O_CLOEXEC) < 0)
      || close_range ((unsigned) kept + 1, ~0U, 0) < 0)
    return lodge_fail_errno (fail, errno, "Cannot close the helper's descriptors");
  return true;
}

int
lodge_program_run (const LodgeProgram *program, int terminal, int started, uint64_t bounding,
                   LodgeFail *fail)
{
  LodgeEnterUser user;

  setsid ();
  /* Before anything of the guest's is touched. */
  if ((terminal >= 0 && !take_terminal (terminal, fail)) || !close_others (started, fail))
    return 125;
  reset_process ();
  if (!lodge_enter_find_user (program->user, &user, fail))
    return 125;
  complete_env (program, &user);
  if (terminal >= 0 && user.uid != 0)
    (void) !fchown (STDIN_FILENO, user.uid, (gid_t) -1);
  if (!confine (&user, bounding, fail) || !enter_directory (program, &user, fail))
    return 125;
  return execute_or_tell (program, &user);
}
