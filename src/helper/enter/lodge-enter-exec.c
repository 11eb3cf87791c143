/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Three processes: this one stays outside and supervises; a second one, born in the container's
 * cgroup, enters the namespaces and makes the terminal; its child, which it makes a child of the
 * first, is in the pid namespace too and becomes the program.  So the one that lives on has never
 * been where the guest could reach it, and no process is moved between cgroups of version 2,
 * which costs the kernel a wait for all processors.
 */

#include "lodge-cgroup.h"
#include "lodge-enter-program.h"
#include "lodge-enter.h"
#include "lodge-io.h"
#include "lodge-status.h"
#include "lodge/lodge-helper-protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define ALL_NAMESPACES                                                                             \
  (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS         \
   | CLONE_NEWCGROUP)

/* The cgroup of what is executed, below the container's own: in cgroup2 only leaves may hold
 * processes, and an init such as systemd turns the own one into a branch. */
#define EXEC_CGROUP "lodge-exec"

/* What the processes share; the guest never sees the mapping, exec takes it away. */
typedef struct
{
  LodgeFail fail; /* nick: NULL: nothing of ours has failed */
  pid_t program;
  int master;
  int started[2]; /* a pipe; the program's execution closes the last of its second end */
} Shared;

/* The directory of the cgroup to run in: passed by the daemon, or found by the request's path. */
static int
open_cgroup (const LodgeRequest *request, LodgeFail *fail)
{
  LODGE_AUTOFD root = -1;
  const char *path = lodge_request_get (request, "cgroup");
  char leaf[PATH_MAX];
  int fd = lodge_request_get_fd (request, "cgroup");

  if (fd >= 0)
    return fd;
  if (!path || snprintf (leaf, sizeof leaf, "%s/" EXEC_CGROUP, path) >= (int) sizeof leaf)
    {
      lodge_fail (fail, "InvalidArgument", "The request's field “cgroup” is missing or too long");
      return -1;
    }
  root = lodge_cgroup_open_root (lodge_request_get (request, "cgroup-mount"));
  fd = root < 0 ? root : lodge_cgroup_make (root, leaf);
  if (fd < 0)
    {
      lodge_fail_errno (fail, fd, "Cannot use the container's cgroup");
      return -1;
    }
  return fd;
}

