#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who may do what: polkit's answers, its absence, other people's jobs, descriptors."""
import json
import os
import signal
import time

import lodgetest
from lodgetest import NOBODY, PREFIX, ROOT, HostTest, variant, wait_until

# Reading is free, and so is waiting for a job.
FREE = {("Manager", "GetInstance"), ("Manager", "ListInstances"), ("Manager", "ListJobs"),
        ("Manager", "GetSchema"), ("Images", "GetImage"), ("Images", "ListImages"),
        ("Remotes", "List"), ("Remotes", "ListImages"), ("Instance", "GetUsage"), ("Job", "Wait")}

ACTIONS = {"Start": "instance-lifecycle", "Stop": "instance-lifecycle",
           "Restart": "instance-lifecycle", "Pause": "instance-lifecycle",
           "Resume": "instance-lifecycle", "Delete": "instance-delete",
           "OpenConsole": "instance-exec", "GetConsoleLog": "instance-exec",
           "OpenFiles": "instance-exec", "GetXml": "instance-modify"}


@lodgetest.needs_root
class Nobody(HostTest):
    polkit = True

    def setUp(self):
        super().setUp()
        self.host.set_polkit("no")
        if not self.client.list():
            type(self).path = self.client.launch("web")
            type(self).job = "/org/lodge1/job/1"

    def snapshot(self):
        """All that a call without permission must not change."""
        return {"objects": self.client.call(ROOT, "org.freedesktop.DBus.ObjectManager",
                                            "GetManagedObjects"),
                "domains": self.host.domains(),
                "images": sorted(os.listdir(self.host.dir + "/state/images"))}

    def verb_as_nobody(self, path, verb, *flags):
        return self.host.as_nobody("call", path, "org.lodge1.Instance", verb, "(a{sv})", "[{}]",
                                   *flags)

    def test_nobody_calls_everything(self):
        """P01"""
        self.nobody_calls_everything()

    def nobody_calls_everything(self):
        streams, process = self.client.exec_begin(self.path, ["sleep", "60"])
        image = self.client.call(ROOT, "Images", "GetImage",
                                 variant("(sa{sv})", ("debian/12", {})))
        before = self.snapshot()
        got = self.host.as_nobody("every", ROOT, self.path, image, self.job, process)
        self.assertEqual(self.snapshot(), before)
        self.assertGreater(len(got["methods"]), 28)
        for interface, method, result in got["methods"]:
            if (interface.removeprefix("org.lodge1."), method) in FREE:
                self.assertEqual(result, "ok", (interface, method))
            else:
                self.assertEqual(result, PREFIX + "NotAuthorized", (interface, method))
        for interface, name, what, result in got["properties"]:
            if what == "get":
                self.assertEqual(result, "ok", (interface, name))
            else:
                self.assertNotEqual(result, "ok", (interface, name))
        self.assertTrue(self.client.get(process, "Process", "Running"))
        self.client.call(process, "Process", "Signal", variant("(i)", (signal.SIGKILL,)))
        self.assertEqual(tuple(self.client.process_wait(process)), (0, signal.SIGKILL))
        for fd in streams.values():
            os.close(fd)

    def test_only_root_goes_without_tls(self):
        self.host.set_polkit("yes")
        refused = self.host.as_nobody("call", ROOT, "org.lodge1.Images", "Pull", "(sa{sv})",
                                      json.dumps(["http://127.0.0.1:9/x", {"allow-http": True}]))
        self.assertEqual(refused["error"], "org.lodge1.Error.NotAuthorized")
        self.assertIn("without TLS", refused["message"])

    def test_what_polkit_is_asked(self):
        for verb, action in ACTIONS.items():
            self.verb_as_nobody(self.path, verb)
            check = self.host.polkit_log()["checks"][-1]
            self.assertEqual(check["action"], "org.lodge1." + action, verb)
            # P03: never a pid, which may be another program by now.
            self.assertEqual(check["subject"], "system-bus-name")
            self.assertTrue(check["name"].startswith(":"))
            self.assertEqual(check["details"], {"instance.name": "web",
                                                "instance.kind": "container",
                                                "instance.uri": check["details"]["instance.uri"]})
            self.assertEqual(check["flags"], 0)

    def test_root_needs_no_polkit(self):
        before = len(self.host.polkit_log()["checks"])
        self.client.verb(self.path, "Pause")
        self.client.verb(self.path, "Resume")
        self.assertEqual(len(self.host.polkit_log()["checks"]), before)

    def test_yes(self):
        self.host.set_polkit("yes")
        answer = self.verb_as_nobody(self.path, "GetXml")
        self.assertIn("<name>web</name>", answer["values"])

    def test_one_action_is_not_another(self):
        self.host.set_polkit("+org.lodge1.instance-lifecycle")
        answer = self.verb_as_nobody(self.path, "Pause")
        self.client.job_wait(answer["values"])
        self.assertEqual(self.client.get(answer["values"], "Job", "Uid"), NOBODY)
        self.assertEqual(self.verb_as_nobody(self.path, "Delete")["error"],
                         PREFIX + "NotAuthorized")
        self.client.verb(self.path, "Resume")

    def test_challenge(self):
        self.host.set_polkit("challenge")
        self.assertEqual(self.verb_as_nobody(self.path, "Start")["error"],
                         lodgetest.INTERACTION_REQUIRED)
        answer = self.verb_as_nobody(self.path, "Start", "interactive")
        self.assertEqual(answer["error"], PREFIX + "NotAuthorized")
        self.assertEqual(self.host.polkit_log()["checks"][-1]["flags"], 1)

    def test_dismissed(self):
        self.host.set_polkit("dismissed")
        self.assertEqual(self.verb_as_nobody(self.path, "Start", "interactive")["error"],
                         PREFIX + "Cancelled")

    def test_garbage(self):
        self.host.set_polkit("garbage")
        self.assertEqual(self.verb_as_nobody(self.path, "Start")["error"],
                         PREFIX + "NotAuthorized")

    def test_polkit_that_hangs(self):
        self.host.set_polkit("hang")
        start = time.monotonic()
        answer = self.verb_as_nobody(self.path, "Stop")
        self.assertEqual(answer["error"], PREFIX + "NotAuthorized")
        self.assertLess(time.monotonic() - start, 20)
        log = self.host.polkit_log()
        self.assertIn(log["checks"][-1]["id"], log["cancelled"])
        self.assertEqual(self.client.state(self.path), "running")

    def test_caller_that_leaves(self):
        self.host.set_polkit("hang")
        process = self.host.as_nobody("hold", self.path, "Instance", "Stop",
                                      "(a{sv})", "[{}]", wait=False)
        process.stdout.readline()
        asked = wait_until(lambda: [c for c in self.host.polkit_log()["checks"]
                                    if c["id"] not in self.host.polkit_log()["cancelled"]],
                           what="the question")
        process.stdin.close()
        process.wait()
        process.stdout.close()
        wait_until(lambda: asked[-1]["id"] in self.host.polkit_log()["cancelled"],
                   what="the cancellation")
        self.host.set_polkit("yes")
        self.assertEqual(self.client.state(self.path), "running")

    def hold(self, path, verb, args="[{}]", signature="(a{sv})"):
        process = self.host.as_nobody("hold", path, "Instance", verb, signature, args, wait=False)
        self.addCleanup(lambda: (process.stdin.close(), process.wait(), process.stdout.close()))
        before = len(self.host.polkit_log()["checks"])
        process.stdout.readline()
        wait_until(lambda: len(self.host.polkit_log()["checks"]) > before or before,
                   what="the question")
        return process

    def test_renamed_or_deleted_while_polkit_is_asked(self):
        """P10: a yes to "web" must not become a yes to another machine."""
        path = self.client.job_wait(self.client.create("before"))["instance"]
        self.host.set_polkit("hang")
        self.hold(path, "Start")
        job = self.client.call(path, "Instance", "Rename", variant("(sa{sv})", ("after", {})))
        self.client.job_wait(job)
        self.host.set_polkit("yes")
        time.sleep(0.2)
        self.assertEqual(self.client.state(path), "stopped")

        self.host.set_polkit("hang")
        self.hold(path, "Start")
        self.client.verb(path, "Delete")
        again = self.client.job_wait(self.client.create("after"))["instance"]
        self.host.set_polkit("yes")
        time.sleep(0.2)
        self.assertEqual(self.client.state(again), "stopped")

    def test_jobs_of_others(self):
        self.host.control("delay", "power-on", "3000")
        self.addCleanup(self.host.control, "clear")
        path = self.client.job_wait(self.client.create("slow"))["instance"]
        job = self.client.verb(path, "Start", wait=False)
        answer = self.host.as_nobody("call", job, "org.lodge1.Job", "Cancel", "(a{sv})", "[{}]")
        self.assertEqual(answer["error"], PREFIX + "NotAuthorized")
        self.assertEqual(self.host.polkit_log()["checks"][-1]["action"],
                         "org.lodge1.cancel-foreign")
        self.client.call(job, "Job", "Cancel", variant("(a{sv})", ({},)))
        self.assertFails("Cancelled", self.client.job_wait, job)

        self.host.set_polkit("+org.lodge1.instance-lifecycle")
        job = self.verb_as_nobody(path, "Start")["values"]
        answer = self.host.as_nobody("call", job, "org.lodge1.Job", "Cancel", "(a{sv})", "[{}]")
        self.assertIn("values", answer, "one's own job can be cancelled without a question")

    def test_refusals_are_logged(self):
        self.verb_as_nobody(self.path, "Delete")
        log = self.host.log()
        self.assertIn("refused org.lodge1.Instance.Delete", log)
        self.assertIn(f"user {NOBODY}", log)

    def test_too_many_questions(self):
        """P05"""
        self.host.set_polkit("hang")
        holders = [self.host.as_nobody("hold", self.path, "Instance", "Stop", "(a{sv})", "[{}]",
                                       wait=False) for _ in range(34)]
        for holder in holders:
            holder.stdout.readline()
        answer = self.verb_as_nobody(self.path, "Stop")
        self.assertEqual(answer["error"], PREFIX + "LimitExceeded")
        # root is not concerned.
        self.assertEqual(self.client.state(self.path), "running")
        self.client.verb(self.path, "Pause")
        self.client.verb(self.path, "Resume")
        for holder in holders:
            holder.stdin.close()
            holder.wait()
            holder.stdout.close()
        self.host.set_polkit("no")

    def test_unwanted_descriptors_are_closed(self):
        """P07"""
        before = self.host.n_fds()
        with open("/dev/null", "rb") as file:
            fds = [file.fileno()] * 16
            for _ in range(20):
                self.client.call(ROOT, "Manager", "GetInstance", variant("(s)", ("web",)), fds=fds)
                self.client.get(self.path, "Instance", "Name")
            # A call that waits must not keep them either.
            self.host.set_polkit("hang")
            path = self.client.job_wait(self.client.create("fds"))["instance"]
            self.host.control("delay", "power-on", "500")
            job = self.client.verb(path, "Start", wait=False)
            waiting = self.client.send(job, "Job", "Wait", variant("(a{sv})", ({},)), fds=fds)
            self.assertNoMoreFds(before, 2)
            wait_until(lambda: waiting, what="the end of the job")
            self.host.control("clear")
        self.assertNoMoreFds(before, 2)


@lodgetest.needs_root
class WithoutPolkit(HostTest):
    polkit = False

    def test_root_only(self):
        path = self.client.launch("web")
        answer = self.host.as_nobody("call", path, "org.lodge1.Instance", "Stop", "(a{sv})",
                                     "[{}]")
        self.assertEqual(answer["error"], PREFIX + "NotAuthorized")
        self.assertIn("polkit", answer["message"])
        self.assertEqual(self.client.state(path), "running")


if __name__ == "__main__":
    lodgetest.main()
