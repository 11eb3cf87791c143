#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# time limit: 900
"""What goes by the guest agent of a virtual machine: programs, shells, files, and an agent that
hangs, is restarted, or has no room."""

import hashlib
import os
import re
import select
import subprocess
import tempfile
import threading
import time

from hostlib import (CONFLICT, EXEC_FAILED, PATIENCE, QEMU, USAGE, Failure, contains, daemon,
                     equal, lodge, lodge_fails, main, row, state, virsh, wait_for, wait_state)
from terminal import Terminal
from vmlib import booted_vm, wait_agent

NAME = "m-agent"
# How long libvirt waits for an agent, with room for a slow host.
HUNG_SECONDS = 20
# Stops the agent a second from now, so that the command that says so still gets its answer.
HANG = ("p=$(pidof qemu-ga); (sleep 1; kill -STOP $p; sleep %d; kill -CONT $p) "
        ">/dev/null 2>&1 </dev/null & exit 0")


def guest(script, **keywords):
    return lodge("exec", NAME, "--", "sh", "-c", script, **{"seconds": 120, **keywords})


def test_a_debian_that_has_booted():
    booted_vm(NAME)
    equal(state(NAME), "running")
    equal(guest("hostname").stdout, NAME + "\n")
    equal(guest("cat /etc/debian_version").stdout.startswith("12"), True)


def test_its_address():
    wait_for(lambda: row(NAME).get("address"), 60, "no address")
    wait_for(lambda: row(NAME)["address"] + "/" in guest("ip -4 -brief address").stdout, 30,
             "the guest has not the address that is shown")


def test_signals_and_exit_codes():
    for script, status in (("exit 3", 3), ("kill -KILL $$", 137), ("kill -TERM $$", 143)):
        equal(guest(script, check=False).returncode, status, script)
    equal(lodge("exec", NAME, "--", "/nonexistent", check=False, seconds=60).returncode, 127)


def test_much_output():
    wanted = "".join("%d\n" % n for n in range(1, 300001))
    done = guest("seq 1 300000; echo end >&2", seconds=240)
    equal(hashlib.sha256(done.stdout.encode()).hexdigest(),
          hashlib.sha256(wanted.encode()).hexdigest(), "%d bytes" % len(done.stdout))
    equal(done.stderr, "end\n")


