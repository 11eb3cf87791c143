#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Jobs: waiting, cancelling, races; many requests; restarts; what goes on behind lodged's back."""
import os
import signal
import subprocess
import time

import lodgetest
from lodgetest import ROOT, DBusError, Host, HostTest, variant, wait_until

EMPTY = variant("(a{sv})", ({},))


class Jobs(HostTest):
    def tearDown(self):
        self.host.control("clear")

    def test_result_can_be_had_later(self):
        job = self.client.create("later")
        wait_until(lambda: self.client.get(job, "Job", "State") == "succeeded", what="the end")
        self.assertEqual(self.client.job_wait(job)["name"], "later")
        self.assertEqual(self.client.job_wait(job)["name"], "later")
        values = self.client.get_all(job, "Job")
        self.assertEqual(values["Operation"], "instance-create")
        self.assertEqual(values["Uid"], os.getuid())
        self.assertEqual(values["Error"], ("", ""))
        self.assertEqual(values["Result"]["name"], "later")
        self.assertGreaterEqual(values["EndedAt"], values["StartedAt"])
        self.assertEqual(values["Objects"], [values["Result"]["instance"]])
        rows = self.client.call(ROOT, "Manager", "ListJobs",
                                variant("(a{sv})", ({"all": variant("b", True)},)))
        self.assertIn(job, [row["path"] for row in rows])
        rows = self.client.call(ROOT, "Manager", "ListJobs", EMPTY)
        self.assertNotIn(job, [row["path"] for row in rows])

    def test_many_wait(self):
        self.host.control("delay", "define", "300")
        job = self.client.create("awaited")
        answers = [self.client.send(job, "Job", "Wait", EMPTY) for _ in range(20)]
        others = [self.host.client() for _ in range(5)]
        for other in others:
            answers.append(other.send(job, "Job", "Wait", EMPTY))
        gone = self.host.client()
        gone.send(job, "Job", "Wait", EMPTY)
        gone.bus.flush_sync(None)
        gone.close()
        wait_until(lambda: all(answers), what="all answers")
        for answer in answers:
            self.assertEqual(answer[0][0]["name"], "awaited")

    def test_cancel(self):
        self.host.control("delay", "define", "5000")
        job = self.client.create("cancelled", start=True)
        start = time.monotonic()
        answer = self.client.send(job, "Job", "Wait", EMPTY)
        self.client.call(job, "Job", "Cancel", EMPTY)
        wait_until(lambda: answer, what="the end")
        self.assertLess(time.monotonic() - start, 3)
        self.assertEqual(answer[0].nick, "Cancelled")
        values = self.client.get_all(job, "Job")
        self.assertEqual(values["State"], "cancelled")
        self.assertEqual(values["Error"][0], "org.lodge1.Error.Cancelled")
        self.assertNotIn("cancelled", self.client.list())
        self.assertNotIn("cancelled", self.host.domains())
        self.assertFails("InvalidState", self.client.call, job, "Job", "Cancel", EMPTY)

    def test_busy(self):
        path = self.client.job_wait(self.client.create("busy"))["instance"]
        self.host.control("delay", "power-on", "500")
        job = self.client.verb(path, "Start", wait=False)
        self.assertEqual(self.client.get(path, "Instance", "Job"), job)
        for verb in ("Start", "Stop", "Delete", "Restart"):
            self.assertFails("Busy", self.client.verb, path, verb)
        self.client.job_wait(job)
        self.assertEqual(self.client.get(path, "Instance", "Job"), "/")

    def test_fifty_requests_at_once(self):
        path = self.client.job_wait(self.client.create("wanted"))["instance"]
        self.host.control("delay", "power-on", "300")
        clients = [self.host.client() for _ in range(10)]
        answers = [clients[i % 10].send(path, "Instance", "Start", EMPTY) for i in range(50)]
        wait_until(lambda: all(answers), what="all answers")
        won = [a[0] for a in answers if not isinstance(a[0], DBusError)]
        lost = [a[0].nick for a in answers if isinstance(a[0], DBusError)]
        self.assertEqual(len(won), 1)
        self.assertEqual(set(lost), {"Busy"})
        self.client.job_wait(won[0][0])
        self.assertEqual(self.client.state(path), "running")
        self.assertEqual(self.host.control("count", "power-on"), ["1"])

    def test_same_name_at_once(self):
        args = variant("(sa{sv}a{sv}a{sv})", ("same", {"image": variant("s", "debian/12")}, {}, {}))
        answers = [self.client.send(ROOT, "Manager", "CreateInstance", args) for _ in range(20)]
        wait_until(lambda: all(answers), what="all answers")
        won = [a[0] for a in answers if not isinstance(a[0], DBusError)]
        self.assertEqual(len(won), 1)
        self.client.job_wait(won[0][0])

    def test_others_do_not_wait(self):
        self.host.control("delay", "power-on", "1000")
        path = self.client.job_wait(self.client.create("slow"))["instance"]
        job = self.client.verb(path, "Start", wait=False)
        start = time.monotonic()
        self.client.job_wait(self.client.create("quick"))
        self.assertLess(time.monotonic() - start, 0.5)
        self.client.job_wait(job)

    def test_twenty_launches_at_once(self):
        jobs = [self.client.create(f"crowd{i}", start=True) for i in range(20)]
        for job in jobs:
            self.client.job_wait(job)
        states = [row["state"] for name, row in self.client.list().items()
                  if name.startswith("crowd")]
        self.assertEqual(states, ["running"] * 20)


