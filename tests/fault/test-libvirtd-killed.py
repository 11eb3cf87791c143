#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# time limit: 600
"""libvirtd is killed at each step of each job, while lodged stands still there, and comes back:
the job succeeds or fails with a sentence, and afterwards the instance can be used and deleted.

Needs a build with -Dfailpoints=true."""

import json
import os
import sys
import tempfile
import threading
import time

import tinyimage
from hostlib import (DIR, LXC, TESTBED, Failure, daemon, delete_all, leftovers, lodge, report, row,
                     rows, run, virsh, wait_for)

NAME = "d-one"
LOG = os.path.join(DIR, "failpoints.log")
SLEEP_MS = 700
JOBS = {"launch": ("launch", "tiny", NAME), "stop": ("stop", "--force", NAME),
        "start": ("start", NAME), "pause": ("pause", NAME), "resume": ("resume", NAME),
        "rename": ("rename", NAME, NAME + "-b"), "delete": ("delete", "--force", NAME)}
CHANGING = ("define", "start", "kill", "pause", "resume", "domain", "undefine")
# Which jobs bring the instance to where this one begins.
BEFORE = {"launch": (), "stop": ("launch",), "start": ("launch", "stop"), "pause": ("launch",),
          "resume": ("launch", "pause"), "rename": ("launch", "stop"), "delete": ("launch",)}


def restart(**variables):
    daemon("lodged", "stop")
    run([TESTBED, "environment", DIR, *("%s=%s" % pair for pair in variables.items())])
    daemon("lodged", "start")


def passed():
    if not os.path.exists(LOG):
        return []
    with open(LOG, encoding="utf-8") as stream:
        return stream.read().split()


def prepare(job):
    for name in BEFORE[job]:
        lodge(*JOBS[name], seconds=90)


def clean():
    wait_for(settled, 60, "jobs go on")
    delete_all("d-")


def settled():
    jobs = json.loads(lodge("job", "list", "-f", "json").stdout)
    return not jobs


def is_wanted(point):
    """Before each step, and after those that changed something in libvirt."""
    job, _, step = point.partition(":")[2].partition(":")
    return point.startswith("job:") and job and (
        not step.endswith(":done") or step[:-len(":done")] in CHANGING)


def survey():
    """-> [(job, point)]: the steps of each job."""
    restart(LODGE_FAILPOINT_LOG=LOG)
    found = []
    for job in JOBS:
        prepare(job)
        before = len(passed())
        lodge(*JOBS[job], seconds=90)
        points = dict.fromkeys(p for p in passed()[before:] if is_wanted(p))
        found += [(job, point) for point in points]
        clean()
    return found


def kill_when_passed(point, before):
    """Kills libvirtd while lodged sleeps at the point, and starts it again after that."""
    wait_for(lambda: point in passed()[before:], 30, "%s is not passed" % point)
    daemon("libvirtd", "kill")
    time.sleep(2 * SLEEP_MS / 1000)
    daemon("libvirtd", "start")


def kill_at(job, point):
    prepare(job)
    restart(LODGE_FAILPOINT="%s:sleep=%d" % (point, SLEEP_MS), LODGE_FAILPOINT_LOG=LOG)
    errors = []
    before = len(passed())

    def killer():
        try:
            kill_when_passed(point, before)
        except BaseException as error:  # pylint: disable=broad-except
            errors.append(error)

    thread = threading.Thread(target=killer)
    thread.start()
    done = lodge(*JOBS[job], check=False, seconds=90)
    thread.join()
    if errors:
        raise errors[0]
    restart()
    lines = done.stderr.strip().split("\n")
    if done.returncode != 0 and (len(lines) > 3 or not lines[0].startswith("error: ")):
        raise Failure("not one sentence and a hint: %r" % done.stderr)
    wait_for(settled, 60, "jobs go on")
    wait_for(lambda: all(entry["state"] in ("stopped", "running", "paused") for entry in rows()), 15,
             "the instance is in no good state: %s" % rows())
    for name in (NAME, NAME + "-b"):
        if row(name) is not None:
            usable(name)
    delete_all("d-")
    if rows():
        raise Failure("cannot be deleted: %s" % rows())
    wait_for(lambda: not leftovers(), 10, "left over: " + leftovers())


def usable(name):
    if row(name)["state"] == "paused":
        lodge("resume", name)
    if row(name)["state"] == "stopped":
        lodge("start", name)
    lodge("exec", name, "--", "cat", "/etc/os-release")
    if name not in virsh(LXC, "list", "--name").stdout.split():
        raise Failure("libvirt does not know that %s runs" % name)


def main():
    if not DIR:
        print("1..0 # SKIP run by: tests/run sweep")
        return 0
    with tempfile.NamedTemporaryFile() as image:
        tinyimage.rootfs(image.name, b"")
        lodge("image", "import", image.name, "tiny")
    plan = survey()
    if not plan:
        print("1..0 # SKIP this lodged has no failpoints")
        return 0
    print("1..%d" % len(plan), flush=True)
    good = True
    for number, (job, point) in enumerate(plan, 1):
        fine = report(number, "%s, %s" % (job, point), lambda: kill_at(job, point))
        if not fine:
            daemon("libvirtd", "start")
            restart()
            clean()
        good &= fine
    restart()
    lodge("image", "delete", "tiny", check=False)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
