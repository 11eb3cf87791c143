#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The life of an instance, images and jobs, as a client of the bus sees them."""
import json
import os
import subprocess
import tempfile

import lodgetest
from lodgetest import ROOT, DBusError, HostTest, options, variant, wait_until

MISSING = "/org/lodge1/instance/_00000000_0000_0000_0000_000000000000"


class Lifecycle(HostTest):
    def test_whole_life_of_a_container(self):
        self.whole_life("web", "container")

    def test_whole_life_of_a_vm(self):
        self.whole_life("db", "vm")

    def whole_life(self, name, kind):
        client = self.client
        path = client.launch(name, kind=kind, wait_booted=True, config={"user.note": "hello"})
        self.assertEqual(client.find(name), path)
        all_properties = client.get_all(path, "Instance")
        self.assertEqual(all_properties["Name"], name)
        self.assertEqual(all_properties["Kind"], kind)
        self.assertEqual(all_properties["State"], "running")
        self.assertEqual(all_properties["Origin"], "lodge")
        self.assertEqual(all_properties["Image"], "debian/12")
        self.assertEqual(all_properties["Config"]["user.note"], "hello")
        self.assertEqual(all_properties["Job"], "/")
        self.assertTrue(all_properties["Booted"])
        self.assertIn("pause", all_properties["Capabilities"])
        self.assertGreater(all_properties["StartedAt"], 0)
        self.assertEqual(client.list()[name]["path"], path)

        client.verb(path, "Pause")
        self.assertEqual(client.state(path), "paused")
        client.verb(path, "Resume")
        self.assertEqual(client.state(path), "running")
        client.verb(path, "Restart", force=True)
        self.assertEqual(client.state(path), "running")
        self.assertFails("InvalidState", client.verb, path, "Start")
        client.verb(path, "Stop", timeout=5)
        self.assertEqual(client.state(path), "stopped")
        self.assertEqual(client.get(path, "Instance", "StartedAt"), 0)
        self.assertFails("InvalidState", client.exec_begin, path, ["true"])

        job = client.call(path, "Instance", "Rename", variant("(sa{sv})", (name + "2", {})))
        client.job_wait(job)
        self.assertEqual(client.get(path, "Instance", "Name"), name + "2")
        self.assertEqual(client.find(name + "2"), path)
        self.assertIn(name + "2", self.host.domains())

        result = client.verb(path, "Delete")
        self.assertEqual(result["name"], name + "2")
        self.assertNotIn("instance", result)
        self.assertFails("NotFound", client.find, name + "2")
        self.assertNotIn(name + "2", self.host.domains())
        self.assertFails("NotFound", client.get_all, path, "Instance")
        self.assertFails("NotFound", client.verb, path, "Start")

    def test_delete_of_a_running_one_needs_force(self):
        path = self.client.launch("forced")
        self.assertFails("InvalidState", self.client.verb, path, "Delete")
        self.client.verb(path, "Delete", force=True)
        self.assertNotIn("forced", self.client.list())

    def test_a_guest_that_does_not_stop(self):
        path = self.client.launch("stubborn")
        self.host.control("stubborn", "stubborn", "on")
        self.assertFails("TimedOut", self.client.verb, path, "Stop", timeout=1)
        self.assertEqual(self.client.state(path), "running")
        self.client.verb(path, "Stop", force=True)
        self.assertEqual(self.client.state(path), "stopped")

    def test_missing_objects(self):
        client = self.client
        self.assertFails("NotFound", client.get, MISSING, "Instance", "Name")
        self.assertFails("NotFound", client.get_all, MISSING, "Instance")
        self.assertFails("NotFound", client.verb, MISSING, "Start")
        self.assertFails("NotFound", client.job_wait, "/org/lodge1/job/99999")
        self.assertFails("NotFound", client.process_wait, "/org/lodge1/process/99999")
        for node in ("x", "_", "_zz", "0", "01", "1x"):
            for kind, interface in (("job", "Job"), ("instance", "Instance"), ("image", "Image")):
                try:
                    client.get_all(f"/org/lodge1/{kind}/{node}", interface)
                    self.fail(f"{kind}/{node} was found")
                except DBusError as error:
                    self.assertIn(error.nick, ("NotFound", "local"), str(error))

    def test_a_path_by_name(self):
        client = self.client
        path = client.launch("by-name")
        alias = "/org/lodge1/instance/by_name"
        self.assertEqual(client.get(alias, "Instance", "Uuid"), client.get(path, "Instance", "Uuid"))
        client.verb(alias, "Stop", force=True)
        self.assertEqual(client.get(path, "Instance", "State"), "stopped")
        self.assertFails("NotFound", client.verb, "/org/lodge1/instance/by_nam", "Stop")
        client.verb(alias, "Delete", force=True)
        self.assertFails("NotFound", client.get, alias, "Instance", "Name")

    def test_bad_names(self):
        for name in ("-a", "A", "a_b", "a" * 64, "..", "--help", "a\nb", "é"):
            self.assertFails("InvalidName", self.client.create, name)

    def test_a_made_up_name(self):
        result = self.client.job_wait(self.client.create(""))
        self.assertRegex(result["name"], "^[a-z][a-z0-9-]+$")
        self.client.verb(result["instance"], "Delete")

    def test_bad_creates(self):
        create = self.client.create
        self.assertFails("InvalidConfig", create, "bad", config={"limits.memroy": "1GiB"})
        self.assertFails("InvalidConfig", create, "bad", config={"limits.memory": "lots"})
        self.assertFails("InvalidArgument", create, "bad", kind="zeppelin")
        with self.assertRaises(DBusError) as caught:
            self.client.job_wait(create("bad", image="build:no/such"))
        self.assertEqual(caught.exception.nick, "NotFound")
        self.assertFails("InvalidArgument", self.client.call, ROOT, "Manager", "CreateInstance",
                         variant("(sa{sv}a{sv}a{sv})", ("bad", {}, {}, {})))
        devices = {"devices": variant("a{sa{ss}}", {"gpu": {"type": "gpu"}})}
        self.assertFails("NotSupported", self.client.call, ROOT, "Manager", "CreateInstance",
                         variant("(sa{sv}a{sv}a{sv})",
                                 ("bad", {"image": variant("s", "debian/12")}, devices, {})))
        self.assertNotIn("bad", self.client.list())
        self.assertNotIn("bad", self.host.domains())

    def test_names_that_are_taken(self):
        self.client.job_wait(self.client.create("taken"))
        self.assertFails("AlreadyExists", self.client.create, "taken")
        self.host.control("define", "foreign1", "container")
        with self.assertRaises(DBusError) as caught:
            self.client.job_wait(self.client.create("foreign1"))
        self.assertEqual(caught.exception.nick, "AlreadyExists")

    def test_options_are_checked(self):
        client = self.client
        path = client.job_wait(client.create("opts"))["instance"]
        message = self.assertFails("InvalidArgument", client.verb, path, "Stop", forse=True)
        self.assertIn("forse", message)
        self.assertIn("force", message)
        self.assertFails("InvalidArgument", client.verb, path, "Stop", force="yes")
        self.assertFails("InvalidArgument", client.verb, path, "Stop", timeout="1")
        for verb in ("Start", "Restart", "Pause", "Resume", "Delete"):
            self.assertFails("InvalidArgument", client.verb, path, verb, x=True)
        for verb in ("OpenConsole", "GetConsoleLog", "OpenFiles", "GetUsage", "GetXml"):
            self.assertFails("InvalidArgument", client.call, path, "Instance", verb,
                             variant("(a{sv})", (options(x=True),)))
        self.assertFails("InvalidArgument", client.list, x=True)
        self.assertFails("InvalidArgument", client.call, ROOT, "Manager", "Reconcile",
                         variant("(a{sv})", (options(x=True),)))

    def test_a_failed_step_leaves_nothing(self):
        self.host.control("fail", "define", "NoSpace", "the disk is full")
        message = self.assertFails("NoSpace", self.client.launch, "unlucky")
        self.assertIn("the disk is full", message)
        self.assertNotIn("unlucky", self.client.list())
        self.assertNotIn("unlucky", self.host.domains())

    def test_a_failed_start_can_be_tried_again(self):
        path = self.client.job_wait(self.client.create("again"))["instance"]
        self.host.control("fail", "power-on", "Backend", "no power")
        self.assertIn("no power", self.assertFails("Backend", self.client.verb, path, "Start"))
        self.assertEqual(self.client.state(path), "stopped")
        self.client.verb(path, "Start")
        self.assertEqual(self.client.state(path), "running")

    def test_usage_and_xml(self):
        path = self.client.launch("measured")
        usage = self.client.call(path, "Instance", "GetUsage", variant("(a{sv})", ({},)))
        self.assertEqual(usage["processes"], 7)
        self.assertEqual(usage["uptime"], 42)
        self.assertNotIn("swap", usage)
        self.assertEqual(next(iter(usage["networks"].values()))["host-device"], "vnet0")
        row = self.client.list(usage=True, managed=True, kind="container")["measured"]
        self.assertEqual(row["memory"], 64 << 20)
        self.assertEqual(row["cpu-ns"], 1500000000)
        self.assertNotIn("measured", self.client.list(kind="vm"))
        xml = self.client.call(path, "Instance", "GetXml", variant("(a{sv})", ({},)))
        self.assertIn("<name>measured</name>", xml)

    def test_usage_is_read_once_for_many(self):
        path = self.client.launch("watched")
        calls = [("Instance", path, "GetUsage", variant("(a{sv})", ({},))),
                 ("Manager", ROOT, "ListInstances", variant("(a{sv})", (options(usage=True),)))]
        for interface, where, method, args in calls:
            with self.subTest(method):
                self.host.control("delay", "get-usage", "300")
                self.addCleanup(self.host.control, "clear")
                before = int(self.host.control("count", "get-usage")[0])
                answers = [self.client.send(where, interface, method, args) for _ in range(20)]
                wait_until(lambda: all(answers), what="all answers")
                running = 1 + sum(row["state"] == "running" and row["name"] != "watched"
                                  for row in self.client.list(managed=True).values())
                readings = int(self.host.control("count", "get-usage")[0]) - before
                self.assertLessEqual(readings, running)
                self.assertEqual({repr(answer[0]) for answer in answers}, {repr(answers[0][0])})
                self.assertIn("1500000000", repr(answers[0][0]))
                # Who asks after that gets a reading of its own.
                self.client.call(where, interface, method, args)
                self.assertGreater(int(self.host.control("count", "get-usage")[0]) - before,
                                   readings)

    def test_schema(self):
        schema = json.loads(self.client.call(ROOT, "Manager", "GetSchema",
                                             variant("(s)", ("config",))))
        self.assertIn("limits.memory", [row["key"] for row in schema])
        self.assertFails("InvalidArgument", self.client.call, ROOT, "Manager", "GetSchema",
                         variant("(s)", ("x",)))

    def test_the_service_itself(self):
        everything = self.client.get_all(ROOT, "Manager")
        self.assertEqual(everything["ApiLevel"], 1)
        self.assertTrue(everything["Drivers"]["fake-lxc"]["connected"])
        self.assertIn("exec", everything["Drivers"]["fake-kvm"]["capabilities"])

    def test_images(self):
        client = self.client
        rows = client.call(ROOT, "Images", "ListImages", variant("(a{sv})", ({},)))
        self.assertEqual({row["kind"] for row in rows}, {"container", "vm"})
        path = client.call(ROOT, "Images", "GetImage", variant("(sa{sv})", ("debian/12", {})))
        vm = client.call(ROOT, "Images", "GetImage",
                         variant("(sa{sv})", ("debian/12", options(kind="vm"))))
        self.assertNotEqual(path, vm)
        self.assertFails("NotFound", client.call, ROOT, "Images", "GetImage",
                         variant("(sa{sv})", ("debain/12", {})))
        values = client.get_all(vm, "Image")
        self.assertEqual(values["Aliases"], ["debian/12"])
        self.assertEqual(values["Properties"], {"os": "debian"})
        client.listen()
        client.call(vm, "Image", "SetAliases", variant("(asa{sv})", (["debian/12", "deb"], {})))
        self.assertEqual(client.get(vm, "Image", "Aliases"), ["deb", "debian/12"])
        wait_until(lambda: any(p == vm and m == "PropertiesChanged" and "Aliases" in v[1]
                               for p, m, v in client.signals), what="the change")
        self.assertFails("InvalidName", client.call, vm, "Image", "SetAliases",
                         variant("(asa{sv})", (["../x"], {})))
        user = client.job_wait(client.create("builtonit", kind="vm"))["instance"]
        self.assertIn("builtonit", client.get(vm, "Image", "UsedBy"))
        self.assertFails("InUse", self.delete_image, vm)
        client.verb(user, "Delete")

    def delete_image(self, path):
        self.client.job_wait(self.client.call(path, "Image", "Delete", variant("(a{sv})", ({},))))

    def test_import_refuses_what_is_no_plain_file(self):
        """P07"""
        def attempt(fd, nick="InvalidArgument"):
            self.assertFails(nick, self.client.call, ROOT, "Images", "Import",
                             variant("(a{sv})", ({"file": variant("h", 0)},)), fds=[fd])
        with tempfile.TemporaryDirectory() as scratch:
            os.mkfifo(scratch + "/fifo")
            reading, writing = os.pipe()
            kinds = [os.open(scratch, os.O_RDONLY),
                     os.open(scratch + "/fifo", os.O_RDWR),
                     os.open(scratch + "/w", os.O_WRONLY | os.O_CREAT),
                     os.open(scratch + "/w", os.O_PATH),
                     os.open("/proc/self/mem", os.O_RDONLY),
                     os.open("/dev/null", os.O_RDONLY), writing]
            before = self.host.n_fds()
            for fd in kinds:
                attempt(fd)
                os.close(fd)
            os.close(reading)
            self.assertFails("InvalidArgument", self.client.call, ROOT, "Images", "Import",
                             variant("(a{sv})", ({"file": variant("h", 5)},)))
            self.assertNoMoreFds(before)

    def test_import_of_rubbish_fails(self):
        with tempfile.TemporaryFile() as file:
            file.write(b"this is no image" * 100)
            file.seek(0)
            _, job = self.client.call(ROOT, "Images", "Import",
                                      variant("(a{sv})", ({"file": variant("h", 0)},)),
                                      fds=[file.fileno()])
            with self.assertRaises(DBusError):
                self.client.job_wait(job)

    def test_import_through_the_returned_stream(self):
        (streams, job), fds = self.client.call_fds(ROOT, "Images", "Import",
                                                   variant("(a{sv})", ({},)))
        self.assertEqual(streams, {"file": 0})
        with open(fds[0], "wb") as stream:
            try:
                stream.write(b"this is no image" * 100)
            except BrokenPipeError:
                pass
        with self.assertRaises(DBusError):
            self.client.job_wait(job)

    def test_console_and_files(self):
        path = self.client.launch("spoken")
        _, fds = self.client.call_fds(path, "Instance", "OpenConsole", variant("(a{sv})", ({},)))
        os.write(fds[0], b"hello")
        self.assertEqual(os.read(fds[0], 100), b"hello")
        os.close(fds[0])
        _, fds = self.client.call_fds(path, "Instance", "GetConsoleLog", variant("(a{sv})", ({},)))
        self.assertEqual(os.read(fds[0], 100), b"console of spoken\n")
        os.close(fds[0])
        _, fds = self.client.call_fds(path, "Instance", "OpenFiles", variant("(a{sv})", ({},)))
        os.close(fds[0])

    def test_a_session_on_files_holds_a_stopped_instance(self):
        path = self.client.job_wait(self.client.create("held"))["instance"]
        _, fds = self.client.call_fds(path, "Instance", "OpenFiles", variant("(a{sv})", ({},)))
        self.assertFails("Busy", self.client.verb, path, "Start")
        os.close(fds[0])
        wait_until(lambda: self.can_start(path), what="the end of the session")

    def can_start(self, path):
        try:
            self.client.verb(path, "Start")
            return True
        except DBusError as error:
            self.assertEqual(error.nick, "Busy")
            return False


