#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# time limit: 180
"""Ctrl-C at each stage of a launch: the job is cancelled, nothing is left, and lodge says so."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

from hostlib import (DIR, PATIENCE, Failure, Skip, contains, delete_all, equal, leftovers, lodge,
                     main, row, rows, wait_for)
import tinyimage

CANCELLED = 130
NAME = "x-cancelled"
STATE = os.path.join(DIR, "state")
FOLDER = tempfile.mkdtemp(prefix="lodge-cancel-", dir="/var/tmp") if DIR else ""


def begin(*words):
    return subprocess.Popen(["lodge", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def interrupt(process):
    """Its exit status and what it said after a Ctrl-C."""
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60 * PATIENCE)
    return process.returncode, out, err


def stage():
    return next((job["stage"] for job in json.loads(lodge("job", "list", "-f", "json").stdout)),
                "")


def images():
    return sorted(image["fingerprint"] for image in
                  json.loads(lodge("image", "list", "-f", "json").stdout))


def nothing_left():
    equal(rows(), [], "instances")
    wait_for(lambda: not leftovers(), 5, "left over: " + leftovers())
    equal(os.listdir(os.path.join(STATE, "staging")), [], "staging")


def said(err, what):
    contains(err, what)
    contains(err, "was cancelled")


def test_while_an_image_is_made():
    before = images()
    process = begin("launch", "build:debian/13", NAME)
    wait_for(lambda: stage() or process.poll() is not None, 20, "the build does not begin")
    if process.poll() is not None:
        raise Skip("no image can be built here: " + process.communicate()[1])
    # Far enough for programs and a tree to be there.
    time.sleep(1)
    status, _out, err = interrupt(process)
    if status == 1 and "mirror" in err:
        raise Skip(err)
    equal(status, CANCELLED, err)
    said(err, NAME)
    nothing_left()
    equal(images(), before)


def test_while_an_image_is_unpacked():
    before = images()
    large = os.path.join(FOLDER, "large")
    tinyimage.rootfs(large, os.urandom(40 << 20))
    process = begin("image", "import", large, "x-large")
    wait_for(stage, 20, "the import does not begin")
    status, _out, err = interrupt(process)
    equal(status, CANCELLED, err)
    said(err, "import")
    nothing_left()
    equal(images(), before)


def attempt(delay, *words):
    process = begin("launch", "x-small", NAME, *words)
    time.sleep(delay)
    status, out, err = interrupt(process)
    if status == 0:
        equal(out, NAME + "\n")
        equal(row(NAME)["state"], "running")
        delete_all("x-")
    elif status == -signal.SIGINT:
        # Before lodge had asked for anything.
        equal(out + err, "")
    else:
        equal(status, CANCELLED, err)
        if "Interrupted" not in err:
            said(err, NAME)
    nothing_left()
    return status


def test_at_any_moment_of_a_launch():
    """From reserving to the guest's first breath, which takes some 50 ms on an ordinary machine."""
    small = os.path.join(FOLDER, "small")
    tinyimage.rootfs(small, b"small")
    lodge("image", "import", small, "x-small")
    ends = [attempt(n / 100) for n in range(0, 14, 2)]
    print("# ends:", ends)
    if CANCELLED not in ends:
        raise Failure("none was cancelled: %r" % ends)


def test_while_it_boots():
    """The image's init never says that it has booted."""
    process = begin("launch", "x-small", NAME, "--wait")
    wait_for(lambda: stage() == "booting", 20, "it does not come to booting")
    equal(row(NAME)["state"], "running")
    status, _out, err = interrupt(process)
    equal(status, CANCELLED, err)
    said(err, NAME)
    nothing_left()


def test_a_start_that_is_cancelled_leaves_the_instance():
    lodge("create", "x-small", NAME)
    process = begin("start", "--wait", NAME)
    wait_for(lambda: stage() == "booting", 20, "it does not come to booting")
    status, _out, err = interrupt(process)
    equal(status, CANCELLED, err)
    equal(row(NAME)["state"], "running")
    lodge("delete", "--force", NAME)
    nothing_left()


def cleanup():
    for alias in ("x-small", "x-large"):
        lodge("image", "delete", alias, check=False)
    shutil.rmtree(FOLDER, ignore_errors=True)


if __name__ == "__main__":
    main("x-", cleanup=lambda: (delete_all("x-"), cleanup()))
