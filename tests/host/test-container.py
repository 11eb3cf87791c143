#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# time limit: 600
"""The life of a container, as a user sees it."""

import json
import os
import re
import tempfile
import time

from hostlib import (CONFLICT, EXEC_FAILED, LXC, NOT_FOUND, PATIENCE, Failure, contains, equal,
                     inside, lodge, lodge_fails, main, row, state, virsh, wait_for, wait_state)
from terminal import Terminal

NAME = "c-life"


def test_launch():
    lodge("launch", "debian/12", NAME, seconds=400)
    entry = row(NAME)
    equal(entry["state"], "running")
    equal(entry["kind"], "container")


def test_it_is_an_ordinary_domain():
    contains(virsh(LXC, "list", "--name").stdout, NAME)
    uuid = virsh(LXC, "domuuid", NAME).stdout.strip()
    equal(row(NAME)["uuid"], uuid)


def test_exec_returns_the_status_of_the_program():
    for status in (0, 1, 42, 255):
        done = lodge("exec", NAME, "--", "sh", "-c", "exit %d" % status, check=False)
        equal(done.returncode, status)
    equal(lodge("exec", NAME, "--", "/no/such/program", check=False).returncode, 127)
    equal(lodge("exec", NAME, "--", "/etc/passwd", check=False).returncode, 126)


def test_exec_keeps_streams_apart():
    done = lodge("exec", NAME, "--", "sh", "-c", "echo out; echo err >&2")
    equal((done.stdout, done.stderr), ("out\n", "err\n"))


def test_exec_passes_stdin_and_its_end():
    data = os.urandom(3000000)
    done = lodge("exec", NAME, "--", "cat", data=data, binary=True)
    equal(len(done.stdout), len(data))
    if done.stdout != data:
        raise Failure("the bytes are not the same")


def test_exec_passes_arguments_as_they_are():
    words = ["a b", "", "*", "$HOME", "-n", "ä\n\"'"]
    done = lodge("exec", NAME, "--", "printf", "<%s>", *words)
    equal(done.stdout, "".join("<%s>" % w for w in words))


def test_programs_are_root_inside_and_nobody_outside():
    equal(lodge("exec", NAME, "--", "id", "-u").stdout, "0\n")
    mapped = lodge("exec", NAME, "--", "cat", "/proc/self/uid_map").stdout.split()
    equal(mapped[0], "0")
    if int(mapped[1]) < 65536:
        raise Failure("root of the container is uid %s of the host" % mapped[1])


def test_exec_has_the_capabilities_of_init():
    command = "grep CapBnd /proc/1/status; grep CapBnd /proc/self/status"
    lines = lodge("exec", NAME, "--", "sh", "-c", command).stdout.split("\n")
    equal(lines[1], lines[0])


def wait_booted():
    wait_for(lambda: lodge("exec", NAME, "--", "systemctl", "is-system-running",
                           check=False).stdout.strip() in ("running", "degraded"),
             30, "systemd in the container did not finish booting")


def test_systemd_finishes_booting():
    wait_booted()
    failed = lodge("exec", NAME, "--", "systemctl", "--failed", "--no-legend", check=False).stdout
    equal(failed.strip(), "", "failed units")


def test_an_address_comes_and_is_listed():
    address = wait_for(lambda: row(NAME).get("address"), 15, "no address in lodge list")
    contains(lodge("exec", NAME, "--", "ip", "-4", "-o", "addr", "show", "eth0").stdout, address)
    # Refused is an answer as well.
    inside("/usr/bin/python3", "-c", "import socket; socket.setdefaulttimeout(3)\n"
           "try: socket.create_connection(('%s', 9))\n"
           "except ConnectionRefusedError: pass" % address)


def test_the_program_of_the_issue():
    contains(lodge("exec", NAME, "--", "apt-get", "--version").stdout, "apt")


def test_a_pty_is_of_the_container():
    done = lodge("exec", "-t", NAME, "--", "tty")
    if not re.match(r"/dev/pts/\d+", done.stdout):
        raise Failure("tty says %r" % done.stdout)


def owner_and_mode(path):
    found = os.stat(path)
    return found.st_uid, found.st_gid, found.st_mode & 0o7777


