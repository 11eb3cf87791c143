#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Install media: images that VMs with an empty disk are made from.  The worker only pretends."""
import json
import subprocess

import lodgetest
from lodgetest import ROOT, WorkerTest, options, variant

EMPTY = variant("(a{sv})", ({},))
MIB = 1 << 20


class Media(WorkerTest):
    def tearDown(self):
        for name in list(self.client.list()):
            self.client.verb(self.client.find(name), "Delete", force=True)

    def setUp(self):
        super().setUp()
        path = self.host.dir + "/input"
        with open(path, "w", encoding="utf-8") as file:
            file.write("ISO of a system")
        with open(path, "rb") as file:
            _, job = self.client.call(ROOT, "Images", "Import", variant("(a{sv})", (
                options(file=variant("h", 0), aliases=variant("as", ["netinst"])),)),
                                      fds=[file.fileno()])
        self.fingerprint = self.client.job_wait(job)["fingerprint"]
        self.image = self.client.call(ROOT, "Images", "GetImage",
                                      variant("(sa{sv})", ("netinst", {})))

    def medium(self, path):
        return self.client.get(path, "Instance", "Medium")

    def disk(self, name):
        uuid = self.client.list()[name]["uuid"]
        done = subprocess.run(["qemu-img", "info", "--output=json",
                               f"{self.host.dir}/state/pools/default/disks/{uuid}.qcow2"],
                              capture_output=True, check=True)
        return json.loads(done.stdout)

    def test_it_is_of_a_kind_of_its_own(self):
        row, = [row for row in self.client.call(ROOT, "Images", "ListImages", EMPTY)
                if row["fingerprint"] == self.fingerprint]
        self.assertEqual((row["kind"], row["aliases"]), ("iso", ["netinst"]))
        self.assertEqual(self.client.get(self.image, "Image", "Kind"), "iso")

    def test_vm_with_an_empty_disk(self):
        path = self.client.launch("one", image="netinst", kind="vm")
        self.assertEqual(self.medium(path), self.fingerprint)
        self.assertEqual(self.client.get(path, "Instance", "Image"), "netinst")
        disk = self.disk("one")
        self.assertEqual(disk["virtual-size"], 20 << 30)
        self.assertNotIn("backing-filename", disk)
        self.client.launch("two", image="netinst", kind="vm", size=variant("t", 64 * MIB))
        self.assertEqual(self.disk("two")["virtual-size"], 64 * MIB)

    def test_size(self):
        for kind, image, size in (("container", "debian/12", 64 * MIB), ("vm", "netinst", 1000),
                                  ("vm", "netinst", 1 << 60), ("vm", "netinst", 64 * MIB + 1),
                                  ("vm", "debian/12", 32 * MIB)):
            with self.subTest(size=size):
                def create():
                    job = self.client.create("x", image=image, kind=kind, size=variant("t", size))
                    self.client.job_wait(job)
                self.assertFails("InvalidArgument", create)
        self.client.launch("big", kind="vm", size=variant("t", 128 * MIB))
        self.assertEqual(self.disk("big")["virtual-size"], 128 * MIB)

    def test_no_container_and_no_keys(self):
        self.assertFails("NotSupported", self.client.create, "x", image="netinst")
        self.assertFails("NotSupported", self.client.create, "x", image="netinst", kind="vm",
                         script="#!/bin/sh\n")
        self.assertFails("NotFound", self.client.call, ROOT, "Images", "GetImage",
                         variant("(sa{sv})", ("netinst", options(kind="container"))))

        def convert(kind):
            return self.client.job_wait(self.client.call(
                self.image, "Image", "Convert", variant("(sa{sv})", (kind, {}))))
        self.assertFails("NotSupported", convert, "container")
        self.assertFails("InvalidArgument", convert, "vm")

    def test_eject(self):
        path = self.client.launch("one", image="netinst", kind="vm")
        self.assertFails("InUse", self.client.call, self.image, "Image", "Delete", EMPTY)
        self.assertEqual(self.client.get(self.image, "Image", "UsedBy"), ["one"])
        self.host.stop_lodged()
        self.host.start_lodged("--libexec-dir", self.libexec)
        self.assertEqual(self.medium(path), self.fingerprint)
        self.client.verb(path, "Eject")
        self.assertEqual(self.medium(path), "")
        self.assertEqual(self.client.get(path, "Instance", "Image"), "netinst")
        self.assertFails("InvalidState", self.client.verb, path, "Eject")
        self.client.job_wait(self.client.call(self.image, "Image", "Delete", EMPTY))

    def test_eject_of_others(self):
        self.assertFails("InvalidState", self.client.verb, self.client.launch("c"), "Eject")
        path = self.client.launch("d", kind="vm")
        self.assertFails("InvalidState", self.client.verb, path, "Eject")
        self.assertFails("InvalidArgument", self.client.verb, path, "Eject", hard=True)

    def test_what_was_installed_becomes_an_image(self):
        path = self.client.job_wait(self.client.create("one", image="netinst", kind="vm"))["instance"]
        self.client.verb(path, "Publish", aliases=variant("as", ["mine/installed"]))
        with open(self.libexec + "/runs", encoding="utf-8") as file:
            run = next(line for line in reversed(file.read().splitlines()) if "op=export" in line)
        self.assertIn(" disk=/", run)
        self.assertNotIn("backing=", run)  # its disk is built on nothing

    def test_export(self):
        def export(**opts):
            with open(self.host.dir + "/output", "wb") as file:
                return self.client.job_wait(self.client.call(
                    self.image, "Image", "Export",
                    variant("(a{sv})", (options(file=variant("h", 0), **opts),)),
                    fds=[file.fileno()]))
        export()
        export(format="iso")
        with open(self.libexec + "/runs", encoding="utf-8") as file:
            self.assertIn("format=iso", file.read().splitlines()[-1])
        self.assertFails("InvalidArgument", export, format="qcow2")


if __name__ == "__main__":
    lodgetest.main()
