#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# time limit: 300
"""What root of a container may try against the host, Lodge and its neighbours."""

import os
import subprocess
import tempfile
import time

from hostlib import (LXC, PATIENCE, Failure, equal, inside, lodge, main, row, state, virsh,
                     wait_for, wait_state)

BAD, GOOD = "h-bad", "h-good"
CONSOLE_BYTES = 1024 * 1024
# Tries to open the program of each process for writing, as CVE-2019-5736 did.
OVERWRITE = """end=$(($(date +%s) + 6))
while [ $(date +%s) -lt $end ]; do
  for exe in /proc/[0-9]*/exe /dev/lodge/init; do (printf x >>$exe) 2>/dev/null; done
done"""


def sh(name, text, **keywords):
    return lodge("exec", name, "--", "sh", "-c", text, **keywords)


def background(name, text):
    sh(name, "setsid sh -c '%s' >/dev/null 2>&1 </dev/null &" % text.replace("'", "'\\''"))


def programs():
    """The host's files that run on a container's behalf, and what is in them."""
    found = inside("find", "/usr/libexec/lodge", "/run/lodge/ctl", "-type", "f", "-perm", "/111").stdout
    if "lodge-enter" not in found or "init" not in found:
        raise Failure("no programs found: %s" % found)
    return inside("sha256sum", *sorted(found.split())).stdout


def neighbour_answers():
    began = time.monotonic()
    lodge("exec", GOOD, "--", "true")
    lodge("list")
    if time.monotonic() - began > 1 * PATIENCE:
        raise Failure("it took %.1f s" % (time.monotonic() - began))


def test_launch():
    lodge("launch", "debian/12", BAD, seconds=400)
    lodge("launch", "debian/12", GOOD)
    for name in (BAD, GOOD):
        wait_for(lambda n=name: lodge("exec", n, "--", "systemctl", "is-system-running",
                                      check=False).stdout.strip() in ("running", "degraded"),
                 60, "%s does not boot" % name)


def test_programs_of_the_host_cannot_be_written():
    before = programs()
    sh(BAD, "printf '#!/proc/self/exe\\n' >/srv/itself; chmod 755 /srv/itself")
    background(BAD, OVERWRITE)
    end = time.monotonic() + 6
    while time.monotonic() < end:
        lodge("exec", BAD, "--", "true", check=False)
        lodge("exec", BAD, "--", "/srv/itself", check=False)
        lodge("exec", "-t", BAD, "--", "true", check=False)
    equal(programs(), before)
    lodge("exec", BAD, "--", "true")
    lodge("exec", GOOD, "--", "true")


def test_exec_passes_no_descriptor_and_no_secret():
    listed = sh(BAD, "ls /proc/self/fd; cat /proc/self/environ | tr '\\0' '\\n'").stdout.split("\n")
    # 3 is that of ls for the directory.
    equal([fd for fd in listed if fd.isdigit()], ["0", "1", "2", "3"])
    for variable in ("DBUS", "LODGE_", "LD_", "XDG_RUNTIME"):
        equal([line for line in listed if line.startswith(variable)], [])


def test_what_exec_sets_is_for_the_program_only():
    done = lodge("exec", "--env", "LD_PRELOAD=/srv/none.so", "--env", "LINES=a\nb", BAD, "--", "sh",
                 "-c", "printf '%s|%s' \"$LD_PRELOAD\" \"$LINES\"")
    equal(done.stdout, "/srv/none.so|a\nb")


def test_a_working_directory_cannot_be_the_hosts():
    for number in range(3, 12):
        done = lodge("exec", "--cwd", "/proc/self/fd/%d" % number, BAD, "--", "ls", check=False)
        if done.returncode == 0:
            raise Failure("descriptor %d is a directory: %s" % (number, done.stdout))
    sh(BAD, "ln -sfn /proc/1/root /srv/root")
    own = sh(BAD, "cat /etc/hostname").stdout
    equal(lodge("exec", "--cwd", "/srv/root/etc", BAD, "--", "cat", "hostname").stdout, own)


