/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * How lodged and its helper programs talk.  Helpers do what the root daemon must not: parse
 * what images, guests and networks supply, enter namespaces, run for minutes.  Each is one
 * process for one task, killable at any time.
 *
 * fd 0, 1, 2   as the task needs; else /dev/null and the daemon's log
 * fd 3         LODGE_HELPER_STATUS_FD: a SOCK_STREAM socket on which the helper writes lines
 * fd 4         LODGE_HELPER_REQUEST_FD: a sealed memfd with the request
 * fd 5 and up  files that belong to the request; a field "fd.<name>" has the number
 *
 * The request is a sequence of "key=value" records, each ended by a NUL byte, so that values
 * (environment, user data) never show in argv.  A key may come more than once ("arg", "env").
 * Every request has "op".  These are honoured by lodge_request_apply_limits():
 * "limit.as", "limit.cpu" (seconds), "limit.fsize", "limit.nofile": setrlimit(2) at once; "nice":
 * the priority of its processor and disk time, 19 being for work that nobody waits for.
 *
 * A status line is a word, spaces between its fields, and '\n' at its end; the last field is
 * the rest of the line.  Control characters in texts are written as '?'.  At most 4096 bytes.
 *
 *   progress <fraction or -1> <bytes done> <bytes total> <stage>
 *   notice <sentence for the user>
 *   result <key> <value>
 *   pid <number>                     of the program that was started, in the host's namespace
 *   fd <name>                        with one file descriptor attached (SCM_RIGHTS)
 *   exit <status> <signal>           of the program that was started
 *   error <Nick> <sentence>          a name of org.lodge1.Error.*; the helper then exits with 1
 *   done                             success; without this line the task has failed
 */
#define LODGE_HELPER_STATUS_FD   3
#define LODGE_HELPER_REQUEST_FD  4
#define LODGE_HELPER_FIRST_FD    5
#define LODGE_HELPER_LINE_MAX    4096
#define LODGE_HELPER_REQUEST_MAX (1024 * 1024)

/*
 * The plan of a container: <state>/instances/<uuid>/plan, written by the lxc driver when it
 * defines the domain, read by lodge-mount in libvirt's hook, so that a plain `virsh start`
 * works while lodged is down.  Text, one "key=value" a line; root owns it, mode 0600.
 *
 *   version=1
 *   uuid=…            name=…
 *   idmap=<base> <count>
 *   lower=<dir>       upper=<dir>       work=<dir>
 *                                       lower: up to 60 lines, the topmost layer first; upper and
 *                                       work are in one directory
 *   source=<dir>                        instead of these three: a root that is no overlay
 *   root=<run>/mnt/<uuid>               where the root is mounted, in libvirtd's namespace
 *   control=<run>/ctl/<uuid>            shown in the container as /dev/lodge
 *   runtime=<run>/instances/<uuid>      facts of the running container ("init" file)
 *   events=<run>/events                 lodged's datagram socket, see below
 *   pids-max=<number or max>
 *   init=<file>                         becomes <control>/init; absent: lodge-init beside
 * lodge-mount setup.<key>=<value>                 copied into <control>/setup as "<key>=<value>";
 * lodge-init reads hostname, domain, nameserver and first-boot (1: write them into /etc)
 *
 * Any other key is an error.
 *
 * libvirt's hook calls `lodge-mount` as hooks are called (`lxc NAME OP SUBOP EXTRA`, XML on
 * stdin) through a link in /etc/libvirt/hooks/lxc.d/; the UUID is the first <uuid> of the XML;
 * no plan for it: exit 0.  The state directory is LODGE_STATE_DIR of the environment, or the
 * one that it was built for.
 *
 *   prepare   ends what is left in the instance's old cgroups, makes <control> (with `init`,
 *             `setup`, the empty directory `guest` and the listening `init.sock`), mounts the
 *             root, and leaves a small server process behind for the handshake
 *   release   unmounts the root, ends the server, removes the cgroups, <runtime>/init and what
 *             prepare made in <control>; the directory itself and `notify` are lodged's
 *
 * Handshake, on <control>/init.sock (SOCK_STREAM): lodge-init sends "hello 1\n"; the server
 * takes its host pid from SO_PEERCRED, puts it into the instance's cgroups (hybrid: a cgroup2
 * directory lodge/<uuid> that the container's root owns, and pids/lodge/<uuid>; pure v2: the
 * scope that libvirt made), writes <runtime>/init and answers "go\n", or a sentence that tells why
 * the container may not start; lodge-init then unshares
 * its cgroup namespace, mounts cgroup2 and execs the real init.
 *
 * <runtime>/init, replaced atomically:
 *   pid=<host pid of PID 1>
 *   start-time=<field 22 of /proc/PID/stat>
 *   cgroup=<path of the container's cgroup2 directory, relative to the cgroup2 root>
 *   cgroup-mount=<mount point of cgroup2 on the host, or empty: use fsmount(2)>
 *   cgroup-owned=<1: lodge/<uuid> is ours; 0: libvirt's scope>
 *
 * Then the server sends to `events` a datagram "init <uuid>\n", and at release lodge-mount
 * sends "release <uuid>\n".  lodged accepts datagrams from uid 0 of the host only.
 *
 * The guest's init reports readiness by sd_notify(3) to /dev/lodge/notify, a datagram socket
 * that lodged binds at <control>/notify: "READY=1" means booted.
 */

/*
 * lodge-enter requests.  The container is named by "init-pid" and "init-start" (so that a
 * reused pid is noticed), and for exec "cgroup", "cgroup-mount" as in <runtime>/init.
 *
 *   op=exec       arg=…(repeated; none: login shell) env=K=V… user=… cwd=… tty=0|1 rows= columns=
 *                 stdio is the program's.  With tty: line "fd pty" first.  Then "pid", and at the
 *                 end "exit".  Signals: the daemon kills by writing lines to the status socket:
 *                 "signal <n>\n", "resize <rows> <columns>\n"; when the socket closes the program
 *                 gets SIGHUP.  Signals go to the program's process group.  user: "name", "uid",
 *                 "name:group" or "uid:gid".  Status 127: no such program, 126: cannot be executed,
 *                 told on its stderr; what fails before is an "error" line, without "exit".
 *   op=files      serves lodge-files.h on fd.session until it is closed
 *   op=files-offline  plan=<path of the plan>; the same for a container that does not run, on a
 *                 private mount of its root
 */
