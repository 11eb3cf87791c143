#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# time limit: 300
"""lodged, with drivers and a worker that only pretend, is killed at each step of the jobs that the
sweep of real launches does not pass: each must be finished or undone when it is back, what is shown
must be what there is, and nothing may be left over.

Needs a build with -Dfailpoints=true."""

import os
import shutil
import signal
import sys

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
os.environ["LODGED_FAKE"] = os.path.join(os.environ.get("LODGE_BUILD", ""), "tests/lib/lodged-fake")
sys.path[:0] = [os.path.join(TESTS, "dbus"), os.path.join(TESTS, "lib")]
import lodgetest  # noqa: E402  pylint: disable=wrong-import-position,import-error
from hostlib import DIR, report  # noqa: E402  pylint: disable=wrong-import-position,import-error
from lodgetest import ROOT, variant  # noqa: E402  pylint: disable=wrong-import-position

NAME = "recovered"
ALIAS = "mine/1"


class Scene:
    """A host with an instance of its own and an image of its own, each as a job finds them."""

    def __init__(self):
        self.host = lodgetest.Host(polkit=False, lodged=False)
        self.state = self.host.dir + "/state"
        self.passed = self.host.dir + "/passed"
        self.libexec = self.host.dir + "/libexec"
        os.makedirs(self.libexec)
        shutil.copy(os.path.join(TESTS, "unit/image/fake-image-helper.py"),
                    self.libexec + "/lodge-image-worker")
        with open(self.libexec + "/behaviour", "w", encoding="ascii") as file:
            file.write("litter\nmake")
        with open(self.host.dir + "/input", "w", encoding="ascii") as file:
            file.write("a tree")

    def start(self, **environment):
        self.host.start_lodged("--libexec-dir", self.libexec, env=environment)
        self.client = self.host.client()

    def stop(self, how=signal.SIGTERM):
        self.client.close()
        self.host.clients.remove(self.client)
        if self.host.lodged.poll() is None:
            self.host.stop_lodged(how)

    def points(self):
        if not os.path.exists(self.passed):
            return []
        with open(self.passed, encoding="ascii") as file:
            return file.read().split()

    # ---- what jobs work on

    def call(self, path, interface, method, signature="(a{sv})", arguments=({},), fds=()):
        return self.client.call(path, interface, method, variant(signature, arguments), fds=fds)

    def image(self, kind="container", alias=ALIAS):
        return self.call(ROOT, "Images", "GetImage", "(sa{sv})",
                         (alias, lodgetest.options(kind=kind)))

    def make_instance(self, state="running"):
        path = self.client.job_wait(self.client.create(NAME))["instance"]
        for verb in {"stopped": (), "running": ("Start",), "paused": ("Start", "Pause")}[state]:
            self.client.verb(path, verb)

    def instance(self, verb, **opts):
        return self.client.verb(self.client.find(NAME), verb, wait=False, **opts)

    def import_image(self, name="input"):
        with open(self.host.dir + "/" + name, "rb") as file:
            return self.call(ROOT, "Images", "Import", arguments=(lodgetest.options(
                file=variant("h", 0), aliases=variant("as", [ALIAS])),), fds=[file.fileno()])[1]

    def make_vm_with_medium(self):
        """Out of an ISO, which the pretended worker knows by its first letters."""
        with open(self.host.dir + "/medium", "w", encoding="ascii") as file:
            file.write("ISO of a system")
        self.client.job_wait(self.import_image("medium"))
        self.client.job_wait(self.client.create(NAME, image=ALIAS, kind="vm"))

    def make_image(self):
        self.client.job_wait(self.import_image())

    def export_image(self):
        with open(self.host.dir + "/output", "wb") as file:
            return self.call(self.image(), "Image", "Export",
                             arguments=(lodgetest.options(file=variant("h", 0)),),
                             fds=[file.fileno()])

    def pull_image(self):
        return self.call(ROOT, "Images", "Pull", "(sa{sv})", ("build:debian/13", {}))

    def refresh_image(self):
        return self.call(ROOT, "Images", "Refresh", "(asa{sv})", (["debian/12"], {}))

    # ---- what must hold afterwards

    def settle(self):
        """All jobs have their end, and what lodged says is what there is."""
        everything = variant("(a{sv})", ({"all": variant("b", True)},))
        lodgetest.wait_until(lambda: all(
            job["state"] in ("succeeded", "failed", "cancelled")
            for job in self.client.call(ROOT, "Manager", "ListJobs", everything)), what="the jobs' end")
        lodgetest.wait_until(lambda: self.left() == [], what="what is left over: %s" % self.left())
        shown = {name: row["state"] for name, row in self.client.list().items()}
        found = self.host.domains()
        assert shown == found, "%s is shown, %s is there" % (shown, found)
        shown = {row["fingerprint"] for row in self.images()}
        found = set(os.listdir(self.state + "/images"))
        assert shown == found, "%s is shown, %s is there" % (shown, found)

    def left(self):
        return [folder + "/" + name for folder in ("staging", "trash")
                for name in os.listdir(os.path.join(self.state, folder))]

    def images(self):
        return self.call(ROOT, "Images", "ListImages")

    def empty(self):
        for row in self.client.list().values():
            self.client.verb(row["path"], "Delete", force=True)
        for row in self.images():
            if row["aliases"] != ["debian/12"]:
                self.client.job_wait(self.call(row["path"], "Image", "Delete"))


