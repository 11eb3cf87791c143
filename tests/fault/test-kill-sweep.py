#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# time limit: 1200
"""lodged is killed at every failpoint that launch, stop and delete pass, one run for each, and is
started again: each job must then be finished or undone, and nothing may be left over.

Needs a build with -Dfailpoints=true.  A first run without a kill tells which points there are
and how often each is passed."""

import collections
import json
import os
import sys
import time

from hostlib import (DIR, TESTBED, Failure, daemon, delete_all, leftovers, lodge, rows, run,
                     wait_for)

NAME = "k-sweep"
LOG = os.path.join(DIR, "failpoints.log")
RECOVERY_SECONDS = 60

STEPS = (("launch", ("launch", "debian/12", NAME)),
         ("stop", ("stop", "--force", NAME)),
         ("start", ("start", NAME)),
         ("rename", None),
         ("delete", ("delete", "--force", NAME)))

# Of the others only the steps of the job, not each write to the store.
EVERY_POINT = ("launch", "delete")


def restart(**variables):
    """lodged with these variables and no others."""
    daemon("lodged", "stop")
    words = ["%s=%s" % pair for pair in variables.items()]
    run([TESTBED, "environment", DIR, *words])
    daemon("lodged", "start")


def passed_points():
    if not os.path.exists(LOG):
        return []
    with open(LOG, encoding="utf-8") as stream:
        return stream.read().split()


def perform(step):
    if step == "rename":
        lodge("stop", "--force", NAME, check=False)
        return lodge("rename", NAME, NAME + "-b", check=False, seconds=90)
    return lodge(*dict(STEPS)[step], check=False, seconds=90)


def passed_at_start():
    """How often each point is passed while lodged starts, in the state that it is in now."""
    before = len(passed_points())
    restart(LODGE_FAILPOINT_LOG=LOG)
    return collections.Counter(passed_points()[before:])


def prepare(step):
    """The state that a step begins with."""
    if step != "launch":
        lodge("launch", "debian/12", NAME, seconds=90)
    if step in ("start", "rename"):
        lodge("stop", "--force", NAME)


def survey(step):
    """-> [(point, nth)], every pass of a point in this step."""
    prepare(step)
    before = len(passed_points())
    done = perform(step)
    if done.returncode != 0:
        raise Failure("%s fails without any fault: %s" % (step, done.stderr))
    points = passed_points()[before:]
    delete_all("k-")
    counter = collections.Counter()
    found = []
    for point in points:
        counter[point] += 1
        if step in EVERY_POINT or point.startswith("job:"):
            found.append((point, counter[point]))
    return found


def settled():
    """All jobs have ended."""
    jobs = json.loads(lodge("job", "list", "--all", "-f", "json").stdout)
    return all(j["state"] in ("succeeded", "failed", "cancelled") for j in jobs)


def gone():
    """Deletes what there is.  The recovery may be about to undo it, so a conflict is no failure."""
    for entry in rows():
        if entry["state"] in ("stopped", "running"):
            lodge("delete", "--force", entry["name"], check=False)
    return not rows()


def kill_at(step, point, nth):
    restart()
    prepare(step)
    # Counting begins with the process, and its start passes some points as well.
    nth += passed_at_start()[point]
    restart(LODGE_FAILPOINT="%s:kill:%d" % (point, nth), LODGE_FAILPOINT_LOG=LOG)
    perform(step)
    killed = run([TESTBED, "daemon", DIR, "lodged", "pid"], check=False).returncode != 0
    restart()
    began = time.monotonic()
    wait_for(settled, RECOVERY_SECONDS, "jobs are not finished or undone")
    wait_for(gone, RECOVERY_SECONDS, "what was recovered cannot be deleted")
    # Trash is emptied in the background.
    wait_for(lambda: not leftovers(), 10, "left over")
    return killed, time.monotonic() - began


def main():
    if not DIR:
        print("1..0 # SKIP run by: tests/run sweep")
        return 0
    lodge("launch", "debian/12", NAME, seconds=600)
    lodge("delete", "--force", NAME)
    restart(LODGE_FAILPOINT_LOG=LOG)
    plan = []
    for step, _ in STEPS:
        plan += [(step, point, nth) for point, nth in survey(step)]
    if not plan:
        print("1..0 # SKIP this lodged has no failpoints")
        return 0
    print("1..%d" % len(plan), flush=True)
    good = True
    for number, (step, point, nth) in enumerate(plan, 1):
        label = "%s, %s, pass %d" % (step, point, nth)
        try:
            killed, seconds = kill_at(step, point, nth)
            if not killed:
                raise Failure("lodged was not killed there")
            print("ok %d - %s (%.1f s)" % (number, label, seconds), flush=True)
        except Exception as error:  # pylint: disable=broad-except
            good = False
            print("# %s\n# left: %s" % (str(error).replace("\n", "\n# "),
                                        leftovers().replace("\n", "\n# ")))
            print("not ok %d - %s" % (number, label), flush=True)
            restart()
            delete_all("k-")
    restart()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
