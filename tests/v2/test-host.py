#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Lodge on a host that has booted Debian 12: systemd, machined, resolved, D-Bus activation, polkit,
and cgroup2 alone.  Runs in the machine of tests/v2/vm."""

import glob
import os
import re
import time

from hostlib import (CONFLICT, EXEC_FAILED, LXC, NOT_AUTHORIZED, QEMU, Failure, contains, daemon,
                     equal, lodge, lodge_fails, main, row, run, state, virsh, wait_for, wait_state)

NAME = "vone"
IMAGE_FILE = "/mnt/debian-12.tar"
CGROUPS = "/sys/fs/cgroup"
QUICKSTART = "/opt/tests/data/quickstart"
BRIDGE = "lodgebr0"


def property_of(unit, name):
    return run(["systemctl", "show", "-P", name, unit]).stdout.strip()


def as_user(user, *argv, **keywords):
    return run(["runuser", "-u", user, "--", *argv], **keywords)


def sh(script, **keywords):
    return lodge("exec", NAME, "--", "sh", "-c", script, **keywords)


def scope():
    """The control group that machined made for the container."""
    return glob.glob(CGROUPS + "/machine.slice/machine-lxc*vone.scope")


def read(path):
    with open(path, encoding="utf-8") as stream:
        return stream.read().strip()


def init_of_guest():
    """Changes with every start of the container and with nothing else."""
    return sh("stat -c %Y /proc/1; cat /run/mark").stdout


def test_the_host_is_what_this_is_about():
    equal(run(["stat", "-f", "-c", "%T", CGROUPS]).stdout.strip(), "cgroup2fs")
    equal(read("/proc/1/comm"), "systemd")
    equal(property_of("libvirtd.service", "LoadState"), "loaded")
    equal(property_of("systemd-machined.service", "LoadState"), "loaded")


def test_units_are_correct():
    done = run(["systemd-analyze", "verify", "--man=no", "lodged.service"], check=False)
    equal([line for line in done.stderr.split("\n") if "lodge" in line], [])
    equal(read("/proc/sys/fs/inotify/max_user_instances"), "1024")


def test_activation_by_the_bus():
    equal(property_of("lodged.service", "ActiveState"), "inactive")
    began = time.monotonic()
    lodge("list")
    print("# first answer after %.2f s" % (time.monotonic() - began))
    equal(property_of("lodged.service", "ActiveState"), "active")
    equal(run(["stat", "-c", "%a %U", "/var/lib/lodge"]).stdout, "711 root\n")


def test_quickstart_makes_a_service_of_it():
    run([QUICKSTART, "__service"], seconds=120)
    equal(property_of("lodged.service", "ActiveState"), "active")
    equal(property_of("lodged.service", "UnitFileState"), "enabled")
    equal(property_of("libvirtd.service", "ActiveState"), "active")
    lodge("list")


def test_import():
    began = time.monotonic()
    lodge("image", "import", IMAGE_FILE, "debian/12", seconds=300)
    print("# %.2f s" % (time.monotonic() - began))
    contains(lodge("image", "list").stdout, "debian/12")


def test_launch():
    began = time.monotonic()
    lodge("launch", "debian/12", NAME, "-c", "limits.memory=200MiB", "-c", "limits.processes=300",
          seconds=120)
    print("# %.2f s" % (time.monotonic() - began))
    equal(state(NAME), "running")


def test_the_guest_boots():
    wait_for(lambda: lodge("exec", NAME, "--", "systemctl", "is-system-running",
                           check=False).stdout.strip() in ("running", "degraded"),
             30, "systemd in the container did not finish booting")
    equal(sh("systemctl --failed --no-legend").stdout.strip(), "", "failed units")


def test_the_guest_has_a_tree_of_its_own():
    equal(sh("cat /proc/1/cgroup").stdout, "0::/init.scope\n")
    equal(sh("stat -f -c %T /sys/fs/cgroup").stdout.strip(), "cgroup2fs")


def test_machined_knows_it():
    contains(run(["machinectl", "--no-legend", "list"]).stdout, NAME)
    equal(len(scope()), 1, "scopes")


def test_exec():
    for status in (0, 1, 42, 255):
        equal(sh("exit %d" % status, check=False).returncode, status)
    done = sh("cat; echo err >&2", data="in\n")
    equal((done.stdout, done.stderr), ("in\n", "err\n"))
    equal(sh("kill -9 $$", check=False).returncode, 137)


def test_exec_is_in_the_control_group():
    """What is run in the container counts for it, and ends with it."""
    contains(sh("cat /proc/self/cgroup").stdout, "0::/")
    if "/../" in sh("cat /proc/self/cgroup").stdout:
        raise Failure("the program is outside of the container's control group")


def test_shell_on_a_terminal():
    done = run(["script", "-qec", "lodge shell " + NAME, "/dev/null"], seconds=60,
               data="tty; stty size >/dev/null && echo si''zed; exit 7\n", check=False)
    equal(done.returncode, 7, done.stdout)
    contains(done.stdout, "/dev/pts/")
    contains(done.stdout, "sized")


def processes():
    """How many count for the container, at the limit that holds them."""
    limited = [path for path in glob.glob(scope()[0] + "/**/pids.max", recursive=True)
               if read(path) == "300"]
    equal(len(limited), 1, "control groups with the limit of processes")
    return int(read(os.path.dirname(limited[0]) + "/pids.current"))


def test_a_fork_bomb_is_stopped():
    sh("n=0; while [ $n -lt 600 ]; do sleep 120 & n=$((n+1)); done >/dev/null 2>&1 </dev/null",
       check=False, seconds=120)
    if not 250 < processes() <= 300:
        raise Failure("%d processes in the container" % processes())
    lodge("list")
    lodge("restart", "--force", NAME)
    lodge("exec", NAME, "--", "true")
    if processes() > 100:
        raise Failure("%d processes after the restart" % processes())


def test_memory_is_limited():
    total = sh("grep MemTotal /proc/meminfo").stdout.split()[1]
    equal(int(total), 200 * 1024)
    done = sh("head -c 400m /dev/zero | tail | wc -c", check=False, seconds=120)
    print("# exit status %d" % done.returncode)
    equal(state(NAME), "running")
    wait_for(lambda: lodge("exec", NAME, "--", "true", check=False).returncode == 0, 30,
             "exec does not work after running out of memory")


def test_pause_and_resume():
    sh("sh -c 'while :; do date +%s%N >/run/clock; sleep 0.1; done' >/dev/null 2>&1 </dev/null &")
    began = time.monotonic()
    lodge("pause", NAME)
    print("# paused within %.2f s" % (time.monotonic() - began))
    equal(state(NAME), "paused")
    frozen = [path for path in glob.glob(scope()[0] + "/**/cgroup.events", recursive=True)
              if "frozen 1" in read(path)]
    if not frozen:
        raise Failure("no control group is frozen")
    lodge_fails(EXEC_FAILED, "exec", NAME, "--", "true", says=NAME)
    lodge_fails(CONFLICT, "stop", NAME, says=NAME)
    lodge("resume", NAME)
    equal(state(NAME), "running")
    before = sh("cat /run/clock").stdout
    wait_for(lambda: sh("cat /run/clock").stdout != before, 5, "the program does not go on")


def test_a_pause_outlives_lodged():
    lodge("pause", NAME)
    daemon("lodged", "restart")
    equal(state(NAME), "paused")
    lodge("resume", NAME)


def test_guests_do_not_notice_restarts():
    sh("echo marked >/run/mark")
    before = init_of_guest()
    contains(before, "marked")
    daemon("lodged", "restart")
    equal(init_of_guest(), before)
    daemon("lodged", "kill")
    wait_for(lambda: run(["lodge", "list"], check=False).returncode == 0, 10, "lodged stays away")
    equal(init_of_guest(), before)
    daemon("libvirtd", "restart")
    equal(init_of_guest(), before)
    equal(virsh(LXC, "domstate", NAME).stdout.strip(), "running")


def test_reboot_from_inside():
    first = virsh(LXC, "domid", NAME).stdout
    sh("systemctl reboot", check=False)
    wait_for(lambda: virsh(LXC, "domid", NAME, check=False).stdout not in (first, "-\n", ""), 30,
             "no new domain id after a reboot")
    wait_for(lambda: sh("test ! -e /run/mark", check=False).returncode == 0, 30,
             "exec does not work after a reboot")
    equal(len(scope()), 1, "scopes")
    processes()


def test_stop():
    wait_for(lambda: sh("systemctl is-system-running", check=False).stdout.strip()
             in ("running", "degraded"), 30, "it did not finish booting")
    began = time.monotonic()
    lodge("stop", NAME, seconds=120)
    print("# %.2f s" % (time.monotonic() - began))
    equal(state(NAME), "stopped")
    wait_for(lambda: not scope(), 5, "the scope stays")


def test_start_and_stop_by_force():
    began = time.monotonic()
    lodge("start", NAME)
    print("# started within %.2f s" % (time.monotonic() - began))
    began = time.monotonic()
    lodge("stop", "--force", NAME)
    print("# stopped within %.2f s" % (time.monotonic() - began))
    equal(state(NAME), "stopped")
    wait_for(lambda: not scope(), 5, "the scope stays")


def test_stop_by_force_while_paused():
    lodge("start", NAME)
    lodge("pause", NAME)
    lodge("stop", "--force", NAME)
    equal(state(NAME), "stopped")


def test_virsh_start_while_lodged_is_stopped():
    daemon("lodged", "stop")
    virsh(LXC, "start", NAME)
    equal(virsh(LXC, "domstate", NAME).stdout.strip(), "running")
    equal(property_of("lodged.service", "ActiveState"), "inactive")
    wait_for(lambda: sh("true", check=False).returncode == 0, 20,
             "no exec in what virsh has started")
    processes()


def test_virsh_suspend_says_no():
    """libvirt 9 cannot on this host; Lodge must not take that for a pause."""
    virsh(LXC, "suspend", NAME, check=False)
    lodge("exec", NAME, "--", "true")


def test_virsh_destroy():
    virsh(LXC, "destroy", NAME)
    wait_state(NAME, "stopped")
    wait_for(lambda: not scope(), 5, "the scope stays")
    lodge("start", NAME)


def test_everybody_may_look():
    run(["useradd", "-m", "alice"])
    contains(as_user("alice", "lodge", "list").stdout, NAME)


def test_not_everybody_may_change():
    for words in (("stop", NAME), ("delete", "--force", NAME), ("exec", NAME, "--", "id"),
                  ("launch", "debian/12", "vtwo")):
        done = as_user("alice", "lodge", *words, check=False)
        equal(done.returncode, EXEC_FAILED if words[0] == "exec" else NOT_AUTHORIZED,
              " ".join(words) + ": " + done.stderr)
    equal(state(NAME), "running")


def test_members_of_the_group_may():
    run(["useradd", "-m", "-G", "lodge", "bob"])
    equal(as_user("bob", "lodge", "exec", NAME, "--", "id", "-u").stdout, "0\n")
    as_user("bob", "lodge", "stop", "--force", NAME)
    as_user("bob", "lodge", "start", NAME)


def test_info():
    text = lodge("info", NAME).stdout
    for word in (NAME, "running", "container"):
        contains(text, word)
    if not re.search(r"MiB", text):
        raise Failure("no memory in: " + text)


def test_address():
    address = wait_for(lambda: row(NAME).get("address"), 20, "no address in lodge list")
    run(["ping", "-c", "1", "-W", "5", address], check=os.path.exists("/bin/ping"))


def resolved_knows(what, *words):
    """Whether `resolvectl WORDS` says `what` of Lodge's bridge."""
    done = run(["resolvectl", *words], check=False)
    return any(what in line.split() for line in done.stdout.split("\n") if BRIDGE in line)