/* A terminal of the container's own, so that none of the host's is ever inside. */
static bool
open_terminal (const LodgeProgram *program, int *out_master, int *out_slave, LodgeFail *fail)
{
  LODGE_AUTOFD master = open ("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
  int unlocked = 0;
  int slave;

  if (master < 0 || ioctl (master, TIOCSPTLCK, &unlocked) < 0)
    return lodge_fail_errno (fail, errno, "The container has no terminals");
  slave = ioctl (master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (slave < 0 || ioctl (master, TIOCSWINSZ, &program->size) < 0
      || fcntl (master, F_SETFL, O_RDWR) < 0)
    return lodge_fail_errno (fail, errno, "Cannot make a terminal in the container");
  *out_slave = slave;
  *out_master = lodge_io_steal (&master);
  return true;
}

/* The second process, up to the birth of the third. */
static bool
enter (const LodgeTarget *target, const LodgeProgram *program, Shared *shared)
{
  int master = -1;
  int slave = -1;
  pid_t pid;
  int r;

  /* The daemon may be exempt from the out-of-memory killer; its guests are not. */
  lodge_io_write_file (AT_FDCWD, "/proc/self/oom_score_adj", "0");
  r = lodge_cgroup_join_v1 (target->pid);
  if (r < 0)
    return lodge_fail_errno (&shared->fail, r, "Cannot join the container's cgroups");
  if (!lodge_enter_namespaces (target, ALL_NAMESPACES, &shared->fail))
    return false;
  if (program->tty)
    {
      if (!open_terminal (program, &master, &slave, &shared->fail))
        return false;
      lodge_status_fd ("pty", master);
    }
  pid = (pid_t) syscall (SYS_clone, CLONE_PARENT, NULL, NULL, NULL, NULL);
  if (pid == 0)
    _exit (lodge_program_run (program, slave, shared->started[1], target->info.bounding,
                              &shared->fail));
  if (pid < 0)
    return lodge_fail_errno (&shared->fail, errno, "Cannot start a process in the container");
  shared->program = pid;
  shared->master = master;
  close (slave);
  return true;
}

static bool
start (const LodgeTarget *target, const LodgeProgram *program, int cgroup, Shared *shared,
       LodgeFail *fail)
{
  const struct clone_args args = {
    /* With one table of descriptors for both, the terminal need not be sent back. */
    .flags = CLONE_FILES | CLONE_INTO_CGROUP,
    .exit_signal = SIGCHLD,
    .cgroup = (uint64_t) cgroup,
  };
  pid_t pid = (pid_t) syscall (SYS_clone3, &args, sizeof args);
  int status = 0;

  if (pid == 0)
    _exit (!enter (target, program, shared));
  if (pid < 0)
    return lodge_fail_errno (fail, errno, "Cannot start a process in the container's cgroup");
  while (waitpid (pid, &status, 0) < 0 && errno == EINTR)
    continue;
  if (status == 0)
    return true;
  if (!shared->fail.nick)
    return lodge_fail (fail, "HelperFailed", "The process that enters the container was killed");
  *fail = shared->fail;
  return false;
}

/* To the program and to what it has started, as a terminal does it. */
static void
send_signal (pid_t program, int signum)
{
  if (kill (-program, signum) < 0)
    kill (program, signum);
}

static void
handle_line (const Shared *shared, const char *line)
{
  struct winsize size = { 0 };
  int signum = 0;

  if (sscanf (line, "signal %d", &signum) == 1 && signum > 0 && signum < NSIG)
    send_signal (shared->program, signum);
  else if (sscanf (line, "resize %hu %hu", &size.ws_row, &size.ws_col) == 2 && shared->master >= 0)
    ioctl (shared->master, TIOCSWINSZ, &size);
}

/* What has come of the daemon's lines and is not complete yet. */
typedef struct
{
  char text[256];
  size_t used;
} Input;

/* Reads and handles lines.  Returns false when the daemon has closed its end. */
static bool
handle_input (const Shared *shared, Input *input)
{
  ssize_t n = recv (LODGE_HELPER_STATUS_FD, input->text + input->used,
                    sizeof input->text - 1 - input->used, MSG_DONTWAIT);
  char *line = input->text;
  char *end;

  if (n < 0)
    return errno == EAGAIN || errno == EINTR;
  if (n == 0)
    return false;
  input->used += (size_t) n;
  input->text[input->used] = '\0';
  while ((end = strchr (line, '\n')))
    {
      *end = '\0';
      handle_line (shared, line);
      line = end + 1;
    }
  input->used = strlen (line);
  if (input->used == sizeof input->text - 1)
    input->used = 0;
  memmove (input->text, line, input->used);
  return true;
}

/* Serves the daemon until the program, our child, has ended.  Returns its wait status.  The daemon
 * hears of the program only when it is one, so that whoever waits for it gets our errors. */
static int
supervise (const Shared *shared)
{
  LODGE_AUTOFD pidfd = lodge_proc_pidfd (shared->program);
  struct pollfd fds[] = {
    { .fd = pidfd, .events = POLLIN },
    { .fd = LODGE_HELPER_STATUS_FD, .events = POLLIN },
    { .fd = shared->started[0], .events = POLLIN },
  };
  Input input = { .used = 0 };
  int status = 0;

  while (pidfd >= 0 && (fds[0].revents & POLLIN) == 0)
    {
      if (poll (fds, 3, -1) < 0)
        continue;
      if (fds[2].revents != 0)
        {
          fds[2].fd = -1;
          fds[2].revents = 0;
          if (!shared->fail.nick)
            lodge_status_pid (shared->program);
        }
      if (fds[1].revents == 0)
        continue;
      if (handle_input (shared, &input))
        continue;
      fds[1].fd = -1;
      fds[1].revents = 0;
      send_signal (shared->program, SIGHUP);
      if (shared->master >= 0)
        close (shared->master);
    }
  while (waitpid (shared->program, &status, 0) < 0 && errno == EINTR)
    continue;
  return status;
}

bool
lodge_enter_exec (const LodgeRequest *request, LodgeFail *fail)
{
  LodgeProgram program;
  LodgeTarget target;
  Shared *shared;
  int cgroup;
  int status;

  if (!lodge_program_read (request, &program, fail)
      || !lodge_enter_open_target (request, &target, fail))
    return false;
  cgroup = open_cgroup (request, fail);
  if (cgroup < 0)
    return false;
  shared = mmap (NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED)
    return lodge_fail_errno (fail, errno, "Cannot share memory");
  shared->master = -1;
  if (pipe2 (shared->started, O_CLOEXEC) < 0)
    return lodge_fail_errno (fail, errno, "Cannot make a pipe");
  if (!start (&target, &program, cgroup, shared, fail))
    return false;
  close (shared->started[1]);
  status = supervise (shared);
  if (shared->fail.nick)
    {
      *fail = shared->fail;
      return false;
    }
  lodge_status_exit (WIFEXITED (status) ? WEXITSTATUS (status) : 0,
                     WIFSIGNALED (status) ? WTERMSIG (status) : 0);
  return true;
}