def test_a_shell_is_a_login_on_a_terminal():
    shell = Terminal(30, 100, "shell", NAME)
    shell.type("echo size=$(stty size) me=$0 user=$(id -un) home=$PWD\n")
    shell.expect("size=30 100 me=-bash user=root home=/root")
    shell.resize(41, 77)
    wait_for(lambda: shell.type("echo size=$(stty size)\n") or shell.sees("size=41 77", 1), 10,
             "the guest does not learn the new size")
    shell.type("sleep 600 || echo in''terrupted\n")
    time.sleep(0.5)
    shell.type("\x03")
    shell.type("echo go''es on; exit 7\n")
    shell.expect("goes on")
    equal(shell.end(), 7)


def test_the_console_is_left_by_its_key():
    console = Terminal(30, 100, "console", "--escape=^A", NAME)
    console.expect("^A leaves it")
    console.type("\r")
    console.expect("login: ")
    console.type("nobody-here\r")
    console.expect("Password: ")
    console.type("\x01")
    equal(console.end(), 0)
    contains(lodge("console", "--log", NAME).stdout, "nobody-here")


def test_files_go_in_and_out():
    with tempfile.TemporaryDirectory() as folder:
        os.makedirs(folder + "/tree/sub")
        with open(folder + "/tree/sub/data", "wb") as stream:
            stream.write(os.urandom(100000))
        os.chmod(folder + "/tree/sub/data", 0o640)
        os.symlink("data", folder + "/tree/sub/link")
        for path in ("/tree/sub", "/tree/sub/data"):
            os.chown(folder + path, 1000, 1001)
        lodge("file", "push", folder + "/tree", NAME + "/srv/")
        equal(lodge("exec", NAME, "--", "stat", "-c", "%u:%g %a", "/srv/tree", "/srv/tree/sub",
                    "/srv/tree/sub/data").stdout, "0:0 755\n1000:1001 755\n1000:1001 640\n")
        lodge("file", "pull", NAME + "/srv/tree", folder + "/back")
        back = folder + "/back/tree" if os.path.isdir(folder + "/back/tree") else folder + "/back"
        with open(folder + "/tree/sub/data", "rb") as first, open(back + "/sub/data", "rb") as second:
            if first.read() != second.read():
                raise Failure("the file came back changed")
        equal(owner_and_mode(back + "/sub/data"), (1000, 1001, 0o640))
        equal(owner_and_mode(back + "/sub"), (1000, 1001, 0o755))
        equal(os.readlink(back + "/sub/link"), "data")


def test_a_link_cannot_lead_out_of_the_container():
    lodge("exec", NAME, "--", "ln", "-sfn", "/", "/srv/root")
    with tempfile.TemporaryDirectory() as folder:
        lodge("file", "pull", NAME + "/srv/root/etc/hostname", folder + "/hostname", check=False)
        if os.path.exists(folder + "/hostname"):
            with open(folder + "/hostname", encoding="utf-8") as stream:
                equal(stream.read().strip(), NAME)


def test_info_has_live_numbers():
    text = lodge("info", NAME).stdout
    for word in (NAME, "running", "container", "Uptime:", "CPU time:"):
        contains(text, word)
    info = json.loads(lodge("info", NAME, "-f", "json").stdout)
    usage = info["usage"]
    if not 0 < usage["cpu-ns"] < 600 * 10**9 or not 1 < usage["processes"] < 500:
        raise Failure("%r" % usage)
    if not 1 << 20 < usage["memory"] < 1 << 30 or not 0 < usage["uptime"] < 600 * PATIENCE:
        raise Failure("%r" % usage)
    if not 1 << 12 < usage["disk"] < 100 << 20:
        raise Failure("%r" % usage)
    # A guest's systemd needs the controller for its own TasksMax=.
    if os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        controllers = lodge("exec", NAME, "--", "cat", "/sys/fs/cgroup/cgroup.controllers").stdout
        contains(controllers.split(), "pids")
    network, = usage["networks"].values()
    if network["rx-bytes"] < 300 or network["tx-bytes"] < 300:
        raise Failure("it has its address by DHCP, and no traffic: %r" % network)
    equal([entry["address"] for entry in info["addresses"]][:1], [row(NAME)["address"]])


