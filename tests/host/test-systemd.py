#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# time limit: 600
"""Units, D-Bus activation and polkit, on a host that has booted systemd: a testbed of its own on
an overlay of this host's root (testbed start --systemd)."""

import atexit
import os
import shutil

from hostlib import (DIR, EXEC_FAILED, NOT_AUTHORIZED, TESTBED, Failure, Skip, contains, equal, main, run,
                     wait_for)

BOX = DIR + "-systemd"
NAME = "s-one"


def box(*argv, **keywords):
    return run([TESTBED, "exec", BOX, *argv], **keywords)


def as_user(user, *argv, **keywords):
    return box("runuser", "-u", user, "--", *argv, **keywords)


def property_of(unit, name):
    return box("systemctl", "show", "-P", name, unit).stdout.strip()


def stop():
    run([TESTBED, "stop", BOX], check=False)
    for entry in ("box", "root", "state"):
        shutil.rmtree(os.path.join(BOX, entry), ignore_errors=True)


def test_boot():
    if not os.path.exists("/lib/systemd/systemd"):
        raise Skip("no systemd is installed on this host")
    atexit.register(stop)
    os.makedirs(BOX, exist_ok=True)
    run([TESTBED, "start", BOX, "--systemd", "--build", os.environ["LODGE_BUILD"]])
    box("systemctl", "is-active", "testbed.target")


def test_units_are_correct():
    done = box("systemd-analyze", "verify", "--man=no", "lodged.service", check=False)
    equal([line for line in done.stderr.split("\n") if "lodge" in line], [])
    box("systemd-sysusers", "/usr/lib/sysusers.d/lodge.conf")
    box("systemd-tmpfiles", "--create", "/usr/lib/tmpfiles.d/lodge.conf")
    box("getent", "group", "lodge")
    equal(box("stat", "-c", "%a %U", "/var/lib/lodge").stdout, "711 root\n")
    box("busctl", "call", "org.freedesktop.DBus", "/org/freedesktop/DBus",
        "org.freedesktop.DBus", "ReloadConfig")


def test_activation_by_the_bus():
    equal(property_of("lodged.service", "ActiveState"), "inactive")
    box("lodge", "list")
    equal(property_of("lodged.service", "ActiveState"), "active")


def test_the_hook_is_where_libvirt_looks():
    link = box("readlink", "/etc/libvirt/hooks/lxc.d/lodge-mount").stdout.strip()
    box("test", "-x", link)


def test_documentation_on_the_bus():
    contains(box("busctl", "introspect", "org.lodge1", "/org/lodge1").stdout, "CreateInstance")


def test_killed_it_comes_back():
    box("systemctl", "kill", "-s", "KILL", "lodged.service")
    wait_for(lambda: property_of("lodged.service", "NRestarts") == "1"
             and property_of("lodged.service", "ActiveState") == "active", 15,
             "systemd did not restart lodged")
    box("lodge", "list")


def test_launch():
    box("lodge", "launch", "debian/12", NAME, seconds=400)
    box("lodge", "exec", NAME, "--", "true")


def test_guests_do_not_notice_a_restart():
    command = ("lodge", "exec", NAME, "--", "stat", "-c", "%Y", "/proc/1")
    before = box(*command).stdout
    box("systemctl", "restart", "lodged.service")
    equal(box(*command).stdout, before)
    box("systemctl", "restart", "libvirtd.service")
    wait_for(lambda: box(*command, check=False).stdout == before, 10, "no exec after the restart")


def test_everybody_may_look():
    box("useradd", "-m", "alice")
    contains(as_user("alice", "lodge", "list").stdout, NAME)


def test_not_everybody_may_change():
    for words in (("stop", NAME), ("delete", "--force", NAME), ("exec", NAME, "--", "id"),
                  ("launch", "debian/12", "s-two")):
        done = as_user("alice", "lodge", *words, check=False)
        equal(done.returncode, EXEC_FAILED if words[0] == "exec" else NOT_AUTHORIZED,
              " ".join(words) + ": " + done.stderr)
    contains(box("lodge", "list").stdout, "running")


def test_members_of_the_group_may():
    box("useradd", "-m", "-G", "lodge", "bob")
    equal(as_user("bob", "lodge", "exec", NAME, "--", "id", "-u").stdout, "0\n")
    as_user("bob", "lodge", "stop", "--force", NAME)
    as_user("bob", "lodge", "start", NAME)


def test_virsh_start_while_the_service_is_stopped():
    box("lodge", "stop", "--force", NAME)
    box("systemctl", "stop", "lodged.service")
    box("virsh", "-q", "-c", "lxc:///system", "start", NAME)
    equal(box("virsh", "-c", "lxc:///system", "domstate", NAME).stdout.strip(), "running")
    wait_for(lambda: box("lodge", "exec", NAME, "--", "true", check=False).returncode == 0, 10,
             "no exec in what virsh has started")


def test_delete():
    box("lodge", "delete", "--force", NAME)
    if NAME in box("virsh", "-c", "lxc:///system", "list", "--all", "--name").stdout:
        raise Failure("the domain is still there")


if __name__ == "__main__":
    main("s-")
