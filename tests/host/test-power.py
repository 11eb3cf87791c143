#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# time limit: 900
"""What survives a power cut: all that was acknowledged is there afterwards, what was under way is
there wholly or not at all, and images have all their bytes.

The whole testbed, with libvirt's files, is on a disk that remembers its writes and flushes; each
test has one moment in which the power goes, and a host that comes up with what the disk had then."""

import atexit
import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

import hostlib
import powercut
import tinyimage
from hostlib import TESTBED, Failure, delete_all, equal, leftovers, lodge, rows, run, wait_for

PREFIX = os.path.join(hostlib.DIR, "root")
RECOVERY_SECONDS = 60
# How many moments within each act; 0: one within every second act, and one after each other.
SEEDS = int(os.environ.get("LODGE_TEST_POWER_SEEDS", "0"))


class World:
    """One disk, the testbed on it, and what is known to have been done to it."""

    def __init__(self, kind):
        self.folder = tempfile.mkdtemp(prefix="lodge-power-", dir="/var/tmp")
        atexit.register(self.close)
        self.disk = powercut.Disk(self.folder, kind)
        self.dir = os.path.join(self.disk.point, "tb")
        self.acts = []
        self.up = False

    def start(self):
        hostlib.DIR = self.dir
        for name in ("LODGE_BUS_ADDRESS", "DBUS_SYSTEM_BUS_ADDRESS"):
            os.environ[name] = "unix:path=%s/bus" % self.dir
        os.makedirs(self.dir, exist_ok=True)
        self.up = True
        run([TESTBED, "start", self.dir, "--prefix", PREFIX], seconds=90)

    def stop(self):
        if self.up:
            run([TESTBED, "stop", self.dir], seconds=90)
            self.up = False

    def close(self):
        try:
            self.stop()
        finally:
            self.disk.close()
            run(["umount", self.disk.point], check=False)
            shutil.rmtree(self.folder, ignore_errors=True)

    def prepare(self):
        self.disk.make()
        self.start()
        for mark in ("first", "second"):
            tinyimage.rootfs(os.path.join(self.folder, mark), mark.encode())
        run(["qemu-img", "create", "-q", "-f", "qcow2", self.folder + "/blank", "8M"])
        lodge("image", "import", self.folder + "/first", "first")
        lodge("image", "import", self.folder + "/blank", "blank")
        for name in ("p-old", "p-kept", "p-twice"):
            lodge("create", "first", name)
        self.stop()
        self.disk.unmount()

    def act(self, name, *words, **facts):
        """Does something and notes from when to when, and what is true from then on."""
        began = self.disk.now()
        lodge(*words, seconds=120)
        self.acts.append((name, began, self.disk.now(), facts))

    def age(self):
        """Until the database's log is written from its beginning again: a sync of a file that
        does not grow takes nothing else of the file system along."""
        log = os.path.join(self.dir, "state/lodge.db-wal")
        sizes = []
        while len(sizes) < 3 or sizes[-1] != sizes[-3]:
            if len(sizes) > 300:
                raise Failure("the log of the database grows and grows: %d" % sizes[-1])
            lodge("rename", "p-twice", "p-other")
            lodge("rename", "p-other", "p-twice")
            sizes.append(os.path.getsize(log))

    def perform(self):
        self.disk.record()
        self.start()
        self.age()
        self.acts.append(("start", self.disk.now(), self.disk.now(),
                          {"there": ["p-old", "p-kept", "p-twice"], "images": ["first", "blank"]}))
        self.act("create", "create", "first", "p-one", there=["p-one"])
        self.act("create of a VM", "create", "--vm", "blank", "p-vm", there=["p-vm"])
        self.act("launch", "launch", "first", "p-run", there=["p-run"])
        self.act("write", "exec", "p-run", "--", "sh", "-c", "echo kept >/root/note; sync",
                 note="p-run")
        self.act("rename", "rename", "p-kept", "p-new", there=["p-new"], gone=["p-kept"])
        self.act("rename of a VM", "rename", "p-vm", "p-machine", there=["p-machine"],
                 gone=["p-vm"])
        self.act("rename there and back", "rename", "p-twice", "p-other")
        self.act("rename back", "rename", "p-other", "p-twice", there=["p-twice"],
                 gone=["p-other"])
        self.act("delete", "delete", "p-old", gone=["p-old"])
        self.act("import", "image", "import", self.folder + "/second", "second",
                 images=["second"])
        self.act("delete of a VM", "delete", "p-machine", gone=["p-machine", "p-vm"])
        self.act("delete of an image", "image", "delete", "blank", no_images=["blank"])
        self.stop()
        self.disk.stop_recording()

    def facts(self, moment):
        """-> what was acknowledged before the moment: (instances, images, notes); instances and
        images map names to whether they must be there, and those of the act that was under way
        are left out."""
        instances, images, notes = {}, {}, []
        for _, began, ended, facts in self.acts:
            names = [(instances, n, True) for n in facts.get("there", [])]
            names += [(instances, n, False) for n in facts.get("gone", [])]
            names += [(images, n, True) for n in facts.get("images", [])]
            names += [(images, n, False) for n in facts.get("no_images", [])]
            for where, name, value in names:
                if ended <= moment:
                    where[name] = value
                elif began < moment:
                    where.pop(name, None)
            if "note" in facts and ended <= moment:
                notes.append(facts["note"])
        # The first half of a rename there and back says nothing of its own.
        for name, began, ended, _ in self.acts:
            if name == "rename there and back" and began < moment < self.acts_end("rename back"):
                instances.pop("p-twice", None)
        return instances, images, notes

    def acts_end(self, wanted):
        return next(ended for name, _, ended, _ in self.acts if name == wanted)


