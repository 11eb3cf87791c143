#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# time limit: 300
"""Containers of images that are not Lodge's: other inits, and none."""

import io
import os
import tarfile
import tempfile
import time

from hostlib import (DIR, PATIENCE, TIMED_OUT, Failure, contains, equal, lodge, lodge_fails, main,
                     state, wait_for, wait_state)

PREFIX = "i-"
IMAGE = "test/init-"
APPLETS = "sh true sleep cat echo touch test poweroff".split()
INITTAB = b"""::sysinit:/bin/touch /run/started
::respawn:/bin/sleep 1000
::shutdown:/bin/touch /root/ended-well
"""
LOOP = b"while :; do sleep 1 & wait; done\n"


def script(*lines):
    return b"#!/bin/sh\n" + b"\n".join(lines) + b"\n" + LOOP


ENDS = b"touch /root/ended-well; exit 0"
INITS = {
    "busybox": None,
    "sysv": script(b"trap '%s' PWR" % ENDS),
    "term": script(b"trap '%s' TERM" % ENDS),
    "stubborn": script(b"trap '' HUP INT QUIT TERM USR1 USR2 PWR CONT"),
    "brief": b"#!/bin/sh\necho no such luck\nexit 3\n",
    "none": b"",
}


def add(archive, name, kind=tarfile.DIRTYPE, data=b"", link=""):
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.size, entry.linkname = kind, 0o755, len(data), link
    archive.addfile(entry, io.BytesIO(data))


def make_image(path, init):
    with open("/bin/busybox", "rb") as stream:
        busybox = stream.read()
    with tarfile.open(path, "w") as archive:
        for folder in ("bin", "sbin", "etc", "proc", "sys", "dev", "tmp", "run", "root"):
            add(archive, folder)
        add(archive, "bin/busybox", tarfile.REGTYPE, busybox)
        for applet in APPLETS:
            add(archive, "bin/" + applet, tarfile.SYMTYPE, link="busybox")
        add(archive, "etc/passwd", tarfile.REGTYPE, b"root:x:0:0:root:/root:/bin/sh\n")
        if init is None:
            add(archive, "etc/inittab", tarfile.REGTYPE, INITTAB)
            add(archive, "sbin/init", tarfile.SYMTYPE, link="/bin/busybox")
        elif init:
            add(archive, "sbin/init", tarfile.REGTYPE, init)


def launch(kind, check=True):
    """-> what the import said"""
    with tempfile.TemporaryDirectory() as folder:
        make_image(folder + "/image.tar", INITS[kind])
        done = lodge("image", "import", folder + "/image.tar", IMAGE + kind)
    launched = lodge("launch", IMAGE + kind, PREFIX + kind, check=check)
    return done.stderr + launched.stderr


def has_file(name, path):
    with tempfile.TemporaryDirectory() as folder:
        return lodge("file", "pull", name + path, folder + "/file", check=False).returncode == 0


def ends_well(kind):
    name = PREFIX + kind
    launch(kind)
    wait_state(name, "running")
    lodge("exec", name, "--", "true")
    began = time.monotonic()
    lodge("stop", "--timeout", "20", name)
    if time.monotonic() - began > 10 * PATIENCE:
        raise Failure("it took %.1f s to stop" % (time.monotonic() - began))
    equal(state(name), "stopped")
    if not has_file(name, "/root/ended-well"):
        raise Failure("its init was not asked to stop")


def test_init_of_busybox_is_asked_to_power_off():
    ends_well("busybox")


def test_an_init_like_sysv_is_asked_by_its_signal():
    ends_well("sysv")


def test_a_supervisor_is_asked_by_sigterm():
    ends_well("term")


def test_an_init_that_heeds_nothing():
    name = PREFIX + "stubborn"
    launch("stubborn")
    began = time.monotonic()
    lodge_fails(TIMED_OUT, "stop", "--timeout", "2", name,
                says=[name, "did not stop within 2 seconds and still runs", "--force"])
    if not 1.5 < time.monotonic() - began < 2 + 4 * PATIENCE:
        raise Failure("it said so after %.1f s" % (time.monotonic() - began))
    equal(state(name), "running")
    lodge("exec", name, "--", "true")
    lodge("stop", "--force", name)
    equal(state(name), "stopped")


def test_an_init_that_ends_at_once():
    name = PREFIX + "brief"
    # It may be over before the launch is, which says so then.
    launch("brief", check=False)
    wait_state(name, "stopped")
    wait_for(lambda: "no such luck" in lodge("console", "--log", name).stdout, 5,
             "its last words are not in the log of the console")
    lodge("start", name, check=False)
    wait_state(name, "stopped")


def test_no_init_means_a_shell():
    contains(launch("none"), "its instances run a shell instead")
    name = PREFIX + "none"
    wait_state(name, "running")
    equal(lodge("exec", name, "--", "cat", "/proc/1/comm").stdout, "sh\n")
    lodge("stop", "--force", name)


def test_systemd_of_a_plain_debian():
    """A root file system without what Lodge leaves in its images."""
    lodge("launch", "debian/12", PREFIX + "first", seconds=400)
    lodge("exec", PREFIX + "first", "--", "sh", "-c",
          "find /etc/systemd -lname /dev/null -delete; rm -rf /etc/systemd/*/*.d")
    path = os.path.join(DIR, "plain.tar")
    try:
        with open(path, "wb") as stream:
            stream.write(lodge("exec", PREFIX + "first", "--", "tar", "--one-file-system", "-C", "/",
                               "-c", ".", binary=True, seconds=120, check=False).stdout)
        lodge("image", "import", path, IMAGE + "plain", seconds=120)
    finally:
        os.unlink(path)
    name = PREFIX + "plain"
    lodge("launch", IMAGE + "plain", name)
    wait_for(lambda: lodge("exec", name, "--", "systemctl", "is-system-running",
                           check=False).stdout.strip() in ("running", "degraded"),
             90, "systemd does not finish booting")
    lodge("stop", "--timeout", "60", name, seconds=90)
    equal(state(name), "stopped")


def cleanup():
    for kind in [*INITS, "plain"]:
        lodge("delete", "--force", PREFIX + kind, check=False)
        lodge("image", "delete", IMAGE + kind, check=False)


if __name__ == "__main__":
    main(PREFIX, cleanup)
