#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two callers at once, for each pair of verbs: one of the two orders comes out, and the one that
lost is told so by an error that says which."""
import itertools

import lodgetest
from lodgetest import ROOT, DBusError, HostTest, options, variant, wait_until

EMPTY = variant("(a{sv})", ({},))
FORCE = variant("(a{sv})", (options(force=True),))

# verb → (state that it needs, its arguments, what the instance is afterwards)
VERBS = {"Start": ("stopped", EMPTY, "running"),
         "Stop": ("running", FORCE, "stopped"),
         "Restart": ("running", FORCE, "running"),
         "Pause": ("running", EMPTY, "paused"),
         "Resume": ("paused", EMPTY, "running"),
         "Rename": ("stopped", None, "stopped"),
         "Delete": (None, FORCE, None)}
# What a caller may be told whose turn had not come, or came too late.
LOST = {"Busy", "InvalidState", "NotFound", "AlreadyExists"}


class Pairs(HostTest):
    def setUp(self):
        super().setUp()
        self.other = self.host.client()
        self.addCleanup(self.host.control, "clear")

    def make(self, name, state):
        path = self.client.job_wait(self.client.create(name))["instance"]
        if state in ("running", "paused"):
            self.client.verb(path, "Start")
        if state == "paused":
            self.client.verb(path, "Pause")
        return path

    def outcome(self, client, answers):
        """-> None, or the error that the call or its job ended with."""
        wait_until(lambda: answers, what="an answer")
        if isinstance(answers[0], DBusError):
            return answers[0].nick
        try:
            client.job_wait(answers[0][0])
        except DBusError as error:
            return error.nick
        return None

    def race(self, first, second):
        """Two calls, (path, interface, verb, arguments) each; -> their two outcomes."""
        begun = [(client, client.send(*call))
                 for client, call in ((self.client, first), (self.other, second))]
        return [self.outcome(client, answers) for client, answers in begun]

    def arguments(self, verb, name):
        return variant("(sa{sv})", (name, {})) if verb == "Rename" else VERBS[verb][1]

    def consistent(self):
        """What lodged shows is what the host has, and no job is left open."""
        rows = {name: row["state"] for name, row in self.client.list().items()}
        self.assertEqual(rows, self.host.domains())
        self.assertEqual(self.client.call(ROOT, "Manager", "ListJobs", EMPTY), [])

    def pair(self, state, first, second):
        names = f"race{first.lower()}{second.lower()}"
        path = self.make(names, state)
        outcomes = self.race(
            (path, "Instance", first, self.arguments(first, names + "a")),
            (path, "Instance", second, self.arguments(second, names + "b")))
        self.assertIn(None, outcomes, (first, second))
        for outcome in outcomes:
            self.assertIn(outcome, LOST | {None}, (first, second))
        self.consistent()
        left = [name for name in self.client.list() if name.startswith(names)]
        self.assertEqual(len(left), 0 if "Delete" in (first, second) and not (
            outcomes[(first, second).index("Delete")]) else 1, (first, second, outcomes))
        for name in left:
            self.client.verb(self.client.find(name), "Delete", force=True)

    def test_each_pair_of_verbs(self):
        for state in ("stopped", "running", "paused"):
            fitting = [verb for verb, row in VERBS.items() if row[0] in (state, None)]
            others = list(VERBS)
            for first, second in itertools.product(fitting, others):
                self.pair(state, first, second)

    def test_each_pair_of_verbs_while_the_first_takes_long(self):
        for step in ("power-on", "kill", "undefine", "rename"):
            self.host.control("delay", step, "50")
        self.test_each_pair_of_verbs()

    def test_two_instances_for_one_name(self):
        first, second = self.make("left", "stopped"), self.make("right", "stopped")
        args = variant("(sa{sv})", ("middle", {}))
        outcomes = self.race((first, "Instance", "Rename", args),
                             (second, "Instance", "Rename", args))
        self.assertEqual(sorted(map(str, outcomes)), ["AlreadyExists", "None"])
        self.consistent()
        for path in (first, second):
            self.client.verb(path, "Delete")

    def test_a_rename_and_a_launch_for_one_name(self):
        path = self.make("former", "stopped")
        create = variant("(sa{sv}a{sv}a{sv})",
                         ("wanted", {"image": variant("s", "debian/12")}, {}, {}))
        rename = variant("(sa{sv})", ("wanted", {}))
        for order in (1, -1):
            if "former" not in self.client.list():
                path = self.make("former", "stopped")
            calls = ((path, "Instance", "Rename", rename),
                     (ROOT, "Manager", "CreateInstance", create))
            outcomes = self.race(*calls[::order])
            self.assertEqual(sorted(map(str, outcomes)), ["AlreadyExists", "None"])
            self.consistent()
            self.client.verb(self.client.find("wanted"), "Delete", force=True)

    def test_a_launch_and_the_end_of_its_image(self):
        """B10, P10: an image goes, or an instance is made of it; never both."""
        image = self.client.call(ROOT, "Images", "GetImage",
                                 variant("(sa{sv})", ("debian/12", options(kind="vm"))))
        create = variant("(sa{sv}a{sv}a{sv})", (
            "founded", {"image": variant("s", "debian/12")}, {"kind": variant("s", "vm")}, {}))
        self.host.control("delay", "define", "100")
        outcomes = self.race((ROOT, "Manager", "CreateInstance", create),
                             (image, "Image", "Delete", EMPTY))
        self.assertEqual(outcomes[0], None)
        self.assertIn(outcomes[1], ("InUse", "Busy"))
        self.consistent()
        self.client.verb(self.client.find("founded"), "Delete")

    def test_two_cancellations(self):
        self.host.control("delay", "define", "3000")
        job = self.client.create("unwanted")
        answers = [client.send(job, "Job", "Cancel", EMPTY) for client in (self.client, self.other)]
        wait_until(lambda: all(answers), what="both answers")
        for answer in answers:
            self.assertTrue(not isinstance(answer[0], DBusError)
                            or answer[0].nick == "InvalidState", answer)
        self.assertFails("Cancelled", self.client.job_wait, job)
        self.consistent()


if __name__ == "__main__":
    lodgetest.main()
