#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Containers that become VMs and the other way round: images, launches, instances, and what is
there again when that fails or lodged ends meanwhile.  The worker is one that only pretends."""
import os
import signal

import lodgetest
from lodgetest import ROOT, WorkerTest, options, variant, wait_until

EMPTY = variant("(a{sv})", ({},))


class Convert(WorkerTest):
    def setUp(self):
        super().setUp()
        self.behave("make")

    def tearDown(self):
        self.host.control("clear")
        for name in list(self.client.list()):
            self.client.verb(self.client.find(name), "Delete", force=True)
        for row in self.images():
            if row["aliases"] != ["debian/12"]:
                path = self.image(row["fingerprint"], row["kind"])
                self.client.job_wait(self.client.call(path, "Image", "Delete", EMPTY))

    def images(self):
        return self.client.call(ROOT, "Images", "ListImages", EMPTY)

    def image(self, ref, kind):
        return self.client.call(ROOT, "Images", "GetImage",
                                variant("(sa{sv})", (ref, options(kind=kind))))

    def import_image(self, alias, text="a tree"):
        path = self.host.dir + "/input"
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        with open(path, "rb") as file:
            _, job = self.client.call(ROOT, "Images", "Import", variant("(a{sv})", (
                options(file=variant("h", 0), aliases=variant("as", [alias])),)),
                                      fds=[file.fileno()])
        return self.client.job_wait(job)["fingerprint"]

    def convert(self, path, kind, interface="Instance", wait=True, **opts):
        job = self.client.call(path, interface, "Convert",
                               variant("(sa{sv})", (kind, options(**opts))))
        return self.client.job_wait(job) if wait else job

    def booted(self, name):
        """The guest says so, as often as it takes for lodged to hear it."""
        def is_there():
            domains = {line.split()[0] for line in self.host.control("list")
                       if line.split()[3] == "running"}
            if name in domains:
                self.host.control("boot", name)
            return name in domains
        return is_there

    def convert_instance(self, name, kind, **opts):
        job = self.convert(self.client.find(name), kind, wait=False, **opts)
        answer = self.client.send(job, "Job", "Wait", EMPTY)
        tell = self.booted(name)
        wait_until(lambda: tell() and False or answer, what="the conversion")
        if isinstance(answer[0], Exception):
            raise answer[0]
        return answer[0]

    # ---- images ----

    def test_image_under_the_same_alias(self):
        first = self.import_image("mine/1")
        result = self.convert(self.image("mine/1", "container"), "vm", "Image",
                              size=variant("t", 4 << 30))
        self.assertNotEqual(result["fingerprint"], first)
        values = self.client.get_all(self.image("mine/1", "vm"), "Image")
        self.assertEqual(values["Kind"], "vm")
        self.assertEqual(values["Aliases"], ["mine/1"])
        self.assertEqual(values["Source"], "convert:" + first[:12])
        with open(self.libexec + "/runs", encoding="utf-8") as file:
            self.assertIn(f"size={4 << 30}", file.read().splitlines()[-1])
        self.assertFails("AlreadyExists", self.convert, self.image("mine/1", "container"), "vm",
                         "Image")
        self.assertFails("InvalidArgument", self.convert, self.image("mine/1", "vm"), "vm", "Image")
        self.assertFails("InvalidArgument", self.convert, self.image("mine/1", "vm"), "jail",
                         "Image")

    def test_launch_converts_once(self):
        self.import_image("mine/2")
        job = self.client.create("one", image="mine/2", kind="vm")
        self.client.job_wait(job)
        notices = self.client.get(job, "Job", "Notices")
        self.assertIn("mine/2 is there for containers only and is converted, once", notices)
        with open(self.libexec + "/runs", encoding="utf-8") as file:
            runs = len(file.readlines())
        job = self.client.create("two", image="mine/2", kind="vm")
        self.client.job_wait(job)
        self.assertEqual(self.client.get(job, "Job", "Notices"), [])
        with open(self.libexec + "/runs", encoding="utf-8") as file:
            self.assertEqual(len(file.readlines()), runs)

    def test_a_failed_conversion_leaves_nothing(self):
        self.import_image("mine/3")
        self.behave("litter", "say error NotSupported No kernel", "exit 1")
        self.assertFails("NotSupported", self.convert, self.image("mine/3", "container"), "vm",
                         "Image")
        self.assertFails("NotSupported", self.client.job_wait,
                         self.client.create("none", image="mine/3", kind="vm"))
        self.assertEqual(os.listdir(self.host.dir + "/state/staging"), [])
        self.assertEqual(self.client.list(), {})

    # ---- instances ----

    def test_instance(self):
        self.client.job_wait(self.client.create("web", config={"limits.memory": "256MiB"}))
        old = self.client.find("web")
        self.convert_instance("web", "vm", start=True)
        rows = self.client.list()
        self.assertEqual(list(rows), ["web"])
        self.assertEqual((rows["web"]["kind"], rows["web"]["state"]), ("vm", "running"))
        self.assertNotEqual(self.client.find("web"), old)
        self.assertEqual(self.client.get(self.client.find("web"), "Instance", "Config"),
                         {"limits.memory": "256MiB"})
        self.assertEqual(list(self.host.domains()), ["web"])
        # Its image is its own, and goes with it.
        self.assertEqual(len(self.images()), 3)
        self.client.verb(self.client.find("web"), "Delete", force=True)
        wait_until(lambda: len(self.images()) == 2, what="the image's end")

    def test_cloud_init_takes_it_for_the_same_guest(self):
        config = {"cloud-init.user-data": "#cloud-config\n{}"}
        self.client.job_wait(self.client.create("web", config=config))
        first = self.client.find("web")
        uuid = self.client.get(first, "Instance", "Uuid")
        # More than once, and after a change of it too: a new identity would mean new host keys.
        for kind in ("vm", "container"):
            self.convert_instance("web", kind, start=False)
            with open(self.libexec + "/runs", encoding="utf-8") as file:
                last = [run for run in file.read().split("op=") if run.startswith("seed ")][-1]
            self.assertIn(f"uuid={uuid} ", last)
            self.assertIn("triggers=create,start", last)
            self.assertEqual("fd.output=" in last, kind == "vm")
            self.assertNotEqual(self.client.get(self.client.find("web"), "Instance", "Uuid"), uuid)

    def test_refusals(self):
        path = self.client.launch("busy")
        self.assertFails("InvalidState", self.convert, path, "vm")
        self.assertFails("InvalidArgument", self.convert, path, "container")
        self.assertFails("InvalidArgument", self.convert, path, "vm", colour="red")

    def check_back(self):
        rows = self.client.list()
        self.assertEqual([(r["name"], r["kind"], r["state"]) for r in rows.values()],
                         [("web", "container", "stopped")])
        self.assertEqual(list(self.host.domains()), ["web"])
        wait_until(lambda: len(self.images()) == 2, what="the image's end")
        self.assertEqual(os.listdir(self.host.dir + "/state/staging"), [])
        self.client.verb(self.client.find("web"), "Start")

    def test_it_is_back_when_a_step_fails(self):
        self.client.job_wait(self.client.create("web"))
        for operation in ("rename", "define", "power-on"):
            self.host.control("fail", operation, "Failed", "not today")
            self.assertFails("Failed", self.convert, self.client.find("web"), "vm")
            self.host.control("clear")
            self.check_back()
            self.client.verb(self.client.find("web"), "Stop", force=True)

    def test_it_is_back_when_it_is_cancelled(self):
        self.client.job_wait(self.client.create("web"))
        self.host.control("delay", "power-on", "2000")
        job = self.convert(self.client.find("web"), "vm", wait=False)
        wait_until(lambda: self.host.control("count", "power-on") != ["0"], what="the start")
        self.assertFails("Busy", self.client.verb, self.client.find("web-old"), "Start")
        self.client.call(job, "Job", "Cancel", EMPTY)
        self.assertFails("Cancelled", self.client.job_wait, job)
        self.check_back()

    def interrupt(self, kill_when):
        """lodged is killed as soon as @kill_when() says so, and comes back."""
        self.convert(self.client.find("web"), "vm", wait=False)
        wait_until(kill_when, what="the moment to kill lodged")
        self.host.stop_lodged(signal.SIGKILL)
        self.client.close()
        self.start()
        self.client = self.host.client()

        def settled():
            jobs = self.client.call(ROOT, "Manager", "ListJobs", EMPTY)
            return not jobs and not any("job" in row for row in self.client.list().values())
        wait_until(settled, what="the end of the recovery")

    def test_it_is_back_when_lodged_is_killed(self):
        self.client.job_wait(self.client.create("web"))
        moments = (
            ("turn", lambda: os.path.exists(self.libexec + "/begun")),
            ("rename", lambda: self.host.control("count", "rename") != ["0"]),
            ("define", lambda: self.host.control("count", "define") != ["0"]),
            ("power-on", lambda: self.host.control("count", "power-on") != ["0"]),
        )
        for operation, moment in moments:
            if operation == "turn":
                self.behave("touch begun", "wait never")
            else:
                self.behave("make")
                self.host.control("delay", operation, "3000")
            self.interrupt(moment)
            self.check_back()
            self.client.verb(self.client.find("web"), "Stop", force=True)

    def test_it_goes_on_when_lodged_is_killed_after_the_boot(self):
        self.client.job_wait(self.client.create("web"))
        self.host.control("delay", "undefine", "3000")
        self.interrupt(lambda: self.host.control("count", "undefine") != ["0"])
        rows = self.client.list()
        self.assertEqual([(r["name"], r["kind"]) for r in rows.values()], [("web", "vm")])
        self.assertEqual(list(self.host.domains()), ["web"])


if __name__ == "__main__":
    lodgetest.main()
