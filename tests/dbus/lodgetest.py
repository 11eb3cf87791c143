# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the D-Bus tests share: a private bus, a lodged with fake drivers, a mock polkit, a client.

Run with LODGED_FAKE set to the program.  Each test class gets a host of its own.
"""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import gi
gi.require_version("Gio", "2.0")
from gi.repository import Gio, GLib  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
LODGED = os.environ.get("LODGED_FAKE", "lodged-fake")
NAME = "org.lodge1"
ROOT = "/org/lodge1"
NOBODY = 65534
PREFIX = "org.lodge1.Error."
INTERACTION_REQUIRED = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"

BUS_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_sender="*"/>
  </policy>
  <limit name="max_replies_per_connection">4096</limit>
</busconfig>
"""


def variant(signature, value):
    return GLib.Variant(signature, value)


def options(**pairs):
    """a{sv} of Python values: bool → b, int → u, str → s; GLib.Variant as it is."""
    kinds = {bool: "b", int: "u", str: "s"}
    return {key.replace("_", "-"): value if isinstance(value, GLib.Variant)
            else GLib.Variant(kinds[type(value)], value) for key, value in pairs.items()}


class DBusError(Exception):
    def __init__(self, name, message):
        super().__init__(f"{name}: {message}")
        self.name = name
        self.message = message

    @property
    def nick(self):
        return self.name.removeprefix(PREFIX)


def wait_until(condition, timeout=10, what="a condition"):
    """Lets the main context run until @condition() is true, and returns its value."""
    end = time.monotonic() + timeout
    context = GLib.MainContext.default()
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come within {timeout} s")
        while context.pending():
            context.iteration(False)
        time.sleep(0.002)