def finds(name):
    """The address that this host has for `name`, by resolved's own client and by libc."""
    by_libc = run(["getent", "ahostsv4", name], check=False).stdout.split()
    by_resolved = run(["resolvectl", "query", "-4", "--legend=no", name], check=False).stdout
    address = re.search(r"^%s: (\S+)" % re.escape(name), by_resolved)
    return address and by_libc and by_libc[0] == address.group(1) and by_libc[0]


def test_the_host_finds_it_by_name():
    full = NAME + ".lodge"
    wait_for(lambda: row(NAME).get("address"), 20, "no address in lodge list")
    wait_for(lambda: finds(full) == row(NAME)["address"], 20, "the host does not find " + full)
    equal(resolved_knows("~lodge", "domain"), True, "the domain is of Lodge's bridge alone")
    equal(resolved_knows("no", "default-route"), True, "other names are not asked there")
    equal(run(["resolvectl", "query", "nobody.lodge"], check=False).returncode != 0, True)


def test_the_host_finds_it_after_restarts():
    for unit in ("systemd-resolved", "lodged"):
        run(["systemctl", "restart", unit])
        lodge("list")
        wait_for(lambda: finds(NAME + ".lodge") == row(NAME)["address"], 20,
                 "the host does not find it when %s is restarted" % unit)


