#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Changed copies of images.  The worker only pretends."""
import os

import lodgetest
from lodgetest import ROOT, WorkerTest, options, variant

EMPTY = variant("(a{sv})", ({},))


class Customize(WorkerTest):
    def image(self, ref="debian/12", kind="container"):
        return self.client.call(ROOT, "Images", "GetImage",
                                variant("(sa{sv})", (ref, options(kind=kind))))

    def images(self):
        return {row["fingerprint"]: row
                for row in self.client.call(ROOT, "Images", "ListImages", EMPTY)}

    def customize(self, path=None, files=None, wait=True, fds=None, **opts):
        """@files: path in the image → a file."""
        streams = [open(file, "rb") for file in (files or {}).values()]
        if files is not None:
            opts["files"] = variant("a{sh}", {name: 0 if fds else i
                                               for i, name in enumerate(files)})
        try:
            job = self.client.call(path or self.image(), "Image", "Customize",
                                   variant("(a{sv})", (options(**opts),)),
                                   fds=fds or [stream.fileno() for stream in streams])
        finally:
            for stream in streams:
                stream.close()
        return self.client.job_wait(job)["fingerprint"] if wait else job

    def last_run(self):
        with open(self.libexec + "/runs", encoding="utf-8") as file:
            return file.read().splitlines()[-1]

    def test_the_old_one_stays(self):
        before = self.images()
        made = self.customize(aliases=variant("as", ["mine/1"]), hostname="box",
                              description="changed", **{"reset-machine-id": True})
        after = self.images()
        self.assertEqual(set(after) - set(before), {made})
        self.assertEqual(after[made]["aliases"], ["mine/1"])
        self.assertEqual(after[made]["description"], "changed")
        self.assertEqual(after[made]["source"], "customize:" + "a" * 12)
        self.assertEqual(self.client.get(self.image("mine/1"), "Image", "Properties")["hostname"],
                         "box")
        for part in ("op=customise", "hostname=box", "machine-id=1", "rootfs=/"):
            self.assertIn(part, self.last_run())
        self.client.launch("web", image="mine/1")

    def test_disk(self):
        vm = self.image(kind="vm")
        made = self.customize(vm, size=variant("t", 4 << 30), serial=True)
        self.assertEqual(self.images()[made]["kind"], "vm")
        for part in (f"size={4 << 30}", "serial=1", "disk=/"):
            self.assertIn(part, self.last_run())
        for size in (1 << 20, (4 << 30) + 1, 1 << 62):
            self.assertFails("InvalidArgument", self.customize, vm, size=variant("t", size))
        self.assertFails("InvalidArgument", self.customize, size=variant("t", 4 << 30))
        self.assertFails("InvalidArgument", self.customize, serial=True)

    def test_files(self):
        source = self.host.dir + "/source"
        with open(source, "w", encoding="utf-8") as file:
            file.write("carried")
        made = self.customize(files={"/etc/motd": source})
        description = self.images()[made]["description"]
        self.assertEqual(description, "Debian 12 (fake)")
        self.assertIn("path=/etc/motd", self.last_run())
        for path in ("etc/motd", "/", "/etc/", "/etc/../x", "/a\nb", ""):
            self.assertFails("InvalidArgument", self.customize, files={path: source})
        with open(source, "rb") as stream:
            self.assertFails("LimitExceeded", self.customize, fds=[stream.fileno()],
                             files={f"/etc/{i}": source for i in range(17)})
        self.assertFails("InvalidArgument", self.customize, files={"/etc/motd": "/proc/self/status"})
        self.assertFails("InvalidArgument", self.customize, files={"/etc/motd": "/dev/null"})
        writing = os.open(source, os.O_WRONLY)
        self.addCleanup(os.close, writing)
        self.assertFails("InvalidArgument", self.customize, fds=[writing],
                         files={"/etc/motd": source})

    def test_what_is_refused(self):
        self.assertFails("InvalidArgument", self.customize)
        for opts in ({"hostname": "a b"}, {"hostname": "-a"}, {"hostname": "a" * 65},
                     {"password-hash": "plain"}, {"script": "echo"}, {"color": "red"},
                     {"ssh-keys": variant("as", ["nonsense"])}):
            with self.subTest(options=opts):
                self.assertFails("InvalidArgument", self.customize, **opts)
        self.assertFails("InvalidName", self.customize, hostname="box",
                         aliases=variant("as", ["no good!"]))

    def test_failure_leaves_nothing(self):
        before = self.images()
        self.behave("litter", "say error InvalidArgument The script failed", "exit 1")
        self.addCleanup(self.behave, "make")
        self.assertFails("InvalidArgument", self.customize, script="#!/bin/sh\nfalse\n")
        self.assertEqual(self.images(), before)
        self.assertEqual(os.listdir(self.host.dir + "/state/staging"), [])

    def test_cancel(self):
        self.behave("touch begun", "wait never", "make")
        self.addCleanup(self.behave, "make")
        job = self.customize(hostname="box", wait=False)
        lodgetest.wait_until(lambda: os.path.exists(self.libexec + "/begun"))
        self.client.call(job, "Job", "Cancel", EMPTY)
        self.assertFails("Cancelled", self.client.job_wait, job)
        self.assertEqual(os.listdir(self.host.dir + "/state/staging"), [])


if __name__ == "__main__":
    lodgetest.main()