class Client:
    """A connection of its own, with the calls that tests need."""

    def __init__(self, address):
        self.bus = Gio.DBusConnection.new_for_address_sync(
            address, Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT
            | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION, None, None)
        self.bus.set_exit_on_close(False)
        self.signals = []
        self.name = self.bus.get_unique_name()

    def close(self):
        if not self.bus.is_closed():
            self.bus.close_sync(None)

    def _message(self, path, interface, member, args, fds, flags, dest):
        message = Gio.DBusMessage.new_method_call(dest, path, interface, member)
        if args is not None:
            message.set_body(args)
        if fds:
            message.set_unix_fd_list(Gio.UnixFDList.new_from_array([os.dup(fd) for fd in fds]))
        message.set_flags(flags)
        return message

    @staticmethod
    def _unpack(reply):
        if reply.get_message_type() == Gio.DBusMessageType.ERROR:
            body = reply.get_body()
            text = body.unpack()[0] if body is not None and body.n_children() else ""
            raise DBusError(reply.get_error_name(), text)
        fd_list = reply.get_unix_fd_list()
        fds = list(fd_list.steal_fds()) if fd_list is not None else []
        body = reply.get_body()
        return (body.unpack() if body is not None else ()), fds

    def call_fds(self, path, interface, member, args=None, fds=(), interactive=False, timeout=30,
                 dest=NAME):
        """Returns (values, fds).  @interface without "org.lodge1." in front."""
        if "." not in interface:
            interface = "org.lodge1." + interface
        flags = (Gio.DBusMessageFlags.ALLOW_INTERACTIVE_AUTHORIZATION if interactive
                 else Gio.DBusMessageFlags.NONE)
        message = self._message(path, interface, member, args, fds, flags, dest)
        try:
            reply, _ = self.bus.send_message_with_reply_sync(
                message, Gio.DBusSendMessageFlags.NONE, timeout * 1000, None)
        except GLib.Error as error:
            raise DBusError(Gio.DBusError.get_remote_error(error) or "local", error.message)
        return self._unpack(reply)

    def call(self, *args, **kwargs):
        values, fds = self.call_fds(*args, **kwargs)
        for fd in fds:
            os.close(fd)
        return values[0] if len(values) == 1 else values

    def send(self, path, interface, member, args=None, timeout=30, interactive=False, fds=()):
        """Begins a call; returns a list that gets its one result: values or a DBusError."""
        result = []
        flags = (Gio.DBusMessageFlags.ALLOW_INTERACTIVE_AUTHORIZATION if interactive
                 else Gio.DBusMessageFlags.NONE)
        message = self._message(path, "org.lodge1." + interface, member, args, fds, flags, NAME)

        def done(bus, task):
            try:
                values, got = self._unpack(bus.send_message_with_reply_finish(task))
                for fd in got:
                    os.close(fd)
                result.append(values)
            except DBusError as error:
                result.append(error)
            except GLib.Error as error:
                result.append(DBusError("local", error.message))

        self.bus.send_message_with_reply(message, Gio.DBusSendMessageFlags.NONE, timeout * 1000,
                                         None, done)
        return result

    def get(self, path, interface, name):
        return self.call(path, "org.freedesktop.DBus.Properties", "Get",
                         variant("(ss)", ("org.lodge1." + interface, name)))

    def get_all(self, path, interface):
        return self.call(path, "org.freedesktop.DBus.Properties", "GetAll",
                         variant("(s)", ("org.lodge1." + interface,)))

    def listen(self):
        """Collects all signals of the service in self.signals: (path, member, values)."""
        def on_signal(bus, sender, path, interface, member, values):
            self.signals.append((path, member, values.unpack()))
        self.bus.signal_subscribe(NAME, None, None, None, None, Gio.DBusSignalFlags.NONE,
                                  on_signal)
        self.call("/org/freedesktop/DBus", "org.freedesktop.DBus", "GetId",
                  dest="org.freedesktop.DBus")

    # ---- verbs ----

    def create(self, name, image="debian/12", kind="container", config=None, **opts):
        settings = {"kind": variant("s", kind)}
        if config is not None:
            settings["config"] = variant("a{ss}", config)
        return self.call(ROOT, "Manager", "CreateInstance", variant("(sa{sv}a{sv}a{sv})", (
            name, {"image": variant("s", image)}, settings, options(**opts))))

    def job_wait(self, job, timeout=30):
        return self.call(job, "Job", "Wait", variant("(a{sv})", ({},)), timeout=timeout)

    def launch(self, name, **kwargs):
        """Creates and starts; returns the path of the instance."""
        return self.job_wait(self.create(name, start=True, **kwargs))["instance"]

    def verb(self, path, verb, wait=True, **opts):
        job = self.call(path, "Instance", verb, variant("(a{sv})", (options(**opts),)))
        return self.job_wait(job) if wait else job

    def find(self, name):
        return self.call(ROOT, "Manager", "GetInstance", variant("(s)", (name,)))

    def state(self, path):
        return self.get(path, "Instance", "State")

    def list(self, **opts):
        rows = self.call(ROOT, "Manager", "ListInstances", variant("(a{sv})", (options(**opts),)))
        return {row["name"]: row for row in rows}

    def exec_begin(self, path, argv, user="", env=None, fds=(), opts=None, **kwargs):
        """Returns (streams, process): streams maps names to file descriptors."""
        (names, process), got = self.call_fds(path, "Instance", "Exec", variant(
            "(sasa{ss}a{sv})", (user, argv, env or {}, opts or {})), fds=fds, **kwargs)
        return {name: got[index] for name, index in names.items()}, process

    def process_wait(self, process, timeout=30):
        return self.call(process, "Process", "Wait", timeout=timeout)

    def run(self, path, argv, stdin=b"", **kwargs):
        """Runs a program to its end; returns (status, stdout, stderr)."""
        streams, process = self.exec_begin(path, argv, **kwargs)
        with open(streams["stdin"], "wb") as file:
            file.write(stdin)
        with open(streams["stdout"], "rb") as file:
            out = file.read()
        with open(streams["stderr"], "rb") as file:
            err = file.read()
        status, _ = self.process_wait(process)
        return status, out, err


