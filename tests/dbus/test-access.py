#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""How the owner of a new instance gets into it: what the worker is told, and what is refused.  The
worker only pretends; tests/host/test-seed.py has a real one."""
import os

import lodgetest
from lodgetest import WorkerTest, variant

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 somebody@somewhere"
HASH = "$6$salt$aGFzaA"


class Access(WorkerTest):
    def setUp(self):
        super().setUp()
        self.behave("make")
        if os.path.exists(self.libexec + "/runs"):
            os.unlink(self.libexec + "/runs")

    def runs(self):
        if not os.path.exists(self.libexec + "/runs"):
            return ""
        with open(self.libexec + "/runs", encoding="utf-8") as file:
            return file.read()

    def create(self, name, keys=(), password=None, script=None, **more):
        opts = {}
        if keys:
            opts["ssh-keys"] = variant("as", list(keys))
        if password is not None:
            opts["password-hash"] = password
        if script is not None:
            opts["script"] = script
        return self.client.job_wait(self.client.create(name, **opts, **more))

    def test_container(self):
        self.create("web", [KEY, KEY + "2"], HASH, "#!/bin/sh\ntrue\n")
        run = self.runs()
        self.assertEqual(run.count("op=seed"), 1)
        for part in (f"ssh-key={KEY}2", f"password-hash={HASH}", "script=#!/bin/sh", "name=web",
                     "triggers=create ", "plan="):
            self.assertIn(part, run)
        # No secret is kept where it is no longer needed.
        job = self.client.list()["web"]
        self.assertNotIn("salt", str(job))

    def test_vm_without_cloud_init(self):
        self.create("db", [KEY], kind="vm")
        self.assertIn("op=access-guestfs", self.runs())
        self.assertIn(" disk=", self.runs())

    def test_vm_with_cloud_init(self):
        self.create("cloudy", [KEY], kind="vm", config={"cloud-init.user-data": "#cloud-config"})
        self.assertIn("op=seed", self.runs())
        self.assertIn("fd.output=", self.runs())

    def test_nothing_is_asked_of_the_worker_without_need(self):
        self.create("plain")
        self.assertEqual(self.runs(), "")

    def test_refusals(self):
        wrong = (
            {"keys": ["no key"]}, {"keys": [KEY + "\nPermitRootLogin yes"]}, {"keys": [""]},
            {"keys": [KEY] * 65}, {"keys": ["ssh-rsa AAAA" + "x" * 9000]},
            {"password": "plain text"}, {"password": "$6$" + "x" * 300},
            {"password": "$6$a:0:0:root"}, {"password": "$6$a\nroot"},
            {"script": "x" * 70000},
        )
        for arguments in wrong:
            with self.subTest(str(arguments)[:60]):
                self.assertFails("InvalidArgument", self.create, "bad", **arguments)
        self.assertEqual(self.runs(), "")
        self.assertNotIn("bad", self.client.list())

    def test_a_failure_leaves_nothing(self):
        self.behave("say error Failed The script ended with 3", "exit 1")
        self.assertFails("Failed", self.create, "half", script="#!/bin/sh\nexit 3\n")
        self.assertNotIn("half", self.client.list())
        self.assertNotIn("half", self.host.domains())
        self.assertEqual(os.listdir(self.host.dir + "/state/instances"),
                         [row["uuid"] for row in self.client.list().values() if "uuid" in row])


if __name__ == "__main__":
    lodgetest.main()