class Outside(HostTest):
    """What others do to the host shows within five seconds, and foreign domains stay theirs."""

    def row(self, name):
        return self.client.list().get(name, {"state": "absent", "origin": ""})

    def becomes(self, name, state, timeout=5):
        wait_until(lambda: self.row(name)["state"] == state, timeout=timeout,
                   what=f"{name} {state}, is {self.row(name)['state']}")

    def test_kill_and_start(self):
        self.client.launch("victim")
        self.host.control("kill", "victim")
        self.becomes("victim", "stopped")
        self.host.control("start", "victim")
        self.becomes("victim", "running")
        self.host.control("crash", "victim")
        self.becomes("victim", "crashed")

    def test_changes_without_an_event(self):
        self.client.launch("silent")
        self.host.control("silent", "kill", "silent")
        self.client.call(ROOT, "Manager", "Reconcile", EMPTY)
        self.assertEqual(self.row("silent")["state"], "stopped")

    def test_reconnect(self):
        self.client.launch("reconnected")
        self.host.control("disconnect", "container")
        wait_until(lambda: not self.client.get(ROOT, "Manager", "Drivers")["fake-lxc"]["connected"],
                   what="the news")
        self.assertFails("BackendUnavailable", self.client.launch, "nowhere")
        self.assertIn("reconnected", self.client.list(usage=True))
        self.host.control("silent", "kill", "reconnected")
        self.host.control("connect", "container")
        self.becomes("reconnected", "stopped")

    def test_rename(self):
        path = self.client.launch("oldname")
        self.host.control("rename", "oldname", "newname")
        self.becomes("newname", "running")
        self.assertEqual(self.client.find("newname"), path)
        self.assertNotIn("oldname", self.client.list())

    def test_undefine(self):
        path = self.client.launch("undefined")
        self.host.control("undefine", "undefined")
        self.becomes("undefined", "error")
        self.assertTrue(self.client.get(path, "Instance", "Drift"))
        self.client.verb(path, "Delete", force=True)
        self.assertNotIn("undefined", self.client.list())

    def test_drift(self):
        path = self.client.launch("drifted", config={"limits.memory": "256MiB"})
        self.host.control("memory", "drifted", str(512 << 20))
        drift = wait_until(lambda: self.client.get(path, "Instance", "Drift"), what="the drift")
        self.assertIn("limits.memory", drift[0])

    def test_foreign(self):
        self.host.control("define", "theirs", "vm")
        self.becomes("theirs", "stopped")
        row = self.row("theirs")
        self.assertEqual(row["origin"], "foreign")
        self.assertNotIn("theirs", self.client.list(managed=True))
        self.host.control("undefine", "theirs")
        self.becomes("theirs", "absent")

    def test_boot_report(self):
        path = self.client.launch("booted", wait_booted=True)
        self.assertTrue(self.client.get(path, "Instance", "Booted"))