def test_output_comes_while_it_runs():
    with subprocess.Popen(["lodge", "exec", NAME, "--", "sh", "-c", "echo now; sleep 30"],
                          stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as child:
        try:
            ready, _, _ = select.select([child.stdout], [], [], 15 * PATIENCE)
            equal(bool(ready), True, "output before the end")
            equal(child.stdout.readline(), b"now\n")
        finally:
            child.terminate()
    wait_for(lambda: not guest("pgrep -fx 'sleep 30' || true").stdout, 30,
             "the program of a client that has gone still runs")


def test_much_input():
    data = os.urandom(200000)
    done = lodge("exec", NAME, "--", "sha256sum", data=data, binary=True, seconds=120)
    contains(done.stdout.decode(), hashlib.sha256(data).hexdigest())


def test_leaves_nothing_in_run():
    # But for the files of the very program that looks.
    wait_for(lambda: len(set(re.findall(r"lodge-[0-9a-f]{16}",
                                        guest("ls /run").stdout))) <= 1, 30,
             "files of programs that have ended")


def test_a_folder_in_and_out():
    with tempfile.TemporaryDirectory() as folder:
        os.makedirs(folder + "/tree/deep")
        with open(folder + "/tree/deep/script", "w", encoding="ascii") as stream:
            stream.write("#!/bin/sh\n")
        os.chmod(folder + "/tree/deep/script", 0o750)
        os.symlink("deep/script", folder + "/tree/link")
        lodge("file", "push", folder + "/tree", NAME + "/srv/", seconds=120)
        equal(guest("stat -c '%a %U' /srv/tree/deep/script; readlink /srv/tree/link").stdout,
              "750 root\ndeep/script\n")
        os.mkdir(folder + "/back")
        lodge("file", "pull", NAME + "/srv/tree", folder + "/back/", seconds=120)
        equal(os.readlink(folder + "/back/tree/link"), "deep/script")
        equal(os.stat(folder + "/back/tree/deep/script").st_mode & 0o777, 0o750)


def test_containers_and_vms_know_each_other_by_name():
    lodge("launch", "debian/12", "m-peer", seconds=400)
    for one, other in ((NAME, "m-peer"), ("m-peer", NAME)):
        wait_for(lambda o=one, t=other: row(t)["address"] in lodge(
            "exec", o, "--", "getent", "ahostsv4", t, check=False, seconds=60).stdout, 20,
                 "%s does not find %s" % (one, other))
    said = lodge("exec", "m-peer", "--", "bash", "-c", "echo > /dev/tcp/%s/9" % NAME, check=False)
    known = lodge("exec", "m-peer", "--", "getent", "ahostsv4", NAME, check=False).stdout
    contains("%s; it is %s, known as %s, and has %s" % (said.stderr, row(NAME)["address"], known,
                                                        guest("ip -4 -o address").stdout), "refused")
    lodge("delete", "--force", "m-peer")


def shell_of(rows, columns):
    return Terminal(rows, columns, "shell", NAME)


def test_a_shell():
    shell = shell_of(30, 100)
    shell.type("echo size=$(stty size) user=$(id -un)\n")
    shell.expect("size=30 100 user=root")
    shell.resize(41, 77)
    wait_for(lambda: shell.type("echo now=$(stty size)\n") or shell.expect("now=") is None, 10, "")
    shell.type("sleep 600\n")
    time.sleep(1)
    shell.type("\x03")
    wait_for(lambda: shell.type("echo size=$(stty size)\n") or shell.sees("size=41 77", 2), 60,
             "the guest does not learn the new size")
    shell.type("exit 7\n")
    equal(shell.end(), 7)


def is_answering():
    return virsh(QEMU, "qemu-agent-command", "--timeout", "2", NAME, '{"execute":"guest-ping"}',
                 check=False).returncode == 0


def test_a_shell_without_an_agent():
    """It comes soon, on the serial console where one logs in; and is a shell as soon as the agent
    is back, if nobody has typed."""
    guest("echo root:verysecret | chpasswd; systemd-run -q --no-block sh -c "
          "'sleep 1; systemctl stop qemu-guest-agent; n=0; "
          "until test -e /run/go || test $n -gt 120; do n=$((n+1)); sleep 1; done; rm -f /run/go; "
          "systemctl start qemu-guest-agent'")
    wait_for(lambda: not is_answering(), 20, "the agent still answers")
    user = shell_of(33, 99)
    user.expect("this is the serial console", 15)
    user.expect("Ctrl-]", 5)
    user.expect("stty rows 33 cols 99", 5)
    user.expect("login: ", 20)
    idle = shell_of(33, 99)
    idle.expect("this is the serial console", 15)
    for wanted, answer in (("", "root"), ("Password: ", "verysecret"),
                           ("# ", "echo i-am-$(id -un)"), ("i-am-root", "touch /run/go; exit")):
        user.expect(wanted, 30)
        user.type(answer + "\r")
    user.expect("login: ", 30, of=user.seen.rindex("i-am-root"))
    user.type("\x1d")
    equal(user.end(), 0)
    idle.expect("this is a shell now", 60)
    idle.type("echo size=$(stty size) tty=$(tty)\n")
    idle.expect("size=33 99 tty=/dev/pts/")
    idle.type("exit 5\n")
    equal(idle.end(), 5)


def test_a_full_run():
    guest("dd if=/dev/zero of=/run/fill bs=1M 2>/dev/null || true")
    done = guest("echo hello", check=False)
    equal(done.returncode != 0, True)
    contains(done.stderr, "/run of this machine is full")
    lodge("file", "remove", NAME + "/run/fill", seconds=60)
    equal(guest("echo hello").stdout, "hello\n")


def test_a_hung_agent():
    """Commands end with an error that says what to do, all at once; Lodge goes on; and the agent
    is found when it is back.  What ran meanwhile loses nothing."""
    long = subprocess.Popen(["lodge", "exec", NAME, "--", "sh", "-c",
                             "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 3; done"],
                            stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    guest(HANG % 15)
    time.sleep(2)
    results = []
    threads = [threading.Thread(target=lambda: results.append(timed("exec", NAME, "--", "true")))
               for _ in range(7)]
    for thread in threads:
        thread.start()
    for words in (("list",), ("info", NAME), ("job", "list")):
        done, seconds = timed(*words)
        equal((done.returncode, seconds < 3 * PATIENCE), (0, True), " ".join(words))
    lodge("pause", NAME)
    lodge("resume", NAME)
    for thread in threads:
        thread.join()
    for done, seconds in results:
        if done.returncode:
            equal(done.returncode, EXEC_FAILED)
            contains(done.stderr, "no guest agent answers")
            contains(done.stderr, "hint:")
        equal(seconds < (HUNG_SECONDS + 30) * PATIENCE, True, "%.1f s" % seconds)
    wait_agent(NAME)
    equal(long.communicate(timeout=120 * PATIENCE)[0].split(), list("12345678"))
    equal(long.returncode, 0)


def timed(*words):
    began = time.monotonic()
    done = lodge(*words, check=False, seconds=120)
    return done, time.monotonic() - began


def test_an_agent_that_is_restarted():
    with subprocess.Popen(["lodge", "exec", NAME, "--", "sh", "-c", "sleep 8; echo done"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, text=True) as child:
        time.sleep(1)
        guest("systemd-run --on-active=1 systemctl restart qemu-guest-agent")
        out, err = child.communicate(timeout=120 * PATIENCE)
        # The new agent does not know the program; that is said.
        if child.returncode:
            equal(child.returncode, EXEC_FAILED)
            contains(err, "the program is lost")
        else:
            equal(out, "done\n")
    wait_agent(NAME)


def test_daemons_are_restarted():
    """The guest notices nothing, and is found again with its agent."""
    before = guest("cat /proc/sys/kernel/random/boot_id").stdout
    daemon("libvirtd", "restart")
    daemon("lodged", "restart")
    wait_state(NAME, "running", 30)
    wait_agent(NAME, 60)
    equal(guest("cat /proc/sys/kernel/random/boot_id").stdout, before)


def test_processors():
    lodge_fails(USAGE, "create", "debian/12", "m-cpu", "--vm", "-c", "vm.cpu=qemu65",
                says=["vm.cpu=qemu65", "did you mean qemu64?"])
    equal(row("m-cpu"), None)
    lodge("create", "debian/12", "m-cpu", "--vm", "-c", "vm.cpu=EPYC", "-c", "vm.accel=tcg")
    contains(virsh(QEMU, "dumpxml", "m-cpu").stdout, "EPYC</model>")
    lodge("start", "m-cpu")
    equal(state("m-cpu"), "running")
    lodge("delete", "--force", "m-cpu")


def test_delete():
    lodge_fails(CONFLICT, "delete", NAME, says=NAME)
    lodge("delete", "--force", NAME)
    equal(row(NAME), None)


if __name__ == "__main__":
    main("m-")