def test_files_without_an_end_are_not_pulled():
    sh(BAD, "mkfifo -m 666 /srv/fifo; ln -sfn /dev/zero /srv/zero")
    for path in ("/dev/zero", "/srv/fifo", "/srv/zero"):
        with tempfile.TemporaryDirectory() as folder:
            done = lodge("file", "pull", BAD + path, folder + "/file", check=False, seconds=20)
            taken = folder + "/file"
            if done.returncode == 0 and os.path.isfile(taken) and not os.path.islink(taken):
                raise Failure("%s was pulled" % path)


def test_a_flood_on_the_console():
    background(BAD, "timeout 15 yes 'all work and no play' >/dev/console")
    for _ in range(10):
        neighbour_answers()
        time.sleep(0.3)
    uuid = row(BAD)["uuid"]
    folder = "/var/lib/lodge/instances/%s" % uuid
    sizes = [int(size) for size in
             inside("find", folder, "-name", "console.log*", "-printf", "%s\\n").stdout.split()]
    if not 0 < sum(sizes) <= CONSOLE_BYTES:
        raise Failure("the log has %s bytes" % sizes)
    lodge("console", "--log", BAD)


def test_a_flood_on_the_sockets():
    script = ("use Socket; socket(S, AF_UNIX, SOCK_DGRAM, 0); my $a = sockaddr_un($ARGV[0]);"
              "for (1..200000) { send(S, $_ % 2 ? \"READY=1\\n\" : \"x\" x 4000, 0, $a); }")
    sh(BAD, "cat >/srv/flood.pl", data=script)
    background(BAD, "timeout 6 perl /srv/flood.pl /dev/lodge/notify")
    for _ in range(8):
        neighbour_answers()
        time.sleep(0.3)
    # Whoever answered the handshake of the container's start answers nobody else.
    sh(BAD, "perl -MIO::Socket::UNIX -e '$s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or exit 0; "
            "print $s \"quit\\n\"; print <$s>' /dev/lodge/init.sock", check=False)
    equal(state(BAD), "running")


def test_many_pseudo_terminals():
    background(BAD, "perl -e \"while (1) { open(my \\$f, q(+<), q(/dev/ptmx)) or last; "
                    "push @a, \\$f } sleep 8\"")
    time.sleep(1)
    equal(lodge("exec", "-t", GOOD, "--", "echo", "here").stdout.strip(), "here")
    neighbour_answers()


def test_many_watches():
    """Those of all containers count as the host's root's."""
    count = ("$n = 0; $n++ while syscall(294, 0) >= 0; print qq($n\\n); $| = 1; print qq(\\n); "
             "sleep $ARGV[0]")
    background(BAD, 'perl -e "%s" 8' % count.replace("$", "\\$"))
    time.sleep(1.5)
    equal(lodge("exec", GOOD, "--", "perl", "-e", "print syscall(294, 0) >= 0 ? 1 : 0").stdout, "1")
    with open("/proc/sys/fs/inotify/max_user_instances", encoding="ascii") as stream:
        limit = int(stream.read())
    # Neither by a new view of the limits nor in a namespace of its own.
    sh(BAD, "mount -o remount,rw,bind /proc/sys; echo 1000000 >/proc/sys/user/max_inotify_instances",
       check=False)
    done = lodge("exec", BAD, "--", "unshare", "-Ur", "perl", "-e", count, "0")
    if int(done.stdout.split()[0]) > limit / 4:
        raise Failure("it has got %s of the host's %d" % (done.stdout.strip(), limit))


def test_an_exec_ends_when_the_container_is_killed():
    pid = inside("cat", "/run/lodge/instances/%s/init" % row(BAD)["uuid"]).stdout
    pid = pid.split("pid=")[1].split("\n")[0]
    with subprocess.Popen(["lodge", "exec", BAD, "--", "sleep", "100"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as running:
        time.sleep(0.5)
        inside("kill", "-KILL", pid)
        status = running.wait(timeout=10 * PATIENCE)
    if status == 0:
        raise Failure("the program that was killed ended well")
    wait_state(BAD, "stopped")
    equal(virsh(LXC, "domstate", BAD).stdout.strip(), "shut off")
    lodge("start", BAD)
    lodge("exec", BAD, "--", "true")


if __name__ == "__main__":
    main("h-")