class Restarts(lodgetest.unittest.TestCase):
    def setUp(self):
        self.host = Host()
        self.addCleanup(self.host.stop)

    def test_restart_keeps_everything(self):
        client = self.host.client()
        path = client.launch("web", config={"user.a": "b"})
        client.job_wait(client.create("off", kind="vm"))
        self.assertEqual(self.host.stop_lodged(), 0)
        self.assertEqual(self.host.domains_of_file(), 2)
        self.host.start_lodged()
        wait_until(lambda: client.list()["web"]["state"] == "running", what="the state")
        self.assertEqual(client.list()["off"]["state"], "stopped")
        self.assertEqual(client.get(path, "Instance", "Config"), {"user.a": "b"})

    def test_kill_in_the_middle(self):
        client = self.host.client()
        for step in ("define", "power-on"):
            self.host.control("delay", step, "2000")
            job = client.create("half", start=True)
            wait_until(lambda: self.host.control("count", step) != ["0"], what=step)
            self.host.stop_lodged(signal.SIGKILL)
            self.host.lodged = None
            self.host.start_lodged()
            try:
                client.job_wait(job)
            except DBusError:
                pass
            row = client.list().get("half")
            self.assertIn(client.get(job, "Job", "State"), ("succeeded", "failed", "cancelled"))
            self.assertEqual("half" in self.host.domains(), row is not None)
            if row is not None:
                client.verb(row["path"], "Delete", force=True)
            self.assertEqual(self.host.domains(), {})
            self.assertEqual(os.listdir(self.host.dir + "/state/instances"), [])

    def test_what_was_not_undone_is_undone_later(self):
        client = self.host.client()
        self.host.control("fail", "define", "NoSpace", "the disk is full")
        self.host.control("fail", "undefine", "Backend", "libvirt is busy")
        with self.assertRaises(DBusError) as raised:
            client.launch("stuck")
        self.assertEqual(raised.exception.nick, "NoSpace")
        self.assertIn("tries again", self.host.log())
        self.assertEqual(self.host.stop_lodged(), 0)
        self.host.start_lodged()
        # The step that was left is undone once more, and then the job has its end.
        wait_until(lambda: self.host.control("count", "undefine") == ["1"], what="the undoing")
        self.assertEqual(self.host.stop_lodged(), 0)
        self.host.start_lodged()
        client.list()
        self.assertEqual(self.host.control("count", "undefine"), ["0"])
        self.assertNotIn("stuck", client.list())

    def test_cancel_at_each_stage(self):
        """Nothing is left of a creation, also when the instance has been started already."""
        client = self.host.client()
        self.host.stop_lodged()
        self.host.start_lodged(env={"LODGE_FAKE_BOOT_MS": "20000"})
        for what, stage in (("define", "defining"), ("power-on", "starting"), ("", "booting")):
            if what:
                self.host.control("delay", what, "5000")
            job = client.create("half", start=True, **{"wait-booted": True})
            wait_until(lambda j=job, s=stage: client.get(j, "Job", "Stage") == s, what=stage)
            start = time.monotonic()
            client.call(job, "Job", "Cancel", EMPTY)
            with self.assertRaises(DBusError) as raised:
                client.job_wait(job)
            self.assertEqual(raised.exception.nick, "Cancelled")
            self.assertIn("launch of “half” from debian/12 was cancelled", str(raised.exception))
            self.assertLess(time.monotonic() - start, 3)
            self.assertEqual(client.list(), {})
            self.assertEqual(self.host.domains(), {})
            self.assertEqual(os.listdir(f"{self.host.dir}/state/instances"), [])
            self.host.control("clear")
        client.job_wait(client.create("half"))

    def test_killed_while_a_cancellation_is_undone(self):
        client = self.host.client()
        self.host.control("delay", "power-on", "5000")
        job = client.create("twice", start=True)
        wait_until(lambda: client.get(job, "Job", "Stage") == "starting", what="the start")
        self.host.control("delay", "undefine", "5000")
        client.call(job, "Job", "Cancel", EMPTY)
        wait_until(lambda: self.host.control("count", "undefine") == ["1"], what="the undoing")
        self.host.stop_lodged(signal.SIGKILL)
        self.host.start_lodged()
        wait_until(lambda: not self.host.domains(), what="its end")
        wait_until(lambda: not client.call(ROOT, "Manager", "ListJobs", EMPTY), what="its end")
        client.job_wait(client.create("twice"))

    def test_second_lodged_ends_at_once(self):
        second = self.host.spawn_lodged()
        self.assertEqual(second.wait(timeout=5), 1)
        self.assertIn("critical:", self.host.log())
        self.assertIsNone(self.host.lodged.poll())
        self.host.client().launch("alive")

    def test_name_that_is_taken(self):
        second = self.host.spawn_lodged(state=self.host.dir + "/other")
        self.assertEqual(second.wait(timeout=5), 1)
        self.assertIn("another lodged runs", self.host.log())

    def test_bus_that_goes(self):
        self.host.bus.kill()
        self.host.bus.wait()
        self.assertEqual(self.host.lodged.wait(timeout=5), 1)

    def test_end_with_calls_open(self):
        client = self.host.client()
        self.host.control("delay", "define", "1000")
        job = client.create("open")
        answer = client.send(job, "Job", "Wait", EMPTY)
        client.bus.flush_sync(None)
        path = None
        self.assertEqual(self.host.stop_lodged(), 0)
        wait_until(lambda: answer, what="an answer")
        self.assertIsInstance(answer[0], DBusError)
        self.assertIsNone(path)

    def test_command_line(self):
        run = lambda *args: subprocess.run([lodgetest.LODGED, *args], capture_output=True,  # noqa: E731
                                           text=True, check=False, timeout=10)
        self.assertEqual(run("--bogus").returncode, 2)
        self.assertEqual(run("extra").returncode, 2)
        self.assertEqual(run("--no-lxc", "--no-kvm").returncode, 2)
        self.assertEqual(run("--session", "--bus-address", "unix:path=/x").returncode, 2)
        version = run("--version")
        self.assertEqual(version.returncode, 0)
        self.assertRegex(version.stdout, r"^lodged [0-9]+\.")


if __name__ == "__main__":
    lodgetest.main()