def settled():
    jobs = json.loads(lodge("job", "list", "--all", "-f", "json").stdout)
    return all(job["state"] in ("succeeded", "failed", "cancelled") for job in jobs)


def image_aliases():
    return {alias for entry in json.loads(lodge("image", "list", "-f", "json").stdout)
            for alias in entry["aliases"]}


def check(world, moment):
    instances, images, notes = world.facts(moment)
    wait_for(settled, RECOVERY_SECONDS, "jobs are not finished or undone")
    there = {entry["name"]: entry for entry in rows()}
    for name, wanted in instances.items():
        equal(name in there, wanted, "%s is there" % name)
    for name, entry in there.items():
        if entry["state"] not in ("stopped", "running"):
            raise Failure("%s is in the state %s\n%s" % (name, entry["state"],
                                                         lodge("info", name).stdout))
    aliases = image_aliases()
    for name, wanted in images.items():
        equal(name in aliases, wanted, "the image %s is there" % name)
    check_contents(there, aliases, notes)
    delete_all("p-")
    equal(rows(), [], "instances after they were deleted")
    wait_for(lambda: not leftovers(), 10, "left over: " + leftovers())


def check_contents(there, aliases, notes):
    """Containers run, and have what they had; so does each image."""
    for name in notes:
        if there[name]["state"] != "running":
            lodge("start", name)
        equal(lodge("exec", name, "--", "cat", "/root/note").stdout, "kept\n")
    for alias in sorted(aliases & {"first", "second"}):
        name = "p-check-" + alias
        lodge("launch", alias, name)
        wanted = hashlib.sha256(tinyimage.CONTENT + alias.encode()).hexdigest()
        equal(lodge("exec", name, "--", "sha256sum", "/srv/content").stdout.split()[0], wanted)
        equal(lodge("exec", name, "--", "/bin/busybox", "true").returncode, 0)
    for name, entry in there.items():
        if entry["kind"] == "container" and entry["state"] == "stopped" and name not in notes:
            lodge("start", name)
            lodge("exec", name, "--", "cat", "/etc/os-release")


def cuts(world):
    """-> [(label, moment, seed)]: just after an answer, with nothing that was not flushed, and
    somewhere within an act, with some of it."""
    chance = random.Random(world.disk.kind)
    shift = list(powercut.MKFS).index(world.disk.kind)
    for number, (name, began, ended, _) in enumerate(world.acts):
        within = began != ended and (number + shift) % 2 == 1
        if SEEDS or not within:
            yield "after %s" % name, ended, 0
        for seed in range(1, (SEEDS or within) + 1):
            yield "during %s, %d" % (name, seed), chance.randrange(began, ended), seed


def try_cut(world, moment, seed):
    world.disk.cut(moment, seed)
    try:
        world.start()
        check(world, moment)
    finally:
        world.stop()
        world.disk.unmount()


def test_file_system(kind):
    """In a process of its own: prints TAP without a plan."""
    world = World(kind)
    good = True
    try:
        world.prepare()
        world.perform()
        for number, (label, moment, seed) in enumerate(cuts(world), 1):
            good &= hostlib.report(number, "%s, %s" % (kind, label),
                                   lambda: try_cut(world, moment, seed))
    finally:
        world.close()
    return 0 if good else 1


def start_child(kind):
    """With mounts of its own, which end with it."""
    return subprocess.Popen(["unshare", "--mount", "--propagation", "private", sys.executable,
                             sys.argv[0], kind], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True)


def main():
    if not hostlib.DIR:
        print("1..0 # SKIP run by: tests/run host")
        return 0
    if len(sys.argv) > 1:
        return test_file_system(sys.argv[1])
    reasons = {kind: powercut.missing(kind) for kind in powercut.MKFS}
    children = {kind: start_child(kind) for kind in powercut.MKFS if not reasons[kind]}
    count, good = 0, True
    for kind, reason in reasons.items():
        if reason:
            lines, status = ["ok 1 - %s # SKIP %s" % (kind, reason)], 0
        else:
            lines = children[kind].communicate()[0].splitlines()
            status = children[kind].returncode
        for line in lines:
            if re.match("(not )?ok [0-9]+ ", line):
                count += 1
                line = re.sub("ok [0-9]+ ", "ok %d " % count, line, count=1)
            print(line, flush=True)
        good &= status == 0
    print("1..%d" % count)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
