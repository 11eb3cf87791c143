#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rows of hostile cases that concern the service as a whole: floods of events and jobs, text that
looks like formats, clocks that jump."""
import glob
import json
import os
import time

import lodgetest
from lodgetest import ROOT, DBusError, Host, HostTest, variant, wait_until

EMPTY = variant("(a{sv})", ({},))
ODD = "%s%n%n%x {0} $(id) `id` \"'\\"
FAKETIME = next(iter(glob.glob("/usr/lib/*/faketime/libfaketime.so.1")), None)
# AddressSanitizer wants to be the first library.
SANITIZED = "asan" in os.environ.get("LODGE_TEST_BUILD", "")


class Events(HostTest):
    def states(self, path):
        """The states of an instance that were told, in order."""
        return [values[1]["State"] for where, member, values in self.client.signals
                if where == path and member == "PropertiesChanged" and "State" in values[1]]

    def settle(self, path, name, state):
        wait_until(lambda: self.client.list()[name]["state"] == state, timeout=5, what=state)
        self.assertEqual(self.host.domains()[name], state)
        wait_until(lambda: self.states(path)[-1:] == [state], what="the signal of the end")

    def test_r05_a_flood_of_changes(self):
        path = self.client.launch("flooded")
        self.client.listen()
        fds, slowest = self.host.n_fds(), 0
        for number in range(500):
            self.host.control("kill", "flooded")
            self.host.control("start", "flooded")
            if number % 50 == 0:
                start = time.monotonic()
                self.client.list()
                slowest = max(slowest, time.monotonic() - start)
        self.host.control("kill", "flooded")
        self.settle(path, "flooded", "stopped")
        self.assertLess(slowest, 0.5)
        told = self.states(path)
        print(f"# 1001 changes, {len(told)} of them told, slowest list {slowest * 1000:.0f} ms")
        self.assertLessEqual(len(told), 1001)
        # Never the same twice: each signal says something new.
        self.assertFalse([a for a, b in zip(told, told[1:]) if a == b], told)
        self.assertNoMoreFds(fds, 2)

    def test_r07_a_guest_that_crashes_in_a_loop(self):
        path = self.client.launch("looping")
        self.client.listen()
        for _ in range(50):
            self.host.control("crash", "looping")
            wait_until(lambda: self.client.state(path) == "crashed", what="the crash")
            self.host.control("start", "looping")
            wait_until(lambda: self.client.state(path) == "running", what="the start")
        self.settle(path, "looping", "running")
        wait_until(lambda: len(self.states(path)) >= 100, what="what was told of 50 crashes")
        events = [values[3].get("state") for where, member, values in self.client.signals
                  if member == "Event" and values[1] == "instance-state" and values[2] == path]
        self.assertEqual(self.states(path), ["crashed", "running"] * 50)
        self.assertLessEqual(len(events), 100)


class Jobs(HostTest):
    def test_r06_a_thousand_jobs(self):
        self.host.control("delay", "define", "400")
        threads = f"/proc/{self.host.lodged.pid}/task"
        jobs = [self.client.create(f"queued{number}") for number in range(1000)]
        start = time.monotonic()
        self.client.list()
        self.assertLess(time.monotonic() - start, 1)
        self.assertLess(len(os.listdir(threads)), 40)
        # What waits in the queue leaves it at once.
        start = time.monotonic()
        results = {"done": 0, "Cancelled": 0, "InvalidState": 0}
        for job in jobs[::-1]:
            try:
                self.client.call(job, "Job", "Cancel", EMPTY)
            except DBusError as error:
                self.assertEqual(error.nick, "InvalidState")
        for job in jobs:
            try:
                self.client.job_wait(job)
                results["done"] += 1
            except DBusError as error:
                results[error.nick] += 1
        print(f"# {results}, ended within {time.monotonic() - start:.1f} s")
        self.assertLess(time.monotonic() - start, 60)
        self.assertGreater(results["Cancelled"], 500, results)
        self.assertEqual(len(self.client.list()), results["done"])
        self.assertEqual(len(self.host.domains()), results["done"])


class Texts(HostTest):
    def test_s09_formats_are_data(self):
        config = {"user.note": ODD, "environment.X": ODD}
        path = self.client.launch("formats", config=config)
        self.assertEqual(self.client.get(path, "Instance", "Config"), config)
        streams, process = self.client.exec_begin(path, ["printf", "%s", ODD])
        with open(streams.pop("stdout"), "rb") as stream:
            self.assertEqual(stream.read().decode(), ODD)
        self.client.process_wait(process)
        for fd in streams.values():
            os.close(fd)
        for call in (lambda: self.client.create(ODD), lambda: self.client.find(ODD),
                     lambda: self.client.create("web", image=ODD),
                     lambda: self.client.create("web", config={ODD: ODD}),
                     lambda: self.client.create("web", kind=ODD),
                     lambda: self.client.create("web", config={"limits.memory": ODD}),
                     lambda: self.client.call(ROOT, "Images", "GetImage",
                                              variant("(sa{sv})", (ODD, {}))),
                     lambda: self.client.verb(path, "Start", **{ODD: True})):
            with self.assertRaises(DBusError) as caught:
                call()
            self.assertTrue(caught.exception.name.startswith(lodgetest.PREFIX), caught.exception)
        self.assertIsNone(self.host.lodged.poll())


class Audit(HostTest):
    polkit = True

    def rows(self):
        path = f"{self.host.dir}/state/audit/refused.jsonl"
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        with open(path, encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def test_what_is_refused_is_written_down(self):
        path = self.client.launch("audited")
        before = len(self.rows())
        for call in (lambda: self.client.create("No"), lambda: self.client.create("audited"),
                     lambda: self.client.verb(path, "Start"),
                     lambda: self.client.list(nonsense=True)):
            with self.assertRaises(DBusError):
                call()
        rows = self.rows()[before:]
        self.assertEqual([row["error"] for row in rows],
                         ["InvalidName", "AlreadyExists", "InvalidState", "InvalidArgument"], rows)
        for row in rows:
            self.assertEqual((row["uid"], row["sender"]), (os.geteuid(), self.client.name))
        self.assertEqual(rows[2]["operation"], "org.lodge1.Instance.Start")
        self.assertEqual(rows[2]["object"], path)

    @lodgetest.needs_root
    def test_who_was_refused(self):
        path = self.client.launch("private")
        for answer, error in (("no", "NotAuthorized"), ("challenge", "NotAuthorized")):
            self.host.set_polkit(answer)
            before = len(self.rows())
            self.host.as_nobody("call", path, "org.lodge1.Instance", "Stop", "(a{sv})", "[{}]")
            row, = self.rows()[before:]
            self.assertEqual((row["uid"], row["error"]), (lodgetest.NOBODY, error))
            self.assertTrue(row["sender"].startswith(":"))

    def test_c04_c09_config(self):
        """C04: user data is not in what an error says; C09: there is no key for a program."""
        secret = "#cloud-config\npassword: hunter2"
        for key in ("cloud-init.user-data", "cloud-init.vendor-data", "user.user-data",
                    "cloud-init.network-config", "user.meta-data", "environment.TOKEN"):
            for value in (secret + "\x01", secret + "x" * (10 << 20)):
                with self.assertRaises(DBusError) as caught:
                    self.client.create("secretive", config={key: value})
                self.assertEqual(caught.exception.nick, "InvalidConfig")
                self.assertIn(key, caught.exception.message)
                self.assertNotIn("hunter2", caught.exception.message)
        for key in ("raw.lxc", "raw.qemu", "raw.idmap", "hooks.start", "lxc.hook.pre-start",
                    "security.privileged", "security.nesting", "boot.host_shutdown_script"):
            with self.assertRaises(DBusError) as caught:
                self.client.create("hooked", config={key: "/bin/true"})
            self.assertEqual(caught.exception.nick, "InvalidConfig", key)
        self.assertFalse({"secretive", "hooked"} & set(self.client.list()))
        self.assertNotIn("hunter2", self.host.log() + json.dumps(self.rows()))


@lodgetest.unittest.skipUnless(FAKETIME and not SANITIZED, "libfaketime is not installed")
class Clocks(lodgetest.unittest.TestCase):
    """L05: the clock of the day says when something was, never in which order or how long."""

    def start(self, offset):
        self.host.start_lodged(env={"LD_PRELOAD": FAKETIME, "FAKETIME": offset,
                                    "FAKETIME_DONT_FAKE_MONOTONIC": "1"})

    def test_l05_clocks_that_jump(self):
        self.host = Host(lodged=False)
        self.addCleanup(self.host.stop)
        client = self.host.client()
        jobs, created = [], {}
        for number, offset in enumerate(("+0", "-10y", "+10y", "-1d")):
            self.start(offset)
            job = client.create(f"clock{number}", start=True)
            start = time.monotonic()
            path = client.job_wait(job)["instance"]
            self.assertLess(time.monotonic() - start, 5)
            jobs.append(int(job.rsplit("/", 1)[1]))
            created[number] = client.get(path, "Instance", "CreatedAt")
            self.assertEqual([client.list()[f"clock{n}"]["state"] for n in created],
                             ["running"] * len(created))
            self.assertFails(client, path)
            self.assertEqual(self.host.stop_lodged(), 0)
        self.assertEqual(jobs, sorted(set(jobs)))
        self.assertLess(created[1], created[0])
        self.assertGreater(created[2], created[0])
        self.start("+0")
        for number in created:
            client.verb(client.find(f"clock{number}"), "Delete", force=True)
        self.assertEqual(self.host.domains(), {})

    def assertFails(self, client, path):
        """A time limit is as long as ever."""
        self.host.control("stubborn", client.get(path, "Instance", "Name"), "on")
        start = time.monotonic()
        with self.assertRaises(DBusError) as caught:
            client.verb(path, "Stop", timeout=1)
        self.assertEqual(caught.exception.nick, "TimedOut")
        self.assertLess(abs(time.monotonic() - start - 1), 1)


if __name__ == "__main__":
    lodgetest.main()