def test_delete():
    lodge("delete", "--force", NAME)
    equal(row(NAME), None)
    equal(virsh(LXC, "list", "--all", "--name").stdout.strip(), "")
    equal(run(["machinectl", "--no-legend", "list"]).stdout.strip(), "")
    wait_for(lambda: not glob.glob("/run/lodge/mnt/*") and not scope(), 10, "something is left")
    wait_for(lambda: not finds(NAME + ".lodge"), 20, "the host still finds it")


def test_a_network_that_goes_and_comes():
    """resolved forgets it with the bridge, and is told again."""
    virsh(QEMU, "net-destroy", BRIDGE)
    wait_for(lambda: not resolved_knows("~lodge", "domain"), 10, "resolved still asks there")
    lodge("launch", "debian/12", NAME, seconds=120)
    wait_for(lambda: finds(NAME + ".lodge"), 30, "the host does not find it")


def test_quickstart_removes_it():
    """With its instances, and nothing of it is left on the host."""
    run([QUICKSTART, "uninstall", "--purge"], seconds=120)
    equal(property_of("lodged.service", "ActiveState"), "inactive")
    equal(property_of("lodged.service", "UnitFileState"), "disabled")
    for uri, *words in ((LXC, "list"), (QEMU, "list"), (QEMU, "net-list"), (QEMU, "pool-list")):
        equal(virsh(uri, *words, "--all", "--name").stdout.replace("default", "").strip(), "",
              " ".join(words))
    equal(os.listdir("/var/lib/lodge"), [])
    equal(os.path.exists("/sys/class/net/" + BRIDGE), False)
    equal(run(["machinectl", "--no-legend", "list"]).stdout.strip(), "")
    equal("lodge" in run(["resolvectl", "domain"]).stdout, False, "resolved has forgotten it")


if __name__ == "__main__":
    main("v")