# Operation -> (what it needs, what begins it)
JOBS = {
    "instance-restart": (Scene.make_instance, lambda s: s.instance("Restart", force=True)),
    "instance-pause": (Scene.make_instance, lambda s: s.instance("Pause")),
    "instance-resume": (lambda s: s.make_instance("paused"), lambda s: s.instance("Resume")),
    "instance-publish": (lambda s: s.make_instance("stopped"), lambda s: s.instance("Publish")),
    "image-import": (lambda s: None, Scene.import_image),
    "image-export": (Scene.make_image, Scene.export_image),
    "image-convert": (Scene.make_image, lambda s: s.call(s.image(), "Image", "Convert",
                                                         "(sa{sv})", ("vm", {}))),
    "image-customize": (Scene.make_image, lambda s: s.call(
        s.image(), "Image", "Customize", arguments=(lodgetest.options(hostname="box"),))),
    "instance-eject": (Scene.make_vm_with_medium, lambda s: s.instance("Eject")),
    "image-delete": (Scene.make_image, lambda s: s.call(s.image(), "Image", "Delete")),
    "image-build": (lambda s: None, Scene.pull_image),
    "image-update": (lambda s: None, Scene.refresh_image),
    # Last: it takes the images away that a host begins with.
    "image-prune": (lambda s: s.client.job_wait(s.pull_image()), lambda s: s.call(ROOT, "Images", "Prune")[2]),
}


def survey(scene):
    """-> [(operation, point)]: all that the jobs pass."""
    found = []
    scene.start(LODGE_FAILPOINT_LOG=scene.passed)
    for operation, (prepare, begin) in JOBS.items():
        prepare(scene)
        before = len(scene.points())
        scene.client.job_wait(begin(scene))
        scene.settle()
        found += [(operation, point) for point in dict.fromkeys(scene.points()[before:])
                  if point.startswith("job:%s:" % operation)]
        scene.empty()
    scene.stop()
    return found


def kill_at(scene, operation, point):
    prepare, begin = JOBS[operation]
    scene.start(LODGE_FAILPOINT=point + ":kill")
    prepare(scene)
    try:
        scene.client.job_wait(begin(scene))
    except lodgetest.DBusError as error:
        assert scene.host.lodged.wait(timeout=10) == -signal.SIGKILL, error
    else:
        raise AssertionError("lodged was not killed there")
    scene.stop()
    scene.start()
    scene.settle()
    # And it can be done as if nothing had been.
    scene.empty()
    prepare(scene)
    scene.client.job_wait(begin(scene))
    scene.empty()
    scene.settle()
    scene.stop()


def main():
    if not DIR:
        print("1..0 # SKIP run by: tests/run sweep")
        return 0
    scene = Scene()
    good = True
    try:
        plan = survey(scene)
        if not plan:
            print("1..0 # SKIP this lodged has no failpoints")
            return 0
        print("1..%d" % len(plan), flush=True)
        for number, (operation, point) in enumerate(plan, 1):
            good &= report(number, point, lambda o=operation, p=point: kill_at(scene, o, p))
    finally:
        scene.host.stop()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
