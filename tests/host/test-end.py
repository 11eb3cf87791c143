#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# time limit: 300
"""Containers end at once when they shall, and libvirt hears of every end.

libvirt 9 loses its connection to a container's process now and then while it starts, and does not
notice its end then.  tests/lib/libvirt-deaf.c makes it lose it always, or every other time."""

import os
import subprocess
import tempfile
import time

from hostlib import (DIR, LXC, PATIENCE, SOURCE, TESTBED, Failure, equal, lodge, main, run, state,
                     virsh, wait_for, wait_state)

NAME = "e-one"
AT_ONCE = 6
ROUNDS = 4
# What libvirt did not hear took five and more.
END_SECONDS = 4


def restart_libvirtd(**environment):
    run([TESTBED, "daemon", DIR, "libvirtd", "stop"])
    subprocess.run([TESTBED, "daemon", DIR, "libvirtd", "start"], check=True,
                   env=dict(os.environ, **environment))
    wait_for(lambda: lodge("reconcile", check=False).returncode == 0, 10, "reconcile fails")


class Deaf:
    """While it lasts, libvirtd does not hear one of `every` containers."""

    def __init__(self, every):
        self.every = every

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="lodge-deaf-", dir=DIR)
        library = os.path.join(self.directory.name, "deaf.so")
        run(["cc", "-shared", "-fPIC", "-o", library,
             os.path.join(SOURCE, "tests/lib/libvirt-deaf.c"), "-ldl"])
        restart_libvirtd(LD_PRELOAD=library, LODGE_TEST_DEAF_EVERY=str(self.every))

    def __exit__(self, *ignored):
        restart_libvirtd()
        self.directory.cleanup()


def start_of_init():
    return lodge("exec", NAME, "--", "stat", "-c", "%Y.%i", "/proc/1", check=False).stdout


def booted():
    return lodge("exec", NAME, "--", "systemctl", "is-system-running", "--wait",
                 check=False).stdout.strip() in ("running", "degraded")


def all_at_once(*words):
    """Runs a command for all the containers; returns how long the slowest took."""
    began = time.monotonic()
    running = [subprocess.Popen(["lodge", *words, "e-many-%d" % i], stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
               for i in range(AT_ONCE)]
    for process in running:
        error = process.communicate()[1]
        if process.returncode:
            raise Failure("lodge %s: %s" % (" ".join(words), error))
    return time.monotonic() - began


def test_many_end_at_once():
    lodge("launch", "debian/12", NAME, seconds=400)
    for number in range(AT_ONCE):
        lodge("create", "debian/12", "e-many-%d" % number)
    for _ in range(ROUNDS):
        all_at_once("start")
        taken = all_at_once("stop", "--force")
        if taken > END_SECONDS * PATIENCE:
            raise Failure("%d ends took %.1f s" % (AT_ONCE, taken))
        for number in range(AT_ONCE):
            equal(state("e-many-%d" % number), "stopped")
    all_at_once("delete")


def test_a_start_that_libvirt_does_not_hear_is_made_anew():
    with Deaf(every=2):
        lodge("stop", "--force", NAME)
        lodge("start", NAME)
        wait_for(booted, 60, "it does not boot")
        # Both need libvirt to hear of it.
        before = start_of_init()
        lodge("exec", NAME, "--", "systemctl", "reboot", check=False)
        wait_for(lambda: start_of_init() not in ("", before), 60, "it does not reboot")
        wait_for(booted, 60, "it does not boot again")
        lodge("exec", NAME, "--", "systemctl", "poweroff", check=False)
        wait_state(NAME, "stopped", 30)


def test_an_end_that_libvirt_does_not_hear_is_seen():
    with Deaf(every=1):
        virsh(LXC, "start", NAME)
        wait_state(NAME, "running")
        began = time.monotonic()
        lodge("stop", "--force", NAME)
        if time.monotonic() - began > END_SECONDS * PATIENCE:
            raise Failure("its end took %.1f s" % (time.monotonic() - began))
        virsh(LXC, "start", NAME)
        wait_for(booted, 60, "it does not boot")
        lodge("exec", NAME, "--", "systemctl", "poweroff", check=False)
        wait_state(NAME, "stopped", 30)
        equal(virsh(LXC, "domstate", NAME).stdout.strip(), "shut off")


if __name__ == "__main__":
    main("e-")
