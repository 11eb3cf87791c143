#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# time limit: 300
"""No space left where Lodge keeps its state: each verb that needs some says so in one sentence and
gives back what it took; stop, delete and list work, and with space again all is as before.

The state of a testbed of its own is on a small disk."""

import atexit
import json
import os
import shutil
import sys
import tempfile

import hostlib
import tinyimage
from hostlib import (FAILED, TESTBED, Failure, Skip, contains, delete_all, equal, leftovers, lodge,
                     lodge_fails, row, rows, run, state, wait_for)

PREFIX = os.path.join(hostlib.DIR, "root")
MAIN_BUS = os.environ.get("LODGE_BUS_ADDRESS", "")
FOLDER = tempfile.mkdtemp(prefix="lodge-full-", dir="/var/tmp") if hostlib.DIR else ""
STATE = os.path.join(FOLDER, "state")
FILL = os.path.join(STATE, "filling")
NO_SPACE = ("o space left", "no room", "disk is full", "there is room for")


def cleanup():
    run([TESTBED, "stop", os.path.join(FOLDER, "tb")], check=False, seconds=90)
    run(["umount", STATE], check=False)
    shutil.rmtree(FOLDER, ignore_errors=True)


def fill(left=0):
    """Leaves so many bytes: of blocks none by default.  There are no reserved ones."""
    with open(FILL, "ab", buffering=0) as stream:
        for size in (1 << 20, 4096):
            try:
                while True:
                    stream.write(bytes(size))
            except OSError:
                os.fsync(stream.fileno())
    if left:
        os.truncate(FILL, max(os.path.getsize(FILL) - left, 0))


def free():
    if os.path.exists(FILL):
        os.unlink(FILL)


def full(*words, status=FAILED, **keywords):
    """The command fails for lack of space, says that, and changes nothing."""
    before = [(entry["name"], entry["state"]) for entry in rows()]
    done = lodge_fails(status, *words, seconds=120, **keywords)
    if not any(text in done.stderr for text in NO_SPACE):
        raise Failure("%s: not for lack of space: %r" % (" ".join(words), done.stderr))
    equal([(entry["name"], entry["state"]) for entry in rows()], before, "instances after it")


def images():
    return sorted(entry["fingerprint"] for entry in
                  json.loads(lodge("image", "list", "-f", "json").stdout))


def test_a_host_with_a_small_disk():
    atexit.register(cleanup)
    os.mkdir(STATE)
    with open(FOLDER + "/disk", "wb") as stream:
        stream.truncate(700 << 20)
    run(["mkfs.ext4", "-q", "-F", "-m", "0", FOLDER + "/disk"])
    done = run(["mount", "-o", "loop", FOLDER + "/disk", STATE], check=False)
    if done.returncode != 0:
        raise Skip("no file system can be mounted from a file: " + done.stderr.strip())
    hostlib.DIR = os.path.join(FOLDER, "tb")
    for name in ("LODGE_BUS_ADDRESS", "DBUS_SYSTEM_BUS_ADDRESS"):
        os.environ[name] = "unix:path=%s/bus" % hostlib.DIR
    run([TESTBED, "start", hostlib.DIR, "--prefix", PREFIX, "--state", STATE], seconds=90)
    tinyimage.rootfs(FOLDER + "/one", b"one")
    tinyimage.rootfs(FOLDER + "/two", b"two")
    with open(FOLDER + "/large", "wb") as stream:
        stream.write(os.urandom(8 << 20))
    run(["qemu-img", "create", "-q", "-f", "qcow2", FOLDER + "/blank", "8M"])
    lodge("image", "import", FOLDER + "/one", "one")
    lodge("image", "import", FOLDER + "/blank", "blank")
    lodge("launch", "one", "f-runs")
    lodge("create", "one", "f-stopped")
    lodge("create", "one", "f-never")


def test_import():
    before = images()
    fill(left=64 << 20)
    full("image", "import", FOLDER + "/two", "two")
    equal(images(), before)
    equal(os.listdir(STATE + "/staging"), [])


def test_an_image_that_is_built():
    """The disk fills while programs of the distribution write to it."""
    before = images()
    fill(left=40 << 20)
    done = lodge("launch", "build:debian/13", "f-built", check=False, seconds=120)
    equal(row("f-built"), None)
    equal(images(), before)
    equal(os.listdir(STATE + "/staging"), [])
    if "mirror" in done.stderr:
        raise Skip("no image can be built here: " + done.stderr.strip())
    equal(done.returncode, FAILED, done.stderr)
    if not any(text in done.stderr for text in NO_SPACE):
        raise Failure("not for lack of space: %r" % done.stderr)


def test_launch_and_create():
    fill()
    for words in (("launch", "one", "f-new"), ("create", "one", "f-new"),
                  ("launch", "blank", "f-vm", "--vm"), ("create", "blank", "f-vm", "--vm")):
        full(*words)
        equal(row("f-new"), None)
        equal(row("f-vm"), None)


def test_files():
    for name in ("f-runs", "f-stopped"):
        full("file", "push", FOLDER + "/large", name + "/root/large")
    equal(lodge("file", "list", "-f", "name", "f-runs/root").stdout, "")
    free()
    equal(lodge("file", "list", "-f", "name", "f-stopped/root").stdout, "")
    fill()


def test_start_of_what_never_ran():
    full("start", "f-never")
    equal(state("f-never"), "stopped")
    full("file", "list", "f-never/root")


def test_rename():
    done = lodge("rename", "f-stopped", "f-renamed", check=False)
    if done.returncode != 0 and not any(text in done.stderr for text in NO_SPACE):
        raise Failure(done.stderr)
    names = [entry["name"] for entry in rows()]
    equal(sorted(names), sorted(["f-never", "f-runs", "f-stopped" if done.returncode else "f-renamed"]))
    free()
    if done.returncode == 0:
        lodge("rename", "f-renamed", "f-stopped")
    lodge("start", "f-stopped")
    lodge("stop", "--force", "f-stopped")
    fill()


def test_what_works_with_a_full_disk():
    lodge("list")
    lodge("info", "f-runs")
    lodge("exec", "f-runs", "--", "cat", "/etc/os-release")
    lodge("stop", "--force", "f-runs")
    equal(state("f-runs"), "stopped")
    lodge("start", "f-runs")
    equal(state("f-runs"), "running")
    hostlib.daemon("lodged", "restart")
    equal(state("f-runs"), "running")
    lodge("delete", "--force", "f-stopped")
    equal(row("f-stopped"), None)


def test_with_space_again():
    free()
    lodge("launch", "one", "f-new")
    contains(lodge("exec", "f-new", "--", "cat", "/etc/os-release").stdout, "testix")
    lodge("image", "import", FOLDER + "/two", "two")
    delete_all("f-")
    equal(rows(), [])
    wait_for(lambda: not leftovers(), 10, "left over: " + leftovers())


if __name__ == "__main__":
    hostlib.main("f-", cleanup=free)
    sys.exit(0)
