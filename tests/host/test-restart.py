#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# time limit: 300
"""Guests do not notice when lodged or libvirtd is restarted or killed."""

import time

from hostlib import (LXC, Failure, daemon, equal, lodge, main, state, virsh, wait_for, wait_state)

NAME = "r-one"


def boot_id():
    """Differs after every start of the container's init."""
    return lodge("exec", NAME, "--", "stat", "-c", "%Y", "/proc/1").stdout


def answers():
    return lodge("exec", NAME, "--", "true", check=False, seconds=20).returncode == 0


def test_launch():
    lodge("launch", "debian/12", NAME, seconds=400)
    wait_state(NAME, "running")


def test_lodged_restarts():
    before = boot_id()
    daemon("lodged", "restart")
    wait_for(lambda: state(NAME) == "running", 5, "not running 5 s after a restart of lodged")
    equal(boot_id(), before)


def test_lodged_is_killed():
    before = boot_id()
    daemon("lodged", "kill")
    daemon("lodged", "start")
    wait_for(lambda: state(NAME) == "running", 5, "not running 5 s after lodged was killed")
    equal(boot_id(), before)


def test_libvirtd_restarts():
    before = boot_id()
    daemon("libvirtd", "restart")
    wait_for(lambda: state(NAME) == "running", 5, "not running 5 s after a restart of libvirtd")
    equal(boot_id(), before)
    wait_for(lambda: lodge("reconcile", check=False).returncode == 0, 5, "reconcile fails")


def test_exec_works_without_libvirtd():
    daemon("libvirtd", "stop")
    try:
        if not answers():
            raise Failure("exec needs libvirtd")
    finally:
        daemon("libvirtd", "start")


def test_changes_while_lodged_is_down_are_seen():
    daemon("lodged", "stop")
    virsh(LXC, "destroy", NAME)
    daemon("lodged", "start")
    wait_for(lambda: state(NAME) == "stopped", 5, "not stopped 5 s after lodged is back")


def test_virsh_start_works_while_lodged_is_down():
    daemon("lodged", "stop")
    virsh(LXC, "start", NAME)
    time.sleep(0.5)
    equal(virsh(LXC, "domstate", NAME).stdout.strip(), "running")
    daemon("lodged", "start")
    wait_for(lambda: state(NAME) == "running", 5, "not running 5 s after lodged is back")
    wait_for(answers, 5, "no exec in what virsh has started")
    wait_for(lambda: lodge("exec", NAME, "--", "systemctl", "is-system-running",
                           check=False).stdout.strip() in ("running", "degraded"),
             30, "systemd did not finish booting")


def test_lodged_killed_while_a_container_starts():
    lodge("stop", "--force", NAME)
    job = lodge("start", "--help", check=False)
    del job
    daemon("lodged", "kill")
    daemon("lodged", "start")
    wait_for(lambda: state(NAME) in ("stopped", "running"), 5, "state after the kill")
    if state(NAME) == "stopped":
        lodge("start", NAME)
    wait_for(answers, 10, "no exec after the kill")


if __name__ == "__main__":
    main("r-")