def test_start_of_a_running_one_is_refused():
    lodge_fails(CONFLICT, "start", NAME, says=NAME)


def test_pause_and_resume():
    lodge("pause", NAME)
    equal(state(NAME), "paused")
    lodge_fails(EXEC_FAILED, "exec", NAME, "--", "true", says=NAME)
    lodge("resume", NAME)
    equal(state(NAME), "running")
    lodge("exec", NAME, "--", "true")


def test_stop():
    lodge("exec", NAME, "--", "touch", "/root/kept")
    lodge("exec", NAME, "--", "sh", "-c", "echo %s > /root/address" % row(NAME)["address"])
    lodge("stop", NAME)
    equal(state(NAME), "stopped")
    equal(row(NAME)["address"], "", "the address of a stopped one")
    if "Addresses:" in lodge("info", NAME).stdout:
        raise Failure("lodge info shows an address at which nobody answers")
    lodge_fails(EXEC_FAILED, "exec", NAME, "--", "true", says=NAME)


def test_files_of_a_stopped_one():
    with tempfile.TemporaryDirectory() as folder:
        with open(folder + "/note", "w", encoding="utf-8") as stream:
            stream.write("while you slept\n")
        lodge("file", "push", folder + "/note", NAME + "/root/note")
        lodge("file", "pull", NAME + "/root/note", folder + "/again")
        with open(folder + "/again", encoding="utf-8") as stream:
            equal(stream.read(), "while you slept\n")
        os.makedirs(folder + "/tree/sub", 0o750)
        os.symlink("nowhere", folder + "/tree/sub/link")
        os.chown(folder + "/tree/sub", 1000, 1001)
        lodge("file", "push", folder + "/tree", NAME + "/srv/asleep")
        lodge("file", "pull", NAME + "/srv/asleep", folder + "/tree-again")
        equal(owner_and_mode(folder + "/tree-again/sub"), (1000, 1001, 0o750))
        equal(os.readlink(folder + "/tree-again/sub/link"), "nowhere")


def test_rename():
    lodge("rename", NAME, NAME + "-b")
    equal(state(NAME), None)
    equal(state(NAME + "-b"), "stopped")
    lodge("rename", NAME + "-b", NAME)


def test_start_again_keeps_files_and_the_address():
    lodge("start", NAME)
    wait_state(NAME, "running")
    equal(row(NAME)["address"], lodge("exec", NAME, "--", "cat", "/root/address").stdout.strip())
    lodge("exec", NAME, "--", "test", "-e", "/root/kept")
    equal(lodge("exec", NAME, "--", "cat", "/root/note").stdout, "while you slept\n")


def test_restart():
    wait_booted()
    first = virsh(LXC, "domid", NAME).stdout
    lodge("exec", NAME, "--", "touch", "/run/gone")
    lodge("restart", NAME)
    equal(state(NAME), "running")
    if virsh(LXC, "domid", NAME).stdout == first:
        raise Failure("it was not restarted")
    equal(lodge("exec", NAME, "--", "test", "-e", "/run/gone", check=False).returncode, 1)


def test_restart_from_inside():
    wait_booted()
    first = virsh(LXC, "domid", NAME).stdout
    lodge("exec", NAME, "--", "systemctl", "reboot", check=False)
    wait_for(lambda: virsh(LXC, "domid", NAME, check=False).stdout not in (first, "-\n", ""), 20,
             "no new domain id after a reboot")
    wait_for(lambda: lodge("exec", NAME, "--", "true", check=False).returncode == 0, 20,
             "exec does not work after a reboot")


def test_poweroff_from_inside():
    wait_booted()
    lodge("exec", NAME, "--", "systemctl", "poweroff", check=False)
    wait_state(NAME, "stopped", 20)
    lodge("start", NAME)


def test_delete_of_a_running_one_needs_force():
    lodge_fails(CONFLICT, "delete", NAME, says=NAME)
    lodge("delete", "--force", NAME)
    equal(row(NAME), None)
    lodge_fails(NOT_FOUND, "info", NAME, says=NAME)


if __name__ == "__main__":
    main("c-life")
