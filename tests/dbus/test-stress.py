#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What must not grow, and what must come back: cycles, floods, no descriptors left.

LODGE_TEST_CYCLES: how many launch and delete cycles (default 1000).
"""
import gc
import os
import resource
import signal
import time

import lodgetest
from lodgetest import ROOT, DBusError, Host, HostTest, variant, wait_until

CYCLES = int(os.environ.get("LODGE_TEST_CYCLES", "1000"))
EMPTY = variant("(a{sv})", ({},))
# Sanitizers keep what was freed.
SANITIZED = "asan" in os.environ.get("LODGE_TEST_BUILD", "")


class Cycles(HostTest):
    def cycle(self, number):
        path = self.client.launch(f"cycle{number % 7}")
        streams, process = self.client.exec_begin(path, ["true"])
        self.client.process_wait(process)
        for fd in streams.values():
            os.close(fd)
        self.client.verb(path, "Delete", force=True)

    def heap(self):
        """Bytes in use once all jobs are forgotten."""
        everything = variant("(a{sv})", ({"all": variant("b", True)},))
        wait_until(lambda: time.sleep(0.5) or not self.client.call(
            ROOT, "Manager", "ListJobs", everything), timeout=120, what="the end of all jobs")
        return int(self.host.control("heap")[0])

    def test_launch_and_delete(self):
        # The first rounds fill caches, the database's above all.
        for number in range(CYCLES // 3):
            self.cycle(number)
        fds, heap = self.host.n_fds(), self.heap()
        start = time.monotonic()
        for number in range(CYCLES):
            self.cycle(number)
        took = time.monotonic() - start
        after = self.heap()
        print(f"# {took / CYCLES * 1000:.1f} ms a cycle; heap {heap // 1024} KiB, then "
              f"{after // 1024} KiB; private memory {self.host.memory()} KiB")
        self.assertNoMoreFds(fds, 2)
        if not SANITIZED:
            # The database's page cache is 2 MiB and fills slowly; 3 KiB a cycle would be more.
            self.assertLess(after - heap, (2 << 20) + CYCLES * 2048)
        self.assertEqual(self.client.list(), {})
        self.assertEqual(self.host.domains(), {})
        for folder in ("instances", "staging", "trash"):
            wait_until(lambda: not os.listdir(f"{self.host.dir}/state/{folder}"), what=folder)

    def test_connections_come_and_go(self):
        before = self.host.memory()
        for _ in range(300):
            client = self.host.client()
            client.list()
            client.get(ROOT, "Manager", "Version")
            client.close()
            self.host.clients.remove(client)
        gc.collect()
        if not SANITIZED:
            self.assertLess(self.host.memory() - before, 1024)


class Floods(HostTest):
    def test_calls_without_reading(self):
        """More open calls than a connection may have; lodged stays quick for others."""
        self.host.control("delay", "define", "3000")
        job = self.client.create("flooded")
        flood = self.host.client()
        answers = [flood.send(job, "Job", "Wait", EMPTY) for _ in range(600)]
        wait_until(lambda: sum(bool(a) for a in answers) >= 80, what="refusals")
        refused = [a[0].nick for a in answers if a]
        self.assertEqual(set(refused), {"LimitExceeded"})
        start = time.monotonic()
        self.client.list()
        self.assertLess(time.monotonic() - start, 0.2)
        wait_until(lambda: all(answers), what="all answers")
        self.host.control("clear")

    def test_list_of_a_hundred(self):
        for number in range(100):
            self.client.create(f"many{number}")
        wait_until(lambda: all(row["state"] == "stopped" and "job" not in row
                               for row in self.client.list().values()), timeout=60, what="all")
        times = []
        for _ in range(30):
            start = time.monotonic()
            rows = self.client.call_fds(ROOT, "Manager", "ListInstances", EMPTY)
            times.append(time.monotonic() - start)
        self.assertGreaterEqual(len(rows[0][0]), 100)
        print(f"# a list of 100, with what Python does: {sorted(times)[15] * 1000:.1f} ms; "
              f"private memory {self.host.memory()} KiB")


class NoDescriptors(lodgetest.unittest.TestCase):
    """R04: with a limit of 64 descriptors requests fail, and lodged recovers."""

    def test_recovers(self):
        host = Host(lodged=False)
        self.addCleanup(host.stop)
        host.start_lodged(wrapper=("prlimit", "--nofile=64:64"))
        client = host.client()
        path = client.launch("web")
        held, refused = [], []
        for _ in range(80):
            try:
                held.append(client.exec_begin(path, ["cat"]))
            except DBusError as error:
                refused.append(error)
        consoles = []
        for _ in range(80):
            try:
                consoles += client.call_fds(path, "Instance", "OpenConsole", EMPTY)[1]
            except DBusError as error:
                refused.append(error)
        self.assertTrue(refused)
        self.assertEqual({error.nick for error in refused} - {"LimitExceeded", "Failed"}, set(),
                         refused)
        self.assertIn("web", client.list())
        # Descriptors that come in when there is no room for them.
        with open("/dev/null", "r+b") as null:
            opts = {name: variant("h", 0) for name in ("stdin", "stdout", "stderr")}
            try:
                client.exec_begin(path, ["true"], opts=opts, fds=[null.fileno()])
            except DBusError:
                pass
        for fd in consoles:
            os.close(fd)
        for streams, process in held:
            for fd in streams.values():
                os.close(fd)
            client.process_wait(process)
        self.assertIsNone(host.lodged.poll())
        other = host.client()
        wait_until(lambda: self.works(other, path), what="recovery")

    @staticmethod
    def works(client, path):
        try:
            return client.run(path, ["echo", "x"])[1] == b"x\n"
        except DBusError:
            return False


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE,
                       (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    lodgetest.main()