class Host:
    """A bus, a lodged, and what it believes to be a host."""

    def __init__(self, env=None, polkit=True, lodged=True):
        self.dir = tempfile.mkdtemp(prefix="lodge-dbus-")
        os.chmod(self.dir, 0o755)
        self.address = f"unix:path={self.dir}/bus"
        self.env = {"LODGE_FAKE_IMAGES": "1", "LODGE_FAKE_CONTROL": f"{self.dir}/control",
                    "LODGE_FAKE_STATE": f"{self.dir}/world", **(env or {})}
        self.clients = []
        self.bus = None
        self.polkit = None
        self.lodged = None
        try:
            self._start_bus()
            if polkit:
                self.start_polkit()
            if lodged:
                self.start_lodged()
        except BaseException:
            self.stop()
            raise

    def _start_bus(self):
        config = f"{self.dir}/bus.conf"
        with open(config, "w", encoding="utf-8") as file:
            file.write(BUS_CONFIG.format(socket=f"{self.dir}/bus"))
        self.bus = subprocess.Popen(["dbus-daemon", "--nofork", "--print-address",
                                     f"--config-file={config}"],
                                    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        # It is printed when the socket takes connections.
        assert self.bus.stdout.readline().startswith(b"unix:")

    def start_polkit(self):
        self.polkit = subprocess.Popen(
            [sys.executable, "-B", f"{HERE}/mock_polkit.py", self.address], stdout=subprocess.PIPE)
        assert self.polkit.stdout.readline() == b"ready\n"

    def stop_polkit(self):
        self.polkit.kill()
        self.polkit.wait()
        self.polkit.stdout.close()
        self.polkit = None

    def spawn_lodged(self, *args, env=None, wrapper=(), state=None):
        command = [*wrapper, LODGED, "--state-dir", state or f"{self.dir}/state", "--run-dir",
                   f"{self.dir}/run", "--bus-address", self.address, *args]
        with open(f"{self.dir}/log", "ab") as log:
            return subprocess.Popen(command, env={**os.environ, **self.env, **(env or {})},
                                    stdout=log, stderr=log)

    def start_lodged(self, *args, **kwargs):
        self.lodged = self.spawn_lodged(*args, **kwargs)
        client = self.client()

        def owned():
            if self.lodged.poll() is not None:
                raise AssertionError("lodged ended: " + self.log())
            return client.call("/org/freedesktop/DBus", "org.freedesktop.DBus", "NameHasOwner",
                               variant("(s)", (NAME,)), dest="org.freedesktop.DBus")
        wait_until(owned, what="the name")
        client.close()

    def stop_lodged(self, how=signal.SIGTERM):
        self.lodged.send_signal(how)
        return self.lodged.wait(timeout=10)

    def log(self):
        with open(f"{self.dir}/log", encoding="utf-8", errors="replace") as file:
            return file.read()

    def client(self):
        client = Client(self.address)
        self.clients.append(client)
        return client

    def control(self, *words):
        """Does something behind lodged's back; returns the lines of the answer."""
        line = " ".join("'" + str(word).replace("'", "'\\''") + "'" for word in words)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(10)
            sock.connect(f"{self.dir}/control")
            sock.sendall(line.encode() + b"\n")
            with sock.makefile() as file:
                lines = []
                for answer in file:
                    answer = answer.rstrip("\n")
                    if answer == "ok":
                        return lines
                    if answer.startswith("error: "):
                        raise AssertionError(answer)
                    lines.append(answer)
        raise AssertionError(f"no answer to {line}")

    def domains(self):
        """name → state, as the fake libvirt has it."""
        return {line.split()[0]: line.split()[3] for line in self.control("list")}

    def domains_of_file(self):
        """How many domains there are while no lodged runs."""
        with open(self.env["LODGE_FAKE_STATE"], encoding="utf-8") as file:
            return sum(line.startswith("[") for line in file)

    def set_polkit(self, answer):
        """yes, no, challenge, dismissed, hang or garbage; also "+ACTION" for a yes to one only."""
        client = self.client()
        client.call("/org/lodge1/mock", "org.lodge1.MockPolkit", "SetAnswer",
                    variant("(s)", (answer,)), dest="org.freedesktop.PolicyKit1")
        client.close()

    def polkit_log(self):
        """All checks so far, and the ids of those that were cancelled."""
        client = self.client()
        try:
            text = client.call("/org/lodge1/mock", "org.lodge1.MockPolkit", "GetLog",
                               dest="org.freedesktop.PolicyKit1")
        finally:
            client.close()
        return json.loads(text)

    def as_nobody(self, *args, stdin=None, wait=True):
        """Runs as_user.py under uid nobody; returns what it printed, read as JSON."""
        process = subprocess.Popen(
            [sys.executable, "-B", f"{HERE}/as_user.py", self.address, *args],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, user=NOBODY, group=NOBODY,
            extra_groups=[])
        if not wait:
            return process
        out, _ = process.communicate(stdin, timeout=120)
        assert process.returncode == 0, process.returncode
        return json.loads(out)

    def n_fds(self):
        return len(os.listdir(f"/proc/{self.lodged.pid}/fd"))

    def memory(self):
        """Private memory in KiB."""
        with open(f"/proc/{self.lodged.pid}/smaps_rollup", encoding="ascii") as file:
            return sum(int(line.split()[1]) for line in file if line.startswith("Private_"))

    def stop(self):
        for client in self.clients:
            client.close()
        for process in (self.lodged, self.polkit, self.bus):
            if process is None:
                continue
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            if process.stdout:
                process.stdout.close()
        if os.environ.get("LODGE_TEST_KEEP"):
            sys.stderr.write(f"# kept {self.dir}\n")
        else:
            shutil.rmtree(self.dir, ignore_errors=True)


class HostTest(unittest.TestCase):
    """A host for each class; tests of it use names of their own."""
    env = {}
    polkit = False

    @classmethod
    def setUpClass(cls):
        cls.host = Host(env=cls.env, polkit=cls.polkit)

    @classmethod
    def tearDownClass(cls):
        # Leaks are told at the end.
        status = cls.host.stop_lodged() if cls.host.lodged.poll() is None else 0
        log = cls.host.log()
        cls.host.stop()
        if status != 0:
            raise AssertionError(f"lodged ended with {status}:\n{log}")
        for word in ("CRITICAL", "critical:", "Sanitizer", "runtime error:"):
            if word in log:
                raise AssertionError("lodged complained:\n" + log)

    def setUp(self):
        self.client = self.host.client()
        self.addCleanup(self.client.close)

    def assertNoMoreFds(self, before, slack=0):
        """What was closed may take a moment to go: GDBus lets go of messages on its own thread."""
        wait_until(lambda: self.host.n_fds() <= before + slack, timeout=5,
                   what=f"{before} descriptors, there are {self.host.n_fds()}")

    def assertFails(self, nick, func, *args, **kwargs):
        """The call must fail with org.lodge1.Error.<nick>; returns the message."""
        with self.assertRaises(DBusError) as caught:
            func(*args, **kwargs)
        self.assertEqual(caught.exception.nick, nick, caught.exception.message)
        return caught.exception.message


class WorkerTest(HostTest):
    """With an image worker that only pretends: see fake-image-helper.py."""

    @classmethod
    def setUpClass(cls):
        cls.host = Host(lodged=False)
        cls.libexec = cls.host.dir + "/libexec"
        os.makedirs(cls.libexec)
        shutil.copy(os.path.join(HERE, "../unit/image/fake-image-helper.py"),
                    cls.libexec + "/lodge-image-worker")
        cls.start()

    @classmethod
    def start(cls):
        cls.behave("make")
        cls.host.start_lodged("--libexec-dir", cls.libexec)

    @classmethod
    def behave(cls, *lines):
        with open(cls.libexec + "/behaviour", "w", encoding="utf-8") as file:
            file.write("\n".join(lines))


def needs_root(test):
    return unittest.skipUnless(os.geteuid() == 0, "needs root to be somebody else")(test)


class TapResult(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.count = 0

    def _line(self, word, test, comment="", details=""):
        self.count += 1
        for line in details.splitlines():
            print("# " + line)
        name = test.id().removeprefix("__main__.")
        print(f"{word} {self.count} - {name}{comment}", flush=True)

    def addSuccess(self, test):
        self._line("ok", test)

    def addSkip(self, test, reason):
        self._line("ok", test, f" # SKIP {reason}")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._line("not ok", test, details=self.failures[-1][1])

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._line("not ok", subtest, details=(self.failures + self.errors)[-1][1])

    def addError(self, test, err):
        super().addError(test, err)
        self._line("not ok", test, details=self.errors[-1][1])


def main():
    """Runs the tests of the calling program; arguments are parts of names."""
    suite = unittest.defaultTestLoader.loadTestsFromName("__main__")
    wanted = sys.argv[1:]

    def flatten(part):
        for item in part:
            if isinstance(item, unittest.TestSuite):
                yield from flatten(item)
            elif not wanted or any(word in item.id() for word in wanted):
                yield item
    chosen = unittest.TestSuite(flatten(suite))
    result = TapResult()
    chosen.run(result)
    print(f"1..{result.count}")
    sys.exit(0 if result.wasSuccessful() else 1)
