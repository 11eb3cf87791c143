#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Programs: streams, terminals, signals, whose they are and how they end."""
import os
import signal
import tempfile
import time

import lodgetest
from lodgetest import NOBODY, HostTest, variant, wait_until

H = lambda index: variant("h", index)  # noqa: E731


class Exec(HostTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        client = cls.host.client()
        cls.path = client.launch("web")
        cls.stopped = client.job_wait(client.create("off"))["instance"]

    def alive(self, pid):
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii") as file:
                return file.read().rsplit(")", 1)[1].split()[0] != "Z"
        except FileNotFoundError:
            return False

    def pid_of(self, stream):
        return int(os.read(stream, 20))

    def test_streams_and_status(self):
        script = "cat; echo err >&2; exit 42"
        self.assertEqual(self.client.run(self.path, ["sh", "-c", script], stdin=b"in"),
                         (42, b"in", b"err\n"))

    def test_environment_and_cwd(self):
        status, out, _ = self.client.run(self.path, ["sh", "-c", "echo $A; pwd"],
                                         env={"A": "b c"}, opts={"cwd": variant("s", "/tmp")})
        self.assertEqual((status, out), (0, b"b c\n/tmp\n"))

    def test_own_files(self):
        with tempfile.TemporaryFile() as out, open("/dev/null", "rb") as null:
            opts = {"stdin": H(0), "stdout": H(1), "stderr": H(1)}
            streams, process = self.client.exec_begin(
                self.path, ["sh", "-c", "cat; echo out; echo err >&2"], opts=opts,
                fds=[null.fileno(), out.fileno()])
            self.assertEqual(streams, {})
            self.assertEqual(tuple(self.client.process_wait(process)), (0, 0))
            out.seek(0)
            self.assertEqual(out.read(), b"out\nerr\n")

    def test_some_own_files(self):
        with open("/dev/null", "r+b") as null:
            streams, process = self.client.exec_begin(
                self.path, ["echo", "x"], opts={"stdin": H(0), "stderr": H(0)},
                fds=[null.fileno()])
            self.assertEqual(set(streams), {"stdout"})
            self.assertEqual(os.read(streams["stdout"], 10), b"x\n")
            self.client.process_wait(process)
            os.close(streams["stdout"])

    def test_signals_and_term_signal(self):
        streams, process = self.client.exec_begin(self.path, ["sleep", "60"])
        self.assertTrue(self.client.get(process, "Process", "Running"))
        self.assertEqual(self.client.get(process, "Process", "Instance"), self.path)
        self.assertEqual(self.client.get(process, "Process", "Argv"), ["sleep", "60"])
        self.client.call(process, "Process", "Signal", variant("(i)", (signal.SIGTERM,)))
        self.assertEqual(tuple(self.client.process_wait(process)), (0, signal.SIGTERM))
        self.assertEqual(tuple(self.client.process_wait(process)), (0, signal.SIGTERM))
        self.assertFalse(self.client.get(process, "Process", "Running"))
        self.assertFails("InvalidState", self.client.call, process, "Process", "Signal",
                         variant("(i)", (signal.SIGTERM,)))
        for number in (0, -1, 65, 1 << 30):
            self.assertFails("InvalidArgument", self.client.call, process, "Process", "Signal",
                             variant("(i)", (number,)))
        for fd in streams.values():
            os.close(fd)

    def test_terminal(self):
        opts = {"tty": variant("b", True), "rows": variant("q", 24), "columns": variant("q", 80)}
        streams, process = self.client.exec_begin(
            self.path, ["sh", "-c", "tty >/dev/null && stty size; read x; stty size"], opts=opts)
        self.assertEqual(set(streams), {"pty"})
        pty = streams["pty"]
        self.assertIn(b"24 80", os.read(pty, 100))
        self.client.call(process, "Process", "Resize", variant("(qq)", (50, 132)))
        os.write(pty, b"\n")
        out = b""
        while b"50 132" not in out:
            out += os.read(pty, 100)
        self.assertEqual(tuple(self.client.process_wait(process)), (0, 0))
        os.close(pty)
        self.assertFails("InvalidArgument", self.client.exec_begin, self.path, ["true"],
                         opts={**opts, "stdin": H(0)}, fds=[0])

    def test_what_cannot_be_run(self):
        self.assertFails("InvalidState", self.client.exec_begin, self.stopped, ["true"])
        _, process = self.client.exec_begin(self.path, ["/no/such/program"])
        self.assertEqual(tuple(self.client.process_wait(process)), (127, 0))
        self.assertFails("LimitExceeded", self.client.exec_begin, self.path, ["x" * 600000])
        self.assertFails("InvalidArgument", self.client.exec_begin, self.path, ["true"],
                         env={"": "x"})
        self.assertFails("InvalidArgument", self.client.exec_begin, self.path, ["true"],
                         env={"A=B": "x"})

    def test_files_that_do_not_fit(self):
        before = self.host.n_fds()
        reading, writing = os.pipe()
        directory = os.open("/", os.O_RDONLY)
        by_path = os.open("/etc/passwd", os.O_PATH)
        cases = [("stdin", writing), ("stdout", reading), ("stderr", reading),
                 ("stdin", directory), ("stdout", directory), ("stdin", by_path)]
        for name, fd in cases:
            self.assertFails("InvalidArgument", self.client.exec_begin, self.path, ["true"],
                             opts={name: H(0)}, fds=[fd])
        self.assertFails("InvalidArgument", self.client.exec_begin, self.path, ["true"],
                         opts={"stdin": H(3)}, fds=[reading])
        self.assertFails("InvalidArgument", self.client.exec_begin, self.path, ["true"],
                         opts={"stdin": H(-1)}, fds=[reading])
        self.assertFails("InvalidArgument", self.client.exec_begin, self.path, ["true"],
                         opts={"stdin": variant("i", 0)}, fds=[reading])
        for fd in (reading, writing, directory, by_path):
            os.close(fd)
        self.assertNoMoreFds(before)

    def test_program_ends_with_its_caller(self):
        other = self.host.client()
        streams, process = other.exec_begin(self.path, ["sh", "-c", "echo $$; exec sleep 60"])
        pid = self.pid_of(streams["stdout"])
        self.assertTrue(self.alive(pid))
        other.close()
        wait_until(lambda: not self.alive(pid), what="the end of the program")
        self.assertFails("NotFound", self.client.process_wait, process)
        for fd in streams.values():
            os.close(fd)

    def test_exited_is_told_to_the_caller_only(self):
        other = self.host.client()
        other.listen()
        self.client.listen()
        _, process = self.client.exec_begin(self.path, ["true"])
        wait_until(lambda: (process, "Exited", (0, 0)) in self.client.signals, what="Exited")
        self.assertNotIn(process, [path for path, _, _ in other.signals])

    @lodgetest.needs_root
    def test_others_cannot_touch_it(self):
        streams, process = self.client.exec_begin(self.path, ["cat"])
        for method, signature, args in (("Signal", "(i)", "[9]"), ("Wait", "", ""),
                                        ("Resize", "(qq)", "[1, 1]")):
            answer = self.host.as_nobody("call", process, "org.lodge1.Process", method, signature,
                                         args)
            self.assertEqual(answer["error"], "org.lodge1.Error.NotAuthorized")
        answer = self.host.as_nobody("call", process, "org.freedesktop.DBus.Properties", "Get",
                                     "(ss)", '["org.lodge1.Process", "Argv"]')
        self.assertEqual(answer["values"], [], "arguments may hold passwords")
        os.close(streams["stdin"])
        self.assertEqual(tuple(self.client.process_wait(process)), (0, 0))

    def test_a_waited_for_process_is_forgotten(self):
        _, process = self.client.exec_begin(self.path, ["true"])
        self.client.process_wait(process)
        wait_until(lambda: self.is_forgotten(process), timeout=15, what="the end of the object")

    def is_forgotten(self, process):
        try:
            self.client.get(process, "Process", "Uid")
            return False
        except lodgetest.DBusError as error:
            return error.nick == "NotFound"

    def test_many_at_once(self):
        before = self.host.n_fds()
        running = [self.client.exec_begin(self.path, ["cat"]) for _ in range(60)]
        for streams, _ in running:
            os.close(streams["stdin"])
        for streams, process in running:
            self.assertEqual(tuple(self.client.process_wait(process)), (0, 0))
            os.close(streams["stdout"])
            os.close(streams["stderr"])
        self.assertNoMoreFds(before)

    def test_latency(self):
        """Not a benchmark: a bound that only a mistake would miss."""
        self.client.run(self.path, ["true"])
        start = time.monotonic()
        for _ in range(50):
            _, process = self.client.exec_begin(self.path, ["true"])
            self.client.process_wait(process)
        self.assertLess((time.monotonic() - start) / 50, 0.05)


@lodgetest.needs_root
class Limits(HostTest):
    polkit = True

    def test_programs_of_a_user(self):
        self.host.set_polkit("yes")
        path = self.client.launch("web")
        script = ("import sys, os; sys.path.insert(0, sys.argv[1])\n"
                  "from lodgetest import *\n"
                  "client = Client(sys.argv[2])\n"
                  "n = 0\n"
                  "try:\n"
                  "    while n < 400:\n"
                  "        streams, _ = client.exec_begin(sys.argv[3], ['sleep', '60'])\n"
                  "        for fd in streams.values(): os.close(fd)\n"
                  "        n += 1\n"
                  "except DBusError as error: print(n, error.nick)\n")
        done = lodgetest.subprocess.run(
            [lodgetest.sys.executable, "-B", "-c", script, lodgetest.HERE, self.host.address, path],
            user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, text=True,
            check=False, timeout=60)
        self.assertEqual(done.stdout.split(), ["256", "LimitExceeded"], done.stderr)
        self.assertEqual(self.client.run(path, ["echo", "x"])[1], b"x\n")


if __name__ == "__main__":
    lodgetest.main()