class Secrets(HostTest):
    @lodgetest.needs_root
    def test_environment_is_shown_to_root_only(self):
        config = {"environment.PASSWORD": "hunter2", "user.note": "plain"}
        self.client.listen()
        path = self.client.job_wait(self.client.create("secret", config=config))["instance"]
        self.assertEqual(self.client.get(path, "Instance", "Config"), config)
        answer = self.host.as_nobody("call", path, "org.freedesktop.DBus.Properties", "Get",
                                     "(ss)", '["org.lodge1.Instance", "Config"]')
        self.assertEqual(answer["values"],
                         {"environment.PASSWORD": "(hidden)", "user.note": "plain"})
        for call in (("org.freedesktop.DBus.Properties", "GetAll", "(s)", '["org.lodge1.Instance"]'),
                     ("org.lodge1.Manager", "ListInstances", "(a{sv})", "[{}]"),
                     ("org.freedesktop.DBus.ObjectManager", "GetManagedObjects", "", "")):
            where = path if call[1] == "GetAll" else ROOT
            answer = self.host.as_nobody("call", where, *call)
            self.assertIn("secret", json.dumps(answer))
            self.assertNotIn("hunter2", json.dumps(answer))
        mine = self.client.call(ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")
        self.assertIn("hunter2", str(mine))
        self.client.verb(path, "Start")
        self.client.verb(path, "Stop", force=True)
        self.assertNotIn("hunter2", str(self.client.signals))
        status, out, _ = self.run_env(path)
        self.assertEqual((status, out), (0, b"hunter2\n"))

    def run_env(self, path):
        self.client.verb(path, "Start")
        return self.client.run(path, ["sh", "-c", "echo $PASSWORD"])


class Signals(HostTest):
    def names(self, path):
        return [member for where, member, _ in self.client.signals if where == path]

    def added(self):
        return [values[0] for _, member, values in self.client.signals
                if member == "InterfacesAdded"]

    def removed(self):
        return [values[0] for _, member, values in self.client.signals
                if member == "InterfacesRemoved"]

    def test_objects_and_properties_are_told(self):
        client = self.client
        client.listen()
        job = client.create("told", start=True)
        path = client.job_wait(job)["instance"]
        wait_until(lambda: "Completed" in self.names(job), what="Completed")
        self.assertIn(job, self.added())
        self.assertIn(path, self.added())
        # The end of the job is told last, and after all that it did to the instance.
        ended = [i for i, s in enumerate(client.signals) if s[0] == job and s[1] == "Completed"]
        self.assertEqual(len(ended), 1)
        states = [(i, s[2][1]["State"]) for i, s in enumerate(client.signals)
                  if s[0] == path and s[1] == "PropertiesChanged" and "State" in s[2][1]]
        self.assertEqual(states[-1][1], "running")
        self.assertLess(states[-1][0], ended[0])
        finals = [i for i, s in enumerate(client.signals)
                  if s[0] == job and s[1] == "PropertiesChanged"
                  and s[2][1].get("State") == "succeeded"]
        self.assertEqual(len(finals), 1)
        self.assertLess(finals[0], ended[0])
        self.assertEqual(client.signals[ended[0]][2],
                         (True, ("", ""), {"instance": path, "name": "told"}))

        client.verb(path, "Pause")
        client.verb(path, "Stop", force=True)
        client.verb(path, "Delete")
        wait_until(lambda: path in self.removed(), what="InterfacesRemoved")
        events = [v for _, m, v in client.signals if m == "Event"]
        self.assertEqual([e[0] for e in events],
                         list(range(events[0][0], events[0][0] + len(events))))
        types = [e[1] for e in events]
        for kind in ("job-started", "instance-created", "instance-state", "job-ended",
                     "instance-deleted"):
            self.assertIn(kind, types)
        # What has been reached, not what is being brought about.
        states = [e[3]["state"] for e in events if e[1] == "instance-state" and e[2] == path]
        self.assertEqual(states, ["running", "paused", "stopped"])

    def test_properties_come_before_the_answer(self):
        """On one connection, so the order is the bus's."""
        client = self.client
        path = client.launch("ordered")
        client.listen()
        job = client.verb(path, "Pause", wait=False)
        answer = client.send(job, "Job", "Wait", variant("(a{sv})", ({},)))
        wait_until(lambda: answer, what="the answer")
        self.assertEqual(answer[0][0]["name"], "ordered")
        changes = [v[1] for p, m, v in client.signals if p == path and m == "PropertiesChanged"]
        self.assertIn("paused", [change.get("State") for change in changes])
        self.assertEqual([c["Job"] for c in changes if "Job" in c][-1], "/")
        self.assertIn("Completed", self.names(job))

    def test_object_manager(self):
        path = self.client.launch("managed")
        objects = self.client.call(ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")
        self.assertEqual(objects[path]["org.lodge1.Instance"]["Name"], "managed")
        kinds = {next(iter(interfaces)) for interfaces in objects.values()}
        self.assertEqual(kinds, {"org.lodge1.Instance", "org.lodge1.Image", "org.lodge1.Job"})

    def test_introspection_is_documented(self):
        env = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": self.host.address}
        path = self.client.launch("shown")
        for where in (ROOT, path):
            done = subprocess.run(["busctl", "introspect", "org.lodge1", where], env=env,
                                  check=True, capture_output=True, text=True)
            self.assertIn("org.lodge1.", done.stdout)
        done = subprocess.run(["busctl", "tree", "org.lodge1"], env=env, check=True,
                              capture_output=True, text=True)
        self.assertIn(path, done.stdout)
        xml = self.client.call(path, "org.freedesktop.DBus.Introspectable", "Introspect")
        self.assertIn("org.gtk.GDBus.DocString", xml)
        self.assertIn("seconds to give the", xml)


if __name__ == "__main__":
    lodgetest.main()
